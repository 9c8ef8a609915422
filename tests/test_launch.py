"""What a sweep still has to do, what Optuna is told of it, and how jobs do it; without Ray."""

import json
import math
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import optuna
import pytest
import requests
import tiny
from command import Said, contents
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

import prepe
from prepe import launch, store, sweep, train
from prepe.launch import lost, submit
from prepe.launch import study as studies
from prepe.launch.interrupt import noted
from prepe.launch.job import Proposal, Row
from prepe.launch.searcher import Queue
from prepe.spec import Training
from prepe.store.schema import SCHEMAS
from prepe.store.write import KEYS
from prepe.sweep import Sweep, digest

Cli = Callable[..., Said]
SweepFile = Callable[..., Path]
SEARCHED = 'trials = 3\nsampler = "random"'
WIDTH = "latent_dim = { int = [2, 4], start = 3 }"
RATE = "lr = { log = [0.005, 0.1], start = 0.05 }"
ANCHOR = "anchor = { float = [0, 1], start = 0.1 }"


def searching(sweep_file: SweepFile, sampler: str = "tpe", trials: int = 30, *replaced: tuple[str, str]) -> Sweep:
    file = sweep_file("quick", (SEARCHED, f'trials = {trials}\nsampler = "{sampler}"\nstartup_trials = 5'), *replaced)
    return sweep.load(file)


VARIANTS: dict[str, dict[str, Any]] = {
    "pinned": {},
    "free": {"schedule": {"keyframes": [{"step": 0, "lr": 0.01, "anchor": 0}]}},
    "wide": {"model": {"latent_dim": 5}},
}
"""Three configurations, of which the first two differ in weights alone."""
GRID: dict[str, Any] = {
    "sampler": "grid",
    "space": {"anchor": {"choice": [0, 0.1], "start": 0.1}, "width": {"int": [3, 4], "start": 4}},
}
"""Four configurations of two widths."""
COSTS = ("wall_s", "cpu_s", "train_s", "twin_train_s", "evaluate_s", "busy_s", "peak_mb", "created")


def fixed(**changes: Any) -> Sweep:
    """Return a sweep of ten updates without a search, with some of its tables replaced."""
    table = tiny.table(**tiny.constant(steps=10, anchor=0.1), interventions=tiny.TABLE["interventions"][2:3])
    if "search" in changes:
        table["model"]["latent_dim"] = "$width"
        table["schedule"]["keyframes"][0]["anchor"] = "$anchor"
    return sweep.from_table("fixed", {"question": "?", "members": 2, **table, **changes})


def outcome(of: Sweep, proposal: Proposal, **changes: Any) -> Row:
    """Return a made-up row of a proposal: `lr` is best at 0.02, and only a width of 2 is feasible."""
    named = {each.name: float(i) for i, each in enumerate(of.objectives)}
    if of.objectives:
        named[of.objectives[1].name] = abs(math.log(float(proposal.params["lr"]) / 0.02))
    return {
        "sweep": of.name,
        "digest": digest(of),
        "number": proposal.number,
        "trial": of.trial(proposal.params).digest(),
        "params": json.dumps(proposal.params),
        "generation": proposal.generation,
        "members": proposal.members,
        "first_seed": of.first_seed,
        "goals": {each.name: each.goal for each in of.objectives},
        "state": "complete",
        "feasible": True,
        "objectives": named,
        "constraints": {each.name: float(proposal.params["latent_dim"]) - 2.5 for each in of.constraints},
        "error": None,
        "created": datetime.now(UTC),
        **changes,
    }


def work_off(queue: Queue, number: int | None = None, **changes: Any) -> list[Proposal]:
    """Do some proposals of a queue, or all: store a made-up row of each."""
    done: list[Proposal] = []
    while (number is None or len(done) < number) and (proposal := queue.next()) is not None:
        row = outcome(queue.sweep, proposal, **changes)
        store.write(queue.results, "proposals", f"{queue.sweep.name}-{row['trial']}", [row])
        queue.finish(proposal, row)
        done.append(proposal)
    return done


def journal(root: Path, name: str = "quick") -> optuna.Study:
    """Open a sweep's journal as any other program would."""
    path = str(root / "optuna" / f"{name}.journal")
    return optuna.load_study(study_name=name, storage=JournalStorage(JournalFileBackend(path)))


def test_chosen_configurations_are_proposed_first_once_and_as_they_are(sweep_file: SweepFile, tmp_path: Path) -> None:
    of = searching(sweep_file)
    chosen: list[Any] = [{"lr": 0.02, "latent_dim": 4, "anchor": 1}, {"latent_dim": 2, "lr": 0.05, "anchor": 0.5}]
    queue = Queue(of, tmp_path, chosen=chosen)
    done = work_off(queue, 4)
    assert [each.params for each in done[:3]] == [*chosen, of.start()]
    queue.close()
    assert {json.loads(row["params"])["lr"] for row in store.read(tmp_path, "proposals").to_pylist()} >= {0.02, 0.05}
    again = work_off(Queue(of, tmp_path, chosen=chosen), 3)
    assert not [each for each in again if each.params in chosen]
    assert queue.study is not None
    assert [each.params for each in queue.study.memory.trials[:2]] == chosen


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"lr": 0.02}, "a value for each of latent_dim, lr, anchor, and nothing else"),
        ({"lr": 0.2, "latent_dim": 4, "anchor": 1}, "lr lies outside of the file's space"),
        ({"lr": "fast", "latent_dim": 4, "anchor": 1}, "lr lies outside of the file's space"),
    ],
)
def test_a_chosen_configuration_that_is_none_of_the_space_is_refused(
    point: Any, message: str, sweep_file: SweepFile, tmp_path: Path
) -> None:
    with pytest.raises(prepe.PrepeError, match=message):
        Queue(searching(sweep_file), tmp_path, chosen=[point])


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_every_sampler_does_all_trials_once_and_begins_at_the_start(
    sampler: str, sweep_file: SweepFile, tmp_path: Path
) -> None:
    of = searching(sweep_file, sampler, 25)
    queue = Queue(of, tmp_path)
    done = work_off(queue)
    assert [each.number for each in done] == list(range(25))
    assert done[0].params == of.start() == {"latent_dim": 3, "lr": 0.05, "anchor": 0.1}
    assert len({of.trial(each.params).digest() for each in done}) == 25
    assert (queue.left, queue.made, queue.next()) == (0, 25, None)


def test_parameters_keep_to_their_kinds_and_ranges(sweep_file: SweepFile, tmp_path: Path) -> None:
    choice = (ANCHOR, "anchor = { choice = [0, 0.1, 0.5], start = 0.1 }")
    of = searching(sweep_file, "random", 40, (WIDTH, "latent_dim = { int = [2, 8], step = 2, start = 4 }"), choice)
    drawn = [each.params for each in work_off(Queue(of, tmp_path))]
    assert {each["latent_dim"] for each in drawn} == {2, 4, 6, 8}
    assert {each["anchor"] for each in drawn} == {0, 0.1, 0.5}
    rates = [each["lr"] for each in drawn]
    assert all(0.005 <= rate <= 0.1 for rate in rates)
    assert sum(rate < math.sqrt(0.005 * 0.1) for rate in rates) > 10  # a logarithmic range: half lie below its middle
    assert all(isinstance(each["latent_dim"], int) for each in drawn)


def test_the_journal_tells_every_program_what_each_trial_was(sweep_file: SweepFile, tmp_path: Path) -> None:
    of = searching(sweep_file)
    queue = Queue(of, tmp_path)
    done = work_off(queue, 4)
    failed = queue.next()
    assert failed is not None
    queue.finish(failed, outcome(of, failed, state="failed", objectives={}, constraints={}, error="no"))
    study = journal(tmp_path)
    assert [each.user_attrs["number"] for each in study.trials] == [0, 1, 2, 3, 4]
    assert [each.user_attrs["trial"] for each in study.trials] == [
        of.trial(each.params).digest() for each in [*done, failed]
    ]
    assert [each.state for each in study.trials] == [TrialState.COMPLETE] * 4 + [TrialState.FAIL]
    assert [each.params for each in study.trials] == [each.params for each in [*done, failed]]
    assert [each.name for each in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    name = of.constraints[0].name
    assert [each.constraints[name] for each in study.trials[:4]] == [each.params["latent_dim"] - 2.5 for each in done]


@pytest.mark.parametrize("how", ["failed", "lost", "nan objective", "nan constraint", "stopped"])
def test_what_has_no_numbers_is_told_as_failed_and_never_left_running(
    how: str, sweep_file: SweepFile, tmp_path: Path
) -> None:
    of = searching(sweep_file)
    queue = Queue(of, tmp_path)
    proposal = queue.next()
    assert proposal is not None
    row = outcome(of, proposal)
    if how == "failed":
        queue.finish(proposal, {**row, "state": "failed"})
    elif how == "lost":
        queue.finish(proposal, None)
    elif how == "nan objective":
        queue.finish(proposal, {**row, "objectives": dict.fromkeys(row["objectives"], math.nan)})
    elif how == "nan constraint":
        queue.finish(proposal, {**row, "constraints": dict.fromkeys(row["constraints"], math.nan)})
    else:
        queue.close()
    assert [each.state for each in journal(tmp_path).trials] == [TrialState.FAIL]
    assert queue.lost == (how == "lost")


def test_infeasible_trials_are_what_tpe_moves_away_from(sweep_file: SweepFile, tmp_path: Path) -> None:
    """Without constraints nothing prefers a width; with one that only width 2 keeps, most proposals have it."""
    of = searching(sweep_file, "tpe", 35)
    late = [each.params["latent_dim"] for each in work_off(Queue(of, tmp_path / "held"))[15:]]
    free = of.model_copy(update={"constraints": ()})
    unheld = [each.params["latent_dim"] for each in work_off(Queue(free, tmp_path / "free"))[15:]]
    assert late.count(2) > len(late) / 2
    assert late.count(2) > unheld.count(2)


def test_the_study_is_made_again_from_rows_when_the_journal_is_gone(sweep_file: SweepFile, tmp_path: Path) -> None:
    of = searching(sweep_file)
    work_off(Queue(of, tmp_path), 7)

    def told(study: optuna.Study) -> list[Any]:
        return [(each.state, each.params, each.values, each.constraints, each.user_attrs) for each in study.trials]

    before = told(journal(tmp_path))
    (tmp_path / "optuna" / "quick.journal").unlink()
    queue = Queue(of, tmp_path)
    assert told(journal(tmp_path)) == before
    assert queue.left == 23
    assert [each.number for each in work_off(queue)] == list(range(7, 30))


def test_a_journal_that_was_torn_does_not_matter(sweep_file: SweepFile, tmp_path: Path) -> None:
    of = searching(sweep_file)
    work_off(Queue(of, tmp_path), 3)
    path = tmp_path / "optuna" / "quick.journal"
    path.write_bytes(path.read_bytes()[:-20])
    (tmp_path / "optuna" / "quick.journal.lock").write_text("")
    assert len(work_off(Queue(of, tmp_path))) == 27


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_a_sampler_does_not_draw_the_same_points_after_a_restart(
    sampler: str, sweep_file: SweepFile, tmp_path: Path
) -> None:
    of = searching(sweep_file, sampler, 12)
    drawn = [each.params["lr"] for _ in range(4) for each in work_off(Queue(of, tmp_path), 3)]
    assert len(set(drawn)) == 12
    assert not any(each.user_attrs.get("duplicate") for each in journal(tmp_path).trials)


def test_nsga2_goes_on_with_its_generations_after_a_restart(
    sweep_file: SweepFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies, "_GENERATION", 10)
    of = searching(sweep_file, "nsga2", 25)
    work_off(Queue(of, tmp_path), 12)
    queue = Queue(of, tmp_path)
    assert queue.study is not None
    memory = queue.study.memory
    assert isinstance(memory.sampler, optuna.samplers.NSGAIISampler)
    work_off(queue)
    told = [each for each in memory.trials if each.state == TrialState.COMPLETE]
    generations = [memory.sampler.get_trial_generation(memory, each) for each in told]
    assert generations == [0] * 10 + [1] * 10 + [2] * 5


def test_nsga2_forgets_what_it_draws_from_no_more_and_proposes_the_same(
    sweep_file: SweepFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies, "_GENERATION", 5)
    of = searching(sweep_file, "nsga2", 60)
    all_known = [each.params for each in work_off(Queue(of, tmp_path / "all"))]
    monkeypatch.setattr(studies, "_REMEMBERED", 12)
    queue = Queue(of, tmp_path / "few")
    few_known = [each.params for each in work_off(queue)]
    assert queue.study is not None
    assert len(queue.study.memory.trials) <= 13
    assert few_known == all_known
    assert len(journal(tmp_path / "few").trials) == 60


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_a_finite_space_is_searched_to_its_last_point(sampler: str, sweep_file: SweepFile, tmp_path: Path) -> None:
    rate = (RATE, "lr = { choice = [0.02, 0.05], start = 0.05 }")
    anchor = (ANCHOR, "anchor = { choice = [0.1, 0.2], start = 0.1 }")
    queue = Queue(searching(sweep_file, sampler, 99, rate, anchor), tmp_path)
    assert queue.total == queue.left == 12
    done = work_off(queue)
    assert len({tuple(each.params.values()) for each in done}) == 12
    assert (queue.left, queue.total) == (0, 12)
    told = journal(tmp_path).trials
    assert sum(each.state == TrialState.COMPLETE for each in told) == 12
    assert all(each.state == TrialState.FAIL for each in told if each.user_attrs.get("duplicate"))
    assert Queue(queue.sweep, tmp_path).left == 0


def test_a_lost_proposal_is_made_again_by_the_next_run(sweep_file: SweepFile, tmp_path: Path) -> None:
    of = searching(sweep_file, "tpe", 3)
    queue = Queue(of, tmp_path)
    lost = queue.next()
    assert lost is not None
    queue.finish(lost, None)
    work_off(queue, 2)
    again = Queue(of, tmp_path)
    assert again.left == 1
    assert [each.params for each in work_off(again)] == [of.start()]


def test_several_proposals_at_once_are_distinct_and_no_more_than_asked_for(
    sweep_file: SweepFile, tmp_path: Path
) -> None:
    queue = Queue(searching(sweep_file, "tpe", 4), tmp_path)
    out = [each for each in (queue.next() for _ in range(6)) if each is not None]
    assert len(out) == 4
    assert len({each.number for each in out}) == 4
    assert queue.left == 4
    for each in reversed(out):
        queue.finish(each, outcome(queue.sweep, each))
    assert queue.left == 0


# --- fixed points -----------------------------------------------------------------------------------------------------

KINDS: dict[str, dict[str, Any]] = {
    "one": {},
    "variants": {"variants": VARIANTS},
    "grid": {"search": GRID},
    "both": {"search": GRID, "variants": {"plain": {}, "bare": {"interventions": []}}},
}


@pytest.mark.parametrize(("kind", "size"), [("one", 1), ("variants", 3), ("grid", 4), ("both", 8)])
def test_fixed_points_are_handed_out_once_in_order_and_without_a_study(kind: str, size: int, tmp_path: Path) -> None:
    of = fixed(**KINDS[kind])
    queue = Queue(of, tmp_path)
    assert (queue.total, queue.left) == (size, size)
    done = work_off(queue)
    assert [each.params for each in done] == of.points()
    assert [each.number for each in done] == list(range(size))
    assert done[0].params == of.start()
    assert len({of.trial(each.params).digest() for each in done}) == size
    assert (queue.left, queue.made, queue.next()) == (0, size, None)
    assert not list(tmp_path.glob("optuna/*.journal"))


def test_fixed_points_go_on_where_they_ended(tmp_path: Path) -> None:
    of = fixed(search=GRID)
    before = work_off(Queue(of, tmp_path), 2)
    queue = Queue(of, tmp_path)
    assert (queue.total, queue.left, queue.foreign) == (4, 2, 0)
    after = work_off(queue)
    assert [each.number for each in after] == [2, 3]
    assert [each.params for each in (*before, *after)] == of.points()
    assert Queue(of, tmp_path).left == 0


def test_a_grid_may_be_begun_and_then_ended(tmp_path: Path) -> None:
    part = fixed(search={**GRID, "trials": 2})
    assert len(work_off(Queue(part, tmp_path))) == 2
    assert [each.number for each in work_off(Queue(fixed(search=GRID), tmp_path))] == [2, 3]


def test_a_variant_that_changed_is_done_anew_and_one_that_did_not_is_only_judged_again(tmp_path: Path) -> None:
    work_off(Queue(fixed(variants=VARIANTS), tmp_path))
    of = fixed(variants={"pinned": {}, "free": VARIANTS["wide"], "new": {"model": {"latent_dim": 6}}})
    queue = Queue(of, tmp_path)
    assert queue.foreign == 2
    done = [(each.number, each.params["variant"]) for each in work_off(queue)]
    assert done == [(0, "pinned"), (3, "free"), (4, "new")]


def test_a_point_that_is_lost_is_not_handed_out_twice_but_by_the_next_run(tmp_path: Path) -> None:
    of = fixed(variants=VARIANTS)
    queue = Queue(of, tmp_path)
    lost = queue.next()
    assert lost is not None
    queue.finish(lost, None)
    assert [each.params for each in work_off(queue)] == [{"variant": "free"}, {"variant": "wide"}]
    assert [each.params for each in work_off(Queue(of, tmp_path))] == [{"variant": "pinned"}]


def test_points_that_are_one_trial_are_refused() -> None:
    with pytest.raises(prepe.PrepeError, match=r"^variants: variant = a and variant = b are one and the same trial; "):
        fixed(variants={"a": {"model": {"depth": 1}}, "b": {}})


def test_a_point_that_cannot_be_trained_is_refused_though_each_of_its_values_can() -> None:
    space = {**GRID["space"], "width": {"int": [2, 3], "start": 3}, "axis": {"choice": [0, 2], "start": 0}}
    terms = {"anchor": {**tiny.TERMS["anchor"], "direction": {"axis": "$axis"}}}
    with pytest.raises(prepe.PrepeError, match=r"axis 2 does not exist .*\(with anchor = 0, width = 2, axis = 2\)"):
        fixed(search={**GRID, "space": space}, terms=terms)


def test_a_grid_without_end_is_refused() -> None:
    space = {**GRID["space"], "width": {"int": [2, 2**31 - 1], "start": 4}}
    with pytest.raises(prepe.PrepeError, match=r"search\.space: a grid of \d+ points; allowed: at most 10000"):
        fixed(search={**GRID, "space": space})


@pytest.mark.parametrize(("pack", "sizes"), [(1, [1] * 4), (3, [3, 1]), (4, [4]), (50, [4])])
def test_a_job_takes_as_many_proposals_as_a_pack_has(pack: int, sizes: list[int], tmp_path: Path) -> None:
    queue = Queue(fixed(search=GRID, resources={"pack": pack}), tmp_path)
    packs = list(iter(queue.take, []))
    assert [len(each) for each in packs] == sizes
    assert [each.number for pack in packs for each in pack] == list(range(4))


def test_a_sampler_fills_packs_too(sweep_file: SweepFile, tmp_path: Path) -> None:
    of = searching(sweep_file, "tpe", 7).model_copy(update={"resources": sweep.Resources(pack=3)})
    queue = Queue(of, tmp_path)
    sizes = []
    while pack := queue.take():
        sizes.append(len(pack))
        for each in pack:
            queue.finish(each, outcome(of, each))
    assert sizes == [3, 3, 1]
    assert len({row["trial"] for row in queue.done}) == 7
    assert sum(each.state == TrialState.COMPLETE for each in journal(tmp_path).trials) == 7


def test_proposals_that_lost_their_worker_are_handed_out_again_each_to_a_job_of_its_own(tmp_path: Path) -> None:
    of = fixed(search=GRID, resources={"pack": 3})
    queue = Queue(of, tmp_path)
    lost = queue.take()
    queue.give_back(lost)
    packs = list(iter(queue.take, []))
    assert packs == [[lost[0]], [lost[1]], [lost[2]], packs[3]]
    assert [each.number for each in packs[3]] == [3]
    for each in (each for pack in packs for each in pack):
        queue.finish(each, outcome(of, each))
    assert (queue.left, queue.made, queue.lost) == (0, 4, 0)


# --- jobs -------------------------------------------------------------------------------------------------------------


def rows(root: Path, table: str) -> list[dict[str, Any]]:
    """Return a table's rows, ordered by their keys, without what they cost."""
    held = store.read(root, table)
    dropped = [name for name in (*COSTS, "generation") if name in held.column_names]
    order = [(key, "ascending") for key in KEYS.get(table, held.column_names[:5])]
    plain = held.sort_by(order).drop_columns(dropped).to_pylist()
    return [{name: repr(value) for name, value in row.items()} for row in plain]


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many trainings were in each batch that was trained."""
    sizes: list[int] = []
    together = train.train_pack

    def train_pack(trainings: list[Training], *given: Any, **options: Any) -> Any:
        sizes.append(len(trainings))
        return together(trainings, *given, **options)

    monkeypatch.setattr(train, "train_pack", train_pack)
    return sizes


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["variants", "grid"])
def test_packs_give_the_rows_that_trials_alone_give(kind: str, batches: list[int], tmp_path: Path) -> None:
    record = {"history_stride": 3, "snapshots": [0], "checkpoints": [4]}
    alone = fixed(**KINDS[kind], record=record)
    launch.run(alone, tmp_path / "alone", executor="serial")
    assert batches == []
    packed = fixed(**KINDS[kind], record=record, resources={"pack": 4})
    launch.run(packed, tmp_path / "packed", executor="serial")
    assert len(batches) > 0
    assert all(size > 1 for size in batches)
    for table in SCHEMAS:
        assert rows(tmp_path / "packed", table) == rows(tmp_path / "alone", table), table
        assert len(rows(tmp_path / "packed", table)) > 0, table


def test_training_in_packs_is_counted_once_with_the_trials_that_it_was_for(tmp_path: Path) -> None:
    launch.run(fixed(search=GRID, resources={"pack": 4}), tmp_path, executor="serial")
    trained = {row["model"]: row["wall_s"] for row in store.read(tmp_path, "models").to_pylist()}
    trials = store.read(tmp_path, "trials").to_pylist()
    assert len(trained) == 4 + 2  # a twin for each width
    assert [row["train_s"] for row in trials] == [trained[row["model"]] for row in trials]
    assert sum(row["twin_train_s"] for row in trials) == pytest.approx(
        sum(trained[twin] for twin in {row["twin"] for row in trials})
    )
    for row in trials:
        assert row["wall_s"] > row["train_s"] + row["twin_train_s"] > 0
        assert row["cpu_s"] > 0
    busy = store.read(tmp_path, "proposals")["busy_s"].to_pylist()
    assert sum(busy) > sum(trained.values())


def test_a_trial_that_fails_in_a_pack_fails_alone(batches: list[int], tmp_path: Path) -> None:
    """Two variants share a term that raises an error, so that training them together fails too."""
    term, frame = {"failing": {"kind": "own:failing"}}, {"step": 0, "lr": 0.01, "failing": 1}
    variants = {
        **VARIANTS,
        "failing": {"terms": term, "schedule": {"keyframes": [{**frame, "anchor": 0.1}]}},
        "failing and free": {"terms": term, "schedule": {"keyframes": [{**frame, "anchor": 0}]}},
    }
    of = fixed(variants=variants, resources={"pack": 5})
    queue = launch.run(of, tmp_path, executor="serial", allow_imports=True)
    assert {json.loads(row["params"])["variant"]: row["state"] for row in queue.done} == {
        **dict.fromkeys(VARIANTS, "complete"),
        "failing": "failed",
        "failing and free": "failed",
    }
    assert 2 in batches
    assert all("broken on purpose" in row["error"] for row in queue.done if row["state"] == "failed")
    assert len(store.read(tmp_path, "proposals")) == 5


@pytest.mark.slow
def test_packs_go_on_where_they_ended(tmp_path: Path) -> None:
    launch.run(fixed(search={**GRID, "trials": 1}, resources={"pack": 2}), tmp_path / "parts", executor="serial")
    before = contents(tmp_path / "parts", "models/*")
    of = fixed(search=GRID, resources={"pack": 3})
    assert launch.run(of, tmp_path / "parts", executor="serial").made == 3
    assert before.items() <= contents(tmp_path / "parts", "models/*").items()
    launch.run(of, tmp_path / "at-once", executor="serial")
    for table in SCHEMAS:
        assert rows(tmp_path / "parts", table) == rows(tmp_path / "at-once", table), table


def test_more_members_are_trained_in_packs_too(batches: list[int], tmp_path: Path) -> None:
    for members in (2, 4):
        of = fixed(search=GRID, resources={"pack": 4}).model_copy(update={"members": members})
        launch.run(of, tmp_path / "parts", executor="serial")
    assert batches == [2] * 2 + [2] * 2  # of each width both weights; its one twin is alone
    assert launch.run(of, tmp_path / "parts", executor="serial").made == 0


def test_progress_without_objectives_says_what_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launch.run(fixed(variants=VARIANTS), tmp_path, executor="serial")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for i, line in enumerate(lines, 1):
        assert re.fullmatch(rf"\[{i}/3\] [0-9a-f]{{16}} done \| \d+\.\d/min, \d+ s left, 0 failed", line)


PLAIN = """
question = "What does one training give?"
members = 1
data = { kind = "rgb_grid", size = 3, labels.red = { concept = "redness", rate = 1 } }
model = { kind = "autoencoder", latent_dim = 2, hidden_dim = 4 }
schedule = { batch_size = 8, steps = 2, keyframes = [{ step = 0, lr = 0.01 }] }
"""
"""One trial, of which there is nothing to draw."""


@pytest.fixture
def plain(tmp_path: Path) -> Callable[..., Path]:
    """Write a sweep file of one trial under a name, with more lines."""

    def write(name: str, more: str = "") -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(PLAIN + more)
        return path

    return write


# --- functions of the user --------------------------------------------------------------------------------------------

OWN = """
import numpy as np

def redness(inputs):
    return inputs[:, 0]
"""


@pytest.fixture
def own(plain: SweepFile, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write a sweep file that calls a function of a module, the module too if there is a folder for it."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(module: str, folder: Path | None = None, text: str = OWN) -> Path:
        if folder:
            folder.mkdir(exist_ok=True)
            (folder / f"{module}.py").write_text(text)
        file = plain(f"calls-{module}")
        file.write_text(file.read_text().replace("redness", f"{module}:redness"))
        return file

    return write


def test_a_function_of_the_user_is_imported_only_when_that_is_allowed(
    own: SweepFile, prepe_cli: Cli, tmp_path: Path
) -> None:
    file = own("own_beside", tmp_path)
    run = ("run", file, "--executor", "serial", "--results", tmp_path / "results")
    assert prepe_cli(*run) == Said(
        2,
        "",
        f"prepe: {file}: it calls own_beside:redness, and importing a function runs its module; "
        "allowed: only with --allow-imports\n",
    )
    with pytest.raises(prepe.PrepeError, match="sweep calls-own_beside: it calls own_beside:redness"):
        prepe.run(file, executor="serial", results=tmp_path / "results")
    assert "own_beside" not in sys.modules
    assert not (tmp_path / "results").exists()

    said = prepe_cli(*run, "--allow-imports")
    assert (said.code, said.err) == (0, "")
    trial = prepe.top("calls-own_beside", 1, tmp_path / "results")[0]["trial"]
    assert f"  prepe reproduce {trial} --results {tmp_path / 'results'} --allow-imports\n" in said.out


def test_a_trial_with_functions_of_the_user_is_made_again_only_when_that_is_allowed(
    own: SweepFile, prepe_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, root = own("own_again", tmp_path / "here"), tmp_path / "results"
    monkeypatch.chdir(tmp_path / "here")
    (row,) = prepe.run(file, executor="serial", results=root, allow_imports=True).done
    del sys.modules["own_again"]
    refused = f"trial {row['trial']}: it calls own_again:redness"
    for from_weights in ([], ["--from-weights"]):
        again = ("reproduce", row["trial"], "--no-figure", *from_weights, "--results", root)
        said = prepe_cli(*again)
        assert (said.code, said.out) == (2, "")
        assert refused in said.err
    with pytest.raises(prepe.PrepeError, match=refused):
        prepe.load(row["trial"], 0, root)
    assert "own_again" not in sys.modules
    assert prepe_cli(*again[:3], *again[4:], "--allow-imports").code == 0
    assert prepe.load(row["trial"], 0, root, allow_imports=True).directions == {}


def test_checking_a_file_imports_nothing(own: SweepFile, tmp_path: Path) -> None:
    file = own("own_unread", tmp_path, "raise RuntimeError")
    assert sweep.load(file).imports() == ["own_unread:redness"]
    assert "own_unread" not in sys.modules


def test_imports_are_those_of_every_variant() -> None:
    concept = {"data": {"labels": {"red": {"concept": "own:redder"}}}}
    of = fixed(variants={"known": {}, "own": concept})
    assert of.imports() == ["own:redder"]
    assert fixed().imports() == []


def test_a_module_that_is_not_there_stops_the_run_and_is_named(own: SweepFile, prepe_cli: Cli, tmp_path: Path) -> None:
    file = own("own_nowhere")
    said = prepe_cli("run", file, "--executor", "serial", "--allow-imports", "--results", tmp_path / "results")
    assert said.code == 2
    assert "data.labels.red.concept: 'own_nowhere:redness': the module 'own_nowhere' cannot be imported" in said.err


# --- several files ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_several_files_are_run_one_after_another_with_a_summary(
    prepe_cli: Cli, plain: SweepFile, tmp_path: Path
) -> None:
    claim = "[[claims]]\nsays = 'Colours come back'\nmetric = 'recon_mse'\nstatistic = 'max'\nat_most = 10\n"
    files = [plain("first", claim), plain("second", "[variants.a]\n[variants.b.model]\nlatent_dim = 3\n")]
    for made in (["1", "2"], ["0", "0"]):
        said = prepe_cli("run", *files, "--executor", "serial", "--results", tmp_path / "results")
        assert (said.code, said.err) == (0, "")
        lines = said.out.splitlines()
        assert sum(line.startswith("holds ") and line.endswith(": Colours come back") for line in lines) == 1
        assert lines[-4] == "2 sweeps"
        assert lines[-3].split() == ["sweep", "trials", "complete", "made", "now", "failed", "lost", "seconds"]
        assert lines[-2].split()[:-1] == ["first", "1", "1", made[0], "0", "0"]
        assert lines[-1].split()[:-1] == ["second", "2", "2", made[1], "0", "0"]


def test_a_trial_that_fails_in_one_of_several_files_does_not_keep_the_others_from_being_run(
    prepe_cli: Cli, plain: SweepFile, tmp_path: Path
) -> None:
    term = "[variants.a]\nterms.t = { kind = 'own:failing' }\nschedule.keyframes = [{ step = 0, lr = 0.01, t = 1 }]\n"
    large, root = plain("large", term), tmp_path / "results"
    options = ("--executor", "serial", "--allow-imports", "--results", root)
    said = prepe_cli("run", large, plain("other"), *options)
    assert said.code == 1
    assert said.err.startswith("1 of 1 trials failed, such as ")
    assert said.err.rstrip().endswith(f"  prepe run {large} {' '.join(map(str, options))} --retry-failed")
    assert [line.split()[:-1] for line in said.out.splitlines()[-2:]] == [
        ["large", "1", "0", "1", "1", "0"],
        ["other", "1", "1", "1", "0", "0"],
    ]


@pytest.mark.parametrize(
    ("sql", "code"), [("SELECT seed, no_such AS value FROM members", 1), ("SELECT seed, 1 AS value FROM stages", 0)]
)
def test_a_claim_that_cannot_be_evaluated_or_has_no_rows_does_not_keep_other_files_from_being_run(
    prepe_cli: Cli, plain: SweepFile, tmp_path: Path, sql: str, code: int
) -> None:
    wrong = plain("wrong", f"[[claims]]\nsays = 'It is so'\nat_most = 1\nsql = \"{sql}\"\n")
    said = prepe_cli("run", wrong, plain("other"), "--executor", "serial", "--results", tmp_path / "results")
    assert said.code == code
    assert said.err.startswith(f"prepe: {wrong}: claims[0].sql: " if code else "")
    assert ("not run  its query selects no rows: It is so" in said.out) == (code == 0)
    assert said.out.splitlines()[-1].split()[:5] == ["other", "1", "1", "1", "0"]


@pytest.mark.slow
def test_run_says_that_models_trained_before_lack_what_the_file_asks_to_keep(
    prepe_cli: Cli, plain: SweepFile, tmp_path: Path
) -> None:
    def said(name: str, record: str, members: int = 2) -> str:
        file = plain(name, f"[record]\n{record}\n" if record else "")
        answer = prepe_cli("run", file, "--executor", "serial", "--members", members, "--results", tmp_path / "results")
        assert answer.code == 0
        return str(answer.err)

    assert said("quick", "") == ""
    for record in ("checkpoints = [1]", "snapshots = [1]"):
        assert said("quick", record).startswith("1 model was trained before without the checkpoints or snapshots that")
    again = plain("quick", "[record]\ncheckpoints = [1]\nsnapshots = [1]\n")
    for _ in range(2):
        answer = prepe_cli("run", again, "--executor", "serial", "--members", 2, "--results", tmp_path / "new")
        assert (answer.code, answer.err) == (0, "")
    prepe.publish("quick", tmp_path / "out", tmp_path / "new", figures="")
    answer = prepe_cli("run", again, "--executor", "serial", "--members", 2, "--results", tmp_path / "out")
    assert (answer.code, answer.err) == (0, "")


def test_a_proposal_that_two_files_of_a_store_hold_is_taken_once_as_it_was_written_last(
    plain: SweepFile, tmp_path: Path
) -> None:
    loaded = sweep.load(plain("quick"))
    (row,) = launch.run(loaded, tmp_path, executor="serial").done
    store.write(tmp_path, "proposals", "quick.all", [{**row, "created": datetime(2020, 1, 1, tzinfo=UTC), "number": 7}])
    (done,) = Queue(loaded, tmp_path).done
    assert done["number"] == row["number"]


def test_one_bad_file_of_several_is_refused_before_any_is_run(
    prepe_cli: Cli, plain: SweepFile, own: SweepFile, tmp_path: Path
) -> None:
    good, bad, calling = plain("good"), plain("bad", "colour = 1\n"), own("own_unasked")
    for other, said in ((bad, "colour"), (calling, "--allow-imports"), (tmp_path / "none.toml", "cannot be read")):
        answer = prepe_cli("run", good, other, "--executor", "serial", "--results", tmp_path / "results")
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith(f"prepe: {other}: ")
        assert said in answer.err
    assert not (tmp_path / "results").exists()


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------


def test_jobs_at_work_are_all_suspects_where_ray_names_none_that_was_killed() -> None:
    said = "2 workers killed due to the node running low on memory. Selected to kill: Actor({})"
    actors = {"one": "aa", "two": "bb"}
    assert lost.killed_for_memory(said.format("bb"), {"one", "two"}, actors) == {"two"}
    assert lost.killed_for_memory(said.format("cc"), {"one", "two"}, actors) == {"one", "two"}
    assert lost.killed_for_memory("the actor has died", {"one"}, actors) is None


def test_a_trial_that_takes_its_node_down_again_and_again_fails() -> None:
    crashes, each = lost.Crashes(None), Proposal(0, {}, 0, 2)
    causes = [crashes.cause(each, 1.0, "The actor died because its node has died.") for _ in range(11)]
    assert causes[:10] == [None] * 10
    assert causes[10] is not None
    assert causes[10].endswith("its nodes were lost, again and again: The actor died because its node has died.")


def test_a_way_to_the_cluster_that_breaks_leaves_its_job_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    class Gone:
        """A client of a cluster that is not reached any more."""

        async def tail_job_logs(self, name: str) -> AsyncIterator[str]:
            yield "a line\n"
            raise aiohttp.ServerDisconnectedError

        def get_job_info(self, name: str) -> None:
            raise requests.ConnectionError("refused")

    with pytest.raises(prepe.PrepeError, match=r"does not answer any more: refused; job mine goes on without this"):
        submit.Job(Gone(), "mine", "http://there", "s3://bucket").follow()  # type: ignore[arg-type]
    assert "a line" in capsys.readouterr().out


def test_ctrl_c_is_noted_and_raised_where_it_is_looked_for(capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with noted() as interrupt:
        interrupt.check()
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.pressed
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
    assert signal.getsignal(signal.SIGINT) is before
    assert capfd.readouterr().err.count("stopping ...") <= 1
