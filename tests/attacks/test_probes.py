"""What is left of a concept in latents is found, whether lines, perceptrons, lengths or new decoders can tell it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from scipy.optimize import minimize

from prepe import data, interventions, models, spec
from prepe.attacks import certificate, probes
from prepe.attacks.leakage import excess, halves, leakage, nearest_bystander
from prepe.catalog import Axis, Intervention, Leakage
from prepe.errors import PrepeError
from prepe.interventions import Edited
from prepe.metrics import selectivity
from prepe.models import Model, Params

TRAINING = tiny.training()
TASK = data.task(TRAINING.data)
MODEL = models.build(TRAINING.model, TASK)
SIMILARITY = TASK.similarities["hsv"](TASK.grid.inputs, TASK.item("red"))
TRAINED_SIMILARITY = TASK.similarities["hsv"](TASK.train.inputs, TASK.item("red"))
BEYOND = np.maximum(SIMILARITY - SIMILARITY[selectivity.bystanders(SIMILARITY)].max(), 0)
TARGET = selectivity.targets(SIMILARITY).astype(float)
FIT, TEST = halves(SIMILARITY)
SEEDS = [3, 4, 5]
WIDTH = 4
FIRST = np.eye(WIDTH)[0]
QUICK = Leakage(steps=150, hidden_dim=16, shuffles=4)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(len(SEEDS), *shape))


def axis_coded(similarity: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return latents whose first axis is the concept's grade, and all else noise."""
    latents = noise(len(similarity), WIDTH, seed=seed)
    latents[..., 0] = similarity
    return latents


def search(before: np.ndarray, after: np.ndarray, trained: np.ndarray, **keys: Any) -> dict[str, np.ndarray]:
    given = {"part": QUICK, "model": MODEL, "basis": FIRST, "seeds": SEEDS, **keys}
    return leakage(trained=trained, before=before, after=after, task=TASK, similarity=SIMILARITY, d_star=0.25, **given)


@pytest.fixture(scope="module")
def kept() -> dict[str, np.ndarray]:
    latents = axis_coded(SIMILARITY)
    return search(latents, latents, axis_coded(TRAINED_SIMILARITY, seed=1))


@pytest.fixture(scope="module")
def replaced() -> dict[str, np.ndarray]:
    """What is found where every item has the latents of the bystander next to it."""
    latents = axis_coded(SIMILARITY)
    near = nearest_bystander(TASK.grid.inputs, SIMILARITY)
    return search(latents, latents[:, near], axis_coded(TRAINED_SIMILARITY, seed=1))


@pytest.fixture(scope="module")
def drowned() -> dict[str, np.ndarray]:
    """What is found where nothing but noise is left of a concept of which bystanders knew nothing."""
    return search(axis_coded(BEYOND), noise(len(SIMILARITY), WIDTH, seed=2), noise(len(TASK.train), WIDTH, seed=3))


def test_a_concept_on_an_axis_is_found(kept: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(kept["leak_lin"], 1)
    np.testing.assert_array_equal(kept["leak_mlp"], 1)
    assert (kept["leak_lin_auroc"] > 0.99).all()
    assert (kept["leak_mlp_auroc"] > 0.98).all()
    assert (kept["leak_ctrl"] > 0.35).all()
    assert (kept["leak_mdl"] > 1.5).all()


def test_what_the_bystanders_know_of_a_concept_is_no_leak(replaced: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(replaced["leak_lin"], 0)
    np.testing.assert_array_equal(replaced["leak_mlp"], 0)


def test_to_destroy_what_the_bystanders_know_too_is_less_than_no_leak() -> None:
    blank = np.zeros((len(SEEDS), len(SIMILARITY), WIDTH))
    found = search(axis_coded(SIMILARITY), blank, blank[:, : len(TASK.train)])
    assert (found["leak_lin"] < -0.5).all()
    assert (found["leak_mlp"] < -0.5).all()
    np.testing.assert_array_equal(found["leak_lin_auroc"], 0.5)
    np.testing.assert_array_equal(found["leak_ctrl"], 0)
    np.testing.assert_allclose(found["leak_mdl"], 1, atol=0.05)


def test_nothing_is_found_in_noise(drowned: dict[str, np.ndarray]) -> None:
    for name in ("leak_lin", "leak_mlp"):
        assert (np.abs(drowned[name]) < 0.15).all(), name
    for name in ("leak_lin_auroc", "leak_mlp_auroc"):
        assert (np.abs(drowned[name] - 0.5) < 0.25).all(), name
    assert (np.abs(drowned["leak_ctrl"]) < 0.2).all()
    assert ((drowned["leak_mdl"] > 0.85) & (drowned["leak_mdl"] < 1.05)).all()
    assert (drowned["leak_cert"] < 0.35).all()


def test_a_perceptron_finds_what_no_line_does() -> None:
    hidden = axis_coded(SIMILARITY)
    side = np.where(np.random.default_rng(5).random(len(SIMILARITY)) < 0.5, 1.0, -1.0)
    hidden[..., 0] *= side
    found = search(axis_coded(SIMILARITY), hidden, axis_coded(TRAINED_SIMILARITY, seed=1))
    assert (found["leak_lin"] < 0.1).all()
    assert (found["leak_mlp"] > 0.7).all()


def test_labels_that_mean_nothing_are_told_no_better_than_control_labels() -> None:
    gaps = []
    for seed in range(6):
        random = np.random.default_rng(seed)
        x, y = probes.standardized(axis_coded(SIMILARITY)[0]), TARGET.copy()
        orders = np.empty((4, len(y)), dtype=int)
        for order in orders:
            order[FIT], order[TEST] = random.permutation(FIT), random.permutation(TEST)
        y = y[orders[0]]
        gaps.append(probes.control_gap(x, y, FIT, TEST, list(orders[1:])))
    assert abs(np.mean(gaps)) < 0.12
    assert max(gaps) < 0.3


def test_labels_are_shorter_by_what_the_items_say_and_not_by_the_number_of_items() -> None:
    order = np.random.default_rng(0).permutation(len(TARGET))
    x = axis_coded(SIMILARITY)[0]
    clear, faint = (
        probes.compression(x, TARGET, order),
        probes.compression(x + 0.3 * noise(len(x), 4)[0], TARGET, order),
    )
    assert clear > faint > 1.05
    assert probes.compression(x, np.random.default_rng(1).permutation(TARGET), order) < 1.05
    constant = np.ones((len(x), 2))
    assert probes.compression(constant, TARGET, order) == pytest.approx(1, abs=0.05)


# --- lengths ---------------------------------------------------------------------------------------------------------


def suppressed(unit: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Take the positive part along each member's direction out."""
    inside = np.maximum((unit * along[:, None]).sum(-1, keepdims=True), 0)
    return unit - inside * along[:, None]


def test_lengths_tell_what_was_taken_out_until_they_are_made_one() -> None:
    unit, along = noise(len(SIMILARITY), WIDTH), noise(WIDTH, seed=1)
    unit, along = (each / np.linalg.norm(each, axis=-1, keepdims=True) for each in (unit, along))
    short, trained = suppressed(unit, along), noise(len(TASK.train), WIDTH)

    def found(after: np.ndarray, basis: np.ndarray, **keys: Any) -> np.ndarray:
        return search(unit, after, trained, basis=basis, part=Leakage(steps=1, shuffles=1), **keys)["leak_norm"]

    np.testing.assert_allclose(found(short, along[:, None]), 1)
    full = short / np.linalg.norm(short, axis=-1, keepdims=True)
    np.testing.assert_array_equal(found(full, along[:, None]), 0)
    one = found(short, along[1])
    assert one[1] == pytest.approx(1)
    assert (one[[0, 2]] < 0.9).all()
    pruned = unit[..., 2:]
    trained = trained[..., 2:]
    np.testing.assert_allclose(found(pruned, np.eye(WIDTH)[:2], model=MODEL.narrowed("bottleneck", 2)), 1)


def test_latents_of_no_length_have_no_channel() -> None:
    aligned = np.random.default_rng(0).random(50)
    assert probes.norm_channel(np.zeros((50, 3)), aligned) == 0
    assert probes.norm_channel(np.stack([aligned, np.zeros(50)], axis=-1), np.zeros(50)) == 0
    assert probes.norm_channel(np.stack([aligned, np.zeros(50)], axis=-1), -aligned) == 0
    assert probes.norm_channel(np.stack([aligned, np.zeros(50)], axis=-1), aligned) == pytest.approx(1)


# --- decoders --------------------------------------------------------------------------------------------------------


def colors(inputs: np.ndarray) -> np.ndarray:
    """Return latents that are the colours themselves."""
    return np.broadcast_to(np.pad(inputs, ((0, 0), (0, 1))), (len(SEEDS), len(inputs), WIDTH))


def certify(trained: np.ndarray, after: np.ndarray, model: Model = MODEL, steps: int = 250) -> np.ndarray:
    part = Leakage(steps=steps, hidden_dim=16)
    return certificate.certificate(part, model, trained, after, TASK, SIMILARITY, 0.25, SEEDS)


def test_a_new_decoder_brings_out_what_the_latents_still_have() -> None:
    whole = certify(colors(TASK.train.inputs), colors(TASK.grid.inputs))
    assert (whole > 0.9).all()
    kept, known = selectivity.bystanders(SIMILARITY), selectivity.bystanders(TRAINED_SIMILARITY)
    away = np.full(3, 2.0)  # far from all colours, so that a decoder knows it from them
    gone = certify(
        colors(np.where(known[:, None], TASK.train.inputs, away)),
        colors(np.where(kept[:, None], TASK.grid.inputs, away)),
    )
    mean = TASK.train.targets[~known].mean(0)  # the best guess where all that is not a bystander is one
    error = data.error(mean, TASK.grid.targets[selectivity.targets(SIMILARITY)]).mean()
    np.testing.assert_allclose(gone, 1 - error / 0.25, atol=0.1)
    assert (gone < whole - 0.1).all()
    untrained = certify(colors(TASK.train.inputs), colors(TASK.grid.inputs), steps=1)
    assert (untrained < whole - 0.2).all()


class Headless:
    """A model that has no decoder of its own."""


def test_a_model_without_a_decoder_is_certified_by_a_perceptron_also_of_a_single_number() -> None:
    trained, after = colors(TASK.train.inputs), colors(TASK.grid.inputs)
    headless: Any = Headless()
    assert (certify(trained, after, headless) > 0.9).all()
    single = certify(trained[..., :1], after[..., :1], headless)  # its red, which says something, but not all
    assert (single < certify(trained, after, headless) - 0.05).all()


def test_new_weights_are_not_those_that_the_model_began_with() -> None:
    keys = {"weights": np.ones(64), "seeds": SEEDS, "stream": "test", "part": Leakage(steps=1, lr=1e-12)}
    fresh = certificate.fit_decoders(MODEL, noise(64, WIDTH), noise(64, 3)[0], **keys)
    began = MODEL.unpack(MODEL.init(SEEDS))
    assert not any(torch.equal(fresh[name], began[name]) for name in fresh if name.startswith("decoder"))


# --- alone and among others -------------------------------------------------------------------------------------------


def of_models(seeds: list[int], edit: Callable[[Model, Params], Edited], **keys: Any) -> dict[str, np.ndarray]:
    params = {name: each.double() for name, each in MODEL.unpack(MODEL.init(seeds)).items()}
    edited = edit(MODEL, params)

    def latents(of: Edited, inputs: np.ndarray) -> np.ndarray:
        # of each member by itself: what is tested are the probes, not the models
        rows = [
            Edited(of.model, {name: each[i : i + 1] for name, each in of.params.items()}, of.edits)(
                torch.from_numpy(inputs)[None]
            ).sites["bottleneck"]
            for i in range(len(seeds))
        ]
        return torch.cat(rows).detach().numpy()

    before = latents(Edited(MODEL, params), TASK.grid.inputs)
    after, trained = latents(edited, TASK.grid.inputs), latents(edited, TASK.train.inputs)
    return search(before, after, trained, model=edited.model, seeds=seeds, part=Leakage(steps=20, shuffles=2), **keys)


def operated(operator: str) -> Callable[[Model, Params], Edited]:
    part: Intervention = next(each for each in tiny.trial().interventions if each.operator == operator)
    return lambda model, params: interventions.apply(part, [Axis(axis=0)], model, params)


@pytest.mark.parametrize("operator", ["suppress", "prune"])
def test_members_are_searched_alone_as_among_others(operator: str) -> None:
    together = of_models([7, 8, 9, 10, 11], operated(operator))
    for seeds in ([9], [1, 9]):
        alone = of_models(seeds, operated(operator))
        assert set(alone) == set(together)
        for name, values in alone.items():
            np.testing.assert_array_equal(values[-1], together[name][2], err_msg=name)
    assert all(len(set(together[name])) > 1 for name in ("leak_lin", "leak_mlp", "leak_mdl", "leak_cert"))


def test_a_member_that_broke_has_no_numbers_and_leaves_those_of_others_alone() -> None:
    before, trained = axis_coded(SIMILARITY), axis_coded(TRAINED_SIMILARITY)
    after = before.copy()
    part = Leakage(steps=5, shuffles=1)
    whole = search(before, after, trained, part=part)
    after[1, 3, 2] = np.nan
    found = search(before, after, trained, part=part)
    for name, values in found.items():
        assert np.isnan(values[1]), name
        np.testing.assert_array_equal(values[[0, 2]], whole[name][[0, 2]])
        assert np.isfinite(values[[0, 2]]).all(), name


# --- pieces ----------------------------------------------------------------------------------------------------------


def test_probes_are_not_tested_on_what_they_learned_from() -> None:
    assert not set(FIT) & set(TEST)
    assert sorted([*FIT, *TEST]) == list(range(len(SIMILARITY)))
    for group in (selectivity.targets(SIMILARITY), selectivity.bystanders(SIMILARITY)):
        assert abs(group[FIT].sum() - group[TEST].sum()) <= 1
    again = halves(SIMILARITY)
    assert (again[0] == FIT).all()
    assert (again[1] == TEST).all()


def test_a_concept_of_too_few_items_is_refused() -> None:
    few = np.where(np.arange(100) < 3, 1.0, 0.0)
    with pytest.raises(PrepeError, match=r"leakage: 3 of the 100 items .* allowed: 4 to 96"):
        halves(few)
    with pytest.raises(PrepeError, match="leakage: 100 of the 100 items"):
        halves(np.ones(100))
    fit, test = halves(np.where(np.arange(100) < 4, 1.0, 0.0))
    assert (fit < 4).sum() == (test < 4).sum() == 2


def test_the_nearest_bystander_is_a_bystander_and_none_is_nearer() -> None:
    near = nearest_bystander(TASK.grid.inputs, SIMILARITY)
    others = selectivity.bystanders(SIMILARITY)
    assert others[near].all()
    assert (near[others] == np.flatnonzero(others)).all()
    item = TASK.grid.names.index("#ff0000")
    distance = ((TASK.grid.inputs[others] - TASK.grid.inputs[item]) ** 2).sum(-1)
    assert ((TASK.grid.inputs[near[item]] - TASK.grid.inputs[item]) ** 2).sum() == pytest.approx(distance.min())
    assert (nearest_bystander(TASK.grid.inputs, np.ones(len(SIMILARITY))) == 0).all()


def test_an_excess_is_finite_where_a_concept_was_nothing_beyond_its_bystanders() -> None:
    found = excess(np.array([0.5, 0.3, 0.5]), np.array([0.9, 0.3, 0.29]), np.array([0.1, 0.3, 0.3]))
    np.testing.assert_allclose(found, [0.5, 0, 4])


def test_rounding_is_not_taken_for_information() -> None:
    x = noise(100, 3)[0]
    x[:, 1] *= 1e-12
    x[:, 2] = 5 + 1e-15 * x[:, 2]
    found = probes.standardized(x)
    np.testing.assert_allclose(found.std(0), [1, 0, 0])
    assert (probes.standardized(np.zeros((10, 2))) == 0).all()
    assert (probes.standardized(np.full((10, 2), 0.1)) == 0).all()


def test_the_logistic_probe_is_where_a_general_minimiser_ends() -> None:
    random = np.random.default_rng(0)
    x = probes.standardized(random.normal(size=(400, 3)))
    y = (x @ [2, -1, 0] + random.normal(size=400) > 2.5).astype(float)
    for importance, prior in ((np.ones(400), -2.0), (probes.balanced(y), 0.0)):

        def loss(w: np.ndarray, a: np.ndarray = importance, prior: float = prior) -> float:
            logits = x @ w[:3] + w[3]
            each = np.logaddexp(0, logits) - y * logits
            return float((a * each).sum() + ((w[:3] ** 2).sum() + (w[3] - prior) ** 2) / 2)

        expected = minimize(loss, np.zeros(4), tol=1e-10).x
        np.testing.assert_allclose(probes.logistic(x, y, importance, prior), expected, atol=1e-2)
        assert (importance[y > 0].sum() == pytest.approx(200)) == (prior == 0)


def test_probes_of_separable_labels_stay_finite() -> None:
    x = probes.standardized(np.linspace(-1, 1, 200)[:, None])
    y = (x[:, 0] > 1).astype(float)
    weights = probes.logistic(x, y, probes.balanced(y))
    assert np.isfinite(weights).all()
    assert probes.balanced_accuracy(y, probes.predicted(x, weights)) > 0.9
    none = np.zeros(len(x))
    assert np.isfinite(probes.logistic(x, none, prior=-3.0)).all()
    assert np.isfinite(probes.balanced(none)).all()


def test_scores_are_what_they_are_by_hand() -> None:
    y = np.array([0.0, 0, 1, 1])
    assert probes.auroc(y, np.array([1.0, 2, 3, 4])) == 1
    assert probes.auroc(y, np.array([1.0, 3, 2, 4])) == 0.75
    assert probes.auroc(y, np.ones(4)) == 0.5
    assert probes.balanced_accuracy(y, np.array([-1.0, 1, 1, 1])) == 0.75
    assert probes.r2(y, np.array([0.0, 0, 1, 1])) == 1
    assert probes.r2(y, np.array([5.0, 0, 1, 1])) == 0
    assert probes.r2(np.ones(3), np.ones(3)) == 0
    x = np.random.default_rng(0).normal(size=(50, 2))
    np.testing.assert_allclose(probes.predicted(x, probes.ridge(x, x @ [1, 2] + 3)), x @ [1, 2] + 3, atol=0.02)


def test_a_search_is_part_of_a_digest_only_where_it_is_asked_for() -> None:
    plain = tiny.table()["interventions"][0]
    asked = spec.trial(tiny.table(interventions=[{**plain, "leakage": {"steps": 7}}])).interventions[0]
    assert asked.leakage == Leakage(steps=7)
    bare = spec.trial(tiny.table(interventions=[plain])).interventions[0]
    assert bare.leakage is None
    assert "leakage" not in bare.model_dump()
    assert "leakage" in asked.model_dump()
