"""Figures of what mattered in a search, of invented rows: what they show, and what their texts say of it."""

import numpy as np
import pyarrow as pa
import pytest

from prepe.errors import PrepeError
from prepe.figures import album, contour, front, importance, parallel, search

from . import rows

PAGES = ("front", "importance", "parallel", "contour")


@pytest.fixture(scope="module")
def trials() -> pa.Table:
    return rows.search()


def test_a_search_has_every_page_and_each_is_drawn_and_told(trials: pa.Table) -> None:
    pages = list(album.of_search(trials, "delete-red", rows.OBJECTIVES))
    assert tuple(page.stem for page in pages) == PAGES
    for page in pages:
        page.draw().draw_without_rendering()
        assert "40 trials" in page.alt_text


@pytest.mark.parametrize("n", [1, 4])
def test_few_trials_have_the_pages_that_make_sense(n: int) -> None:
    pages = list(album.of_search(rows.search(n, failed=()), "delete-red", rows.OBJECTIVES))
    assert {page.stem for page in pages} <= set(PAGES)
    for page in pages:
        page.draw().draw_without_rendering()


def test_the_front_holds_the_feasible_trials_that_no_other_beats(trials: pa.Table) -> None:
    data = search.read(trials, rows.OBJECTIVES)
    signs = [1 if goal == "maximize" else -1 for _, goal in rows.OBJECTIVES]
    scores = np.array([sign * values for sign, values in zip(signs, data.values, strict=True)]).T
    able = [i for i in np.flatnonzero(data.feasible) if np.isfinite(scores[i]).all()]
    for i in able:
        beaten = any((scores[j] >= scores[i]).all() and (scores[j] > scores[i]).any() for j in able)
        assert beaten != (i in data.front)
    assert data.front == sorted(data.front, key=lambda i: -scores[i][0])
    figure = front.draw(trials, "delete-red", rows.OBJECTIVES)
    numbered = [text.get_text() for text in figure.axes[0].texts]
    assert numbered == [str(place) for place in range(1, len(data.front) + 1)]
    assert data.ids[data.front[0]] in front.alt_text(trials, "delete-red", rows.OBJECTIVES)


def test_every_trial_is_a_line_and_objectives_have_the_better_end_up(trials: pa.Table) -> None:
    figure = parallel.draw(trials, "delete-red", rows.OBJECTIVES)
    assert sum(len(each.get_segments()) for each in figure.axes[0].collections) == 40
    data = search.read(trials, rows.OBJECTIVES)
    best = next(each for each in figure.axes[0].collections if each.get_label() == "the best").get_segments()[0]
    assert best[len(data.names), 1] == np.max(
        [each[len(data.names), 1] for some in figure.axes[0].collections[1:] for each in some.get_segments()]
    )


def test_a_parameter_that_drives_an_objective_is_told_as_important(trials: pa.Table) -> None:
    data = search.read(trials, rows.OBJECTIVES)
    name = rows.OBJECTIVES[0][0]
    driven = pa.array([params[data.names[0]] for params in data.params], pa.float64())
    changed = trials.sort_by("number").set_column(trials.schema.names.index(name), name, driven)
    text = importance.alt_text(changed, "delete-red", rows.OBJECTIVES)
    assert f"{name}: {data.names[0]} 1.00" in text
    pair = contour.pair_of(changed, rows.OBJECTIVES)
    assert pair is not None
    assert pair[0] == data.names[0]


def test_a_contour_is_of_the_parameters_that_are_given(trials: pa.Table) -> None:
    names = search.read(trials, rows.OBJECTIVES).names[:2]
    figure = contour.draw(trials, "delete-red", rows.OBJECTIVES, (names[0], names[1]))
    assert names[0] in figure.axes[0].get_xlabel()
    assert names[1] in figure.axes[0].get_ylabel()
    with pytest.raises(PrepeError, match=r"--contour nothing: unknown parameter.*allowed"):
        contour.pair_of(trials, rows.OBJECTIVES, (names[0], "nothing"))
    with pytest.raises(PrepeError, match="twice"):
        contour.pair_of(trials, rows.OBJECTIVES, (names[0], names[0]))


def test_a_scale_is_logarithmic_where_an_axis_would_be_and_lays_names_side_by_side() -> None:
    assert search.scale([0.01, 0.1, 1.0]).places.tolist() == pytest.approx([0, 0.5, 1])
    assert search.scale([1, 2, 9]).places.tolist() == pytest.approx([0, 0.125, 1])
    assert search.scale(["a", "b", "a"]).places.tolist() == [0, 1, 0]
    assert search.scale([2.0, 2.0]).places.tolist() == [0.5, 0.5]
