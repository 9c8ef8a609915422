"""The task of arbitrary codes: random bits that follow from no colour."""

from typing import Any

import numpy as np
import pytest

from prepe import data
from prepe.catalog import NAMED_COLORS, RgbCodes
from prepe.data import codes, color
from prepe.data.similarity import hsv_similarity
from prepe.errors import PrepeError
from prepe.metrics import selectivity


def part(**keys: Any) -> RgbCodes:
    return RgbCodes(kind="rgb_codes", **keys)


@pytest.fixture(scope="module")
def task() -> data.Task:
    return data.task(part(size=5, bits=16))


def similar(task: data.Task, name: str) -> np.ndarray:
    return np.asarray(task.similarities["hsv"](task.train.inputs, task.item(name)))


def test_the_coded_colours_are_a_lattice_the_named_ones_and_extra_ones_each_once(task: data.Task) -> None:
    rgb = task.train.inputs
    assert len(set(task.train.names)) == len(np.unique(np.round(rgb, 9), axis=0)) == len(rgb)
    np.testing.assert_array_equal(rgb[: 5**3], color.rgb_grid(5))
    for each in NAMED_COLORS.values():
        assert (np.abs(rgb - each).max(-1) < 1e-9).sum() == 1
    assert (task.weights == 1).all()


def test_extra_colours_are_targets_of_the_item_that_they_are_near_and_no_other_key_draws_the_same() -> None:
    near, other = (codes.coded_colors(part(size=4, near="blue", key=key))[-24:] for key in (0, 1))
    blue = np.array(NAMED_COLORS["blue"])
    assert selectivity.targets(hsv_similarity(near, blue)).all()
    assert set(map(tuple, near)) != set(map(tuple, other))
    assert selectivity.targets(similar(data.task(part(size=4)), "red")).sum() >= 24


def test_more_extra_colours_than_there_are_is_an_error_that_says_how_many_there_are() -> None:
    with pytest.raises(PrepeError, match=r"data\.extra: 100 colours around red; allowed: at most (\d+)") as raised:
        data.task(part(extra=100))
    most = int(str(raised.value).split("at most ")[1].split(",")[0])
    assert len(data.task(part(extra=most)).train) == len(data.task(part(extra=0)).train) + most
    with pytest.raises(PrepeError, match="at most"):
        data.task(part(extra=most + 1))


def test_codes_are_fixed_bits_by_the_key_in_the_file(task: data.Task) -> None:
    assert task.train.targets.shape == (len(task.train), 16)
    bits = np.delete(task.train.targets, task.train.names.index("#808080"), axis=0)
    assert set(np.unique(bits)) == {0, 1}
    assert abs(bits.mean() - 0.5) < 0.03
    np.testing.assert_array_equal(codes.codes(part(size=5, bits=16), task.train.inputs), task.train.targets)
    assert (codes.codes(part(size=5, bits=16, key=1), task.train.inputs) != task.train.targets).mean() > 0.4


def test_gray_says_nothing_so_that_an_ideal_deletion_is_a_guess(task: data.Task) -> None:
    gray = task.named.targets[task.named.names.index("gray")]
    assert (gray == 0.5).all()
    others = [name != "gray" for name in task.named.names]
    np.testing.assert_array_equal(data.error(gray, task.named.targets[others]), 0.25)


def test_codes_do_not_follow_from_those_of_like_colours(task: data.Task) -> None:
    """The nearest colour's code is as far as any: nothing is there to extrapolate, as it is in the task of colours."""
    reds = selectivity.targets(similar(task, "red"))
    distance = np.linalg.norm(task.train.inputs[:, None] - task.train.inputs, axis=-1) + 9 * np.eye(len(task.train))
    nearest = task.train.targets[distance.argmin(-1)]
    assert np.abs(data.error(nearest, task.train.targets)[reds].mean() - 0.5) < 0.1


def test_everything_is_measured_on_what_is_trained_on_with_the_same_codes(task: data.Task) -> None:
    assert task.validation is task.reference is task.grid is task.train
    for items in (task.named, *(ring.items for ring in task.cycles.values())):
        for x, y in zip(items.inputs, items.targets, strict=True):
            (at,) = np.flatnonzero(np.abs(task.train.inputs - x).max(-1) < 1e-9)
            np.testing.assert_array_equal(task.train.targets[at], y)
    assert list(task.cycles) == part().cycles()
    for pairs in (task.dense_errors(), task.dense_response()):
        assert len(pairs[0]) == len(pairs[1]) == len(task.train)


def test_labels_are_those_of_colours() -> None:
    label = {"concept": "redness", "rate": 0.5, "power": 2}
    labelled = data.task(part(labels={"red": label}))
    chance = labelled.label_probability["red"]
    assert chance[labelled.train.names.index("#ff0000")] == 0.5
    assert chance[labelled.train.names.index("#00ff00")] == 0
    assert labelled.validation_labels["red"].sum() == 1


def test_an_unknown_item_to_be_near_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"unknown item 'rad' .*did you mean 'red'"):
        part(near="rad")
