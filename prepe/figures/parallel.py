"""Whole trials at a glance: a search's trials in; a line each over all parameters and objectives out."""

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from prepe.figures import style
from prepe.figures.search import Objectives, Scale, Trials, better, counts, read, scale

_TOP = 5
_MOST_NAMES = 6
_MOST_FLAT = 8  # axes whose names have room beside each other


def draw(trials: pa.Table, sweep_name: str, objectives: Objectives) -> Figure:
    """Draw parallel coordinates: an upright axis a parameter and objective, a line a trial, the best ones in colour.

    Args:
        trials: as in `prepe.figures.search.read`.
        sweep_name: heads the page.
        objectives: of the search.

    Raises:
        PrepeError: there is no trial to draw, or an objective has no column.
    """
    data = read(trials, objectives)
    columns = _columns(data, objectives)
    text = f"{counts(data)} Objectives are turned so that better is up; a line that ends on its way is a failed trial."
    figure, parts = style.page(f"Parallel coordinates of {sweep_name}", text, [4.9, 0.35])
    axes = parts[0].subplots()
    _lines(axes, data, np.stack([each.places for each in columns.values()], axis=-1))
    _axes(axes, columns, len(data.names))
    marks, names = axes.get_legend_handles_labels()
    parts[1].legend(marks, names, loc="center", ncols=len(marks))
    return figure


def alt_text(trials: pa.Table, sweep_name: str, objectives: Objectives) -> str:
    """Say in words and numbers what `draw` shows of the same rows."""
    data = read(trials, objectives)
    lines = [f"Parallel coordinates of {sweep_name}.", counts(data)]
    top = data.ranking[:_TOP]
    for name in data.names:
        values, best = (
            [params[name] for params in some if name in params] for some in (data.params, [data.params[i] for i in top])
        )
        lines.append(f"{name}: {_range(values)}" + (f"; the {len(best)} best {_range(best)}." if best else "."))
    goals = ", ".join(f"{name} ({better(goal)})" for name, goal in objectives)
    return "\n".join([*lines, f"Objectives: {goals}."])


def _range(values: list[float | str]) -> str:
    if any(isinstance(each, str) for each in values):
        return ", ".join(dict.fromkeys(map(str, values)))
    numbers = [float(each) for each in values]
    return f"{min(numbers):.3g} to {max(numbers):.3g}"


def _columns(data: Trials, objectives: Objectives) -> dict[str, Scale]:
    """Return every parameter's and objective's scale; one that is to be small is turned around."""
    columns = {name: scale(data.column(name)) for name in data.names}
    for k, (name, _) in enumerate(objectives):
        own = scale(list(data.near(k)))
        turned = data.signs[k] < 0
        columns[name] = Scale(1 - own.places if turned else own.places, own.ends[::-1] if turned else own.ends)
    return columns


def _lines(axes: Axes, data: Trials, places: np.ndarray) -> None:
    """Draw a line a trial, `(trials, columns)`, those behind first."""
    top = np.zeros(len(places), dtype=bool)
    top[data.ranking[:_TOP]] = True
    groups = [
        ("infeasible", ~data.feasible, style.muted(), 0.7, 0.35),
        ("feasible", data.feasible & ~top, style.palette()[0], 1.1, 0.75),
        (f"the {top.sum()} best by the first objective", top & ~_first(data), style.palette()[4], 1.9, 1.0),
        ("the best", _first(data), style.palette()[2], 2.6, 1.0),
    ]
    x = np.arange(places.shape[1])
    for label, some, color, width, alpha in groups:
        if some.any():
            lines = [np.column_stack([x, row])[np.isfinite(row)] for row in places[some]]
            axes.add_collection(LineCollection(lines, colors=color, linewidths=width, alpha=alpha, label=label))


def _first(data: Trials) -> np.ndarray:
    first = np.zeros(len(data.ids), dtype=bool)
    first[data.ranking[:1]] = True
    return first


def _axes(axes: Axes, columns: dict[str, Scale], parameters: int) -> None:
    """Draw the upright axes, with what stands at their ends; objectives come after a gap in the ground."""
    axes.set_xlim(-0.4, len(columns) - 0.6)
    axes.set_ylim(-0.1, 1.1)
    axes.axvspan(parameters - 0.5, len(columns) - 0.6, color=style.shade(), zorder=0)
    for x, each in enumerate(columns.values()):
        axes.axvline(x, 0.1 / 1.2, 1.1 / 1.2, color=style.ink(), lw=0.9, zorder=1)
        if 2 < len(each.names) <= _MOST_NAMES:
            for i, name in enumerate(each.names):
                axes.text(x + 0.05, i / (len(each.names) - 1), name, fontsize=8, va="center")
        else:
            axes.text(x, -0.03, each.ends[0], ha="center", va="top", fontsize=8.5)
            axes.text(x, 1.03, each.ends[1], ha="center", va="bottom", fontsize=8.5)
    many = len(columns) > _MOST_FLAT
    names = list(columns) if many else [name.replace("log10 ", "log10\n").replace(".", ".\n") for name in columns]
    axes.set_xticks(range(len(columns)), names, rotation=35 if many else 0, fontsize=8.5)
    if many:
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
            label.set_rotation_mode("anchor")
    axes.set_yticks([])
    axes.grid(visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
