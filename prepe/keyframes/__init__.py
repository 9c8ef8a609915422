"""Keyframes, rules and dopesheets in; a value for every parameter at every step out. Neither torch nor Ray."""

from prepe.keyframes.rules import ExtendRule, MoveRule, RatioRule, Rule
from prepe.keyframes.schedule import (
    MAX_STEPS,
    Column,
    Keyframe,
    Phase,
    Schedule,
    keys_of,
    minimum_jerk,
    phase_starts,
    update_steps,
    values_at,
)
from prepe.keyframes.steps import resolve

__all__ = [
    "MAX_STEPS",
    "Column",
    "ExtendRule",
    "Keyframe",
    "MoveRule",
    "Phase",
    "RatioRule",
    "Rule",
    "Schedule",
    "keys_of",
    "minimum_jerk",
    "phase_starts",
    "resolve",
    "update_steps",
    "values_at",
]
