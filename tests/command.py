"""The command line as tests use it, and what a folder holds."""

import hashlib
import os
import subprocess
import sys
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


def subprocess_cli(*arguments: object, **variables: str) -> Said:
    """Run the command line in a process of its own, with some environment variables."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), **variables}
    command = [sys.executable, "-m", "prepe.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return Said(done.returncode, done.stdout, done.stderr)


def contents(root: Path, pattern: str = "*") -> dict[str, tuple[int, str]]:
    """Return every file below a folder, with the time of its last change and a digest of what is in it."""
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(root.rglob(pattern))
        if path.is_file()
    }
