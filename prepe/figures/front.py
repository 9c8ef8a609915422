"""What a search could trade for what: its trials in; every pair of objectives, with the trials that none beats, out."""

import itertools

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from prepe.figures import style
from prepe.figures.search import Objectives, Trials, better, counts, read

_MOST = 3  # objectives whose pairs are drawn
_LISTED = 12
_SHORT = 8


def draw(trials: pa.Table, sweep_name: str, objectives: Objectives) -> Figure:
    """Draw a search's Pareto front over all its objectives, in the plane of every two of the first three.

    Args:
        trials: as in `prepe.figures.search.read`.
        sweep_name: heads the page.
        objectives: of the search, at least two.

    Raises:
        PrepeError: there is no trial to draw, or an objective has no column.
    """
    data = read(trials, objectives)
    front, pairs = data.front, _pairs(objectives)
    shown = front[:_LISTED]
    heights = [3.7 if len(pairs) > 1 else 4.6, 0.35, *[0.55 + 0.24 * len(shown)] * bool(shown)]
    figure, parts = style.page(f"Pareto front of {sweep_name}", f"{counts(data)}\n{_says(data)}", heights)
    panels = parts[0].subplots(1, len(pairs), squeeze=False)[0]
    for axes, (first, second) in zip(panels, pairs, strict=True):
        _plane(axes, data, objectives, first, second)
    marks, names = panels[0].get_legend_handles_labels()
    parts[1].legend(marks, names, loc="center", ncols=len(marks), handletextpad=0.4)
    if shown:
        _table(parts[2], data, objectives, shown)
    return figure


def alt_text(trials: pa.Table, sweep_name: str, objectives: Objectives) -> str:
    """Say in words and numbers what `draw` shows of the same rows."""
    data = read(trials, objectives)
    lines = [f"Pareto front of {sweep_name}.", counts(data), _says(data)]
    for place, i in enumerate(data.front[:_LISTED], 1):
        values = ", ".join(f"{name} {data.values[k][i]:.3g}" for k, (name, _) in enumerate(objectives))
        lines.append(f"{place}: {data.ids[i]}: {values}.")
    return "\n".join(lines)


def _says(data: Trials) -> str:
    n = len(data.front)
    some = f"{n} feasible trial{'s are' if n != 1 else ' is'}"
    return f"{some} on the front: no other feasible one is as good in every objective and better in one."


def _pairs(objectives: Objectives) -> list[tuple[int, int]]:
    return list(itertools.combinations(range(min(len(objectives), _MOST)), 2))


def _plane(axes: Axes, data: Trials, objectives: Objectives, first: int, second: int) -> None:
    """Draw all trials in the plane of two objectives: those on the front numbered, infeasible ones hollow."""
    x, y = data.near(first), data.near(second)
    drawn = np.isfinite(x) & np.isfinite(y)
    on = np.zeros(len(x), dtype=bool)
    on[data.front] = True
    feasible, rest = drawn & data.feasible & ~on, drawn & ~data.feasible
    axes.scatter(
        x[rest], y[rest], s=26, facecolors="none", edgecolors=style.muted(), linewidths=0.9, label="infeasible"
    )
    axes.scatter(x[feasible], y[feasible], s=28, color=style.palette()[0], linewidths=0, label="feasible")
    axes.scatter(
        x[on], y[on], s=150, color=style.palette()[4], edgecolors=style.ink(), linewidths=0.8, label="on the front"
    )
    for place, i in enumerate(data.front, 1):
        axes.text(x[i], y[i], str(place), ha="center", va="center", fontsize=8, color="#1b1e24", zorder=5)
    for set_label, k in ((axes.set_xlabel, first), (axes.set_ylabel, second)):
        set_label(f"{objectives[k][0]}\n({better(objectives[k][1])})")
    axes.margins(0.1)


def _table(figure: SubFigure, data: Trials, objectives: Objectives, shown: list[int]) -> None:
    """List the trials on the front with their objectives."""
    style.panel(figure, "", "On the front, by the first objective")
    axes = figure.subplots()
    axes.axis("off")
    cells = [
        [str(place), data.ids[i][:_SHORT], *(style.digits(values[i]) for values in data.values)]
        for place, i in enumerate(shown, 1)
    ]
    table = axes.table(cells, colLabels=["", "trial", *(name for name, _ in objectives)], loc="center", edges="open")
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    table.auto_set_column_width(list(range(2 + len(objectives))))
    for cell in table.get_celld().values():
        cell.get_text().set_color(style.ink())
