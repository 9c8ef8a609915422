"""A sweep without objectives at a glance: members, latents and losses of its trials in; one page out."""

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure, SubFigure

from prepe.figures import disc, losses, strips, style
from prepe.figures.snapshots import Pair, Snapshots, pairs

Finals = Mapping[str, Snapshots]
_MOST_METRICS = 8
_DISC = 2.3  # inches


def draw(
    groups: strips.Groups,
    finals: Finals,
    histories: Mapping[str, pa.Table],
    starts: losses.Starts,
    title: str,
    text: str,
) -> Figure:
    """Draw what came of a sweep: latents of one member of each trial, metrics over all members, and the loss.

    Args:
        groups: rows of members, by section and group.
        finals: by trial, snapshots of one member; may be empty.
        histories: by trial; may be empty, as for a grid of many trials.
        starts: by trial, first steps of its phases after the first one.
        title: heads the page.
        text: stands below it: what was compared, and how many members there are.
    """
    metrics = strips.metrics_of(groups, _MOST_METRICS)
    wide = min(4, max(1, len(metrics)))
    panels: list[tuple[float, str, Callable[[SubFigure], None]]] = []
    if finals:
        panels.append((_discs_height(finals), _discs_title(finals), lambda part: _discs(part, finals)))
    if metrics:
        panels.append(
            (
                strips.height(groups) * -(-len(metrics) // wide),
                f"{_who(groups)}: a dot each, median and quartiles; arrows show what is better",
                lambda part: strips.draw(part, groups, metrics, wide),
            )
        )
    if histories:
        what = "Loss: median over members and 5-95 % band"
        panels.append((2.5 + 0.3 * (len(histories) > 1), what, lambda part: _losses(part, histories, starts)))
    figure, parts = style.page(title, text, [height + 0.3 for height, _, _ in panels])
    for part, letter, (_, what, panel) in zip(parts, "abc", panels, strict=False):
        style.panel(part, letter, what)
        panel(part)
    return figure


def alt_text(
    groups: strips.Groups,
    finals: Finals,
    histories: Mapping[str, pa.Table],
    starts: losses.Starts,
    title: str,
    text: str,
) -> str:
    """Say in words and numbers what `draw` shows of the same rows."""
    lines = [f"{title}.", text]
    if finals:
        seeds = sorted({each.seed for each in finals.values()})
        names = [name for name in finals if name]
        lines.append(
            f"Discs show the latents after training of seed {', '.join(map(str, seeds))}"
            + (f" for {', '.join(names)}." if names else ".")
        )
    lines += [strips.says(groups, metric) for metric in strips.metrics_of(groups, _MOST_METRICS)]
    if histories:
        lines += losses.ends(histories, _parts(histories))
    return "\n".join(lines)


def _who(groups: strips.Groups) -> str:
    return "Members" if "" in groups else "Members by each parameter"


def _views(finals: Finals) -> list[tuple[str, Pair]]:
    """Return what is drawn side by side, as (trial, dimensions): several sides of a few, or one side of each."""
    sides = {1: 3, 2: 2}.get(len(finals), 1)
    return [(name, pair) for name, shown in finals.items() for pair in pairs(shown.dim)[:sides]]


def _discs_height(finals: Finals) -> float:
    return min(_DISC, 9.6 / max(2, len(_views(finals)))) + 0.3


def _discs_title(finals: Finals) -> str:
    seeds = sorted({each.seed for each in finals.values()})
    which = f"seed {seeds[0]}" if len(seeds) == 1 else "one seed each"
    return f"Latents after training, {which}; the disc has radius 1"


def _discs(figure: SubFigure, finals: Finals) -> None:
    views = _views(finals)
    panels = figure.subplots(1, max(2, len(views)), squeeze=False)[0]
    for axes in panels[len(views) :]:
        axes.set_visible(False)
    for axes, (name, pair) in zip(panels, views, strict=False):
        shown = finals[name]
        area = disc.size(len(shown.inputs), 9.6 / max(2, len(views)))
        disc.draw(axes, shown.latents[-1], pair, shown.colors, disc.reach(shown.latents[-1]), area)
        axes.set_xlabel(f"dimension {pair[0]} right, {pair[1]} up", fontsize=9)
        axes.set_title(name, loc="center", fontweight="bold")


def _parts(histories: Mapping[str, pa.Table]) -> list[str]:
    return losses.parts_of(histories)[:2]


def _losses(figure: SubFigure, histories: Mapping[str, pa.Table], starts: losses.Starts) -> None:
    names = _parts(histories)
    if len(histories) > 1:
        head, figure = np.ravel(np.asarray(figure.subfigures(2, 1, height_ratios=[0.3, 2.3])))
        losses.name_lines(head, list(histories))
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        losses.panel(axes, histories, starts, name)
        axes.set_title(losses.label(name))
        axes.set_xlabel("step")
