"""Sweep files: the shipped ones, how a space fills them in, and everything that can be wrong with one."""

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from command import Said
from conftest import TINY

from prepe import sweep, trial
from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS, DataPart, Fitted, Heal, Intervention, Leakage, Recovery
from prepe.errors import PrepeError
from prepe.keyframes import Schedule, phase_starts
from prepe.measures import Constraint
from prepe.spec import Training, Trial
from prepe.sweep import Distribution, Params, Record, Sweep

FOLDER = Path(__file__).parents[1] / "sweeps"
EACH_SWEEP = pytest.mark.parametrize("file", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)


def drawn(distribution: Distribution, rng: np.random.Generator) -> int | float:
    """Draw a value of a parameter."""
    if distribution.choice is not None:
        return distribution.choice[rng.integers(len(distribution.choice))]
    low, high = distribution.range()
    if distribution.int_ is not None:
        return int(rng.choice(np.arange(low, high + 1, distribution.step)))
    return float(np.exp(rng.uniform(np.log(low), np.log(high))) if distribution.log else rng.uniform(low, high))


def points(swept: Sweep, count: int) -> Iterator[Params]:
    """Give the starting point, and some random others: of those that are to be tried where these are fixed."""
    rng = np.random.default_rng(0)
    yield swept.start()
    fixed = swept.points()
    if fixed is not None:
        yield from (fixed[i] for i in 1 + rng.permutation(len(fixed) - 1)[:count])
        return
    for _ in range(count):
        yield {name: drawn(each, rng) for name, each in swept.space.items()}


def hastened(part: Any) -> Any:
    """Return a trial, or a part of one, in which all is done that it does, in two steps between keyframes or in all."""
    if isinstance(part, Schedule):
        frames = tuple(frame.model_copy(update={"step": 2 * i}) for i, frame in enumerate(part.keyframes))
        rules = tuple(rule.model_copy(update={"from_step": 0, "to_step": None}) for rule in part.rules)
        return part.model_copy(update={"keyframes": frames, "steps": 2 * len(frames), "rules": rules})
    if isinstance(part, Trial | Training | Intervention):
        return part.model_copy(update={name: hastened(each) for name, each in part})
    if isinstance(part, Heal | Recovery | Leakage):
        return part.model_copy(update={"steps": 2})
    if isinstance(part, Fitted):
        return part.model_copy(update={"candidates": 2})
    if isinstance(part, DataPart):  # so that there are labels in so few steps
        return part.model_copy(
            update={"labels": {name: each.model_copy(update={"rate": 1.0}) for name, each in part.labels.items()}}
        )
    return tuple(map(hastened, part)) if isinstance(part, tuple) else part


@EACH_SWEEP
@pytest.mark.parametrize(
    "numbers", [range(1), pytest.param(range(1, 4), marks=pytest.mark.slow)], ids=["start", "random"]
)
def test_every_shipped_file_runs_through_all_its_phases_at_its_start_and_at_random_points(
    file: Path, numbers: range
) -> None:
    swept = sweep.load(file, members=2)
    for params in list(points(swept, numbers.stop - 1))[numbers.start :]:
        named = hastened(swept.trial(params))
        assert named.training.schedule.steps < 100
        outcome = trial.run(named, swept.seeds, device="cpu", record=Record(snapshots=(0,)))
        assert len(outcome.tables["members"]) == 2
        assert len(outcome.tables["effects"]) == 2 * len(named.interventions)
        assert len(outcome.tables["stages"]) == 2 * (len(phase_starts(named.training.schedule)) - 1)
        recon = [row["recon_mse"] for row in outcome.tables["members"]]
        assert np.isfinite(recon).all()


@EACH_SWEEP
def test_every_shipped_file_asks_its_question_starts_inside_its_space_and_holds_random_points(file: Path) -> None:
    swept = sweep.load(file)
    assert swept.question.endswith("?")
    for params in points(swept, 50):
        assert set(params) == {*swept.space, *(["variant"] if swept.variants else [])}
        for name, value in params.items():
            assert value in swept.variants if name == "variant" else swept.space[name].holds(value), name
        assert isinstance(swept.trial(params), Trial)


def test_the_main_search_spans_a_decade_or_more_around_each_published_weight() -> None:
    search = sweep.load(FOLDER / "delete-red.toml").search
    assert search is not None
    for name, each in search.space.items():
        low, high = each.range()
        assert low < each.start < high, name
        if each.log:
            assert high >= 10 * low, name


# --- how a space fills a file in --------------------------------------------------------------------------------------


def tiny_table(**changes: Any) -> dict[str, Any]:
    return tomllib.loads(TINY.read_text()) | changes


def test_a_reference_is_replaced_by_its_parameter_and_a_factor_multiplies_it() -> None:
    swept = sweep.load(TINY)
    training = swept.trial({"latent_dim": 4, "lr": 0.06, "anchor": 0.5}).training
    assert training.model.sites()["bottleneck"] == 4
    lr = [frame.values.get("lr") for frame in training.schedule.keyframes]
    assert lr == [0.01, 0.06, 0.03]
    assert training.schedule.keyframes[0].values["anchor"] == 0.5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$lr", 0.05),
        ("0.5 * $lr", 0.025),
        ("2*$lr", 0.1),
        ("1e-1 * $lr", 0.005),
        (".5 * $lr", 0.025),
        ("+2. * $lr", 0.1),
    ],
)
def test_these_forms_of_a_reference_are_understood(text: str, value: float) -> None:
    table = tiny_table()
    table["schedule"]["keyframes"][2]["lr"] = text
    swept = sweep.from_table("x", table)
    assert swept.trial(swept.start()).training.schedule.keyframes[2].values["lr"] == value


def test_the_twin_keeps_the_starting_schedule_so_that_trials_of_one_size_share_it() -> None:
    swept = sweep.load(TINY)
    one, other = (swept.trial(swept.start() | change) for change in ({"lr": 0.1}, {"lr": 0.01, "anchor": 0.9}))
    assert one.training.digest() != other.training.digest()
    assert one.twin == other.twin == swept.trial(swept.start()).twin


def test_members_and_trials_can_be_overridden() -> None:
    swept = sweep.load(TINY, trials=7, members=2)
    assert (swept.trials, swept.members, swept.seeds) == (7, 2, [0, 1])
    assert sweep.from_table("x", tiny_table(first_seed=40)).seeds == [40, 41, 42]


def test_a_file_without_a_search_has_one_trial() -> None:
    swept = sweep.from_table("x", {"question": "?", "members": 1, **tiny.table()})
    assert (swept.trials, swept.start()) == (1, {})


def test_a_distribution_holds_what_it_can_draw_and_nothing_else() -> None:
    stepped = Distribution.model_validate({"int": [8, 64], "step": 8, "start": 16})
    assert [stepped.holds(value) for value in (8, 64, 9, 0, 72, 8.5, "8")] == [True, True] + [False] * 5
    log = Distribution.model_validate({"log": [0.1, 1], "start": 0.1})
    assert [log.holds(value) for value in (0.1, 1, 0.09, 1.1)] == [True, True, False, False]
    choice = Distribution.model_validate({"choice": [1, 2.5], "start": 1})
    assert [choice.holds(value) for value in (1, 2.5, 2)] == [True, True, False]


def test_a_log_range_with_a_whole_start_is_tried_at_its_true_ends() -> None:
    table = tiny_table()
    table["data"]["labels"]["red"]["power"] = "$power"
    table["interventions"][0]["power"] = "$power"  # which must be above zero
    table["search"]["space"]["power"] = {"log": [0.1, 10], "start": 1}
    assert sweep.from_table("x", table).start()["power"] == 1


def test_every_choice_is_tried_and_not_the_ends_alone() -> None:
    table = tiny_table()
    table["terms"]["separate"] |= {"power": "$power", "shift": False}
    table["search"]["space"]["power"] = {"choice": [2, 3, 4], "start": 2}
    with pytest.raises(PrepeError, match=r"terms.separate.power: an odd power .* \(with power = 3, which"):
        sweep.from_table("x", table)


def test_a_constraint_says_by_how_much_it_is_broken_and_is_named_with_its_bound() -> None:
    least = Constraint(intervention="ablate", metric="damage_frac", at_least=0.6)
    most = Constraint(metric="broken", statistic="rate", at_most=0.0)
    assert least.excess(0.5) == pytest.approx(0.1)
    assert least.excess(0.7) < 0
    assert (most.excess(0.0), most.excess(0.25)) == (0, 0.25)
    assert (least.name, most.name) == ("ablate.damage_frac.median >= 0.6", "broken.rate <= 0")


def test_every_metric_of_the_catalog_can_be_an_objective() -> None:
    for metrics, named in ((EFFECT_METRICS, {"intervention": "ablate"}), (MEMBER_METRICS, {})):
        objectives = [{"metric": metric, "goal": "minimize", **named} for metric in metrics]
        table = tiny_table(objectives=objectives, cycle={"items": "hues", "grade": "vibrancy"})
        assert len(sweep.from_table("x", table).objectives) == len(metrics)


# --- bad input, through the command line -----------------------------------------------------------------------------

ANCHOR = '[terms.anchor]\nkind = "anchor"\ndirection = { axis = 0 }'
RULES = 'rules = [{ name = "r", kind = "move", measure = "recon", below = 0.1, parameter = "lr", to = 0.0, steps = 2 }]'
RATIO = 'rules = [{ name = "r", kind = "ratio", measure = "recon", of = "anchor", ratio = 1, at_most = 2 }]'
EXTEND = 'rules = [{ name = "r", kind = "extend", measure = "recon", below = 1, phase = "p", at_most_steps = 2 }]'
HELD = '[terms.held]\nkind = "anchor_captured"\nitems = ["red"]'
LR = "lr = { log = [0.005, 0.1], start = 0.05 }"
RED = 'labels.red = { concept = "redness", power = 2, rate = 0.5 }'
GRID = 'kind = "rgb_grid"\nsize = 3\n'
FIRST = '[[objectives]]\nintervention = "ablate"\nmetric = "score_ccc"\ngoal = "maximize"\n'
SUPPRESS = 'label = "suppress"\noperator = "suppress"\nconcept = "red"'

BAD: dict[str, tuple[str, str, str]] = {  # what to replace, by what, and what the message says after the file's name
    "a TOML syntax error": (
        "members = 3",
        "members 3",
        "not valid TOML: Expected '=' after a key in a key/value pair (at line 2, column 9)",
    ),
    # unknown keys
    "an unknown key": (
        "members = 3",
        "menbers = 3",
        "unknown key 'menbers' (did you mean 'members'?); allowed: question, members, first_seed, twin, record,",
    ),
    "an unknown key in a table": (
        "size = 3",
        "siez = 3",
        "data: unknown key 'siez' (did you mean 'size'?); "
        "allowed: kind, labels, draw, epoch, opened_by, weigh, unlike, size",
    ),
    "an unknown key in a part": (
        "rate = 0.5",
        "rat = 0.5",
        "data.labels.red: unknown key 'rat' (did you mean 'rate'?); allowed: concept, rate, power",
    ),
    "an unknown key in a keyframe": (
        "separate = 0.01",
        "seperate = 0.01",
        "schedule.keyframes[1]: unknown key 'seperate' (did you mean 'separate'?); allowed: step, phase, actions, lr,",
    ),
    "an unknown key in a distribution": (
        "log = [",
        "lgo = [",
        "search.space.lr: unknown key 'lgo' (did you mean 'log'?); allowed: int, float, log, choice, step, start",
    ),
    "an unknown key in a search": (
        "[search.space]",
        "[search.spaces]",
        "search: unknown key 'spaces' (did you mean 'space'?); allowed: space, trials, sampler, startup_trials, seed",
    ),
    "an unknown key in a direction": (
        ANCHOR,
        ANCHOR.replace("axis", "axs"),
        "terms.anchor.direction: unknown key 'axs' (did you mean 'axis'?); allowed: axis, sign",
    ),
    "a subspace for a direction": (
        ANCHOR,
        ANCHOR.replace("axis = 0", "axes = [0]"),
        "terms.anchor.direction: {'axes': [0]} stands here; allowed: an axis as { axis = 0, sign = 1 }, or a list of",
    ),
    "a rule of no kind": (
        "[schedule]",
        '[schedule]\nrules = [{ name = "off" }]',
        "schedule.rules[0].kind: missing; allowed: move, ratio, extend",
    ),
    "a rule of another kind": (
        "[schedule]",
        '[schedule]\nrules = [{ name = "off", kind = "stop" }]',
        "schedule.rules[0].kind: 'stop' stands here; allowed: 'move', 'ratio', 'extend'",
    ),
    # too large to be meant
    "more members than can be held": (
        "members = 3",
        "members = 99999999999999999999",
        "members: 99999999999999999999 stands here; allowed: less than or equal to 100000",
    ),
    "a batch that cannot be held": (
        "batch_size = 8",
        "batch_size = 100_000_000",
        "schedule.batch_size: 100000000 stands here; allowed: less than or equal to 100000",
    ),
    "hues that cannot be held": (
        GRID,
        'kind = "hsv_cube"\nhues = 1_000_000_000\n',
        "data.hues: 1000000000 stands here; allowed: a whole number from 1 to 10000, a list of numbers from 0 to 1, or",
    ),
    "a cube that cannot be held": (
        GRID,
        'kind = "hsv_cube"\nhues = 1000\nsaturations = 1000\n',
        "data: hues, saturations and values: 1000 x 1000 x 10 cells; allowed: at most 262144",
    ),
    "an attack without end": (
        "steps = 5",
        "steps = 1_000_000_000",
        "interventions[1].recovery.steps: 1000000000 stands",
    ),
    # an axis of a cube, which has several forms
    "no saturations": (
        GRID,
        'kind = "hsv_cube"\nsaturations = []\n',
        "data.saturations: [] stands here; allowed: a whole number from 1 to 10000, a list of numbers from 0 to 1, or "
        "a table as { first = 0.5, last = 1, n = 6 }",
    ),
    "a validation set of no kind": (
        GRID,
        'kind = "hsv_cube"\nvalidation = "test"\n',
        "data.validation: 'test' stands here; allowed: a whole number, or 'train'",
    ),
    # past the end
    "a keyframe past the end": (
        "[schedule]",
        "[schedule]\nsteps = 19",
        "schedule: keyframes[2].step: 19 lies past the end; allowed: 0 to 18, as steps is 19",
    ),
    "an action past the end": (
        'lr = "0.5 * $lr" },\n]',
        'lr = "0.5 * $lr" },\n  { step = 30, actions = ["anchor"] },\n]\nsteps = 30',
        "schedule: keyframes[3].step: 30, with the action 'anchor', lies past the end; allowed: 0 to 29, as",
    ),
    "a snapshot past the end": (
        "snapshots = [0, 19]",
        "snapshots = [0, 21]",
        "record.snapshots[1]: 21 lies past the end; allowed: 0 to 20",
    ),
    "a checkpoint past the end": (
        "snapshots = [0, 19]",
        "checkpoints = [21]",
        "record.checkpoints[0]: 21 lies past the end; allowed: 0 to 20",
    ),
    # missing
    "no question": ('question = "Does a tiny sweep run?"', "", "question: missing, and it has no default"),
    "no data": (f'[data]\nkind = "rgb_grid"\nsize = 3\n{RED}', "", "data: the table [data] is missing"),
    "no kind": ('kind = "rgb_grid"\n', "", "data.kind: missing; allowed: rgb_grid"),
    "no number of trials": ("trials = 3", "", "search.trials: missing, and it has no default"),
    "a keyframe without a step": ("{ step = 10, ", "{ ", "schedule.keyframes[1].step: missing, and it has no default"),
    # wrong types
    "a text for a whole number": (
        "size = 3",
        'size = "three"',
        "data.size: 'three' stands here; allowed: a whole number",
    ),
    "a fraction for a whole number": ("size = 3", "size = 3.0", "data.size: 3.0 stands here; allowed: a whole number"),
    "true for a number": ("rate = 0.5", "rate = true", "data.labels.red.rate: True stands here; allowed: a number"),
    "a number for true": (
        "isolated = true",
        "isolated = 1",
        "concepts.red.isolated: 1 stands here; allowed: true or false",
    ),
    "a number for a text": ('item = "red"', "item = 3", "concepts.red.item: 3 stands here; allowed: a text in quotes"),
    "a list for a table": (RED, 'labels = ["red"]', "data.labels: ['red'] stands here; allowed: a table"),
    "tables for a table": (
        "[concepts.red]",
        "[[concepts]]",
        "concepts: [{'item': 'red', 'direction': {'axis': 0}, 'isolated': True}] stands where a table is needed",
    ),
    "a table for a list of tables": (
        "[[constraints]]",
        "[constraints]",
        "constraints: a list of tables is needed here, each headed [[constraints]]",
    ),
    "a number for a list": ("snapshots = [0, 19]", "snapshots = 3", "record.snapshots: 3 stands here; allowed: a list"),
    "a number for a keyframe": (
        "keyframes = [",
        "keyframes = [3,",
        "schedule.keyframes[0]: 3 stands here; allowed: a table",
    ),
    "a text for a weight": (
        "separate = 0.01",
        'separate = "much"',
        "schedule.keyframes[1].separate: 'much' stands here; allowed: a number",
    ),
    "an unknown kind": ('"rgb_grid"', '"cmyk_grid"', "data.kind: unknown kind 'cmyk_grid'; allowed: rgb_grid"),
    "an unknown concept of a label": (
        '"redness"',
        '"blueness"',
        "data.labels.red.concept: unknown concept 'blueness' (did you mean 'redness'?); allowed: redness, vibrancy,",
    ),
    "a label with the name of all": (
        "labels.red",
        "labels.any",
        "data.labels: the label 'any' means all labels together; allowed: any other name",
    ),
    # distributions
    "low above high": (
        "[0.005, 0.1]",
        "[0.1, 0.005]",
        "search.space.lr: low 0.1 is not below high 0.005; allowed: low < high",
    ),
    "low equal to high": (
        "[0.005, 0.1]",
        "[0.1, 0.1]",
        "search.space.lr: low 0.1 is not below high 0.1; allowed: low < high",
    ),
    "a log range from zero": (
        "[0.005, 0.1]",
        "[0, 0.1]",
        "search.space.lr: a log range begins at 0.0; allowed: above 0",
    ),
    "a start outside": (
        "start = 0.05",
        "start = 0.5",
        "search.space.lr: start 0.5 is outside the range; allowed: 0.005 to 0.1",
    ),
    "a start off the steps": (
        "int = [2, 4]",
        "int = [2, 4], step = 2",
        "search.space.latent_dim: start 3 or high 4 is off the steps; allowed: 2 plus a multiple of 2",
    ),
    "a start that is no choice": (
        "log = [0.005, 0.1]",
        "choice = [0.1, 0.2]",
        "search.space.lr: start 0.05 is not one of the choices; allowed: [0.1, 0.2]",
    ),
    "a choice twice": (
        "log = [0.005, 0.1]",
        "choice = [0.05, 0.05]",
        "search.space.lr: a choice stands twice in [0.05, 0.05]; allowed: each once",
    ),
    "no choice": (
        "log = [0.005, 0.1]",
        "choice = []",
        "search.space.lr.choice: [] stands here; allowed: at least 1 item",
    ),
    "a text as a choice": (
        "log = [0.005, 0.1]",
        'choice = ["a", 0.05]',
        "search.space.lr.choice[0]: 'a' stands here; allowed: a number",
    ),
    "two forms": (
        "log = [",
        "float = [0, 1], log = [",
        "search.space.lr: 2 of int, float, log and choice are given; allowed: exactly one",
    ),
    "no form": (
        "log = [0.005, 0.1], ",
        "",
        "search.space.lr: 0 of int, float, log and choice are given; allowed: exactly one",
    ),
    "a text in a range": (
        "[0.005, 0.1]",
        '["low", 0.1]',
        "search.space.lr.log[0]: 'low' stands here; allowed: a number",
    ),
    "fractions in a range of whole numbers": (
        "int = [2, 4]",
        "int = [2.0, 4.5]",
        "search.space.latent_dim.int[0]: 2.0 stands here; allowed: a whole number",
    ),
    "three ends": (
        "[0.005, 0.1]",
        "[0.005, 0.1, 1]",
        "search.space.lr.log: [0.005, 0.1, 1] stands here; allowed: at most 2 items",
    ),
    "one end": ("[0.005, 0.1]", "[0.005]", "search.space.lr.log[1]: missing, and it has no default"),
    "a text as a start": ("start = 0.05", 'start = "x"', "search.space.lr.start: 'x' stands here; allowed: a number"),
    "no start": (", start = 0.05", "", "search.space.lr.start: missing, and it has no default"),
    "a number for a distribution": (LR, "lr = 3", "search.space.lr: 3 stands here; allowed: a table"),
    "a range without end": (
        "float = [0, 1]",
        "float = [0, inf]",
        "search.space.anchor.float[1]: inf stands here; allowed: a finite number",
    ),
    # numbers that are not finite
    "a rate that is not a number": (
        "rate = 0.5",
        "rate = nan",
        "data.labels.red.rate: nan stands here; allowed: a finite number",
    ),
    "an infinite weight": (
        "separate = 0.01",
        "separate = inf",
        "schedule.keyframes[1].separate: inf stands here; allowed: a finite number",
    ),
    "a weight that is not a number": (
        "separate = 0.01",
        "separate = nan",
        "schedule.keyframes[1].separate: nan stands here; allowed: a finite number",
    ),
    "a bound that is not a number": (
        "at_most = 0.5",
        "at_most = nan",
        "constraints[0].at_most: nan stands here; allowed: a finite number",
    ),
    "a component that is infinite": (
        ANCHOR,
        ANCHOR.replace("{ axis = 0 }", "[1, inf, 0]"),
        "terms.anchor.direction[1]: inf stands here; allowed: a finite number",
    ),
    # labels, directions and sites
    "a term whose label no data produces": (
        "labels = { red = 1 }",
        "labels = { green = 1 }",
        "terms.anchor.labels: no data produces the label 'green'; allowed: red",
    ),
    "a direction that is too long": (
        ANCHOR,
        ANCHOR.replace("{ axis = 0 }", "[1, 0, 0, 0]"),
        "terms.anchor.direction: the direction has 4 components and the site has 3; allowed: exactly 3",
    ),
    "a direction that fits the start alone": (
        ANCHOR,
        ANCHOR.replace("{ axis = 0 }", "[1, 0, 0]"),
        "terms.anchor.direction: the direction has 3 components and the site has 2; allowed: exactly 2 (with",
    ),
    "an axis that is missing at one end": (
        ANCHOR,
        ANCHOR.replace("axis = 0", "axis = 2"),
        "terms.anchor.direction: axis 2 does not exist in 2 dimensions; allowed: 0 to 1 (with latent_dim = 2, which",
    ),
    "an axis below zero": (
        ANCHOR,
        ANCHOR.replace("axis = 0", "axis = -1"),
        "terms.anchor.direction.axis: -1 stands here; allowed: greater than or equal to 0",
    ),
    "a sign that is none": (
        ANCHOR,
        ANCHOR.replace("axis = 0", "axis = 0, sign = 2"),
        "terms.anchor.direction.sign: 2 stands here; allowed: 1 or -1",
    ),
    "a direction without length": (
        ANCHOR,
        ANCHOR.replace("{ axis = 0 }", "[0, 0, 0]"),
        "terms.anchor.direction: a direction needs a finite length above zero",
    ),
    "a number for a direction": (
        ANCHOR,
        ANCHOR.replace("{ axis = 0 }", "0"),
        "terms.anchor.direction: 0 stands here; allowed: an axis as { axis = 0, sign = 1 }, or a list of components",
    ),
    "a concept beyond the space": (
        '[concepts.red]\nitem = "red"\ndirection = { axis = 0 }',
        '[concepts.red]\nitem = "red"\ndirection = { axis = 7 }',
        "concepts.red.direction: axis 7 does not exist in 3 dimensions; allowed: 0 to 2",
    ),
    "an unknown item": (
        'item = "red"',
        'item = "reddish"',
        "concepts.red.item: unknown item 'reddish' (did you mean 'red'?); allowed: red, orange, yellow, lime, green,",
    ),
    "a site that the model has not": (
        'kind = "separate"',
        'kind = "separate"\nsite = "attic"',
        "terms.separate.site: the model has no site 'attic'; allowed: encoder, bottleneck",
    ),
    # schedule
    "keyframes out of order": (
        "step = 10",
        "step = 30",
        "schedule.keyframes: step 19 comes after step 30; allowed: steps in rising order, each once",
    ),
    "a step twice": (
        "step = 10",
        "step = 0",
        "schedule.keyframes: step 0 comes after step 0; allowed: steps in rising order, each once",
    ),
    "a weight below zero": (
        "separate = 0.01",
        "separate = -0.01",
        "schedule.keyframes[1].separate: -0.01 stands here; allowed: greater than or equal to 0",
    ),
    "a term without a weight": (
        "[schedule]",
        '[terms.unit]\nkind = "unit_norm"\n\n[schedule]',
        "schedule.keyframes: no keyframe gives the weight of the term 'unit'; allowed: at least one value for each",
    ),
    "a weight without a term": (
        '[terms.separate]\nkind = "separate"\n',
        "",
        "schedule.keyframes[0]: unknown key 'separate'; allowed: step, phase, actions, lr, anchor, loss-recon",
    ),
    "a term with a name that means something else": (
        "[terms.separate]",
        "[terms.recon]",
        "terms.recon: 'recon' means something else; allowed: any name but lr, step, phase, actions, values, recon,",
    ),
    "an item that cannot be captured": (
        "[schedule]",
        '[terms.held]\nkind = "anchor_captured"\nitems = ["redd"]\n\n[schedule]',
        "terms.held.items: unknown item 'redd' (did you mean 'red'?); allowed: red, orange,",
    ),
    "items that nothing captures": (
        "[schedule]\nbatch_size = 8\nkeyframes = [\n  {",
        f'{HELD}\n\n[schedule]\nkeyframes = [\n  {{ held = 1, actions = ["anchors"],',
        "terms.held.action: unknown action 'anchor' (did you mean 'anchors'?); allowed: anchors, of any keyframe",
    ),
    "data that nothing opens": (
        "size = 3",
        'size = 3\nopened_by = { fraction = "vibrancy" }',
        "schedule.keyframes: no keyframe gives 'fraction', which opens the data; allowed: at least one value for each",
    ),
    "data that a term's weight opens": (
        "size = 3",
        'size = 3\nopened_by = { anchor = "vibrancy" }',
        "data.opened_by.anchor: the schedule has this name for something else; allowed: another",
    ),
    "labels of a phase's own": (
        "keyframes = [\n  {",
        'phases.p.data.labels = {}\nkeyframes = [\n  { phase = "p",',
        "schedule.phases.p.data.labels: a phase cannot have its own; allowed: any other key of [data]",
    ),
    "data of a phase that are wrong": (
        "keyframes = [\n  {",
        'phases.p.data.size = 1\nkeyframes = [\n  { phase = "p",',
        "schedule.phases.p.data.size: 1 stands here; allowed: greater than or equal to 2",
    ),
    # rules
    "a rule that measures what is not there": (
        "keyframes = [",
        f"{RULES.replace('recon', 'reconn')}\nkeyframes = [",
        "schedule.rules[0].measure: unknown measurement 'reconn' (did you mean 'recon'?); allowed: recon, total,",
    ),
    "a rule that moves what is not there": (
        "keyframes = [",
        f"{RULES.replace('lr', 'rate')}\nkeyframes = [",
        "schedule.rules[0].parameter: unknown parameter 'rate' (did you mean 'separate'?); allowed: lr, anchor,",
    ),
    "a ratio of what has no weight": (
        "keyframes = [",
        f"{RATIO}\nkeyframes = [",
        "schedule.rules[0].measure: unknown term 'recon'; allowed: anchor, separate",
    ),
    "a phase to extend that is not there": (
        "keyframes = [",
        f"{EXTEND}\nkeyframes = [",
        "schedule: rules[0].phase: unknown phase 'p'; allowed: later",
    ),
    # cycle
    "an unknown cycle": (
        'items = "hues"',
        'items = "hue"',
        "cycle.items: unknown items 'hue' (did you mean 'hues'?); allowed: hues, primaries, hues36, trained_hues",
    ),
    "a cycle in no plane": (
        'items = "hues"',
        'items = "hues"\naxes = [1, 1]',
        "cycle.axes: [1, 1]; allowed: two different axes, 0 to 2",
    ),
    "an unknown grade": (
        'grade = "value"',
        'grade = "vividness"',
        "cycle.grade: unknown grade 'vividness' (did you mean 'redness'?); allowed: vibrancy, focus, redness,",
    ),
    "no keyframes": (
        "[schedule]\nbatch_size = 8\nkeyframes",
        "[schedule]\nbatch_size = 8\nframes",
        "schedule: unknown key 'frames' (did you mean 'keyframes'?); allowed: keyframes, steps, batch_size,",
    ),
    "no updates": (
        "batch_size = 8",
        "batch_size = 8\nsteps = 0",
        "schedule.steps: 0 stands here; allowed: greater than or equal to 1",
    ),
    "fewer than no updates": (
        "batch_size = 8",
        "batch_size = 8\nsteps = -5",
        "schedule.steps: -5 stands here; allowed: greater than or equal to 1",
    ),
    "an empty batch": (
        "batch_size = 8",
        "batch_size = 0",
        "schedule.batch_size: 0 stands here; allowed: greater than or equal to 1",
    ),
    # budget
    "no trials": ("trials = 3", "trials = 0", "search.trials: 0 stands here; allowed: greater than or equal to 1"),
    "no members": ("members = 3", "members = 0", "members: 0 stands here; allowed: greater than or equal to 1"),
    "no concurrency": (
        "[record]",
        "[resources]\nconcurrency = 0\n\n[record]",
        "resources.concurrency: 0 stands here; allowed: greater than or equal to 1",
    ),
    "a seed below zero": (
        "members = 3",
        "members = 3\nfirst_seed = -1",
        "first_seed: -1 stands here; allowed: greater than or equal to 0",
    ),
    "a seed that no column holds": (
        "members = 3",
        "members = 3\nfirst_seed = 99999999999999999999",
        "first_seed: 99999999999999999999 stands here; allowed: less than or equal to 2147483648",
    ),
    "an unknown sampler": (
        '"random"',
        '"guess"',
        "search.sampler: 'guess' stands here; allowed: 'tpe', 'nsga2', 'random' or 'grid'",
    ),
    # interventions
    "an intervention on an unknown concept": (
        SUPPRESS,
        SUPPRESS.replace('"red"', '"blue"'),
        "interventions[0].concept: unknown concept 'blue'; allowed: red",
    ),
    "an unknown operator": (
        'operator = "suppress"',
        'operator = "supress"',
        "interventions[0].operator: unknown operator 'supress' (did you mean 'suppress'?); allowed: suppress, project,",
    ),
    "a site that cannot be edited": (
        SUPPRESS,
        f'{SUPPRESS}\nsite = "encoder"',
        "interventions[0].site: the model cannot be edited at 'encoder'; allowed: bottleneck",
    ),
    "a label twice": (
        'label = "suppress"',
        'label = "ablate"',
        "interventions[1].label: 'ablate' stands twice; allowed: each label once",
    ),
    "a label with a space": (
        'label = "suppress"',
        'label = "a b"',
        "interventions[0].label: 'a b' stands here; allowed: pattern '^[A-Za-z][A-Za-z0-9_.-]*$'",
    ),
    "a mapper that goes nowhere": (
        'operator = "suppress"\nconcept = "red"',
        'operator = "repel"\nconcept = "red"\nmapper = { start = 0.5, end = 0.2 }',
        "interventions[0].mapper: start 0.5 is not below end 0.2; allowed: start < end <= 1",
    ),
    # objectives and constraints
    "an unknown metric": (
        '"score_ccc"',
        '"score_cc"',
        "objectives[0].metric: unknown metric 'score_cc' (did you mean 'score_ccc'?); allowed: score_r2, score_ccc,",
    ),
    "an effect's metric without an intervention": (
        'metric = "recon_mse"',
        'metric = "damage"',
        "objectives[1].metric: unknown metric 'damage'; allowed: recon_mse, task_cost, anchor_cos, anchor_fail,",
    ),
    "an unknown intervention": (
        'intervention = "ablate"',
        'intervention = "prune"',
        "objectives[0].intervention: unknown intervention 'prune'; allowed: suppress, ablate",
    ),
    "an unknown statistic": (
        'metric = "score_ccc"',
        'metric = "score_ccc"\nstatistic = "average"',
        "objectives[0].statistic: 'average' stands here; allowed: 'median', 'q25', 'q75', 'mean', 'sd',",
    ),
    "an unknown goal": (
        '"maximize"',
        '"up"',
        "objectives[0].goal: 'up' stands here; allowed: 'maximize' or 'minimize'",
    ),
    "an objective twice": (
        FIRST,
        FIRST + FIRST,
        "objectives[1]: 'ablate.score_ccc.median' stands twice; allowed: each once",
    ),
    "two bounds": (
        "at_most = 0.5",
        "at_most = 0.5\nat_least = 0",
        "constraints[0]: at_least and at_most: exactly one of them is needed",
    ),
    "no bound": ("at_most = 0.5", "", "constraints[0]: at_least and at_most: exactly one of them is needed"),
    "isolation of nothing": (
        "isolated = true",
        "isolated = false",
        "constraints[0].metric: 'isolation_fail' needs an isolated concept; allowed: with isolated = true in its",
    ),
    # references
    "a reference to no parameter": (
        "hidden_dim = 8",
        'hidden_dim = "$hidden_dim"',
        "model.hidden_dim: unknown parameter 'hidden_dim' (did you mean 'latent_dim'?); allowed: latent_dim, lr,",
    ),
    "a parameter that is used nowhere": (
        LR,
        f"{LR}\nspare = {{ int = [1, 2], start = 1 }}",
        "search.space.spare: '$spare' stands nowhere in the file; allowed: used parameters",
    ),
    "two factors": (
        '"0.5 * $lr"',
        '"2 * 3 * $lr"',
        "schedule.keyframes[2].lr: '2 * 3 * $lr' is not understood; allowed: '$name', or a factor as in '0.5 * $name'",
    ),
    "a sum": (
        '"0.5 * $lr"',
        '"$lr + 1"',
        "schedule.keyframes[2].lr: '$lr + 1' is not understood; allowed: '$name', or a factor as in '0.5 * $name'",
    ),
    "a factor behind": (
        '"0.5 * $lr"',
        '"$lr * 0.5"',
        "schedule.keyframes[2].lr: '$lr * 0.5' is not understood; allowed: '$name', or a factor as in '0.5 * $name'",
    ),
    "a factor that is no number": (
        '"0.5 * $lr"',
        '"1.2.3 * $lr"',
        "schedule.keyframes[2].lr: '1.2.3 * $lr' is not understood; allowed: '$name', or a factor as in '0.5 * $name'",
    ),
    "a factor that makes a fraction": (
        "hidden_dim = 8",
        'hidden_dim = "0.5 * $latent_dim"',
        "model.hidden_dim: 1.5 stands here; allowed: a whole number",
    ),
}


def refused(said: Said, file: object, message: str) -> None:
    """Check that a command ended with one clear message and nothing else."""
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith(f"prepe: {file}: {message}")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("what", BAD)
def test_one_message_names_the_file_the_path_in_it_the_value_and_what_is_allowed(
    what: str, prepe_cli: Callable[..., Said], sweep_file: Callable[..., Path], tmp_path: Path
) -> None:
    old, new, message = BAD[what]
    file = sweep_file("tiny", (old, new))
    refused(prepe_cli("run", file, "--executor", "serial", "--results", tmp_path / "results"), file, message)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--trials", 0, "search.trials: 0 stands here; allowed: greater than or equal to 1"),
        ("--trials", 3 * 10**9, "search.trials: 3000000000 stands here; allowed: less than or equal to 100000"),
        ("--members", 10**20, "members: 100000000000000000000 stands here; allowed: less than or equal to 100000"),
        ("--trials", -3, "search.trials: -3 stands here; allowed: greater than or equal to 1"),
        ("--members", 0, "members: 0 stands here; allowed: greater than or equal to 1"),
        ("--members", -1, "members: -1 stands here; allowed: greater than or equal to 1"),
    ],
)
def test_an_option_that_overrides_the_file_is_checked_like_the_file(
    option: str, value: int, message: str, prepe_cli: Callable[..., Said], tmp_path: Path
) -> None:
    refused(prepe_cli("run", TINY, option, value, "--results", tmp_path / "results"), TINY, message)
    assert not (tmp_path / "results").exists()


def test_snapshots_and_checkpoints_at_the_end_are_kept(sweep_file: Callable[..., Path]) -> None:
    record = sweep.load(sweep_file("tiny", ("snapshots = [0, 19]", "snapshots = [20]\ncheckpoints = [20]"))).record
    assert record.snapshots == record.checkpoints == (20,)


def test_a_snapshot_may_come_while_members_wait(sweep_file: Callable[..., Path]) -> None:
    rule = (
        'rules = [{ name = "w", kind = "extend", measure = "recon", below = 0.1, phase = "later", at_most_steps = 5 }]'
    )
    waiting = ("[schedule]", f"[schedule]\n{rule}"), ("snapshots = [0, 19]", "snapshots = [25]")
    assert sweep.load(sweep_file("tiny", *waiting)).record.snapshots == (25,)


def test_a_file_without_a_search_takes_no_number_of_trials(prepe_cli: Callable[..., Said], tmp_path: Path) -> None:
    file = FOLDER / "ex-2.9.1.toml"
    said = prepe_cli("run", file, "--trials", 3, "--results", tmp_path / "results")
    refused(said, file, "trials: the file has no [search] table, so it has exactly one trial")


def test_one_member_has_no_standard_deviation(prepe_cli: Callable[..., Said], sweep_file: Callable[..., Path]) -> None:
    file = sweep_file("tiny", ("members = 3", "members = 1"), ('"score_ccc"', '"score_ccc"\nstatistic = "sd"'))
    refused(prepe_cli("run", file), file, "objectives[0].statistic: 'sd' of one member is not a number; allowed: ")


def test_a_metric_of_concepts_needs_one(prepe_cli: Callable[..., Said], tmp_path: Path) -> None:
    objective = '[[objectives]]\nmetric = "anchor_cos"\ngoal = "maximize"\n'
    text = TINY.read_text()
    start, middle, end = text.index("[concepts.red]"), text.index("[terms.anchor]"), text.index("[[interventions]]")
    file = tmp_path / "tiny.toml"
    file.write_text(text[:start] + text[middle:end] + objective + text[text.index("[search]") :])
    refused(prepe_cli("run", file), file, "objectives[0].metric: 'anchor_cos' needs a concept, and there is none; allo")


def test_a_search_needs_an_objective(prepe_cli: Callable[..., Said], tmp_path: Path) -> None:
    text = TINY.read_text()
    file = tmp_path / "tiny.toml"
    file.write_text(text[: text.index("[[objectives]]")] + text[text.index("[record]") :])
    refused(prepe_cli("run", file), file, "objectives: a search needs at least one [[objectives]] table")


def test_a_file_whose_name_cannot_name_rows_is_refused(
    prepe_cli: Callable[..., Said], sweep_file: Callable[..., Path]
) -> None:
    file = sweep_file("my sweep")
    refused(
        prepe_cli("run", file), file, "the file's stem 'my sweep' is the sweep's name, and part of others; allowed:"
    )


def test_a_file_that_is_no_text_is_refused(prepe_cli: Callable[..., Said], tmp_path: Path) -> None:
    file = tmp_path / "tiny.toml"
    file.write_bytes(b"question = '\xff\xfe'")
    refused(prepe_cli("run", file), file, "not valid TOML: 'utf-8' codec can't decode")


def test_a_folder_is_no_sweep_file(prepe_cli: Callable[..., Said], tmp_path: Path) -> None:
    refused(prepe_cli("run", tmp_path), tmp_path, "cannot be read: Is a directory")
