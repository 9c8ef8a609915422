"""What a task is to everything downstream: items with inputs and targets, labels, graded similarity, error."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Pairs = tuple[np.ndarray, np.ndarray]
"""Inputs `(n, inputs)` and targets `(n, outputs)`, in float64."""


@dataclass(frozen=True)
class Items:
    """Named items with inputs `(n, inputs)` and targets `(n, outputs)`, in float64."""

    names: list[str]
    inputs: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Ring:
    """Items that follow on each other around a circle.

    Attributes:
        items: in order, each once.
        turns: the place of each, in turns, `(n,)`; they rise, and so may end above 1.
        closed: whether the last is followed by the first; else there is a gap between them.
    """

    items: Items
    turns: np.ndarray
    closed: bool


@dataclass(frozen=True)
class Task:
    """Items to learn from and to measure on.

    Attributes:
        train: what training draws from.
        weights: relative frequency of each training item, `(n,)`.
        label_probability: label -> chance that a draw of each training item carries it, `(n,)`.
        validation: items for reconstruction and validation terms, in a fixed order.
        validation_labels: label -> 0 or 1 for each validation item, `(n,)`.
        reference: the grid that `score_r2` uses.
        grid: the grid that all other effect metrics use.
        named: items with a name, which may stand for concepts.
        output_range: outputs are clamped to it whenever they are measured.
        similarities: name -> grade of inputs `(n, inputs)` against one anchor input, `(n,)` in [0, 1].
        grades: name -> number from 0 to 1 that the data know of inputs `(n, inputs)`, `(n,)`.
        cycles: name -> items around a circle.
        views: name -> items that figures show before and after an intervention.
        dense_errors: makes very many pairs, over which errors are summed up when a member is looked at closely.
        dense_response: makes many pairs, over which errors are compared with similarity then.
    """

    train: Items
    weights: np.ndarray
    label_probability: dict[str, np.ndarray]
    validation: Items
    validation_labels: dict[str, np.ndarray]
    reference: Items
    grid: Items
    named: Items
    output_range: tuple[float, float]
    similarities: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]
    grades: dict[str, Callable[[np.ndarray], np.ndarray]]
    cycles: dict[str, Ring]
    dense_errors: Callable[[], Pairs]
    dense_response: Callable[[], Pairs]
    views: dict[str, Items] = field(default_factory=dict)

    def item(self, name: str) -> np.ndarray:
        """Return the input of a named item, `(inputs,)`."""
        return self.named.inputs[self.named.names.index(name)]

    def label_rate(self) -> float:
        """Return the expected share of draws that carry at least one label, by `weights`."""
        none = np.ones(len(self.train))
        for probability in self.label_probability.values():
            none = none * (1 - probability)
        return float(np.average(1 - none, weights=self.weights))


def error(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return each item's mean squared error over channels, `(..., n, outputs) -> (..., n)`."""
    return np.mean((outputs - targets) ** 2, axis=-1)
