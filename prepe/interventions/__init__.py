"""Interventions: an `interventions` part and a model in, the edited model out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from prepe import catalog
from prepe.catalog import Intervention
from prepe.interventions.deletion import ablate, prune
from prepe.interventions.edits import repel, suppress
from prepe.models import Autoencoder, Edit, Forward, Params


@dataclass(frozen=True)
class Edited:
    """A model, its parameters and the edits of its activations: call it on inputs `(*members, batch, inputs)`."""

    model: Autoencoder
    params: Params
    edits: Mapping[str, Edit] = field(default_factory=dict)

    def __call__(self, inputs: Tensor) -> Forward:
        return self.model(self.params, inputs, self.edits)


def apply(part: Intervention, direction: catalog.Axis | catalog.Vector, model: Autoencoder, params: Params) -> Edited:
    """Make the model that an intervention along a direction leaves.

    Args:
        part: which operator, with its parameters.
        direction: where the concept is; deletions need an axis.
        model: any number of members at once.
        params: `(*members, ...)`; not changed.
    """
    if isinstance(part, catalog.Ablate | catalog.Prune):
        assert isinstance(direction, catalog.Axis)
        if isinstance(part, catalog.Ablate):
            return Edited(model, ablate(model, params, part.site, [direction.axis]))
        return Edited(*prune(model, params, part.site, [direction.axis]))
    example = next(iter(params.values()))
    unit: np.ndarray = direction.unit(part_width(part, model))
    vector = torch.as_tensor(unit, dtype=example.dtype, device=example.device)
    if isinstance(part, catalog.Suppress):
        return Edited(model, params, {part.site: suppress(part.gate, vector)})
    assert isinstance(part, catalog.Repel)
    return Edited(model, params, {part.site: repel(part.mapper, vector)})


def part_width(part: Intervention, model: Autoencoder) -> int:
    """Return the width of the site that an intervention edits."""
    return model.part.edit_sites()[part.site]


__all__ = ["Edited", "ablate", "apply", "prune", "repel", "suppress"]
