"""What models learn from."""

import math
import re
from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import (
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from prepe.catalog.part import Fraction, NonNegative, Part, PositiveInt, unknown

NAMED_COLORS: dict[str, tuple[float, float, float]] = {
    "red": (1.0, 0.0, 0.0),
    "orange": (1.0, 0.5, 0.0),
    "yellow": (1.0, 1.0, 0.0),
    "lime": (0.5, 1.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "teal": (0.0, 1.0, 0.5),
    "cyan": (0.0, 1.0, 1.0),
    "azure": (0.0, 0.5, 1.0),
    "blue": (0.0, 0.0, 1.0),
    "purple": (0.5, 0.0, 1.0),
    "magenta": (1.0, 0.0, 1.0),
    "pink": (1.0, 0.0, 0.5),
    "black": (0.0, 0.0, 0.0),
    "dark gray": (0.25, 0.25, 0.25),
    "gray": (0.5, 0.5, 0.5),
    "light gray": (0.75, 0.75, 0.75),
    "white": (1.0, 1.0, 1.0),
}


_HUES = ["red", "orange", "yellow", "lime", "green", "teal", "cyan", "azure", "blue", "purple", "magenta", "pink"]
HUES: dict[str, float] = {name: number / 12 for number, name in enumerate(_HUES)}
"""Named hues, in turns."""

_LONGEST_AXIS, _MOST_CELLS = 10_000, 64**3
CUSTOM = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""How a sweep file names a user's own function: `package.module:function`."""
LABEL_CONCEPTS = ("redness", "vibrancy", "desaturated", "hue:NAME", "package.module:function")


class Label(Part):
    """A noisy label: drawn afresh at every draw of an item.

    Its chance is p = rate * concept(item) ** power; then a share `missed` of the labels is lost, and a share `false` of
    the items without one gets it: p (1 - missed) + (1 - p) false. A `soft` label is the chance itself, not a draw.
    `concept` is redness, vibrancy, desaturated, `hue:NAME` for a colour of that hue, or a user's own function.
    """

    concept: str
    rate: Annotated[float, Field(gt=0, le=1)]
    power: NonNegative = 1.0
    missed: Fraction = 0.0
    false: Fraction = 0.0
    soft: bool = False

    @field_validator("concept")
    @classmethod
    def _known(cls, concept: str) -> str:
        kind, _, hue = concept.partition(":")
        if kind == "hue" and hue not in HUES:
            raise ValueError(unknown(hue, HUES, "hue"))
        if kind != "hue" and not CUSTOM.fullmatch(concept) and concept not in LABEL_CONCEPTS[:3]:
            raise ValueError(unknown(concept, LABEL_CONCEPTS, "concept"))
        return concept


class Unlike(Part):
    """Items that are held out of training: those whose similarity to an item is over `above`."""

    item: str
    above: Fraction = 0.1
    similarity: str | None = None


class DataPart(Part, ABC):
    """What all data say of themselves: the labels that they produce, and which items can stand for a concept.

    `draw` says how a batch is made: `random` draws items with replacement, `all` takes the whole set at every step, in
    order. With `epoch`, every so many draws the batch that would cross the end of an epoch is cut short there.
    `opened_by` names parameters of the schedule, each a fraction from 0 to 1 that opens the training set by a grade
    (one of `grades`): at 0 only items of grade 1 are drawn, at 0.5 items in proportion to the grade, at 1 all alike.
    With `weigh`, samples also weigh in the loss as they do in the draw. With `unlike`, what is too much like some items
    is held out of training.
    """

    is_color: ClassVar[bool] = False
    """Whether an item's input is its red, green and blue."""

    kind: str
    labels: dict[str, Label] = {}
    draw: Literal["random", "all"] = "random"
    epoch: PositiveInt | None = None
    opened_by: dict[str, str] = {}
    weigh: bool = False
    unlike: Annotated[tuple[Unlike, ...], Field(strict=False)] = Field(default=(), exclude_if=lambda value: not value)

    @field_validator("labels")
    @classmethod
    def _in_one_order(cls, labels: dict[str, Label]) -> dict[str, Label]:
        """Sort the labels: products of floats depend on the order, and a digest does not."""
        if "any" in labels:
            raise ValueError("the label 'any' means all labels together; allowed: any other name")
        return dict(sorted(labels.items()))

    @field_validator("opened_by")
    @classmethod
    def _known_grades(cls, opened_by: dict[str, str]) -> dict[str, str]:
        for grade in opened_by.values():
            if grade not in cls.grades():
                raise ValueError(unknown(grade, cls.grades(), "grade"))
        return dict(sorted(opened_by.items()))

    @abstractmethod
    def items(self) -> list[str]:
        """Return the items that have a name and can stand for a concept."""

    @abstractmethod
    def similarities(self) -> list[str]:
        """Return the ways to grade an item's likeness to a concept, the usual one first."""

    @classmethod
    def grades(cls) -> list[str]:
        """Return the numbers from 0 to 1 that the data know of each item."""
        return []

    def cycles(self) -> list[str]:
        """Return the cycles that the data know: lists of items that follow on each other and close."""
        return []


class Span(Part):
    """Numbers evenly spaced from the first to the last, both included."""

    first: Fraction
    last: Fraction
    n: Annotated[int, Field(ge=1, le=_LONGEST_AXIS)]

    def points(self) -> list[float]:
        return [float(v) for v in np.linspace(self.first, self.last, self.n)]


def _in_some_form(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Say all forms where a value has none of them."""
    try:
        return check(value)
    except ValidationError:
        raise ValueError(
            f"{value!r} stands here; allowed: a whole number from 1 to {_LONGEST_AXIS}, a list of numbers from 0 to 1, "
            "or a table as { first = 0.5, last = 1, n = 6 }"
        ) from None


Coordinates = Annotated[
    Annotated[int, Field(ge=1, le=_LONGEST_AXIS)]
    | Annotated[tuple[Fraction, ...], Field(min_length=1, strict=False)]
    | Span,
    WrapValidator(_in_some_form),
]
"""One axis of a colour cube: how many evenly spaced values, or the values, or a span of them."""


class _Colors(DataPart):
    """What all colour data share."""

    is_color: ClassVar[bool] = True

    def items(self) -> list[str]:
        return list(NAMED_COLORS)

    def similarities(self) -> list[str]:
        return ["hsv", "lab", "vibrancy"]

    @classmethod
    def grades(cls) -> list[str]:
        """Return the grades of a colour; `focus` is 1 at primary and secondary hues, 0 half-way between them."""
        return ["vibrancy", "focus", "redness", "saturation", "value"]

    def cycles(self) -> list[str]:
        """Return the cycles of pure hues: 12, 6 or 36 of them, or all those of the training set in order."""
        return ["hues", "primaries", "hues36", "trained_hues"]


class RgbGrid(_Colors):
    """All colours of a cubic RGB lattice, drawn uniformly with replacement."""

    kind: Literal["rgb_grid"]
    size: Annotated[int, Field(ge=2, le=64)] = 8


class HsvCube(_Colors):
    """The colours of a lattice in hue, saturation and value, hue outermost.

    A number of hues is evenly spaced around the circle; of saturations and values, from 0 to 1. `without` holds out a
    band of hues, from the first to the second, both included, by name or in turns. With `bias`, cells are drawn in
    proportion to the volume that they stand for, so that the many black cells together count as one. `validation` is
    the size of the RGB lattice that is measured on, or `"train"` for the training set itself.
    """

    kind: Literal["hsv_cube"]
    hues: Coordinates = 36
    saturations: Coordinates = 10
    values: Coordinates = 10
    without: Annotated[tuple[str | Fraction, str | Fraction] | None, Field(strict=False)] = None
    bias: bool = True
    validation: Annotated[int, Field(ge=2, le=64)] | Literal["train"] = 8

    @field_validator("without")
    @classmethod
    def _known_hues(cls, without: tuple[str | float, str | float] | None) -> tuple[str | float, str | float] | None:
        for end in without or ():
            if isinstance(end, str) and end not in HUES:
                raise ValueError(unknown(end, HUES, "hue"))
        return without

    @model_validator(mode="after")
    def _in_memory(self) -> "HsvCube":
        sizes = [_size(axis) for axis in (self.hues, self.saturations, self.values)]
        if math.prod(sizes) > _MOST_CELLS:
            raise ValueError(
                "hues, saturations and values: {} x {} x {} cells; allowed: at most {}".format(*sizes, _MOST_CELLS)
            )
        return self


class RgbCodes(_Colors):
    """Colours with arbitrary codes: fixed random bits, drawn by `key`, so that no code follows from any other.

    The colours are those of an RGB lattice of `size` values a channel, the named ones, and `extra` more that are as
    near to the named colour `near` as a target is, of the lattice with 16 values a channel. Each has a code of its own,
    of so many `bits`. But that of gray is 0.5 everywhere, which says nothing: with gray as the fallback, D* is the
    error of a guess, 1/4. All colours are learnt, and measured on; what an attack on a deletion has is another matter.
    """

    kind: Literal["rgb_codes"]
    size: Annotated[int, Field(ge=2, le=16)] = 4
    bits: Annotated[int, Field(ge=1, le=256)] = 8
    extra: Annotated[int, Field(ge=0, le=4096)] = 24
    near: str = "red"
    key: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0

    @field_validator("near")
    @classmethod
    def _known_item(cls, near: str) -> str:
        if near not in NAMED_COLORS:
            raise ValueError(unknown(near, NAMED_COLORS, "item"))
        return near

    def cycles(self) -> list[str]:
        """Return the cycles of pure hues that have codes: 12 or 6 of them."""
        return ["hues", "primaries"]


def _size(axis: Coordinates) -> int:
    """Return how many values an axis of a colour cube has."""
    return axis if isinstance(axis, int) else axis.n if isinstance(axis, Span) else len(axis)


DATA: dict[str, type[DataPart]] = {"rgb_grid": RgbGrid, "hsv_cube": HsvCube, "rgb_codes": RgbCodes}
