"""The RGB cube on its black corner: a lattice's size in, views from the front and from the back out."""

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from prepe.figures import style

SIDES = ("front", "back")
_DOT = 330.0 * 64  # area of a dot in points squared, times the lattice's size squared


def basis(side: str) -> np.ndarray:
    """Return the unit vectors to the right, towards the reader and up, `(3, 3)`, a row each.

    Up is the grey diagonal from black to white. From the front, red is the nearest of the pure colours, with green to
    the left and blue to the right; from the back, cyan.
    """
    up = np.ones(3) / np.sqrt(3)
    right = np.array([0.0, -1.0, 1.0]) / np.sqrt(2) * (1 if side == "front" else -1)
    return np.stack([right, np.cross(up, right), up])


def lattice(size: int) -> np.ndarray:
    """Return all colours with `size` values a channel, `(size**3, 3)`."""
    along = np.linspace(0, 1, size)
    return np.stack(np.meshgrid(along, along, along, indexing="ij"), axis=-1).reshape(-1, 3)


def draw(size: int = 8) -> Figure:
    """Draw every colour of a lattice as a dot, the nearer ones over the others."""
    figure, (part,) = style.page("The RGB cube on its black corner", _says(size), [5.0])
    for axes, side in zip(part.subplots(1, 2, sharey=True), SIDES, strict=True):
        colors = lattice(size)
        seen = colors @ basis(side).T
        order = np.argsort(seen[:, 1], kind="stable")
        axes.scatter(
            seen[order, 0],
            seen[order, 2],
            s=_DOT / size**2,
            c=colors[order],
            edgecolors=to_rgba(style.muted(), 0.5),
            linewidths=0.4,
            clip_on=False,
        )
        axes.set_title(f"from the {side}", loc="center")
        axes.set_xlabel("hue (across the grey diagonal)")
        axes.set(aspect="equal", xticks=[], yticks=[])
        axes.margins(0.06)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        if side == "front":
            axes.set_ylabel("brightness (along the grey diagonal)")
    return figure


def alt_text(size: int = 8) -> str:
    """Say in words and numbers what `draw` shows."""
    return (
        f"The RGB cube on its black corner. {_says(size)}\n"
        "Black is at the bottom and white at the top, 1.73 above it; the primaries stand at 0.58 and the secondaries "
        "at 1.15. From the front, red is nearest, in the middle, with yellow and green to the left and magenta and "
        "blue to the right; from the back, cyan is nearest, with blue and magenta to the left and green and yellow to "
        "the right."
    )


def _says(size: int) -> str:
    return f"{size**3} colours, {size} values a channel, seen at right angles to the grey diagonal."
