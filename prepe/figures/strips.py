"""Metrics over members: rows by group in; a panel a metric, a dot a member, quartiles for every group, out."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from prepe.catalog import MEMBER_METRICS
from prepe.figures import style
from prepe.figures.members import numbers

Groups = Mapping[str, Mapping[str, pa.Table]]
"""Sections by name, each of them groups by name, each of them rows of members; names may be empty."""
FIRST = (
    "recon_mse",
    "ring_order",
    "ring_spacing_rad",
    "off_plane",
    "norm_deviation",
    "anchor_distance",
    "bunching",
    "grade_radius",
    "spike_max",
    "grade_off_plane",
    "ring_gap_rad",
    "ring_winding",
    "norm_mean",
    "ring_line",
    "loss_final",
    "task_cost",
)
"""Metrics in the order in which one would want to see them."""
_ROW = 0.27  # inches a group
_TOO_WIDE, _TINY = 1e8, 1e-4  # from such a ratio on, what is smaller than this share of the largest is drawn as if 0
_WIDE = 30.0  # from a ratio of the largest to the smallest value on, an axis is logarithmic


def metrics_of(groups: Groups, most: int) -> list[str]:
    """Return the metrics to show: those of `FIRST` that were measured and are not the same everywhere.

    Of metrics that say nothing, being equal for all members, only `ring_order` is shown: in order for all is news.
    """
    tables = [table for section in groups.values() for table in section.values()]
    shown = []
    for name in FIRST:
        values = np.concatenate([numbers(table, name) for table in tables]) if tables else np.empty(0)
        values = values[np.isfinite(values)]
        if values.size and (np.ptp(values) > 0 or name == "ring_order"):
            shown.append(name)
    return shown[:most]


def height(groups: Groups) -> float:
    """Return the inches that a row of panels needs."""
    return _ROW * len(_places(groups)) + 0.3 * (len(groups) - 1) + 0.75


def draw(figure: FigureBase, groups: Groups, metrics: Sequence[str], columns: int = 4) -> None:
    """Draw a panel for each metric.

    Args:
        figure: to draw in.
        groups: who is compared.
        metrics: columns of the rows of members.
        columns: panels beside each other.
    """
    rows = -(-len(metrics) // columns)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes in panels.flat[len(metrics) :]:
        axes.set_visible(False)
    places = _places(groups)
    for axes, metric in zip(panels.flat, metrics, strict=False):
        _one(axes, groups, places, metric)
    first = panels[0, 0]
    named = {label: y for (_, label), y in places.items() if label}
    first.set_yticks(list(named.values()), list(named))
    first.set_ylim(max(places.values()) + 0.6, -0.6)


def says(groups: Groups, metric: str) -> str:
    """Say a metric of every group in numbers: median, quartiles, and how many members have it."""
    parts = []
    for section, each in groups.items():
        for label, table in each.items():
            values = numbers(table, metric)
            known = values[np.isfinite(values)]
            name = " = ".join(filter(None, (section, label)))
            if known.size:
                low, middle, high = np.quantile(known, (0.25, 0.5, 0.75))
                count = f", {known.size} of {len(values)} members" if known.size < len(values) else ""
                parts.append(f"{name + ': ' if name else ''}{middle:.3g} [{low:.3g}, {high:.3g}]{count}")
            else:
                parts.append(f"{name + ': ' if name else ''}not measured")
    return f"{metric} ({MEMBER_METRICS[metric].doc}), median [quartiles]: {'; '.join(parts)}."


def _places(groups: Groups) -> dict[tuple[str, str], float]:
    """Return where each group stands, sections a little apart."""
    places, y = {}, 0.0
    for section, each in groups.items():
        for label in each:
            places[section, " = ".join(filter(None, (section, label)))] = y
            y += 1.0
        y += 0.5
    return places


def _one(axes: Axes, groups: Groups, places: dict[tuple[str, str], float], metric: str) -> None:
    heights = iter(places.values())
    everything = []
    for each in groups.values():
        for i, table in enumerate(each.values()):
            y, color = next(heights), style.palette()[i % 5]
            values = numbers(table, metric)
            values = values[np.isfinite(values)]
            everything.append(values)
            if not values.size:
                continue
            turns = np.argsort(np.argsort(values)) * ((np.sqrt(5) - 1) / 2)  # neighbours lie far apart
            axes.scatter(values, y + 0.5 * (turns % 1 - 0.5), s=11, color=color, alpha=0.7, lw=0, zorder=2)
            low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
            axes.plot([low, high], [y, y], color=style.ink(), lw=1.2, zorder=3, solid_capstyle="butt")
            axes.plot(middle, y, "|", color=style.ink(), ms=11, mew=2.2, zorder=4)
    values = np.concatenate(everything)
    if values.size and values.min() > 0 and values.max() > _WIDE * values.min():
        if values.max() > _TOO_WIDE * values.min():  # some are 0 but for rounding
            floor = 10.0 ** math.floor(math.log10(values.max() * _TINY))
            axes.set_xscale("symlog", linthresh=floor, linscale=0.3)
            axes.set_xticks([0, 10.0 ** math.floor(math.log10(values.max()))])
        else:
            axes.set_xscale("log")
    else:
        axes.locator_params(axis="x", nbins=3)
    axes.margins(x=0.07)
    if axes.get_xscale() == "log":
        axes.autoscale_view()
        style.log_ticks(axes.xaxis, 4)
    better = {"max": "→", "min": "←"}.get(MEMBER_METRICS[metric].goal, "")
    axes.set_title(f"{metric} {better}".strip(), fontsize=9.5)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
