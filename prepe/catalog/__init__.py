"""What can be named in a sweep file: every member of every open set, with its parameters and their ranges.

This package imports neither torch nor Ray, so a sweep file is checked whole before anything starts. An entry here is a
promise; the code that keeps it is in the package of the same name (`data`, `models`, `regularizers`, `interventions`,
`metrics`).
"""

from prepe.catalog.data import DATA, NAMED_COLORS, DataPart, Label, RgbGrid
from prepe.catalog.directions import Axis, Direction, Vector
from prepe.catalog.interventions import (
    DELETIONS,
    OPERATORS,
    Ablate,
    Gate,
    Intervention,
    Mapper,
    Prune,
    Repel,
    Suppress,
)
from prepe.catalog.metrics import EFFECT_METRICS, MEMBER_METRICS, STATISTICS, Metric
from prepe.catalog.models import MODELS, Autoencoder, ModelPart
from prepe.catalog.part import Fraction, NonNegative, Part, Positive, PositiveInt, unknown
from prepe.catalog.terms import (
    TERMS,
    AnchorTerm,
    AntiAnchorTerm,
    AntiSubspaceTerm,
    AxesTerm,
    Directed,
    SeparateTerm,
    SubspaceTerm,
    Term,
    UnitNormTerm,
)

__all__ = [
    "DATA",
    "DELETIONS",
    "EFFECT_METRICS",
    "MEMBER_METRICS",
    "MODELS",
    "NAMED_COLORS",
    "OPERATORS",
    "STATISTICS",
    "TERMS",
    "Ablate",
    "AnchorTerm",
    "AntiAnchorTerm",
    "AntiSubspaceTerm",
    "Autoencoder",
    "AxesTerm",
    "Axis",
    "DataPart",
    "Directed",
    "Direction",
    "Fraction",
    "Gate",
    "Intervention",
    "Label",
    "Mapper",
    "Metric",
    "ModelPart",
    "NonNegative",
    "Part",
    "Positive",
    "PositiveInt",
    "Prune",
    "Repel",
    "RgbGrid",
    "SeparateTerm",
    "SubspaceTerm",
    "Suppress",
    "Term",
    "UnitNormTerm",
    "Vector",
    "unknown",
]
