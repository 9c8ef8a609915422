"""One member looked at closely: numbers over dense cubes, their figure, and the verb."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from command import Said
from conftest import TinyStore

import prepe
from prepe import data, evaluate, members, models, train
from prepe.evaluate.dense import correlation
from prepe.figures import response, style

Cli = Callable[..., Said]


@pytest.fixture(scope="module")
def trial() -> Any:
    return tiny.trial()


@pytest.fixture(scope="module")
def params(trial: Any) -> torch.Tensor:
    return train.train(trial.training, [5], device="cpu").params[0]


@pytest.fixture(scope="module")
def found(trial: Any, params: torch.Tensor) -> tuple[list[dict[str, Any]], list[evaluate.Response]]:
    return evaluate.dense(trial, 5, params)


@pytest.mark.slow
def test_there_is_a_row_as_trained_and_one_an_intervention(found: Any) -> None:
    rows, responses = found
    assert [row["intervention"] for row in rows] == [None, "suppress", "repel", "ablate", "prune"]
    assert [each.label for each in responses] == ["suppress", "repel", "ablate", "prune"]
    assert (rows[0]["power"], rows[1]["power"], rows[3]["power"]) == (2, 2, 3)
    assert rows[3]["error_max"] == pytest.approx(rows[4]["error_max"])  # a pruned axis is an ablated one


def test_correlations_are_of_the_errors_that_a_plain_pass_gives(trial: Any, params: torch.Tensor, found: Any) -> None:
    task = data.task(trial.training.data)
    rgb, _ = task.dense_response()
    assert rgb.shape == (8000, 3)
    weights = models.build(trial.training.model, task).unpack(params.double())

    def linear(x: torch.Tensor, layer: str) -> torch.Tensor:
        return x @ weights[f"{layer}.weight"].mT + weights[f"{layer}.bias"]

    x = torch.from_numpy(rgb)
    hidden = torch.nn.functional.gelu(linear(x, "encoder.0"))
    z = torch.nn.functional.normalize(linear(hidden, "encoder.1"), dim=-1)
    z = z - z[:, :1].clamp(min=0) * torch.eye(4, dtype=z.dtype)[:1]
    hidden = torch.nn.functional.gelu(linear(z, "decoder.0"))
    outputs = (linear(hidden, "decoder.1")).clamp(0, 1).numpy()
    error = ((outputs - rgb) ** 2).mean(-1)
    np.testing.assert_allclose(found[1][0].error, error, atol=1e-9)
    for prefix, way in (("", "hsv"), ("other_", "lab")):
        graded = task.similarities[way](rgb, np.array([1.0, 0, 0])) ** 2
        r = np.corrcoef(graded, error)[0, 1]
        assert found[0][1][f"{prefix}r"] == pytest.approx(r)
        assert found[0][1][f"{prefix}r2"] == pytest.approx(r**2)
        assert 0 <= found[0][1][f"{prefix}p"] <= 1


def test_errors_are_summed_up_over_every_hue_saturation_and_value(trial: Any) -> None:
    rgb, targets = data.task(trial.training.data).dense_errors()
    assert rgb.shape == targets.shape == (240 * 48 * 48, 3)
    assert len(np.unique(rgb.max(-1).round(9))) == 48
    assert {(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)} <= set(map(tuple, rgb.round(12)))


def test_a_member_that_errs_alike_everywhere_has_no_correlation() -> None:
    found = correlation(np.arange(4.0), np.ones(4))
    assert all(np.isnan(value) for value in found.values())


@pytest.mark.parametrize("dark", [False, True])
def test_the_figure_has_every_colour_as_a_dot_and_the_line_of_least_squares(found: Any, dark: bool) -> None:
    with style.use(dark):
        figure = response.draw(found[1], "Response")
        figure.draw_without_rendering()
    axes = [each for each in figure.get_axes() if each.get_visible()]
    assert len(axes) == 4
    for panel, cloud, row in zip(axes, found[1], found[0][1:], strict=True):
        (dots,) = panel.collections
        assert len(dots.get_offsets()) == 8000
        np.testing.assert_array_equal(dots.get_facecolors()[:, :3], cloud.inputs)
        (line,) = panel.lines
        slope, offset = np.polyfit(cloud.x, cloud.error, 1)
        np.testing.assert_allclose(line.get_ydata(), [offset, offset + slope])
        assert panel.get_legend_handles_labels()[1] == [f"R² = {row['r2']:.3f}"]
    text = response.alt_text(found[1], "Response")
    assert all(f"{row['intervention']}: R² = {row['r2']:.3f}" in text for row in found[0][1:])


# --- on stored members ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_verb_prints_the_rows_of_the_shown_member_and_draws_them(
    prepe_cli: Cli, tiny_store: TinyStore, tmp_path: Path
) -> None:
    trial = tiny_store.trials[0]
    shown = members.shown(members.find(tiny_store.root, trial))
    said = prepe_cli("measure", trial[:6], "--out", tmp_path, "--results", tiny_store.root)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[0] == f"member {shown} of trial {trial}"
    assert [line.split()[0] for line in said.out.splitlines()[2:4]] == ["as", "suppress"]
    stem = f"{trial}-member-{shown}-response"
    assert {path.name for path in tmp_path.iterdir()} == {f"{stem}.png", f"{stem}-dark.png", f"{stem}.txt"}
    assert said.out.splitlines()[-1] == str(tmp_path / f"{stem}.png")


@pytest.mark.slow
def test_numbers_as_csv_are_those_of_the_call_from_python(
    prepe_cli: Cli, tiny_store: TinyStore, tmp_path: Path
) -> None:
    arguments = ("--member", 1, "--csv", "--out", tmp_path, "--results", tiny_store.root)
    said = prepe_cli("measure", tiny_store.trials[1], *arguments)
    rows = list(csv.DictReader(io.StringIO(said.out)))
    done = prepe.measure(tiny_store.trials[1], 1, tiny_store.root, out=tmp_path)
    assert done.member == 1
    for name in ("error_max", "error_median", "r", "other_r2", "p"):
        assert [float(row[name]) for row in rows] == pytest.approx([row[name] for row in done.rows])


def test_a_member_that_is_not_there_is_refused(prepe_cli: Cli, tiny_store: TinyStore) -> None:
    said = prepe_cli("measure", tiny_store.trials[0], "--member", 9, "--results", tiny_store.root)
    assert (said.code, said.out) == (2, "")
    assert "--member 9" in said.err
