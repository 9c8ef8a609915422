"""A sweep file, or its table, in; a checked sweep out."""

import re
import tomllib
from datetime import date, time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from prepe import spec
from prepe.catalog import unknown
from prepe.errors import PrepeError, printable
from prepe.keyframes import expand_dopesheets
from prepe.sweep.checks import check
from prepe.sweep.parts import Sweep

_BODY = ("data", "model", "terms", "routes", "schedule", "concepts", "interventions", "cycle")
_LISTS = ("objectives", "constraints", "claims")
_DEEPEST, _STORED_BITS, _WRITABLE_BITS = 32, 63, 1000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def load(path: str | Path, *, trials: int | None = None, members: int | None = None) -> Sweep:
    """Read and check a sweep file.

    Args:
        path: a TOML file; its stem is the sweep's name.
        trials: overrides the file's number of trials.
        members: overrides the file's number of members.

    Raises:
        PrepeError: naming the file, the path in it, the value, and what is allowed.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PrepeError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # a TOMLDecodeError, or what Python makes of endless digits or lists
        raise PrepeError(f"{path}: not valid TOML: {printable(str(error))}") from None
    if members is not None:
        table["members"] = members
    if trials is not None:
        if not isinstance(table.get("search"), dict):
            raise PrepeError(f"{path}: trials: the file has no [search] table, so it has exactly one trial")
        table["search"]["trials"] = trials
    try:
        return from_table(path.stem, expand_dopesheets(table, path.parent))
    except PrepeError as error:
        raise PrepeError(f"{path}: {printable(str(error))}") from None


def from_table(name: str, table: dict[str, Any]) -> Sweep:
    """Check a sweep given as a table of plain values.

    Raises:
        PrepeError: naming the path in the table, the value, and what is allowed.
    """
    if not _NAME.fullmatch(name):
        raise PrepeError(
            f"the file's stem {name!r} is the sweep's name, and part of others; "
            "allowed: letters, digits, '-', '_' and '.', the first a letter or a digit"
        )
    _check_plain(table, _WRITABLE_BITS)
    head = {key: value for key, value in table.items() if key not in _BODY}
    allowed = [key for key in Sweep.model_fields if key not in ("name", "body")] + list(_BODY)
    for key in head:
        if key not in allowed:
            raise PrepeError(unknown(key, allowed))
    for key in _LISTS:
        if not isinstance(head.get(key, []), list):
            raise PrepeError(f"{key}: a list of tables is needed here, each headed [[{key}]]")
        head[key] = tuple(head.get(key, []))
    try:
        sweep = Sweep.model_validate({**head, "name": name, "body": {key: table[key] for key in _BODY if key in table}})
    except ValidationError as error:
        raise PrepeError(spec.explain(error, head)) from None
    check(sweep)
    _check_plain(table, _STORED_BITS)  # last, since for most numbers there is more to say about what is allowed
    return sweep


def _check_plain(value: Any, bits: int, path: str = "", depth: int = 0) -> None:
    """Check that a table has nothing but what JSON gives back as it was, since a trial is stored as JSON.

    Raises:
        PrepeError: naming a date, a whole number of more bits than these, or a table too deep within others.
    """
    if depth > _DEEPEST:
        raise PrepeError(f"{path}: lies {depth} tables and lists deep; allowed: at most {_DEEPEST}")
    if isinstance(value, dict):
        for key, each in value.items():
            _check_plain(each, bits, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list):
        for i, each in enumerate(value):
            _check_plain(each, bits, f"{path}[{i}]", depth + 1)
    elif isinstance(value, date | time):
        raise PrepeError(f"{path}: {value} stands here; allowed: no dates and times, but a text in quotes")
    elif isinstance(value, int) and value.bit_length() > bits:
        raise PrepeError(f"{path}: a whole number of {value.bit_length()} bits; allowed: at most {_STORED_BITS}")
