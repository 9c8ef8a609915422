import json

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.figure import Figure

from prepe.errors import PrepeError
from prepe.figures import sweep

from . import rows

Points = dict[str, np.ndarray]


def points(figure: Figure, of: int) -> Points:
    """Return what stands in axes number `of`, by its label in the legend."""
    return {each.get_label(): each.get_offsets() for each in figure.axes[of].collections}


@pytest.fixture(scope="module")
def trials() -> pa.Table:
    return rows.search()


@pytest.fixture(scope="module")
def figure(trials: pa.Table) -> Figure:
    figure = sweep.draw(trials, "delete-red", rows.OBJECTIVES)
    figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize("panel", [0, 1])
def test_every_trial_with_values_is_one_dot(figure: Figure, trials: pa.Table, panel: int) -> None:
    shown = points(figure, panel)
    assert len(shown["feasible"]) == sum(trials["feasible"].to_pylist())
    assert len(shown["feasible"]) + len(shown["infeasible"]) + len(shown["infeasible, off the scale"]) == 40 - 1


def test_infeasible_trials_are_hollow_and_feasible_ones_filled(figure: Figure) -> None:
    fills = {each.get_label(): len(each.get_facecolors()) for each in figure.axes[0].collections}
    assert fills["infeasible"] == 0
    assert fills["feasible"] == 1


def test_a_lost_trial_does_not_squeeze_the_others_together(figure: Figure) -> None:
    assert figure.axes[0].get_xlim()[0] > -0.9
    assert len(points(figure, 0)["infeasible, off the scale"]) >= 1


def test_the_first_and_the_best_trial_are_marked_and_the_best_is_named(figure: Figure, trials: pa.Table) -> None:
    able = [row for row in trials.to_pylist() if row["feasible"]]
    best = max(able, key=lambda row: row["ablate.score_ccc.median"])
    assert points(figure, 0)["best"][0, 0] == best["ablate.score_ccc.median"]
    assert points(figure, 0)["first"][0, 0] == trials["ablate.score_ccc.median"][0].as_py()
    assert best["trial"] in [text.get_text() for text in figure.axes[0].texts]


def test_the_best_so_far_never_gets_worse_and_counts_feasible_trials_alone(figure: Figure, trials: pa.Table) -> None:
    line = next(each for each in figure.axes[1].lines if each.get_label() == "best so far")
    assert np.all(np.diff(line.get_ydata()) >= 0)
    able = [row for row in trials.to_pylist() if row["feasible"]]
    assert line.get_xdata()[0] == able[0]["number"]
    assert line.get_ydata()[-1] == max(row["ablate.score_ccc.median"] for row in able)


def test_an_objective_to_minimise_is_followed_downwards(trials: pa.Table) -> None:
    figure = sweep.draw(
        trials, "delete-red", [(rows.OBJECTIVES[1][0], "minimize"), (rows.OBJECTIVES[0][0], "maximize")]
    )
    line = next(each for each in figure.axes[1].lines if each.get_label() == "best so far")
    assert np.all(np.diff(line.get_ydata()) <= 0)


def test_every_parameter_has_a_panel(figure: Figure, trials: pa.Table) -> None:
    names = list(json.loads(trials["params"][0].as_py()))
    assert [axes.get_title("left") for axes in figure.axes[2:] if axes.get_visible()] == names


def test_the_alt_text_counts_the_trials_and_states_the_best(trials: pa.Table) -> None:
    text = sweep.alt_text(trials, "delete-red", rows.OBJECTIVES)
    feasible = sum(trials["feasible"].to_pylist())
    assert f"40 trials: {feasible} feasible, {39 - feasible} infeasible, 1 failed" in text
    best = max((row for row in trials.to_pylist() if row["feasible"]), key=lambda row: row["ablate.score_ccc.median"])
    assert f"Best trial: {best['trial']}" in text
    assert f"{best['ablate.score_ccc.median']:.3g}" in text


def test_parameters_may_be_a_struct() -> None:
    text, struct = (sweep.alt_text(rows.search(struct=form), "a", rows.OBJECTIVES) for form in (False, True))
    assert text == struct


@pytest.mark.parametrize("n", [1, 3])
def test_few_trials_are_enough(n: int) -> None:
    sweep.draw(rows.search(n, parameters=2), "delete-red", rows.OBJECTIVES).draw_without_rendering()


def test_one_objective_is_enough() -> None:
    figure = sweep.draw(rows.search(parameters=2), "delete-red", rows.OBJECTIVES[:1])
    figure.draw_without_rendering()
    assert "best" in points(figure, 0)


@pytest.mark.parametrize("failed", [(), tuple(range(4))])
def test_without_a_feasible_trial_none_is_best(failed: tuple[int, ...]) -> None:
    trials = rows.search(4, failed=failed, parameters=2)
    at = trials.schema.names.index("feasible")
    trials = trials.set_column(at, "feasible", pa.array([None if failed else False] * 4, pa.bool_()))
    sweep.draw(trials, "delete-red", rows.OBJECTIVES).draw_without_rendering()
    assert "none is best" in sweep.alt_text(trials, "delete-red", rows.OBJECTIVES)


def test_a_missing_column_is_answered_with_those_that_exist(trials: pa.Table) -> None:
    with pytest.raises(PrepeError, match=r"'task_cost\.mean'.*task_cost\.median"):
        sweep.draw(trials, "delete-red", [("task_cost.mean", "minimize")])


def test_no_trials_are_refused(trials: pa.Table) -> None:
    with pytest.raises(PrepeError, match="nothing to draw"):
        sweep.draw(trials.slice(0, 0), "delete-red", rows.OBJECTIVES)
