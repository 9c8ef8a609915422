"""Colours, concepts, labels and the random numbers that members see."""

import colorsys
from itertools import pairwise

import numpy as np
import pytest

from prepe import data
from prepe.catalog import DATA, NAMED_COLORS, Label, RgbGrid
from prepe.data import color, streams

RED = np.array([1.0, 0.0, 0.0])
LABELS = {  # of experiments 2.4.1 and 2.7.1
    "red": Label(concept="redness", power=8, rate=0.08),
    "vibrant": Label(concept="vibrancy", power=10, rate=0.01),
    "vivid": Label(concept="vibrancy", power=8, rate=0.008),
}
CHI2_511_ONE_IN_A_THOUSAND = 615.5
CHI2_3_ONE_IN_A_THOUSAND = 16.27


@pytest.fixture(scope="module")
def task() -> data.Task:
    return data.task(RgbGrid(kind="rgb_grid", size=8, labels=LABELS))


def test_every_kind_of_data_in_the_catalog_makes_a_task() -> None:
    for kind, part in DATA.items():
        assert len(data.task(part(kind=kind)).train) > 0


@pytest.mark.parametrize(
    ("name", "similarity"),
    [
        ("red", 1.0), ("orange", 2 / 3), ("pink", 2 / 3), ("yellow", 1 / 3), ("magenta", 1 / 3),
        ("lime", 0.0), ("green", 0.0), ("teal", 0.0), ("cyan", 0.0), ("azure", 0.0), ("blue", 0.0), ("purple", 0.0),
        ("black", 0.0), ("dark gray", 0.0), ("gray", 0.0), ("light gray", 0.0), ("white", 0.0),
    ],
)  # fmt: skip
def test_likeness_to_red_has_the_worked_values(name: str, similarity: float) -> None:
    assert color.hsv_similarity(np.array(NAMED_COLORS[name]), RED) == pytest.approx(similarity, abs=1e-15)


def test_likeness_to_red_of_dark_colours_has_the_worked_values() -> None:
    dark = np.array([[0.5, 0.0, 0.0], [0.0, 0.5, 0.5]])
    np.testing.assert_allclose(color.hsv_similarity(dark, RED), [0.5, 0.125])


def test_no_colour_is_more_like_an_anchor_than_the_anchor_itself() -> None:
    grid = color.rgb_grid(5)
    for i, anchor in enumerate(grid):
        likeness = color.hsv_similarity(grid, anchor)
        assert likeness.min() >= 0
        assert likeness[i] == pytest.approx(1)
        assert likeness.max() <= 1 + 1e-15


def test_hue_saturation_and_value_are_those_of_the_standard_library() -> None:
    rgb = np.concatenate([color.rgb_grid(9), np.random.default_rng(0).random((500, 3)), list(NAMED_COLORS.values())])
    expected = np.array([colorsys.rgb_to_hsv(*each) for each in rgb])
    np.testing.assert_allclose(color.rgb_to_hsv(rgb), expected, atol=1e-14)


def test_a_grey_has_neither_hue_nor_saturation() -> None:
    greys = np.linspace(0, 1, 7)[:, None] * np.ones(3)
    assert (color.rgb_to_hsv(greys)[:, :2] == 0).all()


def test_redness_and_vibrancy_have_the_worked_values() -> None:
    rgb = np.array([NAMED_COLORS[name] for name in ("red", "orange", "yellow", "white", "gray", "cyan")])
    np.testing.assert_allclose(color.redness(rgb), [1, 0.75, 0.5, 0, 0.25, 0])
    np.testing.assert_allclose(color.vibrancy(rgb), [1, 1, 1, 0, 0, 1])


def test_vibrancy_is_saturation_times_value() -> None:
    rgb = np.random.default_rng(0).random((200, 3))
    _, saturation, value = color.rgb_to_hsv(rgb).T
    np.testing.assert_allclose(color.vibrancy(rgb), saturation * value)


def test_the_seventeen_named_colours_are_a_wheel_and_five_greys(task: data.Task) -> None:
    names = task.named.names
    assert names == list(NAMED_COLORS)
    assert len(names) == 17
    hue, saturation, value = color.rgb_to_hsv(task.named.inputs).T
    np.testing.assert_allclose(hue[:12], np.arange(12) / 12)
    assert (saturation[:12] == 1).all()
    assert (value[:12] == 1).all()
    assert (saturation[12:] == 0).all()
    assert value[12:].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert task.item("light gray").tolist() == [0.75, 0.75, 0.75]


def test_the_training_colours_are_a_lattice_drawn_uniformly(task: data.Task) -> None:
    assert len(task.train) == len(np.unique(task.train.inputs, axis=0)) == 8**3
    np.testing.assert_allclose(np.unique(task.train.inputs), np.arange(8) / 7)
    assert (task.weights == task.weights[0]).all()
    assert task.train.targets is task.train.inputs


def test_the_validation_colours_are_a_lattice_within_and_the_corners(task: data.Task) -> None:
    rgb = task.validation.inputs
    assert len(rgb) == 351
    np.testing.assert_allclose(np.unique(rgb[:343]), 1 / 16 + 7 / 48 * np.arange(7))
    assert len(np.unique(rgb, axis=0)) == 351
    assert set(map(tuple, rgb[343:])) == {(r, g, b) for r in (0, 1) for g in (0, 1) for b in (0, 1)}


def test_the_selectivity_grid_shares_only_the_corners_with_the_training_grid(task: data.Task) -> None:
    assert len(task.grid) == 16**3
    shared = set(map(tuple, task.grid.inputs)) & set(map(tuple, task.train.inputs))
    assert shared == set(map(tuple, color.rgb_grid(2)))
    assert (task.reference.inputs == color.rgb_grid(8)).all()


def test_every_item_of_a_set_has_its_own_name(task: data.Task) -> None:
    for items in (task.train, task.validation, task.reference, task.grid, task.named):
        assert len(set(items.names)) == len(items)
    assert task.reference.names[-1] == "#ffffff"


def test_label_probabilities_have_the_worked_means(task: data.Task) -> None:
    means = {name: chance.mean() for name, chance in task.label_probability.items()}
    assert means["red"] == pytest.approx(8.99e-4, abs=5e-7)
    assert means["vibrant"] == pytest.approx(1.189e-3, abs=5e-7)
    assert means["vivid"] == pytest.approx(1.098e-3, abs=5e-7)


def test_pure_red_is_labelled_most_often(task: data.Task) -> None:
    chance = task.label_probability["red"]
    assert chance.max() == pytest.approx(0.08)
    assert task.train.inputs[chance.argmax()].tolist() == [1, 0, 0]


def test_validation_labels_are_exact_prototypes(task: data.Task) -> None:
    labelled = {name: task.validation.inputs[values == 1] for name, values in task.validation_labels.items()}
    assert labelled["red"].tolist() == [[1, 0, 0]]
    assert sorted(labelled["vibrant"].sum(-1)) == [1, 1, 1, 2, 2, 2]
    assert all(set(np.unique(values)) == {0, 1} for values in task.validation_labels.values())


def test_the_label_rate_counts_a_draw_with_two_labels_once(task: data.Task) -> None:
    chances = np.array(list(task.label_probability.values()))
    assert task.label_rate() == pytest.approx((1 - np.prod(1 - chances, axis=0)).mean())
    assert chances.mean(1).max() < task.label_rate() < chances.mean(1).sum()
    assert data.task(RgbGrid(kind="rgb_grid")).label_rate() == 0


def test_error_is_the_mean_over_channels() -> None:
    outputs = np.array([[[0.0, 0.5, 1.0], [1.0, 1.0, 1.0]]])
    assert data.error(outputs, np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])).tolist() == [[1.25 / 3, 0]]


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


def test_training_colours_are_drawn_uniformly(task: data.Task) -> None:
    drawn = streams.weighted(streams.uniform([0, 1, 2, 3], "items", 0, 64), task.weights)
    counts = np.bincount(drawn.ravel(), minlength=512)
    expected = drawn.size / 512
    assert ((counts - expected) ** 2 / expected).sum() < CHI2_511_ONE_IN_A_THOUSAND


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
