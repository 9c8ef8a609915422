"""What it brings that a schedule reacts: histories and members of variants in; realised weights and outcomes out."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from prepe.catalog import MEMBER_METRICS
from prepe.figures import losses, style
from prepe.figures.members import numbers, of

Tables = Mapping[str, pa.Table]
_PANEL = 2.5  # inches
_RESAMPLES = 2000
_SELDOM = 50.0  # times that a rule acts: one that holds a ratio acts at every step


def draw(
    histories: Tables,
    members: Tables,
    parameters: Sequence[str],
    baseline: str,
    metrics: Sequence[str],
    title: str,
    text: str = "",
) -> Figure:
    """Draw how the parameters that rules move went in every variant, how often rules acted, and what came of it.

    Args:
        histories: by variant.
        members: rows of members, by variant.
        parameters: those that any variant's rules move.
        baseline: the variant that the others are compared with, seed by seed.
        metrics: columns of `members` to compare.
        title: heads the page.
        text: stands below it.
    """
    shown = [*parameters, *(["rules"] if _rules(histories) else [])]
    rows = -(-len(metrics) // 2)
    others = [name for name in members if name != baseline]
    heights = [0.35, _PANEL + 0.5, rows * (0.32 * len(others) + 0.95) + 0.35]
    figure, parts = style.page(title, text or "Each member's schedule reacts to its own measurements.", heights)
    losses.name_lines(parts[0], list(histories))
    style.panel(parts[1], "a", "What the weights became: median over members and 5-95 % band")
    for axes, name in zip(parts[1].subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        (_acted if name == "rules" else _realised)(axes, histories, name)
        axes.set_xlabel("step")
        axes.margins(x=0)
        axes.locator_params(axis="x", nbins=5)
    style.panel(parts[2], "b", f"What it brought: difference to {baseline!r}, a dot a seed; mean and its 95 % interval")
    _differences(parts[2], members, baseline, metrics)
    return figure


def alt_text(
    histories: Tables,
    members: Tables,
    parameters: Sequence[str],
    baseline: str,
    metrics: Sequence[str],
    title: str,
    text: str = "",
) -> str:
    """Say in words and numbers what `draw` shows of the same rows."""
    lines = [f"{title}.", *filter(None, [text])]
    for name in parameters:
        for variant, rows in histories.items():
            line = of(rows, quantity="hyperparameter", name=name).sort_by("step").to_pylist()
            if line:
                middle = line[len(line) // 2]
                lines.append(
                    f"{name}, {variant}: median {line[0]['median']:.2g} at step {line[0]['step']}, "
                    f"{middle['median']:.2g} at {middle['step']} (5-95 %: {middle['q05']:.2g} to {middle['q95']:.2g}), "
                    f"{line[-1]['median']:.2g} at {line[-1]['step']}."
                )
    for variant, rule in _rules(histories):
        line = of(histories[variant], quantity="rule", name=rule).sort_by("step").to_pylist()
        lines.append(
            f"Rule {rule} of {variant} acted {line[-1]['mean']:.2f} times a member by step {line[-1]['step']}."
        )
    for metric in metrics:
        for variant in members:
            if variant != baseline:
                gaps = differences(members[variant], members[baseline], metric)
                if gaps.size:
                    low, high = interval(gaps)
                    lines.append(
                        f"{metric} ({MEMBER_METRICS[metric].doc}), {variant} less {baseline}: mean {gaps.mean():.3g} "
                        f"[{low:.3g}, {high:.3g}] over {gaps.size} seeds; below 0 for {int((gaps < 0).sum())}."
                    )
    return "\n".join(lines)


def differences(members: pa.Table, baseline: pa.Table, metric: str) -> np.ndarray:
    """Return by how much a metric differs, for every seed that both have, where both are numbers."""
    ours, theirs = (
        dict(zip(table["seed"].to_pylist(), numbers(table, metric), strict=True)) for table in (members, baseline)
    )
    gaps = np.array([ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())])
    return np.asarray(gaps[np.isfinite(gaps)])


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return a 95 % interval of the mean, from resampled values, always the same for the same ones."""
    draws = np.random.default_rng(0).integers(len(values), size=(_RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def _rules(histories: Tables) -> list[tuple[str, str]]:
    """Return the rules that act now and then, not at every step, with their variants."""
    found = []
    for variant, rows in histories.items():
        rules = of(rows, quantity="rule")
        for name in dict.fromkeys(rules["name"].to_pylist()):
            if np.nanmax(numbers(of(rules, name=name), "mean"), initial=0) <= _SELDOM:
                found.append((variant, name))
    return found


def _realised(axes: Axes, histories: Tables, name: str) -> None:
    marks, peak, least = style.marks(list(histories)), 0.0, np.inf
    for i, (variant, rows) in enumerate(histories.items()):
        color, dash = marks[variant]
        line = of(rows, quantity="hyperparameter", name=name).sort_by("step")
        for block in dict.fromkeys(line["block"].to_pylist()):
            one = of(line, block=block)
            steps, middle, low, high = (numbers(one, column) for column in ("step", "median", "q05", "q95"))
            axes.fill_between(steps, low, high, color=color, alpha=0.2, lw=0)
            axes.plot(steps, middle, color=color, ls=dash, zorder=3 + 0.01 * i)
            peak, least = max(peak, high.max(initial=0)), min(least, middle[middle > 0].min(initial=np.inf))
    if peak > 10 * least:
        axes.set_yscale("log")
        axes.set_ylim(least / 1.5, peak * 1.5)
        style.log_ticks(axes.yaxis)
    else:
        axes.set_ylim(0, peak * 1.06 or 1)
    axes.set_title(f"weight {name}")


def _acted(axes: Axes, histories: Tables, _: str) -> None:
    marks = style.marks(list(histories))
    for variant, rule in _rules(histories):
        line = of(histories[variant], quantity="rule", name=rule).sort_by("step")
        color, dash = marks[variant]
        axes.plot(numbers(line, "step"), numbers(line, "mean"), color=color, ls=dash)
    axes.set_ylim(bottom=0)
    axes.set_title("times that a rule has acted, mean over members")


def _differences(figure: SubFigure, members: Tables, baseline: str, metrics: Sequence[str]) -> None:
    others = [name for name in members if name != baseline]
    marks = style.marks(list(members))
    rows = -(-len(metrics) // 2)
    grid = figure.subplots(rows, 2, sharey=True, squeeze=False)
    for axes in grid.flat[len(metrics) :]:
        axes.set_visible(False)
    for axes, metric in zip(grid.flat, metrics, strict=False):
        axes.axvline(0, color=style.muted(), ls="--", lw=1.2)
        for y, variant in enumerate(others):
            gaps = differences(members[variant], members[baseline], metric)
            if not gaps.size:
                continue
            turns = np.argsort(np.argsort(gaps)) * ((np.sqrt(5) - 1) / 2)
            axes.scatter(gaps, y + 0.5 * (turns % 1 - 0.5), s=13, color=marks[variant][0], alpha=0.6, lw=0, zorder=2)
            axes.plot(interval(gaps), [y, y], color=style.ink(), lw=1.6, zorder=3, solid_capstyle="butt")
            axes.plot(gaps.mean(), y, "|", color=style.ink(), ms=12, mew=2.2, zorder=4)
        better = {"max": ", higher is better", "min": ", lower is better"}.get(MEMBER_METRICS[metric].goal, "")
        axes.set_title(f"{metric}{better}")
        axes.set_yticks(range(len(others)), others)
        axes.set_ylim(len(others) - 0.4, -0.6)
        axes.locator_params(axis="x", nbins=5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
