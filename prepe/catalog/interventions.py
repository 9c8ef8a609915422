"""Edits of activations or weights, and what may follow a deletion."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from prepe.catalog.directions import Aimed
from prepe.catalog.part import Count, Fraction, NonNegative, Part, Positive, Updates


class Gate(Part):
    """How much of an aligned component is removed: `strength * ((a - start) / (1 - start)) ** power` above `start`."""

    start: Fraction = 0.0
    strength: Fraction = 1.0
    power: NonNegative = 0.0


class Mapper(Part):
    """Where an alignment above `start` goes: onto `[start, end]`, along a line or a cubic Bezier curve.

    The curve leaves `start` with slope `start_slope` and comes to `end` with `end_slope`; its two middle points lie on
    the tangents there, `control` of the way to where these meet. With `table`, it is read from so many tabulated points
    and not solved.
    """

    kind: Literal["linear", "bezier"] = "linear"
    start: Annotated[float, Field(ge=0, lt=1)] = 0.0
    end: Fraction = 0.0174524064372836
    start_slope: float = 1.0
    end_slope: float = 0.0
    control: Annotated[float, Field(gt=0, le=1)] = 0.7071067811865476
    table: Annotated[int, Field(ge=2, le=1_000_000)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "Mapper":
        if not self.start < self.end:
            raise ValueError(f"start {self.start:g} is not below end {self.end:g}; allowed: start < end <= 1")
        if self.kind == "bezier":
            (x0, _), (x1, _), (x2, _), (x3, _) = self.points()
            if not x0 <= x1 <= x2 <= x3:
                raise ValueError("the curve turns back; allowed: slopes whose tangents meet between start and 1")
        return self

    def points(self) -> list[tuple[float, float]]:
        """Return the four points of the Bezier curve, (old alignment, new alignment)."""
        a, b, s0, s1, c = self.start, self.end, self.start_slope, self.end_slope, self.control
        if abs(s0 - s1) < 1e-8:
            meet = (a + 1) / 2, (a + b) / 2
        else:
            x = (a * (s0 - 1) + b - s1) / (s0 - s1)
            meet = x, a + s0 * (x - a)
        first = a + c * (meet[0] - a), a + c * (meet[1] - a)
        second = 1 + c * (meet[0] - 1), b + c * (meet[1] - b)
        return [(a, a), first, second, (1.0, b)]


class Heal(Part):
    """Fine-tuning after a deletion, by the task's own loss: `towards` the fallback in place of the concept, or `rest`.

    With `fallback` all training items are drawn, and the target of one is w of the way from its own to the fallback,
    w = s ** (power / 2), so that the pure concept becomes the fallback. With `rest` the bystanders alone are drawn.
    """

    towards: Literal["fallback", "rest"] = "fallback"
    steps: Updates = 300
    lr: Positive = 0.003
    batch_size: Count = 64


class Recovery(Part):
    """An attack that tries to bring a deleted concept back by fine-tuning, watched on target items that it has not got.

    `data` is what the attacker has: `all` training items, the `rest` without the concept, or a `few` of its items.
    Where `all` would leave no target item to watch, half of them are kept from it.
    """

    data: Literal["all", "rest", "few"] = "few"
    items: Count = 8
    steps: Updates = 300
    lr: Positive = 0.003
    batch_size: Count = 64


class Leakage(Part):
    """A search for what is left of a concept: probes of the edited latents, and a decoder trained on them from nothing.

    `hidden_dim` is the width of the probe that is a perceptron with one hidden layer; `steps`, `lr` (which falls to 0)
    and `batch_size` are its training's, and those of the decoder; `shuffles` of the labels are the control task.
    """

    hidden_dim: Annotated[int, Field(ge=1, le=4096)] = 24
    steps: Updates = 500
    lr: Positive = 0.03
    batch_size: Count = 128
    shuffles: Count = 5


Names = Annotated[
    tuple[str, ...],
    Field(min_length=1, strict=False),
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
]


class Intervention(Part):
    """What every intervention has: a name, whose concept it removes, where, and the power of the expected response.

    `concept` is one name or several; then their directions are taken together and an item is as similar as to the
    nearest. `direction` and `similarity` are the concept's own unless they are given here.
    """

    sides: ClassVar[Literal[1, 2]] = 2
    """1 if only the positive side of a direction is edited, which a subspace does not have."""

    label: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$")]
    operator: str
    concept: Names
    direction: Aimed | None = None
    similarity: str | None = None
    site: str = "bottleneck"
    power: Positive
    leakage: Leakage | None = Field(None, exclude_if=lambda value: value is None)


class Suppress(Intervention):
    """Remove the component along a direction where it is positive (one-sided, at inference)."""

    sides: ClassVar[Literal[1, 2]] = 1
    operator: Literal["suppress"]
    gate: Gate = Gate()


class Project(Intervention):
    """Remove the component along a direction or in a subspace, whatever its sign (two-sided, at inference).

    With `renormalize`, what is left is brought back to unit length.
    """

    operator: Literal["project"]
    renormalize: bool = Field(default=False, exclude_if=lambda value: value is False)


class Erase(Intervention):
    """Apply the affine map that leaves no linear trace of a label: a direction `fitted = "leace"` (at inference)."""

    operator: Literal["erase"]


class Repel(Intervention):
    """Rotate aligned activations away from a direction (one-sided, at inference)."""

    sides: ClassVar[Literal[1, 2]] = 1
    operator: Literal["repel"]
    mapper: Mapper = Mapper()


class Deletion(Intervention):
    """What all edits of weights have: both sides go, for good; and what is done to the model afterwards."""

    heal: Heal | None = None
    recovery: Recovery | None = None


class Ablate(Deletion):
    """Zero the weights that write and read an axis, or fold the projection off a direction or a subspace into them.

    Where a model brings the site to unit length afterwards, that is to project and renormalise, for good.
    """

    operator: Literal["ablate"]


class Prune(Deletion):
    """Take an axis out of the network; for a direction off the axes, the site is rotated first."""

    operator: Literal["prune"]


class Retrain(Deletion):
    """Put in the model's place one that never saw the concept, the gold standard of deletion.

    It is trained from the same seed, data and schedule, without terms, and without the items whose similarity to the
    concept is over `above`.
    """

    operator: Literal["retrain"]
    above: Fraction = 0.1


class Reset(Deletion):
    """Put in the model's place one with newly drawn weights, which knows nothing at all."""

    operator: Literal["reset"]


OPERATORS: dict[str, type[Intervention]] = {
    "suppress": Suppress,
    "project": Project,
    "erase": Erase,
    "repel": Repel,
    "ablate": Ablate,
    "prune": Prune,
    "retrain": Retrain,
    "reset": Reset,
}
