import numpy as np
import pytest

from prepe.figures import style, transitions


@pytest.mark.parametrize(
    ("name", "quarter", "half", "three_quarters"),
    [
        ("low, at rest", 0.103516, 0.5, 0.896484),
        ("high, at rest", 1.896484, 1.5, 1.103516),
        ("low, rising", 0.657227, 0.96875, 1.010742),
        ("high, falling", 1.527344, 1.1875, 1.027344),
        ("at the target, rising fast", 1.922852, 1.78125, 1.19043),
    ],
)
def test_curves_are_the_published_ones(name: str, quarter: float, half: float, three_quarters: float) -> None:
    values = transitions.published_curves()[name][[25, 50, 75], 0]
    assert np.allclose(values, [quarter, half, three_quarters], atol=1e-6)


def test_curves_stay_at_the_target_when_they_have_arrived() -> None:
    for states in transitions.published_curves().values():
        assert np.all(states[100:] == [1, 0, 0])


def test_velocity_and_acceleration_are_by_duration() -> None:
    states = transitions.published_curves()["low, at rest"]
    assert states[:, 1].max() == pytest.approx(1.875)
    assert states[:, 2].max() == pytest.approx(5.7735, abs=0.01)


def test_the_retargeted_value_is_the_published_one() -> None:
    _, values = transitions.published_moves()
    assert np.allclose(values[[24, 39, 59]], [0.3, 0.4768, 0.5821], atol=5e-5)
    assert np.allclose(values[[109, 144, 169]], [0, 0.5, 1], atol=5e-5)
    assert values[62] > values[59]  # it keeps its momentum when the target drops to 0


@pytest.mark.parametrize("dark", [False, True])
def test_both_parts_are_drawn_with_every_curve(dark: bool) -> None:
    curves = transitions.published_curves()
    with style.use(dark):
        figure = transitions.draw(curves, 100, *transitions.published_moves())
        figure.draw_without_rendering()
    assert [axes.get_ylabel() for axes in figure.axes] == ["value", "velocity", "acceleration", "value"]
    assert [len(axes.lines) for axes in figure.axes] == [7, 7, 7, 2]


def test_the_alt_text_states_extremes_and_where_targets_change() -> None:
    text = transitions.alt_text(transitions.published_curves(), 100, *transitions.published_moves())
    assert "low, rising: starts at 0, is 0.969 half-way, lies between 0.000 and 1.013" in text
    assert "0.75 from step 40, when it is 0.483" in text
