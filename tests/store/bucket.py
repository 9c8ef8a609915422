"""A real S3 server in a process of its own, and a proxy before it that breaks connections where it is told to."""

import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

from pyarrow import fs

BUCKET = "bucket"
_PART = 1500
_ANSWERS = {
    "error": "503 Slow Down",
    "fail": "500 Internal Server Error",
    "forbid": "403 Forbidden",
    "nowhere": "404 Not Found",
}
KEYS = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def serve() -> Iterator[int]:
    """Run moto's server with one empty bucket, and give its port on this machine."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait(port, server)
        endpoint = {"endpoint_override": f"http://127.0.0.1:{port}", "access_key": "none", "secret_key": "none"}
        fs.S3FileSystem(allow_bucket_creation=True, region="us-east-1", **endpoint).create_dir(BUCKET)
        yield port
    finally:
        server.kill()
        server.wait()


def wait(port: int, server: "subprocess.Popen[bytes]") -> None:
    """Wait until a server takes connections."""
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"moto's server does not start: {server.poll()}")


@dataclass
class Proxy:
    """A TCP proxy to a port of this machine.

    Attributes:
        target: the port.
        faults: chances, per connection, of what goes wrong: `cut` closes it at once, `break` in the middle of what the
            client sends, `lose` after all of that, before the answer, and `mute` in the middle of the answer; `slow`
            waits; `error`, `fail`, `forbid` and `nowhere` answer 503, 500, 403 and 404 in the server's place.
        drawn: what went wrong, in order.
        away: whether every connection is closed at once.
    """

    target: int
    seed: int
    faults: dict[str, float] = field(default_factory=dict)
    drawn: list[str] = field(default_factory=list)
    away: bool = False

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client, self._draw()), daemon=True).start()

    def _draw(self) -> str:
        if self.away:
            return "cut"
        place = self._random.random()
        for fault, chance in self.faults.items():
            place -= chance
            if place < 0:
                self.drawn.append(fault)
                return fault
        return ""

    def _carry(self, client: socket.socket, fault: str) -> None:
        with closing(client), suppress(OSError):
            if fault == "cut":
                return
            if fault in _ANSWERS:
                client.recv(1 << 16)
                client.sendall(f"HTTP/1.1 {_ANSWERS[fault]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                return
            if fault == "slow":
                time.sleep(0.5)
            with closing(socket.create_connection(("127.0.0.1", self.target))) as server:
                limit = {"mute": _PART, "lose": 0}.get(fault)
                back = threading.Thread(target=_pump, args=(server, client, limit), daemon=True)
                back.start()
                _pump(client, server, _PART if fault == "break" else None)
                back.join(30)


def _pump(source: socket.socket, to: socket.socket, limit: int | None) -> None:
    """Carry bytes until one side ends; with a limit, so many, after which both ways end."""
    left = 1 << 62 if limit is None else limit
    with suppress(OSError):
        while data := source.recv(1 << 16):
            to.sendall(data[:left])
            left -= len(data)
            if left <= 0:
                break
    for each in (source, to):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR if left <= 0 else socket.SHUT_WR if each is to else socket.SHUT_RD)


def environment(port: int) -> dict[str, str]:
    """Return the variables of a process that uses the server at a port."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**outside, **KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
