"""A store that something was done to: the doctor names it, mends it, and then all is well; nothing else is touched."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from prepe import store
from prepe.errors import PrepeError
from prepe.store import files
from prepe.store.compact import compact
from prepe.store.doctor import examine
from prepe.store.removal import plan, remove

from .sample import OWN, SHARED, Sample, proposal, say_running

Damage = Callable[[Path], None]
BLOCK = f"{SHARED}-0-5"


@pytest.fixture
def whole(root: Path) -> Path:
    """A store in which all is well, written an hour ago."""
    Sample(root)
    for model in (f"model-of-{SHARED}", f"model-of-{OWN}"):
        rows = [{"model": model, "block": "0-12", "seed": seed} for seed in range(12)]
        store.write(root, "models", f"{model}-0-12", rows)
    age(root)
    assert examine(root) == []
    return root


def age(root: Path) -> None:
    before = time.time() - 3600
    for path in root.rglob("*.parquet"):
        os.utime(path, (before, before))


def tear(root: Path) -> None:
    path = root / "effects" / f"{BLOCK}.parquet"
    path.write_bytes(path.read_bytes()[:-20])


def flip(root: Path) -> None:
    path = root / "effects" / f"{BLOCK}.parquet"
    content = bytearray(path.read_bytes())
    content[40] ^= 255
    path.write_bytes(content)


def foreign(root: Path) -> None:
    (root / "effects" / "notes.txt").write_text("hello")


def copied(root: Path) -> None:
    shutil.copy(root / "effects" / f"{BLOCK}.parquet", root / "effects" / "copy-of-it.parquet")


def renamed(root: Path) -> None:
    (root / "effects" / f"{BLOCK}.parquet").rename(root / "effects" / "other-0-5.parquet")


def misplaced(root: Path) -> None:
    shutil.copy(root / "members" / f"{BLOCK}.parquet", root / "effects" / "m-0-5.parquet")


def doubled(root: Path) -> None:
    rows = store.read(root, "effects", names=BLOCK).to_pylist()
    store.write(root, "effects", BLOCK, rows + rows[:3])


def half(root: Path) -> None:
    (root / "trials" / f"{BLOCK}.parquet").unlink()


def no_model(root: Path) -> None:
    (root / "models" / f"model-of-{OWN}-0-12.parquet").unlink()


def nothing_stored(root: Path) -> None:
    store.write(root, "proposals", f"narrow-{'9' * 16}", [proposal("narrow", 9, "9" * 16, 5, 3)])


def compacted_twice(root: Path) -> None:
    kept = {name: files.get(root, "effects", name) or b"" for name in files.listed(root, "effects")}
    compact(root)
    (folded,) = files.listed(root, "effects")
    for name, content in kept.items():
        files.put(root, ("effects", name), content)
    shutil.move(root / "effects" / folded, root / "moved")
    compact(root)
    shutil.move(root / "moved", root / "effects" / folded)


FAULTS: dict[str, tuple[Damage, str, str]] = {
    "torn": (tear, f"effects/{BLOCK}.parquet", "not a readable Parquet file"),
    "flipped": (flip, f"effects/{BLOCK}.parquet", "cannot be read"),
    "foreign": (foreign, "effects/notes.txt", "not written by prepe"),
    "copied": (copied, "effects/copy-of-it.parquet", f"has the rows of {BLOCK}"),
    "renamed": (renamed, "effects/other-0-5.parquet", f"has the rows of {BLOCK}"),
    "misplaced": (misplaced, "effects/m-0-5.parquet", "holds rows of the table members"),
    "doubled": (doubled, f"effects/{BLOCK}.parquet", "3 rows stand twice"),
    "half": (half, f"effects/{BLOCK}.parquet", "rows of a trial's block that is not whole"),
    "no model": (no_model, f"trials/{OWN}-0-5.parquet", "1 rows of a trial whose model is not stored"),
    "nothing stored": (nothing_stored, f"proposals/narrow-{'9' * 16}.parquet", "nothing else is stored"),
    "compacted twice": (compacted_twice, "effects", "48 rows stand twice in compacted files"),
}
QUICK = ("torn", "doubled", "half")
UNTOUCHED = {"foreign", "copied", "renamed", "misplaced", "doubled", "nothing stored", "compacted twice"}
"""Faults after whose repair every row of the store is as it was."""


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FAULTS]
)
def test_what_was_done_to_a_store_is_named_and_mended(whole: Path, name: str) -> None:
    damage, place, fault = FAULTS[name]
    before = sorted(map(repr, store.read(whole, "effects").to_pylist()))
    damage(whole)
    age(whole)
    assert (place, False) in [(each.place, each.done) for each in examine(whole) if fault in each.fault]
    mended = examine(whole, repair=True)
    assert all(each.done for each in mended), mended
    assert (place, True) in [(each.place, each.done) for each in mended]
    age(whole)
    assert examine(whole) == []
    after = sorted(map(repr, store.read(whole, "effects").to_pylist()))
    assert set(after) <= set(before)
    assert (after == before) == (name in UNTOUCHED)
    if name not in ("doubled", "renamed", "compacted twice"):
        assert [*(whole / "_aside").rglob("*.*")], "what is taken out is kept aside"
    store.query(whole, "FROM effects")


@pytest.mark.parametrize("table", store.KEYS)
def test_a_store_of_one_file_without_rows_is_looked_at_like_any_other(root: Path, table: str) -> None:
    store.write(root, table, "aaaa-0-5", [])
    age(root)
    assert examine(root) == []


def test_orphans_in_compacted_files_are_taken_out_of_them(whole: Path) -> None:
    half(whole)
    compact(whole)
    found = examine(whole)
    assert {each.place.split("/")[0] for each in found} == {"members", "effects", "items"}
    examine(whole, repair=True)
    assert examine(whole) == []
    assert {row["block"] for row in store.read(whole, "effects", names=f"{SHARED}-*").to_pylist()} == {"5-12"}
    assert len(store.read(whole, "effects", names=f"{OWN}-*")) == 24


def test_a_block_that_is_being_written_is_no_orphan(whole: Path) -> None:
    half(whole)
    for table in ("effects", "members", "items"):
        path = whole / table / f"{BLOCK}.parquet"
        os.utime(path)
    assert examine(whole) == []


@pytest.mark.parametrize("compacted", [False, True])
def test_removing_a_sweep_leaves_what_others_use(whole: Path, compacted: bool) -> None:
    if compacted:
        compact(whole)
    planned = plan(whole, "narrow")
    assert (planned.trials[0], planned.models, planned.kept) == (OWN, [f"model-of-{OWN}"], [SHARED])
    gone = remove(whole, planned)
    assert gone == {"proposals": 3, "trials": 2, "members": 12, "effects": 24, "items": 36, "models": 12}
    assert store.read(whole, "proposals")["sweep"].unique().to_pylist() == ["wide"]
    for table in ("trials", "members", "effects", "items"):
        assert store.read(whole, table)["trial"].unique().to_pylist() == [SHARED]
    assert store.read(whole, "models")["model"].unique().to_pylist() == [f"model-of-{SHARED}"]
    assert len(store.query(whole, "FROM effects")) == 24
    remove(whole, plan(whole, "wide"))
    assert sum(len(store.read(whole, table)) for table in gone) == 0


def test_removing_a_trial_takes_its_proposals_of_every_sweep(whole: Path) -> None:
    remove(whole, plan(whole, SHARED[:6]))
    assert {row["trial"] for row in store.read(whole, "proposals").to_pylist()} == {OWN, "c" * 4 + "0" * 12}
    assert set(store.read(whole, "effects")["trial"].to_pylist()) == {OWN}
    assert set(store.read(whole, "models")["model"].to_pylist()) == {f"model-of-{OWN}"}
    with pytest.raises(PrepeError, match="begins so"):
        plan(whole, SHARED)


def test_nothing_is_removed_or_mended_while_a_sweep_runs_that_needs_it(whole: Path) -> None:
    planned = plan(whole, "narrow")
    say_running(whole, "narrow", time.time())
    for name in ("narrow", OWN):
        with pytest.raises(PrepeError, match="sweep narrow: it is being run"):
            remove(whole, plan(whole, name))
    with pytest.raises(PrepeError, match="sweep narrow runs"):
        examine(whole, repair=True)
    assert examine(whole) == []
    say_running(whole, "narrow", time.time() - 600)
    store.write(whole, "proposals", f"wide-{OWN}", [proposal("wide", 1, OWN, 12, 0)])  # since it was planned
    assert remove(whole, planned) == {"proposals": 3}
    assert len(store.read(whole, "effects")) == 48
