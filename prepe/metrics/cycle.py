"""Whether items that follow on each other lie around a circle in that order: latents in, named numbers out.

Latents are `(*members, items, latent)`; an item's angle is the one that it has in the plane of two axes, and 0 in the
middle of it. A member with a latent that is not finite has no number by any metric.
"""

import numpy as np

from prepe.metrics import geometry

_TURN = 2 * np.pi
_DECIMALS = 9
"""Lengths that differ by less than rounding does are alike, and share a rank."""
Axes = tuple[int, int]


def ring(latents: np.ndarray, axes: Axes, turns: np.ndarray, closed: bool) -> dict[str, np.ndarray]:
    """Measure the items of a cycle, in their order.

    Args:
        latents: `(*members, items, latent)`.
        axes: the plane's.
        turns: the items' places, in turns, `(items,)`.
        closed: whether the last item is followed by the first; else the metrics that go around end at the last.

    Returns:
        Metric name -> `(*members,)`; `catalog.MEMBER_METRICS` says what each means.
    """
    whole, latents = _finite(latents)
    x, y = _in_plane(latents, axes)
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    path = np.unwrap(np.concatenate([angle, angle[..., :1]], axis=-1) if closed else angle)
    values = {
        "ring_order": order(path),
        "ring_winding": winding(path, closed),
        "ring_spacing_rad": spacing(angle, turns),
        "ring_gap_rad": gap(angle),
        "ring_line": line(path[..., : len(turns)], turns),
        "ring_radius": radius.mean(-1),
        "ring_radius_min": radius.min(-1),
        "off_plane": geometry.off_plane(latents, axes),
    }
    return {name: np.where(whole, value, np.nan) for name, value in values.items()}


def graded(latents: np.ndarray, axes: Axes, grade: np.ndarray) -> dict[str, np.ndarray]:
    """Measure whether items lie further out in a plane, and further from it, the higher their grade is.

    Args:
        latents: `(*members, items, latent)`.
        axes: the plane's.
        grade: `(items,)`.

    Returns:
        `grade_radius` and `grade_off_plane`, `(*members,)` in [-1, 1].
    """
    whole, latents = _finite(latents)
    outside = np.sqrt((geometry.outside(latents, axes) ** 2).sum(-1))
    lengths = {"grade_radius": np.hypot(*_in_plane(latents, axes)), "grade_off_plane": outside}
    return {name: np.where(whole, rank_correlation(grade, each), np.nan) for name, each in lengths.items()}


def order(path: np.ndarray) -> np.ndarray:
    """Return the share of steps along unwrapped angles that go the way that most of them go, `(*members,)`.

    It is 1 also for a star, which goes round several times: `winding` tells the two apart.
    """
    steps = np.diff(path)
    most = np.maximum((steps > 0).sum(-1), (steps < 0).sum(-1))
    return most / max(1, steps.shape[-1])


def winding(path: np.ndarray, closed: bool) -> np.ndarray:
    """Return how many turns unwrapped angles make, without sign, `(*members,)`; a whole number if they close."""
    turned = np.abs(path[..., -1] - path[..., 0]) / _TURN
    return np.round(turned) if closed else turned


def spacing(angle: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Return the largest distance of an angle from its place, in radians, `(*members,)`.

    max |angle - angle of the first item -+ 2 pi (turns - those of the first item)|

    The places run the way round that fits better, which on a circle is the one in which the angles wind.
    """
    seen, wanted = angle - angle[..., :1], _TURN * (turns - turns[:1])
    return np.minimum(_distance(seen - wanted).max(-1), _distance(seen + wanted).max(-1))


def _distance(angle: np.ndarray) -> np.ndarray:
    """Return how far from 0 an angle is, the shorter way round, in [0, pi]."""
    return np.abs((angle + np.pi) % _TURN - np.pi)


def gap(angle: np.ndarray) -> np.ndarray:
    """Return the largest angle between neighbours around the circle, in any order, `(*members,)` in (0, 2 pi]."""
    ordered = np.sort(angle, axis=-1)
    return np.diff(ordered, append=ordered[..., :1] + _TURN).max(-1)


def line(path: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Return the absolute correlation of unwrapped angles with the items' places, `(*members,)`."""
    return np.abs(correlation(turns, path))


def rank_correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation, ties sharing their mean rank; as `correlation` where one side is constant.

    Args:
        x: `(items,)`.
        y: `(*members, items)`.
    """
    from scipy.stats import rankdata  # slow to import, and seldom needed

    return correlation(rankdata(np.round(x, _DECIMALS)), rankdata(np.round(y, _DECIMALS), axis=-1))


def correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation, `(*members,)`; 0 where one side is constant.

    Args:
        x: `(items,)`.
        y: `(*members, items)`.
    """
    x, y = x - x.mean(), y - y.mean(-1, keepdims=True)
    spread = np.sqrt((x**2).sum() * (y**2).sum(-1))
    return (y * x).sum(-1) / np.where(spread > 0, spread, np.inf)


def _finite(latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which members have finite latents alone, `(*members,)`, and the latents with 0 for all of the others'."""
    whole = np.isfinite(latents).all((-2, -1))
    return whole, np.where(whole[..., None, None], latents, 0.0)


def _in_plane(latents: np.ndarray, axes: Axes) -> tuple[np.ndarray, np.ndarray]:
    """Return the two coordinates in the plane, `(*members, items)` each; adding 0 takes the sign off a zero."""
    x, y = (np.ascontiguousarray(latents[..., axis]) + 0.0 for axis in axes)
    return x, y
