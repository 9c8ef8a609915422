"""The random numbers that members see, and the items that they are turned into."""

from itertools import pairwise

import numpy as np
import pytest

from prepe.data import streams

CHI2_3_ONE_IN_A_THOUSAND = 16.27


def test_a_member_sees_the_same_numbers_whatever_its_company() -> None:
    alone = streams.uniform([7], "items", 3, 5)[:, 0]
    assert (streams.uniform(list(range(60)), "items", 3, 5)[:, 7] == alone).all()
    assert (streams.uniform([12, 7], "items", 3, 5)[:, 1] == alone).all()


def test_a_member_sees_the_same_numbers_in_whatever_order_chunks_are_drawn() -> None:
    forwards = [streams.uniform([7, 3], "items", chunk, 5) for chunk in range(4)]
    backwards = [streams.uniform([7, 3], "items", chunk, 5) for chunk in reversed(range(4))][::-1]
    assert all((a == b).all() for a, b in zip(forwards, backwards, strict=True))


def test_seeds_streams_and_chunks_have_numbers_of_their_own() -> None:
    keys = [(seed, stream, chunk) for seed in (0, 1, 2**40) for stream in ("items", "label:red") for chunk in (0, 1)]
    draws = {key: streams.uniform([key[0]], key[1], key[2], 8).ravel() for key in keys}
    for one, other in pairwise(draws.values()):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(len(one))
    assert len({each.tobytes() for each in draws.values()}) == len(keys)


def test_draws_are_numbers_from_zero_up_to_one() -> None:
    drawn = streams.uniform([0], "items", 0, 64)
    assert drawn.dtype == np.float32
    assert drawn.shape == (streams.CHUNK, 1, 64)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert drawn.mean() == pytest.approx(0.5, abs=4 * np.sqrt(1 / 12 / drawn.size))


@pytest.mark.parametrize("weights", [np.ones(4), np.array([1.0, 5.0, 0.0, 2.0, 0.5])], ids=["uniform", "weighted"])
def test_items_are_drawn_as_often_as_their_weights_say(weights: np.ndarray) -> None:
    drawn = streams.weighted(streams.uniform([0, 1], "items", 0, 64), weights)
    counts = np.bincount(drawn.ravel(), minlength=len(weights))
    expected = drawn.size * weights / weights.sum()
    assert (counts[weights == 0] == 0).all()
    drawable = weights > 0
    chi2 = ((counts - expected)[drawable] ** 2 / expected[drawable]).sum()
    assert chi2 < CHI2_3_ONE_IN_A_THOUSAND
    wrong = drawn.size / drawable.sum() * np.array([1.1, 0.9, 1.0, 1.0])
    assert ((counts[drawable] - wrong) ** 2 / wrong).sum() > CHI2_3_ONE_IN_A_THOUSAND


@pytest.mark.parametrize("alike", [True, False])
def test_the_ends_of_the_range_draw_the_first_and_the_last_item(alike: bool) -> None:
    ends = np.array([0.0, np.nextafter(np.float32(1), np.float32(0))], dtype=np.float32)
    for n in (2, 3, 8, 27, 343, 512, 1000, 4097, 250_047, 262_144):
        weights = np.ones(n)
        if not alike:
            weights[0] = 2.0
        assert streams.weighted(ends, weights).tolist() == [0, n - 1]


def test_an_item_without_weight_is_never_drawn() -> None:
    edges = np.array([0.0, 0.25, 0.5, 0.75], dtype=np.float32)
    assert streams.weighted(edges, np.array([0.0, 1.0, 0.0, 2.0, 1.0, 0.0])).tolist() == [1, 3, 3, 4]


@pytest.mark.parametrize("chance", [0.3, 0.08, 0.001])
def test_a_label_is_drawn_as_often_as_its_probability_says(chance: float) -> None:
    drawn = streams.uniform(list(range(8)), "label:red", 0, 64) < np.float32(chance)
    spread = np.sqrt(chance * (1 - chance) / drawn.size)
    assert abs(drawn.mean() - chance) < 4 * spread
    assert abs(drawn.mean() - 1.5 * chance) > 4 * spread
