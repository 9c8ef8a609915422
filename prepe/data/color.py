"""Colours: lattices, hue-saturation-value, graded and noisy concepts; a `data` part in, a `Task` out.

Source: the hexcone model of A. R. Smith, "Color gamut transform pairs", SIGGRAPH 1978, for HSV.
"""

import numpy as np

from prepe.catalog import NAMED_COLORS, Label, RgbGrid
from prepe.data.task import Items, Task

_SELECTIVITY_SIZE = 16
_REFERENCE_SIZE = 8


def rgb_grid(size: int) -> np.ndarray:
    """Return all colours of a lattice with `size` values a channel, `(size**3, 3)`, red outermost."""
    axis = np.linspace(0.0, 1.0, size)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def validation_colors() -> np.ndarray:
    """Return 351 colours that training lattices hardly share: 7 values a channel, 1/16 to 15/16, then the corners."""
    axis = np.linspace(1 / 16, 15 / 16, 7)
    inner = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.concatenate([inner, rgb_grid(2)])


def rgb_to_hsv(rgb: np.ndarray) -> np.ndarray:
    """Convert colours, `(..., 3)`; hue in turns, all in [0, 1]; a grey has hue and saturation 0."""
    high, low = rgb.max(-1), rgb.min(-1)
    spread = high - low
    safe = np.where(spread > 0, spread, 1.0)
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    sector = np.select([high == r, high == g], [(g - b) / safe, (b - r) / safe + 2], (r - g) / safe + 4)
    hue = np.where(spread > 0, sector / 6 % 1.0, 0.0)
    saturation = np.where(high > 0, spread / np.where(high > 0, high, 1.0), 0.0)
    return np.stack([hue, saturation, high], axis=-1)


def redness(rgb: np.ndarray) -> np.ndarray:
    """Grade red: r (1 - g/2 - b/2), `(...,)`, 1 for pure red."""
    return rgb[..., 0] * (1 - rgb[..., 1] / 2 - rgb[..., 2] / 2)


def vibrancy(rgb: np.ndarray) -> np.ndarray:
    """Grade vibrancy: saturation times value, which is the spread of the channels, `(...,)`."""
    return rgb.max(-1) - rgb.min(-1)


GRADES = {"redness": redness, "vibrancy": vibrancy}


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


def hex_name(rgb: np.ndarray) -> str:
    """Name a colour by its 24-bit code, such as `#ff0000`."""
    return "#" + "".join(f"{round(float(channel) * 255):02x}" for channel in rgb)


def _colors(rgb: np.ndarray) -> Items:
    return Items([hex_name(color) for color in rgb], rgb, rgb)


def _probability(label: Label, rgb: np.ndarray) -> np.ndarray:
    return label.rate * GRADES[label.concept](rgb) ** label.power


def task(part: RgbGrid) -> Task:
    """Make the task of reconstructing a lattice's colours.

    Validation labels are exact: 1 for colours of grade 1, else 0.
    """
    train, validation = rgb_grid(part.size), validation_colors()
    named = np.array(list(NAMED_COLORS.values()))
    return Task(
        train=_colors(train),
        weights=np.ones(len(train)),
        label_probability={name: _probability(label, train) for name, label in part.labels.items()},
        validation=_colors(validation),
        validation_labels={
            name: (GRADES[label.concept](validation) == 1).astype(float) for name, label in part.labels.items()
        },
        reference=_colors(rgb_grid(_REFERENCE_SIZE)),
        grid=_colors(rgb_grid(_SELECTIVITY_SIZE)),
        named=Items(list(NAMED_COLORS), named, named),
        output_range=(0.0, 1.0),
        similarities={"hsv": hsv_similarity, "lab": lab_similarity},
    )
