"""How a deleted concept comes back: effects with curves of attacks in; curves over updates, a panel an attack, out.

Beside deleted models stand, where a sweep has them, models that never saw the concept and models with random weights:
what comes back no sooner than in these was not in the model any more.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from prepe.errors import PrepeError
from prepe.figures import style

_ATTACKS = {"rest": "without any target item", "few": "with a few target items", "all": "with all other items"}
"""What an attacker has, in the order of the panels."""
_KNOWN = {"retrain": "never saw it", "reset": "random weights"}
_GUESS, _BACK = 1.0, 0.1
"""The error of an ideal deletion on the pure concept, and the one from which on a concept counts as recovered."""
_SAME = 0.005
"""Medians that differ by less cannot be told apart."""
_LINEAR_STEPS = 10
_PANEL = 3.2  # inches
_LEGEND = 5  # names beside each other


@dataclass(frozen=True)
class Curves:
    """The curves of all members under one intervention and attack: error in units of D*, `(members, watched)`."""

    at: np.ndarray
    error: np.ndarray
    members: int

    def quartiles(self) -> np.ndarray:
        """Return the first, second and third quartile over members, `(3, watched)`."""
        return np.asarray(np.quantile(self.error, (0.25, 0.5, 0.75), axis=0))


Panels = dict[str, dict[str, Curves]]
"""By what the attacker has, then by intervention."""


def has_curves(effects: pa.Table) -> bool:
    """Say whether there is anything to draw."""
    return len(effects) > effects["recover_curve"].null_count


def draw(effects: pa.Table, title: str) -> Figure:
    """Draw every attack on a trial's deleted models: median over members, and a band between quartiles.

    Args:
        effects: rows of one trial, one a member and intervention.
        title: heads the page.

    Raises:
        PrepeError: nothing was attacked.
    """
    panels = curves(effects)
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    marks = style.marks(names)
    rows = -(-len(names) // _LEGEND)
    figure, parts = style.page(title, _says(effects), [0.15 + 0.2 * rows, _PANEL])
    handles = [Line2D([], [], color=color, ls=dash, lw=2) for color, dash in marks.values()]
    parts[0].legend(handles, names, loc="upper left", ncols=_LEGEND, borderaxespad=0.6, borderpad=0, handlelength=2.2)
    grid = parts[1].subplots(1, max(2, len(panels)), sharey=True, squeeze=False)[0]
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for axes, (attack, lines) in zip(grid, panels.items(), strict=False):
        _panel(axes, lines, marks)
        axes.set_title(f"attack {_ATTACKS[attack]}")
    grid[0].set_ylabel("error on held-out target items / D*")
    grid[0].set_ylim(bottom=0)
    return figure


def alt_text(effects: pa.Table, title: str) -> str:
    """Say in words and numbers what `draw` shows of the same rows."""
    lines = [f"{title}.", _says(effects)]
    for attack, found in curves(effects).items():
        said = []
        for name, each in found.items():
            middle = each.quartiles()[1]
            back = np.flatnonzero(middle < _BACK)
            when = f"below {_BACK:g} from update {each.at[back[0]]} on" if back.size else f"never below {_BACK:g}"
            said.append(f"{name} from {middle[0]:.2f} to {middle[-1]:.2f} after {each.at[-1]} updates, {when}")
        lines.append(f"Attack {_ATTACKS[attack]}, median error in units of D*: {'; '.join(said)}.")
    return "\n".join(lines)


def curves(effects: pa.Table) -> Panels:
    """Return the curves by attack and intervention; interventions that cannot be told apart share a name.

    Raises:
        PrepeError: nothing was attacked, or no member is left that can be watched.
    """
    found: Panels = {attack: {} for attack in _ATTACKS}
    for attack, name, each in _of_interventions(effects):
        found[attack][name] = each
    found = {attack: lines for attack, lines in found.items() if lines}
    if not found:
        raise PrepeError("figure of recovery: no effect has a curve; allowed: a trial with an attacked deletion")
    return _merged(found)


def _of_interventions(effects: pa.Table) -> Iterator[tuple[str, str, Curves]]:
    rows = effects.select(["intervention", "operator", "parameters", "recover_curve", "recover_at"]).to_pylist()
    for label in dict.fromkeys(row["intervention"] for row in rows):
        own = [row for row in rows if row["intervention"] == label]
        kept = [row for row in own if row["recover_curve"] is not None]
        if kept:
            attack = json.loads(kept[0]["parameters"])["recovery"]["data"]
            known = _KNOWN.get(kept[0]["operator"])
            name = label.removesuffix(f".{attack}") + (f" ({known})" if known else "")
            error = np.array([row["recover_curve"] for row in kept])
            yield attack, name, Curves(np.array(kept[0]["recover_at"]), error, len(own))


def _merged(panels: Panels) -> Panels:
    """Give interventions one line where their medians are the same in every panel."""
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    groups: list[list[str]] = []
    for name in names:
        same = next((group for group in groups if _alike(panels, group[0], name)), None)
        if same is None:
            groups.append([name])
        else:
            same.append(name)
    return {
        attack: {", ".join(group): lines[group[0]] for group in groups if group[0] in lines}
        for attack, lines in panels.items()
    }


def _alike(panels: Panels, one: str, other: str) -> bool:
    for lines in panels.values():
        if (one in lines) != (other in lines):
            return False
        if one in lines:
            a, b = lines[one], lines[other]
            if not np.array_equal(a.at, b.at) or np.abs(a.quartiles()[1] - b.quartiles()[1]).max() > _SAME:
                return False
    return True


def _panel(axes: Axes, lines: dict[str, Curves], marks: dict[str, tuple[str, Any]]) -> None:
    for level, dash in ((_GUESS, "--"), (_BACK, ":")):
        axes.axhline(level, color=style.muted(), ls=dash, lw=1.2, zorder=1)
    for name, each in lines.items():
        color, dash = marks[name]
        low, middle, high = each.quartiles()
        axes.fill_between(each.at, low, high, color=color, alpha=0.18, lw=0)
        axes.plot(each.at, middle, color=color, ls=dash, zorder=3)
    last = max(int(each.at[-1]) for each in lines.values())
    axes.set_xscale("symlog", linthresh=_LINEAR_STEPS, linscale=0.6)
    ticks = [0, *(step for step in (10, 30, 100, 300, 1000, 3000, 10_000) if step <= last)]
    axes.set_xticks(ticks, [str(step) for step in ticks], minor=False)
    axes.minorticks_off()
    axes.set_xlim(0, last)
    axes.set_xlabel("updates of the attack")


def _says(effects: pa.Table) -> str:
    seeds = len(set(effects["seed"].to_pylist()))
    d_star = float(effects["ideal_damage"][0].as_py())
    return (
        f"{seeds} member{'s' * (seeds != 1)}: median, and a band between quartiles, of the error on items of "
        f"{effects['concept'][0].as_py()} that the attacker has not got, over D* = {d_star:.3g}. Dashed: 1, the error "
        f"of the fallback in place of the concept; dotted: {_BACK:g}, where it counts as recovered. Members that broke "
        "are left out."
    )
