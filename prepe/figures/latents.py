"""How latents found their places: snapshots in, a disc a step out, seen so that the concept's direction points up."""

import re

import numpy as np
import pyarrow as pa
from matplotlib.colors import to_rgba
from matplotlib.figure import FigureBase
from matplotlib.patches import Circle

from prepe.figures import style
from prepe.figures.members import colors, of

_DISCS = 6


def choose(snapshots: pa.Table, seeds: list[int]) -> pa.Table:
    """Return the snapshots of the first of these seeds that has any (or of any seed), at six steps or fewer.

    Where steps are many or close together, those go that leave the smallest gap.
    """
    stored = set(snapshots["seed"].to_pylist())
    rows = of(snapshots, seed=next((seed for seed in seeds if seed in stored), min(stored, default=-1)))
    kept = sorted(set(rows["step"].to_pylist()))
    while len(kept) > 2:
        gaps = np.diff(kept)
        if len(kept) <= _DISCS and min(gaps) > (kept[-1] - kept[0]) / 50:
            break
        kept.pop(int(np.argmin(gaps[:-1] + gaps[1:])) + 1)
    return rows.filter(pa.array([step in kept for step in rows["step"].to_pylist()], pa.bool_()))


def draw(figure: FigureBase, rows: pa.Table, direction: str) -> None:
    """Draw one member's latents, one disc a step, all from the same side.

    Args:
        figure: to draw in.
        rows: snapshots of one member.
        direction: as the effects have it, `+e0` or `(0.6, 0.8)`.
    """
    steps = sorted(set(rows["step"].to_pylist()))
    latents = {step: np.asarray(of(rows, step=step)["latent"].to_pylist(), dtype=float) for step in steps}
    across, up = _view(latents[steps[-1]], direction)
    panels = figure.subplots(1, max(_DISCS, len(steps)))
    for axes in panels[len(steps) :]:
        axes.set_visible(False)
    for axes, step in zip(panels, steps, strict=False):
        own = colors(of(rows, step=step), "x")
        axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor=style.muted(), lw=0.8))
        axes.scatter(
            latents[step] @ across,
            latents[step] @ up,
            s=9 if len(latents[step]) < 1000 else 4,
            c=style.palette()[0] if own is None else own,
            edgecolors=to_rgba(style.muted(), 0.6),
            linewidths=0.3,
        )
        axes.set(xlim=(-1.12, 1.12), ylim=(-1.12, 1.12), aspect="equal")
        axes.set_title(f"step {step}", loc="center")
        axes.axis("off")


def axes_of(direction: str) -> np.ndarray | None:
    """Return the axes that a place is made of, as effects have it: `+e0` or `e0 e1`; None for one off the axes."""
    parts = direction.split()
    if not all(re.fullmatch(r"[+-]?e\d+", part) for part in parts):
        return None
    return np.array([int(part.lstrip("+-e")) for part in parts])


def is_given(direction: str) -> bool:
    """Say whether effects have a place itself, and not how one was found in each member."""
    return axes_of(direction) is not None or direction.startswith("(")


def upwards(direction: str, dim: int) -> np.ndarray:
    """Return the unit vector of a place, `(dim,)`, as effects have it; of a subspace the first that spans it.

    Of one that was found in each member, effects have the name alone: then it is the first axis.
    """
    if not is_given(direction):
        return np.eye(dim)[0]
    axes = axes_of(direction)
    if axes is not None:
        return np.eye(dim)[axes[0]] * (-1 if direction.startswith("-") else 1)
    up = np.array([float(part) for part in direction.split(") ")[0].strip("()").split(",")])
    return up / np.linalg.norm(up)


def _view(latents: np.ndarray, direction: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit vectors to the right and up: up is the direction, right the axis that varies most beside it."""
    dim = latents.shape[-1]
    up = upwards(direction, dim)
    beside = latents - np.outer(latents @ up, up)
    right = np.eye(dim)[int(np.argmax(np.nan_to_num(beside.var(axis=0))))]
    right = right - (right @ up) * up
    return right / (np.linalg.norm(right) or 1.0), up
