"""Transitions, and values that get other targets on their way: the worked tables of the reference."""

import math

import numpy as np
import pytest

from prepe.keyframes import Property, State, Timing, Transition, minimum_jerk
from prepe.keyframes.transition import coefficients, state_on, value_on

RISE = Transition(State(0.0), 1.0, 10)


def started(target: float, duration: float = 10, timing: Timing = "minjerk") -> Property:
    """Return a property on its way from 0 to a target."""
    value = Property(0.0, duration, timing)
    value.set(target)
    return value


# --- transitions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transition", "at", "values"),
    [
        (RISE, (-1, 0, 1, 2, 2.5, 5, 7.5, 10, 12), (0, 0, 0.00856, 0.05792, 0.103515625, 0.5, 0.896484375, 1, 1)),
        (Transition(State(0.0, 2.0), 1.0, 1), (0.1, 0.25, 0.5, 0.75), (0.1981, 0.47265625, 0.8125, 0.97265625)),
        (Transition(State(0.0, 0.1, 0.02), 1.0, 10), (1, 2.5, 5, 7.5), (0.11062, 0.314453, 0.6875, 0.943359)),
        (Transition(State(0.0), 1.0, 20_000), (0, 10_000, 20_000), (0, 0.5, 1)),
        (Transition(State(5.0, 3.0, 2.0), 10.0, 0), (-1, 0, 1, 99), (5, 5, 5, 5)),
        (Transition(State(0.0), 10.0, 10, "linear"), (-1, 0, 5, 10, 11), (0, 0, 5, 10, 10)),
        (Transition(State(0.0), 10.0, 10, "step-end"), (-1, 0, 9.999, 10, 11), (0, 0, 0, 10, 10)),
        # the five curves of a worked figure, by share of the way
        (Transition(State(2.0), 1.0, 1), (0.25, 0.5, 0.75), (1.896484, 1.5, 1.103516)),
        (Transition(State(0.0, 3.0), 1.0, 1), (0.25, 0.5, 0.75), (0.657227, 0.96875, 1.010742)),
        (Transition(State(2.0, -2.0), 1.0, 1), (0.25, 0.5, 0.75), (1.527344, 1.1875, 1.027344)),
        (Transition(State(1.0, 5.0), 1.0, 1), (0.25, 0.5, 0.75), (1.922852, 1.78125, 1.19043)),
    ],
)
def test_a_transition_has_its_worked_values(
    transition: Transition, at: tuple[float, ...], values: tuple[float, ...]
) -> None:
    assert [transition.at(t).value for t in at] == pytest.approx(values, abs=5e-7)


@pytest.mark.parametrize(
    ("start", "velocity", "expected"),
    [(0, 0, (10, -15, 6)), (2, 0, (-10, 15, -6)), (0, 3, (-8, 9, -3)), (2, -2, (2, -1, 0)), (1, 5, (-30, 40, -15))],
)
def test_the_polynomials_of_the_worked_figure_have_their_coefficients(
    start: float, velocity: float, expected: tuple[float, ...]
) -> None:
    c = coefficients(State(float(start), float(velocity)), 1.0, 1.0)
    assert c.tolist() == pytest.approx([start, velocity, 0, *expected])


@pytest.mark.parametrize(("start", "velocity", "extreme", "where"), [(0, 3, 1.0128, 0.69), (1, 5, 1.9876, 0.33)])
def test_a_value_that_moves_already_may_overshoot(start: float, velocity: float, extreme: float, where: float) -> None:
    tau = np.linspace(0, 1, 10_001)
    values = value_on(coefficients(State(float(start), float(velocity)), 1.0, 1.0), tau)
    assert values.max() == pytest.approx(extreme, abs=1e-4)
    assert tau[values.argmax()] == pytest.approx(where, abs=5e-3)


@pytest.mark.parametrize(("t", "state"), [(5, (0.5, 0.1875, 0)), (2.5, (0.103515625, 0.10546875, 0.05625))])
def test_a_transition_has_its_worked_state(t: float, state: tuple[float, ...]) -> None:
    assert RISE.at(t) == pytest.approx(state, abs=1e-15)


@pytest.mark.parametrize("start", [State(0.3), State(0.3, 0.2), State(0.3, -0.4, 0.7), State(2.0, 1.0, -0.1)])
@pytest.mark.parametrize("duration", [1, 7, 400])
def test_minimum_jerk_takes_the_state_over_and_ends_at_rest_exactly_on_target(start: State, duration: float) -> None:
    way = Transition(start, 1.25, duration)
    assert way.at(0) == pytest.approx(start)
    assert way.at(-3) == pytest.approx(start)
    assert way.at(duration) == State(1.25, 0.0, 0.0)
    assert way.at(duration * 1.2) == State(1.25, 0.0, 0.0)
    c = coefficients(start, 1.25, float(duration))
    assert state_on(c, 1.0, duration) == pytest.approx((1.25, 0, 0), abs=1e-9 * duration)


def test_velocity_and_acceleration_are_the_derivatives_of_the_value() -> None:
    way, h = Transition(State(0.2, 0.1, -0.03), 0.9, 8), 1e-4
    for t in (1.0, 3.3, 7.5):
        before, here, after = (way.at(t + shift) for shift in (-h, 0, h))
        assert here.velocity == pytest.approx((after.value - before.value) / (2 * h), rel=1e-6)
        assert here.acceleration == pytest.approx((after.velocity - before.velocity) / (2 * h), rel=1e-6)


def test_minimum_jerk_from_rest_is_the_ease_between_keyframes_and_stays_between_its_ends() -> None:
    tau = np.linspace(0, 1, 1001)
    values = value_on(coefficients(State(0.0), 1.0, 1.0), tau)
    np.testing.assert_allclose(values, minimum_jerk(tau), atol=1e-14)
    assert (np.diff(values) > 0).all()


def test_a_very_long_transition_ends_at_rest_exactly_on_target() -> None:
    assert Transition(State(0.0), 1.0, 20_000).at(20_000) == State(1.0, 0.0, 0.0)


def test_a_transition_without_duration_stays_where_it_is_and_says_so() -> None:
    for timing in ("minjerk", "linear", "step-end"):
        still = Transition(State(5.0, 3.0, 2.0), 10.0, 0, timing)
        assert still.final == 5.0
        assert still.at(0) == State(5.0, 0.0, 0.0)
    assert RISE.final == 1.0


@pytest.mark.parametrize("start", [State(0.0), State(0.0, 9.0, -7.0)])
def test_linear_and_step_end_take_no_velocity_over(start: State) -> None:
    linear, late = Transition(start, 10.0, 10, "linear"), Transition(start, 10.0, 10, "step-end")
    for t in (-1, 0, 5, 10, 11):
        assert linear.at(t)[1:] == (1.0, 0.0)  # the slope, also before the start and after the end
        assert late.at(t)[1:] == (0.0, 0.0)


@pytest.mark.parametrize("timing", ["minjerk", "linear", "step-end"])
def test_many_transitions_at_once_are_each_as_if_alone_bit_for_bit(timing: Timing) -> None:
    rng = np.random.default_rng(0)
    start, target, duration = State(*rng.normal(size=(3, 37))), rng.normal(size=37), rng.integers(1, 50, 37) * 1.0
    tau = rng.random(37)
    together = np.stack(state_on(coefficients(start, target, duration, timing), tau, duration))
    for i in range(37):
        own = State(*(each[i : i + 1] for each in start))
        c = coefficients(own, target[i : i + 1], duration[i : i + 1], timing)
        np.testing.assert_array_equal(np.stack(state_on(c, tau[i : i + 1], duration[i : i + 1]))[:, 0], together[:, i])


# --- properties -------------------------------------------------------------------------------------------------------


def test_a_property_moves_to_its_target_and_rests_there() -> None:
    value = started(1)
    assert value.moving
    value.step(5)
    assert 0 < value.value < 1
    value.step(5)
    assert (value.value, value.moving) == (1, False)
    assert value.state == State(1.0, 0.0, 0.0)


def test_a_property_without_duration_jumps_and_does_not_move() -> None:
    value = Property(0.0)
    value.set(10)
    assert value.value == 10
    value.step(3)
    assert (value.value, value.moving) == (10, False)


def test_the_latest_target_is_the_one_that_is_reached() -> None:
    value = started(1)
    value.step(2)
    value.set(0.5)
    value.step(10)
    assert value.value == 0.5


def test_a_new_target_does_not_stop_a_value_at_once() -> None:
    value = started(1)
    value.step(5)
    value.set(0)
    seen = []
    for _ in range(10):
        value.step()
        seen.append(value.value)
    assert seen == pytest.approx([0.6734, 0.7782, 0.7850, 0.6977, 0.5430, 0.3603, 0.1914, 0.0698, 0.0105, 0], abs=5e-5)
    assert seen[-1] == 0


def test_a_new_duration_begins_the_rest_of_the_way_anew() -> None:
    value = started(1)
    value.step(7)
    before = value.value
    value.set(duration=5)
    value.step(2)
    assert before < value.value < 1
    value.step(3)
    assert value.value == 1


def test_a_new_duration_does_not_change_the_value_at_that_moment() -> None:
    value = started(1)
    value.step(3)
    before = value.value
    value.set(duration=7)
    assert value.value == pytest.approx(before, abs=1e-15)
    value.step(7)
    assert (value.elapsed, value.value) == (7, 1)


def test_both_target_and_duration_can_change_at_once() -> None:
    value = started(1)
    value.step(5)
    before = value.value
    value.set(-1, 15)
    assert value.value == before
    value.step(7.5)
    assert -1 < value.value < before
    value.step(7.5)
    assert value.value == -1


def test_a_further_target_is_reached_after_the_new_duration() -> None:
    value = started(1, 20)
    value.step(5)
    before = value.value
    value.set(2, 10)
    assert (value.elapsed, value.duration, value.target) == (0, 10, 2)
    value.step(1)
    assert before < value.value < 2
    value.step(9)
    assert value.value == 2


def test_no_duration_ends_a_transition_with_a_jump() -> None:
    value = started(1)
    value.step(5)
    value.set(20, 0)
    assert (value.value, value.duration, value.moving) == (20, 0, False)


def test_small_steps_arrive_exactly_on_time() -> None:
    value = started(1)
    value.step(9.999)
    assert value.value != 1
    assert value.moving
    value.step(0.001)
    assert value.value == 1
    value.step(0.001)
    assert (value.value, value.moving) == (1, False)


def test_a_step_beyond_the_end_is_the_end() -> None:
    value = started(1)
    value.step(25)
    assert (value.value, value.elapsed, value.moving) == (1, 10, False)


def test_setting_what_is_set_does_not_restart_the_clock() -> None:
    value = started(1)
    value.step(5)
    value.set(1)
    assert value.elapsed == 5
    value.set(1 + 1e-7, 10.00001)
    assert (value.elapsed, value.target) == (5, 1)
    value.set(1, 20)
    assert (value.elapsed, value.duration) == (0, 20)


def test_at_rest_a_target_that_is_there_already_changes_the_duration_alone() -> None:
    value = Property(5.0)
    value.set(5, 7)
    assert (value.duration, value.moving) == (7, False)
    value.set(6)
    value.step(3.5)
    assert value.value == 5.5


@pytest.mark.parametrize(("start", "target"), [(1, 1.000009), (0, 5e-9)])
def test_very_small_moves_are_ignored(start: float, target: float) -> None:
    value = Property(float(start))
    value.set(target, 10)
    assert (value.value, value.moving, value.duration) == (start, False, 10)


@pytest.mark.parametrize(("start", "target"), [(1, 1.00002), (0, 2e-8)])
def test_moves_a_little_larger_are_not(start: float, target: float) -> None:
    value = Property(float(start))
    value.set(target, 10)
    value.step(10)
    assert value.value == target


def test_a_new_property_with_a_duration_moves_to_its_own_value_so_that_its_clock_runs() -> None:
    value = Property(3.0, 10)
    value.step(4)
    assert (value.value, value.elapsed, value.moving) == (3, 4, True)
    value.step(6)
    assert not value.moving
    value.step(5)
    assert (value.elapsed, value.value) == (10, 3)


def test_a_linear_property_turns_at_once() -> None:
    value = started(1, timing="linear")
    value.step(5)
    assert value.value == 0.5
    value.set(0, 5)
    value.step(2.5)
    assert value.value == 0.25
    value.step(2.5)
    assert value.value == 0


def test_a_step_end_property_shows_the_old_value_until_the_new_duration_has_passed() -> None:
    value = started(1, timing="step-end")
    value.step(5)
    value.set(2, 8)
    value.step(7.999)
    assert value.value == 0
    value.step(0.001)
    assert value.value == 2


def test_targets_that_come_one_after_the_other_give_the_worked_curve() -> None:
    targets, value, seen = {0: 0.5, 40: 0.75, 60: 0.0, 120: 1.0}, Property(0.1, 50), []
    target = 0.0
    for step in range(200):
        target = targets.get(step, target)
        value.set(target)
        value.step()
        seen.append(value.value)
    assert [seen[i] for i in (24, 39, 59, 109, 144, 169)] == pytest.approx([0.3, 0.4768, 0.5821, 0, 0.5, 1], abs=5e-5)
    assert seen[61] > seen[60] > seen[59]  # still rising for a few steps after the target has dropped


# --- log space --------------------------------------------------------------------------------------------------------


def test_a_property_in_log_space_moves_its_logarithm() -> None:
    value = Property(0.01, 10, space="log")
    value.set(0.0001)
    value.step(5)
    assert value.value == pytest.approx(0.001)
    value.step(2.5)
    assert value.value == pytest.approx(0.000161076, rel=1e-5)
    value.step(2.5)
    assert value.value == pytest.approx(0.0001)


@pytest.mark.parametrize("start", [0.0, -3.0, 1e-30])
def test_log_space_begins_at_its_floor(start: float) -> None:
    value = Property(start, 10, space="log")
    assert value.value == pytest.approx(1e-10)
    value.set(1)
    value.step(5)
    assert value.value == pytest.approx(1e-5)
    assert value.target == 1


def test_a_new_target_in_log_space_keeps_the_momentum_of_the_logarithm() -> None:
    log, plain = Property(math.e, 10, space="log"), Property(1.0, 10)
    for each, targets in ((log, (math.e**2, math.e**-1)), (plain, (2.0, -1.0))):
        each.set(targets[0])
        each.step(4)
        each.set(targets[1], 7)
        each.step(1.5)
    assert math.log(log.value) == pytest.approx(plain.value)
