"""Red-green-blue to hue-saturation-value and back; hues in turns, everything in [0, 1].

Source: the hexcone model of A. R. Smith, "Color gamut transform pairs", SIGGRAPH 1978.
"""

import numpy as np


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


def hsv_to_rgb(hsv: np.ndarray) -> np.ndarray:
    """Convert colours, `(..., 3)`; hue is cyclic.

    channel = v - v s max(0, min(k, 4 - k, 1)), with k = (6 h + 5, 3, 1) mod 6 for red, green, blue
    """
    hue, saturation, value = (hsv[..., i, None] for i in range(3))
    k = (6 * hue + np.array([5.0, 3.0, 1.0])) % 6
    return value - value * saturation * np.clip(np.minimum(k, 4 - k), 0.0, 1.0)
