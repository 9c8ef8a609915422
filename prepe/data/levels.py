"""Ranges mapped onto ranges, as the levels of a photo editor do; with them a fraction opens data by a grade."""

import numpy as np


def levels(
    x: np.ndarray,
    in_low: float = 0.0,
    in_high: float = 1.0,
    out_low: float = 0.0,
    out_high: float = 1.0,
    clamp: bool = True,
) -> np.ndarray:
    """Map one range onto another, either of which may be inverted.

    out_low + a (out_high - out_low), with a = (x - in_low) / (in_high - in_low), from 0 to 1 if clamped

    An empty input range gives the middle of the output range everywhere.
    """
    x = np.asarray(x, dtype=float)
    if abs(in_low - in_high) < 1e-10:
        return np.full(x.shape, (out_low + out_high) / 2)
    a = (x - in_low) / (in_high - in_low)
    return out_low + (np.clip(a, 0.0, 1.0) if clamp else a) * (out_high - out_low)


def opened(grade: np.ndarray, fraction: float) -> np.ndarray:
    """Return the weight of items when a fraction of the way from the purest to all of them is open, `(n,)`.

    At 0 only items of grade 1 weigh (in fact above 0.99), at 0.5 items weigh as their grade, at 1 all weigh 1. Up to
    0.5 the lowest grade let in falls, from there on the least weight rises.
    """
    in_low = float(np.interp(fraction, [0.0, 0.5], [0.99, 0.0]))
    out_low = float(np.interp(fraction, [0.5, 1.0], [0.0, 1.0]))
    return levels(grade, in_low=in_low, out_low=out_low)
