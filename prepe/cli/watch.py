"""`prepe watch`."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow.compute as pc
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from prepe import store
from prepe.cli.app import FAILED, Results, app
from prepe.cli.printing import plain
from prepe.errors import PrepeError

if TYPE_CHECKING:
    from prepe.launch.presence import Driver

Row = dict[str, Any]
_SHOWN = 10
_SHARE = 10
_RECENT_S = 600
_OLD_S = 60
_COLUMNS = ["trial", "number", "params", "state", "feasible", "members", "objectives", "goals", "error", "created"]


@app.command()
def watch(
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep's name, or its file.")],
    once: Annotated[bool, typer.Option("--once", help="Say how it stands, and leave.")] = False,
    every_s: Annotated[float, typer.Option("--every", min=0.1, help="Look after so many seconds.")] = 2,
    results: Results = None,
) -> None:
    """Follow a sweep by reading its store alone, until its driver has ended; nothing is asked of the driver.

    On a terminal that is a table which changes, elsewhere a line a trial. It may begin before the sweep's first run
    does; of a sweep whose last driver has ended, it says when, and leaves, so that a new run has to be begun before it.
    Exit code 1 if the driver gave up, or has not been seen for a minute.

    Examples:

        prepe watch delete-red --results s3://my-bucket/results

        prepe watch delete-red --once
    """
    from prepe.launch import presence

    root, name = store.default_root(results), Path(sweep).name.removesuffix(".toml")
    console = Console()
    told: set[str] = set()
    with Live(console=console, auto_refresh=False, transient=False) if console.is_terminal else _Quiet() as live:
        while True:
            began = time.monotonic()
            driver, rows = presence.driver_of(root, name), _rows(root, name)
            if once and driver is None and not rows:
                raise PrepeError(f"{root}: nothing of a sweep {name} is there")
            if isinstance(live, Live):
                live.update(_screen(name, driver, rows), refresh=True)
            else:
                for line in _lines(driver, rows, told, summary_only=once):
                    print(line, flush=True)
            over = driver is not None and (driver.state != "running" or driver.silent)
            if over or once:
                break
            time.sleep(max(every_s, _SHARE * (time.monotonic() - began)))  # reading takes a tenth of the time at most
    if not isinstance(live, Live):
        print(_state(name, driver, rows))
    if driver is not None and (driver.silent or driver.state == "failed"):
        raise typer.Exit(FAILED)


class _Quiet:
    """Shows nothing by itself, where output is no terminal."""

    def __enter__(self) -> "_Quiet":
        return self

    def __exit__(self, *raised: object) -> None:
        pass


def _rows(root: store.Root, sweep: str) -> list[Row]:
    """Return a sweep's trials in the order in which they ended, of each the last row."""
    rows = store.read(root, "proposals", pc.field("sweep") == sweep, _COLUMNS, f"{sweep}-*")
    found: list[Row] = rows.to_pylist(maps_as_pydicts="lossy")
    last = {row["trial"]: row for row in sorted(found, key=lambda row: row["created"])}
    return list(last.values())


def _state(sweep: str, driver: "Driver | None", rows: list[Row]) -> str:
    """Return one line: how many trials, how fast, and what the driver does."""
    total = f" of {driver.total}" if driver else ""
    failed = sum(row["state"] == "failed" for row in rows)
    recent = [row for row in rows if (datetime.now(UTC) - row["created"]).total_seconds() < _RECENT_S]
    pace = ""
    if driver is not None and driver.state == "running" and len(recent) > 1:
        span_s = (recent[-1]["created"] - recent[0]["created"]).total_seconds()
        if span_s > 0:
            per_trial_s = span_s / (len(recent) - 1)
            left_s = per_trial_s * max(driver.total - len(rows), 0)
            pace = f", {60 / per_trial_s:.1f}/min, {left_s:.0f} s left"
    says = "no driver has been seen"
    if driver is not None:
        says = driver.state + (f": {driver.error}" if driver.error else "")
        if driver.state != "running" and time.time() - driver.seen > _OLD_S:
            says += f", at {datetime.fromtimestamp(driver.seen):%Y-%m-%d %H:%M}"
        if driver.state == "running":
            says += f" ({driver.where})"
        if driver.silent:
            says = f"its driver, {driver.where}, has not been seen since {datetime.fromtimestamp(driver.seen):%H:%M:%S}"
    return f"{sweep}: {len(rows)}{total} trials, {failed} failed{pace}, {says}"


def _objective(row: Row) -> tuple[str, float] | None:
    """Return a complete row's first objective, by name and value."""
    if row["state"] != "complete" or not row["goals"]:
        return None
    name = next(iter(row["goals"]))
    return name, dict(row["objectives"] or {}).get(name, float("nan"))


def _rank(row: Row) -> tuple[bool, bool, float]:
    """Return what puts better rows first when sorted: complete ones, feasible ones, then by the first objective."""
    found = _objective(row)
    if found is None:
        return True, True, 0.0
    value = found[1] if row["goals"][found[0]] == "minimize" else -found[1]
    return False, not row["feasible"], value if value == value else float("inf")


def _lines(driver: "Driver | None", rows: list[Row], told: set[str], summary_only: bool) -> Iterator[str]:
    """Give a line for each row that was not told of before."""
    for i, row in enumerate(rows, 1):
        if row["trial"] in told or summary_only:
            continue
        told.add(row["trial"])
        total = f"/{driver.total}" if driver else ""
        yield f"[{i}{total}] {row['trial']} {_outcome(row)}"


def _outcome(row: Row) -> str:
    found = _objective(row)
    if row["state"] == "failed":
        return f"failed: {str(row['error']).strip().rsplit(chr(10), 1)[-1]}"
    return f"{found[0]} {found[1]:.4f}{'' if row['feasible'] else ' (infeasible)'}" if found else "done"


def _screen(sweep: str, driver: "Driver | None", rows: list[Row]) -> Group:
    """Return what a terminal shows: how it stands, then the best trials."""
    best = sorted((row for row in rows if row["state"] == "complete"), key=_rank)[:_SHOWN]
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for header in ("trial", "members", "feasible", "first objective", "parameters"):
        table.add_column(header, no_wrap=header != "parameters")
    for row in best:
        found = _objective(row)
        params = ", ".join(f"{name} {plain(value)}" for name, value in json.loads(row["params"]).items())
        cells = (
            row["trial"][:8],
            str(row["members"]),
            plain(row["feasible"]),
            f"{found[1]:.4f}" if found else "",
            params,
        )
        table.add_row(*map(Text, cells))
    return Group(Text(_state(sweep, driver, rows), style="bold"), *[table] * bool(best))
