"""A trial's members in; a table of its named items, with their error before and after each intervention, out."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from prepe import store
from prepe.errors import PrepeError
from prepe.members.bootstrap import interval
from prepe.members.rows import Members

Row = dict[str, Any]
_COLUMNS = ("block", "seed", "intervention", "item", "x", "error_before", "error_after")
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_DIGITS = 9


@dataclass(frozen=True)
class ItemTable:
    """Named items and their mean squared errors: of one member, or the means over members.

    Attributes:
        trial: its name.
        seeds: the members that count.
        left_out: broken members; of a mean, which has no worst error that could stand for them.
        interventions: their labels.
        rows: one an item: `item`, `color` (as `#rrggbb`, or None), `baseline`, and for each intervention `LABEL.mse`
            and `LABEL.delta`, its difference from the baseline. A mean over members also has the ends of each number's
            95 % bootstrap interval, under its name with `_low` and `_high`.
    """

    trial: str
    seeds: list[int]
    left_out: list[int]
    interventions: list[str]
    rows: list[Row]

    def says(self) -> str:
        """Say whose errors these are."""
        left_out = f", without {len(self.left_out)} that broke" if self.left_out else ""
        if len(self.seeds) == 1:
            return f"member {self.seeds[0]}{left_out}"
        return f"means over {len(self.seeds)} members{left_out}, with 95 % intervals"


def item_table(members: Members, results: store.Root, member: int | None = None) -> ItemTable:
    """Return the table of one member's named items, or of means over all members.

    Raises:
        PrepeError: there is no such member, or no intervention, or every member broke.
    """
    if member is not None and member not in members.seeds:
        low, high = min(members.seeds), max(members.seeds)
        raise PrepeError(f"--member {member}: trial {members.trial} has no such member; allowed: {low} to {high}")
    broken = members.broken if member is None else []
    seeds = [seed for seed in members.seeds if seed not in broken] if member is None else [member]
    if not seeds:
        raise PrepeError(f"trial {members.trial}: every member broke in training, so no item has an error")
    if not members.labels:
        raise PrepeError(f"trial {members.trial}: it has no intervention, and so no items; allowed: a trial with one")
    errors, colors = _errors(members, results, seeds)
    if not colors:
        raise PrepeError(f"trial {members.trial}: {results} holds no items of it")
    rows = [_row(name, color, members.labels, errors, i, len(seeds)) for i, (name, color) in enumerate(colors.items())]
    return ItemTable(members.trial, seeds, broken, members.labels, rows)


def latex(table: ItemTable, digits: int = _DIGITS) -> str:
    r"""Return the table as LaTeX: item, swatch, baseline, and the signed difference under each intervention.

    Differences of means over members have their interval behind them. It needs `\usepackage[table]{xcolor}`.
    """
    swatches = any(row["color"] for row in table.rows)
    head = [
        "item",
        *([""] if swatches else []),
        "baseline",
        *(f"$\\Delta$ {_text(each)}" for each in table.interventions),
    ]
    lines = [
        r"% \usepackage[table]{xcolor}",
        rf"\begin{{tabular}}{{l{'c' * swatches}{'r' * (len(head) - 1 - swatches)}}}",
    ]
    lines += [_line(head), r"\hline"]
    for row in table.rows:
        swatch = [rf"\cellcolor[HTML]{{{row['color'][1:].upper()}}}" if row["color"] else ""] if swatches else []
        numbers = [number(row, "baseline", digits)]
        numbers += [number(row, f"{label}.delta", digits) for label in table.interventions]
        lines.append(_line([_text(row["item"]), *swatch, *numbers]))
    return "\n".join([*lines, r"\end{tabular}"])


def number(row: Row, column: str, digits: int) -> str:
    """Return one number of a row as text; a difference with its sign and, if it has one, its interval behind it."""
    if not column.endswith(".delta"):
        return f"{row[column]:.{digits}f}"
    mean, *ends = (f"{row[name]:+.{digits}f}" for name in (column, f"{column}_low", f"{column}_high") if name in row)
    return f"{mean} [{', '.join(ends)}]" if ends else mean


def _errors(
    members: Members, results: store.Root, seeds: list[int]
) -> tuple[dict[str | None, np.ndarray], dict[str, str | None]]:
    """Return errors `(members, items)` by intervention, those before under None, and the items' colours, in order."""
    where = (pc.field("set") == "named") & pc.field("seed").isin(seeds)
    rows = store.read(results, "items", where, _COLUMNS, f"{members.trial}-*").sort_by("block").to_pylist()
    of_color = members.spec.training.data.is_color
    first = members.labels[0]
    colors = {row["item"]: _hex(row["x"]) if of_color else None for row in rows if row["intervention"] == first}
    places = {name: i for i, name in enumerate(colors)}, {seed: i for i, seed in enumerate(seeds)}
    errors: dict[str | None, np.ndarray] = {
        key: np.full((len(seeds), len(colors)), np.nan) for key in (None, *members.labels)
    }
    for row in reversed(rows):  # of two blocks with the same member, the first one counts
        at = places[1][row["seed"]], places[0][row["item"]]
        errors[row["intervention"]][at] = row["error_after"]
        errors[None][at] = row["error_before"]
    return errors, colors


def _row(
    name: str, color: str | None, labels: list[str], errors: dict[str | None, np.ndarray], item: int, members: int
) -> Row:
    before = errors[None][:, item]
    columns = {"baseline": before}
    for label in labels:
        columns |= {f"{label}.mse": errors[label][:, item], f"{label}.delta": errors[label][:, item] - before}
    row: Row = {"item": name, "color": color}
    for column, values in columns.items():
        row[column] = float(values.mean())
        if members > 1:
            row[f"{column}_low"], row[f"{column}_high"] = interval(values)
    return row


def _hex(rgb: list[float]) -> str:
    """Return a colour's code. A channel of 0.5 is 7f, cut off and not rounded, as in the reference's tables."""
    return "#" + "".join(f"{int(min(max(channel, 0.0), 1.0) * 255):02x}" for channel in rgb)


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _text(text: str) -> str:
    return re.sub(r"[\\~^&%$#_{}]", lambda found: _LATEX.get(found[0], f"\\{found[0]}"), text)
