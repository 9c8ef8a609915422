"""How latents found their places: a member's snapshots in; the last from several sides, earlier ones small, out."""

import numpy as np
from matplotlib.figure import Figure, FigureBase

from prepe.figures import disc, style
from prepe.figures.snapshots import Pair, Snapshots, pairs, thumbnails

_LARGE, _SMALL = 3.2, 1.0  # inches


def draw(shown: Snapshots, title: str, text: str = "", views: list[Pair] | None = None) -> Figure:
    """Draw the last step large, from up to three sides, and earlier ones small, from the first side.

    Args:
        shown: of one member.
        title: heads the page.
        text: stands below it.
        views: pairs of dimensions; usually those of `pairs`.
    """
    views = views or pairs(shown.dim)
    small = thumbnails(shown.steps[:-1])
    beside = len(views) == 1
    heights = [_LARGE + 0.35] + ([_SMALL + 0.5] if small and not beside else [])
    figure, parts = style.page(title, "\n".join(filter(None, (text, says(shown)))), heights)
    if beside:
        parts = list(np.ravel(np.asarray(parts[0].subfigures(1, 2, width_ratios=[1, 1.7]))))
    style.panel(parts[0], "a", f"After training: step {shown.steps[-1]}")
    half = disc.reach(shown.latents[-1])
    area = disc.size(len(shown.inputs), _LARGE)
    for axes, view in zip(_spread(parts[0], 1, 1 if beside else max(3, len(views))), views, strict=False):
        disc.draw(axes, shown.latents[-1], view, shown.colors, half, area)
        axes.set_xlabel(f"dimension {view[0]}")
        axes.set_ylabel(f"dimension {view[1]}")
    if small:
        style.panel(parts[1], "b", f"Earlier, dimension {views[0][0]} to the right, {views[0][1]} upwards; steps")
        for axes, step in zip(_spread(parts[1], 1 + beside, 10 // (1 + beside)), small, strict=False):
            disc.draw(axes, shown.at(step), views[0], shown.colors, half, disc.size(len(shown.inputs), 0.9))
            axes.set_xlabel(f"{step}", labelpad=1)
    for axes in figure.axes:
        axes.set_visible(bool(axes.collections))
    return figure


def alt_text(shown: Snapshots, title: str, text: str = "", views: list[Pair] | None = None) -> str:
    """Say in words and numbers what `draw` shows of the same snapshots."""
    views = views or pairs(shown.dim)
    last = shown.latents[-1]
    lines = [f"{title}.", *filter(None, (text, says(shown)))]
    sides = " and ".join(f"{a} (right) with {b} (up)" for a, b in views)
    lines.append(f"After training (step {shown.steps[-1]}), dimensions {sides}, on a disc of radius 1.")
    lengths = np.linalg.norm(last, axis=-1)
    lines.append(f"Lengths are {lengths.mean():.3f} on average, from {lengths.min():.3f} to {lengths.max():.3f}.")
    spread = ", ".join(f"{value:.2f}" for value in np.sqrt((last**2).mean(0)))
    lines.append(f"Root mean squares by dimension: {spread}.")
    small = thumbnails(shown.steps[:-1])
    if small:
        lines.append(f"Small discs show the same at steps {', '.join(map(str, small))}.")
    return "\n".join(lines)


def says(shown: Snapshots) -> str:
    """Say who and what is shown, and what a dot means."""
    own = " in its own colour" if shown.colors is not None else ""
    others = f" ({shown.left_out} others lie outside what was trained on)" if shown.left_out else ""
    return f"Seed {shown.seed}; each of {len(shown.inputs)} items is a dot{own}{others}. The disc has radius 1."


def _spread(figure: FigureBase, rows: int, columns: int) -> np.ndarray:
    return np.ravel(figure.subplots(rows, columns, squeeze=False))
