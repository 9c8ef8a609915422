"""One view of latents: points in, a unit disc with a dot for each item, in its own colour if it has one, out."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from matplotlib.patches import Circle

from prepe.figures import style
from prepe.figures.snapshots import Pair, depth_of

LEAST = 1.14  # half the side of a view: a little more than the unit disc


def reach(latents: np.ndarray) -> float:
    """Return half the side of a view that holds nearly all of these latents, `(..., latent)`, and the unit disc."""
    finite = np.abs(latents[np.isfinite(latents)])
    return max(LEAST, 1.06 * float(np.quantile(finite, 0.998))) if finite.size else LEAST


def draw(
    axes: Axes, latents: np.ndarray, pair: Pair, colors: np.ndarray | None, half: float, area: float = 20.0
) -> PathCollection:
    """Draw latents as seen along all other dimensions, nearer ones over the others.

    Args:
        axes: to draw in.
        latents: `(items, latent)`.
        pair: the dimension to the right and the one upwards; the first of the others says which dot is nearer.
        colors: RGB, `(items, 3)`, or None for one colour.
        half: half the side of the view.
        area: of a dot in points squared.

    Returns:
        The dots, nearest last.
    """
    depth = depth_of(latents.shape[-1], pair)
    order = np.arange(len(latents)) if depth is None else np.argsort(latents[:, depth], kind="stable")
    axes.add_patch(Circle((0, 0), 1, facecolor=style.shade(), edgecolor=style.muted(), lw=0.8, zorder=0))
    dots = axes.scatter(
        latents[order, pair[0]],
        latents[order, pair[1]],
        s=area,
        c=style.palette()[0] if colors is None else colors[order],
        edgecolors=to_rgba(style.muted(), 0.6),
        linewidths=0.3,
        zorder=2,
    )
    axes.set(xlim=(-half, half), ylim=(-half, half), aspect="equal", xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return dots


def size(items: int, inches: float) -> float:
    """Return the area of a dot, in points squared, so that some items fill a view of some inches neither wholly nor
    hardly at all."""
    return float(np.clip((72 * inches) ** 2 * 0.28 / max(items, 60), 2.5, 60))
