"""Paired differences of two trials: laws, and the verb."""

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import Said

import prepe
from prepe import store
from prepe.errors import PrepeError
from prepe.members import Members, diff

Make = Callable[..., Members]
Cli = Callable[..., Said]
SEEDS = list(range(20))


def test_a_trial_does_not_differ_from_itself(variants: Path) -> None:
    rows = prepe.diff("two:linear", "two:linear", results=variants)
    assert len(rows) > 40
    for row in rows:
        assert (row.mean, row.median, row.a, row.verdict) == (0, 0, row.b, "equal"), row
        assert row.b_better in (0, None)


def test_the_other_way_round_the_signs_change(variants: Path) -> None:
    there = prepe.diff("two:linear", "two:sigmoid", results=variants)
    back = prepe.diff("two:sigmoid", "two:linear", results=variants)
    assert any(row.mean for row in there)
    for one, other in zip(there, back, strict=True):
        assert (one.intervention, one.metric, one.seeds) == (other.intervention, other.metric, 4)
        assert (one.mean, one.median, one.a, one.b) == (-other.mean, -other.median, other.b, other.a)
        assert (one.verdict == "unresolved") == (other.verdict == "unresolved")


def test_differences_are_those_of_the_stored_rows_seed_by_seed(variants: Path) -> None:
    columns = "variant, seed, score_ccc FROM effects WHERE sweep = 'two' AND intervention = 'ablate'"
    rows = store.query(variants, f"SELECT {columns} ORDER BY variant, seed").to_pylist()
    values = np.array([row["score_ccc"] for row in rows]).reshape(2, 4)
    (row,) = [
        row for row in prepe.diff("two:linear", "two:sigmoid", ["score_ccc"], variants) if row.intervention == "ablate"
    ]
    assert row.mean == pytest.approx((values[1] - values[0]).mean())
    assert row.b_better == (values[1] > values[0]).mean()


def test_pairing_resolves_a_small_shift_under_a_large_spread_of_seeds(make: Make) -> None:
    rng = np.random.default_rng(0)
    base, noise = rng.normal(0, 10, len(SEEDS)), rng.normal(0, 0.01, len(SEEDS))
    a = make(seeds=SEEDS, ablate={"score_ccc": base, "collateral": base, "damage": base})
    b = make(seeds=SEEDS, ablate=dict.fromkeys(("score_ccc", "collateral", "damage"), base + 0.1 + noise))
    verdicts = {row.metric: (row.verdict, row.b_better) for row in diff(a, b)}
    assert verdicts == {
        "broken": ("equal", 0),
        "score_ccc": ("better", 1),
        "collateral": ("worse", 0),
        "damage": ("higher", None),
    }
    assert {row.metric: row.verdict for row in diff(b, a)} == {
        "broken": "equal",
        "score_ccc": "worse",
        "collateral": "better",
        "damage": "lower",
    }


def test_noise_without_a_shift_stays_unresolved(make: Make) -> None:
    rng = np.random.default_rng(3)
    a, b = (make(seeds=SEEDS, ablate={"score_ccc": rng.normal(size=len(SEEDS))}) for _ in range(2))
    assert {row.verdict for row in diff(a, b, ["score_ccc"])} == {"unresolved"}


def test_only_common_seeds_count(make: Make) -> None:
    a = make(seeds=[1, 2, 3], recon_mse=[0.1, 0.2, 0.3])
    b = make(seeds=[2, 3, 4], recon_mse=[0.4, 0.6, 9.0])
    (row,) = diff(a, b, ["recon_mse"])
    assert (row.seeds, row.mean) == (2, pytest.approx(0.25))
    with pytest.raises(PrepeError, match="no seed in common, seeds 1 to 3 and seeds 7 to 7; allowed:"):
        diff(a, make(seeds=[7], recon_mse=[0.0]))


def test_a_broken_member_counts_as_the_worst(make: Make) -> None:
    values = [0.01, 0.02, 0.03]
    a = make(seeds=[0, 1, 2], recon_mse=values, terms={"anchor": values}, ablate={"score_ccc": [0.5, 0.5, 0.5]})
    b = make(
        seeds=[0, 1, 2], broken=(1,), recon_mse=values, terms={"anchor": values}, ablate={"score_ccc": [0.5, 0.5, 0.5]}
    )
    rows = {row.metric: row for row in diff(a, b)}
    assert rows["recon_mse"].mean == pytest.approx(0.98 / 3)  # the worst reconstruction error is 1
    assert rows["score_ccc"].mean == pytest.approx(-1.5 / 3)  # the worst concordance is -1
    assert rows["val:anchor"].mean == math.inf
    assert rows["val:anchor"].median == 0


def test_what_one_of_them_has_not_measured_is_left_out(make: Make) -> None:
    a = make(seeds=[0, 1], recon_mse=[0.1, 0.2], task_cost=[1.0, 1.0], suppress={"score_r2": [0.1, 0.2]})
    b = make(seeds=[0, 1], recon_mse=[0.1, 0.2], ablate={"score_r2": [0.1, 0.2]})
    assert [(row.intervention, row.metric) for row in diff(a, b)] == [(None, "recon_mse"), (None, "broken")]
    with pytest.raises(PrepeError, match="--metric task_cost: not measured in both; allowed: recon_mse, broken"):
        diff(a, b, ["task_cost"])


def test_one_common_seed_resolves_nothing(make: Make) -> None:
    (row,) = diff(make(seeds=[0], recon_mse=[0.1]), make(seeds=[0], recon_mse=[0.2]), ["recon_mse"])
    assert (row.verdict, math.isnan(row.mean_low)) == ("unresolved", True)


# --- the verb ---------------------------------------------------------------------------------------------------------


def test_the_verb_prints_tables_csv_and_json_of_the_same_rows(prepe_cli: Cli, variants: Path) -> None:
    arguments = ("diff", "two:linear", "two:sigmoid", "--metric", "recon_mse", "--metric", "score_r2")
    rows = prepe.diff("two:linear", "two:sigmoid", ["recon_mse", "score_r2"], variants)
    assert [(row.intervention, row.metric) for row in rows] == [
        (None, "recon_mse"),
        ("suppress", "score_r2"),
        ("ablate", "score_r2"),
    ]
    said = prepe_cli(*arguments, "--results", variants)
    assert (said.code, said.err) == (0, "")
    assert "B - A over 4 common seeds" in said.out
    assert f"{rows[0].mean:+.3g}" in said.out
    loaded = json.loads(prepe_cli(*arguments, "--json", "--results", variants).out)
    assert [row["mean"] for row in loaded] == [row.mean for row in rows]
    read = list(csv.DictReader(io.StringIO(prepe_cli(*arguments, "--csv", "--results", variants).out)))
    assert [float(row["median_low"]) for row in read] == [row.median_low for row in rows]


def test_trials_are_also_found_by_the_beginning_of_their_names(variants: Path) -> None:
    names = store.query(variants, "SELECT trial FROM trials ORDER BY variant")["trial"].to_pylist()
    assert prepe.diff(names[0][:8], names[1], results=variants) == prepe.diff(
        "two:linear", "two:sigmoid", results=variants
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("two:linear", "two:tanh"), "unknown variant 'tanh'; allowed: linear, sigmoid"),
        (("two:linear", "three:linear"), "unknown sweep 'three'"),
        (("two:linear", "0000"), "none of the 2 trials"),
        (("two:linear", "two:sigmoid", "--metric", "recon_mze"), "did you mean 'recon_mse'?"),
        (("two:linear", "two:sigmoid", "--metric", "val:anker"), "did you mean 'val:anchor'?"),
        (("two:linear", "two:sigmoid", "--csv", "--json"), "--csv and --json: both are given"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    arguments: tuple[str, ...], message: str, prepe_cli: Cli, variants: Path
) -> None:
    said = prepe_cli("diff", *arguments, "--results", variants)
    assert (said.code, said.out) == (2, "")
    assert message in said.err
    assert said.err.count("\n") == 1
