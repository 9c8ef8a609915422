"""Training in CUDA graphs. Run on a GPU with: make test ARGS="-m gpu". Not yet run on one."""

from typing import Any

import pytest
import tiny
import torch

from prepe import sweep, train
from prepe.spec import Training

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def training() -> Training:
    """Give 2.9.1 cut to 300 steps, which has three sets of active terms and so three graphs."""
    return shorter(sweep.load("sweeps/ex-2.9.1.toml").trial({}).training, 300)


def shorter(training: Training, steps: int) -> Training:
    return training.model_copy(update={"schedule": training.schedule.model_copy(update={"steps": steps})})


CURRICULUM: dict[str, Any] = {
    "data": {"kind": "hsv_cube", "hues": 12, "saturations": 3, "values": 3, "opened_by": {"vivid": "vibrancy"}},
    "model": {**tiny.TABLE["model"], "normalize": "none", "output": "sigmoid"},
    "terms": {
        "captured": {"kind": "anchor_captured", "items": ["red", "green"]},
        "spread": {"kind": "separate", "power": 10, "shift": False},
        "repel": {"kind": "repel_euclidean", "axes": [0, 1]},
    },
    "schedule": {
        "batch_size": 10,
        "keyframes": [
            {"step": 0, "phase": "A", "lr": 0.005, "captured": 1.0, "spread": 0.001, "repel": 1e-6},
            {"step": 10, "phase": "B", "actions": ["anchor"], "vivid": 0.2},
            {"step": 15, "actions": ["anchor"]},
            {"step": 20, "phase": "C", "repel": 0.0},
            {"step": 29, "vivid": 0.9},
        ],
        "phases": {"A": {"data": {"hues": 6, "draw": "all", "opened_by": {}}}, "C": {"batch_size": 16}},
    },
}
"""Batches of three sizes, a term that captures twice, and one that loses its weight: a graph for each of them."""
RULES = [
    {"kind": "move", "name": "m", "measure": "recon", "below": 0.1, "parameter": "spread", "to": 0.0, "steps": 3},
    {"kind": "extend", "name": "e", "measure": "recon", "below": 0.05, "phase": "B", "at_most_steps": 5},
]


def assert_alike(training: Training, seeds: list[int], rtol: float = 1e-3, atol: float = 1e-4) -> None:
    gpu, cpu = (train.train(training, seeds, device=device) for device in ("cuda", "cpu"))
    torch.testing.assert_close(gpu.params, cpu.params, rtol=rtol, atol=atol)


def test_a_gpu_trains_what_a_cpu_trains_up_to_rounding(training: Training) -> None:
    assert_alike(shorter(training, 30), list(range(8)))


def test_so_it_does_a_curriculum_with_captured_anchors() -> None:
    assert_alike(tiny.training(**CURRICULUM), list(range(4)))


def test_so_it_does_members_with_rules_that_wait_by_themselves() -> None:
    schedule = {**CURRICULUM["schedule"], "phases": {}, "rules": [{**rule, "smooth_steps": 2} for rule in RULES]}
    assert_alike(tiny.training(**{**CURRICULUM, "schedule": schedule}), list(range(4)))


def test_so_it_does_a_users_own_model() -> None:
    model = {"kind": "own:small_model", "widths": {"middle": 3, "after": 3}}
    bare = {**tiny.constant(steps=30), "concepts": None, "interventions": None}
    assert_alike(tiny.training(**bare, model=model), list(range(4)))


def test_each_training_of_a_pack_is_that_training_alone_up_to_rounding() -> None:
    trainings = [
        tiny.training(**tiny.constant(steps=30, lr=lr, separate=weight, anchor=0.1))
        for lr, weight in ((0.01, 0.0), (0.003, 0.01))
    ]
    for training, each in zip(trainings, train.train_pack(trainings, [0, 1], device="cuda"), strict=True):
        alone = train.train(training, [0, 1], device="cuda")
        torch.testing.assert_close(each.params, alone.params, rtol=1e-3, atol=1e-4)


def test_capturing_a_graph_does_not_count_as_updates(training: Training) -> None:
    assert_alike(shorter(training, 1), [0, 1], rtol=1e-5, atol=1e-6)


def test_the_same_spec_twice_gives_the_same_bits_on_one_gpu(training: Training) -> None:
    first, second = (train.train(training, list(range(8)), device="cuda") for _ in range(2))
    assert torch.equal(first.params, second.params)
