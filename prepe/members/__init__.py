"""Stored members in; what they come to over seeds, item by item, and against another trial's out. Without torch."""

from prepe.members.bootstrap import interval
from prepe.members.difference import Paired, diff
from prepe.members.items import ItemTable, item_table, latex, number
from prepe.members.pareto import SCORE, Front, front, ranked, shown, summary, undominated
from prepe.members.rows import Members, find, of_tables, val_term

__all__ = [
    "SCORE",
    "Front",
    "ItemTable",
    "Members",
    "Paired",
    "diff",
    "find",
    "front",
    "interval",
    "item_table",
    "latex",
    "number",
    "of_tables",
    "ranked",
    "shown",
    "summary",
    "undominated",
    "val_term",
]
