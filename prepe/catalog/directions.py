"""Where a concept is: an axis of a site, a vector, or a subspace."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Discriminator, Field, Tag, model_validator

from prepe.catalog.part import Count, Part


class Axis(Part):
    """One axis of the latent space and the side of it that is meant."""

    axis: Annotated[int, Field(ge=0)]
    sign: Literal[1, -1] = 1

    def unit(self, dim: int) -> np.ndarray:
        """Return the unit vector, `(dim,)`."""
        vector = np.zeros(dim)
        vector[self.axis] = self.sign
        return vector

    def basis(self, dim: int) -> np.ndarray:
        """Return the unit vector as the only row, `(1, dim)`."""
        return self.unit(dim)[None]

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

    def basis(self, dim: int) -> np.ndarray:
        """Return the unit vector as the only row, `(1, dim)`."""
        return self.unit(dim)[None]

    def fault(self, dim: int) -> str | None:
        """Return what is wrong with this direction in a space of `dim` dimensions, or None."""
        n = len(self.components)
        return None if n == dim else f"the direction has {n} components and the site has {dim}; allowed: exactly {dim}"

    def __str__(self) -> str:
        return "(" + ", ".join(f"{v:g}" for v in self.components) + ")"


class Subspace(Part):
    """A concept of several dimensions: the span of some axes, or of some vectors. It has no sides."""

    axes: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)] = ()
    vectors: Annotated[tuple[Vector, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _independent(self) -> "Subspace":
        if bool(self.axes) == bool(self.vectors):
            raise ValueError("exactly one of axes and vectors is needed")
        if len(set(self.axes)) != len(self.axes):
            raise ValueError("an axis stands twice; allowed: each axis once")
        if self.vectors and len({len(each.components) for each in self.vectors}) == 1:
            rows = np.array([each.components for each in self.vectors], dtype=float)
            if np.linalg.matrix_rank(rows) < len(rows):
                raise ValueError("a vector lies in the span of the others; allowed: independent ones")
        return self

    def basis(self, dim: int) -> np.ndarray:
        """Return orthonormal rows that span it, `(k, dim)`."""
        if self.axes:
            return np.eye(dim)[list(self.axes)]
        return np.linalg.qr(np.array([each.unit(dim) for each in self.vectors]).T)[0].T

    def fault(self, dim: int) -> str | None:
        """Return what is wrong with this subspace in a space of `dim` dimensions, or None."""
        parts: list[Axis | Vector] = [*(Axis(axis=axis) for axis in self.axes), *self.vectors]
        faults = (each.fault(dim) for each in parts)
        size = len(self.axes or self.vectors)
        return next((fault for fault in faults if fault), None) or (
            f"the subspace is all {dim} dimensions; allowed: fewer" if size >= dim else None
        )

    def __str__(self) -> str:
        return " ".join(f"e{axis}" for axis in self.axes) or " ".join(map(str, self.vectors))


class Fitted(Part):
    """A direction found in every member's own latents once it is trained, from the labels of the draws that it saw.

    `fitted` says how, over training items weighted by how often each was drawn with the label and without:
    `class_mean`, the mean of the labelled; `mean_difference`, from the mean of the others to it; `logistic`, the
    weights of a logistic regression in which both classes count alike; `discriminant`, Fisher's; `leace`, the affine
    eraser of Belrose et al. (arXiv:2306.03819), for the operator `erase` alone. `best_random` needs no label: it is
    the best of `candidates` random directions, by the score of suppressing each on the training items.
    Without `label`, labels are exact: items whose similarity to the concept, cubed, is above a half, each item once.
    """

    fitted: Literal["class_mean", "mean_difference", "logistic", "discriminant", "leace", "best_random"]
    label: str | None = None
    candidates: Count = 500

    @model_validator(mode="after")
    def _label_for_what_has_one(self) -> "Fitted":
        if self.fitted == "best_random" and self.label is not None:
            raise ValueError("label: best_random is chosen by its score and has no label; allowed: no label")
        return self

    def fault(self, dim: int) -> str | None:
        """Return what is wrong with this direction in a space of `dim` dimensions: nothing ever is."""
        return None

    def __str__(self) -> str:
        return self.fitted + ("" if self.fitted == "best_random" else f" ({self.label or 'exact'})")


def together(places: "list[Axis | Vector | Subspace]") -> "Axis | Vector | Subspace":
    """Return one place for all of these: itself if it is alone, else the subspace that they span.

    Raises:
        ValidationError: some are axes and some vectors, or one lies in the span of the others.
    """
    if len(places) == 1:
        return places[0]
    axes = [axis for each in places for axis in _axes_of(each)]
    vectors = [vector for each in places for vector in _vectors_of(each)]
    return Subspace(axes=tuple(axes), vectors=tuple(vectors))


def _axes_of(place: "Axis | Vector | Subspace") -> tuple[int, ...]:
    return place.axes if isinstance(place, Subspace) else (place.axis,) if isinstance(place, Axis) else ()


def _vectors_of(place: "Axis | Vector | Subspace") -> tuple[Vector, ...]:
    return place.vectors if isinstance(place, Subspace) else (place,) if isinstance(place, Vector) else ()


def _form(value: Any) -> str | None:
    """Say which form of a place a value has, if any."""
    if isinstance(value, dict):
        forms = {"components": "a vector", "axes": "a subspace", "vectors": "a subspace", "fitted": "a fitted one"}
        return next((form for key, form in forms.items() if key in value), "an axis")
    kinds = {
        Axis: "an axis",
        Subspace: "a subspace",
        Fitted: "a fitted one",
        Vector: "a vector",
        list: "a vector",
        tuple: "a vector",
    }
    return next((form for kind, form in kinds.items() if isinstance(value, kind)), None)


Direction = Annotated[Annotated[Axis, Tag("an axis")] | Annotated[Vector, Tag("a vector")], Discriminator(_form)]
"""Something with two sides, of which one is meant."""
Place = Annotated[
    Annotated[Axis, Tag("an axis")] | Annotated[Vector, Tag("a vector")] | Annotated[Subspace, Tag("a subspace")],
    Discriminator(_form),
]
"""Where a concept is: a direction or a subspace."""
Aimed = Annotated[
    Annotated[Axis, Tag("an axis")]
    | Annotated[Vector, Tag("a vector")]
    | Annotated[Subspace, Tag("a subspace")]
    | Annotated[Fitted, Tag("a fitted one")],
    Discriminator(_form),
]
"""Where an intervention acts: a place given in the file, or a direction found in each member."""
