"""How strongly an aligned activation is edited: gates (share removed) and mappers (new alignment).

Both are functions of the clamped alignment a = clamp(x . v, 0, 1), elementwise, any shape.

Source: arXiv:2512.12469, where a gate is called a falloff.
"""

import torch
from torch import Tensor

from prepe.catalog import Gate, Mapper

_TINY = 1e-8


def falloff(gate: Gate, alignment: Tensor) -> Tensor:
    """Return the share of the aligned component to remove.

    strength * ((a - start) / (1 - start)) ** power above `start`, else 0

    A power of 0 is a step; a `start` of 1 means the identity.
    """
    if abs(1 - gate.start) < _TINY:
        return alignment
    above = ((alignment - gate.start) / (1 - gate.start)).clamp_min(0.0)
    return torch.where(alignment > gate.start, gate.strength * above**gate.power, torch.zeros_like(alignment))


def linear(mapper: Mapper, alignment: Tensor) -> Tensor:
    """Return the new alignment: unchanged up to `start`, then linear onto `[start, end]`."""
    slope = (mapper.end - mapper.start) / (1 - mapper.start)
    return torch.where(alignment > mapper.start, mapper.start + slope * (alignment - mapper.start), alignment)
