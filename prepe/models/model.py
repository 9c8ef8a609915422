"""What every model is to training and measuring: a function from parameters and inputs to outputs and sites.

Parameters are one buffer, `(*members, parameters)`, so that members are trained at once and stored as plain arrays;
inputs and activations are `(*members, batch, width)`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from prepe.catalog import ModelPart

Params = Mapping[str, Tensor]
Edit = Callable[[Tensor], Tensor]
Layout = list[tuple[str, tuple[int, ...]]]
"""Names and shapes of one member's parameters, in the order in which they lie in its buffer."""


@dataclass(frozen=True)
class Forward:
    """What one pass gives: unclamped outputs `(*members, batch, outputs)` and activations by site."""

    outputs: Tensor
    sites: dict[str, Tensor]


class Model(Protocol):
    """A model for any number of members at once.

    Attributes:
        layout: names and shapes of its parameters.
        unit_sites: sites where the model itself gives unit length.
    """

    layout: Layout
    unit_sites: frozenset[str]

    @property
    def part(self) -> ModelPart:
        """What it was made of."""

    def init(self, seeds: list[int]) -> Tensor:
        """Draw initial parameters, `(members, parameters)`, each member's from its seed alone."""

    def __call__(self, params: Params, inputs: Tensor, edits: Mapping[str, Edit] | None = None) -> Forward:
        """Run the model.

        Args:
            params: as from `unpack`.
            inputs: `(*members, batch, inputs)`.
            edits: site -> function applied to the activation there, `(*members, batch, width)`; later layers and the
                activations returned see its result.
        """

    def unpack(self, flat: Tensor) -> dict[str, Tensor]:
        """Return named views of parameters laid end to end, `(*members, parameters)`."""

    def decode(self, params: Params, latents: Tensor) -> Tensor:
        """Run what comes after the last site alone, `(*members, batch, latent) -> (*members, batch, outputs)`."""

    def writers(self, site: str) -> tuple[str, ...]:
        """Return the weights whose rows, and the biases whose entries, write the axes of a site."""

    def readers(self, site: str) -> tuple[str, ...]:
        """Return the weights whose columns read the axes of a site."""

    def narrowed(self, site: str, width: int) -> "Model":
        """Return the same model with another width at a site."""


def unpacked(flat: Tensor, layout: Layout) -> dict[str, Tensor]:
    """Return named views of parameters laid end to end, `(*members, parameters)`."""
    parts = flat.split([math.prod(shape) for _, shape in layout], dim=-1)
    return {name: part.view((*flat.shape[:-1], *shape)) for (name, shape), part in zip(layout, parts, strict=True)}


def packed(params: Params, layout: Layout) -> Tensor:
    """Return named parameters laid end to end, `(*members, parameters)`."""
    return torch.cat([params[name].flatten(-len(shape)) if shape else params[name].unsqueeze(-1)
                      for name, shape in layout], dim=-1)  # fmt: skip
