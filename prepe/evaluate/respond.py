"""A model and sets of items in; clamped outputs, errors and latents of every member out.

Everything is computed in float64, whatever the weights' type, on clamped outputs: a deletion brings a small residual
back to unit length, which would also bring back the rounding of float32.
"""

from dataclasses import dataclass

import numpy as np
import torch

from prepe import data
from prepe.data.task import Items, Task
from prepe.interventions import Edited
from prepe.spec import Trial

_CHUNK = 256
"""Items run at once: a piece of this size stays in the processor's cache."""
_LINE = 32
"""Numbers in some cache lines, and as many as a processor takes at once in any case."""


@dataclass(frozen=True)
class Response:
    """Clamped outputs and errors by set, `(members, items, ...)`, and latents by site and set."""

    outputs: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    latents: dict[str, dict[str, np.ndarray]]


def sets(trial: Trial, task: Task) -> dict[str, Items]:
    """Return the items that a model is run on, by the name of their set."""
    found = {"reference": task.reference, "grid": task.grid, "named": task.named, "validation": task.validation}
    found |= task.views if trial.interventions else {}
    return found | ({"cycle": task.cycles[trial.cycle.items].items} if trial.cycle else {})


def respond(edited: Edited, task: Task, items: dict[str, Items]) -> Response:
    """Run a model on the items of some sets, one set after the other: so it does not matter which others there are."""
    ran = {name: run(edited, each.inputs, task.output_range) for name, each in items.items()}
    return Response(
        outputs={name: outputs for name, (outputs, _) in ran.items()},
        errors={name: data.error(ran[name][0], each.targets) for name, each in items.items()},
        latents={site: {name: sites[site] for name, (_, sites) in ran.items()} for site in edited.model.part.sites()},
    )


@torch.no_grad()
def run(
    edited: Edited, inputs: np.ndarray, output_range: tuple[float, float]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return clamped outputs `(members, items, outputs)` and activations by site for inputs `(items, inputs)`."""
    example = next(iter(edited.params.values()))
    members, n = example.shape[0], len(inputs)
    # Filled up: the products of matrices that begin elsewhere, and numbers left over by the processor, may be rounded
    # otherwise, and then a member would not be measured the same alone and among others.
    filled = np.concatenate([inputs, np.repeat(inputs[-1:], -n % _LINE, axis=0)])
    x = torch.as_tensor(filled, dtype=example.dtype, device=example.device)
    passes = [edited(part.expand(members, *part.shape)) for part in x.split(_CHUNK)]
    outputs = torch.cat([each.outputs for each in passes], dim=-2)[..., :n, :].clamp(*output_range)
    sites = {site: torch.cat([each.sites[site] for each in passes], dim=-2)[..., :n, :] for site in passes[0].sites}
    return outputs.cpu().numpy(), {site: values.cpu().numpy() for site, values in sites.items()}
