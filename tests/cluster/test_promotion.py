"""Successive halving and deterministic generations through real Ray processes, as without Ray."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import subprocess_cli

from cluster.driver import Driver, chance, stored, until
from prepe import store

pytestmark = pytest.mark.cluster
SEARCHED = 'trials = 3\nsampler = "random"'
HALVED = 'trials = 9\nsampler = "tpe"\nstartup_trials = 3\ngeneration = 3\nhalving = { start = 1 }'


@pytest.fixture
def halved(sweep_file: Callable[..., Path]) -> Callable[..., Path]:
    def write(workers: int, steps: int = 19) -> Path:
        changes = (
            (SEARCHED, HALVED),
            ("[record]", f"[resources]\nconcurrency = {workers}\n\n[record]"),
            ("step = 19", f"step = {steps}"),
        )
        return sweep_file("halved", *changes)

    return write


def proposals(root: Path) -> list[dict[str, Any]]:
    columns = ("number", "trial", "params", "generation", "members", "objectives", "rungs", "state")
    rows = store.read(root, "proposals", columns=columns).to_pylist()
    return sorted(rows, key=lambda row: row["number"])


def test_the_same_file_gives_the_same_trials_on_one_worker_on_two_and_without_ray(
    halved: Callable[..., Path], tmp_path: Path
) -> None:
    for workers in (1, 2):
        said = subprocess_cli("run", halved(workers), "--deterministic", "--results", tmp_path / f"{workers}")
        assert (said.code, said.err) == (0, "")
        assert "halving: " in said.out
    run = ("run", halved(1), "--deterministic", "--executor", "serial")
    assert subprocess_cli(*run, "--results", tmp_path / "serial").code == 0
    one = proposals(tmp_path / "1")
    assert len(one) == 9
    assert one == proposals(tmp_path / "2") == proposals(tmp_path / "serial")
    sizes = sorted(row["members"] for row in one)
    assert sizes[0] == 1
    assert sizes[-1] == 3


def test_a_halved_sweep_whose_driver_is_killed_goes_on_and_trains_no_member_twice(
    halved: Callable[..., Path], tmp_path: Path
) -> None:
    random = chance()
    file = halved(2, steps=500)
    for _ in range(2):
        before = stored(tmp_path)
        driver = Driver("run", file, "--results", tmp_path)
        until(lambda before=before: stored(tmp_path) > before)  # type: ignore[misc]
        until(lambda: True, 1 + random.uniform(0, 2))
        os.kill(driver.process.pid, signal.SIGKILL)
        driver.ended()
        until(lambda driver=driver: not driver.workers())  # type: ignore[misc]
    assert subprocess_cli("run", file, "--results", tmp_path).code == 0
    rows = proposals(tmp_path)
    assert len({row["number"] for row in rows}) == len(rows) == 9  # one that was at work at a kill has left its number
    assert max(row["members"] for row in rows) == 3
    assert sum(row["members"] == 3 for row in rows) >= 3
    held = store.read(tmp_path, "members", columns=["trial", "seed"]).to_pylist()
    keys = [(row["trial"], row["seed"]) for row in held]
    assert len(keys) == len(set(keys))
    assert {(row["trial"], seed) for row in rows for seed in range(row["members"])} <= set(keys)
