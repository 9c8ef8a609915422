"""How two parameters act together: a search's trials in; the first objective over the plane of both, smoothed, out.

Source: Nadaraya, "On estimating regression" (1964), and Watson (1964), for the smooth surface: a mean of trials, those
near by weighing more, with the width that predicts each trial best from the others.
"""

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from prepe.catalog import unknown
from prepe.errors import PrepeError
from prepe.figures import style
from prepe.figures.search import Objectives, Scale, Trials, better, counts, read, scale
from prepe.metrics.importance import importance

Pair = tuple[str, str]
_WIDTHS = (0.06, 0.09, 0.13, 0.19, 0.28, 0.4)
_CELLS = 90
_FAR = 0.16  # of the plane's side: so far from any trial, nothing is drawn


def pair_of(trials: pa.Table, objectives: Objectives, names: Pair | None = None) -> Pair | None:
    """Return the two parameters to draw: those given, or the two that matter most for the first objective.

    Raises:
        PrepeError: a given name is no parameter of numbers, or both are one.
    """
    data = read(trials, objectives)
    known = [name for name in data.names if not scale(data.column(name)).names]
    for name in names or ():
        if name not in known:
            raise PrepeError(f"--contour {name}: {unknown(name, known, 'parameter')}")
    if names is not None:
        if names[0] == names[1]:
            raise PrepeError(f"--contour {names[0]},{names[1]}: one parameter twice; allowed: two")
        return names
    found = list(importance({name: data.column(name) for name in known}, data.values[0]))
    return (found[0], found[1]) if len(found) > 1 else None


def draw(trials: pa.Table, sweep_name: str, objectives: Objectives, names: Pair) -> Figure:
    """Draw the first objective over two parameters: smoothed, with every trial as a dot.

    Args:
        trials: as in `prepe.figures.search.read`.
        sweep_name: heads the page.
        objectives: of the search.
        names: of two parameters with numbers.

    Raises:
        PrepeError: there is no trial to draw, or an objective has no column.
    """
    data = read(trials, objectives)
    objective, goal = objectives[0]
    across, up = (scale(data.column(name)) for name in names)
    figure, parts = style.page(f"{names[0]} and {names[1]} in {sweep_name}", _says(data, across, up), [5.4, 0.35])
    axes = parts[0].subplots()
    value = data.near(0)
    known = np.isfinite(value)
    width, _ = _width(_points(across, up, known), value[known])
    side = np.linspace(-0.04, 1.04, _CELLS)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    surface, nearest = _smooth(_points(across, up, known), value[known], grid, width)
    surface = np.where(nearest < _FAR, surface, np.nan).reshape(_CELLS, _CELLS)
    drawn = axes.contourf(side, side, surface, levels=12, cmap="cividis" if data.sign > 0 else "cividis_r", alpha=0.9)
    parts[0].colorbar(drawn, ax=axes, label=f"{objective} ({better(goal)})")
    _dots(axes, data, across, up)
    for set_ticks, each, set_label, name in (
        (axes.set_xticks, across, axes.set_xlabel, names[0]),
        (axes.set_yticks, up, axes.set_ylabel, names[1]),
    ):
        set_ticks(*_ticks(each))
        set_label(f"{name} (log scale)" if each.log else name)
    axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
    marks, labels = axes.get_legend_handles_labels()
    parts[1].legend(marks, labels, loc="center", ncols=len(marks), handletextpad=0.4)
    return figure


def alt_text(trials: pa.Table, sweep_name: str, objectives: Objectives, names: Pair) -> str:
    """Say in words and numbers what `draw` shows of the same rows."""
    data = read(trials, objectives)
    across, up = (scale(data.column(name)) for name in names)
    lines = [f"{objectives[0][0]} over {names[0]} and {names[1]} in {sweep_name}.", _says(data, across, up)]
    value = data.near(0)
    for high, first in ((True, "upper"), (False, "lower")):
        for right, second in ((False, "lower"), (True, "upper")):
            some = ((up.places > 0.5) == high) & ((across.places > 0.5) == right) & np.isfinite(value)
            if some.any():
                mean = f"{np.mean(value[some]):.3g} on the mean of {int(some.sum())} trials"
                lines.append(f"{second} half of {names[0]}, {first} half of {names[1]}: {mean}.")
    return "\n".join(lines)


def _says(data: Trials, across: Scale, up: Scale) -> str:
    value = data.near(0)
    known = np.isfinite(value)
    _, skill = _width(_points(across, up, known), value[known])
    if np.isnan(skill):
        return counts(data)
    return (
        f"{counts(data)}\nColour is a smoothed mean over trials, which differ in all other parameters too; predicting "
        f"each trial from the others, it explains {max(0.0, skill):.0%} of the variance."
    )


def _points(across: Scale, up: Scale, known: np.ndarray) -> np.ndarray:
    return np.stack([across.places, up.places], axis=-1)[known]


def _smooth(points: np.ndarray, values: np.ndarray, at: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of values around each place, and how far the nearest point is."""
    distance = np.linalg.norm(at[:, None] - points[None], axis=-1)
    nearest = distance.min(1)
    weight = np.exp(-(distance**2 - nearest[:, None] ** 2) / (2 * width**2))
    return (weight @ values) / weight.sum(1), nearest


def _width(points: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Return the width that predicts each value best from the others, and the share of variance that this explains."""
    if len(values) < 4 or np.ptp(values) == 0:
        return _WIDTHS[-1], np.nan
    square = ((points[:, None] - points[None]) ** 2).sum(-1)
    np.fill_diagonal(square, np.inf)
    skills = []
    for width in _WIDTHS:
        weight = np.exp(-(square - square.min(1, keepdims=True)) / (2 * width**2))
        predicted = (weight @ values) / weight.sum(1)
        skills.append(1 - float(((predicted - values) ** 2).mean() / values.var()))
    best = int(np.argmax(skills))
    return _WIDTHS[best], skills[best]


def _dots(axes: Axes, data: Trials, across: Scale, up: Scale) -> None:
    x, y, known = across.places, up.places, ~data.failed
    best = np.array(data.ranking[:1], dtype=int)
    ink = style.ink()
    for label, some, size, face in (
        ("feasible", known & data.feasible, 30.0, ink),
        ("infeasible", known & ~data.feasible, 22.0, "none"),
    ):
        if some.any():
            axes.scatter(x[some], y[some], s=size, fc=face, ec=ink, linewidths=0.9, label=label, zorder=3)
    if data.failed.any():
        axes.plot(x[data.failed], y[data.failed], "x", ms=5, color=ink, label="failed", zorder=3)
    if best.size:
        ring = style.palette()[2]
        axes.scatter(x[best], y[best], s=170, fc="none", ec=ring, linewidths=2.2, label="best", zorder=4)


def _ticks(each: Scale) -> tuple[list[float], list[str]]:
    """Return where the ticks of a parameter's scale stand, and their labels."""
    if each.log:
        span = np.log10(each.high / each.low)
        steps = (1, 2, 5) if span < 1.3 else (1, 3) if span < 2 else (1,)
        decades = range(int(np.floor(np.log10(each.low))), int(np.ceil(np.log10(each.high))) + 1)
        values = np.array([step * 10.0**power for power in decades for step in steps])
        places = np.log(values / each.low) / np.log(each.high / each.low)
    else:
        values = np.asarray(MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(each.low, each.high))
        places = (values - each.low) / max(each.high - each.low, 1e-12)
    kept = (places > -0.04) & (places < 1.04)
    return [float(p) for p in places[kept]], [f"{v:g}" for v in values[kept]]
