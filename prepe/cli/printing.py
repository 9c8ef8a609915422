"""Rows in; tables, CSV and JSON on the terminal out."""

import json
import math
import sys
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from prepe.errors import PrepeError

UNBROKEN = 1_000_000


def new_console() -> Console:
    """Return a console that does not break a table's lines when it is written to a file."""
    console = Console()
    return console if console.is_terminal else Console(width=UNBROKEN)


def print_rows(rows: list[dict[str, Any]], title: str, columns: list[str] | None = None) -> None:
    """Print rows as a table, or one below the other where a terminal is too narrow for that."""
    console = new_console()
    names = columns or list(dict.fromkeys(name for row in rows for name in row))
    console.print(Text(title if names else f"{title}: none", style="bold"))
    for break_after in ("", "."):
        table = _table(rows, names, break_after)
        if console.measure(table, options=console.options.update(width=UNBROKEN)).maximum <= console.width:
            console.print(table)
            return
    for row in rows:
        table = Table(box=None, padding=(0, 1), show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name in names:
            table.add_row(Text(name), Text(plain(row.get(name))))
        console.print(table, "")


def _table(rows: list[dict[str, Any]], names: list[str], break_after: str) -> Table:
    """Lay rows out; headers may be broken after a character."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in names:
        numeric = any(isinstance(row.get(name), int | float | Decimal) for row in rows)
        header = name.replace(break_after, f"{break_after}\n") if break_after else name
        table.add_column(Text(header), justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(Text(plain(row.get(name))) for name in names))
    return table


def plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value + 0.0:.4g}"  # no -0
    return str(value)


def count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def print_csv(table: pa.Table) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(table.column_names)
    for row in rows_of(table):
        writer.writerow([json.dumps(to_json(v)) if isinstance(v, list | dict) else v for v in row.values()])


def to_json(value: Any) -> Any:
    """Return a value of a row in JSON's own terms, which have no number that is not finite."""
    if isinstance(value, dict):
        return {str(key): to_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [to_json(each) for each in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = table.to_pylist(maps_as_pydicts="lossy")
    except (OverflowError, ValueError) as error:  # such as a date that Python does not have
        raise PrepeError(f"a value cannot be shown: {error}; allowed: cast to text in SQL, or --parquet FILE") from None
    return rows
