"""Rows that workers wrote are the truth: kill anything at any moment, run again, and the sweep is whole.

`PREPE_KILLS=50 pytest -m cluster tests/cluster/test_kills.py` kills more often; PREPE_SEED sets the moments.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import optuna
import pytest
from command import SOURCE, Said, subprocess_cli
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from cluster.driver import Driver, chance, stored, until
from cluster.standing import Nodes
from prepe import launch, store, sweep
from prepe.store.schema import SCHEMAS

pytestmark = pytest.mark.cluster
SweepFile = Callable[..., Path]
KILLS = int(os.environ.get("PREPE_KILLS", "12"))
KINDS = ("worker", "node", "driver", "worker", "ctrl-c twice", "head")
LONG_S = 300
QUICK = {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
"""So that it is seen soon that the head is gone; by itself Ray waits a minute."""


def proposals(root: Path) -> dict[str, dict[str, Any]]:
    """Return a store's proposals by trial, of which each must be there once."""
    rows = store.read(root, "proposals").to_pylist()
    found = {row["trial"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def check_rows(root: Path, finished: dict[str, dict[str, Any]], members: int = 3) -> None:
    """Check that no file is torn, no row stands twice, and what had finished is as it was, with all its members."""
    now = proposals(root)
    for name, row in finished.items():
        assert now[name] == row
    complete = {name for name, row in now.items() if row["state"] == "complete"}
    for table in SCHEMAS:
        rows = store.read(root, table)
        keys = [name for name in store.KEYS[table] if name != "block"]
        held = rows.select(keys).to_pylist()
        assert len({tuple(row.values()) for row in held}) == len(held) or table in ("history", "trials")
    held = store.read(root, "members", columns=["trial", "seed"]).to_pylist()
    expected = sorted((name, seed) for name in complete for seed in range(members))
    assert sorted((row["trial"], row["seed"]) for row in held if row["trial"] in complete) == expected
    blocks = store.read(root, "trials", columns=["trial"])["trial"].to_pylist()
    assert sorted(name for name in blocks if name in complete) == sorted(complete)


def check_ended(file: Path, root: Path, trials: int) -> None:
    """Check that a sweep has exactly the trials asked for, and that Optuna's study is made from their rows alone."""
    rows = proposals(root)
    assert len(rows) == trials
    assert {row["state"] for row in rows.values()} == {"complete"}
    assert len({row["number"] for row in rows.values()}) == trials
    check_rows(root, {})
    journal = root / "optuna" / f"{file.stem}.journal"
    journal.write_bytes(b"torn {")
    queue = launch.Queue(sweep.load(file, trials=trials), root)
    assert queue.left == 0
    assert queue.next() is None
    queue.close()
    study = optuna.load_study(study_name=file.stem, storage=JournalStorage(JournalFileBackend(str(journal))))
    told = {each.user_attrs["trial"]: each.values for each in study.trials if each.state.name == "COMPLETE"}
    assert told.keys() == rows.keys()
    for name, values in told.items():
        assert values == [dict(rows[name]["objectives"])[each.name] for each in queue.sweep.objectives]


@pytest.fixture
def slow(sweep_file: SweepFile) -> Path:
    """A sweep of trials that take some tenths of a second each."""
    return sweep_file("slow", ("step = 19", "step = 400"))


class Chaos:
    """A sweep on a cluster, and what can befall them."""

    def __init__(self, file: Path, root: Path, trials: int, moments: random.Random) -> None:
        self.file, self.root, self.trials, self.moments = file, root, trials, moments
        self.nodes = Nodes(3, **QUICK)
        self.driver: Driver | None = None
        self.codes: dict[str, set[int]] = {}

    def running(self) -> Driver:
        """Return the driver at work; where there is none, start one, which goes on, or has more trials to do."""
        if self.driver is not None and self.driver.process.poll() is not None:
            said = self.driver.ended()
            assert "Traceback" not in said.err, said.err
            self.driver = None
        if self.driver is None:
            if stored(self.root) >= self.trials:
                self.trials += 10
            run = ("run", self.file, "--trials", self.trials, "--address", self.nodes.address, "--retry-failed")
            self.driver = Driver(*run, "--results", self.root, **QUICK)
        return self.driver

    def until_more(self) -> None:
        """Wait until another trial has ended, and then some more."""
        before = stored(self.root)
        until(lambda: self.running() and stored(self.root) > before, LONG_S, "no trial ends")
        time.sleep(self.moments.uniform(0, 0.5))

    def strike(self, kind: str) -> None:
        """Do one of `KINDS`."""
        driver = self.running()
        if kind == "worker":
            workers = until(lambda: self.running() and self.nodes.workers(), LONG_S)
            os.kill(self.moments.choice(workers), signal.SIGKILL)
            return
        if kind == "node":
            self.nodes.kill_node(self.moments)
            return
        if kind == "driver":
            driver.process.kill()
        elif kind == "ctrl-c twice":
            for _ in range(2):
                driver.ctrl_c()
                time.sleep(self.moments.uniform(0, 0.3))
        else:
            self.nodes.kill_head()
        said = driver.ended(LONG_S)
        print(f"{kind}: code {said.code}: {said.err.strip()[-300:]}")
        assert "Traceback" not in said.err, said.err
        self.codes.setdefault(kind, set()).add(said.code)
        self.driver = None
        if kind == "head":
            self.nodes.close()
            self.nodes = Nodes(3, **QUICK)
        else:
            until(lambda: not self.nodes.workers(), LONG_S, "workers stay without their driver")

    def close(self) -> None:
        if self.driver is not None:
            self.driver.process.kill()
            self.driver.ended()
        self.nodes.close()


@pytest.fixture
def chaos(slow: Path, tmp_path: Path) -> Iterator[Chaos]:
    found = Chaos(slow, tmp_path / "results", 20 + KILLS, chance())
    yield found
    found.close()


def test_whatever_is_killed_no_row_is_lost_or_doubled_and_the_sweep_ends_whole(chaos: Chaos) -> None:
    kinds = list(chain.from_iterable(repeat(KINDS, KILLS // len(KINDS) + 1)))[:KILLS]
    chaos.moments.shuffle(kinds)
    for number, kind in enumerate(kinds, 1):
        chaos.until_more()
        finished = proposals(chaos.root)
        print(f"kill {number} of {KILLS}: {kind}, {len(finished)} trials stored")
        chaos.strike(kind)
        check_rows(chaos.root, finished)
    finished = proposals(chaos.root)
    said = chaos.running().ended(LONG_S)
    chaos.driver = None
    if said.code:  # a worker was killed in one trial again and again
        said = chaos.running().ended(LONG_S)
        chaos.driver = None
    assert said.code == 0, said.err
    assert chaos.codes.get("ctrl-c twice", {130}) == {130}
    assert 0 not in chaos.codes.get("head", set())
    check_rows(chaos.root, {name: row for name, row in finished.items() if row["state"] == "complete"})
    check_ended(chaos.file, chaos.root, chaos.trials)


POISON = """
import os, signal, time
import torch

def poison(context, site, how=0):
    if how == 1 and not os.path.exists({cured!r}):
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == 2 and not os.path.exists({cured!r}):
        print("these are my last words", file=__import__("sys").stderr, flush=True)
        os._exit(7)
    return torch.zeros_like(context.sites[site][..., 0])
"""


def test_a_configuration_that_crashes_its_process_fails_alone_with_its_reason_until_it_is_cured(
    sweep_file: SweepFile, tmp_path: Path
) -> None:
    file = sweep_file(
        "poison",
        ('kind = "separate"', 'kind = "own_crash:poison"\nparameters = { how = "$how" }'),
        ('trials = 3\nsampler = "random"', 'sampler = "grid"'),
        ("lr = { log = [0.005, 0.1], start = 0.05 }", "how = { int = [0, 2], start = 0 }"),
        ("anchor = { float = [0, 1], start = 0.1 }", ""),
        ("latent_dim = { int = [2, 4], start = 3 }", ""),
        ('latent_dim = "$latent_dim"', "latent_dim = 3"),
        ('anchor = "$anchor"', "anchor = 0.1"),
        ('lr = "$lr", ', ""),
        ('lr = "0.5 * $lr"', "lr = 0.01"),
    )
    cured, root = tmp_path / "cured", tmp_path / "results"
    (tmp_path / "own_crash.py").write_text(POISON.format(cured=str(cured)))
    run = ("run", file, "--allow-imports", "--results", root)
    said = subprocess_cli(*run)
    rows = proposals(root)
    failed = [row for row in rows.values() if row["state"] == "failed"]
    assert said.code == 1, said.err
    assert "Traceback" not in said.err
    assert (len(rows), len(failed)) == (3, 2)
    assert all('"how": 0' in row["params"] for row in rows.values() if row["state"] == "complete")
    assert all("died" in row["error"] for row in failed)
    assert any("these are my last words" in row["error"] for row in failed)
    shown = subprocess_cli("show", failed[0]["trial"], "--results", root)
    assert "died" in shown.out + shown.err
    again = subprocess_cli(*run)  # without being asked to, it is not tried again
    assert again.code == 1
    assert proposals(root) == rows
    cured.touch()
    assert subprocess_cli(*run, "--retry-failed").code == 0
    assert {row["state"] for row in proposals(root).values()} == {"complete"}
    assert len(proposals(root)) == 3


HUNGRY = """
import time
import torch

kept = []

def hungry(context, site, how=0):
    while how:
        kept.append(torch.ones(16 << 20))
        time.sleep(0.05)
    return torch.zeros_like(context.sites[site][..., 0])
"""


def used_share() -> float:
    """Return the share of memory in use, as Ray's monitor counts it on a machine without a limit of its own."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free, total = (int(lines[key].split()[0]) for key in ("MemAvailable", "MemTotal"))
    return 1 - free / total


def test_a_trial_that_takes_all_memory_fails_alone(sweep_file: SweepFile, tmp_path: Path) -> None:
    share = used_share() + 0.2
    if share > 0.9:
        pytest.skip(f"{used_share():.0%} of memory is in use: too much for one more hungry process")
    file = sweep_file(
        "hungry",
        ('kind = "separate"', 'kind = "own_hungry:hungry"\nparameters = { how = "$how" }'),
        ('trials = 3\nsampler = "random"', 'sampler = "grid"'),
        ("lr = { log = [0.005, 0.1], start = 0.05 }", "how = { int = [0, 1], start = 0 }"),
        ("anchor = { float = [0, 1], start = 0.1 }", ""),
        ("latent_dim = { int = [2, 4], start = 3 }", ""),
        ('latent_dim = "$latent_dim"', "latent_dim = 3"),
        ('anchor = "$anchor"', "anchor = 0.1"),
        ('lr = "$lr", ', ""),
        ('lr = "0.5 * $lr"', "lr = 0.01"),
    )
    (tmp_path / "own_hungry.py").write_text(HUNGRY)
    limits = {"RAY_memory_usage_threshold": f"{share:.2f}", "RAY_memory_monitor_refresh_ms": "100"}
    run = ("run", file, "--allow-imports", "--results", tmp_path / "results")
    said = subprocess_cli(*run, **limits)
    rows = proposals(tmp_path / "results").values()
    assert "Traceback" not in said.err
    assert sorted(row["state"] for row in rows) == ["complete", "failed"], said.err
    assert all('"how": 1' in row["params"] and "memory" in row["error"] for row in rows if row["state"] == "failed")
    assert said.code == 1


IN_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")


def can_mount() -> bool:
    """Say whether a user may have a small disk of their own here."""
    try:
        return not subprocess.run([*IN_NAMESPACE, "mount -t tmpfs none /tmp"], capture_output=True).returncode
    except OSError:
        return False


def run_serially(file: Path, root: Path, *options: str, before: str = "", after: str = "") -> Said:
    """Run a sweep without Ray, in a mount namespace of its own where that is to be had, between two lines of shell."""
    command = f'{before or ":"} && {{ "$@"; code=$?; {after or ":"}; exit $code; }}'
    prepe = [sys.executable, "-m", "prepe.cli", "run", str(file), "--executor", "serial", "--results", str(root)]
    done = subprocess.run(
        [*(IN_NAMESPACE if can_mount() else ("sh", "-c")), command, "sh", *prepe, *options],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    return Said(done.returncode, done.stdout, done.stderr)


def test_a_full_disk_tears_no_file_and_the_next_run_ends_the_sweep(sweep_file: SweepFile, tmp_path: Path) -> None:
    moments, file, disk, root = chance(), sweep_file("full"), tmp_path / "disk", tmp_path / "results"
    disk.mkdir()
    root.mkdir()
    how = "a small tmpfs" if can_mount() else "a limit to the size of files (ulimit -f)"
    print(f"the disk is full by {how}")
    for size in sorted(moments.sample(range(100, 700), 3)):  # what one disk held fits on the next
        if can_mount():
            before = f"mount -t tmpfs -o size={size}k none {disk} && cp -r {root}/. {disk}"
            said = run_serially(file, disk, before=before, after=f"cp -r {disk}/. {root}")
        else:
            said = run_serially(file, root, before=f"ulimit -f {moments.randrange(4, 20)}")
        assert said.code == 2, (said.out, said.err)
        assert "Traceback" not in said.err
        assert len(said.err.strip().splitlines()) == 1
        assert "cannot be written" in said.err
        check_rows(root, {})
    assert run_serially(file, root).code == 0
    check_ended(file, root, 3)


@pytest.mark.skipif(not can_mount() and os.getuid() == 0, reason="modes are nothing to root, and it may not mount here")
def test_a_store_that_refuses_writes_is_said_in_one_line_and_loses_nothing(
    sweep_file: SweepFile, tmp_path: Path
) -> None:
    file, root = sweep_file("locked"), tmp_path / "results"
    assert run_serially(file, root).code == 0
    finished = proposals(root)
    forbid = f"mount --bind -o ro {root} {root}" if can_mount() else f"chmod -R a-w {root}"
    said = run_serially(file, root, "--trials", "6", before=forbid)
    subprocess.run(["chmod", "-R", "u+w", str(root)], check=True)
    assert said.code == 2
    assert len(said.err.strip().splitlines()) == 1
    assert "cannot be written" in said.err
    check_rows(root, finished)
    assert run_serially(file, root, "--trials", "6").code == 0
    check_rows(root, finished)
    check_ended(file, root, 6)
