"""Members whose loss or gradient is not finite: they stop, and change nothing of the others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from prepe import train
from prepe.sweep import Record
from prepe.train import Trained

from .same import assert_same_member, history, run

SEEDS = list(range(12))
BREAKING: dict[str, dict[str, Any]] = {  # what overflows float32 depends on a member's weights and draws
    "a learning rate of a billion": tiny.constant(lr=1e9, steps=12),
    "the same beside a term": tiny.constant(lr=1e9, steps=12, unit_norm=1e-6),
}
PARTS = {
    "a learning rate of a billion": {"recon", None},
    "the same beside a term": {"recon", "unit_norm", None},
}
EACH_BREAKING = pytest.mark.parametrize("name", BREAKING)


@pytest.fixture(scope="module")
def breaking() -> Callable[[str], Trained]:
    kept: dict[str, Trained] = {}

    def get(name: str) -> Trained:
        if name not in kept:
            kept[name] = run(tiny.training(**BREAKING[name]), SEEDS)
        return kept[name]

    return get


@EACH_BREAKING
def test_a_member_that_breaks_names_its_step_and_the_part_of_the_loss(
    name: str, breaking: Callable[[str], Trained]
) -> None:
    trained = breaking(name)
    assert set(trained.broken_term) == PARTS[name]
    assert len(set(trained.broken_step.tolist())) >= 2
    for step, term, broken in zip(trained.broken_step, trained.broken_term, trained.broken, strict=True):
        assert broken == (step >= 0) == (term is not None)


@EACH_BREAKING
def test_the_others_go_on_as_if_they_were_alone(name: str, breaking: Callable[[str], Trained]) -> None:
    trained = breaking(name)
    for i, seed in enumerate(SEEDS):
        assert_same_member(run(tiny.training(**BREAKING[name]), [seed]), 0, trained, i)


@EACH_BREAKING
def test_history_ends_for_a_member_where_it_broke(name: str, breaking: Callable[[str], Trained]) -> None:
    trained = breaking(name)
    rows = history(trained)
    for i, at in enumerate(trained.broken_step):
        totals = np.array([rows[step, "loss", "total"][i] for step in range(12)])
        finite = np.isfinite(totals)
        assert finite.all() if at < 0 else (finite[:at].all() and not finite[at:].any())


def test_a_broken_member_stands_still_from_the_step_on_where_it_broke() -> None:
    tables = BREAKING["the same beside a term"]
    trained = run(tiny.training(**tables), SEEDS)
    assert trained.broken.any()
    for step in set(trained.broken_step[trained.broken].tolist()):
        shorter = {**tables, "schedule": {**tables["schedule"], "steps": step}}
        there = trained.broken_step == step
        np.testing.assert_array_equal(trained.params[there], run(tiny.training(**shorter), SEEDS).params[there])


def test_ordinary_training_breaks_nobody() -> None:
    trained = run(tiny.training(), SEEDS)
    assert trained.broken_step.tolist() == [-1] * 12
    assert trained.broken_term == [None] * 12
    assert torch.isfinite(trained.params).all()


def test_of_a_broken_member_nothing_is_said_at_the_end(breaking: Callable[[str], Trained]) -> None:
    trained = breaking("the same beside a term")
    for values in trained.final_parts.values():
        np.testing.assert_array_equal(np.isnan(values), trained.broken)


def test_a_member_that_breaks_in_a_phase_has_no_spike_there() -> None:
    tables = BREAKING["the same beside a term"]
    frames = [*tables["schedule"]["keyframes"], {"step": 2, "phase": "late"}]
    trained = run(tiny.training(**tables | {"schedule": {**tables["schedule"], "keyframes": frames}}), SEEDS)
    assert 0 < trained.broken.sum() < 12
    np.testing.assert_array_equal(np.isnan(trained.phase_spikes[2]), trained.broken)


def test_a_training_of_a_pack_that_breaks_changes_nothing_of_the_others() -> None:
    trainings = [tiny.training(**tiny.constant(lr=lr, steps=12, unit_norm=1e-6)) for lr in (1e9, 0.01, 1e8)]
    record = Record(history_stride=1)
    pack = train.train_pack(trainings, SEEDS, device="cpu", record=record)
    assert pack[0].broken.any()
    assert not pack[1].broken.any()
    for training, together in zip(trainings, pack, strict=True):
        alone = run(training, SEEDS)
        for i in range(len(SEEDS)):
            assert_same_member(alone, i, together, i)
