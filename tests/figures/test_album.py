"""Every figure of a stored sweep, a trial, a file and the gallery, by name."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from prepe import report, store
from prepe.errors import PrepeError
from prepe.figures import album, gallery
from prepe.figures.stored import Stored, of_sweep

from . import shelf

SWEEPS = Path(__file__).parents[2] / "sweeps"
SHEETS = Path(__file__).parents[1] / "keyframes" / "sheets"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shelf")
    for name in ("ex-1.2", "ex-1.6", "ex-1.7", "ex-1.8", "reactions"):
        shelf.invent(root, SWEEPS / f"{name}.toml", members=3)
    return root


def stems(root: Path, sweep: str) -> list[str]:
    trials, _ = of_sweep(root, sweep)
    return [page.stem for page in album.details(trials, sweep)]


def test_variants_have_a_page_each_of_latents_phases_and_reconstructions(root: Path) -> None:
    shared = ["schedule", "losses", "data"]
    own = [f"{what}-{name}" for name in ("smooth", "stepped") for what in ("latents", "phases", "reconstructions")]
    assert stems(root, "ex-1.6") == shared + own


def test_a_sweep_with_rules_has_a_page_on_them_and_one_with_switches_a_table_of_combinations(root: Path) -> None:
    assert "reactions" in stems(root, "reactions")
    assert "reactions" not in stems(root, "ex-1.6")
    assert "combinations" in stems(root, "ex-1.8")
    assert "combinations" not in stems(root, "reactions")


def test_colours_that_are_no_whole_lattice_have_no_page_of_reconstructions(root: Path) -> None:
    assert not [stem for stem in stems(root, "ex-1.2") if stem.startswith("reconstructions")]


def test_equal_schedules_are_drawn_once(root: Path) -> None:
    page = next(page for page in album.details(of_sweep(root, "ex-1.2")[0], "ex-1.2") if page.stem == "schedule")
    figure = page.draw()
    figure.draw_without_rendering()
    assert [axes.get_ylabel() for axes in figure.axes] == ["lr"]


def test_members_of_a_grid_are_told_apart_by_each_parameter(root: Path) -> None:
    trials, _ = of_sweep(root, "ex-1.8")
    groups = album.by_parameter(trials)
    assert list(groups) == ["polar", "separate", "planar", "norm_v", "norm"]
    assert all(len(members) == 16 * 3 for section in groups.values() for members in section.values())


@pytest.mark.parametrize("sweep", ["ex-1.2", "ex-1.8"])
def test_the_first_page_counts_trials_and_members(root: Path, sweep: str) -> None:
    trials, _ = of_sweep(root, sweep)
    page = album.overview(trials, sweep)
    page.draw().draw_without_rendering()
    assert album.counts(trials) in page.alt_text
    assert "none broke" in page.alt_text


def test_what_broke_is_counted(tmp_path: Path) -> None:
    shelf.invent(tmp_path, SWEEPS / "ex-1.7.toml", members=4, broken=(1, 2))
    assert album.counts(of_sweep(tmp_path, "ex-1.7")[0]) == "4 members; 2 broke."


def test_reconstructions_stand_in_their_own_cells(root: Path) -> None:
    trial = of_sweep(root, "ex-1.7")[0][0]
    page = next(page for page in album.details([trial], "ex-1.7") if page.stem == "reconstructions")
    outer, inner = page.draw().axes[2].collections
    assert np.allclose(inner.get_facecolors()[:, :3], 0.9 * outer.get_facecolors()[:, :3] + 0.05, atol=1e-6)


def test_only_a_sweeps_own_seeds_count_each_once(root: Path) -> None:
    name = of_sweep(root, "ex-1.7")[0][0].name
    assert Stored(root, name, {}, range(2)).members["seed"].to_pylist() == [0, 1]
    assert Stored(root, name, {}).members["seed"].to_pylist() == [0, 1, 2]


def test_history_is_that_of_the_largest_block(tmp_path: Path) -> None:
    (name,) = shelf.invent(tmp_path, SWEEPS / "ex-1.7.toml", members=3)
    trial = Stored(tmp_path, name, {})
    block = [row | {"block": "3-9", "members": 7} for row in store.read(tmp_path, "history").slice(0, 50).to_pylist()]
    store.write(tmp_path, "history", f"{trial.spec.training.digest()}-3-9", block)
    assert set(trial.history["block"].to_pylist()) == {"3-9"}


def test_rows_without_history_and_snapshots_are_drawn_as_far_as_they_go(tmp_path: Path) -> None:
    shelf.invent(tmp_path, SWEEPS / "reactions.toml", members=3)
    for table in ("history", "snapshots"):
        shutil.rmtree(tmp_path / table)
    assert stems(tmp_path, "reactions") == ["schedule", "data"]
    page = album.overview(of_sweep(tmp_path, "reactions")[0], "reactions")
    page.draw().draw_without_rendering()
    assert "recon_mse" in page.alt_text


# --- by name ----------------------------------------------------------------------------------------------------------


def test_a_trial_is_drawn_whole_under_its_own_name_with_both_looks_and_text(root: Path, tmp_path: Path) -> None:
    name = of_sweep(root, "ex-1.2")[0][0].name
    paths = report.draw(name[:10], root, tmp_path)
    names = [name, *(f"{name}-{what}" for what in ("schedule", "losses", "data", "latents"))]
    assert paths == [tmp_path / f"{each}.png" for each in names]
    endings = (".png", "-dark.png", ".txt")
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(f"{n}{end}" for n in names for end in endings)


@pytest.mark.parametrize(("sweep", "count"), [("ex-1.6", 10), ("ex-1.7", 6), ("ex-1.8", 7), ("reactions", 13)])
def test_a_sweep_has_its_first_page_and_all_others(sweep: str, count: int, root: Path) -> None:
    stem, found = report.pages(sweep, root)
    stems = [page.stem for page in found]
    assert (stem, stems[:2], len(stems)) == (sweep, ["", "schedule"], count)


def test_figures_go_to_the_store_when_nobody_says(tmp_path: Path) -> None:
    assert report.draw("ex-1.1.1", tmp_path) == [tmp_path / "figures" / "ex-1.1.1.png"]


@pytest.mark.parametrize(
    ("file", "updates"), [(SWEEPS / "ex-1.6.toml", "smooth: 10001 updates"), (SHEETS / "worked.csv", "13 updates")]
)
def test_of_a_file_its_schedule_is_drawn(file: Path, updates: str, tmp_path: Path) -> None:
    (path,) = report.draw(str(file), tmp_path / "no store", tmp_path)
    assert path == tmp_path / f"{file.stem}-schedule.png"
    assert updates in path.with_suffix(".txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("sweep", ["ex-1.2", "ex-1.7"])
def test_a_run_draws_the_first_page_under_the_name_of_the_sweep(root: Path, sweep: str) -> None:
    assert report.draw_sweep(root, sweep) == root / "figures" / f"{sweep}.png"


def test_an_unknown_name_is_answered_with_those_that_exist(root: Path, tmp_path: Path) -> None:
    with pytest.raises(PrepeError, match=r"'ex-1.9'.*ex-1\.2.*ex-1\.1\.1.*or a trial, or a file"):
        report.draw("ex-1.9", root, tmp_path)
    with pytest.raises(PrepeError, match="none of the"):
        report.draw("0000", root, tmp_path)
    with pytest.raises(PrepeError, match="no store here"):
        report.draw("ex-1.7", tmp_path / "nothing", tmp_path)


@pytest.mark.parametrize(("name", "count"), [("ex-1.1", 10), ("ex-1.1.1", 1), ("ex-1.4", 1)])
def test_the_gallery_needs_no_store(name: str, count: int) -> None:
    pages = list(gallery.GALLERY[name]())
    assert len({page.stem for page in pages}) == count == len(pages)
    for page in pages[-2:]:
        figure = page.draw()
        assert isinstance(figure, Figure)
        figure.draw_without_rendering()


def test_every_hue_is_held_out_with_its_two_neighbours() -> None:
    pages = {page.stem: page for page in gallery.GALLERY["ex-1.1"]()}
    for name in ("red", "yellow", "green", "cyan", "blue", "magenta"):
        assert "225 cells" in pages[f"without-{name}"].alt_text  # 9 hues of 12, 5 saturations, 5 values
    assert "Panels: orange, yellow" not in pages["without-cyan-by-hue"].alt_text
    assert (
        "Panels: red, orange, yellow, lime, green, blue, purple, magenta, pink."
        in pages["without-cyan-by-hue"].alt_text
    )
