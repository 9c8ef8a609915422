"""What gates and mappers do to unit vectors: lobes in; polar slices above, their graphs below, out.

Source: the figures of z0u/ex-preppy, experiment 2.1, after the reflectance lobes of computer graphics.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from prepe.figures import style

_RAYS = 36


@dataclass(frozen=True)
class Lobe:
    """What one operator does in the plane of the concept, which lies along the first axis.

    Attributes:
        title: its parameters.
        operator: `suppress` or `repel`.
        angles: of the inputs, in radians from the concept, `(n,)`.
        images: where these unit vectors come to, `(n, 2)`.
        strength: of the gate, or how far the mapper moves the alignment, `(n,)`.
        alignments, curve: the gate's or mapper's graph, `(m,)` each.
        start, end: where it begins to act, and the largest value it gives, as alignments.
        handles: the Bezier curve's four points, if it has one.
    """

    title: str
    operator: str
    angles: np.ndarray
    images: np.ndarray
    strength: np.ndarray
    alignments: np.ndarray
    curve: np.ndarray
    start: float
    end: float
    handles: tuple[tuple[float, float], ...] = ()


def draw(lobes: Sequence[Lobe]) -> Figure:
    """Draw a column for each lobe."""
    n = len(lobes)
    figure = Figure(figsize=(2.9 * n, 6.4), layout="constrained")
    grid = figure.add_gridspec(2, n, height_ratios=(1.25, 1))
    for i, lobe in enumerate(lobes):
        polar = figure.add_subplot(grid[0, i], projection="polar")
        assert isinstance(polar, PolarAxes)
        _slice(polar, lobe)
        graph = figure.add_subplot(grid[1, i])
        _graph(graph, lobe, first=i == 0)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def alt_text(lobes: Sequence[Lobe]) -> str:
    """Say in words and numbers what `draw` shows of the same lobes."""
    what = {"suppress": "Suppression", "repel": "Repulsion"}[lobes[0].operator]
    lines = [f"{what} of unit vectors in a plane with the concept upwards, for {len(lobes)} parameters."]
    for lobe in lobes:
        lengths = np.linalg.norm(lobe.images, axis=-1)
        nearest = float(np.max(lobe.images[:, 0]))
        lines.append(
            f"{lobe.title}: lengths after are {lengths.min():.2f} to {lengths.max():.2f}, the largest alignment with "
            f"the concept is {nearest:.2f}, the greatest strength {lobe.strength.max():.2f}."
        )
    return "\n".join(lines)


def _slice(axes: PolarAxes, lobe: Lobe) -> None:
    blue, _, vermilion, purple, orange = style.palette()
    axes.set_theta_zero_location("N")
    radius = np.linalg.norm(lobe.images, axis=-1)
    theta = np.arctan2(lobe.images[:, 1], lobe.images[:, 0])
    axes.fill(np.unwrap(theta), radius, color=blue, alpha=0.25, lw=0)
    axes.plot(theta, radius, ".", color=blue, ms=2.2, label="transformed")
    axes.fill(lobe.angles, lobe.strength, color=orange, alpha=0.35, lw=0)
    axes.plot(
        lobe.angles, lobe.strength, color=orange, lw=1.2, label="strength" if lobe.operator == "suppress" else "offset"
    )
    for i in range(0, len(lobe.angles), len(lobe.angles) // _RAYS):
        axes.plot([lobe.angles[i], theta[i]], [1, radius[i]], color=style.muted(), lw=0.5, label=None if i else "moved")
        if abs(radius[i] - 1) + abs(np.angle(np.exp(1j * (theta[i] - lobe.angles[i])))) > 1e-3:
            axes.plot([theta[i]], [radius[i]], ".", color=style.ink(), ms=3)
    marks = [("begins", lobe.start, purple)] + ([("ends", lobe.end, vermilion)] if lobe.operator == "repel" else [])
    for label, alignment, color in marks:
        angle = float(np.arccos(alignment))
        axes.plot([angle, angle], [0, 1], "--", color=color, lw=1.1, label=label)
        axes.plot([-angle, -angle], [0, 1], "--", color=color, lw=1.1)
    axes.set_rlim(0, 1.08)
    axes.set_rgrids([1.0], [""])
    axes.set_thetagrids([0, 60, 90, 180, 270, 300], ["0°", "60°", "90°", "180°", "90°", "60°"], fontsize=8)
    axes.set_title(lobe.title.replace(", ", ",\n", 1), fontsize=9.5, loc="center")


def _graph(axes: Axes, lobe: Lobe, first: bool) -> None:
    blue, green, vermilion, purple, orange = style.palette()
    if lobe.operator == "suppress":
        axes.fill_between(lobe.alignments, lobe.curve, color=orange, alpha=0.3, lw=0)
        axes.plot(lobe.alignments, lobe.curve, color=orange)
        axes.set(ylim=(-0.02, 1.05), ylabel="share removed" if first else "")
    else:
        axes.plot(lobe.alignments, lobe.alignments, "--", color=style.muted(), lw=1)
        axes.fill_between(lobe.alignments, lobe.curve, lobe.alignments, color=orange, alpha=0.3, lw=0)
        axes.plot(lobe.alignments, lobe.curve, color=blue)
        axes.set(ylim=(-1.05, 1.05), ylabel="alignment after" if first else "")
        axes.axhline(lobe.end, ls="--", color=vermilion, lw=1)
        for (x0, y0), (x1, y1), color in zip(lobe.handles[::2], lobe.handles[1::2], (purple, green), strict=False):
            axes.plot([x0, x1], [y0, y1], "o-", color=color, ms=3, lw=1)
    axes.axvline(lobe.start, ls="--", color=purple, lw=1)
    axes.set(xlim=(-1.05, 1.05), xlabel="alignment with the concept")
    at = np.cos(np.radians([180, 90, 60, 0]))
    axes.set_xticks(at, ["opposed", "orthogonal", "60°", "aligned"], fontsize=8, rotation=30)
