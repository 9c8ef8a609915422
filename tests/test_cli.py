"""The command line: every verb, run for real on a tiny store."""

import csv
import io
import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import typer
from command import Said, contents, started, subprocess_cli, terminal_cli
from conftest import TinyStore

import prepe
from prepe import catalog, cli, store
from prepe.cli.printing import plain

Cli = Callable[..., Said]
SweepFile = Callable[..., Path]
VERBS: dict[str, Any] = typer.main.get_command(cli.application()).commands  # type: ignore[attr-defined]
ESCAPE = "\x1b"
UNASKED = {name for name in catalog.EFFECT_METRICS if name.startswith(("leak_", "dir_"))}
"""Metrics of effects that the tiny sweep does not ask for."""
SCORE = "ablate.score_ccc.median"
ABLATE = 'operator = "ablate"\nconcept = "red"\npower = 3'


def tables(root: Path) -> dict[str, tuple[int, str]]:
    return contents(root, "*.parquet")


def proposals(root: Path, sweep: str) -> list[dict[str, Any]]:
    rows = prepe.query(f"SELECT * FROM proposals WHERE sweep = '{sweep}' ORDER BY number", root).to_pylist()
    return [{**row, "objectives": dict(row["objectives"])} for row in rows]


# --- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_documents_itself_all_its_options_and_an_example_where_it_has_arguments(
    verb: str, prepe_cli: Cli
) -> None:
    command = VERBS[verb]
    assert all(parameter.help for parameter in command.params), verb
    without_store = ("new", "schedule", "schema", "cluster")
    assert verb in without_store or "results" in {parameter.name for parameter in command.params}
    said = prepe_cli(verb, "--help")
    assert said.code == 0
    shown = " ".join(said.out.split())
    assert " ".join(command.help.split("\n")[0].split())[:40] in shown
    if any(parameter.param_type_name == "argument" for parameter in command.params):
        assert f"prepe {verb} " in shown[shown.index("Example") :]


def test_every_verb_is_one_call_from_python() -> None:
    assert set(VERBS) <= set(prepe.__all__)
    for verb in VERBS:
        assert getattr(prepe, verb).__doc__


def test_the_version_is_said(prepe_cli: Cli) -> None:
    assert prepe_cli("--version") == Said(0, f"{prepe.__version__}\n", "")


def test_without_a_verb_the_verbs_are_listed(prepe_cli: Cli) -> None:
    shown = "".join((said := prepe_cli()).out + said.err)
    assert all(verb in shown for verb in VERBS)


# --- ls, top and show -------------------------------------------------------------------------------------------------


def test_ls_prints_what_its_python_form_returns(prepe_cli: Cli, tiny_store: TinyStore) -> None:
    (row,) = prepe.ls(tiny_store.root)
    said = prepe_cli("ls", "--results", tiny_store.root)
    assert (said.code, said.err) == (0, "")
    assert (row["sweep"], row["complete"], row["failed"], row["members"]) == ("tiny", 3, 0, 3)
    keys = ("sweep", "complete", "feasible", "failed", "other versions", "members", "best trial")
    assert re.split(r"  +", said.out.splitlines()[-1].strip())[: len(keys)] == [str(row[key]) for key in keys]


def test_top_prints_what_its_python_form_returns_in_the_same_order(prepe_cli: Cli, tiny_store: TinyStore) -> None:
    rows = prepe.top("tiny", results=tiny_store.root)
    said = prepe_cli("top", "tiny", "--results", tiny_store.root)
    title, _, *lines = said.out.splitlines()[:5]
    assert title == "best of tiny"
    assert [line.split()[0] for line in lines] == [row["trial"] for row in rows]
    assert [line.split()[3] for line in lines] == [f"{row['objectives'][SCORE]:.4g}" for row in rows]
    assert f"{rows[0]['params']['lr']:.4g}" in said.out
    assert said == prepe_cli("top", tiny_store.file, "--results", tiny_store.root)


def test_top_shows_as_many_as_are_asked_for(prepe_cli: Cli, tiny_store: TinyStore) -> None:
    assert len(prepe.top("tiny", 2, tiny_store.root)) == 2
    best, second, third = (row["trial"] for row in prepe.top("tiny", results=tiny_store.root))
    said = prepe_cli("top", "tiny", "-n", 2, "--results", tiny_store.root)
    assert best in said.out
    assert second in said.out
    assert third not in said.out


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_top_orders_by_the_first_objective_whichever_way_it_is_pushed(
    goal: str, sweep_file: SweepFile, own_store: TinyStore
) -> None:
    prepe.run(sweep_file("other", ('"maximize"', f'"{goal}"')), results=own_store.root, executor="serial")
    scores = [row["objectives"][SCORE] for row in prepe.top("other", results=own_store.root)]
    assert scores == sorted(scores, reverse=goal == "maximize")
    assert len(set(scores)) == 3


def test_top_puts_feasible_trials_first(sweep_file: SweepFile, own_store: TinyStore) -> None:
    best, second, third = prepe.top("tiny", results=own_store.root)
    between = (best["objectives"][SCORE] + second["objectives"][SCORE]) / 2
    constraint = (
        'metric = "isolation_fail"\nstatistic = "rate"\nat_most = 0.5',
        f'intervention = "ablate"\nmetric = "score_ccc"\nat_most = {between!r}',
    )
    prepe.run(sweep_file("judged", constraint), results=own_store.root, executor="serial")
    rows = prepe.top("judged", results=own_store.root)
    assert [row["trial"] for row in rows] == [second["trial"], third["trial"], best["trial"]]
    assert [row["feasible"] for row in rows] == [True, True, False]


def test_show_prints_every_metric_that_its_python_form_returns(prepe_cli: Cli, tiny_store: TinyStore) -> None:
    facts = prepe.show(tiny_store.trials[0], tiny_store.root)
    said = prepe_cli("show", tiny_store.trials[0][:6], "--results", tiny_store.root)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"trial {facts['trial']}, model {facts['model']}, 3 members\n")
    printed = [line.split()[:2] for line in said.out.splitlines()]
    for row in facts["summaries"]:
        assert [row["metric"], plain(row["median"])] in printed
    assert {row["intervention"] for row in facts["summaries"]} == {None, "suppress", "ablate"}
    ablated = {row["metric"] for row in facts["summaries"] if row["intervention"] == "ablate"}
    assert ablated == set(catalog.EFFECT_METRICS) - UNASKED
    assert facts["spec"]["training"]["model"]["kind"] == "autoencoder"


@pytest.mark.parametrize("verb", [("top", "tiny"), ("ls",), ("query", "FROM trials"), ("query", "FROM effects")])
def test_what_is_piped_is_plain_and_neither_folded_nor_cut(
    verb: tuple[str, ...], prepe_cli: Cli, tiny_store: TinyStore
) -> None:
    said = prepe_cli(*verb, "--results", tiny_store.root)
    assert ESCAPE not in said.out
    assert "…" not in said.out
    if verb[0] == "query":
        rows = prepe.query(verb[1], tiny_store.root)
        assert len(said.out.splitlines()) == 2 + len(rows)
        assert re.split(r"  +", said.out.splitlines()[1].strip()) == rows.column_names


def test_a_narrow_terminal_shows_trials_in_one_piece(tiny_store: TinyStore) -> None:
    said = terminal_cli("top", "tiny", "--results", tiny_store.root, columns=60)
    assert said.code == 0
    assert ESCAPE in said.out
    for trial in tiny_store.trials:
        assert trial in said.out
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said.out)
    assert max(map(len, plain.splitlines())) <= 60


# --- query ------------------------------------------------------------------------------------------------------------

SQL = """
    SELECT sweep, trial, member, intervention, score_ccc, axis_purity > 0.5 AS impure, NULL AS nothing
    FROM effects ORDER BY ALL
"""


def test_query_gives_the_same_rows_in_every_form(prepe_cli: Cli, tiny_store: TinyStore, tmp_path: Path) -> None:
    expected = prepe.query(SQL, tiny_store.root)
    rows = expected.to_pylist()
    assert len(rows) == 3 * 3 * 2

    as_json = prepe_cli("query", SQL, "--json", "--results", tiny_store.root)
    assert json.loads(as_json.out) == rows

    as_csv = prepe_cli("query", SQL, "--csv", "--results", tiny_store.root)
    read = list(csv.DictReader(io.StringIO(as_csv.out)))
    assert [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows] == read

    file = tmp_path / "effects.parquet"
    said = prepe_cli("query", SQL, "--parquet", file, "--results", tiny_store.root)
    assert said.out == f"{len(rows)} rows in {file}\n"
    assert pq.read_table(file).equals(expected)

    table = prepe_cli("query", SQL, "--results", tiny_store.root)
    assert table.out.splitlines()[0] == f"{len(rows)} rows"
    assert [line.split()[1] for line in table.out.splitlines()[2:]] == [row["trial"] for row in rows]


def test_json_has_numbers_dictionaries_and_null_but_nothing_that_json_has_not(
    prepe_cli: Cli, tiny_store: TinyStore
) -> None:
    sql = "SELECT sum(seed) AS whole, 1.5 AS part, 'nan'::DOUBLE AS nan, MAP {'a': 1} AS map, [1] AS list FROM members"
    said = prepe_cli("query", sql, "--json", "--results", tiny_store.root)
    strict = json.loads(said.out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert strict == [{"whole": 9, "part": 1.5, "nan": None, "map": {"a": 1}, "list": [1]}]


def test_a_column_that_stands_twice_is_printed_twice(prepe_cli: Cli, tiny_store: TinyStore) -> None:
    sql = "SELECT member, member, member + 1 AS member FROM members ORDER BY ALL LIMIT 1"
    assert prepe_cli("query", sql, "--csv", "--results", tiny_store.root).out == "member,member_1,member_2\n0,0,1\n"


def test_text_in_a_table_is_printed_as_it_is(prepe_cli: Cli, tiny_store: TinyStore) -> None:
    said = prepe_cli("query", "SELECT '[/b] :red_circle: [bold]x' AS \"[red]y\"", "--results", tiny_store.root)
    assert said.code == 0
    assert "[/b] :red_circle: [bold]x" in said.out
    assert "[red]y" in said.out


def test_only_one_form_can_be_asked_for(prepe_cli: Cli, tiny_store: TinyStore, tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    for forms in (("--csv", "--json"), ("--csv", "--parquet", file), ("--json", "--parquet", file)):
        said = prepe_cli("query", "FROM trials", *forms, "--results", tiny_store.root)
        expected = "prepe: --csv, --json and --parquet: more than one is given; allowed: at most one\n"
        assert said == Said(2, "", expected)
        assert not file.exists()


def test_the_store_is_named_by_an_option_or_a_variable_or_is_in_the_working_folder(
    prepe_cli: Cli, tiny_store: TinyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = prepe_cli("ls", "--results", tiny_store.root)
    monkeypatch.chdir(tiny_store.root.parent)
    assert prepe_cli("ls") == expected
    assert prepe.ls() == prepe.ls(tiny_store.root)
    monkeypatch.chdir(tmp_path)
    assert prepe_cli("ls").code == 2
    monkeypatch.setenv("PREPE_RESULTS", str(tiny_store.root))
    assert prepe_cli("ls") == expected
    assert prepe.ls() == prepe.ls(tiny_store.root)
    assert prepe_cli("ls", "--results", tmp_path).code == 2


# --- run --------------------------------------------------------------------------------------------------------------


def test_run_says_what_it_does_then_the_best_trials_a_figure_and_the_next_commands(
    prepe_cli: Cli, tiny_store: TinyStore, tmp_path: Path
) -> None:
    root = tmp_path / "results"
    said = prepe_cli("run", tiny_store.file, "--executor", "serial", "--results", root)
    assert (said.code, said.err) == (0, "")
    assert ESCAPE not in said.out
    lines = said.out.splitlines()
    assert lines[:2] == ["tiny: Does a tiny sweep run?", f"3 trials of 3 members, results in {root}"]
    for done, line in enumerate(lines[2:5], 1):
        assert re.match(
            rf"\[{done}/3\] [0-9a-f]{{16}} {SCORE} -?\d\.\d{{4}}.* \| .*/min, \d+ s left, 0 failed, best", line
        )
    assert lines[5] == "best of tiny"
    figure = next(line for line in lines if line.startswith("figure: "))
    assert Path(figure.removeprefix("figure: ")).is_file()
    trial = prepe.top("tiny", results=root)[0]["trial"]
    assert lines[lines.index("next:") + 1 :] == [
        f"  prepe show {trial} --results {root}",
        f"  prepe reproduce {trial} --results {root}",
        f"  prepe run {tiny_store.file} --trials 6 --members 3 --executor serial --results {root}",
        '  prepe query "SELECT seed, intervention, score_r2, score_ccc, collateral_p95 FROM effects '
        f"WHERE trial = '{trial}' ORDER BY intervention, score_ccc\" --results {root}",
    ]
    assert [row["trial"] for row in proposals(root, "tiny")] == tiny_store.trials
    assert prepe.query(SQL, root).equals(prepe.query(SQL, tiny_store.root))


def test_run_twice_finds_nothing_to_do_and_trains_nothing(prepe_cli: Cli, own_store: TinyStore) -> None:
    before = tables(own_store.root)
    said = prepe_cli("run", own_store.file, "--executor", "serial", "--results", own_store.root)
    assert said.code == 0
    assert "nothing to do: all of it was stored before" in said.out
    assert tables(own_store.root) == before
    assert prepe.run(own_store.file, results=own_store.root, executor="serial").made == 0


@pytest.mark.slow
def test_a_sweep_whose_name_begins_like_another_is_not_taken_for_it(
    prepe_cli: Cli, sweep_file: SweepFile, own_store: TinyStore
) -> None:
    file = sweep_file("tiny-2")
    assert prepe.run(file, results=own_store.root, executor="serial").made == 3
    said = prepe_cli("run", own_store.file, "--trials", 4, "--executor", "serial", "--results", own_store.root)
    assert "[4/4]" in said.out
    assert "nothing to do" not in said.out


def test_more_trials_are_added_to_those_that_are_there(own_store: TinyStore) -> None:
    before = tables(own_store.root)
    queue = prepe.run(own_store.file, trials=5, results=own_store.root, executor="serial")
    assert queue.made == 2
    rows = proposals(own_store.root, "tiny")
    assert [row["trial"] for row in rows][:3] == own_store.trials
    assert len({row["trial"] for row in rows}) == 5
    assert [row["generation"] for row in rows] == [0, 1, 2, 3, 4]
    assert before.items() <= tables(own_store.root).items()


def test_more_members_are_blocks_beside_those_that_are_there(own_store: TinyStore) -> None:
    before = tables(own_store.root)
    queue = prepe.run(own_store.file, members=5, results=own_store.root, executor="serial")
    assert queue.made == 3
    after = tables(own_store.root)
    rewritten = {name for name in before if after[name] != before[name]}
    assert {Path(name).parent.name for name in rewritten} == {"proposals"}
    new = {Path(name).stem.rsplit("-", 2)[1:] == ["3", "4"] for name in after.keys() - before.keys()}
    assert new == {True}
    assert [row["members"] for row in proposals(own_store.root, "tiny")] == [5, 5, 5]
    counts = prepe.query("SELECT trial, count(*) AS n FROM members GROUP BY trial", own_store.root)
    assert counts["n"].to_pylist() == [5, 5, 5]


@pytest.mark.slow
def test_members_made_later_are_the_same_as_if_made_at_once(own_store: TinyStore, tmp_path: Path) -> None:
    prepe.run(own_store.file, members=4, results=own_store.root, executor="serial")
    prepe.run(own_store.file, members=4, results=tmp_path / "at-once", executor="serial")
    sql = "SELECT * EXCLUDE (block) FROM effects ORDER BY trial, member, intervention"
    later, at_once = prepe.query(sql, own_store.root), prepe.query(sql, tmp_path / "at-once")
    assert len(later) == 3 * 4 * 2
    assert later.equals(at_once)


@pytest.mark.parametrize("fewer", [{"trials": 1}, {"members": 2}, {"trials": 2, "members": 1}])
def test_fewer_trials_or_members_than_there_are_is_nothing_to_do(fewer: dict[str, int], own_store: TinyStore) -> None:
    before = tables(own_store.root)
    assert prepe.run(own_store.file, results=own_store.root, executor="serial", **fewer).made == 0
    assert tables(own_store.root) == before


def test_two_sweeps_that_share_models_train_them_once(sweep_file: SweepFile, own_store: TinyStore) -> None:
    before = tables(own_store.root)
    file = sweep_file("other", (ABLATE, ABLATE.replace("ablate", "prune")))
    queue = prepe.run(file, results=own_store.root, executor="serial")
    after = tables(own_store.root)
    assert queue.made == 3
    assert {row["trial"] for row in queue.done}.isdisjoint(own_store.trials)
    assert before.items() <= after.items()
    new = {Path(name).parent.name for name in after.keys() - before.keys()}
    assert new == {"trials", "members", "stages", "effects", "items", "proposals"}  # no models, history or snapshots


def test_two_sweeps_that_share_whole_trials_measure_them_once(sweep_file: SweepFile, own_store: TinyStore) -> None:
    before = tables(own_store.root)
    assert prepe.run(sweep_file("other"), results=own_store.root, executor="serial").made == 3
    new = {Path(name).parent.name for name in tables(own_store.root).keys() - before.keys()}
    assert new == {"proposals"}
    assert prepe.top("other", results=own_store.root) == prepe.top("tiny", results=own_store.root)


def test_another_bound_judges_stored_trials_again_without_training(sweep_file: SweepFile, own_store: TinyStore) -> None:
    assert not any(row["feasible"] for row in proposals(own_store.root, "tiny"))
    before = tables(own_store.root)
    file = sweep_file("tiny", ("at_most = 0.5", "at_most = 1.0"))
    assert prepe.run(file, results=own_store.root, executor="serial").made == 3
    after = tables(own_store.root)
    assert {Path(name).parent.name for name in before if after[name] != before[name]} == {"proposals"}
    assert after.keys() == before.keys()
    assert all(row["feasible"] for row in proposals(own_store.root, "tiny"))


@pytest.mark.slow
def test_a_space_without_more_points_is_finished(prepe_cli: Cli, sweep_file: SweepFile, own_store: TinyStore) -> None:
    lr, anchor = "lr = { log = [0.005, 0.1], start = 0.05 }\n", "anchor = { float = [0, 1], start = 0.1 }\n"
    file = sweep_file(
        "small",
        (lr, "lr = { choice = [0.05], start = 0.05 }\n"),
        (anchor, "anchor = { choice = [0.1], start = 0.1 }\n"),
    )
    said = prepe_cli("run", file, "--trials", 9, "--executor", "serial", "--results", own_store.root)
    assert said.code == 0
    assert "the search found no more than 3 distinct configurations" in said.out
    assert sorted(row["params"] for row in proposals(own_store.root, "small")) == [
        f'{{"latent_dim": {width}, "lr": 0.05, "anchor": 0.1}}' for width in (2, 3, 4)
    ]


FAILING = (
    ('kind = "separate"', 'kind = "own:failing"\nparameters = { broken = "$broken" }'),
    ("[search.space]", "[search.space]\nbroken = { choice = [0, 1], start = 0 }"),
)
"""A search in which some trials have a term that raises an error."""


@pytest.mark.slow
def test_a_trial_that_fails_is_a_row_with_its_error_and_the_others_go_on(
    prepe_cli: Cli, sweep_file: SweepFile, tmp_path: Path
) -> None:
    root, file = tmp_path / "results", sweep_file("large", *FAILING)
    run = ("run", file, "--trials", 6, "--executor", "serial", "--allow-imports", "--results", root)
    said = prepe_cli(*run)
    rows = proposals(root, "large")
    failed = [row for row in rows if row["state"] == "failed"]
    assert len(rows) == 6
    assert 0 < len(failed) < 6
    assert {json.loads(row["params"])["broken"] for row in failed} == {1}
    assert {json.loads(row["params"])["broken"] for row in rows if row["state"] == "complete"} == {0}
    assert all("broken on purpose" in row["error"] for row in failed)
    assert said.code == 1
    assert f"{len(failed)} failed" in said.out
    assert said.err.startswith(f"{len(failed)} of 6 trials failed, such as {failed[0]['trial']}: ")
    again = f"prepe run {file} --trials 6 --executor serial --allow-imports --results {root} --retry-failed"
    assert said.err.rstrip().endswith(again)
    assert "Traceback" not in said.err
    assert {row["trial"] for row in prepe.top("large", results=root)}.isdisjoint(row["trial"] for row in failed)

    shown = prepe_cli("show", failed[0]["trial"], "--results", root)
    assert shown.out.startswith(f"trial {failed[0]['trial']}, no members\nin sweep large as number ")
    assert "broken on purpose" in shown.err
    refused = prepe_cli("reproduce", failed[0]["trial"], "--allow-imports", "--results", root)
    assert refused.code == 2
    assert "it failed, so there is nothing to compare with" in refused.err

    before = tables(root)
    assert prepe.run(file, trials=6, results=root, executor="serial", allow_imports=True).made == 0
    assert tables(root) == before

    retried = prepe_cli(*run, "--retry-failed")
    assert retried.code == 1
    assert retried.out.count("failed: ") == len(failed)
    after = tables(root)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {f"proposals/large-{row['trial']}.parquet" for row in failed}


def test_a_damaged_file_stops_the_run_and_costs_no_row_that_is_there(
    prepe_cli: Cli, sweep_file: SweepFile, own_store: TinyStore
) -> None:
    model = prepe.show(own_store.trials[1], own_store.root)["model"]
    damaged = own_store.root / "models" / f"{model}-0-2.parquet"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    file = sweep_file("other", (ABLATE, ABLATE.replace("3", "2")))
    run = ("run", file, "--executor", "serial", "--results", own_store.root)
    refused = prepe_cli(*run)
    assert refused.code == 2
    assert str(damaged) in refused.err
    assert "Traceback" not in refused.err
    assert [row["state"] for row in proposals(own_store.root, "other")] == ["complete"]

    damaged.write_bytes(whole)
    assert prepe.run(file, results=own_store.root, executor="serial").made == 2
    rows = proposals(own_store.root, "other")
    assert [row["state"] for row in rows] == ["complete"] * 3
    assert [row["number"] for row in rows] == [0, 1, 2]


@pytest.mark.slow
def test_ctrl_c_keeps_what_has_ended_and_says_how_to_go_on(tiny_store: TinyStore, tmp_path: Path) -> None:
    root = tmp_path / "results"
    run = ("run", tiny_store.file, "--trials", 500, "--executor", "serial", "--results", root)
    with started(*run, PYTHONUNBUFFERED="1") as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("[2/500]"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    *_, message, command = err.strip().split("\n")
    stored = len(proposals(root, "tiny"))
    assert 2 <= stored < 500
    assert message == f"stopped: {stored} of 500 trials are stored. Go on with:"
    assert command.split() == ["prepe", *map(str, run)]
    assert prepe.run(tiny_store.file, trials=stored + 1, results=root, executor="serial").made == 1


@pytest.mark.slow
def test_a_terminal_shows_live_progress(own_store: TinyStore) -> None:
    run = ("run", own_store.file, "--trials", 5, "--executor", "serial", "--results", own_store.root)
    said = terminal_cli(*run)
    assert said.code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.out)
    assert re.search(r"5/5 \d+\.\d/min, 0 s left, 0 failed, best [0-9a-f]{8} -?\d\.\d{4}", plain)
    assert "[5/5]" not in plain


# --- load and reproduce -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("member", [0, 2])
def test_a_loaded_member_gives_the_stored_outputs_and_the_prescribed_direction(
    member: int, tiny_store: TinyStore
) -> None:
    trial = tiny_store.trials[1]
    loaded = prepe.load(trial[:8], member, tiny_store.root)
    sql = f"FROM colors WHERE trial = '{trial}' AND member = {member} AND intervention = 'ablate'"
    rows = prepe.query(sql, tiny_store.root).to_pylist()
    assert {row["item"] for row in rows} == set(catalog.NAMED_COLORS)
    with torch.no_grad():
        outputs = loaded.module(torch.tensor([row["x"] for row in rows]))
    np.testing.assert_allclose(outputs, [row["y_before"] for row in rows], atol=1e-6)
    width = prepe.show(trial, tiny_store.root)["spec"]["training"]["model"]["latent_dim"]
    assert loaded.direction.tolist() == [1.0] + [0.0] * (width - 1)
    assert list(loaded.directions) == ["red"]


def test_a_loaded_member_can_be_trained_further_and_is_unclamped_then(tiny_store: TinyStore) -> None:
    module = prepe.load(tiny_store.trials[0], 1, tiny_store.root).module.train()
    loss = module(torch.full((1, 3), 9.0)).square().sum()
    loss.backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in module.parameters())
    assert module.forward_sites(torch.rand(5, 3)).sites["bottleneck"].norm(dim=-1).tolist() == pytest.approx([1] * 5)


def test_a_trial_is_reproduced_bit_for_bit_on_the_same_machine(prepe_cli: Cli, own_store: TinyStore) -> None:
    trial = own_store.trials[2]
    before = tables(own_store.root)
    said = prepe_cli("reproduce", trial, "--no-figure", "--results", own_store.root)
    assert (said.code, said.err) == (0, "")
    assert "largest difference 0 (" in said.out
    assert "reproduced bit for bit\n" in said.out
    assert tables(own_store.root) == before
    made = prepe.reproduce(trial, own_store.root, figure=False)
    assert (made.how, made.agrees, made.largest.largest, made.seeds) == ("exact", True, 0.0, [0, 1, 2])
    compared = {(each.intervention, each.metric) for each in made.differences}
    assert compared >= {("ablate", metric) for metric in catalog.EFFECT_METRICS if metric not in UNASKED}
    assert compared >= {(None, metric) for metric in catalog.MEMBER_METRICS} | {(None, "val_anchor")}


@pytest.mark.slow
def test_what_is_reproduced_is_drawn_unless_told_otherwise(prepe_cli: Cli, own_store: TinyStore) -> None:
    said = prepe_cli("reproduce", own_store.trials[2], "--results", own_store.root)
    figure = Path(said.out.splitlines()[-1].removeprefix("figure: "))
    assert figure.is_file()


def test_one_member_is_reproduced_bit_for_bit(prepe_cli: Cli, tiny_store: TinyStore) -> None:
    said = prepe_cli("reproduce", tiny_store.trials[0], "--member", 2, "--no-figure", "--results", tiny_store.root)
    assert said.code == 0
    assert f"trial {tiny_store.trials[0]}, 1 member\n" in said.out
    assert "reproduced bit for bit\n" in said.out


def test_stored_weights_measure_the_same_again(prepe_cli: Cli, tiny_store: TinyStore) -> None:
    options = ("--from-weights", "--no-figure", "--results", tiny_store.root)
    said = prepe_cli("reproduce", tiny_store.trials[0], *options)
    assert said.code == 0
    assert "stored weights measure the same, to 1e-5\n" in said.out
    made = prepe.reproduce(tiny_store.trials[0], tiny_store.root, from_weights=True, member=1, figure=False)
    assert (made.how, made.agrees) == ("tolerance", True)
    assert made.largest.largest <= 1e-5


def test_members_made_in_two_blocks_are_reproduced_together(own_store: TinyStore) -> None:
    prepe.run(own_store.file, members=5, results=own_store.root, executor="serial")
    made = prepe.reproduce(own_store.trials[0], own_store.root, figure=False)
    assert (made.seeds, made.how, made.agrees, made.largest.largest) == ([0, 1, 2, 3, 4], "exact", True, 0.0)


def tampered(root: Path, table: str, trial: str, metric: str, by: float) -> None:
    """Add a little to one metric of one stored row."""
    name = f"{trial}-0-2"
    rows = store.read(root, table, names=name).to_pylist()
    rows[1][metric] += by
    store.write(root, table, name, rows)


@pytest.mark.parametrize(("table", "metric"), [("effects", "score_ccc"), ("members", "recon_mse")])
def test_a_stored_metric_that_was_tampered_with_is_not_reproduced(
    table: str, metric: str, prepe_cli: Cli, own_store: TinyStore
) -> None:
    trial = own_store.trials[0]
    tampered(own_store.root, table, trial, metric, 1e-12)
    said = prepe_cli("reproduce", trial, "--no-figure", "--results", own_store.root)
    assert said.code == 1
    assert "NOT reproduced: it should be equal bit for bit, and is not\n" in said.out
    assert f"{metric})" in said.out
    made = prepe.reproduce(trial, own_store.root, figure=False, from_weights=True)
    assert made.agrees  # a difference of 1e-12 is within the tolerance
    tampered(own_store.root, table, trial, metric, 1e-3)
    said = prepe_cli("reproduce", trial, "--from-weights", "--no-figure", "--results", own_store.root)
    assert said.code == 1
    assert "NOT reproduced: stored weights measure otherwise\n" in said.out


needs_vectors = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="this processor has one capability alone"
)


@pytest.mark.slow
@needs_vectors
def test_on_another_processor_capability_distributions_are_compared(own_store: TinyStore) -> None:
    here = torch.backends.cpu.get_cpu_capability()
    options = ("--no-figure", "--results", own_store.root)
    said = subprocess_cli("reproduce", own_store.trials[0], *options, ATEN_CPU_CAPABILITY="default")
    assert said.err == ""
    assert said.out.splitlines()[-1] == (
        f"made elsewhere (CPU capability {here} there and DEFAULT here), so distributions over members are compared: "
        "the means agree within 3 standard errors"
    )
    assert said.code == 0


@pytest.fixture
def made_elsewhere(own_store: TinyStore) -> TinyStore:
    """A store whose second block of one model says that it was made on another processor."""
    prepe.run(own_store.file, members=5, results=own_store.root, executor="serial")
    name = f"{prepe.show(own_store.trials[0], own_store.root)['model']}-3-4"
    rows = store.read(own_store.root, "models", names=name).to_pylist()
    store.write(own_store.root, "models", name, [{**row, "cpu_capability": "ZVECTOR"} for row in rows])
    return own_store


@pytest.mark.slow
def test_a_block_made_elsewhere_makes_the_comparison_one_of_distributions(made_elsewhere: TinyStore) -> None:
    trial, root = made_elsewhere.trials[0], made_elsewhere.root
    made = prepe.reproduce(trial, root, figure=False)
    assert made.how == "distribution"
    assert made.why.startswith("CPU capability ZVECTOR there and ")
    assert made.agrees
    for seed in range(5):  # a metric that is the same for all members, and now another one
        name = f"{trial}-{'0-2' if seed < 3 else '3-4'}"
        rows = store.read(root, "members", names=name).to_pylist()
        store.write(root, "members", name, [{**row, "label_rate": 0.5} for row in rows])
    assert not prepe.reproduce(trial, root, figure=False).agrees


def test_one_member_made_elsewhere_has_no_distribution(made_elsewhere: TinyStore, prepe_cli: Cli) -> None:
    options = ("--member", 1, "--no-figure", "--results", made_elsewhere.root)
    said = prepe_cli("reproduce", made_elsewhere.trials[0], *options)
    assert said.code == 0
    assert "and one member has no distribution to compare" in said.out


# --- bad input (that of sweep files is in test_sweep.py) --------------------------------------------------------------


def refused(said: Said, *parts: object) -> None:
    """Check that a command ended with one clear message that holds some texts, and nothing else."""
    assert said.code == 2
    assert said.err.startswith("prepe: ")
    assert said.err.count("prepe: ") == 1
    assert "Traceback" not in said.out + said.err
    for part in parts:
        assert str(part) in said.err


@pytest.mark.slow
def test_a_file_that_is_missing_or_broken_is_named_in_one_line(tmp_path: Path) -> None:
    missing, broken = tmp_path / "missing.toml", tmp_path / "broken.toml"
    broken.write_text("question = 'What?'\nmembers = = 3\n")
    for file, message in (
        (missing, "cannot be read: No such file or directory"),
        (broken, "not valid TOML: Invalid value (at line 2, column 11)"),
    ):
        said = subprocess_cli("run", file, PREPE_RESULTS=str(tmp_path / "results"))
        assert said == Said(2, "", f"prepe: {file}: {message}\n")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("sql", "parts"),
    [
        ("SELEC 1", ("Parser Error", "SELEC")),
        ("SELECT colour FROM effects", ("Binder Error", '"colour"')),
        ("SELECT * FROM effect", ("Catalog Error", "effect")),
        ("DELETE FROM effects", ("DELETE is not a query; allowed: one query",)),
        ("SELECT 1; SELECT 2", ("there are 2 statements; allowed: one query",)),
        ("SELECT * FROM read_csv('/etc/hosts')", ("Permission Error",)),
        ("COPY (SELECT 1) TO 'x.csv'", ("COPY is not a query",)),
    ],
)
def test_sql_that_is_broken_or_no_query_is_refused(
    sql: str, parts: tuple[str, ...], prepe_cli: Cli, tiny_store: TinyStore
) -> None:
    before = contents(tiny_store.root)
    said = prepe_cli("query", sql, "--results", tiny_store.root)
    refused(said, "prepe: query: ", *parts)
    assert said.out == ""
    assert contents(tiny_store.root) == before


def test_an_unknown_sweep_is_answered_with_those_that_there_are(prepe_cli: Cli, tiny_store: TinyStore) -> None:
    expected = f"prepe: {tiny_store.root}: unknown sweep 'tinny' (did you mean 'tiny'?); allowed: tiny\n"
    assert prepe_cli("top", "tinny", "--results", tiny_store.root) == Said(2, "", expected)


@pytest.mark.parametrize("verb", ["show", "reproduce"])
def test_an_unknown_trial_is_refused_and_so_is_a_beginning_that_is_short_or_several_trials(
    verb: str, prepe_cli: Cli, own_store: TinyStore
) -> None:
    row = store.read(own_store.root, "proposals").to_pylist()[0]
    for trial in ("abcd000000000000", "abcd111111111111"):
        store.write(own_store.root, "proposals", f"tiny-{trial}", [{**row, "trial": trial}])
    before = contents(own_store.root)
    for name, parts in (
        ("ffff0", ("trial 'ffff0': none of the 5 trials in", own_store.root)),
        ("abc", ("trial 'abc': too short; allowed: at least 4 digits",)),
        ("abcd", ("trial 'abcd': 2 begin so in", "abcd000000000000, abcd111111111111; give more digits")),
    ):
        said = prepe_cli(verb, name, "--results", own_store.root)
        refused(said, *parts)
        assert said.out == ""
    assert contents(own_store.root) == before
    with pytest.raises(prepe.PrepeError, match="2 begin so"):
        prepe.load("abcd", 0, own_store.root)


def test_an_unknown_member_is_refused(prepe_cli: Cli, tiny_store: TinyStore) -> None:
    trial = tiny_store.trials[0]
    said = prepe_cli("reproduce", trial, "--member", 7, "--results", tiny_store.root)
    refused(said, f"--member 7: trial {trial} has no such member; allowed: 0 to 2")
    with pytest.raises(prepe.PrepeError, match="no such member; allowed: 0 to 2"):
        prepe.load(trial, 3, tiny_store.root)


def test_weights_that_are_gone_are_named(prepe_cli: Cli, own_store: TinyStore) -> None:
    shutil.rmtree(own_store.root / "models")
    said = prepe_cli("reproduce", own_store.trials[0], "--from-weights", "--results", own_store.root)
    refused(said, own_store.root, "has no stored weights for seed 0")


@pytest.mark.parametrize(
    ("table", "verb"),
    [
        ("proposals", ("top", "tiny")),
        ("proposals", ("ls",)),
        ("proposals", ("run", "tiny.toml", "--executor", "serial")),
        ("trials", ("show", "TRIAL")),
        ("members", ("show", "TRIAL")),
        ("effects", ("query", "SELECT avg(score_ccc) FROM effects")),
        ("effects", ("reproduce", "TRIAL")),
        ("models", ("reproduce", "TRIAL", "--from-weights")),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_truncated_file_is_named_with_what_to_do_and_nothing_is_lost(
    table: str, verb: tuple[str, ...], prepe_cli: Cli, own_store: TinyStore
) -> None:
    trial = own_store.trials[0]
    name = prepe.show(trial, own_store.root)["model"] if table == "models" else trial
    (damaged,) = (own_store.root / table).glob(f"*{name}*.parquet")
    damaged.write_bytes(damaged.read_bytes()[:-20])
    before = contents(own_store.root)
    words = [{"TRIAL": trial, "tiny.toml": str(own_store.file)}.get(word, word) for word in verb]
    refused(prepe_cli(*words, "--results", own_store.root), damaged, "not a readable Parquet file", "move it away")
    assert contents(own_store.root) == before


@pytest.mark.parametrize("verb", [("ls",), ("top", "tiny"), ("show", "abcd"), ("query", "SELECT 1"), ("run", "FILE")])
def test_a_store_that_is_a_file_or_is_not_there_is_named(
    verb: tuple[str, ...], prepe_cli: Cli, tiny_store: TinyStore, tmp_path: Path
) -> None:
    file = tmp_path / "results"
    file.write_text("not a store")
    words = [str(tiny_store.file) if word == "FILE" else word for word in verb]
    refused(prepe_cli(*words, "--results", file), file)
    assert file.read_text() == "not a store"
    if verb[0] != "run":
        refused(prepe_cli(*words, "--results", tmp_path / "none"), tmp_path / "none", "no store here; make one with")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("executor", ["serial", "ray"])
@pytest.mark.parametrize("device", ["cuda", "tpu"])
def test_a_device_that_is_not_to_be_had_is_refused_before_anything_starts(
    device: str, executor: str, prepe_cli: Cli, tiny_store: TinyStore, tmp_path: Path
) -> None:
    root = tmp_path / "results"
    said = prepe_cli("run", tiny_store.file, "--executor", executor, "--device", device, "--results", root)
    refused(said, f"device: '{device}' is not to be had here; allowed: auto, cpu")
    assert not root.exists()
    refused(prepe_cli("reproduce", tiny_store.trials[0], "--device", device, "--results", tiny_store.root), device)


def test_a_file_that_cannot_be_written_is_named(prepe_cli: Cli, tiny_store: TinyStore, tmp_path: Path) -> None:
    file = tmp_path / "none" / "x.parquet"
    said = prepe_cli("query", "FROM trials", "--parquet", file, "--results", tiny_store.root)
    refused(said, f"--parquet {file}: cannot be written: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fly",), "No such command 'fly'."),
        (("top",), "Missing argument 'SWEEP'."),
        (("top", "tiny", "-n", "0"), "Invalid value for '-n': Input should be greater than or equal to 1"),
        (("run", "x.toml", "--trials", "many"), "Invalid value for '--trials': Input should be a valid integer"),
        (("run", "x.toml", "--executor", "none"), "'none' is not one of 'ray', 'serial'"),
        (("ls", "--fast"), "No such option: --fast"),
    ],
)
def test_words_that_the_command_line_does_not_know_are_refused(
    arguments: tuple[str, ...], message: str, prepe_cli: Cli
) -> None:
    said = prepe_cli(*arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Usage: ")
    assert message in " ".join(said.err.replace("│", " ").split())
