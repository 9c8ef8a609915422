"""Every combination of some switches: latents and numbers of each in; a disc for each, laid out by what is on, out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prepe.catalog import MEMBER_METRICS
from prepe.figures import disc, style
from prepe.figures.snapshots import Pair

On = tuple[bool, ...]
_MARKS = {True: "\N{BLACK CIRCLE}", False: "\N{WHITE CIRCLE}"}
_MARGIN = 1.08
_LABELS = 0.95  # width of the labels' column, in discs


@dataclass(frozen=True)
class Cell:
    """What is shown of one combination.

    Attributes:
        latents: `(items, latent)`, of one member after training; None if they are not stored.
        colors: of the items, `(items, 3)`, or None if they are not colours.
        numbers: name -> median over members.
    """

    latents: np.ndarray | None
    colors: np.ndarray | None
    numbers: dict[str, float]


def draw(names: Sequence[str], cells: Mapping[On, Cell], title: str, text: str = "", view: Pair = (1, 0)) -> Figure:
    """Draw a table of discs: the first half of the switches (at least half) run across, the others down.

    Args:
        names: of the switches.
        cells: by combination, in the order of the names; where one is missing its place is empty.
        title: heads the page.
        text: stands below it.
        view: the dimension to the right and the one upwards; each row is as wide as its widest latents need.
    """
    across, down = layout(names)
    columns, rows = combinations(len(across)), combinations(len(down))
    shown = next(iter(cells.values())).numbers
    side = 8.6 / len(columns)
    height = len(rows) * (side + 0.17 * len(shown) + 0.12) + 0.2 * len(across) + 0.1
    figure, (part,) = style.page(title, "\n".join(filter(None, (text, _says(cells, view)))), [height])
    grid = part.subplots(len(rows), 1 + len(columns), squeeze=False, width_ratios=[_LABELS, *[1] * len(columns)])
    for (label, *panels), row in zip(grid, rows, strict=True):
        label.axis("off")
        said = "\n".join(f"{name} {_MARKS[on]}" for name, on in zip(down, row, strict=True))
        label.text(1, 0.5, said, ha="right", va="center", linespacing=1.6, transform=label.transAxes)
        _below(panels[0], list(shown), -0.25, "right", style.muted())
        half = _half([cells.get((*column, *row)) for column in columns], view)
        for axes, column in zip(panels, columns, strict=True):
            _one(axes, cells.get((*column, *row)), view, half, side)
    above = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom", "linespacing": 1.6}
    for axes, column in zip(grid[0, 1:], columns, strict=True):
        axes.annotate("\n".join(_MARKS[on] for on in column), (0.5, 1), xytext=(0, 5), ha="center", **above)
    grid[0, 1].annotate("\n".join(across), (0, 1), xytext=(-6, 5), ha="right", **above)
    return figure


def alt_text(names: Sequence[str], cells: Mapping[On, Cell], title: str, text: str = "", view: Pair = (1, 0)) -> str:
    """Say in words and numbers what `draw` shows of the same cells."""
    lines = [f"{title}.", *filter(None, (text, _says(cells, view)))]
    for on, cell in sorted(cells.items(), key=lambda each: (sum(each[0]), [not each for each in each[0]])):
        which = " + ".join(name for name, is_on in zip(names, on, strict=True) if is_on) or "nothing"
        values = ", ".join(f"{name} {value:.2g}" for name, value in cell.numbers.items())
        lines.append(f"{which}: {values}.")
    return "\n".join(lines)


def layout(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the switches that run across and those that run down."""
    cut = (len(names) + 1) // 2
    return list(names[:cut]), list(names[cut:])


def combinations(count: int) -> list[On]:
    """Return all combinations of some switches, all on first and all off last."""
    return list(product((True, False), repeat=count))


def _half(cells: Sequence[Cell | None], view: Pair) -> float:
    """Return half the side of a view that holds all latents of some combinations, and the unit disc."""
    seen = [cell.latents[:, view] for cell in cells if cell is not None and cell.latents is not None]
    farthest = [float(np.abs(each[np.isfinite(each)]).max(initial=0.0)) for each in seen]
    return max(disc.LEAST, _MARGIN * max(farthest, default=0.0))


def _one(axes: Axes, cell: Cell | None, view: Pair, half: float, inches: float) -> None:
    if cell is None or cell.latents is None:
        axes.axis("off")
    else:
        disc.draw(axes, cell.latents, view, cell.colors, half, disc.size(len(cell.latents), inches))
    if cell is not None:
        _below(axes, [style.digits(value, ".2g") for value in cell.numbers.values()], 0.5, "center", style.ink())


def _below(axes: Axes, lines: Sequence[str], x: float, align: str, color: str) -> None:
    text = "\n".join(lines)
    axes.text(x, -0.03, text, ha=align, va="top", color=color, fontsize=9, linespacing=1.2, transform=axes.transAxes)


def _says(cells: Mapping[On, Cell], view: Pair) -> str:
    shown = next(iter(cells.values())).numbers
    meant = "; ".join(f"{name}, {MEMBER_METRICS[name].doc}" for name in shown)
    return (
        f"Filled circles: on; hollow ones: off. Latents of one member, dimension {view[0]} to the right, {view[1]} "
        f"upwards, on a disc of radius 1; each row is scaled by itself, so that no dot is cut. Below "
        f"each, medians over members: {meant}."
    )
