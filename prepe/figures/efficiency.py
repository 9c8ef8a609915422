"""How few and how noisy labels do: curves in; the score over labels, and where it falls below 90 %, out."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from prepe.figures import style
from prepe.members.efficiency import SHARE, Curve

_ACROSS = {
    "labels": "labels used in training, mean over members",
    "missed": "share of labels missed",
    "false": "share of unlabelled draws that got one",
}
_DODGE = 0.055


def draw(curves: Sequence[Curve], title: str) -> Figure:
    """Draw a score over properties of labels: a dot a member, median and quartiles, the edge and its interval.

    Args:
        curves: from `prepe.members.curves`.
        title: heads the page.
    """
    members = curves[0].scores.shape[1]
    text = (
        f"{members} member{'s' * (members != 1)} a trial: a dot each, the median and the quartiles. "
        f"Dashed: {100 * SHARE:.0f} % of the clean trial's median. "
        "Upright: where the median falls below that, with its 95 % interval over seeds."
    )
    figure, (part,) = style.page(title, text, [4.1])
    panels = part.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for axes, each in zip(panels, curves, strict=True):
        _panel(axes, each)
    panels[0].set_ylabel(f"{curves[0].metric} (higher is better)")
    return figure


def alt_text(curves: Sequence[Curve], title: str) -> str:
    """Say in words and numbers what `draw` shows of the same curves."""
    lines = [f"{title}."]
    for each in curves:
        points = ", ".join(f"{x:.3g}: {y:.3g}" for x, y in zip(each.x, each.median, strict=True))
        lines += [f"Median {each.metric} by {_ACROSS[each.kind]}: {points}.", f"{each.says}."]
    return "\n".join(lines)


def _panel(axes: Axes, curve: Curve) -> None:
    places = _places(curve, curve.x)
    blue, orange = style.palette()[0], style.palette()[2]
    low, high = (np.quantile(curve.scores, each, axis=1) for each in (0.25, 0.75))
    spread = _DODGE * np.linspace(-1, 1, curve.scores.shape[1]) * np.ptp(places) / max(1, len(places) - 1) * 2
    for place, scores in zip(places, curve.scores, strict=True):
        axes.scatter(place + spread, np.sort(scores), s=8, color=style.muted(), alpha=0.6, linewidths=0, zorder=2)
    axes.fill_between(places, low, high, color=blue, alpha=0.18, linewidth=0, zorder=1)
    axes.plot(places, curve.median, "o-", color=blue, ms=5, zorder=3)
    axes.axhline(SHARE * curve.median[0], color=orange, lw=1.1, ls=(0, (4, 2)), zorder=2)
    if np.isfinite(curve.edge):
        ends = [float(_places(curve, np.array([end]))[0]) for end in (curve.low, curve.high) if np.isfinite(end)]
        axes.axvspan(min(ends), max(ends), color=orange, alpha=0.16, linewidth=0, zorder=0)
        axes.axvline(float(_places(curve, np.array([curve.edge]))[0]), color=orange, lw=1.3, zorder=1)
    axes.set_title(style.wrapped(_short(curve), 46), fontsize=9)
    axes.set_xlabel(_ACROSS[curve.kind])
    _ticks(axes, curve, places)


def _short(curve: Curve) -> str:
    """Return what a curve says without what is said of all of them."""
    return curve.says.partition(";")[0].partition(" keep")[0].rstrip(",")


def _places(curve: Curve, values: np.ndarray) -> np.ndarray:
    """Return where values stand: on a logarithmic scale, but for shares of missed labels, more of them to the left.

    None at all stands as far below the least false labels as a step of their grid, and what is between on a line.
    """
    if curve.kind == "missed":
        return -values
    positive = np.sort(curve.x[curve.x > 0])
    least, step = positive[0], np.log(positive[1] / positive[0]) if len(positive) > 1 else 1.0
    with np.errstate(divide="ignore"):
        logs = np.where(
            values >= least, np.log(np.maximum(values, 1e-300)), np.log(least) - step * (1 - values / least)
        )
    return np.asarray(logs if curve.kind == "labels" else -logs)


def _ticks(axes: Axes, curve: Curve, places: np.ndarray) -> None:
    names = {float(place): f"{x:.3g}" for place, x in zip(places, curve.x, strict=True)}
    axes.xaxis.set_major_locator(FixedLocator(list(names)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: names.get(float(at), "")))
