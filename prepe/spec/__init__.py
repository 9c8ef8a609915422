"""What one model's training and one trial's evaluation are, as frozen and validated data whose digests are names.

A `Training` says everything that shapes a model's weights but its seed; a `Trial` adds what is measured on it. Seeds
and devices are in neither: a digest names a distribution over seeds, and members are draws from it.
"""

from prepe.spec.faults import explain
from prepe.spec.parts import LOSS, Concept, Cycle, Training, Trial
from prepe.spec.tables import intervention, place, trial, trial_from_json

__all__ = [
    "LOSS",
    "Concept",
    "Cycle",
    "Training",
    "Trial",
    "explain",
    "intervention",
    "place",
    "trial",
    "trial_from_json",
]
