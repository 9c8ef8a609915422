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


def check_damaged(good: Path, path: Path, table: str, content: bytes | None, same: bool = True) -> bool:
    """Put something in a file's place; say whether it was read, and check that rows are those that were there."""
    whole = path.read_bytes()
    try:
        if content is None:
            path.unlink()
            path.mkdir()
        else:
            path.write_bytes(content)
        rows = look(path.parents[1], table)
        if rows is not None and same:
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


FLIPS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 7)), min_size=1, max_size=4)


def flipped(content: bytes, start: int, end: int, flips: list[tuple[float, int]]) -> bytes:
    """Return bytes with some bits flipped between two places, each given as a share of the way and a bit."""
    found = bytearray(content)
    for at, bit in flips:
        found[start + int(at * (end - start - 1))] ^= 1 << bit
    return bytes(found)


@numbers(8, 300)
def test_bits_that_flip_are_named_and_never_change_rows(good: Path, root: Path, examples: int) -> None:
    def in_the_pages(table: str, flips: list[tuple[float, int]]) -> None:
        path = first_file(root, table)
        content = path.read_bytes()
        check_damaged(good, path, table, flipped(content, 0, data_end(content), flips))

    def in_the_footer(table: str, flips: list[tuple[float, int]], before: int) -> None:
        path = first_file(root, table)
        content = path.read_bytes()
        check_damaged(good, path, table, flipped(content, data_end(content) - before, len(content), flips))

    holds(in_the_pages, examples, table=st.sampled_from(TABLES), flips=FLIPS)
    digest = st.sampled_from([0, 64])  # alone, or with the digest and the mark before it
    holds(in_the_footer, examples, table=st.sampled_from(TABLES), flips=FLIPS, before=digest)


@numbers(4, 60)
def test_bits_that_flip_in_a_footer_without_a_digest_are_named_in_one_line(
    good: Path, root: Path, examples: int
) -> None:
    """Files written before footers had digests: about one such bit in some thousands changes rows unnoticed."""

    def law(table: str, flips: list[tuple[float, int]]) -> None:
        path = first_file(root, table)
        content = path.read_bytes()
        start = data_end(content)
        old = content[: start - 64] + content[start:]
        check_damaged(good, path, table, flipped(old, start - 64, len(old), flips), same=False)

    holds(law, examples, table=st.sampled_from(TABLES), flips=FLIPS)


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
