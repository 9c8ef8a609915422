"""One trial: its rows, its store, and that an interruption at any moment changes neither."""

import json
import math
import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tiny
import torch
from command import SOURCE, contents

from prepe import reproduction, spec, store, train, trial
from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS, STAGE_METRICS
from prepe.rows import block_name
from prepe.spec import Trial
from prepe.store.schema import SCHEMAS
from prepe.store.write import KEYS
from prepe.sweep import Record

WHOLE = tiny.trial(**tiny.WHOLE)
SMALL = tiny.trial(schedule=tiny.WHOLE["schedule"], cycle=tiny.WHOLE["cycle"])
QUICK = SMALL.model_copy(update={"interventions": SMALL.interventions[2:3]})
RECORD = Record(history_stride=10, snapshots=(0,), checkpoints=(20,), shown_members=1)
TABLES = [table for table in KEYS if table != "proposals"]
COSTS = {
    "created",
    "wall_s",
    "cpu_s",
    "train_s",
    "twin_train_s",
    "evaluate_s",
    "peak_mb",
    "threads",
    "members_in_block",
}
KILLED = """
import os, signal, sys, time
import scipy.stats, skimage.color, sympy  # what would otherwise be imported by every worker anew
from pathlib import Path
from prepe import spec, trial
from prepe.sweep import Record

root, whole, when = Path(sys.argv[1]), spec.trial_from_json(sys.argv[2]), sys.argv[3:]
record = Record(history_stride=10, snapshots=(0,), checkpoints=(20,))
for moment in when:  # a time in seconds, or how many files may appear
    worker = os.fork()
    if not worker:
        files = float("inf") if "." in moment else int(moment)

        def count(event, arguments):
            global files
            if event == "os.rename":
                if not files:
                    os.kill(os.getpid(), signal.SIGKILL)
                files -= 1

        sys.addaudithook(count)
        trial.ensure(whole, [0, 1, 2], root if "." in moment else root / moment, record=record)
        os._exit(0)
    if "." in moment:
        time.sleep(float(moment))
        os.kill(worker, signal.SIGKILL)
    print(os.waitpid(worker, 0)[1])
"""


def ensure(root: Path, seeds: list[int], what: Trial = SMALL) -> dict[str, pa.Table]:
    return trial.ensure(what, seeds, root, device="cpu", record=RECORD)


def rows(root: Path, table: str, keep: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return a table's rows, ordered by their keys, without what depends on time."""
    held = store.read(root, table)
    dropped = [name for name in COSTS if name in held.column_names and name not in keep]
    return held.sort_by([(key, "ascending") for key in KEYS[table]]).drop_columns(dropped).to_pylist()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three members, made in one go."""
    root = tmp_path_factory.mktemp("undisturbed") / "results"
    ensure(root, [0, 1, 2])
    return root


@pytest.fixture(scope="module")
def undisturbed_quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a trial that is measured quickly."""
    root = tmp_path_factory.mktemp("quick") / "results"
    ensure(root, [0, 1, 2], QUICK)
    return root


# --- rows ------------------------------------------------------------------------------------------------------------


@cache
def whole() -> trial.Outcome:
    """Return the rows of a trial in which everything is measured."""
    return trial.run(WHOLE, [0, 1], device="cpu", record=RECORD)


@pytest.mark.parametrize("table", TABLES)
def test_rows_fit_the_schema_and_no_key_stands_twice(table: str) -> None:
    outcome = whole()
    held = store.conform(table, outcome.tables[table])
    assert len(held) > 0
    keys = held.select(list(KEYS[table])).to_pylist()
    assert len({tuple(key.values()) for key in keys}) == len(keys)
    assert set(outcome.tables) == set(TABLES)


def test_nothing_is_left_out_of_the_rows() -> None:
    for table in TABLES:
        held = store.conform(table, whole().tables[table])
        empty = {name for name in held.column_names if held[name].null_count == len(held)}
        assert empty <= {"broken_step", "broken_term", "git_commit"}, table


def test_rows_say_what_they_are_of(undisturbed: Path) -> None:
    (row,) = rows(undisturbed, "trials", keep=("train_s", "wall_s"))
    assert (row["trial"], row["model"]) == (SMALL.digest(), SMALL.training.digest())
    assert SMALL.twin is not None
    assert row["twin"] == SMALL.twin.digest()
    assert row["seeds"] == [0, 1, 2]
    assert spec.trial_from_json(row["spec"]) == SMALL
    assert 0 < row["train_s"] < row["wall_s"]
    assert {row["model"] for row in rows(undisturbed, "models")} == {SMALL.training.digest(), SMALL.twin.digest()}
    for table in ("members", "effects"):
        assert {row["trial"] for row in rows(undisturbed, table)} == {SMALL.digest()}


def test_stored_weights_are_the_trained_ones_in_their_layout(undisturbed: Path) -> None:
    trained = train.train(SMALL.training, [0, 1, 2], device="cpu")
    held = [row for row in rows(undisturbed, "models") if row["model"] == SMALL.training.digest()]
    assert [row["seed"] for row in held] == [0, 1, 2]
    for i, row in enumerate(held):
        assert torch.equal(torch.tensor(row["weights"], dtype=torch.float32), trained.params[i])
        assert sum(math.prod(shape) for _, shape in json.loads(row["layout"])) == len(row["weights"])
        assert dict(row["labels_drawn"]) == {name: trained.labels_drawn[name][i] for name in ("red", "vibrant")}
        assert row["label_n_used"] == trained.labels_used["any"][i]


def test_history_is_quantiles_over_members(undisturbed: Path) -> None:
    trained = train.train(SMALL.training, [0, 1, 2], device="cpu", record=RECORD)
    values = {(step, quantity, name): each for step, quantity, name, each in trained.history}
    held = [row for row in rows(undisturbed, "history") if row["model"] == SMALL.training.digest()]
    assert {(row["step"], row["quantity"], row["name"]) for row in held} == set(values)
    for row in held:
        each = values[row["step"], row["quantity"], row["name"]]
        assert row["members"] == 3
        assert row["mean"] == pytest.approx(each.mean())
        assert [row[q] for q in ("q05", "q25", "median", "q75", "q95")] == pytest.approx(
            np.quantile(each, [0.05, 0.25, 0.5, 0.75, 0.95])
        )


def test_the_twin_has_the_same_sizes_and_no_regularizer(undisturbed: Path) -> None:
    assert SMALL.twin is not None
    assert SMALL.twin.model == SMALL.training.model
    assert SMALL.twin.terms == {}
    terms = {row["name"] for row in rows(undisturbed, "history") if row["quantity"] == "term"}
    assert terms == set(tiny.TERMS)
    twin_terms = [
        row for row in rows(undisturbed, "history") if row["model"] == SMALL.twin.digest() and row["quantity"] == "term"
    ]
    assert twin_terms == []
    for row in rows(undisturbed, "members"):
        assert row["task_cost"] == pytest.approx(math.log10((row["recon_mse"] + 1e-6) / (row["twin_mse"] + 1e-6)))


def test_without_a_twin_there_is_no_task_cost() -> None:
    outcome = trial.run(SMALL.model_copy(update={"twin": None}), [0], device="cpu")
    (row,) = outcome.tables["members"]
    assert row["task_cost"] is row["twin_mse"] is None
    assert outcome.twin_train_s == 0
    assert {row["model"] for row in outcome.tables["models"]} == {SMALL.training.digest()}


def test_a_member_that_broke_is_a_row_with_its_step_and_term() -> None:
    breaking = tiny.trial(**tiny.constant(lr=1e9, steps=12, unit_norm=1e-6)).model_copy(update={"twin": None})
    seeds = list(range(8))
    trained = train.train(breaking.training, seeds, device="cpu")
    assert trained.broken.any()
    assert not trained.broken.all()
    outcome = trial.run(breaking, seeds, device="cpu")
    for table in ("members", "models"):
        held = store.conform(table, outcome.tables[table]).to_pylist()
        at = [-1 if row["broken_step"] is None else row["broken_step"] for row in held]
        assert at == trained.broken_step.tolist()
        assert [row["broken_term"] for row in held] == trained.broken_term
        assert [bool(row["broken"]) for row in held] == trained.broken.tolist()
    whole = store.conform("members", outcome.tables["members"]).to_pylist()
    assert {"recon", "unit_norm"} <= {row["broken_term"] for row in whole}
    for row in whole:
        flags = [row[name] for name in ("broken", "recon_fail", "anchor_fail", "isolation_fail")]
        broken = row["broken_term"] is not None
        assert math.isnan(row["recon_mse"]) == broken
        assert flags == [1, 1, 1, 1] or not broken
    effects = outcome.tables["effects"]
    for row in effects:
        broken = trained.broken[seeds.index(row["seed"])]
        assert {name for name in EFFECT_METRICS if row[name] is None} == set(tiny.OF_ONE)
        assert all(math.isnan(row[name]) for name in EFFECT_METRICS if row[name] is not None) == broken


def test_stages_are_at_checkpoints_and_ends_of_phases_and_at_the_end_are_what_members_are() -> None:
    record = Record(checkpoints=(0, 30, 60))
    outcome = trial.run(SMALL, [3, 4], device="cpu", record=record)
    held = store.conform("stages", outcome.tables["stages"]).to_pylist()
    assert [(row["step"], row["phase"], row["seed"]) for row in held] == [
        (step, phase, seed)
        for step, phase in ((0, None), (20, "A"), (30, None), (40, "B"), (55, "B"), (60, "C"))
        for seed in (3, 4)
    ]
    members = {row["seed"]: row for row in store.conform("members", outcome.tables["members"]).to_pylist()}
    for row in held:
        same = [name for name in STAGE_METRICS if row[name] == members[row["seed"]][name]]
        assert all(row[name] is not None and math.isfinite(row[name]) for name in STAGE_METRICS)
        assert (len(same) == len(STAGE_METRICS)) == (row["step"] == 60), (row["step"], same)


def test_stages_are_what_a_shorter_training_is_worth() -> None:
    outcome = trial.run(SMALL, [3], device="cpu")
    shorter = SMALL.training.schedule.model_copy(update={"steps": 40})
    half = SMALL.model_copy(update={"twin": None, "training": SMALL.training.model_copy(update={"schedule": shorter})})
    (member,) = trial.run(half, [3], device="cpu").tables["members"]
    (row,) = (row for row in outcome.tables["stages"] if row["step"] == 40)
    assert {name: row[name] for name in STAGE_METRICS} == {name: member[name] for name in STAGE_METRICS}


def test_a_member_that_has_broken_by_a_stage_has_no_numbers_there() -> None:
    breaking = tiny.trial(**tiny.constant(lr=1e9, steps=12, unit_norm=1e-6))
    seeds = list(range(8))
    outcome = trial.run(breaking, seeds, device="cpu", record=Record(checkpoints=(0, 1, 2, 3, 6, 12)))
    broken_step = {row["seed"]: row["broken_step"] for row in outcome.tables["models"][: len(seeds)]}
    assert len(set(broken_step.values())) > 2
    assert len(outcome.tables["stages"]) == 6 * len(seeds)
    for row in outcome.tables["stages"]:
        at = broken_step[row["seed"]]
        assert math.isnan(row["recon_mse"]) == math.isnan(row["anchor_cos"]) == (at is not None and at <= row["step"])


def test_stored_checkpoints_are_the_weights_on_the_way(undisturbed: Path) -> None:
    trained = train.train(SMALL.training, [0, 1, 2], device="cpu", record=RECORD)
    kept = {(each.step, each.phase): each.params for each in trained.checkpoints}
    held = [row for row in rows(undisturbed, "checkpoints") if row["model"] == SMALL.training.digest()]
    assert [(row["seed"], row["step"]) for row in held] == [(seed, step) for seed in range(3) for step in (20, 40, 55)]
    for row in held:
        weights = torch.tensor(row["weights"], dtype=torch.float32)
        assert torch.equal(weights, kept[row["step"], row["phase"]][row["seed"]])


def test_final_losses_and_spikes_are_those_of_training() -> None:
    outcome = trial.run(SMALL, [0, 1], device="cpu")
    trained = train.train(SMALL.training, [0, 1], device="cpu")
    for i, row in enumerate(store.conform("members", outcome.tables["members"]).to_pylist()):
        assert dict(row["final_parts"]) == {name: values[i] for name, values in trained.final_parts.items()}
        spikes = {str(step): values[i] for step, values in trained.phase_spikes.items()}
        assert dict(row["phase_spikes"]) == spikes
        assert row["loss_final"] == trained.final_parts["total"][i]
        assert row["spike_max"] == max(spikes.values())
        assert set(spikes) == {"20", "40", "55"}


def test_progress_names_what_is_being_done() -> None:
    seen: list[tuple[str, int, int]] = []
    trial.run(SMALL, [0], device="cpu", report=lambda doing, done, total: seen.append((doing, done, total)))
    assert list(dict.fromkeys(doing for doing, _, _ in seen)) == ["training", "training the twin"]
    assert all(0 <= done <= total == 60 for _, done, total in seen)


@pytest.mark.parametrize(
    ("seeds", "runs"),
    [([], []), ([3], [[3]]), ([0, 1, 2], [[0, 1, 2]]), ([5, 0, 1, 3, 4], [[0, 1], [3, 4, 5]])],
)
def test_seeds_are_split_into_blocks_of_consecutive_ones(seeds: list[int], runs: list[list[int]]) -> None:
    assert trial.blocks(seeds) == runs
    assert [block_name(run) for run in runs] == [f"{run[0]}-{run[-1]}" for run in runs]


# --- the store -------------------------------------------------------------------------------------------------------


def test_what_is_stored_is_what_was_computed(undisturbed: Path) -> None:
    outcome = trial.run(SMALL, [0, 1, 2], device="cpu", record=RECORD)
    for table in ("members", "effects", "items"):
        made = store.conform(table, outcome.tables[table])
        order = [(key, "ascending") for key in KEYS[table]]
        assert rows(undisturbed, table) == made.sort_by(order).to_pylist()


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    first = ensure(tmp_path, [0, 1])
    before = contents(tmp_path)
    again = ensure(tmp_path, [0, 1])
    assert contents(tmp_path) == before
    assert all(first[table].equals(again[table]) for table in ("members", "effects"))
    assert sorted(first["members"]["seed"].to_pylist()) == [0, 1]


def test_fewer_seeds_are_a_part_of_what_is_there(tmp_path: Path) -> None:
    ensure(tmp_path, [0, 1, 2])
    before = contents(tmp_path)
    part = ensure(tmp_path, [1])
    assert contents(tmp_path) == before
    assert part["members"]["seed"].to_pylist() == [1]
    assert set(part["effects"]["seed"].to_pylist()) == {1}


def test_more_seeds_are_a_block_more_and_leave_the_old_files_alone(tmp_path: Path, undisturbed: Path) -> None:
    ensure(tmp_path, [0, 1])
    before = contents(tmp_path)
    extended = ensure(tmp_path, [0, 1, 2])
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before
    assert {Path(path).stem.split("-", 1)[1] for path in set(after) - set(before)} == {"2-2"}
    assert sorted(extended["members"]["seed"].to_pylist()) == [0, 1, 2]
    for table in ("members", "effects"):
        one, other = (
            [{**row, "block": ""} for row in rows(root, table)] for root in (tmp_path, undisturbed)
        )  # fmt: skip
        assert sorted(one, key=str) == sorted(other, key=str)


def test_seeds_below_and_between_are_added_too(tmp_path: Path) -> None:
    ensure(tmp_path, [2])
    extended = ensure(tmp_path, [0, 1, 2, 3])
    assert sorted(extended["members"]["seed"].to_pylist()) == [0, 1, 2, 3]
    assert {row["block"] for row in rows(tmp_path, "trials")} == {"2-2", "0-1", "3-3"}


def test_a_trial_that_shares_a_model_does_not_train_it_again(tmp_path: Path, undisturbed: Path) -> None:
    fewer = QUICK
    assert fewer.digest() != SMALL.digest()
    assert fewer.training.digest() == SMALL.training.digest()
    ensure(tmp_path, [0, 1, 2], fewer)
    models_before = contents(tmp_path / "models")
    ensure(tmp_path, [0, 1, 2])
    assert contents(tmp_path / "models") == models_before
    train_s = {row["trial"]: row["train_s"] for row in rows(tmp_path, "trials", keep=("train_s",))}
    assert train_s[SMALL.digest()] == 0 < train_s[fewer.digest()]
    mine = [row for row in rows(tmp_path, "effects") if row["trial"] == SMALL.digest()]
    assert mine == rows(undisturbed, "effects")


def test_trials_that_share_a_twin_train_it_once(tmp_path: Path) -> None:
    rate = {"step": 0, "lr": 0.01}
    one, other = (
        tiny.trial(
            terms={"anchor": tiny.TERMS["anchor"]},
            schedule={"batch_size": 16, "steps": 30, "keyframes": [rate | {"anchor": weight}]},
        )
        for weight in (0.1, 0.2)
    )
    assert one.twin == other.twin
    ensure(tmp_path, [0, 1], one)
    ensure(tmp_path, [0, 1], other)
    twin_train_s = {row["trial"]: row["twin_train_s"] for row in rows(tmp_path, "trials", keep=("twin_train_s",))}
    assert twin_train_s[other.digest()] == 0 < twin_train_s[one.digest()]


def test_a_model_stored_for_some_seeds_is_trained_for_the_others(tmp_path: Path, undisturbed: Path) -> None:
    fewer = QUICK
    ensure(tmp_path, [1], fewer)
    ensure(tmp_path, [0, 1, 2])
    assert {row["block"] for row in rows(tmp_path, "models")} == {"1-1", "0-0", "2-2"}
    mine = [row for row in rows(tmp_path, "effects") if row["trial"] == SMALL.digest()]
    assert mine == rows(undisturbed, "effects")


# --- interruptions ---------------------------------------------------------------------------------------------------


def killed(root: Path, *when: object) -> list[int]:
    """Start workers one after another, kill each at its moment, and return how they ended."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(root), QUICK.to_json(), *map(str, when)],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    return [int(line) for line in done.stdout.split()]


def assert_same_rows(root: Path, other: Path) -> None:
    for table in TABLES:
        if table != "trials":  # which tells what it took
            assert rows(root, table) == rows(other, table), table


@pytest.mark.slow
def test_workers_killed_at_any_time_change_no_row(tmp_path: Path, undisturbed_quick: Path) -> None:
    killed(tmp_path, 0.05, 0.01, 0.15, 0.1, 0.03, 0.07)
    ensure(tmp_path, [0, 1, 2], QUICK)
    assert_same_rows(tmp_path, undisturbed_quick)


@pytest.mark.slow
def test_a_worker_killed_before_any_of_its_files_appears_changes_no_row(
    tmp_path: Path, undisturbed_quick: Path
) -> None:
    files = sum(1 for _ in undisturbed_quick.glob("*/*.parquet"))
    ends = killed(tmp_path, *range(files))
    assert ends == [signal.SIGKILL] * files
    for count in range(files):
        assert sum(1 for _ in (tmp_path / str(count)).glob("*/*.parquet")) == count
        ensure(tmp_path / str(count), [0, 1, 2], QUICK)
        assert_same_rows(tmp_path / str(count), undisturbed_quick)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [[0, 1, 2, 3], [1], [4]], ids=["more", "fewer", "others"])
def test_an_interrupted_trial_that_is_then_asked_for_other_seeds_has_each_seed_once(
    seeds: list[int], tmp_path: Path
) -> None:
    ensure(tmp_path, [0, 1, 2])
    before = rows(tmp_path, "effects")
    (path,) = (tmp_path / "trials").glob("*.parquet")
    path.unlink()
    asked = ensure(tmp_path, seeds)
    assert sorted(asked["members"]["seed"].to_pylist()) == seeds
    assert [row for row in rows(tmp_path, "effects") if row["block"] == "0-2"] == before
    for table in ("members", "effects", "items"):
        keys = [tuple(row[key] for key in KEYS[table] if key != "block") for row in rows(tmp_path, table)]
        assert len(set(keys)) == len(keys) > 0, table


def test_a_failed_evaluation_leaves_the_model_to_be_used_again(tmp_path: Path) -> None:
    unfit = SMALL.model_copy(update={"concepts": {}})  # whose interventions name a concept that is not there
    with pytest.raises(KeyError):
        ensure(tmp_path, [0], unfit)
    before = contents(tmp_path / "models")
    assert before
    ensure(tmp_path, [0])
    assert contents(tmp_path / "models") == before


def test_the_columns_of_metrics_are_those_of_the_catalog() -> None:
    assert set(MEMBER_METRICS) <= set(SCHEMAS["members"].names)
    assert set(EFFECT_METRICS) <= set(SCHEMAS["effects"].names)


def test_of_a_member_in_two_blocks_the_first_ones_weights_and_rows_count_everywhere(tmp_path: Path) -> None:
    ensure(tmp_path, [0, 1])
    model = SMALL.training.digest()
    other = {"0-1": 0.0, "0-0": 1.0, "1-1": 2.0}  # the first block of seed 0 is 0-0, and that of seed 1 is 0-1
    weights = store.read(tmp_path, "models", names=f"{model}-*").to_pylist(maps_as_pydicts="strict")
    members = store.read(tmp_path, "members").to_pylist(maps_as_pydicts="strict")
    for block, value in other.items():
        seeds = range(int(block[0]), int(block[2]) + 1)
        held = {"weights": [value] * len(weights[0]["weights"]), "block": block}
        store.write(tmp_path, "models", f"{model}-{block}", [{**weights[seed], **held} for seed in seeds])
        written = [{**members[seed], "block": block, "recon_mse": value} for seed in seeds]
        store.write(tmp_path, "members", f"{SMALL.digest()}-{block}", written)
        whole = [{"trial": SMALL.digest(), "block": block, "model": model, "seeds": list(seeds)}]
        store.write(tmp_path, "trials", f"{SMALL.digest()}-{block}", whole)
    _, params = reproduction.stored_weights(SMALL.training, [0, 1], tmp_path)
    assert params[:, 0].tolist() == [1.0, 0.0]
    assert ensure(tmp_path, [0, 1])["members"].sort_by("seed")["recon_mse"].to_pylist() == [1.0, 0.0]
    table = store.read(tmp_path, "members")
    same = reproduction.compare(
        {"members": table.sort_by([("block", "descending")]), "effects": store.read(tmp_path, "effects")},
        {"members": store.first_block(table, ["seed"]), "effects": store.read(tmp_path, "effects")},
    )
    assert max(each.largest for each in same) == 0
