"""A gate or mapper in; what its operator does to unit vectors in a plane, as arrays to be drawn, out."""

import math

import torch

from prepe.catalog import Gate, Mapper
from prepe.figures.lobes import Lobe
from prepe.interventions.edits import repel, suppress
from prepe.interventions.gates import falloff, remap

_ANGLES = 360
_TINY = 1e-7


def lobe(part: Gate | Mapper) -> Lobe:
    """Compute the lobe of a gate, as suppression uses it, or of a mapper, as repulsion does."""
    angles = torch.linspace(_TINY, 2 * math.pi - _TINY, _ANGLES, dtype=torch.float64)
    unit = torch.stack([angles.cos(), angles.sin()], dim=-1)
    direction = torch.tensor([1.0, 0.0], dtype=torch.float64)
    across = torch.linspace(-1, 1, 401, dtype=torch.float64)
    clamped, seen = across.clamp(0, 1), unit[:, 0].clamp(0, 1)
    if isinstance(part, Gate):
        title = f"from {_degrees(part.start)}, strength {part.strength:g}, power {part.power:g}"
        images, strength, curve = suppress(part, direction)(unit), falloff(part, seen), falloff(part, clamped)
        operator, end = "suppress", part.strength
    else:
        slope = f", end slope {part.end_slope:g}" if part.kind == "bezier" else ""
        title = f"{part.kind}, from {_degrees(part.start)} to {_degrees(part.end)}{slope}"
        images, strength = repel(part, direction)(unit), (seen - remap(part, seen)).abs()
        curve = torch.where(across > 0, remap(part, clamped), across)
        operator, end = "repel", part.end
    return Lobe(
        title=title,
        operator=operator,
        angles=angles.numpy(),
        images=images.numpy(),
        strength=strength.numpy(),
        alignments=across.numpy(),
        curve=curve.numpy(),
        start=part.start,
        end=end,
        handles=tuple(part.points()) if isinstance(part, Mapper) and part.kind == "bezier" else (),
    )


def _degrees(alignment: float) -> str:
    return f"{math.degrees(math.acos(alignment)):.0f}°"


SUPPRESSION = [
    Gate(start=0.0, strength=0.5, power=1),
    Gate(start=0.0, strength=0.5, power=2),
    Gate(start=0.5, strength=1.0, power=1),
    Gate(start=0.5, strength=1.0, power=2),
]
REPULSION = [
    Mapper(kind="linear", start=0.0, end=0.5),
    Mapper(kind="bezier", start=0.0, end=0.5, end_slope=0.2),
    Mapper(kind="linear", start=0.5, end=math.sqrt(3) / 2),
    Mapper(kind="bezier", start=0.5, end=math.sqrt(3) / 2, end_slope=0.2),
]
"""The eight that the reference shows (z0u/ex-preppy, experiment 2.1)."""
