"""What is kept of training on the way: label counts, history, loss peaks, checkpoints, snapshots."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from prepe.data.task import Task
from prepe.models import Model
from prepe.spec import Training
from prepe.sweep import Record
from prepe.train.feed import Labels

_FINAL_UPDATES = 200
_SPIKE_AFTER, _SPIKE_BEFORE = 60, 50
_NOTED_AT_ONCE = 128


@dataclass(frozen=True)
class Checkpoint:
    """All members' weights after some updates.

    Attributes:
        step: updates done; where members wait by themselves, the step of the schedule.
        phase: the one that ended here, or None.
        params: `(members, parameters)`, on the CPU.
        reached: which members had got there, `(members,)`.
    """

    step: int
    phase: str | None
    params: Tensor
    reached: np.ndarray


@dataclass
class Trained:
    """Trained members and how they came about.

    Attributes:
        params: final parameters, `(members, parameters)`, on the CPU.
        broken_step: update of the first loss or gradient that was not finite, `(members,)`; -1 where there was none.
        broken_term: which part of the loss it was, one a member; `gradient` if that alone was not finite; or None.
        labels_drawn, labels_used: label -> draws that carried it; `used` counts those seen while a term that uses the
            label had weight. `(members,)`; the key `any` counts draws with at least one label.
        history: (step, quantity, name, values over members) in order.
        snapshots: (step, latents, outputs), each `(shown members, items, width)`, on the task's reference grid.
        final_parts: recon, total, term -> mean over the last 200 updates, `(members,)`; NaN for a broken member.
        phase_spikes: first step of a phase -> peak of the total loss in its first 60 updates, over the median of the 50
            before, `(members,)`.
    """

    seeds: list[int]
    params: Tensor
    broken_step: np.ndarray
    broken_term: list[str | None]
    labels_drawn: dict[str, np.ndarray]
    labels_used: dict[str, np.ndarray]
    device: str
    wall_s: float
    cpu_s: float
    history: list[tuple[int, str, str, np.ndarray]] = field(default_factory=list)
    snapshots: list[tuple[int, np.ndarray, np.ndarray]] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    final_parts: dict[str, np.ndarray] = field(default_factory=dict)
    phase_spikes: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def broken(self) -> np.ndarray:
        """Which members stopped on a non-finite loss, `(members,)`."""
        return self.broken_step >= 0


class LabelCounter:
    """Counts labelled draws: all of them, and those seen while a term that uses the label has weight, or a route."""

    def __init__(self, training: Training, members: int) -> None:
        labels = list(training.data.labels)
        self.drawn = {label: np.zeros(members, dtype=np.int64) for label in [*labels, "any"]}
        self.used = {label: np.zeros(members, dtype=np.int64) for label in [*labels, "any"]}
        self.listening = {
            label: [i for i, term in enumerate(training.terms.values()) if label in term.listens()] for label in labels
        }
        self._routed = {route.label for route in training.routes.values()}
        self._by_step: dict[str, np.ndarray] = {}
        self._start = 0

    def add(self, start: int, labels: Labels, weights: np.ndarray) -> None:
        """Count the draws of some steps from `start` on.

        Args:
            start: their first step.
            labels: label -> `(steps, members, batch)`; what is above 0 is a label.
            weights: of the terms, `(steps, terms, members or 1)`.
        """
        self._start, self._by_step = start, {}
        if not labels:
            return
        drawn = {label: each.astype(bool, copy=False) for label, each in labels.items()}
        used = {
            label: each & ((weights[:, self.listening[label]] != 0).any(1) | (label in self._routed))[..., None]
            for label, each in drawn.items()
        }
        for counts, groups in ((self.drawn, drawn), (self.used, used)):
            for label, by_step in _counted(groups).items():
                if counts is self.drawn:
                    self._by_step[label] = counts[label] + np.cumsum(by_step, axis=0)
                counts[label] += by_step.sum(0)

    def until(self, step: int) -> Iterator[tuple[str, np.ndarray]]:
        """Give each label's draws up to and including a step of those counted last, `(members,)`."""
        for label, counts in self._by_step.items():
            yield label, counts[step - self._start]


def _counted(groups: Labels) -> dict[str, np.ndarray]:
    """Return how many of each batch carry each label, `(steps, members)`, and as `any` how many carry one at least."""
    counts = {label: each.sum(-1) for label, each in groups.items()}
    if len(groups) == 1:
        (counts["any"],) = counts.values()
    else:
        counts["any"] = np.logical_or.reduce(list(groups.values())).sum(-1)
    return counts


class Losses:
    """The loss of every update, for what is said of it at the end.

    Args:
        names: of the parts of the loss.
        members: how many.
        updates: in all.
        place: where they are kept while training.
        every_part: keep the parts of all updates, because members may end early.
    """

    def __init__(self, names: list[str], members: int, updates: int, place: torch.device, every_part: bool) -> None:
        self.names = names
        self.first = 0 if every_part else max(0, updates - _FINAL_UPDATES)
        self.totals = torch.full((updates, members), torch.nan, device=place)
        self.parts = torch.full((updates - self.first, len(names), members), torch.nan, device=place)
        self._noted: list[tuple[Tensor, Tensor, Tensor]] = []
        self._flushed = 0

    def note(self, parts: Tensor, weights: Tensor, counting: Tensor) -> None:
        """Note the next update's parts, `(parts, members)`, their weights, and the members for which they count."""
        self._noted.append((parts.clone(), weights, counting.clone()))
        if len(self._noted) == _NOTED_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Work up what was noted: a part without weight, or of a member that has stopped, is no number."""
        if not self._noted:
            return
        n, start = len(self._noted), self._flushed
        parts, weights, counting = (torch.stack(each) for each in zip(*self._noted, strict=True))
        parts = torch.where(weights > 0, parts, 0)
        total = sum((parts * weights).unbind(1))  # one by one: a sum is rounded by how many members there are
        self.totals[start : start + n] = torch.where(counting, total, torch.nan)
        seen = torch.where(counting.unsqueeze(1) & (weights > 0), parts, torch.nan)
        skip = max(0, self.first - start)
        if skip < n:
            self.parts[start + skip - self.first : start + n - self.first] = seen[skip:]
        self._flushed, self._noted = start + n, []

    def final_parts(self, broken: np.ndarray) -> dict[str, np.ndarray]:
        """Return each part's mean over a member's last 200 updates, those in which it had weight."""
        totals, parts = self.totals.cpu().double().numpy(), self.parts.cpu().double().numpy()
        columns = {"total": totals[self.first :]} | {name: parts[:, i] for i, name in enumerate(self.names)}
        ran = np.isfinite(totals[self.first :])
        late = np.cumsum(ran[::-1], axis=0)[::-1] <= _FINAL_UPDATES
        means = {name: _mean(np.where(late, values, np.nan).T) for name, values in columns.items()}
        return {name: np.where(broken, np.nan, mean) for name, mean in means.items()}

    def spikes(self, starts: dict[int, np.ndarray], broken: np.ndarray) -> dict[int, np.ndarray]:
        """Return the loss spike at the start of each phase.

        Args:
            starts: first step of a phase -> the update at which each member came to it, `(members,)`; -1 for never.
            broken: members whose ratios are NaN.
        """
        totals = self.totals.cpu().double().numpy()
        found = {}
        for step, updates in starts.items():
            ratios = np.full(len(broken), np.nan)
            for update in np.unique(updates[(updates > 0) & ~broken]):
                here = (updates == update) & ~broken
                after = np.fmax.reduce(totals[update : update + _SPIKE_AFTER, here])  # a member may end before
                ratios[here] = after / np.median(totals[max(0, update - _SPIKE_BEFORE) : update, here], axis=0)
            found[step] = ratios
        return found


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean of what is a number in each row, `(members, updates) -> (members,)`; NaN where nothing is."""
    rows = np.ascontiguousarray(values)  # summed in the order of its memory, so the same for one row as for many
    count = np.isfinite(rows).sum(-1)
    return np.where(count > 0, np.nansum(rows, axis=-1) / np.maximum(count, 1), np.nan)


@torch.no_grad()
def snapshot(step: int, model: Model, params: Tensor, task: Task, record: Record) -> tuple[int, np.ndarray, np.ndarray]:
    """Return the step, and the shown members' latents and outputs on the task's reference grid."""
    inputs = torch.from_numpy(task.reference.inputs.astype(np.float32)).to(params.device)
    forward = model(model.unpack(params), inputs.expand(len(params), *inputs.shape))
    outputs = forward.outputs.clamp(*task.output_range)
    shown_site = next(iter(model.part.edit_sites()))
    return step, forward.sites[shown_site].cpu().numpy(), outputs.cpu().numpy()
