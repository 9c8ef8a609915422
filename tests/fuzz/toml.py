"""Sweep files that nobody meant: strategies for plain values, for whole files of them, and for changed files."""

import json
import tomllib
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

NAMES = (
    *("data", "model", "terms", "schedule", "concepts", "interventions", "cycle", "variants", "search", "record"),
    *("objectives", "constraints", "claims", "resources", "space", "start", "int", "float", "log", "choice", "step"),
    *("kind", "labels", "direction", "axis", "axes", "vectors", "keyframes", "steps", "phase", "phases", "rules"),
    *("parameters", "widths", "editable", "lr", "variant", "dopesheet", "columns", "twin", "values", "", "a.b", "ö"),
)
TEXTS = (
    *(
        "$lr",
        "0.5 * $lr",
        "-1 * $anchor",
        "1e999 * $lr",
        "$variant",
        "$",
        "$lr $lr",
        "+10",
        "-1",
        "+0.5",
        "+" + "9" * 5000,
    ),
    *("9" * 5000, "tripwire:f", "tripwire:f.g", "hue:red", "hue:tripwire", "red", "gray", "redness", "autoencoder"),
    *("rgb_grid", "hsv_cube", "anchor", "ablate", "suppress", "nan", "\0", "/dev/zero", "../x.csv", ".", "{}", "all"),
)


@dataclass(frozen=True)
class Number:
    """A number of very many digits, which Python itself would not write."""

    digits: str

    def __repr__(self) -> str:
        return f"{self.digits[:4]}... of {len(self.digits)} characters"


NUMBERS = (
    *(Number("9" * 5000), Number("0x" + "f" * 5000), Number("1e" + "9" * 30), Number("0." + "1" * 5000)),
    *(0, 1, 2, 3, -1, 64, 2**31 - 1, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**400),
    *(0.0, -0.0, 0.5, 1e-320, 1e-12, 1e300, -1.5, float("nan"), float("inf"), float("-inf")),
)

_scalars = (
    st.sampled_from(NUMBERS)
    | st.sampled_from(TEXTS)
    | st.booleans()
    | st.integers(-5, 100)
    | st.floats(0, 1)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from([date(2020, 1, 2), datetime(2020, 1, 2, 3, 4)])
)
_names = st.sampled_from(NAMES) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
values: st.SearchStrategy[Any] = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names, inner, max_size=4), max_leaves=8
)


@st.composite
def changed(draw: st.DrawFn, files: Sequence[Path]) -> tuple[str, str]:
    """Give the name of one of some files, and its text with one to four changes in what it says."""
    file = draw(st.sampled_from(files))
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    for _ in range(draw(st.integers(1, 4))):
        _change(draw, table)
    return file.name, written(table)


def _change(draw: st.DrawFn, table: dict[str, Any]) -> None:
    """Replace, remove, rename, double or add something anywhere in a table."""
    places = list(_places(table))
    holder, key = draw(st.sampled_from(places)) if places else (table, None)
    how = draw(st.sampled_from(["replace", "nudge", "nudge", "remove", "rename", "double", "add", "other"]))
    if key is None or how == "add":
        inner = holder if isinstance(holder, dict) else table
        inner[draw(_names)] = draw(values)
    elif how == "replace":
        holder[key] = draw(values)
    elif how == "nudge" and isinstance(holder[key], int | float):
        holder[key] = draw(st.sampled_from([0, 1, 2, 3, 0.5, 1.0, 1e-6, True, False]) | st.just(2 * holder[key]))
    elif how == "nudge" and isinstance(holder[key], str):
        same = [inner[at] for inner, at in places if isinstance(inner[at], str)]
        holder[key] = draw(st.sampled_from(same))
    elif how == "other":
        other, there = draw(st.sampled_from(places))
        holder[key] = deepcopy(other[there])
    elif how == "remove":
        del holder[key]
    elif how == "rename" and isinstance(holder, dict):
        holder[draw(_names)] = holder.pop(key)
    elif how == "double" and isinstance(holder, list):
        holder.insert(key, deepcopy(holder[key]))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Give every place in a table: what holds it, and under which key."""
    for key, each in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(each, dict | list):
            yield from _places(each)


def written(table: dict[str, Any]) -> str:
    """Write a table as TOML, a line a key."""
    return "".join(f"{_text(key)} = {_inline(each)}\n" for key, each in table.items())


whole = st.dictionaries(_names, values, max_size=10).map(written)
"""Whole files."""


def _inline(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_text(key)} = {_inline(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, date):
        return value.isoformat()
    return value.digits if isinstance(value, Number) else repr(value)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
