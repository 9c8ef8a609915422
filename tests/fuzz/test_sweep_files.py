"""Whatever stands in a sweep file: it is refused in one line, or it is a sweep that can be run, and no code ran."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from fuzz import toml
from fuzz.examples import MANY, holds, numbers, refused
from prepe import data, keyframes, models, sweep
from prepe.errors import PrepeError
from prepe.spec import Trial, trial_from_json

ROOT = Path(__file__).parents[2]
FILES = (*sorted((ROOT / "sweeps").glob("*.toml")), ROOT / "tests" / "tiny.toml")
LARGEST_MODEL, LARGEST_DATA = 2_000_000, 3_000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for the files, with a module that must not be imported."""
    (tmp_path / "tripwire.py").write_text(
        "def f(*given, **named):\n    raise AssertionError('code of a stranger ran')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    assert "tripwire" not in sys.modules


def check_file(path: Path, text: str | bytes) -> bool:
    """Load a file, check what came of it, and say whether it was accepted."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    said, loaded = refused(lambda: sweep.load(path))
    assert "tripwire" not in sys.modules
    if loaded is None:
        assert said is not None
        assert said.startswith(f"{path}: ")
        return False
    check_sweep(loaded)
    assert "tripwire" not in sys.modules
    return True


def check_sweep(loaded: sweep.Sweep) -> None:
    """Check that an accepted sweep is one that can be run."""
    assert re.fullmatch("[0-9a-f]{16}", sweep.digest(loaded))
    assert len(loaded.seeds) == loaded.members >= 1
    points = (loaded.points() or [])[:3]
    calls = set(loaded.imports())
    for point in (loaded.start(), *points):
        assert json.loads(json.dumps(point)) == point
        trial = loaded.trial(point)
        assert set(trial.training.imports()) <= calls
        check_trial(trial)


def check_trial(trial: Trial) -> None:
    """Check that a trial comes back from its JSON, and that its schedule and model are of the sizes that it says."""
    again = trial_from_json(trial.to_json())
    assert again == trial
    assert again.digest() == trial.digest()
    assert again.to_json() == trial.to_json()
    schedule = trial.training.schedule
    at = np.unique(np.linspace(0, schedule.steps - 1, 7).astype(int))
    for name in trial.training.parameters():
        if name in schedule.names():
            moved = keyframes.values_at(schedule, name, at)
            assert moved.shape == at.shape
            assert np.isfinite(moved).all()
            assert (moved >= 0).all()
    if trial.training.imports() or not is_small(trial):
        return
    try:
        task = data.task(trial.training.data)
    except PrepeError:  # a lattice of which nothing is left
        return
    model = models.build(trial.training.model, task)
    if sum(int(np.prod(shape)) for _, shape in model.layout) > LARGEST_MODEL:
        return
    out = model(model.unpack(model.init([0])), data_of(task))
    for site, width in trial.training.model.sites().items():
        assert out.sites[site].shape == (1, 2, width)


def data_of(task: Any) -> Any:
    import torch

    return torch.as_tensor(np.asarray(task.train.inputs)[[0, -1]], dtype=torch.float32)[None]


def is_small(trial: Trial) -> bool:
    """Say whether making the data costs next to nothing."""
    sizes = [value for key, value in trial.training.data if key in ("size", "validation") and isinstance(value, int)]
    axes = [getattr(trial.training.data, key, 1) for key in ("hues", "saturations", "values")]
    cells = np.prod(
        [axis if isinstance(axis, int) else len(getattr(axis, "points", lambda axis=axis: axis)()) for axis in axes]
    )
    return cells <= LARGEST_DATA and all(size**3 <= LARGEST_DATA for size in sizes)


@numbers(25, 2500)
def test_a_changed_sweep_file_is_refused_in_one_line_or_can_be_run(folder: Path, examples: int) -> None:
    accepted = []

    def law(given: tuple[str, str]) -> None:
        name, text = given
        accepted.append(check_file(folder / name, text))

    holds(law, examples, given=toml.changed(FILES))
    assert any(accepted) or examples < MANY  # else only refusals were tried


@numbers(20, 800)
def test_a_file_of_any_tables_is_refused_in_one_line(folder: Path, examples: int) -> None:
    def law(text: str) -> None:
        check_file(folder / "any.toml", text)

    holds(law, examples, text=toml.whole)


@numbers(20, 1500)
def test_a_file_with_bytes_changed_is_refused_in_one_line_or_can_be_run(folder: Path, examples: int) -> None:
    def law(file: Path, at: float, cut: int, put: bytes) -> None:
        text = file.read_bytes()
        start = int(at * len(text))
        check_file(folder / file.name, text[:start] + put + text[start + cut :])

    odd = st.sampled_from(
        [b"[" * 3000, b"{" * 500, b"9" * 5000, b"\xff", b"\0", b"\r", b'"""', b"'''", b"[[", b"\xef\xbb\xbf"]
    )
    holds(
        law,
        examples,
        file=st.sampled_from(FILES),
        at=st.floats(0, 1),
        cut=st.sampled_from([0, 1, 5, 200]),
        put=st.binary(max_size=4) | odd | st.sampled_from(list('019-.=,"]}$e')).map(str.encode),
    )


@numbers(20, 500)
def test_a_stored_specification_that_was_changed_is_refused_or_is_a_trial(folder: Path, examples: int) -> None:
    whole = sweep.load(FILES[-1])
    text = whole.trial(whole.start()).to_json()

    def law(at: float, cut: int, put: str, value: object) -> None:
        table = json.loads(text)
        table[["twin", "training", "interventions", "concepts", "cycle"][cut % 5]] = value
        start = int(at * len(text))
        for changed in (text[:start] + put + text[start + cut :], json.dumps(table, default=str)):
            _, trial = refused(lambda changed=changed: trial_from_json(changed))  # type: ignore[misc]
            if trial is not None:
                assert trial_from_json(trial.to_json()) == trial

    put = st.text(max_size=2) | st.sampled_from(["0", '"', "null", "{}", "[]", "1e999", "NaN", "tripwire:f"])
    holds(law, examples, at=st.floats(0, 1), cut=st.integers(0, 9), put=put, value=toml.values)
