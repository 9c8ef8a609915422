"""Conversions, grades and likeness of colours, and how a fraction opens data by a grade."""

import colorsys

import numpy as np
import pytest

from prepe.catalog import HUES, NAMED_COLORS, HsvCube
from prepe.data.color import rgb_grid
from prepe.data.cube import Cube
from prepe.data.grades import GRADES, of_hue, redness, vibrancy
from prepe.data.hsv import hsv_to_rgb, rgb_to_hsv
from prepe.data.levels import levels, opened
from prepe.data.similarity import hsv_similarity, lab_similarity

RED = np.array([1.0, 0.0, 0.0])
SOME = np.concatenate([rgb_grid(9), np.random.default_rng(0).random((500, 3)), list(NAMED_COLORS.values())])


def test_hue_saturation_and_value_are_those_of_the_standard_library() -> None:
    np.testing.assert_allclose(rgb_to_hsv(SOME), [colorsys.rgb_to_hsv(*each) for each in SOME], atol=1e-14)


def test_colours_of_hue_saturation_and_value_are_those_of_the_standard_library() -> None:
    np.testing.assert_allclose(hsv_to_rgb(SOME), [colorsys.hsv_to_rgb(*each) for each in SOME], atol=1e-14)
    np.testing.assert_allclose(hsv_to_rgb(rgb_to_hsv(SOME)), SOME, atol=1e-14)


def test_the_six_pure_hues_are_exact() -> None:
    hues = np.arange(0, 360, 60) / 360
    pure = hsv_to_rgb(np.stack([hues, np.ones(6), np.ones(6)], axis=-1))
    assert pure.tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1]]


def test_hue_is_cyclic() -> None:
    np.testing.assert_allclose(hsv_to_rgb(np.array([[1.25, 1, 1], [-0.75, 1, 1]])), [[0.5, 1, 0]] * 2, atol=1e-14)


def test_a_grey_has_neither_hue_nor_saturation() -> None:
    greys = np.linspace(0, 1, 7)[:, None] * np.ones(3)
    assert (rgb_to_hsv(greys)[:, :2] == 0).all()
    np.testing.assert_array_equal(hsv_to_rgb(rgb_to_hsv(greys)), greys)


def test_redness_and_vibrancy_have_the_worked_values() -> None:
    rgb = np.array([NAMED_COLORS[name] for name in ("red", "orange", "yellow", "white", "gray", "cyan")])
    np.testing.assert_allclose(redness(rgb), [1, 0.75, 0.5, 0, 0.25, 0])
    np.testing.assert_allclose(vibrancy(rgb), [1, 1, 1, 0, 0, 1])
    np.testing.assert_allclose(GRADES["desaturated"](rgb), [0, 0, 0, 1, 1, 0])


def test_vibrancy_is_saturation_times_value() -> None:
    np.testing.assert_allclose(vibrancy(SOME), GRADES["saturation"](SOME) * GRADES["value"](SOME), atol=1e-15)


def test_focus_is_one_at_primary_and_secondary_hues_and_nothing_half_way() -> None:
    hues = np.arange(0, 70, 10) / 360
    rgb = hsv_to_rgb(np.stack([hues, np.full(7, 0.7), np.full(7, 0.3)], axis=-1))
    np.testing.assert_allclose(GRADES["focus"](rgb), [1, 0.75, 0.25, 0, 0.25, 0.75, 1], atol=1e-12)


@pytest.mark.parametrize("name", GRADES)
def test_every_grade_lies_between_zero_and_one(name: str) -> None:
    grade = GRADES[name](SOME)
    assert grade.shape == (len(SOME),)
    assert 0 <= grade.min() < grade.max() <= 1


def test_the_catalogs_grades_are_all_there() -> None:
    assert set(HsvCube.grades()) <= set(GRADES)


@pytest.mark.parametrize("name", HUES)
def test_the_grade_of_a_hue_is_one_at_the_pure_colour_alone(name: str) -> None:
    grade = of_hue(HUES[name])
    assert grade(np.array(NAMED_COLORS[name])) == 1
    others = grade(SOME[(NAMED_COLORS[name] != SOME).any(-1)])
    assert 0 <= others.min() <= others.max() < 1


@pytest.mark.parametrize("name", HUES)
def test_the_grade_of_a_hue_falls_with_distance_in_hue_saturation_and_value(name: str) -> None:
    grade, falling = of_hue(HUES[name]), np.linspace(1, 0, 11)
    for sign in (1, -1):
        turned = hsv_to_rgb(np.stack([HUES[name] + sign * np.arange(13) / 36, np.ones(13), np.ones(13)], axis=-1))
        assert (np.diff(grade(turned)) < 0).all()
    for pale in (np.array([HUES[name], 1, 1]) * np.stack([np.ones(11), falling, np.ones(11)], axis=-1),):
        assert (np.diff(grade(hsv_to_rgb(pale))) < 0).all()
    dark = hsv_to_rgb(np.stack([np.full(11, HUES[name]), np.ones(11), falling], axis=-1))
    assert (np.diff(grade(dark)) < 0).all()


def test_the_grade_of_red_is_redness_and_that_of_another_hue_the_redness_of_turned_colours() -> None:
    np.testing.assert_allclose(of_hue(0)(SOME), redness(SOME), atol=1e-12)
    turned = hsv_to_rgb(rgb_to_hsv(SOME) - np.array([HUES["azure"], 0, 0]))
    np.testing.assert_allclose(of_hue(HUES["azure"])(SOME), redness(turned), atol=1e-12)
    np.testing.assert_allclose(of_hue(HUES["blue"])(SOME), redness(SOME[:, ::-1]), atol=1e-12)


def test_levels_have_the_worked_values() -> None:
    x = np.array([-0.5, 0, 0.5, 1, 1.5])
    assert levels(x, out_high=10).tolist() == [0, 0, 5, 10, 10]
    assert levels(x, out_high=10, clamp=False).tolist() == [-5, 0, 5, 10, 15]


def test_levels_may_be_inverted_or_empty() -> None:
    x = np.array([0.0, 0.25, 1.0])
    np.testing.assert_allclose(levels(x, in_low=1, in_high=0), [1, 0.75, 0])
    np.testing.assert_allclose(levels(x, out_low=4, out_high=2), [4, 3.5, 2])
    assert levels(x, in_low=0.3, in_high=0.3, out_low=2, out_high=4).tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("fraction", "cells", "mean"),
    [(0, 36, 0.01), (0.25, 612, 0.0666), (0.5, 2916, 0.25), (0.75, 3600, 0.625), (1, 3600, 1)],
)
def test_a_fraction_opens_the_full_cube_by_vibrancy_as_published(fraction: float, cells: int, mean: float) -> None:
    tenths = np.linspace(0, 1, 10)
    grade = Cube.from_hsv(np.arange(36) / 36, tenths, tenths).vibrancy()
    weight = opened(grade, fraction)
    assert (weight > 0).sum() == cells
    assert weight.mean() == pytest.approx(mean, abs=5e-5)
    assert (weight[grade == 1] == 1).all()


def test_half_open_weights_are_the_grade_itself_and_more_never_weigh_less() -> None:
    grade = np.linspace(0, 1, 101)
    np.testing.assert_array_equal(opened(grade, 0.5), grade)
    weights = np.array([opened(grade, fraction) for fraction in np.linspace(0, 1, 21)])
    assert (np.diff(weights, axis=0) >= 0).all()
    assert (opened(grade, 1.5) == 1).all()


@pytest.mark.parametrize(
    ("name", "similarity"),
    [
        ("red", 1.0), ("orange", 2 / 3), ("pink", 2 / 3), ("yellow", 1 / 3), ("magenta", 1 / 3),
        ("lime", 0.0), ("green", 0.0), ("teal", 0.0), ("cyan", 0.0), ("azure", 0.0), ("blue", 0.0), ("purple", 0.0),
        ("black", 0.0), ("dark gray", 0.0), ("gray", 0.0), ("light gray", 0.0), ("white", 0.0),
    ],
)  # fmt: skip
def test_likeness_to_red_has_the_worked_values(name: str, similarity: float) -> None:
    assert hsv_similarity(np.array(NAMED_COLORS[name]), RED) == pytest.approx(similarity, abs=1e-15)


def test_likeness_to_red_of_dark_colours_has_the_worked_values() -> None:
    dark = np.array([[0.5, 0.0, 0.0], [0.0, 0.5, 0.5]])
    np.testing.assert_allclose(hsv_similarity(dark, RED), [0.5, 0.125])


@pytest.mark.parametrize("similarity", [hsv_similarity, lab_similarity])
def test_no_colour_is_more_like_an_anchor_than_the_anchor_itself(similarity) -> None:
    grid = rgb_grid(5)
    for i, anchor in enumerate(grid):
        likeness = similarity(grid, anchor)
        assert likeness.min() >= 0
        assert likeness[i] == pytest.approx(1)
        assert likeness.max() <= 1 + 1e-15
