"""What every update learns from: a schedule's place and its values in, a batch for all members out.

Random numbers are drawn a chunk of steps ahead, keyed by the member's seed. Where what is drawn does not depend on
where training has got to, whole chunks of batches are made at once; otherwise one after the other.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from prepe import data
from prepe.catalog import Label
from prepe.data import streams
from prepe.data.draw import Source
from prepe.keyframes import phase_starts
from prepe.spec import Training
from prepe.train.update import Batch

_SELECTED_EPSILON = 1e-8
_LEAST_WEIGHT = 1e-6
Labels = dict[str, np.ndarray]


def share(affinities: dict[str, float], labels: dict[str, Tensor]) -> Tensor:
    """Return the share that each sample has of a labelled term's mean, `(..., batch)`.

    a / (sum(a) + 1e-8), with a = min(1, sum over labels of affinity * label); all zero where nothing is labelled.
    """
    selected = torch.stack([affinity * labels[label] for label, affinity in sorted(affinities.items())])
    selected = selected.sum(0).clamp_(0, 1)
    return selected / (selected.sum(-1, keepdim=True) + _SELECTED_EPSILON)


def label_counts(training: Training, seeds: list[int], label: str) -> tuple[np.ndarray, np.ndarray]:
    """Return how often members draw each training item with a label, and how often without, `(members, items)`.

    Args:
        training: without phases, rules or data that open; nothing is trained.
        seeds: the members'.
        label: of the data.
    """
    feed = Feed([training], seeds, torch.device("cpu"))
    items = len(feed.phases[0].task.train)
    counts = np.zeros((2, len(seeds), items))
    for index, labels in feed.drawn(training.schedule.steps):
        for row, marked in enumerate((labels[label] > 0, ~(labels[label] > 0))):
            for member in range(len(seeds)):
                counts[row, member] += np.bincount(index[:, member][marked[:, member]], minlength=items)
    return counts[0], counts[1]


class _Phase:
    """A phase's data, ready to be drawn from."""

    def __init__(self, training: Training, index: int, start: int, name: str, place: torch.device) -> None:
        part, own = training.phase_data(name), training.schedule.phases.get(name)
        self.task = data.task(part)
        self.start, self.place, self.whole, self.weighs = start, place, part.draw == "all", part.weigh
        self.source = Source(part, self.task, (own and own.batch_size) or training.schedule.batch_size)
        self.width = self.source.size(0)
        self.inputs, self.targets = (
            torch.from_numpy(each.astype(np.float32)).to(place).mT.contiguous()
            for each in (self.task.train.inputs, self.task.train.targets)
        )
        self.same = self.task.train.inputs is self.task.train.targets
        self.chances = {name: each.astype(np.float32) for name, each in self.task.label_probability.items()}
        self._drawn = 0

    def sizes(self, steps: int) -> list[int]:
        """Return the sizes of the next batches."""
        sizes = []
        for _ in range(steps):
            sizes.append(self.source.size(self._drawn))
            self._drawn += sizes[-1]
        return sizes

    def columns(self, index: np.ndarray) -> Batch:
        """Return `inputs` and `targets` of some items, `(..., width, batch)` for an index `(..., batch)`."""
        where = torch.from_numpy(np.array(index)).to(self.place).unsqueeze(-2)  # a copy, since it may be read-only
        x = _gathered(self.inputs, where)
        return {"inputs": x, "targets": x if self.same else _gathered(self.targets, where)}


def _gathered(columns: Tensor, where: Tensor) -> Tensor:
    """Pick items, `(width, items)` by an index `(..., 1, batch)`: half a dozen times as fast as `items[index]`."""
    lead, batch = where.shape[:-2], where.shape[-1]
    return torch.gather(columns.expand(*lead, *columns.shape), -1, where.expand(*lead, len(columns), batch))


class Feed:
    """Makes the batches of a pack of trainings that differ in their schedules' values alone.

    Members are in the order of the trainings, and of the seeds in each.

    Args:
        trainings: of one shape.
        seeds: of each training's members.
        place: where batches go.
    """

    def __init__(self, trainings: list[Training], seeds: list[int], place: torch.device) -> None:
        first = trainings[0]
        self.training, self.seeds, self.copies, self.place = first, seeds, len(trainings), place
        self.phases = [
            _Phase(first, i, start, name, place) for i, (start, name) in enumerate(phase_starts(first.schedule))
        ]
        self.starts = np.array([phase.start for phase in self.phases])
        self._uniforms: dict[tuple[str, int, int], np.ndarray] = {}

    def phase_at(self, step: int) -> _Phase:
        return self.phases[int(np.searchsorted(self.starts, step, side="right")) - 1]

    @property
    def moving(self) -> bool:
        """Whether any phase's draws depend on the schedule's values."""
        return any(phase.source.moving for phase in self.phases)

    def fixed(self, updates: int) -> Iterator[tuple[int, list[Batch], Labels]]:
        """Give batches a chunk of updates at a time, where step and update are the same for all members.

        Each chunk is its first update, its batches, and the labels in them, `(steps, members, batch)`; chunks end where
        a phase or the batch's size changes.
        """
        for phase, start, stop, size in self._chunks(updates):
            yield start, *self._chunk(phase, start, stop, size)

    def drawn(self, updates: int) -> Iterator[tuple[np.ndarray, Labels]]:
        """Give what `fixed` draws, a chunk of updates at a time: the items' indices and their labels.

        All are `(updates, members, batch)`.
        """
        for phase, start, stop, size in self._chunks(updates):
            index = self._index(phase, start, stop, size, phase.source.weights({}))
            yield index, self._labels(phase, start, stop, index)

    def _chunks(self, updates: int) -> Iterator[tuple[_Phase, int, int, int]]:
        """Give a phase, the first update and the one after the last, and the size of batches between these."""
        start = 0
        while start < updates:
            phase = self.phase_at(start)
            later = [other.start for other in self.phases if other.start > start]
            stop = min(updates, start - start % streams.CHUNK + streams.CHUNK, *later[:1])
            sizes = phase.sizes(stop - start)
            edges = [0, *(i for i in range(1, len(sizes)) if sizes[i] != sizes[i - 1]), len(sizes)]
            for a, b in pairwise(edges):
                yield phase, start + a, start + b, sizes[a]
            start = stop

    def single(self, update: int, steps: np.ndarray, fractions: dict[str, np.ndarray]) -> tuple[Batch, Labels]:
        """Make one batch, where members may be at different steps, or their data differently open.

        Args:
            update: counts the random numbers.
            steps: of the schedule, `(members,)`.
            fractions: opener -> how far it is open, `(members,)`.
        """
        keys = np.stack([np.searchsorted(self.starts, steps, side="right") - 1, *fractions.values()], axis=-1)
        groups, member_group = np.unique(keys, axis=0, return_inverse=True)
        current = self.phases[int(keys[0, 0])]
        size = current.sizes(1)[0]
        where, weights, labels = [], [], []
        for group in groups:
            phase = self.phases[int(group[0])]
            open_by = {
                name: float(value)
                for name, value in zip(fractions, group[1:], strict=True)
                if name in phase.source.opened_by
            }
            rows = self._index(phase, update, update + 1, size, phase.source.weights(open_by))[0]
            where.append((phase, rows))
            weights.append(phase.source.sample_weights(open_by))
            labels.append(self._labels(phase, update, update + 1, rows[None]))
        member_group = member_group.reshape(-1)
        return self._joined(where, weights, labels, member_group, size)

    def _joined(
        self,
        where: list[tuple[_Phase, np.ndarray]],
        weights: list[np.ndarray | None],
        labels: list[Labels],
        group: np.ndarray,
        size: int,
    ) -> tuple[Batch, Labels]:
        """Pick for each member the rows of its group."""
        lone = np.tile(np.arange(len(self.seeds)), self.copies)
        if len(where) == 1:
            phase, rows = where[0]
            columns = {name: self._spread(each) for name, each in phase.columns(rows).items()}
        else:
            parts = [phase.columns(rows) for phase, rows in where]
            columns = {
                name: torch.stack([parts[g][name][m] for g, m in zip(group, lone, strict=True)]) for name in parts[0]
            }
        if any(phase.weighs for phase in self.phases):  # also where none does now: alike for a member's companions
            heavy = np.stack(
                [
                    np.ones(size) if weights[g] is None else weights[g][where[g][1][m]]
                    for g, m in zip(group, lone, strict=True)
                ]
            )
            columns["weight"] = torch.from_numpy(_normalized(heavy, group, weights).astype(np.float32)).to(self.place)
        drawn = {
            name: np.stack([labels[g][name][0, m] for g, m in zip(group, range(len(group)), strict=True)])[None]
            for name in labels[0]
        }
        return self._with_shares(columns, drawn, step=0), drawn

    def _chunk(self, phase: _Phase, start: int, stop: int, size: int) -> tuple[list[Batch], Labels]:
        """Make all batches from one update to another, of one size, in a phase whose draws do not move."""
        index = self._index(phase, start, stop, size, phase.source.weights({}))
        labels = self._labels(phase, start, stop, index)
        index = index[:1] if phase.whole else index  # the same at every step, and too large to lay out for each
        columns = {name: self._spread(each) for name, each in phase.columns(index).items()}
        if phase.source.sample_weights({}) is not None:
            heavy = np.tile(phase.source.sample_weights({})[index], (1, self.copies, 1))  # type: ignore[index]
            heavy = heavy / heavy.sum(-1, keepdims=True)
            columns["weight"] = torch.from_numpy(heavy.astype(np.float32)).to(self.place)
        columns = self._with_shares(columns, labels)
        steps = stop - start
        each_step = [each.unbind() if len(each) > 1 else [each[0]] * steps for each in columns.values()]
        return [dict(zip(columns, batch, strict=True)) for batch in zip(*each_step, strict=True)], labels

    def _spread(self, each: Tensor) -> Tensor:
        """Repeat what the seeds have for every training of the pack, along the members: dimension -3."""
        return each if self.copies == 1 else torch.cat([each] * self.copies, dim=-3)

    def _with_shares(self, columns: Batch, labels: Labels, step: int | None = None) -> Batch:
        drawn = {
            label: torch.from_numpy(each if step is None else each[step]).to(self.place, torch.float32)
            for label, each in labels.items()
        }
        columns |= {f"label:{label}": each for label, each in drawn.items()}
        return columns | {
            f"share:{name}": share(term.labels, drawn) for name, term in self.training.terms.items() if term.labels
        }

    def _index(self, phase: _Phase, start: int, stop: int, size: int, weights: np.ndarray) -> np.ndarray:
        """Draw items for each seed, `(steps, seeds, size)`."""
        if phase.whole:
            return np.broadcast_to(np.arange(size), (stop - start, len(self.seeds), size))
        return phase.source.index(self._random("items", start, stop, phase.width)[..., :size], weights)

    def _labels(self, phase: _Phase, start: int, stop: int, index: np.ndarray) -> Labels:
        """Draw the labels of items for every member, `(steps, members, batch)`: booleans, or chances if soft."""
        drawn = {}
        for name, chance in phase.chances.items():
            chances = chance[index]
            uniforms = self._random(f"label:{name}", start, stop, phase.width)[..., : index.shape[-1]]
            label: Label = self.training.data.labels[name]
            drawn[name] = np.tile(chances if label.soft else uniforms < chances, (1, self.copies, 1))
        return drawn

    def _random(self, stream: str, start: int, stop: int, width: int) -> np.ndarray:
        """Return numbers in [0, 1) for some updates of one chunk, `(updates, seeds, width)`."""
        chunk = start // streams.CHUNK
        key = (stream, chunk, width)
        if key not in self._uniforms:
            self._uniforms = {old: each for old, each in self._uniforms.items() if old[1] == chunk}
            self._uniforms[key] = streams.uniform(self.seeds, stream, chunk, width)
        return self._uniforms[key][start - chunk * streams.CHUNK : stop - chunk * streams.CHUNK]


def _normalized(heavy: np.ndarray, group: np.ndarray, weights: list[np.ndarray | None]) -> np.ndarray:
    """Return sample weights that sum to 1 for each member; ones where its phase does not weigh."""
    total = heavy.sum(-1, keepdims=True)
    size = heavy.shape[-1]
    even = np.where(total > _LEAST_WEIGHT, heavy / np.maximum(total, _LEAST_WEIGHT), 1 / size)
    weighs = np.array([each is not None for each in weights])[group]
    return np.where(weighs[:, None], even, 1.0)
