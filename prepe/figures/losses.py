"""How the loss fell: history rows by name in; each part of the loss over steps, with its spread over members, out."""

import math
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D

from prepe.figures import style
from prepe.figures.members import numbers, of

Starts = Mapping[str, list[int]]
_PANEL = 2.15  # inches
_DECADES = 12.0  # of a panel, at most
_WINDOW = 40  # a mean runs over one of so many parts of the training, and at least over 9 values
_FEW = 2  # wide bands of more trainings hide each other
_NOTHING = 1e-30  # where a band that reaches to 0 ends on a logarithmic axis
_ROUGH = 0.12  # decades from one value to the next, from where on a line is smoothed


def draw(histories: Mapping[str, pa.Table], starts: Starts, title: str, text: str = "") -> Figure:
    """Draw every part of the loss, those of several trainings over each other.

    Args:
        histories: rows of one model each, by name; the name of a single one is not written.
        starts: name -> first steps of its phases after the first one.
        title: heads the page.
        text: stands below it.
    """
    names = parts_of(histories)
    columns = 4 if len(names) in (4, 7, 8) or len(names) > 9 else 3
    rows = math.ceil(len(names) / columns)
    legend = [0.35] if len(histories) > 1 else []
    said = "\n".join(filter(None, (text, _says(histories, starts))))
    figure, parts = style.page(title, said, [*legend, _PANEL * rows + 0.2])
    if legend:
        name_lines(parts[0], list(histories))
    grid = parts[-1].subplots(rows, columns, sharex=True, squeeze=False)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for i, (axes, name) in enumerate(zip(grid.flat, names, strict=False)):
        panel(axes, histories, starts, name)
        axes.set_title(label(name))
        if i + columns >= len(names):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("step")
    return figure


def alt_text(histories: Mapping[str, pa.Table], starts: Starts, title: str, text: str = "") -> str:
    """Say in words and numbers what `draw` shows of the same rows."""
    lines = [f"{title}.", *filter(None, (text, _says(histories, starts))), *ends(histories, parts_of(histories))]
    for key, steps in starts.items():
        if steps and key in histories:
            lines.append(f"{_of(key, histories)}phases begin at steps {', '.join(map(str, steps))}.")
    return "\n".join(lines)


def ends(histories: Mapping[str, pa.Table], names: list[str]) -> list[str]:
    """Say where parts of the loss begin and end."""
    lines = []
    for name in names:
        found = [
            f"{_of(key, histories)}from {first:.2g} at step {start} to {last:.2g} at step {end}"
            for key, rows in histories.items()
            for start, first, end, last in _ends(_part(rows, name))
        ]
        lines.append(f"Loss, {label(name)}: {'; '.join(found) or 'never with weight'}.")
    return lines


def parts_of(histories: Mapping[str, pa.Table]) -> list[str]:
    """Return the parts of the loss that any of the histories has: total, recon, then the terms as they come."""
    found = dict.fromkeys(
        (row["quantity"], row["name"])
        for rows in histories.values()
        for row in rows.select(["quantity", "name"]).group_by(["quantity", "name"]).aggregate([]).to_pylist()
    )
    names = {name for quantity, name in found if quantity in ("loss", "term")}
    first = [name for name in ("total", "recon") if name in names]
    return first + sorted(names - set(first))


def label(name: str) -> str:
    """Say which part of the loss a name stands for."""
    return {"total": "total (weighted)", "recon": "reconstruction"}.get(name, name)


def name_lines(figure: FigureBase, names: list[str]) -> None:
    """Name the lines of several trainings."""
    handles = [Line2D([], [], color=color, ls=dash, lw=2) for color, dash in style.marks(names).values()]
    figure.legend(handles, names, loc="upper left", ncols=len(names), borderaxespad=0.9, borderpad=0, handlelength=2.2)


def panel(axes: Axes, histories: Mapping[str, pa.Table], starts: Starts, name: str) -> None:
    """Draw one part of the loss: medians, or running means where most values are 0, and bands from 5 to 95 %."""
    marks = style.marks(list(histories))
    common = set.intersection(*(set(starts.get(key, ())) for key in histories)) if histories else set()
    for step in sorted(common):
        axes.axvline(step, color=style.muted(), lw=0.9, ls=":", zorder=1)
    shown = [np.empty(0)]
    for i, (key, rows) in enumerate(histories.items()):
        color, dash = marks[key]
        for step in sorted(set(starts.get(key, ())) - common):
            axes.plot([step], [1.0], "v", color=color, ms=5, transform=axes.get_xaxis_transform(), clip_on=False)
        one = _part(rows, name)
        for block in dict.fromkeys(one["block"].to_pylist()):
            line = of(one, block=block).sort_by("step")
            steps, statistic = line["step"].to_numpy(), statistic_of(line)
            middle, low, high = (numbers(line, column) for column in (statistic, "q05", "q95"))
            smoothed = statistic == "mean" or rough(middle)
            if smoothed:
                middle, low, high = (running_mean(each) for each in (middle, low, high))
                axes.set_title("running mean", loc="right", fontsize=9, color=style.muted())
            if statistic != "mean" and not (smoothed and len(histories) > _FEW):
                low = np.where(low > 0, low, np.where(high > 0, _NOTHING, np.nan))
                axes.fill_between(steps, low, _above_0(high), color=color, alpha=0.2, lw=0)
            axes.plot(steps, _above_0(middle), color=color, ls=dash, lw=1.2, zorder=3 + 0.01 * i)
            shown.append(middle[middle > 0])
    values = np.concatenate(shown)
    axes.set_yscale("log")
    if values.size:
        top = 2.5 * float(values.max())
        axes.set_ylim(max(float(np.quantile(values, 0.01)) / 4, top / 10**_DECADES), top)
    axes.margins(x=0)
    axes.locator_params(axis="x", nbins=4)
    style.log_ticks(axes.yaxis)


def statistic_of(rows: pa.Table) -> str:
    """Return `median`, or `mean` where a median tells nothing: a term with a rare label is 0 at most steps."""
    median, mean = numbers(rows, "median"), numbers(rows, "mean")
    known = median[np.isfinite(median)]
    return "median" if np.mean(known != 0) > 0.5 or not np.nansum(np.abs(mean)) > 0 else "mean"


def rough(values: np.ndarray) -> bool:
    """Say whether a line jumps up and down so much that its course cannot be seen."""
    known = values[np.isfinite(values) & (values > 0)]
    return len(known) > 2 and float(np.median(np.abs(np.diff(np.log10(known))))) > _ROUGH


def running_mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over a window around each value, `(n,)`; what is no number counts as none, and stays."""
    known = np.isfinite(values)
    kernel = np.ones(2 * max(4, len(values) // _WINDOW // 2) + 1)
    if len(values) < len(kernel):
        return values
    total, count = (np.convolve(each, kernel, "same") for each in (np.where(known, values, 0.0), known.astype(float)))
    return np.where(known & (count > 0.5), total / np.maximum(count, 1), np.nan)


def _above_0(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, np.nan)


def _part(rows: pa.Table, name: str) -> pa.Table:
    return of(rows, quantity="loss" if name in ("total", "recon") else "term", name=name)


def _ends(rows: pa.Table) -> list[tuple[int, float, int, float]]:
    """Return the first and last step and value of a line, if it has any."""
    statistic = statistic_of(rows)
    line = [(row["step"], row[statistic]) for row in rows.sort_by("step").to_pylist() if row[statistic] is not None]
    return [(*line[0], *line[-1])] if line else []


def _of(key: str, histories: Mapping[str, pa.Table]) -> str:
    return f"{key} " if len(histories) > 1 else ""


def _says(histories: Mapping[str, pa.Table], starts: Starts) -> str:
    counts = {int(max(rows["members"].to_pylist(), default=0)) for rows in histories.values()}
    n = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    phases = " Dotted lines and triangles: where a phase begins." if any(starts.values()) else ""
    return (
        f"Median over {n} members and the band from 5 to 95 %; terms without their weights. Running means are of "
        f"medians that are too rough to follow, or of means where most members have 0.{phases}"
    )
