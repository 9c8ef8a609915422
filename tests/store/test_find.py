"""Trials and sweeps are found by what a user types."""

from pathlib import Path

import pytest

from prepe import store
from prepe.errors import PrepeError

from .sample import ABLATE_CCC, FAILED, OWN, SHARED, Sample, proposal


@pytest.mark.parametrize("given", [SHARED, SHARED[:5], f" {SHARED[:8].upper()}"])
def test_a_trial_is_found_by_the_beginning_of_its_name(sample: Sample, given: str) -> None:
    found = store.trial_named(sample.root, given)
    assert found["trial"] == SHARED
    assert found["model"] == f"model-of-{SHARED}"
    assert found["seeds"] == list(range(12))
    assert found["blocks"] == ["0-5", "5-12"]
    assert [(row["sweep"], row["number"]) for row in found["proposals"]] == [("narrow", 0), ("wide", 0)]
    assert found["proposals"][0]["params"] == {"lr": 1, "wd": 0.5}
    assert found["proposals"][0]["objectives"] == {ABLATE_CCC: 0.5, "task_cost.median": 0.1}


def test_a_trial_that_failed_is_found_without_a_model(sample: Sample) -> None:
    found = store.trial_named(sample.root, FAILED)
    assert (found["trial"], found["model"], found["spec"], found["seeds"]) == (FAILED, None, None, [])
    assert found["proposals"][0]["error"] == "out of memory"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("aaaa", f"trial 'aaaa': 2 begin so in .*: {SHARED}, {OWN}; give more digits"),
        ("aaa", "trial 'aaa': too short; allowed: at least 4 digits"),
        ("cccd", f"trial 'cccd': none of the 3 trials in .* begins so, the nearest {FAILED}"),
        ("", "too short"),
    ],
)
def test_a_trial_that_cannot_be_told_is_said_with_what_there_is(sample: Sample, given: str, said: str) -> None:
    with pytest.raises(PrepeError, match=said):
        store.trial_named(sample.root, given)


@pytest.mark.parametrize("given", ["wide", "wide.toml", "sweeps/wide.toml", "../elsewhere/wide"])
def test_a_sweep_is_found_by_its_name_or_its_file(sample: Sample, given: str) -> None:
    assert store.sweep_named(sample.root, given) == "wide"


def test_a_name_with_dots_is_not_cut(sample: Sample) -> None:
    with pytest.raises(PrepeError, match=r"unknown sweep 'ex-2.9.1'"):
        store.sweep_named(sample.root, "sweeps/ex-2.9.1.toml")


def test_an_unknown_sweep_is_said_with_those_there_are(sample: Sample) -> None:
    with pytest.raises(
        PrepeError, match=r"results: unknown sweep 'wid' \(did you mean 'wide'\?\); allowed: narrow, wide"
    ):
        store.sweep_named(sample.root, "wid")


def test_a_sweep_of_one_trial_stands_for_it(sample: Sample) -> None:
    for given in ("wide", "sweeps/wide.toml"):
        assert store.trial_named(sample.root, given)["trial"] == SHARED
        found = store.proposal_named(sample.root, given)
        assert found is not None
        assert (found["trial"], found["members"]) == (SHARED, 12)
    assert store.proposal_named(sample.root, SHARED) is None


def test_of_a_sweep_with_several_trials_they_are_named(sample: Sample) -> None:
    with pytest.raises(PrepeError, match=f"^narrow: 2 trials; allowed: one of {SHARED}, {OWN}$"):
        store.trial_named(sample.root, "narrow")


def test_a_variant_is_found_and_an_unknown_one_is_answered_with_those_there_are(tmp_path: Path) -> None:
    sample = Sample(tmp_path)
    for number, (name, trial) in enumerate((("left", SHARED), ("right", OWN))):
        row = proposal("turned", number, trial, 5, 3, {"variant": name})
        store.write(sample.root, "proposals", f"turned-{number}", [row])
    assert store.trial_named(sample.root, "turned:right")["trial"] == OWN
    with pytest.raises(PrepeError, match="unknown variant 'up'; allowed: left, right"):
        store.trial_named(sample.root, "turned:up")
    with pytest.raises(PrepeError, match="turned: 2 trials; allowed: one of turned:left, turned:right"):
        store.trial_named(sample.root, "turned")
    with pytest.raises(PrepeError, match="unknown sweep 'turnt'"):
        store.trial_named(sample.root, "turnt:left")
