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
        faults: chances, per connection, of what goes wrong: `break` closes it in the middle of what the client sends,
            `mute` does so in the middle of the answer, `error` answers 503 in the server's place, `slow` waits.
        drawn: what went wrong, in order.
    """

    target: int
    seed: int
    faults: dict[str, float] = field(default_factory=dict)
    drawn: list[str] = field(default_factory=list)

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
        place = self._random.random()
        for fault, chance in self.faults.items():
            place -= chance
            if place < 0:
                self.drawn.append(fault)
                return fault
        return ""

    def _carry(self, client: socket.socket, fault: str) -> None:
        with closing(client), suppress(OSError):
            if fault == "error":
                client.recv(1 << 16)
                client.sendall(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            if fault == "slow":
                time.sleep(0.5)
            with closing(socket.create_connection(("127.0.0.1", self.target))) as server:
                back = threading.Thread(target=_pump, args=(server, client, fault == "mute"), daemon=True)
                back.start()
                _pump(client, server, fault == "break")
                back.join(30)


def _pump(source: socket.socket, to: socket.socket, broken: bool) -> None:
    """Carry bytes until one side ends; a broken way ends after the first kilobyte and a half."""
    left = 1500 if broken else 1 << 62
    with suppress(OSError):
        while left > 0 and (data := source.recv(min(left, 1 << 16))):
            to.sendall(data)
            left -= len(data)
    for each in (source, to):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR if broken else socket.SHUT_WR if each is to else socket.SHUT_RD)


def environment(port: int) -> dict[str, str]:
    """Return the variables of a process that uses the server at a port."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**outside, **KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
