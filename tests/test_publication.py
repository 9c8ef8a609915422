"""What is published is read as what was stored, is small, and is there whole or not at all."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from command import Said, contents
from conftest import TinyStore
from groups import MEMBERS, TIME, VARIANTS, write_file, write_pair, write_trial

import prepe
from prepe import store
from prepe.errors import PrepeError

Cli = Callable[..., Said]
VIEWS = ("trials", "members", "stages", "effects", "items", "colors", "summaries", "models")
CLAIM = '\n[[claims]]\nsays = "It is so"\nmetric = "recon_mse"\nat_most = 0.2\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of two sweeps, for all tests that only read."""
    folder = tmp_path_factory.mktemp("made")
    root = folder / "results"
    write_pair(root, write_file(folder, "pair", VARIANTS + f'{CLAIM}variant = "good"\n'))
    write_trial(root, write_file(folder, "single", CLAIM, members=4, width=9), "bad", members=4)
    (root / "figures").mkdir()
    for name in ("pair.png", "pair-dark.png", "pair.txt", "pair-loss.gif", "single.png", "pair.2.png", "repair.png"):
        (root / "figures" / name).write_text(name)
    return folder


def rows(root: Path, view: str, *sweeps: str) -> list[dict[str, object]]:
    """Return some sweeps' rows; a mean depends in its last digits on the order in which it is added up."""
    where = "" if view == "models" else f"WHERE list_contains({list(sweeps)}, sweep)"
    found = prepe.query(f"FROM {view} {where} ORDER BY ALL", root).to_pylist()
    return [{k: round(v, 12) if isinstance(v, float) else v for k, v in row.items()} for row in found]


@pytest.fixture(scope="module")
def published(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sweeps published, for all tests that only read."""
    folder = tmp_path_factory.mktemp("published")
    prepe.publish(["pair", made / "single.toml"], folder, made / "results")
    return folder


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_says_of_what_is_published_what_it_says_of_the_store(view: str, made: Path, published: Path) -> None:
    stored = rows(made / "results", view, "pair", "single")
    assert view == "models" or {row["sweep"] for row in stored} == {"pair", "single"}
    assert stored
    assert repr(rows(published, view, "pair", "single")) == repr(stored)  # NaN is not equal to itself


def test_claims_have_the_same_figures(made: Path, published: Path) -> None:
    files = [made / "pair.toml", made / "single.toml"]
    before, after = (prepe.check(files, root) for root in (made / "results", published))
    assert [row.verdict for row in before] == ["holds", "fails"]
    assert after == before


def test_a_sweep_is_a_file_a_table_and_its_figures(made: Path, tmp_path: Path) -> None:
    (pair,) = prepe.publish("pair", tmp_path, made / "results")
    tables = ("effects", "items", "members", "models", "proposals", "stages", "trials")
    expected = [f"{table}/pair.all.parquet" for table in tables]
    expected += [f"figures/{name}" for name in ("pair-dark.png", "pair-loss.gif", "pair.png", "pair.txt")]
    assert sorted(contents(tmp_path)) == sorted(expected) == sorted(pair.files)
    assert pair.files == {name: (tmp_path / name).stat().st_size for name in expected}
    assert (pair.sweep, pair.trials, pair.members, pair.left_out) == ("pair", 2, MEMBERS, [])
    assert (tmp_path / "figures" / "pair.png").read_text() == "pair.png"


def test_figures_of_a_sweep_with_a_longer_name_are_not_its_own(made: Path, tmp_path: Path) -> None:
    root = tmp_path / "results"
    shutil.copytree(made / "results", root)
    write_trial(root, write_file(tmp_path, "pair-loss", members=4), "good", members=4)
    (pair,) = prepe.publish("pair", tmp_path / "out", root)
    assert "figures/pair-loss.gif" not in pair.files
    assert "figures/pair-dark.png" in pair.files


def test_publishing_twice_is_publishing_once(made: Path, tmp_path: Path) -> None:
    first = prepe.publish(["pair", "single"], tmp_path, made / "results")
    before = {name: digest for name, (_, digest) in contents(tmp_path).items()}
    assert prepe.publish(["single", "pair", "pair"], tmp_path, made / "results") == first[::-1]
    assert {name: digest for name, (_, digest) in contents(tmp_path).items()} == before


def test_what_was_published_of_a_sweep_before_is_gone_and_nothing_else(made: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "results", tmp_path / "out"
    shutil.copytree(made / "results", root)
    prepe.publish(["pair", "single"], out, root)
    others = {name: each for name, each in contents(out).items() if "single" in name}
    (root / "figures" / "pair.txt").unlink()
    shutil.rmtree(root / "stages")
    prepe.publish("pair", out, root)
    assert not list(out.glob("stages/pair*"))
    assert not (out / "figures" / "pair.txt").exists()
    assert (out / "figures" / "pair.png").exists()
    assert {name: each for name, each in contents(out).items() if "single" in name} == others


def test_rows_of_an_older_version_of_a_file_are_not_published(tmp_path: Path) -> None:
    root, out = tmp_path / "results", tmp_path / "out"
    file = write_file(tmp_path, "single", members=4)
    old = write_trial(root, file, "good", members=4)
    write_file(tmp_path, "single", members=4, width=7)
    new = write_trial(root, file, "bad", members=4, created=TIME.replace(year=2027))
    prepe.publish("single", out, root)
    for table in ("proposals", "trials", "members", "effects", "items"):
        assert set(store.read(root, table)["trial"].to_pylist()) == {old, new}
        assert set(store.read(out, table)["trial"].to_pylist()) == {new}
    assert set(store.read(out, "models")["model"].to_pylist()) == {new[::-1]}


@pytest.mark.slow
def test_what_two_sweeps_share_counts_once(made: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "results", tmp_path / "out"
    files = [write_file(tmp_path, name, members=4) for name in ("one", "two")]
    trials = {write_trial(root, file, "good", members=4) for file in files}
    assert len(trials) == 1, "both sweeps ask for the same trial"
    prepe.publish(["one", "two"], out, root)
    assert store.read(out, "members").num_rows == 2 * store.read(root, "members").num_rows
    for view in VIEWS:
        for sweep in ("one", "two"):
            assert repr(rows(out, view, sweep)) == repr(rows(root, view, sweep)), view
    (row,) = prepe.query("SELECT wall_s, count(*) AS n FROM trials WHERE sweep = 'one' GROUP BY ALL", out).to_pylist()
    assert row == {"wall_s": 2.0, "n": 1}
    prepe.publish("one", out, root)
    assert repr(rows(out, "members", "two")) == repr(rows(root, "members", "two"))


def test_a_file_that_would_be_too_large_is_refused_and_nothing_is_written(made: Path, tmp_path: Path) -> None:
    said = r"^(members|models)/single\.all\.parquet: it would have 0\.\d+ MB; allowed: 0\.01, or more with --max-mb$"
    with pytest.raises(PrepeError, match=said):
        prepe.publish(["single", "pair"], tmp_path, made / "results", max_mb=0.01)
    assert not list(tmp_path.iterdir())
    sizes = prepe.publish("pair", tmp_path, made / "results")[0].files
    assert max(sizes.values()) < 2e6


def test_only_named_items_are_published_where_all_are_too_large(made: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "results", tmp_path / "out"
    shutil.copytree(made / "results", root)
    (name,) = {row["trial"] for row in rows(root, "trials", "single")}
    key = {"trial": name, "block": "0-3", "seed": 0, "intervention": "ablate"}
    noise = [int.from_bytes(os.urandom(8), "big") / 2**64 for _ in range(10_000)]
    grid = [{**key, "set": "reference", "item": str(i), "error_after": value} for i, value in enumerate(noise)]
    store.write(root, "items", f"{name}-grid", grid)
    (single,) = prepe.publish("single", out, root, max_mb=0.05)
    assert single.left_out == ["reference"]
    assert single.files["items/single.all.parquet"] < 50_000
    assert rows(out, "colors", "single") == rows(root, "colors", "single")
    assert store.read(out, "items").num_rows == len(rows(root, "colors", "single"))
    assert prepe.publish("single", out, root)[0].left_out == []


def test_no_items_are_published_where_the_named_ones_are_too_large_too(made: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "results", tmp_path / "out"
    shutil.copytree(made / "results", root)
    (name,) = {row["trial"] for row in rows(root, "trials", "single")}
    key = {"trial": name, "block": "0-3", "seed": 0, "intervention": "ablate", "set": "named"}
    noise = [int.from_bytes(os.urandom(8), "big") / 2**64 for _ in range(10_000)]
    store.write(root, "items", f"{name}-more", [{**key, "item": str(i), "error_after": x} for i, x in enumerate(noise)])
    (single,) = prepe.publish("single", out, root, max_mb=0.05)
    assert single.left_out == ["named", "reference"]
    assert not (out / "items").exists()
    assert rows(out, "effects", "single") == rows(root, "effects", "single")


def test_a_sweep_that_is_half_written_is_not_there_for_readers(made: Path, tmp_path: Path) -> None:
    prepe.publish(["pair", "single"], tmp_path, made / "results")
    blocker = tmp_path / "items" / "pair.all.parquet"
    blocker.unlink()
    blocker.mkdir()
    (blocker / "in the way").touch()
    with pytest.raises(PrepeError, match="cannot be written"):
        prepe.publish("pair", tmp_path, made / "results")
    shutil.rmtree(blocker)
    for view in ("trials", "members", "effects", "items"):
        assert rows(tmp_path, view, "pair") == []
        assert rows(tmp_path, view, "single")
    prepe.publish("pair", tmp_path, made / "results")
    assert repr(rows(tmp_path, "items", "pair")) == repr(rows(made / "results", "items", "pair"))


def test_what_cannot_be_published_is_said(made: Path, tmp_path: Path, prepe_cli: Cli) -> None:
    root = tmp_path / "results"
    shutil.copytree(made / "results", root)
    write_trial(root, write_file(tmp_path, "broken", members=4), "bad", members=4, state="failed")
    said = {
        "nothing": ("prepe: " + str(root) + ": unknown sweep 'nothing'; allowed: broken, pair, single\n"),
        "broken": "prepe: sweep broken: none of its trials is complete, so there is nothing to publish\n",
    }
    for sweep, message in said.items():
        got = prepe_cli("publish", "pair", sweep, "--to", tmp_path / "out", "--results", root)
        assert got == Said(2, "", message)
    assert not (tmp_path / "out").exists()
    got = prepe_cli("publish", "pair", "--to", root, "--results", f"{root}/../results")
    assert got == Said(2, "", f"prepe: {root}: it is the store itself; allowed: another folder\n")
    got = prepe_cli("publish", "pair", "--to", made / "pair.toml", "--results", root)
    assert got.code == 2
    assert got.err.startswith(f"prepe: {made}/pair.toml")


def test_publish_prints_what_its_python_form_returns(made: Path, tmp_path: Path, prepe_cli: Cli) -> None:
    said = prepe_cli("publish", "pair", "single", "--to", tmp_path, "--results", made / "results")
    assert (said.code, said.err) == (0, "")
    pair, single = (line.split() for line in said.out.splitlines()[2:])
    assert pair[:4] == ["pair", "2", str(MEMBERS), "11"]
    assert single[:4] == ["single", "1", "4", "8"]


def test_a_published_store_is_read_by_every_verb(tiny_store: TinyStore, tmp_path: Path, prepe_cli: Cli) -> None:
    prepe.publish("tiny", tmp_path, tiny_store.root)
    assert not {"history", "snapshots", "checkpoints", "optuna"} & {path.name for path in tmp_path.iterdir()}
    trial = tiny_store.trials[0]
    assert repr(prepe.show(trial, tmp_path)) == repr(prepe.show(trial, tiny_store.root))
    assert prepe.top("tiny", results=tmp_path) == prepe.top("tiny", results=tiny_store.root)
    assert prepe.ls(tmp_path) == prepe.ls(tiny_store.root)
    ours, theirs = (prepe.load(trial, 1, root).module.flat for root in (tmp_path, tiny_store.root))
    assert ours.equal(theirs)
    assert prepe.reproduce(trial, tmp_path, member=1, figure=False).agrees
    assert prepe.run(tiny_store.file, results=tmp_path, executor="serial").made == 0


def test_a_published_file_is_of_the_declared_schema(published: Path) -> None:
    for path in published.glob("*/*.parquet"):
        assert pq.read_schema(path).metadata[b"prepe_table"].decode() == path.parent.name


def test_figures_are_chosen_by_a_pattern(made: Path, tmp_path: Path) -> None:
    (none,) = prepe.publish(["pair"], tmp_path, made / "results", figures="")
    assert not [name for name in none.files if name.startswith("figures/")]
    (some,) = prepe.publish(["pair"], tmp_path, made / "results", figures="*.png")
    assert {name for name in some.files if name.startswith("figures/")} == {"figures/pair-dark.png", "figures/pair.png"}


def test_a_pattern_that_fits_no_figure_of_a_sweep_is_an_error_and_nothing_is_written(
    made: Path, tmp_path: Path, prepe_cli: Cli
) -> None:
    said = prepe_cli(
        "publish", "pair", "single", "--to", tmp_path / "out", "--figures", "*-dark*", "--results", made / "results"
    )
    assert said.code == 2
    assert "--figures '*-dark*': no figure of single fits; allowed: single.png; see: prepe draw single" in said.err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_what_was_measured_again_in_a_published_store_is_published_from_it_once(
    tiny_store: TinyStore, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    prepe.publish("tiny", first, tiny_store.root, figures="")
    for path in first.glob("*/*.parquet"):  # the rows of before can be told from those of after
        if path.parent.name == "effects":
            rows = pq.read_table(path)
            at = rows.column_names.index("score_ccc")
            store.write(first, "effects", "tiny.all", rows.set_column(at, "score_ccc", pa.array([-9.0] * len(rows))))
    done = prepe.rescore(tiny_store.file, results=first, again=True)
    assert sorted(done.made) == sorted(tiny_store.trials)
    prepe.publish("tiny", second, first, figures="")
    for root in (first, second):
        for view in ("effects", "members", "stages", "items", "models"):
            assert repr(rows_of(root, view)) == repr(rows_of(tiny_store.root, view)), (root.name, view)
    assert len(store.read(second, "effects")) == len(store.read(tiny_store.root, "effects"))
    assert len(store.read(second, "items")) == len(store.read(tiny_store.root, "items"))
    assert prepe.run(tiny_store.file, results=first, executor="serial").made == 0


def rows_of(root: Path, view: str) -> list[dict[str, object]]:
    return rows(root, view, "tiny")


def test_a_trial_that_two_sweeps_published_is_published_once_by_each(tmp_path: Path) -> None:
    root, out, again = tmp_path / "results", tmp_path / "out", tmp_path / "again"
    for name in ("one", "two"):
        write_trial(root, write_file(tmp_path, name, members=4), "good", members=4)
    prepe.publish(["one", "two"], out, root)
    prepe.publish("one", again, out)
    for table in ("trials", "members", "effects", "items", "stages", "models"):
        assert len(store.read(again, table)) == len(store.read(root, table)), table


@pytest.mark.slow
def test_a_published_sweep_without_history_can_be_drawn(tiny_store: TinyStore, tmp_path: Path, prepe_cli: Cli) -> None:
    prepe.publish("tiny", tmp_path / "out", tiny_store.root, figures="")
    items = tmp_path / "out" / "items" / "tiny.all.parquet"
    rows = store.read(tmp_path / "out", "items", pc.field("set") == "named")
    assert len(rows) < pq.read_table(items).num_rows
    store.write(tmp_path / "out", "items", "tiny.all", rows)  # as where all of them are too many to publish
    said = prepe_cli("draw", "tiny", "--results", tmp_path / "out", "--out", tmp_path / "figures")
    assert (said.code, said.err) == (0, "")
    assert all(Path(line).is_file() for line in said.out.splitlines())


def test_a_published_trial_is_drawn_with_its_interventions_in_the_order_of_the_file(
    tiny_store: TinyStore, tmp_path: Path
) -> None:
    prepe.publish("tiny", tmp_path, tiny_store.root, figures="")
    orders = [
        prepe.query(f"SELECT intervention FROM _effects WHERE trial = '{tiny_store.trials[0]}' AND seed = 0", root)
        for root in (tiny_store.root, tmp_path)
    ]
    assert orders[0].to_pylist() == orders[1].to_pylist() == [{"intervention": each} for each in ("suppress", "ablate")]
