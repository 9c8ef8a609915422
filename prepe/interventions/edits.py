"""Edits of activations at inference: suppress a direction, or rotate away from it.

An edit takes activations `(*members, batch, width)` and gives new ones; it does not change its input.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from prepe.catalog import Gate, Mapper
from prepe.interventions.gates import falloff, linear

_PARALLEL = 1e-6


def suppress(gate: Gate, direction: Tensor) -> Callable[[Tensor], Tensor]:
    """Return x - g(a) (x . v) v: the gate sees the clamped alignment, the component removed is the raw one.

    What is not positively aligned stays as it is; the norm shrinks and is not restored.
    """

    def edit(x: Tensor) -> Tensor:
        projection = x @ direction
        share = falloff(gate, projection.clamp(0, 1))
        return x - (share * projection).unsqueeze(-1) * direction

    return edit


def repel(mapper: Mapper, direction: Tensor) -> Callable[[Tensor], Tensor]:
    """Return m v + sqrt(1 - m^2) u: a rotation within the plane of x and v to the new alignment m(a).

    Made for unit vectors. What is not positively aligned stays as it is. An activation parallel to v has no such plane;
    it turns towards the first axis that is not v's own, so that the result is the same every time and never NaN.
    """
    default = _perpendicular(direction)

    def edit(x: Tensor) -> Tensor:
        projection = x @ direction
        rest = x - projection.unsqueeze(-1) * direction
        norm = rest.square().sum(-1, keepdim=True).sqrt()
        parallel = norm < _PARALLEL
        sideways = torch.where(parallel, default, rest / torch.where(parallel, torch.ones_like(norm), norm))
        target = linear(mapper, projection.clamp(0, 1)).unsqueeze(-1)
        turned = target * direction + (1 - target.square()).clamp_min(0.0).sqrt() * sideways
        return torch.where((projection > 0).unsqueeze(-1), turned, x)

    return edit


def _perpendicular(direction: Tensor) -> Tensor:
    """Return the unit vector nearest to the axis on which the direction has least, orthogonal to the direction."""
    axis = torch.zeros_like(direction)
    axis[direction.abs().argmin()] = 1.0
    rest = axis - (axis @ direction) * direction
    return rest / rest.square().sum().sqrt()
