"""The command line as tests use it, and what a folder holds."""

import hashlib
import os
import pty
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import prepe

SOURCE = Path(prepe.__file__).parents[1]


@dataclass(frozen=True)
class Said:
    """How a command ended: its exit code, and what it printed."""

    code: int
    out: str
    err: str


def started(*arguments: object, output: int = subprocess.PIPE, **variables: str) -> subprocess.Popen[str]:
    """Start the command line in a process of its own, with some environment variables."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), **variables}
    command = [sys.executable, "-m", "prepe.cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True, env=environment)


def subprocess_cli(*arguments: object, **variables: str) -> Said:
    """Run the command line in a process of its own, with some environment variables."""
    with started(*arguments, **variables) as process:
        out, err = process.communicate()
    return Said(process.returncode, out, err)


def terminal_cli(*arguments: object, columns: int = 80) -> Said:
    """Run the command line in a process of its own whose output is a terminal."""
    ours, theirs = pty.openpty()
    with started(*arguments, output=theirs, COLUMNS=str(columns), LINES="50", TERM="xterm") as process:
        os.close(theirs)
        printed = b""
        with suppress(OSError):  # what reading a terminal ends with
            while chunk := os.read(ours, 65536):
                printed += chunk
        os.close(ours)
        assert process.stderr is not None
        err = process.stderr.read()
    return Said(process.returncode, printed.decode().replace("\r\n", "\n"), err)


def contents(root: Path, pattern: str = "*") -> dict[str, tuple[int, str]]:
    """Return every file below a folder, with the time of its last change and a digest of what is in it."""
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(root.rglob(pattern))
        if path.is_file()
    }
