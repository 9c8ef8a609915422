"""Labels: how much of its concept an item has, and with which chance a draw of it carries the label."""

from collections.abc import Mapping

import numpy as np

from prepe import custom
from prepe.catalog import HUES, Label
from prepe.data.grades import Grade, of_hue
from prepe.errors import PrepeError


def grades(name: str, label: Label, inputs: np.ndarray, known: Mapping[str, Grade]) -> np.ndarray:
    """Return how much of a label's concept each item has, `(n,)` in [0, 1].

    Args:
        name: the label's, for the message.
        label: says which concept.
        inputs: `(n, inputs)`.
        known: the concepts that the data know by name.

    Raises:
        PrepeError: a user's own function does not exist, fails, or does not give one number in [0, 1] for each item.
    """
    kind, _, hue = label.concept.partition(":")
    if label.concept in known:
        return known[label.concept](inputs)
    if kind == "hue":
        return of_hue(HUES[hue])(inputs)
    return _own_grades(f"data.labels.{name}.concept", label.concept, inputs)


def _own_grades(path: str, concept: str, inputs: np.ndarray) -> np.ndarray:
    try:
        function = custom.load(concept)
    except PrepeError as error:
        raise PrepeError(f"{path}: {error}") from error.__cause__
    try:
        grade = np.asarray(function(inputs.copy()), dtype=float)
    except Exception as error:  # a user's function may fail in any way
        raise PrepeError(
            f"{path}: {concept!r} failed on an array {inputs.shape}: {custom.in_a_line(error)}; "
            "allowed: a function of inputs (n, inputs) that gives (n,) numbers from 0 to 1"
        ) from error
    if grade.shape != (len(inputs),):
        raise PrepeError(f"{path}: {concept!r} gave an array {grade.shape}; allowed here: ({len(inputs)},)")
    faulty = grade[~((grade >= 0) & (grade <= 1))]
    if len(faulty):
        raise PrepeError(f"{path}: {concept!r} gave {faulty[0]:g}; allowed: finite numbers from 0 to 1")
    return grade


def chance(label: Label, grade: np.ndarray) -> np.ndarray:
    """Return the chance that a draw of an item of some grade carries a label, `(n,)`.

    p (1 - missed) + (1 - p) false, with p = rate * grade ** power
    """
    p = label.rate * grade**label.power
    return p * (1 - label.missed) + (1 - p) * label.false


def exact(grade: np.ndarray) -> np.ndarray:
    """Return the label without noise: 1 for items of grade 1, else 0, `(n,)`."""
    return (grade == 1).astype(float)
