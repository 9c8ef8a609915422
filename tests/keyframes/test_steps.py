"""Relative steps, resolved: the worked table of the reference."""

import pytest

from prepe.keyframes import resolve

WORKED = (
    ("0 10 20", (0, 10, 20)),
    ("0 +0.5 10", (0, 5, 10)),
    ("0 -0.5 10", (0, 5, 10)),
    ("10 -0.2 20", (10, 18, 20)),
    ("0 +5 10", (0, 5, 10)),
    ("10 +2 20", (10, 12, 20)),
    ("0 -3 10", (0, 7, 10)),
    ("10 -1 20", (10, 19, 20)),
    ("0 +2 +0.5 -1 10", (0, 2, 5, 9, 10)),
    ("0 +0.25 -0.25 8", (0, 2, 6, 8)),
    ("0 -5 3", (0, 0, 3)),
    ("5 -10 8", (5, 0, 8)),
    ("0 +20 10", (0, 20, 10)),
    ("-5 10", (5, 10)),
    ("0 +0.5 5", (0, 2, 5)),  # 2.5, to even
    ("0 +0.5 7", (0, 4, 7)),  # 3.5, to even
    ("10 +5 0", (10, 15, 0)),
    ("10 +0.5 0", (10, 5, 0)),
    ("0 +.5 10", (0, 5, 10)),
    ("+5 10", (None, 10)),
    ("+0.5 10", (None, 10)),
    ("-0.5 10", (None, 10)),
    ("0 -5", (0, None)),
    ("0 +0.5", (0, None)),
    ("0 -0.5", (0, None)),
    ("0 10.0 20", (0, None, 20)),
    ("00 007 010", (0, 7, 10)),
)


@pytest.mark.parametrize(("written", "steps"), WORKED)
def test_steps_are_resolved_as_the_table_says(written: str, steps: tuple[int | None, ...]) -> None:
    assert resolve(written.split(" ")) == list(steps)


@pytest.mark.parametrize(
    "step",
    ["+abc", "-xyz", "-", "+", "+1.5", "-1.5", "+0", "-0", "+05", "+1.0", "+0.0", "+5.", "+1e-1", "", " 5", "5 ", "٣"],
)
def test_what_is_no_step_is_not_resolved_and_no_anchor_for_others(step: str) -> None:
    assert resolve(["0", step, "10"]) == [0, None, 10]
    assert resolve(["0", step, "+1", "-1", "10"]) == [0, None, 1, 9, 10]


def test_relative_steps_count_from_absolute_ones_and_not_from_each_other() -> None:
    assert resolve(["0", "+3", "+4", "-4", "-3", "100"]) == [0, 3, 4, 96, 97, 100]
