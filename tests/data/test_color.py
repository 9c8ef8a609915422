"""Tasks of colours: their sets, weights and rings."""

from typing import Any

import numpy as np
import pytest

from prepe import data
from prepe.catalog import DATA, HUES, NAMED_COLORS, HsvCube, RgbGrid, Span
from prepe.data import color
from prepe.data.cube import Cube
from prepe.data.hsv import rgb_to_hsv
from prepe.errors import PrepeError


def cube(**keys: Any) -> HsvCube:
    return HsvCube(kind="hsv_cube", **keys)


def grid(**keys: Any) -> RgbGrid:
    return RgbGrid(kind="rgb_grid", **keys)


PARTS = [grid(), cube()]
HELD_OUT = cube(hues=360, saturations=(1.0,), values=(0.9, 1.0), without=("teal", "blue"), validation="train")


@pytest.fixture(scope="module")
def task() -> data.Task:
    return data.task(grid(size=8))


@pytest.mark.parametrize("kind", DATA)
def test_every_kind_of_data_makes_the_task_that_its_entry_in_the_catalog_promises(kind: str) -> None:
    part = DATA[kind](kind=kind)
    task = data.task(part)
    assert task.named.names == part.items()
    assert list(task.similarities) == part.similarities()
    assert set(part.grades()) <= set(task.grades)
    assert set(task.cycles) == set(part.cycles())
    for items in (task.train, task.validation, task.reference, task.grid, task.named):
        assert items.inputs.shape == (len(items.names), 3)
        assert items.targets.shape == (len(items.names), task.train.targets.shape[1])
        assert items.inputs.dtype == np.float64
    assert (task.train.targets is task.train.inputs) == (kind != "rgb_codes")  # what is reconstructed
    assert len(task.weights) == len(task.train)


def test_equal_parts_have_one_task_between_them_and_others_their_own() -> None:
    one = cube(opened_by={"more": "vibrancy"}, without=("red", 0.2))
    assert data.task(one) is data.task(cube(opened_by={"more": "vibrancy"}, without=("red", 0.2)))
    assert data.task(one) is not data.task(cube(opened_by={"more": "vibrancy"}, without=("red", 0.3)))
    assert len(data.task(grid(size=3)).train) == 27


def test_the_seventeen_named_colours_are_a_wheel_and_five_greys(task: data.Task) -> None:
    names = task.named.names
    assert names == list(NAMED_COLORS)
    assert len(names) == 17
    hue, saturation, value = rgb_to_hsv(task.named.inputs).T
    np.testing.assert_allclose(hue[:12], np.arange(12) / 12)
    assert (saturation[:12] == 1).all()
    assert (value[:12] == 1).all()
    assert (saturation[12:] == 0).all()
    assert value[12:].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert task.item("light gray").tolist() == [0.75, 0.75, 0.75]


def test_the_colours_of_an_rgb_grid_are_a_lattice_drawn_uniformly(task: data.Task) -> None:
    assert len(task.train) == len(np.unique(task.train.inputs, axis=0)) == 8**3
    np.testing.assert_allclose(np.unique(task.train.inputs), np.arange(8) / 7)
    assert (task.weights == task.weights[0]).all()


def test_the_validation_colours_of_an_rgb_grid_are_a_lattice_within_and_the_corners(task: data.Task) -> None:
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


def test_an_hsv_cube_is_trained_with_its_bias_and_measured_on_an_rgb_grid() -> None:
    tenths = np.linspace(0, 1, 10)
    expected = Cube.from_hsv(np.arange(36) / 36, tenths, tenths)
    task = data.task(cube())
    assert (task.train.inputs == expected["color"].reshape(-1, 3)).all()
    assert (task.weights == expected["bias"].ravel()).all()
    assert (data.task(cube(bias=False)).weights == 1).all()
    assert (task.validation.inputs == color.rgb_grid(8)).all()
    assert (task.reference.inputs == color.rgb_grid(8)).all()
    assert len(task.grid) == 16**3


def test_validation_is_on_the_lattice_or_the_training_set_that_is_asked_for() -> None:
    ten = data.task(cube(validation=10))
    assert len(ten.validation) == len(ten.reference) == 1000
    same = data.task(cube(hues=12, validation="train"))
    assert (same.validation.inputs == same.train.inputs).all()
    assert (same.reference.inputs == color.rgb_grid(8)).all()


def test_a_band_held_out_with_both_its_ends_leaves_538_colours() -> None:
    rgb = data.task(HELD_OUT).train.inputs
    assert len(rgb) == 269 * 2
    np.testing.assert_allclose(rgb[:3], [[0.9, 0, 0], [1, 0, 0], [0.9, 0.015, 0]], atol=1e-12)
    degrees = rgb_to_hsv(rgb)[:, 0] * 360
    assert not ((degrees > 149.5) & (degrees < 240.5)).any()
    in_turns = data.task(HELD_OUT.model_copy(update={"without": (150 / 360, 240 / 360)}))
    assert (in_turns.train.inputs == rgb).all()


def test_a_band_may_run_past_red_and_must_leave_a_hue() -> None:
    kept = data.task(cube(hues=12, without=("pink", "orange"), saturations=(1.0,), values=(1.0,))).train
    assert len(kept) == 9
    assert "#ff0000" not in kept.names
    with pytest.raises(PrepeError, match=r"data\.without: \['red', 0\.99\] leaves no hue; allowed: "):
        data.task(cube(hues=12, without=("red", 0.99)))


def test_coordinates_may_be_a_count_a_list_or_a_span() -> None:
    part = cube(hues=(0.0, 0.5), saturations=Span(first=0.2, last=1.0, n=3), values=2)
    hsv = rgb_to_hsv(data.task(part).train.inputs).reshape(2, 3, 2, 3)
    np.testing.assert_allclose(hsv[1, :, 1], [[0.5, 0.2, 1], [0.5, 0.6, 1], [0.5, 1, 1]])
    assert hsv[0, 0, :, 2].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("phase", "points"),
    [({"hues": 12, "values": (1.0,)}, 12), ({"values": (1.0,)}, 360), ({"values": (0.9, 1.0)}, 720),
     ({"values": (0.8, 0.9, 1.0)}, 1080), ({"values": Span(first=0.2, last=1.0, n=10)}, 3600)],
)  # fmt: skip
def test_the_five_published_enlargements_have_their_sizes(phase: dict[str, Any], points: int) -> None:
    assert len(data.task(cube(**({"hues": 360, "saturations": (1.0,)} | phase))).train) == points


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.kind)
def test_the_wheels_are_closed_rings_of_pure_hues_in_order(part: RgbGrid | HsvCube) -> None:
    for name, n in (("hues", 12), ("primaries", 6), ("hues36", 36)):
        ring = data.task(part).cycles[name]
        assert ring.closed
        assert len(ring.items) == len(ring.turns) == n
        np.testing.assert_allclose(ring.turns, np.arange(n) / n)
        np.testing.assert_allclose(rgb_to_hsv(ring.items.inputs), [[turn, 1, 1] for turn in ring.turns], atol=1e-12)
    assert data.task(part).cycles["hues"].items.names == list(HUES)
    assert data.task(part).cycles["primaries"].items.names == ["red", "yellow", "green", "cyan", "blue", "magenta"]


def test_the_trained_hues_of_a_whole_cube_are_a_closed_ring_from_red_on() -> None:
    ring = data.task(cube()).cycles["trained_hues"]
    assert ring.closed
    np.testing.assert_allclose(ring.turns, np.arange(36) / 36, atol=1e-9)
    np.testing.assert_array_equal(rgb_to_hsv(ring.items.inputs)[:, 1:], 1)


def test_curves_go_once_around_the_hues_and_a_twelfth_further_on_either_side() -> None:
    view = data.task(grid()).views["curves"]
    at = np.array([[float(each) for each in name.split(",")] for name in view.names])
    assert len(set(view.names)) == len(view) == 150 * 5
    assert (at[:, 0].min(), at[:, 0].max(), set(at[:, 1])) == (-30, 390, {1.0})
    np.testing.assert_allclose(sorted(set(at[:, 2])), np.array([3, 8, 13, 18, 23]) / 23, atol=5e-4)
    hue = color.rgb_to_hsv(view.inputs)[:, 0]
    turn = np.abs(hue - at[:, 0] / 360 % 1)
    assert np.minimum(turn, 1 - turn).max() < 1e-5


def test_the_trained_hues_of_an_rgb_grid_are_those_on_its_edge() -> None:
    ring = data.task(grid(size=4)).cycles["trained_hues"]
    assert ring.closed
    np.testing.assert_allclose(ring.turns, np.arange(18) / 18, atol=1e-9)


def test_the_trained_hues_begin_just_after_the_band_that_was_held_out() -> None:
    ring = data.task(HELD_OUT).cycles["trained_hues"]
    assert not ring.closed
    assert len(ring.items) == 269
    np.testing.assert_allclose(ring.turns * 360, np.arange(241, 241 + 269), atol=1e-6)
    np.testing.assert_allclose(rgb_to_hsv(ring.items.inputs)[:, 0], ring.turns % 1, atol=1e-9)
    assert (ring.items.inputs.max(-1) == 1).all()


@pytest.mark.parametrize(("factor", "closed"), [(1.45, True), (1.55, False)])
def test_a_ring_is_open_where_its_largest_gap_is_half_again_the_median(factor: float, closed: bool) -> None:
    gap = 1 / (11 + factor)
    hues = tuple((0.3 + gap * i) % 1 for i in range(12))
    ring = data.task(cube(hues=hues, saturations=(0.5, 1.0), values=(0.4, 0.7))).cycles["trained_hues"]
    assert ring.closed == closed
    np.testing.assert_allclose(ring.turns, 0.3 + gap * np.arange(12))
    np.testing.assert_allclose(rgb_to_hsv(ring.items.inputs)[:, 1:], [[1, 0.7]] * 12)


def test_a_lone_hue_is_no_closed_ring() -> None:
    ring = data.task(cube(hues=1)).cycles["trained_hues"]
    assert ring.items.names == ["#ff0000"]
    assert not ring.closed


def test_error_is_the_mean_over_channels() -> None:
    outputs = np.array([[[0.0, 0.5, 1.0], [1.0, 1.0, 1.0]]])
    assert data.error(outputs, np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])).tolist() == [[1.25 / 3, 0]]
