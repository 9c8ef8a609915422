"""Numbers on a circle, such as hues: closeness, intervals and ranges that go on past the end of a period."""

import numpy as np


def isclose(a: np.ndarray | float, b: np.ndarray | float, atol: float = 1e-8, period: float = 1.0) -> np.ndarray:
    """Say where two numbers are close, or would be if one were a period on or back.

    Args:
        a, b: broadcast against each other.
        atol: absolute tolerance; numpy's relative one, 1e-5 of `b`, comes on top.
        period: length of the circle.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    near = [np.isclose(a + shift, b, atol=atol) for shift in (0.0, period, -period)]
    return np.logical_or.reduce(near)


def isbetween(a: np.ndarray | float, lower: float, upper: float, period: float = 1.0, atol: float = 1e-8) -> np.ndarray:
    """Say which numbers lie on the arc from `lower` up to `upper`, both included.

    All are taken modulo the period, so an arc whose upper end is the smaller number runs past the period's end; one
    whose ends are the same point is that point.
    """
    offset = (np.asarray(a, dtype=float) - lower) % period
    span = (upper % period - lower % period) % period
    return (offset <= span + atol) | (offset >= period - atol)


def arange(
    lower: float = 0.0,
    upper: float | None = None,
    step: float = 1 / 12,
    period: float = 1.0,
    inclusive: bool = False,
) -> np.ndarray:
    """Return numbers from `lower` on, a step apart, modulo the period.

    Args:
        lower: the first number.
        upper: where to stop, itself left out; below `lower`, it is meant in the next period; None is a whole period on.
        step: above zero.
        period: length of the circle.
        inclusive: stop half a step later, so that `upper` itself is there if the steps lead to it.

    Raises:
        ValueError: the step is not above zero.
    """
    if not step > 0:
        raise ValueError(f"step {step:g}; allowed: above zero")
    start = lower % period
    stop = start + period if upper is None else upper % period
    if stop < start:
        stop += period
    if inclusive:
        stop += step / 2
    count = max(0, int(np.ceil((stop - start) / step - 1e-9)))  # a whole number of steps may come out a little larger
    return (start + step * np.arange(count)) % period
