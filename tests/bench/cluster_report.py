"""The model of a cluster over sizes and trials' lengths, and beside sweeps that really ran: costs in, text out.

``make bench ARGS="--part cluster"`` prints it, and puts it into docs/scale.md; see tests/bench/cluster_model.py.
"""

import io
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.cluster_model import COSTS, STARTS, TRIALS_A_SLOT, Cluster, Costs, Outcome, Sweep

NODES = (1, 10, 25, 50, 100)
TRIALS_S = (2.0, 10.0, 60.0, 300.0)
SEEDS = range(3)
PREEMPTED_PER_HOUR = 0.2
"""Assumed, not measured, as is `Cluster.away_s`: a machine is taken away every five hours, and is back after five
minutes."""
LADDER = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 125, 150, 200)
"""Numbers of machines of eight workers, at which saturation is looked for."""
LEAST_UTILISATION, MOST_BUSY = 0.8, 0.9
SOURCES = {
    "driver_ms": "tests.bench.slots 2 0.08 700: driver_ms without queue_ms",
    "driver_ms_per_slot": "tests.bench.waiting: ms_per_slot",
    "start_ms": "tests.bench.slots with 2 and 40 workers: starting_ms, for each worker more",
    "worker_start_s": "tests.bench.costs real: a worker of a real search, two at once",
    "random_ms": "tests.bench.costs: queue_ms('random', 400)",
    "nsga2_ms": "tests.bench.costs: queue_ms('nsga2', 400)",
    "tpe_ms": "tests.bench.costs: queue_ms('tpe', 800), the line through them",
    "tpe_ms_per_trial": "its slope",
    "write_s": "tests.bench.costs: write_s(), into moto's S3 server on the same machine",
    "log_sd": "tests.bench.costs: spread(), of busy_s of prune-red-search in published/",
}
"""With which command each cost is measured: `python -m` and this."""


def sweeps(cluster: Cluster, costs: Costs) -> list[Outcome]:
    """Return what comes of a sweep, once for each seed."""
    return [Sweep(cluster, costs, seed).run() for seed in SEEDS]


def table(costs: Costs) -> Table:
    """Return utilisation, trials an hour and the driver's share, by workers and trials' length."""
    shown = Table(
        box=None,
        header_style="",
        title=f"model: sweeps of {TRIALS_A_SLOT} trials a worker, TPE | machines taken away",
        title_justify="left",
    )
    for column in ("workers", "trial s", "busy", "trials/h", "driver", "| busy", "trials/h", "again"):
        shown.add_column(column, justify="right")
    for nodes in NODES:
        for trial_s in TRIALS_S:
            cluster = Cluster(nodes, trial_s=trial_s)
            quiet = sweeps(cluster, costs)
            taken = sweeps(replace(cluster, preempted_per_hour=PREEMPTED_PER_HOUR), costs)
            shown.add_row(
                str(cluster.slots),
                f"{trial_s:g}",
                _busy(quiet),
                _per_hour(quiet),
                _percent([each.driver_share for each in quiet]),
                f"| {_busy(taken)}",
                _per_hour(taken),
                _percent([each.lost_s / each.useful_s for each in taken], digits=1),
            )
    return shown


def _busy(outcomes: list[Outcome]) -> str:
    return _percent([each.utilisation for each in outcomes])


def _per_hour(outcomes: list[Outcome]) -> str:
    return f"{statistics.mean(each.per_hour for each in outcomes):,.0f}"


def _percent(shares: list[float], digits: int = 0) -> str:
    return f"{100 * statistics.mean(shares):.{digits}f} ±{100 * statistics.stdev(shares):.{digits}f} %"


def saturation(trial_s: float, costs: Costs, sampler: str = "tpe") -> tuple[int, Outcome] | None:
    """Return the fewest workers, with what came of it, at which the driver is the limit; None if it never is.

    It is, when it is busy for more than 90 % of the time, or when workers are for less than 80 % and would not be with
    a driver that cost nothing.
    """
    free = replace(costs, **{each.name: 0.0 for each in fields(costs) if "_ms" in each.name})

    def at(nodes: int) -> Outcome:
        return Sweep(Cluster(nodes, trial_s=trial_s, sampler=sampler), costs, 0).run()

    def saturated(nodes: int) -> bool:
        outcome = at(nodes)
        if outcome.driver_share > MOST_BUSY:
            return True
        if outcome.utilisation >= LEAST_UTILISATION:
            return False
        return Sweep(Cluster(nodes, trial_s=trial_s), free, 0).run().utilisation >= LEAST_UTILISATION

    nodes = _first(LADDER, saturated)
    return None if nodes is None else (Cluster(nodes).slots, at(nodes))


def _first(ladder: tuple[int, ...], true: Callable[[int], bool]) -> int | None:
    """Return the first of the numbers for which something is true that is then true for all that follow."""
    low, high = 0, len(ladder)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if true(ladder[middle]) else (middle + 1, high)
    return ladder[low] if low < len(ladder) else None


def lines(costs: Costs) -> Iterator[str]:
    """Give a line for each length of trials: from how many workers on the driver is the limit."""
    for trial_s in TRIALS_S:
        yield f"model: for trials of {trial_s:g} s the driver {_said(saturation(trial_s, costs))}"


def _said(found: tuple[int, Outcome] | None) -> str:
    if found is None:
        return f"does not saturate at {Cluster(LADDER[-1]).slots} workers"
    workers, outcome = found
    busy, driver = round(100 * outcome.utilisation), round(100 * outcome.driver_share)
    return f"saturates at {workers} workers (workers busy {busy} %, driver {driver} %)"


def ceiling(costs: Costs) -> Table:
    """Return how many trials an hour a driver can begin that does nothing else, by sampler and workers."""
    title = "model: the most trials an hour that the driver can begin, by sampler"
    shown = Table(box=None, header_style="", title=title, title_justify="left")
    names = {"tpe, 1st": ("tpe", 0), "tpe, 999th": ("tpe", 999), "nsga2": ("nsga2", 0), "random": ("random", 0)}
    for column in ("workers", *names):
        shown.add_column(column, justify="right")
    for nodes in NODES:
        slots = Cluster(nodes).slots
        ours_ms = costs.driver_ms + costs.driver_ms_per_slot * slots
        rates = [3.6e6 / (ours_ms + costs.sampler_ms(*each)) for each in names.values()]
        shown.add_row(str(slots), *(f"{each:,.0f}" for each in rates))
    return shown


def beside(measured: dict[str, Any], costs: Costs) -> Iterator[str]:
    """Give a line for each sweep that really ran: what the model says of it, and what was measured."""
    real = measured["real"]
    cluster = Cluster(1, real["workers"], sampler="random")
    made = Sweep(cluster, replace(costs, write_s=0), 0, real["busy_s"]).run()
    yield (
        f"{real['trials']} real trials on {real['workers']} workers: "
        f"model {made.wall_s:.1f} s, measured {real['wall_s']:.1f} s"
    )
    for each in measured["sleeping"]:
        slots, trials = each["slots"], each["trials"]
        if each["processes"] < slots:
            yield f"{slots} workers that sleep: not compared, since only {each['processes']} had started in time"
            continue
        asleep = replace(costs, write_s=0, worker_start_s=each["worker_start_s"])
        cluster = Cluster(1, slots, trials=trials, jobs=trials + 1, sampler="random")
        at_s = Sweep(cluster, asleep, 0, [each["sleep_s"]] * trials).run().at_s
        first, last = each["first"], trials - slots
        rate = (last - first) / (at_s[last] - at_s[first])
        yield (
            f"{trials} trials that sleep {each['sleep_s']:g} s on {slots} workers: "
            f"model {rate:.1f} trials a second, measured {each['trials_per_s']:.1f}"
        )


def text() -> str:
    """Return the costs, the model beside sweeps that really ran, its tables, and where the driver saturates."""
    measured = json.loads(COSTS.read_text(encoding="utf-8"))
    costs, said = Costs(**measured["costs"]), io.StringIO()
    console = Console(file=said, width=120, highlight=False, color_system=None)
    told = [
        "A model, of costs measured on one machine of two cores by make bench ARGS='--part costs':",
        *(f"  {name} = {f'{value:.3g}':8} {SOURCES[name]}" for name, value in measured["costs"].items()),
        "and of what is assumed:",
        f"  on the right, a machine is taken away every {1 / PREEMPTED_PER_HOUR:g} h, and replaced after "
        f"{Cluster(1).away_s:g} s; a start takes {STARTS[0]} to {STARTS[1]} times worker_start_s",
        "the model beside what ran:",
        *(f"  {line}" for line in beside(measured, costs)),
    ]
    rule = (
        f"The driver saturates where it is busy for more than {100 * MOST_BUSY:.0f} % of the time, or workers are for "
        f"less than {100 * LEAST_UTILISATION:.0f} % and would not be with a driver that cost nothing."
    )
    for part in (*told, "", table(costs), "", ceiling(costs), "", rule, *lines(costs)):
        console.print(part, markup=False, soft_wrap=True)
    return "".join(f"{line.rstrip()}\n" for line in said.getvalue().splitlines())


def main() -> None:
    """Print the text; with the name of a page, put it in place of the page's first block of text."""
    made = text()
    print(made, end="")
    for page in map(Path, sys.argv[1:]):
        before, _, rest = page.read_text(encoding="utf-8").partition("```text\n")
        page.write_text(f"{before}```text\n{made}```{rest.partition('```')[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
