"""Stored weights measured under a changed file: the rows of a run, and never any training."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
from command import Said, contents
from conftest import TINY, TinyStore

import prepe
from prepe import spec, store, sweep, trial
from prepe.errors import PrepeError

Cli = Callable[..., Said]
ABLATE = 'label = "ablate"\noperator = "ablate"\nconcept = "red"\npower = 3'
CHANGED = ABLATE.replace("power = 3", 'power = 2\nsimilarity = "lab"')
MORE = (
    '[[interventions]]\nlabel = "repel"\noperator = "repel"\nconcept = "red"\npower = 2\n\n[[interventions]]\n'
    + CHANGED
)
OF_TRAINING = ("models", "history", "snapshots", "checkpoints")
OF_NOW = ("evaluate_s", "wall_s", "cpu_s", "peak_mb", "created", "train_s", "twin_train_s", "busy_s", "versions")


def changed(path: Path) -> Path:
    """Give the tiny sweep's file another intervention, and one of its own other numbers."""
    text = TINY.read_text()
    assert text.count(f"[[interventions]]\n{ABLATE}") == 1
    path.write_text(text.replace(f"[[interventions]]\n{ABLATE}", MORE))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return changed(tmp_path / "tiny.toml")


def rows(root: Path, table: str, names: list[str]) -> list[dict[str, Any]]:
    """Return stored rows of some trials, without what says when and how quickly they were made."""
    kept = [store.read(root, table, names=f"{name}-*" if table != "proposals" else f"*-{name}") for name in names]
    found = pa.concat_tables(kept)
    return found.drop_columns([name for name in OF_NOW if name in found.column_names]).to_pylist()


def of_training(root: Path) -> dict[str, tuple[int, str]]:
    return {name: each for name, each in contents(root).items() if name.split("/")[0] in OF_TRAINING}


def lose_weights(root: Path, model: str) -> None:
    (path,) = (root / "models").glob(f"{model}-*.parquet")
    path.unlink()


@pytest.mark.slow
def test_the_rows_are_those_of_a_run_and_nothing_is_trained(own_store: TinyStore, file: Path, tmp_path: Path) -> None:
    before = of_training(own_store.root)
    done = prepe.rescore(file, results=own_store.root)
    assert (len(done.made), done.refused, done.failed, done.foreign) == (3, {}, [], 0)
    assert of_training(own_store.root) == before
    loaded = sweep.load(file)
    points = [each["params"] for each in prepe.top("tiny", results=own_store.root)]
    assert len(points) == 3
    for point in points[:1]:
        named = loaded.trial(point)
        elsewhere = tmp_path / named.digest()
        trial.ensure(named, loaded.seeds, elsewhere, record=loaded.record)
        for table in ("members", "effects", "items", "stages", "trials"):
            assert repr(rows(own_store.root, table, [named.digest()])) == repr(rows(elsewhere, table, [named.digest()]))
    labels = store.query(own_store.root, "SELECT DISTINCT intervention FROM effects WHERE sweep = 'tiny'")
    assert set(labels["intervention"].to_pylist()) == {"suppress", "repel", "ablate"}
    power = store.query(own_store.root, "SELECT DISTINCT power, similarity FROM effects WHERE intervention = 'ablate'")
    assert power.to_pylist() == [{"power": 2.0, "similarity": "lab"}]


def test_a_run_after_it_has_nothing_to_do(own_store: TinyStore, file: Path) -> None:
    made = prepe.rescore(file, results=own_store.root).made
    queue = prepe.run(file, results=own_store.root, executor="serial")
    assert queue.made == 0
    assert sorted(row["trial"] for row in queue.done) == sorted(made)
    assert prepe.rescore(file, results=own_store.root).made == []


def test_objectives_and_constraints_are_judged_anew(own_store: TinyStore, file: Path) -> None:
    old = {row["params"]: dict(row["objectives"]) for row in own_store.rows}
    done = prepe.rescore(file, results=own_store.root)
    for row in done.rows:
        objectives = dict(row["objectives"])
        assert objectives["ablate.score_ccc.median"] != old[row["params"]]["ablate.score_ccc.median"]
        assert objectives["log10 recon_mse.median"] == old[row["params"]]["log10 recon_mse.median"]
    assert {row["trial"] for row in prepe.top("tiny", results=own_store.root)} == set(done.made)


def test_one_trial_alone_can_be_named(own_store: TinyStore, file: Path) -> None:
    done = prepe.rescore(file, results=own_store.root, trials=[own_store.trials[1][:8]])
    assert [row["params"] for row in done.rows] == [own_store.rows[1]["params"]]
    with pytest.raises(PrepeError, match="none of the 4 trials"):
        prepe.rescore(file, results=own_store.root, trials=["0000"])
    other = changed(file.with_name("other.toml"))
    with pytest.raises(PrepeError, match="not of the sweep other"):
        prepe.rescore(other, results=own_store.root, trials=[own_store.trials[1]])


def test_a_point_outside_the_changed_space_is_left_alone(own_store: TinyStore, file: Path) -> None:
    file.write_text(file.read_text().replace("int = [2, 4], start = 3", "int = [3, 9], start = 3"))
    inside = [row for row in own_store.rows if '"latent_dim": 2' not in row["params"]]
    done = prepe.rescore(file, results=own_store.root)
    assert (len(done.made), done.foreign) == (len(inside), 3 - len(inside))


# --- weights that are not there ---------------------------------------------------------------------------------------


def test_trials_without_weights_are_refused_by_name_and_the_others_measured(
    own_store: TinyStore, file: Path, prepe_cli: Cli
) -> None:
    models = [prepe.show(name, own_store.root)["model"] for name in own_store.trials]
    lose_weights(own_store.root, models[1])
    before = of_training(own_store.root)
    said = prepe_cli("rescore", file, "--results", own_store.root)
    assert said.code == 1
    assert "tiny: 2 trials measured, 0 stored before, none trained" in said.out
    assert re.fullmatch(
        rf"trial [0-9a-f]{{16}} is left out: no weights of model {models[1]} of seeds 0-2; .*\n", said.err
    )
    assert of_training(own_store.root) == before


def test_without_any_weights_it_is_bad_input(own_store: TinyStore, file: Path, prepe_cli: Cli) -> None:
    said = prepe_cli("rescore", file, "--members", 5, "--results", own_store.root)
    assert (said.code, said.out) == (2, "")
    assert re.search(r"lacks weights for trial [0-9a-f]{16}: model \w+ of seeds 3-4; twin \w+ of seeds 3-4", said.err)
    assert "and 2 more trials lack theirs" in said.err
    said = prepe_cli("rescore", changed(file.with_name("new.toml")), "--results", own_store.root)
    assert said.code == 2
    assert "has no trial of it whose weights could be measured" in said.err


def test_measuring_stored_weights_alone_never_trains(tmp_path: Path) -> None:
    named = spec.trial(tiny.table(interventions=None))
    with pytest.raises(PrepeError, match=rf"model {named.training.digest()} has no stored weights for seeds 0-1, 5-5"):
        trial.run(named, [0, 1, 5], results=tmp_path, stored_only=True)
    with pytest.raises(PrepeError, match="no stored weights"):
        trial.ensure(named, [0, 1], tmp_path, stored_only=True)
    assert contents(tmp_path) == {}


# --- fixed points -----------------------------------------------------------------------------------------------------


def test_every_variant_is_measured_also_one_that_another_sweep_trained(tmp_path: Path) -> None:
    text = TINY.read_text().split("[search]")[0].replace('"$latent_dim"', "3")
    for old, new in (('"$lr"', "0.05"), ('"0.5 * $lr"', "0.02"), ('"$anchor"', "0.1")):
        text = text.replace(old, new)
    alone, two = tmp_path / "alone.toml", tmp_path / "two.toml"
    alone.write_text(text)
    variants = "\n[variants.wide]\nmodel.hidden_dim = 12\n[variants.narrow]\n"
    two.write_text(text.replace("power = 3", "power = 2") + variants)
    root = tmp_path / "results"
    prepe.run(alone, results=root, executor="serial")
    done = prepe.rescore(two, results=root)
    assert [row["params"] for row in done.rows] == ['{"variant": "narrow"}']
    assert len(done.refused) == 1
    assert prepe.diff("two:narrow", "two:narrow", ["score_ccc"], root)


# --- metrics that an older prepe did not have -------------------------------------------------------------------------


def test_rows_that_lack_a_metric_are_measured_again_in_their_place(own_store: TinyStore) -> None:
    name = own_store.trials[0]
    (path,) = (own_store.root / "effects").glob(f"{name}-*.parquet")
    whole = rows(own_store.root, "effects", [name])
    costs = store.read(own_store.root, "trials", names=f"{name}-*").to_pylist()
    pq.write_table(pq.read_table(path).drop_columns(["score_ccc"]), path)
    assert rows(own_store.root, "effects", [name])[0]["score_ccc"] is None
    before = contents(own_store.root, "*.parquet")
    done = prepe.rescore(TINY, results=own_store.root)
    assert done.made == [name]
    assert repr(rows(own_store.root, "effects", [name])) == repr(whole)
    after = contents(own_store.root, "*.parquet")
    assert before.keys() == after.keys()
    touched = {key for key in after if after[key] != before[key]}
    assert all(name in key and key.split("/")[0] not in OF_TRAINING for key in touched)
    (row,) = store.read(own_store.root, "trials", names=f"{name}-*").to_pylist()
    assert row["train_s"] == costs[0]["train_s"] > 0


def test_they_are_measured_again_also_where_the_file_asks_for_something_else_of_them(
    own_store: TinyStore, file: Path
) -> None:
    file.write_text(TINY.read_text().replace("at_most = 0.5", "at_most = 0.6"))
    name = own_store.trials[2]
    (path,) = (own_store.root / "members").glob(f"{name}-*.parquet")
    whole = rows(own_store.root, "members", own_store.trials)
    pq.write_table(pq.read_table(path).drop_columns(["recon_mse"]), path)
    done = prepe.rescore(file, results=own_store.root)
    assert len(done.made) == 3  # all are judged anew
    assert repr(rows(own_store.root, "members", own_store.trials)) == repr(whole)


@pytest.mark.slow
def test_again_measures_what_is_stored_and_finds_the_same(own_store: TinyStore) -> None:
    before = {table: rows(own_store.root, table, own_store.trials) for table in ("members", "effects", "items")}
    assert prepe.rescore(TINY, results=own_store.root).made == []
    done = prepe.rescore(TINY, results=own_store.root, again=True)
    assert sorted(done.made) == sorted(own_store.trials)
    for table, old in before.items():
        assert repr(rows(own_store.root, table, own_store.trials)) == repr(old), table


def test_stages_that_lack_a_metric_are_measured_again_where_there_are_checkpoints(own_store: TinyStore) -> None:
    name = own_store.trials[0]
    (path,) = (own_store.root / "stages").glob(f"{name}-*.parquet")
    whole = rows(own_store.root, "stages", [name])
    pq.write_table(pq.read_table(path).drop_columns(["recon_mse"]), path)
    assert prepe.rescore(TINY, results=own_store.root).made == [name]
    assert repr(rows(own_store.root, "stages", [name])) == repr(whole)


def test_compacted_rows_that_lack_a_metric_are_measured_again_once(own_store: TinyStore, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepe.publish("tiny", out, own_store.root, figures="")
    for table in ("effects", "stages"):
        path = out / table / "tiny.all.parquet"
        column = {"effects": "score_ccc", "stages": "recon_mse"}[table]
        pq.write_table(pq.read_table(path).drop_columns([column]), path)
    done = prepe.rescore(TINY, results=out)
    assert sorted(done.made) == sorted(own_store.trials)
    assert prepe.rescore(TINY, results=out).made == []
    sql = "SELECT seed, intervention, score_ccc FROM effects WHERE sweep = 'tiny' ORDER BY trial, seed, intervention"
    assert repr(store.query(out, sql).to_pylist()) == repr(store.query(own_store.root, sql).to_pylist())


# --- the verb ---------------------------------------------------------------------------------------------------------


def test_the_verb_says_what_it_measured_and_shows_the_best(own_store: TinyStore, file: Path, prepe_cli: Cli) -> None:
    said = prepe_cli("rescore", file, "--results", own_store.root)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("tiny: 3 trials measured, 0 stored before, none trained\nbest of tiny\n")
    again = prepe_cli("rescore", file, "--results", own_store.root)
    assert again.out.startswith("tiny: 0 trials measured, 3 stored before, none trained\n")


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        (('operator = "repel"', 'operator = "rebel"'), "unknown operator 'rebel' (did you mean 'repel'?)"),
        (('similarity = "lab"', 'similarity = "cielab"'), "similarity: unknown similarity 'cielab'"),
    ],
)
def test_a_wrong_file_is_one_message_and_exit_code_2(
    replaced: tuple[str, str], message: str, file: Path, own_store: TinyStore, prepe_cli: Cli
) -> None:
    file.write_text(file.read_text().replace(*replaced))
    said = prepe_cli("rescore", file, "--results", own_store.root)
    assert (said.code, said.out) == (2, "")
    assert message in said.err
    assert said.err.count("\n") == 1
