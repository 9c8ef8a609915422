"""What made a row is told, and never by another repository's commit."""

import json
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from prepe import store
from prepe.store import provenance

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def install(folder: Path) -> Path:
    """Put the module alone into a package `prepe` in a folder."""
    package = folder / "prepe" / "store"
    package.mkdir(parents=True)
    for path in (package.parent / "__init__.py", package / "__init__.py"):
        path.touch()
    shutil.copy(provenance.__file__, package)
    return package / "provenance.py"


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *settings, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def told_commit(folder: Path, **environment: str) -> str | None:
    code = "import json; from prepe.store.provenance import git_commit; print(json.dumps(git_commit()))"
    command = [sys.executable, "-B", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environment)
    told = json.loads(done.stdout)
    assert told is None or isinstance(told, str)
    return told


@needs_git
def test_the_commit_is_that_of_the_source_tree_and_dirty_when_it_has_changed(tmp_path: Path) -> None:
    path = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    module = install(tmp_path)
    assert told_commit(tmp_path, **path) is None
    git(tmp_path, "init", "-q")
    assert told_commit(tmp_path, **path) is None
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "results.txt").touch()
    assert told_commit(tmp_path, **path) == head
    assert told_commit(tmp_path, GIT_DIR="/nowhere", **path) == head
    assert told_commit(tmp_path, PATH="/nowhere") is None
    (module.parent / "new.py").touch()
    assert told_commit(tmp_path, **path) == f"{head}+dirty"
    (module.parent / "new.py").unlink()
    module.write_text(module.read_text() + "\n")
    assert told_commit(tmp_path, **path) == f"{head}+dirty"


@needs_git
def test_an_installed_package_has_no_commit_of_a_repository_around_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "theirs.py").touch()
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "theirs")
    site = tmp_path / ".venv" / "site-packages"
    install(site)
    assert told_commit(site, PATH="/usr/local/bin:/usr/bin:/bin") is None


def test_versions_are_told_without_importing_anything() -> None:
    told = json.loads(store.versions())
    assert set(told) == {"python", *provenance.PACKAGES}
    assert told["python"] == platform.python_version()
    assert told["pyarrow"] == version("pyarrow")


@pytest.mark.slow
def test_the_peak_of_memory_grows_with_what_is_held() -> None:
    before = store.peak_mb()
    held = bytearray(int(before * 1e6))
    held[::4096] = b"x" * len(held[::4096])
    assert before > 10
    assert store.peak_mb() > before * 1.2
