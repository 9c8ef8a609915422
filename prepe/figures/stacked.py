"""One member before and after its interventions: items in; latents, reconstructions and errors, a column each, out.

A column's latents are seen so that the concept's direction points up; what an intervention reaches is drawn as a cone,
from the side. Curves are errors along a row of items, such as all hues, one for each of several brightnesses.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from prepe import members
from prepe.figures import style
from prepe.figures.latents import axes_of, is_given, upwards
from prepe.figures.members import colors, numbers, of

_ROWS = (("latents", 1.75), ("latents", 1.75), ("slices", 1.0), ("curves", 1.5))
_INNER = 0.34
_HUES = (("red", 0), ("green", 120), ("blue", 240), ("red", 360))
_HUE_LIMITS = (-15, 375)
"""Hues in degrees, from half a swatch before red to half a swatch after it."""


@dataclass(frozen=True)
class _Column:
    """One condition: a title, and for each set of items what was made of it."""

    title: str
    items: pa.Table
    after: bool
    effect: dict[str, Any]

    def of(self, name: str) -> pa.Table:
        return of(self.items, set=name)

    def latents(self) -> np.ndarray | None:
        """Return the latents in the trained model's axes, `(items, latent)`; None if an operator has turned them."""
        rows = self.of("reference")
        before = np.asarray(rows["latent_before"].to_pylist(), dtype=float)
        if not self.after:
            return before
        after = np.asarray(rows["latent_after"].to_pylist(), dtype=float)
        if after.shape == before.shape:
            return after
        axes = axes_of(str(self.effect["direction"]))
        return None if axes is None else np.insert(after, np.sort(axes) - np.arange(len(axes)), 0.0, axis=-1)


def draw(effects: pa.Table, items: pa.Table, seed: int, title: str) -> Figure:
    """Draw one member of a trial.

    Args:
        effects: rows of the trial.
        items: its items.
        seed: the member.
        title: heads the page.
    """
    columns = _columns(effects, items, seed)
    parts = [part for part in _ROWS if part[0] == "latents" or columns[0].of(part[0]).num_rows]
    text = _says(effects, seed)
    figure, pages = style.page(title, text, [sum(height for _, height in parts) + 0.35])
    grid = pages[0].subplots(
        len(parts), len(columns), squeeze=False, gridspec_kw={"height_ratios": [h for _, h in parts]}
    )
    first = columns[0].latents()
    assert first is not None
    up, beside = _views(first, str(columns[1].effect["direction"]))
    top = max(float(np.nanmax(_errors(column))) for column in columns)
    latent = 0
    for row, (kind, _) in enumerate(parts):
        for axes, column in zip(grid[row], columns, strict=True):
            if kind == "latents":
                _latents(axes, column, up, beside[latent % len(beside)])
            elif kind == "slices":
                _slices(axes, column)
            else:
                _curves(axes, column, top, first=column is columns[0])
            if row == 0:
                axes.set_title(column.title, loc="center", fontweight="bold")
        latent += kind == "latents"
    return figure


def alt_text(effects: pa.Table, items: pa.Table, seed: int, title: str) -> str:
    """Say in words and numbers what `draw` shows of the same rows."""
    lines = [f"{title}.", _says(effects, seed)]
    for column in _columns(effects, items, seed):
        rows = column.of("named")
        errors = dict(zip(rows["item"].to_pylist(), _error(rows, column.after).tolist(), strict=True))
        worst = sorted(errors, key=lambda name: -errors[name])[:4]
        lines.append(f"{column.title}: errs most on {', '.join(f'{name} ({errors[name]:.3f})' for name in worst)}.")
    return "\n".join(lines)


def shown(effects: pa.Table) -> int | None:
    """Return the seed that `members.shown` chooses, by the first intervention; all its items are stored.

    None if no member has a score.
    """
    first = of(effects, intervention=effects["intervention"][0].as_py())
    scores = numbers(first, members.SCORE)
    return members.ranked(first["seed"].to_pylist(), scores)[0] if np.isfinite(scores).any() else None


def _columns(effects: pa.Table, items: pa.Table, seed: int) -> list[_Column]:
    own = of(items, seed=seed)
    rows = _conditions(effects, seed)
    after = [_Column(row["intervention"], of(own, intervention=row["intervention"]), True, row) for row in rows]
    return [_Column("as trained", after[0].items, False, {"operator": "", "parameters": "{}"}), *after]


def _conditions(effects: pa.Table, seed: int) -> list[dict[str, Any]]:
    """Return a member's effects, those that differ in no more than the attack afterwards once."""
    found: dict[str, dict[str, Any]] = {}
    for row in of(effects, seed=seed).to_pylist():
        parameters = {name: value for name, value in json.loads(row["parameters"]).items() if name != "recovery"}
        what = [row["operator"], row["concept"], row["direction"], row["site"], row["power"], row["similarity"]]
        found.setdefault(json.dumps([parameters, what]), row)
    return list(found.values())


def _says(effects: pa.Table, seed: int) -> str:
    rows = _conditions(effects, seed)
    scores = ", ".join(f"{row['intervention']} {row['score_ccc']:.3f}" for row in rows)
    first = f"{members.SCORE} {rows[0][members.SCORE]:.3f} under {rows[0]['intervention']}"
    best = "the best" if seed == shown(effects) else "not the best"
    return (
        f"Member with seed {seed}, {best} by {first}. Concordance with the ideal response on the score grid "
        f"(score_ccc): {scores}."
    )


def _views(latents: np.ndarray, direction: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the unit vector upwards, and those to the right: the two axes that vary most beside it."""
    dim = latents.shape[-1]
    up = upwards(direction, dim)
    beside = latents - np.outer(latents @ up, up)
    order = np.argsort(-np.nan_to_num(beside.var(axis=0)))[:2]
    rights = [np.eye(dim)[i] - (np.eye(dim)[i] @ up) * up for i in order]
    return up, [each / (np.linalg.norm(each) or 1.0) for each in rights]


def _latents(axes: Axes, column: _Column, up: np.ndarray, right: np.ndarray) -> None:
    axes.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
    axes.axis("off")
    latents = column.latents()
    if latents is None:
        axes.text(0, 0, "other axes", ha="center", va="center", color=style.muted())
        return
    rows = column.of("reference")
    own, seen = colors(rows, "x"), colors(rows, "y_after" if column.after else "y_before")
    axes.add_patch(Circle((0, 0), 1, facecolor=to_rgba(style.muted(), 0.1), edgecolor=style.muted(), lw=0.8))
    axes.scatter(
        latents @ right,
        latents @ up,
        s=15,
        c=style.palette()[0] if own is None else own,
        edgecolors=to_rgba(style.muted(), 0.5) if seen is None else list(map(to_rgba, seen)),
        linewidths=0.9,
    )
    for alignment, line in _cones(column.effect):
        x = float(np.sqrt(1 - alignment**2))
        axes.plot([-x, 0, x, -x], [alignment, 0, alignment, alignment], line, color=style.ink(), lw=0.9)


def _cones(effect: dict[str, Any]) -> list[tuple[float, str]]:
    """Return the alignments of an intervention's cones: where it begins, dashed, and where nothing is left, solid."""
    if not is_given(str(effect.get("direction", "+e0"))):
        return []
    parameters = json.loads(effect["parameters"])
    if effect["operator"] == "suppress":
        return [(parameters["gate"]["start"], "--")]
    if effect["operator"] == "repel":
        return [(parameters["mapper"]["start"], "--"), (parameters["mapper"]["end"], "-")]
    return []


def _error(rows: pa.Table, after: bool) -> np.ndarray:
    return numbers(rows, "error_after" if after else "error_before")


def _errors(column: _Column) -> np.ndarray:
    rows = column.of("curves")
    return _error(rows, column.after) if rows.num_rows else np.zeros(1)


def _coordinates(rows: pa.Table) -> np.ndarray:
    """Return the items' coordinates, which are their names: hue in degrees, saturation, value, `(items, 3)`."""
    return np.array([[float(part) for part in name.split(",")] for name in rows["item"].to_pylist()])


def _slices(axes: Axes, column: _Column) -> None:
    """Draw the most saturated items as cells of what became of them, with what they are in the middle."""
    rows = column.of("slices")
    at = _coordinates(rows)
    own, made = colors(rows, "x"), colors(rows, "y_after" if column.after else "y_before")
    assert own is not None
    assert made is not None
    values, width = np.unique(at[:, 2])[1:], 360 / len(np.unique(at[:, 0]))
    for (hue, saturation, value), true, seen in zip(at, own, made, strict=True):
        if saturation == at[:, 1].max() and value in values:
            y = np.searchsorted(values, value)
            for x in (hue, 360) if hue == 0 else (hue,):  # red stands at both ends
                axes.add_patch(Rectangle((x - width / 2, y - 0.5), width, 1, facecolor=seen, lw=0))
                inner = (x - width * _INNER / 2, y - _INNER / 2), width * _INNER, _INNER
                axes.add_patch(Rectangle(*inner, facecolor=true, lw=0))
    axes.set(xlim=_HUE_LIMITS, ylim=(-0.5, len(values) - 0.5), xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _curves(axes: Axes, column: _Column, top: float, first: bool) -> None:
    rows = column.of("curves")
    at, error = _coordinates(rows), _error(rows, column.after)
    own = colors(rows, "x")
    for value in np.unique(at[:, 2]):
        mine = np.flatnonzero(at[:, 2] == value)
        mine = mine[np.argsort(at[mine, 0], kind="stable")]
        x, y = at[mine, 0], error[mine]
        segments = np.stack([np.stack([x[:-1], y[:-1]], -1), np.stack([x[1:], y[1:]], -1)], axis=1)
        axes.plot(x, y, color=style.muted(), lw=2.4, alpha=0.5)
        axes.add_collection(
            LineCollection(list(segments), colors=None if own is None else list(own[mine]), linewidths=1.8)
        )
    axes.set(xlim=_HUE_LIMITS, ylim=(-0.02 * top, 1.05 * top))
    axes.set_xticks([degrees for _, degrees in _HUES], [name for name, _ in _HUES])
    axes.set_ylabel("error (MSE)" if first else "")
    axes.tick_params(labelleft=first)
    axes.locator_params(axis="y", nbins=4)
