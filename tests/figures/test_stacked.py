"""One member before and after its interventions, and the lobes of gates and mappers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.patches import Rectangle

from prepe import sweep, trial
from prepe.catalog import Gate, Mapper
from prepe.figures import lobes, stacked, style
from prepe.interventions.lobes import REPULSION, SUPPRESSION, lobe
from prepe.store.write import conform

INTERVENTIONS: list[dict[str, Any]] = [
    {"label": "soft", "operator": "suppress", "gate": {"start": 0.5}},
    {"label": "turned", "operator": "repel", "mapper": {"end": 0.2}},
    {"label": "gone", "operator": "prune"},
    {"label": "gone.attacked", "operator": "prune", "recovery": {"steps": 5, "items": 3}},
    {"label": "oblique", "operator": "prune", "direction": [1, 1, 0]},
]


@pytest.fixture(scope="module")
def rows() -> dict[str, pa.Table]:
    from tiny import trial as tiny_trial

    made = tiny_trial(
        model={"kind": "autoencoder", "latent_dim": 3, "hidden_dim": 6},
        terms={},
        schedule={"batch_size": 16, "keyframes": [{"step": 0, "lr": 0.02}], "steps": 40},
        interventions=[{"concept": "red", "power": 2, **each} for each in INTERVENTIONS],
    )
    outcome = trial.run(made, [0, 1, 2, 3, 4], device="cpu", record=sweep.Record())
    return {table: conform(table, outcome.tables[table]) for table in ("effects", "items")}


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.slow)], ids=["light", "dark"])
def look(request: pytest.FixtureRequest) -> Iterator[None]:
    with style.use(request.param):
        yield


def test_every_condition_has_a_column_of_the_best_member(rows: dict[str, pa.Table], look: None) -> None:
    seed = stacked.shown(rows["effects"])
    assert seed is not None
    figure = stacked.draw(rows["effects"], rows["items"], seed, "Tiny")
    axes = [each for each in figure.get_axes() if each.get_visible()]
    titles = [each.get_title("center") for each in axes if each.get_title("center")]
    assert titles == ["as trained", "soft", "turned", "gone", "oblique"]
    swatches = [each for each in axes if any(isinstance(p, Rectangle) for p in each.patches)]
    assert len(swatches) == 5
    assert all(len(each.patches) == 2 * (12 + 1) * 4 for each in swatches)
    figure.canvas.draw()


def test_conditions_that_differ_only_in_the_attack_afterwards_share_a_column(rows: dict[str, pa.Table]) -> None:
    assert {"gone", "gone.attacked"} <= set(rows["effects"]["intervention"].to_pylist())
    text = stacked.alt_text(rows["effects"], rows["items"], 0, "Tiny")
    assert "gone: errs most on" in text
    assert "gone.attacked" not in text


def test_the_shown_member_has_the_best_score_by_the_first_intervention(rows: dict[str, pa.Table]) -> None:
    scores = {r["seed"]: r["score_r2"] for r in rows["effects"].to_pylist() if r["intervention"] == "soft"}
    assert stacked.shown(rows["effects"]) == max(scores, key=lambda seed: scores[seed])


def test_every_item_of_the_shown_member_is_stored_whatever_it_scores_elsewhere(rows: dict[str, pa.Table]) -> None:
    shown = stacked.shown(rows["effects"])
    stored = {(r["intervention"], r["set"]) for r in rows["items"].to_pylist() if r["seed"] == shown}
    labels, sets = [each["label"] for each in INTERVENTIONS], ["named", "reference", "slices", "curves"]
    assert stored == {(label, name) for label in labels for name in sets}


def test_curves_go_on_beyond_red_under_the_swatches(rows: dict[str, pa.Table]) -> None:
    seed = stacked.shown(rows["effects"])
    assert seed is not None
    axes = stacked.draw(rows["effects"], rows["items"], seed, "Tiny").get_axes()
    swatches = next(each for each in axes if any(isinstance(p, Rectangle) for p in each.patches))
    curves = next(each for each in axes if each.get_ylabel() == "error (MSE)")
    assert swatches.get_xlim() == curves.get_xlim() == (-15, 375)
    assert len(curves.lines) == 5
    for line in curves.lines:
        assert (line.get_xdata()[0], line.get_xdata()[-1], len(line.get_xdata())) == (-30, 390, 150)


def test_a_pruned_axis_is_drawn_where_it_was_and_turned_axes_are_not(rows: dict[str, pa.Table]) -> None:
    seed = stacked.shown(rows["effects"])
    assert seed is not None
    columns = {column.title: column for column in stacked._columns(rows["effects"], rows["items"], seed)}
    gone = columns["gone"].latents()
    assert gone is not None
    assert gone.shape[-1] == 3
    assert (gone[:, 0] == 0).all()
    assert columns["oblique"].latents() is None


def test_alternative_text_names_the_numbers(rows: dict[str, pa.Table]) -> None:
    seed = stacked.shown(rows["effects"])
    assert seed is not None
    text = stacked.alt_text(rows["effects"], rows["items"], seed, "Tiny")
    assert f"seed {seed}" in text
    for label in ("soft", "turned", "gone", "oblique"):
        (score,) = [
            r["score_ccc"] for r in rows["effects"].to_pylist() if (r["seed"], r["intervention"]) == (seed, label)
        ]
        assert f"{label} {score:.3f}" in text


@pytest.mark.parametrize("parts", [SUPPRESSION, REPULSION], ids=["suppression", "repulsion"])
def test_lobes_have_a_slice_and_a_graph_each(parts: list[Gate] | list[Mapper], look: None) -> None:
    drawn = [lobe(part) for part in parts]
    figure = lobes.draw(drawn)
    assert len(figure.get_axes()) == 2 * len(parts)
    figure.canvas.draw()
    text = lobes.alt_text(drawn)
    assert all(each.title in text for each in drawn)


def test_suppression_dents_the_circle_and_repulsion_opens_a_gap() -> None:
    dent, gap = lobe(Gate(start=0.5)), lobe(Mapper(start=0.0, end=0.5))
    aligned = np.cos(dent.angles) > 0.5 + 1e-9
    lengths = np.linalg.norm(dent.images, axis=-1)
    assert (lengths[aligned] < 1).all()
    np.testing.assert_allclose(lengths[~aligned], 1)
    np.testing.assert_allclose(np.linalg.norm(gap.images, axis=-1), 1)
    assert gap.images[:, 0].max() == pytest.approx(0.5, abs=1e-6)
    assert gap.strength.max() == pytest.approx(0.5, abs=1e-6)
