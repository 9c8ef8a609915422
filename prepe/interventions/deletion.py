"""Deletion of a place from weights: take it out of what writes and reads it, or out of the network.

Both work on a site between which and its neighbours there are linear maps alone, but for a division by the length,
which a rotation leaves as it is.
"""

import torch
from torch import Tensor

from prepe.models import Model, Params


def ablate(model: Model, params: Params, site: str, axes: list[int]) -> dict[str, Tensor]:
    """Return parameters with the axes' rows, biases and columns zeroed; shapes and everything else stay.

    Raises:
        ValueError: there is no such axis.
    """
    _kept(model, params, site, axes)
    edited = dict(params)
    for name in model.writers(site):
        edited[name] = params[name].clone()
        edited[name][(..., axes, slice(None)) if name.endswith("weight") else (..., axes)] = 0.0
    for name in model.readers(site):
        edited[name] = params[name].clone()
        edited[name][..., axes] = 0.0
    return edited


def prune(model: Model, params: Params, site: str, axes: list[int]) -> tuple[Model, dict[str, Tensor]]:
    """Return a smaller model and its parameters, without the axes; those that remain keep their order.

    Raises:
        ValueError: there is no such axis, or none would remain.
    """
    kept = _kept(model, params, site, axes)
    if not kept:
        raise ValueError("no axis would remain")
    edited = dict(params)
    for name in model.writers(site):
        edited[name] = params[name][..., kept, :] if name.endswith("weight") else params[name][..., kept]
    for name in model.readers(site):
        edited[name] = params[name][..., kept]
    return model.narrowed(site, len(kept)), edited


def fold(model: Model, params: Params, site: str, matrix: Tensor) -> dict[str, Tensor]:
    """Return parameters in which M is part of the weights around a site: written M z, and read through M^T.

    For a projection this takes a subspace out of the weights; for a rotation it changes nothing but the axes.

    Args:
        model: whose site it is.
        params: `(*members, ...)`; not changed.
        site: what to change.
        matrix: M, `(width, width)`, or each member's own, `(*members, width, width)`.
    """
    edited = dict(params)
    for name in model.writers(site):
        each = params[name]
        edited[name] = matrix @ each if name.endswith("weight") else (matrix @ each.unsqueeze(-1)).squeeze(-1)
    for name in model.readers(site):
        edited[name] = params[name] @ matrix.mT
    return edited


def rotation(basis: Tensor) -> Tensor:
    """Return an orthogonal matrix that begins with these orthonormal rows, `(..., k, width) -> (..., width, width)`."""
    k, width = basis.shape[-2:]
    identity = torch.eye(width, dtype=basis.dtype, device=basis.device).expand(*basis.shape[:-2], width, width)
    full = torch.linalg.qr(torch.cat([basis.mT, identity], dim=-1))[0].mT.contiguous()
    full[..., :k, :] = basis  # QR may have turned their signs
    return full


def _kept(model: Model, params: Params, site: str, axes: list[int]) -> list[int]:
    """Return the axes of a site that are not to be deleted, in order."""
    width = params[model.writers(site)[0]].shape[-2]
    for axis in axes:
        if not 0 <= axis < width:
            raise ValueError(f"axis {axis} does not exist in {width} dimensions; allowed: 0 to {width - 1}")
    return [axis for axis in range(width) if axis not in axes]
