"""What each phase left: one member's snapshots in; a row of views for the end of every phase out."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from prepe.figures import disc, style
from prepe.figures.snapshots import Pair, Snapshots, pairs

_SIDE = 2.15  # inches


@dataclass(frozen=True)
class End:
    """The end of a phase: its name, its last step, and which items lie among what it trained on, `(items,)`."""

    phase: str
    step: int
    covered: np.ndarray


def draw(shown: Snapshots, ends: list[End], title: str, text: str = "", views: list[Pair] | None = None) -> Figure:
    """Draw the latents after each phase's last update, from up to three sides.

    Args:
        shown: of one member, stored at the step after each end.
        ends: in order.
        title: heads the page.
        text: stands below it.
        views: pairs of dimensions; usually those of `pairs`.
    """
    views = views or pairs(shown.dim)
    figure, parts = style.page(title, "\n".join(filter(None, (text, _says(shown)))), [_SIDE * len(ends) + 0.3])
    grid = parts[0].subplots(len(ends), 1 + len(views), squeeze=False, width_ratios=[0.8, *(1 for _ in views)])
    half = max(disc.reach(shown.at(end.step + 1)[end.covered]) for end in ends)
    for end, (label, *row) in zip(ends, grid, strict=True):
        label.axis("off")
        some = int(end.covered.sum())
        note = f"ends at step {end.step}\n{some} of {len(end.covered)} items:\nthose it trained among"
        if some == len(end.covered):
            note = f"ends at step {end.step}\nall {some} items"
        label.text(0, 0.62, style.wrapped(end.phase, 20), fontweight="bold", va="bottom", transform=label.transAxes)
        label.text(0, 0.56, note, va="top", linespacing=1.4, transform=label.transAxes)
        colors = None if shown.colors is None else shown.colors[end.covered]
        for axes, view in zip(row, views, strict=True):
            disc.draw(axes, shown.at(end.step + 1)[end.covered], view, colors, half, disc.size(some, _SIDE))
    for axes, view in zip(grid[-1, 1:], views, strict=True):
        axes.set_xlabel(f"dimension {view[0]} to the right,\n{view[1]} upwards")
    return figure


def alt_text(shown: Snapshots, ends: list[End], title: str, text: str = "", views: list[Pair] | None = None) -> str:
    """Say in words and numbers what `draw` shows of the same snapshots."""
    views = views or pairs(shown.dim)
    lines = [f"{title}.", *filter(None, (text, _says(shown)))]
    for end in ends:
        latents = shown.at(end.step + 1)[end.covered]
        lengths = np.linalg.norm(latents, axis=-1)
        spread = ", ".join(f"{value:.2f}" for value in np.sqrt((latents**2).mean(0)))
        lines.append(
            f"{end.phase}, to step {end.step}: {int(end.covered.sum())} of {len(end.covered)} items; mean length "
            f"{lengths.mean():.3f}; root mean squares by dimension {spread}."
        )
    return "\n".join(lines)


def _says(shown: Snapshots) -> str:
    own = " in its own colour" if shown.colors is not None else ""
    return f"Seed {shown.seed} after the last update of each phase; each item is a dot{own}. The disc has radius 1."
