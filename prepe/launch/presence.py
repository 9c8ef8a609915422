"""A sweep's driver in; small files in the store by which others see that it lives, and ask it to stop, out.

The files are `drivers/SWEEP.json`, which the driver writes every few seconds, and `drivers/SWEEP.stop`, which anybody
may write who can write to the store, and which the driver removes. No other way to the driver is needed.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pyarrow.compute as pc

from prepe.errors import PrepeError
from prepe.launch.searcher import Queue
from prepe.store import files, read
from prepe.store.patience import impatient
from prepe.store.root import Root

_FOLDER = "drivers"
LOOK_S = 2.0
"""How often a driver looks for a request to stop."""
BEAT_S = 10.0
"""How often it writes its file anew."""
_SILENT_S = 6 * BEAT_S
_POLL_S = 0.2


@dataclass
class Driver:
    """What a driver says of itself.

    Attributes:
        state: what it does, or how it ended.
        total: how many trials the sweep asks for.
        where: its machine and process.
        seen: when it last said so, in seconds since 1970, by its own clock.
        error: why it gave up.
    """

    state: Literal["running", "done", "stopped", "failed"]
    total: int
    where: str
    seen: float
    error: str | None = None

    @property
    def silent(self) -> bool:
        """Whether it has not said for long that it runs: it, or its machine, was killed."""
        return self.state == "running" and time.time() - self.seen > _SILENT_S


@contextmanager
def present(queue: Queue) -> Iterator[Callable[[], bool]]:
    """Be seen as the driver of a queue's sweep while in this context.

    Gives a function to be called often: it says whether the driver is to stop. What goes wrong with these files once
    the sweep has begun is no reason to end it, and is passed over.

    Raises:
        PrepeError: the store cannot be written at the beginning.
    """
    root, sweep = queue.results, queue.sweep.name
    driver = Driver("running", queue.total, f"process {os.getpid()} on {socket.gethostname()}", time.time())
    looked, beaten = time.monotonic(), time.monotonic()

    def asked() -> bool:
        nonlocal looked, beaten
        now = time.monotonic()
        if now - looked < LOOK_S:
            return False
        looked = now
        if now - beaten > BEAT_S:
            if not _say(root, sweep, driver):
                return False
            beaten = now
        with suppress(PrepeError), impatient():
            if files.is_there(root, _FOLDER, f"{sweep}.stop"):
                withdraw(root, sweep)
                return True
        return False

    _write(root, sweep, driver)  # a store that cannot be written ends the sweep before it begins
    with suppress(PrepeError), impatient():
        withdraw(root, sweep)  # meant for an earlier driver
    try:
        yield asked
        driver.state = "done"
    except BaseException as fault:
        driver.state = "stopped" if isinstance(fault, KeyboardInterrupt) else "failed"
        driver.error = None if isinstance(fault, KeyboardInterrupt) else str(fault)
        raise
    finally:
        driver.total = queue.total
        _say(root, sweep, driver)
        with suppress(PrepeError), impatient():
            withdraw(root, sweep)


def stop(root: Root, sweep: str, wait_s: float = 60.0) -> str:
    """Ask a sweep's driver to stop, wherever it runs, and wait until it has; a request that nobody sees is taken back.

    Returns:
        What the driver says of itself in the end.

    Raises:
        PrepeError: nobody is running the sweep, or the driver does not see the request or does not end in time.
    """
    driver = driver_of(root, sweep)
    if driver is None or driver.state != "running":
        how = f"; the last one: {driver.state}" if driver else ""
        raise PrepeError(f"sweep {sweep}: nobody is running it into {root}{how}")
    if driver.silent:
        raise PrepeError(
            f"sweep {sweep}: its driver, {driver.where}, has not been seen for long; it was probably killed"
        )
    deadline = time.monotonic() + wait_s
    request_stop(root, sweep)
    try:
        while time.monotonic() < deadline:
            after = driver_of(root, sweep)  # it may have ended by itself, and never see the request
            if after is not None and after.state != "running":
                return after.state
            time.sleep(_POLL_S)
        seen = not requested(root, sweep)
    finally:
        withdraw(root, sweep)
    if seen:
        raise PrepeError(
            f"sweep {sweep}: its driver, {driver.where}, has seen the request, and has not ended within {wait_s:g} s"
        )
    raise PrepeError(
        f"sweep {sweep}: its driver, {driver.where}, has not seen the request within {wait_s:g} s; it is taken back"
    )


def follow(root: Root, sweep: str, every_s: float = 2.0) -> Iterator[dict[str, Any]]:
    """Give a sweep's proposals as their trials end, by looking at the store every so often, until its driver has."""
    told: set[tuple[Any, ...]] = set()
    while True:
        began = time.monotonic()
        driver = driver_of(root, sweep)
        rows = read(root, "proposals", pc.field("sweep") == sweep, names=f"{sweep}-*").sort_by("created").to_pylist()
        for row in rows:
            if (key := (row["trial"], row["created"])) not in told:
                told.add(key)
                yield row
        away = time.monotonic() - began > BEAT_S  # the store: its driver could not say anything either
        if driver is not None and (driver.state != "running" or (driver.silent and not away)):
            return
        time.sleep(max(every_s, 2 * BEAT_S if away else 0))


def _say(root: Root, sweep: str, driver: Driver) -> bool:
    """Write the driver's file, and say whether that went well."""
    with suppress(PrepeError), impatient():
        _write(root, sweep, driver)
        return True
    return False


def _write(root: Root, sweep: str, driver: Driver) -> None:
    driver.seen = time.time()
    files.put(root, (_FOLDER, f"{sweep}.json"), json.dumps(asdict(driver)).encode())


def driver_of(root: Root, sweep: str) -> Driver | None:
    """Return what the last driver of a sweep said of itself; None if there was none, or what it said is torn."""
    content = files.get(root, _FOLDER, f"{sweep}.json")
    try:
        return Driver(**json.loads(content)) if content else None
    except (ValueError, TypeError):
        return None


def request_stop(root: Root, sweep: str) -> None:
    """Ask a sweep's driver to stop."""
    files.put(root, (_FOLDER, f"{sweep}.stop"), f"by process {os.getpid()} on {socket.gethostname()}\n".encode())


def requested(root: Root, sweep: str) -> bool:
    """Say whether a request to stop is still there, so that no driver has seen it."""
    return files.is_there(root, _FOLDER, f"{sweep}.stop")


def withdraw(root: Root, sweep: str) -> None:
    """Take a request to stop back, if there is one."""
    if requested(root, sweep):
        files.remove(root, _FOLDER, f"{sweep}.stop")
