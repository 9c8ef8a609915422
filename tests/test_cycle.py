"""What the metrics of cycles, of grades and of where latents lie say of examples made for it."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from prepe.metrics import cycle, geometry

N = 12
TURNS = np.arange(N) / N
STEP = 2 * np.pi / N


def at(angles: np.ndarray, radius: float | np.ndarray = 1.0, axes: tuple[int, int] = (0, 1)) -> np.ndarray:
    """Return latents at some angles in a plane of four dimensions, `(items, 4)`."""
    latents = np.zeros((len(angles), 4))
    latents[:, axes[0]], latents[:, axes[1]] = radius * np.cos(angles), radius * np.sin(angles)
    return latents


def ring(
    latents: np.ndarray, closed: bool = True, axes: tuple[int, int] = (0, 1), turns: np.ndarray = TURNS
) -> dict[str, float]:
    return {name: float(value) for name, value in cycle.ring(latents, axes, turns, closed).items()}


WHEEL = 2 * np.pi * TURNS
PERFECT = {
    "ring_order": 1, "ring_winding": 1, "ring_spacing_rad": 0, "ring_gap_rad": STEP, "ring_line": 1, "ring_radius": 1,
    "ring_radius_min": 1, "off_plane": 0,
}  # fmt: skip


@pytest.mark.parametrize("way", [1, -1])
@pytest.mark.parametrize("turned", [0.0, 1.0, 3.5])
@pytest.mark.parametrize("axes", [(0, 1), (3, 1)])
def test_a_wheel_is_perfect_whichever_way_it_runs_and_wherever_it_begins(
    way: int, turned: float, axes: tuple[int, int]
) -> None:
    assert ring(at(way * WHEEL + turned, axes=axes), axes=axes) == pytest.approx(PERFECT, abs=1e-9)


def test_a_wheel_seen_in_another_plane_is_none() -> None:
    seen = ring(at(WHEEL), axes=(2, 3))
    assert seen["ring_winding"] == seen["ring_radius"] == seen["ring_line"] == seen["ring_order"] == 0
    assert seen["off_plane"] == pytest.approx(1)
    assert seen["ring_gap_rad"] == pytest.approx(2 * np.pi)


def test_an_item_off_its_place_is_seen_in_spacing_and_gap_alone() -> None:
    angles = WHEEL.copy()
    angles[5] += 0.3
    expected = PERFECT | {"ring_spacing_rad": 0.3, "ring_gap_rad": STEP + 0.3}
    del expected["ring_line"]
    seen = ring(at(angles))
    assert {name: seen[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert 0.99 < seen["ring_line"] < 1


def test_the_first_item_off_its_place_puts_all_others_off_theirs() -> None:
    angles = WHEEL.copy()
    angles[0] -= 0.2
    assert ring(at(angles))["ring_spacing_rad"] == pytest.approx(0.2)


def test_two_items_swapped_cost_a_step_of_the_order() -> None:
    order = np.arange(N)
    order[[4, 5]] = 5, 4
    seen = ring(at(WHEEL[order]))
    assert seen["ring_order"] == pytest.approx((N - 1) / N)
    assert seen["ring_winding"] == 1
    assert seen["ring_spacing_rad"] == pytest.approx(STEP)


def test_a_star_is_in_order_and_winds_several_times() -> None:
    seen = ring(at(5 * WHEEL))
    assert seen["ring_order"] == 1
    assert seen["ring_winding"] == 5
    assert seen["ring_gap_rad"] == pytest.approx(STEP)
    assert seen["ring_spacing_rad"] > 2


def test_a_crescent_winds_not_at_all() -> None:
    angles = np.concatenate([np.linspace(0, 2.5, 7), np.linspace(2.1, 0.4, 5)])
    seen = ring(at(angles))
    assert seen["ring_winding"] == 0
    assert seen["ring_gap_rad"] == pytest.approx(2 * np.pi - 2.5)
    assert seen["ring_order"] == pytest.approx(0.5)


def test_an_open_ring_ends_at_its_last_item() -> None:
    angles = np.linspace(0.5, 0.5 + 4.0, 9)
    seen = ring(at(angles), closed=False, turns=np.linspace(0, 4.0 / (2 * np.pi), 9))
    assert seen["ring_winding"] == pytest.approx(4.0 / (2 * np.pi))
    assert seen["ring_order"] == 1
    assert seen["ring_line"] == pytest.approx(1)
    assert seen["ring_gap_rad"] == pytest.approx(2 * np.pi - 4.0)
    assert seen["ring_spacing_rad"] == pytest.approx(0, abs=1e-9)


def test_lengths_in_and_off_the_plane_are_worked_out() -> None:
    radius = np.where(np.arange(N) == 3, 0.25, 1.0)
    latents = at(WHEEL, radius)
    latents[:, 2], latents[6, 3] = 0.5, 2.0
    seen = ring(latents)
    assert seen["ring_radius"] == pytest.approx((N - 0.75) / N)
    assert seen["ring_radius_min"] == pytest.approx(0.25)
    assert seen["off_plane"] == pytest.approx(0.25 + 4 / N)


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_hues_are_no_wheel(seed: int) -> None:
    seen = ring(at(WHEEL[np.random.default_rng(seed).permutation(N)]))
    assert seen["ring_order"] < 0.8
    assert seen["ring_spacing_rad"] > 1
    assert seen["ring_line"] < 0.99


def test_spacing_and_gap_of_any_latents_are_those_of_a_search() -> None:
    for latents in np.random.default_rng(0).normal(size=(20, N, 4)):
        angle = [math.atan2(y, x) for x, y in latents[:, :2]]

        def off(a: float) -> float:
            return min(abs(a + 2 * math.pi * k) for k in range(-4, 5))

        spacing = min(max(off(angle[i] - angle[0] - way * STEP * i) for i in range(N)) for way in (1, -1))
        ahead = [min((b - a) % (2 * math.pi) for b in angle if b != a) for a in angle]
        seen = ring(latents)
        assert seen["ring_spacing_rad"] == pytest.approx(spacing)
        assert seen["ring_gap_rad"] == pytest.approx(max(ahead))


def test_a_member_with_a_latent_that_is_no_number_has_none_and_changes_no_others() -> None:
    members = np.stack([at(WHEEL), at(WHEEL + 1), at(5 * WHEEL)])
    whole = cycle.ring(members, (0, 1), TURNS, True)
    members[1, 4, 2] = np.nan
    seen = cycle.ring(members, (0, 1), TURNS, True)
    for name, values in seen.items():
        assert np.isnan(values).tolist() == [False, True, False]
        assert values[[0, 2]].tolist() == whole[name][[0, 2]].tolist()
    assert np.isnan(cycle.graded(members, (0, 1), TURNS)["grade_radius"]).tolist() == [False, True, False]


# --- grades ----------------------------------------------------------------------------------------------------------


def test_a_grade_is_correlated_by_rank_with_lengths_in_and_off_the_plane() -> None:
    rng = np.random.default_rng(0)
    latents, grade = rng.normal(size=(3, 40, 4)), np.round(rng.random(40), 1)
    seen = cycle.graded(latents, (0, 2), grade)
    for i in range(3):
        inside, outside = (np.hypot(latents[i, :, a], latents[i, :, b]) for a, b in ((0, 2), (1, 3)))
        assert seen["grade_radius"][i] == pytest.approx(spearmanr(grade, inside).statistic)
        assert seen["grade_off_plane"][i] == pytest.approx(spearmanr(grade, outside).statistic)


def test_a_dome_has_its_brightest_at_the_rim() -> None:
    value = np.linspace(0.2, 1, 10)
    dome = at(2 * np.pi * value * 3, value)
    dome[:, 2] = np.sqrt(1 - value**2)
    seen = cycle.graded(dome, (0, 1), value)
    assert seen == {"grade_radius": pytest.approx(1), "grade_off_plane": pytest.approx(-1)}
    shuffled = cycle.graded(dome[np.random.default_rng(1).permutation(10)], (0, 1), value)
    assert abs(shuffled["grade_radius"]) < 0.8


def test_what_is_the_same_everywhere_is_not_correlated() -> None:
    seen = cycle.graded(at(WHEEL), (0, 1), TURNS)
    assert seen == {"grade_radius": 0, "grade_off_plane": 0}
    assert cycle.graded(np.random.default_rng(0).normal(size=(N, 4)), (0, 1), np.ones(N))["grade_radius"] == 0


# --- where latents lie -----------------------------------------------------------------------------------------------


def test_lengths_and_bunching_of_small_examples_are_worked_out() -> None:
    latents = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -1.0], [0.6, 0.8]])
    assert geometry.norm_mean(latents) == pytest.approx(7 / 4)
    assert geometry.norm_deviation(latents) == pytest.approx((16 + 1) / 4)
    assert geometry.bunching(latents) == pytest.approx(math.hypot(1.2, 0.6) / 4)


def test_latents_on_one_spot_are_bunched_and_those_on_a_wheel_are_not() -> None:
    assert geometry.bunching(np.tile([0.3, -0.2, 5.0], (9, 1))) == pytest.approx(1)
    assert geometry.bunching(at(WHEEL)) == pytest.approx(0, abs=1e-12)
    assert geometry.bunching(np.zeros((4, 3))) == 0


def test_latents_on_the_unit_sphere_deviate_by_nothing_however_they_lie() -> None:
    latents = np.random.default_rng(0).normal(size=(3, 50, 4))
    unit = latents / np.linalg.norm(latents, axis=-1, keepdims=True)
    np.testing.assert_allclose(geometry.norm_deviation(unit), 0, atol=1e-30)
    np.testing.assert_allclose(geometry.norm_deviation(1.5 * unit), 0.25)


def test_the_energy_off_a_plane_is_that_of_all_other_coordinates() -> None:
    latents = np.array([[1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 2.0]])
    assert geometry.off_plane(latents, (0, 2)) == pytest.approx((4 + 16 + 1 + 4) / 2)
    assert geometry.off_plane(latents, (3, 1)) == pytest.approx((1 + 9) / 2)
    assert geometry.outside(latents, (3, 1)).tolist() == [[1, 3], [0, 0]]
