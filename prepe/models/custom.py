"""A user's own model: a module for one member in, the same for any number of members at once out.

The user's function is called with the numbers of inputs and outputs, and the `parameters`, and returns a
`torch.nn.Module` whose `forward(inputs, at)` calls `at(site, activation)` wherever it can be watched, and goes on with
what that returns: the activation, or what an edit makes of it. What it makes of an item must not depend on the others
of its batch.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from prepe import catalog, custom
from prepe.data import streams
from prepe.errors import PrepeError
from prepe.models.model import Edit, Forward, Layout, Params, packed, unpacked


class CustomModel:
    """A user's module, vectorised over members."""

    unit_sites: frozenset[str] = frozenset()

    def __init__(self, part: catalog.CustomModel, inputs: int, outputs: int) -> None:
        self.part, self.inputs, self.outputs = part, inputs, outputs
        self._make: Callable[..., Any] = custom.load(part.kind)
        self.module = self._made(0)
        if list(self.module.buffers()) or not list(self.module.parameters()):
            what = "with buffers" if list(self.module.buffers()) else "without parameters"
            raise PrepeError(f"model.kind: {part.kind!r} makes a module {what}; allowed: parameters alone")
        self.layout: Layout = [(name, tuple(each.shape)) for name, each in self.module.named_parameters()]

    def init(self, seeds: list[int]) -> Tensor:
        """Make the module once for each seed, with PyTorch's own generator seeded for it and put back after."""
        rows = [packed(dict(self._made(seed).named_parameters()), self.layout) for seed in seeds]
        return torch.stack(rows).detach().float()

    def unpack(self, flat: Tensor) -> dict[str, Tensor]:
        return unpacked(flat, self.layout)

    def __call__(self, params: Params, inputs: Tensor, edits: Mapping[str, Edit] | None = None) -> Forward:
        def run(own: dict[str, Tensor], x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            sites: dict[str, Tensor] = {}

            def at(site: str, activation: Tensor) -> Tensor:
                sites[site] = edits[site](activation) if edits and site in edits else activation
                return sites[site]

            outputs = functional_call(self.module, own, (x, at))
            return outputs, sites

        name, shape = self.layout[0]
        lead = params[name].shape[: params[name].dim() - len(shape)]
        for _ in lead:
            run = vmap(run)
        outputs, sites = run(dict(params), inputs.expand(*lead, *inputs.shape[-2:]))
        self._check(sites)
        return Forward(outputs, sites)

    def decode(self, params: Params, latents: Tensor) -> Tensor:
        raise PrepeError(f"model.kind: {self.part.kind!r} has no decoder of its own that a term could use")

    def writers(self, site: str) -> tuple[str, ...]:
        return self._declared("writers", site)

    def readers(self, site: str) -> tuple[str, ...]:
        return self._declared("readers", site)

    def narrowed(self, site: str, width: int) -> "CustomModel":
        raise PrepeError(f"prune: {self.part.kind!r} cannot be made narrower; allowed: ablate, or an autoencoder")

    def _declared(self, which: str, site: str) -> tuple[str, ...]:
        names = getattr(self.module, which, {}).get(site)
        if names is None:
            raise PrepeError(
                f"model.kind: the module of {self.part.kind!r} has no {which}[{site!r}], so nothing can be deleted "
                f"there; allowed: with an attribute {which} = {{site: (parameter, ...)}}"
            )
        return tuple(names)

    def _made(self, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(streams.generator(seed, "init:custom").integers(2**63)))
            module = self._make(self.inputs, self.outputs, **self.part.parameters)
        if not isinstance(module, nn.Module):
            raise PrepeError(f"model.kind: {self.part.kind!r} returned {module!r}; allowed: a torch.nn.Module")
        return module

    def _check(self, sites: dict[str, Tensor]) -> None:
        widths = {site: each.shape[-1] for site, each in sites.items()}
        if widths != self.part.widths:
            raise PrepeError(f"model.widths: {self.part.widths}, and {self.part.kind!r} has {widths}; allowed: its own")
