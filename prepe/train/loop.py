"""The one training loop, all members at once.

All members are trained at once: parameters lie in one buffer `(members, parameters)`, the loss is a vector over
members, and a member's gradient, update and random numbers depend on nothing but its own seed. So member 7 alone equals
member 7 among sixty. Several trainings that differ only in what their schedules' values are share a batch likewise.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from prepe import data, models, regularizers
from prepe.catalog import AnchorCapturedTerm
from prepe.keyframes import phase_starts
from prepe.scheduler import Scheduler, table
from prepe.spec import LOSS, Training
from prepe.sweep import Record
from prepe.train.device import arithmetic, choose_device
from prepe.train.feed import Feed, Labels
from prepe.train.record import Checkpoint, LabelCounter, Losses, Trained, snapshot
from prepe.train.update import Batch, State, Update, captured_graph, corrections

_REPORT_STEPS = 50
Report = Callable[[int, int], None]
Step = Callable[[Batch, Tensor, Tensor | None], None]


def shape(training: Training) -> str:
    """Return a text that is equal for trainings that can share a batch: they differ in their schedule's values alone.

    A training with rules shares with none but itself.
    """
    plain = training.model_dump(mode="json")
    if not training.schedule.rules:
        for frame in plain["schedule"]["keyframes"]:
            frame["values"] = sorted(frame["values"])
    return json.dumps(plain, sort_keys=True)


def train(
    training: Training,
    seeds: list[int],
    *,
    device: str = "auto",
    record: Record | None = None,
    report: Report | None = None,
) -> Trained:
    """Train one member for each seed, all at once.

    Args:
        training: what to train.
        seeds: one a member.
        device: `auto`, `cpu` or `cuda`; on a GPU the whole step is captured in CUDA graphs.
        record: what to keep of the way there; it changes no result.
        report: called now and then with (steps done, steps in all).

    Raises:
        PrepeError: the device does not exist.
    """
    return train_pack([training], seeds, device=device, record=record, report=report)[0]


def train_pack(
    trainings: list[Training],
    seeds: list[int],
    *,
    device: str = "auto",
    record: Record | None = None,
    report: Report | None = None,
) -> list[Trained]:
    """Train members of several trainings of one shape in one batch; see `train`.

    Returns:
        One result a training, each with the members that `train` gives, bit for bit.

    Raises:
        ValueError: the trainings differ in shape.
        PrepeError: the device does not exist.
    """
    if len({shape(each) for each in trainings}) != 1:
        raise ValueError("the trainings differ in more than their schedules' values")
    began, cpu_began = time.perf_counter(), time.process_time()
    place = choose_device(device)
    with arithmetic(place):
        run = _Run(trainings, seeds, place, record or Record())
        run.go(report)
        results = run.results()
    for each in results:
        each.wall_s = (time.perf_counter() - began) / len(trainings)
        each.cpu_s = (time.process_time() - cpu_began) / len(trainings)
    return results


@dataclass(frozen=True)
class _Moment:
    """One update's numbers, each `(..., members)`, or 1 for members where all are alike.

    Attributes:
        update: its place, from 0.
        values: of the schedule's parameters.
        weights: of the parts of the loss.
        active: the parts that have weight for any member, and reconstruction.
        numbers: Adam's step size and epsilon, then the weights, where training is.
        steps, running: the members' steps of the schedule and whether they still go on; None where all are at `update`.
        acted: rule -> how often it has acted.
    """

    update: int
    values: np.ndarray
    weights: np.ndarray
    active: list[int]
    numbers: Tensor
    steps: np.ndarray | None = None
    running: np.ndarray | None = None
    acted: dict[str, np.ndarray] | None = None


class _Run:
    """A pack of trainings on its way."""

    def __init__(self, trainings: list[Training], seeds: list[int], place: torch.device, record: Record) -> None:
        first = trainings[0]
        self.trainings, self.training, self.seeds, self.place, self.record = trainings, first, seeds, place, record
        self.members = len(seeds) * len(trainings)
        self.task = data.task(first.data)
        self.model = models.build(first.model, self.task)
        self.terms = {name: (part, regularizers.build(part)) for name, part in first.terms.items()}
        self.parts = ["recon", *first.terms]
        self.names = first.parameters()
        self.scheduler = Scheduler(first.schedule, self.names, self.members) if first.schedule.rules else None
        self.updates = self.scheduler.updates if self.scheduler else first.schedule.steps
        params = self.model.init(seeds).to(place)
        self.state = State(torch.cat([params] * len(trainings)), len(self.parts))
        self.feed = Feed(trainings, seeds, place)
        self.counter = LabelCounter(first, self.members)
        waits = bool(self.scheduler and self.scheduler.waits)
        self.losses = Losses(self.parts, self.members, self.updates, place, every_part=waits)
        self.corrections = corrections(self.updates)
        self.tables = np.stack([table(each.schedule, self.names) for each in trainings], axis=-1)
        self.alike = len(trainings) == 1 or bool((self.tables == self.tables[..., :1]).all())
        self.captured: dict[str, tuple[Tensor, Tensor | None]] = {}
        for term in first.terms.values():
            if isinstance(term, AnchorCapturedTerm):
                inputs = np.stack([self.task.item(item) for item in term.items]).astype(np.float32)
                self.captured[term.key()] = torch.from_numpy(inputs).to(place), None
        n = len(seeds)
        self.own = [slice(k * n, (k + 1) * n) for k in range(len(trainings))]
        self.histories: list[list[tuple[int, str, str, np.ndarray]]] = [[] for _ in trainings]
        self.snapshots: list[tuple[int, np.ndarray, np.ndarray]] = []
        self.checkpoints: list[Checkpoint] = []
        starts = phase_starts(first.schedule)
        self.ends = {start: before or None for (_, before), (start, _) in pairwise(starts)}
        self.came = {start: np.full(self.members, -1) for start in self.ends}
        self.actions = first.schedule.actions()
        self.marks = sorted({*self.actions, *self.ends, *self.record.checkpoints, *self.record.snapshots})
        self.were: np.ndarray | None = None
        self._key: object = None
        self._made: tuple[Step, list[int] | None] | None = None

    # --- the loop ---

    def go(self, report: Report | None) -> None:
        """Do all updates."""
        done = 0
        for moment, batch in self._moments():
            if moment.running is not None and not moment.running.any():
                break
            done = moment.update + 1
            self._pass_marks(moment)
            update, rows = self._prepared(moment.active, batch)
            running = None if moment.running is None else torch.from_numpy(moment.running).to(self.place)
            update(batch, moment.numbers if rows is None else moment.numbers[rows], running)
            alive = self.state.alive
            self.losses.note(self.state.parts, moment.numbers[2:], alive if running is None else alive & running)
            if self.scheduler:
                self._observe(moment)
            if moment.update % self.record.history_stride == 0 or self._is_last(moment.update):
                self._write_history(moment)
            if report and moment.update % _REPORT_STEPS == 0:
                report(moment.update, self.updates)
            self.were = moment.steps
        self.losses.flush()
        if self.record.snapshots:
            self._snapshot(done)
        if self.training.schedule.steps in self.record.checkpoints:
            last = phase_starts(self.training.schedule)[-1][1] or None
            self._keep(self.training.schedule.steps, last, np.ones(self.members, dtype=bool))

    def _is_last(self, update: int) -> bool:
        """Say whether no member goes on after an update, which the rules have seen."""
        if update == self.updates - 1 or self.scheduler is None:
            return update == self.updates - 1
        return not self.scheduler.at(update + 1).running.any()

    def _moments(self) -> Iterator[tuple[_Moment, Batch]]:
        """Give every update's numbers and its batch."""
        if not self.scheduler and not self.feed.moving:
            for start, batches, labels in self.feed.fixed(self.updates):
                values = self._tabled(start, start + len(batches))
                self._count(start, labels, values)
                yield from zip(self._timed(start, values), batches, strict=True)
            return
        openers = [i for i, name in enumerate(self.names) if name in self.training.openers()]
        before: np.ndarray | None = None
        for update in range(self.updates):
            moment = self._reached(update)
            wide = np.broadcast_to(moment.values, (len(self.names), self.members))
            steps = np.full(self.members, update) if moment.steps is None else moment.steps
            open_by = wide if before is None else before  # weights of the draw follow the schedule a step behind
            batch, labels = self.feed.single(update, steps, {self.names[i]: open_by[i] for i in openers})
            if moment.running is not None:
                labels = {label: each * moment.running[:, None] for label, each in labels.items()}
            self._count(update, labels, moment.values[None])
            before = wide
            yield moment, batch

    def _reached(self, update: int) -> _Moment:
        """Return an update's numbers where these, or the batch, may depend on what came before."""
        if not self.scheduler:
            return self._timed(update, self._tabled(update, update + 1))[0]
        now = self.scheduler.at(update)
        moment = replace(self._timed(update, now.values[None])[0], acted=now.acted)
        return replace(moment, steps=now.step, running=now.running) if self.scheduler.waits else moment

    def _timed(self, start: int, values: np.ndarray) -> list[_Moment]:
        """Return the numbers of some updates on end, from the values `(updates, parameters, members or 1)`."""
        ones = np.ones_like(values[:, 0])
        own = values[:, self.names.index(LOSS)] if LOSS in self.names else ones
        weights = np.stack([own, *(values[:, self.names.index(name)] for name in self.parts[1:])], axis=1)
        step_size, epsilon = self.corrections[start : start + len(values)].T[..., None]
        adam = np.stack([values[:, self.names.index("lr")] * step_size, ones * epsilon], axis=1)
        numbers = torch.from_numpy(np.concatenate([adam, weights], axis=1).astype(np.float32)).to(self.place)
        active = [[i for i, some in enumerate(row) if some or i == 0] for row in np.any(weights, axis=-1).tolist()]
        return [_Moment(start + i, values[i], weights[i], active[i], numbers[i]) for i in range(len(values))]

    def _tabled(self, start: int, stop: int) -> np.ndarray:
        """Return the schedules' values, `(updates, parameters, members)`, or 1 for members where all are alike."""
        values = self.tables[start:stop]
        return values[..., :1] if self.alike else np.repeat(values, len(self.seeds), axis=-1)

    def _prepared(self, active: list[int], batch: Batch) -> tuple[Step, list[int] | None]:
        """Return the update for these active parts, and the rows of the numbers that it takes if not all.

        On a GPU it is a new graph wherever anything but numbers changes.
        """
        ready = [targets is not None for _, targets in self.captured.values()]
        shapes = () if self.place.type == "cpu" else tuple((name, each.shape) for name, each in batch.items())
        key = active, ready, shapes
        if self._made is None or key != self._key:
            chosen = {self.parts[i]: self.terms[self.parts[i]] for i in active[1:]}
            routes = list(self.training.routes.values())
            update = Update(self.model, chosen, self.state, active, self.captured, routes)
            rows = None if len(active) == len(self.parts) else [0, 1, *(2 + i for i in active)]
            step: Step = update if self.place.type == "cpu" else captured_graph(update, self.state)
            self._key, self._made = key, (step, rows)
        return self._made

    # --- what happens at a step ---

    def _pass_marks(self, moment: _Moment) -> None:
        """Capture, and keep weights and latents, where the schedule or the record asks for it before this update."""
        if moment.steps is None and moment.update not in self.marks:
            return
        for step in self.marks if moment.steps is not None else [moment.update]:
            here = self._arriving(step, moment)
            if not here.any():
                continue
            if step in self.actions:
                self._capture(self.actions[step], here)
            if step in self.ends:
                self.came[step][here] = moment.update
            if step in self.ends or step in self.record.checkpoints:
                self._keep(step, self.ends.get(step), here)
        if moment.update in self.record.snapshots:
            self._snapshot(moment.update)

    def _arriving(self, step: int, moment: _Moment) -> np.ndarray:
        """Return which members come to a step of the schedule with this update, `(members,)`."""
        if moment.steps is None:
            return np.full(self.members, moment.update == step)
        return (moment.steps == step) & (True if self.were is None else self.were != step)

    @torch.no_grad()
    def _capture(self, actions: tuple[str, ...], members: np.ndarray) -> None:
        """Note where the items of terms that wait for one of these actions lie now."""
        params = self.model.unpack(self.state.params)
        for term in self.training.terms.values():
            if not isinstance(term, AnchorCapturedTerm) or term.action not in actions:
                continue
            inputs, held = self.captured[term.key()]
            latents = self.model(params, inputs.expand(self.members, *inputs.shape)).sites[term.site]
            if held is None:
                held = torch.full_like(latents, torch.nan)
                self.captured[term.key()] = inputs, held
            here = torch.from_numpy(members).to(self.place)
            held[here] = latents[here]  # in place: a captured graph looks where it has always looked

    def _keep(self, step: int, phase: str | None, members: np.ndarray) -> None:
        """Keep the weights of the members that have come to a step."""
        params = self.state.params.detach().cpu().clone()
        for i, kept in enumerate(self.checkpoints):
            if (kept.step, kept.phase) == (step, phase):
                joined = torch.where(torch.from_numpy(members)[:, None], params, kept.params)
                self.checkpoints[i] = Checkpoint(step, phase, joined, kept.reached | members)
                return
        self.checkpoints.append(Checkpoint(step, phase, params, members))

    def _snapshot(self, step: int) -> None:
        """Keep the latents of the shown members of every training."""
        shown = min(self.record.shown_members, len(self.seeds))
        rows = [k * len(self.seeds) + i for k in range(len(self.trainings)) for i in range(shown)]
        self.snapshots.append(snapshot(step, self.model, self.state.params[rows], self.task, self.record))

    # --- what is kept ---

    def _count(self, start: int, labels: Labels, values: np.ndarray) -> None:
        if labels or start == 0:
            rows = [self.names.index(name) for name in self.training.terms]
            self.counter.add(start, labels, values[:, rows])

    def _observe(self, moment: _Moment) -> None:
        """Tell the rules what was measured: nothing of a dead member, nor of a term without weight."""
        assert self.scheduler is not None
        seen, total = self._seen(moment)
        self.scheduler.observe({**dict(zip(self.parts, seen, strict=True)), "total": total})

    def _seen(self, moment: _Moment) -> tuple[np.ndarray, np.ndarray]:
        """Return the parts of the loss, `(parts, members)`, and their weighted sum; NaN where there is none."""
        counting = self.state.alive.cpu().numpy()
        if moment.running is not None:
            counting = counting & moment.running
        parts = self.state.parts.cpu().numpy().astype(float)
        parts = np.where(counting & (moment.weights > 0), parts, np.nan)
        total = sum(np.nan_to_num(parts * moment.weights))  # one by one: a sum is rounded by how many members there are
        return parts, np.where(counting, total, np.nan)

    def _write_history(self, moment: _Moment) -> None:
        """Note what there is now; a member that has stopped, or a term without weight, has no loss, which is NaN.

        A term that has no weight for any member of a training has no row in its history.
        """
        parts, total = self._seen(moment)
        rows = [("loss", "recon", parts[0]), ("loss", "total", total)]
        rows += [("term", name, parts[i]) for i, name in enumerate(self.parts) if i]
        rows += [
            ("hyperparameter", name, np.broadcast_to(value, self.members))
            for name, value in zip(self.names, moment.values, strict=True)
        ]
        rows += [("label", label, counts.astype(float)) for label, counts in self.counter.until(moment.update)]
        rows += [("rule", name, count.astype(float)) for name, count in (moment.acted or {}).items()]
        weights = np.broadcast_to(moment.weights, (len(self.parts), self.members))
        for own, history in zip(self.own, self.histories, strict=True):
            idle = {name for name, weight in zip(self.parts, weights[:, own], strict=True) if not weight.any()}
            history += [
                (moment.update, quantity, name, values[own])
                for quantity, name, values in rows
                if quantity != "term" or name not in idle
            ]

    def results(self) -> list[Trained]:
        """Return what came of each training."""
        steps, terms = self.state.broken(self.parts)
        broken = steps >= 0
        final, spikes = self.losses.final_parts(broken), self.losses.spikes(self.came, broken)
        params = self.state.params.detach().cpu()
        shown = min(self.record.shown_members, len(self.seeds))
        found = []
        for k, own in enumerate(self.own):
            seen = slice(k * shown, (k + 1) * shown)
            found.append(
                Trained(
                    seeds=list(self.seeds),
                    params=params[own],
                    broken_step=steps[own],
                    broken_term=terms[own],
                    labels_drawn={label: counts[own] for label, counts in self.counter.drawn.items()},
                    labels_used={label: counts[own] for label, counts in self.counter.used.items()},
                    device=str(self.place),
                    wall_s=0.0,
                    cpu_s=0.0,
                    history=self.histories[k],
                    snapshots=[(step, latents[seen], outputs[seen]) for step, latents, outputs in self.snapshots],
                    checkpoints=[
                        Checkpoint(each.step, each.phase, each.params[own], each.reached[own])
                        for each in self.checkpoints
                    ],
                    final_parts={name: values[own] for name, values in final.items()},
                    phase_spikes={step: values[own] for step, values in spikes.items()},
                )
            )
        return found
