"""What a term of the loss may look at."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class Context:
    """One batch and what the model made of it.

    Attributes:
        inputs, targets, outputs: `(*members, batch, width)`; outputs are unclamped.
        sites: site -> activations, `(*members, batch, width)`.
        labels: label -> which samples carry it, `(*members, batch)`.
        decode: the model's second half, latents -> outputs.
        captured: `key()` of a term that captures -> its items' inputs, `(items, inputs)`, and the activations that they
            had at its site when it did, `(*members, items, width)`; NaN for a member that has not yet, None for all.
        activations: the model's activations of given inputs, (inputs `(*members, items, inputs)`, site) -> activations.
        unit_sites: sites where the model itself gives unit length, which need no second division.
    """

    inputs: Tensor
    targets: Tensor
    outputs: Tensor
    sites: dict[str, Tensor]
    labels: dict[str, Tensor] = field(default_factory=dict)
    decode: Callable[[Tensor], Tensor] | None = None
    unit_sites: frozenset[str] = frozenset()
    captured: dict[str, tuple[Tensor, Tensor | None]] = field(default_factory=dict)
    activations: Callable[[Tensor, str], Tensor] | None = None
    _units: dict[str, Tensor] = field(default_factory=dict)
    _coordinates: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    _across: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    _before_unit: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the views that terms share: gradients are added up in the order in which what gives them was made, and
        that must not depend on which terms a member's companions have."""
        for site, x in self.sites.items():
            self._turn(x)
            if site not in self.unit_sites:
                self._before_unit[site] = x.view_as(x)

    def unit(self, site: str) -> Tensor:
        """Return a site's activations divided by (norm + 1e-8), computed once a batch however many terms ask."""
        if site in self.unit_sites:
            return self.sites[site]
        if site not in self._units:
            self._units[site] = _Unit.apply(self._before_unit[site])
            self._turn(self._units[site])
        return self._units[site]

    def coordinate(self, x: Tensor, axis: int) -> Tensor:
        """Return one coordinate of a site's activations or of its `unit`, `(*members, batch)`, once a batch too.

        It is taken from the transposed view, which lies in memory as it stands; so does its gradient then.
        """
        key = id(x), axis
        if key not in self._coordinates:
            self._coordinates[key] = self._turn(x)[..., axis, :]
        return self._coordinates[key]

    def _turn(self, x: Tensor) -> Tensor:
        """Return the transposed view of activations, made once; it keeps them too, as their `id` is their name."""
        if id(x) not in self._across:
            self._across[id(x)] = x, x.mT
        return self._across[id(x)][1]


class _Unit(torch.autograd.Function):
    """x / (|x| + 1e-8) along the last dimension, with a gradient of five small operations instead of a dozen."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        norm = (x * x).sum(-1, keepdim=True).sqrt_()
        scale = (norm + 1e-8).reciprocal_()
        unit = x * scale
        ctx.save_for_backward(unit, norm, scale)
        return unit

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        unit, norm, scale = ctx.saved_tensors
        # d unit = scale dx - unit (unit . dx) / norm, and unit . dx is 0 wherever the norm is
        along = (grad * unit).sum(-1, keepdim=True).div_(norm.clamp_min(1e-30) * scale)
        return torch.addcmul(grad, unit, along, value=-1).mul_(scale)
