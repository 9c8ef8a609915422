"""A file of a store appears whole or not at all."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prepe import store
from prepe.errors import PrepeError
from prepe.store.schema import SCHEMAS
from prepe.store.write import KEYS

from .sample import effect_rows

ROWS = 20_000
WRITER = """
import itertools, sys
import numpy as np, pyarrow as pa
from prepe import store

root, who, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
for turn in itertools.count():
    table = pa.table({
        "trial": ["t"] * rows, "block": ["b"] * rows, "seed": range(rows), "intervention": ["ablate"] * rows,
        "score_ccc": np.full(rows, turn, float), "damage": np.random.rand(rows), "collateral": np.random.rand(rows),
    })
    store.write(root, "effects", f"{who}-{turn % 3}", table)
    store.write(root, "effects", "common", table)
"""


def start(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)])


def temporaries(root: Path) -> list[str]:
    """Return the names of what is being written, or was when its writer was killed."""
    return os.listdir(root / ".tmp") if (root / ".tmp").is_dir() else []


def in_the_middle(writer: subprocess.Popen[bytes], root: Path) -> bool:
    """Say whether a writer has a temporary file open, after some whole ones."""
    whole = list((root / "effects").glob("*.parquet"))
    return len(whole) > 3 and any(f".{writer.pid}-" in name for name in temporaries(root))


def test_what_is_written_is_read_back_with_the_declared_schema(root: Path) -> None:
    rows = [{**row, "damage": None, "collateral": float("nan")} for row in effect_rows(2)]
    path = store.write(root, "effects", "one", rows)
    assert path == root / "effects" / "one.parquet"
    held = store.read(root, "effects")
    assert held.schema.equals(SCHEMAS["effects"], check_metadata=True)
    assert pq.read_schema(path).metadata[b"prepe_schema"] == b"1"
    assert held.select(["seed", "score_ccc"]).to_pydict() == {"seed": [0, 1], "score_ccc": [0.5, 0.5]}
    assert held["damage"].null_count == 2
    assert np.isnan(held["collateral"].to_numpy()).all()
    assert held["collateral"].null_count == 0


def test_maps_and_lists_come_back_as_they_went_in(root: Path) -> None:
    weights = np.array([1.5, -2.0])
    row = {"model": "m", "block": "b", "seed": np.int64(1), "weights": weights, "labels_drawn": {"red": 3}}
    store.write(root, "models", "m", [row, {**row, "seed": 2, "weights": list(weights), "labels_drawn": None}])
    first, second = store.read(root, "models").to_pylist()
    assert first["weights"] == second["weights"] == [1.5, -2.0]
    assert (first["labels_drawn"], second["labels_drawn"]) == ([("red", 3)], None)


def test_an_arrow_table_writes_the_same_file_as_its_rows(root: Path) -> None:
    rows = effect_rows()
    store.write(root, "effects", "a", rows)
    first = store.read(root, "effects")
    store.write(root, "effects", "a", pa.Table.from_pylist(rows))
    assert store.read(root, "effects").equals(first)


def test_writing_the_same_name_replaces_the_whole_file(root: Path) -> None:
    store.write(root, "effects", "a", effect_rows(5, 0.1))
    store.write(root, "effects", "b", effect_rows(1, 0.2))
    store.write(root, "effects", "a", effect_rows(2, 0.3))
    assert store.read(root, "effects")["score_ccc"].to_pylist() == [0.3, 0.3, 0.2]


def test_a_file_without_rows_exists_and_holds_nothing(root: Path) -> None:
    assert not store.exists(root, "items", "a")
    store.write(root, "items", "a", [])
    assert store.exists(root, "items", "a")
    assert store.read(root, "items").num_rows == 0


@pytest.mark.parametrize("table", SCHEMAS)
def test_every_table_has_keys_among_its_columns(table: str) -> None:
    assert KEYS[table]
    assert set(KEYS[table]) <= set(SCHEMAS[table].names)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"score_cc": 1.0}, "effects: no such columns: score_cc"),
        ({"seed": None}, "effects.seed: missing in 1 of 3 rows"),
        ({"seed": 1.5}, "effects.seed: not int64"),
        ({"score_ccc": "high"}, "effects.score_ccc: not double"),
        ({"intervention": 7}, "effects.intervention: not string"),
    ],
)
def test_rows_that_do_not_fit_are_the_callers_mistake(root: Path, change: dict[str, object], said: str) -> None:
    rows = effect_rows()
    rows[1] |= change
    with pytest.raises(ValueError, match=said):
        store.write(root, "effects", "a", rows)
    assert not root.exists()


def test_an_arrow_table_that_does_not_fit_is_the_callers_mistake(root: Path) -> None:
    good = pa.Table.from_pylist(effect_rows())
    for bad in (
        good.append_column("score_cc", [[1.0] * 3]),
        good.drop_columns(["seed"]),
        good.set_column(good.column_names.index("seed"), "seed", [[0.5] * 3]),
    ):
        with pytest.raises(ValueError, match=r"effects\.seed|score_cc"):
            store.write(root, "effects", "a", bad)
    assert not root.exists()


def test_an_unknown_table_is_the_callers_mistake(root: Path) -> None:
    for call in (lambda: store.write(root, "effect", "a", []), lambda: store.read(root, "effect")):
        with pytest.raises(ValueError, match="no table 'effect'; allowed: models"):
            call()


@pytest.mark.parametrize("name", ["", ".hidden", "_ignored", "a/b", "../a", "a b", "ä", "a\n"])
def test_a_name_that_readers_would_miss_or_that_leads_elsewhere_is_refused(root: Path, name: str) -> None:
    with pytest.raises(PrepeError, match="cannot name a file of a store; allowed: letters, digits"):
        store.write(root, "effects", name, effect_rows())
    assert not root.exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(PrepeError, match=r"results/effects/a.parquet: cannot be written: Not a directory"):
        store.write(tmp_path / "results", "effects", "a", effect_rows())


def test_a_full_disk_is_named_and_leaves_nothing_behind(root: Path) -> None:
    store.write(root, "effects", "a", effect_rows(2, 0.1))
    code = """
import resource, sys
from prepe import store
from prepe.errors import PrepeError
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
row = {"trial": "t", "block": "b", "intervention": "ablate"}
try:
    store.write(sys.argv[1], "effects", "a", [{**row, "seed": seed} for seed in range(50)])
except PrepeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True)
    assert done.stdout == f"{root}/effects/a.parquet: cannot be written: File too large\n"
    assert os.listdir(root / "effects") == ["a.parquet"]
    assert temporaries(root) == []
    assert store.read(root, "effects")["score_ccc"].to_pylist() == [0.1, 0.1]


@pytest.mark.slow
def test_killed_writers_leave_whole_files_alone_in_the_tables_folder(root: Path) -> None:
    folder = root / "effects"
    writers = [start(WRITER, root, who, ROWS) for who in "abc"]
    deadline = time.monotonic() + 60
    try:
        for writer in writers:
            while not in_the_middle(writer, root):
                assert time.monotonic() < deadline
                assert writer.poll() is None
                time.sleep(0.001)
            writer.send_signal(signal.SIGKILL)
            writer.wait()
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert len(temporaries(root)) >= len(writers)
    assert {path.suffix for path in folder.iterdir()} == {".parquet"}
    for path in folder.iterdir():
        held = pq.read_table(path)
        assert held.num_rows == ROWS
        assert len(held["score_ccc"].unique()) == 1  # of one turn
    assert store.read(root, "effects", columns=["seed"]).num_rows == ROWS * len(list(folder.glob("*.parquet")))
    store.write(root, "effects", "common", effect_rows())
    assert pq.read_table(folder / "common.parquet").num_rows == 3


def test_what_killed_writers_left_is_removed_after_a_day(root: Path) -> None:
    store.write(root, "effects", "a", effect_rows())
    assert temporaries(root) == []
    for name, hours in (("effects-b.1-2", 25), ("effects-c.3-4", 23)):
        (root / ".tmp" / name).write_bytes(b"torn")
        then = time.time() - 3600 * hours
        os.utime(root / ".tmp" / name, (then, then))
    store.write(root, "effects", "a", effect_rows())
    assert temporaries(root) == ["effects-c.3-4"]


def test_a_reader_sees_the_old_rows_or_the_new_ones_while_a_file_is_replaced(root: Path) -> None:
    writer = start(WRITER, root, "a", 500)
    turns: set[float] = set()
    try:
        deadline = time.monotonic() + 60
        while len(turns) < 20:
            assert time.monotonic() < deadline
            held = store.read(root, "effects", names="common", columns=["score_ccc"])
            assert held.num_rows in (0, 500)
            if held.num_rows:
                (turn,) = held["score_ccc"].unique().to_pylist()
                turns.add(turn)
    finally:
        writer.kill()
        writer.wait()
