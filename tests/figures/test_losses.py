from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prepe.figures import losses, style
from prepe.figures.stored import Stored, of_sweep

from . import shelf

SWEEPS = Path(__file__).parents[2] / "sweeps"


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> list[Stored]:
    root = tmp_path_factory.mktemp("shelf")
    shelf.invent(root, SWEEPS / "ex-1.6.toml", members=5)
    return of_sweep(root, "ex-1.6")[0]


@pytest.fixture(scope="module")
def histories(variants: list[Stored]) -> dict[str, pa.Table]:
    return {each.label: each.history for each in variants}


@pytest.fixture(scope="module")
def starts(variants: list[Stored]) -> dict[str, list[int]]:
    return {each.label: each.phases for each in variants}


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title("left"): axes for axes in figure.axes if axes.get_visible()}


def curves(axes: Axes) -> list[np.ndarray]:
    return [line for line in axes.lines if len(line.get_xdata()) > 3]


@pytest.mark.parametrize("dark", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_part_of_the_loss_has_a_panel_with_a_line_for_each_training(
    dark: bool, histories: dict[str, pa.Table], starts: dict[str, list[int]]
) -> None:
    with style.use(dark):
        figure = losses.draw(histories, starts, "Losses")
        figure.draw_without_rendering()
    shown = panels(figure)
    assert list(shown)[:2] == ["total (weighted)", "reconstruction"]
    assert set(list(shown)[2:]) == {"reg-anchor", "reg-norm", "reg-planar", "reg-separate"}
    assert all(len(curves(axes)) == 2 and axes.get_yscale() == "log" for axes in shown.values())


def test_lines_are_medians_over_members(histories: dict[str, pa.Table], starts: dict[str, list[int]]) -> None:
    line = curves(panels(losses.draw(histories, starts, "Losses"))["reconstruction"])[0]
    rows = histories["smooth"].filter((pa.compute.field("quantity") == "loss") & (pa.compute.field("name") == "recon"))
    assert np.allclose(line.get_ydata(), rows.sort_by("step")["median"].to_numpy())


def test_phases_that_all_have_are_lines_and_those_of_one_training_are_marks(
    histories: dict[str, pa.Table], starts: dict[str, list[int]]
) -> None:
    axes = panels(losses.draw(histories, starts, "Losses"))["reconstruction"]
    upright = {line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"}
    marks = {line.get_xdata()[0] for line in axes.lines if line.get_marker() == "v"}
    assert upright == {500, 5000}
    assert marks == {100, 300, 1000, 6500}


def test_the_alt_text_counts_members_and_says_where_losses_end(
    histories: dict[str, pa.Table], starts: dict[str, list[int]]
) -> None:
    text = losses.alt_text(histories, starts, "Losses")
    assert "Median over 5 members" in text
    assert f"smooth from {1 + 1e-4:.2g} at step 0 to {np.exp(-4) + 1e-4:.2g} at step 10000" in text
    assert "stepped phases begin at steps 100, 300, 500" in text


def test_a_running_mean_keeps_what_is_constant_and_leaves_gaps_where_nothing_is() -> None:
    values = np.full(200, 3.0)
    values[50:60] = np.nan
    assert np.allclose(losses.running_mean(values), values, equal_nan=True)


def test_a_running_mean_is_smoother_and_of_the_same_mean() -> None:
    noise = 1 + np.random.default_rng(0).normal(0, 0.3, 1000)
    smooth = losses.running_mean(noise)
    assert np.std(np.diff(smooth)) < np.std(np.diff(noise)) / 5
    assert smooth.mean() == pytest.approx(noise.mean(), abs=0.01)


def test_a_jump_at_a_phase_is_not_taken_for_roughness() -> None:
    fall = np.exp(-np.linspace(0, 5, 300))
    fall[150:] += 0.5 * np.exp(-np.linspace(0, 5, 150))
    assert not losses.rough(fall)
    assert losses.rough(fall * 10 ** np.random.default_rng(0).normal(0, 0.5, 300))


def test_a_term_that_most_members_do_not_see_is_shown_by_its_mean() -> None:
    rare = {"median": [0.0, 0.0, 0.0, 0.2], "mean": [0.1, 0.1, 0.2, 0.1]}
    assert losses.statistic_of(pa.table(rare)) == "mean"
    assert losses.statistic_of(pa.table({**rare, "median": [0.1, 0.1, 0.0, 0.2]})) == "median"
