"""Published experiments made again: distributions over sixty seeds, and the best member's colours.

Source: the experiments of arXiv:2512.12469, numbered 2.4.1 (soft intervention on red with a colour wheel), 2.5.1 (the
same without one) and 2.9.1 (deletion of red alone), with sixty seeds each.
"""

import math
from pathlib import Path

import numpy as np
import pytest

import prepe
from prepe import sweep, trial
from prepe.catalog import NAMED_COLORS
from prepe.spec import Trial

SWEEPS = Path(prepe.__file__).parents[1] / "sweeps"
MEMBERS = 60
RUNS = {"2.4.1": "suppress", "2.5.1": "suppress", "2.9.1": "ablate"}
"""The intervention that each experiment is scored on."""

PUBLISHED = {  # mean and standard deviation over sixty runs
    ("2.4.1", "score_r2"): (0.9515, 0.0236),
    ("2.4.1", "val_recon"): (0.0, 0.0),
    ("2.4.1", "val_anchor"): (0.0029, 0.0015),
    ("2.4.1", "label_red"): (82.2167, 8.3951),
    ("2.4.1", "label_vibrant"): (107.95, 10.646),
    ("2.4.1", "label_any"): (189.7167, 13.8834),
    ("2.5.1", "score_r2"): (0.9231, 0.0316),
    ("2.5.1", "val_recon"): (0.0, 0.0),
    ("2.5.1", "val_anchor"): (0.0016, 0.0010),
    ("2.5.1", "label_red"): (81.65, 8.9041),
    ("2.5.1", "label_any"): (81.65, 8.9041),
    ("2.9.1", "score_r2"): (0.8570, 0.1541),
    ("2.9.1", "val_recon"): (0.0001, 0.0003),
    ("2.9.1", "val_anchor"): (0.0012, 0.0039),
    ("2.9.1", "val_anti_anchor"): (0.0001, 0.0001),
    ("2.9.1", "label_red"): (83.6167, 8.0087),
    ("2.9.1", "label_any"): (83.6167, 8.0087),
}
ROUNDED = 0.00005
"""Published numbers have four decimals."""
COLLAPSED = 0.00235
"""More than the largest published error of reconstruction, 0.0023. About 2 % of members of 2.9.1 end so, here and in
JAX, and none of the published sixty: see docs/notes.md."""
BEST = {  # error added to each named colour in the published run with the highest score: seeds 7, 8 and 33
    ("2.4.1", "suppress"): [
        0.283565402, 0.153662667, 0.045807652, 0, 0, 0, 0, 0, 0, 0, 0.048393659, 0.157892689,
        0.000009886, 0.000156103, -0.000056821, -0.000007298, -0.000092649,
    ],
    ("2.4.1", "repel"): [
        0.332686901, 0.135243282, 0.029817866, 0, 0, 0, 0, 0, 0, 0, 0.033117589, 0.143878400,
        0.000006749, 0.000148772, -0.000056655, -0.000007729, -0.000093249,
    ],
    ("2.4.1", "ablate"): [
        0.332686901, 0.137482330, 0.030973202, 0.000005553, 0.034675885, 0.140236422, 0.341102839, 0.152602226,
        0.034143779, 0.000002188, 0.034419138, 0.148011118,
        0.000007795, 0.000153551, -0.000056814, -0.000007257, -0.000093859,
    ],
    ("2.5.1", "suppress"): [
        0.233233362, 0.119690016, 0.040286772, 0.000000042, 0, 0, 0, 0, 0, 0.000167103, 0.041148938, 0.120681360,
        0.004112418, 0.001252160, 0.000024199, 0, 0,
    ],
    ("2.5.1", "ablate"): [
        0.333869487, 0.137201920, 0.029353250, 0.000000040, 0.025526717, 0.135105342, 0.247848153, 0.132054538,
        0.024472622, 0.000164949, 0.030989304, 0.132281214,
        0.003650059, 0.001274158, 0.000024105, 0.000791224, 0.001296695,
    ],
    ("2.9.1", "ablate"): [
        0.343180478, 0.143432498, 0.024397219, 0.000427035, 0.000510316, 0.000167415, -0.000028671, 0.000081700,
        0.000045453, 0.000006142, 0.009266702, 0.124145284,
        0.000540850, 0.000476244, 0.000750420, 0.002489201, 0.000617128,
    ],
    ("2.9.1", "suppress"): [
        0.213169754, 0.127903447, 0.036187626, 0.000435619, 0.000540676, 0.000167415, -0.000028671, 0.000081838,
        0.000045883, 0.000006121, 0.010696145, 0.103091747,
        0.000568996, 0.000476932, 0.000757260, 0.002421958, 0.000634405,
    ],
}  # fmt: skip


def whole(number: str, members: int = MEMBERS) -> tuple[Trial, list[int]]:
    """Return an experiment's trial without its twin, and the seeds of its members."""
    file = sweep.load(SWEEPS / f"ex-{number}.toml", members=members)
    return file.trial(file.start()).model_copy(update={"twin": None}), file.seeds


@pytest.fixture(scope="module", params=RUNS)
def experiment(request: pytest.FixtureRequest) -> tuple[str, trial.Outcome]:
    """Train and measure sixty members of an experiment, without a twin."""
    alone, seeds = whole(request.param)
    return request.param, trial.run(alone, seeds, device="cpu")


def scores(outcome: trial.Outcome, label: str) -> np.ndarray:
    """Return the published score of an intervention over members."""
    return np.array([row["score_r2"] for row in outcome.tables["effects"] if row["intervention"] == label])


def reconstruction(outcome: trial.Outcome) -> np.ndarray:
    """Return the error of reconstruction on the 351 validation colours over members."""
    return np.array([row["recon_mse"] for row in outcome.tables["members"]])


def values_of(number: str, outcome: trial.Outcome, quantity: str) -> np.ndarray:
    """Return a quantity over members; scores are those of the intervention that the experiment is scored on."""
    kind, _, name = quantity.partition("_")
    if quantity == "val_recon":
        return reconstruction(outcome)
    if kind == "val":
        return np.array([row["val_terms"][name] for row in outcome.tables["members"]])
    if quantity == "label_any":
        return np.array([row["label_n_used"] for row in outcome.tables["members"]])
    if kind == "label":
        return np.array([row["labels_used"][name] for row in outcome.tables["models"]])
    return scores(outcome, RUNS[number])


def added(outcome: trial.Outcome, label: str, seed: int) -> np.ndarray:
    """Return the error that an intervention adds to each named colour in one member, in the order of their names."""
    found = {
        row["item"]: row["error_after"] - row["error_before"]
        for row in outcome.tables["items"].to_pylist()
        if row["seed"] == seed and row["set"] == "named" and row["intervention"] == label
    }
    return np.array([found[name] for name in NAMED_COLORS])


SPARED = 0.005
"""A fiftieth of the damage that grey in the place of red would do. Below it colours count as spared alike: the order in
which they come is chance, and no two of the best members agree on it."""


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the place of each value among all, the mean of their places where several are equal."""
    return (values[:, None] > values).sum(1) + (values[:, None] == values).sum(1) / 2


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


@pytest.mark.slow
def test_distributions_over_seeds_are_the_published_ones(experiment: tuple[str, trial.Outcome]) -> None:
    number, outcome = experiment
    off = {}
    for (of, quantity), (mean, sd) in PUBLISHED.items():
        if of == number:
            values = values_of(number, outcome, quantity)
            assert len(values) == MEMBERS
            if quantity == "val_recon":
                values = values[values <= COLLAPSED]
            off[quantity] = abs(values.mean() - mean) / (3 * sd * math.sqrt(2 / MEMBERS) + ROUNDED)
    assert {quantity: share for quantity, share in off.items() if share > 1} == {}


@pytest.mark.slow
def test_few_members_collapse_and_none_of_a_soft_intervention(experiment: tuple[str, trial.Outcome]) -> None:
    number, outcome = experiment
    collapsed = int((reconstruction(outcome) > COLLAPSED).sum())
    assert collapsed <= (5 if number == "2.9.1" else 0)


@pytest.mark.slow
def test_scores_spread_as_published_and_those_of_a_colour_wheel_more(experiment: tuple[str, trial.Outcome]) -> None:
    """A standard deviation over n seeds has a standard error of about itself by sqrt(2 (n - 1))."""
    number, outcome = experiment
    published = PUBLISHED[number, "score_r2"][1]
    apart = (scores(outcome, RUNS[number]).std(ddof=1) - published) / (3 * published / math.sqrt(MEMBERS - 1))
    if number == "2.4.1":
        assert apart > 0  # its lower tail is longer than the published one: see docs/notes.md
    else:
        assert abs(apart) <= 1


@pytest.mark.slow
def test_deletion_fails_for_some_seeds_and_succeeds_for_most(experiment: tuple[str, trial.Outcome]) -> None:
    number, outcome = experiment
    score = scores(outcome, RUNS[number])
    if number == "2.9.1":
        assert score.min() < 0.5
        assert np.median(score) > 0.85
    assert score.max() > 0.95


@pytest.mark.slow
def test_the_best_members_of_a_deletion_are_as_good_as_the_published_best_and_rare() -> None:
    """Four of the sixty published runs score 0.97 or more; here about one in eighty-five does, and so in JAX.

    So sixty members hold one with a probability of only a half (those of seeds 0 to 59 do not), and this test looks at
    six hundred: see docs/notes.md.
    """
    full, seeds = whole("2.9.1", members=600)
    alone = full.model_copy(
        update={"interventions": tuple(part for part in full.interventions if part.label == "ablate")}
    )
    blocks = [seeds[start : start + 60] for start in range(0, 600, 60)]
    score = np.concatenate([scores(trial.run(alone, block, device="cpu"), "ablate") for block in blocks])
    assert score.max() >= 0.97
    assert (score < 0.5).any()


@pytest.mark.slow
def test_nobody_breaks(experiment: tuple[str, trial.Outcome]) -> None:
    assert [row["broken_step"] for row in experiment[1].tables["members"]] == [None] * MEMBERS


@pytest.mark.slow
def test_the_best_member_loses_the_colours_that_the_published_best_lost(
    experiment: tuple[str, trial.Outcome],
) -> None:
    number, outcome = experiment
    best = int(scores(outcome, RUNS[number]).argmax())
    for label in (label for of, label in BEST if of == number):
        ours, published = added(outcome, label, best), np.array(BEST[number, label])
        assert np.corrcoef(ours, published)[0, 1] >= 0.95
        ours, published = (np.where(np.abs(each) < SPARED, 0.0, each) for each in (ours, published))
        assert rank_correlation(ours, published) >= 0.9
        assert rank_correlation(np.roll(ours, 3), published) < 0.5


@pytest.mark.slow
def test_a_pruned_network_is_the_ablated_one(experiment: tuple[str, trial.Outcome]) -> None:
    number, outcome = experiment
    if number == "2.9.1":
        for seed in range(MEMBERS):
            np.testing.assert_allclose(added(outcome, "prune", seed), added(outcome, "ablate", seed), atol=1e-6)


@pytest.mark.parametrize("together", [("ex-2.4", "ex-2.6", "ex-2.7"), ("ex-2.9.1", "healing")])
def test_experiments_on_the_same_models_train_them_once(together: tuple[str, ...]) -> None:
    files = [sweep.load(SWEEPS / f"{name}.toml") for name in together]
    assert len({file.trial(file.start()).training.digest() for file in files}) == 1
    assert len({file.trial(file.start()).digest() for file in files}) == len(files)


def test_experiments_of_sixty_seeds_share_two_twins() -> None:
    files = [sweep.load(SWEEPS / f"ex-{number}.toml") for number in ("2.4.1", "2.5.1", "2.7.1", "2.9.1", "2.10.1")]
    twins = [file.trial(file.start()).twin for file in files]
    assert [file.members for file in files] == [MEMBERS] * 5
    assert len({twin.digest() for twin in twins if twin}) == 2


def test_ranks_share_places() -> None:
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.0, 0.5, 3.0, 1.5]
    assert rank_correlation(np.array([1.0, 2.0, 4.0]), np.array([0.1, 10.0, 11.0])) == pytest.approx(1)
