"""Interventions: an `interventions` part and a model in, the edited model out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from prepe import catalog
from prepe.catalog import Axis, Intervention, Subspace, Vector, together
from prepe.interventions.deletion import ablate, fold, prune, rotation
from prepe.interventions.edits import erase, one_after_the_other, project, repel, suppress
from prepe.interventions.fitted import FITS, Eraser, Found, Labelled, leace
from prepe.models import Edit, Forward, Model, Params

Place = Axis | Vector | Subspace | Found


@dataclass(frozen=True)
class Edited:
    """A model, its parameters and the edits of its activations: call it on inputs `(*members, batch, inputs)`."""

    model: Model
    params: Params
    edits: Mapping[str, Edit] = field(default_factory=dict)

    def __call__(self, inputs: Tensor) -> Forward:
        return self.model(self.params, inputs, self.edits)


def apply(part: Intervention, places: Sequence[Place], model: Model, params: Params) -> Edited:
    """Make the model that an intervention leaves; see `catalog` for what each operator does.

    Args:
        part: which operator, with its parameters.
        places: where each concept is, given or found in each member. One-sided operators act on one after the other;
            the others on all together.
        model: any number of members at once.
        params: `(*members, ...)`; not changed.
    """
    example = next(iter(params.values()))
    width = model.part.edit_sites()[part.site]

    def tensor(rows: np.ndarray) -> Tensor:
        return torch.as_tensor(rows, dtype=example.dtype, device=example.device)

    if isinstance(part, catalog.Suppress | catalog.Repel):
        directions = [tensor(place.basis(width)[..., 0, :]) for place in places]
        if isinstance(part, catalog.Suppress):
            edits = [suppress(part.gate, each) for each in directions]
        else:
            edits = [repel(part.mapper, each) for each in directions]
        return Edited(model, params, {part.site: one_after_the_other(edits)})
    place = places[0] if len(places) == 1 else together(list(places))  # type: ignore[arg-type]
    basis = tensor(place.basis(width))
    match part:
        case catalog.Project():
            return Edited(model, params, {part.site: project(basis, part.renormalize)})
        case catalog.Erase():
            assert isinstance(place, Found)  # a check of the specification sees to both
            assert place.eraser is not None
            return Edited(model, params, {part.site: erase(place.eraser)})
        case catalog.Ablate():
            return Edited(model, _ablated(place, basis, part.site, model, params))
        case catalog.Prune():
            return Edited(*_pruned(place, basis, part.site, model, params))
        case _:
            raise TypeError(f"no operator {part.operator!r}")


def _axes(place: Place) -> list[int]:
    """Return the axes that a place is made of, if it is."""
    return [place.axis] if isinstance(place, Axis) else list(place.axes) if isinstance(place, Subspace) else []


def _ablated(place: Place, basis: Tensor, site: str, model: Model, params: Params) -> dict[str, Tensor]:
    if axes := _axes(place):
        return ablate(model, params, site, axes)
    without = torch.eye(basis.shape[-1], dtype=basis.dtype, device=basis.device) - basis.mT @ basis
    return fold(model, params, site, without)


def _pruned(place: Place, basis: Tensor, site: str, model: Model, params: Params) -> tuple[Model, dict[str, Tensor]]:
    if axes := _axes(place):
        return prune(model, params, site, axes)
    return prune(model, fold(model, params, site, rotation(basis)), site, list(range(basis.shape[-2])))


__all__ = [
    "FITS",
    "Edited",
    "Eraser",
    "Found",
    "Labelled",
    "Place",
    "ablate",
    "apply",
    "fold",
    "leace",
    "project",
    "prune",
    "repel",
    "rotation",
    "suppress",
]
