"""What a sweep still has to do, and what Optuna is told of it; without Ray."""

import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from prepe import store, sweep
from prepe.launch import searcher
from prepe.launch.interrupt import noted
from prepe.launch.job import Proposal, Row
from prepe.launch.searcher import Queue
from prepe.sweep import Sweep

SweepFile = Callable[..., Path]
SEARCHED = 'trials = 3\nsampler = "random"'
WIDTH = "latent_dim = { int = [2, 4], start = 3 }"
RATE = "lr = { log = [0.005, 0.1], start = 0.05 }"
ANCHOR = "anchor = { float = [0, 1], start = 0.1 }"


def searching(sweep_file: SweepFile, sampler: str = "tpe", trials: int = 30, *replaced: tuple[str, str]) -> Sweep:
    file = sweep_file("quick", (SEARCHED, f'trials = {trials}\nsampler = "{sampler}"\nstartup_trials = 5'), *replaced)
    return sweep.load(file)


def outcome(of: Sweep, proposal: Proposal, **changes: Any) -> Row:
    """Return a made-up row of a proposal: `lr` is best at 0.02, and only a width of 2 is feasible."""
    named = {each.name: float(i) for i, each in enumerate(of.objectives)}
    named[of.objectives[1].name] = abs(math.log(float(proposal.params["lr"]) / 0.02))
    return {
        "sweep": of.name,
        "number": proposal.number,
        "trial": of.trial(proposal.params).digest(),
        "params": json.dumps(proposal.params),
        "generation": proposal.generation,
        "members": of.members,
        "first_seed": of.first_seed,
        "goals": {each.name: each.goal for each in of.objectives},
        "state": "complete",
        "feasible": True,
        "objectives": named,
        "constraints": {each.name: float(proposal.params["latent_dim"]) - 2.5 for each in of.constraints},
        "error": None,
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
    monkeypatch.setattr(searcher, "_GENERATION", 10)
    of = searching(sweep_file, "nsga2", 25)
    work_off(Queue(of, tmp_path), 12)
    queue = Queue(of, tmp_path)
    assert queue.study is not None
    assert isinstance(queue.study.sampler, optuna.samplers.NSGAIISampler)
    work_off(queue)
    told = [each for each in queue.study.trials if each.state == TrialState.COMPLETE]
    generations = [queue.study.sampler.get_trial_generation(queue.study, each) for each in told]
    assert generations == [0] * 10 + [1] * 10 + [2] * 5


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
