"""Objectives, constraints and claims: what is asked, when it is so, and which are refused."""

import math
from typing import Any

import pytest
import tiny
from pydantic import ValidationError

from prepe.catalog import MEMBER_METRICS
from prepe.measures import Claim, Constraint, Measure

SAYS = {"says": "It is so", "metric": "recon_mse"}
BOUNDS: dict[str, tuple[dict[str, float], tuple[float | None, float | None]]] = {
    ">= 0.5": ({"at_least": 0.5}, (0.5, None)),
    "<= 0.5": ({"at_most": 0.5}, (None, 0.5)),
    "in [0.25, 0.5]": ({"at_least": 0.25, "at_most": 0.5}, (0.25, 0.5)),
    "= 0.5 +- 0.25": ({"equals": 0.5, "tolerance": 0.25}, (0.25, 0.75)),
    "= 0.5 +- 0": ({"equals": 0.5, "tolerance": 0.0}, (0.5, 0.5)),
}
VALUES = (-math.inf, 0.0, 0.25, 0.3, 0.5, 0.7, 0.75, 1.0, math.inf)


def claim(**changes: Any) -> Claim:
    return Claim(**{**SAYS, **changes})


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_claim_holds_of_what_is_within_its_bounds(bound: str) -> None:
    asked, (low, high) = BOUNDS[bound]
    one = claim(**asked)
    assert (one.bound(), one.bounds()) == (bound, (low, high))
    for value in VALUES:
        within = (low is None or value >= low) and (high is None or value <= high)
        assert one.holds(value) == within, value
    assert not one.holds(math.nan)


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_claim_turns_between_values_of_which_it_holds_and_does_not(bound: str) -> None:
    one = claim(**BOUNDS[bound][0])
    for i, low in enumerate(VALUES):
        for high in VALUES[i:]:
            if one.holds(low) != one.holds(high):
                assert one.turns(low, high), (low, high)
            between = {one.holds(value) for value in (low, high, 0.5) if low <= value <= high}
            assert one.turns(low, high) or len(between) == 1, (low, high)
    for value in VALUES:
        assert not one.turns(value, value)
    assert one.turns(-math.inf, math.inf)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sql": "SELECT 1", "at_most": 1.0}, "metric and sql: exactly one of them is needed"),
        ({"metric": None, "at_most": 1.0}, "metric and sql: exactly one of them is needed"),
        ({}, "at_least, at_most or both, or equals with tolerance, are needed"),
        ({"equals": 1.0, "tolerance": 0.0, "at_most": 1.0}, "at_least, at_most or both, or equals with tolerance"),
        ({"equals": 1.0}, "equals and tolerance go together"),
        ({"at_least": 1.0, "tolerance": 1.0}, "equals and tolerance go together"),
        ({"at_least": 1.0, "at_most": 0.5}, "at_least 1 is above at_most 0.5"),
        ({"at_least": 1.0, "fails": ""}, "at least 1 character"),
        ({"at_least": math.nan}, "finite"),
        (
            {"metric": None, "sql": "SELECT 1", "variant": "x", "at_most": 1.0},
            "intervention and variant go with metric",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_claim_that_asks_for_nothing_or_for_two_things_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        claim(**changes)


NEEDS = {
    "task_cost": ({"twin": None}, "needs the unregularised twin; allowed: without twin = false"),
    "anchor_cos": ({"concepts": {}, "interventions": ()}, "needs a concept, and there is none"),
    "anchor_distance": ({"concepts": {}, "interventions": ()}, "needs a concept, and there is none"),
    "isolation_fail": ({"concepts": {}, "interventions": ()}, "needs an isolated concept"),
    "ring_order": ({}, "needs a cycle of items, and there is none; allowed: with a [cycle] table"),
    "off_plane_all": ({}, "needs a cycle of items, and there is none"),
    "grade_radius": ({}, "needs a grade of the cycle; allowed: with grade in the table [cycle]"),
    "grade_off_plane": ({"cycle": {"items": "hues"}}, "needs a grade of the cycle"),
}


@pytest.mark.parametrize("metric", NEEDS)
def test_a_metric_that_a_trial_is_not_measured_by_cannot_be_asked_for(metric: str) -> None:
    without, said = NEEDS[metric]
    cycle = without.get("cycle")
    trial = tiny.trial(cycle=cycle).model_copy(update={k: v for k, v in without.items() if k != "cycle"})
    fault = Measure(metric=metric).fault(trial, 3)
    assert fault is not None
    assert fault.startswith(f"metric: '{metric}' {said}")
    assert claim(metric=metric, at_most=1.0).fault(trial, 3) == fault


def test_every_metric_of_members_can_be_asked_of_a_trial_that_has_everything() -> None:
    trial = tiny.trial(cycle={"items": "hues", "grade": "vibrancy"})
    assert [name for name in MEMBER_METRICS if Measure(metric=name).fault(trial, 3)] == []


def test_the_spread_of_one_member_cannot_be_asked_for() -> None:
    trial = tiny.trial()
    assert Measure(metric="recon_mse", statistic="sd").fault(trial, 2) is None
    assert "'sd' of one member" in str(claim(statistic="sd", at_most=1.0).fault(trial, 1))


def test_a_constraint_is_broken_by_its_excess() -> None:
    most, least = Constraint(metric="recon_mse", at_most=0.5), Constraint(metric="recon_mse", at_least=0.5)
    assert (most.excess(0.75), least.excess(0.75)) == (0.25, -0.25)
    assert (most.name, least.name) == ("recon_mse.median <= 0.5", "recon_mse.median >= 0.5")
