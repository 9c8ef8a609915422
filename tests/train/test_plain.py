"""Training against a plain loop, in every way that a specification can ask for."""

from typing import Any

import numpy as np
import pytest
import tiny
import torch

from prepe import data, models
from prepe.data import streams
from prepe.spec import Training

from .plain import FORMULAS, plain_training
from .same import Rows, history, run

CUBE: dict[str, Any] = {"kind": "hsv_cube", "hues": 12, "saturations": 3, "values": 3}
FREE: dict[str, Any] = {**tiny.TABLE["model"], "normalize": "none", "output": "sigmoid"}
PURE: dict[str, Any] = {"saturations": [1.0], "values": [1.0]}
SIX = ["red", "yellow", "green", "cyan", "blue", "magenta"]
TERMS: dict[str, Any] = {
    "captured": {"kind": "anchor_captured", "items": SIX},
    "euclidean": {"kind": "anchor_euclidean", "direction": {"axis": 1, "sign": -1}, "radius": 0.7},
    "plane": {"kind": "planarity"},
    "repel": {"kind": "repel_euclidean", "axes": [0, 1]},
    "norm": {"kind": "unit_norm", "site": "bottleneck"},
}
WEIGHTS = {"captured": 3.0, "euclidean": 0.02, "plane": 0.1, "repel": 1e-6, "norm": 0.05}


def frames(*later: dict[str, Any], lr: float = 0.01, **first: Any) -> dict[str, Any]:
    """Return a schedule that begins with all weights of `TERMS`."""
    return {"batch_size": 16, "steps": 40, "keyframes": [{"step": 0, "lr": lr, **WEIGHTS, **first}, *later]}


def labelled(**own: Any) -> dict[str, Any]:
    red = {"concept": "redness", "power": 2, "rate": 0.5, **own}
    data_part = {**tiny.TABLE["data"], "labels": {"red": red, "vibrant": tiny.TABLE["data"]["labels"]["vibrant"]}}
    return {**tiny.constant(steps=40, anchor=0.3, subspace=0.1), "data": data_part}


CURRICULUM = {
    "data": {**CUBE, "opened_by": {"hue": "focus", "vivid": "vibrancy"}, "weigh": True},
    "model": FREE,
    "terms": TERMS,
    "schedule": {
        **frames(
            {"step": 10, "phase": "B", "actions": ["anchor"], "lr": 0.02, "hue": 0.2},
            {"step": 25, "phase": "C", "actions": ["other"], "hue": 0.6, "vivid": 0.3, "repel": 0.0},
            {"step": 39, "hue": 1.0, "vivid": 0.9},
            phase="A",
            hue=0.0,
            vivid=0.2,
        ),
        "phases": {
            "A": {"data": {"hues": 6, **PURE, "draw": "all", "opened_by": {}, "weigh": False}},
            "C": {"batch_size": 24},
        },
    },
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "no term": tiny.constant(lr=0.01),
    **{name: tiny.constant(lr=0.01, **{name: 0.1}) for name in tiny.TERMS},
    "all terms on a schedule": {},
    "ReLU": {"model": {**tiny.TABLE["model"], "activation": "relu"}},
    "sigmoid, any length": {"model": FREE},
    "separation without a shift": {
        "terms": {"spread": {"kind": "separate", "power": 10, "shift": False}},
        "schedule": {"batch_size": 16, "steps": 40, "keyframes": [{"step": 0, "lr": 0.01, "spread": 0.01}]},
    },
    "a curriculum": CURRICULUM,
    "phases of fixed data": {
        **CURRICULUM,
        "data": {**CUBE, "weigh": True},
        "schedule": {
            **frames(
                {"step": 10, "phase": "B", "actions": ["anchor"], "lr": 0.02},
                {"step": 25, "phase": "C", "repel": 0.0},
                phase="A",
            ),
            "phases": {"B": {"data": {"hues": [0.0, 0.3, 0.7], "draw": "all"}}, "C": {"batch_size": 7}},
        },
    },
    "an epoch with a short last batch": {**labelled(), "data": {**labelled()["data"], "epoch": 39}},
    "a weight of the reconstruction": {
        "schedule": {**tiny.TABLE["schedule"], "keyframes": [
            {**tiny.TABLE["schedule"]["keyframes"][0], "loss-recon": 2.0}, *tiny.TABLE["schedule"]["keyframes"][1:-1],
            {**tiny.TABLE["schedule"]["keyframes"][-1], "loss-recon": 0.1}]},
    },
    "a direction that is a logit": {
        "terms": {"red": {"kind": "classify", "direction": {"axis": 1}, "label": "red", "positive": 3, "scale": 4}},
        "schedule": {"batch_size": 16, "steps": 40, "keyframes": [{"step": 0, "lr": 0.01, "red": 0.3}]},
    },
    "a fallback": {
        "terms": {"grey": {"kind": "fallback", "direction": {"axis": 0, "sign": -1}}},
        "schedule": {"batch_size": 16, "steps": 40, "keyframes": [{"step": 0, "lr": 0.01, "grey": 0.5}]},
    },
    "routed gradients": {**tiny.constant(steps=40), "routes": {"red": {"axes": [2], "label": "red"}}},
    "soft labels": labelled(soft=True),
    "labels that are missed": labelled(missed=0.7),
    "labels that are false": labelled(false=0.2),
}  # fmt: skip


def assert_plain(training: Training, seeds: list[int], **ways: Any) -> None:
    """Compare the last of some members; that the others are as if alone too is in `test_company`."""
    trained = run(training, seeds)
    rows = history(trained)
    params, parts = plain_training(training, seeds[-1], **ways)
    initial = models.build(training.model, data.task(training.data)).init(seeds)[-1]
    moved = (params - initial).abs().max()
    assert moved > 0.1
    difference = (trained.params[-1].double() - params).abs().max()
    assert difference < 1e-5 * moved + 1e-5
    assert {key for key in rows if key[1] in ("loss", "term", "label") and key[2] != "any"} == set(parts)
    for key, value in parts.items():
        assert rows[key][-1] == pytest.approx(float(value), rel=1e-4, abs=1e-6), key


@pytest.mark.parametrize("case", CASES)
def test_training_is_that_of_a_plain_loop_with_the_framework_adam(case: str) -> None:
    assert_plain(tiny.training(**CASES[case]), [2, 5])


def test_every_term_without_a_user_is_in_some_loop_above() -> None:
    from prepe.catalog import TERMS as ALL

    used = {term.kind for case in CASES.values() for term in tiny.training(**case).terms.values()}
    assert used == {*FORMULAS, "anchor_captured", "classify", "fallback"} == set(ALL)


def parts_of(training: Training, **ways: Any) -> Rows:
    return {key: value for key, value in plain_training(training, 2, **ways)[1].items() if key[1] == "loss"}


@pytest.mark.parametrize("ways", [{"behind": 0}, {"behind": 2}, {"late": 1}, {"late": -1}])
def test_the_loop_can_tell_when_data_open_and_when_items_are_captured(ways: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        assert_plain(tiny.training(**CURRICULUM), [2], **ways)


def test_items_are_captured_before_the_update_of_the_actions_step() -> None:
    rows = history(run(tiny.training(**CASES["phases of fixed data"]), [0, 1]))
    drift = np.array([rows[step, "term", "captured"] for step in range(40)])
    assert (drift[:11] == 0).all()
    assert (drift[11:] > 0).all()


def test_every_action_captures_for_the_terms_that_wait_for_it() -> None:
    terms = {name: {"kind": "anchor_captured", "items": SIX, "action": name} for name in ("first", "second")}
    keys = [
        {"step": 0, "lr": 0.01, "first": 0.1, "second": 0.1},
        {"step": 3, "actions": ["first", "none"]},
        {"step": 6, "actions": ["second", "first"]},
    ]
    rows = history(run(tiny.training(terms=terms, schedule={"steps": 9, "keyframes": keys, "batch_size": 16}), [0]))
    drift = {name: [rows[step, "term", name][0] for step in range(9)] for name in terms}
    assert [value > 0 for value in drift["first"]] == [False] * 4 + [True] * 2 + [False] + [True] * 2
    assert [value > 0 for value in drift["second"]] == [False] * 7 + [True] * 2
    assert drift["first"][7:] == drift["second"][7:]


def test_steps_go_on_from_one_chunk_of_draws_to_the_next() -> None:
    training = tiny.training(**tiny.constant(lr=0.003, steps=2 * streams.CHUNK + 10, anti_subspace=0.1))
    params, _ = plain_training(training, 4)
    assert (run(training, [4]).params[0].double() - params).abs().max() < 1e-4


def test_a_learning_rate_of_zero_leaves_the_initial_parameters() -> None:
    training = tiny.training(**tiny.constant(lr=0.0, steps=5, anti_subspace=0.1))
    trained = run(training, [3, 1])
    initial = models.build(training.model, data.task(training.data)).init([3, 1])
    assert torch.equal(trained.params, initial)
    assert not torch.equal(run(tiny.training(**tiny.constant(lr=1e-4, steps=1)), [3, 1]).params, initial)
