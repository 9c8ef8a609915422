"""How batches are drawn: their sizes, the weights of items, and what is drawn then."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from prepe import data
from prepe.catalog import DataPart, HsvCube, RgbGrid
from prepe.data import streams
from prepe.data.draw import Source

GROWING = {"opened_by": {"data-vibrancies": "vibrancy", "data-hues": "focus"}}


def source(batch_size: int = 64, **keys: Any) -> Source:
    part: DataPart = HsvCube(kind="hsv_cube", **keys)
    return Source(part, data.task(part), batch_size)


def fractions(hues: float, vibrancies: float) -> dict[str, float]:
    return {"data-hues": hues, "data-vibrancies": vibrancies}


def drawn(from_source: Source, weights: np.ndarray, members: int = 60) -> np.ndarray:
    return from_source.index(streams.uniform(list(range(members)), "items", 0, 64), weights)


def assert_as_often_as(counts: np.ndarray, expected: np.ndarray) -> None:
    """Check counts against their expectation, at one in a thousand, and that a wrong one would be noticed.

    Items that are expected less than five times are taken together.
    """
    expected = counts.sum() * expected / expected.sum()
    assert (counts[expected == 0] == 0).all()
    often, seldom = expected >= 5, (expected > 0) & (expected < 5)
    counts, expected = (np.append(each[often], each[seldom].sum()) for each in (counts, expected))
    counts, expected = counts[expected > 0], expected[expected > 0]
    limit = chi2.isf(1e-3, len(counts) - 1)
    assert ((counts - expected) ** 2 / expected).sum() < limit
    wrong = expected * np.resize([1.2, 0.8], len(expected))
    wrong = counts.sum() * wrong / wrong.sum()
    assert ((counts - wrong) ** 2 / wrong).sum() > limit


def test_an_epoch_of_3600_draws_has_56_batches_of_64_and_one_of_16_again_and_again() -> None:
    epochs, sizes = source(epoch=3600), []
    for _ in range(3 * 57):
        sizes.append(epochs.size(sum(sizes)))
    assert sizes == [*[64] * 56, 16] * 3
    assert sum(sizes) == 3 * 3600


def test_an_epoch_smaller_than_a_batch_is_a_batch() -> None:
    small = source(epoch=10)
    assert [small.size(before) for before in (0, 10, 20, 23)] == [10, 10, 10, 7]


def test_without_an_epoch_every_batch_is_whole() -> None:
    assert {source().size(before) for before in (0, 63, 3599, 10**9)} == {64}


@pytest.mark.parametrize("epoch", [None, 5])
def test_drawing_all_takes_every_item_at_every_step(epoch: int | None) -> None:
    whole = source(hues=6, saturations=(1.0,), values=(1.0,), draw="all", epoch=epoch)
    assert [whole.size(before) for before in (0, 6, 12)] == [6, 6, 6]


def test_what_opens_the_data_is_said_in_order() -> None:
    assert source(**GROWING).opened_by == ["data-hues", "data-vibrancies"]
    assert source(**GROWING).moving
    assert source().opened_by == []
    assert not source().moving


@pytest.mark.parametrize(
    ("hues", "vibrancies", "cells"), [(0, 0, 6), (0.5, 0, 30), (1, 0, 36), (1, 0.5, 2916), (1, 1, 3600)]
)
def test_two_fractions_open_the_full_cube_as_published(hues: float, vibrancies: float, cells: int) -> None:
    growing = source(**GROWING, weigh=True)
    at = fractions(hues, vibrancies)
    weights, heavy = growing.weights(at), growing.sample_weights(at)
    assert heavy is not None
    assert (weights > 0).sum() == (heavy > 0).sum() == cells
    np.testing.assert_allclose(weights, data.task(HsvCube(kind="hsv_cube")).weights * heavy)


def test_half_open_by_hues_weighs_pure_hues_by_their_focus() -> None:
    heavy = source(**GROWING, weigh=True).sample_weights(fractions(0.5, 0))
    assert heavy is not None
    np.testing.assert_allclose(heavy.reshape(36, 10, 10)[:7, -1, -1], [1, 0.75, 0.25, 0, 0.25, 0.75, 1], atol=1e-12)


def test_half_open_by_vibrancy_weighs_cells_by_it() -> None:
    heavy = source(opened_by={"f": "vibrancy"}, weigh=True).sample_weights({"f": 0.5})
    tenths = np.linspace(0, 1, 10)
    assert heavy is not None
    np.testing.assert_allclose(heavy, np.tile(np.outer(tenths, tenths).ravel(), 36), atol=1e-12)


def test_samples_weigh_alike_where_nothing_opens_the_data_and_not_at_all_without_weigh() -> None:
    heavy = source(weigh=True).sample_weights({})
    assert heavy is not None
    assert (heavy == 1).all()
    assert source(**GROWING).sample_weights(fractions(1, 1)) is None


def test_where_nothing_is_open_all_items_are_drawn_alike() -> None:
    dark = source(values=(0.1, 0.5), opened_by={"f": "vibrancy"}, weigh=True)
    assert (dark.weights({"f": 0}) == 1).all()
    heavy = dark.sample_weights({"f": 0})
    assert heavy is not None
    assert (heavy == 0).all()
    assert len(set(dark.weights({"f": 0.6}))) > 1


def test_weights_follow_the_fractions_back_and_forth_and_cannot_be_changed() -> None:
    growing = source(opened_by={"f": "vibrancy"})
    at = {f: growing.weights({"f": f}).copy() for f in (0.0, 0.3, 1.0)}
    assert not (at[0.3] == at[0.0]).all()
    for f in (1.0, 0.0, 0.3, 0.3):
        assert (growing.weights({"f": f, "lr": f}) == at[f]).all()
    with pytest.raises(ValueError, match="read-only"):
        growing.weights({"f": 0.3})[0] = 1


def test_fixed_weights_draw_what_they_always_drew() -> None:
    uniforms = streams.uniform([0, 7], "items", 3, 64)
    part = RgbGrid(kind="rgb_grid")
    task = data.task(part)
    fixed = Source(part, task, 64)
    assert (fixed.weights({}) == task.weights).all()
    index = fixed.index(uniforms, fixed.weights({}))
    assert (index == streams.weighted(uniforms, task.weights)).all()
    assert (index == (uniforms * np.float32(512)).astype(int)).all()


def test_training_colours_of_an_rgb_grid_are_drawn_uniformly() -> None:
    part = RgbGrid(kind="rgb_grid")
    uniform = Source(part, data.task(part), 64)
    counts = np.bincount(drawn(uniform, uniform.weights({}), members=4).ravel(), minlength=512)
    assert_as_often_as(counts, np.ones(512))


def test_each_colour_of_an_hsv_cube_is_drawn_as_often_as_its_bias_says() -> None:
    biased, task = source(), data.task(HsvCube(kind="hsv_cube"))
    _, group = np.unique(task.train.inputs.round(6), axis=0, return_inverse=True)  # all the blacks are one colour
    counts = np.bincount(drawn(biased, biased.weights({})).ravel(), minlength=3600)
    assert_as_often_as(np.bincount(group.ravel(), counts), np.bincount(group.ravel(), task.weights))


def test_cells_of_a_cube_without_bias_are_drawn_alike() -> None:
    even = source(bias=False)
    counts = np.bincount(drawn(even, even.weights({}), members=8).ravel(), minlength=3600)
    assert_as_often_as(counts, np.ones(3600))


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_an_opening_cube_is_drawn_by_bias_and_vibrancy(fraction: float) -> None:
    growing = source(opened_by={"f": "vibrancy"})
    tenths = np.linspace(0, 1, 10)
    vibrancy = np.outer(tenths, tenths)
    open_by = {0.0: (vibrancy == 1).astype(float), 0.5: vibrancy, 1.0: np.ones((10, 10))}[fraction]
    bias = (1 - tenths) / 360 + np.outer(1 - tenths, tenths) / 36 + vibrancy
    counts = np.bincount(drawn(growing, growing.weights({"f": fraction})).ravel(), minlength=3600)
    assert_as_often_as(counts.reshape(36, 10, 10), np.tile(open_by * bias, (36, 1, 1)))
