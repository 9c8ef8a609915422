"""Training in CUDA graphs. Run on a GPU with: make test ARGS="-m gpu". Not yet run on one."""

import pytest
import torch

from prepe import sweep, train

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def training():
    """Give 2.9.1 cut to 300 steps, which has three sets of active terms and so three graphs."""
    whole = sweep.load("sweeps/ex-2.9.1.toml").trial({}).training
    return whole.model_copy(update={"schedule": whole.schedule.model_copy(update={"steps": 300})})


def test_a_gpu_trains_what_a_cpu_trains_up_to_rounding(training):
    short = training.model_copy(update={"schedule": training.schedule.model_copy(update={"steps": 30})})
    seeds = list(range(8))
    gpu, cpu = (train.train(short, seeds, device=device) for device in ("cuda", "cpu"))
    torch.testing.assert_close(gpu.params, cpu.params, rtol=1e-3, atol=1e-4)


def test_capturing_a_graph_does_not_count_as_updates(training):
    one = training.model_copy(update={"schedule": training.schedule.model_copy(update={"steps": 1})})
    gpu, cpu = (train.train(one, [0, 1], device=device) for device in ("cuda", "cpu"))
    torch.testing.assert_close(gpu.params, cpu.params, rtol=1e-5, atol=1e-6)


def test_the_same_spec_twice_gives_the_same_bits_on_one_gpu(training):
    first, second = (train.train(training, list(range(8)), device="cuda") for _ in range(2))
    assert torch.equal(first.params, second.params)
