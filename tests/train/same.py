"""Training for tests, and what it means that two trained members are the same."""

from typing import Any

import numpy as np

from prepe import train
from prepe.spec import Training
from prepe.sweep import Record
from prepe.train import Trained

EVERY_STEP = Record(history_stride=1)
Rows = dict[tuple[int, str, str], np.ndarray]


def run(training: Training, seeds: list[int], record: Record = EVERY_STEP) -> Trained:
    return train.train(training, seeds, device="cpu", record=record)


def history(trained: Trained) -> Rows:
    """Return the values over members of every row."""
    rows = {(step, quantity, name): values for step, quantity, name, values in trained.history}
    assert len(rows) == len(trained.history)
    return rows


def assert_same_member(one: Trained, i: int, other: Trained, j: int, apart: bool = False) -> None:
    """Compare everything that is known of one member and of another, bit for bit.

    Args:
        one, i: the member.
        other, j: the member that it is compared with.
        apart: whether the other's companions may have gone their own ways, so that there are rows without its losses.
    """
    np.testing.assert_array_equal(one.params[i].numpy(), other.params[j].numpy())  # where NaN equals NaN
    assert (one.broken_step[i], one.broken_term[i]) == (other.broken_step[j], other.broken_term[j])
    for name in ("labels_drawn", "labels_used", "final_parts", "phase_spikes"):
        _assert_equal(of_member(getattr(one, name), i), of_member(getattr(other, name), j))
    rows, others = of_member(history(one), i), of_member(history(other), j)
    _assert_equal(rows, {key: others[key] for key in rows})
    more = set(others) - set(rows)
    assert not more or apart
    assert all(np.isnan(others[key]) for key in more if key[1] in ("loss", "term"))
    for kept, held in zip(one.checkpoints, other.checkpoints, strict=True):
        assert (kept.step, kept.phase, kept.reached[i]) == (held.step, held.phase, held.reached[j])
        np.testing.assert_array_equal(kept.params[i].numpy(), held.params[j].numpy())
    for (step, latents, outputs), (other_step, other_latents, other_outputs) in zip(
        one.snapshots, other.snapshots, strict=True
    ):
        assert step == other_step or apart
        if max(i, len(latents) - 1, j) < min(len(latents), len(other_latents)):
            np.testing.assert_array_equal(latents[i], other_latents[j])
            np.testing.assert_array_equal(outputs[i], other_outputs[j])


def of_member(values: dict[Any, np.ndarray], i: int) -> dict[Any, Any]:
    return {key: each[i] for key, each in values.items()}


def _assert_equal(one: dict[Any, Any], other: dict[Any, Any]) -> None:
    assert set(one) == set(other)
    for key, value in one.items():
        np.testing.assert_array_equal(value, other[key], err_msg=str(key))
