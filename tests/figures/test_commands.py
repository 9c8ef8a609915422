"""`prepe draw` and `prepe animate` as they are typed."""

import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
import sys
sys.modules.update(dict.fromkeys({hidden}))
import prepe.cli.{verb}
from prepe.cli import main
main()
"""


def said(verb: str, *arguments: object, hidden: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a verb, with some packages as if they were not installed."""
    code = RUN.format(verb=verb, hidden=list(hidden))
    return subprocess.run([sys.executable, "-c", code, verb, *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.parametrize(("verb", "example"), [("draw", "prepe draw ex-1.7"), ("animate", "prepe animate 3c952f")])
def test_help_gives_examples(verb: str, example: str) -> None:
    done = said(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert example in " ".join(done.stdout.split())


@pytest.mark.slow
def test_draw_prints_a_path_for_every_figure(tmp_path: Path) -> None:
    done = said("draw", "ex-1.1.1", "--out", tmp_path, "--results", tmp_path / "no store")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [str(tmp_path / "ex-1.1.1.png")]
    assert (tmp_path / "ex-1.1.1.png").is_file()


@pytest.mark.slow
def test_draw_answers_a_name_without_a_store_in_one_line(tmp_path: Path) -> None:
    done = said("draw", "ex-1.7", "--results", tmp_path / "no store")
    assert done.returncode == 2
    assert done.stderr.startswith("prepe: ")
    assert len(done.stderr.splitlines()) == 1


def test_animate_names_the_extra_that_it_needs(tmp_path: Path) -> None:
    done = said("animate", "3c952f", "--results", tmp_path, hidden=("av",))
    assert done.returncode == 2
    assert "prepe[animation]" in done.stderr
    assert len(done.stderr.splitlines()) == 1
