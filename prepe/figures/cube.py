"""A colour cube in slices: a `Cube` in, one panel for each coordinate of its first axis out."""

import math
from fractions import Fraction

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from prepe.catalog import HUES
from prepe.data.cube import Cube
from prepe.figures import style

NAMES = {"h": "hue", "s": "saturation", "v": "value", "r": "red", "g": "green", "b": "blue"}
_ROOM = 70  # cells beside each other, with one free between two panels
_WIDTH = 9.2  # inches that the panels share
_INNER = 0.5  # side of an inner square, as a share of its cell's
_LOWEST = 0.6  # inches of the height of a panel: a few rows of very many cells are not square
_TICK = 0.62  # inches that the name of a hue needs
_NEAR = 1e-6


def draw(cube: Cube, title: str, text: str = "", inner: np.ndarray | None = None) -> Figure:
    """Draw a cube, the second of its axes upwards and the third to the right.

    Args:
        cube: what to draw.
        title: heads the page.
        text: stands below it.
        inner: RGB of a smaller square in the middle of each cell, such as what a model makes of the colour,
            `(a, b, c, 3)`.
    """
    count, (y, x) = cube.shape[0], cube.coordinates[1:]
    rows, columns = layout(cube)
    across, up = (_extent(each)[1] for each in (x, y))
    side = min(0.5, (_WIDTH - 0.3 * columns) / (columns * across))
    height = max(_LOWEST, up * side)
    figure, (part,) = style.page(title, text or says(cube), [rows * (height + 0.4) + 0.45])
    grid = part.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    for i, axes in enumerate(grid.flat[:count]):
        _slice(axes, cube, i, inner)
        axes.set_box_aspect(height / (across * side))
        axes.set_title(panel_title(cube.space[0], float(cube.coordinates[0][i])), loc="center", fontsize=9)
        below = i + columns >= count
        axes.tick_params(labelbottom=below, labelleft=i % columns == 0)
        axes.set_xlabel(NAMES[cube.space[2]] if below else "")
        axes.set_ylabel(NAMES[cube.space[1]] if i % columns == 0 else "")
        axes.set_xticks(*_ticks(cube.space[2], x, side * across))
        axes.set_yticks(*_ticks(cube.space[1], y, height))
    return figure


def alt_text(cube: Cube, title: str, text: str = "", inner: np.ndarray | None = None) -> str:
    """Say in words and numbers what `draw` shows of the same cube."""
    a, b, c = cube.shape
    first, second, third = (NAMES[axis] for axis in cube.space)
    lines = [
        f"{title}. {text or says(cube)}",
        f"{a} panels, one for each {first}, each of {b} x {c} cells: {second} upwards, {third} to the right. "
        f"Every cell has its own colour.",
        f"Panels: {', '.join(panel_title(cube.space[0], float(each)) for each in cube.coordinates[0])}.",
    ]
    if inner is not None:
        off = np.sqrt(np.mean((inner - cube["color"]) ** 2, axis=-1))
        lines.append(
            f"A smaller square in each cell has the second colour; it differs from the cell's by {off.mean():.3f} on "
            f"average and {off.max():.3f} at most (root mean square over channels)."
        )
    return "\n".join(lines)


def says(cube: Cube) -> str:
    """Say which axis is which, and how many cells there are."""
    names = [NAMES[axis] for axis in cube.space]
    return f"{names[1].capitalize()} against {names[2]}, by {names[0]}: {math.prod(cube.shape)} cells."


def layout(cube: Cube) -> tuple[int, int]:
    """Return rows and columns of panels: rows of about 70 cells, and never more rows than panels."""
    count, _, across = cube.shape
    columns = math.ceil(count / min(count, math.ceil((across * count + count - 1) / _ROOM)))
    return math.ceil(count / columns), columns


def panel_title(axis: str, value: float) -> str:
    """Name a coordinate: a hue by its name if it has one, anything else as a simple fraction or a decimal."""
    if axis == "h":
        for name, turns in HUES.items():
            if abs((value - turns + 0.5) % 1 - 0.5) < _NEAR:
                return name
    simple = Fraction(value).limit_denominator(12)
    number = str(simple) if abs(simple - value) < _NEAR else f"{value:.3g}"
    return f"{NAMES[axis]} {number}"


def edges(along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each cell begins and ends: half-way to its nearer neighbour, so that what was held out stays empty.

    Args:
        along: coordinates in rising order, `(n,)`.
    """
    if len(along) == 1:
        return along - 0.05, along + 0.05
    gaps = np.diff(along)
    half = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf)) / 2
    return along - half, along + half


def _extent(along: np.ndarray) -> tuple[float, float]:
    """Return the length of an axis, from edge to edge, and how many cells of the usual width that is."""
    low, high = edges(along)
    length = float(high.max() - low.min())
    return length, max(1.0, length / float(np.median(high - low)))


def _slice(axes: Axes, cube: Cube, i: int, inner: np.ndarray | None) -> None:
    (left, right), (bottom, top) = edges(cube.coordinates[2]), edges(cube.coordinates[1])
    for share, colors in ((1.0, cube["color"]), (_INNER, inner)):
        if colors is None:
            continue
        cells = [
            Rectangle(
                (x0 + (x1 - x0) * (1 - share) / 2, y0 + (y1 - y0) * (1 - share) / 2),
                (x1 - x0) * share,
                (y1 - y0) * share,
            )
            for y0, y1 in zip(bottom, top, strict=True)
            for x0, x1 in zip(left, right, strict=True)
        ]
        fill = np.clip(colors[i].reshape(-1, 3), 0, 1)
        axes.add_collection(PatchCollection(cells, facecolors=fill, edgecolors="none", antialiased=False))
    axes.set(xlim=(left.min(), right.max()), ylim=(bottom.min(), top.max()))
    axes.grid(False)
    axes.spines[:].set(visible=True, linewidth=0.6)  # where cells are as white, or as black, as the page
    axes.tick_params(length=0, labelsize=8.5)


def _ticks(axis: str, along: np.ndarray, inches: float) -> tuple[list[float], list[str]]:
    """Return ticks and their labels: named hues, as many as there is room for; otherwise the first and the last."""
    if axis == "h":
        for every in (1, 2, 4):
            named = {HUES[name]: name for name in list(HUES)[::every]}
            found = {
                float(value): name for value in along for turns, name in named.items() if abs(value - turns) < _NEAR
            }
            if len(found) >= 2 and (every == 4 or 12 / every * _TICK <= inches):
                return list(found), list(found.values())
    ends = [float(along[0]), float(along[-1])] if len(along) > 1 else [float(along[0])]
    return ends, [f"{value:.2g}" for value in ends]
