"""A file of a table in; its footer, checked, out: how many rows of which schema it has, or what is wrong with it.

Pages of a Parquet file have checksums, and its footer has none. So `signed` puts the footer's digest before it, where
other readers of Parquet do not look, and it is checked with every look at the footer. Files without one, which others
or older versions wrote, are taken as they are.
"""

import hashlib
import json
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from prepe.errors import PrepeError
from prepe.store import files
from prepe.store.gone import Gone
from prepe.store.patience import first_line, patiently
from prepe.store.root import Root
from prepe.store.schema import SCHEMAS, VERSION

ADVICE = "move it away and run the sweep again: what it held is made again"
SHARED = "prepe_shared"
"""A tag in the footer of a file that `compact` made: the trials or models of it that have rows in several blocks, here
or in other files, as JSON; or null where those are too many to say."""
FOLDS = "prepe_folds"
"""A tag in the footer of a file that `compact` made: the compacted files whose rows it has in their place, as JSON."""
_MARK = hashlib.sha256(b"the SHA-256 of this file's footer follows").digest()
"""What stands before a footer's digest: bytes that look like nothing else."""
_MARK_BITS = 64
"""So many bits of a mark may have flipped, and it is still known as one; of other bytes about 128 differ."""
_DIGEST_BYTES = 32
_MAGIC = b"PAR1"
_END_BYTES = 8
"""After a footer: how long it is, and these."""
_TAIL_BYTES = 1 << 16
"""So much is read of a file's end at once, which is most files whole."""


class Held(NamedTuple):
    """A file of a table: its stem, its size, how many rows it has, and the schema with the tags in its footer."""

    stem: str
    bytes: int
    rows: int
    schema: pa.Schema

    @property
    def tags(self) -> dict[str, str]:
        return _tags(self.schema)

    @property
    def folds(self) -> list[str] | None:
        """The compacted files whose rows it has in their place, if it was made by `compact`."""
        return json.loads(self.tags[FOLDS]) if FOLDS in self.tags else None


def footer(root: Root, table: str, stem: str, seen: tuple[int, int] = (-1, -1)) -> Held:
    """Read and check the footer of a file of a table.

    A bucket is asked more than once for one footer, so a file may go or change in between. Where that looks damaged, it
    is read again until it stays the same; `seen` is its state when it was last looked at.

    Raises:
        PrepeError: the file is damaged, foreign or of a newer schema.
        Gone: it is not there.
    """
    system, path = files.opened(root)
    file, name = f"{path}/{table}/{stem}.parquet", files.place(root, table, f"{stem}.parquet")
    try:
        size, end = patiently(name, "read", lambda: tail(system, file))
        found = parsed(end)
        schema = found.schema.to_arrow_schema()
        fault = _fault(schema, table)
    except FileNotFoundError as error:
        raise Gone(name) from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        state = state_of(system, file, seen)
        if state is None:
            raise Gone(name) from error
        if state != seen:
            return footer(root, table, stem, state)
        reason = one_line(error).removeprefix(f"Could not open Parquet input source '{file}': ")
        raise PrepeError(f"{name}: not a readable Parquet file: {reason}; {ADVICE}") from error
    if fault:
        raise PrepeError(f"{name}: {fault}")
    return Held(stem, size, found.num_rows, schema)


def state_of(system: fs.FileSystem, path: str, seen: tuple[int, int]) -> tuple[int, int] | None:
    """Return of a file in a bucket what `files.state` does; of one on a disk, and without an answer, `seen`."""
    if isinstance(system, fs.LocalFileSystem):
        return seen
    try:
        info = patiently(files.place_in(system, path), "looked at", lambda: system.get_file_info(path))
    except (pa.ArrowException, OSError):
        return seen
    return (info.size, info.mtime_ns) if info.type == fs.FileType.File else None


def tail(system: fs.FileSystem, path: str) -> tuple[int, bytes]:
    """Return the size of a file, and its end from the mark before its footer on if it has one, or more, at one go.

    Raises:
        OSError: it cannot be read, or is shorter than its footer says.
    """
    with system.open_input_file(path) as file:
        size = file.size()
        end: bytes = file.read_at(min(size, _TAIL_BYTES), max(0, size - _TAIL_BYTES))
        needed = _footer_bytes(end) + _END_BYTES
        if needed > size and end.endswith(_MAGIC):
            raise OSError(f"Parquet file size is {size} bytes, and of these its footer has {needed}")
        needed = min(size, needed + len(_MARK) + _DIGEST_BYTES)
        return size, end if needed <= len(end) else file.read_at(needed, size - needed)


def parsed(end: bytes) -> pq.FileMetaData:
    """Return what the footer says at the end of a file, after a look at its digest if there is one.

    Raises:
        OSError: the digest is another one.
        ArrowException: these bytes are not the end of a Parquet file.
    """
    check_digest(end)
    return pq.read_metadata(pa.BufferReader(end))


def check_digest(end: bytes) -> None:
    """Raise an OSError if the footer at the end of a file has a digest, and it is another one."""
    start = max(0, len(end) - _END_BYTES - _footer_bytes(end))
    digest_at = start - _DIGEST_BYTES
    mark = end[max(0, digest_at - len(_MARK)) : max(0, digest_at)]
    if _is_mark(mark):
        if hashlib.sha256(end[start:]).digest() != end[digest_at:start]:
            raise OSError("its footer is not the one that was written, by its digest")
    elif end.endswith(_MAGIC) and _MARK in end:
        raise OSError("its footer is not as long as when it was written")


def signed(content: pa.Buffer) -> pa.Buffer:
    """Return the content of a Parquet file with the digest of its footer before that."""
    start = content.size - _END_BYTES - _footer_bytes(content[-_END_BYTES:].to_pybytes())
    last = content[start:].to_pybytes()
    made = pa.BufferOutputStream()
    for part in (content[:start], _MARK, hashlib.sha256(last).digest(), last):
        made.write(part)
    return made.getvalue()


def _footer_bytes(end: bytes) -> int:
    return int.from_bytes(end[-_END_BYTES:-4], "little")


def _is_mark(found: bytes) -> bool:
    """Say whether bytes are a mark, as it was written or with some bits flipped."""
    differing = int.from_bytes(found, "big") ^ int.from_bytes(_MARK, "big")
    return len(found) == len(_MARK) and differing.bit_count() <= _MARK_BITS


def one_line(said: object) -> str:
    """Return what an error says, or what stands in a file, as one line without signs that cannot be seen."""
    text = first_line(said) if isinstance(said, BaseException) else str(said)
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _tags(schema: pa.Schema) -> dict[str, str]:
    named = (schema.metadata or {}).items()
    return {key.decode(errors="replace"): value.decode(errors="replace") for key, value in named}


def _is_list_of_texts(text: str) -> bool:
    """Say whether JSON is a list of texts, or null."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return found is None or (isinstance(found, list) and all(isinstance(each, str) for each in found))


def _fault(held: pa.Schema, table: str) -> str | None:
    """Return what is wrong with a file's schema in the folder of a table, or None."""
    tags = _tags(held)
    owner, version = tags.get("prepe_table"), tags.get("prepe_schema", "")
    if owner is None or not version.isdecimal():
        return f"not written by prepe, and every file here is read as one of the table {table}; move it away"
    if owner not in SCHEMAS:
        return f"holds rows of {owner[:40]!r}, which is no table; {ADVICE}"
    if owner != table:
        return f"holds rows of the table {owner}, and lies in the folder of {table}; move it to the folder {owner}"
    if len(version) > 4 or int(version) > VERSION:
        return (
            f"written with schema {version[:5]}, and this prepe knows schemas up to {VERSION}; install a newer prepe, "
            f"or {ADVICE}"
        )
    for tag in (FOLDS, SHARED):
        if tag in tags and not _is_list_of_texts(tags[tag]):
            return f"its footer is damaged, in {tag}; {ADVICE}"
    if held.equals(SCHEMAS[table]):
        return None
    unknown = [name for name in held.names if name not in SCHEMAS[table].names]
    lacked = [name for name in SCHEMAS[table].names if name not in held.names]
    if unknown and lacked:  # an older file lacks columns, a newer one has more; a flipped bit in a name does both
        return f"column {unknown[0][:40]!r} is none of the table {table}, and {lacked[0]} is missing; {ADVICE}"
    for field in SCHEMAS[table]:
        at = held.get_field_index(field.name)
        if at >= 0 and held.field(at).type != field.type:
            kind = one_line(held.field(at).type)[:80]
            return f"column {field.name} holds {kind}, and {field.type} is declared; {ADVICE}"
    return None
