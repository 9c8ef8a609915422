"""One member's error on many items against their similarity to a concept in; a cloud an intervention out."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure

from prepe.figures import style

_HEIGHT, _ACROSS = 3.4, 3


class Cloud(Protocol):
    """What is drawn of an intervention; see `prepe.evaluate.Response`."""

    @property
    def label(self) -> str: ...
    @property
    def power(self) -> float: ...
    @property
    def similarity(self) -> str: ...
    @property
    def x(self) -> np.ndarray: ...
    @property
    def error(self) -> np.ndarray: ...
    @property
    def inputs(self) -> np.ndarray: ...


def draw(clouds: Sequence[Cloud], title: str) -> Figure:
    """Draw every item as a dot, in its own colour if it is one, with the least-squares line and its R².

    A dot is the more opaque the higher and the further right it lies: 0.1 + 0.9 (x + y) / 2.
    """
    lines = -(-len(clouds) // _ACROSS)
    figure, (part,) = style.page(title, _says(clouds), [_HEIGHT * lines])
    panels = part.subplots(lines, _ACROSS, squeeze=False, sharey=True).flat
    for axes, cloud in zip(panels, clouds, strict=False):
        opacity = np.clip(0.1 + 0.9 * (cloud.x + cloud.error) / 2, 0, 1)
        colors = cloud.inputs if cloud.inputs.shape[-1] == 3 else style.palette()[0]
        axes.scatter(cloud.x, cloud.error, s=9, c=colors, alpha=opacity, lw=0)
        slope, offset, r2 = fit(cloud)
        ends = np.array([0.0, 1.0])
        axes.plot(ends, offset + slope * ends, "--", color=style.ink(), lw=1.3, label=f"R² = {r2:.3f}")
        axes.legend(loc="upper left", handlelength=1.8)
        axes.set_title(cloud.label, loc="center", fontweight="bold")
        axes.set_xlabel(f"similarity ({cloud.similarity}) to the power of {cloud.power:g}")
        axes.set_xlim(-0.03, 1.03)
    for axes in panels[len(clouds) :]:
        axes.set_visible(False)
    for axes in part.get_axes()[::_ACROSS]:
        axes.set_ylabel("error (MSE)")
    return figure


def alt_text(clouds: Sequence[Cloud], title: str) -> str:
    """Say in words and numbers what `draw` shows of the same clouds."""
    lines = [f"{title}.", _says(clouds)]
    for cloud in clouds:
        slope, offset, r2 = fit(cloud)
        lines.append(
            f"{cloud.label}: R² = {r2:.3f} with {cloud.similarity} similarity to the power of {cloud.power:g}; the "
            f"line goes from {offset:.3f} at 0 to {offset + slope:.3f} at 1; the largest error is "
            f"{cloud.error.max():.3f}."
        )
    return "\n".join(lines)


def fit(cloud: Cloud) -> tuple[float, float, float]:
    """Return slope and offset of the least-squares line, and R²; where nothing varies, a level line and NaN."""
    x, y = cloud.x - cloud.x.mean(), cloud.error - cloud.error.mean()
    if not x.any() or not y.any():
        return 0.0, float(cloud.error.mean()), float("nan")
    slope = float(x @ y / (x @ x))
    return slope, float(cloud.error.mean() - slope * cloud.x.mean()), float(slope * (x @ y) / (y @ y))


def _says(clouds: Sequence[Cloud]) -> str:
    return (
        f"Error after each intervention on {len(clouds[0].x)} items, each a dot, against their similarity to the "
        "concept. Dashed: the least-squares line."
    )
