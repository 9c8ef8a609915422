"""Numbers over members: one value a member in, one statistic out, with broken members counted as the worst."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from prepe.catalog import Metric

_REDUCTIONS: dict[str, Callable[[np.ndarray], Any]] = {
    "median": np.median,
    "mean": np.mean,
    "rate": np.mean,
    "min": np.min,
    "max": np.max,
}


def with_worst(values: np.ndarray, metric: Metric) -> np.ndarray:
    """Return values with every one that is not a number replaced by the metric's worst."""
    return np.where(np.isnan(values), metric.worst, values)


def statistic(name: str, values: np.ndarray, metric: Metric) -> float:
    """Return a statistic over members.

    Args:
        name: one of `catalog.STATISTICS`; `rate` is the mean of a flag, `worst_decile` the mean of the worst tenth,
            rounded up (CVaR).
        values: `(members,)`; NaN marks a broken member, which counts as the metric's worst and is never dropped.
        metric: says which way is worse.
    """
    values = np.sort(with_worst(np.asarray(values, dtype=float), metric))
    if name == "worst_decile":
        tail = math.ceil(len(values) / 10)
        return float((values[-tail:] if metric.goal == "min" else values[:tail]).mean())
    if name == "sd":
        return float(values.std(ddof=1)) if len(values) > 1 else math.nan
    if name in _REDUCTIONS:
        return float(_REDUCTIONS[name](values))
    return float(np.quantile(values, {"q25": 0.25, "q75": 0.75}[name]))
