"""What schedules ask for: `Schedule`s in; weights over the learning rate, with phases, actions and rules, out."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from prepe.figures import style
from prepe.keyframes import (
    Column,
    ExtendRule,
    MoveRule,
    RatioRule,
    Rule,
    Schedule,
    keys_of,
    phase_starts,
    values_at,
)
from prepe.keyframes import update_steps as updates

LETTER_INCHES = 0.085
"""The width of a bold letter, about."""
_FAR = 25.0  # between the peaks of weights, from where on the axis is logarithmic above a threshold
_PANEL_INCHES = {1: 9.0, 2: 4.2}  # of the width of a panel, by columns
_LEGEND_COLUMNS = 4


class Span(NamedTuple):
    """A phase, from its first step to its last; phases of one name that follow on each other are one."""

    name: str
    first: int
    last: int


class Label(NamedTuple):
    """Where the name of a phase is written: a share of the width, aligned left or centred there, and its line."""

    name: str
    x: float
    align: str
    line: int


def draw(schedules: Mapping[str, Schedule], openers: list[str], title: str, text: str = "") -> Figure:
    """Draw schedules below or beside each other: weights, with a dot at each keyframe, over the learning rate.

    Args:
        schedules: by name; the name of a single one is not written.
        openers: parameters that open the data, which are drawn wide and faint.
        title: heads the page.
        text: stands below it.
    """
    columns = 1 if len(schedules) <= 2 else 2
    rows = math.ceil(len(schedules) / columns)
    lines = {name: place(spans(each), each.steps, _PANEL_INCHES[columns]) for name, each in schedules.items()}
    names, said = _weights(schedules), _rule_lines(schedules)
    head = 0.18 * max((label.line + 1 for each in lines.values() for label in each), default=0)
    row = head + (3.3 if names else 1.6) + (0.3 if len(schedules) > 1 else 0)
    legend = 0.2 * math.ceil(len(names) / _LEGEND_COLUMNS) + 0.1
    foot = [0.2 * len(said) + 0.2] if said else []
    figure, parts = style.page(title, "\n".join(filter(None, (text, _says(schedules)))), [legend, *[row] * rows, *foot])
    looks = _looks(names, openers)
    for i, part in enumerate(parts[1 : 1 + rows]):
        cells = np.ravel(part.subfigures(1, columns, squeeze=False))
        for cell, name in zip(cells, list(schedules)[i * columns : (i + 1) * columns], strict=False):
            if len(schedules) > 1:
                style.panel(cell, "", name)
            _one(cell, schedules[name], looks, lines[name])
    _share(figure)
    if names:
        handles = [Line2D([], [], **looks[name]) for name in names]
        parts[0].legend(
            handles, names, loc="upper left", ncols=_LEGEND_COLUMNS, handlelength=2.4, borderaxespad=0.9, borderpad=0
        )
    if said:
        parts[-1].text(0.008, 0.95, "\n".join(said), va="top", linespacing=1.5)
    return figure


def alt_text(schedules: Mapping[str, Schedule], openers: list[str], title: str, text: str = "") -> str:
    """Say in words and numbers what `draw` shows of the same schedules."""
    lines = [f"{title}.", *filter(None, (text, _says(schedules)))]
    several = len(schedules) > 1
    for label, schedule in schedules.items():
        phases = ", ".join(f"{span.name!r} to step {span.last}" for span in spans(schedule)) or "none"
        count = len(schedule.keyframes)
        lines.append(
            f"{label + ': ' if several else ''}{schedule.steps} updates, {count} keyframe{'s' * (count != 1)}; "
            f"phases: {phases}."
        )
        for step, actions in schedule.actions().items():
            lines.append(f"{label + ': ' if several else ''}action at step {step}: {', '.join(actions)}.")
    for name in dict.fromkeys(each for schedule in schedules.values() for each in schedule.names()):
        moves: dict[str, list[str]] = {}
        for label, schedule in schedules.items():
            if name in schedule.names():
                moves.setdefault(_moves(schedule, name), []).append(label)
        what = f"{name} (opens the data)" if name in openers else name
        for move, labels in moves.items():
            which = "" if len(labels) == len(schedules) else f", {' and '.join(labels)}"
            lines.append(f"{what}{which}: {move}.")
    return "\n".join([*lines, *_rule_lines(schedules)])


def spans(schedule: Schedule) -> list[Span]:
    """Return the phases that have a name, in order."""
    starts = [*phase_starts(schedule), (schedule.steps, "")]
    found: list[Span] = []
    for (first, name), (after, _) in pairwise(starts):
        if found and found[-1].name == name:
            found[-1] = Span(name, found[-1].first, after - 1)
        elif name:
            found.append(Span(name, first, after - 1))
    return found


def place(phases: list[Span], steps: int, inches: float) -> list[Label]:
    """Return where the phases' names go: centred over their span where they fit, and never one over another.

    Args:
        phases: in order.
        steps: of the schedule, which fill the width.
        inches: of the width.
    """
    taken: list[float] = []  # by line, where the last name ends
    labels = []
    for name, first, last in phases:
        width = len(name) * LETTER_INCHES / inches
        low, high = first / steps, (last + 1) / steps
        centred = width <= high - low
        start = (low + high) / 2 - width / 2 if centred else max(0.0, min(low, 1 - width))
        line = next((i for i, end in enumerate(taken) if end <= start), len(taken))
        taken[line : line + 1] = [start + width + 0.01]
        labels.append(Label(name, (low + high) / 2 if centred else start, "center" if centred else "left", line))
    return labels


def says(rule: Rule) -> str:
    """Say a rule in words."""
    awake = f" from step {rule.from_step}" if rule.from_step else ""
    awake += f" to {rule.to_step}" if rule.to_step is not None else ""
    if isinstance(rule, RatioRule):
        return (
            f"{rule.name}{awake}: hold weight x {rule.measure} at {rule.ratio:g} times the weighted {rule.of}, with "
            f"the weight from {rule.at_least:g} to {rule.at_most:g}"
        )
    side = f"below {rule.below:g}" if rule.below is not None else f"above {rule.above:g}"
    if isinstance(rule, MoveRule):
        return (
            f"{rule.name}{awake}: when {rule.measure} comes {side}, move {rule.parameter} to {rule.to:g} in "
            f"{rule.steps} steps"
        )
    assert isinstance(rule, ExtendRule)
    return (
        f"{rule.name}{awake}: stay in {rule.phase!r} until {rule.measure} is {side}, {rule.at_most_steps} steps at most"
    )


def _rule_lines(schedules: Mapping[str, Schedule]) -> list[str]:
    lines = []
    for label, schedule in schedules.items():
        head = f"{label}, rule " if len(schedules) > 1 else "Rule "
        lines += [f"{head}{says(rule)}." for rule in schedule.rules]
    return lines


def _weights(schedules: Mapping[str, Schedule]) -> list[str]:
    return [name for name in dict.fromkeys(n for each in schedules.values() for n in each.names()) if name != "lr"]


def _says(schedules: Mapping[str, Schedule]) -> str:
    reacting = any(schedule.rules for schedule in schedules.values())
    paced = any("lr" in schedule.names() for schedule in schedules.values())
    what = "Weights, and the learning rate (lr) below" if paced else "Weights"
    what = what if _weights(schedules) else "The learning rate (lr)"
    return f"{what}; a dot is a keyframe." + (" Rules may change this; none has acted yet." if reacting else "")


def _moves(schedule: Schedule, name: str) -> str:
    return ", ".join(f"{value:g} at {int(step)}" for step, value in zip(*keys_of(schedule, name), strict=True))


def _looks(names: list[str], openers: list[str]) -> dict[str, dict[str, Any]]:
    """Return how each parameter's line is drawn."""
    marks = style.marks([name for name in names if name not in openers])
    looks: dict[str, dict[str, Any]] = {name: {"color": c, "ls": dash, "lw": 1.7} for name, (c, dash) in marks.items()}
    for name, (color, dash) in style.marks([name for name in names if name in openers]).items():
        looks[name] = {"color": color, "ls": dash, "lw": 5.5, "alpha": 0.42, "solid_capstyle": "butt"}
    return looks | {"lr": {"color": style.ink(), "lw": 1.7}}


def _one(figure: FigureBase, schedule: Schedule, looks: dict[str, dict[str, Any]], labels: list[Label]) -> None:
    names = schedule.names()
    kinds = [kind for kind, some in (("weight", names != ["lr"]), ("lr", "lr" in names)) if some]
    panels = figure.subplots(len(kinds), 1, sharex=True, squeeze=False, height_ratios=[2.6, 1][: len(kinds)])[:, 0]
    top, bottom = panels[0], panels[-1]
    steps = updates(schedule)
    for name in sorted(names, key=lambda each: "alpha" not in looks[each]):  # those behind come first
        axes, look = bottom if name == "lr" else top, looks[name]
        jumps = (schedule.columns.get(name, Column()).timing or schedule.timing) == "step-end"
        drawn = "steps-post" if jumps else "default"
        axes.plot(np.arange(len(steps)), values_at(schedule, name, steps), drawstyle=drawn, **look)
        dot = {"color": look["color"], "ms": 4.5, "alpha": look.get("alpha", 1.0)}
        axes.plot(*keys_of(schedule, name), "o", clip_on=False, zorder=3, **dot)
    for first, _ in phase_starts(schedule)[1:]:
        for axes in (top, bottom):
            axes.axvline(first, color=style.muted(), lw=0.9, ls=":", zorder=1)
    for label in labels:
        top.annotate(
            label.name,
            (label.x, 1),
            xycoords="axes fraction",
            xytext=(0, 5 + 13 * label.line),
            textcoords="offset points",
            ha=label.align,
            fontweight="bold",
        )
    for step, actions in schedule.actions().items():
        foot = top.get_xaxis_transform()
        top.plot(step, 0.0, "^", ms=8, color=style.ink(), transform=foot, clip_on=False, zorder=4)
        top.annotate(", ".join(actions), (step, 0), xycoords=foot, xytext=(8, 4), textcoords="offset points")
    for axes, kind in zip(panels, kinds, strict=True):
        axes.set_ylabel(kind)
    bottom.set_xlim(0, schedule.steps)
    bottom.set_xlabel("step")
    bottom.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    for axes in (top, bottom):
        axes.yaxis.set_major_formatter("{x:g}")


def _share(figure: Figure) -> None:
    """Give all upper panels one scale, and all lower ones."""
    for kind in ("weight", "lr"):
        panels = [axes for axes in figure.axes if axes.get_ylabel() == kind]
        lines = [line for axes in panels for line in axes.lines if np.size(line.get_ydata()) > 2]
        _scale(panels, [np.asarray(line.get_ydata(), dtype=float) for line in lines], kind == "weight")


def _scale(panels: list[Axes], values: list[np.ndarray], may_be_log: bool) -> None:
    peaks = np.array([each.max() for each in values if each.max() > 0])
    high = peaks.max(initial=0.0) or 1.0
    for axes in panels:
        if may_be_log and len(peaks) and high / peaks.min() > _FAR:
            least = min(float(each[each > 0].min()) for each in values if (each > 0).any())
            axes.set_yscale("symlog", linthresh=10.0 ** math.floor(math.log10(max(least, high * 1e-4))), linscale=0.4)
            axes.set_ylim(0, high * 1.6)
            axes.yaxis.set_major_formatter("{x:g}")
        else:
            axes.set_ylim(0, high * 1.06)
            axes.locator_params(axis="y", nbins=5 if may_be_log else 3)
