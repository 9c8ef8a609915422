"""Jobs on a cluster of several nodes: what they carry, whom they outlive, how they stop, which workers they take."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from command import SOURCE, subprocess_cli

from cluster.driver import Driver, check_whole, stored, until
from prepe import store

pytestmark = pytest.mark.cluster
SweepFile = Callable[..., Path]


@dataclass(frozen=True)
class Cluster:
    address: str
    dashboard: str


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head without CPUs, a node with two CPUs and a GPU that only Ray believes in, and a node with one CPU."""
    variables = {
        **os.environ,
        "PYTHONPATH": f"{SOURCE}:{SOURCE / 'tests'}",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    command = [sys.executable, "-m", "cluster.serving", "0", "2:1", "1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=variables
    ) as process:
        assert process.stdout is not None
        addresses = process.stdout.readline().split()
        assert len(addresses) == 2
        try:
            yield Cluster(*addresses)
        finally:
            process.communicate(timeout=60)


@pytest.fixture
def slow(sweep_file: SweepFile) -> Path:
    """A sweep of thirty trials that take some tenths of a second each."""
    return sweep_file("slow", ("trials = 3", "trials = 30"), ("step = 19", "step = 900"))


SHEET = "STEP,PHASE,lr,anchor,separate\n0,,0.01,0.1,0\n10,later,0.05,,0.01\n19,,0.02,,\n"
OWN = """
import os
def redness(inputs):
    with open({path!r}, "a") as file:
        file.write(os.environ.get("CUDA_VISIBLE_DEVICES") or "none")
    return inputs[:, 0]
"""


def test_a_job_carries_the_sweep_with_its_dopesheet_and_its_users_functions(
    cluster: Cluster, sweep_file: SweepFile, tmp_path: Path
) -> None:
    file = sweep_file("carried", ('concept = "redness"', 'concept = "submitted_own:redness"'))
    text = file.read_text()
    start, end = text.index("keyframes = ["), text.index("[[interventions]]")
    space = text[text.index("lr = { log") :]
    text = text.replace(text[start:end], 'dopesheet = "sheets/carried.csv"\n\n').replace(space, "")
    file.write_text(text)
    (tmp_path / "sheets").mkdir()
    (tmp_path / "sheets" / "carried.csv").write_text(SHEET)
    (tmp_path / "submitted_own.py").write_text(OWN.format(path=str(tmp_path / "calls")))
    root = tmp_path / "results"
    said = subprocess_cli("run", file, "--submit", cluster.dashboard, "--results", root, "--allow-imports")
    assert said.code == 0, said.out + said.err
    assert "[3/3]" in said.out
    check_whole(root, 3, 3)
    (tmp_path / "submitted_own.py").unlink()
    refused = subprocess_cli("run", file, "--submit", cluster.dashboard, "--results", root)
    assert refused.code == 2
    assert "--allow-imports" in refused.err


def test_ctrl_c_leaves_the_job_and_a_request_in_the_store_stops_it(
    cluster: Cluster, slow: Path, tmp_path: Path
) -> None:
    root = tmp_path / "results"
    driver = Driver("run", slow, "--submit", cluster.dashboard, "--results", "results", folder=tmp_path)
    until(lambda: stored(root) >= 1)
    driver.ctrl_c()
    said = driver.ended(30)
    assert said.code == 130
    assert f"prepe watch slow --results {root}" in said.err
    assert f"prepe stop slow --results {root}" in said.err
    assert "Traceback" not in said.err
    before = stored(root)
    until(lambda: stored(root) > before)
    watched = subprocess_cli("watch", "slow", "--once", "--results", root)
    assert watched.code == 0
    assert " of 30 trials, 0 failed" in watched.out
    assert ", running (process " in watched.out

    stopped = subprocess_cli("stop", "slow", "--results", root)
    assert (stopped.code, stopped.err) == (0, "")
    assert stopped.out.startswith("sweep slow: stopped.")
    count = stored(root)
    assert before < count < 30
    watched = subprocess_cli("watch", "slow", "--results", root)
    assert watched.code == 0
    assert watched.out.count("ablate.score_ccc.median") == count
    assert watched.out.endswith(f"slow: {count} of 30 trials, 0 failed, stopped\n")
    assert stored(root) == count
    again = subprocess_cli("stop", "slow", "--results", root)
    assert again.code == 1
    assert "nobody is running it" in again.err


def test_cpu_and_gpu_workers_take_jobs_of_one_sweep(cluster: Cluster, sweep_file: SweepFile, tmp_path: Path) -> None:
    file = sweep_file(
        "mixed",
        ("trials = 3", "trials = 12"),
        ("step = 19", "step = 900"),
        ('concept = "redness"', 'concept = "mixed_own:redness"'),
    )
    file.write_text(f"{file.read_text()}\n[resources]\ngpus = 0.5\nmixed = true\npack = 2\n")
    (tmp_path / "mixed_own.py").write_text(OWN.format(path=str(tmp_path / "calls")))
    root = tmp_path / "results"
    said = subprocess_cli("run", file, "--address", cluster.address, "--results", root, "--allow-imports")
    assert said.code == 0, said.out + said.err
    check_whole(root, 12, 3)
    assert said.out.count("Ray gave a job a GPU that PyTorch does not see on that node") == 1
    assert {"0", "none"} == set((tmp_path / "calls").read_text().replace("none", "none ").replace("0", "0 ").split())
    assert set(store.read(root, "models", columns=["device"])["device"].to_pylist()) == {"cpu"}


def test_jobs_that_ask_for_a_gpu_get_one_where_there_is_one(
    cluster: Cluster, sweep_file: SweepFile, tmp_path: Path
) -> None:
    file = sweep_file("on-gpu", ('concept = "redness"', 'concept = "gpu_own:redness"'))
    file.write_text(f"{file.read_text()}\n[resources]\ngpus = 0.25\n")
    (tmp_path / "gpu_own.py").write_text(OWN.format(path=str(tmp_path / "calls")))
    said = subprocess_cli(
        "run", file, "--address", cluster.address, "--results", tmp_path / "results", "--allow-imports"
    )
    assert said.code == 0, said.out + said.err
    assert set((tmp_path / "calls").read_text()) == {"0"}


def test_a_folder_of_ones_own_is_refused_where_the_cluster_may_be_elsewhere(tmp_path: Path, slow: Path) -> None:
    said = subprocess_cli("run", slow, "--submit", "http://127.0.0.1:9", "--results", "s3://bucket/results")
    assert said.code == 2
    assert said.err.startswith("prepe: --submit http://127.0.0.1:9: no cluster takes jobs there: ")
    assert len(said.err.splitlines()) == 1
