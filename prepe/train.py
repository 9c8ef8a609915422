"""The one training loop: a `Training` and seeds in, trained members, their history and their costs out.

All members are trained at once: parameters lie in one buffer `(members, parameters)`, the loss is a vector over
members, and a member's gradient, update and random numbers depend on nothing but its own seed. So member 7 alone equals
member 7 among sixty.

Source: Kingma and Ba, arXiv:1412.6980, for Adam; arXiv:2512.12469 for the loss.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from prepe import data, models, regularizers, schedule
from prepe.data import streams
from prepe.data.task import Task
from prepe.errors import PrepeError
from prepe.models import Autoencoder
from prepe.regularizers import Context, Penalty
from prepe.spec import Training
from prepe.sweep import Record

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_SELECTED_EPSILON = 1e-8
_REPORT_STEPS = 50
Batch = dict[str, Tensor]
Report = Callable[[int, int], None]


@dataclass
class Trained:
    """Trained members and how they came about.

    Attributes:
        params: final parameters, `(members, parameters)`, on the CPU.
        broken_step: step of the first non-finite loss, `(members,)`; -1 where there was none.
        broken_term: which part of the loss it was, one a member; None where there was none.
        labels_drawn, labels_used: label -> draws that carried it; `used` counts those seen while a term that uses the
            label had weight. `(members,)`; the key `any` counts draws with at least one label.
        history: (step, quantity, name, values over members) in order.
        snapshots: (step, latents, outputs), each `(shown members, items, width)`, on the task's reference grid.
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

    @property
    def broken(self) -> np.ndarray:
        """Which members stopped on a non-finite loss, `(members,)`."""
        return self.broken_step >= 0


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; `auto` takes a GPU when there is one.

    Raises:
        PrepeError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu" or (name.startswith("cuda") and torch.cuda.is_available()):
        return torch.device(name)
    raise PrepeError(f"device: {name!r} is not to be had here; allowed: auto, cpu, and cuda where there is a GPU")


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
    began, cpu_began = time.perf_counter(), time.process_time()
    place, record = choose_device(device), record or Record()
    task = data.task(training.data)
    model = models.build(training.model, task)
    names = list(training.terms)
    table = schedule.table(training.schedule, ["lr", *names])
    total_steps, batch_size = len(table), training.schedule.batch_size
    penalties = {name: regularizers.build(part) for name, part in training.terms.items()}
    state = _State(model.init(seeds).to(place), 1 + len(names))
    counter = _LabelCounter(training, table, len(seeds))
    trained = Trained(
        seeds=list(seeds),
        params=state.params,
        broken_step=np.full(len(seeds), -1),
        broken_term=[None] * len(seeds),
        labels_drawn=counter.drawn,
        labels_used=counter.used,
        device=str(place),
        wall_s=0.0,
        cpu_s=0.0,
    )
    threads = torch.get_num_threads()
    flushed = torch.set_flush_denormal(True)  # high powers of small cosines are denormal, and slow on some processors
    if place.type == "cpu":
        torch.set_num_threads(1)  # products split over threads add up in another order; more CPUs do more trials
    try:
        active: tuple[str, ...] | None = None
        scalars = _scalars(table, place)
        for step, batch in enumerate(_batches(training, task, seeds, total_steps, batch_size, place, counter)):
            now = tuple(name for name, weight in zip(names, table[step, 1:], strict=True) if weight != 0)
            if now != active:
                active = now
                rows = [0, *(1 + names.index(name) for name in now)]
                update = _Update(model, {name: penalties[name] for name in now}, state, rows)
                run: Callable[[Batch, Tensor], None] = update if place.type == "cpu" else _captured(update, state)
                values = scalars[:, [0, 1, *(2 + row for row in rows)]].unsqueeze(-1)
            if step in record.snapshots:
                trained.snapshots.append(_snapshot(step, model, state.params, task, record))
            run(batch, values[step])
            if step % record.history_stride == 0 or step == total_steps - 1:
                trained.history += _history(step, state, now, table[step], names, counter)
            if report and step % _REPORT_STEPS == 0:
                report(step, total_steps)
    finally:
        torch.set_num_threads(threads)
        if flushed:
            torch.set_flush_denormal(False)
    if record.snapshots:
        trained.snapshots.append(_snapshot(total_steps, model, state.params, task, record))
    trained.params = state.params.detach().cpu()
    trained.broken_step, trained.broken_term = state.broken(["recon", *names])
    trained.wall_s, trained.cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    return trained


class _State:
    """Everything that an update changes, at fixed addresses: parameters, Adam's moments, and who broke where."""

    def __init__(self, params: Tensor, parts: int) -> None:
        members, place = len(params), params.device
        self.params = params.requires_grad_()
        self.mean = torch.zeros_like(params, requires_grad=False)
        self.square = torch.zeros_like(params, requires_grad=False)
        self.alive = torch.ones(members, dtype=torch.bool, device=place)
        self.survived = torch.zeros(members, dtype=torch.int64, device=place)
        self.parts = torch.zeros(parts, members, device=place)

    def tensors(self) -> list[Tensor]:
        return [self.params, self.mean, self.square, self.alive, self.survived, self.parts]

    def broken(self, names: list[str]) -> tuple[np.ndarray, list[str | None]]:
        """Return the step at which each member broke, or -1, and the part of the loss that did it, or None."""
        alive, finite = self.alive.tolist(), torch.isfinite(self.parts).T.tolist()
        steps = np.where(alive, -1, self.survived.cpu().numpy())
        return steps, [None if lives else names[each.index(False)] for lives, each in zip(alive, finite, strict=True)]


class _Update:
    """One update of all members: forward, loss, gradient, Adam.

    Called with a batch and, for each update, Adam's step size and epsilon and the weights of the active parts, `(n, 1)`
    or `(n, members)`; it leaves the parts of the loss, `(parts, members)`, in the state, where inactive ones are stale.
    """

    def __init__(self, model: Autoencoder, penalties: dict[str, Penalty], state: _State, rows: list[int]) -> None:
        self.model, self.penalties, self.state = model, penalties, state
        self.rows = rows if rows != list(range(len(state.parts))) else None

    def __call__(self, batch: Batch, scalars: Tensor) -> None:
        step_size, epsilon, weights = scalars[0], scalars[1], scalars[2:]
        parts = torch.stack(self.loss_parts(batch))
        (gradient,) = torch.autograd.grad(parts, self.state.params, weights.expand_as(parts))
        with torch.no_grad():
            self._watch(parts)
            self._adam(gradient, step_size, epsilon)

    def loss_parts(self, batch: Batch) -> list[Tensor]:
        """Return reconstruction error and every active term, each `(members,)`."""
        params = self.model.unpack(self.state.params)
        inputs, targets = batch["inputs"].mT, batch["targets"].mT
        forward = self.model(params, inputs)
        labels = {key.removeprefix("label:"): value for key, value in batch.items() if key.startswith("label:")}
        context = Context(
            inputs,
            targets,
            forward.outputs,
            forward.sites,
            labels,
            lambda z: self.model.decode(params, z),
            self.model.unit_sites,
        )
        # Sums, divided by a number afterwards: the gradient of a sum is a view, that of a mean a new tensor.
        parts = [mse_loss(forward.outputs, targets, reduction="none").sum((-2, -1)) / targets[0].numel()]
        for name, penalty in self.penalties.items():
            each, share = penalty(context), batch.get(f"share:{name}")
            parts.append(each.sum(-1) / each.shape[-1] if share is None else (each * share).sum(-1))
        return parts

    def _watch(self, parts: Tensor) -> None:
        """Keep the loss of members that live; one whose loss is not finite dies, and its last loss stays."""
        state = self.state
        if self.rows is None:
            torch.where(state.alive, parts, state.parts, out=state.parts)
        else:
            for row, part in zip(self.rows, parts, strict=True):
                torch.where(state.alive, part, state.parts[row], out=state.parts[row])
        state.alive &= torch.isfinite(parts).all(0)
        state.survived += state.alive

    def _adam(self, gradient: Tensor, step_size: Tensor, epsilon: Tensor) -> None:
        """Apply Adam; both bias corrections are in `step_size` and `epsilon`, and a dead member stands still."""
        state = self.state
        gradient.masked_fill_(~state.alive.unsqueeze(-1), 0.0)
        state.mean.lerp_(gradient, 1 - _BETA1)
        state.square.mul_(_BETA2).addcmul_(gradient, gradient, value=1 - _BETA2)
        change = state.mean * (step_size * state.alive).unsqueeze(-1)
        state.params.addcdiv_(change, state.square.sqrt().add_(epsilon), value=-1)


def _captured(update: _Update, state: _State) -> Callable[[Batch, Tensor], None]:
    """Return `update` as a CUDA graph over static inputs, captured on the first call. Not yet run on a GPU."""
    graph: torch.cuda.CUDAGraph | None = None
    inputs: Batch = {}
    scalars = torch.empty(0)

    def run(batch: Batch, values: Tensor) -> None:
        nonlocal graph, scalars
        if graph is None:
            inputs.update({name: value.clone() for name, value in batch.items()})
            scalars = values.clone()
            saved = [tensor.detach().clone() for tensor in state.tensors()]
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    update(inputs, scalars)
            torch.cuda.current_stream().wait_stream(side)
            with torch.no_grad():
                for tensor, value in zip(state.tensors(), saved, strict=True):
                    tensor.copy_(value)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                update(inputs, scalars)
        for name, value in batch.items():
            inputs[name].copy_(value)
        scalars.copy_(values)
        graph.replay()

    return run


def _scalars(table: np.ndarray, place: torch.device) -> Tensor:
    """Return, for each update, Adam's step size and epsilon, bias-corrected, then the weights: 1, and the terms'."""
    count = np.arange(1, len(table) + 1)
    first, second = 1 - _BETA1**count, np.sqrt(1 - _BETA2**count)
    columns = [table[:, 0] * second / first, _EPSILON * second, np.ones(len(table)), *table[:, 1:].T]
    return torch.from_numpy(np.stack(columns, axis=-1).astype(np.float32)).to(place)


class _LabelCounter:
    """Counts labelled draws: all of them, and those seen while a term that uses the label has weight."""

    def __init__(self, training: Training, table: np.ndarray, members: int) -> None:
        labels = list(training.data.labels)
        self.drawn = {label: np.zeros(members, dtype=np.int64) for label in [*labels, "any"]}
        self.used = {label: np.zeros(members, dtype=np.int64) for label in [*labels, "any"]}
        weights = dict(zip(training.terms, table[:, 1:].T, strict=True))
        self.in_use = {
            label: np.any([weights[name] != 0 for name, term in training.terms.items() if label in term.labels], axis=0)
            & np.ones(len(table), dtype=bool)
            for label in labels
        }
        self.by_step: dict[str, np.ndarray] = {}

    def add(self, start: int, labels: dict[str, np.ndarray]) -> None:
        """Count a chunk that begins at step `start`; each label is `(steps, members, batch)`."""
        self.start = start
        anything = [np.zeros(1, dtype=bool), *labels.values()]
        stop = start + len(anything[-1])
        used = {label: drawn & self.in_use[label][start:stop, None, None] for label, drawn in labels.items()}
        anything_used = [np.zeros(1, dtype=bool), *used.values()]
        for counts, groups in (
            (self.drawn, labels | {"any": np.logical_or.reduce(np.broadcast_arrays(*anything))}),
            (self.used, used | {"any": np.logical_or.reduce(np.broadcast_arrays(*anything_used))}),
        ):
            for label, drawn in groups.items():
                if drawn.ndim == 3:
                    if counts is self.drawn:
                        self.by_step[label] = counts[label] + np.cumsum(drawn.sum(-1), axis=0)
                    counts[label] += drawn.sum((0, 2))

    def until(self, step: int) -> Iterator[tuple[str, np.ndarray]]:
        """Give each label's draws up to and including a step of the latest chunk, `(members,)`."""
        for label, counts in self.by_step.items():
            yield label, counts[step - self.start]


def _batches(
    training: Training,
    task: Task,
    seeds: list[int],
    total_steps: int,
    batch_size: int,
    place: torch.device,
    counter: _LabelCounter,
) -> Iterator[Batch]:
    """Draw batches a chunk of steps ahead.

    A batch has `inputs` and `targets`, `(members, width, batch)`; `label:name`, `(members, batch)`; and `share:term`
    for each term with labels: the share of the term's mean that each sample has.
    """
    inputs = torch.from_numpy(task.train.inputs.astype(np.float32)).to(place)
    targets = torch.from_numpy(task.train.targets.astype(np.float32)).to(place)
    same = task.train.inputs is task.train.targets
    for chunk in range(-(-total_steps // streams.CHUNK)):
        start = chunk * streams.CHUNK
        index = streams.weighted(streams.uniform(seeds, "items", chunk, batch_size), task.weights)
        drawn = {
            label: streams.uniform(seeds, f"label:{label}", chunk, batch_size) < chance.astype(np.float32)[index]
            for label, chance in task.label_probability.items()
        }
        steps = min(streams.CHUNK, total_steps - start)
        counter.add(start, {label: each[:steps] for label, each in drawn.items()})
        where = torch.from_numpy(index).to(place)
        x = inputs[where].mT.contiguous()
        columns = {"inputs": x, "targets": x if same else targets[where].mT.contiguous()}
        labels = {label: torch.from_numpy(each).to(place, torch.float32) for label, each in drawn.items()}
        columns |= {f"label:{label}": each for label, each in labels.items()}
        columns |= {f"share:{name}": share(term.labels, labels) for name, term in training.terms.items() if term.labels}
        for step in range(steps):
            yield {name: column[step] for name, column in columns.items()}


def share(affinities: dict[str, float], labels: dict[str, Tensor]) -> Tensor:
    """Return the share that each sample has of a labelled term's mean, `(..., batch)`.

    a / (sum(a) + 1e-8), with a = min(1, sum over labels of affinity * label); all zero where nothing is labelled.
    """
    selected = torch.stack([affinity * labels[label] for label, affinity in sorted(affinities.items())])
    selected = selected.sum(0).clamp_(0, 1)
    return selected / (selected.sum(-1, keepdim=True) + _SELECTED_EPSILON)


def _history(
    step: int, state: _State, active: tuple[str, ...], values: np.ndarray, names: list[str], counter: _LabelCounter
) -> list[tuple[int, str, str, np.ndarray]]:
    """Return the rows of one step; a member that has stopped has no loss, which is NaN."""
    alive = state.alive.cpu().numpy()
    parts = np.where(alive, state.parts.cpu().numpy(), np.nan).astype(float)
    total = parts[0] + sum(values[1 + i] * parts[1 + i] for i, name in enumerate(names) if name in active)
    rows = [(step, "loss", "recon", parts[0]), (step, "loss", "total", total)]
    rows += [(step, "term", name, parts[1 + names.index(name)]) for name in active]
    rows += [
        (step, "hyperparameter", name, np.full(len(alive), value))
        for name, value in zip(["lr", *names], values, strict=True)
    ]
    return rows + [(step, "label", label, counts.astype(np.float64)) for label, counts in counter.until(step)]


@torch.no_grad()
def _snapshot(
    step: int, model: Autoencoder, params: Tensor, task: Task, record: Record
) -> tuple[int, np.ndarray, np.ndarray]:
    shown = params[: record.shown_members]
    inputs = torch.from_numpy(task.reference.inputs.astype(np.float32)).to(params.device)
    forward = model(model.unpack(shown), inputs.expand(len(shown), *inputs.shape))
    outputs = forward.outputs.clamp(*task.output_range)
    shown_site = next(iter(model.part.edit_sites()))
    return step, forward.sites[shown_site].cpu().numpy(), outputs.cpu().numpy()
