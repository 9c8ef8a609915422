"""Deletion of axes from weights: zero what writes and reads them, or take them out of the network."""

import torch

from prepe.models import Autoencoder, Params


def ablate(model: Autoencoder, params: Params, site: str, axes: list[int]) -> dict[str, torch.Tensor]:
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


def prune(
    model: Autoencoder, params: Params, site: str, axes: list[int]
) -> tuple[Autoencoder, dict[str, torch.Tensor]]:
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
    return model.narrowed(len(kept)), edited


def _kept(model: Autoencoder, params: Params, site: str, axes: list[int]) -> list[int]:
    """Return the axes of a site that are not to be deleted, in order."""
    width = params[model.writers(site)[0]].shape[-2]
    for axis in axes:
        if not 0 <= axis < width:
            raise ValueError(f"axis {axis} does not exist in {width} dimensions; allowed: 0 to {width - 1}")
    return [axis for axis in range(width) if axis not in axes]
