"""Snapshots as arrays, and the figures that show them."""

from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prepe import sweep, timeline
from prepe.catalog import HsvCube
from prepe.data.hsv import hsv_to_rgb
from prepe.figures import combinations, disc, latent_history, phase_history, snapshots, style
from prepe.figures.phase_history import End
from prepe.figures.snapshots import Snapshots
from prepe.store.schema import SCHEMAS

from . import shelf

SWEEPS = Path(__file__).parents[2] / "sweeps"


def invented(dim: int = 4, steps: int = 12) -> Snapshots:
    """Return snapshots at every hundredth step, of a lattice of colours."""
    at = list(range(0, 100 * steps, 100))
    latents = np.stack([shelf.latents_at(step, at[-1], dim) for step in at])
    return Snapshots(3, at, shelf.LATTICE, latents, np.repeat(shelf.LATTICE[None], steps, 0), shelf.LATTICE)


def discs(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_visible() and axes.collections]


def rows_of(shown: Snapshots, seed: int = 3, block: str = "0-3") -> list[dict[str, object]]:
    key = {"model": "m", "block": block, "seed": seed}
    return [
        key | {"step": step, "item": f"{i}", "x": x, "y": shown.outputs[k, i], "latent": shown.latents[k, i]}
        for k, step in enumerate(shown.steps)
        for i, x in enumerate(shown.inputs)
    ]


def table(rows: list[dict[str, object]]) -> pa.Table:
    schema = SCHEMAS["snapshots"]
    return pa.table({name: pa.array([row[name] for row in rows], schema.field(name).type) for name in schema.names})


# --- which are shown --------------------------------------------------------------------------------------------------


def test_thumbnails_are_the_published_ones() -> None:
    every_200 = list(range(0, 10001, 200))
    assert snapshots.thumbnails(every_200) == [0, 200, 800, 1400, 2000, 2800, 3800, 5000, 6400, 8000]


@pytest.mark.parametrize("n", [0, 1, 2, 9, 10, 51, 1000])
def test_thumbnails_are_some_of_the_steps_in_order_each_once_and_the_first_is_among_them(n: int) -> None:
    steps = list(range(0, 7 * n, 7))
    shown = snapshots.thumbnails(steps)
    assert shown == sorted(set(shown))
    assert set(shown) <= set(steps)
    assert shown[:1] == steps[:1]
    assert len(shown) <= 10


def test_rows_come_to_the_same_arrays_in_whatever_order() -> None:
    shown = invented(steps=3)
    rows = rows_of(shown)
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    read, again = (snapshots.read(table(each)) for each in (rows, shuffled))
    assert read is not None
    assert again is not None
    assert read.steps == shown.steps
    assert np.allclose(read.latents, shown.latents, atol=1e-6)
    by_color = [np.lexsort(each.inputs.T) for each in (read, again)]
    assert np.array_equal(read.latents[:, by_color[0]], again.latents[:, by_color[1]])


def test_one_member_of_one_block_is_read() -> None:
    shown = invented(steps=2)
    rows = rows_of(shown, 5) + rows_of(shown, 3, "0-3") + rows_of(shown, 3, "3-9")
    first = snapshots.read(table(rows))
    assert first is not None
    assert (first.seed, len(first.inputs), first.steps) == (3, 64, [0, 100])
    assert snapshots.read(table(rows), seed=4) is None
    assert snapshots.read(SCHEMAS["snapshots"].empty_table()) is None


def test_hues_that_were_held_out_are_not_among_what_was_trained_on() -> None:
    part = sweep.load(SWEEPS / "ex-1.2.toml").trial({"variant": "explicit"}).training.data
    hues = np.arange(0, 1, 1 / 72)
    pure = hsv_to_rgb(np.stack([hues, np.ones(72), np.ones(72)], axis=-1))
    mask = snapshots.covered(pure, part)
    assert not mask[(hues > 151 / 360) & (hues < 239 / 360)].any()
    assert mask[(hues < 149 / 360) | (hues > 241 / 360)].all()
    assert not snapshots.covered(np.array([[0.5, 0.5, 0.5], [0.4, 0, 0], [1, 0.5, 0.5]]), part).any()


def test_a_whole_cube_covers_every_colour() -> None:
    assert snapshots.covered(shelf.LATTICE, HsvCube(kind="hsv_cube")).all()


def test_a_phase_of_pure_hues_covers_pure_hues_alone() -> None:
    training = sweep.load(SWEEPS / "ex-1.6.toml").trial({"variant": "smooth"}).training
    mask = snapshots.covered(shelf.LATTICE, training.phase_data("Primary & secondary"))
    assert np.array_equal(mask, (shelf.LATTICE.min(-1) == 0) & (shelf.LATTICE.max(-1) == 1))


# --- a disc -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 7])
def test_views_are_pairs_of_dimensions_that_there_are_and_the_first_points_up(dim: int) -> None:
    views = snapshots.pairs(dim)
    assert len(views) == (3 if dim > 2 else 1)
    assert len(set(views)) == len(views)
    assert all(max(view) < dim for view in views)
    assert views[0][1] == 0
    assert all(snapshots.depth_of(dim, view) not in view for view in views)


def test_nearer_dots_are_drawn_over_others_each_in_its_own_colour() -> None:
    latents = shelf.latents_at(1, 1, 4)
    dots = disc.draw(Figure().subplots(), latents, (1, 3), shelf.LATTICE, 1.2)
    order = np.argsort(latents[:, 0], kind="stable")
    assert np.allclose(dots.get_offsets(), latents[order][:, [1, 3]])
    assert np.allclose(dots.get_facecolors()[:, :3], shelf.LATTICE[order])


def test_a_view_holds_the_disc_and_nearly_all_latents() -> None:
    assert disc.reach(np.zeros((5, 4))) > 1
    far = shelf.latents_at(1, 1, 4) * 5
    assert np.mean(np.abs(far) < disc.reach(far)) > 0.99


# --- the history of latents -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dim", "views", "dark"), [(2, 1, False), (3, 3, True), (4, 3, False)])
def test_the_last_step_is_large_and_earlier_ones_small(dim: int, views: int, dark: bool) -> None:
    shown = invented(dim)
    with style.use(dark):
        figure = latent_history.draw(shown, "Latents")
        figure.draw_without_rendering()
    shown_steps = snapshots.thumbnails(shown.steps[:-1])
    drawn = discs(figure)
    assert len(drawn) == views + len(shown_steps)
    assert [axes.get_xlabel() for axes in drawn[views:]] == [str(step) for step in shown_steps]
    heights = [axes.get_window_extent().height for axes in drawn]
    assert min(heights[:views]) > 2 * max(heights[views:])


def test_other_pairs_of_dimensions_can_be_chosen() -> None:
    figure = latent_history.draw(invented(), "Latents", views=[(3, 2)])
    large = discs(figure)[0]
    assert (large.get_xlabel(), large.get_ylabel()) == ("dimension 3", "dimension 2")


def test_a_single_snapshot_is_enough() -> None:
    figure = latent_history.draw(invented(steps=1), "Latents")
    figure.draw_without_rendering()
    assert len(discs(figure)) == 3


def test_items_that_are_no_colours_are_drawn_in_one_and_the_text_speaks_of_none() -> None:
    plain = Snapshots(**{**vars(invented()), "colors": None})
    assert len(discs(latent_history.draw(plain, "Latents"))[0].collections[0].get_facecolors()) == 1
    assert "colour" not in latent_history.alt_text(plain, "Latents")
    assert "colour" in latent_history.alt_text(invented(), "Latents")


def test_the_alt_text_states_lengths_steps_and_who_was_left_out() -> None:
    shown = invented().only(shelf.LATTICE[:, 0] > 0)
    text = latent_history.alt_text(shown, "Latents")
    lengths = np.linalg.norm(shown.latents[-1], axis=-1)
    assert f"Lengths are {lengths.mean():.3f} on average" in text
    assert "each of 48 items is a dot in its own colour (16 others lie outside" in text
    assert "Small discs show the same at steps 0, " in text


# --- phases -----------------------------------------------------------------------------------------------------------


def test_every_phase_is_a_row_with_what_it_trained_among() -> None:
    pure = shelf.LATTICE.max(-1) == 1
    ends = [End("Bright", 299, pure), End("All", 1099, np.ones(64, dtype=bool))]
    figure = phase_history.draw(invented(), ends, "Phases")
    figure.draw_without_rendering()
    assert [len(axes.collections[0].get_offsets()) for axes in discs(figure)] == [pure.sum()] * 3 + [64] * 3
    text = phase_history.alt_text(invented(), ends, "Phases")
    assert f"Bright, to step 299: {pure.sum()} of 64 items" in text


def test_latents_are_those_after_the_last_update_of_the_phase() -> None:
    shown = invented()
    figure = phase_history.draw(shown, [End("All", 499, np.ones(64, dtype=bool))], "Phases")
    dots = discs(figure)[0].collections[0].get_offsets()
    assert np.allclose(np.sort(dots[:, 1]), np.sort(shown.at(500)[:, 0]))


# --- combinations -----------------------------------------------------------------------------------------------------


def cells(count: int) -> dict[tuple[bool, ...], combinations.Cell]:
    """Return a cell for each combination, whose numbers say which one it is."""
    every = list(product((True, False), repeat=count))
    return {
        on: combinations.Cell(shelf.latents_at(1, 1, 4), shelf.LATTICE, {"off_plane": float(i)})
        for i, on in enumerate(every)
    }


def test_every_combination_stands_where_its_switches_say() -> None:
    names = ["polar", "separate", "planar", "norm_v", "norm"]
    figure = combinations.draw(names, cells(5), "Combinations")
    figure.draw_without_rendering()
    drawn = discs(figure)
    assert len(drawn) == 32
    across, down = combinations.layout(names)
    for axes in drawn:
        spec = axes.get_subplotspec()
        on = (*combinations.combinations(3)[spec.colspan.start - 1], *combinations.combinations(2)[spec.rowspan.start])
        below = [text.get_text() for text in axes.texts if (text.get_ha(), text.get_va()) == ("center", "top")]
        assert below == [f"{list(cells(5)).index(on)}"]
    assert (across, down) == (names[:3], names[3:])


def test_a_combination_that_was_not_run_leaves_its_place_empty() -> None:
    some = cells(2)
    del some[False, False]
    figure = combinations.draw(["a", "b"], some, "Combinations")
    figure.draw_without_rendering()
    assert len(discs(figure)) == 3


def test_every_dot_lies_within_its_view_and_a_row_with_long_latents_widens_itself_alone() -> None:
    far = cells(2)
    far[True, False] = combinations.Cell(3 * shelf.latents_at(1, 1, 4), shelf.LATTICE, {"off_plane": 1.0})
    figure = combinations.draw(["a", "b"], far, "Combinations")
    figure.draw_without_rendering()
    halves = []
    for axes in discs(figure):
        half = axes.get_xlim()[1]
        assert np.abs(np.asarray(axes.collections[0].get_offsets())).max() < half == axes.get_ylim()[1]
        halves.append(half)
    assert halves[0] == halves[1] < halves[2] == halves[3]


def test_the_alt_text_names_what_is_on_with_its_numbers() -> None:
    text = combinations.alt_text(["a", "b"], cells(2), "Combinations")
    assert "a + b: off_plane 0." in text
    assert "b: off_plane 2." in text
    assert "nothing: off_plane 3." in text


def test_schedules_of_the_shipped_sweeps_end_their_phases_where_snapshots_are() -> None:
    for name in ("ex-1.3", "ex-1.5", "ex-1.6"):
        loaded = sweep.load(SWEEPS / f"{name}.toml")
        for variant in loaded.variants or [None]:
            starts = [step for step, _ in timeline.phase_starts(timeline.load(SWEEPS / f"{name}.toml", variant))][1:]
            assert set(starts) <= set(loaded.record.snapshots), name
