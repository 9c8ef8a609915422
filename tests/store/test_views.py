"""The views' numbers, against the same numbers computed with numpy from what was written."""

import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from prepe import store
from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS, Metric
from prepe.store.schema import SCHEMAS

from .sample import (
    ABLATE_CCC,
    BROKEN,
    FAILED,
    INTERVENTIONS,
    OWN,
    SEEDS,
    SHARED,
    TIME,
    UNMEASURED,
    UNSCORED,
    Sample,
    proposal,
)

SHARES = {("wide", SHARED): SEEDS, ("narrow", SHARED): range(3, 8), ("narrow", OWN): range(3, 8)}
BEYOND = 1e12
LEADING = ["sweep", "trial", "variant", "member", "seed"]


def expected(values: np.ndarray, metric: Metric) -> dict[str, float]:
    """Return the statistics of a metric over members, of which the NaN ones are broken."""
    values = np.where(np.isnan(values), metric.worst, values)
    n = len(values)
    worst_first = np.sort(values) if metric.goal != "min" else np.sort(values)[::-1]
    finite = np.nan_to_num(values, posinf=BEYOND)  # numpy's quantiles of infinite values are NaN
    return {
        "members": n,
        "median": beyond(np.median(finite)),
        "q25": beyond(np.quantile(finite, 0.25)),
        "q75": beyond(np.quantile(finite, 0.75)),
        "mean": values.mean(),
        "sd": np.std(values, ddof=1) if np.isfinite(values).all() else np.nan,
        "worst_decile": worst_first[: -(-n // 10)].mean(),
        "min": values.min(),
        "max": values.max(),
    }


def beyond(value: float) -> float:
    return np.inf if value > BEYOND / 100 else value


def test_summaries_are_what_numpy_computes_with_a_broken_member_as_the_worst(sample: Sample) -> None:
    rows = store.query(sample.root, "FROM summaries").to_pylist()
    seen = {(row["sweep"], row["trial"], row["intervention"], row["metric"]): row for row in rows}
    assert len(seen) == len(rows) == len(SHARES) * (2 * len(EFFECT_METRICS) + len(MEMBER_METRICS) - 1)
    for (sweep, trial), seeds in SHARES.items():
        for label in INTERVENTIONS:
            for name, metric in EFFECT_METRICS.items():
                want = expected(sample.effect(trial, label, name, seeds), metric)
                row = seen[sweep, trial, label, name]
                got = {key: np.nan if row[key] is None else row[key] for key in want}
                assert got == pytest.approx(want, rel=1e-12, nan_ok=True), (sweep, trial, label, name)
        for name, metric in MEMBER_METRICS.items():
            if name == UNMEASURED:
                continue
            want = expected(sample.member(trial, name, seeds), metric)
            row = seen[sweep, trial, None, name]
            got = {key: np.nan if row[key] is None else row[key] for key in want}
            assert got == pytest.approx(want, rel=1e-12, nan_ok=True), (sweep, trial, name)


def test_the_sample_has_broken_members_that_change_the_summaries(sample: Sample) -> None:
    values = sample.effect(SHARED, "ablate", "score_ccc", SEEDS)
    assert np.flatnonzero(np.isnan(values)).tolist() == [BROKEN, UNSCORED]
    (row,) = store.query(
        sample.root, "FROM summaries WHERE sweep = 'wide' AND intervention = 'ablate' AND metric = 'score_ccc'"
    ).to_pylist()
    assert row["members"] == 12
    assert row["median"] != pytest.approx(np.nanmedian(values))
    dropped = values[~np.isnan(values)]
    assert row["worst_decile"] == pytest.approx(np.mean(np.sort([*dropped, -1.0, -1.0])[:2]))


@pytest.mark.parametrize("n", [1, 2, 9, 10, 11, 20, 21, 60])
def test_the_worst_decile_takes_a_tenth_of_the_members_rounded_up(root: Path, n: int) -> None:
    values = np.random.default_rng(n).permutation(np.arange(n, dtype=float))
    key = {"trial": SHARED, "block": "b"}
    rows = [{**key, "seed": i, "intervention": "ablate", "damage": v, "collateral": v} for i, v in enumerate(values)]
    store.write(root, "effects", "a", rows)
    store.write(root, "members", "a", [{**key, "seed": i} for i in range(n)])
    store.write(root, "proposals", "a", [proposal("s", 0, SHARED, n, 0)])
    table = store.query(root, "SELECT metric, worst_decile FROM summaries WHERE intervention = 'ablate'")
    got = dict(zip(*table.to_pydict().values(), strict=True))
    tenth = -(-n // 10)
    assert got["damage"] == pytest.approx(np.arange(n)[:tenth].mean())
    assert got["collateral"] == pytest.approx(np.arange(n)[-tenth:].mean())


def test_a_sweep_has_just_its_own_members_of_a_trial_that_it_shares(sample: Sample) -> None:
    for view in ("members", "items", "colors"):
        table = store.query(sample.root, f"SELECT DISTINCT {', '.join(LEADING)} FROM {view}")
        assert {(row["sweep"], row["trial"], row["seed"]) for row in table.to_pylist()} == {
            (sweep, trial, seed) for (sweep, trial), seeds in SHARES.items() for seed in seeds
        }
    rows = store.query(sample.root, "SELECT sweep, trial, seed, intervention, damage FROM effects").to_pylist()
    damages = {(row["sweep"], row["trial"], row["seed"], row["intervention"]): row["damage"] for row in rows}
    assert len(damages) == len(rows)
    assert damages == pytest.approx(
        {
            (sweep, trial, seed, label): sample.effects[trial, seed, label]["damage"]
            for (sweep, trial), seeds in SHARES.items()
            for seed in seeds
            for label in INTERVENTIONS
        },
        nan_ok=True,
    )


@pytest.mark.parametrize("view", ["members", "effects", "items", "colors"])
def test_a_row_of_a_member_begins_with_where_it_belongs(sample: Sample, view: str) -> None:
    table = store.query(sample.root, f"FROM {view}")
    assert table.column_names[:5] == LEADING
    assert len(set(table.column_names)) == len(table.column_names)
    assert table["member"].equals(table["seed"])


def test_effects_name_the_intervention_before_its_metrics(sample: Sample) -> None:
    names = store.query(sample.root, "FROM effects").column_names
    assert names[5:9] == ["intervention", "concept", "direction", "operator"]
    assert set(EFFECT_METRICS) < set(names)


def test_colors_are_the_named_items(sample: Sample) -> None:
    table = store.query(sample.root, "SELECT item, count(*) AS n FROM colors GROUP BY item ORDER BY item")
    assert table.to_pydict() == {"item": ["gray", "red"], "n": [22, 22]}


def test_trials_have_parameters_objectives_and_costs(sample: Sample) -> None:
    table = store.query(sample.root, "FROM trials ORDER BY sweep, number")
    assert table.column_names[:10] == [
        *("sweep", "trial", "variant", "number", "state", "feasible", "members", "params"),
        *(ABLATE_CCC, "task_cost.median"),
    ]
    assert table.column_names[-1] == "error"
    rows = table.to_pylist()
    assert [(row["sweep"], row["number"], row["trial"]) for row in rows] == [
        ("narrow", 0, SHARED),
        ("narrow", 1, OWN),
        ("narrow", 2, FAILED),
        ("wide", 0, SHARED),
    ]
    assert [row[ABLATE_CCC] for row in rows] == [0.5, 1.5, None, 0.5]
    assert [(row["model"], row["train_s"], row["peak_mb"]) for row in rows] == [
        (f"model-of-{SHARED}", 4.0, 112.0),
        (f"model-of-{OWN}", 4.0, 112.0),
        (None, None, None),
        (f"model-of-{SHARED}", 4.0, 112.0),
    ]
    assert [row["error"] for row in rows] == [None, None, "out of memory", None]


def test_a_trial_costs_a_sweep_the_blocks_alone_that_have_its_members(sample: Sample, tmp_path: Path) -> None:
    shutil.copytree(sample.root, tmp_path / "own")
    store.write(tmp_path / "own", "proposals", "few-0", [proposal("few", 0, SHARED, 5, 0)])
    rows = store.query(tmp_path / "own", "SELECT sweep, train_s, wall_s FROM trials WHERE number = 0").to_pylist()
    assert {row["sweep"]: (row["train_s"], row["wall_s"]) for row in rows} == {
        "few": (2.0, 3.0),
        "narrow": (4.0, 6.0),
        "wide": (4.0, 6.0),
    }


def test_no_column_of_a_proposal_is_lost_among_the_trials(sample: Sample) -> None:
    names = store.query(sample.root, "FROM trials").column_names
    assert set(SCHEMAS["proposals"].names) - {"objectives"} < set(names)
    assert len(set(names)) == len(names)


def test_parameters_are_fields_that_sql_can_name(sample: Sample) -> None:
    table = store.query(sample.root, "SELECT params.lr AS lr, params.wd AS wd FROM trials ORDER BY sweep, number")
    assert table.to_pydict() == {"lr": [1.0, 0.25, None, None], "wd": [0.5, None, None, None]}
    one = f'SELECT trial FROM trials WHERE params.lr < 1 AND "{ABLATE_CCC}" > 1'
    assert store.query(sample.root, one)["trial"].to_pylist() == [OWN]


def test_whole_parameters_stay_whole(root: Path) -> None:
    store.write(root, "proposals", "a", [proposal("s", i, SHARED, 1, 0, {"depth": i, "lr": 0.1}) for i in range(2)])
    table = store.query(root, "SELECT params.depth AS depth FROM trials ORDER BY number")
    assert table["depth"].to_pylist() == [0, 1]
    assert str(table["depth"].type) == "int64"


def test_seeds_that_two_blocks_hold_count_once(root: Path) -> None:
    for block, seeds in (("0-4", range(4)), ("2-8", range(2, 8))):
        key = {"trial": SHARED, "block": block}
        effects = [{**key, "seed": seed, "intervention": "ablate", "damage": float(seed)} for seed in seeds]
        store.write(root, "effects", block, effects)
        store.write(root, "members", block, [{**key, "seed": seed} for seed in seeds])
    store.write(root, "proposals", "a", [proposal("s", 0, SHARED, 8, 0)])
    damages = store.query(root, "SELECT damage FROM effects ORDER BY seed")["damage"].to_pylist()
    assert damages == list(range(8))
    (row,) = store.query(root, "FROM summaries WHERE metric = 'damage'").to_pylist()
    assert (row["members"], row["mean"]) == (8, 3.5)


def test_a_trial_that_a_sweep_asked_for_twice_has_each_member_once(root: Path) -> None:
    for number in range(2):
        store.write(root, "proposals", str(number), [proposal("s", number, SHARED, 2, 0)])
    store.write(root, "members", "a", [{"trial": SHARED, "block": "b", "seed": seed} for seed in range(2)])
    assert store.query(root, "FROM members").num_rows == 2


def test_a_metric_that_was_not_measured_counts_neither_as_broken_nor_as_a_member(root: Path) -> None:
    rows = [{"trial": SHARED, "block": "b", "seed": i, "task_cost": v} for i, v in enumerate((0.5, None, np.nan))]
    store.write(root, "members", "a", rows)
    store.write(root, "proposals", "a", [proposal("s", 0, SHARED, 3, 0)])
    (row,) = store.query(root, "FROM summaries").to_pylist()
    assert (row["metric"], row["members"]) == ("task_cost", 2)
    assert row["mean"] == (0.5 + MEMBER_METRICS["task_cost"].worst) / 2


def test_every_member_broken_is_every_metric_at_its_worst(root: Path) -> None:
    key = {"trial": SHARED, "block": "b"}
    effects = [{"intervention": "ablate", **dict.fromkeys(EFFECT_METRICS, np.nan)} for _ in range(3)]
    for table, rows in (("members", [dict.fromkeys(MEMBER_METRICS, np.nan)] * 3), ("effects", effects)):
        store.write(root, table, "a", [{**key, "seed": seed, **row} for seed, row in enumerate(rows)])
    store.write(root, "proposals", "a", [proposal("s", 0, SHARED, 3, 0)])
    rows = store.query(root, "FROM summaries").to_pylist()
    assert len(rows) == len(EFFECT_METRICS) + len(MEMBER_METRICS)
    for row in rows:
        worst = (EFFECT_METRICS if row["intervention"] else MEMBER_METRICS)[row["metric"]].worst
        assert {row[name] for name in ("median", "q25", "q75", "mean", "worst_decile", "min", "max")} == {worst}


# --- variants, maps, stages and checkpoints ---------------------------------------------------------------------------


def of_variants(root: Path) -> None:
    """Write a sweep of two variants with two members each, and another sweep without any."""
    for number, (name, trial) in enumerate({"plain": OWN, "other": SHARED}.items()):
        params = {"variant": name, "lr": number}
        store.write(root, "proposals", f"s-{trial}", [proposal("s", number, trial, 2, 0, params)])
        key = {"trial": trial, "block": "0-1", "model": "m"}
        rows = [{**key, "seed": seed} for seed in range(2)]
        spikes = [{**row, "phase_spikes": {"5000": number + 0.5}, "final_parts": {"reg-anchor": 2.0}} for row in rows]
        store.write(root, "members", trial, spikes)
        stages = [(10, None), (10, "first"), (20, "last")]
        store.write(
            root, "stages", trial, [{**row, "step": step, "phase": phase} for row in rows for step, phase in stages]
        )
        store.write(root, "effects", trial, [{**row, "intervention": "ablate", "damage": 1.0} for row in rows])
        items = [{k: v for k, v in row.items() if k != "model"} for row in rows]
        store.write(root, "items", trial, [{**r, "intervention": "a", "set": "named", "item": "red"} for r in items])
    store.write(root, "proposals", "alone", [proposal("alone", 0, SHARED, 2, 0, {"lr": 1})])


@pytest.mark.parametrize("view", ["trials", "members", "stages", "effects", "items", "colors", "summaries"])
def test_a_view_names_the_variant_of_a_trial_after_it(root: Path, view: str) -> None:
    of_variants(root)
    table = store.query(root, f"FROM {view}")
    assert table.column_names[:3] == ["sweep", "trial", "variant"]
    seen = {(row["sweep"], row["trial"], row["variant"]) for row in table.to_pylist()}
    assert seen == {("s", OWN, "plain"), ("s", SHARED, "other"), ("alone", SHARED, None)}


def test_members_of_two_variants_are_paired_by_seed(root: Path) -> None:
    of_variants(root)
    sql = """SELECT a.seed, a.phase_spikes['5000'] - b.phase_spikes['5000'] AS value
    FROM members a JOIN members b USING (sweep, seed)
    WHERE sweep = 's' AND a.variant = 'plain' AND b.variant = 'other' ORDER BY a.seed"""
    assert store.query(root, sql).to_pydict() == {"seed": [0, 1], "value": [-1.0, -1.0]}


def test_an_entry_of_a_map_is_a_number_and_null_where_there_is_none(root: Path) -> None:
    of_variants(root)
    sql = "SELECT final_parts['reg-anchor'] AS there, final_parts['x'] AS not_there FROM members WHERE seed = 0"
    assert store.query(root, sql).to_pydict() == {"there": [2.0] * 3, "not_there": [None] * 3}


def test_stages_are_a_row_a_member_step_and_phase(root: Path) -> None:
    of_variants(root)
    rows = store.query(root, "FROM stages WHERE sweep = 's'").to_pylist()
    assert len(rows) == 2 * 2 * 3
    steps = {(row["variant"], row["seed"], row["step"], row["phase"]) for row in rows}
    assert ("plain", 1, 10, None) in steps
    assert ("other", 0, 10, "first") in steps
    assert len(steps) == len(rows)


def test_checkpoints_are_those_that_are_stored(root: Path) -> None:
    row = {"model": "m", "block": "0-0", "seed": 0, "step": 10, "weights": [0.5, 1.5]}
    store.write(root, "checkpoints", "m", [row])
    (seen,) = store.query(root, "FROM checkpoints").to_pylist()
    assert seen == {**row, "phase": None}


# --- versions of a sweep's file ---------------------------------------------------------------------------------------


def of_versions(root: Path) -> None:
    """Write a sweep whose file has had two versions: the newer one has the trial `OWN`, and both asked for `SHARED`."""
    later = TIME + timedelta(days=1)
    for name, row in {
        "old": proposal("s", 0, FAILED, 2, 0) | {"digest": "old", "created": TIME},
        "both": proposal("s", 1, SHARED, 2, 0) | {"digest": "new", "created": TIME},
        "new": proposal("s", 2, OWN, 2, 0) | {"digest": "new", "created": later},
        "other": proposal("t", 0, FAILED, 2, 0) | {"digest": "old"},
    }.items():
        store.write(root, "proposals", name, [row])
    for trial in (FAILED, SHARED, OWN):
        rows = [{"trial": trial, "block": "0-1", "seed": seed} for seed in range(2)]
        store.write(root, "members", trial, [{**row, "recon_mse": 0.5} for row in rows])
        store.write(root, "stages", trial, [{**row, "step": 1} for row in rows])
        store.write(root, "effects", trial, [{**row, "intervention": "ablate", "damage": 0.5} for row in rows])
        store.write(
            root, "items", trial, [{**row, "intervention": "ablate", "set": "named", "item": "red"} for row in rows]
        )


@pytest.mark.parametrize("view", ["trials", "members", "stages", "effects", "items", "colors", "summaries"])
def test_a_view_shows_the_last_version_of_a_sweeps_file_alone(root: Path, view: str) -> None:
    of_versions(root)
    rows = store.query(root, f"SELECT DISTINCT sweep, trial FROM {view}").to_pylist()
    assert {tuple(row.values()) for row in rows} == {("s", SHARED), ("s", OWN), ("t", FAILED)}


def test_proposals_show_every_version(root: Path) -> None:
    of_versions(root)
    assert store.query(root, "FROM proposals").num_rows == 4


def test_rows_from_before_there_were_versions_are_one_version(sample: Sample) -> None:
    assert set(store.read(sample.root, "proposals")["digest"].to_pylist()) == {None}
    assert store.query(sample.root, "FROM trials").num_rows == 4


def test_a_proposal_that_was_stored_again_is_seen_once(root: Path) -> None:
    first, again = proposal("s", 0, OWN, 2, 0), proposal("s", 0, OWN, 5, 0) | {"created": TIME + timedelta(days=1)}
    store.write(root, "proposals", "s.all", [again])
    store.write(root, "proposals", "s-0", [first])
    assert store.query(root, "SELECT members FROM trials")["members"].to_pylist() == [5]


# --- what is stored twice ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["trials", "members", "effects", "items", "colors", "summaries", "models"])
def test_rows_that_two_files_hold_count_once(sample: Sample, tmp_path: Path, view: str) -> None:
    root = tmp_path / "results"
    for table in ("proposals", "trials", "members", "effects", "items"):
        rows = store.read(sample.root, table)
        store.write(root, table, "a", rows)
        if table != "proposals":
            store.write(root, table, "b.all", rows)
    models = [{"model": "m", "block": "0-1", "seed": seed} for seed in range(2)]
    for table, name in (("models", "a"), ("models", "b.all")):
        store.write(root, table, name, models)
    once = store.query(sample.root, f"FROM {view}").num_rows if view != "models" else 2
    assert store.query(root, f"FROM {view}").num_rows == once
    if view == "trials":
        sql = "SELECT sum(train_s) AS s FROM trials"
        assert store.query(root, sql)["s"].to_pylist() == store.query(sample.root, sql)["s"].to_pylist()
