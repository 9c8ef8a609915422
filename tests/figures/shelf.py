"""Stores of sweep files whose rows are invented: specifications and schedules are real, nothing is trained."""

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from prepe import store, sweep
from prepe.catalog import MEMBER_METRICS
from prepe.keyframes import values_at
from prepe.spec import Training

LATTICE = np.array(list(itertools.product(np.linspace(0, 1, 4), repeat=3)))
Row = dict[str, Any]


def invent(root: Path, file: Path, members: int = 4, broken: tuple[int, ...] = ()) -> list[str]:
    """Invent a store of a sweep file's fixed points, and return the names of its trials."""
    loaded = sweep.load(file, members=members)
    names = []
    for number, point in enumerate(loaded.points() or []):
        trial = loaded.trial(point)
        name, model, block = trial.digest(), trial.training.digest(), f"0-{members - 1}"
        key = {"trial": name, "block": block, "model": model}
        rng = np.random.default_rng(number)
        rows = [_member(seed, rng, seed in broken) | key for seed in range(members)]
        store.write(root, "members", f"{name}-{block}", rows)
        store.write(root, "trials", f"{name}-{block}", [key | {"spec": trial.to_json(), "seeds": list(range(members))}])
        if not store.exists(root, "history", f"{model}-{block}"):
            store.write(root, "history", f"{model}-{block}", list(_history(model, block, trial.training, members)))
            steps = sorted({*loaded.record.snapshots, trial.training.schedule.steps})
            snapshots = list(_snapshots(model, block, trial.training, steps))
            store.write(root, "snapshots", f"{model}-{block}", snapshots)
        store.write(root, "proposals", f"{loaded.name}-{name}", [_proposal(loaded.name, number, point, name, members)])
        names.append(name)
    return names


def latents_at(step: int, steps: int, dim: int) -> np.ndarray:
    """Return the latents of the lattice at a step: from a spot to a ball."""
    wheel = np.array([[1, -0.5, -0.5], [0, 0.9, -0.9]]).T
    flat = np.column_stack([LATTICE @ wheel, LATTICE.sum(-1) / 1.5 - 1, LATTICE[:, 0] - LATTICE[:, 1]])[:, :dim]
    return flat * min(1.0, 0.1 + step / max(1, steps))


def _member(seed: int, rng: np.random.Generator, broken: bool) -> Row:
    metrics = {name: float(rng.uniform(0.1, 0.9)) for name in MEMBER_METRICS} | {"broken": 0.0, "ring_order": 1.0}
    if broken:
        metrics = dict.fromkeys(MEMBER_METRICS, float("nan")) | {"broken": 1.0}
    return {"seed": seed, **metrics}


def _history(model: str, block: str, training: Training, members: int) -> Iterator[Row]:
    key = {"model": model, "block": block, "members": members}
    last = training.schedule.steps - 1
    for step in np.unique(np.linspace(0, last, 60).round().astype(int)).tolist():
        fallen = float(np.exp(-4 * step / last)) + 1e-4
        for quantity, name in (("loss", "total"), ("loss", "recon"), *(("term", each) for each in training.terms)):
            yield key | {"step": step, "quantity": quantity, "name": name} | _quantiles(fallen, 0.5)
        for name in training.parameters():
            value = float(values_at(training.schedule, name, np.array([step]))[0])
            yield key | {"step": step, "quantity": "hyperparameter", "name": name} | _quantiles(value, 0.0)
        for rule in training.schedule.rules:
            acted = float(step > 1000) if rule.kind == "move" else float(step)
            yield key | {"step": step, "quantity": "rule", "name": rule.name} | _quantiles(acted, 0.0)


def _quantiles(value: float, spread: float) -> Row:
    names = ("mean", "q05", "q25", "median", "q75", "q95")
    return {name: value * (1 + spread * off) for name, off in zip(names, (0, -1, -0.5, 0, 0.5, 1), strict=True)}


def _snapshots(model: str, block: str, training: Training, steps: list[int]) -> Iterator[Row]:
    dim = training.model.sites()["bottleneck"]
    for step in steps:
        latents = latents_at(step, steps[-1], dim)
        for i, x in enumerate(LATTICE):
            yield (
                {"model": model, "block": block, "seed": 0, "step": step, "item": f"{i}", "x": x}
                | {"y": 0.9 * x + 0.05, "latent": latents[i]}
            )


def _proposal(name: str, number: int, point: Row, trial: str, members: int) -> Row:
    return {
        "sweep": name,
        "digest": "0" * 16,
        "number": number,
        "trial": trial,
        "params": json.dumps(point),
        "state": "complete",
        "feasible": True,
        "members": members,
        "first_seed": 0,
        "objectives": {},
        "goals": {},
        "constraints": {},
        "created": datetime.now(UTC),
    }
