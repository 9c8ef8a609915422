"""What trains a model after a deletion: healing says what the concept should become, attacks bring it back."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from prepe import attacks, data, models, train, trial
from prepe.catalog import Heal, Recovery, RgbCodes
from prepe.errors import PrepeError
from prepe.metrics import selectivity
from prepe.models import Model
from prepe.spec import Trial

SEEDS = [0, 1, 2, 3]
TRAINING = tiny.training(**tiny.constant(lr=0.02, steps=400, batch_size=32))
TASK = data.task(TRAINING.data)
GRAY = TASK.item("gray")
SIMILARITY = TASK.similarities["hsv"](TASK.train.inputs, TASK.item("red"))
GRID_SIMILARITY = TASK.similarities["hsv"](TASK.grid.inputs, TASK.item("red"))


@pytest.fixture(scope="module")
def model() -> Model:
    return models.build(TRAINING.model, TASK)


@pytest.fixture(scope="module")
def deleted(model: Model) -> dict[str, Tensor]:
    """Trained members without their first axis."""
    params = model.unpack(train.train(TRAINING, SEEDS, device="cpu").params)
    weights = {name: each.clone() for name, each in params.items()}
    weights["encoder.1.weight"][:, 0] = 0
    weights["encoder.1.bias"][:, 0] = 0
    weights["decoder.0.weight"][..., 0] = 0
    return weights


def errors(model: Model, params: dict[str, Tensor], inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(inputs.astype(np.float32))
    with torch.no_grad():
        outputs = model(params, x.expand(len(SEEDS), *x.shape)).outputs.clamp(0, 1).numpy()
    return data.error(outputs, targets)


def healed(model: Model, deleted: dict[str, Tensor], seeds: list[int] = SEEDS, **keys: Any) -> dict[str, Tensor]:
    part = Heal.model_validate({"steps": 300, "lr": 0.01, **keys})
    return attacks.heal(part, model, deleted, TASK, SIMILARITY, GRAY, 3.0, seeds)


def test_healing_puts_the_fallback_where_the_concept_was(model: Model, deleted: dict[str, Tensor]) -> None:
    red = TASK.item("red")[None]
    before, after = (errors(model, each, red, GRAY[None])[:, 0] for each in (deleted, healed(model, deleted)))
    assert (after < before).all()
    assert after.max() < 0.05
    others = selectivity.bystanders(SIMILARITY)
    own = TASK.train.inputs[others]
    assert errors(model, healed(model, deleted), own, own).mean() < errors(model, deleted, own, own).mean()


def test_healing_on_the_rest_alone_knows_nothing_of_the_fallback(model: Model, deleted: dict[str, Tensor]) -> None:
    red = TASK.item("red")[None]
    rest, fallback = (healed(model, deleted, towards=each) for each in ("rest", "fallback"))
    assert errors(model, rest, red, GRAY[None]).mean() > 2 * errors(model, fallback, red, GRAY[None]).mean()


def test_what_was_deleted_by_weight_does_not_grow_back(model: Model, deleted: dict[str, Tensor]) -> None:
    again = healed(model, deleted)
    assert (again["encoder.1.weight"][:, 0] == 0).all()
    assert (again["decoder.0.weight"][..., 0] == 0).all()
    assert not torch.equal(again["encoder.1.weight"], deleted["encoder.1.weight"])


def test_members_are_healed_alone_as_among_others(model: Model, deleted: dict[str, Tensor]) -> None:
    together = healed(model, deleted)
    alone = healed(model, {name: each[2:3] for name, each in deleted.items()}, [2])
    assert all(torch.equal(alone[name][0], together[name][2]) for name in together)
    assert all(torch.equal(deleted[name], before) for name, before in deleted.items())


def test_healing_draws_by_the_seed(model: Model, deleted: dict[str, Tensor]) -> None:
    one = healed(model, {name: each[2:3] for name, each in deleted.items()}, [2], steps=3)
    other = healed(model, {name: each[2:3] for name, each in deleted.items()}, [9], steps=3)
    assert not torch.equal(one["decoder.1.weight"], other["decoder.1.weight"])


def recovered(model: Model, params: dict[str, Tensor], **keys: Any) -> dict[str, np.ndarray]:
    part = Recovery.model_validate({"steps": 200, "lr": 0.01, **keys})
    return attacks.recover(part, model, params, TASK, SIMILARITY, GRID_SIMILARITY, 0.25, SEEDS)


def test_an_attacker_with_everything_brings_the_concept_back(model: Model, deleted: dict[str, Tensor]) -> None:
    found = recovered(model, deleted, data="all", steps=400)
    target = selectivity.targets(GRID_SIMILARITY)
    inputs = TASK.grid.inputs[target]
    had = errors(model, deleted, inputs, inputs).mean(-1) > 0.05  # what an axis has no part in cannot come back
    assert had.any()
    assert (found["rebound"][had] > 0.3).all()
    assert (found["recover_auc"] >= 0).all()
    assert ((found["recover_steps"] >= 0) & (found["recover_steps"] <= 400)).all()


def test_an_attack_of_no_effect_leaves_its_numbers_at_their_ends(model: Model, deleted: dict[str, Tensor]) -> None:
    found = recovered(model, deleted, data="rest", steps=10, lr=1e-12)
    np.testing.assert_allclose(found["rebound"], 0, atol=1e-4)
    inputs = TASK.grid.inputs[selectivity.targets(GRID_SIMILARITY)]
    held_out = errors(model, deleted, inputs, inputs).mean(-1)
    gone = held_out > 0.1 * 0.25
    assert gone.any()
    assert (found["recover_steps"][gone] == 10).all()
    assert np.corrcoef(found["recover_auc"], held_out)[0, 1] > 0.9


def test_the_attackers_few_items_are_not_among_those_watched() -> None:
    (few, _), weights, held_out = attacks.split(Recovery(data="few", items=8), TASK, SIMILARITY, GRID_SIMILARITY)
    assert len(few) == len(weights) == 8
    seen = {tuple(each) for each in few}
    assert not seen & {tuple(each) for each in TASK.grid.inputs[held_out]}
    assert len(held_out) + 8 == selectivity.targets(GRID_SIMILARITY).sum()
    (_, _), weights, held_out = attacks.split(Recovery(data="all"), TASK, SIMILARITY, GRID_SIMILARITY)
    trained = {tuple(np.round(each, 9)) for each in TASK.train.inputs}
    assert not trained & {tuple(np.round(each, 9)) for each in TASK.grid.inputs[held_out]}
    (_, _), weights, _ = attacks.split(Recovery(data="rest"), TASK, SIMILARITY, GRID_SIMILARITY)
    assert ((weights > 0) == selectivity.bystanders(SIMILARITY)).all()


def test_a_curve_is_the_error_behind_the_numbers_of_an_attack(model: Model, deleted: dict[str, Tensor]) -> None:
    found = recovered(model, deleted, data="all", steps=52)
    curve, at = found["recover_curve"], found["recover_at"]
    assert at.tolist() == [*range(0, 51, 5), 52]
    assert curve.shape == (len(SEEDS), len(at))
    np.testing.assert_allclose(found["rebound"], 1 - curve[:, -1] / curve[:, 0])
    np.testing.assert_allclose(found["recover_auc"], np.trapezoid(curve, at) / 52)
    _, _, held_out = attacks.split(Recovery(data="all"), TASK, SIMILARITY, GRID_SIMILARITY)
    inputs = TASK.grid.inputs[held_out]
    np.testing.assert_allclose(curve[:, 0], errors(model, deleted, inputs, inputs).mean(-1) / 0.25, rtol=1e-5)


# --- arbitrary codes --------------------------------------------------------------------------------------------------


CODES = data.task(RgbCodes(kind="rgb_codes", size=3, bits=4))
CODES_SIMILARITY = CODES.similarities["hsv"](CODES.train.inputs, CODES.item("red"))


def test_where_every_item_is_trained_on_half_of_the_targets_are_kept_from_an_attacker_with_all() -> None:
    (inputs, _), weights, held_out = attacks.split(Recovery(data="all"), CODES, CODES_SIMILARITY, CODES_SIMILARITY)
    targets = np.flatnonzero(selectivity.targets(CODES_SIMILARITY))
    assert len(inputs) == len(CODES.train)
    assert len(held_out) == len(targets) // 2
    assert set(held_out) < set(targets)
    assert set(np.flatnonzero(weights == 0)) == set(held_out)
    again = attacks.split(Recovery(data="all"), CODES, CODES_SIMILARITY, CODES_SIMILARITY)[2]
    np.testing.assert_array_equal(again, held_out)


def test_a_few_codes_are_not_watched_and_the_rest_has_none() -> None:
    (few, targets), _, held_out = attacks.split(Recovery(items=8), CODES, CODES_SIMILARITY, CODES_SIMILARITY)
    reds = np.flatnonzero(selectivity.targets(CODES_SIMILARITY))
    assert targets.shape == (8, 4)
    assert len(held_out) == len(reds) - 8
    assert not {tuple(each) for each in few} & {tuple(each) for each in CODES.grid.inputs[held_out]}
    _, weights, held_out = attacks.split(Recovery(data="rest"), CODES, CODES_SIMILARITY, CODES_SIMILARITY)
    np.testing.assert_array_equal(np.sort(held_out), reds)
    assert not weights[reds].any()


def test_attacks_bring_no_code_into_a_model_that_never_saw_any() -> None:
    """Nothing can be extrapolated: given codes are learnt, and those that are not given stay a guess, or worse."""
    part = Recovery(data="all", steps=300, lr=0.02, batch_size=32)
    last = {}
    for name, task, *similarities in (
        ("codes", CODES, CODES_SIMILARITY, CODES_SIMILARITY),
        ("colours", TASK, SIMILARITY, GRID_SIMILARITY),
    ):
        fresh = models.build(TRAINING.model, task)
        params = fresh.unpack(fresh.init(SEEDS))
        found = attacks.recover(part, fresh, params, task, *similarities, 0.25, SEEDS)
        last[name] = found["recover_curve"][:, -1]
    assert last["codes"].min() > 0.8
    assert last["colours"].max() < 0.5


# --- a whole trial ----------------------------------------------------------------------------------------------------


def test_a_trial_has_rows_of_healed_and_attacked_models() -> None:
    base = {"operator": "ablate", "concept": "red", "power": 3.0}
    attack = {"data": "few", "items": 8, "steps": 20}
    rows = trial.run(
        tiny.trial(
            interventions=[
                {**base, "label": "bare"},
                {**base, "label": "healed", "heal": {"steps": 50}, "recovery": attack},
                {**base, "label": "pruned", "operator": "prune", "heal": {"steps": 50}, "recovery": attack},
            ]
        ),
        SEEDS,
        device="cpu",
    ).tables["effects"]
    by_label = {label: [row for row in rows if row["intervention"] == label] for label in ("bare", "healed", "pruned")}
    assert all(row["recover_steps"] is row["recover_curve"] is row["recover_at"] is None for row in by_label["bare"])
    assert all(len(row["recover_curve"]) == len(row["recover_at"]) == 5 for row in by_label["healed"])
    for row, pruned, bare in zip(by_label["healed"], by_label["pruned"], by_label["bare"], strict=True):
        assert 0 <= row["recover_steps"] <= 20
        assert row["score_ccc"] != bare["score_ccc"]
        assert row["score_ccc"] == pytest.approx(pruned["score_ccc"], abs=0.05)  # the same weights, in other shapes


def test_a_member_that_broke_in_training_has_no_curve() -> None:
    attack = {"label": "ablate", "operator": "ablate", "concept": "red", "power": 3.0, "recovery": {"steps": 5}}
    rows = trial.run(
        tiny.trial(**tiny.constant(lr=1e30, steps=5), interventions=[attack], twin=False), [0, 1], device="cpu"
    ).tables
    assert all(row["broken"] for row in rows["members"])
    assert all(row["recover_curve"] is row["recover_at"] is None for row in rows["effects"])


# --- what cannot be healed or attacked --------------------------------------------------------------------------------


def attacked(**part: Any) -> Trial:
    ablate = {"label": "ablate", "operator": "ablate", "concept": "red", "power": 3.0}
    return tiny.trial(interventions=[ablate, {**ablate, "label": "attacked", **part}], twin=False)


def test_without_a_bystander_there_is_nothing_to_draw() -> None:
    near = np.ones(len(TASK.train))
    with pytest.raises(PrepeError, match="towards: 'rest' stands here, and no training item is unlike the concept"):
        attacks.healing_weights(Heal(towards="rest"), TASK, near)
    with pytest.raises(PrepeError, match="data: 'rest' stands here, and no training item is unlike the concept"):
        attacks.split(Recovery(data="rest"), TASK, near, GRID_SIMILARITY)
    assert (attacks.healing_weights(Heal(), TASK, near) == TASK.weights).all()


def test_an_attacker_with_every_target_leaves_none_to_watch() -> None:
    targets = int(selectivity.targets(GRID_SIMILARITY).sum())
    with pytest.raises(PrepeError, match=f"items: {targets} of the {targets} target items .*: at most {targets - 1}"):
        attacks.split(Recovery(data="few", items=targets), TASK, SIMILARITY, GRID_SIMILARITY)
    _, _, held_out = attacks.split(Recovery(data="few", items=targets - 1), TASK, SIMILARITY, GRID_SIMILARITY)
    assert len(held_out) == 1
    known = replace(TASK, grid=TASK.train)
    assert selectivity.targets(SIMILARITY).sum() == 1, "a half of which is none"
    with pytest.raises(PrepeError, match="so none is left to watch"):
        attacks.split(Recovery(data="all"), known, SIMILARITY, SIMILARITY)


def test_an_impossible_attack_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    greedy = attacked(recovery={"items": 4000})
    with pytest.raises(PrepeError, match=r"interventions\[1\].recovery: items: 4000 of the \d+ target items"):
        trial.run(greedy, SEEDS, results=tmp_path, device="cpu")
    with pytest.raises(PrepeError, match=r"interventions\[1\].recovery"):
        trial.prepare([attacked(), greedy], SEEDS, tmp_path, device="cpu")
    assert not list(tmp_path.rglob("*.parquet"))


def test_each_of_several_concepts_is_healed_to_its_own_fallback() -> None:
    from prepe.evaluate.effects import Aim

    concepts = {
        "red": {"item": "red", "direction": {"axis": 0}, "fallback": "gray"},
        "blue": {"item": "blue", "direction": {"axis": 1}, "fallback": "white"},
    }
    part = {"label": "both", "operator": "ablate", "concept": ["red", "blue"], "power": 3.0}
    both = tiny.trial(concepts=concepts, interventions=[part])
    aim = Aim(both, both.interventions[0], TASK)
    names = ["red", "pink", "blue", "azure"]
    found = aim.fallback(np.array([TASK.item(name) for name in names]))
    expected = [TASK.item(name) for name in ("gray", "gray", "white", "white")]
    np.testing.assert_array_equal(found, expected)
