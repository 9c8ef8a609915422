"""A cluster file and prices in; which machines take jobs, how many at once, and what they cost an hour, out."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from prepe.catalog import unknown
from prepe.errors import PrepeError

PRICES = Path(__file__).parent / "prices.toml"
BOOT_S = 300.0
"""How long a cloud takes to start a machine and install this package on it."""


@dataclass(frozen=True)
class Machines:
    """Machines of one kind that take jobs.

    Attributes:
        name: of the kind.
        count: how many, at most.
        jobs: how many jobs each runs at once.
        price: an hour of one; None where it is not known.
        paid_for: what the price is of.
    """

    name: str
    count: int
    jobs: int
    price: float | None = None
    paid_for: str = ""


@dataclass(frozen=True)
class Cluster:
    """Where a sweep would run: machines that take jobs, a head that does not, and how long a machine takes to come."""

    name: str
    workers: tuple[Machines, ...]
    head: Machines | None = None
    boot_s: float = 0.0
    idle_s: float = 0.0
    currency: str = ""
    date: str = ""

    @property
    def slots(self) -> int:
        """How many jobs run at once."""
        return sum(each.count * each.jobs for each in self.workers)


def here(jobs: int) -> Cluster:
    """Return this machine as a cluster that runs so many jobs at once."""
    return Cluster("this machine", (Machines("this machine", 1, jobs),))


def cluster(file: Path, cpus: int, prices: Path | None = None) -> Cluster:
    """Read what a cluster file offers to jobs of so many CPUs.

    Args:
        file: as `ray up` takes it; machines of one's own are counted as having the CPUs of this one.
        cpus: of a job.
        prices: as `prices.toml`.

    Raises:
        PrepeError: a file cannot be read, or has no price for one of the machines.
    """
    config, listed = _read(file, yaml.safe_load, yaml.YAMLError), _read(prices or PRICES, tomllib.loads, ValueError)
    kind = str((config.get("provider") or {}).get("type"))
    of_kind = listed.get(kind)
    if not isinstance(of_kind, dict):
        raise PrepeError(f"{prices or PRICES}: {unknown(kind, [k for k in listed if isinstance(listed[k], dict)])}")

    def machines(name: str, node: dict[str, Any], count: int) -> Machines:
        own = node.get("node_config") or {}
        machine = "machine" if kind == "local" else str(own.get("InstanceType") or own.get("machineType"))
        if machine not in of_kind:
            raise PrepeError(
                f"{prices or PRICES}: no price of {machine!r} under [{kind}], of {name} in {file}; "
                f"allowed: {', '.join(of_kind)}, or a file of your own, with --prices"
            )
        spot = (own.get("InstanceMarketOptions") or {}).get("MarketType") == "spot"
        scheduling = own.get("scheduling") or {}
        spot = spot or bool(scheduling.get("preemptible")) or scheduling.get("provisioningModel") == "SPOT"
        price = of_kind[machine].get("spot" if spot else "hour")
        has = node.get("resources") or {}
        jobs = 0 if has.get("GPU") else int(has.get("CPU", 0) // cpus)
        return Machines(name, count, jobs, price, f"{machine}{', spot' * spot}")

    if kind == "local":
        provider = config["provider"]
        node = {"resources": {"CPU": os.cpu_count() or 1}}
        worker = machines("worker", node, len(provider.get("worker_ips") or ()))
        return Cluster(str(file), (worker,), machines("head", {}, 1), currency=listed["currency"], date=listed["date"])
    types, head = config.get("available_node_types") or {}, config.get("head_node_type")
    most = int(config.get("max_workers", 0))
    workers = [
        machines(name, node, min(int(node.get("max_workers", most)), most))
        for name, node in types.items()
        if name != head
    ]
    taken: list[Machines] = []
    for each in (one for one in workers if one.jobs):
        count = min(each.count, most - sum(one.count for one in taken))
        taken.append(Machines(each.name, count, each.jobs, each.price, each.paid_for))
    return Cluster(
        str(file),
        tuple(taken),
        machines(str(head), types.get(head) or {}, 1),
        boot_s=BOOT_S,
        idle_s=60.0 * float(config.get("idle_timeout_minutes", 5)),
        currency=listed["currency"],
        date=str(listed["date"]),
    )


def _read(file: Path, parse: Any, fault: type[Exception]) -> dict[str, Any]:
    try:
        held = parse(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PrepeError(f"{file}: cannot be read: {error.strerror}") from None
    except (fault, UnicodeDecodeError) as error:
        raise PrepeError(f"{file}: cannot be understood: {' '.join(str(error).split())}") from None
    if not isinstance(held, dict):
        raise PrepeError(f"{file}: {type(held).__name__} stands here; allowed: a table")
    return held
