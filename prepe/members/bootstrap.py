"""Values, one a member, in; how far a statistic of them could have been by another draw of seeds, out.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13, for the percentile interval.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

RESAMPLES = 4000
LEVEL = 0.95


def interval(values: np.ndarray, statistic: Callable[..., Any] = np.mean) -> tuple[float, float]:
    """Return the 95 % percentile interval of a statistic, from 4000 resamples of the members that are always the same.

    It holds the statistic itself. Its ends are resampled values, so that one that is infinite does no harm. One member
    alone has none: NaN twice. It says nothing of a smallest or largest value, which no resample passes.

    Args:
        values: `(members,)`.
        statistic: called with `axis`.
    """
    if len(values) < 2:
        return math.nan, math.nan
    values = np.asarray(values, dtype=float)
    with np.errstate(invalid="ignore"):
        found = float(statistic(values, axis=-1))
        resampled = np.asarray(statistic(values[_draws(len(values))], axis=-1))
    if math.isnan(found) or np.isnan(resampled).any():
        return math.nan, math.nan
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(resampled, tail, method="lower"), np.quantile(resampled, 1 - tail, method="higher")
    return min(float(low), found), max(float(high), found)


@lru_cache(maxsize=4)
def _draws(members: int) -> np.ndarray:
    """Return which members are in each resample, `(resamples, members)`."""
    return np.random.default_rng(0).integers(members, size=(RESAMPLES, members))
