"""How a batch is drawn: how many items, with which weights, and which ones for given random numbers."""

from functools import lru_cache

import numpy as np

from prepe.catalog import DataPart
from prepe.data import streams
from prepe.data.levels import opened
from prepe.data.task import Task

_LEAST_TOTAL = 1e-9
_KEPT = 64
Fractions = dict[str, float]


class Source:
    """A phase's data, as they are drawn from.

    Attributes:
        opened_by: the schedule's parameters that open the data, sorted.
        moving: whether weights depend on them.
    """

    def __init__(self, part: DataPart, task: Task, batch_size: int) -> None:
        self.opened_by = sorted(part.opened_by)
        self.moving = bool(self.opened_by)
        self._part, self._bias = part, task.weights
        self._batch_size = len(task.train) if part.draw == "all" else batch_size
        self._grades = {name: task.grades[part.opened_by[name]](task.train.inputs) for name in self.opened_by}
        # A training asks at every step, and most steps of a schedule are like the one before.
        self._open = lru_cache(_KEPT)(self._open_by)
        self._weights = lru_cache(_KEPT)(self._weights_by)

    def size(self, draws_before: int) -> int:
        """Return how many items the next batch has, after so many draws in this phase.

        Where `draw` is `"all"`, every item; else the batch size, or what is left of the epoch if that is less.
        """
        epoch = self._part.epoch
        if epoch is None or self._part.draw == "all":
            return self._batch_size
        return min(self._batch_size, epoch - draws_before % epoch)

    def weights(self, fractions: Fractions) -> np.ndarray:
        """Return the relative frequency of each item in a draw, `(n,)`, read-only.

        max(0, bias * product over openers of opened(grade, fraction)); the same for all if they add up to nothing

        Args:
            fractions: opener -> how far it is open; all of `opened_by` are needed.
        """
        return self._weights(self._key(fractions))

    def sample_weights(self, fractions: Fractions) -> np.ndarray | None:
        """Return how much each item weighs in the loss, `(n,)`, read-only; None if the data do not `weigh`.

        product over openers of opened(grade, fraction)
        """
        return self._open(self._key(fractions)) if self._part.weigh else None

    def index(self, uniforms: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Turn numbers in [0, 1) into indices of items, drawn with replacement by `weights`, same shape."""
        return streams.weighted(uniforms, weights)

    def _key(self, fractions: Fractions) -> tuple[float, ...]:
        return tuple(float(fractions[name]) for name in self.opened_by)

    def _open_by(self, fractions: tuple[float, ...]) -> np.ndarray:
        product = np.ones(len(self._bias))
        for name, fraction in zip(self.opened_by, fractions, strict=True):
            product = product * opened(self._grades[name], fraction)
        return _frozen(product)

    def _weights_by(self, fractions: tuple[float, ...]) -> np.ndarray:
        weights = np.maximum(0.0, self._bias * self._open(fractions))
        return _frozen(weights if weights.sum() > _LEAST_TOTAL else np.ones(len(weights)))


def _frozen(values: np.ndarray) -> np.ndarray:
    values.flags.writeable = False
    return values
