"""Schedules that react: each member's values from its own measurements alone."""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from prepe.keyframes import Property, Schedule
from prepe.scheduler import Now, Scheduler, table

Parts = dict[str, np.ndarray]
Measured = Callable[[Now], Parts]
FRAMES = (
    {"step": 0, "phase": "A", "lr": 0.1, "anchor": 0.2, "spread": 1.0, "slope": 0.3},
    {"step": 10, "anchor": 0.4},
    {"step": 20, "phase": "B", "lr": 0.2, "slope": 0.9},
    {"step": 30, "lr": 0.05, "anchor": 0.1, "spread": 0.5, "slope": 0.6},
    {"step": 59, "lr": 0.3},
)
NAMES = ["lr", "anchor", "spread", "slope"]
MOVE = {"kind": "move", "name": "m", "measure": "recon", "below": 0.5, "parameter": "lr", "to": 0.7, "steps": 4}
RATIO = {"kind": "ratio", "name": "r", "measure": "anchor", "of": "recon", "ratio": 0.5, "at_most": 0.6}
EXTEND = {"kind": "extend", "name": "e", "measure": "recon", "below": 0.5, "phase": "A", "at_most_steps": 6}
FIRED = 12
"""The update whose measurement is the first below the threshold, where tests need one."""


def made(*rules: dict[str, Any], **others: Any) -> Schedule:
    columns = {"slope": {"timing": "linear"}, "spread": {"space": "log"}}
    return Schedule.model_validate(
        {"keyframes": list(FRAMES), "columns": columns, **others, "rules": [{"smooth_steps": 1, **r} for r in rules]}
    )


def run(schedule: Schedule, measured: Measured, members: int, names: list[str] = NAMES) -> list[Now]:
    """Return what held at every update, measurements being made of it."""
    scheduler = Scheduler(schedule, names, members)
    seen = []
    for update in range(scheduler.updates):
        seen.append(scheduler.at(update))
        scheduler.observe(measured(seen[-1]))
    return seen


def constant(**parts: Any) -> Measured:
    """Measure the same at every update."""
    return lambda now: {name: np.broadcast_to(np.asarray(x, dtype=float), now.step.shape) for name, x in parts.items()}


def at_step(step: int, before: float, after: float) -> Measured:
    """Measure one value of recon before a step of the schedule, and another from there on."""
    return lambda now: {"recon": np.where(now.step < step, before, after)}


def of(seen: list[Now], name: str, member: int = 0) -> list[float]:
    return [now.values[NAMES.index(name), member].item() for now in seen]


def of_table(schedule: Schedule, name: str) -> list[float]:
    values: list[float] = table(schedule, NAMES)[:, NAMES.index(name)].tolist()
    return values


# --- without a reaction -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("final_step", ["repeat", "reach"])
@pytest.mark.parametrize(
    "rules",
    [
        (),
        ({**MOVE, "below": 0.01},),
        ({**MOVE, "below": None, "above": 9.0},),
        ({**MOVE, "from_step": 100},),
        ({**EXTEND, "below": 2.0},),
        ({**RATIO, "from_step": 60},),
        ({**MOVE, "below": 0.01}, {**EXTEND, "below": 2.0}, {**RATIO, "of": "anchor"}),
    ],
)
def test_a_rule_that_does_not_act_changes_nothing_bit_for_bit(
    rules: tuple[dict[str, Any], ...], final_step: str
) -> None:
    schedule = made(*rules, final_step=final_step)
    seen = run(schedule, constant(recon=1.0, anchor=np.nan), 3)[: schedule.steps]
    values = np.stack([now.values for now in seen])
    np.testing.assert_array_equal(values, np.repeat(table(schedule, NAMES)[:, :, None], 3, axis=2))
    assert [now.step.tolist() for now in seen] == [[step] * 3 for step in range(60)]
    assert not any(counts.any() for counts in seen[-1].acted.values())


def test_a_table_has_a_row_an_update_and_a_column_a_name() -> None:
    assert table(made(), ["anchor", "lr"]).shape == (60, 2)
    assert table(made(), ["anchor", "lr"])[20, 1] == 0.2


def test_a_scheduler_says_whether_it_waits_and_how_many_updates_there_can_be() -> None:
    still, moving = Scheduler(made(), NAMES, 1), Scheduler(made(MOVE), NAMES, 1)
    waiting = Scheduler(made(EXTEND, {**EXTEND, "name": "f", "phase": "B"}), NAMES, 1)
    assert [(each.waits, each.updates) for each in (still, moving, waiting)] == [
        (False, 60),
        (False, 60),
        (True, 72),
    ]


def test_an_update_that_is_not_the_next_is_refused() -> None:
    scheduler = Scheduler(made(MOVE), NAMES, 1)
    assert scheduler.at(0) is scheduler.at(0)
    with pytest.raises(ValueError, match="update 1: 0 were observed"):
        scheduler.at(1)


# --- moves ------------------------------------------------------------------------------------------------------------


def test_a_move_arrives_exactly_on_time_and_by_the_way_of_a_property() -> None:
    """Anchor rests at 0.1 from step 30 on, so all that it does there is the move."""
    schedule = made({**MOVE, "parameter": "anchor"})
    seen = of(run(schedule, at_step(40, 1.0, 0.4), 1), "anchor")
    like = Property(0.1)
    like.set(0.7, 4)
    for value in seen[41:46]:
        like.step()
        assert value == pytest.approx(like.value, rel=1e-12)
    assert seen[40] == pytest.approx(0.1)  # the update that is measured is over
    assert seen[43] < 0.7
    assert seen[44:] == [0.7] * 16
    assert seen[:41] == of_table(schedule, "anchor")[:41]


def test_a_move_takes_the_momentum_over() -> None:
    """In the middle from 0.1 to 0.2 over 20 steps, lr moves by 1.875 * 0.1 / 20 a step."""
    schedule = made({**MOVE, "to": 0.15, "steps": 8, "from_step": 10})
    seen = of(run(schedule, at_step(10, 1.0, 0.4), 1), "lr")
    like = Property(0.1, 20)
    like.set(0.2)
    like.step(10)
    like.set(0.15, 8)
    way = []
    for _ in range(8):
        like.step()
        way.append(like.value)
    assert seen[11:19] == pytest.approx(way, rel=1e-12)
    assert max(way) > 0.16
    assert seen[18:21] == [0.15] * 3


@pytest.mark.parametrize(("name", "timing"), [("lr", "minjerk"), ("slope", "linear")])
def test_the_next_keyframe_takes_over_towards_the_one_after_it(name: str, timing: Any) -> None:
    """The move has got half-way when step 20 comes; from there the value goes to the keyframe at step 30."""
    schedule = made({**MOVE, "parameter": name, "to": 0.0, "steps": 10, "from_step": 15})
    seen = of(run(schedule, at_step(15, 1.0, 0.4), 1), name)
    taken_over = Property(seen[20], 10, timing)
    taken_over.set(of_table(schedule, name)[30])
    if timing == "linear":
        expected = [seen[20] + (0.6 - seen[20]) * k / 10 for k in range(1, 11)]
        assert seen[21:31] == pytest.approx(expected, rel=1e-12)
    else:  # the value still falls when it is called back
        assert seen[21] < seen[20]
    assert seen[30:] == of_table(schedule, name)[30:]


def test_a_step_end_column_holds_what_the_move_has_left_until_the_keyframe_after_the_next() -> None:
    columns = {"lr": {"timing": "step-end"}}
    seen = of(run(made({**MOVE, "from_step": 5}, columns=columns), constant(recon=0.4), 1), "lr")
    assert seen[:6] == [0.1] * 6
    assert seen[9:30] == [0.7] * 21  # also at step 20, which would have been a jump to 0.2
    assert seen[30:59] == [0.05] * 29
    assert seen[59] == 0.3


def test_a_parameter_stays_where_a_move_has_brought_it_when_no_keyframe_follows() -> None:
    schedule = made({**MOVE, "parameter": "anchor", "from_step": 25})
    seen = of(run(schedule, constant(recon=0.4), 1), "anchor")
    assert seen[29:] == [0.7] * 31  # the keyframe at 30 is the last: there is no value to go to after it


def test_a_move_before_the_first_keyframe_of_a_parameter_is_taken_over_by_it() -> None:
    frames = [{"step": 0, "lr": 0.1}, {"step": 10, "x": 1.0}, {"step": 20, "x": 0.5}]
    rule = {**MOVE, "parameter": "x", "smooth_steps": 1}
    schedule = Schedule.model_validate({"keyframes": frames, "rules": [rule], "timing": "linear"})
    seen = [now.values[0, 0].item() for now in run(schedule, constant(recon=0.4), 1, ["x"])]
    assert seen[0] == 1.0
    assert seen[4:11] == [0.7] * 7
    assert seen[15] == pytest.approx(0.6)
    assert seen[20] == 0.5


def test_a_move_in_log_space_moves_the_logarithm() -> None:
    schedule = made({**MOVE, "parameter": "spread", "to": 0.005, "steps": 10, "from_step": 40})
    seen = of(run(schedule, constant(recon=0.4), 1), "spread")
    assert seen[40] == pytest.approx(0.5)
    assert seen[45] == pytest.approx(0.05)
    assert seen[50:] == pytest.approx([0.005] * 10)
    to_nothing = of(run(made({**MOVE, "parameter": "spread", "to": 0.0}), constant(recon=0.4), 1), "spread")
    assert to_nothing[4] == pytest.approx(1e-10)


def test_a_value_never_falls_below_zero() -> None:
    """lr rises fast, turns, and would overshoot zero."""
    frames = [{"step": 0, "lr": 0.0}, {"step": 10, "lr": 1.0}, {"step": 60, "lr": 0.0}, {"step": 99, "lr": 0.0}]
    rule = {**MOVE, "smooth_steps": 1, "to": 0.0, "steps": 9, "from_step": 30}
    schedule = Schedule.model_validate({"keyframes": frames, "rules": [rule]})
    seen = [now.values[0, 0].item() for now in run(schedule, constant(recon=0.4), 1, ["lr"])]
    momentum = Property(1.0, 50)
    momentum.set(0.0)
    momentum.step(20)
    momentum.set(0.0, 9)
    below = []
    for _ in range(9):
        momentum.step()
        below.append(momentum.value)
    assert seen[31:40] == pytest.approx([max(0.0, value) for value in below], abs=1e-12)
    assert min(seen) == 0


def test_a_move_is_begun_once_unless_more_times_are_allowed_and_again_only_beyond_the_hysteresis() -> None:
    """The threshold is 0.5, the hysteresis 0.2: only above 0.6 does a measurement count as gone back."""
    path = [1.0, 0.4, 0.55, 0.4, 0.61, 0.4, 0.7, 0.5, 0.49, 0.9, 0.3] + [1.0] * 49
    for times, fired_at in ((1, [1]), (2, [1, 5]), (3, [1, 5, 8]), (9, [1, 5, 8, 10])):
        seen = run(
            made({**MOVE, "times": times, "hysteresis": 0.2}), lambda now: {"recon": np.array([path[now.step[0]]])}, 1
        )
        counts = [now.acted["m"][0] for now in seen]
        assert [i for i, (a, b) in enumerate(pairwise(counts)) if b > a] == fired_at


def test_a_rule_above_its_threshold_mirrors_one_below() -> None:
    path = [0.4, 0.6, 0.46, 0.6, 0.44, 0.6] + [0.4] * 54
    rule = {**MOVE, "below": None, "above": 0.5, "times": 9}
    seen = run(made(rule), lambda now: {"recon": np.array([path[now.step[0]]])}, 1)
    assert [now.acted["m"][0] for now in seen[:8]] == [0, 0, 1, 1, 1, 1, 2, 2]


def test_a_rule_acts_while_it_is_awake_alone() -> None:
    for first, last, begun in ((0, None, 1), (13, 20, 13), (0, 11, 0), (59, None, 0)):
        seen = run(made({**MOVE, "from_step": first, "to_step": last}), at_step(FIRED, 1.0, 0.4), 1)
        counts = [int(now.acted["m"][0]) for now in seen]
        assert counts[-1] == (0 if not begun else 1)
        if begun > 1:
            assert counts.index(1) == begun + 1


def test_a_measurement_is_smoothed_from_its_first_value_on_and_gaps_leave_it_as_it_is() -> None:
    """m <- m + (x - m) / 2: 1, gap, 0.7, 0.55, gap, 0.475."""
    path = [np.nan, 1.0, np.nan, 0.4, 0.4, np.nan, 0.4] + [0.4] * 53
    for below, fired in ((0.71, 3), (0.6, 4), (0.5, 6)):
        rule = {**MOVE, "below": below, "smooth_steps": 2}
        seen = run(made(rule), lambda now: {"recon": np.array([path[now.step[0]]])}, 1)
        assert [int(now.acted["m"][0]) for now in seen].index(1) == fired + 1


def test_members_move_when_their_own_measurements_say_so() -> None:
    schedule = made({**MOVE, "parameter": "anchor", "from_step": 30})
    fires = np.array([31, 45, 99])
    seen = run(schedule, lambda now: {"recon": np.where(now.step < fires, 1.0, 0.1)}, 3)
    for member, start in enumerate((31, 45)):
        values = of(seen, "anchor", member)
        assert values[: start + 1] == of_table(schedule, "anchor")[: start + 1]
        assert values[start + 3] < 0.7
        assert values[start + 4 :] == [0.7] * (60 - start - 4)
    assert of(seen, "anchor", 2) == of_table(schedule, "anchor")
    assert seen[-1].acted["m"].tolist() == [1, 1, 0]


def test_two_rules_can_move_one_parameter_one_after_the_other() -> None:
    rules = (
        {**MOVE, "parameter": "anchor", "from_step": 30},
        {**MOVE, "name": "n", "parameter": "anchor", "to": 0.2, "steps": 5, "measure": "total", "from_step": 40},
    )
    seen = of(run(made(*rules), constant(recon=0.1, total=0.1), 1), "anchor")
    assert (seen[34], seen[40], seen[45]) == (0.7, 0.7, 0.2)


# --- ratios -----------------------------------------------------------------------------------------------------------


def test_a_ratio_is_held_within_its_bounds() -> None:
    recon = np.array([0.1, 0.2, 0.4, 0.6, 5.0])
    schedule = made({**RATIO, "at_least": 0.08})
    seen = run(schedule, constant(recon=recon, anchor=0.5), 5)
    assert seen[0].values[1].tolist() == [0.2] * 5  # nothing is measured yet
    for now in seen[1:]:
        assert now.values[1].tolist() == pytest.approx([0.1, 0.2, 0.4, 0.6, 0.6])
    assert seen[-1].acted["r"].tolist() == [59] * 5
    at_least = run(made({**RATIO, "at_least": 0.3}), constant(recon=0.01, anchor=0.5), 1)
    assert of(at_least, "anchor")[1:] == [0.3] * 59


def test_a_ratio_is_to_the_weighted_part() -> None:
    """weight * anchor = ratio * weight * spread; the weight of the reconstruction is 1 unless it is scheduled."""
    measured = constant(recon=0.4, anchor=0.5, spread=0.25, total=0.3)
    schedule = made({**RATIO, "of": "spread", "at_most": 9})
    assert of(run(schedule, measured, 1), "anchor")[1:] == pytest.approx(
        [0.5 * w * 0.25 / 0.5 for w in of_table(schedule, "spread")[1:]]
    )
    assert of(run(made({**RATIO, "of": "total"}), measured, 1), "anchor")[1:] == pytest.approx([0.5 * 0.3 / 0.5] * 59)
    frames = [{"step": 0, "anchor": 1.0, "loss-recon": 0.1}, {"step": 9, "loss-recon": 0.9}]
    weighed = Schedule.model_validate({"keyframes": frames, "rules": [RATIO]})
    for now in run(weighed, measured, 1, ["anchor", "loss-recon"])[1:]:
        assert now.values[0] == pytest.approx(np.minimum(0.5 * now.values[1] * 0.4 / 0.5, 0.6))


def test_a_ratio_is_held_in_its_steps_alone_and_once_both_are_measured() -> None:
    schedule = made({**RATIO, "from_step": 20, "to_step": 29})
    seen = run(schedule, lambda now: {"recon": np.ones(1) * 0.4, "anchor": np.where(now.step < 24, np.nan, 0.5)}, 1)
    values, scheduled = of(seen, "anchor"), of_table(schedule, "anchor")
    assert values[:25] == scheduled[:25]
    assert values[25:30] == pytest.approx([0.4] * 5)
    assert values[30:] == scheduled[30:]
    assert [int(now.acted["r"][0]) for now in seen[24:32]] == [0, 1, 2, 3, 4, 5, 5, 5]


def test_a_measure_of_nothing_takes_the_bound_or_nothing_to_hold() -> None:
    zero = run(made(RATIO), constant(recon=np.array([0.4, 0.0]), anchor=0.0), 2)
    assert zero[5].values[1, 0] == 0.6
    assert zero[5].values[1, 1] == of_table(made(RATIO), "anchor")[5]


# --- extensions -------------------------------------------------------------------------------------------------------


def test_a_phase_is_held_at_its_last_step_until_the_measurement_is_there_each_member_by_itself() -> None:
    """Phase A ends with step 19; members 0 to 3 wait 0, 2, 5 and, in vain, all 6 steps."""
    schedule = made(EXTEND)
    done = np.array([10, 21, 24, 99])
    update = iter(range(99))

    def measured(now: Now) -> Parts:
        return {"recon": np.where(next(update) < done, 1.0, 0.4)}

    seen = run(schedule, measured, 4)
    waited = [0, 2, 5, 6]
    assert seen[-1].acted["e"].tolist() == waited
    values = table(schedule, NAMES)
    for member, wait in enumerate(waited):
        steps = [*range(20), *[19] * wait, *range(20, 60)]
        assert [now.step[member] for now in seen][: len(steps)] == steps
        assert [now.running[member] for now in seen] == [True] * len(steps) + [False] * (6 - wait)
        for now, step in zip(seen, steps, strict=False):
            np.testing.assert_array_equal(now.values[:, member], values[step])
    assert [int(now.acted["e"][2]) for now in seen[18:28]] == [0, 0, 1, 2, 3, 4, 5, 5, 5, 5]


def test_the_last_phase_can_be_held_too_and_a_repeated_final_step_repeats_meanwhile() -> None:
    schedule = made({**EXTEND, "phase": "B"}, final_step="repeat")
    seen = run(schedule, constant(recon=1.0), 1)
    assert [now.step[0] for now in seen][-8:] == [58, *[59] * 7]
    assert all(now.running[0] for now in seen)
    assert of(seen, "lr")[-8:] == [of_table(schedule, "lr")[58]] * 8


def test_a_phase_that_comes_several_times_is_held_each_time_up_to_a_limit_in_all() -> None:
    frames = [{"step": 0, "phase": "A", "lr": 1.0}, {"step": 3, "phase": "B"}, {"step": 5, "phase": "A"}, {"step": 9}]
    rule = {**EXTEND, "smooth_steps": 1, "at_most_steps": 3}
    schedule = Schedule.model_validate({"keyframes": frames, "rules": [rule]})
    update = iter(range(99))
    seen = run(schedule, lambda now: {"recon": np.array([0.4 if next(update) == 3 else 1.0])}, 1, ["lr"])
    assert [int(now.step[0]) for now in seen] == [0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9]


def test_a_measurement_that_there_is_not_keeps_a_phase_waiting() -> None:
    assert run(made(EXTEND), constant(recon=np.nan), 1)[-1].acted["e"].tolist() == [6]


def test_a_rule_that_sleeps_at_the_end_of_its_phase_does_not_wait() -> None:
    assert run(made({**EXTEND, "to_step": 18}), constant(recon=1.0), 1)[-1].acted["e"].tolist() == [0]


def test_moves_go_on_while_a_phase_is_held_and_keyframes_come_when_they_come() -> None:
    rules = ({**MOVE, "measure": "total", "steps": 5}, EXTEND)
    update = iter(range(99))
    seen = run(
        made(*rules), lambda now: {"recon": np.ones(1), "total": np.array([0.1 if next(update) > 18 else 1.0])}, 1
    )
    lr = of(seen, "lr")
    assert [int(now.step[0]) for now in seen[19:27]] == [*[19] * 7, 20]
    assert lr[24:27] == [0.7] * 3  # begun after update 19, arrived after five more, all at step 19
    assert lr[27] < 0.7  # step 21: on the way to the keyframe at 30
    assert lr[36:] == of_table(made(), "lr")[30:]


def test_a_value_that_was_held_has_no_momentum() -> None:
    """After three updates at step 19 lr rests; a move from there begins at rest."""
    rules = ({**MOVE, "measure": "total", "to": 0.5, "steps": 3}, EXTEND)
    update = iter(range(99))
    seen = run(
        made(*rules), lambda now: {"recon": np.ones(1), "total": np.array([0.1 if next(update) > 21 else 1.0])}, 1
    )
    lr, like = of(seen, "lr"), Property(of_table(made(), "lr")[19])
    like.set(0.5, 3)
    for value in lr[23:26]:
        like.step()
        assert value == pytest.approx(like.value, rel=1e-12)


# --- all of it --------------------------------------------------------------------------------------------------------

MANY = (
    {**MOVE, "below": 0.25, "smooth_steps": 5, "times": 3},
    {**MOVE, "name": "s", "parameter": "spread", "measure": "total", "below": None, "above": 1.08, "to": 3, "steps": 7},
    {**RATIO, "smooth_steps": 3, "at_least": 0.01, "from_step": 8},
    {**EXTEND, "below": 0.36, "smooth_steps": 4},
)


def noisy(members: np.ndarray) -> Measured:
    """Measure noise that depends on the member and how often it was measured, and on what the member's values are."""
    streams = [np.random.default_rng(int(member)) for member in members]

    def measured(now: Now) -> Parts:
        noise = np.stack([stream.random(3) for stream in streams], axis=-1)
        parts = dict(zip(("recon", "total", "anchor"), noise + now.values[0] - 0.2, strict=True))
        parts["anchor"] = np.where(noise[0] < 0.2, np.nan, parts["anchor"])
        return parts

    return measured


@pytest.mark.parametrize("final_step", ["repeat", "reach"])
def test_a_member_alone_and_among_others_in_any_order_has_the_same_bits(final_step: str) -> None:
    schedule, members = made(*MANY, final_step=final_step), np.arange(13)
    together = run(schedule, noisy(members), 13)
    assert all(len(set(counts.tolist())) > 1 for counts in together[-1].acted.values())
    order = np.random.default_rng(0).permutation(13)
    shuffled = run(schedule, noisy(members[order]), 13)
    alone = [run(schedule, noisy(members[[member]]), 1) for member in members]
    for update, now in enumerate(together):
        single = [each[update] for each in alone]
        for others, mine in ((shuffled[update], order), (_joined(single), members)):
            np.testing.assert_array_equal(others.values, now.values[:, mine])
            np.testing.assert_array_equal(others.step, now.step[mine])
            np.testing.assert_array_equal(others.running, now.running[mine])
            for name, counts in now.acted.items():
                np.testing.assert_array_equal(others.acted[name], counts[mine])


def _joined(single: list[Now]) -> Now:
    return Now(
        np.concatenate([now.values for now in single], axis=1),
        np.concatenate([now.step for now in single]),
        np.concatenate([now.running for now in single]),
        {name: np.concatenate([now.acted[name] for now in single]) for name in single[0].acted},
    )


def test_a_member_without_measurements_is_left_alone_and_finite() -> None:
    dead = run(made(*MANY), constant(recon=np.nan, total=np.nan, anchor=np.nan), 2)
    assert np.isfinite([now.values for now in dead]).all()
    assert {name: counts.tolist() for name, counts in dead[-1].acted.items()} == {
        "m": [0, 0],
        "s": [0, 0],
        "r": [0, 0],
        "e": [6, 6],
    }


def test_what_an_update_was_told_is_not_changed_by_those_after_it() -> None:
    scheduler = Scheduler(made(*MANY), NAMES, 2)
    first = scheduler.at(0)
    kept = first.values.copy(), first.step.copy(), {name: counts.copy() for name, counts in first.acted.items()}
    for update in range(30):
        scheduler.observe(noisy(np.arange(2))(scheduler.at(update)))
    np.testing.assert_array_equal(first.values, kept[0])
    np.testing.assert_array_equal(first.step, kept[1])
    assert all((first.acted[name] == counts).all() for name, counts in kept[2].items())


def test_a_member_that_has_finished_is_not_acted_on() -> None:
    rule = {**MOVE, "times": 99, "hysteresis": 0.0}
    update = iter(range(99))
    waits = np.array([True, False])

    def measured(now: Now) -> Parts:
        flip = 0.4 if next(update) % 2 else 1.0
        return {"recon": np.full(2, flip), "total": np.where(waits, 1.0, 0.1)}

    seen = run(made(rule, {**EXTEND, "measure": "total"}), measured, 2)
    assert seen[-1].running.tolist() == [True, False]
    assert seen[-1].acted["m"][0] > seen[60].acted["m"][0]
    assert seen[-1].acted["m"][1] == seen[60].acted["m"][1]


def test_reactions_cost_little() -> None:
    """Far above what they take, so that a busy machine passes and a loop over members does not."""
    frames = [*FRAMES[:-1], {"step": 1999, "lr": 0.3}]
    rules = [{**rule, "smooth_steps": 50} for rule in (MOVE, RATIO, EXTEND)]
    scheduler = Scheduler(Schedule.model_validate({"keyframes": frames, "rules": rules}), NAMES, 64)
    parts = {name: np.full(64, 0.4) for name in ("recon", "anchor")}
    began = time.perf_counter()
    for update in range(400):
        scheduler.at(update)
        scheduler.observe(parts)
    assert (time.perf_counter() - began) / 400 < 500e-6
