"""What a plan counts it counts as a run does, and what it expects grows with what is asked for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from command import Said, contents
from conftest import TINY, TinyStore

from prepe import launch, planning
from prepe import sweep as sweeps
from prepe.errors import PrepeError
from prepe.planning import probe
from prepe.planning.probe import _shortened, _train_s, wanted
from prepe.spec import Training

ROOT = Path(__file__).parents[1]
Written = Callable[..., Path]


def test_a_plan_counts_what_is_asked_for_and_not_what_is_stored() -> None:
    sweep = sweeps.load(TINY)
    found = planning.plan(sweep, planning.here(2), stored=1, budget_s=0)
    assert (found.trials, found.left, found.members) == (3, 2, 6)
    assert len(found.points) == 1
    assert found.points[0].params == sweep.start()
    done = planning.plan(sweep, planning.here(2), stored=3, budget_s=0)
    assert (done.left, done.members, done.wall_s) == (0, 0, 0)


def test_a_plan_counts_halving(sweep_file: Written, tmp_path: Path) -> None:
    text = 'trials = 27\nsampler = "random"\nhalving = { start = 3 }'
    sweep = sweeps.load(sweep_file("halved", ('trials = 3\nsampler = "random"', text), ("members = 3", "members = 27")))
    assert launch.to_do(sweep, tmp_path) == (0, 27 * 3 + 9 * 6 + 3 * 18)
    halved = planning.plan(sweep, planning.here(1), members=launch.to_do(sweep, tmp_path)[1], budget_s=0)
    assert (halved.left, halved.members) == (27, 27 * 3 + 9 * 6 + 3 * 18)
    assert planning.plan(sweep, planning.here(1), stored=27, members=54, budget_s=0).wall_s > 0  # promotions alone


def test_what_is_to_do_is_what_a_queue_has_left(tiny_store: TinyStore) -> None:
    assert launch.to_do(sweeps.load(tiny_store.file), tiny_store.root) == (3, 0)
    assert launch.to_do(sweeps.load(tiny_store.file, trials=5), tiny_store.root) == (3, 2 * 3)
    assert launch.to_do(sweeps.load(tiny_store.file, members=4), tiny_store.root) == (0, 3)  # one more of each


def test_trials_of_one_size_share_a_twin() -> None:
    assert planning.plan(sweeps.load(TINY, trials=60), planning.here(1), budget_s=0).twins == 3 * 3  # sizes, members
    alone = sweeps.load(ROOT / "sweeps" / "ex-2.9.1.toml", members=2)
    assert planning.plan(alone, planning.here(1), budget_s=0).twins == 2


def test_time_falls_with_jobs_at_once_and_rises_with_trials() -> None:
    sweep = sweeps.load(TINY, trials=60)
    one, four = (planning.plan(sweep, planning.here(jobs), budget_s=0) for jobs in (1, 4))
    assert four.slots == 4
    assert four.wall_s < one.wall_s
    assert one.work_s > planning.plan(sweeps.load(TINY, trials=6), planning.here(1), budget_s=0).work_s


def test_the_probe_measures_the_start_draws_and_the_largest_sizes() -> None:
    sweep = sweeps.load(TINY)
    found = wanted(sweep)
    assert found[0] == (sweep.start(), True)
    assert [params for params, drawn in found[:5] if not drawn] == [sweep.start() | {"latent_dim": 4}]
    assert len({str(params) for params, _ in found}) == len(found)
    fixed = sweeps.load(ROOT / "sweeps" / "ex-2.9.1.toml")
    assert wanted(fixed) == [({}, True)]
    (point,) = probe(sweep, budget_s=0)
    assert min(point.model_s, point.evaluate_s) > 0


def test_a_training_cut_short_keeps_its_phases_and_every_keyframe() -> None:
    schedule = sweeps.load(ROOT / "sweeps" / "ex-2.9.1.toml").trial({}).training.schedule
    short = _shortened(schedule, 150)
    assert short.steps == 150 < schedule.steps
    assert [each.values for each in short.keyframes] == [each.values for each in schedule.keyframes]
    assert short == type(schedule).model_validate(short.model_dump())  # it is a valid one
    assert _shortened(short, 150) == short


def test_a_longer_training_is_expected_to_take_in_proportion_longer() -> None:
    training = sweeps.load(ROOT / "sweeps" / "ex-2.9.1.toml").trial({}).training

    def longer(factor: int) -> Training:
        frames = [each.model_copy(update={"step": each.step * factor}) for each in training.schedule.keyframes]
        changes = {"keyframes": tuple(frames), "steps": training.schedule.steps * factor}
        return training.model_copy(update={"schedule": training.schedule.model_copy(update=changes)})

    assert _train_s(longer(20), 2, 0.1) > 5 * _train_s(training, 2, 0.1)


def test_a_cluster_file_says_machines_and_prices() -> None:
    cluster = planning.cluster(ROOT / "cluster.yaml", 1)
    (worker,) = cluster.workers  # what a GPU gains is not known here
    assert (worker.count, worker.jobs, worker.paid_for) == (8, 8, "c7i.2xlarge, spot")
    assert cluster.slots == 64
    assert cluster.head is not None
    assert cluster.head.paid_for == "m7i.large"
    assert planning.cluster(ROOT / "cluster.yaml", 4).slots == 16
    for file in ("gcp.yaml", "onprem.yaml"):
        assert planning.cluster(ROOT / "clusters" / file, 1).slots > 0


def test_cost_is_of_the_machines_that_are_used() -> None:
    cluster = planning.cluster(ROOT / "cluster.yaml", 1)
    small = planning.plan(sweeps.load(TINY), cluster, budget_s=0)
    assert small.machines == {"worker": 1}
    many = planning.plan(sweeps.load(TINY, trials=6000), cluster, budget_s=0)
    assert many.machines == {"worker": 8}
    assert small.cost is not None
    assert many.cost is not None
    assert 0 < small.cost < many.cost
    assert cluster.head is not None
    (worker,) = cluster.workers
    assert worker.price is not None
    hours = (small.wall_s * cluster.head.price + (small.wall_s + cluster.idle_s) * worker.price) / 3600  # type: ignore[operator]
    assert small.cost == pytest.approx(hours)
    assert planning.plan(sweeps.load(TINY), replace(cluster, head=None), budget_s=0).cost is None


def test_a_machine_without_a_price_is_refused(tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('date = "2026-01-01"\ncurrency = "EUR"\n[aws]\n"c7i.2xlarge" = { hour = 1, spot = 0.5 }\n')
    with pytest.raises(PrepeError, match=r"no price of 'g6.xlarge' under \[aws\], of gpu-worker in "):
        planning.cluster(ROOT / "cluster.yaml", 1, prices)
    prices.write_text("a = ")
    with pytest.raises(PrepeError, match="cannot be understood"):
        planning.cluster(ROOT / "cluster.yaml", 1, prices)
    resources = sweeps.load(TINY).resources.model_copy(update={"cpus": 64})
    wide = sweeps.load(TINY).model_copy(update={"resources": resources})
    cluster = planning.cluster(ROOT / "cluster.yaml", 64)
    with pytest.raises(PrepeError, match="takes jobs of 64 CPUs"):
        planning.plan(wide, cluster)


def test_the_command_says_time_and_money_and_stores_nothing(
    prepe_cli: Callable[..., Said], tiny_store: TinyStore, sweep_file: Written
) -> None:
    before = contents(tiny_store.root)
    file = sweep_file("tiny", ("trials = 3", "trials = 5"))
    file.write_text(f"{file.read_text()}\n[budget]\nmax_hours = 0.001\n")
    said = prepe_cli("plan", file, "--cluster", ROOT / "cluster.yaml", "--probe", 0, "--results", tiny_store.root)
    assert (said.code, said.err) == (0, "")
    first, second, probed, where, cost, prices, budget = said.out.splitlines()
    assert first == "tiny: 5 trials of 3 members, 3 of them stored"
    assert second.startswith("to do: 2 trials, 6 members, and twins of ")
    assert probed.startswith("probe: ")
    assert "64 jobs at once" in where
    assert "1 worker (c7i.2xlarge, spot, 0.14 USD/h), 1 head (m7i.large, 0.101 USD/h)" in cost
    assert prices.startswith("prices of 2025-06-01, in ")
    assert budget.startswith("budget.max_hours = 0.001 ends it before")
    assert contents(tiny_store.root) == before
    refused = prepe_cli("plan", file, "--prices", "mine.toml", "--results", tiny_store.root)
    assert refused.code == 2
