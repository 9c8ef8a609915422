"""Rules in training: each member reacts to its own losses, and nothing else does."""

from typing import Any

import numpy as np
import pytest
import tiny

from prepe import keyframes
from prepe.errors import PrepeError
from prepe.spec import Training
from prepe.sweep import Record
from prepe.train import Trained

from .same import assert_same_member, history, run

SEEDS = list(range(6))
MOVE = {"kind": "move", "name": "release", "measure": "recon", "below": 0.155, "smooth_steps": 3}
MOVE |= {"parameter": "separate", "to": 0.0, "steps": 4}
RATIO = {"kind": "ratio", "name": "hold", "measure": "anti_subspace", "of": "recon", "ratio": 0.05, "at_most": 0.4}
RATIO |= {"at_least": 0.05, "smooth_steps": 1, "from_step": 5}
EXTEND = {"kind": "extend", "name": "wait", "measure": "recon", "below": 0.155, "phase": "A", "at_most_steps": 9}
EXTEND |= {"smooth_steps": 2}
LAST = {**EXTEND, "name": "wait-more", "measure": "total", "phase": "C", "below": 0.025, "at_most_steps": 5}
TERMS: dict[str, Any] = {
    "anchor": tiny.TERMS["anchor"],
    "anti_subspace": tiny.TERMS["anti_subspace"],
    "separate": tiny.TERMS["separate"],
    "captured": {"kind": "anchor_captured", "items": ["red", "green"]},
}
DATA: dict[str, Any] = {
    "kind": "hsv_cube",
    "hues": 12,
    "saturations": 3,
    "values": 3,
    "opened_by": {"vivid": "vibrancy"},
    "weigh": True,
    "labels": {"red": {"concept": "redness", "power": 2, "rate": 0.5}},
}
KEYS = [
    {"step": 0, "phase": "A", "lr": 0.01, "anchor": 0.05, "anti_subspace": 0.2, "separate": 0.02, "captured": 1.0},
    {"step": 12, "phase": "B", "actions": ["anchor"], "lr": 0.02, "vivid": 0.2},
    {"step": 20, "phase": "C", "vivid": 0.9},
    {"step": 25, "lr": 0.005},
]
WITHOUT_END = {"hues": 6, "weigh": False, "opened_by": {}}
"""The first phase's own data, so that members in several phases draw from several sets."""


def ruled(*rules: dict[str, Any], **schedule: Any) -> Training:
    return tiny.training(
        data=DATA,
        model={**tiny.TABLE["model"], "normalize": "none", "output": "sigmoid"},
        terms=TERMS,
        schedule={
            "batch_size": 10,
            "keyframes": KEYS,
            "phases": {"A": {"data": WITHOUT_END}},
            "rules": list(rules),
            **schedule,
        },
    )


def series(trained: Trained, quantity: str, name: str) -> np.ndarray:
    """Return a row of the history at every update, `(updates, members)`; NaN where there is none."""
    rows = history(trained)
    nothing = np.full(len(trained.seeds), np.nan)
    updates = 1 + max(step for step, _, _ in rows)
    return np.array([rows.get((step, quantity, name), nothing) for step in range(updates)])


RECORD = Record(history_stride=1, checkpoints=(5, 21, 26), snapshots=(0,), shown_members=len(SEEDS))
RULES = {"move": (MOVE,), "ratio": (RATIO,), "extend": (EXTEND, LAST), "all": (MOVE, RATIO, EXTEND, LAST)}


@pytest.fixture(scope="module")
def together() -> dict[str, Trained]:
    return {name: run(ruled(*rules), SEEDS, RECORD) for name, rules in RULES.items()}


@pytest.mark.parametrize("name", RULES)
def test_a_member_with_rules_is_the_same_alone_and_among_others(name: str, together: dict[str, Trained]) -> None:
    for seed in SEEDS[::2]:
        alone = run(ruled(*RULES[name]), [seed], RECORD)
        assert_same_member(alone, 0, together[name], seed, apart=True)


@pytest.mark.parametrize("name", RULES)
def test_rules_are_reproducible_and_recorded_and_act_on_members_differently(
    name: str, together: dict[str, Trained]
) -> None:
    again = run(ruled(*RULES[name]), SEEDS, RECORD)
    for i in range(len(SEEDS)):
        assert_same_member(again, i, together[name], i)
    for rule in RULES[name]:
        acted = series(together[name], "rule", rule["name"])
        assert (acted[0] == 0).all()
        assert (np.diff(acted, axis=0) >= 0).all()
        assert len({tuple(each) for each in acted.T}) > 1 or rule["kind"] == "ratio"


@pytest.mark.parametrize(
    "rules",
    [
        [{**MOVE, "below": 1e-9}],
        [{**RATIO, "from_step": 25, "to_step": 25, "measure": "captured", "at_most": 1.0, "at_least": 1.0}],
        [{**EXTEND, "below": 9.0}, {**LAST, "below": 9.0}],
    ],
    ids=["move", "ratio", "extend"],
)
def test_rules_that_do_not_act_change_nothing(rules: list[dict[str, Any]]) -> None:
    fixed, idle = run(ruled(), SEEDS, RECORD), run(ruled(*rules), SEEDS, RECORD)
    idle.history = [row for row in idle.history if row[1] != "rule"]
    for i in range(len(SEEDS)):
        assert_same_member(fixed, i, idle, i)


def test_rules_change_what_is_learned(together: dict[str, Trained]) -> None:
    fixed = run(ruled(), SEEDS)
    for trained in together.values():
        assert (trained.params != fixed.params).any(-1).all()


def smoothed(values: np.ndarray, steps: int) -> np.ndarray:
    """Return m <- m + (x - m) / steps, from the first value on."""
    means = [values[0]]
    for value in values[1:]:
        means.append(means[-1] + (value - means[-1]) / steps)
    return np.array(means)


def test_a_move_begins_after_the_update_whose_smoothed_loss_is_past_the_threshold(together: dict[str, Trained]) -> None:
    trained = together["move"]
    measured = smoothed(series(trained, "loss", "recon"), 3)
    acted, weight = (series(trained, *row) for row in (("rule", "release"), ("hyperparameter", "separate")))
    for i in range(len(SEEDS)):
        past = np.flatnonzero(measured[:-1, i] < 0.155)
        first = past[0] if len(past) else 99
        assert acted[:, i].tolist() == [0] * min(first + 1, 26) + [1] * (25 - first)
        assert (weight[: first + 1, i] == 0.02).all()
        assert (weight[first + 5 :, i] == 0).all()
    last = series(trained, "term", "separate")
    np.testing.assert_array_equal(np.isnan(last), weight == 0)


def test_a_ratio_is_held_to_the_losses_of_the_update_before(together: dict[str, Trained]) -> None:
    trained = together["ratio"]
    recon, term = series(trained, "loss", "recon"), series(trained, "term", "anti_subspace")
    weight = series(trained, "hyperparameter", "anti_subspace")
    assert (weight[:5] == 0.2).all()
    np.testing.assert_allclose(weight[5:], np.clip(0.05 * recon[4:-1] / term[4:-1], 0.05, 0.4))
    assert len(np.unique(weight[5:])) > 20


def test_members_that_wait_end_at_different_updates_and_go_through_every_step(together: dict[str, Trained]) -> None:
    trained = together["extend"]
    total = series(trained, "loss", "total")
    waited = series(trained, "rule", "wait")[-1] + series(trained, "rule", "wait-more")[-1]
    assert len(set(waited.tolist())) > 2
    ran = np.isfinite(total)
    assert ran.sum(0).tolist() == (26 + waited).tolist()
    assert len(total) == 26 + waited.max()
    rates = keyframes.values_at(ruled().schedule, "lr", np.arange(26))
    learned = series(trained, "hyperparameter", "lr")
    for i, count in enumerate(waited.astype(int)):
        assert (np.diff(ran[:, i].astype(int)) <= 0).all()
        seen = learned[: 26 + count, i]
        assert np.unique(seen).tolist() == np.unique(rates).tolist()


def test_a_member_that_has_ended_is_counted_no_more(together: dict[str, Trained]) -> None:
    trained = together["extend"]
    ran = np.isfinite(series(trained, "loss", "total"))
    drawn = series(trained, "label", "red")
    for i in range(len(SEEDS)):
        assert (drawn[ran[:, i].sum() - 1 :, i] == trained.labels_drawn["red"][i]).all()


def test_checkpoints_of_members_that_wait_are_at_their_own_steps(together: dict[str, Trained]) -> None:
    trained = together["extend"]
    assert [(each.step, each.phase) for each in trained.checkpoints] == [
        (5, None), (12, "A"), (20, "B"), (21, None), (26, "C"),
    ]  # fmt: skip
    by_step = {each.step: each for each in trained.checkpoints}
    assert all(each.reached.all() for each in trained.checkpoints)
    assert (by_step[26].params == trained.params).all()
    waited = series(trained, "rule", "wait")[-1]
    for seed in SEEDS:  # who waits for n updates at a step is trained on as if it were n updates longer there
        longer = run(ruled({**EXTEND, "below": 1e-9, "at_most_steps": max(1, int(waited[seed]))}), [seed], RECORD)
        if waited[seed]:
            assert (longer.checkpoints[1].params[0] == by_step[12].params[seed]).all()
    unheld = run(ruled(), SEEDS, RECORD)
    assert (by_step[5].params == unheld.checkpoints[0].params).all()
    for seed in SEEDS:
        assert (by_step[12].params[seed] == unheld.checkpoints[1].params[seed]).all() == (waited[seed] == 0)


def test_items_are_captured_when_a_member_itself_comes_to_the_action(together: dict[str, Trained]) -> None:
    trained = together["extend"]
    drift, waited = series(trained, "term", "captured"), series(trained, "rule", "wait")[-1]
    for i, count in enumerate(waited.astype(int)):
        assert (drift[: 13 + count, i] == 0).all()
        assert (drift[13 + count : 26 + count, i] > 0).all()


def test_spikes_and_final_losses_are_of_a_members_own_updates(together: dict[str, Trained]) -> None:
    trained = together["extend"]
    total, waited = series(trained, "loss", "total"), series(trained, "rule", "wait")[-1].astype(int)
    np.testing.assert_allclose(trained.final_parts["total"], np.nanmean(total, axis=0), rtol=1e-6)
    for i, count in enumerate(waited):
        ratio = np.nanmax(total[12 + count :, i]) / np.median(total[: 12 + count, i])
        assert trained.phase_spikes[12][i] == pytest.approx(ratio, rel=1e-6)


def test_the_last_update_has_a_row_whatever_the_stride(together: dict[str, Trained]) -> None:
    trained = run(ruled(EXTEND, LAST), SEEDS, Record(history_stride=1000))
    steps = {step for step, _, _ in history(trained)}
    assert steps == {0, max(step for step, _, _ in history(together["extend"]))}


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {**DATA, "epoch": 100}},
        {"data": {**DATA, "draw": "all"}},
        {"phases": {"B": {"batch_size": 11}}},
        {"phases": {"A": {"data": {"draw": "all"}}}},
        {"phases": {"C": {"data": {"epoch": 100}}}},
    ],
    ids=str,
)
def test_members_that_wait_by_themselves_need_batches_of_one_size(changes: dict[str, Any]) -> None:
    def made(*rules: dict[str, Any]) -> Training:
        schedule = {"batch_size": 10, "keyframes": KEYS, "phases": changes.get("phases", {}), "rules": list(rules)}
        return tiny.training(data=changes.get("data", DATA), terms=TERMS, schedule=schedule)

    assert made().schedule.steps == made(MOVE).schedule.steps == 26
    with pytest.raises(PrepeError, match=r"schedule.rules\[1\]: members wait by themselves, .* no epoch and one batch"):
        made(MOVE, EXTEND)
