"""The JSON schema of sweep files against what `sweep.load` accepts and refuses."""

import json
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from command import Said
from conftest import TINY
from jsonschema import Draft7Validator

import prepe
from prepe import sweep
from prepe.catalog import DATA, EFFECT_METRICS, MEMBER_METRICS, MODELS, OPERATORS, TERMS
from prepe.errors import PrepeError

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "sweeps").glob("*.toml"))
ANCHOR = '[terms.anchor]\nkind = "anchor"\ndirection = { axis = 0 }'
ABLATE = 'label = "ablate"\noperator = "ablate"'
LR = "lr = { log = [0.005, 0.1], start = 0.05 }"
RED = '{ concept = "redness", power = 2, rate = 0.5 }'
FRAMES = TINY.read_text()[TINY.read_text().index("keyframes = [") : TINY.read_text().index("\n[[interventions]]")]
RULE = (
    'rules = [{ name = "r", kind = "move", measure = "anchor", below = 0.1, parameter = "anchor", to = 0, steps = 3 }]'
)
CLAIM = '[[claims]]\nsays = "Yes"\nat_least = 0.5\n'


@cache
def validator() -> Draft7Validator:
    return Draft7Validator(prepe.schema())


def faults(table: dict[str, Any]) -> list[str]:
    """Return where the schema finds faults, and which."""
    return [f"{error.json_path}: {error.message}" for error in validator().iter_errors(table)]


def loads(file: Path) -> bool:
    try:
        sweep.load(file)
    except PrepeError:
        return False
    return True


def test_the_schema_is_one_and_every_reference_in_it_leads_somewhere() -> None:
    schema = prepe.schema()
    Draft7Validator.check_schema(schema)
    text = json.dumps(schema)
    for name in schema["definitions"]:
        assert f'"#/definitions/{name}"' in text, f"{name} is used nowhere"
    named = {part.split('"')[0] for part in text.split('"$ref": "#/definitions/')[1:]}
    assert named <= set(schema["definitions"])


def test_the_shipped_copy_is_what_the_command_prints(prepe_cli: Callable[..., Said], tmp_path: Path) -> None:
    shipped = (ROOT / "docs" / "sweep.schema.json").read_text(encoding="utf-8")
    assert prepe_cli("schema") == Said(0, shipped, ""), "write it again: prepe schema --out docs/sweep.schema.json"
    assert prepe_cli("schema", "--out", tmp_path / "s.json").code == 0
    assert (tmp_path / "s.json").read_text(encoding="utf-8") == shipped


def test_the_settings_for_editors_lead_from_every_shipped_file_to_it() -> None:
    (rule,) = tomllib.loads((ROOT / ".taplo.toml").read_text(encoding="utf-8"))["rule"]
    covered = {path for pattern in rule["include"] for path in ROOT.glob(pattern)}
    assert {*SHIPPED, TINY} <= covered
    assert (ROOT / rule["schema"]["path"]).is_file()


def test_a_schema_that_cannot_be_written_is_said(prepe_cli: Callable[..., Said], tmp_path: Path) -> None:
    said = prepe_cli("schema", "--out", tmp_path / "no" / "s.json")
    assert said.code == 2
    assert "cannot be written: No such file" in said.err


@pytest.mark.parametrize("file", [*SHIPPED, TINY], ids=lambda path: path.stem)
def test_every_shipped_file_is_valid(file: Path) -> None:
    assert faults(tomllib.loads(file.read_text())) == []


def test_every_member_of_the_open_sets_is_offered_with_what_it_is() -> None:
    schema = prepe.schema()
    tables, known = schema["properties"], schema["definitions"]
    for members, node, key in (
        (DATA, tables["data"], "kind"),
        (MODELS, tables["model"], "kind"),
        (TERMS, tables["terms"]["additionalProperties"], "kind"),
        (OPERATORS, tables["interventions"]["items"], "operator"),
    ):
        named = node["properties"][key]
        assert named.get("enum", named.get("anyOf", [{}])[0].get("enum")) == list(members)
        for name, case in zip(members, node["allOf"], strict=False):
            assert case["if"]["properties"][key]["const"] == name
            assert known[case["then"]["$ref"].rsplit("/", 1)[1]]["description"]
    metrics = known["Objective"]["properties"]["metric"]
    assert set(metrics["enum"]) == {*EFFECT_METRICS, *MEMBER_METRICS}
    assert MEMBER_METRICS["recon_mse"].doc in metrics["description"]


def test_a_key_is_described_by_the_sentences_of_the_docstrings_that_mention_it() -> None:
    known = prepe.schema()["definitions"]
    assert known["Concept"]["properties"]["isolated"]["description"].startswith("`isolated` says that")
    assert "`epoch`" in known["HsvCube"]["properties"]["epoch"]["description"], "said of all data"
    assert "description" not in known["Autoencoder"]["properties"]["depth"]


THREE = ("{ int = [2, 4], start = 3 }", "{ choice = [3], start = 3 }")
ACCEPTED: dict[str, list[tuple[str, str]]] = {
    "nothing changed": [],
    "a factor without spaces": [('"0.5 * $lr"', '"5e-1*$lr"')],
    "a vector": [THREE, (ANCHOR, ANCHOR.replace("{ axis = 0 }", "[1, 0.5, 0]"))],
    "a concept off the axes": [
        THREE,
        ("direction = { axis = 0 }\nisolated", "direction = { components = [1, 1, 0] }\nisolated"),
    ],
    "a side by a parameter": [
        (ANCHOR, ANCHOR.replace("axis = 0", 'axis = 0, sign = "$sign"')),
        (LR, f"{LR}\nsign = {{ choice = [1, -1], start = 1 }}"),
    ],
    "a term of one's own": [('kind = "separate"', 'kind = "my.own:term"\nparameters = { x = [1, "a"] }')],
    "a label of one's own": [('concept = "redness"', 'concept = "mine:red"')],
    "a label by hue": [('concept = "redness"', 'concept = "hue:red"')],
    "several concepts": [(f'{ABLATE}\nconcept = "red"', f'{ABLATE}\nconcept = ["red"]')],
    "an action": [("step = 10,", 'step = 10, actions = ["a"],')],
    "a phase with data of its own": [
        ("keyframes = [\n  {", 'phases.p = { batch_size = 4, data.size = 4 }\nkeyframes = [\n  { phase = "p",')
    ],
    "relative steps": [("step = 10,", 'step = "+0.5",')],
    "a rule": [("keyframes = [", f"{RULE}\nkeyframes = [")],
    "columns": [("keyframes = [", 'columns.lr = { space = "log" }\nkeyframes = [')],
    "a grid": [
        ('trials = 3\nsampler = "random"', 'sampler = "grid"'),
        (LR, "lr = { choice = [0.005, 0.1], start = 0.1 }"),
        ("{ float = [0, 1], start = 0.1 }", "{ choice = [0, 1], start = 1 }"),
    ],
    "a claim by sql": [("[record]", f'{CLAIM}sql = "SELECT 1"\n[record]')],
    "another cycle": [('items = "hues"\ngrade = "value"', 'items = "primaries"\naxes = [0, 1]')],
}
"""What both accept: texts of the tiny sweep file and what stands in their place."""


@pytest.mark.parametrize("what", ACCEPTED)
def test_what_a_sweep_may_say_the_schema_lets_it_say(what: str, sweep_file: Callable[..., Path]) -> None:
    file = sweep_file("tiny", *ACCEPTED[what])
    sweep.load(file)
    assert faults(tomllib.loads(file.read_text())) == []


def test_variants_may_change_parts_of_tables_and_take_keys_out(tmp_path: Path) -> None:
    text = TINY.read_text()
    fixed = text[: text.index("[search]")].replace('"$latent_dim"', "3").replace('"$anchor"', "0.1")
    fixed = fixed.replace('"$lr"', "0.01").replace('"0.5 * $lr"', "0.01")
    file = tmp_path / "tiny.toml"
    file.write_text(
        f"{fixed}[variants.a]\nmodel.depth = 2\nterms.separate.power = 4\n"
        '[variants.b]\nconcepts.red = { isolated = true, similarity = "lab" }\nschedule.batch_size = false\n'
        '[variants.c.schedule]\nfinal_step = "repeat"\nphases = {}\n'
        '[variants.d]\nschedule.columns.lr = { space = "log" }\nterms.anchor = { direction = { sign = -1 } }\n'
    )
    sweep.load(file)
    assert faults(tomllib.loads(file.read_text())) == []
    file.write_text(f"{fixed}[variants.a]\nmodel.dept = 2\n")
    assert not loads(file)
    assert faults(tomllib.loads(file.read_text()))


def test_a_dopesheet_stands_for_keyframes_and_columns(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("STEP,lr,anchor,separate\n0,0.01,0.1,0\n19,0.02,,0.1\n")
    text = TINY.read_text().replace(FRAMES, 'dopesheet = "s.csv"\n')
    file = tmp_path / "tiny.toml"
    for more, fine in (("", True), ("columns.lr.timing = 'linear'\n", False), ("keyframes = [{ step = 0 }]\n", False)):
        changed = text.replace("dopesheet", f"{more}dopesheet")
        changed = changed.replace("anchor = { float = [0, 1], start = 0.1 }\n", "").replace(f"{LR}\n", "")
        file.write_text(changed)
        assert loads(file) == fine, more
        assert (faults(tomllib.loads(changed)) == []) == fine, more


@pytest.mark.parametrize(
    "written",
    [
        *("$lr", "2*$lr", "-0 * $lr", ".5 * $lr", "1e-3 * $lr", "+1.E2* $lr"),
        *(
            "lr",
            "$",
            "$lr ",
            "2 $lr",
            "2 ** $lr",
            "$lr * 2",
            "2 * 3 * $lr",
            "1.2.3 * $lr",
            "e * $lr",
            "$lr + 1",
            "",
            "0.5",
        ),
    ],
)
def test_what_stands_for_a_number_is_a_reference_to_both_or_to_neither(
    written: str, sweep_file: Callable[..., Path]
) -> None:
    file = sweep_file("tiny", ('"0.5 * $lr"', f'"{written}"'))
    assert loads(file) == (faults(tomllib.loads(file.read_text())) == [])


@pytest.mark.parametrize("written", ["$latent_dim", "1 * $latent_dim", "2 * $latent_dim", "3", ""])
def test_no_factor_stands_for_a_whole_number(written: str, sweep_file: Callable[..., Path]) -> None:
    file = sweep_file("tiny", ("hidden_dim = 8", f'hidden_dim = "{written}"'))
    assert loads(file) == (faults(tomllib.loads(file.read_text())) == [])


@pytest.mark.parametrize("step", ["10", "+3", "-3", "+0.5", "-.25", "+0", "+1.5", "half", "+ 1", "+0.", "0.5"])
def test_relative_steps_are_steps_to_both_or_to_neither(step: str, sweep_file: Callable[..., Path]) -> None:
    file = sweep_file("tiny", ("step = 10", f'step = "{step}"'))
    assert loads(file) == (faults(tomllib.loads(file.read_text())) == [])


REFUSED: dict[str, tuple[str, str, str]] = {
    "an unknown table": ("[record]", "[recrod]\nx = 1\n\n[record]", "$"),
    "an unknown key": ("hidden_dim = 8", "hiden_dim = 8", "$.model"),
    "no question": ('question = "Does a tiny sweep run?"\n', "", "$"),
    "a text for a number": ("members = 3", 'members = "3"', "$.members"),
    "a reference where none can be": ("members = 3", 'members = "$lr"', "$.members"),
    "a fraction for a whole number": ("hidden_dim = 8", "hidden_dim = 8.5", "$.model.hidden_dim"),
    "a number out of its range": ("size = 3", "size = 65", "$.data.size"),
    "true for a number": ("size = 3", "size = true", "$.data.size"),
    "an unknown kind of data": ('kind = "rgb_grid"', 'kind = "rgb"', "$.data.kind"),
    "a model without a kind": ('kind = "autoencoder"\n', "", "$.model"),
    "an unknown kind of term": ('kind = "separate"', 'kind = "seperate"', "$.terms.separate.kind"),
    "a function without a module": ('kind = "separate"', 'kind = ":separate"', "$.terms.separate.kind"),
    "a key of another term": ('kind = "separate"', 'kind = "separate"\naxes = [0]', "$.terms.separate"),
    "a term without its direction": (ANCHOR, ANCHOR.rsplit("\n", 1)[0], "$.terms.anchor"),
    "a table for a direction": (ANCHOR, ANCHOR.replace("axis", "ax"), "$.terms.anchor.direction"),
    "an unknown concept of a label": ("redness", "redish", "$.data.labels.red.concept"),
    "an unknown hue": ("redness", "hue:mauve", "$.data.labels.red.concept"),
    "a label without a rate": (RED, RED.replace(", rate = 0.5", ""), "$.data.labels.red"),
    "an unknown item": ('item = "red"', 'item = "reddish"', "$.concepts.red.item"),
    "an intervention without a label": ('label = "ablate"\n', "", "$.interventions[1]"),
    "an unknown operator": ('operator = "suppress"', 'operator = "supress"', "$.interventions[0].operator"),
    "a weight below zero": ("separate = 0.01", "separate = -0.01", "$.schedule.keyframes[1].separate"),
    "a keyframe without a step": ("step = 10, ", "", "$.schedule.keyframes[1]"),
    "neither keyframes nor a dopesheet": (FRAMES, "", "$.schedule"),
    "an unknown rule": ("keyframes = [", f"{RULE.replace('move', 'mve')}\nkeyframes = [", "$.schedule.rules[0].kind"),
    "a rule with two thresholds": (
        "keyframes = [",
        f"{RULE.replace('to =', 'above = 1, to =')}\nkeyframes = [",
        "$.sch",
    ),
    "a phase with labels of its own": (
        "keyframes = [\n  {",
        'phases.p.data.labels = {}\nkeyframes = [\n  { phase = "p",',
        "$.schedule.phases.p.data",
    ),
    "a distribution with two ranges": (LR, LR.replace("log", "float = [0, 1], log"), "$.search.space.lr"),
    "a distribution without one": (LR, "lr = { start = 0.05 }", "$.search.space.lr"),
    "a distribution without a start": (LR, LR.replace(", start = 0.05", ""), "$.search.space.lr"),
    "a range with one end": (LR, LR.replace(", 0.1]", "]"), "$.search.space.lr.log"),
    "a step of real numbers": (LR, LR.replace("start", "step = 2, start"), "$.search.space.lr"),
    "a search without a budget": ("trials = 3\n", "", "$.search"),
    "an unknown sampler": ('"random"', '"guess"', "$.search.sampler"),
    "an unknown metric": ('"score_ccc"', '"score_cc"', "$.objectives[0].metric"),
    "an effect's metric without an intervention": ('"recon_mse"', '"damage"', "$.objectives[1].metric"),
    "an unknown goal": ('"maximize"', '"up"', "$.objectives[0].goal"),
    "a constraint with two bounds": ("at_most = 0.5", "at_most = 0.5\nat_least = 0", "$.constraints[0]"),
    "a claim of nothing": ("[record]", f"{CLAIM}[record]", "$.claims[0]"),
    "a claim without a bound": ("[record]", '[[claims]]\nsays = "x"\nsql = "SELECT 1"\n[record]', "$.claims[0]"),
    "equality without a tolerance": ("[record]", f'{CLAIM}sql = "SELECT 1"\nequals = 1\n[record]', "$.claims[0]"),
}
"""What both refuse, and where the schema says that it is."""


@pytest.mark.parametrize("what", REFUSED)
def test_a_fault_that_can_be_seen_at_one_place_is_refused_by_both(what: str, sweep_file: Callable[..., Path]) -> None:
    old, new, path = REFUSED[what]
    file = sweep_file("tiny", (old, new))
    assert not loads(file)
    found = faults(tomllib.loads(file.read_text()))
    assert any(fault.startswith(path) for fault in found), found


def test_a_search_without_objectives_is_refused_by_both(tmp_path: Path) -> None:
    text = TINY.read_text()
    file = tmp_path / "tiny.toml"
    file.write_text(text[: text.index("[[objectives]]")] + text[text.index("[record]") :])
    assert not loads(file)
    assert faults(tomllib.loads(file.read_text())) == ["$: 'objectives' is a required property"]
