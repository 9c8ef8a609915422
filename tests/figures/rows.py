"""Rows of an invented trial and an invented search, built to the store's schema: no training, and no torch."""

import itertools
import json
from typing import Any

import numpy as np
import pyarrow as pa

from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS, NAMED_COLORS
from prepe.store.schema import SCHEMAS

STEPS = range(0, 1501, 15)
GRAY = np.full(3, 0.5)
OPERATORS = ("ablate", "prune", "suppress")


def similarity(x: np.ndarray) -> np.ndarray:
    """Grade colours against red: a smooth stand-in for the real measure, 1 at red and 0 without excess red."""
    return np.clip(x[..., 0] - 0.8 * x[..., 1] - 0.65 * x[..., 2], 0, 1)


def _table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    schema = SCHEMAS[name]
    return pa.table(
        {key: pa.array([row.get(key) for row in rows], schema.field(key).type) for key in schema.names}, schema
    )


def trial(n: int = 60, shown: int = 3, broken: tuple[int, ...] = (17,), snapshots: bool = True) -> dict[str, pa.Table]:
    """Invent every table that a trial's figure reads.

    Members differ in how much of red they lose (their quality), in collateral, and in noise.
    """
    rng = np.random.default_rng(0)
    quality = np.clip(1.02 - rng.gamma(1.2, 0.09, n), 0.02, 0.995)
    leak = 10 ** rng.normal(-3.1, 0.5, n) / quality
    ok = [seed for seed in range(n) if seed not in broken]
    ranking = sorted(ok, key=lambda seed: -quality[seed])
    picked = [ranking[0], ranking[(len(ranking) - 1) // 2], ranking[-1]][:shown] if ranking else []
    grid = np.array(list(itertools.product(np.linspace(0, 1, 8), repeat=3)))
    named = np.array(list(NAMED_COLORS.values()))
    key = {"trial": "3f09c1d27ab45e68", "block": "0-59", "model": "77aa01d2c3b4e5f6"}

    effects, members, items = [], [], []
    for seed in range(n):
        gone = seed in broken
        member = dict.fromkeys(MEMBER_METRICS, float("nan") if gone else 0.0) | {"broken": float(gone)}
        where = {"broken_step": 620, "broken_term": "anchor"} if gone else {}
        members.append(key | member | where | {"seed": seed, "twin_mse": 2e-5, "val_terms": [("anchor", 0.001)]})
        for operator in OPERATORS:
            power = 2.0 if operator == "suppress" else 3.0
            about = {
                "intervention": operator,
                "concept": "red",
                "direction": "+e0",
                "operator": operator,
                "parameters": "{}",
                "site": "bottleneck",
                "power": power,
                "similarity": "hsv",
                "ideal_damage": 0.25,
                "seed": seed,
            }
            metrics = dict.fromkeys(EFFECT_METRICS, float("nan"))
            if not gone:
                metrics = dict.fromkeys(EFFECT_METRICS, 0.5) | {
                    "score_ccc": quality[seed],
                    "score_r2": quality[seed] ** 0.6,
                    "damage_frac": 1.3 * quality[seed] ** 0.5,
                    "collateral_p95": 0.0 if seed == 1 else leak[seed],
                }
            effects.append(key | about | metrics)
            sets = [("named", list(NAMED_COLORS), named)]
            if seed in picked:
                sets.append(("reference", [f"{i}" for i in range(len(grid))], grid))
            for kind, names, x in sets:
                s = similarity(x)
                noise = rng.normal(0, 0.18 * (1 - quality[seed]) + 0.01, x.shape)
                pull = np.clip(s * quality[seed] + 0.6 * (1 - quality[seed]) * x[:, 2], 0, 1)[:, None]
                before = np.clip(x + rng.normal(0, 0.004, x.shape), 0, 1)
                after = np.clip(x + pull * 1.1 * (GRAY - x) + noise * (s[:, None] > 0.02), 0, 1)
                if gone:
                    before = after = np.full_like(x, np.nan)
                for i, item in enumerate(names):
                    items.append(
                        key
                        | {"seed": seed, "intervention": operator, "set": kind, "item": item, "similarity": float(s[i])}
                        | {"x": x[i], "y_before": before[i], "y_after": after[i]}
                        | {"error_before": float(np.mean((before[i] - x[i]) ** 2))}
                        | {"error_after": float(np.mean((after[i] - x[i]) ** 2))}
                    )
    return {
        "effects": _table("effects", effects),
        "items": _table("items", items),
        "history": _table("history", _history(key, rng, n, len(ok))),
        "members": _table("members", members),
        "snapshots": _table("snapshots", _snapshots(key, rng, grid, picked[0]) if snapshots and picked else []),
    }


def _history(key: dict[str, str], rng: np.random.Generator, n: int, finite: int) -> list[dict[str, Any]]:
    rows = []

    def add(step: int, quantity: str, name: str, values: np.ndarray) -> None:
        q05, q25, median, q75, q95 = (float(q) for q in np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95)))
        quantiles = {"mean": float(values.mean()), "q05": q05, "q25": q25, "median": median, "q75": q75, "q95": q95}
        rows.append(key | {"step": step, "quantity": quantity, "name": name} | quantiles)
        rows[-1]["members"] = n if step < 620 else finite

    for step in STEPS:
        t = step / 1500
        off = 1.0 if step < 1425 else 0.0
        recon = 0.15 * np.exp(-9 * t) + 2e-5 + 0.004 * max(0, 1 - abs(t - 0.55) / 0.1)
        spread = np.exp(rng.normal(0, 0.5, n))
        add(step, "loss", "recon", recon * spread)
        add(step, "loss", "total", (recon + 0.02) * spread)
        if off:  # a term without weight has no row
            add(step, "term", "separate", 0.5 * np.exp(-2 * t) * spread)
            add(step, "term", "anchor", 0.9 * np.exp(-6 * t) * spread * (rng.random(n) < 0.055))
            add(step, "term", "anti_anchor", np.maximum(0, 0.02 * np.exp(-5 * t) * spread - 5e-3 * t))
            add(step, "term", "anti_subspace", (0.2 * np.exp(-8 * t) + 0.004) * spread)
        add(step, "hyperparameter", "lr", np.full(n, 1e-8 + 0.1 * min(1, 2 * t)))
        add(step, "hyperparameter", "separate", np.full(n, off * (0.01 - 0.009 * min(1, 2 * t))))
        add(step, "hyperparameter", "anchor", np.full(n, off * 0.1 * min(1, 6 * t)))
        add(step, "hyperparameter", "anti_anchor", np.full(n, off * 0.05 * min(1, 6 * t)))
        add(step, "hyperparameter", "anti_subspace", np.full(n, off * max(0.003, 0.25 * (1 - 2 * t))))
        add(step, "label", "red", rng.binomial(64, 0.00087, n).astype(float))
    return rows


def _snapshots(key: dict[str, str], rng: np.random.Generator, grid: np.ndarray, seed: int) -> list[dict[str, Any]]:
    rows = []
    for step in (0, 248, 500, 750, 1125, 1501):
        t = min(1, step / 750)
        up = similarity(grid) * t
        hidden = rng.normal(0, 0.2 * (1 - t) + 0.02, (len(grid), 5))
        latent = np.column_stack([up, (1 - up)[:, None] * (grid - 0.5), np.full(len(grid), 0.3)]) + hidden
        latent /= np.linalg.norm(latent, axis=1, keepdims=True)
        for i, x in enumerate(grid):
            rows.append(key | {"seed": seed, "step": step, "item": f"{i}", "x": x, "y": x, "latent": latent[i]})
    return rows


OBJECTIVES = [
    ("ablate.score_ccc.median", "maximize"),
    ("log10 ablate.collateral_p95.median", "minimize"),
    ("task_cost.median", "minimize"),
]


def search(
    n: int = 40,
    failed: tuple[int, ...] = (5,),
    lost: tuple[int, ...] = (3,),
    struct: bool = False,
    parameters: int | None = None,
) -> pa.Table:
    """Invent the trials of a search, which gets better as it goes on; some are infeasible and some fail.

    Those `lost` ended with the worst values there are, as when most of their members broke. Each has all parameters,
    or so many of them.
    """
    rng = np.random.default_rng(1)
    rows = []
    for number in range(n):
        params = {
            "latent_dim": int(rng.integers(3, 9)),
            "hidden_dim": int(rng.integers(1, 9) * 8),
            "depth": int(rng.integers(1, 4)),
            **{
                name: float(10 ** rng.uniform(np.log10(low), np.log10(high)))
                for name, (low, high) in {
                    "peak_lr": (0.02, 0.3),
                    "anti_subspace_0": (0.05, 1.0),
                    "anti_subspace_750": (0.0005, 0.03),
                    "separate_248": (0.001, 0.05),
                    "separate_750": (0.0001, 0.01),
                    "anchor_248": (0.02, 0.5),
                    "anchor_750": (0.02, 0.5),
                    "anti_anchor_248": (0.01, 0.3),
                }.items()
            },
        }
        ease = 0.6 + 0.3 * number / n - 0.12 * abs(np.log10(params["peak_lr"] / 0.1)) + 0.05 * (params["depth"] == 2)
        score = float(np.clip(ease + rng.normal(0, 0.08) - 0.4 * (rng.random() < 0.12), -0.2, 0.985))
        values = [score, float(-1 - 2.2 * score + rng.normal(0, 0.25)), float(1.1 - score + rng.normal(0, 0.1))]
        if number in lost:
            score, values = -1.0, [-1.0, 0.0, 6.0]
        gone = number in failed
        params = dict(list(params.items())[:parameters])
        rows.append(
            {"number": number, "trial": f"{rng.integers(2**63):016x}", "state": "failed" if gone else "complete"}
            | {"feasible": not gone and score > 0.55, "params": params if struct else json.dumps(params)}
            | {name: None if gone else value for (name, _), value in zip(OBJECTIVES, values, strict=True)}
        )
    return pa.Table.from_pylist(rows)
