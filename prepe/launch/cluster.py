"""The Ray to work in: started here, joined at an address, or one that the caller had up before."""

import logging
import math
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import yaml
from ray._private import ray_constants

from prepe.errors import PrepeError
from prepe.launch.processors import processors
from prepe.sweep import Resources

BOOTSTRAPPED = Path("~/ray_bootstrap_config.yaml").expanduser()
"""Where `ray up` puts the cluster's file on its head, on which a sweep's driver runs."""
_CONNECT_S = 5
_ANSWER_S = 14
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}


def start() -> None:
    """Start Ray on this machine, with all of its processors.

    Raises:
        PrepeError: it does not start.
    """
    try:
        with _on_loopback():
            ray.init(address="local", num_cpus=processors(), include_dashboard=False, **_QUIET)
    except (OSError, ValueError, RuntimeError) as error:
        raise PrepeError(f"Ray cannot be started: {error}") from None


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Let a Ray that is started in this context listen on 127.0.0.1 alone, not on all addresses of this machine.

    It does so on other systems, where a variable for its processes, and a constant for this one, say that Ray has no
    clusters; on Linux it has no option for that.
    """
    variable = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    before, constant = os.environ.get(variable), ray_constants.ENABLE_RAY_CLUSTER
    os.environ[variable], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = constant
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


def join(address: str) -> None:
    """Join the cluster at an address.

    Raises:
        PrepeError: there is none.
    """
    try:
        host, _, port = address.rpartition(":")
        if host and port.isdecimal():
            socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
        _check_answer(address)
        ray.init(address=address, **_QUIET)
    except (OSError, ValueError, RuntimeError) as error:
        raise PrepeError(
            f"--address {address}: no Ray cluster can be joined there: {error}; "
            "allowed: HOST:PORT of its head, or auto on one of its nodes"
        ) from None


def _check_answer(address: str) -> None:
    """Check that it is Ray that answers at an address.

    Ray's own command asks, in a process of its own: where anything else listens, Ray tries for minutes and then ends
    the process.

    Raises:
        ConnectionError: it does not answer in time, or says what is wrong.
    """
    command = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_S)
    except subprocess.TimeoutExpired:
        raise ConnectionError(f"what listens there did not answer as Ray does within {_ANSWER_S} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ConnectionError(said[-1] if said else f"`ray status` ended with code {done.returncode}")


def check_same(address: str | None) -> None:
    """Check that an address is that of the Ray which this process is part of already.

    Raises:
        PrepeError: it is another.
    """
    ours = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", ours):
        raise PrepeError(f"--address {address}: this process has joined Ray at {ours} already; allowed: that address")


@dataclass(frozen=True)
class Slots:
    """How many jobs can run at once: on GPUs, and on CPUs alone."""

    on_gpu: int
    on_cpu: int


def slots(resources: Resources, config: Path = BOOTSTRAPPED) -> Slots:
    """Return how many jobs the cluster can run at once, with all nodes that it may start if more are asked for.

    Jobs that ask for a part of a GPU get it where any node has one; with `mixed`, jobs that do without fill the CPUs
    that are left. Where no node has a GPU, all do without.

    Args:
        resources: what a job asks for.
        config: the file with which `ray up` started the head; where there is none, no more nodes are started.

    Raises:
        PrepeError: not even one.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    startable = _startable(config)
    now, most = _slots(nodes, resources), _slots(startable, resources)
    on_gpu, on_cpu = max(now.on_gpu, most.on_gpu), max(now.on_cpu, most.on_cpu)
    if on_gpu:
        return Slots(on_gpu, on_cpu if resources.mixed else 0)
    if on_cpu and not (resources.gpus and any(have.get("GPU", 0) for have in (*nodes, *startable))):
        return Slots(0, on_cpu)
    for name, wanted, kind in (("cpus", resources.cpus, "CPU"), ("gpus", resources.gpus, "GPU")):
        largest = max((have.get(kind, 0) for have in nodes), default=0)
        if wanted > largest:
            raise PrepeError(
                f"resources.{name}: a job asks for {wanted:g}; allowed here: at most {largest:g}, on any node"
            )
    raise PrepeError(f"resources: no node has {resources.cpus:g} CPUs and {resources.gpus:g} GPUs at once")


def _slots(nodes: list[dict[str, float]], resources: Resources) -> Slots:
    """Return how many jobs nodes with such resources run at once; those without a GPU only take what the others leave.

    Of a GPU, a job gets a part that no other GPU has a share in.
    """
    on_gpu, on_cpu = 0, 0
    for have in nodes:
        cpus, gpus, here = have.get("CPU", 0), have.get("GPU", 0), 0
        if resources.gpus:
            part = resources.gpus
            by_gpu = gpus * math.floor(1 / part + 1e-9) if part <= 1 else gpus // part
            here = int(min(cpus // resources.cpus, by_gpu))
        on_gpu += here
        on_cpu += int(cpus // resources.cpus) - here
    return Slots(on_gpu, on_cpu)


def _startable(config: Path) -> list[dict[str, float]]:
    """Return the resources of every node that a cluster may have at most, by the file that started it."""
    try:
        held = yaml.safe_load(config.read_text(encoding="utf-8"))
        types = held["available_node_types"]
        nodes = [
            each.get("resources") or {}
            for name, each in types.items()
            for _ in range(1 if name == held["head_node_type"] else each.get("max_workers", held["max_workers"]))
        ]
    except (OSError, yaml.YAMLError, LookupError, TypeError, AttributeError):  # none, or none that `ray up` has made
        return []
    return nodes[: held["max_workers"] + 1]
