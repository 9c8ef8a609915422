"""Exported members: plain data and back, the same module to the bit, and the verb."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import Said, contents
from conftest import TinyStore

import prepe
from prepe import spec, store
from prepe.catalog import OPERATORS, Part
from prepe.errors import PrepeError

Cli = Callable[..., Said]
OFF_AXES = [1.0, 0.5, 0.0]

# --- interventions and places as plain data ---------------------------------------------------------------------------

PLACES: list[Any] = [
    {"axis": 2},
    {"axis": 0, "sign": -1},
    [0.1, -0.7, 1e-9],
    {"axes": [2, 0]},
    {"vectors": [[1, 2, 3.5], [0, 1, 0]]},
]
GATES = [{}, {"start": 0.25, "strength": 0.5, "power": 2}, {"start": 1}]
MAPPERS = [
    {},
    {"start": 0.3, "end": 0.7},
    {"kind": "bezier", "start": 0.1, "end": 0.5, "end_slope": 0.2, "control": 0.5},
    {"kind": "bezier", "end": 0.5, "table": 1000},
]
INTERVENTIONS = [
    *({"operator": "suppress", "gate": gate} for gate in GATES),
    *({"operator": "repel", "mapper": mapper} for mapper in MAPPERS),
    *({"operator": operator, "direction": place} for operator in OPERATORS for place in PLACES[:3]),
    *(
        {"operator": operator, "direction": place}
        for operator in ("project", "ablate", "prune")
        for place in PLACES[3:]
    ),
    {"operator": "ablate", "concept": ["red", "blue"], "similarity": "lab", "site": "bottleneck"},
    {"operator": "ablate", "heal": {"towards": "rest", "steps": 5}, "recovery": {"data": "few", "items": 3}},
    {"operator": "prune", "heal": {}},
]


def through_json(part: Part) -> Any:
    return json.loads(json.dumps(part.model_dump(mode="json")))


@pytest.mark.parametrize("table", INTERVENTIONS, ids=str)
def test_an_intervention_comes_back_from_plain_data_as_it_was(table: dict[str, Any]) -> None:
    one = spec.intervention({"label": "one", "concept": "red", "power": 2} | table)
    again = spec.intervention(through_json(one))
    assert again == one
    assert type(again) is OPERATORS[table["operator"]]


def test_every_operator_is_among_those_that_were_tried() -> None:
    assert {table["operator"] for table in INTERVENTIONS} == set(OPERATORS)


@pytest.mark.parametrize("value", PLACES, ids=str)
def test_a_place_comes_back_from_plain_data_as_it_was(value: Any) -> None:
    one = spec.place(value)
    again = spec.place(through_json(one))
    assert again == one
    np.testing.assert_array_equal(again.basis(3), one.basis(3))


def test_plain_data_that_are_none_are_refused_with_the_key() -> None:
    with pytest.raises(PrepeError, match=r"intervention\.operator: unknown operator 'ablat' \(did you mean 'ablate'"):
        spec.intervention({"label": "a", "operator": "ablat", "concept": "red", "power": 2})
    with pytest.raises(PrepeError, match=r"direction\.sign: 0 stands here"):
        spec.place({"axis": 0, "sign": 0})


# --- the files --------------------------------------------------------------------------------------------------------

MORE = f"""
[[interventions]]
label = "repel"
operator = "repel"
concept = "red"
power = 2

[[interventions]]
label = "prune"
operator = "prune"
concept = "red"
power = 3

[[interventions]]
label = "turned.out"
operator = "prune"
concept = "red"
power = 3
direction = {OFF_AXES}

[[interventions]]
label = "folded"
operator = "ablate"
concept = "red"
power = 3
direction = {OFF_AXES}

[[interventions]]
label = "healed"
operator = "ablate"
concept = "red"
power = 3
heal = {{ steps = 20 }}

[[objectives]]
intervention = "ablate"
"""
LABELS = ("suppress", "repel", "ablate", "prune", "turned.out", "folded", "healed")


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store with a trial of three members and every operator, and its name."""
    folder = tmp_path_factory.mktemp("many")
    text = Path(__file__).with_name("tiny.toml").read_text()
    text = text.replace('[[objectives]]\nintervention = "ablate"\n', MORE)
    text = text.replace("trials = 3", "trials = 1").replace("int = [2, 4]", "int = [3, 4]")
    text = text.replace('latent_dim = "$latent_dim"', "latent_dim = 3").replace(
        "latent_dim = { int = [3, 4], start = 3 }\n", ""
    )
    (folder / "many.toml").write_text(text)
    queue = prepe.run(folder / "many.toml", results=folder / "results", executor="serial")
    assert queue.done[0]["state"] == "complete", queue.done[0]["error"]
    return folder / "results", queue.done[0]["trial"]


def named(root: Path, trial: str, label: str, seed: int) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Return the named items' inputs and a member's stored errors before and after an intervention."""
    where = f"trial = '{trial}' AND seed = {seed} AND intervention = '{label}'"
    rows = store.query(root, f"SELECT * FROM colors WHERE {where}").to_pylist()
    x = torch.tensor([row["x"] for row in rows], dtype=torch.float64)
    return x, *(np.array([row[name] for row in rows]) for name in ("error_before", "error_after"))


def errors(module: torch.nn.Module, x: torch.Tensor) -> np.ndarray:
    return ((module.double()(x) - x) ** 2).mean(-1).detach().numpy()


def test_a_member_comes_back_as_it_was_to_the_bit(many: tuple[Path, str], tmp_path: Path) -> None:
    root, trial = many
    done = prepe.export(trial[:8], 1, root, folder=tmp_path)
    assert [path.name for path in (done.weights, done.facts)] == [f"{trial}-1.safetensors", f"{trial}-1.json"]
    ours, theirs = prepe.load(trial, 1, root), prepe.load_export(done.weights)
    assert torch.equal(ours.module.flat, theirs.module.flat)
    x = torch.rand(100, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours.module(x), theirs.module(x))
    assert not theirs.module.training
    assert torch.equal(ours.direction, theirs.direction)


@pytest.mark.parametrize("label", LABELS)
def test_an_intervention_that_it_was_exported_with_acts_as_it_was_measured(
    label: str, many: tuple[Path, str], tmp_path: Path
) -> None:
    root, trial = many
    done = prepe.export(trial, 2, root, folder=tmp_path, intervention=label)
    assert done.weights.name == f"{trial}-2-{label}.safetensors"
    x, before, after = named(root, trial, label, 2)
    found = errors(prepe.load_export(done.facts).module, x)
    np.testing.assert_allclose(found, after, rtol=1e-9, atol=1e-12)
    assert not np.allclose(found, before)


def test_on_weights_they_are_changed_and_on_activations_the_json_says_it_alone(
    many: tuple[Path, str], tmp_path: Path
) -> None:
    root, trial = many
    facts, weights = {}, {}
    for label in (None, *LABELS):
        done = prepe.export(trial, 0, root, folder=tmp_path, intervention=label)
        facts[label] = json.loads(done.facts.read_text())
        weights[label] = prepe.load_export(done.weights).module.flat
    same = [label for label in LABELS if torch.equal(weights[label], weights[None])]
    assert same == ["suppress", "repel"]
    assert {label: facts[label]["intervention"]["edits"] for label in LABELS} == {
        label: "activations" if label in same else "weights" for label in LABELS
    }
    narrow = [label for label in LABELS if facts[label]["weights"]["sites"]["bottleneck"] == 2]
    assert narrow == ["prune", "turned.out"]
    exact = [label for label in LABELS if weights[label].dtype == torch.float64]
    assert exact == ["turned.out", "folded"]


def test_the_json_says_what_the_weights_are(many: tuple[Path, str], tmp_path: Path) -> None:
    root, trial = many
    about = json.loads(prepe.export(trial, 0, root, folder=tmp_path).facts.read_text())
    shown = prepe.show(trial, root)
    for key in ("training", "concepts", "interventions"):
        assert about[key] == shown["spec"][key]
    assert (about["trial"], about["model"], about["seed"]) == (trial, shown["model"], 0)
    assert about["directions"] == {"red": [1, 0, 0]}
    assert about["weights"]["layout"][0] == ["encoder.0.weight", [8, 3]]
    row = store.query(root, f"FROM models WHERE model = '{shown['model']}' AND seed = 0").to_pylist()[0]
    assert about["provenance"]["cpu_capability"] == row["cpu_capability"]
    assert about["provenance"]["versions"] == json.loads(row["versions"])
    assert about["provenance"]["labels_used"] == dict(row["labels_used"])


def test_exporting_again_gives_the_same_files_and_leaves_the_tables_alone(many: tuple[Path, str]) -> None:
    root, trial = many
    before = contents(root, "*.parquet")
    done = prepe.export(trial, 0, root, intervention="healed")
    assert done.weights.parent == root / "exports"
    first = done.weights.read_bytes(), done.facts.read_bytes()
    prepe.export(trial, 0, root, intervention="healed")
    assert (done.weights.read_bytes(), done.facts.read_bytes()) == first
    assert contents(root, "*.parquet") == before
    assert {path.suffix for path in done.weights.parent.iterdir()} == {".safetensors", ".json"}


def test_files_that_are_none_of_its_own_are_refused(many: tuple[Path, str], tmp_path: Path) -> None:
    root, trial = many
    done = prepe.export(trial, 0, root, folder=tmp_path)
    pruned = prepe.export(trial, 0, root, folder=tmp_path, intervention="prune")
    about = json.loads(done.facts.read_text())

    def refused(**changes: Any) -> str:
        done.facts.write_text(json.dumps(about | changes))
        with pytest.raises(PrepeError) as error:
            prepe.load_export(done.facts)
        return str(error.value)

    assert "its format is 2; allowed: 1" in refused(format=2)
    assert "is none that prepe wrote" in refused(training=None)
    assert "not as prepe export writes it" in refused(intervention={})
    assert "its weights are not those" in refused(weights=about["weights"] | {"file": pruned.weights.name})
    assert "cannot be read" in refused(weights=about["weights"] | {"file": "none.safetensors"})
    assert "not a safetensors file" in refused(weights=about["weights"] | {"file": done.facts.name})
    done.facts.write_text("{")
    with pytest.raises(PrepeError, match="not valid JSON"):
        prepe.load_export(done.facts)
    with pytest.raises(PrepeError, match="cannot be read"):
        prepe.load_export(tmp_path / "absent.safetensors")


# --- the verb ---------------------------------------------------------------------------------------------------------


def test_the_verb_names_both_files(prepe_cli: Cli, tiny_store: TinyStore, tmp_path: Path) -> None:
    trial = tiny_store.trials[0]
    options = ("--member", 2, "--intervention", "ablate", "--out", tmp_path, "--results", tiny_store.root)
    said = prepe_cli("export", trial[:6], *options)
    stem = tmp_path / f"{trial}-2-ablate"
    assert said == Said(0, f"{stem}.safetensors\n{stem}.json\n", "")
    assert Path(f"{stem}.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("0000", "--member", "0"), "none of the 3 trials"),
        (("TRIAL", "--member", "3"), "has no such member; allowed: 0 to 2"),
        (("TRIAL", "--member", "0", "--intervention", "erase"), "unknown intervention 'erase'; allowed: suppress, abl"),
        (("TRIAL", "--member", "0", "--out", "/dev/null/here"), "cannot be written"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    arguments: tuple[str, ...], message: str, prepe_cli: Cli, tiny_store: TinyStore
) -> None:
    given = [tiny_store.trials[0] if each == "TRIAL" else each for each in arguments]
    said = prepe_cli("export", *given, "--results", tiny_store.root)
    assert (said.code, said.out) == (2, "")
    assert message in said.err
    assert said.err.count("\n") == 1
