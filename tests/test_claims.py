"""Claims: each kind holds on rows that were made so, and fails on the same rows shuffled; what else may come of one."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Said, terminal_cli
from groups import MEMBERS, TIME, VARIANTS, write_file, write_pair, write_trial

import prepe
from prepe import store, sweep
from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS, STAGE_METRICS, STATISTICS
from prepe.claims import Checked
from prepe.errors import PrepeError
from prepe.members import interval

Cli = Callable[..., Said]
PAIRED = """SELECT a.seed, {value} AS value FROM {table} a JOIN {table} b USING (sweep, seed)
WHERE sweep = 'pair' AND a.variant = 'good' AND b.variant = 'bad'"""
OWN = "FROM members WHERE sweep = 'single'"
ASKED: dict[str, Any] = {"metric": "recon_mse", "at_most": 0.2}
OF_PAIR = ASKED | {"variant": "good"}
NEAR, FAR = {"at_most": 0.2}, {"equals": -0.8, "tolerance": 0.15}

HOLDING: dict[str, tuple[str, dict[str, Any]]] = {  # by kind: the sweep, and the claim
    "metric, at most": ("single", {"metric": "recon_mse", "statistic": "max", **NEAR}),
    "metric, at least": ("single", {"metric": "anchor_cos", "statistic": "q75", "at_least": 0.05, **NEAR}),
    "metric, within": ("single", {"metric": "norm_deviation", "statistic": "mean", "at_least": 0, **NEAR}),
    "metric, equals": ("single", {"metric": "loss_final", "statistic": "mean", "equals": 0.1, "tolerance": 0.05}),
    "metric of a variant": ("pair", {"metric": "recon_mse", "variant": "good", "statistic": "max", **NEAR}),
    "metric of another": ("pair", {"metric": "recon_mse", "variant": "bad", "statistic": "min", "at_least": 0.8}),
    "metric of an effect": ("single", {"metric": "collateral", "intervention": "ablate", "statistic": "mean", **NEAR}),
    "metric of a variant's effect": (
        "pair",
        {"metric": "damage", "intervention": "ablate", "variant": "bad", "statistic": "worst_decile", "at_least": 0.8},
    ),
    "spread": ("single", {"metric": "task_cost", "statistic": "sd", "at_most": 0.1}),
    "sql": ("single", {"sql": f"SELECT seed, bunching AS value {OWN}", "statistic": "mean", **NEAR}),
    "sql of flags": (
        "single",
        {"sql": f"SELECT seed, ring_order < 0.2 AS value {OWN}", "statistic": "rate", "at_least": 0.9},
    ),
    "sql of a map": (
        "single",
        {"sql": f"SELECT seed, final_parts['reg-anchor'] AS value {OWN}", "statistic": "max", **NEAR},
    ),
    "sql of a map by step": (
        "pair",
        {
            "sql": "SELECT seed, phase_spikes['5000'] AS value FROM members WHERE sweep = 'pair' AND variant = 'good'",
            "statistic": "q75",
            **NEAR,
        },
    ),
    "sql of stages": (
        "single",
        {
            "sql": "SELECT seed, max(off_plane) AS value FROM stages WHERE sweep = 'single' GROUP BY seed",
            "statistic": "worst_decile",
            **NEAR,
        },
    ),
    "sql of parameters": (
        "pair",
        {
            "sql": """SELECT seed, max(recon_mse) AS value FROM members JOIN trials USING (sweep, trial)
            WHERE sweep = 'pair' AND params.variant = 'good' GROUP BY seed""",
            "statistic": "median",
            "at_least": 0,
            **NEAR,
        },
    ),
    "sql, paired": (
        "pair",
        {"sql": PAIRED.format(value="a.recon_mse - b.recon_mse", table="members"), "statistic": "max", "at_most": -0.5},
    ),
    "sql, paired, equals": (
        "pair",
        {"sql": PAIRED.format(value="a.recon_mse - b.recon_mse", table="members"), "statistic": "mean", **FAR},
    ),
    "sql, paired effects": (
        "pair",
        {"sql": PAIRED.format(value="a.damage / b.damage", table="effects"), "statistic": "worst_decile", **NEAR},
    ),
    "sql, paired stages": (
        "pair",
        {
            "sql": PAIRED.format(value="a.off_plane - b.off_plane", table="stages").replace("seed)", "seed, step)")
            + " AND step = 20",
            "statistic": "max",
            **FAR,
        },
    ),
}


def toml(claim: dict[str, Any]) -> str:
    says = {"says": "It is so", **claim}
    return "\n[[claims]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in says.items())


def one(folder: Path, claim: dict[str, Any], **options: Any) -> Path:
    """Write a sweep file with one claim, which does not make it another version of the file."""
    return write_file(folder, "single", toml(claim), **options)


def result(folder: Path, claim: dict[str, Any], root: Path) -> Checked:
    """Return what comes of a claim on a store."""
    (row,) = prepe.check(one(folder, claim), root)
    return row


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a good trial of the sweep `single`, for all tests that only read."""
    folder = tmp_path_factory.mktemp("good")
    write_trial(folder / "results", one(folder, ASKED), "good")
    return folder / "results"


def shuffled(root: Path, out: Path) -> None:
    """Copy a store with every metric's values permuted over all its rows."""
    rng = np.random.default_rng(7)
    metrics = {*MEMBER_METRICS, *EFFECT_METRICS, *STAGE_METRICS, "final_parts", "phase_spikes"}
    for table in ("proposals", "trials", "members", "stages", "effects"):
        rows = store.read(root, table).to_pylist()
        for metric in sorted(metrics & set(rows[0])):
            order = rng.permutation(len(rows))
            values = [rows[i][metric] for i in order]
            rows = [{**row, metric: value} for row, value in zip(rows, values, strict=True)]
        store.write(out, table, "all", [{k: dict(v) if k in MAPS and v else v for k, v in row.items()} for row in rows])


MAPS = ("final_parts", "phase_spikes", "val_terms", "objectives", "goals", "constraints")


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Checked]]:
    """What comes of every kind of claim on rows as made, and on the same rows shuffled."""
    folder = tmp_path_factory.mktemp("claims")
    root, mixed = folder / "results", folder / "mixed"
    texts = {
        name: "".join(toml({"says": kind, **claim}) for kind, (of, claim) in HOLDING.items() if of == name)
        for name in ("pair", "single")
    }
    pair = write_file(folder, "pair", VARIANTS + texts["pair"])
    single = write_file(folder, "single", texts["single"], width=9)
    other = write_file(folder, "other", members=2 * MEMBERS, width=10)
    write_pair(root, pair)
    write_trial(root, single, "good")
    write_trial(root, other, "bad", members=2 * MEMBERS)
    shuffled(root, mixed)
    return {
        how: {row.claim.says: row for row in prepe.check([pair, single], where)}
        for how, where in (("made", root), ("shuffled", mixed))
    }


@pytest.mark.parametrize("kind", HOLDING)
def test_a_claim_holds_on_rows_made_so_and_fails_on_the_same_rows_shuffled(
    kind: str, verdicts: dict[str, dict[str, Checked]]
) -> None:
    made, mixed = verdicts["made"][kind], verdicts["shuffled"][kind]
    assert (made.verdict, made.unresolved, made.contradicts) == ("holds", False, False)
    assert (mixed.verdict, mixed.contradicts) == ("fails", True)
    assert made.seeds == mixed.seeds == MEMBERS
    for row in (made, mixed):
        assert row.of_these_seeds or row.low <= row.value <= row.high


# --- the interval -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, of sweeps of 8 and of 128 members that are drawn alike."""
    folder = tmp_path_factory.mktemp("sizes")
    for members in (8, 128):
        claims = "".join(toml({"metric": "recon_mse", "statistic": name, "at_least": 0.0}) for name in STATISTICS)
        file = write_file(folder, f"of-{members}", claims, members=members)
        values = np.random.default_rng(members).uniform(size=members)
        write_trial(folder / "results", file, "good", members=members, changed={"recon_mse": values})
    return folder


def test_the_interval_holds_the_statistic_and_shrinks_with_seeds(sizes: Path) -> None:
    few, many = (prepe.check(sizes / f"of-{members}.toml", sizes / "results") for members in (8, 128))
    for a, b in zip(few, many, strict=True):
        assert (a.seeds, b.seeds) == (8, 128)
        if a.of_these_seeds:
            continue
        for row in (a, b):
            assert row.low <= row.value <= row.high, row.claim.statistic
        assert 0 < b.high - b.low < (a.high - a.low) / 1.5, a.claim.statistic


def test_a_smallest_or_largest_value_is_of_these_seeds_alone_and_has_no_interval(sizes: Path) -> None:
    few, many = (prepe.check(sizes / f"of-{members}.toml", sizes / "results") for members in (8, 128))
    assert {row.claim.statistic for row in few if row.of_these_seeds} == {"min", "max", "worst_decile"}
    assert {row.claim.statistic for row in many if row.of_these_seeds} == {"min", "max"}
    for row in (*few, *many):
        assert np.isnan([row.low, row.high]).all() == row.of_these_seeds
        assert not (row.of_these_seeds and row.unresolved)


def test_check_and_diff_have_the_same_interval_of_the_same_differences(tmp_path: Path) -> None:
    sql = PAIRED.format(value="b.recon_mse - a.recon_mse", table="members")
    claim = {"sql": sql, "statistic": "mean", "at_least": 0}
    file = write_file(tmp_path, "pair", VARIANTS + toml(claim))
    write_pair(tmp_path / "results", file)
    (row,) = prepe.check(file, tmp_path / "results")
    a, b = (store.read(tmp_path / "results", "members", names=f"{name}-*") for name in trials_of(tmp_path / "results"))
    gaps = np.array(b["recon_mse"].to_pylist()) - np.array(a["recon_mse"].to_pylist())
    assert (row.low, row.high) == pytest.approx(interval(gaps), rel=1e-12)  # a claim sorts them before it adds


def trials_of(root: Path) -> list[str]:
    """Return the trials of the variants `good` and `bad`."""
    return [str(row["trial"]) for row in store.read(root, "proposals").sort_by("number").to_pylist()]


def test_the_interval_holds_a_statistic_that_no_other_sample_reaches(tmp_path: Path, good: Path) -> None:
    sql = "SELECT i AS seed, (i % 2)::DOUBLE AS value FROM range(2000) t(i)"  # no sample with more 0 or 1 is as wide
    row = result(tmp_path, {"sql": sql, "statistic": "sd", "at_most": 1}, good)
    assert row.low < row.value == row.high


def test_ninety_five_in_a_hundred_intervals_hold_the_true_mean(tmp_path: Path) -> None:
    members, samples = 40, 80
    claims = "".join(
        toml({"says": str(i), "sql": f"SELECT seed, final_parts['{i}'] AS value {OWN}", "statistic": "mean"} | NEAR)
        for i in range(samples)
    )
    file = write_file(tmp_path, "single", claims, members=members)
    drawn = np.random.default_rng(1).normal(3, 1, size=(members, samples))
    parts = [{str(i): value for i, value in enumerate(row)} for row in drawn]
    write_trial(tmp_path / "results", file, "good", members=members, changed={"final_parts": parts})
    rows = prepe.check(file, tmp_path / "results")
    assert 0.87 <= np.mean([row.low <= 3 <= row.high for row in rows]) <= 0.99


def test_the_same_rows_give_the_same_interval(tmp_path: Path, good: Path) -> None:
    assert result(tmp_path, ASKED, good) == result(tmp_path, ASKED, good)


def test_one_seed_tells_nothing_about_others(tmp_path: Path, good: Path) -> None:
    claim = {"sql": f"SELECT any_value(seed) AS seed, min(recon_mse) AS value {OWN}", "at_most": 1}
    row = result(tmp_path, claim, good)
    assert (row.verdict, row.seeds, row.low, row.high, row.unresolved) == ("holds", 1, -np.inf, np.inf, True)


BOUNDS: list[tuple[dict[str, float], bool]] = [
    ({"at_most": 0.12}, False),
    ({"at_most": 0.1}, True),
    ({"at_least": 0.1}, True),
    ({"at_least": 0.05, "at_most": 0.1}, True),
    ({"equals": 0.1, "tolerance": 0.04}, False),
    ({"equals": 0.14, "tolerance": 0.04}, True),
]


def test_a_bound_inside_the_interval_leaves_a_claim_unresolved(tmp_path: Path) -> None:
    values = 0.1 + 0.01 * np.cos(np.arange(MEMBERS))
    asked = ({"metric": "recon_mse", "statistic": "mean", **bound} for bound, _ in BOUNDS)
    file = write_file(tmp_path, "single", "".join(map(toml, asked)))
    write_trial(tmp_path / "results", file, "good", changed={"recon_mse": values})
    for row, (bound, unresolved) in zip(prepe.check(file, tmp_path / "results"), BOUNDS, strict=True):
        assert 0.09 < row.low < 0.1 < row.high < 0.11
        assert row.unresolved == unresolved, bound


def test_a_bound_that_every_seed_meets_exactly_is_resolved(tmp_path: Path) -> None:
    asked = (("min", "at_least"), ("max", "at_most"), ("mean", "at_least"))
    claims = "".join(toml({"metric": "recon_mse", "statistic": name, bound: 1}) for name, bound in asked)
    file = write_file(tmp_path, "single", claims)
    write_trial(tmp_path / "results", file, "good", changed={"recon_mse": [1.0] * MEMBERS})
    for row in prepe.check(file, tmp_path / "results"):
        assert (row.verdict, row.value, row.unresolved) == ("holds", 1, False)
        assert row.of_these_seeds or (row.low, row.high) == (1, 1)


# --- values that are not numbers --------------------------------------------------------------------------------------


def test_a_broken_member_counts_as_the_metrics_worst(tmp_path: Path) -> None:
    for metric, worst in (("recon_mse", "max"), ("anchor_cos", "min")):
        values = [np.nan, *[0.5] * (MEMBERS - 1)]
        claim = {"metric": metric, "statistic": worst, "at_least": -2}
        write_trial(tmp_path / "results", one(tmp_path, claim), "good", changed={metric: values})
        row = result(tmp_path, claim, tmp_path / "results")
        assert (row.value, row.bad, row.seeds) == (MEMBER_METRICS[metric].worst, 1, MEMBERS)


BAD = [  # statistic, how many of 16 values are bad, what comes of it whichever way is asked
    ("mean", 1, "fails"),
    ("min", 0, "holds"),
    ("worst_decile", 1, "fails"),
    ("sd", 1, "fails"),
    ("median", 7, "holds"),
    ("median", 9, "fails"),
    ("q25", 3, "holds"),
    ("q75", 13, "fails"),
]


def test_a_value_of_sql_that_is_no_number_lies_where_the_claim_fails(tmp_path: Path, good: Path) -> None:
    claims = [
        {
            "sql": f"SELECT seed, CASE WHEN seed < {bad} THEN {missing} ELSE recon_mse END AS value {OWN}",
            "statistic": statistic,
            "says": f"{verdict} with {bad} of {missing}",
            **bound,
        }
        for statistic, bad, verdict in BAD
        for missing in ("'nan'::DOUBLE", "NULL")
        for bound in ({"at_most": 2}, {"at_least": 0}, {"at_least": 0, "at_most": 2})
    ]
    file = write_file(tmp_path, "single", "".join(map(toml, claims)))
    for row in prepe.check(file, good):
        assert f"{row.verdict} with {row.bad} of" in row.claim.says, row
        assert row.seeds == MEMBERS
        assert row.of_these_seeds or row.low <= row.value <= row.high


# --- what the file says of it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [None, "0.1 was found"])
@pytest.mark.parametrize(("bound", "verdict"), [({"at_most": 0.2}, "holds"), ({"at_most": 0.01}, "fails")])
def test_a_verdict_that_is_not_what_the_file_says_is_a_failure(
    bound: dict[str, float], verdict: str, known: str | None, tmp_path: Path, good: Path, prepe_cli: Cli
) -> None:
    claim = {"metric": "recon_mse", **bound} | ({"fails": known} if known else {})
    row = result(tmp_path, claim, good)
    contradicts = (verdict == "holds") == bool(known)
    assert (row.verdict, row.contradicts) == (verdict, contradicts)
    said = prepe_cli("check", tmp_path / "single.toml", "--results", good)
    assert (said.code, said.err) == (1 if contradicts else 0, "")
    name, line, empty, summary = said.out.splitlines()
    assert (name, empty) == ("single", "")
    assert line.startswith(f"{verdict}    median 0.")
    assert line.endswith(f": It is so (the file says that it fails: {known})" if known else ": It is so")
    assert summary == f"1 claim: 1 {verdict}" + ", 1 not as the file says" * contradicts


def test_a_line_gives_the_figure_its_interval_the_seeds_and_what_is_asked(
    tmp_path: Path, good: Path, prepe_cli: Cli
) -> None:
    row = result(tmp_path, {"metric": "recon_mse", "statistic": "mean", "at_most": 0.5}, good)
    said = prepe_cli("check", tmp_path / "single.toml", "--results", good)
    assert f"holds    mean {row.value:.4g} [{row.low:.4g}, {row.high:.4g}] of 16 seeds, asked <= 0.5: It" in said.out


def test_so_many_digits_are_shown_that_the_verdict_can_be_seen(tmp_path: Path, prepe_cli: Cli) -> None:
    file = one(tmp_path, {"metric": "recon_mse", "statistic": "max", "at_most": 0.2})
    write_trial(tmp_path / "results", file, "good", changed={"recon_mse": [0.2000000001] * MEMBERS})
    line = prepe_cli("check", file, "--results", tmp_path / "results").out.splitlines()[1]
    assert line.startswith("fails    max 0.2000000001 of these 16 seeds, asked <= 0.2: ")


@pytest.mark.slow
def test_long_lines_are_broken_on_a_terminal_alone(tmp_path: Path, good: Path, prepe_cli: Cli) -> None:
    file = one(tmp_path, {"metric": "recon_mse", "at_most": 1, "says": "so and so it is " * 12})
    piped = prepe_cli("check", file, "--results", good).out
    shown = terminal_cli("check", file, "--results", good, columns=60).out
    assert len(piped.splitlines()) == 4
    assert max(map(len, shown.splitlines())) <= 60
    assert " ".join(shown.split()) == " ".join(piped.split())


# --- not run ----------------------------------------------------------------------------------------------------------


def not_run(file: Path, root: Path) -> str:
    """Check that a file's claims are not run, and return why."""
    rows = prepe.check(file, root)
    assert rows
    assert {(row.verdict, row.contradicts) for row in rows} == {("not run", False)}
    assert all(np.isnan([row.value, row.low, row.high]).all() for row in rows)
    (missing,) = {row.missing for row in rows}
    assert f"(prepe run {file} --results {root}" in missing
    return missing


def test_a_sweep_of_which_nothing_is_stored_is_not_run(tmp_path: Path, prepe_cli: Cli) -> None:
    file, other = one(tmp_path, ASKED), write_file(tmp_path, "other")
    root = tmp_path / "results"
    write_trial(root, other, "good")
    assert not_run(file, root).startswith("nothing of it is stored (")
    said = prepe_cli("check", file, "--results", root)
    assert said.code == 0
    assert said.out.splitlines()[1].startswith("not run  nothing of it is stored (prepe run ")
    assert said.out.endswith("\n1 claim: 1 not run\n")
    assert prepe_cli("check", file, "--results", root, "--all").code == 1


def test_rows_of_an_older_version_of_a_file_are_not_its_own(tmp_path: Path) -> None:
    file, root = one(tmp_path, ASKED), tmp_path / "results"
    write_trial(root, file, "good")
    assert prepe.check(file, root)[0].verdict == "holds"
    one(tmp_path, ASKED, width=7)
    assert not_run(file, root).startswith("what is stored is of another version of the file (")
    write_trial(root, file, "bad", created=TIME.replace(year=2027))
    (row,) = prepe.check(file, root)
    assert (row.verdict, row.seeds) == ("fails", MEMBERS)
    assert row.low > 0.5, "rows of the older version count too"


def test_a_sweep_with_too_few_members_or_trials_is_not_run(tmp_path: Path) -> None:
    file, root = write_file(tmp_path, "pair", VARIANTS + toml(OF_PAIR)), tmp_path / "results"
    write_trial(root, file, "good", variant="good")
    assert not_run(file, root).startswith("1 of 2 trials are complete (")
    write_trial(root, file, "bad", variant="bad", state="failed")
    missing = not_run(file, root)
    assert missing.startswith("1 of 2 trials are complete (")
    assert missing.endswith("--retry-failed)")
    write_trial(root, file, "bad", variant="bad", members=MEMBERS - 1)
    assert not_run(file, root).startswith(f"{MEMBERS - 1} of {MEMBERS} members are stored (")
    write_trial(root, file, "bad", variant="bad", members=MEMBERS + 1)
    (row,) = prepe.check(file, root)
    assert row.verdict == "holds"


def test_more_members_than_the_file_says_are_all_counted(tmp_path: Path) -> None:
    file, root = one(tmp_path, ASKED), tmp_path / "results"
    write_trial(root, file, "good", members=2 * MEMBERS)
    assert prepe.check(file, root)[0].seeds == 2 * MEMBERS


def test_a_search_is_run_when_all_its_trials_have_ended(tmp_path: Path) -> None:
    search = '\n[[objectives]]\nmetric = "recon_mse"\ngoal = "minimize"\n[search]\ntrials = 2\n[search.space]\n'
    claim = {"sql": "SELECT seed, min(recon_mse) AS value FROM members WHERE sweep = 'single' GROUP BY seed", **NEAR}
    file = write_file(
        tmp_path, "single", search + "width = { int = [2, 9], start = 3 }\n" + toml(claim), width="$width"
    )
    root = tmp_path / "results"
    name = write_trial(root, file, "good")
    assert not_run(file, root).startswith("1 of 2 trials are complete (")
    row = store.read(root, "proposals").to_pylist()[0]
    failed = {
        **row,
        "number": 1,
        "trial": "f" * 16,
        "state": "failed",
        "objectives": {},
        "goals": {},
        "constraints": {},
    }
    store.write(root, "proposals", f"single-{'f' * 16}", [failed])
    assert prepe.check(file, root)[0].verdict == "holds"
    store.write(root, "proposals", f"single-{name}", [{**failed, "number": 0, "trial": name}])
    assert not_run(file, root).startswith("0 of 2 trials are complete (")


def test_a_claim_that_names_another_sweep_needs_that_too(tmp_path: Path) -> None:
    sql = """SELECT a.seed, a.recon_mse - b.recon_mse AS value FROM members a JOIN members b USING (seed)
    WHERE a.sweep = 'single' AND b.sweep = 'other'"""
    file, other = one(tmp_path, {"sql": sql, "at_most": 0}), write_file(tmp_path, "other", width=9)
    root = tmp_path / "results"
    write_trial(root, file, "good")
    (row,) = prepe.check(file, root)
    assert (row.verdict, row.missing) == (
        "not run",
        f"other: nothing of it is stored (prepe run {other} --results {root})",
    )
    write_trial(root, other, "bad")
    assert prepe.check(file, root)[0].verdict == "holds"


def test_without_a_store_nothing_is_run_but_a_store_that_is_named_has_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepe_cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREPE_RESULTS", raising=False)
    said = prepe_cli("check")
    assert (said.code, said.err) == (
        2,
        "prepe: sweeps: no sweep file with claims here; name files, as in: prepe check FILE\n",
    )
    (tmp_path / "sweeps").mkdir()
    one(tmp_path / "sweeps", ASKED)
    write_file(tmp_path / "sweeps", "without")
    (row,) = prepe.check()
    assert (row.sweep, row.verdict) == ("single", "not run")
    assert row.missing == "nothing of it is stored (prepe run sweeps/single.toml)"
    assert "\nnot run  " in prepe_cli("check").out
    said = prepe_cli("check", "--results", "resutls")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("prepe: resutls: no store here; ")


# --- claims that are wrong --------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[str, list[str]]] = {
    "a column that is not there": (
        f"SELECT seed, ring_ordr AS value {OWN}",
        ['"ring_ordr" not found', "\ncolumns of members: sweep, trial, variant, member, seed, recon_mse, "],
    ),
    "a column of another view": (
        "SELECT seed, damage AS value FROM stages WHERE sweep = 'single'",
        ['"damage" not found', "\ncolumns of stages: sweep, trial, variant, member, seed, step, phase, recon_mse, "],
    ),
    "a parameter that is not there": (
        "SELECT seed, recon_mse AS value FROM members JOIN trials USING (sweep, trial) WHERE params.depth = 1",
        ["depth", "\ncolumns of trials: sweep, trial, variant, number, "],
    ),
    "a view that is not there": ("SELECT seed, recon_mse AS value FROM membres", ["membres", "\nviews: "]),
    "bad syntax": ("SELECT seed recon_mse value", ["syntax error"]),
    "no query": ("DROP VIEW members", ["DROP is not a query; allowed: one query"]),
    "two queries": ("SELECT 1; SELECT 2", ["there are 2 statements"]),
    "no value": (f"SELECT seed, recon_mse {OWN}", ["no columns 'value' among seed, recon_mse; allowed: one column"]),
    "no seed": (f"SELECT recon_mse AS value {OWN}", ["no columns 'seed' among value; allowed: one column seed and"]),
    "two seeds": (f"SELECT seed, seed, recon_mse AS value {OWN}", ["2 columns 'seed' among seed, seed, value"]),
    "text": (f"SELECT seed, trial AS value {OWN}", ["its column value holds string; allowed: numbers"]),
    "seeds that are text": (
        f"SELECT trial AS seed, 1 AS value {OWN}",
        ["its column seed holds string; allowed: whole"],
    ),
    "several values a seed": (
        "SELECT seed, off_plane AS value FROM stages WHERE sweep = 'single'",
        ["it selects 2 values for seed ", "; allowed: one a seed, as GROUP BY seed gives"],
    ),
}


def test_a_claim_whose_query_selects_no_rows_is_not_run_and_the_others_are_checked(
    tmp_path: Path, good: Path, prepe_cli: Cli
) -> None:
    empty = {"sql": "SELECT seed, recon_mse AS value FROM members WHERE sweep = 'singel'", "at_most": 1}
    file = write_file(tmp_path, "single", toml(empty) + toml(ASKED))
    first, second = prepe.check(file, good)
    assert (first.verdict, first.missing, second.verdict) == ("not run", "its query selects no rows", "holds")
    assert prepe_cli("check", file, "--results", good).code == 0
    said = prepe_cli("check", file, "--results", good, "--all")
    assert said.code == 1
    assert "not run  its query selects no rows: It is so\n" in said.out


@pytest.mark.parametrize("wrong", WRONG)
def test_a_claim_that_cannot_be_evaluated_is_named_with_what_there_is(
    wrong: str, tmp_path: Path, good: Path, prepe_cli: Cli
) -> None:
    sql, said = WRONG[wrong]
    file = write_file(tmp_path, "single", toml(ASKED) + toml({"sql": sql, "at_most": 1}))
    answer = prepe_cli("check", file, "--results", good)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"prepe: {file}: claims[1].sql: ")
    for part in said:
        assert part in answer.err


@pytest.mark.slow
def test_it_is_named_before_the_sweep_is_run(tmp_path: Path) -> None:
    store.write(tmp_path / "results", "proposals", "none", [])
    for wrong in WRONG.keys() - {"several values a seed"}:
        file = one(tmp_path, {"sql": WRONG[wrong][0], "at_most": 1})
        with pytest.raises(PrepeError, match=r"claims\[0\]\.sql: "):
            prepe.check(file, tmp_path / "results")


def test_a_parameter_of_the_file_is_known_before_it_is_run(tmp_path: Path) -> None:
    sql = "SELECT seed, max(recon_mse) AS value FROM members JOIN trials USING (sweep, trial) WHERE params.width = 2"
    claim = {"sql": f"{sql} GROUP BY seed", "at_most": 1}
    grid = '\n[search]\nsampler = "grid"\n[search.space]\nwidth = { int = [2, 3], start = 2 }\n'
    file = write_file(tmp_path, "single", grid + toml(claim), width="$width")
    store.write(tmp_path / "results", "proposals", "none", [])
    assert not_run(file, tmp_path / "results").startswith("nothing of it is stored (")


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        (
            {"metric": "recon_mes", "at_most": 1},
            "claims[0].metric: unknown metric 'recon_mes' (did you mean 'recon_mse'?)",
        ),
        (
            {"metric": "ring_order", "at_most": 1},
            "claims[0].metric: 'ring_order' needs a cycle of items, and there is none",
        ),
        (
            {"metric": "recon_mse", "at_most": 1},
            "claims[0].metric: 2 trials have it; allowed: the variant of one trial",
        ),
        ({**OF_PAIR, "variant": "ugly"}, "claims[0].variant: unknown variant 'ugly'"),
        ({**OF_PAIR, "intervention": "x"}, "claims[0].intervention: unknown intervention 'x'"),
        ({"sql": "SELECT 1"}, "claims[0]: at_least, at_most or both, or equals with tolerance, are needed"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_claim_that_no_row_could_answer_is_refused_when_the_file_is_read(
    claim: dict[str, Any], said: str, tmp_path: Path
) -> None:
    file = write_file(tmp_path, "pair", VARIANTS + toml(claim))
    with pytest.raises(PrepeError, match=re.escape(said)):
        sweep.load(file)
