"""Parts of the loss in; smoothed measurements, and whose have crossed a threshold, out."""

import numpy as np

from prepe.keyframes import MoveRule, RatioRule, Rule


class Smoothed:
    """What rules measure, smoothed: m <- m + (x - m) / smooth_steps, from the first value that there is."""

    def __init__(self, rules: tuple[Rule, ...], members: int) -> None:
        wanted = [(rule.measure, rule.smooth_steps) for rule in rules]
        wanted += [(rule.of, rule.smooth_steps) for rule in rules if isinstance(rule, RatioRule)]
        self.rows = {pair: row for row, pair in enumerate(dict.fromkeys(wanted))}
        self.steps = _column([float(steps) for _, steps in self.rows])
        self.smooth = np.full((len(self.rows), members), np.nan)
        self.measured = np.empty_like(self.smooth)

    def of(self, rule: Rule, name: str) -> np.ndarray:
        """Return a rule's measurement of this name, `(members,)`; NaN where there was none yet."""
        smooth: np.ndarray = self.smooth[self.rows[name, rule.smooth_steps]]
        return smooth

    def add(self, parts: dict[str, np.ndarray]) -> None:
        x, m = self.measured, self.smooth
        for (name, _), row in self.rows.items():
            x[row] = parts[name]
        smooth = np.where(m == m, m + (x - m) / self.steps, x)
        self.smooth = np.where(np.isfinite(x), smooth, m)


class Crossings:
    """Which rules' measurements have crossed their thresholds, with hysteresis and a limit, `(rules, members)`."""

    def __init__(self, rules: list[MoveRule], members: int) -> None:
        self.rules = rules
        self.sign = _column([rule.sign for rule in rules])
        self.fire_at = _column([rule.sign * rule.threshold for rule in rules])
        self.rearm_at = self.fire_at + _column([rule.hysteresis * rule.threshold for rule in rules])
        self.left = _column([rule.times for rule in rules]) * np.ones(members)
        self.armed = np.ones((len(rules), members), dtype=bool)

    def fired(self, measured: Smoothed, step: np.ndarray, running: np.ndarray) -> np.ndarray | None:
        """Return which rules act now, or None when none does."""
        signed = self.sign * np.stack([measured.of(rule, rule.measure) for rule in self.rules])
        self.armed |= signed > self.rearm_at
        fired = (signed < self.fire_at) & self.armed
        if not fired.any():
            return None
        fired &= (self.left > 0) & np.stack([rule.awake(step) for rule in self.rules]) & running
        self.armed &= ~fired
        self.left -= fired
        return fired if fired.any() else None


def _column(values: list[float]) -> np.ndarray:
    return np.array(values, dtype=float).reshape(-1, 1)
