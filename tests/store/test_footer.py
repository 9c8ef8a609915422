"""A footer is the one that was written, or it is not read; and whatever it says is quoted in one line."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prepe import store
from prepe.errors import PrepeError
from prepe.store.compact import compact
from prepe.store.footer import parsed

from .sample import effect_rows


def unsigned(content: bytes) -> bytes:
    """Return a file as it was written before there were digests: without it and the mark before it."""
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    return content[: start - 64] + content[start:]


def is_read(content: bytes | bytearray) -> bool:
    try:
        parsed(bytes(content))
    except (pa.ArrowException, OSError):
        return False
    return True


@pytest.mark.parametrize("rows", [0, 3])
def test_no_bit_of_a_footer_or_of_its_digest_flips_unseen(root: Path, rows: int) -> None:
    content = bytearray(Path(store.write(root, "proposals", "s-t", proposals(rows))).read_bytes())
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    assert is_read(content)
    for at in range(start - 64, len(content)):
        for bit in range(8) if at < start or at >= len(content) - 8 else (at % 8,):
            content[at] ^= 1 << bit
            assert is_read(bytes(content)) == (at < start - 32), (at, bit)  # a mark is known with a bit flipped
            content[at] ^= 1 << bit


def proposals(count: int) -> list[dict[str, object]]:
    return [{"sweep": "s", "number": i, "trial": "t", "objectives": {"a": 1.0}} for i in range(count)]


def test_a_file_without_a_digest_is_read_and_gets_one_when_it_is_written_again(root: Path) -> None:
    for name in "ab":
        path = Path(store.write(root, "effects", f"{name}-0-3", [{**row, "trial": name} for row in effect_rows()]))
        rows = store.read(root, "effects")
        path.write_bytes(unsigned(path.read_bytes()))
        assert store.read(root, "effects").equals(rows)
    compact(root)
    (path,) = (root / "effects").iterdir()
    content = bytearray(path.read_bytes())
    assert is_read(content)
    content[-20] ^= 1
    assert not is_read(content)
    assert sorted(store.read(root, "effects")["trial"].to_pylist()) == ["a"] * 3 + ["b"] * 3


TORN = "x\ny\x0bz\u2028\x85" + "long" * 99
FOREIGN: dict[str, Callable[[pa.Table], pa.Table]] = {
    "table": lambda rows: rows.replace_schema_metadata({**rows.schema.metadata, b"prepe_table": TORN}),
    "version": lambda rows: rows.replace_schema_metadata({**rows.schema.metadata, b"prepe_schema": "9" * 9999}),
    "column": lambda rows: rows.rename_columns([TORN, *rows.column_names[1:]]),
    "type": lambda rows: rows.set_column(0, "trial", pa.array([{TORN: 1}] * len(rows))),
}


@pytest.mark.parametrize("part", FOREIGN)
def test_what_a_foreign_footer_says_is_quoted_in_one_short_line(root: Path, part: str) -> None:
    path = store.write(root, "effects", "a-0-3", effect_rows())
    pq.write_table(FOREIGN[part](pq.read_table(path)), path)
    with pytest.raises(PrepeError) as said:
        store.read(root, "effects")
    assert str(said.value).startswith(f"{path}: ")
    assert len(str(said.value).splitlines()) == 1
    assert len(str(said.value)) < len(str(path)) + 300
