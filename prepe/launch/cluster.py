"""The Ray to work in: started here, joined at an address, or one that the caller had up before."""

import logging
import os
import socket
import subprocess
import sys
from typing import Any

import ray

from prepe.errors import PrepeError
from prepe.sweep import Resources

_CONNECT_S = 5
_ANSWER_S = 14
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}


def processors() -> int:
    """Return how many processors this process may use, or where the system does not say, how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def start() -> None:
    """Start Ray on this machine, with all of its processors.

    Raises:
        PrepeError: it does not start.
    """
    try:
        ray.init(address="local", num_cpus=processors(), include_dashboard=False, **_QUIET)
    except (OSError, ValueError, RuntimeError) as error:
        raise PrepeError(f"Ray cannot be started: {error}") from None


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


def slots(resources: Resources) -> int:
    """Return how many jobs the cluster can run at once.

    Raises:
        PrepeError: not even one.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    found = 0
    for have in nodes:
        by_cpu, by_gpu = have.get("CPU", 0) // resources.cpus, have.get("GPU", 0) / (resources.gpus or 1)
        found += int(min(by_cpu, by_gpu) if resources.gpus else by_cpu)
    if found:
        return found
    for name, wanted, kind in (("cpus", resources.cpus, "CPU"), ("gpus", resources.gpus, "GPU")):
        most = max((have.get(kind, 0) for have in nodes), default=0)
        if wanted > most:
            raise PrepeError(
                f"resources.{name}: a job asks for {wanted:g}; allowed here: at most {most:g}, on any node"
            )
    raise PrepeError(f"resources: no node has {resources.cpus:g} CPUs and {resources.gpus:g} GPUs at once")
