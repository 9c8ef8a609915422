"""`prepe draw` and `prepe animate` as they are typed."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Said, subprocess_cli


@pytest.mark.slow
def test_draw_prints_a_path_for_every_figure(tmp_path: Path) -> None:
    done = subprocess_cli("draw", "ex-1.1.1", "--out", tmp_path, "--results", tmp_path / "no store")
    assert (done.code, done.err) == (0, "")
    assert done.out.split() == [str(tmp_path / "ex-1.1.1.png")]
    assert (tmp_path / "ex-1.1.1.png").is_file()


@pytest.mark.slow
def test_draw_answers_a_name_without_a_store_in_one_line(tmp_path: Path) -> None:
    done = subprocess_cli("draw", "ex-1.7", "--results", tmp_path / "no store")
    assert done.code == 2
    assert done.err.startswith("prepe: ")
    assert len(done.err.splitlines()) == 1


def test_animate_names_the_extra_that_it_needs(
    prepe_cli: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)  # as if it were not installed
    done = prepe_cli("animate", "3c952f", "--results", tmp_path)
    assert done.code == 2
    assert "prepe[animation]" in done.err
    assert len(done.err.splitlines()) == 1
