"""Colour cubes: dense lattices of colours in three named coordinates, with named variables for every cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import overload

import numpy as np

from prepe.data import cyclic
from prepe.data.grades import vibrancy
from prepe.data.hsv import hsv_to_rgb

Index = slice | Sequence[int] | np.ndarray
_SPACES = ("hsv", "rgb")


@dataclass(frozen=True, eq=False)
class Cube:
    """A lattice of colours.

    Attributes:
        space: the axes in their present order, one letter each, such as `svh`.
        canonical_space: `hsv` or `rgb`.
        coordinates: the values along each axis, in the present order.
        variables: name -> values of every cell, `(a, b, c, ...)`. Always there are `color`, `(a, b, c, 3)`, which is
            RGB, and `bias`, `(a, b, c)`, the relative frequency of a cell in a draw.

    Raises:
        ValueError: any of this does not hold.
    """

    space: str
    canonical_space: str
    coordinates: tuple[np.ndarray, np.ndarray, np.ndarray]
    variables: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        object.__setattr__(self, "variables", MappingProxyType(dict(self.variables)))
        if self.canonical_space not in _SPACES:
            raise ValueError(f"canonical_space {self.canonical_space!r}; allowed: {', '.join(_SPACES)}")
        _check_order(self.space, self.canonical_space)
        if len(self.coordinates) != 3 or any(np.ndim(each) != 1 for each in self.coordinates):
            raise ValueError("coordinates; allowed: three lists of numbers, one for each axis")
        for name in ("color", "bias"):
            if name not in self.variables:
                raise ValueError(f"the variable {name!r} is missing; allowed: with 'color' and 'bias'")
        shape, color = self.shape, np.shape(self.variables["color"])
        if len(color) != 4 or color[-1] != 3:
            raise ValueError(f"color has the shape {color}; allowed: {(*shape, 3)}")
        for name, values in self.variables.items():
            if np.shape(values)[:3] != shape:
                raise ValueError(f"{name} has the shape {np.shape(values)}; allowed: {shape}, and more axes after it")

    @classmethod
    def from_hsv(cls, hues: np.ndarray, saturations: np.ndarray, values: np.ndarray) -> "Cube":
        """Make a cube of hues (cyclic, in turns), saturations and values (clipped to [0, 1]), hue outermost.

        Its bias counts equal colours together; see `hsv_bias`.
        """
        axes = _axes(hues, saturations, values)
        h, s, v = axes[0] % 1.0, np.clip(axes[1], 0.0, 1.0), np.clip(axes[2], 0.0, 1.0)
        color = hsv_to_rgb(np.stack(np.meshgrid(h, s, v, indexing="ij"), axis=-1))
        bias = np.tile(hsv_bias(len(h), s, v), (len(h), 1, 1))
        return cls("hsv", "hsv", axes, {"color": color, "bias": bias})

    @classmethod
    def from_rgb(cls, reds: np.ndarray, greens: np.ndarray, blues: np.ndarray) -> "Cube":
        """Make a cube of channels, which are used as they are; red outermost, and a bias of 1 everywhere."""
        axes = _axes(reds, greens, blues)
        color = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        return cls("rgb", "rgb", axes, {"color": color, "bias": np.ones(color.shape[:3])})

    @property
    def shape(self) -> tuple[int, int, int]:
        """The number of cells along each axis, in the present order."""
        a, b, c = (len(each) for each in self.coordinates)
        return a, b, c

    def coordinate(self, axis: str) -> np.ndarray:
        """Return the values along an axis, by its letter."""
        return self.coordinates[self._axis(axis)]

    @overload
    def __getitem__(self, key: str) -> np.ndarray: ...

    @overload
    def __getitem__(self, key: tuple[Index, Index, Index]) -> "Cube": ...

    def __getitem__(self, key: str | tuple[Index, ...]) -> "np.ndarray | Cube":
        """Return a variable by its name, or a part of the cube.

        Args:
            key: a name, or for each axis in the present order a slice, a list of indices, or a mask.

        Raises:
            KeyError: there is no variable of this name.
            IndexError: there are not three, or one is a single number, which would take an axis away.
        """
        if isinstance(key, tuple):
            return self._part(key)
        if key not in self.variables:
            raise KeyError(f"{key!r}; allowed: {', '.join(self.variables)}")
        return self.variables[key]

    def _part(self, keys: tuple[Index, ...]) -> "Cube":
        if len(keys) != 3 or any(np.ndim(key) != 1 for key in keys if not isinstance(key, slice)):
            raise IndexError(f"{keys}; allowed: three of them, each a slice, a list of indices, or a mask")
        a, b, c = (axis[key] for axis, key in zip(map(np.asarray, self.coordinates), keys, strict=True))
        return Cube(self.space, self.canonical_space, (a, b, c), {name: _cut(v, keys) for name, v in self._all()})

    def without(self, lower: float, upper: float) -> "Cube":
        """Return the cube without a band of hues, from one up to another in turns, both included.

        The bias is made anew, as equal colours are fewer then; other variables are kept.

        Raises:
            ValueError: the cube has no hues.
        """
        if self.canonical_space != "hsv":
            raise ValueError(f"without of a cube of {self.canonical_space!r}; allowed: of one in hsv, which has hues")
        left = ~cyclic.isbetween(self.coordinate("h"), lower, upper)
        a, b, c = (left if axis == "h" else slice(None) for axis in self.space)
        kept = self[a, b, c]
        anew = Cube.from_hsv(kept.coordinate("h"), kept.coordinate("s"), kept.coordinate("v"))
        return kept.assign(bias=anew.permute(self.space)["bias"])

    def permute(self, space: str) -> "Cube":
        """Return the cube with its axes in another order.

        Raises:
            ValueError: these are not its axes.
        """
        _check_order(space, self.canonical_space)
        order = [self._axis(axis) for axis in space]
        a, b, c = (self.coordinates[i] for i in order)
        variables = {name: np.moveaxis(values, order, (0, 1, 2)) for name, values in self._all()}
        return Cube(space, self.canonical_space, (a, b, c), variables)

    def assign(self, **variables: np.ndarray) -> "Cube":
        """Return the cube with variables added or replaced."""
        return Cube(self.space, self.canonical_space, self.coordinates, {**self.variables, **variables})

    def vibrancy(self) -> np.ndarray:
        """Return saturation times value of every cell, `(a, b, c)`, in a cube of either kind."""
        return vibrancy(self["color"])

    def _all(self) -> list[tuple[str, np.ndarray]]:
        return list(self.variables.items())

    def _axis(self, axis: str) -> int:
        if len(axis) != 1 or axis not in self.space:
            raise ValueError(f"axis {axis!r}; allowed: {', '.join(self.space)}")
        return self.space.index(axis)


def hsv_bias(hues: int, saturations: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the relative frequency of cells that counts equal colours as one, `(saturations, values)`.

    (1 - v) / (n_s n_h) + (1 - s) v / n_h + s v, for every hue alike

    So the whites of all hues together count as one vibrant cell, and so do all the blacks.

    Args:
        hues: how many there are, n_h.
        saturations: `(n_s,)` in [0, 1].
        values: in [0, 1].
    """
    n_h, n_s = max(1, hues), max(1, len(saturations))
    s, v = np.asarray(saturations)[:, None], np.asarray(values)[None, :]
    return (1 - v) / (n_s * n_h) + (1 - s) * v / n_h + s * v


def _axes(*coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b, c = (np.asarray(each, dtype=float) for each in coordinates)
    return a, b, c


def _check_order(space: str, canonical_space: str) -> None:
    if sorted(space) != sorted(canonical_space):
        raise ValueError(f"space {space!r}; allowed: the letters of {canonical_space!r}, in any order")


def _cut(values: np.ndarray, keys: tuple[Index, ...]) -> np.ndarray:
    """Cut one axis after the other, so that several lists of indices make a lattice; slices give views."""
    for axis, key in enumerate(keys):
        values = values[(*(slice(None),) * axis, key)]
    return values
