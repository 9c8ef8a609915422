"""Numbers on a circle."""

import numpy as np
import pytest

from prepe.catalog import HUES
from prepe.data import cyclic


def test_numbers_a_period_apart_are_close() -> None:
    assert cyclic.isclose(0.0, 1.0)
    assert cyclic.isclose(1.0 - 1e-9, 0.0)
    assert cyclic.isclose(359.9999, 0.0, atol=1e-3, period=360)
    assert not cyclic.isclose(0.0, 0.5)
    assert not cyclic.isclose(0.25, 0.2501)
    assert cyclic.isclose(0.25, 0.25 + 2e-6), "numpy's relative tolerance of 1e-5 applies too"


def test_closeness_is_the_same_either_way_round_the_circle() -> None:
    at = np.arange(12) / 12
    near = cyclic.isclose(at[:, None], at[None, :], atol=1 / 12 + 1e-8)
    assert (near == near.T).all()
    assert (near.sum(0) == 3).all()


@pytest.mark.parametrize(
    ("x", "lower", "upper", "inside"),
    [(0.1, 0.7, 0.2, True), (0.9, 0.7, 0.2, True), (0.5, 0.7, 0.2, False), (0.5, 0.5, 0.5, True),
     (0.51, 0.5, 0.5, False), (0.2, 0.2, 0.7, True), (0.7, 0.2, 0.7, True), (1.3, 0.2, 0.7, True),
     (-0.1, 0.7, 0.2, True), (1.0, 0.0, 0.2, True), (1 - 1e-9, 0.0, 0.2, True), (0.2 + 1e-9, 0.0, 0.2, True)],
)  # fmt: skip
def test_an_arc_has_both_its_ends_and_may_run_past_the_period(
    x: float, lower: float, upper: float, inside: bool
) -> None:
    assert cyclic.isbetween(x, lower, upper) == inside


def test_an_arc_may_be_measured_in_degrees() -> None:
    at = np.array([350, 300, 30, 0, 45, 299])
    assert cyclic.isbetween(at, 300, 30, period=360).tolist() == [True, True, True, True, False, False]


def test_red_and_magenta_lie_between_purple_and_orange_but_green_does_not() -> None:
    names = [name for name in HUES if cyclic.isbetween(HUES[name], HUES["purple"], HUES["orange"])]
    assert names == ["red", "orange", "purple", "magenta", "pink"]


@pytest.mark.parametrize(("step", "count"), [(1 / 6, 6), (1 / 12, 12), (10 / 360, 36), (1 / 360, 360), (1 / 49, 49)])
def test_a_whole_turn_has_each_number_once(step: float, count: int) -> None:
    at = cyclic.arange(step=step)
    assert len(at) == count
    np.testing.assert_allclose(at, np.arange(count) / count, atol=1e-12)


def test_a_range_may_run_past_the_period_and_have_its_last_number() -> None:
    np.testing.assert_allclose(cyclic.arange(0.75, 0.25, 0.25), [0.75, 0.0])
    np.testing.assert_allclose(cyclic.arange(0.75, 0.25, 0.25, inclusive=True), [0.75, 0.0, 0.25])
    np.testing.assert_allclose(cyclic.arange(300, 30, 30, period=360, inclusive=True), [300, 330, 0, 30])
    np.testing.assert_allclose(cyclic.arange(0.9, step=0.25), [0.9, 0.15, 0.4, 0.65])
    np.testing.assert_allclose(cyclic.arange(1.25, 1.75, 0.25), [0.25, 0.5])


@pytest.mark.parametrize("step", [0.0, -0.1, np.nan])
def test_a_range_needs_a_step_above_zero(step: float) -> None:
    with pytest.raises(ValueError, match="allowed: above zero"):
        cyclic.arange(step=step)
