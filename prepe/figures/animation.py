"""Latents through training, beside schedule and loss: a member's snapshots and lines in; pictures, or a film, out."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from prepe.errors import PrepeError
from prepe.figures import disc, style
from prepe.figures.snapshots import Pair, Snapshots, depth_of, pairs
from prepe.spec import LOSS

Lines = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Name -> steps and values, each `(n,)`."""
Report = Callable[[int, int], None]
_SIZE, _DPI = (12.8, 7.2), 100  # 1280 x 720
_EASE = np.array([(0.0, 0.0), (0.42, 0.0), (0.95, 1.0), (1.0, 1.0)])
_LOOK_UP = 200


@dataclass(frozen=True)
class Film:
    """What an animation shows: a picture for each of a member's snapshots.

    Attributes:
        shown: of one member.
        weights: of terms, and whatever else the schedule moves.
        losses: parts of the loss.
        title: stands above.
    """

    shown: Snapshots
    weights: Lines
    losses: Lines
    title: str


def frames(last: int, count: int = 1000) -> list[int]:
    """Return the steps of an animation: many at the beginning, fewer in the middle, slowing down to the last.

    Evenly spaced times are eased by the cubic Bézier curve through (0, 0), (0.42, 0), (0.95, 1), (1, 1), looked up at
    200 points, and rounded to steps, each once.

    Args:
        last: the last step.
        count: of times.
    """
    s = np.linspace(0, 1, _LOOK_UP)[:, None]
    curve = (1 - s) ** 3 * _EASE[0] + 3 * (1 - s) ** 2 * s * _EASE[1] + 3 * (1 - s) * s**2 * _EASE[2] + s**3 * _EASE[3]
    eased = np.interp(np.linspace(0, 1, count), curve[:, 0], curve[:, 1])
    return [int(step) for step in np.unique(np.rint(eased * last))]


def check_available() -> None:
    """Check that films can be encoded.

    Raises:
        PrepeError: the optional dependency is missing.
    """
    try:
        import av  # noqa: F401
    except ImportError:
        raise PrepeError("animations need PyAV; allowed: after pip install 'prepe[animation]'") from None


def draw(film: Film, frame: int = -1) -> Figure:
    """Draw one picture of a film, by its place among the snapshots."""
    stage = _Stage(film)
    stage.show(range(len(film.shown.steps))[frame])
    return stage.figure


def alt_text(film: Film, fps: int) -> str:
    """Say in words and numbers what a film shows."""
    steps, lengths = film.shown.steps, np.linalg.norm(film.shown.latents, axis=-1).mean(-1)
    own = " in its own colour" if film.shown.colors is not None else ""
    lines = [
        f"{film.title}: {len(steps)} pictures, {len(steps) / fps:.0f} s.",
        f"Latents of seed {film.shown.seed} from step {steps[0]} to {steps[-1]}; each of {len(film.shown.inputs)} "
        f"items is a dot{own}, on a disc of radius 1. Below, the weights of the schedule and the losses, with a line "
        "at the step.",
        f"Mean length of latents: {lengths[0]:.2f} at first, {lengths[len(steps) // 2]:.2f} at step "
        f"{steps[len(steps) // 2]}, {lengths[-1]:.2f} at last.",
    ]
    for what, curves in (("Weight", film.weights), ("Loss", film.losses)):
        lines += [f"{what} {name}: from {y[0]:.2g} to {y[-1]:.2g}." for name, (_, y) in curves.items() if len(y)]
    return "\n".join(lines)


def pictures(film: Film) -> Iterator[np.ndarray]:
    """Give every picture in turn, `(height, width, 3)`, in the look now in use.

    What does not move is drawn once.
    """
    stage = _Stage(film)
    canvas = FigureCanvasAgg(stage.figure)
    for artist in stage.moving:
        artist.set_animated(True)
    canvas.draw()
    still = canvas.copy_from_bbox(stage.figure.bbox)
    for frame in range(len(film.shown.steps)):
        stage.show(frame)
        canvas.restore_region(still)
        for artist in stage.moving:
            artist.axes.draw_artist(artist) if artist.axes else stage.figure.draw_artist(artist)
        yield np.asarray(canvas.buffer_rgba())[..., :3].copy()


def write(film: Film, path: Path, fps: int = 30, dark: bool = True, report: Report | None = None) -> Path:
    """Write a film as MP4 (H.264), whole or not at all, with the text that stands for it beside it.

    Args:
        film: what to show.
        path: ends in `.mp4`; its folder is made if need be.
        fps: pictures a second.
        dark: the look.
        report: called with pictures done and pictures in all.

    Raises:
        PrepeError: the optional dependency is missing, or a file cannot be written.
    """
    check_available()
    import av

    count = len(film.shown.steps)
    with style.whole(path.with_suffix(".txt")) as temporary:
        temporary.write_text(alt_text(film, fps) + "\n", encoding="utf-8")
    with style.whole(path) as temporary, style.use(dark), av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "26", "preset": "fast"})
        stream.width, stream.height = (round(inches * _DPI) for inches in _SIZE)
        stream.pix_fmt = "yuv420p"
        for done, picture in enumerate(pictures(film), start=1):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            if report:
                report(done, count)
        container.mux(stream.encode())
    return path


class _Stage:
    """A figure whose dots, lines at the step and caption move from picture to picture."""

    def __init__(self, film: Film) -> None:
        self.film = film
        self.figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
        top, bottom = np.ravel(np.asarray(self.figure.subfigures(2, 1, height_ratios=[4.5, 2.3])))
        top.suptitle(film.title, x=0.012, y=0.97, ha="left", fontsize=13, fontweight="bold")
        self.caption = self.figure.text(0.988, 0.981, "", ha="right", va="top", fontsize=12)
        views = pairs(film.shown.dim)
        half = max(disc.reach(film.shown.latents[-1]), disc.reach(film.shown.latents[len(film.shown.steps) // 2 :]))
        area = disc.size(len(film.shown.inputs), 3.4)
        self.clouds: list[tuple[PathCollection, Pair]] = []
        for axes, view in zip(np.ravel(top.subplots(1, len(views), squeeze=False)), views, strict=True):
            cloud = disc.draw(axes, film.shown.latents[0], view, film.shown.colors, half, area)
            self.clouds.append((cloud, view))
            axes.set_xlabel(f"dimension {view[0]} to the right, {view[1]} upwards", fontsize=10)
        left, right = bottom.subplots(1, 2)
        looks = _looks([*film.weights, *film.losses])
        self.marks = [_curves(left, film.weights, looks, "schedule", film.shown.steps[-1], 1e-4)]
        self.marks += [_curves(right, film.losses, looks, "loss", film.shown.steps[-1], 1e-12)]
        self.moving: list[Any] = [*(cloud for cloud, _ in self.clouds), *self.marks, self.caption]

    def show(self, frame: int) -> None:
        """Move everything to a snapshot."""
        shown = self.film.shown
        step, latents = shown.steps[frame], shown.latents[frame]
        for cloud, view in self.clouds:
            depth = depth_of(shown.dim, view)
            order = np.arange(len(latents)) if depth is None else np.argsort(latents[:, depth], kind="stable")
            cloud.set_offsets(latents[order][:, view])
            if shown.colors is not None:
                cloud.set_facecolor(list(map(tuple, shown.colors[order])))
        for mark in self.marks:
            mark.set_xdata([step, step])
        stride = step - shown.steps[frame - 1] if frame else 0
        pace = f", {stride} step{'s' * (stride != 1)} a picture" if stride else ""
        self.caption.set_text(f"step {step} of {shown.steps[-1]}{pace}")


def _looks(names: list[str]) -> dict[str, tuple[str, Any]]:
    """Return a colour and a line style for each name: a term's weight looks like its loss."""
    whole = {"total": (style.ink(), "-"), "recon": (style.muted(), "-"), LOSS: (style.muted(), "-")}
    return style.marks([name for name in dict.fromkeys(names) if name not in whole]) | whole


def _curves(axes: Axes, curves: Lines, looks: dict[str, tuple[str, Any]], what: str, last: int, least: float) -> Line2D:
    """Draw lines on a logarithmic axis, name them at the side, and return the line at the step."""
    for name, (steps, values) in curves.items():
        color, dash = looks[name]
        axes.plot(steps, np.where(values > 0, values, np.nan), color=color, ls=dash, lw=1.4, label=name)
    known = np.concatenate([values[values > 0] for _, values in curves.values()] or [np.empty(0)])
    if known.size:
        top = float(known.max())
        low = max(float(np.quantile(known, 0.005)), top * least)
        axes.set_yscale("log")
        axes.set_ylim(10 ** math.floor(math.log10(low) - 0.1), top * 1.6)
        style.log_ticks(axes.yaxis)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.6, labelspacing=0.35)
    axes.set(xlim=(0, max(1, last)), xlabel="step", title=what)
    axes.locator_params(axis="x", nbins=5)
    return axes.axvline(0, color=style.ink(), lw=1.2, zorder=5)
