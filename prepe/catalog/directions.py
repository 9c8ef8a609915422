"""Where a concept is: an axis of a site, or a vector."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Discriminator, Field, Tag, model_validator

from prepe.catalog.part import Part


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
