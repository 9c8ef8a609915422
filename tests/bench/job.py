"""The training job that every comparator carries out: experiment 2.9.1, one seed being one member.

What the comparators must agree on is stated here once, in NumPy and without prepe: colours, label probabilities,
schedule and score. How the job is computed is left to each comparator.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STEPS = 1501
BATCH = 64
LATENT = 5
HIDDEN = 16
POWER = 100
SAME = 1e-5
"""Cosines nearer to 1 than this belong to one colour that was drawn twice; the separating term leaves them out."""

BETAS = (0.9, 0.999)
EPSILON = 1e-8

KEYFRAMES: dict[str, tuple[tuple[int, float], ...]] = {
    "lr": ((0, 1e-8), (10, 0.01), (750, 0.1), (1425, 0.1), (1500, 0.05)),
    "separate": ((248, 0.01), (750, 0.001), (1425, 0.0)),
    "anchor": ((0, 0.0), (248, 0.1), (750, 0.1), (1425, 0.0)),
    "anti-anchor": ((0, 0.0), (248, 0.05), (1425, 0.0)),
    "anti-subspace": ((0, 0.25), (750, 0.003), (1425, 0.0)),
}


def value_at(name: str, update: int) -> float:
    """Scheduled value of a property at an update (from 0): held outside its keyframes, minimum-jerk between them.

    The last update repeats the step before it, so that the final keyframe is approached and never used.
    """
    keys = KEYFRAMES[name]
    step = min(update, STEPS - 2)
    if step <= keys[0][0]:
        return keys[0][1]
    for (start, low), (end, high) in pairwise(keys):
        if step <= end:
            t = (step - start) / (end - start)
            return low + (high - low) * t**3 * (10 - 15 * t + 6 * t**2)
    return keys[-1][1]


def lattice(values: Sequence[float] | Array) -> Array:
    """All RGB triples of the given channel values, shape (values cubed, 3)."""
    return np.stack(np.meshgrid(values, values, values, indexing="ij"), axis=-1).reshape(-1, 3)


def training_colours() -> Array:
    """The 512 colours of the training cube, which is also the one that scores are computed on."""
    return lattice(np.linspace(0, 1, 8))


def validation_colours() -> Array:
    """351 colours between those of the training cube, and the corners."""
    return np.concatenate([lattice(np.linspace(1 / 16, 15 / 16, 7)), lattice([0.0, 1.0])])


def red_probability(rgb: Array) -> Array:
    """Probability with which one drawing of a colour carries the label red."""
    r, g, b = rgb.T
    return 0.08 * (r * (1 - g / 2 - b / 2)) ** 8


def red_similarity(rgb: Array) -> Array:
    """HSV similarity of each colour to pure red."""
    r, g, b = rgb.T
    value = rgb.max(axis=1)
    chroma = value - rgb.min(axis=1)
    saturation = np.divide(chroma, value, out=np.zeros_like(value), where=value > 0)
    # The angle between a hue and red does not depend on the side on which the hue lies.
    divisor = np.where(chroma > 0, chroma, 1)
    sixths = np.where(value == r, np.abs(g - b), 2 * chroma + np.where(value == g, b, g) - r) / divisor
    hue = np.where(chroma > 0, np.maximum(0, 1 - sixths / 1.5), 1)
    vibrancy = (saturation * value + 1) / 2
    return (vibrancy * hue + 1 - vibrancy) * saturation * value


def error(output: Array, rgb: Array) -> Array:
    """Squared error of each colour, over the channels, of an output clamped to [0, 1]; shapes (..., colours, 3)."""
    return ((np.clip(output, 0, 1) - rgb) ** 2).mean(axis=-1)


def score(ablated_output: Array) -> float:
    """R squared, over the training cube, of similarity cubed and the error with the first latent dimension ablated."""
    rgb = training_colours()
    return float(np.corrcoef(red_similarity(rgb) ** 3, error(ablated_output, rgb))[0, 1] ** 2)
