"""Curves of attacks on deleted models."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.figure import Figure

from prepe import store
from prepe.errors import PrepeError
from prepe.figures import album, recovery, style
from prepe.figures.stored import of_sweep
from prepe.store.schema import SCHEMAS

from . import shelf

Row = dict[str, Any]
SWEEPS = Path(__file__).parents[2] / "sweeps"
AT = [0, 10, 100, 300]
LEVELS = {"ablate": 1.6, "prune": 1.6, "retrain": 1.2, "reset": 1.0}


def effect(label: str, operator: str, attack: str, seed: int, curve: list[float] | None) -> Row:
    parameters = json.dumps({"recovery": {"data": attack, "items": 8}})
    about = {"seed": seed, "intervention": label, "operator": operator, "parameters": parameters, "concept": "red"}
    return about | {"ideal_damage": 0.25, "recover_curve": curve, "recover_at": None if curve is None else AT}


def attacked(members: int = 5, broken: tuple[int, ...] = ()) -> list[Row]:
    """Invent effects whose curves fall from a level of their own, a little lower for each member."""
    return [
        effect(
            f"{operator}.{attack}",
            operator,
            attack,
            seed,
            None if seed in broken else [level - 0.1 * seed, level - 0.1 * seed, 0.5 * level, 0.05 * level],
        )
        for operator, level in LEVELS.items()
        for attack in ("few", "rest")
        for seed in range(members)
    ]


def table(found: list[Row]) -> pa.Table:
    schema = SCHEMAS["effects"]
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in found], schema)


def lines(figure: Figure, title: str) -> list[np.ndarray]:
    axes = next(axes for axes in figure.axes if axes.get_title("left").endswith(title))
    return [np.asarray(line.get_ydata(), dtype=float) for line in axes.lines if len(line.get_xdata()) == len(AT)]


@pytest.mark.parametrize("dark", [False, True])
def test_every_attack_has_a_panel_with_the_median_of_every_intervention(dark: bool) -> None:
    with style.use(dark):
        figure = recovery.draw(table(attacked()), "A trial")
        figure.draw_without_rendering()
    shown = [axes.get_title("left") for axes in figure.axes if axes.get_visible()]
    assert shown == ["attack without any target item", "attack with a few target items"]
    drawn = lines(figure, "a few target items")
    assert [line[0] for line in drawn] == pytest.approx([1.4, 1.0, 0.8])  # of seed 2


def test_controls_say_what_they_are_and_what_looks_the_same_shares_a_line() -> None:
    found = recovery.curves(table(attacked()))
    names = ["ablate, prune", "retrain (never saw it)", "reset (random weights)"]
    assert [list(lines) for lines in found.values()] == [names, names]
    apart = attacked()
    apart[0] = effect("ablate.few", "ablate", "few", 2, [3.0, 3.0, 3.0, 3.0])  # one member does not move a median
    assert "ablate, prune" in recovery.curves(table(apart))["few"]
    moved = [row | {"recover_curve": [1.0] * 4} if row["intervention"] == "prune.rest" else row for row in attacked()]
    assert {"ablate", "prune"} <= set(recovery.curves(table(moved))["few"]), "apart in one panel, apart in all"


def test_members_that_broke_have_no_curve_and_are_left_out() -> None:
    found = recovery.curves(table(attacked(broken=(0, 4))))
    assert found["rest"]["ablate, prune"].error.shape == (3, len(AT))
    with pytest.raises(PrepeError, match="no effect has a curve"):
        recovery.draw(table(attacked(members=2, broken=(0, 1))), "A trial")


def test_the_text_says_where_each_line_ends_and_when_the_concept_is_back() -> None:
    found = attacked()
    text = recovery.alt_text(table(found), "A trial")
    assert "Attack with a few target items, median error in units of D*: ablate, prune from 1.40 to 0.08" in text
    assert "below 0.1 from update 300 on" in text
    stays = [row | {"recover_curve": [1.0] * 4} for row in found]
    assert "from 1.00 to 1.00 after 300 updates, never below 0.1" in recovery.alt_text(table(stays), "A trial")


def test_a_stored_trial_has_the_page_if_something_was_attacked(tmp_path: Path) -> None:
    (name,) = shelf.invent(tmp_path, SWEEPS / "ex-1.7.toml", members=3)
    assert "recovery" not in [page.stem for page in album.details(of_sweep(tmp_path, "ex-1.7")[0], "ex-1.7")]
    own = [row | {"trial": name, "block": "0-2"} for row in attacked(members=3)]
    store.write(tmp_path, "effects", f"{name}-0-2", own)
    pages = {page.stem: page for page in album.details(of_sweep(tmp_path, "ex-1.7")[0], "ex-1.7")}
    assert "3 members" in pages["recovery"].alt_text
    pages["recovery"].draw().draw_without_rendering()
