"""A sweep's driver as a process of its own, with all that it starts: what runs, how to stop or kill it, what stays."""

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from command import SOURCE, Said

from prepe import store

_WAIT_S = 90


class Marked:
    """Processes that inherit a mark in their environment, by which they are found."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex
        self.variables = {"PREPE_TEST": self.mark}

    def processes(self) -> dict[int, str]:
        """Return the processes that live, by id, with their titles."""
        return dict(self._processes())

    def _processes(self) -> Iterator[tuple[int, str]]:
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and f"PREPE_TEST={self.mark}".encode() in (folder / "environ").read_bytes():
                    yield int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # it ended meanwhile, or is another user's
                continue

    def workers(self) -> list[int]:
        """Return the processes that are working on a trial."""
        return [
            number for number, title in self.processes().items() if title.startswith("ray::ResourceTrainable.train")
        ]


class Driver(Marked):
    """The command line in a session of its own, as a terminal starts it, with all that it starts."""

    def __init__(self, *arguments: object, folder: Path | None = None, **variables: str) -> None:
        super().__init__()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "prepe.cli", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1", **self.variables, **variables},
            start_new_session=True,
            cwd=folder,
        )

    def ctrl_c(self) -> None:
        """Do what a terminal does: signal the driver and all that runs in its foreground."""
        os.killpg(self.process.pid, signal.SIGINT)

    def ended(self, timeout_s: float = _WAIT_S) -> Said:
        """Wait for the end."""
        out, err = self.process.communicate(timeout=timeout_s)
        return Said(self.process.returncode, out, err)

    def until_nothing_runs(self) -> None:
        """Wait until no process is left; fail if some stay."""
        until(lambda: not self.processes(), 15, "some processes still run")


def until(true: Callable[[], Any], timeout_s: float = _WAIT_S, otherwise: str = "it took too long") -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + timeout_s
    while not (value := true()):
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)
    return value


def chance() -> random.Random:
    """Return a random generator whose seed pytest shows when a test fails; PREPE_SEED sets it."""
    seed = int(os.environ.get("PREPE_SEED") or random.randrange(2**32))
    print(f"PREPE_SEED={seed}")
    return random.Random(seed)


def stored(root: Path) -> int:
    """Return how many proposals a store has."""
    return len(list(root.glob("proposals/*.parquet")))


def check_whole(root: Path, trials: int, members: int) -> None:
    """Check that a store has every trial once, with every member once, and no torn file.

    A killed process may leave the beginning of a file, but not in the folder of a table.
    """
    proposals = store.read(root, "proposals").to_pylist()
    assert sorted(row["number"] for row in proposals) == list(range(trials))
    names = {row["trial"] for row in proposals}
    assert len(names) == trials
    assert {row["state"] for row in proposals} == {"complete"}
    expected = sorted((name, seed) for name in names for seed in range(members))
    held = store.read(root, "members", columns=["trial", "seed"]).to_pylist()
    assert sorted((row["trial"], row["seed"]) for row in held if row["trial"] in names) == expected
    for table in ("models", "effects", "items", "trials", "history", "snapshots"):
        assert len(store.read(root, table))
        assert {path.suffix for path in (root / table).iterdir()} == {".parquet"}
