"""An autoencoder with a bottleneck of unit length, for any number of members at once.

A `catalog.Autoencoder` in; a function from parameters and inputs to outputs and activations out. Inputs and activations
are `(*members, batch, width)`; in memory the width comes before the batch, which is several times faster for narrow
layers, so what is handed out are transposed views.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import gelu

from prepe import catalog
from prepe.data import streams

Params = Mapping[str, Tensor]
Edit = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Forward:
    """What one pass gives: unclamped outputs `(*members, batch, outputs)` and activations by site."""

    outputs: Tensor
    sites: dict[str, Tensor]


class _Normalize(torch.autograd.Function):
    """x / max(|x|, 1e-12) along the channels of `(members, channels, batch)`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        scale = (x * x).sum(-2, keepdim=True).sqrt_().clamp_min_(1e-12).reciprocal_()
        unit = x * scale
        ctx.save_for_backward(unit, scale)
        return unit

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        unit, scale = ctx.saved_tensors
        along = (grad * unit).sum(-2, keepdim=True)
        return torch.addcmul(grad, unit, along, value=-1).mul_(scale)


class Autoencoder:
    """Linear and exact-GELU layers down to `latent_dim`, L2 normalisation, and the mirror image back up."""

    unit_sites = frozenset({"bottleneck"})

    def __init__(self, part: catalog.Autoencoder, inputs: int, outputs: int) -> None:
        hidden = [part.hidden_dim] * part.depth
        self.part, self.inputs, self.outputs = part, inputs, outputs
        self.encoder = _layers("encoder", [inputs, *hidden, part.latent_dim])
        self.decoder = _layers("decoder", [part.latent_dim, *hidden, outputs])
        self.layout: list[tuple[str, tuple[int, ...]]] = [
            (f"{name}.{kind}", shape)
            for name, fan_in, fan_out in (*self.encoder, *self.decoder)
            for kind, shape in (("weight", (fan_out, fan_in)), ("bias", (fan_out,)))
        ]

    def init(self, seeds: list[int]) -> Tensor:
        """Draw initial parameters, `(members, parameters)`: uniform within 1/sqrt(fan_in), PyTorch's default."""
        fans = {name: fan_in for name, fan_in, _ in (*self.encoder, *self.decoder)}
        rows = []
        for seed in seeds:
            parts = []
            for name, shape in self.layout:
                bound = fans[name.rsplit(".", 1)[0]] ** -0.5
                parts.append(streams.generator(seed, f"init:{name}").uniform(-bound, bound, int(np.prod(shape))))
            rows.append(np.concatenate(parts).astype(np.float32))
        return torch.from_numpy(np.stack(rows))

    def unpack(self, flat: Tensor) -> dict[str, Tensor]:
        """Return named views of parameters laid end to end, `(*members, parameters)`."""
        sizes = [int(np.prod(shape)) for _, shape in self.layout]
        parts = flat.split(sizes, dim=-1)
        return {
            name: part.view(*flat.shape[:-1], *shape) for (name, shape), part in zip(self.layout, parts, strict=True)
        }

    def __call__(self, params: Params, inputs: Tensor, edits: Mapping[str, Edit] | None = None) -> Forward:
        """Run the model.

        Args:
            params: as from `unpack`.
            inputs: `(*members, batch, inputs)`.
            edits: site -> function applied to the activation there, `(*members, batch, width)`; later layers and the
                activations returned see its result.
        """
        before = self._run(self.encoder, params, inputs.mT)
        latent = _Normalize.apply(before)
        if edits and "bottleneck" in edits:
            latent = edits["bottleneck"](latent.mT).mT.contiguous()  # an edit may leave another layout
        outputs = self._run(self.decoder, params, latent)
        return Forward(outputs.mT, {"encoder": before.mT, "bottleneck": latent.mT})

    def decode(self, params: Params, latents: Tensor) -> Tensor:
        """Run the second half alone, `(*members, batch, latent) -> (*members, batch, outputs)`."""
        return self._run(self.decoder, params, latents.mT).mT

    def writers(self, site: str) -> tuple[str, str]:
        """Return the weight whose rows, and the bias whose entries, write the axes of a site."""
        name = self.encoder[-1][0]
        return f"{name}.weight", f"{name}.bias"

    def readers(self, site: str) -> tuple[str]:
        """Return the weight whose columns read the axes of a site."""
        return (f"{self.decoder[0][0]}.weight",)

    def narrowed(self, latent_dim: int) -> "Autoencoder":
        """Return the same model with another bottleneck width."""
        return Autoencoder(self.part.model_copy(update={"latent_dim": latent_dim}), self.inputs, self.outputs)

    @staticmethod
    def _run(layers: list[tuple[str, int, int]], params: Params, x: Tensor) -> Tensor:
        for i, (name, _, _) in enumerate(layers):
            x = _linear(params[f"{name}.weight"], params[f"{name}.bias"], x if i == 0 else gelu(x))
        return x


def _layers(half: str, widths: list[int]) -> list[tuple[str, int, int]]:
    return [(f"{half}.{i}", a, b) for i, (a, b) in enumerate(pairwise(widths))]


def _linear(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """weight @ x + bias, channels before batch, over any leading member dimensions."""
    if weight.dim() == 3:
        return torch.baddbmm(bias.unsqueeze(-1), weight, x)
    lead = weight.shape[:-2]
    x = x.expand(*lead, *x.shape[-2:])
    flat = torch.baddbmm(
        bias.reshape(-1, bias.shape[-1], 1), weight.reshape(-1, *weight.shape[-2:]), x.reshape(-1, *x.shape[-2:])
    )
    return flat.view(*lead, *flat.shape[-2:])
