"""A trial's members in; those that no other one beats in everything, and the one that is shown for all, out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prepe import store
from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS, unknown
from prepe.errors import PrepeError
from prepe.members.rows import VAL, Members, val_term

Row = dict[str, Any]
SCORE = "score_r2"
_ANCHORS, _SUBSPACES = ("anchor", "anchor_euclidean", "anti_anchor"), ("subspace", "planarity")
"""Kinds of terms that say where a concept should be."""
_BEST = 5
_COUNTS = ("label_n_drawn", "label_n_used")


@dataclass(frozen=True)
class Front:
    """A trial's Pareto front over seeds.

    Attributes:
        trial: its name.
        by: the score, of `intervention`, whose best member is the chosen one.
        intervention: its label.
        minimized: what is wanted small beside it.
        columns: score and minimized -> one value a member in the order of the seeds, broken members as the worst.
        seeds: of all members.
        front: seeds of the members on the front, the best score first.
        best: the first five of them.
        chosen: the seed of the member that is shown.
        rule: says why this one.
    """

    trial: str
    by: str
    intervention: str
    minimized: tuple[str, ...]
    columns: dict[str, np.ndarray]
    seeds: list[int]
    front: list[int]
    best: list[int]
    chosen: int
    rule: str

    def rows(self) -> list[Row]:
        """Return the best members with their score and what is minimized, a row each."""
        places = [self.seeds.index(seed) for seed in self.best]
        return [
            {"seed": seed, **{name: float(values[place]) for name, values in self.columns.items()}}
            for seed, place in zip(self.best, places, strict=True)
        ]


def front(
    members: Members, by: str = SCORE, intervention: str | None = None, minimize: Sequence[str] | None = None
) -> Front:
    """Return the members that no other one dominates, and choose the one with the best score.

    One dominates another if it is as good in everything and better in something. Since the score is among that, the
    chosen member is always on the front, which is there to be looked at.

    Args:
        members: of one trial.
        by: the score, a metric of an intervention's effect.
        intervention: whose; by default the file's first one.
        minimize: metrics of members, `val:TERM`, or metrics of the same intervention; by default `recon_mse` and the
            anchors and anti-anchors on the validation items; where there are none, the subspaces.

    Raises:
        PrepeError: there is no intervention, or none of this name; a metric is unknown, not measured, or no score; or
            every member broke.
    """
    label = _label(members, intervention)
    if by not in EFFECT_METRICS:
        raise PrepeError(f"--by {by}: {unknown(by, EFFECT_METRICS, 'metric')}")
    goal = EFFECT_METRICS[by].goal
    if goal == "gate":
        scores = [name for name, each in EFFECT_METRICS.items() if each.goal != "gate"]
        raise PrepeError(f"--by {by}: neither more nor less of it is better; allowed: {', '.join(scores)}")
    minimized = tuple(minimize) if minimize else ("recon_mse", *_placed(members))
    columns = {by: members.counted(by, label)}
    columns |= {name: _minimized(members, name, label) for name in minimized}
    if len(members.broken) == len(members.seeds):
        raise PrepeError(f"trial {members.trial}: every member broke in training, so there is none to choose")
    loss = columns[by] if goal == "min" else -columns[by]
    order = ranked(members.seeds, members.values(by, label), goal == "min")
    on_front = undominated(np.stack([loss, *(columns[name] for name in minimized)], axis=-1))
    best_first = [seed for seed in order if on_front[members.seeds.index(seed)]]
    word = "lowest" if goal == "min" else "highest"
    rule = f"the {word} {by} of {label} among {len(members.seeds)} members; of equal ones, the first seed"
    return Front(
        members.trial,
        by,
        label,
        minimized,
        columns,
        members.seeds,
        best_first,
        best_first[:_BEST],
        order[0],
        rule,
    )


def ranked(seeds: Sequence[int], scores: np.ndarray, lowest: bool = False) -> list[int]:
    """Return seeds by their scores, the best first: the one rule by which the shown member is chosen.

    Of equal scores the first seed comes first; those without a number, as of broken members, come last.

    Args:
        seeds: of members.
        scores: `(members,)`.
        lowest: whether the lowest is the best.
    """
    loss = scores if lowest else -scores
    return [int(seeds[i]) for i in np.lexsort((np.array(seeds), np.nan_to_num(loss, nan=np.inf), np.isnan(loss)))]


def shown(members: Members, by: str = SCORE, intervention: str | None = None) -> int:
    """Return the seed of the member that stands for a trial: the one with the best score; see `front`."""
    return front(members, by, intervention, ["recon_mse"]).chosen


def undominated(costs: np.ndarray) -> np.ndarray:
    """Return which rows of `(members, costs)` no other row dominates, `(members,)`; all costs are wanted small."""
    lower = (costs[:, None] <= costs[None]).all(-1) & (costs[:, None] < costs[None]).any(-1)
    return np.asarray(~lower.any(0))


def summary(members: Members, found: Front, results: store.Root) -> list[Row]:
    """Return least, largest, mean and standard deviation (n - 1) over members, of what describes a run, a row each.

    These are seed, score, what is minimized, reconstruction, every validation term, label counts, and training time.
    """
    names = [name for name in ("recon_mse", *members.terms, *_COUNTS) if name not in found.columns]
    columns = {"seed": np.array(members.seeds, dtype=float), **found.columns}
    columns |= {name: members.counted(name) for name in names if name in members.metrics()}
    columns |= _of_training(members, results)
    return [{"quantity": name, **_statistics(values)} for name, values in columns.items()]


def _label(members: Members, intervention: str | None) -> str:
    if not members.labels:
        raise PrepeError(f"trial {members.trial}: it has no intervention to score; allowed: a trial with one")
    if intervention is not None and intervention not in members.labels:
        raise PrepeError(f"--intervention {intervention}: {unknown(intervention, members.labels, 'intervention')}")
    return members.labels[0] if intervention is None else intervention


def _placed(members: Members) -> list[str]:
    """Return the terms that say where a concept should be, as `val:TERM`: anchors, or subspaces where none is."""
    kinds = {val_term(name): term.kind for name, term in members.spec.training.terms.items()}
    anchors, subspaces = ([name for name in members.terms if kinds.get(name) in of] for of in (_ANCHORS, _SUBSPACES))
    return anchors or subspaces


def _minimized(members: Members, name: str, label: str) -> np.ndarray:
    """Return the values of a metric of the members, or else of the intervention."""
    if name in MEMBER_METRICS or name.startswith(VAL):
        return members.counted(name)
    if name in members.metrics(label):
        return members.counted(name, label)
    allowed = [*members.metrics(), *members.metrics(label)]
    raise PrepeError(f"--minimize {name}: {unknown(name, dict.fromkeys(allowed), 'metric')}")


def _of_training(members: Members, results: store.Root) -> dict[str, np.ndarray]:
    """Return each member's labelled draws that a term used, by label, and its share of its block's training time."""
    columns = ["block", "seed", "labels_used", "wall_s", "members_in_block"]
    stored = store.read(results, "models", columns=columns, names=f"{members.spec.training.digest()}-*")
    rows = {row["seed"]: row for row in store.first_block(stored, ["seed"]).to_pylist()}
    if not rows.keys() >= set(members.seeds):  # files were moved away
        return {}
    own = [rows[seed] for seed in members.seeds]
    used = [dict(row["labels_used"] or ()) for row in own]
    labels = dict.fromkeys(label for each in used for label in each)
    counts = {f"labels_used:{label}": np.array([each.get(label, 0) for each in used], dtype=float) for label in labels}
    return counts | {"train_s": np.array([row["wall_s"] / row["members_in_block"] for row in own])}


def _statistics(values: np.ndarray) -> Row:
    finite = bool(np.isfinite(values).all())
    return {
        "min": float(values.min()),
        "max": float(values.max()),
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)) if finite and len(values) > 1 else math.nan,
    }
