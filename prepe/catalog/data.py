"""What models learn from."""

from abc import ABC, abstractmethod
from typing import Annotated, Literal

from pydantic import Field, field_validator

from prepe.catalog.part import NonNegative, Part

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


class Label(Part):
    """A noisy label: drawn afresh at every draw of an item, with probability `rate * concept(item) ** power`."""

    concept: Literal["redness", "vibrancy"]
    rate: Annotated[float, Field(gt=0, le=1)]
    power: NonNegative = 1.0


class DataPart(Part, ABC):
    """What all data say of themselves: the labels that they produce, and which items can stand for a concept."""

    kind: str
    labels: dict[str, Label] = {}

    @field_validator("labels")
    @classmethod
    def _in_one_order(cls, labels: dict[str, Label]) -> dict[str, Label]:
        """Sort the labels: products of floats depend on the order, and a digest does not."""
        if "any" in labels:
            raise ValueError("the label 'any' means all labels together; allowed: any other name")
        return dict(sorted(labels.items()))

    @abstractmethod
    def items(self) -> list[str]:
        """Return the items that have a name and can stand for a concept."""

    @abstractmethod
    def similarities(self) -> list[str]:
        """Return the ways to grade an item's likeness to a concept, the usual one first."""


class RgbGrid(DataPart):
    """All colours of a cubic RGB lattice, drawn uniformly with replacement."""

    kind: Literal["rgb_grid"]
    size: Annotated[int, Field(ge=2, le=64)] = 8

    def items(self) -> list[str]:
        return list(NAMED_COLORS)

    def similarities(self) -> list[str]:
        """Return the ways to grade an item's likeness to a concept, the usual one first."""
        return ["hsv", "lab"]


DATA: dict[str, type[DataPart]] = {"rgb_grid": RgbGrid}
