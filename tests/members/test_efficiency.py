"""How few and how noisy labels keep a score: laws of the edge, and curves of members that a test can choose."""

import csv
import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from command import Said
from conftest import TINY

import prepe
from prepe.errors import PrepeError
from prepe.figures import efficiency
from prepe.members import Members, curves, edge

Make = Callable[..., Members]
Cli = Callable[..., Said]
SEEDS = list(range(8))
LABELS = np.array([80.0, 40.0, 20.0, 10.0])


def test_the_edge_lies_between_the_points_where_the_score_falls_below_the_share() -> None:
    found = float(edge(LABELS, np.array([1.0, 0.95, 0.85, 0.1])))
    assert found == pytest.approx(math.sqrt(40 * 20))  # half-way, on the logarithmic grid
    assert float(edge(np.array([0.0, 0.25, 0.5]), np.array([1.0, 1.0, 0.8]), log=False)) == pytest.approx(0.375)


def test_the_edge_is_that_of_the_first_fall_and_of_a_share_alone() -> None:
    score = np.array([1.0, 0.5, 1.0, 0.0])
    assert 40 < float(edge(LABELS, score)) < 80
    assert float(edge(LABELS, 7 * score)) == pytest.approx(float(edge(LABELS, score)))
    assert np.isnan(edge(LABELS, np.array([0.5, 0.6, 0.7, 0.46])))


def test_samples_are_done_as_one_alone() -> None:
    scores = np.random.default_rng(0).uniform(0.5, 1, (4, 30))
    alone = [float(edge(LABELS, each)) for each in scores.T]
    assert np.allclose(edge(LABELS, scores), alone, equal_nan=True)


@pytest.fixture
def labelled(make: Make) -> Callable[..., Members]:
    """Make members of a trial with some rate, missed and false labels, of which each has a score."""

    def labelled(scores: Any, rate: float = 0.5, width: int = 6, **noise: float) -> Members:
        data = {"kind": "rgb_grid", "size": 4, "labels": {"red": {"concept": "redness", "rate": rate, **noise}}}
        terms = {name: each for name, each in tiny.TERMS.items() if name != "subspace"}
        frames = [{k: v for k, v in each.items() if k != "subspace"} for each in tiny.TABLE["schedule"]["keyframes"]]
        spec = tiny.trial(
            data=data,
            terms=terms,
            schedule={"batch_size": 16, "keyframes": frames},
            model={**tiny.TABLE["model"], "hidden_dim": width},
        )
        true = 0.1 * rate * (1 - noise.get("missed", 0))
        count = np.full(len(SEEDS), 1000 * true)
        share = np.full(len(SEEDS), true + (1 - true) * noise.get("false", 0))
        made = make(
            seeds=SEEDS,
            ablate={"score_ccc": np.broadcast_to(np.asarray(scores, float), len(SEEDS))},
            label_n_used=count,
            label_rate=share,
        )
        return replace(made, trial=spec.digest(), spec=spec)

    return labelled


def test_curves_are_told_apart_and_the_clean_trial_is_the_first_of_each(labelled: Callable[..., Members]) -> None:
    trials = [
        labelled(0.1, 0.125),
        labelled(0.5, missed=0.5),
        labelled(0.9),
        labelled(0.85, 0.25),
        labelled(0.2, false=0.05),
    ]
    by_kind = {each.kind: each for each in curves(trials)}
    assert by_kind["labels"].x.tolist() == pytest.approx([50, 25, 12.5])
    assert by_kind["missed"].x.tolist() == [0, 0.5]
    assert by_kind["false"].x.tolist() == [0, 0.05]
    assert by_kind["false"].wrong.tolist() == pytest.approx([0, 0.05 * 0.95 / (0.05 + 0.05 * 0.95)])
    assert 12.5 < by_kind["labels"].edge < 25
    assert by_kind["labels"].low <= by_kind["labels"].edge <= by_kind["labels"].high
    assert "label_n90" in by_kind["labels"].says


def test_a_score_that_never_falls_is_said_to_do_so(labelled: Callable[..., Members]) -> None:
    (found,) = curves([labelled(0.9), labelled(0.89, 0.25)])
    assert math.isnan(found.edge)
    assert found.says == "label_n90: below 25; all keep 90 % of the clean trial's median"


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([{"scores": 0.5, "width": 7}], "differ in something else"),
        ([], "no two trials differ"),
        ([{"scores": -0.5, "rate": 0.9}], "allowed: above 0"),
    ],
)
def test_trials_without_a_curve_are_refused(
    labelled: Callable[..., Members], others: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(PrepeError, match=said):
        curves([labelled(0.9), *(labelled(**each) for each in others)])


def test_the_verb_tells_what_the_stored_rows_say(tmp_path: Path, prepe_cli: Cli) -> None:
    text = TINY.read_text().split("[search]")[0]
    for old, new in (('"$latent_dim"', "3"), ('"$lr"', "0.05"), ('"0.5 * $lr"', "0.02"), ('"$anchor"', "0.1")):
        text = text.replace(old, new)
    file = tmp_path / "few.toml"
    file.write_text(f"{text}\n[variants.all]\n[variants.half]\ndata.labels.red.rate = 0.25\n")
    root = tmp_path / "results"
    prepe.run(file, results=root, executor="serial")
    given = ("labels", "few", "--metric", "cause_isolate", "--results", root)
    said = prepe_cli(*given)
    assert (said.code, said.err) == (0, "")
    assert "label_n90" in said.out
    rows = list(csv.DictReader(io.StringIO(prepe_cli(*given, "--csv").out)))
    assert [row["trial"] for row in rows] == ["all", "half"]
    sql = "SELECT median(cause_isolate) AS m FROM effects WHERE intervention = 'suppress' GROUP BY variant ORDER BY ALL"
    assert [float(row["median"]) for row in rows] == pytest.approx(prepe.query(sql, root)["m"].to_pylist())
    assert prepe_cli("labels", "few", "--metric", "recon_mse", "--results", root).code == 2


def test_the_figure_shows_every_curve_and_its_text_says_the_edges(labelled: Callable[..., Members]) -> None:
    rng = np.random.default_rng(0)
    trials = [
        labelled(level + rng.normal(0, 0.05, 8), rate) for level, rate in ((0.9, 0.5), (0.85, 0.25), (0.1, 0.125))
    ]
    found = curves([*trials, labelled(0.88, false=0.01), labelled(0.5, missed=0.9)])
    figure = efficiency.draw(found, "few")
    figure.draw_without_rendering()
    assert len(figure.axes) == 3
    text = efficiency.alt_text(found, "few")
    assert all(each.says in text for each in found)
