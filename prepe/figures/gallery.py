"""Figures of experiments in which nothing is trained: the name of one in; its figures, with their text, out."""

from collections.abc import Callable, Iterator

import numpy as np

from prepe.catalog import HUES
from prepe.data.cube import Cube
from prepe.figures import cube, rgb_cube, transitions
from prepe.figures.album import Page

_BAND = 1 / 12 + 1e-8
"""Hues this near to one, in turns, are held out with it."""


def colour_data() -> Iterator[Page]:
    """Give slices of colour cubes, whole and with a band of hues held out (experiment 1.1)."""
    along = np.linspace(0, 1, 5)
    hsv = Cube.from_hsv(np.arange(12) / 12, along, along)
    yield _slices("hsv", hsv, "A colour cube by hue")
    yield _slices("svh", hsv.permute("svh"), "A colour cube by saturation")
    yield _slices("rgb", Cube.from_rgb(along, along, along), "A colour cube in red, green and blue")
    for name in list(HUES)[::2]:
        held_out = hsv.without((HUES[name] - _BAND) % 1, (HUES[name] + _BAND) % 1)
        yield _slices(f"without-{name}", held_out.permute("svh"), f"A colour cube without {name}")
        if name == "cyan":
            yield _slices(f"without-{name}-by-hue", held_out, f"A colour cube without {name}, by hue")


def rgb_on_its_corner() -> Iterator[Page]:
    """Give the RGB cube on its black corner (experiment 1.1.1)."""
    yield Page("", rgb_cube.draw, rgb_cube.alt_text())


def parameter_transitions() -> Iterator[Page]:
    """Give minimum-jerk transitions and a retargeted value (experiment 1.4)."""
    duration = 100
    arguments = (transitions.published_curves(duration), duration, *transitions.published_moves())
    yield Page("", lambda: transitions.draw(*arguments), transitions.alt_text(*arguments))


GALLERY: dict[str, Callable[[], Iterator[Page]]] = {
    "ex-1.1": colour_data,
    "ex-1.1.1": rgb_on_its_corner,
    "ex-1.4": parameter_transitions,
}


def _slices(stem: str, of: Cube, title: str) -> Page:
    return Page(stem, lambda: cube.draw(of, title), cube.alt_text(of, title))
