"""What a store reads in another way once it is large says the same as when it is small."""

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from prepe import report, store
from prepe.store import views
from prepe.store.compact import compact

from .sample import SHARED, TIME, Sample, effect_rows, proposal

QUERIES = (
    "FROM effects ORDER BY sweep, trial, seed, intervention",
    "SELECT sweep, intervention, count(*), sum(score_ccc) FROM effects GROUP BY ALL ORDER BY ALL",
    f"SELECT seed, block FROM effects WHERE trial = '{SHARED}' AND intervention IN ('ablate') ORDER BY ALL",
    "SELECT e.seed, e.score_ccc, m.recon_mse FROM effects e JOIN members m USING (sweep, trial, seed) ORDER BY ALL",
    "FROM trials ORDER BY ALL",
    "FROM members ORDER BY sweep, trial, seed",
    "FROM summaries ORDER BY sweep, trial, intervention, metric",
)


@pytest.mark.slow
@pytest.mark.parametrize("files", ["own", "compacted", "both"])
def test_scanning_tables_gives_what_reading_them_whole_does(
    files: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = Sample(root)
    store.write(root, "effects", f"{SHARED}-0-3", effect_rows())  # seeds that another block has too
    if files != "own":
        compact(root)
    if files == "both":
        sample.write_block(SHARED, range(5, 12))
    small = [repr(store.query(root, sql).to_pylist()) for sql in QUERIES]
    monkeypatch.setattr(views, "_IN_MEMORY", 0)
    for sql, expected in zip(QUERIES, small, strict=True):
        assert repr(store.query(root, sql).to_pylist()) == expected, sql
    types = store.query(root, "FROM effects").schema.types
    monkeypatch.undo()
    assert types == store.query(root, "FROM effects").schema.types


def test_the_rows_of_one_trial_are_what_they_are_among_all(root: Path) -> None:
    Sample(root)
    sql = f"FROM summaries WHERE trial = '{SHARED}' ORDER BY sweep, intervention, metric"
    assert repr(store.query(root, sql, SHARED).to_pylist()) == repr(store.query(root, sql).to_pylist())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_the_best_are_those_that_sorting_all_rows_finds(root: Path, seed: int) -> None:
    rng = random.Random(seed)
    values = [0.1, 0.2, float("nan"), float("inf"), -float("inf"), None]
    for number in range(60):
        row: dict[str, Any] = proposal(rng.choice("abc"), number, f"{rng.randrange(40):04x}", 3, 0)
        objectives = {"x": rng.choice(values), "y": 1.0}
        row |= {"objectives": {name: value for name, value in objectives.items() if value is not None}}
        row |= {"goals": {"x": rng.choice(["maximize", "minimize"])} if rng.random() < 0.8 else None}
        row |= {"state": rng.choice(["complete", "complete", "failed"]), "feasible": rng.choice([True, False, None])}
        row |= {"digest": rng.choice(["v1", "v2"]), "created": TIME + timedelta(seconds=rng.randrange(9))}
        store.write(root, "proposals", f"{number}", [row])
    listed = {row["sweep"]: row for row in report.ls(root)}
    for sweep, row in listed.items():
        ordered = report.proposals(root, sweep)
        complete = [each for each in ordered if each["state"] == "complete"]
        assert [each["number"] for each in report.top(root, sweep, 100)] == [each["number"] for each in complete]
        assert row["best trial"] == ordered[0]["trial"]
        assert row["complete"] == len(complete)
        every = {each["trial"] for each in store.read(root, "proposals").to_pylist() if each["sweep"] == sweep}
        assert row["other versions"] == len(every) - len({each["trial"] for each in ordered})
