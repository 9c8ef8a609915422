"""Small trials, quick to train, in the plain form that a sweep file has."""

from copy import deepcopy
from typing import Any

from prepe import spec
from prepe.spec import Training, Trial

TERMS: dict[str, dict[str, Any]] = {
    "anchor": {"kind": "anchor", "direction": {"axis": 0}, "labels": {"red": 1}},
    "anti_anchor": {"kind": "anti_anchor", "direction": {"axis": 0, "sign": -1}},
    "anti_subspace": {"kind": "anti_subspace", "axes": [0]},
    "separate": {"kind": "separate", "power": 100},
    "subspace": {"kind": "subspace", "axes": [0, 1], "labels": {"vibrant": 1}},
    "unit_norm": {"kind": "unit_norm"},
}

TABLE: dict[str, Any] = {
    "data": {
        "kind": "rgb_grid",
        "size": 4,
        "labels": {
            "red": {"concept": "redness", "power": 2, "rate": 0.5},
            "vibrant": {"concept": "vibrancy", "power": 10, "rate": 0.1},
        },
    },
    "model": {"kind": "autoencoder", "latent_dim": 4, "hidden_dim": 6, "depth": 1},
    "terms": TERMS,
    "schedule": {
        "batch_size": 16,
        "keyframes": [
            {"step": 0, "lr": 0.001, "anti_subspace": 0.25, "anchor": 0, "unit_norm": 0.01},
            {"step": 20, "separate": 0.01, "anti_anchor": 0.05, "anchor": 0},
            {"step": 40, "lr": 0.03, "anchor": 0.1, "subspace": 0.1, "anti_subspace": 0.003},
            {"step": 55, "separate": 0, "anchor": 0, "anti_anchor": 0, "subspace": 0, "unit_norm": 0},
            {"step": 59, "lr": 0.01},
        ],
    },
    "concepts": {"red": {"item": "red", "direction": {"axis": 0}, "isolated": True}},
    "interventions": [
        {"label": "suppress", "operator": "suppress", "concept": "red", "power": 2},
        {"label": "repel", "operator": "repel", "concept": "red", "power": 2},
        {"label": "ablate", "operator": "ablate", "concept": "red", "power": 3},
        {"label": "prune", "operator": "prune", "concept": "red", "power": 3},
    ],
}
"""Sixty updates, in which every term has its time with weight and its time without."""


WHOLE: dict[str, Any] = {
    "schedule": {
        **TABLE["schedule"],
        "keyframes": [
            *({**frame, "phase": phase} for frame, phase in zip(TABLE["schedule"]["keyframes"], "ABBC", strict=False)),
            TABLE["schedule"]["keyframes"][-1],
        ],
        "phases": {"B": {"batch_size": 24}},
    },
    "cycle": {"items": "hues", "grade": "value"},
    "interventions": [
        *TABLE["interventions"],
        {"label": "project", "operator": "project", "concept": "red", "power": 3, "renormalize": True},
        {
            "label": "found",
            "operator": "ablate",
            "concept": "red",
            "power": 3,
            "direction": {"fitted": "logistic"},
        },
        {
            "label": "erased",
            "operator": "erase",
            "concept": "red",
            "power": 3,
            "direction": {"fitted": "leace"},
        },
        {"label": "retrained", "operator": "retrain", "concept": "red", "power": 3},
        {"label": "reset", "operator": "reset", "concept": "red", "power": 3},
        {
            "label": "attacked",
            "operator": "ablate",
            "concept": "red",
            "power": 3,
            "recovery": {"steps": 10, "items": 3},
            "leakage": {"steps": 10, "hidden_dim": 4, "shuffles": 1},
        },
    ],
}
"""What makes a trial in which everything is measured: phases, a cycle with a grade, every operator, an attack."""
_LEAKS = ("lin", "mlp", "lin_auroc", "mlp_auroc", "ctrl", "mdl", "cert", "norm")
OF_ONE = {
    **dict.fromkeys(("recover_steps", "recover_auc", "rebound"), "attacked"),
    **dict.fromkeys((f"leak_{what}" for what in _LEAKS), "attacked"),
    **dict.fromkeys(("dir_cos", "dir_skill"), "found"),
}
"""Metrics of an effect that are None where nobody asked for them, with an intervention of `WHOLE` that does."""
OF_TRIALS = ("erase", "retrain", "reset")
"""Operators that need more of a trial than a model and a direction; they are in `WHOLE`."""


def table(**changes: Any) -> dict[str, Any]:
    """Return a copy of `TABLE` with some of its tables replaced; `None` takes one out."""
    changed = {**deepcopy(TABLE), **deepcopy(changes)}
    return {key: value for key, value in changed.items() if value is not None}


def trial(**changes: Any) -> Trial:
    return spec.trial(table(**changes))


def training(**changes: Any) -> Training:
    return trial(**changes).training


def constant(lr: float = 0.01, steps: int = 50, batch_size: int = 16, **weights: float) -> dict[str, Any]:
    """Return tables `terms` and `schedule`: the terms that are given a weight, every value the same at every step."""
    frame = {"step": 0, "lr": lr, **weights}
    return {
        "terms": {name: TERMS[name] for name in weights},
        "schedule": {"batch_size": batch_size, "steps": steps, "keyframes": [frame]},
    }
