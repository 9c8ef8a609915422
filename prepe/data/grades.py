"""Grades of colours: numbers from 0 to 1, `(..., 3) -> (...,)`, that say how much of something a colour has."""

from collections.abc import Callable

import numpy as np

from prepe.data.hsv import rgb_to_hsv

Grade = Callable[[np.ndarray], np.ndarray]


def redness(rgb: np.ndarray) -> np.ndarray:
    """Grade red: r (1 - g/2 - b/2), 1 for pure red."""
    return rgb[..., 0] * (1 - rgb[..., 1] / 2 - rgb[..., 2] / 2)


def vibrancy(rgb: np.ndarray) -> np.ndarray:
    """Grade vibrancy: saturation times value, which is the spread of the channels."""
    return rgb.max(-1) - rgb.min(-1)


def desaturated(rgb: np.ndarray) -> np.ndarray:
    """Grade the lack of vibrancy: 1 - vibrancy, 1 for greys."""
    return 1 - vibrancy(rgb)


def saturation(rgb: np.ndarray) -> np.ndarray:
    """Grade saturation, as in HSV."""
    return rgb_to_hsv(rgb)[..., 1]


def value(rgb: np.ndarray) -> np.ndarray:
    """Grade value, as in HSV: the largest channel."""
    return rgb.max(-1)


def focus(rgb: np.ndarray) -> np.ndarray:
    """Grade nearness to a primary or secondary hue; a grey has hue 0, and so grade 1."""
    # The reference grades a grey cell of a cube by the cube's own hue. Draws would differ only where greys are let in
    # (vibrancy opened above 0.5) before all hues are, at most by 3.3 % of them; no shipped sweep does that.
    return hue_focus(rgb_to_hsv(rgb)[..., 0])


def hue_focus(hue: np.ndarray) -> np.ndarray:
    """Grade hues, in turns, by nearness to a primary or secondary one: 1 there, 0 half-way between two.

    (cos(pi d / 30) + 1) / 2, with d the distance to the nearest multiple of 60 degrees, in degrees
    """
    degrees = hue * 360 % 60
    return (np.cos(np.pi * np.minimum(degrees, 60 - degrees) / 30) + 1) / 2


def of_hue(hue: float) -> Grade:
    """Return a grade that is 1 at one pure hue and falls with distance in hue, saturation and value.

    It is the redness of a colour after turning all hues so that this one becomes red. With d the distance in hue, in
    sixths of a turn, and high and low the largest and smallest channels, the turned channels are

    r = low + (high - low) clip(2 - d, 0, 1),  g + b = 2 low + (high - low) (clip(d, 0, 1) + clip(d - 2, 0, 1))

    and the grade is r (1 - (g + b) / 2).

    Args:
        hue: in turns.
    """

    def grade(rgb: np.ndarray) -> np.ndarray:
        high, low = rgb.max(-1), rgb.min(-1)
        turn = np.abs(rgb_to_hsv(rgb)[..., 0] - hue % 1.0)
        distance = np.round(6 * np.minimum(turn, 1 - turn), 12)  # so that the pure hue has exactly 1
        r = low + (high - low) * np.clip(2 - distance, 0, 1)
        others = 2 * low + (high - low) * (np.clip(distance, 0, 1) + np.clip(distance - 2, 0, 1))
        return r * (1 - others / 2)

    return grade


GRADES: dict[str, Grade] = {
    "vibrancy": vibrancy,
    "focus": focus,
    "redness": redness,
    "saturation": saturation,
    "value": value,
    "desaturated": desaturated,
}
