import numpy as np
import pytest

from prepe.figures import rgb_cube, style

COLORS = {
    name: np.array(rgb, dtype=float)
    for name, rgb in {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "cyan": (0, 1, 1)}.items()
}


@pytest.mark.parametrize("side", rgb_cube.SIDES)
def test_the_projection_is_orthonormal_and_grey_points_up(side: str) -> None:
    basis = rgb_cube.basis(side)
    assert np.allclose(basis @ basis.T, np.eye(3))
    assert np.allclose(basis @ np.ones(3), [0, 0, np.sqrt(3)])


@pytest.mark.parametrize(("side", "nearest", "green"), [("front", "red", -1), ("back", "cyan", 1)])
def test_sides_differ_in_what_is_near_and_in_handedness(side: str, nearest: str, green: int) -> None:
    seen = {name: rgb_cube.basis(side) @ color for name, color in COLORS.items()}
    assert max(seen, key=lambda name: seen[name][1]) == nearest
    assert seen["green"][0] == pytest.approx(green / np.sqrt(2))
    assert seen["red"][0] == pytest.approx(0)


def test_primaries_stand_at_a_third_and_secondaries_at_two_thirds_of_the_diagonal() -> None:
    up = rgb_cube.basis("front")[2]
    assert COLORS["red"] @ up == pytest.approx(1 / np.sqrt(3))
    assert COLORS["cyan"] @ up == pytest.approx(2 / np.sqrt(3))


@pytest.mark.parametrize("dark", [False, True])
def test_every_colour_is_a_dot_on_either_side_and_nearer_ones_come_later(dark: bool) -> None:
    with style.use(dark):
        figure = rgb_cube.draw(5)
        figure.draw_without_rendering()
    for axes, side in zip(figure.axes, rgb_cube.SIDES, strict=True):
        colors = axes.collections[0].get_facecolors()[:, :3]
        assert len(colors) == 125
        assert np.all(np.diff(colors @ rgb_cube.basis(side)[1]) > -1e-9)


def test_the_alt_text_counts_the_colours() -> None:
    assert "125 colours, 5 values a channel" in rgb_cube.alt_text(5)
