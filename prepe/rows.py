"""Trained members in; what the store keeps of them, as rows by table, out."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from prepe import data, models, store
from prepe.spec import Training
from prepe.train import Trained

Row = dict[str, Any]


def block_name(seeds: list[int]) -> str:
    """Name a block of consecutive seeds, such as `0-59`."""
    return f"{seeds[0]}-{seeds[-1]}"


def of_training(row: Row) -> Row:
    """Return what a row of `members` says of the member's training."""
    final, spikes = dict(row["final_parts"] or ()), dict(row["phase_spikes"] or ())
    kept = ("label_n_drawn", "label_n_used", "broken_step", "broken_term", "final_parts", "phase_spikes")
    return {
        **{key: row[key] for key in kept},
        "loss_final": final.get("total"),
        "spike_max": float(np.max(list(spikes.values()))) if spikes else None,
    }


def training_rows(training: Training, trained: Trained) -> dict[str, list[Row]]:
    """Return the rows of `models`, `history`, `snapshots` and `checkpoints` for a block of trained members."""
    ids = {"model": training.digest(), "block": block_name(trained.seeds)}
    task = data.task(training.data)
    layout = models.build(training.model, task).layout
    shared = {
        **ids,
        "spec": json.dumps(training.model_dump(mode="json"), sort_keys=True, separators=(",", ":")),
        "layout": json.dumps(layout),
        "steps": training.schedule.steps,
        "wall_s": trained.wall_s,
        "cpu_s": trained.cpu_s,
        "members_in_block": len(trained.seeds),
        "threads": 1 if trained.device == "cpu" else torch.get_num_threads(),
        **provenance(trained.device),
    }
    labels = [label for label in trained.labels_drawn if label != "any"]
    members = [
        {
            **shared,
            "seed": seed,
            "weights": trained.params[i].numpy(),
            "broken": bool(trained.broken[i]),
            "broken_step": int(trained.broken_step[i]) if trained.broken[i] else None,
            "broken_term": trained.broken_term[i],
            "labels_drawn": {label: int(trained.labels_drawn[label][i]) for label in labels},
            "labels_used": {label: int(trained.labels_used[label][i]) for label in labels},
            "label_n_drawn": int(trained.labels_drawn["any"][i]),
            "label_n_used": int(trained.labels_used["any"][i]),
            "final_parts": {name: float(values[i]) for name, values in trained.final_parts.items()},
            "phase_spikes": {str(step): float(values[i]) for step, values in trained.phase_spikes.items()},
        }
        for i, seed in enumerate(trained.seeds)
    ]
    history = [
        {**ids, "step": step, "quantity": quantity, "name": name, **_quantiles(values)}
        for step, quantity, name, values in trained.history
    ]
    snapshots = [
        {
            **ids,
            "seed": trained.seeds[member],
            "step": step,
            "item": item,
            "x": task.reference.inputs[i].astype(np.float32),
            "y": outputs[member, i],
            "latent": latents[member, i],
        }
        for step, latents, outputs in trained.snapshots
        for member in range(len(latents))
        for i, item in enumerate(task.reference.names)
    ]
    checkpoints = [
        {**ids, "seed": seed, "step": each.step, "phase": each.phase, "weights": each.params[i].numpy()}
        for each in trained.checkpoints
        for i, seed in enumerate(trained.seeds)
        if each.reached[i]
    ]
    return {"models": members, "history": history, "snapshots": snapshots, "checkpoints": checkpoints}


def _quantiles(values: np.ndarray) -> Row:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return {"members": 0}
    low, q25, median, q75, high = np.quantile(finite, [0.05, 0.25, 0.5, 0.75, 0.95])
    return {
        "members": len(finite),
        "mean": float(finite.mean()),
        "q05": float(low),
        "q25": float(q25),
        "median": float(median),
        "q75": float(q75),
        "q95": float(high),
    }


def with_constants(table: pa.Table, columns: dict[str, str]) -> pa.Table:
    """Return a table with columns added that hold one text in every row."""
    for name, value in columns.items():
        table = table.append_column(name, pa.array([value] * len(table), pa.string()))
    return table


def provenance(device: str) -> Row:
    return {
        "device": device,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "versions": store.versions(),
        "git_commit": store.git_commit(),
        "created": datetime.now(UTC),
    }
