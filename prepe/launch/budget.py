"""A sweep's budget and what its trials took; whether there is any left."""

import time
from collections.abc import Iterable
from typing import Any

from prepe.sweep import Sweep

_HOUR_S = 3600


class Meter:
    """Counts what a sweep takes: the wall time since this began, and the cost of every stored trial."""

    def __init__(self, sweep: Sweep, rows: Iterable[dict[str, Any]]) -> None:
        self._budget, self._cost_per_hour = sweep.budget, sweep.resources.cost_per_hour or 0.0
        self._began = time.monotonic()
        self._busy_s: dict[str, float] = {}
        for row in rows:
            self.add(row)

    def add(self, row: dict[str, Any]) -> None:
        """Count a trial that ended."""
        self._busy_s[row["trial"]] = row.get("busy_s") or 0.0

    @property
    def spent(self) -> str | None:
        """Say which part of the budget is used up, or None."""
        budget = self._budget
        hours = (time.monotonic() - self._began) / _HOUR_S
        if budget.max_hours is not None and hours >= budget.max_hours:
            return f"budget.max_hours = {budget.max_hours:g} is used up"
        if budget.max_cost is not None:
            cost = sum(self._busy_s.values()) / _HOUR_S * self._cost_per_hour
            if cost >= budget.max_cost:
                return f"budget.max_cost = {budget.max_cost:g} is used up"
        return None
