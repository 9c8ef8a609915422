"""One update of all members: a batch and this update's numbers in; parts of the loss, and changed parameters, out.

Source: Kingma and Ba, arXiv:1412.6980, for Adam; arXiv:2512.12469 for the loss.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss, pad

from prepe.catalog import Route, Term
from prepe.models import Edit, Model
from prepe.regularizers import Context, Penalty

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
GRADIENT = "gradient"
"""What is said to have broken when every part of the loss was finite and the gradient was not."""
Batch = dict[str, Tensor]
Captured = dict[str, tuple[Tensor, Tensor | None]]


class State:
    """Everything that an update changes, at fixed addresses: parameters, Adam's moments, and who broke where."""

    def __init__(self, params: Tensor, parts: int) -> None:
        members, place = len(params), params.device
        self.params = params
        self.mean, self.square = torch.zeros_like(params), torch.zeros_like(params)
        self.alive = torch.ones(members, dtype=torch.bool, device=place)
        self.survived = torch.zeros(members, dtype=torch.int64, device=place)
        self.parts = torch.zeros(parts, members, device=place)

    def tensors(self) -> list[Tensor]:
        return [self.params, self.mean, self.square, self.alive, self.survived, self.parts]

    def broken(self, names: list[str]) -> tuple[np.ndarray, list[str | None]]:
        """Return the step at which each member broke, or -1, and the part of the loss that did it, or None."""
        alive, finite = self.alive.tolist(), torch.isfinite(self.parts).T.tolist()
        steps = np.where(alive, -1, self.survived.cpu().numpy())
        said = [*names, GRADIENT]
        return steps, [
            None if lives else said[[*each, False].index(False)] for lives, each in zip(alive, finite, strict=True)
        ]


class Update:
    """One update of all members: forward, loss, gradient, Adam.

    Called with a batch and this update's numbers, `(2 + parts, members or 1)`: Adam's step size and epsilon, then the
    weights of the active parts; and with the members that still run, `(members,)`, or None for all. It leaves the parts
    of the loss, `(parts, members)`, in the state, where inactive ones are stale.
    """

    def __init__(
        self,
        model: Model,
        terms: dict[str, tuple[Term, Penalty]],
        state: State,
        rows: list[int],
        captured: Captured,
        routes: Sequence[Route] = (),
    ) -> None:
        self.model, self.terms, self.state, self.captured, self.routes = model, terms, state, captured, routes
        self.rows = rows if rows != list(range(len(state.parts))) else None
        # Views of the buffer, made once: what autograd differentiates by is these, and not how they lie in it.
        self.params = {name: each.requires_grad_() for name, each in model.unpack(state.params.detach()).items()}
        self._leaves = list(self.params.values())

    def __call__(self, batch: Batch, scalars: Tensor, running: Tensor | None = None) -> None:
        step_size, epsilon, weights = scalars[0], scalars[1], scalars[2:]
        parts, gradient = self.parts_and_gradient(batch, weights)
        with torch.no_grad():
            self._watch(parts, gradient, weights, running)
            moving = self.state.alive if running is None else self.state.alive & running
            self._adam(gradient, step_size, epsilon, moving)

    def parts_and_gradient(self, batch: Batch, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return reconstruction error and every active term, `(parts, members)`, and the gradient by all parameters.

        Args:
            batch: what the members learn from.
            weights: of the parts in the loss that is differentiated, `(parts, members or 1)`.
        """
        sums, counts = self._sums(batch)
        over = _column(tuple(counts), sums.dtype, sums.device)
        # One number a member also where all are alike: products are rounded by how the gradient lies in memory.
        gradients = torch.autograd.grad(sums, self._leaves, weights.expand_as(sums) / over, materialize_grads=True)
        return sums.detach() / over, torch.cat([each.reshape(len(each), -1) for each in gradients], dim=-1)

    def _sums(self, batch: Batch) -> tuple[Tensor, list[int]]:
        """Return what each part of the loss adds up, `(parts, members)`, and the number by which it is to be divided.

        Divided afterwards, all at once; and the gradient of a sum is a view, that of a mean a new tensor.
        """
        inputs, targets = batch["inputs"].mT, batch["targets"].mT
        edits = {route.site: _routed([each for each in self.routes if each.site == route.site], batch)
                 for route in self.routes}  # fmt: skip
        forward = self.model(self.params, inputs, edits)
        for x in (forward.outputs, *forward.sites.values()):
            if x.requires_grad:
                x.register_hook(_in_one_layout)
        context = Context(
            inputs,
            targets,
            forward.outputs,
            forward.sites,
            {key.removeprefix("label:"): value for key, value in batch.items() if key.startswith("label:")},
            lambda z: self.model.decode(self.params, z),
            self.model.unit_sites,
            self.captured,
            lambda x, site: self.model(self.params, x).sites[site],
        )
        weight = batch.get("weight")
        errors = mse_loss(forward.outputs, targets, reduction="none")
        sums = [errors.sum((-2, -1)) if weight is None else (errors.sum(-1) * weight).sum(-1)]
        counts = [targets[0].numel()]
        for name, (term, penalty) in self.terms.items():
            each, share = penalty(context), batch.get(f"share:{name}")
            if share is not None:
                sums.append((each * share).sum(-1))
            elif weight is not None and term.per_sample:
                sums.append((each * weight).sum(-1))
            else:
                sums.append(each.sum(-1))
            counts.append(1 if share is not None else each.shape[-1])
        return torch.stack(sums), counts

    def _watch(self, parts: Tensor, gradient: Tensor, weights: Tensor, running: Tensor | None) -> None:
        """Keep the loss of members that live; one whose loss or gradient is not finite dies, and its last loss stays.

        A term that has no weight for a member cannot break it by its value, nor can anything one that has finished.
        """
        state = self.state
        if weights.shape[-1] > 1:
            terms = torch.where(weights[1:] > 0, parts[1:], parts[1:].nan_to_num(0.0, 0.0, 0.0))
            parts = torch.cat([parts[:1], terms])
        if self.rows is None:
            torch.where(state.alive, parts, state.parts, out=state.parts)
        else:
            for row, part in zip(self.rows, parts, strict=True):
                torch.where(state.alive, part, state.parts[row], out=state.parts[row])
        sound = torch.isfinite(torch.cat([parts, gradient.sum(-1).unsqueeze(0)])).all(0)
        state.alive &= sound if running is None else sound | ~running
        state.survived += state.alive

    def _adam(self, gradient: Tensor, step_size: Tensor, epsilon: Tensor, moving: Tensor) -> None:
        """Apply Adam; both bias corrections are in `step_size` and `epsilon`, and a member not moving stands still."""
        state = self.state
        if gradient.is_cuda or not moving.all():  # nearly always all do; but a captured graph cannot ask
            gradient.masked_fill_(~moving.unsqueeze(-1), 0.0)
            step_size = step_size * moving
        state.mean.lerp_(gradient, 1 - BETA1)
        state.square.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        change = state.mean * step_size.unsqueeze(-1)
        state.params.addcdiv_(change, state.square.sqrt().add_(epsilon.unsqueeze(-1)), value=-1)


@cache
def _column(values: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return numbers as a column, made once: a copy to a device cannot be captured in a CUDA graph."""
    return torch.tensor(values, dtype=dtype, device=device).unsqueeze(-1)


def _routed(routes: Sequence[Route], batch: Batch) -> Edit:
    """Return the edit that leaves activations as they are, and sends labelled samples' gradients through some axes."""

    def edit(x: Tensor) -> Tensor:
        for route in routes:
            closed = torch.ones_like(x[..., :1, :])
            closed[..., list(route.axes)] = 0.0
            label = batch[f"label:{route.label}"]
            closed = closed * pad(label, (0, x.shape[-2] - label.shape[-1])).unsqueeze(-1)  # a model fills up batches
            x = x * (1 - closed) + x.detach() * closed
        return x

    return edit


def _in_one_layout(gradient: Tensor) -> Tensor | None:
    """Return a gradient with the batch last in memory, as activations lie; None if it lies so already.

    It comes as the terms that have it leave it, and products are rounded by that; so a member's would depend on the
    terms of trainings that share its batch.
    """
    across = gradient.mT
    return None if across.is_contiguous() else across.contiguous().mT


def captured_graph(update: Update, state: State) -> Callable[[Batch, Tensor, Tensor | None], None]:
    """Return `update` as a CUDA graph over static inputs, captured on the first call. Not yet run on a GPU."""
    graph: torch.cuda.CUDAGraph | None = None
    inputs: Batch = {}
    scalars = torch.empty(0)
    moving: Tensor | None = None

    def run(batch: Batch, values: Tensor, running: Tensor | None = None) -> None:
        nonlocal graph, scalars, moving
        if graph is None:
            inputs.update({name: value.clone() for name, value in batch.items()})
            scalars, moving = values.clone(), None if running is None else running.clone()
            saved = [tensor.detach().clone() for tensor in state.tensors()]
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    update(inputs, scalars, moving)
            torch.cuda.current_stream().wait_stream(side)
            with torch.no_grad():
                for tensor, value in zip(state.tensors(), saved, strict=True):
                    tensor.copy_(value)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                update(inputs, scalars, moving)
        for name, value in batch.items():
            inputs[name].copy_(value)
        scalars.copy_(values)
        if moving is not None and running is not None:
            moving.copy_(running)
        graph.replay()

    return run


def corrections(updates: int) -> np.ndarray:
    """Return what Adam's bias corrections make of a rate of 1, and of epsilon, at each update, `(updates, 2)`."""
    count = np.arange(1, updates + 1)
    first, second = 1 - BETA1**count, np.sqrt(1 - BETA2**count)
    return np.stack([second / first, EPSILON * second], axis=-1)
