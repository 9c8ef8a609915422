"""Members by group, and what reactions brought."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from prepe.figures import comparison, reactions, strips, style
from prepe.figures.stored import Stored, of_sweep

from . import shelf

SWEEPS = Path(__file__).parents[2] / "sweeps"


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> list[Stored]:
    root = tmp_path_factory.mktemp("shelf")
    shelf.invent(root, SWEEPS / "reactions.toml", members=6, broken=(4,))
    return of_sweep(root, "reactions")[0]


def members_of(trials: list[Stored]) -> dict[str, pa.Table]:
    return {each.label: each.members for each in trials}


def titled(figure: Figure, title: str) -> Axes:
    return next(axes for axes in figure.axes if axes.get_title("left").startswith(title))


def dots(axes: Axes) -> np.ndarray:
    return np.concatenate([each.get_offsets() for each in axes.collections if isinstance(each, PathCollection)])


def table(**columns: list[float]) -> pa.Table:
    return pa.table({"seed": list(range(len(next(iter(columns.values()))))), **columns})


# --- strips -----------------------------------------------------------------------------------------------------------


def test_every_member_with_a_number_is_a_dot_at_its_value(trials: list[Stored]) -> None:
    figure = Figure(figsize=(9, 4))
    strips.draw(figure, {"": members_of(trials)}, ["recon_mse"])
    values = np.concatenate([each["recon_mse"].to_numpy() for each in members_of(trials).values()])
    assert np.allclose(np.sort(dots(figure.axes[0])[:, 0]), np.sort(values[np.isfinite(values)]))
    assert len(dots(figure.axes[0])) == 4 * 5


def test_metrics_that_say_nothing_are_left_out_but_for_order() -> None:
    same = table(recon_mse=[0.1, 0.2], ring_order=[1.0, 1.0], bunching=[0.5, 0.5], off_plane=[np.nan, np.nan])
    empty = {name: pa.array([None, None], pa.float64()) for name in strips.FIRST if name not in same.column_names}
    full = pa.table({**{name: same[name] for name in same.column_names}, **empty})
    assert strips.metrics_of({"": {"": full}}, 9) == ["recon_mse", "ring_order"]


def test_sections_stand_apart_and_every_group_is_named() -> None:
    one = table(recon_mse=[0.1, 0.2])
    figure = Figure(figsize=(9, 4))
    strips.draw(figure, {"polar": {"0": one, "1": one}, "planar": {"0": one, "1": one}}, ["recon_mse"])
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "polar = 0",
        "polar = 1",
        "planar = 0",
        "planar = 1",
    ]
    gaps = np.diff(axes.get_yticks())
    assert gaps[1] > gaps[0] == gaps[2]


def test_the_numbers_are_quartiles_and_say_how_many_members_are_missing(trials: list[Stored]) -> None:
    text = strips.says({"": members_of(trials)}, "recon_mse")
    values = members_of(trials)["fixed"]["recon_mse"].to_numpy()
    low, middle, high = np.nanquantile(values, (0.25, 0.5, 0.75))
    assert f"fixed: {middle:.3g} [{low:.3g}, {high:.3g}], 5 of 6 members" in text


@pytest.mark.parametrize(
    ("values", "scale"),
    [([0.1, 0.2], "linear"), ([1e-4, 0.1], "log"), ([1e-34, 0.1], "symlog"), ([0.0, 0.1], "linear")],
)
def test_values_far_apart_have_a_logarithmic_axis_unless_some_are_nothing_but_rounding(
    values: list[float], scale: str
) -> None:
    figure = Figure(figsize=(9, 4))
    strips.draw(figure, {"": {"": table(norm_deviation=values)}}, ["norm_deviation"])
    figure.draw_without_rendering()
    assert figure.axes[0].get_xscale() == scale


# --- the first page of a sweep ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "discs", "dark"), [(1, 3, False), (2, 4, True), (4, 4, False)])
def test_the_page_shows_latents_members_and_losses(trials: list[Stored], count: int, discs: int, dark: bool) -> None:
    some = trials[:count]
    finals = {each.label: each.snapshots for each in some if each.snapshots}
    histories = {each.label: each.history for each in some}
    arguments = ({"": members_of(some)}, finals, histories, {}, "A sweep", "Some trials.")
    with style.use(dark):
        figure = comparison.draw(*arguments)
        figure.draw_without_rendering()
    across = [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel().startswith("dimension")]
    assert len(across) == discs
    assert {"total (weighted)", "reconstruction"} <= {axes.get_title("left") for axes in figure.axes}
    text = comparison.alt_text(*arguments)
    assert "recon_mse" in text
    assert "Loss, reconstruction: " in text


def test_a_page_needs_members_alone(trials: list[Stored]) -> None:
    figure = comparison.draw({"": {"": trials[0].members}}, {}, {}, {}, "A sweep", "One trial.")
    figure.draw_without_rendering()
    assert len(dots(titled(figure, "recon_mse"))) == 5


# --- reactions --------------------------------------------------------------------------------------------------------


def test_differences_are_by_seed_and_leave_out_whoever_has_no_number() -> None:
    ours, theirs = table(recon_mse=[1.0, 2.0, np.nan, 5.0]), table(recon_mse=[0.5, 2.5, 1.0, 1.0])
    shuffled = ours.take(pa.array([3, 0, 2, 1]))
    assert np.allclose(reactions.differences(shuffled, theirs, "recon_mse"), [0.5, -0.5, 4.0])
    assert np.allclose(reactions.differences(theirs, theirs, "recon_mse"), 0)


def test_an_interval_holds_the_mean_and_narrows_with_more_seeds() -> None:
    values = np.random.default_rng(1).normal(3, 1, 400)
    few, many = (reactions.interval(values[:n]) for n in (20, 400))
    assert few[0] < values[:20].mean() < few[1]
    assert many[1] - many[0] < (few[1] - few[0]) / 2
    assert reactions.interval(values) == many


@pytest.mark.parametrize("dark", [False, True])
def test_weights_of_every_variant_and_differences_of_all_others_are_drawn(trials: list[Stored], dark: bool) -> None:
    histories = {each.label: each.history for each in trials}
    arguments = (histories, members_of(trials), ["reg-polar"], "fixed", ["recon_mse", "off_plane"], "Reactions")
    with style.use(dark):
        figure = reactions.draw(*arguments)
        figure.draw_without_rendering()
    assert len(titled(figure, "weight reg-polar").lines) == 4
    assert len(titled(figure, "times that a rule has acted").lines) == 1  # one that acts at every step is not counted
    assert len(dots(titled(figure, "recon_mse"))) == 3 * 5
    text = reactions.alt_text(*arguments)
    gaps = reactions.differences(trials[1].members, trials[0].members, "recon_mse")
    assert f"constant less fixed: mean {gaps.mean():.3g}" in text
    assert "over 5 seeds" in text
    assert "Rule release of release acted 1.00 times" in text
