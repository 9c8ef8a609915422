"""What mattered in a search: its trials in; how much of each objective every parameter explains out."""

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prepe.figures import style
from prepe.figures.search import Objectives, Trials, better, counts, read
from prepe.metrics.importance import Importance, importance

_MOST = 4  # panels beside each other


def draw(trials: pa.Table, sweep_name: str, objectives: Objectives) -> Figure:
    """Draw a panel an objective, with a bar a parameter, those that matter most on top.

    Args:
        trials: as in `prepe.figures.search.read`.
        sweep_name: heads the page.
        objectives: of the search.

    Raises:
        PrepeError: there is no trial to draw, or an objective has no column.
    """
    data = read(trials, objectives)
    found = shares(data, objectives)
    order = _order(found)
    text = (
        f"{counts(data)} Share of an objective's ranks over trials that a parameter's own rank and its square explain."
    )
    figure, (part,) = style.page(f"Importance in {sweep_name}", text, [1.3 + 0.27 * max(3, len(order))])
    panels = part.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axes, (name, goal) in zip(panels, objectives, strict=False):
        _bars(axes, found[name], order)
        axes.set_title(style.wrapped(f"{name} ({better(goal)})", 34 if len(found) > 2 else 50), fontsize=9.5)
        axes.set_xlabel("share of ranks explained")
    return figure


def alt_text(trials: pa.Table, sweep_name: str, objectives: Objectives) -> str:
    """Say in words and numbers what `draw` shows of the same rows."""
    data = read(trials, objectives)
    lines = [f"Importance of the parameters of {sweep_name}.", counts(data)]
    for name, each in shares(data, objectives).items():
        more = [f"{key} {value.share:.2f}" for key, value in each.items() if value.is_more_than_chance]
        chance = max((value.chance for value in each.values()), default=0.0)
        said = ", ".join(more) or "none more than by chance"
        lines.append(f"{name}: {said}; by chance one parameter in twenty would reach {chance:.2f}.")
    return "\n".join(lines)


def shares(data: Trials, objectives: Objectives) -> dict[str, dict[str, Importance]]:
    """Return the importance of each parameter for each of the first few objectives."""
    columns = {name: data.column(name) for name in data.names}
    return {
        name: importance(columns, values)
        for (name, _), values in zip(objectives[:_MOST], data.values[:_MOST], strict=True)
    }


def _order(found: dict[str, dict[str, Importance]]) -> list[str]:
    """Return the parameters by the largest share that they have of any objective, the largest first."""
    most: dict[str, float] = {}
    for each in found.values():
        for name, value in each.items():
            most[name] = max(most.get(name, 0.0), value.share)
    return sorted(most, key=lambda name: -most[name])


def _bars(axes: Axes, found: dict[str, Importance], order: list[str]) -> None:
    places = np.arange(len(order))[::-1]
    blank = Importance(0.0, np.nan)
    values = [found.get(name, blank) for name in order]
    colors = [style.palette()[0] if each.is_more_than_chance else style.muted() for each in values]
    axes.barh(places, [each.share for each in values], 0.62, color=colors)
    chance = np.array([each.chance for each in values])
    if np.isfinite(chance).any():
        orange = style.palette()[2]
        axes.plot(chance, places, "|", color=orange, ms=14, mew=1.6)
        axes.text(np.nanmax(chance), -0.95, " by chance,\n 1 in 20", color=orange, fontsize=8.5, va="center")
    axes.set_yticks(places, order)
    axes.set_ylim(-1.5, len(order) - 0.4)
    axes.set_xlim(0, max(0.5, *(1.15 * each.share for each in values)) if values else 1)
    axes.grid(axis="y", visible=False)
