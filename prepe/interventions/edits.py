"""Edits of activations at inference: suppress a direction, project a subspace out, or rotate away from a direction.

An edit takes activations `(*members, batch, width)` and gives new ones; it does not change its input.
"""

import torch
from torch import Tensor

from prepe.catalog import Gate, Mapper
from prepe.interventions.gates import falloff, remap
from prepe.models import Edit

_PARALLEL = 1e-6


def suppress(gate: Gate, direction: Tensor) -> Edit:
    """Return x - g(a) (x . v) v: the gate sees the clamped alignment, the component removed is the raw one.

    What is not positively aligned stays as it is; the norm shrinks and is not restored.
    """

    def edit(x: Tensor) -> Tensor:
        projection = x @ direction
        share = falloff(gate, projection.clamp(0, 1))
        return x - (share * projection).unsqueeze(-1) * direction

    return edit


def project(basis: Tensor) -> Edit:
    """Return x - V^T V x for orthonormal rows V: nothing is left in their span, whichever its sign.

    Args:
        basis: `(k, width)`.
    """

    def edit(x: Tensor) -> Tensor:
        for row in basis:
            x = x - (x @ row).unsqueeze(-1) * row
        return x

    return edit


def repel(mapper: Mapper, direction: Tensor) -> Edit:
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
        target = remap(mapper, projection.clamp(0, 1)).unsqueeze(-1)
        turned = target * direction + (1 - target.square()).clamp_min(0.0).sqrt() * sideways
        return torch.where((projection > 0).unsqueeze(-1), turned, x)

    return edit


def one_after_the_other(edits: list[Edit]) -> Edit:
    """Return the edit that does all of these, in order."""

    def edit(x: Tensor) -> Tensor:
        for each in edits:
            x = each(x)
        return x

    return edit


def _perpendicular(direction: Tensor) -> Tensor:
    """Return the unit vector nearest to the axis on which the direction has least, orthogonal to the direction."""
    axis = torch.zeros_like(direction)
    axis[direction.abs().argmin()] = 1.0
    rest = axis - (axis @ direction) * direction
    return rest / rest.square().sum().sqrt()
