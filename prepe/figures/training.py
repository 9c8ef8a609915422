"""How training went: history rows in, one column a quantity out -- the loss above, what its schedule did below."""

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from prepe.figures import style
from prepe.figures.members import numbers, of

_FLOOR = 1e-7  # of the logarithmic axis: a loss below this is not worth a decade of paper


def columns(history: pa.Table) -> list[tuple[str, str, str]]:
    """Return what is drawn, as (quantity, its name, the hyperparameter below it): reconstruction, then every term."""
    terms = set(of(history, quantity="term")["name"].to_pylist())
    order = dict.fromkeys(of(history, quantity="hyperparameter")["name"].to_pylist())
    recon = [("loss", "recon", "lr")] if of(history, quantity="loss", name="recon").num_rows else []
    return recon + [("term", name, name) for name in order if name in terms]


def draw(figure: FigureBase, history: pa.Table) -> None:
    """Draw medians and 5-95 % bands over members, block by block; the losses share a logarithmic axis."""
    shown = columns(history)
    if not shown:
        figure.text(0.5, 0.5, "no history is stored", ha="center", va="center", color=style.muted())
        return
    grid = figure.subplots(2, len(shown), sharex=True, squeeze=False, gridspec_kw={"height_ratios": (2, 1)})
    for axes in grid[0, 1:]:
        axes.sharey(grid[0, 0])
        axes.tick_params(labelleft=False)
    steps = np.unique(history["step"].to_numpy())
    lows, highs = [], []
    for i, (quantity, name, hyperparameter) in enumerate(shown):
        top, bottom = grid[:, i]
        rows = of(history, quantity=quantity, name=name)
        statistic = "median" if _typical(rows) else "mean"
        values = _lines(top, rows, steps, statistic, style.palette()[0], log=True)
        title = "reconstruction" if quantity == "loss" else name
        top.set_title(title + ("" if statistic == "median" else " *"))
        lows.append(np.min(values, initial=1.0, where=values > 0))
        highs.append(np.max(values, initial=0.0, where=values > 0))
        weights = of(history, quantity="hyperparameter", name=hyperparameter)
        _lines(bottom, weights, steps, "median", style.palette()[4])
        bottom.set_title("learning rate" if hyperparameter == "lr" else "weight", fontsize=9, color=style.muted())
        bottom.set_ylim(bottom=0)
        bottom.locator_params(axis="y", nbins=3)
        bottom.locator_params(axis="x", nbins=3)
        bottom.set_xlabel("step")
    grid[0, 0].set_yscale("log")
    grid[0, 0].set_ylim(max(_FLOOR, min(lows) / 2), 2 * (max(highs) or 1.0))
    grid[0, 0].set_ylabel("unweighted loss")
    if any(not _typical(of(history, quantity=quantity, name=name)) for quantity, name, _ in shown):
        note = "* mean over members, a dot a step: the median is 0 at most steps"
        figure.supxlabel(note, fontsize=9, color=style.muted(), x=0.99, ha="right")


def _typical(rows: pa.Table) -> bool:
    """Say whether the median tells anything: a term that listens to a rare label is 0 at most steps."""
    median = numbers(rows, "median")
    return bool(np.mean(median[np.isfinite(median)] != 0) > 0.5) or not np.nansum(np.abs(numbers(rows, "mean"))) > 0


def _lines(axes: Axes, rows: pa.Table, steps: np.ndarray, statistic: str, color: str, log: bool = False) -> np.ndarray:
    """Draw one block after another, with gaps where a term had no weight, and return the values of the lines."""
    drawn = [np.empty(0)]
    for block in dict.fromkeys(rows["block"].to_pylist()):
        one = of(rows, block=block)
        place = np.searchsorted(steps, one["step"].to_numpy())
        middle, low, high = (np.full(len(steps), np.nan) for _ in range(3))
        for values, name in ((middle, statistic), (low, "q05"), (high, "q95")):
            values[place] = numbers(one, name)
        if statistic == "mean":
            axes.plot(steps, np.where(middle > 0, middle, np.nan), ".", markersize=3, color=color)
        else:
            floor = _FLOOR if log else -np.inf
            axes.fill_between(steps, np.maximum(low, floor), np.maximum(high, floor), color=color, alpha=0.25, lw=0)
            axes.plot(steps, np.maximum(middle, floor), color=color)
        drawn.append(middle[np.isfinite(middle)])
    return np.concatenate(drawn)
