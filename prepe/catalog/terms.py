"""Terms of the loss."""

from typing import Annotated, Literal

from pydantic import Field

from prepe.catalog.directions import Direction
from prepe.catalog.part import Fraction, Part


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
