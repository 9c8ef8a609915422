"""How alike a colour is to an anchor colour: colours `(..., 3)` and one colour `(3,)` in, grades in [0, 1] out."""

import numpy as np

from prepe.data.hsv import rgb_to_hsv


def hsv_similarity(rgb: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """Grade colours by their likeness to an anchor colour.

    (r H + 1 - r) (1 - |s1 - s2|) (1 - |v1 - v2|), with H = max(0, 1 - angle / 90 degrees) and r the mean vibrancy.

    Args:
        rgb: colours, `(..., 3)`.
        anchor: one colour, `(3,)`.

    Returns:
        Similarities in [0, 1], `(...,)`; 1 for the anchor itself.
    """
    hue, saturation, value = np.moveaxis(rgb_to_hsv(rgb), -1, 0)
    anchor_hue, anchor_saturation, anchor_value = rgb_to_hsv(anchor)
    turn = np.abs(hue - anchor_hue)
    hue_similarity = np.maximum(0.0, 1 - 4 * np.minimum(turn, 1 - turn))
    weight = (saturation * value + anchor_saturation * anchor_value) / 2
    by_hue = weight * hue_similarity + 1 - weight
    return by_hue * (1 - np.abs(saturation - anchor_saturation)) * (1 - np.abs(value - anchor_value))


def lab_similarity(rgb: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """Grade colours by their likeness to an anchor colour as the eye sees it.

    max(0, 1 - delta E / 100), with the CIE 1976 distance in CIELAB

    Args and result are those of `hsv_similarity`.
    """
    from skimage.color import deltaE_cie76, rgb2lab  # slow to import, and seldom needed

    return np.maximum(0.0, 1 - deltaE_cie76(rgb2lab(rgb), rgb2lab(anchor)) / 100)
