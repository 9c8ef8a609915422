"""A sweep file in; fixed values, a search space, objectives, constraints and a budget out.

A sweep file is TOML. Its tables data, model, terms, schedule, concepts and interventions make one trial (see `spec`).
With a [search] table, a value anywhere in them may be `"$name"` or `"0.5 * $name"`, where `name` is a parameter under
[search.space]; every parameter says where the search starts, and the first trial is the one made of those values.
"""

from prepe.sweep.files import from_table, load
from prepe.sweep.parts import Budget, Distribution, Halving, Number, Params, Record, Resources, Search, Sweep, digest

__all__ = [
    "Budget",
    "Distribution",
    "Halving",
    "Number",
    "Params",
    "Record",
    "Resources",
    "Search",
    "Sweep",
    "digest",
    "from_table",
    "load",
]
