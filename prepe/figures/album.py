"""Stored trials in; every figure that makes sense for them, with the text that stands for it, out."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from prepe.catalog import HsvCube
from prepe.data.color import hsv_cube
from prepe.data.cube import Cube
from prepe.figures import (
    cells,
    combinations,
    comparison,
    contour,
    cube,
    front,
    importance,
    latent_history,
    losses,
    parallel,
    phase_history,
    reactions,
    recovery,
    schedule,
    search,
    snapshots,
    strips,
)
from prepe.figures.members import numbers
from prepe.figures.stored import Stored
from prepe.keyframes import MoveRule, RatioRule, Schedule, phase_starts

SIDE_BY_SIDE = 5
"""So many trials can be told apart in one panel; of more, the first stands for all."""
_FEW_TABLES = 12
"""So many tables still fit on a page."""
_FEWEST = 4
"""Of fewer trials, nothing can be told about what mattered."""
_NUMBERS = ("off_plane", "anchor_distance", "bunching", "recon_mse")
_OUTCOMES = ("anchor_distance", "ring_spacing_rad", "recon_mse", "off_plane", "norm_deviation", "loss_final")


class Page(NamedTuple):
    """A figure: the end of its file's name, how it is drawn, and what it says."""

    stem: str
    draw: Callable[[], Figure]
    alt_text: str


def overview(trials: list[Stored], title: str) -> Page:
    """Return the first page of trials that no objective tells apart: members, latents and losses."""
    few = trials if len(trials) <= SIDE_BY_SIDE else []
    finals = {each.label: each.snapshots for each in few if each.snapshots is not None}
    histories = {each.label: each.history for each in few if len(each.history)}
    starts = {each.label: each.phases for each in few}
    groups = {"": {each.label: each.members for each in trials}} if few else by_parameter(trials)
    arguments = (groups, finals, histories, starts, title, counts(trials))
    return Page("", lambda: comparison.draw(*arguments), comparison.alt_text(*arguments))


def details(trials: list[Stored], title: str) -> Iterator[Page]:
    """Give the other pages of some trials, those of one sweep or a single one."""
    few = trials if len(trials) <= SIDE_BY_SIDE else trials[:1]
    yield of_schedules({each.label: each.spec.training.schedule for each in few}, _openers(few), title)
    histories = {each.label: each.history for each in few if len(each.history)}
    if histories:
        parts = (histories, {each.label: each.phases for each in few}, f"Losses of {title}")
        yield Page("losses", lambda: losses.draw(*parts), losses.alt_text(*parts))
    if len(trials) > len(few):
        yield from _combinations(trials, title)
    yield from _cells(trials, title)
    yield from _reactions(few, title)
    yield from _data(few[0], title)
    for each in few:
        yield from _recovery(each, title)
        yield from _of_one(each, title)


def of_search(
    table: pa.Table, title: str, objectives: search.Objectives, pair: contour.Pair | None = None
) -> Iterator[Page]:
    """Give the pages that tell what mattered in a search, and what it could trade for what.

    Args:
        table: its trials, as in `prepe.figures.search.read`.
        title: the sweep's name.
        objectives: of the search.
        pair: of the contour; by default the two parameters that matter most for the first objective.

    Raises:
        PrepeError: there are no such parameters.
    """
    arguments = (table, title, objectives)
    chosen = contour.pair_of(table, objectives, pair)
    if len(objectives) > 1:
        yield Page("front", lambda: front.draw(*arguments), front.alt_text(*arguments))
    if len(table) < _FEWEST or not set(search.read(table, objectives).names) - {"variant"}:
        return
    yield Page("importance", lambda: importance.draw(*arguments), importance.alt_text(*arguments))
    yield Page("parallel", lambda: parallel.draw(*arguments), parallel.alt_text(*arguments))
    if chosen:
        of_pair = (*arguments, chosen)
        yield Page("contour", lambda: contour.draw(*of_pair), contour.alt_text(*of_pair))


def of_schedules(schedules: Mapping[str, Schedule], openers: list[str], title: str) -> Page:
    """Return the page of schedules, equal ones drawn once."""
    named: dict[str, Schedule] = {}
    for label, each in schedules.items():
        same = next((known for known in named if named[known] == each), None)
        named[label if same is None else f"{same}, {label}"] = each if same is None else named.pop(same)
    arguments = (named, openers, f"Schedule of {title}")
    return Page("schedule", lambda: schedule.draw(*arguments), schedule.alt_text(*arguments))


def by_parameter(trials: list[Stored]) -> dict[str, dict[str, pa.Table]]:
    """Return the members of all trials by each parameter's value: section by parameter, group by value."""
    groups: dict[str, dict[str, pa.Table]] = {}
    for name in dict.fromkeys(itertools.chain.from_iterable(each.params for each in trials)):
        values = sorted({each.params[name] for each in trials if name in each.params}, key=str)
        if 1 < len(values) <= SIDE_BY_SIDE:
            groups[name] = {
                _value(value): pa.concat_tables([each.members for each in trials if each.params.get(name) == value])
                for value in values
            }
    return groups or {"": {"all": pa.concat_tables([each.members for each in trials])}}


def counts(trials: list[Stored]) -> str:
    """Say how many trials and members there are, and how many broke."""
    sizes = {len(each.members) for each in trials}
    some = " to ".join(str(size) for size in sorted({min(sizes), max(sizes)}))
    broken = sum(int(np.nansum(numbers(each.members, "broken"))) for each in trials)
    n = len(trials)
    each_of = f"{n} trials of {some} members each" if n > 1 else f"{some} member{'s' * (some != '1')}"
    return f"{each_of}; {broken or 'none'} broke."


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _openers(trials: list[Stored]) -> list[str]:
    return sorted({name for each in trials for name in each.spec.training.openers()})


def _recovery(trial: Stored, title: str) -> Iterator[Page]:
    """Give the page of attacks on a trial's deleted models, if there were any."""
    if recovery.has_curves(trial.effects):
        end, of_what = _names(trial, title)
        arguments = (trial.effects, f"Recovery of {of_what}")
        yield Page(f"recovery{end}", lambda: recovery.draw(*arguments), recovery.alt_text(*arguments))


def _names(trial: Stored, title: str) -> tuple[str, str]:
    """Return the end of a file's name, and how a title calls a trial."""
    end = f"-{trial.label.replace(' = ', '-').replace(', ', '-')}" if trial.label else ""
    return end, f"{title}, {trial.label}" if trial.label else title


def _of_one(trial: Stored, title: str) -> Iterator[Page]:
    """Give the pages about one member of one trial."""
    shown = trial.snapshots
    if shown is None:
        return
    end, of_what = _names(trial, title)
    latents = (shown, f"Latents of {of_what}")
    yield Page(f"latents{end}", lambda: latent_history.draw(*latents), latent_history.alt_text(*latents))
    ends = phase_ends(trial, shown)
    if len(ends) > 1:
        phases = (shown, ends, f"Phases of {of_what}")
        yield Page(f"phases{end}", lambda: phase_history.draw(*phases), phase_history.alt_text(*phases))
    lattice = _lattice(shown)
    if lattice is not None:
        text = f"Each cell is a colour, the square in it what the member with seed {shown.seed} makes of it."
        cells = (lattice, f"Reconstructions of {of_what}", text, lattice["output"])
        yield Page(f"reconstructions{end}", lambda: cube.draw(*cells), cube.alt_text(*cells))


def phase_ends(trial: Stored, shown: snapshots.Snapshots) -> list[phase_history.End]:
    """Return the ends of the named phases after which a snapshot is stored."""
    training = trial.spec.training
    starts = [*phase_starts(training.schedule), (training.schedule.steps, "")]
    return [
        phase_history.End(name, after - 1, snapshots.covered(shown.inputs, training.phase_data(name)))
        for (_, name), (after, _) in itertools.pairwise(starts)
        if name and after in shown.steps
    ]


def _lattice(shown: snapshots.Snapshots) -> Cube | None:
    """Return the items as an RGB cube with their outputs in the variable `output`, if they are a whole lattice."""
    if shown.colors is None or shown.outputs.shape[-1] != 3:
        return None
    axes = [np.unique(shown.colors[:, channel]) for channel in range(3)]
    if len(shown.colors) != int(np.prod([len(each) for each in axes])):
        return None
    order = np.lexsort(shown.colors.T[::-1])
    lattice = Cube.from_rgb(*axes)
    return lattice.assign(output=shown.outputs[-1][order].reshape(lattice["color"].shape))


def _data(trial: Stored, title: str) -> Iterator[Page]:
    part = trial.spec.training.data
    if isinstance(part, HsvCube):
        cells = (hsv_cube(part).permute("svh"), f"Training colours of {title}")
        yield Page("data", lambda: cube.draw(*cells), cube.alt_text(*cells))


def _combinations(trials: list[Stored], title: str) -> Iterator[Page]:
    """Give the page of all combinations, if the parameters are switches: each of two values, the larger of them on."""
    names = list(trials[0].params)
    values = {name: sorted({each.params[name] for each in trials}, key=str) for name in names}
    if not names or any(len(each) != 2 for each in values.values()):
        return
    columns = strips.metrics_of({"": {each.name: each.members for each in trials}}, len(strips.FIRST))
    shown = ([name for name in _NUMBERS if name in columns] or columns)[:2]
    cells = {}
    for each in trials:
        final = each.snapshots
        cells[tuple(each.params[name] == values[name][1] for name in names)] = combinations.Cell(
            None if final is None else final.latents[-1],
            None if final is None else final.colors,
            {name: float(np.nanmedian(numbers(each.members, name))) for name in shown},
        )
    arguments = (names, cells, f"Combinations of {title}", counts(trials))
    yield Page("combinations", lambda: combinations.draw(*arguments), combinations.alt_text(*arguments))


def _cells(trials: list[Stored], title: str) -> Iterator[Page]:
    """Give the page of cells, if there are several operators on directions from several sources."""
    if len(trials) <= _FEW_TABLES and cells.is_factorial(trials[0].effects):
        arguments = ({each.label: each.effects for each in trials}, f"Interventions of {title}")
        yield Page("cells", lambda: cells.draw(*arguments), cells.alt_text(*arguments))


def _reactions(trials: list[Stored], title: str) -> Iterator[Page]:
    """Give the page on rules, if some of the trials have any and one that can be compared with has none."""
    rules = {each.label: each.spec.training.schedule.rules for each in trials}
    calm = [label for label, own in rules.items() if not own]
    if not calm or len(calm) == len(trials) or not all(len(each.history) for each in trials):
        return
    every = [rule for own in rules.values() for rule in own]
    moved = [rule.parameter for rule in every if isinstance(rule, MoveRule)]
    held = [rule.measure for rule in every if isinstance(rule, RatioRule)]
    measured = strips.metrics_of({"": {each.label: each.members for each in trials}}, len(strips.FIRST))
    arguments = (
        {each.label: each.history for each in trials},
        {each.label: each.members for each in trials},
        list(dict.fromkeys([*moved, *held])),
        calm[0],
        [name for name in _OUTCOMES if name in measured][:4],
        f"Reactions of {title}",
        counts(trials),
    )
    yield Page("reactions", lambda: reactions.draw(*arguments), reactions.alt_text(*arguments))
