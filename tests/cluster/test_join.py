"""A sweep on a cluster that runs already, and addresses and resources that are not to be had."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command import SOURCE, subprocess_cli

from cluster.driver import check_whole

pytestmark = pytest.mark.cluster
TINY = Path(__file__).parents[1] / "tiny.toml"


@contextmanager
def nodes(*cpus: int, path: Path = SOURCE) -> Iterator[str]:
    """Give the address of a cluster with a node for each number of CPUs."""
    variables = {**os.environ, "PYTHONPATH": f"{path}:{TINY.parent}"}
    command = [sys.executable, "-m", "cluster.nodes", *map(str, cpus)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, **pipes, text=True, env=variables, cwd=path) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, process.communicate()
        try:
            yield address
        finally:
            process.communicate(timeout=30)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Two nodes of one CPU each."""
    with nodes(1, 1) as address:
        yield address


def test_a_sweep_runs_on_the_nodes_of_a_cluster_that_stays(cluster: str, tmp_path: Path) -> None:
    for trials in (4, 6):
        said = subprocess_cli("run", TINY, "--trials", trials, "--address", cluster, "--results", tmp_path)
        assert (said.code, said.err) == (0, "")
        assert f"joining Ray at {cluster} ..." in said.out
        check_whole(tmp_path, trials, 3)


def test_more_than_any_node_has_is_refused(cluster: str, tmp_path: Path) -> None:
    file = tmp_path / "wide.toml"
    file.write_text(TINY.read_text() + "\n[resources]\ncpus = 2\n")  # the two nodes together have them
    said = subprocess_cli("run", file, "--address", cluster, "--results", tmp_path)
    assert said.code == 2
    assert said.err == "prepe: resources.cpus: a job asks for 2; allowed here: at most 1, on any node\n"


def test_an_address_where_nothing_is_is_refused(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    said = subprocess_cli("run", TINY, "--address", address, "--results", tmp_path)
    assert said.code == 2
    assert said.err.startswith(f"prepe: --address {address}: no Ray cluster can be joined there: ")
    assert len(said.err.splitlines()) == 1
    assert time.monotonic() - began < 30


def test_more_than_this_machine_has_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "wide.toml"
    file.write_text(TINY.read_text() + "\n[resources]\ncpus = 4096\n")
    said = subprocess_cli("run", file, "--results", tmp_path)
    assert said.code == 2
    assert said.err.startswith("prepe: resources.cpus: a job asks for 4096; allowed here: at most ")
