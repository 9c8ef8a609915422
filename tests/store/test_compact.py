"""Compaction changes files and no rows, whatever else happens to a store meanwhile."""

import random
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from prepe import store
from prepe.errors import PrepeError
from prepe.store import files
from prepe.store.compact import alone, compact
from prepe.store.parts import held
from prepe.store.removal import take_out
from prepe.store.schema import SCHEMAS

from . import bucket
from .sample import TIME, Sample, effect_rows, proposal, say_running

VIEWS = ("trials", "members", "effects", "items", "summaries", "proposals")


def everything(root: Any) -> dict[str, list[str]]:
    """Return what SQL and `read` say of a store, in an order of its own."""
    views = {view: sorted(map(repr, store.query(root, f"FROM {view}").to_pylist())) for view in VIEWS}
    return views | {f"_{table}": sorted(map(repr, store.read(root, table).to_pylist())) for table in SCHEMAS}


def trial_rows(trial: str, value: float = 0.5, block: str = "0-3") -> list[dict[str, Any]]:
    return [{**row, "trial": trial, "block": block} for row in effect_rows(3, value)]


def counts(root: Any) -> set[int]:
    """Return how often `read` and SQL see rows of trials, which have three each."""
    read_rows = Counter(store.read(root, "effects", columns=["trial"])["trial"].to_pylist())
    seen = store.query(root, "SELECT trial, count(*) AS n FROM effects GROUP BY trial").to_pylist()
    return set(read_rows.values()) | {row["n"] for row in seen}


def test_rows_are_the_same_before_and_after(root: Path) -> None:
    sample = Sample(root)
    store.write(root, "effects", "x.all", [{**effect_rows(1)[0], "trial": "x", "seed": 50}])
    before = everything(root)
    done = compact(root)
    assert everything(root) == before
    assert {each.table: (each.before, each.after) for each in done if each.table in ("trials", "effects")} == {
        "trials": (4, 1),
        "effects": (5, 1),
    }
    names = files.sizes(root, recursive=True)
    compact(root)
    assert files.sizes(root, recursive=True) == names, "there is nothing left to do"
    sample.write_block("aaaa111122223333", range(0, 5))  # measured again
    assert everything(root) == before
    compact(root)
    assert everything(root) == before


def test_what_is_written_anew_counts_before_and_after_the_next_compaction(root: Path) -> None:
    store.write(root, "effects", "t-0-3", trial_rows("t", 0.1))
    store.write(root, "proposals", "s-t", [proposal("s", 0, "t", 3, 0, {"lr": 1})])
    compact(root)
    store.write(root, "effects", "t-0-3", trial_rows("t", 0.9))
    store.write(root, "proposals", "s-t", [proposal("s", 0, "t", 3, 0, {"lr": 2})])
    for _ in range(2):
        assert store.read(root, "effects")["score_ccc"].to_pylist() == [0.9] * 3
        assert store.read(root, "effects", names="t-*")["score_ccc"].to_pylist() == [0.9] * 3
        assert store.read(root, "proposals")["params"].to_pylist() == ['{"lr": 2}']
        compact(root)


def test_files_stay_as_large_as_asked_for_and_full_ones_are_left_alone(root: Path) -> None:
    for i in range(12):
        noise = random.Random(i).randbytes(12000).hex()
        rows = [{**row, "parameters": noise[row["seed"] :: 3]} for row in trial_rows(f"{i:x}")]
        store.write(root, "effects", f"{i:x}-0-3", rows)
    compact(root, full_mb=0.04)
    first = files.sizes(root, "effects")
    assert 2 < len(first) < 10
    store.write(root, "effects", "ff-0-3", trial_rows("ff"))
    compact(root, full_mb=0.04)
    assert sum(name in first for name in files.sizes(root, "effects")) >= len(first) - 1
    assert Counter(store.read(root, "effects")["trial"].to_pylist()) == {**{f"{i:x}": 3 for i in range(12)}, "ff": 3}


def test_seeds_of_two_blocks_count_once_also_across_compacted_files(root: Path) -> None:
    store.write(root, "proposals", "s-t", [proposal("s", 0, "t", 5, 0)])
    store.write(root, "proposals", "s-u", [proposal("s", 1, "u", 5, 0)])
    for block, trials in (("0-3", "tu"), ("0-5", "t")):
        for trial in trials:
            store.write(root, "effects", f"{trial}-{block}", trial_rows(trial, block=block))
        assert len(store.query(root, "FROM effects")) == 6
        compact(root, full_mb=1e-6)
        assert len(store.query(root, "FROM effects")) == 6
    assert len(store.read(root, "effects")) == 9
    compact(root)
    assert len(store.query(root, "FROM effects")) == 6
    assert len(store.read(root, "effects")) == 9


def test_what_a_killed_compaction_left_is_not_seen_and_is_taken_away(root: Path) -> None:
    for trial in "tuv":
        store.write(root, "effects", f"{trial}-0-3", trial_rows(trial))
    kept = {f"{trial}-0-3": files.get(root, "effects", f"{trial}-0-3.parquet") or b"" for trial in "tuv"}
    compact(root)
    (folded,) = files.listed(root, "effects")
    old = files.get(root, "effects", folded) or b""
    for name, content in kept.items():  # killed before it removed what it had read
        files.put(root, ("effects", f"{name}.parquet"), content)
    assert len(store.read(root, "effects")) == len(store.query(root, "FROM _effects")) == 9
    compact(root)
    files.put(root, ("effects", folded), old)  # killed before it removed what it stands for
    assert len(store.read(root, "effects")) == len(store.query(root, "FROM _effects")) == 9
    compact(root)
    assert len(files.listed(root, "effects")) == 1
    assert len(store.read(root, "effects")) == 9


def test_what_is_published_again_after_a_compaction_counts_and_stays(root: Path) -> None:
    def publish(value: float, number: int) -> None:
        row = {**proposal("s", number, "t", 3, 0), "created": TIME + timedelta(hours=number)}
        store.write(root, "effects", "s.all", trial_rows("t", value))
        store.write(root, "proposals", "s.all", [row])

    publish(0.1, 0)
    compact(root)
    old = {table: files.listed(root, table) for table in ("effects", "proposals")}
    publish(0.9, 1)
    for _ in range(2):
        assert store.read(root, "effects")["score_ccc"].to_pylist() == [0.9] * 3
        assert 1 in store.read(root, "proposals")["number"].to_pylist()
        compact(root)
    assert not [name for table in old for name in old[table] if name in files.listed(root, table)]


def test_what_was_published_counts_once_where_a_compaction_was_killed(root: Path) -> None:
    store.write(root, "effects", "s.all", trial_rows("t"))
    store.write(root, "proposals", "s.all", [proposal("s", 0, "t", 3, 0), proposal("s", 1, "u", 3, 0)])
    kept = {table: files.get(root, table, "s.all.parquet") or b"" for table in ("effects", "proposals")}
    compact(root)
    for table, content in kept.items():
        files.put(root, (table, "s.all.parquet"), content)
    for _ in range(2):
        assert (len(store.read(root, "effects")), len(store.read(root, "proposals"))) == (3, 2)
        compact(root)
    assert [len(files.listed(root, table)) for table in kept] == [1, 1]


def test_what_a_killed_compaction_left_does_not_come_back_when_rows_are_removed(root: Path) -> None:
    for trial in "tu":
        store.write(root, "effects", f"{trial}-0-3", trial_rows(trial))
        compact(root)
    store.write(root, "effects", "v-0-3", trial_rows("v"))
    (older,) = (name for name in files.listed(root, "effects") if name.endswith(".all.parquet"))
    content = files.get(root, "effects", older) or b""
    compact(root)
    files.put(root, ("effects", older), content)  # killed before it was removed
    with alone(root):
        assert take_out(root, "effects", pc.field("trial") == "u") == 3
    assert Counter(store.read(root, "effects")["trial"].to_pylist()) == {"t": 3, "v": 3}


def test_proposals_of_a_sweep_that_runs_stay_in_files_of_their_own(root: Path) -> None:
    for sweep in "ab":
        store.write(root, "proposals", f"{sweep}-t", [proposal(sweep, 0, "t", 3, 0)])
    say_running(root, "a", time.time())
    compact(root)
    assert "a-t.parquet" in files.listed(root, "proposals")
    assert "b-t.parquet" not in files.listed(root, "proposals")
    say_running(root, "a", time.time() - 600)  # killed
    compact(root)
    assert len(files.listed(root, "proposals")) == 1
    assert len(store.read(root, "proposals")) == 2


def test_batches_of_published_and_other_files_are_folded_one_after_another(root: Path) -> None:
    store.write(root, "effects", "6-0-3", trial_rows("6"))
    compact(root)
    store.write(root, "effects", "s.all", trial_rows("s"))
    for i in range(6):
        store.write(root, "effects", f"{i:x}-0-3", trial_rows(f"{i:x}"))
    compact(root, full_mb=1e-6)
    compact(root)
    assert Counter(store.read(root, "effects")["trial"].to_pylist()) == dict.fromkeys("s0123456", 3)


def test_one_process_at_a_time_replaces_files(root: Path) -> None:
    store.write(root, "effects", "t-0-3", trial_rows("t"))
    with alone(root), pytest.raises(PrepeError, match="another process compacts, repairs or removes"):
        compact(root)
    compact(root)
    with pytest.raises(PrepeError, match="no store here"):
        compact(root / "none")


def test_a_damaged_file_stops_it_before_anything_is_removed(root: Path) -> None:
    for trial in "tu":
        store.write(root, "effects", f"{trial}-0-3", trial_rows(trial))
    path = root / "effects" / "u-0-3.parquet"
    content = bytearray(path.read_bytes())
    content[20] ^= 255
    path.write_bytes(content)
    with pytest.raises(PrepeError, match="u-0-3"):
        compact(root)
    assert files.listed(root, "effects") == ["t-0-3.parquet", "u-0-3.parquet"]


COMPACTOR = """
import sys
from prepe.errors import PrepeError
from prepe.store.compact import compact
while True:
    try:
        compact(sys.argv[1], full_mb=0.02)
    except PrepeError as error:
        if "another process" not in str(error):
            raise
"""
WRITER = """
import sys, time
from prepe import store
from tests.store.sample import effect_rows, proposal
root, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for i in range(first, first + count):
    trial = f"{i:04x}"
    rows = [{**row, "trial": trial, "parameters": trial * 99} for row in effect_rows()]
    store.write(root, "effects", f"{trial}-0-3", rows)
    store.write(root, "proposals", f"s-{trial}", [proposal("s", i, trial, 3, 0)])
"""


def program(text: str, *arguments: object, **variables: str) -> "subprocess.Popen[str]":
    environment = {**bucket.environment(1), **variables} if variables else None
    command = [sys.executable, "-c", text, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def contest(root: Any, rng: random.Random, count: int, **variables: str) -> int:
    """Let two processes write the same and other trials, one compact and be killed, and look; return how many looks."""
    writers = [program(WRITER, root, first, count, **variables) for first in (0, count // 2)]
    while not files.listed(root, "proposals") and any(each.poll() is None for each in writers):
        time.sleep(0.05)  # until there is a store
    compactor, kills, looks = program(COMPACTOR, root, **variables), 0, 0
    until = time.monotonic() + rng.uniform(1, 2)
    while any(each.poll() is None for each in writers) or kills < 3:
        if files.listed(root, "proposals"):
            assert counts(root) <= {3}
            looks += 1
        if time.monotonic() > until:
            assert compactor.poll() is None, compactor.communicate()
            compactor.kill()
            compactor.communicate()
            compactor, kills = program(COMPACTOR, root, **variables), kills + 1
            until = time.monotonic() + rng.uniform(1, 2)
    compactor.kill()
    compactor.communicate()
    said = [each.communicate() for each in writers]
    assert [each.returncode for each in writers] == [0, 0], said
    return looks


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_readers_see_every_row_once_while_others_write_and_compact_and_are_killed(root: Path, seed: int) -> None:
    looks = contest(root, random.Random(seed), 160)
    for _ in range(2):
        expected = Counter({f"{i:04x}": 3 for i in range(240)})
        assert Counter(store.read(root, "effects")["trial"].to_pylist()) == expected
        assert Counter(store.read(root, "proposals")["trial"].to_pylist()) == dict.fromkeys(expected, 1)
        compact(root)
    print(f"seed {seed}: {looks} looks")


@pytest.mark.slow
def test_so_they_do_in_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    with bucket.serve() as port:
        for name, value in bucket.environment(port).items():
            monkeypatch.setenv(name, value)
        root = f"s3://{bucket.BUCKET}/compacted"
        looks = contest(root, random.Random(5), 30, AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")
        assert Counter(store.read(root, "effects")["trial"].to_pylist()) == {f"{i:04x}": 3 for i in range(45)}
        print(f"{looks} looks")


def test_a_footer_says_which_trials_have_several_blocks(root: Path) -> None:
    for trial, block in (("t", "0-3"), ("t", "3-6"), ("u", "0-3")):
        store.write(root, "effects", f"{trial}-{block}", trial_rows(trial, block=block))
    compact(root)
    _, _, (folded,) = held(root, "effects")
    assert folded.tags["prepe_shared"] == '["t"]'
    assert pa.types.is_string(folded.schema.field("trial").type)
