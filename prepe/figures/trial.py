"""One page about a trial: its rows in; errors, colours, distributions, latents and training of an intervention out."""

import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure, FigureBase, SubFigure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from prepe.catalog import NAMED_COLORS
from prepe.figures import latents, style, training
from prepe.figures.members import Roll, Shown, call, colors, numbers, of, pick

_METRICS = ("score_ccc", "score_r2", "damage_frac", "collateral_p95")
_TINY = 1e-6  # added before a logarithm, as for objectives
_MARKS = ("^", "D", "v")
_GRIDS = "score_ccc is of the score grid, score_r2 of the reference grid, whose items are drawn as dots."


def draw(
    effects: pa.Table,
    items: pa.Table,
    history: pa.Table,
    members: pa.Table,
    snapshots: pa.Table,
    title: str,
    intervention: str | None = None,
) -> Figure:
    """Draw the page of one trial for one of its interventions.

    Args:
        effects: rows of the trial, one a member and intervention.
        items: named items of members, and all items of the reference grid of the shown ones.
        history: rows of the trial's model; may be empty.
        members: rows of the trial, one a member.
        snapshots: rows of the trial's model; may be empty.
        title: heads the page.
        intervention: its label; the first of the effects when None.

    Raises:
        PrepeError: there is nothing to draw, or no such intervention; the message names those that exist.
    """
    roll = call(effects, members, intervention, _METRICS)
    items = of(items, intervention=roll.first("intervention"))
    shown = pick(roll, items)
    kept = latents.choose(snapshots, [member.seed for member in shown])

    panels: list[tuple[float, str, Callable[[SubFigure], None]]] = [
        (
            3.0,
            "Error added to each item of the reference grid, against the ideal response; CCC is of the score grid",
            lambda part: _responses(part, roll, items, shown),
        ),
        (
            0.85 + 0.29 * (1 + 2 * len(shown)),
            "Reconstructions before and after; numbers: error added (MSE), from 0.005 on",
            lambda part: _swatches(part, of(items, set="named"), shown),
        ),
        (
            2.6,
            "Members; box: quartiles (as in brackets), whiskers: 5-95 %; broken ones count as worst",
            lambda part: _distributions(part, roll, shown),
        ),
        (
            3.1,
            "Training: median over members and 5-95 % band, with the schedule below",
            lambda part: training.draw(part, history),
        ),
    ]
    if kept.num_rows:
        upward = "the concept's direction" if latents.is_given(str(roll.first("direction"))) else "the first axis"
        what = f"Latents of seed {kept['seed'][0].as_py()} during training; {upward} points up"
        panels.insert(3, (2.15, what, lambda part: latents.draw(part, kept, str(roll.first("direction")))))

    text = f"{_subject(roll)}\n{roll.says()}"
    figure, parts = style.page(title, text, [height for height, _, _ in panels])
    for part, letter, (_, what, panel) in zip(parts, "abcde", panels, strict=False):
        style.panel(part, letter, what)
        panel(part)
    return figure


def alt_text(
    effects: pa.Table,
    items: pa.Table,
    history: pa.Table,
    members: pa.Table,
    snapshots: pa.Table,
    title: str,
    intervention: str | None = None,
) -> str:
    """Say in words and numbers what `draw` shows of the same rows."""
    roll = call(effects, members, intervention, _METRICS)
    items = of(items, intervention=roll.first("intervention"))
    shown = pick(roll, items)
    lines = [f"{title}.", _subject(roll), roll.says(), _GRIDS]
    for metric in _METRICS:
        lines.append(f"{metric} over members [quartiles]: {_summary(roll, metric)}.")
    for member in shown:
        rows = of(items, set="named", seed=member.seed)
        added = dict(zip(rows["item"].to_pylist(), _added(rows).tolist(), strict=True))
        most = sorted(added, key=lambda name: -added[name])[:4]
        lines.append(
            f"Seed {member.seed} ({member.role}, rank {member.rank} of {member.of}) has score_ccc {member.score:.3f}; "
            f"errors added most: {', '.join(f'{name} {added[name]:.3f}' for name in most) or 'none stored'}."
        )
    for quantity, name, _ in training.columns(history):
        last = of(history, quantity=quantity, name=name).sort_by([("step", "descending")]).slice(0, 1).to_pylist()[0]
        if quantity == "loss" and last["median"] is not None:
            lines.append(f"Median reconstruction loss ends at {last['median']:.2g} (step {last['step']}).")
    steps = sorted(set(latents.choose(snapshots, [member.seed for member in shown])["step"].to_pylist()))
    if steps:
        lines.append(f"Latents are drawn at steps {', '.join(map(str, steps))}.")
    return "\n".join(lines)


def _subject(roll: Roll) -> str:
    first = roll.first
    return (
        f"Intervention {first('intervention')}: operator {first('operator')} on {first('concept')}, direction "
        f"{first('direction')} at the {first('site')}. Ideal response D* s^p: D* = {first('ideal_damage'):.3g}, "
        f"p = {first('power'):g}."
    )


def _summary(roll: Roll, metric: str) -> str:
    quartiles = np.quantile(roll.counted(metric), (0.25, 0.5, 0.75))
    low, middle, high = (f"{value:.2g}" if metric.startswith("collateral") else f"{value:.3f}" for value in quartiles)
    return f"median {middle} [{low}, {high}], n = {len(roll.measured(metric))} of {len(roll.seeds)}"


def _added(rows: pa.Table) -> np.ndarray:
    return np.asarray(numbers(rows, "error_after") - numbers(rows, "error_before"))


# --- a: responses ----------------------------------------------------------------------------------------------------


def _responses(figure: FigureBase, roll: Roll, items: pa.Table, shown: list[Shown]) -> None:
    if not shown:
        figure.text(0.5, 0.5, "no measured member has stored items", ha="center", va="center", color=style.muted())
        return
    ideal, power = float(str(roll.first("ideal_damage"))), float(str(roll.first("power")))
    panels = figure.subplots(1, max(3, len(shown)), sharex=True, sharey=True)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    whole = "reference" if of(items, set="reference").num_rows else "named"
    for i, (axes, member) in enumerate(zip(panels, shown, strict=False)):
        rows = of(items, set=whole, seed=member.seed)
        x = ideal * numbers(rows, "similarity") ** power
        own = colors(rows, "x")
        axes.plot([0, ideal], [0, ideal], "--", color=style.muted(), lw=1.3, label="ideal")
        axes.scatter(
            x,
            _added(rows),
            s=22 if len(x) < 1000 else 9,
            c=style.palette()[0] if own is None else own,
            edgecolors=to_rgba(style.muted(), 0.7),
            linewidths=0.4 if len(x) < 1000 else 0.2,
            clip_on=False,
            zorder=3,
        )
        axes.set_title(f"{member.role}: seed {member.seed}", color=style.palette()[i], fontweight="bold")
        score = f"{member.score:.3f}".replace("-", "−")
        note = f"CCC {score}\nrank {member.rank} of {member.of}\n{len(x)} {whole} items"
        axes.text(0.04, 0.97, note, transform=axes.transAxes, va="top", linespacing=1.4)
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.set_xlabel("ideal response D* s$^p$ (MSE)")
    panels[0].set_ylabel("error added (MSE)")
    panels[0].legend(loc="lower right", handlelength=1.6)


# --- b: swatches -----------------------------------------------------------------------------------------------------


def _swatches(figure: FigureBase, items: pa.Table, shown: list[Shown]) -> None:
    """Draw a row of true colours, then two rows a member: before the intervention, and after."""
    order = list(NAMED_COLORS)
    names = sorted(set(items["item"].to_pylist()), key=lambda name: (order.index(name) if name in order else 99, name))
    made = of(items, seed=shown[0].seed) if shown else items  # who broke made no colour
    if not shown or not names or colors(items, "x") is None or colors(made, "y_before") is None:
        figure.text(
            0.5, 0.5, "no named items that are made into colours", ha="center", va="center", color=style.muted()
        )
        return
    axes = figure.subplots()
    lines, tops, y = [], [], 0.0
    for i, member in enumerate(shown):
        rows = of(items, seed=member.seed)
        at = [names.index(name) for name in rows["item"].to_pylist()]
        if i == 0:
            lines.append(("true", style.ink()))
            _row(axes, y, at, colors(rows, "x"))
            tops.append(y)
        for column, label in (("y_before", f"seed {member.seed} before"), ("y_after", "after")):
            y += 1.3 if column == "y_before" else 1.0
            added = _added(rows) if column == "y_after" else None
            _row(axes, y, at, colors(rows, column), added)
            lines.append((label, style.palette()[i]))
            tops.append(y)
    axes.set(xlim=(-0.05, len(names) + 0.05), ylim=(y + 1.05, -0.05))
    axes.set_xticks(np.arange(len(names)) + 0.5, [name.replace(" ", "\n") for name in names])
    axes.set_yticks(np.array(tops) + 0.5, [label for label, _ in lines])
    for tick, (_, color) in zip(axes.get_yticklabels(), lines, strict=True):
        tick.set_color(color)
    axes.tick_params(length=0, top=False, labeltop=True, labelbottom=False, pad=2)
    axes.tick_params(axis="x", labelsize=8.5)
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _row(axes: Axes, y: float, at: list[int], fill: np.ndarray | None, added: np.ndarray | None = None) -> None:
    if fill is None:
        return
    patches = [Rectangle((x + 0.03, y + 0.04), 0.94, 0.92) for x in at]
    axes.add_collection(PatchCollection(patches, facecolors=fill, edgecolors=to_rgba(style.muted(), 0.6), lw=0.5))
    for x, color, error in zip(at, fill, [] if added is None else added, strict=False):
        if abs(error) >= 0.005:
            dark = float(color @ (0.299, 0.587, 0.114)) < 0.55
            text = f"{error:.2f}".replace("-", "−")
            axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=9, color="white" if dark else "black")


# --- c: distributions ------------------------------------------------------------------------------------------------


def _distributions(figure: FigureBase, roll: Roll, shown: list[Shown]) -> None:
    for axes, metric in zip(figure.subplots(2, 2).flat, _METRICS, strict=True):
        log = metric.startswith("collateral")
        values = roll.values[metric] + (_TINY if log else 0)
        finite = np.flatnonzero(np.isfinite(values))
        turns = np.argsort(np.argsort(values[finite])) * ((math.sqrt(5) - 1) / 2)  # neighbours lie far apart
        height = dict(zip(finite.tolist(), 0.55 * (turns % 1 - 0.5), strict=True))
        axes.scatter(values[finite], list(height.values()), s=13, color=style.muted(), alpha=0.75, lw=0)
        axes.boxplot(
            roll.counted(metric) + (_TINY if log else 0),
            positions=[0.62],
            widths=0.3,
            orientation="horizontal",
            whis=(5, 95),
            showfliers=False,
            manage_ticks=False,
            **{f"{part}props": {"color": style.ink()} for part in ("box", "whisker", "cap", "median")},
        )
        for i, member in enumerate(shown):
            place = roll.seeds.index(member.seed)
            if place in height:
                axes.plot(values[place], height[place], _MARKS[i], color=style.palette()[i], ms=7, mec=style.paper())
        if log:
            style.log_axis(axes, values[finite])
            axes.set_xlabel("MSE + 10$^{-6}$")
        else:
            axes.axvline(1, color=style.muted(), ls="--", lw=1.3)
            axes.set_xlabel("1 is ideal")
        axes.set_ylim(-0.4, 0.95)
        axes.set_yticks([0, 0.62], ["each", "all"])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_title(metric, fontweight="bold")
        axes.set_title(_summary(roll, metric).replace("-", "−"), loc="right", fontsize=9)
