"""Whatever lies in a store's folders: it is named in one line, or the rows are those that were written."""

import shutil
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import strategies as st
from store.sample import Sample

from fuzz.examples import holds, numbers, refused
from prepe import store

TABLES = ("proposals", "trials", "members", "effects", "items")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("good") / "results"
    Sample(root)
    return root


@pytest.fixture
def root(good: Path, tmp_path: Path) -> Path:
    shutil.copytree(good, tmp_path / "results")
    return tmp_path / "results"


@cache
def written(good: Path, table: str) -> str:
    """Return a table's rows as text, in which what is not a number equals itself."""
    return repr(store.read(good, table).to_pydict())


def first_file(root: Path, table: str) -> Path:
    return min((root / table).glob("*.parquet"))


def data_end(content: bytes | bytearray) -> int:
    """Return where the pages of a Parquet file end and its footer begins."""
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")


def look(root: Path, table: str) -> pa.Table | None:
    """Read a table in every way; return its rows, or None if it was refused, which all ways agree on."""
    said, rows = refused(lambda: store.read(root, table))
    if said is not None:
        assert str(root / table) in said
    for call in (lambda: store.query(root, f"FROM {table}"), lambda: store.trial_named(root, "aaaa1111")):
        refused(call)
    return rows


def check_damaged(good: Path, path: Path, table: str, content: bytes | None, footer: bool = False) -> bool:
    """Put something in a file's place; say whether it was read, and check that rows are those that were there.

    A footer has no checksum of its own: of a bit in it that flips, about one in some thousands changes rows unnoticed.
    """
    whole = path.read_bytes()
    try:
        if content is None:
            path.unlink()
            path.mkdir()
        else:
            path.write_bytes(content)
        rows = look(path.parents[1], table)
        if rows is not None and not footer:
            assert repr(rows.to_pydict()) == written(good, table)
        return rows is not None
    finally:
        if path.is_dir():
            path.rmdir()
        path.write_bytes(whole)


@numbers(10, 300)
def test_a_file_that_was_cut_is_named(good: Path, root: Path, examples: int) -> None:
    def law(table: str, keep: float, tail: bytes) -> None:
        path = first_file(root, table)
        content = path.read_bytes()
        content = content[: int(keep * len(content))] + tail
        assert not check_damaged(good, path, table, content)

    holds(
        law,
        examples,
        table=st.sampled_from(TABLES),
        keep=st.floats(0, 0.999),
        tail=st.binary(max_size=8) | st.just(b"PAR1"),
    )


@numbers(8, 300)
def test_bits_that_flip_are_named_and_never_change_rows(good: Path, root: Path, examples: int) -> None:
    def law(table: str, flips: list[tuple[float, int]]) -> None:
        path = first_file(root, table)
        content = bytearray(path.read_bytes())
        end = data_end(content)
        for at, bit in flips:
            content[int(at * (end - 1))] ^= 1 << bit
        check_damaged(good, path, table, bytes(content))

    def in_the_footer(table: str, flips: list[tuple[float, int]]) -> None:
        path = first_file(root, table)
        content = bytearray(path.read_bytes())
        start = data_end(content)
        for at, bit in flips:
            content[start + int(at * (len(content) - start - 1))] ^= 1 << bit
        check_damaged(good, path, table, bytes(content), footer=True)

    flips = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 7)), min_size=1, max_size=4)
    holds(law, examples, table=st.sampled_from(TABLES), flips=flips)
    holds(in_the_footer, examples, table=st.sampled_from(TABLES), flips=flips)


@numbers(5, 200)
def test_another_files_bytes_in_place_of_a_file_are_named(good: Path, root: Path, examples: int) -> None:
    def law(table: str, other: str, text: bytes, kind: str) -> None:
        path = first_file(root, table)
        put = {"other": first_file(root, other).read_bytes(), "bytes": text, "text": b"PAR1" + text + b"PAR1"}.get(kind)
        if kind == "other" and other == table:
            return
        assert not check_damaged(good, path, table, put)

    tables = st.sampled_from(TABLES)
    kind = st.sampled_from(["other", "bytes", "text", "folder"])
    holds(law, examples, table=tables, other=tables, text=st.binary(max_size=100), kind=kind)
