"""One whole trial, without Ray: a specification and seeds in, rows for every table out.

`run` computes and stores nothing; `ensure` makes sure that a store holds all of it, and trains only what is not there.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from prepe import data, models, store, train
from prepe.metrics import evaluate
from prepe.spec import Training, Trial
from prepe.sweep import Record
from prepe.train import Trained

Row = dict[str, Any]
Report = Callable[[str, int, int], None]


@dataclass
class Outcome:
    """Rows by table, all of one block of seeds, and the seconds that training and the twin's training took."""

    tables: dict[str, Any] = field(default_factory=dict)
    train_s: float = 0.0
    twin_train_s: float = 0.0


@dataclass(frozen=True)
class _Members:
    """Trained members, however they were come by."""

    params: Tensor
    rows: list[Row]
    train_s: float

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]

    @property
    def broken(self) -> np.ndarray:
        return np.array(self.column("broken"), dtype=bool)


def block_name(seeds: list[int]) -> str:
    """Name a block of consecutive seeds, such as `0-59`."""
    return f"{seeds[0]}-{seeds[-1]}"


def blocks(seeds: list[int]) -> list[list[int]]:
    """Split seeds into runs of consecutive ones, in order."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return runs


def run(
    trial: Trial,
    seeds: list[int],
    *,
    results: Path | None = None,
    device: str = "auto",
    record: Record | None = None,
    report: Report | None = None,
) -> Outcome:
    """Train and measure one block of members.

    Args:
        trial: what to train and measure.
        seeds: consecutive, one a member.
        results: a store whose trained models are used, and to which newly trained ones are added; None trains
            everything and stores nothing.
        device: `auto`, `cpu` or `cuda`.
        record: what to keep of training.
        report: called now and then with what is being done, steps done and steps in all.
    """
    began, cpu_began = time.perf_counter(), time.process_time()
    block = block_name(seeds)
    outcome = Outcome()
    options: dict[str, Any] = {"results": results, "device": device, "record": record}
    members = _obtain(trial.training, seeds, "training", outcome, report=report, **options)
    twin_mse = None
    if trial.twin is not None:
        twins = _obtain(trial.twin, seeds, "training the twin", outcome, report=report, **options)
        twin_mse = evaluate.reconstruction(trial.twin.data, trial.twin.model, twins.params, device)
        twin_mse = np.where(twins.broken, np.nan, twin_mse)
        outcome.twin_train_s = twins.train_s
    outcome.train_s = members.train_s
    evaluate_began = time.perf_counter()
    measured = evaluate.evaluate(trial, seeds, members.params, members.broken, twin_mse, device)
    ids = {"trial": trial.digest(), "block": block}
    outcome.tables["members"] = [
        {
            **ids,
            "model": trial.training.digest(),
            **row,
            **{key: trained[key] for key in ("label_n_drawn", "label_n_used", "broken_step", "broken_term")},
        }
        for row, trained in zip(measured.members, members.rows, strict=True)
    ]
    outcome.tables["effects"] = [{**ids, "model": trial.training.digest(), **row} for row in measured.effects]
    outcome.tables["items"] = with_constants(measured.items, ids)
    outcome.tables["trials"] = [
        {
            **ids,
            "model": trial.training.digest(),
            "twin": trial.twin.digest() if trial.twin else None,
            "spec": trial.to_json(),
            "seeds": seeds,
            "train_s": outcome.train_s,
            "twin_train_s": outcome.twin_train_s,
            "evaluate_s": time.perf_counter() - evaluate_began,
            "wall_s": time.perf_counter() - began,
            "cpu_s": time.process_time() - cpu_began,
            "peak_mb": store.peak_mb(),
            **_provenance(str(train.choose_device(device))),
        }
    ]
    return outcome


def ensure(
    trial: Trial,
    seeds: list[int],
    results: Path,
    *,
    device: str = "auto",
    record: Record | None = None,
    report: Report | None = None,
) -> dict[str, pa.Table]:
    """Make sure that a store holds a trial for all of some seeds, and return its `members` and `effects` rows.

    Blocks that are there are left as they are; the missing seeds are trained and measured as new ones. A block that an
    interruption left half written is made again as it was begun, so that no seed is ever in two blocks.
    """
    name = trial.digest()
    whole = store.read(results, "trials", columns=["block", "seeds"], names=f"{name}-*").to_pylist()
    halves = _begun(results, name) - {row["block"] for row in whole}
    unfinished = [
        list(range(int(first), int(last) + 1)) for first, last in (half.split("-") for half in sorted(halves))
    ]
    there = {seed for seeds in (*(row["seeds"] for row in whole), *unfinished) for seed in seeds}
    for block in (*unfinished, *blocks([seed for seed in seeds if seed not in there])):
        outcome = run(trial, block, results=results, device=device, record=record, report=report)
        for table in ("items", "effects", "members", "trials"):  # the last one says that the block is whole
            if len(outcome.tables[table]):
                store.write(results, table, f"{name}-{block_name(block)}", outcome.tables[table])
    return {
        "members": _once(results, "members", name, seeds, ["seed"]),
        "effects": _once(results, "effects", name, seeds, ["seed", "intervention"]),
    }


def _once(results: Path, table: str, name: str, seeds: list[int], keys: list[str]) -> pa.Table:
    """Return a trial's rows for some seeds, each once even where two blocks overlap: that of the first block's name."""
    rows = store.read(results, table, where=pc.field("seed").isin(seeds), names=f"{name}-*").sort_by("block")
    seen = list(zip(*(rows[key].to_pylist() for key in keys), strict=True))
    first = {key: i for i, key in reversed(list(enumerate(seen)))}
    return rows.take(sorted(first.values()))


def _begun(results: Path, name: str) -> set[str]:
    """Return the blocks of a trial of which at least one table is written."""
    tables = [
        store.read(results, table, columns=["block"], names=f"{name}-*") for table in ("items", "effects", "members")
    ]
    return {block for table in tables for block in table["block"].unique().to_pylist()}


def _obtain(
    training: Training,
    seeds: list[int],
    doing: str,
    outcome: Outcome,
    *,
    results: Path | None,
    device: str,
    record: Record | None,
    report: Report | None,
) -> _Members:
    """Return trained members: those that the store has, and the rest trained now, and stored if there is a store."""
    step_report = (lambda done, total: report(doing, done, total)) if report else None
    rows: dict[int, Row] = {}
    if results is not None:
        kept = store.read(results, "models", where=pc.field("seed").isin(seeds), names=f"{training.digest()}-*")
        rows = {row["seed"]: row for row in kept.to_pylist()}
    train_s = 0.0
    for block in blocks([seed for seed in seeds if seed not in rows]):
        trained = train.train(training, block, device=device, record=record, report=step_report)
        train_s += trained.wall_s
        tables = training_rows(training, trained)
        name = f"{training.digest()}-{block_name(block)}"
        if results is not None and store.exists(results, "models", name):
            # Another worker was faster: its members are the stored ones, on whatever machine they were trained.
            tables = {"models": store.read(results, "models", names=name).to_pylist()}
        for table in ("history", "snapshots", "models"):
            if results is not None and "history" in tables and len(tables[table]):
                store.write(results, table, name, tables[table])
            elif results is None:
                outcome.tables.setdefault(table, []).extend(tables[table])
        rows |= {row["seed"]: row for row in tables["models"]}
    ordered = [rows[seed] for seed in seeds]
    params = torch.from_numpy(np.stack([np.asarray(row["weights"], dtype=np.float32) for row in ordered]))
    return _Members(params, ordered, train_s)


def training_rows(training: Training, trained: Trained) -> dict[str, list[Row]]:
    """Return the rows of `models`, `history` and `snapshots` for a block of trained members."""
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
        **_provenance(trained.device),
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
    return {"models": members, "history": history, "snapshots": snapshots}


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


def _provenance(device: str) -> Row:
    return {
        "device": device,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "versions": store.versions(),
        "git_commit": store.git_commit(),
        "created": datetime.now(UTC),
    }
