"""How strongly an aligned activation is edited: gates (share removed) and mappers (new alignment).

Both are functions of the clamped alignment a = clamp(x . v, 0, 1), elementwise, any shape.

Source: arXiv:2512.12469, where a gate is called a falloff.
"""

import torch
from torch import Tensor

from prepe.catalog import Gate, Mapper

_TINY = 1e-8
_BISECTIONS = 60


def falloff(gate: Gate, alignment: Tensor) -> Tensor:
    """Return the share of the aligned component to remove.

    strength * ((a - start) / (1 - start)) ** power above `start`, else 0

    A power of 0 is a step; a `start` of 1 means the identity.
    """
    if abs(1 - gate.start) < _TINY:
        return alignment
    above = ((alignment - gate.start) / (1 - gate.start)).clamp_min(0.0)
    return torch.where(alignment > gate.start, gate.strength * above**gate.power, torch.zeros_like(alignment))


def remap(mapper: Mapper, alignment: Tensor) -> Tensor:
    """Return the new alignment: unchanged up to `start`, beyond it on a line or a Bezier curve onto `[start, end]`."""
    curve = _bezier if mapper.kind == "bezier" else _line
    return torch.where(alignment > mapper.start, curve(mapper, alignment), alignment)


def _line(mapper: Mapper, alignment: Tensor) -> Tensor:
    slope = (mapper.end - mapper.start) / (1 - mapper.start)
    return mapper.start + slope * (alignment - mapper.start)


def _bezier(mapper: Mapper, alignment: Tensor) -> Tensor:
    """Return y(t) where x(t) is the alignment, with t solved by bisection, since x rises, or read from a table."""
    xs, ys = zip(*mapper.points(), strict=True)
    if mapper.table is not None:
        t = torch.linspace(0, 1, mapper.table, dtype=alignment.dtype, device=alignment.device)
        x, y = _cubic(xs, t), _cubic(ys, t)
        right = torch.searchsorted(x, alignment.contiguous()).clamp(1, mapper.table - 1)
        share = (alignment - x[right - 1]) / (x[right] - x[right - 1])
        return y[right - 1] + share * (y[right] - y[right - 1])
    low, high = torch.zeros_like(alignment), torch.ones_like(alignment)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        below = _cubic(xs, middle) < alignment
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return _cubic(ys, (low + high) / 2)


def _cubic(p: tuple[float, ...], t: Tensor) -> Tensor:
    """Return the cubic Bezier polynomial of four numbers at t."""
    s = 1 - t
    return s**3 * p[0] + 3 * s**2 * t * p[1] + 3 * s * t**2 * p[2] + t**3 * p[3]
