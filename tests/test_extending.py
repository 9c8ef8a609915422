"""The page about adding one's own: its examples, as they stand there, run and do what it says."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Said

import prepe
from prepe import store, sweep

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
FILES: dict[str, str] = {
    name: text for _, name, text in re.findall(r"^```(python|toml)\n# (\S+)\n(.*?)^```", PAGE, re.M | re.S)
}
COMMANDS: list[str] = re.findall(r"^    prepe run (\w+\.toml) --allow-imports$", PAGE, re.M)


@pytest.fixture
def run_example(
    prepe_cli: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Path]:
    """Write an example's module and sweep file, run it as the page says, and return the store."""

    def run(name: str) -> Path:
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setitem(sys.modules, name, None)  # so that it is put back as it was, which is not there
        del sys.modules[name]
        for file in (f"{name}.py", f"{name}.toml"):
            (tmp_path / file).write_text(FILES[file])
        given = ("run", tmp_path / f"{name}.toml", "--executor", "serial", "--results", tmp_path / "results")
        refused = prepe_cli(*given)
        assert refused.code == 2
        assert "allowed: only with --allow-imports" in refused.err
        assert name not in sys.modules, "it was imported without leave"
        said = prepe_cli(*given, "--allow-imports")
        assert said.code == 0, said.err
        return tmp_path / "results"

    return run


def rows(root: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = store.read(root, table).to_pylist(maps_as_pydicts="lossy")
    return found


def test_every_example_is_run_by_a_test() -> None:
    assert COMMANDS == ["shrink.toml", "warm.toml", "narrow.toml"]
    assert set(FILES) == {f"{name}.{kind}" for name in ("shrink", "warm", "narrow") for kind in ("py", "toml")}
    assert all(len(FILES[f"{name}.py"].splitlines()) <= 10 for name in ("shrink", "warm"))


def test_the_term_is_in_the_rows_and_does_its_work(run_example: Callable[[str], Path]) -> None:
    root = run_example("shrink")
    query = re.search(r'prepe query "(.*)"', PAGE)
    assert query is not None
    at = prepe.query(query[1], results=root).to_pydict()
    assert at["mean"][-1] < 0.5 * max(at["mean"])
    terms = [row["val_terms"] for row in rows(root, "members")]
    assert len(terms) == 4
    assert all(0 <= each["short"] < 0.05 for each in terms)


@pytest.mark.slow
def test_the_label_is_drawn(run_example: Callable[[str], Path]) -> None:
    root = run_example("warm")
    # The chance of a label is rate * warmth ** power, here over all pairs of red and blue.
    grades = (1 + np.linspace(0, 1, 4)[:, None] - np.linspace(0, 1, 4)) / 2
    members = rows(root, "members")
    assert len(members) == 4
    assert all(row["label_rate"] == pytest.approx(0.5 * (grades**4).mean()) for row in members)
    assert all(row["label_n_used"] > 0 for row in members)
    assert {row["name"] for row in rows(root, "history") if row["quantity"] == "label"} >= {"warm"}


@pytest.mark.slow
def test_the_model_is_trained_watched_and_edited(run_example: Callable[[str], Path]) -> None:
    root = run_example("narrow")
    members, effects = rows(root, "members"), rows(root, "effects")
    assert len(members) == len(effects) == 4
    assert all(row["recon_mse"] < 0.01 for row in members)
    assert all(row["damage"] > 0 for row in effects)


def test_a_sweep_says_what_it_imports(tmp_path: Path) -> None:
    for name, function in (("shrink", "longer_than"), ("warm", "warmth"), ("narrow", "Narrow")):
        (tmp_path / f"{name}.toml").write_text(FILES[f"{name}.toml"])
        assert sweep.load(tmp_path / f"{name}.toml").imports() == [f"{name}:{function}"]
