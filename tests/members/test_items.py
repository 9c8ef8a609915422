"""The table of named items: numbers, swatches, LaTeX, and the verb."""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from command import Said, terminal_cli
from conftest import TinyStore

import prepe
from prepe import members, store
from prepe.catalog import NAMED_COLORS, RgbGrid
from prepe.errors import PrepeError
from prepe.members import ItemTable, Members, item_table, latex

Cli = Callable[..., Said]


class Words(RgbGrid):
    """Data whose items are no colours."""

    is_color: ClassVar[bool] = False


@pytest.fixture
def stored(tiny_store: TinyStore) -> Members:
    return members.find(tiny_store.root, tiny_store.trials[0])


def column(table: ItemTable, name: str) -> np.ndarray:
    return np.array([row[name] for row in table.rows])


def test_a_members_errors_are_the_stored_ones(stored: Members, tiny_store: TinyStore) -> None:
    table = item_table(stored, tiny_store.root, 1)
    rows = store.query(
        tiny_store.root,
        f"SELECT * FROM colors WHERE trial = '{stored.trial}' AND seed = 1 AND intervention = 'ablate'",
    ).to_pylist()
    expected = {row["item"]: (row["error_before"], row["error_after"]) for row in rows}
    assert [row["item"] for row in table.rows] == list(NAMED_COLORS)
    for row in table.rows:
        assert (row["baseline"], row["ablate.mse"]) == expected[row["item"]]
    np.testing.assert_allclose(column(table, "ablate.delta"), column(table, "ablate.mse") - column(table, "baseline"))
    assert table.interventions == ["suppress", "ablate"]
    assert not [name for name in table.rows[0] if name.endswith(("_low", "_high"))]


def test_without_a_member_the_numbers_are_means_within_their_intervals(stored: Members, tiny_store: TinyStore) -> None:
    table = item_table(stored, tiny_store.root)
    each = [item_table(stored, tiny_store.root, seed) for seed in stored.seeds]
    for name in ("baseline", "suppress.mse", "ablate.delta"):
        means = np.mean([column(one, name) for one in each], axis=0)
        np.testing.assert_allclose(column(table, name), means)
        assert (column(table, f"{name}_low") <= means + 1e-12).all()
        assert (column(table, f"{name}_high") >= means - 1e-12).all()
    assert table.says() == "means over 3 members, with 95 % intervals"


def test_broken_members_are_left_out_of_the_means_and_named(stored: Members, tiny_store: TinyStore) -> None:
    broken = replace(stored, rows={**stored.rows, 1: {**stored.rows[1], "broken": 1.0}})
    table = item_table(broken, tiny_store.root)
    assert (table.seeds, table.left_out) == ([0, 2], [1])
    assert table.says() == "means over 2 members, without 1 that broke, with 95 % intervals"
    mean = np.mean([column(item_table(stored, tiny_store.root, seed), "baseline") for seed in (0, 2)], axis=0)
    np.testing.assert_allclose(column(table, "baseline"), mean)
    none_left = replace(stored, rows={seed: {**row, "broken": 1.0} for seed, row in stored.rows.items()})
    with pytest.raises(PrepeError, match="every member broke"):
        item_table(none_left, tiny_store.root)


def test_colours_have_their_own_as_a_swatch_and_other_items_have_none(stored: Members, tiny_store: TinyStore) -> None:
    table = item_table(stored, tiny_store.root)
    swatches = {row["item"]: row["color"] for row in table.rows}
    assert (swatches["red"], swatches["orange"], swatches["white"]) == ("#ff0000", "#ff7f00", "#ffffff")
    words = Words(kind="rgb_grid", size=3)
    spec = stored.spec.model_copy(update={"training": stored.spec.training.model_copy(update={"data": words})})
    plain = item_table(replace(stored, spec=spec), tiny_store.root)
    assert {row["color"] for row in plain.rows} == {None}
    assert "cellcolor" not in latex(plain)
    assert "cellcolor" in latex(table)


def test_latex_has_a_line_an_item_with_nine_decimals_and_signed_differences(
    stored: Members, tiny_store: TinyStore
) -> None:
    table = item_table(stored, tiny_store.root, 0)
    lines = [line for line in latex(table).splitlines() if re.match(r"(red|dark gray) &", line)]
    assert len(lines) == 2
    cells = lines[0].removesuffix(r" \\").split(" & ")
    assert cells[1] == r"\cellcolor[HTML]{FF0000}"
    assert cells[2] == f"{table.rows[0]['baseline']:.9f}"
    assert cells[3:] == [f"{table.rows[0][name]:+.9f}" for name in ("suppress.delta", "ablate.delta")]
    means = latex(item_table(stored, tiny_store.root))
    assert re.search(r"\[[+-]0\.\d{9}, [+-]0\.\d{9}\]", means)


def test_latex_takes_names_literally() -> None:
    table = ItemTable("t", [0], [], ["a_b"], [{"item": r"50% & {\x}", "color": None, "baseline": 0, "a_b.delta": 1}])
    assert r"$\Delta$ a\_b" in latex(table)
    assert r"50\% \& \{\textbackslash{}x\} & 0.000000000 & +1.000000000 \\" in latex(table)


# --- the verb ---------------------------------------------------------------------------------------------------------


def test_the_verb_prints_three_decimals_and_codes_where_there_are_no_colours(
    prepe_cli: Cli, tiny_store: TinyStore
) -> None:
    said = prepe_cli("colors", tiny_store.trials[0], "--member", 2, "--results", tiny_store.root)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    red = prepe.colors(tiny_store.trials[0], member=2, results=tiny_store.root).rows[0]
    assert lines[0] == f"trial {tiny_store.trials[0]}, member 2"
    assert lines[2].split() == [
        "red",
        "#ff0000",
        f"{red['baseline']:.3f}",
        f"{red['suppress.mse']:.3f}",
        f"{red['suppress.delta']:+.3f}",
        f"{red['ablate.mse']:.3f}",
        f"{red['ablate.delta']:+.3f}",
    ]
    assert len(lines) == 2 + len(NAMED_COLORS)


def test_a_terminal_has_blocks_of_the_true_colours_and_no_line_is_cut(tiny_store: TinyStore) -> None:
    said = terminal_cli("colors", tiny_store.trials[0], "--results", tiny_store.root, columns=70)
    assert said.code == 0
    assert "\x1b[48;2;255;127;0m" in said.out
    assert "…" not in said.out
    assert all(said.out.count(f" {name} delta") == 1 for name in ("suppress", "ablate"))


def test_best_is_the_member_that_front_chooses(prepe_cli: Cli, tiny_store: TinyStore) -> None:
    trial = tiny_store.trials[0]
    chosen = prepe.front(trial, tiny_store.root).chosen
    best = prepe_cli("colors", trial, "--best", "--csv", "--results", tiny_store.root)
    assert best == prepe_cli("colors", trial, "--member", chosen, "--csv", "--results", tiny_store.root)
    rows = list(csv.DictReader(io.StringIO(best.out)))
    table = prepe.colors(trial, best=True, results=tiny_store.root)
    assert [float(row["ablate.delta"]) for row in rows] == [row["ablate.delta"] for row in table.rows]
    assert rows[0]["color"] == "#ff0000"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--member", "7"), "--member 7: trial"),
        (("--member", "1", "--best"), "--member and --best: both are given"),
        (("--csv", "--latex"), "--csv and --latex: both are given"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    options: tuple[str, ...], message: str, prepe_cli: Cli, tiny_store: TinyStore
) -> None:
    said = prepe_cli("colors", tiny_store.trials[0], *options, "--results", tiny_store.root)
    assert (said.code, said.out) == (2, "")
    assert message in said.err
    assert said.err.count("\n") == 1
