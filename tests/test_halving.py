"""Successive halving and deterministic generations, budgets and timeouts: what a sweep does, without Ray."""

import json
import math
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from command import Said, contents

import prepe
from prepe import launch, report, store, sweep
from prepe.launch import budget, job, study
from prepe.launch.halving import expected, saving
from prepe.launch.job import Proposal, Row
from prepe.launch.searcher import Queue
from prepe.sweep import Sweep, digest

Cli = Callable[..., Said]
SweepFile = Callable[..., Path]
SEARCHED = 'trials = 3\nsampler = "random"'
WIDTH = ("latent_dim = { int = [2, 4], start = 3 }", "latent_dim = { int = [3, 30], start = 3 }")
RATE = ("lr = { log = [0.005, 0.1], start = 0.05 }", "lr = { log = [0.0005, 0.1], start = 0.05 }")


@pytest.fixture
def halved(sweep_file: SweepFile) -> Callable[..., Sweep]:
    """Load the tiny sweep as one of so many trials, of 27 members, that begin with 3."""

    def load(trials: int = 27, sampler: str = "random", halving: str = "start = 3", members: int = 27) -> Sweep:
        text = f'trials = {trials}\nsampler = "{sampler}"\nstartup_trials = 5\ngeneration = 6'
        text += f"\nhalving = {{ {halving} }}" if halving else ""
        file = sweep_file("halved", (SEARCHED, text), ("members = 3", f"members = {members}"), WIDTH, RATE)
        return sweep.load(file)

    return load


def row_of(of: Sweep, proposal: Proposal, worth: float, feasible: bool = True, **changes: Any) -> Row:
    """Return a made-up row of a trial that is worth the same at every rung."""
    promise = of.promise()
    name = promise.name if promise else ""
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
        "feasible": feasible,
        "objectives": {each.name: worth for each in of.objectives},
        "constraints": {each.name: 0.0 if feasible else 1.0 for each in of.constraints},
        "error": None,
        "busy_s": proposal.spent_s + 1.0,
        "rungs": [
            {"members": each, "measure": name, "value": worth, "feasible": feasible}
            for each in of.rungs
            if promise and each <= proposal.members
        ],
        **changes,
    }


def worth(proposal: Proposal) -> float:
    """Return a made-up worth that depends on a configuration alone."""
    return math.sin(1e5 * float(proposal.params["lr"]))


def work_off(queue: Queue, workers: int = 1, seed: int = 0, most: int = 10_000) -> list[Proposal]:
    """Do what a queue hands out with so many at work at once, of which a random one ends first."""
    rng, at_work, done = random.Random(seed), list[Proposal](), list[Proposal]()
    while len(done) < most:
        while len(at_work) < workers and (proposal := queue.next()) is not None:
            at_work.append(proposal)
        if not at_work:
            break
        proposal = at_work.pop(rng.randrange(len(at_work)))
        row = row_of(queue.sweep, proposal, worth(proposal))
        queue.finish(proposal, launch.job.write(queue.results, row))
        done.append(proposal)
    queue.close()
    return done


# --- halving ----------------------------------------------------------------------------------------------------------


def test_every_trial_begins_with_few_members_and_the_best_third_of_each_rung_gets_three_times_as_many(
    halved: Callable[..., Sweep], tmp_path: Path
) -> None:
    of = halved()
    queue = Queue(of, tmp_path)
    done = work_off(queue)
    assert of.rungs == (3, 9, 27)
    assert [each.members for each in done].count(3) == 27
    by_worth = sorted(queue.done, key=lambda row: -dict(row["objectives"])[of.objectives[0].name])
    sizes = [row["members"] for row in by_worth]
    assert sizes[0] == 27  # the best of all has all members
    assert min(sizes[:9]) >= 9  # the best third went on, whatever came before it
    assert sum(size >= 9 for size in sizes) <= 9 + 6  # and few others, which were the best for a while
    assert sizes.count(27) <= 9
    assert (queue.left, queue.made, queue.next()) == (0, 27, None)


@pytest.mark.parametrize(("trials", "sizes"), [(1, [27]), (2, [27, 3]), (3, [27, 3, 3])])
def test_the_best_of_the_few_that_there_are_gets_all_members(
    trials: int, sizes: list[int], halved: Callable[..., Sweep], tmp_path: Path
) -> None:
    queue = Queue(halved(trials), tmp_path)
    work_off(queue)
    assert sorted((row["members"] for row in queue.done), reverse=True) == sizes
    (best,) = report.top(tmp_path, "halved", 1)
    assert best["members"] == 27


@pytest.mark.parametrize("workers", [1, 3])
def test_a_sweep_that_was_killed_at_any_moment_goes_on_and_promotes_whom_its_rows_say(
    workers: int, halved: Callable[..., Sweep], tmp_path: Path
) -> None:
    of = halved(12)
    done: list[tuple[str, int]] = []
    for most in (*[2] * 40, 100):
        queue = Queue(of, tmp_path)
        if not queue.left:
            break
        done += [(of.trial(each.params).digest(), each.members) for each in work_off(queue, workers, most, most)]
    assert len(done) == len(set(done))  # nothing was done twice
    assert Queue(of, tmp_path).left == 0
    rows = store.read(tmp_path, "proposals").to_pylist()
    assert sorted(row["number"] for row in rows) == list(range(12))
    sizes = sorted((row["members"] for row in rows), reverse=True)
    assert sizes[0] == 27
    assert sum(size >= 9 for size in sizes) >= 4


def test_more_members_asked_for_later_are_one_more_rung(halved: Callable[..., Sweep], tmp_path: Path) -> None:
    work_off(Queue(halved(9, members=9), tmp_path))
    queue = Queue(halved(9, members=27), tmp_path)
    assert queue.left > 0
    assert {each.members for each in work_off(queue)} == {27}


def test_infeasible_and_failed_trials_are_promoted_last_and_never(halved: Callable[..., Sweep], tmp_path: Path) -> None:
    of = halved(6, halving="start = 9")
    queue = Queue(of, tmp_path)
    new = [queue.next() for _ in range(6)]
    given = [each for each in new if each is not None]
    for i, each in enumerate(given):
        failed = {"state": "failed", "rungs": None} if i < 2 else {}
        queue.finish(each, row_of(of, each, 1.0 - i / 10, feasible=i > 3, **failed))
    promoted = [queue.next(), queue.next(), queue.next()]
    assert [each and each.number for each in promoted] == [4, 5, None]


def test_a_trial_that_fails_with_more_members_keeps_those_it_has_until_that_is_retried(
    halved: Callable[..., Sweep], tmp_path: Path
) -> None:
    of = halved(9, members=9)
    queue = Queue(of, tmp_path)
    broken: list[str] = []
    while (each := queue.next()) is not None:
        row = row_of(of, each, worth(each))
        if each.members > 3 and len(broken) < 2:
            broken.append(row["trial"])
            row = job.kept(tmp_path, job.failure(of, each, "Traceback\nValueError: broken on purpose"))
        queue.finish(each, job.write(tmp_path, row))
    queue.close()
    rows = {row["trial"]: row for row in store.read(tmp_path, "proposals").to_pylist()}
    assert len(rows) == 9
    for name in broken:
        assert (rows[name]["state"], rows[name]["members"], len(rows[name]["rungs"])) == ("complete", 3, 1)
        said = "ValueError: broken on purpose (with 9 members; its 3 are kept)"
        assert rows[name]["error"].splitlines()[-1] == said
    others = [row for row in rows.values() if row["trial"] not in broken]
    assert max(row["members"] for row in others) == 9  # the place goes to the next one
    assert work_off(Queue(of, tmp_path)) == []
    again = work_off(Queue(of, tmp_path, retry_failed=True))
    assert {of.trial(each.params).digest() for each in again} >= set(broken)
    assert all(row["error"] is None for row in store.read(tmp_path, "proposals").to_pylist())


def test_a_measure_that_was_changed_is_taken_of_what_is_stored(halved: Callable[..., Sweep], tmp_path: Path) -> None:
    work_off(Queue(halved(9, members=9), tmp_path))
    of = halved(9, members=9, halving='start = 3, metric = "recon_mse", statistic = "median"')
    again = work_off(Queue(of, tmp_path), most=9)
    rows = {row["number"]: row for row in store.read(tmp_path, "proposals").to_pylist()}
    assert sorted(each.number for each in again) == list(range(9))
    assert all(rung["measure"] == "recon_mse.median" for row in rows.values() for rung in row["rungs"])


@pytest.mark.slow
def test_a_halved_sweep_really_run_trains_only_what_it_lacks_and_says_what_that_saves(
    prepe_cli: Cli, sweep_file: SweepFile, tmp_path: Path
) -> None:
    file = sweep_file(
        "small", (SEARCHED, f"{SEARCHED}\nhalving = {{ start = 1, factor = 2 }}"), ("members = 3", "members = 4")
    )
    said = prepe_cli("run", file, "--executor", "serial", "--results", tmp_path / "results")
    assert said.code == 0
    assert "halving: " in said.out
    assert " members instead of 12 (" in said.out
    rows = store.read(tmp_path / "results", "proposals").to_pylist()
    assert max(row["members"] for row in rows) == 4
    members = store.read(tmp_path / "results", "members", columns=["trial", "seed"]).to_pylist()
    assert sorted((row["trial"], row["seed"]) for row in members) == sorted(
        (row["trial"], seed) for row in rows for seed in range(row["members"])
    )
    before = contents(tmp_path / "results", "models/*")
    assert "nothing to do" in prepe_cli("run", file, "--executor", "serial", "--results", tmp_path / "results").out
    assert contents(tmp_path / "results", "models/*") == before
    (full,) = [row for row in rows if row["members"] == 4]
    (first, *_, last) = full["rungs"]
    assert (first["members"], last["members"]) == (1, 4)
    effects = store.read(tmp_path / "results", "effects").to_pylist()
    scores = {
        row["seed"]: row["score_ccc"]
        for row in effects
        if row["trial"] == full["trial"] and row["intervention"] == "ablate"
    }
    assert first["value"] == pytest.approx(scores[0])
    assert last["value"] == pytest.approx(min(scores.values()))  # of four, the worst tenth is the worst


def test_the_expected_number_of_members_is_what_rungs_of_a_third_each_have(halved: Callable[..., Sweep]) -> None:
    assert expected(halved(), 27) == 27 * 3 + 9 * 6 + 3 * 18
    assert expected(halved(halving=""), 27) == 27 * 27
    assert saving(halved(halving=""), [{"members": 27}]) is None


@pytest.mark.parametrize(
    ("halving", "message"),
    [
        ("start = 0", "search.halving.start"),
        ("start = 3, factor = 1", "search.halving.factor"),
        ("factor = 3", "search.halving.start: missing"),
        ('start = 3, metric = "score_cc"', "search.halving.metric: unknown metric 'score_cc'"),
        ('start = 3, metric = "norm_mean"', "search.halving.metric: 'norm_mean' has no better and worse; allowed: "),
        ('start = 3, intervention = "none"', "search.halving.intervention: unknown intervention 'none'"),
        ('start = 1, statistic = "sd"', "search.halving.statistic: 'sd' of one member is not a number"),
    ],
)
def test_halving_that_could_not_be_is_refused(halving: str, message: str, halved: Callable[..., Sweep]) -> None:
    with pytest.raises(prepe.PrepeError) as refused:
        halved(halving=halving)
    assert message in str(refused.value)


# --- deterministic ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sampler", "halving"), [("tpe", ""), ("tpe", "start = 3"), ("nsga2", "")])
def test_generations_are_the_same_however_many_are_at_work_and_whoever_ends_first(
    sampler: str, halving: str, halved: Callable[..., Sweep], tmp_path: Path
) -> None:
    def done(name: str, workers: int, deterministic: bool = True) -> list[tuple[int, str, int, int]]:
        queue = Queue(halved(14, sampler, halving), tmp_path / name, deterministic=deterministic)
        work_off(queue, workers, workers)
        return sorted((row["number"], row["trial"], row["generation"], row["members"]) for row in queue.done)

    alone = done("one", 1)
    assert len(alone) == 14
    assert alone == done("two", 2) == done("many", 50)
    if sampler == "tpe":
        assert alone != done("asynchronous", 6, deterministic=False)


def test_a_deterministic_sweep_that_stopped_between_generations_goes_on_as_if_it_had_not(
    halved: Callable[..., Sweep], tmp_path: Path
) -> None:
    of = halved(18, "tpe", "")
    queue = Queue(of, tmp_path / "whole", deterministic=True)
    whole = [each.params for each in work_off(queue)]
    parts = [
        each.params for _ in range(3) for each in work_off(Queue(of, tmp_path / "parts", deterministic=True), most=6)
    ]
    assert parts == whole


def test_tpe_hands_over_to_nsga2_past_its_limit_and_that_is_said_once(
    halved: Callable[..., Sweep], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "TPE_UNTIL", 10)
    monkeypatch.setattr(study, "_GENERATION", 5)
    said: list[str] = []
    of = halved(24, "tpe", "")
    queue = Queue(of, tmp_path)
    queue.say = said.append
    work_off(queue, most=20)
    assert len(said) == 1
    assert "NSGA-II" in said[0]
    assert queue.study is not None
    assert queue.study.sampler == "nsga2"
    again = Queue(of, tmp_path)
    again.say = said.append
    work_off(again)
    assert len({row["trial"] for row in again.done}) == 24
    assert len(said) == 1


# --- budgets ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a test moves."""
    now = [0.0]
    monkeypatch.setattr(budget.time, "monotonic", lambda: now[0])
    return now


def limited(of: Sweep, **limits: float) -> Sweep:
    resources = sweep.Resources(cost_per_hour=2.0)
    return of.model_copy(update={"budget": sweep.Budget.model_validate(limits), "resources": resources})


def test_a_sweep_past_its_hours_hands_out_no_trial_and_goes_on_when_it_is_run_again(
    halved: Callable[..., Sweep], tmp_path: Path, clock: list[float]
) -> None:
    of = limited(halved(6, halving=""), max_hours=2)
    queue = Queue(of, tmp_path)
    assert len(work_off(queue, most=2)) == 2
    clock[0] = 2 * 3600
    assert queue.next() is None
    assert queue.take() == []
    assert queue.spent == "budget.max_hours = 2 is used up"
    assert queue.left == 4
    assert len(work_off(Queue(of, tmp_path))) == 4


def test_a_sweep_past_its_cost_hands_out_no_trial_until_it_may_cost_more(
    halved: Callable[..., Sweep], tmp_path: Path
) -> None:
    of = halved(6, halving="")
    queue = Queue(limited(of, max_cost=3 * 2 / 3600), tmp_path)  # each trial takes a second
    assert len(work_off(queue)) == 3
    assert queue.spent is not None
    assert queue.spent.startswith("budget.max_cost = ")
    assert work_off(Queue(limited(of, max_cost=3 * 2 / 3600), tmp_path)) == []
    assert len(work_off(Queue(limited(of, max_cost=1), tmp_path))) == 3


def test_what_a_trial_cost_with_fewer_members_is_counted_with_the_rest(
    halved: Callable[..., Sweep], tmp_path: Path
) -> None:
    queue = Queue(halved(3), tmp_path)
    done = work_off(queue)
    assert sum(row["busy_s"] for row in queue.done) == len(done) == 5


def test_a_cost_without_a_price_is_refused() -> None:
    table = tiny.table(**tiny.constant(steps=10, anchor=0.1))
    with pytest.raises(
        prepe.PrepeError, match=r"^budget\.max_cost: it needs what a job costs; allowed: with resources"
    ):
        sweep.from_table("priced", {"question": "?", "members": 2, **table, "budget": {"max_cost": 3}})


@pytest.mark.slow
def test_a_budget_that_is_used_up_is_said_with_how_to_go_on(
    prepe_cli: Cli, sweep_file: SweepFile, tmp_path: Path
) -> None:
    file = sweep_file("dear", ("[record]", "[resources]\ncost_per_hour = 1e9\n[budget]\nmax_cost = 1\n\n[record]"))
    said = prepe_cli("run", file, "--executor", "serial", "--results", tmp_path / "results")
    assert (said.code, said.err) == (0, "")
    assert "budget.max_cost = 1 is used up: 1 of 3 trials are stored; " in said.out
    assert len(store.read(tmp_path / "results", "proposals")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("pack", [1, 2])
def test_a_trial_past_its_timeout_fails_alone_and_is_done_again_when_asked_for(pack: int, tmp_path: Path) -> None:
    table = tiny.table(**tiny.constant(steps=10, anchor=0.1))
    variants = {"quick": {}, "slow": {"schedule": {"steps": 1_000_000}}}
    given = {"variants": variants, "resources": {"pack": pack}, "budget": {"timeout_s": 4.0}}
    of = sweep.from_table("timed", {"question": "?", "members": 2, "twin": False, **table, **given})
    began = time.monotonic()
    queue = launch.run(of, tmp_path, executor="serial")
    assert time.monotonic() - began < 60
    assert [row["state"] for row in queue.done] == ["complete", "failed"]
    last = queue.done[1]["error"].strip().splitlines()[-1]
    assert last.startswith("TimeoutError: training was at step ")
    assert last.endswith(" of 1000000 after budget.timeout_s = 4")
    assert launch.run(of, tmp_path, executor="serial").made == 0
    assert launch.run(of, tmp_path, executor="serial", retry_failed=True).made == 1
