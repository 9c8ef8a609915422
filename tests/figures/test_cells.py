"""Tables of interventions: every cell of every trial has its place, and its number."""

import json

import numpy as np
import pyarrow as pa
import pytest

from prepe.figures import cells
from prepe.figures.latents import is_given, upwards

Cell = tuple[str, str, str, dict[str, bool]]
FULL: list[Cell] = [
    ("a", "prescribed", "suppress", {}),
    ("b", "prescribed", "project", {}),
    ("c", "prescribed", "project", {"renormalize": True}),
    ("d", "class_mean", "suppress", {}),
    ("e", "logistic", "ablate", {}),
]
OTHER: list[Cell] = [("x", "prescribed", "retrain", {}), ("y", "prescribed", "reset", {})]


def effects(of: list[Cell], scores: list[float]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "intervention": label,
                "source": source,
                "direction": "+e0" if source == "prescribed" else f"{source} (red)",
                "operator": operator,
                "parameters": json.dumps(own),
                "score_ccc": score + shift,
                "collateral_p95": 0.01,
            }
            for (label, source, operator, own), score in zip(of, scores, strict=True)
            for shift in (-0.1, 0.0, 0.1)
        ]
    )


def test_only_several_operators_on_several_directions_make_a_table() -> None:
    assert cells.is_factorial(effects(FULL, [0.5] * 5))
    assert not cells.is_factorial(effects(FULL[:3], [0.5] * 3))
    assert not cells.is_factorial(effects(FULL, [0.5] * 5).slice(0, 0))


def test_every_cell_of_every_trial_is_in_the_figure_with_its_median() -> None:
    trials = {"one": effects(FULL, [0.1, 0.2, 0.3, 0.4, 0.5]), "other": effects(OTHER, [0.7, 0.8])}
    figure = cells.draw(trials, "Cells")
    panels = [axes for part in figure.subfigs for axes in part.axes if axes.get_visible()]
    texts = [sorted(text.get_text().split()[0] for text in axes.texts) for axes in panels]
    assert texts == [["0.10", "0.20", "0.30", "0.40", "0.50"], ["0.70", "0.80"]]
    said = cells.alt_text(trials, "Cells")
    assert "ablate along logistic (red), score_ccc 0.500" in said
    assert "reset along prescribed, score_ccc 0.800" in said


@pytest.mark.parametrize("name", ["mean_difference (exact)", "best_random", "leace (red)"])
def test_of_a_direction_that_was_found_the_first_axis_points_up(name: str) -> None:
    assert not is_given(name)
    np.testing.assert_array_equal(upwards(name, 3), [1, 0, 0])


@pytest.mark.parametrize(("name", "up"), [("-e1", [0, -1, 0]), ("e2 e0", [0, 0, 1]), ("(0.6, 0, 0.8)", [0.6, 0, 0.8])])
def test_a_given_place_points_up_itself(name: str, up: list[float]) -> None:
    assert is_given(name)
    np.testing.assert_allclose(upwards(name, 3), up)
