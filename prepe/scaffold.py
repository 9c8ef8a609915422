"""A kind of sweep in; the text of a sweep file to begin with out, every section of it explained.

What can stand at a place is listed from the catalog, so the lists are always whole.
"""

import re
import textwrap
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

from prepe import sweep
from prepe.catalog import (
    DATA,
    EFFECT_METRICS,
    HUES,
    MEMBER_METRICS,
    MODELS,
    OPERATORS,
    STATISTICS,
    TERMS,
    DataPart,
    Intervention,
    ModelPart,
    Part,
    Term,
    unknown,
)
from prepe.catalog.data import LABEL_CONCEPTS
from prepe.errors import PrepeError
from prepe.keyframes import RULES, Space, Timing
from prepe.sweep import Search

Kind = Literal["search", "fixed"]

_WIDTH = 120
_NO_BREAK = "\N{NO-BREAK SPACE}"
_OWN = "\n#   or your own, package.module:function, which `prepe run --allow-imports` allows"
_TEXT = """\
# <file>: a sweep file, to be changed into your own. As it stands it takes seconds:
#
#   prepe run <file>
#
# A line that begins with "# " explains; one that begins with "#" alone is an alternative, to be had without the "#".
# Editors that know Taplo (Even Better TOML) check and complete sweep files: let `prepe schema --out sweep.schema.json`
# write the schema, and make the first line here `#:schema ./sweep.schema.json`.

# What this sweep is to find out, in a sentence.
question = "<question>"
# How many models every trial trains, all at once; they differ by their seeds, which follow on the first.
members = 4
#first_seed = 100
# The unregularised twin of every model is what the metric task_cost compares with; without it, training is shorter.
#twin = false


# --- data: what models learn from. Kinds:
<data>
[data]
kind = "rgb_grid"
size = 6
# How a batch is made: "random" draws items with replacement, "all" takes the whole set at every step.
#draw = "all"
# Labels, drawn anew at every draw of an item, with the chance rate * concept ** power. Concepts:
<concepts>
labels.red = { concept = "redness", power = 8, rate = 0.3 }
# A share of labels may be missed and of others false; a soft label is the chance itself.
#labels.blue = { concept = "hue:blue", rate = 0.2, missed = 0.1, false = 0.01, soft = true }


# --- model: what is trained. Kinds:
<models>
[model]
kind = "autoencoder"
latent_dim = <latent_dim>
hidden_dim = 16
depth = 2


# --- concepts: an item that stands for each, and where it is to be. Items:
<items>
[concepts.red]
item = "red"
# An axis and its side, { axis = 0, sign = -1 }; a list of components, [1, 1, 0]; or a plane, { axes = [0, 1] }.
direction = { axis = 0 }
# Whether the direction should carry nothing else.
isolated = true
# How alike items are to it (<similarities>), and what should be in its place when it is deleted.
#similarity = "lab"
#fallback = "black"

# Items that should lie on a circle, for the metrics that begin with ring_: <cycles>.
#[cycle]
#items = "hues"
#axes = [0, 1]


# --- terms: parts of the loss, each under a name of yours; its weight is in the schedule, under that name. Kinds:
<terms>
# A term acts at a site of the model, and with labels on the samples that carry them, each label to a share from 0 to 1.
[terms.anchor]
kind = "anchor"
site = "bottleneck"
direction = { axis = 0 }
labels = { red = 1 }

[terms.separate]
kind = "separate"
power = 100

[terms.reserve]
kind = "anti_subspace"
axes = [0]


# Gradients of labelled samples may be let through some axes alone.
#[routes.red]
#axes = [0]
#label = "red"


# --- schedule: the learning rate lr, the terms' weights, and perhaps loss-recon, the weight of reconstruction.
[schedule]
batch_size = 32
# How values move from one keyframe to the next: <timings>. One may have its own timing, and move in
# its logarithm (spaces: <spaces>).
#timing = "linear"
#columns.lr = { space = "log", timing = "linear" }
# What the last update uses: the values of the last step ("reach"), or those of the step before ("repeat").
#final_step = "repeat"
# A keyframe names a step and values; it may begin a phase, and cause actions (what anchor_captured captures by). A step
# may be relative to the nearest absolute ones: so many steps ("+10", "-1"), or a share of the way ("+0.5").
keyframes = [
  { step = 0, phase = "early", lr = 0.001, anchor = 0, separate = 0, reserve = 0.25 },
  { step = "+60", anchor = <anchor>, separate = 0.01 },
  { step = 200, phase = "late", lr = <peak_lr>, separate = 0.01, reserve = 0.003, actions = ["capture"] },
  { step = "+0.9", anchor = <anchor>, separate = 0, reserve = 0 },
  { step = 399, lr = <half_peak_lr>, anchor = 0 },
]
# In place of keyframes and columns, dopesheet = "FILE.csv" names a CSV file, as `prepe schedule FILE --csv` prints one.
# A phase may have its own size of a batch, and its own values for keys of [data].
#phases.late = { batch_size = 64, data = { draw = "all" } }
# Rules react to what is measured, each member's to its own: to recon, total, or a term by its name. Kinds:
<rules>
#rules = [{ name = "off", kind = "move", measure = "anchor", below = 0.1, parameter = "anchor", to = 0, steps = 20 }]


# --- interventions: what is done to each trained model, to measure what else changes. Operators:
<operators>
[[interventions]]
label = "ablate"
operator = "ablate"
concept = "red"
# The ideal damage to an item is D* similarity ** power, D* that of replacing the pure concept by its fallback.
power = 3

#[[interventions]]
#label = "suppress"
#operator = "suppress"
#concept = "red"
#power = 2
#gate = { start = 0.2, strength = 1, power = 1 }

#[[interventions]]
#label = "repel"
#operator = "repel"
#concept = "red"
#power = 2
#mapper = { kind = "linear", start = 0.1, end = 0.2 }

# A direction may also be found in each trained model, from its labels; what is left may be searched for the concept.
#[[interventions]]
#label = "found"
#operator = "project"
#concept = "red"
#power = 3
#direction = { fitted = "mean_difference" }
#leakage = { steps = 50 }

# A deletion can be followed by fine-tuning that heals it, and by an attack that tries to bring the concept back.
#[[interventions]]
#label = "prune"
#operator = "prune"
#concept = "red"
#power = 3
#heal = { towards = "fallback", steps = 50 }
#recovery = { data = "few", items = 8, steps = 50 }


# --- objectives: <objectives>
# Metrics of an intervention's effect:
<effect_metrics>
# Metrics of members, where no intervention is named:
<member_metrics>
# Statistics over members:
<statistics>
[[objectives]]
intervention = "ablate"
metric = "score_ccc"
goal = "maximize"

[[objectives]]
metric = "recon_mse"
statistic = "mean"
log = true
goal = "minimize"


# --- constraints: a trial that breaks one is kept, but never best; each has at_least or at_most.
[[constraints]]
metric = "broken"
statistic = "rate"
at_most = 0


# --- claims: what the rows should show, judged at the end of a run and by `prepe check`. The values, one a seed, are a
# metric of the one trial (or of a variant that is named), or the columns seed and value of SQL. A claim that is known
# to fail says in `fails` what was found.
[[claims]]
says = "Red ends where it was wanted"
sql = "SELECT seed, median(anchor_cos) AS value FROM members WHERE sweep = '<stem>' GROUP BY seed"
statistic = "median"
at_least = 0.9

#[[claims]]
#says = "No seed costs reconstruction"
<of_metric>
#statistic = "max"
#equals = 0
#tolerance = 0.01


# --- record: what is kept of training beside its result.
[record]
# A row of history every so many updates.
history_stride = 10
# Steps at which latents of the shown members are kept (snapshots), or all members' weights, and measured (checkpoints).
snapshots = [0, 200]
#checkpoints = [200]
#shown_members = 2


# --- resources: what one job asks Ray for, how many jobs go at once, and how many trials of one shape share a batch.
[resources]
cpus = 1
#gpus = 0.25    # where there are any; with mixed = true, CPUs that are left take jobs too
#concurrency = 2
#pack = 4
#cost_per_hour = 0.5


# --- budget: beyond it no more trials are begun (max_cost needs a cost_per_hour); a trial that takes longer has failed.
#[budget]
#max_hours = 8
#timeout_s = 600
"""
_SEARCH = """\


# --- search: how trials are proposed, and how many. Samplers: <samplers>.
# A grid tries every point of choices and whole numbers, and needs neither trials nor objectives.
[search]
trials = 4
#sampler = "random"
#startup_trials = 20
#seed = 1
# Every trial begins with few members, and the best of each three get three times as many, until they have all.
#halving = { start = 2, factor = 3 }

# Parameters, each with the value that the search starts from: a range of whole numbers (int, perhaps with a step) or of
# numbers (float, or log for a logarithmic scale), or a choice. "$name", or "0.5 * $name", stands for one above.
[search.space]
latent_dim = { int = [3, 5], start = 4 }
peak_lr = { log = [0.01, 0.1], start = 0.03 }
anchor = { choice = [0.05, 0.1, 0.2], start = 0.1 }
"""
_FIXED = """\


# --- variants: configurations beside each other, each laid over the tables above; false takes a key out.
#[variants.narrow]
#[variants.wide]
#model.hidden_dim = 24
"""
_VALUES: dict[Kind, dict[str, str]] = {
    "search": {
        "question": "Which size, learning rate and weight pin red to an axis, so that it alone can be ablated?",
        "of_metric": (
            "#sql = \"SELECT seed, max(recon_mse) AS value FROM members WHERE sweep = '<stem>' GROUP BY seed\""
        ),
        "objectives": "what the search pushes, and trials are ranked by, the first one first.",
        "latent_dim": '"$latent_dim"',
        "peak_lr": '"$peak_lr"',
        "half_peak_lr": '"0.5 * $peak_lr"',
        "anchor": '"$anchor"',
    },
    "fixed": {
        "question": "Can red be pinned to an axis, so that it alone can be ablated?",
        "of_metric": '#metric = "recon_mse"',
        "objectives": "what the table at the end shows, and `prepe top`.",
        "latent_dim": "5",
        "peak_lr": "0.03",
        "half_peak_lr": "0.015",
        "anchor": "0.1",
    },
}


def write(path: str | Path, kind: Kind = "search", force: bool = False) -> Path:
    """Write a sweep file to begin with.

    Args:
        path: where; the name without `.toml` is the sweep's.
        kind: `search` for a search over sizes and weights, `fixed` for one configuration.
        force: replace a file that is there.

    Raises:
        PrepeError: there is such a file, its name cannot be a sweep's, or it cannot be written.
    """
    path = Path(path)
    if kind not in _VALUES:
        raise PrepeError(f"kind: {unknown(kind, _VALUES, 'kind')}")
    if path.suffix != ".toml":
        raise PrepeError(f"{path}: a sweep file is TOML; allowed: a name that ends in .toml")
    written = text(path.name, kind)
    try:
        sweep.from_table(path.stem, tomllib.loads(written))
    except PrepeError as error:
        raise PrepeError(f"{path}: {error}") from None
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(written)
    except FileExistsError:
        raise PrepeError(f"{path}: it is there already; allowed: another name, or --force to replace it") from None
    except OSError as error:
        raise PrepeError(f"{path}: cannot be written: {error.strerror}") from None
    return path


def text(name: str, kind: Kind = "search") -> str:
    """Return the text of a sweep file to begin with, for a file of some name."""
    data = [part.model_construct(kind=kind) for kind, part in DATA.items()]
    lists = {
        "file": name,
        "stem": name.removesuffix(".toml"),
        "data": _members(DATA, DataPart),
        "concepts": _listed(LABEL_CONCEPTS) + "\n" + _listed(HUES, "where NAME is one of "),
        "models": _members(MODELS, ModelPart) + _OWN,
        "items": _listed(_of(each.items() for each in data)),
        "similarities": ", ".join(_of(each.similarities() for each in data)),
        "cycles": ", ".join(_of(each.cycles() for each in data)),
        "terms": _members(TERMS, Term) + _OWN,
        "timings": ", ".join(get_args(Timing)),
        "spaces": ", ".join(get_args(Space)),
        "rules": _members(RULES, Part),
        "operators": _members(OPERATORS, Intervention),
        "effect_metrics": _listed(EFFECT_METRICS),
        "member_metrics": _listed(MEMBER_METRICS),
        "statistics": _listed(STATISTICS),
        "samplers": ", ".join(get_args(Search.model_fields["sampler"].annotation)),
    }
    return _filled(_filled(_TEXT + (_SEARCH if kind == "search" else _FIXED), _VALUES[kind]), lists)


def _filled(template: str, values: Mapping[str, str]) -> str:
    """Return a text with values in place of their `<names>`."""
    return re.sub(r"<(\w+)>", lambda match: values.get(match[1], match[0]), template)


def _of(lists: Iterable[Iterable[str]]) -> list[str]:
    """Return all names that stand in any list, each once."""
    return list(dict.fromkeys(name for each in lists for name in each))


def _listed(names: Iterable[str], before: str = "") -> str:
    """Return lines of comment with names."""
    return _comment(before + ", ".join(_unbroken(f'"{name}"' if " " in name else name) for name in names), "")


def _members(members: Mapping[str, type[Part]], base: type[Part]) -> str:
    """Return lines of comment with every member of an open set: what it is, and its keys besides those of all."""
    width = max(map(len, members)) + 2
    lines = []
    for name, part in members.items():
        keys = {key: field for key, field in part.model_fields.items() if key not in (*base.model_fields, "kind")}
        needed = [key for key, field in keys.items() if field.is_required()]
        others = [_unbroken(key + _default(field.default)) for key, field in keys.items() if not field.is_required()]
        what = [(part.__doc__ or "").strip().partition("\n")[0]]
        what += [f"Needs {', '.join(needed)}."] * bool(needed) + [f"Has {', '.join(others)}."] * bool(others)
        lines.append(_comment(f"{name:<{width}}{' '.join(what)}", " " * width))
    return "\n".join(lines)


def _default(value: object) -> str:
    """Return a default as it would be written, or nothing for one that cannot be."""
    if isinstance(value, bool):
        return f" = {str(value).lower()}"
    if isinstance(value, str):
        return f' = "{value}"'
    return f" = {value:g}" if isinstance(value, int | float) else ""


def _unbroken(words: str) -> str:
    return words.replace(" ", _NO_BREAK)


def _comment(line: str, indent: str) -> str:
    lines = textwrap.fill(line, _WIDTH, initial_indent="#   ", subsequent_indent=f"#   {indent}")
    return lines.replace(_NO_BREAK, " ")
