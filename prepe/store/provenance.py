"""What made a row: package versions, the commit of this source tree, and the memory that it took."""

import json
import os
import platform
import resource
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("prepe", "torch", "numpy", "ray", "optuna", "pyarrow")


@cache
def versions() -> str:
    """Return JSON of the versions of Python and of `PACKAGES`, none of which is imported; null if not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return json.dumps(found)


@cache
def git_commit() -> str | None:
    """Return the commit of the source tree that prepe is imported from, or None.

    `+dirty` follows when a Python file of the package has changed since, or is not in the commit. There is none outside
    a git checkout, without git, and when a repository around the package does not hold it, as when it is installed. A
    job on a cluster, which carries a copy of the package, is told the commit in the variable PREPE_COMMIT.
    """
    if carried := os.environ.get("PREPE_COMMIT"):
        return carried
    package = Path(__file__).resolve().parents[1]
    if _git(package, "ls-files", "--error-unmatch", "--", "__init__.py") is None:
        return None
    commit = _git(package, "rev-parse", "--verify", "HEAD")
    changes = _git(package, "status", "--porcelain", "--", "*.py")
    if not commit or changes is None:
        return None
    return commit + ("+dirty" if changes else "")


def peak_mb() -> float:
    """Return the largest resident memory that this process has had, in megabytes of 10^6 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git says in a folder, or None if it fails or is not there."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *arguments],
            capture_output=True, text=True, env=outside, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
