"""An autoencoder with a bottleneck, of unit length if wanted, for any number of members at once.

A `catalog.Autoencoder` in; a `Model` out. Activations are `(*members, batch, width)`; in memory the width comes before
the batch, which is several times faster for narrow layers, so what is handed out are transposed views.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import gelu, pad, relu

from prepe import catalog
from prepe.data import streams
from prepe.models.model import Edit, Forward, Layout, Params, unpacked

_LANES = 32
"""Processors take so many numbers at once, and round those left over otherwise; so batches are filled up."""
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": gelu, "relu": relu}


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
    """Linear layers with GELU (exact) or ReLU between them down to `latent_dim`, and the mirror image back up.

    The site `encoder` is before the L2 normalisation, `bottleneck` after it; without one they are the same.
    """

    def __init__(self, part: catalog.Autoencoder, inputs: int, outputs: int) -> None:
        hidden = [part.hidden_dim] * part.depth
        self.part, self.inputs, self.outputs = part, inputs, outputs
        self.unit_sites = frozenset({"bottleneck"} if part.normalize == "unit" else ())
        self._activate = _ACTIVATIONS[part.activation]
        self.encoder = _layers("encoder", [inputs, *hidden, part.latent_dim])
        self.decoder = _layers("decoder", [part.latent_dim, *hidden, outputs])
        self.layout: Layout = [
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
        return unpacked(flat, self.layout)

    def __call__(self, params: Params, inputs: Tensor, edits: Mapping[str, Edit] | None = None) -> Forward:
        n = inputs.shape[-2]
        before = self._run(self.encoder, params, _filled(inputs.mT))
        latent = _Normalize.apply(before) if self.unit_sites else before
        if edits and "bottleneck" in edits:
            latent = edits["bottleneck"](latent.mT).mT.contiguous()  # an edit may leave another layout
        outputs = self._decoded(params, latent)
        return Forward(_cut(outputs, n), {"encoder": _cut(before, n), "bottleneck": _cut(latent, n)})

    def decode(self, params: Params, latents: Tensor) -> Tensor:
        return _cut(self._decoded(params, _filled(latents.mT)), latents.shape[-2])

    def writers(self, site: str) -> tuple[str, ...]:
        name = self.encoder[-1][0]
        return f"{name}.weight", f"{name}.bias"

    def readers(self, site: str) -> tuple[str, ...]:
        return (f"{self.decoder[0][0]}.weight",)

    def narrowed(self, site: str, width: int) -> "Autoencoder":
        return Autoencoder(self.part.model_copy(update={"latent_dim": width}), self.inputs, self.outputs)

    def _decoded(self, params: Params, latents: Tensor) -> Tensor:
        outputs = self._run(self.decoder, params, latents)
        return outputs.sigmoid() if self.part.output == "sigmoid" else outputs

    def _run(self, layers: list[tuple[str, int, int]], params: Params, x: Tensor) -> Tensor:
        for i, (name, _, _) in enumerate(layers):
            x = _linear(params[f"{name}.weight"], params[f"{name}.bias"], x if i == 0 else self._activate(x))
        return x


def _layers(half: str, widths: list[int]) -> list[tuple[str, int, int]]:
    return [(f"{half}.{i}", a, b) for i, (a, b) in enumerate(pairwise(widths))]


def _filled(x: Tensor) -> Tensor:
    """Add zeros to `(*members, channels, batch)` until the batch is a multiple of `_LANES`."""
    missing = -x.shape[-1] % _LANES
    return pad(x, (0, missing)) if missing else x


def _cut(x: Tensor, n: int) -> Tensor:
    """Return the first `n` items of `(*members, channels, batch)` as `(*members, n, channels)`.

    It cuts before it transposes, so that gradients come back in the layout of `x`: products round by it, and a member
    may share a batch with one whose terms differ.
    """
    return x.mT if x.shape[-1] == n else x[..., :n].mT


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
