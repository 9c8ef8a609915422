"""Tasks of colours: a `data` part in, a `Task` of reconstructing a lattice's colours out."""

from collections.abc import Callable

import numpy as np

from prepe.catalog import HUES, NAMED_COLORS, Coordinates, DataPart, HsvCube, RgbGrid, Span
from prepe.data import labels
from prepe.data.cube import Cube
from prepe.data.grades import GRADES
from prepe.data.hsv import hsv_to_rgb, rgb_to_hsv
from prepe.data.similarity import hsv_similarity, lab_similarity
from prepe.data.task import Items, Pairs, Ring, Task
from prepe.errors import PrepeError

_SELECTIVITY_SIZE = 16
_REFERENCE_SIZE = 8
_OPEN_GAP = 1.5
"""A gap of so many times the median one opens a ring."""
SIMILARITIES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "hsv": hsv_similarity,
    "lab": lab_similarity,
    "vibrancy": lambda rgb, _: GRADES["vibrancy"](rgb),
}
"""Name -> grade of colours against one anchor colour, the usual one first."""


def rgb_grid(size: int) -> np.ndarray:
    """Return all colours of a lattice with `size` values a channel, `(size**3, 3)`, red outermost."""
    axis = np.linspace(0.0, 1.0, size)
    return Cube.from_rgb(axis, axis, axis)["color"].reshape(-1, 3)


def validation_colors() -> np.ndarray:
    """Return 351 colours that training lattices hardly share: 7 values a channel, 1/16 to 15/16, then the corners."""
    axis = np.linspace(1 / 16, 15 / 16, 7)
    return np.concatenate([Cube.from_rgb(axis, axis, axis)["color"].reshape(-1, 3), rgb_grid(2)])


def hex_name(rgb: np.ndarray) -> str:
    """Name a colour by its 24-bit code, such as `#ff0000`."""
    return "#" + "".join(f"{round(float(channel) * 255):02x}" for channel in rgb)


def rgb_task(part: RgbGrid) -> Task:
    """Make the task of an RGB lattice: all colours drawn alike, validated on another lattice."""
    train = rgb_grid(part.size)
    return _task(part, train, np.ones(len(train)), validation_colors(), rgb_grid(_REFERENCE_SIZE))


def hsv_task(part: HsvCube) -> Task:
    """Make the task of a lattice in hue, saturation and value.

    Raises:
        PrepeError: no hue is left.
    """
    cube = hsv_cube(part)
    train = cube["color"].reshape(-1, 3)
    weights = cube["bias"].reshape(-1) if part.bias else np.ones(len(train))
    if part.validation == "train":
        return _task(part, train, weights, train, rgb_grid(_REFERENCE_SIZE))
    validation = rgb_grid(part.validation)
    return _task(part, train, weights, validation, validation)


def hsv_cube(part: HsvCube) -> Cube:
    """Return the cube that a `data` part describes, less the band of hues that it holds out.

    Raises:
        PrepeError: no hue is left.
    """
    hues = np.arange(part.hues) / part.hues if isinstance(part.hues, int) else _points(part.hues)
    cube = Cube.from_hsv(hues, _points(part.saturations), _points(part.values))
    if part.without is None:
        return cube
    lower, upper = (HUES[end] if isinstance(end, str) else end for end in part.without)
    kept = cube.without(lower, upper)
    if 0 in kept.shape:
        raise PrepeError(f"data.without: {list(part.without)} leaves no hue; allowed: a band that leaves at least one")
    return kept


def _points(axis: Coordinates) -> np.ndarray:
    if isinstance(axis, int):
        return np.linspace(0.0, 1.0, axis)
    return np.array(axis.points() if isinstance(axis, Span) else axis)


def _task(
    part: DataPart, train: np.ndarray, weights: np.ndarray, validation: np.ndarray, reference: np.ndarray
) -> Task:
    """Make a task from the colours of each set; validation labels are exact."""
    graded = {name: labels.grades(name, label, train, GRADES) for name, label in part.labels.items()}
    checked = {name: labels.grades(name, label, validation, GRADES) for name, label in part.labels.items()}
    return Task(
        train=_colors(train),
        weights=weights,
        label_probability={name: labels.chance(label, graded[name]) for name, label in part.labels.items()},
        validation=_colors(validation),
        validation_labels={name: labels.exact(each) for name, each in checked.items()},
        reference=_colors(reference),
        grid=_colors(rgb_grid(_SELECTIVITY_SIZE)),
        named=named_colors(list(NAMED_COLORS)),
        output_range=(0.0, 1.0),
        similarities=dict(SIMILARITIES),
        grades=dict(GRADES),
        cycles={**WHEELS, "trained_hues": trained_hues(train)},
        views=_VIEWS,
        dense_errors=_dense_hsv,
        dense_response=_dense_rgb,
    )


def _colors(rgb: np.ndarray) -> Items:
    return Items([hex_name(color) for color in rgb], rgb, rgb)


def named_colors(names: list[str]) -> Items:
    """Return colours by name."""
    rgb = np.array([NAMED_COLORS[name] for name in names])
    return Items(names, rgb, rgb)


def _pure(hues: np.ndarray) -> Items:
    return _colors(hsv_to_rgb(np.stack([hues, np.ones_like(hues), np.ones_like(hues)], axis=-1)))


WHEELS = {
    "hues": Ring(named_colors(list(HUES)), np.arange(12) / 12, closed=True),
    "primaries": Ring(named_colors(list(HUES)[::2]), np.arange(6) / 6, closed=True),
    "hues36": Ring(_pure(np.arange(36) / 36), np.arange(36) / 36, closed=True),
}
"""All pure hues: primary, secondary and tertiary; the first two of these; every ten degrees."""


def _view(hues: np.ndarray, saturations: list[float], values: list[float]) -> Items:
    """Return colours named by hue in degrees, saturation and value, such as `30,1,0.5`; hue (in turns) outermost.

    Hues need not lie between 0 and 1: the names keep them as they are, so that a curve goes on beyond red.
    """
    hsv = [(hue, s, v) for hue in hues.tolist() for s in saturations for v in values]
    rgb = hsv_to_rgb(np.array(hsv))
    return Items([f"{360 * h:g},{s:.3g},{v:.3g}" for h, s, v in hsv], rgb, rgb)


_VIEWS = {
    "slices": _view(np.arange(12) / 12, [0.0, 1 / 3, 2 / 3, 1.0], [0.0, 0.25, 0.5, 0.75, 1.0]),
    "curves": _view(np.linspace(-1 / 12, 1 + 1 / 12, 150), [1.0], [3 / 23, 8 / 23, 13 / 23, 18 / 23, 1.0]),
}


def _dense_hsv() -> Pairs:
    """Return 552 960 colours: 240 hues, 48 saturations, 48 values."""
    axis = np.linspace(0.0, 1.0, 48)
    rgb = Cube.from_hsv(np.arange(240) / 240, axis, axis)["color"].reshape(-1, 3)
    return rgb, rgb


def _dense_rgb() -> Pairs:
    """Return 8 000 colours: 20 values a channel."""
    rgb = rgb_grid(20)
    return rgb, rgb


def trained_hues(rgb: np.ndarray) -> Ring:
    """Return the purest of some colours, each hue once, in order of hue from just after the largest gap.

    Purest are those of the largest saturation, and among them of the largest value. The ring is closed if its largest
    gap is under 1.5 times the median one.
    """
    hue, saturation, value = np.round(rgb_to_hsv(rgb), 12).T
    pure = saturation == saturation.max()
    pure &= value == value[pure].max()
    turns, first = np.unique(hue[pure] % 1.0, return_index=True)
    before = np.round((turns - np.roll(turns, 1)) % 1.0, 9)  # the gap before each; the first hue begins a tie
    start = int(before.argmax())
    turns = np.concatenate([turns[start:], turns[:start] + 1])
    items = _colors(np.roll(rgb[pure][first], -start, axis=0))
    closed = len(turns) > 2 and bool(before.max() < _OPEN_GAP * np.median(before))
    return Ring(items, turns, closed)
