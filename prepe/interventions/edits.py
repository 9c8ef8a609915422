"""Edits of activations at inference: suppress a direction, project a subspace out, or rotate away from a direction.

An edit takes activations `(*members, batch, width)` and gives new ones; it does not change its input.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from prepe.catalog import Gate, Mapper
from prepe.interventions.fitted import Eraser
from prepe.interventions.gates import falloff, remap
from prepe.models import Edit

_PARALLEL = 1e-6
_NOTHING = 1e-12


def suppress(gate: Gate, direction: Tensor) -> Edit:
    """Return x - g(a) (x . v) v: the gate sees the clamped alignment, the component removed is the raw one.

    What is not positively aligned stays as it is; the norm shrinks and is not restored.

    Args:
        gate: how much of an alignment goes.
        direction: `(width,)`, or each member's own, `(*members, width)`.
    """

    def edit(x: Tensor) -> Tensor:
        projection = along(x, direction)
        share = falloff(gate, projection.clamp(0, 1))
        return x - (share * projection).unsqueeze(-1) * _for_each(direction)

    return edit


def project(basis: Tensor, renormalize: bool = False) -> Edit:
    """Return x - V^T V x for orthonormal rows V: nothing is left in their span, whichever its sign.

    Args:
        basis: `(k, width)`, or each member's own, `(*members, k, width)`.
        renormalize: bring what is left to unit length; what is nothing stays nothing.
    """

    def edit(x: Tensor) -> Tensor:
        for row in basis.unbind(-2):
            x = x - along(x, row).unsqueeze(-1) * _for_each(row)
        return x / x.norm(dim=-1, keepdim=True).clamp_min(_NOTHING) if renormalize else x

    return edit


def erase(eraser: Eraser) -> Edit:
    """Return x - P (x - c): the affine map of each member's own eraser."""
    return lambda x: x - (x - eraser.centre.unsqueeze(-2)) @ eraser.projection.mT


def repel(mapper: Mapper, direction: Tensor) -> Edit:
    """Return m v + sqrt(1 - m^2) u: a rotation within the plane of x and v to the new alignment m(a).

    Made for unit vectors. What is not positively aligned stays as it is. An activation parallel to v has no such plane;
    it turns towards the first axis that is not v's own, so that the result is the same every time and never NaN.
    """
    default, each = _for_each(_perpendicular(direction)), _for_each(direction)

    def edit(x: Tensor) -> Tensor:
        projection = along(x, direction)
        rest = x - projection.unsqueeze(-1) * each
        norm = rest.square().sum(-1, keepdim=True).sqrt()
        parallel = norm < _PARALLEL
        sideways = torch.where(parallel, default, rest / torch.where(parallel, torch.ones_like(norm), norm))
        target = remap(mapper, projection.clamp(0, 1)).unsqueeze(-1)
        turned = target * each + (1 - target.square()).clamp_min(0.0).sqrt() * sideways
        return torch.where((projection > 0).unsqueeze(-1), turned, x)

    return edit


def one_after_the_other(edits: list[Edit]) -> Edit:
    """Return the edit that does all of these, in order."""

    def edit(x: Tensor) -> Tensor:
        for each in edits:
            x = each(x)
        return x

    return edit


def along(x: Tensor, direction: Tensor) -> Tensor:
    """Return x . v, `(*members, batch)`, for one direction `(width,)` or each member's own, `(*members, width)`."""
    return x @ direction if direction.dim() == 1 else (x * direction.unsqueeze(-2)).sum(-1)


def _for_each(direction: Tensor) -> Tensor:
    """Return a direction such that it goes with `(*members, batch, width)`; a single one goes with anything."""
    return direction if direction.dim() == 1 else direction.unsqueeze(-2)


def _perpendicular(direction: Tensor) -> Tensor:
    """Return the unit vector nearest to the axis on which the direction has least, orthogonal to the direction."""
    axis = one_hot(direction.abs().argmin(-1), direction.shape[-1]).to(direction.dtype)
    rest = axis - (axis * direction).sum(-1, keepdim=True) * direction
    return rest / rest.square().sum(-1, keepdim=True).sqrt()
