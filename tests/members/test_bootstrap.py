"""Bootstrap intervals: what they hold, and how often."""

import math

import numpy as np

from prepe.members import interval


def test_values_that_are_all_equal_have_an_interval_of_that_one_value() -> None:
    assert interval(np.full(5, 0.25)) == (0.25, 0.25)


def test_an_interval_moves_with_its_values_and_scales_with_them() -> None:
    values = np.random.default_rng(1).normal(size=20)
    low, high = interval(values)
    assert low < values.mean() < high
    np.testing.assert_allclose(interval(2 * values + 1), (2 * low + 1, 2 * high + 1))


def test_the_same_values_have_the_same_interval_every_time() -> None:
    values = np.random.default_rng(1).normal(size=9)
    assert interval(values) == interval(values.copy())


def test_about_19_of_20_intervals_hold_the_mean_that_the_values_were_drawn_with() -> None:
    rng = np.random.default_rng(0)
    held = [low <= 3.0 <= high for low, high in (interval(rng.normal(3.0, 1.0, 40)) for _ in range(150))]
    assert 0.88 < np.mean(held) < 0.99


def test_a_median_can_have_one_too_and_an_outlier_does_not_move_it() -> None:
    values = np.array([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1e6])
    assert interval(values, np.median)[1] < 1e6 / 2
    assert interval(values)[1] > 1e5


def test_one_value_alone_has_no_interval() -> None:
    assert all(math.isnan(end) for end in interval(np.array([1.0])))


def test_an_infinite_value_makes_an_end_infinite_and_two_opposed_ones_leave_no_interval() -> None:
    low, high = interval(np.array([1.0, 2.0, 3.0, np.inf]))
    assert low >= 1
    assert high == np.inf
    assert all(math.isnan(end) for end in interval(np.array([-np.inf, 0.0, np.inf])))
