"""The two published experiments made again: distributions over sixty seeds, and the best member's colours.

Source: the experiments of arXiv:2512.12469, numbered 2.4.1 (soft intervention on red with a colour wheel) and 2.9.1
(deletion of red alone), with sixty seeds each.
"""

import math
from pathlib import Path

import numpy as np
import pytest

import prepe
from prepe import sweep, trial
from prepe.catalog import NAMED_COLORS
from prepe.spec import Trial

pytestmark = pytest.mark.slow

SWEEPS = Path(prepe.__file__).parents[1] / "sweeps"
MEMBERS = 60
RUNS = {"2.4.1": "suppress", "2.9.1": "ablate"}
"""The intervention that each experiment is scored on."""

PUBLISHED = {  # mean and standard deviation over sixty runs
    ("2.4.1", "score_r2"): (0.9515, 0.0236),
    ("2.4.1", "val_anchor"): (0.0029, 0.0015),
    ("2.4.1", "label_red"): (82.2167, 8.3951),
    ("2.4.1", "label_vibrant"): (107.95, 10.646),
    ("2.4.1", "label_any"): (189.7167, 13.8834),
    ("2.9.1", "score_r2"): (0.8570, 0.1541),
    ("2.9.1", "label_red"): (83.6167, 8.0087),
    ("2.9.1", "label_any"): (83.6167, 8.0087),
}
BEST = {  # error added to each named colour in the published run with the highest score: seeds 7 and 33
    "2.4.1": [
        0.283565402, 0.153662667, 0.045807652, 0, 0, 0, 0, 0, 0, 0, 0.048393659, 0.157892689,
        0.000009886, 0.000156103, -0.000056821, -0.000007298, -0.000092649,
    ],
    "2.9.1": [
        0.343180478, 0.143432498, 0.024397219, 0.000427035, 0.000510316, 0.000167415, -0.000028671, 0.000081700,
        0.000045453, 0.000006142, 0.009266702, 0.124145284,
        0.000540850, 0.000476244, 0.000750420, 0.002489201, 0.000617128,
    ],
}  # fmt: skip


@pytest.fixture(scope="module", params=RUNS)
def experiment(request: pytest.FixtureRequest) -> tuple[str, trial.Outcome]:
    """Train and measure sixty members of an experiment, with its own intervention and without a twin."""
    file = sweep.load(SWEEPS / f"ex-{request.param}.toml", members=MEMBERS)
    whole = file.trial({})
    scored = tuple(part for part in whole.interventions if part.label == RUNS[request.param])
    alone: Trial = whole.model_copy(update={"interventions": scored, "twin": None})
    return request.param, trial.run(alone, file.seeds, device="cpu")


def values_of(outcome: trial.Outcome, quantity: str) -> np.ndarray:
    """Return a quantity over members."""
    kind, _, name = quantity.partition("_")
    if kind == "val":
        return np.array([row["val_terms"][name] for row in outcome.tables["members"]])
    if quantity == "label_any":
        return np.array([row["label_n_used"] for row in outcome.tables["members"]])
    if kind == "label":
        return np.array([row["labels_used"][name] for row in outcome.tables["models"]])
    return np.array([row[quantity] for row in outcome.tables["effects"]])


SPARED = 0.005
"""A fiftieth of the damage that grey in the place of red would do. Below it colours count as spared alike: the order in
which they come is chance, and no two of the best members agree on it."""


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the place of each value among all, the mean of their places where several are equal."""
    return (values[:, None] > values).sum(1) + (values[:, None] == values).sum(1) / 2


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def test_distributions_over_seeds_are_the_published_ones(experiment: tuple[str, trial.Outcome]) -> None:
    number, outcome = experiment
    means = {}
    for (of, quantity), (mean, sd) in PUBLISHED.items():
        if of == number:
            values = values_of(outcome, quantity)
            assert len(values) == MEMBERS
            means[quantity] = (values.mean() - mean) / (sd * math.sqrt(2 / MEMBERS))
    assert {quantity: shift for quantity, shift in means.items() if abs(shift) > 3} == {}


def test_deletion_fails_for_some_seeds_and_succeeds_for_most(experiment: tuple[str, trial.Outcome]) -> None:
    number, outcome = experiment
    score = values_of(outcome, "score_r2")
    if number == "2.9.1":
        assert score.min() < 0.5
        assert np.median(score) > 0.85
    assert score.max() > 0.95


def test_the_best_members_of_a_deletion_are_as_good_as_the_published_best_and_rare() -> None:
    """Four of the sixty published runs score 0.97 or more; here about one in eighty-five does, and so in JAX.

    So sixty members hold one with a probability of only a half (those of seeds 0 to 59 do not), and this test looks at
    six hundred: see docs/notes.md.
    """
    file = sweep.load(SWEEPS / "ex-2.9.1.toml", members=600)
    whole = file.trial({})
    scored = tuple(part for part in whole.interventions if part.label == "ablate")
    alone: Trial = whole.model_copy(update={"interventions": scored, "twin": None})
    blocks = [file.seeds[start : start + 60] for start in range(0, 600, 60)]
    score = np.concatenate([values_of(trial.run(alone, block, device="cpu"), "score_r2") for block in blocks])
    assert score.max() >= 0.97
    assert (score < 0.5).any()


def test_nobody_breaks(experiment: tuple[str, trial.Outcome]) -> None:
    assert [row["broken_step"] for row in experiment[1].tables["members"]] == [None] * MEMBERS


def test_the_best_member_loses_the_colours_that_the_published_best_lost(
    experiment: tuple[str, trial.Outcome],
) -> None:
    number, outcome = experiment
    best = int(values_of(outcome, "score_r2").argmax())
    items = outcome.tables["items"].to_pylist()
    added = {
        row["item"]: row["error_after"] - row["error_before"]
        for row in items
        if row["seed"] == outcome.tables["effects"][best]["seed"] and row["set"] == "named"
    }
    ours, published = np.array([added[name] for name in NAMED_COLORS]), np.array(BEST[number])
    ours, published = (np.where(np.abs(each) < SPARED, 0.0, each) for each in (ours, published))
    assert rank_correlation(ours, published) >= 0.9
    assert rank_correlation(np.roll(ours, 6), published) < 0.5


def test_ranks_share_places() -> None:
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.0, 0.5, 3.0, 1.5]
    assert rank_correlation(np.array([1.0, 2.0, 4.0]), np.array([0.1, 10.0, 11.0])) == pytest.approx(1)
