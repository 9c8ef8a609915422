"""A sweep through real Ray processes gives the rows that it gives without Ray, and goes on where it ended."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import own
import pytest
from command import Said, subprocess_cli, terminal_cli

import prepe
from cluster.driver import check_whole
from prepe import store

pytestmark = pytest.mark.cluster
SweepFile = Callable[..., Path]
UNLIKE = {
    "models": {"wall_s", "cpu_s", "created"},
    "trials": {"train_s", "twin_train_s", "evaluate_s", "wall_s", "cpu_s", "peak_mb", "created"},
    "members": set(),
    "effects": set(),
    "items": set(),
    "history": set(),
    "snapshots": set(),
}
"""By table, the columns in which two runs of one sweep may differ."""


def rows(root: Path, table: str) -> list[dict[str, Any]]:
    found = store.read(root, table).to_pylist()
    return [{key: repr(value) for key, value in row.items() if key not in UNLIKE[table]} for row in found]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Said]:
    """A sweep of eight random trials, run to its end: file, store, and what it printed."""
    folder = tmp_path_factory.mktemp("ray")
    file = folder / "tiny.toml"
    file.write_text((Path(__file__).parents[1] / "tiny.toml").read_text().replace("trials = 3", "trials = 8"))
    return file, folder / "results", subprocess_cli("run", file, "--results", folder / "results")


def test_every_trial_is_stored_once_and_equals_what_the_serial_executor_makes(
    ended: tuple[Path, Path, Said], tmp_path: Path
) -> None:
    file, root, said = ended
    assert said.code == 0
    check_whole(root, 8, 3)
    prepe.run(file, results=tmp_path, executor="serial")
    for table in UNLIKE:
        assert rows(root, table) == rows(tmp_path, table)


def test_plain_lines_and_nothing_of_rays_are_printed(ended: tuple[Path, Path, Said]) -> None:
    _, root, said = ended
    assert said.err == ""
    lines = said.out.splitlines()
    assert lines[:3] == [
        "tiny: Does a tiny sweep run?",
        f"8 trials of 3 members, results in {root}",
        "starting Ray ...",
    ]
    shape = r"\[%d/8\] [0-9a-f]{16} ablate.score_ccc.median -?\d\.\d{4}( \(infeasible\))? \| "
    pace = r"\d+\.\d/min, \d+ s left, 0 failed, best [0-9a-f]{8} -?\d\.\d{4}"
    for i, line in enumerate(lines[3:11], 1):
        assert re.match(shape % i + pace, line)
    assert lines[11] == "best of tiny"
    assert "\x1b" not in said.out


def test_a_sweep_goes_on_where_it_ended(ended: tuple[Path, Path, Said]) -> None:
    file, root, _ = ended
    said = subprocess_cli("run", file, "--results", root)
    assert (said.code, said.err) == (0, "")
    assert "nothing to do: all of it was stored before" in said.out
    assert "Ray" not in said.out

    on_terminal = terminal_cli("run", file, "--trials", 10, "--results", root)
    assert on_terminal.code == 0
    check_whole(root, 10, 3)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", on_terminal.out)
    assert re.search(r"10/10 \d+\.\d/min, 0 s left, 0 failed, best [0-9a-f]{8} -?\d\.\d{4}", plain)
    assert "[10/10]" not in plain

    assert subprocess_cli("run", file, "--trials", 10, "--members", 4, "--results", root).code == 0
    check_whole(root, 10, 4)
    blocks = store.read(root, "models").column("block").to_pylist()
    assert set(blocks) == {"0-2", "3-3"}


OWN = "def redness(inputs):\n    return inputs[:, 0]\n"


def test_variants_packs_and_functions_of_the_user_in_one_ray_give_what_they_give_without_it(
    sweep_file: SweepFile, tmp_path: Path
) -> None:
    points = (
        ('trials = 3\nsampler = "random"', 'sampler = "grid"'),
        ("lr = { log = [0.005, 0.1], start = 0.05 }", "lr = { choice = [0.02, 0.05], start = 0.05 }"),
        ("anchor = { float = [0, 1], start = 0.1 }", "anchor = { choice = [0, 0.1], start = 0.1 }"),
        ("latent_dim = { int = [2, 4], start = 3 }", "latent_dim = { int = [2, 3], start = 3 }"),
        ("[record]", "[variants.known]\n[variants.own.data.labels.red]\nconcept = 'own:redness'\n\n[record]"),
    )
    files = [sweep_file("packs", *points), sweep_file("single")]
    with files[0].open("a") as file:
        file.write("\n[resources]\npack = 5\n")
    (tmp_path / "own.py").write_text(OWN)
    run = ("run", *files, "--allow-imports", "--results")
    said = subprocess_cli(*run, tmp_path / "ray")
    assert (said.code, said.err) == (0, "")
    assert said.out.count("starting Ray ...") == 1
    assert said.out.count("/16] ") == 16
    assert said.out.count("/3] ") == 3
    assert subprocess_cli(*run, tmp_path / "serial", "--executor", "serial").code == 0
    for table in UNLIKE:
        assert rows(tmp_path / "ray", table) == rows(tmp_path / "serial", table), table
    proposals = store.read(tmp_path / "ray", "proposals").to_pylist()
    assert {row["state"] for row in proposals} == {"complete"}
    assert len({row["trial"] for row in proposals if row["sweep"] == "packs"}) == 16


def test_a_module_that_workers_do_not_find_stops_the_run_with_one_message(
    sweep_file: SweepFile, tmp_path: Path
) -> None:
    file = sweep_file("nowhere", ('concept = "redness"', 'concept = "own_nowhere:redness"'))
    said = subprocess_cli("run", file, "--allow-imports", "--results", tmp_path / "results")
    assert said.code == 2
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith("prepe: a worker cannot do its job: ")
    assert "'own_nowhere:redness': the module 'own_nowhere' cannot be imported" in said.err


def test_a_trial_that_fails_fails_alone(sweep_file: SweepFile, tmp_path: Path) -> None:
    file = sweep_file(
        "large",
        ('kind = "separate"', 'kind = "own:failing"\nparameters = { broken = "$broken" }'),
        ("[search.space]", "[search.space]\nbroken = { choice = [0, 1], start = 0 }"),
    )
    (tmp_path / "own.py").write_text(Path(own.__file__).read_text())  # beside the file, where workers find it
    said = subprocess_cli("run", file, "--trials", 6, "--allow-imports", "--results", tmp_path)
    proposals = store.read(tmp_path, "proposals").to_pylist()
    failed = [row for row in proposals if row["state"] == "failed"]
    assert len(proposals) == 6
    assert 0 < len(failed) < 6
    assert said.code == 1
    assert said.err.startswith(f"{len(failed)} of 6 trials failed, such as {failed[0]['trial']}: ")
    assert said.err.rstrip().endswith(
        f"prepe run {file} --trials 6 --allow-imports --results {tmp_path} --retry-failed"
    )
    assert said.out.count(" failed: ") == len(failed)
