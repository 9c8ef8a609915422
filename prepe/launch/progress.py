"""A sweep's events in; a live line on a terminal, or plain lines elsewhere, out."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bars

from prepe.launch.halving import expected
from prepe.launch.job import Row
from prepe.sweep import Sweep


def better(row: Row, than: Row | None, sweep: Sweep) -> bool:
    """Say whether a complete row is better than another: feasible, then of more members, then by first objective."""
    if row["state"] != "complete":
        return False
    if than is None or not sweep.objectives:
        return than is None
    first = sweep.objectives[0]
    sign = 1 if first.goal == "maximize" else -1

    def key(each: Row) -> tuple[bool, int, float]:
        value = sign * dict(each["objectives"])[first.name]
        return each["feasible"], each["members"], -math.inf if math.isnan(value) else value

    return key(row) > key(than)


class Progress:
    """Shows trials done, failures, rate, time left and the best so far."""

    def __init__(self, sweep: Sweep, total: int, done: list[Row], console: Console | None = None) -> None:
        self.sweep, self.total, self.console = sweep, total, console or Console(stderr=False)
        self.failed, self.fresh = 0, 0
        self.members = {row["trial"]: row["members"] for row in done}
        self.before = sum(self.members.values())
        self.best: Row | None = None
        for row in done:
            if better(row, self.best, sweep):
                self.best = row
        self.began = 0.0
        self._bars: Bars | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show progress while in this context."""
        if not self.console.is_terminal:
            yield
            return
        self._bars = Bars(
            BarColumn(bar_width=10),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            console=self.console,
        )
        with self._bars:
            self._task = self._bars.add_task("trials", total=self.total, completed=self.ended, detail="starting")
            yield
        self._bars = None

    @property
    def ended(self) -> int:
        """How many trials have ended, with however many members."""
        return len(self.members)

    def say(self, message: str) -> None:
        """Show what is going on."""
        self.console.print(message, markup=False, highlight=False, soft_wrap=True)

    def started(self) -> None:
        """Note that something is being worked on."""
        self.began = self.began or time.monotonic()
        self._show()

    def step(self, doing: str, done: int, total: int) -> None:
        """Note how far the one trial at work is (where trials run in this process)."""
        if self._bars:
            self._bars.update(self._task, detail=f"{doing}: step {done}/{total}")

    def finished(self, row: Row) -> None:
        """Note that a proposal ended."""
        self.fresh += 1
        self.members[row["trial"]] = row["members"]
        self.failed += row["error"] is not None
        if better(row, self.best, self.sweep):
            self.best = row
        if self._bars:
            self._show()
            if row["error"] is not None:
                self.console.print(f"trial {row['trial']} failed: {last_line(row)}", markup=False)
        else:
            line = f"[{self.ended}/{self.total}] {row['trial']} {self._outcome(row)}"
            print(f"{line} | {self._pace()}{self._best()}", flush=True)

    def _show(self) -> None:
        if self._bars:
            self._bars.update(self._task, completed=self.ended, detail=f"{self._pace()}{self._best()}")

    def _pace(self) -> str:
        if not self.fresh:
            return f"{self.failed} failed"
        took, members = time.monotonic() - self.began, sum(self.members.values())
        new = (self.total - self.ended) * self.sweep.rungs[0]  # at least, where more were promoted than expected
        left = took / max(members - self.before, 1) * max(expected(self.sweep, self.total) - members, new, 0)
        return f"{60 * self.fresh / took:.1f}/min, {left:.0f} s left, {self.failed} failed"

    def _outcome(self, row: Row) -> str:
        if row["error"] is not None:
            return f"failed: {last_line(row)}"
        if not self.sweep.objectives:
            return "done"
        return f"{self.sweep.objectives[0].name} {_value(row, self.sweep)}"

    def _best(self) -> str:
        if not self.best or not self.sweep.objectives:
            return ""
        return f", best {self.best['trial'][:8]} {_value(self.best, self.sweep)}"


def _value(row: Row, sweep: Sweep) -> str:
    """Return a complete row's first objective, and whether it lacks members or is infeasible."""
    few = f" ({row['members']} of {sweep.members} members)" if row["members"] < sweep.members else ""
    feasible = "" if row["feasible"] else " (infeasible)"
    return f"{dict(row['objectives'])[sweep.objectives[0].name]:.4f}{few}{feasible}"


def last_line(row: Row) -> str:
    """Return the last line of a failed row's error."""
    return str(row["error"]).strip().rsplit("\n", 1)[-1]
