"""The winner's curse and the resolution band: laws, on numbers that a test can choose."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from prepe.measures import Constraint, Measure, Objective, constraint_named, objective_named
from prepe.members import Members, differences, shrinkage
from prepe.members.shrinkage import band

Make = Callable[..., Members]
SCORE = Measure(intervention="ablate", metric="score_ccc")
N = 40


def scored(make: Make, scores: np.ndarray, first: int = 0) -> Members:
    return make(seeds=list(range(first, first + len(scores))), ablate={"score_ccc": scores})


def test_the_best_of_many_equal_trials_shrinks_and_its_mean_shrinkage_is_its_lead(make: Make) -> None:
    rng = np.random.default_rng(0)
    lost = []
    for _ in range(50):
        trials = rng.normal(0.5, 0.1, (20, 8))
        best = trials[np.median(trials, axis=1).argmax()]
        (row,) = shrinkage(scored(make, best), scored(make, rng.normal(0.5, 0.1, N), 8), [SCORE])
        assert row.shrinkage == pytest.approx(row.search - row.fresh)
        lost.append(row.shrinkage)
    assert np.mean(lost) > 0.05


def test_equal_trials_are_called_different_seldom_and_very_different_ones_always(make: Make) -> None:
    rng = np.random.default_rng(1)
    mean = Measure(intervention="ablate", metric="score_ccc", statistic="mean")

    def resolved(shift: float) -> list[bool]:
        pairs = [(rng.normal(0, 0.1, N), rng.normal(shift, 0.1, N)) for _ in range(60)]
        return [differences([scored(make, a), scored(make, b)], [mean])[0].resolved for a, b in pairs]

    assert np.mean(resolved(0.0)) < 0.15
    assert all(resolved(0.3))


def test_the_band_is_two_standard_errors_of_a_difference_and_a_worst_decile_has_a_tenth_of_the_members() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(0, 1, 30), rng.normal(5, 1, 50)
    sigma = math.sqrt((29 * a.var(ddof=1) + 49 * b.var(ddof=1)) / 78)
    assert band(SCORE, a, b) == pytest.approx(2 * sigma * math.sqrt(1 / 30 + 1 / 50))
    tail = SCORE.model_copy(update={"statistic": "worst_decile"})
    assert band(tail, a, b) == pytest.approx(2 * sigma * math.sqrt(1 / 3 + 1 / 5))
    assert band(SCORE, a[:1], b) == math.inf


def test_pairs_are_compared_on_common_seeds_and_turn_their_sign(make: Make) -> None:
    rng = np.random.default_rng(3)
    a, b = scored(make, rng.normal(0, 1, 12)), scored(make, rng.normal(1, 1, 12), 4)
    (there,), (back,) = differences([a, b], [SCORE]), differences([b, a], [SCORE])
    assert there.members == 8
    assert (there.difference, there.resolved) == (-back.difference, back.resolved)


def test_a_broken_member_counts_as_the_worst_on_either_side(make: Make) -> None:
    good = np.full(10, 0.9)
    broken = make(seeds=list(range(10)), broken=(3,), ablate={"score_ccc": good})
    mean = SCORE.model_copy(update={"statistic": "mean"})
    (row,) = shrinkage(scored(make, good), broken, [mean])
    assert row.fresh == pytest.approx((9 * 0.9 - 1) / 10)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("label", [None, "ablate", "a.b c"])
def test_a_measures_name_says_all_of_it(label: str | None, log: bool) -> None:
    given = {"intervention": label, "metric": "recon_mse", "statistic": "worst_decile", "log": log}
    objective = Objective(**given, goal="minimize")
    constraint = Constraint(**given, at_most=0.05)
    assert objective_named(objective.name, "minimize") == objective
    assert constraint_named(constraint.name) == constraint
    above = Constraint(**given, at_least=-1e-07)
    assert constraint_named(above.name) == above
