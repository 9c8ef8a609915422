"""The views' numbers, against the same numbers computed with numpy from what was written."""

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
    UNMEASURED,
    UNSCORED,
    Sample,
    proposal,
)

SHARES = {("wide", SHARED): SEEDS, ("narrow", SHARED): range(3, 8), ("narrow", OWN): range(3, 8)}
BEYOND = 1e12
LEADING = ["sweep", "trial", "member", "seed"]


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
    assert table.column_names[:4] == LEADING
    assert len(set(table.column_names)) == len(table.column_names)
    assert table["member"].equals(table["seed"])


def test_effects_name_the_intervention_before_its_metrics(sample: Sample) -> None:
    names = store.query(sample.root, "FROM effects").column_names
    assert names[4:8] == ["intervention", "concept", "direction", "operator"]
    assert set(EFFECT_METRICS) < set(names)


def test_colors_are_the_named_items(sample: Sample) -> None:
    table = store.query(sample.root, "SELECT item, count(*) AS n FROM colors GROUP BY item ORDER BY item")
    assert table.to_pydict() == {"item": ["gray", "red"], "n": [22, 22]}


def test_trials_have_parameters_objectives_and_costs(sample: Sample) -> None:
    table = store.query(sample.root, "FROM trials ORDER BY sweep, number")
    assert table.column_names[:9] == [
        *("sweep", "trial", "number", "state", "feasible", "members", "params"),
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
