"""A sweep's events in; a live line on a terminal, or plain lines elsewhere, out."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from prepe.launch.job import Proposal, Row
from prepe.sweep import Sweep


def better(row: Row, than: Row | None, sweep: Sweep) -> bool:
    """Say whether a complete row is better than another: feasible first, then by the first objective."""
    if row["state"] != "complete":
        return False
    if than is None or not sweep.objectives:
        return than is None
    first = sweep.objectives[0]
    sign = 1 if first.goal == "maximize" else -1

    def key(each: Row) -> tuple[bool, float]:
        return each["feasible"], sign * dict(each["objectives"])[first.name]

    return key(row) > key(than)


class Progress:
    """Shows trials done, failures, rate, time left and the best so far."""

    def __init__(self, sweep: Sweep, total: int, done: list[Row], console: Console | None = None) -> None:
        self.sweep, self.total, self.console = sweep, total, console or Console(stderr=False)
        self.ended, self.before, self.failed = len(done), len(done), 0
        self.best: Row | None = None
        for row in done:
            if better(row, self.best, sweep):
                self.best = row
        self.began = time.monotonic()
        self._bars: Bars | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show progress while in this context."""
        self.began = time.monotonic()
        if not self.console.is_terminal:
            yield
            return
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}"),
            console=self.console,
        )
        with self._bars:
            self._task = self._bars.add_task("trials", total=self.total, completed=self.ended, detail="starting")
            yield
        self._bars = None

    def started(self, proposal: Proposal) -> None:
        """Note that a proposal is being worked on."""
        self._show()

    def step(self, doing: str, done: int, total: int) -> None:
        """Note how far the one trial at work is (where trials run in this process)."""
        if self._bars:
            self._bars.update(self._task, detail=f"{doing}: step {done}/{total}")

    def finished(self, row: Row) -> None:
        """Note that a proposal ended."""
        self.ended += 1
        self.failed += row["state"] == "failed"
        if better(row, self.best, self.sweep):
            self.best = row
        if self._bars:
            self._show()
            if row["state"] == "failed":
                self.console.print(f"trial {row['trial']} failed: {last_line(row)}", markup=False)
        else:
            outcome = f"failed: {last_line(row)}" if row["state"] == "failed" else self._values(row)
            print(f"[{self.ended}/{self.total}] {row['trial']} {outcome} | {self._pace()}", flush=True)

    def _show(self) -> None:
        if self._bars:
            self._bars.update(self._task, completed=self.ended, detail=f"{self._pace()}{self._best()}")

    def _pace(self) -> str:
        fresh = self.ended - self.before
        if not fresh:
            return f"{self.failed} failed"
        per_trial = (time.monotonic() - self.began) / fresh
        left = per_trial * (self.total - self.ended)
        return f"{60 / per_trial:.1f} trials/min, {left:.0f} s left, {self.failed} failed"

    def _best(self) -> str:
        return f", best {self.best['trial']} {self._values(self.best)}" if self.best else ""

    def _values(self, row: Row) -> str:
        if not self.sweep.objectives:
            return "done"
        first = self.sweep.objectives[0]
        feasible = "" if row["feasible"] else " (infeasible)"
        return f"{first.name} {dict(row['objectives'])[first.name]:.4f}{feasible}"


def last_line(row: Row) -> str:
    """Return the last line of a failed row's error."""
    return str(row["error"]).strip().rsplit("\n", 1)[-1]


def is_terminal() -> bool:
    """Say whether standard output is a terminal."""
    return sys.stdout.isatty()
