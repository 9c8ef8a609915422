"""Trials that crash, hang or eat up memory: each fails alone, with its reason, and is done again when that is asked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import SOURCE, Said, subprocess_cli

from prepe import store

pytestmark = pytest.mark.cluster
POISON = Path(__file__).with_name("own_poison.py")
CURED = "def poison(context, site, how=0):\n    return 0 * context.coordinate(context.sites[site], 0)\n"


@pytest.fixture
def poisoned(sweep_file: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Write a sweep with a trial for each thing that a term may do to its process, and the term beside it."""

    def write(how: str, more: str) -> Path:
        (tmp_path / POISON.name).write_text(POISON.read_text())
        return sweep_file(
            "poisoned",
            ('kind = "separate"', 'kind = "own_poison:poison"\nparameters = { how = "$how" }'),
            ('trials = 3\nsampler = "random"', 'sampler = "grid"'),
            ("[search.space]", f"[search.space]\nhow = {{ choice = {how}, start = 0 }}"),
            ("latent_dim = { int = [2, 4], start = 3 }", "latent_dim = { choice = [3], start = 3 }"),
            ("lr = { log = [0.005, 0.1], start = 0.05 }", "lr = { choice = [0.05], start = 0.05 }"),
            ("anchor = { float = [0, 1], start = 0.1 }", "anchor = { choice = [0.1], start = 0.1 }"),
            ("[record]", f"{more}\n\n[record]"),
        )

    return write


def states(root: Path) -> list[tuple[str, str]]:
    """Return the state of every proposal in order, and the last line of its error."""
    rows: list[dict[str, Any]] = store.read(root, "proposals").to_pylist()
    return [
        (row["state"], (row["error"] or "").strip().rpartition("\n")[2])
        for row in sorted(rows, key=lambda row: row["number"])
    ]


def run(file: Path, *more: str, **variables: str) -> Said:
    return subprocess_cli("run", file, "--allow-imports", *more, "--results", file.parent / "results", **variables)


def test_trials_that_crash_or_hang_fail_alone_and_are_done_again_when_asked(
    poisoned: Callable[..., Path], tmp_path: Path
) -> None:
    file, root = (
        poisoned("[0, 1, 3]", "[resources]\nconcurrency = 2\npack = 2\n[budget]\ntimeout_s = 20"),
        tmp_path / "results",
    )
    said = run(file)
    assert said.code == 1
    fine, crashed, hung = states(root)
    assert fine == ("complete", "")
    assert crashed[0] == hung[0] == "failed"
    assert crashed[1].startswith(
        "its workers died, again and again: The actor is dead because its worker process has died."
    )
    assert hung[1] == "TimeoutError: it was killed 5 s after budget.timeout_s = 20"
    error = next(
        row["error"] for row in store.read(root, "proposals").to_pylist() if "killed 5 s" in (row["error"] or "")
    )
    assert "its last words:" in error
    assert "own_poison.py" in error  # where it hung
    assert "2 of 3 trials failed, such as " in said.err

    assert run(file).out.count("/3] ") == 0
    (tmp_path / POISON.name).write_text(CURED)
    assert run(file, "--retry-failed", PYTHONPATH=f"{SOURCE}").code == 0
    assert [state for state, _ in states(root)] == ["complete"] * 3


def test_a_trial_that_the_memory_monitor_kills_fails_alone(poisoned: Callable[..., Path], tmp_path: Path) -> None:
    file = poisoned("[0, 2, 4]", "[resources]\nconcurrency = 1")
    facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(facts[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    threshold = (total - free + 3_000_000) / total
    said = run(file, RAY_memory_usage_threshold=f"{threshold:.4f}", RAY_memory_monitor_refresh_ms="100")
    assert said.code == 1, said
    fine, killed, harmless = states(tmp_path / "results")
    assert fine == harmless == ("complete", "")
    assert killed[0] == "failed"
    assert "killed due to the node running low on memory" in killed[1]
