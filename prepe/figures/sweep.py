"""A search at a glance: its trials in; the trade-off, the progress and what each parameter did out."""

import itertools
import math
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import MaxNLocator

from prepe.figures import style
from prepe.figures.search import Objectives, Trials, better, counts, is_log, read

_COLUMNS = 4  # of small panels beside each other
_MOST_FLAT = 4  # names that have room beside each other below a small panel
_TOP = 5  # trials that are picked out in the panels of parameters


def draw(trials: pa.Table, sweep_name: str, objectives: Objectives) -> Figure:
    """Draw a search.

    Args:
        trials: columns number, trial, state, feasible, params (JSON text or struct) and one for each objective.
        sweep_name: heads the page.
        objectives: names of the objectives' columns, each with "maximize" or "minimize".

    Raises:
        PrepeError: there is no trial to draw, or an objective has no column.
    """
    data = read(trials, objectives)
    names = data.names
    rows = math.ceil(len(names) / _COLUMNS)
    heights = [3.9, 0.35] + ([0.5 + 1.75 * rows] if names else [])
    figure, parts = style.page(f"Search {sweep_name}", counts(data), heights)
    several = len(objectives) > 1
    pair = np.ravel(parts[0].subfigures(1, 1 + several, squeeze=False))
    if several:
        style.panel(pair[0], "a", "Trials in the plane of the first two objectives")
        _plane(pair[0].subplots(), data, objectives)
    style.panel(pair[-1], "b" if several else "a", "Best so far")
    axes = pair[-1].subplots()
    _progress(axes, data, objectives)
    marks: dict[str, Any] = {}
    for each in figure.axes:
        marks |= dict(zip(*reversed(each.get_legend_handles_labels()), strict=True))
    parts[1].legend(marks.values(), marks.keys(), loc="center", ncols=len(marks), handletextpad=0.4)
    if names:
        top = data.ranking[:_TOP]
        which = f"; the {len(top)} best in orange" if len(top) > 1 else ""
        style.panel(parts[2], "c" if several else "b", f"{objectives[0][0]} against each parameter{which}")
        _parameters(parts[2], data, names, top)
    return figure


def alt_text(trials: pa.Table, sweep_name: str, objectives: Objectives) -> str:
    """Say in words and numbers what `draw` shows of the same rows."""
    data = read(trials, objectives)
    lines = [f"Search {sweep_name}.", counts(data)]
    for what, i in (("First", 0), ("Best", data.ranking[0] if data.ranking else None)):
        if i is not None:
            values = ", ".join(f"{name} {data.values[k][i]:.3g}" for k, (name, _) in enumerate(objectives))
            params = ", ".join(
                f"{name} {value if isinstance(value, str) else format(value, '.3g')}"
                for name, value in data.params[i].items()
            )
            able = "feasible" if data.feasible[i] else "failed" if data.failed[i] else "infeasible"
            lines.append(f"{what} trial: {data.ids[i]}, proposal {data.number[i]}, {able}: {values}; with {params}.")
    goals = ", ".join(f"{name} ({better(goal)})" for name, goal in objectives)
    lines.append(f"Objectives: {goals}.")
    return "\n".join(lines)


def _dots(axes: Axes, x: np.ndarray, y: np.ndarray, data: Trials, beyond: np.ndarray) -> None:
    """Draw every trial with values: feasible filled, infeasible hollow, the first in a square, the best in a ring."""
    blue, _, red = style.palette()[:3]
    gray, ink = style.muted(), style.ink()
    drawn = np.isfinite(x) & np.isfinite(y)
    on, off, far = drawn & data.feasible, drawn & ~data.feasible & ~beyond, drawn & ~data.feasible & beyond
    hollow = [
        ("infeasible", off, "o", 34.0, gray, 1.0),
        ("infeasible, off the scale", far, "D", 30.0, gray, 1.0),
        ("first", np.flatnonzero(drawn[:1]), "s", 136.0, ink, 1.4),
        ("best", np.array(data.ranking[:1], dtype=int), "o", 170.0, red, 2.0),
    ]
    axes.scatter(x[on], y[on], s=34, color=blue, alpha=0.85, linewidths=0, label="feasible", zorder=3)
    for label, some, marker, size, edge, width in hollow:
        if x[some].size or label == "infeasible":
            axes.scatter(
                x[some],
                y[some],
                s=size,
                marker=marker,
                facecolors="none",
                edgecolors=edge,
                linewidths=width,
                label=label,
                zorder=4,
            )


def _label(objective: tuple[str, str]) -> str:
    return f"{objective[0]}\n({better(objective[1])})"


def _plane(axes: Axes, data: Trials, objectives: Objectives) -> None:
    """Draw the first two objectives against each other, with the front of the feasible trials."""
    x, y = data.near(0), data.near(1)
    _dots(axes, x, y, data, (x != data.values[0]) | (y != data.values[1]))
    better = 1.0 if objectives[1][1] == "maximize" else -1.0
    front: list[int] = []
    for i in data.ranking:
        if np.isfinite(y[i]) and (not front or better * y[i] > better * y[front[-1]]):
            front.append(i)
    axes.plot(x[front], y[front], color=style.muted(), lw=1, zorder=1, label="front")
    axes.set(xlabel=_label(objectives[0]), ylabel=_label(objectives[1]))
    axes.margins(0.12)
    drawn = np.isfinite(x) & np.isfinite(y)
    line = [np.linspace((x[i], y[i]), (x[j], y[j]), 20) for i, j in itertools.pairwise(front)]
    for i in front[:1]:
        _name(axes, data.ids[i], (x[i], y[i]), np.vstack([np.column_stack([x, y])[drawn], *line]))


def _name(axes: Axes, text: str, at: tuple[float, float], avoid: np.ndarray) -> None:
    """Write a name near a point, where it covers none of the other points `(n, 2)`, and join the two by a line."""
    axes.autoscale_view()
    to_axes = axes.transData + axes.transAxes.inverted()
    dots, (x, y) = to_axes.transform(avoid), to_axes.transform(at)
    half = np.array([0.0118 * len(text), 0.035])

    def cost(place: tuple[float, float]) -> float:
        covered = np.all(np.abs(dots - place) < half + 0.02, axis=1).sum()
        return float(covered + np.hypot((place[0] - x) / 4, place[1] - y))

    free = itertools.product(np.linspace(half[0], 1 - half[0], 15), np.linspace(half[1], 1 - half[1], 25))
    axes.annotate(
        text,
        at,
        xytext=min(free, key=cost),
        textcoords="axes fraction",
        ha="center",
        va="center",
        color=style.palette()[2],
        fontweight="bold",
        arrowprops={"arrowstyle": "-", "color": style.palette()[2], "shrinkB": 9, "shrinkA": 0},
    )


def _progress(axes: Axes, data: Trials, objectives: Objectives) -> None:
    """Draw the first objective of every proposal and the best so far; failures stand at the foot."""
    value = data.sign * np.where(data.feasible & np.isfinite(data.values[0]), data.values[0], -data.sign * np.inf)
    best = np.maximum.accumulate(value)
    known = np.isfinite(best)
    line = style.palette()[2]
    axes.step(data.number[known], data.sign * best[known], where="post", color=line, zorder=2, label="best so far")
    shown = data.near(0)
    _dots(axes, data.number.astype(float), shown, data, shown != data.values[0])
    failed = data.number[data.failed]
    if failed.size:
        foot = np.full(len(failed), 0.02)
        axes.plot(failed, foot, "x", color=style.ink(), transform=axes.get_xaxis_transform(), label="failed")
    axes.set(xlabel="proposal number", ylabel=_label(objectives[0]))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
    axes.margins(x=0.04, y=0.09)


def _parameters(figure: FigureBase, data: Trials, names: list[str], top: list[int]) -> None:
    """Draw the first objective against each parameter, with the top trials picked out."""
    panels = figure.subplots(math.ceil(len(names) / _COLUMNS), _COLUMNS, sharey=True, squeeze=False).flat
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    y, on = data.near(0), data.feasible
    beyond = y != data.values[0]
    for name, axes in zip(names, panels, strict=False):
        x = _places(axes, data.column(name))
        for marker, some in (("o", ~on & ~beyond), ("D", ~on & beyond)):
            axes.scatter(x[some], y[some], s=16, marker=marker, fc="none", ec=style.muted(), linewidths=0.8)
        axes.scatter(x[on], y[on], s=16, color=style.palette()[0], linewidths=0)
        axes.scatter(x[top], y[top], s=34, color=style.palette()[4], edgecolors=style.ink(), linewidths=0.8)
        axes.set_title(name)
        axes.margins(0.07)


def _places(axes: Axes, values: list[float | str]) -> np.ndarray:
    """Return where values lie on an axis, of which the scale is chosen; names lie side by side."""
    if any(isinstance(each, str) for each in values):
        names = list(dict.fromkeys(map(str, values)))
        many = len(names) > _MOST_FLAT
        axes.set_xticks(range(len(names)), names, rotation=90 if many else 0, fontsize=7 if many else None)
        return np.array([float(names.index(str(each))) for each in values])
    x = np.array(values, dtype=float)
    _scale(axes, x[np.isfinite(x)])
    return x


def _scale(axes: Axes, values: np.ndarray) -> None:
    """Choose a logarithmic axis for values that span most of a decade, and ticks that have room."""
    if np.all(values == np.round(values)):
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    elif is_log(values):
        style.log_axis(axes, values)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
