"""Ctrl-C and kill -9 at any moment: nothing is torn, nothing stays behind, and running again ends the sweep."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import subprocess_cli

from cluster.driver import Driver, chance, check_whole, stored, until

pytestmark = pytest.mark.cluster
SweepFile = Callable[..., Path]


@pytest.fixture
def slow(sweep_file: SweepFile) -> Path:
    """A sweep of seven trials that take some tenths of a second each."""
    return sweep_file("slow", ("trials = 3", "trials = 7"), ("step = 19", "step = 500"))


@pytest.mark.parametrize(("executor", "presses"), [("ray", 1), ("ray", 2), ("serial", 2)])
def test_ctrl_c_stops_within_seconds_and_the_next_run_ends_the_sweep(
    executor: str, presses: int, slow: Path, tmp_path: Path
) -> None:
    root = tmp_path / "results"
    run = ("run", slow, *(("--executor", executor) if executor != "ray" else ()), "--results", root)
    driver = Driver(*run)
    until(lambda: stored(root) >= 2)
    pressed = time.monotonic()
    for _ in range(presses):
        driver.ctrl_c()
        time.sleep(0.05)
    said = driver.ended(30)
    assert time.monotonic() - pressed < 10
    assert said.code == 130
    assert stored(root) < 7
    *_, message, command = said.err.strip().split("\n")
    assert message == f"stopped: {stored(root)} of 7 trials are stored. Go on with:"
    assert command.split() == ["prepe", *map(str, run)]
    assert "Traceback" not in said.err
    driver.until_nothing_runs()
    assert subprocess_cli(*run, "--executor", "serial").code == 0
    check_whole(root, 7, 3)


def test_ctrl_c_while_ray_starts_leaves_nothing_behind(slow: Path, tmp_path: Path) -> None:
    random = chance()
    for _ in range(2):
        driver = Driver("run", slow, "--results", tmp_path)
        assert driver.process.stdout is not None
        while driver.process.stdout.readline() != "starting Ray ...\n":
            assert driver.process.poll() is None
        time.sleep(random.uniform(0, 3))
        driver.ctrl_c()
        said = driver.ended(30)
        assert said.code == 130
        assert "stopping ...\nstopped: 0 of 7 trials are stored." in said.err
        assert "Traceback" not in said.err
        driver.until_nothing_runs()


@pytest.mark.parametrize("pack", [1, 3])
def test_a_worker_that_is_killed_is_replaced(pack: int, slow: Path, tmp_path: Path) -> None:
    random = chance()
    slow.write_text(f"{slow.read_text()}\n[resources]\npack = {pack}\n")
    driver = Driver("run", slow, "--results", tmp_path)
    for kills in range(1, 4):
        until(lambda kills=kills: stored(tmp_path) >= kills)  # type: ignore[misc]
        time.sleep(random.uniform(0, 0.5))
        os.kill(random.choice(until(driver.workers)), signal.SIGKILL)
    said = driver.ended()
    assert said.code == 0, said.err
    assert said.out.count("a worker was lost") == 3
    assert said.err == ""
    check_whole(tmp_path, 7, 3)
    driver.until_nothing_runs()


def test_a_driver_that_is_killed_leaves_no_workers_and_the_next_run_goes_on(slow: Path, tmp_path: Path) -> None:
    random = chance()
    for kills in range(1, 4):
        driver = Driver("run", slow, "--results", tmp_path)
        until(lambda kills=kills: stored(tmp_path) >= 2 * kills)  # type: ignore[misc]
        time.sleep(random.uniform(0, 0.3))
        os.kill(driver.process.pid, signal.SIGKILL)
        driver.ended()
        until(lambda driver=driver: not driver.workers())  # type: ignore[misc]
    before = stored(tmp_path)
    said = Driver("run", slow, "--results", tmp_path).ended()
    assert said.code == 0, said.err
    assert said.out.count("/7] ") == 7 - before
    check_whole(tmp_path, 7, 3)
