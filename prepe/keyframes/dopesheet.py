"""A dopesheet, the CSV form of a schedule, read and written.

A row is a keyframe: its `STEP`, perhaps the `PHASE` that it begins, `ACTION`s with commas between them, and a number
for every parameter that has one there. A parameter's column is headed `name[:space[:timing]]`, space `linear` or `log`,
timing `minjerk`, `linear` or `step-end`, also called `step`. Steps may be relative, see `resolve`; rows need not be in
order.

Source: z0u/ex-preppy, experiment 1.4.
"""

import csv
import io
import math
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_args

from prepe.catalog import unknown
from prepe.errors import PrepeError, printable
from prepe.keyframes.schedule import MAX_STEPS, Column, Keyframe, Schedule
from prepe.keyframes.steps import STEP_FORMS, resolve
from prepe.keyframes.transition import Space, Timing

_RESERVED = ("STEP", "PHASE", "ACTION")
_TIMINGS = {name: name for name in get_args(Timing)} | {"step": "step-end"}
Row = dict[str, str]


def read_dopesheet(path: str | Path) -> Schedule:
    """Read a dopesheet as a schedule.

    Raises:
        PrepeError: naming the file, the row (the header is row 1) and the column, the value, and what is allowed.
    """
    return Schedule.model_validate(dopesheet_table(path))


def dopesheet_table(path: str | Path) -> dict[str, Any]:
    """Read a dopesheet as the plain `keyframes` and `columns` of a [schedule] table, steps resolved and in order.

    Raises:
        PrepeError: as `read_dopesheet` does.
    """
    header, rows = _rows(Path(path))
    columns = _columns(header, path)
    frames = []
    for (number, row), step in zip(rows.items(), _steps(rows, path), strict=True):
        values = {
            name: _number(row[head], f"{path}: row {number}, column {head!r}")
            for head, (name, _) in columns.items()
            if row[head].strip()
        }
        frame: dict[str, Any] = {"step": step, "values": values}
        if row.get("PHASE"):
            frame["phase"] = row["PHASE"]
        if row.get("ACTION"):
            frame["actions"] = _actions(row["ACTION"], f"{path}: row {number}, column 'ACTION'")
        frames.append(frame)
    for head, (name, _) in columns.items():
        if not any(name in frame["values"] for frame in frames):
            raise PrepeError(f"{path}: column {head!r}: no row has a value; allowed: at least one")
    return {
        "keyframes": sorted(frames, key=lambda frame: frame["step"]),
        "columns": {
            name: column.model_dump(exclude_defaults=True) for name, column in columns.values() if column != Column()
        },
    }


def to_csv(schedule: Schedule) -> str:
    """Write a schedule as a dopesheet with steps as numbers.

    A last row without values stands for steps after the last keyframe. A dopesheet has no place for sizes of batches,
    phases' data, rules and `final_step`.

    Raises:
        PrepeError: a name of a parameter, phase or action would be read as something else.
    """
    names = schedule.names()
    _check_names(schedule)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_RESERVED, *(_head(name, schedule) for name in names)])
    frames = list(schedule.keyframes)
    if frames[-1].step < schedule.steps - 1:
        frames.append(Keyframe(step=schedule.steps - 1, values={}))
    for frame in frames:
        values = [_shortest(frame.values[name]) if name in frame.values else "" for name in names]
        writer.writerow([frame.step, frame.phase or "", ",".join(frame.actions), *values])
    return text.getvalue()


def expand_dopesheets(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a sweep file's table with the content of every dopesheet that it names in place of the name.

    `dopesheet`, a path from the sweep file's folder, stands for `keyframes` and `columns`, in [schedule] and in that of
    any variant, where it replaces all of both that [schedule] has.

    Raises:
        PrepeError: naming the path in the table, then as `read_dopesheet` does.
    """
    table = dict(table)
    schedule = _expanded(table.get("schedule"), "schedule", folder)
    if schedule is not None:
        table["schedule"] = schedule
    base = schedule if schedule is not None else table.get("schedule")
    before = base.get("columns") if isinstance(base, dict) else None
    if not isinstance(table.get("variants"), dict):
        return table
    table["variants"] = variants = dict(table["variants"])
    for name, variant in variants.items():
        own = variant.get("schedule") if isinstance(variant, dict) else None
        expanded = _expanded(own, f"variants.{name}.schedule", folder)
        if expanded is not None:
            expanded["columns"] = _instead_of(before if isinstance(before, dict) else {}, expanded["columns"])
            variants[name] = {**variant, "schedule": expanded}
    return table


def _expanded(schedule: Any, path: str, folder: Path) -> dict[str, Any] | None:
    """Return a [schedule] table with its dopesheet read, or None when it names none."""
    if not isinstance(schedule, dict) or "dopesheet" not in schedule:
        return None
    file = schedule["dopesheet"]
    if not isinstance(file, str):
        raise PrepeError(f"{path}.dopesheet: {file!r} stands here; allowed: a text in quotes, the path of a CSV file")
    for key in ("keyframes", "columns"):
        if key in schedule:
            raise PrepeError(f"{path}.{key}: a dopesheet stands for it; allowed: one of the two")
    try:
        read = dopesheet_table(folder / file)
    except PrepeError as error:
        raise PrepeError(f"{path}.dopesheet: {error}") from None
    return {key: value for key, value in schedule.items() if key != "dopesheet"} | read


def _instead_of(before: dict[str, Any], columns: dict[str, Any]) -> dict[str, Any]:
    """Return columns such that, laid over those before, they alone remain; false takes a key out."""
    gone: dict[str, Any] = {name: False for name in before if name not in columns}
    for name, column in columns.items():
        old = before.get(name)
        gone[name] = {**{key: False for key in old if key not in column}, **column} if isinstance(old, dict) else column
    return gone


def _lines(path: Path) -> dict[int, list[str]]:
    """Return the cells of every line that is not blank, by number."""
    if path.is_char_device() or path.is_fifo():  # reading it might never end
        raise PrepeError(f"{path}: cannot be read: not a file")
    try:
        text = path.read_text(encoding="utf-8-sig")
        return {i: line for i, line in enumerate(csv.reader(io.StringIO(text, newline=""), strict=True), 1) if line}
    except OSError as error:
        raise PrepeError(f"{path}: cannot be read: {error.strerror}") from None
    except (csv.Error, ValueError) as error:  # such as text that is no UTF-8, or a path that no file can have
        raise PrepeError(f"{path}: not a CSV file: {error}") from None


def _rows(path: Path) -> tuple[list[str], dict[int, Row]]:
    """Return the header, and every row by number: a text for each column of the header."""
    lines = _lines(path)
    if not lines:
        raise PrepeError(f"{path}: the file is empty; allowed: a header with STEP, and a row for each keyframe")
    header = lines.pop(min(lines))
    if "STEP" not in header:
        columns = printable(", ".join(header))
        raise PrepeError(f"{path}: row 1: there is no column STEP among {columns}; allowed: exactly one")
    for i, head in enumerate(header):
        if head in header[:i]:
            raise PrepeError(f"{path}: row 1: the column {head!r} stands twice; allowed: each once")
    if not lines:
        raise PrepeError(f"{path}: there is no row below the header; allowed: one for each keyframe")
    for number, line in lines.items():
        if len(line) > len(header):
            raise PrepeError(f"{path}: row {number}: {len(line)} cells; allowed: {len(header)}, as many as the header")
    return header, {number: dict(zip_longest(header, line, fillvalue="")) for number, line in lines.items()}


def _columns(header: list[str], path: str | Path) -> dict[str, tuple[str, Column]]:
    """Return each parameter's header -> its name and how it moves."""
    columns: dict[str, tuple[str, Column]] = {}
    for head in header:
        if head in _RESERVED:
            continue
        where = f"{path}: row 1, column {head!r}"
        name, space, timing = [*head.split(":"), "", ""][:3]
        if not name or head.count(":") > 2:
            raise PrepeError(f"{where}: not understood; allowed: name, name:space, name:space:timing or name::timing")
        if space and space not in get_args(Space):
            raise PrepeError(f"{where}: {unknown(space, get_args(Space), 'space')}")
        if timing and timing not in _TIMINGS:
            raise PrepeError(f"{where}: {unknown(timing, _TIMINGS, 'timing')}")
        if name in [known for known, _ in columns.values()]:
            raise PrepeError(f"{where}: the parameter {name!r} has two columns; allowed: one")
        column = {"space": space or "linear", "timing": _TIMINGS[timing] if timing else None}
        columns[head] = name, Column.model_validate(column)
    return columns


def _steps(rows: dict[int, Row], path: str | Path) -> list[int]:
    """Return every row's step as a number."""
    written = [row["STEP"] for row in rows.values()]
    seen: dict[int, int] = {}
    for number, cell, step in zip(rows, written, resolve(written), strict=True):
        where = f"{path}: row {number}, column 'STEP'"
        if step is None:
            raise PrepeError(f"{where}: {cell!r} cannot be resolved; {STEP_FORMS}")
        if step >= MAX_STEPS:
            raise PrepeError(f"{where}: {cell!r} is step {step}; allowed: below {MAX_STEPS}")
        if step in seen:
            raise PrepeError(f"{where}: {cell!r} is step {step}, as row {seen[step]} is; allowed: each step once")
        seen[step] = number
    return list(seen)


def _number(cell: str, where: str) -> float:
    try:
        number = float(cell) if "_" not in cell else math.nan
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise PrepeError(f"{where}: {cell!r} stands here; allowed: a number of 0 or more, or nothing")
    return number


def _actions(cell: str, where: str) -> list[str]:
    actions = [action.strip() for action in cell.split(",")]
    if "" in actions:
        raise PrepeError(f"{where}: {cell!r} stands here; allowed: names with commas between them")
    return actions


def _check_names(schedule: Schedule) -> None:
    """Refuse names that `read_dopesheet` would read as something else."""
    phases = [frame.phase for frame in schedule.keyframes if frame.phase is not None]
    actions = [action for frame in schedule.keyframes for action in frame.actions]
    for what, name in _unreadable(schedule.names(), phases, actions):
        raise PrepeError(
            f"the {what} {name!r} cannot stand in a dopesheet; allowed: no ':' in a parameter, no ',' in an "
            "action, no empty names, and no parameter called STEP, PHASE or ACTION"
        )


def _unreadable(names: list[str], phases: list[str], actions: list[str]) -> Iterator[tuple[str, str]]:
    yield from (("parameter", name) for name in names if not name or ":" in name or name in _RESERVED)
    yield from (("phase", name) for name in phases if not name)
    yield from (("action", name) for name in actions if not name or "," in name or name != name.strip())


def _head(name: str, schedule: Schedule) -> str:
    """Return a column's header without what is understood of itself."""
    column = schedule.columns.get(name, Column())
    timing = column.timing or schedule.timing
    space = column.space if column.space != "linear" else ""
    return f"{name}:{space}:{timing if timing != 'minjerk' else ''}".rstrip(":")


def _shortest(value: float) -> str:
    """Return a number as briefly as it can be read back."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)
