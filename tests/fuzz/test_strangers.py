"""A sweep file or a store from a stranger runs no code: not before one allows imports, whatever one does with it."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command import Said
from conftest import TinyStore

from prepe import store

Cli = Callable[..., Said]
MODEL = {"kind": "tripwire:f", "widths": {"encoder": 3, "bottleneck": 3}}
WAYS: dict[str, Callable[[dict[str, Any]], None]] = {
    "a label": lambda spec: spec["training"]["data"]["labels"]["red"].update(concept="tripwire:f"),
    "a term": lambda spec: spec["training"]["terms"].update(separate={"kind": "tripwire:f"}),
    "the model": lambda spec: spec["training"].update(model=MODEL),
    "the twin's model": lambda spec: spec["twin"].update(model=MODEL),
    "the twin's label": lambda spec: spec["twin"]["data"].update(labels={"red": {"concept": "tripwire:f", "rate": 1}}),
}
"""Where a stored trial may name a function."""
IN_FILES = {
    "a label": ('concept = "redness"', 'concept = "tripwire:f"'),
    "a term": ('kind = "separate"', 'kind = "tripwire:f"'),
    "the model": (
        'kind = "autoencoder"\nlatent_dim = "$latent_dim"\nhidden_dim = 8',
        'kind = "tripwire:f"\nwidths = { encoder = 3, bottleneck = 3 }\nparameters = { n = "$latent_dim" }',
    ),
    "a variant's label": (
        "[record]",
        '[variants.known]\n[variants.own.data.labels.red]\nconcept = "tripwire:f"\n[record]',
    ),
}
RUNNING = ("reproduce", "export", "animate")
"""Verbs that make a trial's model, and so must ask."""


def quick_and_slow(ways: Iterable[str], quick: str) -> list[Any]:
    """Return ways as parameters, of which one alone is tried by default."""
    return [way if way == quick else pytest.param(way, marks=pytest.mark.slow) for way in ways]


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a module that must not be imported."""
    (tmp_path / "tripwire.py").write_text("f = lambda *given, **named: None\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    assert "tripwire" not in sys.modules


def verbs(trial: str, root: Path) -> list[tuple[object, ...]]:
    at = ("--results", root)
    return [
        ("reproduce", trial, "--no-figure", *at),
        ("reproduce", trial, "--from-weights", "--no-figure", *at),
        ("animate", trial, *at),
        ("export", trial, "--member", 0, *at),
        ("measure", trial, "--member", 0, *at),
        ("show", trial, *at),
        ("front", trial, *at),
        ("colors", trial, *at),
        ("diff", trial, trial, *at),
        ("query", "SELECT spec FROM _trials UNION ALL SELECT trial FROM trials", *at),
    ]


@pytest.mark.parametrize("way", quick_and_slow(WAYS, "the twin's model"))
def test_a_stored_trial_of_a_stranger_runs_no_code(way: str, own_store: TinyStore, trap: Path, prepe_cli: Cli) -> None:
    trial = own_store.trials[0]
    (path,) = (own_store.root / "trials").glob(f"{trial}-*.parquet")
    rows = store.read(own_store.root, "trials", names=path.stem).to_pylist()
    for row in rows:
        spec = json.loads(row["spec"])
        WAYS[way](spec)
        row["spec"] = json.dumps(spec)
    store.write(own_store.root, "trials", path.stem, rows)
    for verb in verbs(trial, own_store.root):
        said = prepe_cli(*verb)
        assert "tripwire" not in sys.modules, verb
        if verb[0] in RUNNING:
            assert said.code == 2, (verb, said)
            assert "tripwire:f" in said.err
            assert said.err.endswith("allowed: only with --allow-imports\n")


@pytest.mark.parametrize("way", quick_and_slow(IN_FILES, "a variant's label"))
def test_a_sweep_file_of_a_stranger_runs_no_code(
    way: str, sweep_file: Callable[..., Path], own_store: TinyStore, trap: Path, prepe_cli: Cli
) -> None:
    claim = (
        "[search]",
        "[[claims]]\nsays = 'x'\nat_least = 0\n"
        "sql = \"SELECT 0 AS seed, 1 AS value FROM read_text('tripwire.py')\"\n\n[search]",
    )
    grid = ('trials = 3\nsampler = "random"', 'trials = 3\nsampler = "random"')
    file = sweep_file("tiny", IN_FILES[way], claim, grid)
    if "variant" in way:
        text = file.read_text()
        start = text.index("[search]")
        file.write_text(
            text[:start]
            .replace('"$latent_dim"', "3")
            .replace('"$anchor"', "0")
            .replace('lr = "$lr", ', "")
            .replace('"0.5 * $lr"', "0.01")
        )
    at = ("--results", own_store.root)
    for verb in (
        ("run", file, "--executor", "serial", *at),
        ("run", file, *at),
        ("rescore", file, *at),
        ("check", file, *at),
        ("schedule", file),
        ("draw", file, *at),
    ):
        said = prepe_cli(*verb)
        assert "tripwire" not in sys.modules, verb
        if verb[0] in ("run", "rescore"):
            assert said.code == 2, (verb, said)
            assert said.err.endswith(
                "it calls tripwire:f, and importing a function runs its module; allowed: only with --allow-imports\n"
            )
        if verb[0] == "check":
            assert said.code == 2, said
            assert "claims[0].sql" in said.err
            assert "disabled by configuration" in said.err
