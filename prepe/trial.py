"""One whole trial, without Ray: a specification and seeds in, rows for every table out.

`run` computes and stores nothing; `ensure` makes sure that a store holds all of it, and trains only what is not there.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from prepe import evaluate, store, train
from prepe.errors import PrepeError
from prepe.rows import Row, block_name, of_training, provenance, training_rows, with_constants
from prepe.spec import Training, Trial
from prepe.sweep import Record
from prepe.train import Checkpoint

Report = Callable[[str, int, int], None]
Costs = dict[str, tuple[float, float]]
"""By model, the wall and CPU seconds that `prepare` spent on it, until a trial counts them as its own."""
_TABLES = ("items", "effects", "stages", "members", "trials")
_COSTS = ("train_s", "twin_train_s", "wall_s", "cpu_s", "peak_mb")


@dataclass
class Outcome:
    """Rows by table, all of one block of seeds, and what training took.

    Attributes:
        tables: rows by table.
        train_s, twin_train_s: of the model, and of the twin.
        prepared_s, prepared_cpu_s: how much of it went before, in `prepare`.
    """

    tables: dict[str, Any] = field(default_factory=dict)
    train_s: float = 0.0
    twin_train_s: float = 0.0
    prepared_s: float = 0.0
    prepared_cpu_s: float = 0.0


@dataclass(frozen=True)
class _Members:
    """Trained members, however they were come by."""

    params: Tensor
    rows: list[Row]
    checkpoints: list[Checkpoint]
    train_s: float

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]

    @property
    def broken(self) -> np.ndarray:
        return np.array(self.column("broken"), dtype=bool)


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
    results: store.Root | None = None,
    device: str = "auto",
    record: Record | None = None,
    report: Report | None = None,
    costs: Costs | None = None,
    stored_only: bool = False,
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
        costs: what `prepare` spent on models; of those that this trial uses, it is counted here and taken out.
        stored_only: never train.

    Raises:
        PrepeError: the store lacks weights, and nothing may be trained; or an attack on a deleted model has nothing to
            train on or to watch.
    """
    evaluate.check(trial)
    began, cpu_began = time.perf_counter(), time.process_time()
    block = block_name(seeds)
    outcome = Outcome()
    options: dict[str, Any] = {"results": results, "device": device, "record": record, "costs": costs or {}}
    options["stored_only"] = stored_only
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
        {**ids, "model": trial.training.digest(), **row, **of_training(trained)}
        for row, trained in zip(measured.members, members.rows, strict=True)
    ]
    outcome.tables["stages"] = [
        {**ids, "model": trial.training.digest(), **row}
        for row in evaluate.stages(trial, seeds, members.checkpoints, members.params, members.broken, device)
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
            "wall_s": time.perf_counter() - began + outcome.prepared_s,
            "cpu_s": time.process_time() - cpu_began + outcome.prepared_cpu_s,
            "peak_mb": store.peak_mb(),
            **provenance(str(train.choose_device(device))),
        }
    ]
    return outcome


def ensure(
    trial: Trial,
    seeds: list[int],
    results: store.Root,
    *,
    device: str = "auto",
    record: Record | None = None,
    report: Report | None = None,
    costs: Costs | None = None,
    stored_only: bool = False,
) -> dict[str, pa.Table]:
    """Make sure that a store holds a trial for all of some seeds, and return its `members` and `effects` rows.

    Blocks that are there are left as they are; the missing seeds are trained and measured as new ones. A block that an
    interruption left half written is made again as it was begun, so that no seed is ever in two blocks.

    Raises:
        PrepeError: the store lacks weights, and `stored_only` says to train nothing.
    """
    name = trial.digest()
    whole = store.read(results, "trials", columns=["block", "seeds"], names=f"{name}-*").to_pylist()
    halves = _begun(results, name) - {row["block"] for row in whole}
    unfinished = [
        list(range(int(first), int(last) + 1)) for first, last in (half.split("-") for half in sorted(halves))
    ]
    there = {seed for seeds in (*(row["seeds"] for row in whole), *unfinished) for seed in seeds}
    for block in (*unfinished, *blocks([seed for seed in seeds if seed not in there])):
        outcome = run(
            trial,
            block,
            results=results,
            device=device,
            record=record,
            report=report,
            costs=costs,
            stored_only=stored_only,
        )
        _store_block(results, f"{name}-{block_name(block)}", outcome.tables)
    return {
        table: store.first_block(
            store.read(results, table, where=pc.field("seed").isin(seeds), names=f"{name}-*"), keys
        )
        for table, keys in (("members", ["seed"]), ("effects", ["seed", "intervention"]))
    }


def measure_again(trial: Trial, results: store.Root, *, device: str = "auto") -> None:
    """Measure the blocks that a store has of a trial once more, in place of their rows, without training.

    What the first making of a block cost stays in its row; `evaluate_s` and the provenance are the new ones. Stages are
    measured again only where the store has checkpoints, which a published one has not.

    Raises:
        PrepeError: the store lacks weights.
    """
    name = trial.digest()
    for old in store.first_block(store.read(results, "trials", names=f"{name}-*"), ["block"]).to_pylist():
        tables = run(trial, old["seeds"], results=results, device=device, stored_only=True).tables
        (row,) = tables["trials"]
        _store_block(results, f"{name}-{old['block']}", tables | {"trials": [row | {key: old[key] for key in _COSTS}]})


def _store_block(results: store.Root, name: str, tables: dict[str, Any]) -> None:
    """Store what was measured on a block of members; `trials` comes last, and says that the block is whole."""
    for table in _TABLES:
        if len(tables[table]):
            store.write(results, table, name, tables[table])


def _begun(results: store.Root, name: str) -> set[str]:
    """Return the blocks of a trial of which at least one table is written."""
    tables = [store.read(results, table, columns=["block"], names=f"{name}-*") for table in _TABLES[:-1]]
    return {block for table in tables for block in table["block"].unique().to_pylist()}


def prepare(
    trials: list[Trial],
    seeds: list[int],
    results: store.Root,
    *,
    device: str = "auto",
    record: Record | None = None,
    report: Report | None = None,
) -> Costs:
    """Train the models that several trials lack for some seeds, those of one shape in one batch, and store them.

    It is for speed alone: `ensure` makes whatever is missing after it, such as a model that would be alone in its
    batch, and every member is the same to the bit. Returns what was spent on each model, for `ensure` to count.

    Raises:
        PrepeError: an attack on a deleted model has nothing to train on or to watch; nothing is trained then.
    """
    for asked in trials:
        evaluate.check(asked)
    step_report = (lambda done, total: report("training a pack", done, total)) if report else None
    wanted = {each.digest(): each for trial in trials for each in (trial.training, trial.twin) if each is not None}
    packs: dict[tuple[Any, ...], list[Training]] = {}  # by shape and seeds
    for digest, training in wanted.items():
        kept = store.read(results, "models", columns=["seed"], names=f"{digest}-*")["seed"].to_pylist()
        for block in blocks([seed for seed in seeds if seed not in kept]):
            packs.setdefault((train.shape(training), *block), []).append(training)
    costs: Costs = {}
    for (_, *block), trainings in packs.items():
        if len(trainings) == 1:
            continue
        trained = train.train_pack(trainings, block, device=device, record=record, report=step_report)
        for training, each in zip(trainings, trained, strict=True):
            name = training.digest()
            _store(results, f"{name}-{block_name(each.seeds)}", training_rows(training, each))
            wall_s, cpu_s = costs.get(name, (0.0, 0.0))
            costs[name] = wall_s + each.wall_s, cpu_s + each.cpu_s
    return costs


def _obtain(
    training: Training,
    seeds: list[int],
    doing: str,
    outcome: Outcome,
    *,
    results: store.Root | None,
    device: str,
    record: Record | None,
    report: Report | None,
    costs: Costs,
    stored_only: bool,
) -> _Members:
    """Return trained members: those that the store has, and the rest trained now, and stored if there is a store."""
    step_report = (lambda done, total: report(doing, done, total)) if report else None
    tables: dict[str, list[Row]] = {"models": [], "checkpoints": []}
    if results is not None:
        for table, keys in (("models", ["seed"]), ("checkpoints", ["seed", "step"])):
            kept = store.read(results, table, where=pc.field("seed").isin(seeds), names=f"{training.digest()}-*")
            tables[table] = store.first_block(kept, keys).to_pylist(maps_as_pydicts="strict")
    there = {row["seed"] for row in tables["models"]}
    train_s, cpu_s = costs.pop(training.digest(), (0.0, 0.0))
    outcome.prepared_s, outcome.prepared_cpu_s = outcome.prepared_s + train_s, outcome.prepared_cpu_s + cpu_s
    missing = blocks([seed for seed in seeds if seed not in there])
    if missing and stored_only:
        names = ", ".join(map(block_name, missing))
        raise PrepeError(f"{results}: model {training.digest()} has no stored weights for seeds {names}")
    for block in missing:
        trained = train.train(training, block, device=device, record=record, report=step_report)
        train_s += trained.wall_s
        made: dict[str, Any] = training_rows(training, trained)
        name = f"{training.digest()}-{block_name(block)}"
        if results is None:
            for table, rows in made.items():
                outcome.tables.setdefault(table, []).extend(rows)
        elif store.exists(results, "models", name):
            # Another worker was faster: its members are the stored ones, on whatever machine they were trained.
            for table in tables:
                made[table] = store.read(results, table, names=name).to_pylist(maps_as_pydicts="strict")
        else:
            _store(results, name, made)
        for table in tables:
            tables[table] += made[table]
    by_seed = {row["seed"]: row for row in tables["models"]}
    ordered = [by_seed[seed] for seed in seeds]
    params = torch.from_numpy(np.stack([np.asarray(row["weights"], dtype=np.float32) for row in ordered]))
    return _Members(params, ordered, _checkpoints(tables["checkpoints"], seeds, params), train_s)


def _store(results: store.Root, name: str, tables: dict[str, list[Row]]) -> None:
    """Store what training gave; `models` comes last, so its existence means that the others are there."""
    for table in ("history", "snapshots", "checkpoints", "models"):
        if tables[table] and not store.exists(results, table, name):
            store.write(results, table, name, tables[table])


def _checkpoints(rows: list[Row], seeds: list[int], params: Tensor) -> list[Checkpoint]:
    """Return stored checkpoints for members in the order of their seeds; where one has none, it did not reach it."""
    place = {seed: i for i, seed in enumerate(seeds)}
    found: dict[tuple[int, str | None], Checkpoint] = {}
    for row in rows:
        key = row["step"], row["phase"]
        if key not in found:
            found[key] = Checkpoint(*key, torch.full_like(params, torch.nan), np.zeros(len(seeds), dtype=bool))
        member = place[row["seed"]]
        found[key].params[member] = torch.from_numpy(np.asarray(row["weights"], dtype=np.float32))
        found[key].reached[member] = True
    return [found[key] for key in sorted(found, key=lambda key: key[0])]
