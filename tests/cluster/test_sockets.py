"""What other machines, and readers of the store and of Ray's logs, could learn from a run: nothing."""

import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from command import subprocess_cli

from cluster.driver import Driver, stored, until
from prepe import store
from prepe.store.schema import SCHEMAS

pytestmark = pytest.mark.cluster
SweepFile = Callable[..., Path]
LISTENS = "0A"
SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAPREPETESTTEST",
    "AWS_SECRET_ACCESS_KEY": "prepe-test-secret-1",
    "AWS_SESSION_TOKEN": "prepe-test-secret-2",
    "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/prepe-test-secret-3.json",
    "HTTPS_PROXY": "http://user:prepe-test-secret-4@proxy.invalid:3128",
    "RAY_AUTH_TOKEN": "prepe-test-secret-5-prepe-test-secret-5",
}


def listening(processes: list[int]) -> list[str]:
    """Return the addresses on which processes accept connections."""
    sockets = set()
    for process in processes:
        try:
            for link in Path(f"/proc/{process}/fd").iterdir():
                sockets.add(str(link.readlink()))
        except OSError:  # it ended meanwhile
            continue
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS and f"socket:[{fields[9]}]" in sockets:
                words = [int(fields[1][i : i + 8], 16) for i in range(0, len(fields[1].partition(":")[0]), 8)]
                packed = b"".join(struct.pack("=I", word) for word in words)
                family = socket.AF_INET if table == "tcp" else socket.AF_INET6
                found.append(socket.inet_ntop(family, packed))
    return found


def test_a_ray_of_ones_own_listens_on_this_machine_alone(sweep_file: SweepFile, tmp_path: Path) -> None:
    slow = sweep_file("slow", ("trials = 3", "trials = 30"), ("step = 19", "step = 900"))
    driver = Driver("run", slow, "--results", tmp_path / "results")
    until(lambda: stored(tmp_path / "results") >= 1)
    addresses = listening(list(driver.processes()))
    driver.ctrl_c()
    driver.ended(30)
    assert len(addresses) > 5
    assert set(addresses) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_secrets_of_the_environment_are_in_no_row_and_no_log(sweep_file: SweepFile, tmp_path: Path) -> None:
    sessions = Path("/tmp/ray")
    before = set(sessions.glob("session_*")) if sessions.is_dir() else set()
    file = sweep_file("failing", ('kind = "separate"', 'kind = "failing_own:term"'))
    (tmp_path / "failing_own.py").write_text("def term(context, site):\n    raise RuntimeError('broken on purpose')\n")
    root = tmp_path / "results"
    failed = subprocess_cli("run", file, "--results", root, "--allow-imports", RAY_AUTH_MODE="token", **SECRETS)
    assert failed.code == 1
    good = sweep_file("good")
    said = subprocess_cli("run", good, "--results", root, RAY_AUTH_MODE="token", **SECRETS)
    assert said.code == 0, said.err
    shown = "".join((failed.out, failed.err, said.out, said.err))
    shown += "".join(str(store.read(root, table).to_pylist()) for table in SCHEMAS)
    logs = {path for new in set(sessions.glob("session_*")) - before for path in (new / "logs").rglob("*")}
    assert logs
    shown += "".join(path.read_text(errors="replace") for path in (*logs, *root.rglob("*")) if path.is_file())
    assert "on purpose" in shown
    assert not [name for name, secret in SECRETS.items() if secret in shown]
