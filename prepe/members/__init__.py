"""Stored members in; what they come to over seeds, item by item, and against another trial's out. Without torch."""

from prepe.members.bootstrap import interval
from prepe.members.difference import Paired, diff
from prepe.members.efficiency import Curve, curves, edge
from prepe.members.items import ItemTable, item_table, latex, number
from prepe.members.pareto import SCORE, Front, front, ranked, shown, summary, undominated
from prepe.members.rows import Members, find, of_seeds, of_sweep, of_tables, val_term
from prepe.members.shrinkage import Between, Shrunk, differences, shrinkage

__all__ = [
    "SCORE",
    "Between",
    "Curve",
    "Front",
    "ItemTable",
    "Members",
    "Paired",
    "Shrunk",
    "curves",
    "diff",
    "differences",
    "edge",
    "find",
    "front",
    "interval",
    "item_table",
    "latex",
    "number",
    "of_seeds",
    "of_sweep",
    "of_tables",
    "ranked",
    "shown",
    "shrinkage",
    "summary",
    "undominated",
    "val_term",
]
