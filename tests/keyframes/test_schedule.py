"""Keyframes, and the values between them."""

import numpy as np
import pytest
from pydantic import ValidationError

from prepe.keyframes import Schedule, minimum_jerk, update_steps, values_at
from prepe.scheduler import table


def made(*frames: dict[str, float], **others: object) -> Schedule:
    return Schedule.model_validate({"keyframes": list(frames), **others})


RISE = made({"step": 10, "lr": 0.0}, {"step": 30, "lr": 1.0})
PUBLISHED = made(  # of experiment 2.9.1
    {"step": 0, "lr": 1e-8, "anti_subspace": 0.25},
    {"step": 10, "lr": 0.01},
    {"step": 248, "separate": 0.01},
    {"step": 750, "lr": 0.1, "separate": 0.001, "anti_subspace": 0.003},
    {"step": 1425, "lr": 0.1, "separate": 0, "anti_subspace": 0},
    {"step": 1500, "lr": 0.05},
    final_step="repeat",
)


def test_minimum_jerk_has_its_worked_values() -> None:
    np.testing.assert_allclose(
        minimum_jerk(np.array([0, 0.25, 0.5, 0.75, 1])), [0, 0.103515625, 0.5, 0.896484375, 1], rtol=1e-15
    )


def test_minimum_jerk_is_symmetric_rises_and_is_at_rest_at_both_ends() -> None:
    tau = np.linspace(0, 1, 1001)
    eased = minimum_jerk(tau)
    np.testing.assert_allclose(eased + eased[::-1], 1, atol=1e-12)
    assert (np.diff(eased) > 0).all()
    assert abs(np.diff(eased)[[0, -1]]).max() < 1e-7
    assert abs(np.diff(eased, 2)[[0, -1]]).max() < 1e-7


def test_a_value_moves_between_two_keyframes_with_minimum_jerk() -> None:
    np.testing.assert_allclose(values_at(RISE, "lr", np.array([10, 15, 20, 25, 30])), minimum_jerk(np.arange(5) / 4))


def test_a_value_holds_the_first_keyframe_before_it_and_the_last_after_it() -> None:
    falling = made({"step": 5, "lr": 0.3}, {"step": 7, "lr": 0.1})
    assert values_at(falling, "lr", np.array([0, 4, 5])).tolist() == [0.3, 0.3, 0.3]
    assert values_at(falling, "lr", np.array([7, 8, 900])).tolist() == [0.1, 0.1, 0.1]


def test_one_keyframe_is_a_constant() -> None:
    assert values_at(made({"step": 3, "lr": 0.2}), "lr", np.arange(6)).tolist() == [0.2] * 6


def test_a_value_passes_through_every_keyframe_that_names_it_and_takes_no_notice_of_others() -> None:
    at = np.array([0, 10, 750, 1425, 1500])
    assert values_at(PUBLISHED, "lr", at).tolist() == pytest.approx([1e-8, 0.01, 0.1, 0.1, 0.05], abs=1e-15)
    assert values_at(PUBLISHED, "lr", np.array([380])).item() == pytest.approx(0.055)  # halfway from 10 to 750
    assert values_at(PUBLISHED, "anti_subspace", np.array([375])).item() == pytest.approx((0.25 + 0.003) / 2)
    assert (values_at(PUBLISHED, "lr", np.arange(750, 1426)) == 0.1).all()


def test_a_value_stays_between_its_neighbouring_keyframes() -> None:
    separate = values_at(PUBLISHED, "separate", np.arange(248, 1426))
    assert (np.diff(separate) <= 0).all()
    assert (separate[0], separate[-1]) == (0.01, 0)


def test_a_name_without_a_keyframe_has_no_value() -> None:
    with pytest.raises(KeyError, match="anchor"):
        values_at(RISE, "anchor", np.arange(3))


def test_there_is_one_update_a_step_up_to_the_last_keyframe_unless_steps_says_otherwise() -> None:
    assert RISE.steps == 31
    assert len(update_steps(RISE)) == 31
    assert len(update_steps(made({"step": 30, "lr": 1.0}, steps=35))) == 35
    assert update_steps(made({"step": 0, "lr": 1.0})).tolist() == [0]


def test_saying_the_number_of_steps_that_is_meant_anyway_is_the_same_schedule() -> None:
    assert made({"step": 30, "lr": 1.0}, steps=31) == made({"step": 30, "lr": 1.0})


@pytest.mark.parametrize(("final_step", "last"), [("reach", [28, 29, 30]), ("repeat", [28, 29, 29])])
def test_the_last_update_reaches_the_last_step_or_repeats_the_one_before(final_step: str, last: list[int]) -> None:
    rise = made({"step": 10, "lr": 0.0}, {"step": 30, "lr": 1.0}, final_step=final_step)
    assert update_steps(rise)[-3:].tolist() == last
    values = table(rise, ["lr"])
    assert values.shape == (31, 1)
    assert values[-1, 0] == values_at(rise, "lr", np.array(last[-1:])).item()


def test_a_single_update_has_no_step_before_to_repeat() -> None:
    assert update_steps(made({"step": 0, "lr": 1.0}, final_step="repeat")).tolist() == [0]


def test_part_of_a_schedule_keeps_its_length_and_the_values_of_what_is_kept() -> None:
    part = PUBLISHED.only(["anti_subspace"])
    assert part.names() == ["anti_subspace"]
    assert [frame.step for frame in part.keyframes] == [0, 750, 1425]
    np.testing.assert_array_equal(update_steps(part), update_steps(PUBLISHED))
    steps = update_steps(part)
    np.testing.assert_array_equal(values_at(part, "anti_subspace", steps), values_at(PUBLISHED, "anti_subspace", steps))
    assert PUBLISHED.only(PUBLISHED.names()) == PUBLISHED


@pytest.mark.parametrize("steps", [(0, 20, 10), (0, 10, 10)])
def test_keyframes_out_of_order_or_at_one_step_are_refused(steps: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match=f"step 10 comes after step {steps[1]}; allowed: steps in rising order"):
        made(*({"step": step, "lr": 1.0} for step in steps))


@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf"), "0.1", True, None])
def test_a_value_that_is_no_finite_number_of_zero_or_more_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        Schedule.model_validate({"keyframes": [{"step": 0, "lr": value}]})


@pytest.mark.parametrize(
    ("steps", "said"),
    [([0, "+5", -5], r"\[2\].step: -5 is below 0"), ([-3, "+5", 9], r"\[0\].step: -3 is below 0")],
)
def test_a_negative_step_is_not_taken_for_a_relative_one(steps: list[int | str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Schedule.model_validate({"keyframes": [{"step": step, "values": {"lr": 0.1}} for step in steps]})


def test_a_missing_step_beside_relative_ones_is_said_to_be_missing() -> None:
    with pytest.raises(ValueError, match="step"):
        Schedule.model_validate(
            {"keyframes": [{"step": 0, "values": {}}, {"values": {}}, {"step": "+5", "values": {}}]}
        )
