"""Whole sweeps into a bucket that is slow, errs, breaks off at any moment, or is away: nothing is lost.

PREPE_SEED sets the moments.
"""

import random
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command import subprocess_cli
from store import bucket

from cluster.driver import Driver, chance, until
from prepe import launch, store, sweep
from prepe.store import doctor, files

pytestmark = pytest.mark.cluster
SweepFile = Callable[..., Path]
FAULTS = {"cut": 0.015, "break": 0.02, "lose": 0.015, "mute": 0.02, "error": 0.015, "fail": 0.015, "slow": 0.02}


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with bucket.serve() as port:
        yield port


@pytest.fixture
def proxy(server: int) -> Iterator[bucket.Proxy]:
    standing = bucket.Proxy(server, chance().randrange(2**32))
    yield standing
    standing.close()


@pytest.fixture
def uri(server: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """An empty store in the bucket, to be looked at past the proxy."""
    for name, value in bucket.environment(server).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return f"s3://{bucket.BUCKET}/{uuid.uuid4().hex}?endpoint_override=http://127.0.0.1:{server}"


def through(proxy: bucket.Proxy, **variables: str) -> dict[str, str]:
    """Return the variables with which a command reaches the server through the proxy alone."""
    return {**bucket.KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}", **variables}


def proposals(uri: str) -> dict[str, dict[str, Any]]:
    """Return a store's proposals by trial, of which each must be there once."""
    rows = store.read(uri, "proposals").to_pylist()
    found = {row["trial"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def check_ended(file: Path, uri: str, trials: int, finished: dict[str, dict[str, Any]]) -> None:
    """Check that a sweep has exactly the trials asked for, every row once and as it was, and that all files are whole.

    Optuna's study is made from the rows: the queue that has it knows every one, and has nothing to do.
    """
    rows = proposals(uri)
    assert sorted(row["number"] for row in rows.values()) == list(range(trials))
    assert {row["state"] for row in rows.values()} == {"complete"}
    for name, row in finished.items():
        assert rows[name] == row
    assert doctor.examine(uri) == []
    held = store.read(uri, "members", columns=["trial", "seed"]).to_pylist()
    counts = Counter((row["trial"], row["seed"]) for row in held if row["trial"] in rows)
    assert counts == {(name, seed): 1 for name in rows for seed in range(3)}
    blocks = store.read(uri, "trials", columns=["trial"])["trial"].to_pylist()
    assert sorted(name for name in blocks if name in rows) == sorted(rows)
    queue = launch.Queue(sweep.load(file, trials=trials), uri)
    assert queue.left == 0
    assert queue.next() is None
    assert queue.study is not None
    told = {each.user_attrs["trial"]: each.values for each in queue.study.memory.trials}
    names = [each.name for each in queue.sweep.objectives]
    assert told == {trial: [dict(row["objectives"])[name] for name in names] for trial, row in rows.items()}
    queue.close()


@contextmanager
def outages(proxy: bucket.Proxy, moments: random.Random) -> Iterator[None]:
    """Let the bucket be away altogether for some seconds at random moments in this context."""
    over = threading.Event()

    def come_and_go() -> None:
        while not over.wait(moments.uniform(3, 8)):
            proxy.away = True
            over.wait(moments.uniform(0.5, 2))
            proxy.away = False

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        proxy.away = False


@pytest.mark.parametrize(("executor", "sampler"), [("serial", "random"), ("ray", "tpe")])
def test_a_sweep_goes_through_a_bucket_that_is_slow_errs_breaks_off_and_is_away(
    executor: str, sampler: str, sweep_file: SweepFile, proxy: bucket.Proxy, uri: str
) -> None:
    file, moments = sweep_file("faulty", ('sampler = "random"', f'sampler = "{sampler}"')), chance()
    proxy.faults = FAULTS
    run = ("run", file, "--executor", executor, "--trials", 3, "--results", uri.partition("?")[0])
    with outages(proxy, moments):
        said = subprocess_cli(*run, **through(proxy))
    print(f"{executor}: {Counter(proxy.drawn)}\n{said.err}")
    assert said.code == 0, (said.out, said.err)
    assert all(line.startswith("prepe: s3://") for line in said.err.splitlines()), said.err
    assert len(set(proxy.drawn)) > 4
    check_ended(file, uri, 3, proposals(uri))


def test_a_sweep_whose_bucket_stays_away_stops_cleanly_and_the_next_run_ends_it(
    sweep_file: SweepFile, proxy: bucket.Proxy, uri: str
) -> None:
    file, moments = sweep_file("away", ("trials = 3", "trials = 5"), ("step = 19", "step = 300")), chance()
    name = uri.partition("?")[0]
    run = ("run", file, "--results", name)
    driver = Driver(*run, **through(proxy, PREPE_PATIENCE_S="4"))
    until(lambda: len(files.listed(uri, "proposals")) >= 2)
    time.sleep(moments.uniform(0, 1))
    proxy.away = True
    said = driver.ended()
    proxy.away = False
    print(said.err)
    assert said.code == 2, (said.out, said.err)
    assert "Traceback" not in said.err
    *told, last = said.err.strip().splitlines()
    assert told
    assert all(re.match(rf"prepe: {name}\S*: no answer.*; trying again, for up to 4 s", line) for line in told)
    assert re.match(rf"prepe: (a worker cannot do its job: )?{name}\S*: cannot be ", last)
    assert last.endswith("what is stored stays: when the store answers, run the same command again to go on")
    driver.until_nothing_runs()
    finished = proposals(uri)
    assert 2 <= len(finished) < 5
    again = subprocess_cli(*run, "--executor", "serial", **through(proxy))
    assert again.code == 0, again.out + again.err
    assert again.err == ""
    check_ended(file, uri, 5, finished)


def test_what_stays_wrong_with_a_bucket_ends_a_sweep_at_once(
    sweep_file: SweepFile, proxy: bucket.Proxy, uri: str
) -> None:
    file, name = sweep_file("forbidden"), uri.partition("?")[0]
    elsewhere = name.replace(bucket.BUCKET, "no-such-bucket")
    for root, fault, why in ((name, "forbid", "ACCESS_DENIED"), (elsewhere, "", "NO_SUCH_BUCKET")):
        proxy.faults = {fault: 1.0} if fault else {}
        began = time.monotonic()
        said = subprocess_cli("run", file, "--executor", "serial", "--results", root, **through(proxy))
        assert time.monotonic() - began < 30
        assert said.code == 2
        (line,) = said.err.splitlines()
        assert line.startswith(f"prepe: {root}")
        assert why in line
    assert proposals(uri) == {}


def test_a_bucket_that_is_away_is_said_by_reading_commands_and_ctrl_c_ends_them(proxy: bucket.Proxy, uri: str) -> None:
    proxy.away = True
    for command in (("ls",), ("watch", "sweep")):
        driver = Driver(*command, "--results", uri.partition("?")[0], **through(proxy))
        assert driver.process.stderr is not None
        line = driver.process.stderr.readline()
        assert re.match(r"prepe: s3://\S+: no answer \(AWS Error .*\); trying again, for up to 180 s", line)
        driver.ctrl_c()
        assert driver.ended(10).code == 130
