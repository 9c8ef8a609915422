"""What the metrics say of responses made for it, of small examples, and of trained members measured a plain way."""

import json
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import tiny
import torch
from scipy.stats import spearmanr

from prepe import data, evaluate, models, train
from prepe.catalog import (
    EFFECT_METRICS,
    HUES,
    MEMBER_METRICS,
    NAMED_COLORS,
    STAGE_METRICS,
    STATISTICS,
    Metric,
    RgbGrid,
)
from prepe.metrics import geometry, selectivity
from prepe.metrics.summary import statistic
from prepe.models import Autoencoder
from prepe.spec import Concept, Trial
from prepe.train import Checkpoint

TASK = data.task(RgbGrid(kind="rgb_grid"))
GRID, REFERENCE = (TASK.similarities["hsv"](items.inputs, TASK.item("red")) for items in (TASK.grid, TASK.reference))
D_STAR = 0.25
Response = Callable[[np.ndarray], np.ndarray]


def ideal(s: np.ndarray, power: float = 2) -> np.ndarray:
    return D_STAR * s**power


def measure(response: Response, power: float = 2, before: float = 0.0) -> dict[str, float]:
    """Return the metrics of a response that is a function of similarity, over an even error before."""
    base = np.full(len(GRID), before)
    metrics = selectivity.effects(base, base + response(GRID), GRID, power, D_STAR)
    metrics["score_r2"] = selectivity.score_r2(REFERENCE, before + response(REFERENCE), power)
    return {name: float(value) for name, value in metrics.items()}


def test_the_groups_have_their_worked_sizes() -> None:
    assert (GRID**3 > 0.5).sum() == 36
    assert selectivity.bystanders(GRID).sum() == 2844
    assert len(GRID) == 4096


@pytest.mark.parametrize(
    ("item", "fallback", "damage"), [("red", "gray", 0.25), ("red", "black", 1 / 3), ("red", "cyan", 1)]
)
def test_the_ideal_damage_is_the_error_of_the_fallback(item: str, fallback: str, damage: float) -> None:
    concept = Concept.model_validate({"item": item, "fallback": fallback, "direction": {"axis": 0}})
    assert evaluate.ideal_damage(TASK, concept) == pytest.approx(damage)


# --- responses made to be told apart ---------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [1, 2, 3])
@pytest.mark.parametrize("before", [0.0, 0.01])
def test_the_ideal_response_is_best_by_every_metric(power: float, before: float) -> None:
    metrics = measure(lambda s: ideal(s, power), power, before)
    expected = {
        "score_r2": 1, "score_ccc": 1, "damage_frac": 1, "falloff_cal": 0, "falloff_slope": 1, "falloff_offset": 0,
    }  # fmt: skip
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert metrics["damage"] == pytest.approx(ideal(GRID[GRID**3 > 0.5], power).mean())
    assert metrics["damage_min"] == pytest.approx(ideal(GRID[GRID**3 > 0.5].min(), power))


def test_the_ideal_response_of_a_high_power_spares_bystanders() -> None:
    metrics = measure(lambda s: ideal(s, 8), 8)
    assert metrics["collateral"] == pytest.approx(0, abs=1e-7)
    assert metrics["collateral_max"] < 1e-5
    assert metrics["cause_isolate"] == pytest.approx(1, abs=1e-6)
    assert metrics["sel_log"] > 2.5


def test_damage_to_targets_alone_has_no_collateral() -> None:
    metrics = measure(lambda s: np.where(s**3 > 0.5, ideal(s), 0.0))
    assert metrics["damage_frac"] == pytest.approx(1)
    assert metrics["collateral"] == metrics["collateral_p95"] == metrics["collateral_max"] == 0
    assert metrics["cause_isolate"] == pytest.approx(1)
    assert metrics["sel_log"] == pytest.approx(math.log10((metrics["damage"] + 1e-4) / 1e-4))


TRAPS: dict[str, tuple[Response, dict[str, float]]] = {
    "tiny": (
        lambda s: 1e-6 * ideal(s),
        {"score_ccc": 0, "damage_frac": 0, "falloff_slope": 0, "falloff_offset": 0, "collateral": 0, "sel_log": 0},
    ),
    "inverted": (
        lambda s: 0.25 * (1 - s**2),
        {"falloff_slope": -1, "falloff_offset": 0.25, "damage_frac": 0.35, "collateral": 0.25, "collateral_p95": 0.25},
    ),
    "offset": (
        lambda s: ideal(s) + 0.2,
        {"falloff_slope": 1, "falloff_offset": 0.2, "collateral": 0.2, "collateral_p95": 0.21, "falloff_cal": 0.8},
    ),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_the_reference_score_falls_into_the_traps_and_the_others_do_not(trap: str) -> None:
    response, others = TRAPS[trap]
    metrics = measure(response)
    assert metrics["score_r2"] == pytest.approx(1.0, abs=1e-9)
    assert {name: metrics[name] for name in others} == pytest.approx(others, abs=0.01)
    assert metrics["score_ccc"] < 0.2


def test_an_inverted_response_has_a_negative_concordance_and_selectivity() -> None:
    metrics = measure(TRAPS["inverted"][0])
    assert metrics["score_ccc"] < 0
    assert metrics["sel_log"] < -0.3
    assert metrics["damage_min"] < 1e-9


def test_two_powers_share_nearly_all_of_their_correlation() -> None:
    assert selectivity.score_r2(REFERENCE, REFERENCE**3, 2) == pytest.approx(0.94, abs=0.005)


@pytest.mark.parametrize(("power", "score"), [(2, 0.34), (3, 0.50)])
def test_a_step_on_the_reddest_colours_has_its_worked_score(power: float, score: float) -> None:
    step = np.zeros(len(REFERENCE))
    step[np.argsort(REFERENCE)[-7:]] = 0.25
    assert selectivity.score_r2(REFERENCE, step, power) == pytest.approx(score, abs=0.005)


def test_a_perfect_deletion_to_grey_has_its_worked_scores() -> None:
    def to_gray(s: np.ndarray, rgb: np.ndarray) -> np.ndarray:
        return s**3 * data.error(np.full(3, 0.5), rgb)

    after = to_gray(REFERENCE, TASK.reference.inputs)
    assert selectivity.score_r2(REFERENCE, after, 3) == pytest.approx(0.927, abs=0.001)
    assert selectivity.concordance(to_gray(GRID, TASK.grid.inputs), ideal(GRID, 3)) == pytest.approx(0.86, abs=0.01)


@pytest.mark.parametrize("name", ["score_r2", "score_ccc", "damage_frac", "sel_log", "cause_isolate", "falloff_slope"])
def test_a_shuffled_response_scores_low(name: str) -> None:
    order, reference_order = (np.random.default_rng(0).permutation(len(s)) for s in (GRID, REFERENCE))
    shuffled = measure(lambda s: ideal(s)[order if len(s) == len(GRID) else reference_order])
    right = measure(ideal)
    assert right[name] > 0.9
    assert shuffled[name] < 0.55 * right[name]


@pytest.mark.parametrize("name", ["collateral", "collateral_p95", "collateral_max", "falloff_cal"])
def test_a_shuffled_response_spills_over(name: str) -> None:
    order = np.random.default_rng(0).permutation(len(GRID))
    shuffled = measure(lambda s: ideal(s)[order] if len(s) == len(GRID) else ideal(s))
    assert shuffled[name] > 5 * measure(ideal)[name]


def test_no_response_at_all_scores_nothing() -> None:
    metrics = measure(np.zeros_like)
    assert metrics["score_r2"] == metrics["score_ccc"] == metrics["damage_frac"] == metrics["sel_log"] == 0
    assert metrics["cause_isolate"] == 0.5


def test_an_improvement_is_no_damage() -> None:
    metrics = measure(lambda s: np.full_like(s, -0.005), before=0.01)
    assert metrics["damage"] == pytest.approx(-0.005)
    assert metrics["collateral"] == metrics["collateral_max"] == 0
    assert metrics["cause_isolate"] == 0.5
    assert metrics["sel_log"] == 0


# --- small examples worked by hand -----------------------------------------------------------------------------------


def test_metrics_of_six_items_are_those_worked_by_hand() -> None:
    similarity = np.array([1.0, 0.9, 0.5, 0.2, 0.1, 0.0])  # two targets, one graded, three bystanders
    before = np.array([0.01, 0.01, 0.01, 0.02, 0.01, 0.03])
    added = np.array([0.20, 0.10, 0.05, 0.01, -0.01, 0.03])
    metrics = selectivity.effects(before, before + added, similarity, 2, 0.25)
    wanted = 0.25 * np.array([1, 0.81, 0.25, 0.04, 0.01, 0])
    slope, offset = np.polyfit(wanted, added, 1)
    expected = {
        "damage": 0.15,
        "damage_frac": 0.15 / (0.25 * 0.905),
        "damage_min": 0.10,
        "collateral": 0.04 / 3,
        "collateral_p95": 0.01 + 0.9 * 0.02,
        "collateral_max": 0.03,
        "sel_log": math.log10(0.1501 / (0.04 / 3 + 1e-4)),
        "cause_isolate": (0.15 / (0.25 * 0.905) + 1 - 0.028 / 0.25) / 2,
        "falloff_cal": (0.05 + 0.1025 + 0.0125 + 0 + 0.0125 + 0.03) / 6 / 0.25,
        "falloff_slope": slope,
        "falloff_offset": offset,
        "score_ccc": 2 * np.cov(added, wanted, bias=True)[0, 1]
        / (added.var() + wanted.var() + (added.mean() - wanted.mean()) ** 2),
    }  # fmt: skip
    assert {name: float(value) for name, value in metrics.items()} == pytest.approx(expected)


def test_concordance_of_three_items_is_the_one_worked_by_hand() -> None:
    assert selectivity.concordance(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0])) == 1
    assert selectivity.concordance(np.array([2.0, 1.0, 0.0]), np.array([0.0, 1.0, 2.0])) == -1
    assert selectivity.concordance(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 2.0])) == pytest.approx(4 / 7)


def test_the_reference_score_is_the_squared_correlation() -> None:
    rng = np.random.default_rng(0)
    after = rng.random((4, len(REFERENCE)))
    expected = [np.corrcoef(REFERENCE**1.5, each)[0, 1] ** 2 for each in after]
    np.testing.assert_allclose(selectivity.score_r2(REFERENCE, after, 1.5), expected)


def test_task_cost_is_above_zero_where_the_twin_does_better() -> None:
    cost = selectivity.task_cost(np.array([1e-3, 1e-5, 1e-4, 0.0]), np.array([1e-4, 1e-4, 1e-4, 0.0]))
    assert cost[0] == pytest.approx(math.log10(1001 / 101))
    assert cost[1] == pytest.approx(math.log10(11 / 101))
    assert cost[2:].tolist() == [0, 0]


def test_alignment_is_a_cosine_and_a_zero_latent_has_none() -> None:
    latents = np.array([[3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]])
    assert geometry.alignment(latents, np.array([1.0, 0.0])).tolist() == [0.6, 0, -1]
    assert geometry.axis_purity(latents, np.array([1.0, 0.0])) == pytest.approx(1.36 / 3)


# --- statistics over members -----------------------------------------------------------------------------------------

MORE, LESS, AIM = (Metric("", goal, worst) for goal, worst in (("max", -1.0), ("min", 9.0), ("gate", 0.0)))


@pytest.mark.parametrize(("n", "tail"), [(1, 1), (9, 1), (10, 1), (11, 2), (16, 2), (60, 6)])
def test_the_worst_decile_is_the_mean_of_the_worst_tenth_rounded_up(n: int, tail: int) -> None:
    values = np.random.default_rng(n).permutation(np.arange(n) + 1.0)
    assert statistic("worst_decile", values, MORE) == pytest.approx((tail + 1) / 2)
    assert statistic("worst_decile", values, AIM) == pytest.approx((tail + 1) / 2)
    assert statistic("worst_decile", values, LESS) == pytest.approx(n - (tail - 1) / 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("median", 2.5),
        ("mean", 3.0),
        ("min", 1.0),
        ("max", 6.0),
        ("q25", 1.75),
        ("q75", 3.75),
        ("sd", 14**0.5 / 3**0.5),
    ],
)
def test_statistics_are_the_usual_ones(name: str, value: float) -> None:
    assert statistic(name, np.array([3.0, 1.0, 6.0, 2.0]), MORE) == pytest.approx(value)


@pytest.mark.parametrize("name", STATISTICS)
def test_every_statistic_of_the_catalog_can_be_had_of_one_member(name: str) -> None:
    value = statistic(name, np.array([0.5]), MORE)
    assert math.isnan(value) if name == "sd" else value == 0.5


def test_the_rate_is_the_share_of_flags() -> None:
    assert statistic("rate", np.array([0.0, 1.0, 1.0, 0.0, 0.0]), MEMBER_METRICS["anchor_fail"]) == pytest.approx(0.4)


@pytest.mark.parametrize("metric", [MORE, LESS, AIM])
@pytest.mark.parametrize("name", STATISTICS)
def test_a_broken_member_counts_as_the_worst_and_is_never_dropped(name: str, metric: Metric) -> None:
    values = np.array([0.5, np.nan, 0.25, 1.0])
    replaced = np.array([0.5, metric.worst, 0.25, 1.0])
    assert statistic(name, values, metric) == statistic(name, replaced, metric)
    assert statistic("median", np.array([np.nan, np.nan, 1.0]), metric) == metric.worst


@pytest.mark.parametrize(("name", "metric"), [*EFFECT_METRICS.items(), *MEMBER_METRICS.items()])
def test_no_value_is_worse_than_a_broken_members(name: str, metric: Metric) -> None:
    tried: list[Response] = [ideal, np.zeros_like, np.ones_like, *(response for response, _ in TRAPS.values())]
    if metric.goal == "gate" or name not in measure(ideal):
        assert metric.doc
        return
    for values in (measure(response) for response in tried):
        assert values[name] >= metric.worst if metric.goal == "max" else values[name] <= metric.worst


# --- trained members, measured a plain way ---------------------------------------------------------------------------

SEEDS = [3, 4, 5]
MEASURED = [name for name in EFFECT_METRICS if name not in tiny.OF_ONE]
gelu = np.vectorize(lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))))


class Plain:
    """One trained member, run by NumPy."""

    def __init__(self, model: Autoencoder, flat: torch.Tensor) -> None:
        self.params = {name: each.double().numpy() for name, each in model.unpack(flat).items()}

    def layers(self, half: str, x: np.ndarray) -> np.ndarray:
        for i in (0, 1):
            x = (gelu(x) if i else x) @ self.params[f"{half}.{i}.weight"].T + self.params[f"{half}.{i}.bias"]
        return x

    def latents(self, rgb: np.ndarray) -> np.ndarray:
        z = self.layers("encoder", rgb)
        return z / np.linalg.norm(z, axis=-1, keepdims=True)

    def errors(self, rgb: np.ndarray, edit: Response = np.asarray) -> np.ndarray:
        return ((np.clip(self.layers("decoder", edit(self.latents(rgb))), 0, 1) - rgb) ** 2).mean(-1)


def remove_red(z: np.ndarray) -> np.ndarray:
    return np.where(z[:, :1] > 0, z * [0, 1, 1, 1], z)


def delete_red(z: np.ndarray) -> np.ndarray:
    z = z * [0, 1, 1, 1]
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def trial() -> Trial:
    return tiny.trial()


@pytest.fixture(scope="module")
def params(trial: Trial) -> torch.Tensor:
    return train.train(trial.training, SEEDS, device="cpu").params


@pytest.fixture(scope="module")
def task(trial: Trial) -> data.Task:
    return data.task(trial.training.data)


@pytest.fixture(scope="module")
def plain(trial: Trial, task: data.Task, params: torch.Tensor) -> list[Plain]:
    model = models.build(trial.training.model, task)
    return [Plain(model, each) for each in params]


TWIN_MSE = np.array([1e-4, 1e-3, 0.1])


@pytest.fixture(scope="module")
def measured(trial: Trial, params: torch.Tensor) -> evaluate.Evaluation:
    return evaluate.evaluate(trial, SEEDS, params, np.zeros(3, dtype=bool), TWIN_MSE)


@pytest.mark.parametrize(("label", "edit"), [("suppress", remove_red), ("ablate", delete_red), ("prune", delete_red)])
def test_effects_are_those_of_a_plain_computation(
    label: str, edit: Response, measured: evaluate.Evaluation, plain: list[Plain]
) -> None:
    rows = [row for row in measured.effects if row["intervention"] == label]
    assert [row["seed"] for row in rows] == SEEDS
    for row, member in zip(rows, plain, strict=True):
        power = row["power"]
        before, after = member.errors(TASK.grid.inputs), member.errors(TASK.grid.inputs, edit)
        expected = selectivity.effects(before, after, GRID, power, 0.25)
        expected["score_r2"] = np.corrcoef(REFERENCE**power, member.errors(TASK.reference.inputs, edit))[0, 1] ** 2
        z = member.latents(TASK.grid.inputs)
        expected["axis_purity"] = (z[GRID**3 < 0.01, 0] ** 2).mean()
        expected["anchor_cos"] = member.latents(np.array([[1.0, 0, 0]]))[0, 0]
        lab = TASK.similarities["lab"](TASK.grid.inputs, TASK.item("red"))
        expected["score_ccc_other"] = selectivity.concordance(after - before, 0.25 * lab**power)
        predicted = 0.25 * np.maximum(z[:, 0], 0) ** 2
        expected["bound_ccc"] = selectivity.concordance(after - before, predicted)
        expected["bound_gap"] = max(0.0, float((after - before - predicted).max()))
        assert {name: row[name] for name in MEASURED} == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert {name for name in EFFECT_METRICS if row[name] is None} == set(tiny.OF_ONE)


def test_an_effect_names_what_was_done(measured: evaluate.Evaluation) -> None:
    row = next(row for row in measured.effects if row["intervention"] == "suppress")
    named = {
        key: row[key] for key in ("concept", "direction", "operator", "site", "power", "similarity", "ideal_damage")
    }
    assert named == {
        "concept": "red", "direction": "+e0", "operator": "suppress", "site": "bottleneck", "power": 2,
        "similarity": "hsv", "ideal_damage": 0.25,
    }  # fmt: skip
    assert json.loads(str(row["parameters"])) == {"gate": {"start": 0, "strength": 1, "power": 0}}


def test_members_are_measured_on_the_validation_colours(
    measured: evaluate.Evaluation, plain: list[Plain], task: data.Task, trial: Trial, params: torch.Tensor
) -> None:
    recon = [member.errors(task.validation.inputs).mean() for member in plain]
    np.testing.assert_allclose([row["recon_mse"] for row in measured.members], recon)
    again = evaluate.reconstruction(trial.training.data, trial.training.model, params)
    assert again.tolist() == [row["recon_mse"] for row in measured.members]
    cost = np.log10((np.array(recon) + 1e-6) / (TWIN_MSE + 1e-6))
    np.testing.assert_allclose([row["task_cost"] for row in measured.members], cost)
    for row, member in zip(measured.members, plain, strict=True):
        cosine = member.latents(np.array([[1.0, 0, 0]]))[0, 0]
        purity = (member.latents(TASK.grid.inputs)[GRID**3 < 0.01, 0] ** 2).mean()
        assert row["anchor_cos"] == pytest.approx(cosine)
        assert row["anchor_fail"] == float(1 - cosine > 0.3)
        assert row["recon_fail"] == float(row["recon_mse"] > 0.01)
        assert row["isolation_fail"] == float(purity**0.5 > 0.3)
        assert row["broken"] == 0
        assert row["label_rate"] == task.label_rate()


def test_a_members_cycle_and_lengths_are_measured_where_it_says(
    params: torch.Tensor, plain: list[Plain], task: data.Task
) -> None:
    hues = np.array([NAMED_COLORS[name] for name in HUES])
    for site in ("bottleneck", "encoder"):
        table = {"items": "hues", "axes": [2, 0], "site": site, "grade": "value"}
        rows = evaluate.evaluate(tiny.trial(cycle=table), SEEDS, params, np.zeros(3, dtype=bool)).members
        for row, member in zip(rows, plain, strict=True):
            z, wheel = (
                member.latents(rgb) if site == "bottleneck" else member.layers("encoder", rgb)
                for rgb in (task.validation.inputs, hues)
            )
            norm, angle = np.linalg.norm(z, axis=-1), np.arctan2(wheel[:, 0], wheel[:, 2])
            steps = (np.diff(angle, append=angle[0]) + np.pi) % (2 * np.pi) - np.pi
            expected = {
                "norm_mean": norm.mean(),
                "norm_deviation": ((norm - 1) ** 2).mean(),
                "bunching": np.linalg.norm((z / norm[:, None]).mean(0)),
                "anchor_distance": np.linalg.norm(member.latents(np.array([[1.0, 0, 0]]))[0] - [1, 0, 0, 0]),
                "ring_order": max((steps > 0).mean(), (steps < 0).mean()),
                "ring_winding": abs(round(steps.sum() / (2 * np.pi))),
                "ring_radius": np.hypot(wheel[:, 0], wheel[:, 2]).mean(),
                "ring_radius_min": np.hypot(wheel[:, 0], wheel[:, 2]).min(),
                "off_plane": (wheel[:, [1, 3]] ** 2).sum(-1).mean(),
                "off_plane_all": (z[:, [1, 3]] ** 2).sum(-1).mean(),
                "grade_radius": spearmanr(task.validation.inputs.max(-1), np.hypot(z[:, 0], z[:, 2])).statistic,
                "grade_off_plane": spearmanr(task.validation.inputs.max(-1), np.hypot(z[:, 1], z[:, 3])).statistic,
            }
            assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_stages_have_the_same_numbers_as_members_and_none_for_who_has_not_got_there(
    params: torch.Tensor, measured: evaluate.Evaluation, trial: Trial
) -> None:
    reached = np.array([True, False, True])
    broken = np.array([True, False, False])
    early = torch.where(torch.tensor([False, False, True])[:, None], params / 2, params)
    kept = [Checkpoint(7, "A", params, reached), Checkpoint(9, None, early, ~np.zeros(3, dtype=bool))]
    rows = evaluate.stages(trial, SEEDS, kept, params, broken)
    assert [(row["step"], row["phase"], row["seed"]) for row in rows] == [
        (7, "A", 3), (7, "A", 5), (9, None, 3), (9, None, 4), (9, None, 5),
    ]  # fmt: skip
    asked = [name for name in STAGE_METRICS if measured.members[0][name] is not None]
    assert asked == ["recon_mse", "anchor_cos", "anchor_distance", "norm_deviation", "norm_mean", "bunching"]
    for row, member in ((rows[1], measured.members[2]), (rows[3], measured.members[1])):
        assert {name: row[name] for name in STAGE_METRICS} == {name: member[name] for name in STAGE_METRICS}
    for row in (rows[0], rows[2]):  # broken, and what it was worth then is what it is worth now
        assert all(math.isnan(row[name]) for name in asked)
    assert rows[4]["recon_mse"] != measured.members[2]["recon_mse"]
    assert evaluate.stages(trial, SEEDS, [], params, broken) == []


def test_validation_terms_are_diluted_by_batches_without_labels(
    measured: evaluate.Evaluation, plain: list[Plain], task: data.Task
) -> None:
    rgb = task.validation.inputs
    vivid = rgb[-8:][np.ptp(rgb[-8:], axis=1) == 1]
    for row, member in zip(measured.members, plain, strict=True):
        z, red, wheel = member.latents(rgb), member.latents(np.array([[1.0, 0, 0]]))[0], member.latents(vivid)
        raw = np.linalg.norm(member.layers("encoder", rgb), axis=-1)
        cosines = [part @ part.T for part in np.split(z, range(64, 351, 64))]
        crowding = [np.where(np.abs(c - 1) > 1e-5, ((c + 1) / 2) ** 100, 0).sum() for c in cosines]
        assert row["val_terms"] == pytest.approx(
            {
                "anchor": 31 / 351 * (1 - red[0]),
                "subspace": 31 / 351 * (wheel[:, 2:] ** 2).sum(-1).mean(),
                "anti_anchor": np.maximum(-z[:, 0], 0).mean(),
                "anti_subspace": (z[:, 0] ** 2).mean(),
                "unit_norm": ((raw - 1) ** 2).mean(),
                "separate": sum(crowding) / 351,
            },
            rel=1e-6,
        )


def test_a_users_term_on_the_validation_items_sees_the_labels_of_every_member(
    params: torch.Tensor, task: data.Task
) -> None:
    tables = {
        "terms": {"own": {"kind": "own:labelled"}},
        "schedule": {"keyframes": [{"step": 0, "lr": 0.01, "own": 0.1}]},
    }
    members = evaluate.evaluate(tiny.trial(**tables), SEEDS, params, np.zeros(3, dtype=bool)).members
    share = task.validation_labels["red"].mean()
    assert 0 < share < 0.01
    assert [row["val_terms"] for row in members] == [{"own": pytest.approx(share)}] * 3


def test_items_are_the_named_colours_of_all_members_and_the_grid_of_three(
    measured: evaluate.Evaluation, plain: list[Plain]
) -> None:
    rows = measured.items.to_pylist()
    counts = {
        (label, kind): sum(row["intervention"] == label and row["set"] == kind for row in rows)
        for label in ("suppress", "repel", "ablate", "prune")
        for kind in ("named", "reference")
    }
    assert counts == {(label, kind): 3 * (17 if kind == "named" else 512) for label, kind in counts}
    for row in rows[:: len(rows) // 40]:
        if row["intervention"] != "repel":
            edit = remove_red if row["intervention"] == "suppress" else delete_red
            member, rgb = plain[SEEDS.index(row["seed"])], np.array([row["x"]])
            if row["set"] == "named":
                assert TASK.item(row["item"]).tolist() == row["x"]
                assert row["error_before"] == pytest.approx(member.errors(rgb)[0], rel=1e-6)
                assert row["error_after"] == pytest.approx(member.errors(rgb, edit)[0], rel=1e-6)
            assert row["error_after"] == pytest.approx(((np.array(row["y_after"]) - rgb) ** 2).mean(), rel=1e-4)


def test_the_grid_is_kept_for_the_best_the_median_and_the_worst_member() -> None:
    many = tiny.trial(interventions=tiny.TABLE["interventions"][2:3])
    params = train.train(many.training, list(range(9)), device="cpu").params
    broken = np.arange(9) == 4
    measured = evaluate.evaluate(many, list(range(9)), params, broken)
    score = np.array([row["score_ccc"] for row in measured.effects])
    order = np.argsort(-score)[:8]  # the broken one is last
    kept = {row["seed"] for row in measured.items.to_pylist() if row["set"] == "reference"}
    r2 = np.array([row["score_r2"] for row in measured.effects])
    assert kept == {int(order[0]), int(order[3]), int(order[-1]), int(np.nanargmax(r2))}


def test_a_broken_member_has_no_numbers_and_all_flags(trial: Trial, params: torch.Tensor) -> None:
    params = params.clone()
    params[1] = float("nan")
    broken = np.array([False, True, False])
    measured = evaluate.evaluate(trial, SEEDS, params, broken, TWIN_MSE)
    row = measured.members[1]
    assert all(math.isnan(row[name]) for name in ("recon_mse", "task_cost", "anchor_cos"))
    assert all(math.isnan(value) for value in row["val_terms"].values())
    assert [row[name] for name in ("broken", "recon_fail", "anchor_fail", "isolation_fail")] == [1, 1, 1, 1]
    effects = [row for row in measured.effects if row["seed"] == SEEDS[1]]
    assert len(effects) == 4
    assert all(math.isnan(effect[name]) for effect in effects for name in MEASURED)


def test_a_broken_member_changes_nothing_of_the_others(
    trial: Trial, params: torch.Tensor, measured: evaluate.Evaluation
) -> None:
    broken = np.array([False, True, False])
    params = params.clone()
    params[1] = float("inf")
    again = evaluate.evaluate(trial, SEEDS, params, broken, TWIN_MSE)
    for seed in (SEEDS[0], SEEDS[2]):
        for table in ("members", "effects"):
            one, other = ([row for row in getattr(each, table) if row["seed"] == seed] for each in (measured, again))
            assert one == other


def test_what_was_not_asked_for_is_none_and_not_a_number(params: torch.Tensor) -> None:
    whole = np.zeros(3, dtype=bool)
    plain_concept = {"red": {"item": "red", "direction": {"axis": 0}}}
    row = evaluate.evaluate(tiny.trial(concepts=plain_concept), SEEDS, params, whole).members[0]
    assert row["isolation_fail"] is None
    assert row["task_cost"] is None
    assert row["anchor_fail"] is not None
    bare = evaluate.evaluate(tiny.trial(concepts=None, interventions=None), SEEDS, params, whole, TWIN_MSE)
    assert bare.members[0]["anchor_cos"] is None
    assert bare.members[0]["anchor_fail"] is None
    assert bare.members[0]["isolation_fail"] is None
    assert bare.effects == []
    assert bare.items.num_rows == 0


def test_with_several_concepts_the_worst_is_shown(trial: Trial, params: torch.Tensor, plain: list[Plain]) -> None:
    concepts = {
        "red": {"item": "red", "direction": {"axis": 0}, "isolated": True},
        "cyan": {"item": "cyan", "direction": {"axis": 1, "sign": -1}},
    }
    several = evaluate.evaluate(tiny.trial(concepts=concepts), SEEDS, params, np.zeros(3, dtype=bool))
    for row, member in zip(several.members, plain, strict=True):
        red, cyan = member.latents(np.array([[1.0, 0, 0], [0, 1, 1]]))
        assert row["anchor_cos"] == pytest.approx(min(red[0], -cyan[1]))


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("size", "threads"),
    [((4, 16, 1), 1), ((5, 16, 2), 1), ((3, 8, 2), 1), ((8, 24, 3), 1), ((3, 8, 2), 2)],
    indirect=["threads"],
    ids=str,
)
def test_a_member_is_measured_the_same_alone_and_among_others(size: tuple[int, int, int], threads: None) -> None:
    latent, hidden, depth = size
    trial = tiny.trial(model={"kind": "autoencoder", "latent_dim": latent, "hidden_dim": hidden, "depth": depth})
    seeds, whole = list(range(6)), np.zeros(6, dtype=bool)
    part, model_part = trial.training.data, trial.training.model
    params = models.build(model_part, data.task(part)).init(seeds)
    together = evaluate.evaluate(trial, seeds, params, whole, np.full(6, 1e-4))
    recon = evaluate.reconstruction(part, model_part, params)
    for i in seeds[::3]:
        alone = evaluate.evaluate(trial, [i], params[i : i + 1], whole[:1], np.full(1, 1e-4))
        assert alone.members == [together.members[i]]
        assert alone.effects == [row for row in together.effects if row["seed"] == i]
        assert evaluate.reconstruction(part, model_part, params[i : i + 1]).tolist() == [recon[i]]
