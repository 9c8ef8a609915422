import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prepe.data.cube import Cube
from prepe.figures import cube, style

FIVE = np.linspace(0, 1, 5)
HSV = Cube.from_hsv(np.arange(12) / 12, FIVE, FIVE)
WIDE = Cube.from_hsv(np.arange(360) / 360, np.array([1.0]), np.array([0.9, 1.0])).without(150 / 360, 240 / 360)


def panels(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_visible()]


def laid_out(drawn: Cube, **options: np.ndarray) -> Figure:
    figure = cube.draw(drawn, "A cube", **options)
    figure.draw_without_rendering()  # a warning here is a failure
    return figure


@pytest.mark.parametrize("space", ["hsv", "svh"])
def test_every_coordinate_of_the_first_axis_has_a_panel(space: str) -> None:
    assert len(panels(laid_out(HSV.permute(space)))) == HSV.permute(space).shape[0]


@pytest.mark.parametrize("drawn", [HSV, HSV.permute("svh"), WIDE.permute("svh"), WIDE.permute("vsh")])
def test_there_are_never_more_rows_than_panels_and_no_empty_row(drawn: Cube) -> None:
    rows, columns = cube.layout(drawn)
    assert rows <= drawn.shape[0]
    assert (rows - 1) * columns < drawn.shape[0] <= rows * columns


def test_twelve_small_panels_make_two_rows_of_six() -> None:
    assert cube.layout(HSV) == (2, 6)


def test_every_cell_has_its_own_colour_in_its_own_place() -> None:
    axes = panels(laid_out(HSV))[4]  # green: saturation upwards, value to the right
    cells = axes.collections[0]
    assert axes.get_title() == "green"
    assert np.allclose(cells.get_facecolors()[:, :3], HSV["color"][4].reshape(-1, 3))
    last = cells.get_paths()[-1].get_extents()
    assert (last.x1, last.y1) == (1.125, 1.125)


def test_cells_end_half_way_between_even_coordinates() -> None:
    low, high = cube.edges(FIVE)
    assert np.allclose(high[:-1], low[1:])
    assert np.allclose(low[0], -0.125)


def test_a_band_of_hues_that_was_held_out_stays_empty() -> None:
    hues = HSV.without(5 / 12, 7 / 12).coordinate("h")
    low, high = cube.edges(hues)
    empty = low[1:] - high[:-1]
    assert np.count_nonzero(empty > 1e-9) == 1
    assert empty.max() == pytest.approx(3 / 12)


def test_a_second_colour_is_a_square_of_half_the_side() -> None:
    figure = laid_out(HSV, inner=1 - HSV["color"])
    outer, inner = panels(figure)[0].collections
    assert np.allclose(inner.get_facecolors()[:, :3], 1 - outer.get_facecolors()[:, :3])
    whole, part = (each.get_paths()[7].get_extents() for each in (outer, inner))
    assert part.width == pytest.approx(whole.width / 2)
    assert (part.x0 + part.x1) / 2 == pytest.approx((whole.x0 + whole.x1) / 2)


@pytest.mark.parametrize(
    ("axis", "value", "title"),
    [
        ("h", 0.0, "red"),
        ("h", 1 / 3, "green"),
        ("h", 0.1, "hue 1/10"),
        ("s", 1 / 12, "saturation 1/12"),
        ("v", 0.437, "value 0.437"),
        ("r", 1.0, "red 1"),
    ],
)
def test_a_panel_is_named_after_its_coordinate(axis: str, value: float, title: str) -> None:
    assert cube.panel_title(axis, value) == title


def test_hues_are_ticks_with_names_and_few_enough_to_read() -> None:
    labels = [tick.get_text() for tick in panels(laid_out(HSV.permute("svh")))[0].get_xticklabels()]
    assert labels == ["red", "green", "blue"]


@pytest.mark.parametrize("dark", [False, True])
def test_the_widest_slice_draws_in_both_looks_with_its_ends_inside(dark: bool) -> None:
    with style.use(dark):
        figure = laid_out(WIDE.permute("svh"))
    assert figure.get_tightbbox().x1 <= figure.get_figwidth() + 0.02


def test_the_alt_text_counts_cells_and_says_how_far_off_the_second_colour_is() -> None:
    text = cube.alt_text(HSV, "A cube", inner=np.clip(HSV["color"] + 0.1, 0, 1))
    assert "12 panels, one for each hue, each of 5 x 5 cells" in text
    assert "0.100 at most" in text
