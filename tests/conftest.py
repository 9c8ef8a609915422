"""A tiny sweep file, its store made by really running it, and the command line."""

import gc
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command import Said

import prepe
from prepe import cli

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for torch, which is not imported yet: small models need no more
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # two threads on a busy processor would wait for each other at work
gc.set_threshold(20_000, 10, 10)  # there is much to look through, imported for good: a fifth of the time, by default

TINY = Path(__file__).with_name("tiny.toml")
"""Three trials of three members, of twenty updates each."""


@dataclass(frozen=True)
class TinyStore:
    """A store, the file that it was made from, and the rows of its proposals, in order."""

    root: Path
    file: Path
    rows: list[dict[str, Any]]

    @property
    def trials(self) -> list[str]:
        return [row["trial"] for row in self.rows]


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> TinyStore:
    """One store for all tests that only read."""
    root = tmp_path_factory.mktemp("tiny") / "results"
    rows = prepe.run(TINY, results=root, executor="serial").done
    return TinyStore(root, TINY, rows)


@pytest.fixture
def own_store(tiny_store: TinyStore, tmp_path: Path) -> TinyStore:
    """A copy of it that a test may change."""
    root = tmp_path / "results"
    shutil.copytree(tiny_store.root, root)
    return TinyStore(root, tiny_store.file, tiny_store.rows)


@pytest.fixture
def sweep_file(tmp_path: Path) -> Callable[..., Path]:
    """Write the tiny sweep file under another name, with some texts replaced."""

    def write(name: str, *replaced: tuple[str, str]) -> Path:
        text = TINY.read_text()
        for old, new in replaced:
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {TINY.name}"
            text = text.replace(old, new)
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def prepe_cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run the command line in this process."""

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["prepe", *map(str, arguments)])
        capsys.readouterr()
        code: str | int | None = 0
        try:
            cli.main()
        except SystemExit as leaving:
            code = leaving.code
        captured = capsys.readouterr()
        return Said(int(code or 0), captured.out, captured.err)

    return run
