"""Colour cubes: their colours, weights, checks, and what can be cut from them."""

from collections import Counter
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from prepe.catalog import HUES
from prepe.data import cyclic
from prepe.data.cube import Cube, hsv_bias

TENTHS = np.linspace(0, 1, 10)


@pytest.fixture(scope="module")
def wheel() -> Cube:
    """Twelve hues, five saturations, five values."""
    return Cube.from_hsv(np.arange(12) / 12, np.linspace(0, 1, 5), np.linspace(0, 1, 5))


@pytest.fixture(scope="module")
def full() -> Cube:
    """The cube of the published curricula."""
    return Cube.from_hsv(np.arange(36) / 36, TENTHS, TENTHS)


def test_cells_are_ordered_by_hue_then_saturation_then_value(wheel: Cube) -> None:
    assert wheel.shape == (12, 5, 5)
    assert wheel["color"].shape == (12, 5, 5, 3)
    np.testing.assert_array_equal(wheel["color"][4, 4], np.array([0, 1, 0]) * np.linspace(0, 1, 5)[:, None])
    np.testing.assert_array_equal(wheel["color"][0, :, 4, 0], 1)
    np.testing.assert_array_equal(wheel["color"][0, :, 4, 1], np.linspace(1, 0, 5))


def test_hues_wrap_and_the_rest_is_clipped_but_coordinates_stay() -> None:
    cube = Cube.from_hsv([-1 / 3, 4 / 3], [1.5], [-0.5, 2])
    np.testing.assert_allclose(cube["color"][:, 0, 1], [[0, 0, 1], [0, 1, 0]], atol=1e-12)
    assert (cube["color"][:, 0, 0] == 0).all()
    assert [axis.tolist() for axis in cube.coordinates] == [[-1 / 3, 4 / 3], [1.5], [-0.5, 2]]
    np.testing.assert_array_equal(cube["bias"], Cube.from_hsv([0, 0.5], [1], [0, 1])["bias"])


def test_a_cube_of_channels_is_the_grid_itself_with_equal_weights() -> None:
    cube = Cube.from_rgb([0, 2], [0.5], [0, 0.5, 1])
    assert cube.shape == (2, 1, 3)
    assert cube["color"][1, 0, 2].tolist() == [2, 0.5, 1]
    assert (cube["bias"] == 1).all()


def test_the_full_cube_has_3600_cells_of_2926_colours(full: Cube) -> None:
    colors = full["color"].reshape(-1, 3)
    assert len(colors) == 3600
    assert len(np.unique(colors.round(6), axis=0)) == 2926
    assert (full.vibrancy() == 1).sum() == 36


def test_the_bias_has_the_worked_values() -> None:
    bias = hsv_bias(3, np.array([1, 0.5, 0]), np.array([1, 0.5, 0])).T
    np.testing.assert_allclose(bias, [[1, 2 / 3, 1 / 3], [5 / 9, 7 / 18, 2 / 9], [1 / 9, 1 / 9, 1 / 9]])


def test_the_bias_of_a_grid_within_is_interpolated() -> None:
    quarters = np.array([0.75, 0.5, 0.25])
    expected = np.array([[47, 38, 29], [34, 28, 22], [21, 18, 15]]) / 72
    np.testing.assert_allclose(hsv_bias(3, quarters, quarters).T, expected)


def test_all_cells_of_white_together_weigh_as_much_as_a_vibrant_one_and_so_do_those_of_black(full: Cube) -> None:
    colors, bias = full["color"], full["bias"]
    white, black = (colors == 1).all(-1), (colors == 0).all(-1)
    assert bias[white][0] == pytest.approx(1 / 36)
    assert bias[black][0] == pytest.approx(1 / 360)
    assert bias[white].sum() == pytest.approx(1)
    assert bias[black].sum() == pytest.approx(1)
    assert (bias[full.vibrancy() == 1] == 1).all()


def test_the_bias_gives_each_kind_of_colour_its_published_share_of_draws(full: Cube) -> None:
    chance = full["bias"] / full["bias"].sum()
    assert chance[:, -1, -1].sum() == pytest.approx(0.039, abs=5e-4)
    assert chance[:, 0].sum() == pytest.approx(0.006, abs=5e-4)
    assert chance[:, :, 0].sum() == pytest.approx(0.001, abs=5e-4)


def test_vibrancy_is_saturation_times_value_in_a_cube_of_either_kind() -> None:
    halves = [0, 0.5, 1]
    hsv = Cube.from_hsv([0, 1 / 3, 2 / 3], halves, halves)
    np.testing.assert_array_equal(hsv.vibrancy(), np.tile(np.outer(halves, halves), (3, 1, 1)))
    rgb = Cube.from_rgb(halves, halves, halves)
    assert rgb.vibrancy()[[0, 1, 2], [0, 1, 2], [0, 1, 2]].tolist() == [0, 0, 0]
    extremes = (rgb["color"] == 0).any(-1) & (rgb["color"] == 1).any(-1)
    assert (rgb.vibrancy()[extremes] == 1).all()
    assert Counter(rgb.vibrancy().ravel().tolist()) == {0: 3, 1: int(extremes.sum()), 0.5: 27 - 3 - extremes.sum()}


def test_a_cube_of_channels_has_no_hues_to_hold_out() -> None:
    cube = Cube.from_rgb([0, 1], [0, 1], [0, 1])
    with pytest.raises(ValueError, match="without of a cube of 'rgb'"):
        cube.without(0, 0.1)


@pytest.mark.parametrize("space", ["".join(order) for order in permutations("hsv")])
def test_permuting_there_and_back_changes_nothing(wheel: Cube, space: str) -> None:
    marked = wheel.assign(pair=np.random.default_rng(0).random((12, 5, 5, 2)))
    there = marked.permute(space)
    assert there.space == space
    assert there.shape == tuple({"h": 12, "s": 5, "v": 5}[axis] for axis in space)
    assert there["pair"].shape == (*there.shape, 2)
    where = {"h": 7, "s": 3, "v": 1}
    assert (there["color"][tuple(where[axis] for axis in space)] == wheel["color"][7, 3, 1]).all()
    back = there.permute("hsv")
    assert all((back[name] == marked[name]).all() for name in marked.variables)
    assert all((a == b).all() for a, b in zip(back.coordinates, marked.coordinates, strict=True))


@pytest.mark.parametrize("space", ["rgb", "hs", "hhv", "hsvv", ""])
def test_permuting_to_other_axes_is_refused(wheel: Cube, space: str) -> None:
    with pytest.raises(ValueError, match="the letters of 'hsv'"):
        wheel.permute(space)


def test_a_name_gives_the_variable_itself(wheel: Cube) -> None:
    assert wheel["color"] is wheel.variables["color"]
    with pytest.raises(KeyError, match="allowed: color, bias"):
        wheel["colour"]


def test_slices_give_views_of_a_part_and_its_coordinates(wheel: Cube) -> None:
    part = wheel[2:5, :, 1:]
    assert part.shape == (3, 5, 4)
    assert part.coordinates[0].tolist() == [2 / 12, 3 / 12, 4 / 12]
    assert np.shares_memory(part["color"], wheel["color"])
    assert (part["bias"] == wheel["bias"][2:5, :, 1:]).all()


def test_lists_and_masks_cut_each_axis_by_itself(wheel: Cube) -> None:
    part = wheel[[0, 11], np.array([True, False, False, False, True]), [4, 0, 0]]
    assert part.shape == (2, 2, 3)
    assert part.coordinate("v").tolist() == [1, 0, 0]
    assert (part["color"][1, 1, 0] == wheel["color"][11, 4, 4]).all()


@pytest.mark.parametrize(
    "key", [(slice(None),), (slice(None),) * 2, (slice(None),) * 4, (), (0, slice(None), slice(None))]
)
def test_anything_but_three_slices_or_lists_is_refused(wheel: Cube, key: Any) -> None:
    with pytest.raises(IndexError, match="allowed: three of them"):
        wheel[key]


def test_assigning_makes_a_new_cube_and_leaves_the_old_one(wheel: Cube) -> None:
    more = wheel.assign(bias=np.zeros(wheel.shape), seen=np.ones((12, 5, 5, 2)))
    assert set(more.variables) == {"color", "bias", "seen"}
    assert (more["bias"] == 0).all()
    assert set(wheel.variables) == {"color", "bias"}
    assert (wheel["bias"] > 0).all()
    with pytest.raises(ValueError, match=r"seen has the shape \(12, 5\)"):
        wheel.assign(seen=np.ones((12, 5)))
    with pytest.raises(TypeError):
        more.variables["bias"] = np.ones(1)  # type: ignore[index]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"space": "hss"}, "space 'hss'; allowed: the letters of 'hsv'"),
        ({"canonical_space": "lab", "space": "lab"}, "canonical_space 'lab'; allowed: hsv, rgb"),
        ({"variables": {"color": np.ones((2, 1, 3, 3))}}, "'bias' is missing"),
        ({"variables": {"bias": np.ones((2, 1, 3))}}, "'color' is missing"),
        ({"variables": {"color": np.ones((2, 1, 3)), "bias": np.ones((2, 1, 3))}}, "color has the shape"),
        ({"variables": {"color": np.ones((2, 1, 3, 4)), "bias": np.ones((2, 1, 3))}}, "color has the shape"),
        ({"variables": {"color": np.ones((2, 3, 1, 3)), "bias": np.ones((2, 1, 3))}}, "color has the shape"),
        ({"variables": {"color": np.ones((2, 1, 3, 3)), "bias": np.ones((2, 1))}}, "bias has the shape"),
        ({"coordinates": (np.zeros(2), np.zeros(1))}, "three lists of numbers"),
        ({"coordinates": (np.zeros(2), np.zeros((1, 1)), np.zeros(3))}, "three lists of numbers"),
    ],
)
def test_a_cube_that_does_not_fit_together_is_refused(changes: dict[str, Any], said: str) -> None:
    fitting: dict[str, Any] = {
        "space": "hsv",
        "canonical_space": "hsv",
        "coordinates": (np.zeros(2), np.zeros(1), np.zeros(3)),
        "variables": {"color": np.ones((2, 1, 3, 3)), "bias": np.ones((2, 1, 3))},
    }
    assert Cube(**fitting).shape == (2, 1, 3)
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        Cube(**{**fitting, **changes})


@pytest.mark.parametrize("name", ["red", "yellow", "green", "cyan", "blue", "magenta"])
@pytest.mark.parametrize("space", ["hsv", "svh"])
def test_holding_out_a_hue_and_its_neighbours_leaves_nine_of_twelve(wheel: Cube, name: str, space: str) -> None:
    kept = wheel.permute(space).without(HUES[name] - 1 / 12, HUES[name] + 1 / 12).coordinate("h")
    assert len(kept) == 9
    assert not cyclic.isclose(kept, HUES[name], atol=1 / 12 + 1e-8).any()
    assert np.isclose(wheel.coordinate("h"), 0, atol=1 / 12 + 1e-8).sum() == 2, "plain closeness misses one at red"


def test_what_is_left_after_holding_out_weighs_as_a_cube_of_these_hues_alone(wheel: Cube) -> None:
    kept = wheel.assign(hue=np.broadcast_to(wheel.coordinate("h")[:, None, None], wheel.shape)).without(0.4, 0.6)
    white = (kept["color"] == 1).all(-1)
    assert kept["bias"][white].sum() == pytest.approx(1)
    assert (kept["hue"][:, 0, 0] == kept.coordinate("h")).all()
    assert wheel.without(0.01, 0.02).shape == wheel.shape
    assert wheel.without(0.01, 0.0).shape == (0, 5, 5)
