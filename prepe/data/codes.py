"""Tasks of arbitrary codes: a `data` part in, a `Task` of saying each colour's code out.

A colour follows from its neighbours, so a model that never saw any red reconstructs red all the same. Random bits
follow from nothing: what brings them back after a deletion was still in the model.
"""

from dataclasses import replace

import numpy as np

from prepe.catalog import NAMED_COLORS, RgbCodes
from prepe.data import color, labels, streams
from prepe.data.grades import GRADES
from prepe.data.similarity import hsv_similarity
from prepe.data.task import Items, Pairs, Ring, Task
from prepe.errors import PrepeError

BLANK = "gray"
"""The named colour whose code says nothing."""
_AROUND_SIZE, _NEAR, _NEAR_POWER = 16, 0.5, 3
"""Extra colours are of a lattice of this size, and as near as an intervention's targets are."""


def codes_task(part: RgbCodes) -> Task:
    """Make the task of arbitrary codes; one set of colours is trained on and measured on.

    Raises:
        PrepeError: there are not so many extra colours.
    """
    rgb = coded_colors(part)
    every = Items([color.hex_name(each) for each in rgb], rgb, codes(part, rgb))
    graded = {name: labels.grades(name, label, rgb, GRADES) for name, label in part.labels.items()}

    def dense() -> Pairs:
        return every.inputs, every.targets

    return Task(
        train=every,
        weights=np.ones(len(every)),
        label_probability={name: labels.chance(label, graded[name]) for name, label in part.labels.items()},
        validation=every,
        validation_labels={name: labels.exact(each) for name, each in graded.items()},
        reference=every,
        grid=every,
        named=_coded(color.named_colors(list(NAMED_COLORS)), every),
        output_range=(0.0, 1.0),
        similarities=dict(color.SIMILARITIES),
        grades=dict(GRADES),
        cycles={name: replace(ring, items=_coded(ring.items, every)) for name, ring in _rings(part).items()},
        dense_errors=dense,
        dense_response=dense,
    )


def coded_colors(part: RgbCodes) -> np.ndarray:
    """Return every colour that has a code, each once: the lattice's, the named ones, then the extra ones, `(n, 3)`.

    Raises:
        PrepeError: there are not so many extra colours around the named one.
    """
    named = np.array(list(NAMED_COLORS.values()))
    first = _unlike(named, color.rgb_grid(part.size))
    known = np.concatenate([color.rgb_grid(part.size), first])
    around = color.rgb_grid(_AROUND_SIZE)
    near = hsv_similarity(around, np.array(NAMED_COLORS[part.near])) ** _NEAR_POWER > _NEAR
    left = _unlike(around[near], known)
    if part.extra > len(left):
        raise PrepeError(
            f"data.extra: {part.extra} colours around {part.near}; allowed: at most {len(left)}, which are not coded "
            "anyway, or another size"
        )
    return np.concatenate([known, streams.generator(part.key, "codes:extra").permutation(left)[: part.extra]])


def codes(part: RgbCodes, rgb: np.ndarray) -> np.ndarray:
    """Return a random code of 0 and 1 for each colour, `(n, bits)`; that of gray is 0.5 everywhere."""
    drawn = streams.generator(part.key, "codes").integers(0, 2, (len(rgb), part.bits)).astype(float)
    drawn[(rgb == NAMED_COLORS[BLANK]).all(-1)] = 0.5
    return drawn


def _unlike(rgb: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the colours that are not among those known already, as far as rounding can tell."""
    return np.array([each for each in rgb if np.abs(known - each).max(-1).min() > 1e-9]).reshape(-1, 3)


def _coded(items: Items, every: Items) -> Items:
    """Return the same items with their codes."""
    at = [int(np.abs(every.inputs - each).max(-1).argmin()) for each in items.inputs]
    return Items(items.names, items.inputs, every.targets[at])


def _rings(part: RgbCodes) -> dict[str, Ring]:
    return {name: color.WHEELS[name] for name in part.cycles()}
