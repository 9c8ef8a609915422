"""A light and a dark look for every figure, and `save`, which writes both beside the text that stands for them.

Source: Okabe and Ito, Color Universal Design (2008), for a palette that colour-blind readers can tell apart.
"""

import io
import math
import os
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib import style as mpl_style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from prepe.errors import PrepeError

DPI = 160

_SHARED: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # matplotlib brings it along, so every machine draws the same letters
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.6,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
    "savefig.dpi": DPI,
}


def _look(paper: str, ink: str, muted: str, grid: str, palette: list[str]) -> dict[str, Any]:
    return _SHARED | {
        "figure.facecolor": paper,
        "axes.facecolor": paper,
        "text.color": ink,
        "axes.titlecolor": ink,
        "axes.labelcolor": ink,
        "axes.edgecolor": muted,
        "xtick.color": muted,
        "ytick.color": muted,
        "xtick.labelcolor": ink,
        "ytick.labelcolor": ink,
        "grid.color": grid,
        "axes.prop_cycle": cycler(color=palette),
    }


LIGHT = _look("#ffffff", "#1b1e24", "#6b7280", "#e5e7eb", ["#0072b2", "#009e73", "#d55e00", "#cc79a7", "#e69f00"])
DARK = _look("#15171c", "#e8eaee", "#9aa1ad", "#2b2f37", ["#56b4e9", "#2fc79a", "#f2844b", "#e39cc4", "#f0c05a"])


@contextmanager
def use(dark: bool = False) -> Iterator[None]:
    """Draw in the light or the dark look, whatever settings the caller's matplotlib has, and restore those after."""
    with mpl_style.context(DARK if dark else LIGHT, after_reset=True):
        yield


def palette() -> list[str]:
    """Return the colours that tell things apart in the look now in use: blue, green, vermilion, purple, orange."""
    return list(matplotlib.rcParams["axes.prop_cycle"].by_key()["color"])


def marks(names: list[str]) -> dict[str, tuple[str, Any]]:
    """Return a colour and a line style for each of some names, all of them different: five colours, then dashes."""
    colors, dashes = palette(), ("-", (0, (5, 1.6)), (0, (1.2, 1.4)))
    return {name: (colors[i % 5], dashes[i // 5 % 3]) for i, name in enumerate(names)}


def digits(value: float, spec: str = ".3g") -> str:
    """Write a number with a real minus sign."""
    return format(value, spec).replace("-", "−")


def wrapped(text: str, width: int) -> str:
    """Break a text into lines of so many letters."""
    return textwrap.fill(text, width)


def shade() -> str:
    """Return a colour a little off the page, for what lies behind: dots of any colour stand out from it."""
    return "#eef0f3" if paper() == LIGHT["figure.facecolor"] else "#22262e"


def paper() -> str:
    """Return the colour of the page in the look now in use."""
    return str(matplotlib.rcParams["figure.facecolor"])


def ink() -> str:
    """Return the colour of text in the look now in use."""
    return str(matplotlib.rcParams["text.color"])


def muted() -> str:
    """Return the colour of what should stand back: axes, outlines, reference lines."""
    return str(matplotlib.rcParams["xtick.color"])


def page(title: str, text: str, heights: list[float]) -> tuple[Figure, list[SubFigure]]:
    """Return a page headed by a title and some text, and its parts, one below another.

    Args:
        title: of the page.
        text: a line or two; longer lines are broken.
        heights: of the parts, in inches.
    """
    title = textwrap.fill(title, 90)
    text = "\n".join(textwrap.fill(line, 135) for line in text.split("\n"))
    top = 0.12 + 0.3 * len(title.split("\n"))
    head = top + 0.22 * len(text.split("\n")) + 0.06
    figure = Figure(figsize=(10, head + sum(heights)), layout="constrained")
    rows = [head, *heights]
    parts = list(np.ravel(figure.subfigures(len(rows), 1, height_ratios=rows, squeeze=False)))
    parts[0].text(0.008, 1 - 0.1 / head, title, fontsize=15, fontweight="bold", va="top")
    parts[0].text(0.008, 1 - top / head, text, va="top", linespacing=1.5)
    return figure, parts[1:]


def panel(figure: SubFigure, letter: str, text: str) -> None:
    """Head a part of a page with its letter and what it shows."""
    figure.suptitle(f"{letter}   {text}", x=12 / figure.bbox.width, ha="left", fontsize=10.5, fontweight="bold")


def log_axis(axes: Axes, values: np.ndarray) -> None:
    """Make the horizontal axis logarithmic, with ticks close enough to read it and far enough apart for their labels.

    Args:
        axes: what to change.
        values: what is drawn, above 0.
    """
    axes.set_xscale("log")
    span = values.max() / values.min() if values.size else 1.0
    subs = (1, 2, 5) if span < 15 else (1, 3) if span < 70 else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if len(subs) > 1:
        axes.xaxis.set_major_formatter("{x:g}")


def log_ticks(axis: Axis, most: int = 5) -> None:
    """Give a logarithmic axis labels at whole decades, or between them too where it spans less than two.

    Args:
        axis: with its limits set.
        most: labels, about.
    """
    low, high = sorted(axis.get_view_interval())
    decades = math.log10(high / low)
    subs = (1.0,) if decades > 2 else (1.0, 3.0) if decades > 1.2 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=most if len(subs) == 1 else None))
    axis.set_minor_locator(NullLocator())
    if len(subs) > 1:
        axis.set_major_formatter("{x:g}")


def save(figure: Callable[[], Figure], stem: str | Path, alt_text: str) -> Path:
    """Write `<stem>.png` (light), `<stem>-dark.png` and `<stem>.txt` (alt text), each whole or not at all.

    The light picture comes last, so its existence means that the others are there. The same figure gives the same
    bytes: no file says when or by what it was made.

    Args:
        figure: draws the figure; called once in each look.
        stem: path without an ending; its folder is made if need be.
        alt_text: what stands for the picture where it cannot be seen.

    Returns:
        The path of the light picture.

    Raises:
        PrepeError: a file cannot be written.
    """
    stem = Path(stem)
    light, dark = (_png(figure, dark) for dark in (False, True))
    contents = {".txt": (alt_text.strip() + "\n").encode(), "-dark.png": dark, ".png": light}
    for ending, data in contents.items():
        path = stem.with_name(stem.name + ending)
        with whole(path) as temporary:
            temporary.write_bytes(data)
    return path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes the real one when all is written; its folder is made if need be.

    Raises:
        PrepeError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise PrepeError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _png(figure: Callable[[], Figure], dark: bool) -> bytes:
    buffer = io.BytesIO()
    with use(dark):
        figure().savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
