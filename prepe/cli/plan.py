"""`prepe plan`."""

from pathlib import Path
from typing import Annotated

import typer

from prepe import custom, store
from prepe import sweep as sweeps
from prepe.cli.app import AllowImports, Results, app
from prepe.cli.printing import count
from prepe.errors import PrepeError


@app.command()
def plan(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A sweep file.")],
    trials: Annotated[int | None, typer.Option(help="Overrides the file's number of trials.")] = None,
    members: Annotated[int | None, typer.Option(help="Overrides the file's number of members.")] = None,
    cluster: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A cluster file. Default: this machine, without a price.")
    ] = None,
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What machines cost an hour, if not as in the one shipped.")
    ] = None,
    probe_s: Annotated[float, typer.Option("--probe", min=0, max=10, help="For so many seconds at most.")] = 10,
    allow_imports: AllowImports = False,
    results: Results = None,
) -> None:
    """Say how many trials and members a sweep has, and how long they take and what they cost.

    A probe of about ten seconds trains and measures some members at points of the space, here and on one CPU; it starts
    no Ray and stores nothing. Trials that the store has are not counted.

    Examples:

        prepe plan sweeps/delete-red.toml

        prepe plan sweeps/delete-red.toml --trials 400 --members 32 --cluster cluster.yaml
    """
    sweep = sweeps.load(file, trials=trials, members=members)
    custom.check_allowed(sweep.imports(), allow_imports, file)
    if sweep.imports():
        custom.look_in([Path().resolve(), file.parent.resolve()])
    from prepe import launch, planning  # slow to import
    from prepe.launch.processors import processors

    if cluster is not None:
        where = planning.cluster(cluster, sweep.resources.cpus, prices)
    elif prices is not None:
        raise PrepeError(f"--prices {prices}: this machine has no price; allowed: with --cluster")
    else:
        where = planning.here(processors() // sweep.resources.cpus)
    root = store.default_root(results)
    done, to_train = launch.to_do(sweep, root)
    found = planning.plan(sweep, where, stored=done, members=to_train, budget_s=probe_s)
    stored = f", {done} of them stored" if done else ""
    twins = f", and twins of {found.twins}" if found.twins else ""
    print(f"{sweep.name}: {count(found.trials, 'trial')} of {count(sweep.members, 'member')}{stored}")
    print(f"to do: {count(found.left, 'trial')}, {count(found.members, 'member')}{twins}")
    if len(sweep.rungs) > 1:
        print(
            "halving is counted as if it waited for all trials of a rung; it does not, and may train half as much more"
        )
    one = [each.model_s + each.twin_s + each.evaluate_s for each in found.points]
    first = found.points[0]
    elsewhere = f", {min(one[1:]):.2g} to {max(one[1:]):.2g} s elsewhere" if one[1:] else ""
    print(
        f"probe: {found.probe_s:.1f} s on one CPU here, {count(len(one), 'point')} of the space; a trial takes "
        f"{one[0]:.2g} s at the start (training {first.model_s:.2g}, twin {first.twin_s:.2g}, measuring "
        f"{first.evaluate_s:.2g}){elsewhere}"
    )
    low, high = 1 - min(found.uncertainty, 0.9), 1 + found.uncertainty
    work = f"{found.work_s / 3600:.3g} CPU-hours of work" if found.work_s > 600 else f"{found.work_s:.3g} s of work"
    boot = f", of which {where.boot_s / 60:.0f} min until the machines have come" if where.boot_s else ""
    print(
        f"on {where.name}: {count(found.slots, 'job')} at once, {work}, "
        f"about {_long(found.wall_s)} ({_long(found.wall_s * low)} to {_long(found.wall_s * high)}){boot}"
    )
    if where.head is not None:
        kinds = {each.name: each for each in (*where.workers, where.head)}
        parts = [
            f"{number} {name} ({kinds[name].paid_for}, {kinds[name].price} {where.currency}/h)"
            for name, number in {**found.machines, where.head.name: 1}.items()
            if number
        ]
        money = "unknown, for a price is missing"
        if found.cost is not None:
            spans = [f"{found.cost * factor:.2f}" for factor in (1, low, high)]
            money = f"about {spans[0]} {where.currency} ({spans[1]} to {spans[2]})"
        print(f"cost: {money}: {', '.join(parts)}")
        print(f"prices of {where.date}, in {prices or planning.PRICES}; not counted: disks, transfer, lost machines")
    if sweep.resources.gpus:
        print("the probe ran on a CPU, and so does the plan; what a GPU gains is not known")
    _print_budget(sweep, found.wall_s, found.cost)


def _print_budget(sweep: sweeps.Sweep, wall_s: float, cost: float | None) -> None:
    """Say where the expected end lies beyond the file's own budget."""
    hours, money = sweep.budget.max_hours, sweep.budget.max_cost
    if hours is not None and wall_s > 3600 * hours:
        print(f"budget.max_hours = {hours:g} ends it before; allow for {wall_s / 3600:.2g}")
    if money is not None and cost is not None and cost > money:
        print(f"budget.max_cost = {money:g} ends it before; allow for {cost:.2f}")


def _long(seconds: float) -> str:
    """Return a time in the unit that one would say it in."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
