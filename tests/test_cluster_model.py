"""The model of a large cluster: its laws, and that it assumes of prepe what prepe does."""

from dataclasses import replace

import pytest
from bench import cluster_model
from bench.cluster_model import Cluster, Costs, Outcome, Sweep

from prepe.launch import study, tune

COSTS = Costs(
    driver_ms=5, driver_ms_per_slot=0.02, start_ms=3, worker_start_s=4, tpe_ms=10, nsga2_ms=5, write_s=0.1, log_sd=0.6
)
PREEMPTED = Cluster(10, trial_s=60, preempted_per_hour=2)


def made(cluster: Cluster, costs: Costs = COSTS, seed: int = 0) -> Outcome:
    return Sweep(cluster, costs, seed).run()


def test_with_a_driver_that_costs_nothing_workers_are_always_busy():
    outcome = made(Cluster(5, trial_s=3), Costs())
    assert outcome.utilisation == pytest.approx(1)
    assert outcome.wall_s == pytest.approx(3 * cluster_model.TRIALS_A_SLOT)


def test_trials_that_take_no_time_come_as_fast_as_the_driver_is():
    outcome = made(Cluster(2, trial_s=0, trials=400), Costs(driver_ms=20, random_ms=5), seed=1)
    assert outcome.per_hour == pytest.approx(3.6e6 / 20, rel=0.01)
    random = made(Cluster(2, trial_s=0, trials=400, sampler="random"), Costs(driver_ms=20, random_ms=5))
    assert random.per_hour == pytest.approx(3.6e6 / 25, rel=0.01)
    assert random.driver_share == pytest.approx(1)


def test_a_sampler_that_gets_slower_slows_the_sweep_until_it_is_outgrown():
    costs = Costs(tpe_ms=10, tpe_ms_per_trial=0.1, nsga2_ms=2)
    few = [made(Cluster(1, trial_s=0, trials=trials), costs).wall_s for trials in (500, 1000, 1500, 2000)]
    assert few[1] - few[0] > 1.5 * few[0] > 0
    assert few[3] - few[2] == pytest.approx(500 * 0.002, rel=0.1)


def test_machines_that_are_taken_away_cost_trials_an_hour_and_time_that_is_spent_again():
    alike = replace(COSTS, log_sd=0)  # else a long trial at the end decides
    quiet = [made(replace(PREEMPTED, preempted_per_hour=0), alike, seed) for seed in range(3)]
    taken = [made(PREEMPTED, alike, seed) for seed in range(3)]
    assert max(each.per_hour for each in taken) < min(each.per_hour for each in quiet)
    assert all(each.lost_s > 0 for each in taken)
    assert all(each.lost_s == 0 for each in quiet)


@pytest.mark.parametrize("cluster", [PREEMPTED, replace(PREEMPTED, trials=1000, trial_s=2, preempted_per_hour=60)])
def test_every_trial_ends_once(cluster: Cluster):
    outcome = made(cluster)
    assert set(outcome.ended) == {1}
    assert len(outcome.ended) == (cluster.trials or cluster.slots * cluster_model.TRIALS_A_SLOT)
    assert 0 < outcome.utilisation < 1


def test_no_worker_does_two_trials_at_once():
    outcome = made(PREEMPTED)
    assert outcome.useful_s + outcome.lost_s <= outcome.slots * outcome.wall_s


def test_the_same_seed_gives_the_same_sweep_and_another_one_does_not():
    assert made(PREEMPTED, seed=3) == made(PREEMPTED, seed=3)
    assert made(PREEMPTED, seed=3).wall_s != made(PREEMPTED, seed=4).wall_s


def test_a_tune_gives_its_last_jobs_before_the_next_one_starts_workers():
    start_s = 50.0
    two = made(Cluster(1, trial_s=1, trials=2 * cluster_model.JOBS), Costs(worker_start_s=start_s))
    at_work_s = 2 * cluster_model.JOBS / 8
    assert two.wall_s > at_work_s + max(cluster_model.STARTS) * start_s  # what one start costs at most


def test_the_model_assumes_of_tune_and_of_tpe_what_is_so():
    assert (cluster_model.JOBS, cluster_model.JOBS_A_SLOT) == (tune._JOBS, tune._JOBS_A_SLOT)
    assert cluster_model.TPE_UNTIL == study.TPE_UNTIL
