"""Directions found in members after training, erasers, and what else is made of labels: routes and retrained models."""

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from scipy.optimize import minimize
from torch import Tensor

from prepe import catalog, data, evaluate, interventions, models, train
from prepe.catalog import Unlike, Vector
from prepe.errors import PrepeError
from prepe.interventions import FITS, Edited, Eraser, Labelled, leace
from prepe.metrics import geometry, selectivity
from prepe.models import Autoencoder

SEEDS = [3, 4, 5]


def cloud(members: int = 2, items: int = 60) -> Labelled:
    """Latents in four dimensions, of which the labelled lie to one side, and how often each was drawn."""
    rng = np.random.default_rng(members)
    positive = rng.integers(0, 3, (members, items)) * (rng.random(items) < 0.4)
    negative = rng.integers(0, 5, (members, items))
    mix = rng.normal(size=(4, 4))
    latents = (rng.normal(size=(members, items, 4)) + 1.5 * positive[..., None] * [1, 0, 0.5, 0]) @ mix
    return Labelled(*(torch.from_numpy(each.astype(float)) for each in (latents, positive, negative)))


def spread_out(labelled: Labelled, member: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a member's latents as often as they were drawn, `(draws, 4)`, and their labels."""
    x = labelled.latents[member].numpy()
    counts = [each[member].numpy().astype(int) for each in (labelled.positive, labelled.negative)]
    return np.concatenate([np.repeat(x, n, axis=0) for n in counts]), np.repeat([1, 0], [n.sum() for n in counts])


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def by_hand(name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    gap = x[y == 1].mean(0) - x[y == 0].mean(0)
    if name == "class_mean":
        return x[y == 1].mean(0)
    if name == "mean_difference":
        return gap
    if name == "discriminant":
        within = sum(np.cov(x[y == k].T, bias=True) * (y == k).sum() for k in (0, 1)) / len(y)
        return np.linalg.solve(within, gap)
    weight = np.where(y == 1, 0.5 / (y == 1).sum(), 0.5 / (y == 0).sum())

    def loss(w: np.ndarray) -> float:
        z = x @ w[:-1] + w[-1]
        return float((weight * (np.logaddexp(0, z) - y * z)).sum() + 0.5e-3 * (w[:-1] ** 2).sum())

    return minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-10}).x[:-1]


@pytest.mark.parametrize("name", FITS)
def test_a_fit_over_counts_is_the_fit_over_the_draws_themselves(name: str) -> None:
    labelled = cloud()
    found = FITS[name](labelled).numpy()
    for member in range(2):
        expected = unit(by_hand(name, *spread_out(labelled, member)))
        np.testing.assert_allclose(found[member], expected, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_an_eraser_is_that_of_the_package_of_its_authors() -> None:
    from concept_erasure import LeaceEraser  # importing it warns

    labelled = cloud()
    eraser = leace(labelled)
    for member in range(2):
        x, y = (torch.from_numpy(each) for each in spread_out(labelled, member))
        theirs = LeaceEraser.fit(x, y.double(), svd_tol=1e-6, shrinkage=False, constrain_cov_trace=False)
        ours = x - (x - eraser.centre[member]) @ eraser.projection[member].mT
        torch.testing.assert_close(ours, theirs(x), rtol=0, atol=1e-8)


def test_nothing_of_a_label_is_left_to_a_linear_eye_after_erasing() -> None:
    labelled = cloud()
    eraser = leace(labelled)
    erased = interventions.edits.erase(eraser)(labelled.latents)
    after = Labelled(erased, labelled.positive, labelled.negative)
    assert (labelled.mean(labelled.positive) - labelled.mean(labelled.negative)).norm(dim=-1).min() > 0.5
    torch.testing.assert_close(after.mean(after.positive), after.mean(after.negative), rtol=0, atol=1e-10)


def test_an_eraser_that_would_erase_nothing_is_an_error() -> None:
    labelled = cloud()
    everywhere = Labelled(labelled.latents, labelled.positive + 1, 2 * (labelled.positive + 1))
    with pytest.raises(ValueError, match="leace would erase nothing"):
        leace(everywhere)
    with pytest.raises(ValueError, match="leace would erase nothing"):
        leace(Labelled(labelled.latents, 0 * labelled.positive, labelled.negative))


def test_a_few_labels_in_very_many_draws_are_enough_for_an_eraser() -> None:
    labelled = cloud()
    rare = Labelled(labelled.latents, labelled.positive, 1000 * labelled.negative)
    assert isinstance(leace(rare), Eraser)
    assert (torch.linalg.matrix_norm(leace(rare).projection) > 0.9).all()


# --- in a trial ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained() -> train.Trained:
    return train.train(tiny.training(), SEEDS, device="cpu")


@pytest.fixture(scope="module")
def plain(trained: train.Trained) -> Edited:
    part = tiny.training()
    model = models.build(part.model, data.task(part.data))
    return Edited(model, model.unpack(trained.params.double()))


def with_intervention(operator: str, **own: Any) -> Any:
    return tiny.trial(
        interventions=[{"label": "x", "operator": operator, "concept": "red", "power": 3, **own}],
    )


def edited(plain: Edited, operator: str, **own: Any) -> Edited:
    whole = with_intervention(operator, **own)
    return evaluate.edit(whole, whole.interventions[0], data.task(whole.training.data), SEEDS, plain)


def latents(of: Edited) -> Tensor:
    x = torch.as_tensor(data.task(tiny.training().data).train.inputs)
    return of(x.expand(len(SEEDS), *x.shape)).sites["bottleneck"]


def test_labels_are_counted_as_training_drew_them(trained: train.Trained) -> None:
    for label in ("red", "vibrant"):
        with_it, without = train.label_counts(tiny.training(), SEEDS, label)
        assert with_it.sum(-1).tolist() == trained.labels_drawn[label].tolist()
        assert ((with_it + without).sum(-1) == 60 * 16).all()
        chance = data.task(tiny.training().data).label_probability[label]
        assert (with_it[:, chance == 0] == 0).all()


def test_labels_are_those_that_a_model_without_terms_draws_too() -> None:
    other = tiny.training(**tiny.constant(steps=60, batch_size=16))
    for mine, others in zip(
        *(train.label_counts(each, SEEDS, "red") for each in (tiny.training(), other)), strict=True
    ):
        np.testing.assert_array_equal(mine, others)


FOUND = [{"fitted": name, "label": "red"} for name in FITS] + [
    {"fitted": "mean_difference"},
    {"fitted": "best_random", "candidates": 5},
]


@pytest.mark.parametrize("direction", FOUND)
def test_a_direction_that_was_found_is_taken_out_whatever_the_operator(
    plain: Edited, direction: dict[str, Any]
) -> None:
    projected = latents(edited(plain, "project", direction=direction, renormalize=True))
    folded = latents(edited(plain, "ablate", direction=direction))
    pruned = edited(plain, "prune", direction=direction)
    torch.testing.assert_close(projected, folded, rtol=0, atol=1e-9)
    outputs = [each(torch.rand(3, 50, 3, generator=torch.Generator().manual_seed(1)).double()).outputs
               for each in (edited(plain, "ablate", direction=direction), pruned)]  # fmt: skip
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-9)
    assert pruned.model.part.sites()["bottleneck"] == 3
    rank = torch.linalg.matrix_rank(folded - 0 * folded, tol=1e-8)
    assert (rank == 3).all()


def test_suppression_of_what_was_found_is_that_of_the_vector_itself(plain: Edited) -> None:
    whole = with_intervention("suppress", direction={"fitted": "class_mean", "label": "red"})
    task, part = data.task(whole.training.data), whole.interventions[0]
    for i, seed in enumerate(SEEDS):
        alone = Edited(plain.model, {name: each[i : i + 1] for name, each in plain.params.items()})
        given = evaluate.pinned(whole, part, task, seed, alone)
        assert isinstance(given.direction, Vector)
        one = interventions.apply(given, [given.direction], plain.model, alone.params)
        x = torch.as_tensor(task.train.inputs)[None]
        expected = evaluate.edit(whole, part, task, SEEDS, plain)(x.expand(3, *x.shape[1:])).outputs[i : i + 1]
        torch.testing.assert_close(one(x).outputs, expected, rtol=0, atol=1e-12)


def test_the_best_of_many_random_directions_is_at_least_as_good_as_that_of_few(plain: Edited) -> None:
    task = data.task(tiny.training().data)
    grades = task.similarities["hsv"](task.train.inputs, task.item("red"))

    def score(candidates: int) -> np.ndarray:
        chosen = edited(plain, "suppress", direction={"fitted": "best_random", "candidates": candidates})
        x = torch.as_tensor(task.train.inputs).expand(3, *task.train.inputs.shape)
        before, after = (
            data.error(each(x).outputs.clamp(0, 1).numpy(), task.train.targets) for each in (plain, chosen)
        )
        return selectivity.concordance(after - before, 0.25 * grades**3)

    few, many = score(1), score(40)
    assert (many >= few).all()
    assert (many > few).any()


def test_skill_is_zero_for_random_directions_and_one_for_the_same() -> None:
    vectors = np.random.default_rng(0).normal(size=(20_000, 5))
    cos = np.abs(vectors[:, 0]) / np.linalg.norm(vectors, axis=-1)
    assert abs(geometry.beyond_chance(cos, 5).mean()) < 0.01
    assert geometry.beyond_chance(np.array([1.0]), 64) == pytest.approx(1.0)
    assert geometry.beyond_chance(np.array([0.375]), 5) == pytest.approx(0, abs=1e-3)


def test_a_retrained_model_is_the_one_trained_without_the_concept(plain: Edited) -> None:
    whole = with_intervention("retrain", above=0.3)
    part = whole.training.without((Unlike(item="red", above=0.3, similarity="hsv"),))
    assert part.terms == {}
    task = data.task(part.data)
    assert task.similarities["hsv"](task.train.inputs, task.item("red")).max() <= 0.3
    assert 0 < len(task.train) < 64
    expected = plain.model.unpack(train.train(part, SEEDS, device="cpu").params.double())
    found = edited(plain, "retrain", above=0.3)
    assert all(torch.equal(found.params[name], each) for name, each in expected.items())


def test_weights_drawn_anew_are_not_those_that_training_began_with(plain: Edited) -> None:
    found, again = edited(plain, "reset"), edited(plain, "reset")
    began = plain.model.unpack(plain.model.init(SEEDS).double())
    for name, each in found.params.items():
        assert torch.equal(each, again.params[name])
        assert not torch.isclose(each, began[name]).all()


def test_data_that_are_unlike_everything_are_refused() -> None:
    every = tuple(Unlike(item=item, above=0, similarity="lab") for item in catalog.NAMED_COLORS)
    with pytest.raises(PrepeError, match=r"data.unlike\[\d+\].above: 0 leaves no item"):
        data.task(catalog.RgbGrid(kind="rgb_grid", size=2, unlike=every))


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"operator": "erase"}, "the operator 'erase' goes with a direction fitted = 'leace'"),
        ({"operator": "project", "direction": {"fitted": "leace"}}, "goes with a direction fitted = 'leace'"),
        ({"operator": "project", "direction": {"fitted": "nearest"}}, "fitted"),
        ({"operator": "project", "direction": {"fitted": "logistic", "label": "blue"}}, "no data produces the label"),
        ({"operator": "project", "direction": {"fitted": "best_random", "label": "red"}}, "has no label"),
        ({"operator": "ablate", "renormalize": True}, "renormalize"),
    ],
)
def test_what_cannot_be_found_or_done_is_refused_with_what_can(own: dict[str, Any], message: str) -> None:
    with pytest.raises(PrepeError, match=message):
        with_intervention(**own)


# --- training by the same labels -------------------------------------------------------------------------------------


def routed(axes: list[int] | None) -> Any:
    routes = {"routes": {"red": {"axes": axes, "label": "red"}}} if axes else {}
    return tiny.training(**tiny.constant(steps=30, lr=0.01), **routes)


def test_a_route_through_every_axis_changes_nothing() -> None:
    free = train.train(routed(None), SEEDS, device="cpu").params
    assert torch.equal(train.train(routed([0, 1, 2, 3]), SEEDS, device="cpu").params, free)
    assert not torch.equal(train.train(routed([0]), SEEDS, device="cpu").params, free)


def test_gradients_of_labelled_samples_reach_what_writes_the_routes_axes_alone() -> None:
    part = tiny.training(
        model={**tiny.TABLE["model"], "normalize": "none"},
        **tiny.constant(steps=30),
        routes={"red": {"axes": [1], "label": "red"}},
    )
    task = data.task(part.data)
    model = models.build(part.model, task)
    assert isinstance(model, Autoencoder)

    def gradient(label: float) -> dict[str, Tensor]:
        state = train.State(model.init(SEEDS), 1)
        update = train.Update(model, {}, state, [0], {}, list(part.routes.values()))
        x = torch.as_tensor(task.train.inputs[:32], dtype=torch.float32).mT.expand(3, 3, 32).contiguous()
        batch = {"inputs": x, "targets": x, "label:red": torch.full((3, 32), label)}
        return model.unpack(update.parts_and_gradient(batch, torch.ones(1, 1))[1])

    free, held = gradient(0.0), gradient(1.0)
    (weight, _) = model.writers("bottleneck")
    assert (free[weight].abs().amax((0, 2)) > 0).all()
    assert (held[weight][:, [0, 2, 3]] == 0).all()
    torch.testing.assert_close(held[weight][:, 1], free[weight][:, 1])
    (reader,) = model.readers("bottleneck")
    torch.testing.assert_close(held[reader], free[reader])


@pytest.mark.parametrize(
    ("route", "message"),
    [
        ({"axes": [4], "label": "red"}, "axis 4 does not exist in 4 dimensions"),
        ({"axes": [0], "label": "blue"}, "no data produces the label 'blue'"),
        ({"axes": [0], "label": "red", "site": "encoder"}, "gradients cannot be routed at 'encoder'"),
    ],
)
def test_a_route_that_does_not_exist_is_refused(route: dict[str, Any], message: str) -> None:
    with pytest.raises(PrepeError, match=message):
        tiny.training(routes={"red": route})


def test_a_classified_axis_tells_the_labelled_from_the_others() -> None:
    """With a weight far above the task's, since there are sixty updates alone."""
    terms = {"classify": {"kind": "classify", "direction": {"axis": 0}, "label": "red", "positive": 2.0}}
    frame = {"step": 0, "lr": 0.03, "classify": 1.0}
    schedule = {"batch_size": 16, "steps": 200, "keyframes": [frame]}
    part = tiny.training(terms=terms, schedule=schedule)
    task = data.task(part.data)
    found = train.train(part, SEEDS, device="cpu")
    model = models.build(part.model, task)
    x = torch.as_tensor(task.named.inputs).expand(3, 17, 3)
    along = Edited(model, model.unpack(found.params.double()))(x).sites["bottleneck"][..., 0]
    names = task.named.names
    assert (along[:, names.index("red")] - along[:, names.index("cyan")]).min() > 0.5
    assert found.labels_used["red"].tolist() == found.labels_drawn["red"].tolist()
