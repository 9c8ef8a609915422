"""What a term of the loss may look at."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Context:
    """One batch and what the model made of it.

    Attributes:
        inputs, targets, outputs: `(*members, batch, width)`; outputs are unclamped.
        sites: site -> activations, `(*members, batch, width)`.
        labels: label -> which samples carry it, `(*members, batch)`.
        decode: the model's second half, latents -> outputs.
    """

    inputs: Tensor
    targets: Tensor
    outputs: Tensor
    sites: dict[str, Tensor]
    labels: dict[str, Tensor] = field(default_factory=dict)
    decode: Callable[[Tensor], Tensor] | None = None
    _units: dict[str, Tensor] = field(default_factory=dict)

    def unit(self, site: str) -> Tensor:
        """Return a site's activations divided by (norm + 1e-8), computed once a batch however many terms ask."""
        if site not in self._units:
            x = self.sites[site]
            self._units[site] = x / ((x * x).sum(-1, keepdim=True).sqrt() + 1e-8)
        return self._units[site]
