"""Trials that differ in their labels alone in; how few labels, and how noisy ones, keep most of the score, out.

Labels that are missed and labels that are false are swept apart, as recall and precision.

Source: Cloud et al., "Gradient routing" (arXiv:2410.04332), and SGTM, for sweeps of labels kept and labels in error.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from prepe.catalog import EFFECT_METRICS, Label, unknown
from prepe.errors import PrepeError
from prepe.members.bootstrap import interval
from prepe.members.rows import Members, meaning
from prepe.metrics.summary import statistics

SHARE, SCORE = 0.9, "score_ccc"
Kind = Literal["labels", "missed", "false"]
NAMES: dict[Kind, str] = {"labels": "label_n90", "missed": "noise_tol missed", "false": "noise_tol false"}


@dataclass(frozen=True)
class Curve:
    """A score over one property of the labels, from as they are to ever worse.

    Attributes:
        kind: `labels` used in training, on the mean over members; share of labels `missed`; share of unlabelled draws
            that got a `false` one.
        metric: the score.
        x: `(points,)`, the clean trial's first.
        scores: `(points, members)`, of the same seeds, broken members as the worst.
        trials: names of the trials, one a point.
        wrong: share of labels that are false, one a point.
        median: `(points,)` of the scores.
        edge: where the median falls below `SHARE` of the clean trial's; NaN where it does not.
        low, high: its 95 % bootstrap interval, seeds drawn for all points at once; infinite where a resample stays
            above.
        last: the last point of all.
    """

    kind: Kind
    metric: str
    x: np.ndarray
    scores: np.ndarray
    trials: list[str]
    wrong: np.ndarray
    median: np.ndarray
    edge: float
    low: float
    high: float

    @property
    def last(self) -> float:
        return float(self.x[-1])

    @property
    def says(self) -> str:
        """What the edge is in words and numbers."""
        name, kept = NAMES[self.kind], f"{100 * SHARE:.0f} % of the clean trial's median"
        if math.isnan(self.edge):
            return f"{name}: {'below' if self.kind == 'labels' else 'above'} {self.last:.3g}; all keep {kept}"
        ends = ", ".join("none" if not math.isfinite(end) else f"{end:.3g}" for end in (self.low, self.high))
        share = f", {100 * np.interp(self.edge, self.x, self.wrong):.0f} % of labels," if self.kind == "false" else ""
        return f"{name}: {self.edge:.3g} [{ends}]{share} keep {kept}"


def edge(x: np.ndarray, score: np.ndarray, log: bool = True, share: float = SHARE) -> np.ndarray:
    """Return where a score first falls below a share of its first value, interpolated between two points.

    Args:
        x: `(points,)`, rising or falling.
        score: `(points, *samples)`, the first point's above 0.
        log: interpolate in the logarithm of x, where both points are above 0.
        share: of the first score.

    Returns:
        `(*samples,)`; NaN where it does not fall so far.
    """
    least = share * score[0]
    below = score < least
    at = np.maximum(below.argmax(0), 1)
    after = np.take_along_axis(score, at[None], 0)[0]
    before = np.take_along_axis(score, at[None] - 1, 0)[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = (before - least) / (before - after)
        first, second = x[at - 1], x[at]
        on_log = log & (first > 0) & (second > 0)
        found = np.where(on_log, first * (second / first) ** part, first + part * (second - first))
    return np.where(below.any(0), found, math.nan)


def curves(
    trials: Sequence[Members], label: str | None = None, metric: str = SCORE, intervention: str | None = None
) -> list[Curve]:
    """Return the curves of a score that trials can give whose training differs in one label alone.

    Args:
        trials: at least two; the clean one has the largest rate and neither missed nor false labels.
        label: which; by default the only one that the data have.
        metric: of an intervention's effect, of which more is better.
        intervention: its label; by default the first one.

    Raises:
        PrepeError: they differ in something else, none is clean or its median is not above 0, no two lie on a curve,
            or there is no such label, metric or intervention.
    """
    place = trials[0].labels[0] if intervention is None and trials[0].labels else intervention
    if metric not in EFFECT_METRICS or EFFECT_METRICS[metric].goal != "max":
        known = [name for name, each in EFFECT_METRICS.items() if each.goal == "max"]
        raise PrepeError(f"--metric {metric}: {unknown(metric, known, 'score')}")
    name = _label(trials, label)
    seeds = sorted(set.intersection(*(set(each.seeds) for each in trials)))
    of = {each.trial: each.of_seeds(seeds) for each in trials}
    settings = {each.trial: each.spec.training.data.labels[name] for each in trials}
    clean = max(
        (key for key, each in settings.items() if each.missed == each.false == 0),
        key=lambda key: settings[key].rate,
        default=None,
    )
    if clean is None:
        raise PrepeError(f"label {name}: every trial has missed or false ones; allowed: with one that has neither")
    alike = {kind: _alike(kind, settings, clean) for kind in NAMES}
    found = [_curve(kind, clean, own, settings, of, metric, place) for kind, own in alike.items() if len(own) > 1]
    if not found:
        raise PrepeError(f"label {name}: no two trials differ in its rate, missed or false alone; allowed: several")
    return found


def _label(trials: Sequence[Members], label: str | None) -> str:
    """Return the label in which trials differ, after a check that they do in nothing else."""
    names = list(trials[0].spec.training.data.labels)
    if label is None and len(names) != 1:
        raise PrepeError(f"--label: the data have {', '.join(names) or 'none'}; allowed: one of them must be named")
    name = names[0] if label is None else label
    if name not in names:
        raise PrepeError(f"--label {name}: {unknown(name, names, 'label')}")
    kept = {_without(each, name) for each in trials}
    if len(kept) > 1:
        raise PrepeError(f"label {name}: the trials differ in something else too; allowed: in this label alone")
    return name


def _without(members: Members, label: str) -> str:
    """Return the digest of a trial's training with a label as if it were clean and always given."""
    training = members.spec.training
    if label not in training.data.labels:
        return ""
    plain = training.data.labels[label].model_copy(update={"rate": 1.0, "missed": 0.0, "false": 0.0})
    data = training.data.model_copy(update={"labels": {**training.data.labels, label: plain}})
    return training.model_copy(update={"data": data}).digest()


def _alike(kind: Kind, settings: Mapping[str, Label], clean: str) -> list[str]:
    """Return the trials that differ from the clean one in one property of the label alone, itself among them."""
    name = "rate" if kind == "labels" else kind
    base = settings[clean]
    return [key for key, each in settings.items() if each.model_copy(update={name: getattr(base, name)}) == base]


def _curve(
    kind: Kind,
    clean: str,
    alike: Sequence[str],
    settings: Mapping[str, Label],
    of: Mapping[str, Members],
    metric: str,
    place: str | None,
) -> Curve:
    base = settings[clean]
    measured = {
        key: _labels_used(of[key]) if kind == "labels" else float(getattr(settings[key], kind)) for key in alike
    }
    order = sorted(alike, key=lambda key: measured[key], reverse=kind == "labels")
    x = np.array([measured[key] for key in order])
    log = kind != "missed"
    scores = np.stack([of[key].counted(metric, place) for key in order])

    def found(values: np.ndarray, axis: int = -1) -> np.ndarray:
        medians = statistics("median", scores[:, values.astype(int)], meaning(metric, place))
        worst = x[-1] if kind == "labels" else math.inf
        return np.where(np.isnan(at := edge(x, medians, log)), 0.0 if kind == "labels" else worst, at)

    median = statistics("median", scores, meaning(metric, place))
    if median[0] <= 0:
        raise PrepeError(f"trial {clean}: its median {metric} is {median[0]:.3g}; allowed: above 0, to be a share of")
    value = float(edge(x, median, log))
    low, high = interval(np.arange(scores.shape[1]), found)
    true = _label_rate(of[clean]) * (1 - np.array([settings[key].missed for key in order]))
    rates = np.array([_label_rate(of[key]) for key in order])
    wrong = 1 - true * np.array([settings[key].rate for key in order]) / base.rate / rates
    return Curve(kind, metric, x, scores, order, np.clip(wrong.round(12), 0, 1), median, value, low, high)


def _labels_used(members: Members) -> float:
    return float(members.counted("label_n_used").mean())


def _label_rate(members: Members) -> float:
    return float(members.counted("label_rate").mean())
