"""A driver is seen by what it leaves in the store, and stops when the store says so."""

import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster.driver import until
from command import Said, started
from conftest import TinyStore

import prepe
from prepe.launch import presence
from prepe.launch.searcher import Queue
from prepe.sweep import load

Written = Callable[..., Path]


@pytest.fixture
def queue(own_store: TinyStore) -> Queue:
    """The queue of a finished sweep."""
    return Queue(load(own_store.file), own_store.root)


def test_a_driver_is_seen_and_leaves_how_it_ended(queue: Queue) -> None:
    with presence.present(queue) as asked:
        driver = presence.driver_of(queue.results, "tiny")
        assert driver is not None
        assert (driver.state, driver.total, driver.silent) == ("running", 3, False)
        assert not asked()
    after = presence.driver_of(queue.results, "tiny")
    assert after is not None
    assert (after.state, after.error) == ("done", None)
    for fault, state in ((KeyboardInterrupt(), "stopped"), (prepe.PrepeError("no room"), "failed")):
        with pytest.raises(type(fault)), presence.present(queue):
            raise fault
        after = presence.driver_of(queue.results, "tiny")
        assert after is not None
        assert after.state == state
    assert after.error == "no room"


def test_a_driver_sees_a_request_once_and_not_one_for_its_forerunner(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "LOOK_S", 0)
    presence.request_stop(queue.results, "tiny")
    with presence.present(queue) as asked:
        assert not asked()
        presence.request_stop(queue.results, "tiny")
        assert asked()
        assert not presence.requested(queue.results, "tiny")
        assert not asked()
        presence.request_stop(queue.results, "tiny")
    assert not presence.requested(queue.results, "tiny")


def test_what_nobody_could_have_written_is_no_driver(queue: Queue) -> None:
    assert presence.driver_of(queue.results, "none") is None
    with presence.present(queue):
        pass
    file = Path(queue.results) / "drivers" / "tiny.json"
    for torn in ("", "{", "[1]", '{"state": "running"}'):
        file.write_text(torn)
        assert presence.driver_of(queue.results, "tiny") is None


def test_a_killed_driver_is_told_from_one_that_runs(queue: Queue, prepe_cli: Callable[..., Said]) -> None:
    with presence.present(queue):
        file = Path(queue.results) / "drivers" / "tiny.json"
        said = json.loads(file.read_text()) | {"seen": time.time() - 3600}
    file.write_text(json.dumps(said))
    stopped = prepe_cli("stop", "tiny", "--results", queue.results)
    assert stopped.code == 1
    assert "has not been seen for long; it was probably killed" in stopped.err
    watched = prepe_cli("watch", "tiny", "--results", queue.results)
    assert watched.code == 1
    assert "has not been seen since" in watched.out


def test_a_request_that_nobody_sees_is_taken_back(queue: Queue, prepe_cli: Callable[..., Said]) -> None:
    with presence.present(queue):
        said = prepe_cli("stop", "tiny", "--wait", 0.3, "--results", queue.results)
        assert said.code == 1
        assert "has not seen the request within 0.3 s; it is taken back" in said.err
        assert not presence.requested(queue.results, "tiny")


def test_stopping_a_driver_that_ends_by_itself_says_how_it_ended(queue: Queue) -> None:
    with presence.present(queue):
        file = Path(queue.results) / "drivers" / "tiny.json"
        ended = json.loads(file.read_text()) | {"state": "done"}

        def end() -> None:
            until(lambda: presence.requested(queue.results, "tiny"))
            file.write_text(json.dumps(ended))

        thread = threading.Thread(target=end)
        thread.start()
        assert presence.stop(queue.results, "tiny", 30) == "done"  # though nobody has removed the request
        thread.join()
        assert not presence.requested(queue.results, "tiny")


def test_watching_says_every_trial_and_how_it_ended(queue: Queue, prepe_cli: Callable[..., Said]) -> None:
    nothing = prepe_cli("watch", "nothing", "--once", "--results", queue.results)
    assert nothing.code == 2
    with presence.present(queue):
        once = prepe_cli("watch", "tiny.toml", "--once", "--results", queue.results)
    assert once.code == 0
    assert re.match(r"tiny: 3 of 3 trials, 0 failed, (.* s left, )?running \(process ", once.out)
    said = prepe_cli("watch", "tiny", "--results", queue.results)
    assert said.code == 0
    lines = said.out.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [[f"[{i}/3]", queue.done[i - 1]["trial"]] for i in (1, 2, 3)]
    assert lines[3:] == ["tiny: 3 of 3 trials, 0 failed, done"]


def test_watching_goes_on_until_the_driver_has_ended(queue: Queue, prepe_cli: Callable[..., Said]) -> None:
    ended = threading.Event()

    def drive() -> None:
        with presence.present(queue):
            time.sleep(1)
            ended.set()

    thread = threading.Thread(target=drive)
    thread.start()
    until(lambda: (driver := presence.driver_of(queue.results, "tiny")) and driver.state == "running")
    said = prepe_cli("watch", "tiny", "--every", 0.1, "--results", queue.results)
    assert ended.is_set()
    thread.join()
    assert said.out.endswith("tiny: 3 of 3 trials, 0 failed, done\n")


@pytest.mark.slow
def test_a_sweep_stops_when_it_is_asked_to_and_goes_on_later(
    sweep_file: Written, tmp_path: Path, prepe_cli: Callable[..., Said]
) -> None:
    file, root = (
        sweep_file("asked", ("trials = 3", "trials = 200"), ("recovery = { steps = 5 }", "")),
        tmp_path / "results",
    )
    with started("run", file, "--executor", "serial", "--results", root) as process:
        until(lambda: list(root.glob("proposals/*.parquet")))
        said = prepe_cli("stop", file, "--results", root)
        _, err = process.communicate(timeout=60)
    assert (said.code, said.err) == (0, "")
    assert said.out == "sweep asked: stopped. Its trials: prepe top asked\n"
    assert process.returncode == 130
    assert "asked to stop ..." in err
    count = len(list(root.glob("proposals/*.parquet")))
    assert f"stopped: {count} of 200 trials are stored. Go on with:" in err
    assert 0 < count < 200
