"""Specifications: digests that are names, canonical JSON, and the two experiments that share a model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

from prepe import spec, sweep
from prepe.errors import PrepeError
from prepe.spec import Trial

SWEEPS = Path(__file__).parents[1] / "sweeps"
Table = dict[str, Any]


def reversed_everywhere(value: Any) -> Any:
    """Return a table whose own tables all have their keys in the opposite order; lists stay as they are."""
    if isinstance(value, dict):
        return {key: reversed_everywhere(value[key]) for key in reversed(value)}
    return [reversed_everywhere(each) for each in value] if isinstance(value, list) else value


def as_floats(value: Any, path: tuple[str, ...] = ()) -> Any:
    """Return a table in which whole numbers that need not be whole are written with a point."""
    if isinstance(value, dict):
        return {key: as_floats(each, (*path, key)) for key, each in value.items()}
    if isinstance(value, list):
        return [as_floats(each, path) for each in value]
    whole = ("size", "latent_dim", "hidden_dim", "depth", "axis", "axes", "sign", "batch_size", "steps", "step")
    if not isinstance(value, int) or isinstance(value, bool) or path[-1] in whole or path[:2] == ("terms", "separate"):
        return value
    return float(value)


def changed(*path: str | int, value: Any) -> Callable[[Table], None]:
    """Return what puts a value at a path of a table."""

    def change(table: Table) -> None:
        at: Any = table
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value

    change.__name__ = ".".join(map(str, path))
    return change


TRAINING_CHANGES = [
    changed("data", "size", value=5),
    changed("data", "labels", "red", "rate", value=0.4),
    changed("data", "labels", "red", "power", value=2.5),
    changed("data", "labels", "red", "concept", value="vibrancy"),
    changed("data", "labels", "unused", value={"concept": "redness", "rate": 0.5}),
    changed("model", "latent_dim", value=5),
    changed("model", "hidden_dim", value=7),
    changed("model", "depth", value=2),
    changed("terms", "anchor", "direction", value={"axis": 1}),
    changed("terms", "anchor", "direction", value={"axis": 0, "sign": -1}),
    changed("terms", "anchor", "direction", value=[1, 0, 0, 0.5]),
    changed("terms", "anchor", "labels", value={"red": 0.5}),
    changed("terms", "anchor", "site", value="encoder"),
    changed("terms", "separate", "power", value=10),
    changed("terms", "separate", "shift", value=False),
    changed("terms", "subspace", "axes", value=[0, 2]),
    changed("schedule", "batch_size", value=17),
    changed("schedule", "final_step", value="repeat"),
    changed("schedule", "steps", value=61),
    changed("schedule", "keyframes", 2, "anchor", value=0.2),
    changed("schedule", "keyframes", 2, "step", value=41),
    changed("schedule", "keyframes", 4, "lr", value=0.02),
]
EVALUATION_CHANGES = [
    changed("concepts", "red", "item", value="pink"),
    changed("concepts", "red", "direction", value={"axis": 1}),
    changed("concepts", "red", "fallback", value="black"),
    changed("concepts", "red", "isolated", value=False),
    changed("concepts", "blue", value={"item": "blue", "direction": {"axis": 2}}),
    changed("interventions", 0, "label", value="other"),
    changed("interventions", 0, "power", value=3),
    changed("interventions", 0, "gate", value={"strength": 0.5}),
    changed("interventions", 1, "mapper", value={"end": 0.5}),
    changed("interventions", 2, "direction", value={"axis": 1}),
    changed("interventions", 3, "operator", value="ablate"),
]


def test_a_digest_is_sixteen_hexadecimal_digits() -> None:
    for name in (tiny.trial().digest(), tiny.training().digest()):
        assert len(name) == 16
        assert int(name, 16) >= 0


def test_a_digest_does_not_depend_on_the_order_of_tables() -> None:
    other = spec.trial(reversed_everywhere(tiny.table()))
    assert other.digest() == tiny.trial().digest()
    assert other.training.digest() == tiny.training().digest()
    assert list(other.training.terms) == list(tiny.training().terms)
    assert list(other.training.data.labels) == list(tiny.training().data.labels)


def test_a_digest_does_not_depend_on_whether_a_number_has_a_point() -> None:
    assert as_floats(tiny.table()) == tiny.table()
    assert json.dumps(as_floats(tiny.table())) != json.dumps(tiny.table())
    assert spec.trial(as_floats(tiny.table())).digest() == tiny.trial().digest()


def test_a_digest_does_not_depend_on_whether_a_default_is_written_out() -> None:
    table = tiny.table()
    table["schedule"] |= {"steps": 60, "final_step": "reach"}
    table["terms"]["anchor"]["direction"]["sign"] = 1
    table["terms"]["anti_anchor"]["form"] = "hemisphere"
    table["concepts"]["red"]["fallback"] = "gray"
    table["interventions"][0]["gate"] = {}
    assert spec.trial(table).digest() == tiny.trial().digest()


@pytest.mark.parametrize("change", TRAINING_CHANGES, ids=lambda change: change.__name__)
def test_whatever_shapes_a_model_changes_both_digests(change: Callable[[Table], None]) -> None:
    table = tiny.table()
    change(table)
    assert spec.trial(table).training.digest() != tiny.training().digest()
    assert spec.trial(table).digest() != tiny.trial().digest()


@pytest.mark.parametrize("change", EVALUATION_CHANGES, ids=lambda change: change.__name__)
def test_whatever_is_only_measured_changes_the_trials_digest_alone(change: Callable[[Table], None]) -> None:
    table = tiny.table()
    change(table)
    assert spec.trial(table).training.digest() == tiny.training().digest()
    assert spec.trial(table).digest() != tiny.trial().digest()


def test_all_these_changes_have_different_digests() -> None:
    digests = set()
    for change in (*TRAINING_CHANGES, *EVALUATION_CHANGES):
        table = tiny.table()
        change(table)
        digests.add(spec.trial(table).digest())
    assert len(digests) == len(TRAINING_CHANGES) + len(EVALUATION_CHANGES)


def test_seeds_records_and_resources_are_in_no_digest() -> None:
    text = tiny.trial().to_json()
    assert not any(word in text for word in ("seed", "device", "members", "record", "cpu"))
    plain = {"question": "?", "members": 2, **tiny.table()}
    other = plain | {"members": 5, "first_seed": 9, "record": {"history_stride": 1}, "resources": {"cpus": 2}}
    trials = [sweep.from_table("x", table).trial({}) for table in (plain, other)]
    assert trials[0].digest() == trials[1].digest() == tiny.trial().digest()


def same(one: Trial, other: Trial) -> None:
    assert one == other
    assert one.digest() == other.digest()
    assert one.training.digest() == other.training.digest()
    assert list(one.training.terms) == list(other.training.terms)
    assert list(one.concepts) == list(other.concepts)
    assert [each.label for each in one.interventions] == [each.label for each in other.interventions]


def test_canonical_json_gives_the_same_trial_again() -> None:
    table = tiny.table()
    table["terms"]["anchor"]["direction"] = [0.6, 0, 0.8, 0]
    table["concepts"]["blue"] = {"item": "blue", "direction": [0, 1, 0, 0]}
    table["interventions"][0] |= {"direction": {"axis": 1, "sign": -1}, "gate": {"start": 0.5, "power": 2}}
    for each in (tiny.trial(), spec.trial(table), spec.trial(table, twin=None)):
        same(spec.trial_from_json(each.to_json()), each)


@pytest.mark.parametrize("file", sorted(SWEEPS.glob("*.toml")), ids=lambda path: path.stem)
def test_canonical_json_gives_every_shipped_experiment_again(file: Path) -> None:
    shipped = sweep.load(file)
    trial = shipped.trial(shipped.start())
    same(spec.trial_from_json(trial.to_json()), trial)


def test_the_twin_is_the_same_training_without_terms_and_labels() -> None:
    trial = tiny.trial()
    twin = trial.twin
    assert twin is not None
    assert not twin.terms
    assert not twin.data.labels
    assert twin.model == trial.training.model
    assert twin.schedule.names() == ["lr"]
    assert twin.schedule.steps == trial.training.schedule.steps
    assert twin.unregularised().digest() == twin.digest()


def test_the_main_search_starts_from_the_published_model_and_shares_its_twin() -> None:
    published, search = (sweep.load(SWEEPS / name) for name in ("ex-2.9.1.toml", "delete-red.toml"))
    one, other = published.trial({}), search.trial(search.start())
    assert one.training == other.training
    assert one.training.digest() == other.training.digest()
    assert one.twin is not None
    assert other.twin is not None
    assert one.twin.digest() == other.twin.digest()


def test_trials_of_one_size_share_a_twin_whatever_else_they_search() -> None:
    search = sweep.load(SWEEPS / "delete-red.toml")
    start = search.start()
    twins = [search.trial(start | change).twin for change in ({}, {"peak_lr": 0.2}, {"anchor_750": 0.3}, {"depth": 1})]
    digests = [twin.digest() for twin in twins if twin]
    assert digests[0] == digests[1] == digests[2] != digests[3]


@pytest.mark.parametrize("name", ["lr", "step", "values", "recon", "total"])
def test_a_term_cannot_take_a_name_that_means_something_else(name: str) -> None:
    table = tiny.table()
    table["terms"][name] = {"kind": "unit_norm"}
    with pytest.raises(PrepeError, match=f"terms.{name}: '{name}' means something else"):
        spec.trial(table)
