"""What is read has the declared schema, or the file that does not fit is named."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from prepe import store
from prepe.errors import PrepeError
from prepe.store.compact import compact
from prepe.store.gone import Gone, while_folded
from prepe.store.parts import counted, held, parts
from prepe.store.read import rows_of
from prepe.store.schema import SCHEMAS

from .sample import SEEDS, SHARED, Sample, effect_rows

SCHEMA = SCHEMAS["effects"]


def tagged(table: pa.Table, **tags: str) -> pa.Table:
    return table.replace_schema_metadata({**table.schema.metadata, **{key.encode(): tag for key, tag in tags.items()}})


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 100)


def flip(path: Path) -> None:
    """Change one bit of a column's data, which leaves the footer as it was."""
    column = pq.ParquetFile(path).metadata.row_group(0).column(SCHEMA.names.index("score_ccc"))
    at = (column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size - 3
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def rewrite(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    return lambda path: pq.write_table(change(pq.read_table(path)), path)


def as_text(table: pa.Table) -> pa.Table:
    return table.set_column(SCHEMA.names.index("seed"), "seed", table["seed"].cast(pa.string()))


AGAIN = "move it away and run the sweep again: what it held is made again"
DAMAGES: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "truncated": (truncate, ["not a readable Parquet file", "magic bytes not found in footer", AGAIN]),
    "garbage": (lambda path: path.write_bytes(b"rows" * 100), ["not a readable Parquet file", AGAIN]),
    "empty": (lambda path: path.write_bytes(b""), ["not a readable Parquet file", "0 bytes", AGAIN]),
    "a folder": (lambda path: (path.unlink(), path.mkdir())[1], ["not a readable Parquet file", AGAIN]),
    "one bit": (flip, ["its rows cannot be read", "CRC", AGAIN]),
    "other table": (
        rewrite(lambda table: tagged(table, prepe_table="items")),
        ["holds rows of the table items, and lies in the folder of effects", "move it"],
    ),
    "newer": (rewrite(lambda table: tagged(table, prepe_schema="2")), ["schema 2", "up to 1", "newer prepe", AGAIN]),
    "foreign": (rewrite(lambda table: table.replace_schema_metadata()), ["not written by prepe", "move it away"]),
    "other type": (rewrite(as_text), ["column seed holds string, and int64 is declared", AGAIN]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_does_not_fit_is_named_with_what_to_do(root: Path, damage: str) -> None:
    store.write(root, "proposals", "none", [])
    for name in "abc":
        store.write(root, "effects", name, effect_rows())
    spoil, said = DAMAGES[damage]
    spoil(root / "effects" / "b.parquet")
    for call in (lambda: store.read(root, "effects"), lambda: store.query(root, "SELECT max(score_ccc) FROM _effects")):
        with pytest.raises(PrepeError) as caught:
            call()
        message = str(caught.value)
        assert message.startswith(f"{root}/effects/b.parquet: ")
        assert "\n" not in message
        for part in said:
            assert part in message


def test_a_damaged_file_of_one_table_leaves_the_others_readable(sample: Sample, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(sample.root, root)
    truncate(next((root / "items").iterdir()))
    assert store.query(root, "SELECT count(*) AS n FROM effects")["n"].to_pylist() == [44]
    with pytest.raises(PrepeError, match="not a readable Parquet file"):
        store.query(root, "SELECT count(*) FROM colors")


def test_a_file_that_lacks_a_column_gives_null(root: Path) -> None:
    store.write(root, "effects", "a", effect_rows(2))
    path = store.write(root, "effects", "b", effect_rows(2))
    rewrite(lambda table: table.drop_columns(["score_ccc", "model"]))(path)
    held = store.read(root, "effects")
    assert held.schema.equals(SCHEMA, check_metadata=True)
    assert held["score_ccc"].to_pylist() == [0.5, 0.5, None, None]


def test_a_column_that_is_not_declared_is_left_out(root: Path) -> None:
    path = store.write(root, "effects", "a", effect_rows(2))
    rewrite(lambda table: table.append_column("later", [[1, 2]]))(path)
    assert store.read(root, "effects").schema.equals(SCHEMA, check_metadata=True)


def test_hidden_and_foreign_names_are_ignored(root: Path) -> None:
    path = store.write(root, "effects", "a", effect_rows(2))
    for name in (".a.1-2.tmp", ".a.parquet", "_old.parquet", "notes.txt"):
        (path.parent / name).write_bytes(b"torn")
    assert store.read(root, "effects").num_rows == 2


@pytest.mark.parametrize("table", SCHEMAS)
def test_a_folder_that_does_not_exist_is_an_empty_table(root: Path, table: str) -> None:
    assert store.read(root, table).equals(SCHEMAS[table].empty_table())
    assert not root.exists()


def test_rows_columns_and_files_can_be_chosen(root: Path) -> None:
    for name, value in (("a-1", 0.1), ("a-2", 0.2), ("b-1", 0.3)):
        store.write(root, "effects", name, effect_rows(2, value))
    (root / "effects" / "b-1.parquet").write_bytes(b"torn")
    held = store.read(root, "effects", pc.field("seed") == 1, ["score_ccc", "seed"], "a-*")
    assert held.to_pydict() == {"score_ccc": [0.1, 0.2], "seed": [1, 1]}


def test_pandas_polars_and_duckdb_read_the_folder_as_it_is(sample: Sample, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    shutil.copytree(sample.root, folder)
    for table in ("effects", "members", "trials", "proposals"):
        ours = store.read(folder, table)
        files = f"{folder}/{table}/*.parquet"
        frames = [pl.read_parquet(folder / table)]  # given a folder, polars takes every file, temporaries too
        (folder / table / ".torn.1-2.tmp").write_bytes(b"torn")
        frames += [pd.read_parquet(folder / table), pl.read_parquet(files), duckdb.read_parquet(files).pl()]
        for frame in frames:
            assert list(frame.columns) == ours.column_names
            assert len(frame) == ours.num_rows
            assert set(frame["trial"]) == set(ours["trial"].to_pylist())
    frame = pd.read_parquet(folder / "effects")
    theirs = frame[(frame.trial == SHARED) & (frame.intervention == "ablate")].set_index("seed")["damage"]
    assert theirs.sort_index().to_numpy() == pytest.approx(
        sample.effect(SHARED, "ablate", "damage", SEEDS), rel=0, nan_ok=True
    )


# --- compacted files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("effects", [{"trial": t, "block": b, "seed": 0, "intervention": "a"} for t in "xy" for b in ("0-3", "4-7")]),
        ("models", [{"model": m, "block": b, "seed": 0} for m in "xy" for b in ("0-3", "4-7")]),
        ("proposals", [{"sweep": s, "number": 0, "trial": t} for s in ("x", "y", "x-y") for t in ("0-3", "4-7")]),
    ],
)
def test_a_compacted_file_gives_the_rows_that_files_of_their_own_would(
    root: Path, tmp_path: Path, table: str, rows: list[dict[str, object]]
) -> None:
    for row in rows:
        first, second = [value for key, value in row.items() if key not in ("seed", "number", "intervention")]
        store.write(root, table, f"{first}-{second}", [row])
    store.write(tmp_path / "compacted", table, "x-y.all", rows)
    for names in ("*", "x-*", "x-4-7", "z-*", "*-4-7", "x-y-*", "x-y.all*"):
        own, compacted = (
            sorted(map(repr, store.read(where, table, names=names).to_pylist()))
            for where in (root, tmp_path / "compacted")
        )
        assert own == compacted, names
    assert store.read(tmp_path / "compacted", table, names="x-*").num_rows in (2, 4)
    first = next(iter(rows[0]))
    chosen = store.read(tmp_path / "compacted", table, pc.field(first) == "y", [first], "*-4-7")
    assert chosen.to_pydict() == {first: ["y"]}


def test_a_damaged_compacted_file_is_named(root: Path) -> None:
    store.write(root, "effects", "a-1", effect_rows())
    truncate(store.write(root, "effects", "s.all", effect_rows()))
    with pytest.raises(PrepeError, match=r"s\.all\.parquet: not a readable Parquet file"):
        store.read(root, "effects", names="a-*")


@pytest.mark.parametrize("name", ["a-1", "z-1"])
def test_a_file_of_its_own_is_read_in_place_of_compacted_rows(root: Path, name: str) -> None:
    first, second = name.split("-")
    others = [{**row, "trial": "other", "block": second} for row in effect_rows()]
    old, new = ([{**row, "trial": first, "block": second} for row in effect_rows(3, value)] for value in (0.1, 0.9))
    store.write(root, "effects", "s.all", [*old, *others])
    assert set(store.read(root, "effects", names=f"{first}-*")["score_ccc"].to_pylist()) == {0.1}
    store.write(root, "effects", name, new)
    for names, expected in (("*", [0.5] * 3 + [0.9] * 3), (f"{first}-*", [0.9] * 3), ("other-*", [0.5] * 3)):
        assert sorted(store.read(root, "effects", names=names)["score_ccc"].to_pylist()) == expected


def test_a_scanned_table_has_a_file_of_its_own_in_place_of_compacted_rows(root: Path) -> None:
    def item(trial: str, error: float) -> dict[str, object]:
        key = {"trial": trial, "block": "0-0", "seed": 0, "intervention": "a", "set": "named", "item": "red"}
        return {**key, "error_after": error}

    store.write(root, "items", "s.all", [item("z", 0.1), item("y", 0.2)])
    store.write(root, "items", "z-0-0", [item("z", 0.9)])
    asked = [{"sweep": "s", "number": i, "trial": name, "members": 1, "first_seed": 0} for i, name in enumerate("yz")]
    store.write(root, "proposals", "s.all", asked)
    rows = store.query(root, "SELECT trial, error_after FROM items ORDER BY trial").to_pylist()
    assert [(row["trial"], row["error_after"]) for row in rows] == [("y", 0.2), ("z", 0.9)]


def test_published_items_that_lack_most_do_not_hide_compacted_ones(root: Path) -> None:
    def items(trial: str, names: str, error: float) -> list[dict[str, object]]:
        key = {"trial": trial, "block": "0-0", "seed": 0, "intervention": "a", "set": "named"}
        return [{**key, "item": name, "error_after": error} for name in names]

    for trial in "xy":
        store.write(root, "items", f"{trial}-0-0", items(trial, "abc", 0.1))
        store.write(root, "proposals", f"s-{trial}", [{"sweep": "s", "number": 0, "trial": trial}])
    compact(root)
    store.write(root, "items", "s.all", [*items("x", "a", 0.1), *items("y", "abc", 0.9)])
    for _ in range(2):
        rows = store.read(root, "items").to_pylist()
        found = sorted((row["trial"], row["item"], row["error_after"]) for row in rows)
        assert found == [("x", name, 0.1) for name in "abc"] + [("y", name, 0.9) for name in "abc"]
        compact(root)


def test_of_rows_with_equal_keys_that_of_the_first_block_is_kept(root: Path) -> None:
    rows = [{"trial": "t", "block": block, "seed": seed} for block, seed in (("2-3", 2), ("0-2", 2), ("2-3", 3))]
    kept = store.first_block(store.conform("members", rows), ["seed"])
    assert kept.select(["block", "seed"]).to_pylist() == [{"block": "0-2", "seed": 2}, {"block": "2-3", "seed": 3}]


def test_the_columns_that_files_lack_are_named_also_of_compacted_ones(root: Path) -> None:
    rows = [{**row, "trial": trial} for trial in "ab" for row in effect_rows()]
    path = store.write(root, "effects", "s.all", rows)
    assert store.columns_lacked(root, "effects", "a-*") == set()
    pq.write_table(pq.read_table(path).drop_columns(["score_ccc"]), path)
    assert store.columns_lacked(root, "effects", "a-*") == {"score_ccc"}
    assert store.columns_lacked(root, "effects", "c-*") == set()
    store.write(root, "effects", "a-0-3", [row for row in rows if row["trial"] == "a"])
    assert store.columns_lacked(root, "effects", "a-*") == set()
    assert store.columns_lacked(root, "effects", "b-*") == {"score_ccc"}


def test_a_file_that_goes_while_it_is_looked_at_is_looked_for_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a-0-3", "b.all"):
        store.write(root, "effects", name, effect_rows())
    store.write(root, "effects", "c-0-3", effect_rows())
    every, found = held(root, "effects"), parts(root, "effects")
    folded = held(root, "effects", "c-*")[0]
    for path in (root / "effects").iterdir():
        path.unlink()
    with pytest.raises(Gone):
        rows_of(found)
    with pytest.raises(Gone):
        counted(root, "effects", (every[0], every[1], folded))
    looks: list[int] = []

    def look() -> int:
        looks.append(1)
        if len(looks) < 5:
            raise Gone("a")
        return len(looks)

    assert while_folded(look) == 5
    monkeypatch.setattr(sys.modules[Gone.__module__], "_PATIENCE_S", 0.01)
    looks.clear()
    with pytest.raises(PrepeError, match="gone when it was to be read"):
        while_folded(lambda: rows_of(found))
