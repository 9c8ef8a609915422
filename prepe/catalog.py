"""What can be named in a sweep file: every member of every open set, with its parameters and their ranges.

This module imports neither torch nor Ray, so a sweep file is checked whole before anything starts. An entry here is a
promise; the code that keeps it is in the package of the same name (`data`, `models`, `regularizers`, `interventions`,
`metrics`). It is one long module on purpose: a reader finds all that a file may say in one place.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

PositiveInt = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """A frozen piece of a specification that refuses keys it does not know, and numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for key in value:
                if key not in cls.model_fields:
                    raise ValueError(unknown(key, cls.model_fields))
        return value


def unknown(name: object, allowed: Iterable[object], what: str = "key") -> str:
    """Say that a name is not known, what is allowed, and which one was probably meant."""
    names = [str(each) for each in allowed]
    near = get_close_matches(str(name), names, 1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"unknown {what} {name!r}{hint}; allowed: {', '.join(names) or 'none'}"


# --- directions ------------------------------------------------------------------------------------------------------


class Axis(Part):
    """One axis of the latent space and the side of it that is meant."""

    axis: Annotated[int, Field(ge=0)]
    sign: Literal[1, -1] = 1

    def unit(self, dim: int) -> np.ndarray:
        """Return the unit vector, `(dim,)`."""
        vector = np.zeros(dim)
        vector[self.axis] = self.sign
        return vector

    def fault(self, dim: int) -> str | None:
        """Return what is wrong with this direction in a space of `dim` dimensions, or None."""
        if self.axis < dim:
            return None
        return f"axis {self.axis} does not exist in {dim} dimensions; allowed: 0 to {dim - 1}"

    def __str__(self) -> str:
        return f"{'+' if self.sign > 0 else '-'}e{self.axis}"


class Vector(Part):
    """A direction given by its components, in a sweep file as a plain list; it is scaled to unit length."""

    components: Annotated[tuple[float, ...], Field(min_length=1, strict=False)]

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        return {"components": value} if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _not_zero(self) -> "Vector":
        if not 0 < float(np.linalg.norm(self.components)) < float("inf"):
            raise ValueError("a direction needs a finite length above zero")
        return self

    def unit(self, dim: int) -> np.ndarray:
        """Return the unit vector, `(dim,)`."""
        vector = np.asarray(self.components, dtype=float)
        return vector / np.linalg.norm(vector)

    def fault(self, dim: int) -> str | None:
        """Return what is wrong with this direction in a space of `dim` dimensions, or None."""
        n = len(self.components)
        return None if n == dim else f"the direction has {n} components and the site has {dim}; allowed: exactly {dim}"

    def __str__(self) -> str:
        return "(" + ", ".join(f"{v:g}" for v in self.components) + ")"


def _direction_form(value: Any) -> str | None:
    if isinstance(value, dict):
        return "a vector" if "components" in value else "an axis"
    if isinstance(value, Axis):
        return "an axis"
    return "a vector" if isinstance(value, Vector | list | tuple) else None


Direction = Annotated[
    Annotated[Axis, Tag("an axis")] | Annotated[Vector, Tag("a vector")], Discriminator(_direction_form)
]

# --- data ------------------------------------------------------------------------------------------------------------


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

# --- models ----------------------------------------------------------------------------------------------------------


class ModelPart(Part, ABC):
    """What all models say of themselves: the places where they can be watched and edited, with their widths."""

    kind: str

    @abstractmethod
    def sites(self) -> dict[str, int]:
        """Return the places where it can be watched, with their widths."""

    @abstractmethod
    def edit_sites(self) -> dict[str, int]:
        """Return the places where it can be edited, with their widths; snapshots show the first."""


class Autoencoder(ModelPart):
    """A multilayer perceptron in two halves around a bottleneck of unit length."""

    kind: Literal["autoencoder"]
    latent_dim: Annotated[int, Field(ge=2, le=1024)]
    hidden_dim: Annotated[int, Field(ge=1, le=4096)] = 16
    depth: Annotated[int, Field(ge=1, le=16)] = 1

    def sites(self) -> dict[str, int]:
        return {"encoder": self.latent_dim, "bottleneck": self.latent_dim}

    def edit_sites(self) -> dict[str, int]:
        return {"bottleneck": self.latent_dim}


MODELS: dict[str, type[ModelPart]] = {"autoencoder": Autoencoder}

# --- regularizers ----------------------------------------------------------------------------------------------------


class Term(Part):
    """What every term of the loss has: a site and, when it is not for all samples, the labels it listens to."""

    kind: str
    site: str = "bottleneck"
    labels: dict[str, Fraction] = {}

    def problem(self, dim: int) -> tuple[str, str] | None:
        """Return the key and the fault of a parameter that does not fit a site of `dim` dimensions, or None."""
        return None


class Directed(Term):
    """A term that has a direction."""

    direction: Direction

    def problem(self, dim: int) -> tuple[str, str] | None:
        fault = self.direction.fault(dim)
        return ("direction", fault) if fault else None


class AnchorTerm(Directed):
    """Pull samples to a direction: 1 - cos(z, v)."""

    kind: Literal["anchor"]


class AntiAnchorTerm(Directed):
    """Push samples away from a direction: max(0, cos(z, v)), or (1 + cos(z, v)) / 2 for the full sphere."""

    kind: Literal["anti_anchor"]
    form: Literal["hemisphere", "full"] = "hemisphere"


class AxesTerm(Term):
    """A term that has axes of its site."""

    axes: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, strict=False)]

    def problem(self, dim: int) -> tuple[str, str] | None:
        bad = [axis for axis in self.axes if axis >= dim]
        if bad:
            return "axes", f"axis {bad[0]} does not exist in {dim} dimensions; allowed: 0 to {dim - 1}"
        if len(set(self.axes)) != len(self.axes):
            return "axes", "an axis stands twice; allowed: each axis once"
        return None


class SubspaceTerm(AxesTerm):
    """Keep samples in the span of some axes: the sum of squares of all other coordinates."""

    kind: Literal["subspace"]

    def problem(self, dim: int) -> tuple[str, str] | None:
        if len(set(self.axes)) == dim:
            return "axes", f"all {dim} axes are kept, so there is nothing to penalise; allowed: fewer"
        return super().problem(dim)


class AntiSubspaceTerm(AxesTerm):
    """Keep samples out of the span of some axes: the sum of squares of those coordinates."""

    kind: Literal["anti_subspace"]


class SeparateTerm(Term):
    """Spread a batch over the sphere: sum over the others of ((cos + 1) / 2) ** power, or cos ** power unshifted."""

    kind: Literal["separate"]
    power: Annotated[int, Field(ge=2, le=10_000)] = 100
    shift: bool = True

    def problem(self, dim: int) -> tuple[str, str] | None:
        if not self.shift and self.power % 2:
            return "power", "an odd power of an unshifted cosine rewards opposed pairs; allowed: even powers, or shift"
        return None


class UnitNormTerm(Term):
    """Keep activations at unit length: (|z| - 1) ** 2."""

    kind: Literal["unit_norm"]
    site: str = "encoder"


TERMS: dict[str, type[Term]] = {
    "anchor": AnchorTerm,
    "anti_anchor": AntiAnchorTerm,
    "subspace": SubspaceTerm,
    "anti_subspace": AntiSubspaceTerm,
    "separate": SeparateTerm,
    "unit_norm": UnitNormTerm,
}

# --- interventions ---------------------------------------------------------------------------------------------------


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

# --- metrics ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metric:
    """A named number: its meaning, which way is better, and what a broken member counts as."""

    doc: str
    goal: Literal["max", "min", "gate"]
    worst: float


EFFECT_METRICS: dict[str, Metric] = {
    "score_r2": Metric("pearson(s^p, E1)^2 on the reference's grid; reported, never optimised alone", "max", 0.0),
    "score_ccc": Metric("concordance of the damage with the ideal response D* s^p (Lin 1989)", "max", -1.0),
    "damage": Metric("mean damage on target items", "gate", 0.0),
    "damage_frac": Metric("damage as a share of the ideal damage", "gate", 0.0),
    "damage_min": Metric("damage of the least damaged target item", "max", 0.0),
    "collateral": Metric("mean damage on bystanders", "min", 1.0),
    "collateral_p95": Metric("95th percentile of damage over bystanders", "min", 1.0),
    "collateral_max": Metric("largest damage of a bystander", "min", 1.0),
    "sel_log": Metric("log10 of damage over collateral, each plus 1e-4", "max", -4.0),
    "cause_isolate": Metric("mean of bounded damage and bounded absence of collateral", "max", 0.0),
    "falloff_cal": Metric("mean distance to the ideal response, in units of D*", "min", 4.0),
    "falloff_slope": Metric("slope of damage on s^p, in units of D*", "gate", 0.0),
    "falloff_offset": Metric("damage where s = 0, by the same regression", "min", 1.0),
    "anchor_cos": Metric("cosine of the concept's latent with its direction", "max", -1.0),
    "axis_purity": Metric("mean squared alignment of bystanders with the direction", "min", 1.0),
}

MEMBER_METRICS: dict[str, Metric] = {
    "recon_mse": Metric("reconstruction error on validation items, clamped output", "min", 1.0),
    "task_cost": Metric("log10 of reconstruction error over that of the unregularised twin", "min", 6.0),
    "anchor_cos": Metric("smallest cosine of a concept's latent with its prescribed direction", "max", -1.0),
    "anchor_fail": Metric("1 if a concept is not where it was pinned: 1 - cos > 0.3", "min", 1.0),
    "recon_fail": Metric("1 if reconstruction is broken: MSE > 0.01", "min", 1.0),
    "isolation_fail": Metric("1 if an isolated axis is not reserved: axis_purity^0.5 > 0.3", "min", 1.0),
    "broken": Metric("1 if training stopped on a non-finite loss", "min", 1.0),
    "label_rate": Metric("expected share of draws that carry a label", "min", 1.0),
    "label_n_drawn": Metric("draws that carried a label", "min", float("inf")),
    "label_n_used": Metric("labelled draws seen while a term that uses the label had weight", "min", float("inf")),
}

STATISTICS = ("median", "q25", "q75", "mean", "sd", "worst_decile", "rate", "min", "max")
