"""A search's winners on fresh seeds: a sweep of its own, the search untouched, and what is left of the lead."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Said, contents
from conftest import TinyStore
from groups import VARIANTS, write_file, write_pair

import prepe
from prepe import report, store
from prepe.confirmation import Confirmed
from prepe.errors import PrepeError

Cli = Callable[..., Said]
SERIAL = {"executor": "serial"}
FEW = ("--top", 2, "--members", 4, "--executor", "serial")
OF_SEARCH = "FROM {view} WHERE sweep = 'tiny' ORDER BY ALL"
VIEWS = ("trials", "members", "effects", "summaries")


@pytest.fixture(scope="module")
def confirmed(tiny_store: TinyStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny search with its two best trials on four fresh seeds, for all tests that only read."""
    root = tmp_path_factory.mktemp("confirmed") / "results"
    shutil.copytree(tiny_store.root, root)
    prepe.confirm("tiny", root, top=2, members=4, **SERIAL)
    return root


def again(root: Path, **options: int) -> Confirmed:
    return prepe.confirm("tiny", root, **{"top": 2, "members": 4, **SERIAL, **options})


@pytest.mark.parametrize("view", VIEWS)
def test_no_row_and_no_summary_of_the_search_changes(view: str, tiny_store: TinyStore, confirmed: Path) -> None:
    before, after = (
        store.query(root, OF_SEARCH.format(view=view)).to_pylist() for root in (tiny_store.root, confirmed)
    )
    assert before
    assert repr(before) == repr(after)


def test_the_winners_are_the_best_of_the_search_and_their_seeds_are_fresh(confirmed: Path) -> None:
    best = [row["trial"] for row in prepe.top("tiny", 2, results=confirmed)]
    own = store.query(confirmed, "SELECT trial, seed FROM members WHERE sweep = 'tiny-confirm' ORDER BY ALL")
    assert sorted(set(own["trial"].to_pylist())) == sorted(best)
    assert sorted(set(own["seed"].to_pylist())) == [3, 4, 5, 6]
    assert {row["trial"] for row in prepe.top("tiny-confirm", results=confirmed)} == set(best)
    assert prepe.top("tiny-confirm", results=confirmed)[0]["params"].keys() == {"latent_dim", "lr", "anchor"}


def test_again_nothing_is_trained_or_written(confirmed: Path) -> None:
    before = contents(confirmed)
    first, second = again(confirmed), again(confirmed, members=3)
    assert (first.made, second.made, contents(confirmed)) == (0, 0, before)
    assert (first.seeds, second.shrunk) == ((3, 6), first.shrunk)


def test_shrinkage_is_the_stored_value_less_that_on_fresh_seeds(confirmed: Path) -> None:
    found = again(confirmed)
    stored = {
        (sweep, row["trial"], name): value
        for sweep in ("tiny", "tiny-confirm")
        for row in prepe.top(sweep, results=confirmed)
        for name, value in row["objectives"].items()
    }
    objectives = [each for each in found.shrunk if ("tiny", each.trial, each.measure) in stored]
    assert len(objectives) == 2 * 2
    for each in objectives:
        search, fresh = (stored[sweep, each.trial, each.measure] for sweep in ("tiny", "tiny-confirm"))
        assert (each.search, each.fresh) == pytest.approx((search, fresh))
        assert each.shrinkage == pytest.approx(search - fresh)
        assert each.low <= each.fresh <= each.high
        assert (each.search_members, each.fresh_members) == (3, 4)
    measures = {each.measure for each in found.shrunk}
    assert {"ablate.score_ccc.worst_decile", "isolation_fail.rate"} <= measures
    assert len(found.between) == len(measures)


@pytest.mark.slow
def test_more_winners_and_more_members_are_added_to_what_is_there(own_store: TinyStore, prepe_cli: Cli) -> None:
    said = prepe_cli("confirm", "tiny", *FEW, "--csv", "--results", own_store.root)
    assert said.out.splitlines()[0].startswith("trial,measure,search")  # progress goes elsewhere
    models = contents(own_store.root / "models")
    found = again(own_store.root, top=3, members=6)
    assert found.made == 3
    assert {name: contents(own_store.root / "models")[name] for name in models} == models
    members = prepe.query("SELECT count(*) AS n FROM members WHERE sweep = 'tiny-confirm'", own_store.root)
    assert members["n"].to_pylist() == [3 * 6]


@pytest.mark.slow
def test_when_the_search_has_come_to_its_seeds_a_confirmation_goes_on_after_them(own_store: TinyStore) -> None:
    again(own_store.root)
    prepe.run(own_store.file, members=5, results=own_store.root, executor="serial")
    found = again(own_store.root)
    assert found.seeds == (5, 8)
    seeds = store.query(own_store.root, "SELECT DISTINCT seed FROM members WHERE sweep = 'tiny-confirm' ORDER BY seed")
    assert seeds["seed"].to_pylist() == [5, 6, 7, 8]


def test_show_knows_a_winner_in_both_sweeps(confirmed: Path) -> None:
    facts = prepe.show(again(confirmed).trials[0], results=confirmed)
    assert {row["sweep"] for row in facts["proposals"]} == {"tiny", "tiny-confirm"}
    assert facts["seeds"] == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"top": 4}, "--top 4: tiny has 3 trials of 3 members; allowed: at most as many"),
        ({"first_seed": 2}, "--first-seed 2: the search has used some of the seeds 2 to 5; allowed: 3 or more"),
    ],
)
def test_what_cannot_be_confirmed_is_refused_in_one_line(confirmed: Path, options: dict[str, int], said: str) -> None:
    with pytest.raises(PrepeError) as refused:
        again(confirmed, **options)
    assert str(refused.value) == said


def test_what_is_no_search_is_refused(confirmed: Path, tmp_path: Path) -> None:
    with pytest.raises(PrepeError, match=r"unknown sweep 'tiny-con'.*did you mean"):
        prepe.confirm("tiny-con", confirmed)
    write_pair(tmp_path / "results", write_file(tmp_path, "pair", VARIANTS))
    with pytest.raises(PrepeError, match="no objective"):
        prepe.confirm("pair", tmp_path / "results")


def test_the_verb_prints_tables_csv_and_json(confirmed: Path, prepe_cli: Cli) -> None:
    given = ("confirm", "tiny", *FEW, "--results", confirmed)
    said = prepe_cli(*given)
    assert (said.code, said.err) == (0, "")
    assert "tiny: 2 winners on seeds 3 to 6, stored as tiny-confirm" in said.out
    assert "nothing to do" in said.out
    assert "between winners are unresolved" in said.out
    rows = list(csv.DictReader(io.StringIO(prepe_cli(*given, "--csv").out)))
    found = again(confirmed)
    assert [float(row["shrinkage"]) for row in rows] == [each.shrinkage for each in found.shrunk]
    told = json.loads(prepe_cli(*given, "--json").out)
    assert (told["seeds"], len(told["between"])) == ([3, 6], len(found.between))
    assert prepe_cli(*given, "--csv", "--json").code == 2


@pytest.mark.slow
def test_figures_of_a_confirmation_are_drawn_as_those_of_a_search(confirmed: Path) -> None:
    assert report.draw_sweep(confirmed, "tiny-confirm").is_file()
