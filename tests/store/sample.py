"""A small store with everything that its views must get right, and the numbers in it as plain arrays."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from prepe import store
from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS, Metric
from prepe.store import files

SHARED, OWN, FAILED = "aaaa111122223333", "aaaa444455556666", "cccc000000000000"
INTERVENTIONS = ("suppress", "ablate")
BROKEN = 4  # a seed whose training stopped: every metric is NaN
UNSCORED = 6  # a seed with NaN for one metric
UNMEASURED = "isolation_fail"  # a metric that is null for every member
SEEDS = range(12)
ABLATE_CCC = "ablate.score_ccc.median"
TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Sample:
    """Trial `SHARED` has 12 members in two blocks; sweep `wide` has all of them, `narrow` those of seeds 3 to 7."""

    def __init__(self, root: Path) -> None:
        self.root = root
        rng = np.random.default_rng(0)
        self.effects = {
            (trial, seed, label): drawn(rng, seed, EFFECT_METRICS)
            for trial in (SHARED, OWN)
            for seed in SEEDS
            for label in INTERVENTIONS
        }
        self.members = {
            (trial, seed): {**drawn(rng, seed, MEMBER_METRICS), UNMEASURED: None}
            for trial in (SHARED, OWN)
            for seed in SEEDS
        }
        self.effects[SHARED, UNSCORED, "ablate"]["score_ccc"] = np.nan
        for trial in (SHARED, OWN):
            for seeds in (SEEDS[:5], SEEDS[5:]):
                self.write_block(trial, seeds)
        store.write(root, "proposals", f"wide-{SHARED}", [proposal("wide", 0, SHARED, 12, 0)])
        store.write(root, "proposals", f"narrow-{SHARED}", [proposal("narrow", 0, SHARED, 5, 3, {"lr": 1, "wd": 0.5})])
        store.write(root, "proposals", f"narrow-{OWN}", [proposal("narrow", 1, OWN, 5, 3, {"lr": 0.25})])
        failed = {"state": "failed", "error": "out of memory", "objectives": None}
        failed = {**proposal("narrow", 2, FAILED, 5, 3), **failed}
        store.write(root, "proposals", f"narrow-{FAILED}", [failed])

    def write_block(self, trial: str, seeds: range) -> None:
        """Write what a worker writes for one block of seeds."""
        block = f"{seeds.start}-{seeds.stop}"
        name = f"{trial}-{block}"
        key = {"trial": trial, "block": block, "model": f"model-of-{trial}"}
        store.write(self.root, "members", name, [{**key, "seed": seed, **self.members[trial, seed]} for seed in seeds])
        effects = [
            {**key, "seed": seed, "intervention": label, "concept": "red", "operator": label, **metrics}
            for (of, seed, label), metrics in self.effects.items()
            if of == trial and seed in seeds
        ]
        store.write(self.root, "effects", name, effects)
        items = [
            {**without_model, "intervention": "ablate", "set": kind, "item": item, "error_after": 0.5}
            for without_model in ({"trial": trial, "block": block, "seed": seed} for seed in seeds)
            for kind, item in (("named", "red"), ("named", "gray"), ("reference", "0,0,0"))
        ]
        store.write(self.root, "items", name, items)
        cost = {"twin": "t", "train_s": 2.0, "wall_s": 3.0, "peak_mb": 100.0 + seeds.stop, "device": "cpu"}
        store.write(self.root, "trials", name, [{**key, **cost, "spec": "{}", "seeds": list(seeds), "created": TIME}])

    def effect(self, trial: str, label: str, metric: str, seeds: range) -> np.ndarray:
        """Return a metric of an effect over members."""
        return np.array([self.effects[trial, seed, label][metric] for seed in seeds])

    def member(self, trial: str, metric: str, seeds: range) -> np.ndarray:
        """Return a metric of members."""
        return np.array([self.members[trial, seed][metric] for seed in seeds], dtype=float)


def drawn(rng: np.random.Generator, seed: int, metrics: dict[str, Metric]) -> dict[str, Any]:
    """Return a value for each metric of one member."""
    return {name: np.nan if seed == BROKEN else rng.normal() for name in metrics}


def proposal(
    sweep: str, number: int, trial: str, members: int, first_seed: int, params: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return a row of `proposals`."""
    return {
        "sweep": sweep,
        "number": number,
        "trial": trial,
        "params": json.dumps(params or {}),
        "generation": 0,
        "state": "complete",
        "feasible": number == 0,
        "members": members,
        "first_seed": first_seed,
        "objectives": {ABLATE_CCC: 0.5 + number, "task_cost.median": 0.1},
        "constraints": {"ablate.damage_frac.median": -0.1},
        "created": TIME,
    }


def effect_rows(count: int = 3, value: float = 0.5) -> list[dict[str, Any]]:
    """Return rows of `effects` that hold one value."""
    key = {"trial": SHARED, "block": "0-3", "intervention": "ablate"}
    return [{**key, "seed": seed, "score_ccc": value} for seed in range(count)]


def say_running(root: Path, sweep: str, seen: float) -> None:
    """Write what a sweep's driver says of itself, as of a time in seconds since 1970."""
    says = {"state": "running", "total": 1, "where": "here", "seen": seen, "error": None}
    files.put(root, ("drivers", f"{sweep}.json"), json.dumps(says).encode())
