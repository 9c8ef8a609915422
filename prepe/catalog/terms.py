"""Terms of the loss."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from prepe.catalog.data import CUSTOM
from prepe.catalog.directions import Direction, Place
from prepe.catalog.part import Fraction, Part, Positive


class Term(Part):
    """What every term of the loss has: a site and, when it is not for all samples, the labels it listens to."""

    per_sample: ClassVar[bool] = True
    """Whether it is about each sample, so that a sample's weight counts; else it is one number for the batch."""

    kind: str
    site: str = "bottleneck"
    labels: dict[str, Fraction] = {}

    def listens(self) -> list[str]:
        """Return the labels that it looks at."""
        return list(self.labels)

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


class AnchorEuclideanTerm(Directed):
    """Pull samples to the end of a direction: |z - radius v| ** 2."""

    kind: Literal["anchor_euclidean"]
    radius: Positive = 1.0


class AnchorCapturedTerm(Term):
    """Keep some items where they were at an action: mean over items and coordinates of (z - z*) ** 2, 0 before it."""

    per_sample = False

    kind: Literal["anchor_captured"]
    items: Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
    action: str = "anchor"

    def key(self) -> str:
        """Return the name of what is captured: equal for terms that capture the same."""
        return "/".join((self.action, self.site, *self.items))


class AntiAnchorTerm(Directed):
    """Push samples away from a direction: max(0, cos(z, v)), or (1 + cos(z, v)) / 2 for the full sphere."""

    kind: Literal["anti_anchor"]
    form: Literal["hemisphere", "full"] = "hemisphere"


class ClassifyTerm(Directed):
    """Make a direction the logit of a label, for all samples: softplus(l) - y l, with l = scale (cos(z, v) - middle).

    A labelled sample counts `positive` times.
    """

    kind: Literal["classify"]
    label: str
    scale: Positive = 10.0
    middle: Annotated[float, Field(ge=-1, le=1)] = 0.5
    positive: Positive = 1.0

    def listens(self) -> list[str]:
        return [*self.labels, self.label]


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


class PlanarityTerm(SubspaceTerm):
    """Keep samples in the span of some axes: the mean of squares of all other coordinates."""

    kind: Literal["planarity"]  # type: ignore[assignment]
    axes: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, strict=False)] = (0, 1)


class AntiSubspaceTerm(AxesTerm):
    """Keep samples out of the span of some axes: the sum of squares of those coordinates."""

    kind: Literal["anti_subspace"]


class FallbackTerm(Term):
    """Teach what comes after the bottleneck to fall back where a place is deleted: |d(z') - t| ** 2 / outputs.

    z' is z without its part in the place, at unit length again if the model's are. t = (1 - w) y + w output mixes what
    was wanted with the fallback, in the share w with which a sample lies there: max(0, cos(z, v)), or the length of its
    part in a subspace. w has no gradient. `output` is a number for each output, or one for all.
    """

    kind: Literal["fallback"]
    direction: Place
    output: Annotated[tuple[float, ...], Field(min_length=1, strict=False)] = (0.5,)

    def problem(self, dim: int) -> tuple[str, str] | None:
        if self.site != "bottleneck":
            return "site", f"what follows {self.site!r} cannot be run alone; allowed: 'bottleneck'"
        fault = self.direction.fault(dim)
        return ("direction", fault) if fault else None


class SeparateTerm(Term):
    """Spread a batch over the sphere: sum over the others of ((cos + 1) / 2) ** power, or cos ** power unshifted."""

    kind: Literal["separate"]
    power: Annotated[int, Field(ge=2, le=10_000)] = 100
    shift: bool = True

    def problem(self, dim: int) -> tuple[str, str] | None:
        if not self.shift and self.power % 2:
            return "power", "an odd power of an unshifted cosine rewards opposed pairs; allowed: even powers, or shift"
        return None


class RepelEuclideanTerm(AxesTerm):
    """Spread a batch over the span of some axes: (1 / B ** 2) sum over pairs of 1 / (|p - q| ** 2 + 1e-6).

    With `diagonal`, each sample also counts against itself, a constant 1e6 / B without gradient.
    """

    per_sample = False

    kind: Literal["repel_euclidean"]
    diagonal: bool = False


class UnitNormTerm(Term):
    """Keep activations at unit length: (|z| - 1) ** 2."""

    kind: Literal["unit_norm"]
    site: str = "encoder"


class Route(Part):
    """Where gradients of labelled samples may go: through some axes of a site alone, to what comes before it.

    Source: Cloud et al., "Gradient routing", arXiv:2410.04332.
    """

    site: str = "bottleneck"
    axes: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, strict=False)]
    label: str


class CustomTerm(Term):
    """A user's own term: `kind` names a function, `package.module:function`, of a context and the `parameters`."""

    kind: Annotated[str, Field(pattern=CUSTOM.pattern)]
    parameters: dict[str, Any] = {}


TERMS: dict[str, type[Term]] = {
    "anchor": AnchorTerm,
    "anchor_euclidean": AnchorEuclideanTerm,
    "anchor_captured": AnchorCapturedTerm,
    "anti_anchor": AntiAnchorTerm,
    "classify": ClassifyTerm,
    "subspace": SubspaceTerm,
    "planarity": PlanarityTerm,
    "anti_subspace": AntiSubspaceTerm,
    "fallback": FallbackTerm,
    "separate": SeparateTerm,
    "repel_euclidean": RepelEuclideanTerm,
    "unit_norm": UnitNormTerm,
}
