"""Keyframes, rules and dopesheets in; a value for every parameter at every step out. Neither torch nor Ray."""

from prepe.keyframes.dopesheet import dopesheet_table, expand_dopesheets, read_dopesheet, to_csv
from prepe.keyframes.rules import RULES, ExtendRule, MoveRule, RatioRule, Rule
from prepe.keyframes.schedule import (
    MAX_STEPS,
    Column,
    Keyframe,
    Phase,
    Schedule,
    between_keys,
    inward,
    keys_of,
    minimum_jerk,
    most_updates,
    phase_starts,
    update_steps,
    values_at,
)
from prepe.keyframes.steps import resolve
from prepe.keyframes.transition import Property, Space, State, Timing, Transition

__all__ = [
    "MAX_STEPS",
    "RULES",
    "Column",
    "ExtendRule",
    "Keyframe",
    "MoveRule",
    "Phase",
    "Property",
    "RatioRule",
    "Rule",
    "Schedule",
    "Space",
    "State",
    "Timing",
    "Transition",
    "between_keys",
    "dopesheet_table",
    "expand_dopesheets",
    "inward",
    "keys_of",
    "minimum_jerk",
    "most_updates",
    "phase_starts",
    "read_dopesheet",
    "resolve",
    "to_csv",
    "update_steps",
    "values_at",
]
