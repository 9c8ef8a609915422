"""Snapshot rows in; one member's latents and outputs over steps, as arrays, and the steps that are shown, out."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from prepe.catalog import DataPart, HsvCube
from prepe.data.color import hsv_cube
from prepe.data.hsv import rgb_to_hsv
from prepe.figures.members import colors, of

Pair = tuple[int, int]
"""Two dimensions: the one to the right and the one upwards."""
_FIRST = 10  # of the geometric series that thumbnails follow
_THUMBNAILS = 10
_NEAR = 1e-6


@dataclass(frozen=True)
class Snapshots:
    """What one member made of the same items at several steps.

    Attributes:
        seed: of the member.
        steps: in rising order; the last is after training.
        inputs: `(items, inputs)`.
        latents: `(steps, items, latent)`.
        outputs: `(steps, items, outputs)`.
        colors: of the items, `(items, 3)`, or None if they are not colours.
        left_out: how many items were left out.
    """

    seed: int
    steps: list[int]
    inputs: np.ndarray
    latents: np.ndarray
    outputs: np.ndarray
    colors: np.ndarray | None
    left_out: int = 0

    @property
    def dim(self) -> int:
        return int(self.latents.shape[-1])

    def at(self, step: int) -> np.ndarray:
        """Return the latents at the stored step nearest to one, `(items, latent)`."""
        return np.asarray(self.latents[int(np.argmin(np.abs(np.array(self.steps) - step)))])

    def only(self, mask: np.ndarray) -> "Snapshots":
        """Return the same for some of the items."""
        own = None if self.colors is None else self.colors[mask]
        latents, outputs, gone = self.latents[:, mask], self.outputs[:, mask], int((~mask).sum())
        return replace(
            self, inputs=self.inputs[mask], latents=latents, outputs=outputs, colors=own, left_out=self.left_out + gone
        )


def read(rows: pa.Table, seed: int | None = None) -> Snapshots | None:
    """Gather the snapshots of one member, or of the first that has any; None if there are none."""
    stored = sorted(set(rows["seed"].to_pylist()))
    if not stored or (seed is not None and seed not in stored):
        return None
    seed = stored[0] if seed is None else seed
    own = of(rows, seed=seed)
    own = of(own, block=min(own["block"].to_pylist())).sort_by("step")
    steps, counts = np.unique(own["step"].to_numpy(), return_counts=True)
    first = own.slice(0, int(counts[0]))
    place = {item: i for i, item in enumerate(first["item"].to_pylist())}
    order = np.array([place[item] for item in own["item"].to_pylist()])
    of_step = np.repeat(np.arange(len(steps)), counts)
    latents, outputs = (_filled(own[name], of_step, order, len(steps), len(place)) for name in ("latent", "y"))
    return Snapshots(seed, steps.tolist(), _lists(first["x"]), latents, outputs, colors(first, "x"))


def thumbnails(steps: list[int], count: int = _THUMBNAILS) -> list[int]:
    """Return the earlier steps to show small: at geometric distances, so that the beginning is seen closely.

    floor(10 (1 + n / 10)^(k / count)) - 10, k = 0, ..., count - 1, each place once

    Args:
        steps: n of them, in rising order.
        count: at most so many.
    """
    places = np.floor(np.geomspace(_FIRST, _FIRST + len(steps), count, endpoint=False)).astype(int) - _FIRST
    return [steps[place] for place in np.unique(places) if steps]


def pairs(dim: int) -> list[Pair]:
    """Return the pairs of dimensions to look at, with the first one upwards, so that a concept there points up."""
    if dim < 3:
        return [(min(1, dim - 1), 0)]
    return [(1, 0), (1, 2), (0, 2) if dim == 3 else (1, 3)]


def depth_of(dim: int, pair: Pair) -> int | None:
    """Return the dimension that says which of two items is nearer, the first one that is not in the pair; or None."""
    return next((i for i in range(dim) if i not in pair), None)


def covered(inputs: np.ndarray, part: DataPart) -> np.ndarray:
    """Say which items lie among those that a `data` part trains on, `(items,)`.

    In a colour cube these are the colours within its span of saturations and values whose hue is no further from a
    hue of the cube than half the usual distance of two; so what was held out is left out. Elsewhere it is all items.
    """
    if not isinstance(part, HsvCube) or inputs.shape[-1] != 3:
        return np.ones(len(inputs), dtype=bool)
    cube = hsv_cube(part)
    hue, *rest = np.moveaxis(rgb_to_hsv(inputs.astype(float)), -1, 0)
    hues = np.sort(cube.coordinate("h") % 1.0)
    away = np.abs((hue[:, None] - hues + 0.5) % 1 - 0.5).min(axis=1)
    usual = float(np.median(np.diff(hues, append=hues[0] + 1)))
    near = away <= usual / 2 + _NEAR
    near |= rest[0] < _NEAR  # a grey has no hue
    for values, axis in zip(rest, "sv", strict=True):
        along = cube.coordinate(axis)
        spread = float(np.median(np.diff(along))) / 2 if len(along) > 1 else 0.0
        near &= (values >= along.min() - spread - _NEAR) & (values <= along.max() + _NEAR)
    return np.asarray(near)


def _lists(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of lists of one length as `(rows, length)`."""
    values = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=float).reshape(len(column), -1)


def _filled(column: pa.ChunkedArray, of_step: np.ndarray, order: np.ndarray, steps: int, items: int) -> np.ndarray:
    values = _lists(column)
    table = np.full((steps, items, values.shape[-1]), np.nan)
    table[of_step, order] = values
    return table
