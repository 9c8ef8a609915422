"""Edits of activations or weights."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from prepe.catalog.directions import Direction
from prepe.catalog.part import Fraction, NonNegative, Part, Positive


class Gate(Part):
    """How much of an aligned component is removed: `strength * ((a - start) / (1 - start)) ** power` above `start`."""

    start: Fraction = 0.0
    strength: Fraction = 1.0
    power: NonNegative = 0.0


class Mapper(Part):
    """Where an alignment above `start` goes: linearly onto `[start, end]`."""

    start: Annotated[float, Field(ge=0, lt=1)] = 0.0
    end: Fraction = 0.0174524064372836

    @model_validator(mode="after")
    def _ordered(self) -> "Mapper":
        if not self.start < self.end:
            raise ValueError(f"start {self.start:g} is not below end {self.end:g}; allowed: start < end <= 1")
        return self


class Intervention(Part):
    """What every intervention has: a name, whose concept it removes, where, and the power of the expected response."""

    label: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$")]
    operator: str
    concept: str
    direction: Direction | None = None
    site: str = "bottleneck"
    power: Positive


class Suppress(Intervention):
    """Remove the component along a direction where it is positive (one-sided, at inference)."""

    operator: Literal["suppress"]
    gate: Gate = Gate()


class Repel(Intervention):
    """Rotate aligned activations away from a direction (at inference)."""

    operator: Literal["repel"]
    mapper: Mapper = Mapper()


class Ablate(Intervention):
    """Zero the weights that write and read an axis (both sides of it, for good)."""

    operator: Literal["ablate"]


class Prune(Intervention):
    """Take an axis out of the network (both sides of it, for good)."""

    operator: Literal["prune"]


OPERATORS: dict[str, type[Intervention]] = {"suppress": Suppress, "repel": Repel, "ablate": Ablate, "prune": Prune}
DELETIONS = (Ablate, Prune)
