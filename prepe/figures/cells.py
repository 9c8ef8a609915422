"""What every model, direction and operator came to: effects of several trials in; a table of cells for each out.

A cell is an intervention: its row says where its direction comes from, its column what is done with it.
"""

import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prepe.catalog import EFFECT_METRICS
from prepe.figures import style
from prepe.metrics.summary import with_worst

Values = dict[tuple[str, str], np.ndarray]
"""One value a member, by row and column."""
_COLUMNS = 3
_CELL = 0.36  # inches high
_METRIC, _BESIDE = "score_ccc", "collateral_p95"


def is_factorial(effects: pa.Table) -> bool:
    """Say whether a trial has several operators on directions from several sources."""
    rows, columns = zip(*_names(effects).values(), strict=True) if len(effects) else ((), ())
    return len(set(rows)) > 2 and len(set(columns)) > 2


def values(effects: pa.Table, metric: str) -> Values:
    """Return a metric of a trial's members by cell; who broke counts as the worst, of equal cells the first is it."""
    found: Values = {}
    cells = _names(effects)
    for label in effects["intervention"].unique().to_pylist():
        own = effects.filter(pa.compute.equal(effects["intervention"], label))
        numbers = np.array(own[metric].to_pylist(), dtype=float)
        found.setdefault(cells[label], with_worst(numbers, EFFECT_METRICS[metric]))
    return found


def draw(trials: Mapping[str, pa.Table], title: str) -> Figure:
    """Draw a table for each trial: the median score is a cell's colour and upper number, collateral the lower.

    Args:
        trials: label -> its effects.
        title: of the figure.
    """
    tables = {label: (values(each, _METRIC), values(each, _BESIDE)) for label, each in trials.items()}
    rows, columns = _order([cell for score, _ in tables.values() for cell in score])
    down = -(-len(tables) // _COLUMNS)
    text = (
        f"A cell is an intervention: upper number and colour {_METRIC}, lower number {_BESIDE}, medians over members. "
        "Rows say where the direction comes from, columns what is done with it."
    )
    figure, (part,) = style.page(title, text, [down * (_CELL * len(rows) + 0.9) + 0.3])
    panels = part.subplots(down, _COLUMNS, squeeze=False, sharex=True, sharey=True)
    for axes in panels.flat[len(tables) :]:
        axes.set_visible(False)
    for axes, (label, (score, beside)) in zip(panels.flat, tables.items(), strict=False):
        _one(axes, label, score, beside, rows, columns)
    return figure


def alt_text(trials: Mapping[str, pa.Table], title: str) -> str:
    """Say what the figure shows: every trial's best cell, and the best of its cells that edit weights for good."""
    parts = []
    for label, each in trials.items():
        score, beside = values(each, _METRIC), values(each, _BESIDE)
        best = max(score, key=lambda cell: float(np.median(score[cell])))
        low, middle, high = np.quantile(score[best], (0.25, 0.5, 0.75))
        parts.append(
            f"{label or 'all'}: the best of {len(score)} cells is {best[1]} along {best[0]}, {_METRIC} {middle:.3f} "
            f"[{low:.3f}, {high:.3f}], {_BESIDE} {np.median(beside[best]):.4f}"
        )
    return f"{title}. Tables of interventions, medians [quartiles] over members. {'; '.join(parts)}."


def _one(axes: Axes, label: str, score: Values, beside: Values, rows: list[str], columns: list[str]) -> None:
    grid = np.full((len(rows), len(columns)), np.nan)
    for (row, column), each in score.items():
        grid[rows.index(row), columns.index(column)] = np.median(each)
    axes.imshow(grid, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    axes.grid(visible=False)
    for (row, column), each in score.items():
        middle = float(np.median(each))
        text = f"{style.digits(middle, '.2f')}\n{np.median(beside[row, column]):.3f}"
        place = columns.index(column), rows.index(row)
        axes.text(*place, text, ha="center", va="center", fontsize=6.5, color="#111" if middle > 0.55 else "#f5f5f5")
    axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_title(label or "all")


def _names(effects: pa.Table) -> dict[str, tuple[str, str]]:
    """Return the row and the column of each intervention."""
    names = {}
    keys = ("intervention", "source", "direction", "operator", "parameters")
    for label, source, direction, operator, parameters in zip(*(effects[key].to_pylist() for key in keys), strict=True):
        own = json.loads(parameters or "{}")
        row = "prescribed" if source in (None, "prescribed") else str(direction)
        done = "renormalize" if own.get("renormalize") else str(operator)
        names[label] = row, f"{done}, healed" if own.get("heal") else done
    return names


def _order(cells: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Return rows and columns in the order in which they come."""
    return list(dict.fromkeys(row for row, _ in cells)), list(dict.fromkeys(column for _, column in cells))
