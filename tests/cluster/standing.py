"""A Ray cluster in processes of its own, whose nodes and workers can be found and killed."""

import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from command import SOURCE

from cluster.driver import Marked, until

TESTS = Path(__file__).parents[1]


class Nodes(Marked):
    """A head and other nodes of one CPU each, until `close`."""

    def __init__(self, count: int, **variables: str) -> None:
        super().__init__()
        paths = {"PYTHONPATH": f"{SOURCE}:{TESTS}"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cluster.nodes", *["1"] * count],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **paths, **self.variables, **variables},
            start_new_session=True,
        )
        self.address = self._said()

    def _said(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, "the cluster did not start"
        return line

    def add(self) -> None:
        """Start one more node."""
        assert self.process.stdin is not None
        self.process.stdin.write("1\n")
        self.process.stdin.flush()
        self._said()

    def raylets(self, head: bool) -> list[int]:
        """Return the processes that are nodes: the head, or the others."""
        found = {number: title for number, title in self.processes().items() if "raylet/raylet " in title}
        return [number for number, title in found.items() if ("--head" in title.split()) == head]

    def kill_node(self, chance: random.Random) -> None:
        """Kill a node that is not the head, with all that runs on it, and start another one."""
        os.kill(chance.choice(until(lambda: self.raylets(head=False))), signal.SIGKILL)
        self.add()

    def kill_head(self) -> None:
        """Kill the head, as when its machine is switched off."""
        gcs = [number for number, title in self.processes().items() if "gcs/gcs_server" in title]
        assert gcs
        for number in (*gcs, *self.raylets(head=True)):
            os.kill(number, signal.SIGKILL)

    def close(self) -> None:
        """Kill all that is left of it."""
        for number in (self.process.pid, *self.processes()):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self.process.communicate()
        until(lambda: not self.processes(), 15, "some processes still run")
