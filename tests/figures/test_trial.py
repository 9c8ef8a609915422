import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from prepe.errors import PrepeError
from prepe.figures import members, trial
from prepe.store.schema import SCHEMAS

from . import rows

Rows = dict[str, pa.Table]


def axes_titled(figure: Figure, title: str) -> Axes:
    return next(axes for axes in figure.axes if axes.get_title("left").startswith(title))


def dots(axes: Axes) -> int:
    return sum(len(each.get_offsets()) for each in axes.collections if isinstance(each, PathCollection))


def column(table: pa.Table, name: str, values: list[object]) -> pa.Table:
    at = table.schema.names.index(name)
    return table.set_column(at, table.schema.field(name), pa.array(values, table.schema.field(name).type))


@pytest.fixture(scope="module")
def figure(trial_rows: Rows) -> Figure:
    figure = trial.draw(**trial_rows, title="A trial")
    figure.draw_without_rendering()  # lays it out: a warning here is a failure
    return figure


@pytest.mark.parametrize("metric", ["score_ccc", "score_r2", "damage_frac", "collateral_p95"])
def test_every_measured_member_is_a_dot(figure: Figure, metric: str) -> None:
    assert dots(axes_titled(figure, metric)) == 59


def test_every_grid_item_of_a_shown_member_is_a_dot_in_its_own_colour(figure: Figure) -> None:
    for role in ("best", "median", "worst"):
        cloud = axes_titled(figure, role).collections[0]
        assert len(cloud.get_offsets()) == 512
        assert len(np.unique(cloud.get_facecolors()[:, :3], axis=0)) == 512


def test_the_figure_says_which_grid_the_score_is_of(figure: Figure, trial_rows: Rows) -> None:
    heads = [each.get_text() for part in figure.subfigs for each in part.texts] + [
        part._suptitle.get_text() for part in figure.subfigs if part._suptitle
    ]
    assert any("reference grid" in head and "CCC is of the score grid" in head for head in heads)
    assert "512 reference items" in axes_titled(figure, "best").texts[0].get_text()
    assert "score_ccc is of the score grid" in trial.alt_text(**trial_rows, title="A trial")


def test_a_member_whose_items_are_stored_beside_the_three_takes_nobodys_place(trial_rows: Rows) -> None:
    items, effects = trial_rows["items"], trial_rows["effects"]
    roll = members.call(effects, trial_rows["members"], "ablate", ("score_ccc",))
    before = members.pick(roll, items)
    other = next(seed for seed in roll.seeds if seed != 17 and seed not in [each.seed for each in before])
    some = items.filter(pc.equal(items["set"], "reference"))
    added = column(some, "seed", [other] * some.num_rows)
    assert members.pick(roll, pa.concat_tables([items, added])) == before
    assert [each.role for each in before] == ["best", "median", "worst"]


def test_the_panels_of_shown_members_have_the_same_axes(figure: Figure) -> None:
    limits = {axes_titled(figure, role).axis() for role in ("best", "median", "worst")}
    assert len(limits) == 1


def test_true_and_before_and_after_are_shown_for_every_named_colour(figure: Figure) -> None:
    axes = next(axes for axes in figure.axes if [label.get_text() for label in axes.get_xticklabels()][:1] == ["red"])
    assert len(axes.get_xticks()) == 17
    assert len(axes.get_yticks()) == 1 + 2 * 3
    assert [len(each.get_paths()) for each in axes.collections] == [17] * 7


def test_nothing_is_cut_off_at_the_edges(figure: Figure) -> None:
    inside = figure.get_tightbbox()
    assert inside.x0 >= -0.02
    assert inside.y0 >= -0.02
    assert inside.x1 <= figure.get_figwidth() + 0.02
    assert inside.y1 <= figure.get_figheight() + 0.02


def test_the_alt_text_counts_the_broken_and_states_the_numbers(trial_rows: Rows) -> None:
    text = trial.alt_text(**trial_rows, title="A trial")
    assert "60 members, 59 measured, 1 broken (seed 17 at step 620: anchor)" in text
    scores = (
        trial_rows["effects"].filter(pc.equal(trial_rows["effects"]["intervention"], "ablate"))["score_ccc"].to_numpy()
    )
    assert f"median {np.median(np.where(np.isnan(scores), -1, scores)):.3f}" in text
    assert "n = 59 of 60" in text
    assert f"score_ccc {np.nanmax(scores):.3f}" in text
    assert "(worst, rank 59 of 59)" in text


def test_a_member_without_effects_is_counted_and_not_forgotten(small_rows: Rows) -> None:
    effects = small_rows["effects"].filter(pc.not_equal(small_rows["effects"]["seed"], 3))
    text = trial.alt_text(**small_rows | {"effects": effects}, title="A trial")
    assert "7 members, 6 measured, 1 without a score (seed 3)" in text


def test_another_intervention_can_be_chosen(small_rows: Rows) -> None:
    assert "Intervention suppress" in trial.alt_text(**small_rows, title="A trial", intervention="suppress")
    assert "p = 2" in trial.alt_text(**small_rows, title="A trial", intervention="suppress")


@pytest.mark.parametrize("function", [trial.draw, trial.alt_text])
def test_an_unknown_intervention_is_answered_with_those_that_exist(function: object, small_rows: Rows) -> None:
    with pytest.raises(PrepeError, match=r"'repel'.*allowed: ablate, prune, suppress"):
        function(**small_rows, title="A trial", intervention="repel")  # type: ignore[operator]


def test_a_trial_without_interventions_is_refused(small_rows: Rows) -> None:
    with pytest.raises(PrepeError, match="no effects"):
        trial.draw(**small_rows | {"effects": SCHEMAS["effects"].empty_table()}, title="A trial")


def test_rows_of_two_trials_are_refused(small_rows: Rows) -> None:
    other = column(small_rows["effects"], "trial", ["another"] * small_rows["effects"].num_rows)
    with pytest.raises(PrepeError, match="2 trials"):
        trial.draw(**small_rows | {"effects": pa.concat_tables([small_rows["effects"], other])}, title="A trial")


@pytest.mark.parametrize("table", ["items", "history"])  # there are no snapshots, here and below
def test_a_table_may_be_empty(table: str, small_rows: Rows) -> None:
    some = small_rows | {table: SCHEMAS[table].empty_table()}
    trial.draw(**some, title="A trial").draw_without_rendering()
    assert "7 members" in trial.alt_text(**some, title="A trial")


@pytest.mark.parametrize("broken", [(), (0,)])
def test_one_member_is_enough_even_a_broken_one(broken: tuple[int, ...]) -> None:
    some = rows.trial(n=1, broken=broken, snapshots=False)
    trial.draw(**some, title="A trial").draw_without_rendering()
    text = trial.alt_text(**some, title="A trial")
    assert ("1 member, 0 measured, 1 broken" if broken else "Seed 0 (only, rank 1 of 1)") in text


def test_items_that_are_no_colours_are_drawn_in_one_colour(small_rows: Rows) -> None:
    items = small_rows["items"]
    some = small_rows | {"items": column(items, "x", [[1.0, 2.0]] * items.num_rows)}
    figure = trial.draw(**some, title="A trial")
    assert len(axes_titled(figure, "best").collections[0].get_facecolors()) == 1


def test_codes_of_colours_are_no_swatches_and_their_place_says_so(small_rows: Rows) -> None:
    coded = small_rows["items"]
    for name in ("y_before", "y_after"):
        coded = column(coded, name, [[0.0, 1.0, 1.0, 0.0]] * coded.num_rows)
    figure = trial.draw(**small_rows | {"items": coded}, title="A trial")
    notes = [each.get_text() for part in figure.subfigs for each in part.texts]
    assert "no named items that are made into colours" in notes


def test_only_named_items_are_enough(small_rows: Rows) -> None:
    items = small_rows["items"].filter(pc.equal(small_rows["items"]["set"], "named"))
    figure = trial.draw(**small_rows | {"items": items}, title="A trial")
    assert [dots(axes_titled(figure, role)) for role in ("best", "median", "worst")] == [17, 17, 17]


def test_a_direction_may_be_off_the_axes(trial_rows: Rows) -> None:
    direction = ["(0.6, 0, 0.8, 0, 0)"] * trial_rows["effects"].num_rows
    some = trial_rows | {"effects": column(trial_rows["effects"], "direction", direction)}
    assert len([axes for axes in trial.draw(**some, title="A trial").axes if axes.get_title().startswith("step")]) == 6


def test_every_block_of_seeds_has_its_own_line(small_rows: Rows) -> None:
    history = small_rows["history"]
    later = column(history, "block", ["60-119"] * history.num_rows)
    figure = trial.draw(**small_rows | {"history": pa.concat_tables([history, later])}, title="A trial")
    assert len(axes_titled(figure, "reconstruction").lines) == 2


def test_a_term_is_drawn_with_gaps_where_it_had_no_weight(figure: Figure) -> None:
    line = axes_titled(figure, "separate").lines[0]
    assert np.isnan(line.get_ydata()[line.get_xdata() >= 1425]).all()
    assert np.isfinite(line.get_ydata()[line.get_xdata() < 1425]).all()
