"""Stored rows in; the tables and figures that a person reads out. Neither torch nor Ray."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prepe import store
from prepe.catalog import unknown
from prepe.errors import PrepeError

if TYPE_CHECKING:
    from prepe.figures.album import Page
    from prepe.figures.stored import Stored

Row = dict[str, Any]
_LIKE_A_TRIAL = re.compile(r"[0-9a-fA-F]{4,}")


def ls(results: store.Root) -> list[Row]:
    """List a store's sweeps: trials complete, feasible and failed, members of each, and the best first objective.

    `other versions` counts trials that only an older version of the sweep's file asked for; the rest is without them.
    """
    store.check_store(results)
    columns = ["sweep", "digest", "number", "trial", "state", "feasible", "members", "objectives", "goals", "created"]
    proposals = store.read(results, "proposals", columns=columns)
    last = store.last_version(proposals)
    others = {} if last is proposals else _trials_by_sweep(proposals)
    of_last = _trials_by_sweep(last) if others else {}
    flags = pa.table(
        {
            "sweep": last["sweep"],
            "complete": pc.equal(last["state"], "complete"),
            "feasible": pc.and_(pc.equal(last["state"], "complete"), pc.fill_null(last["feasible"], False)),
            "failed": pc.equal(last["state"], "failed"),
            "members": last["members"],
            "created": last["created"],
        }
    )
    sums = [("complete", "sum"), ("feasible", "sum"), ("failed", "sum"), ("members", "max"), ("created", "max")]
    counts = {row["sweep"]: row for row in flags.group_by("sweep").aggregate(sums).to_pylist()}
    best = {row["sweep"]: row | {"objectives": dict(row["objectives"] or ())} for row in _best(last).to_pylist()}
    listed = []
    for name in sorted(counts):
        row, first = counts[name], next(iter(best[name]["objectives"]), None)
        listed.append(
            {
                "sweep": name,
                "complete": row["complete_sum"],
                "feasible": row["feasible_sum"],
                "failed": row["failed_sum"],
                "other versions": others.get(name, 0) - of_last.get(name, 0),
                "members": row["members_max"],
                "best trial": best[name]["trial"],
                "objective": first or "",
                "value": best[name]["objectives"].get(first) if first else None,
                "last": row["created_max"].strftime("%Y-%m-%d %H:%M"),
            }
        )
    return listed


def _trials_by_sweep(proposals: pa.Table) -> dict[str, int]:
    counts = proposals.group_by("sweep").aggregate([("trial", "count_distinct")])
    return dict(zip(counts["sweep"].to_pylist(), counts["trial_count_distinct"].to_pylist(), strict=True))


def _best(proposals: pa.Table) -> pa.Table:
    """Return the first proposal of each sweep in the order of `_ordered`, which takes too long for very many."""
    codes = proposals["sweep"].combine_chunks().dictionary_encode().indices.to_numpy()
    place = np.arange(len(codes))
    complete = pc.equal(proposals["state"], "complete").to_numpy()
    feasible = pc.fill_null(proposals["feasible"], False).to_numpy()
    for values in (2.0 * ~complete + ~feasible, _signed(proposals), proposals["number"].to_numpy()):
        least = np.full(codes.max(initial=0) + 1, np.inf)
        of_left = values[place]
        np.minimum.at(least, codes[place], of_left)
        place = place[of_left == least[codes[place]]]
    _, first = np.unique(codes[place], return_index=True)
    return proposals.take(pa.array(place[first]))


def _signed(proposals: pa.Table) -> np.ndarray:
    """Return each proposal's first objective so that less is better; infinite where it is not to be had, or NaN."""
    parts = proposals.select(["goals", "objectives"]).to_batches()
    return np.concatenate([np.empty(0), *(_signed_part(part["goals"], part["objectives"]) for part in parts)])


def _signed_part(goals: pa.MapArray, objectives: pa.MapArray) -> np.ndarray:
    starts, counts = goals.offsets.to_numpy()[:-1], np.diff(goals.offsets.to_numpy())
    some, first = counts > 0, starts[counts > 0]  # the first one is the one to sort by
    names, wanted = goals.keys.dictionary_encode(), np.full(len(goals), -1)
    wanted[some] = names.indices.to_numpy()[first]  # numbers, which are quicker to compare than texts
    offsets = objectives.offsets.to_numpy()
    row = np.repeat(np.arange(len(goals)), np.diff(offsets))
    held = slice(offsets[0], offsets[-1])
    key = pc.fill_null(pc.index_in(objectives.keys[held], names.dictionary), -2).to_numpy(zero_copy_only=False)
    found = key == wanted[row]
    values = np.where(some, np.nan, 0.0)
    values[row[found]] = objectives.items[held].to_numpy(zero_copy_only=False)[found]
    ways = goals.items.dictionary_encode()
    upwards = np.append(pc.equal(ways.dictionary, "maximize").to_numpy(zero_copy_only=False), False)
    maximize = np.zeros(len(goals), bool)
    maximize[some] = upwards[pc.fill_null(ways.indices, -1).to_numpy()[first]]
    signed = np.where(maximize, -values, values)
    return np.where(np.isnan(signed), np.inf, signed)


def top(results: store.Root, sweep: str, n: int = 10) -> list[Row]:
    """Return a sweep's best trials: feasible ones first, then by the first objective.

    Failed ones are left out, and those that only an older version of the sweep's file asked for.

    Each row has `trial`, `number`, `feasible`, `members`, `objectives` and `params`.

    Raises:
        PrepeError: the store has no such sweep.
    """
    name = store.sweep_named(results, sweep)
    stored = store.last_version(store.read(results, "proposals", where=pc.field("sweep") == name))
    complete = stored.filter(pc.field("state") == "complete")
    feasible = pc.fill_null(complete["feasible"], False).to_numpy()
    order = np.lexsort((complete["number"].to_numpy(), _signed(complete), ~feasible))  # as `_ordered` does
    rows = [_opened(row) for row in complete.take(pa.array(order[:n])).to_pylist()]
    keys = ("trial", "number", "feasible", "members", "objectives", "params")
    return [{key: row[key] for key in keys} for row in rows]


def proposals(results: store.Root, sweep: str) -> list[Row]:
    """Return the proposals of the last version of a sweep's file as `top` orders them, and failed ones last.

    `params` and every map are dictionaries.
    """
    stored = store.read(results, "proposals", where=pc.field("sweep") == sweep)
    return _ordered([_opened(row) for row in store.last_version(stored).to_pylist()])


def show(results: store.Root, trial: str) -> Row:
    """Return what is known of a trial: its facts, specification, and every metric's statistics over members.

    Keys: `trial`, `model`, `seeds`, `spec` (as a dictionary), `proposals`, costs and provenance, `summaries` (rows with
    intervention, metric, members, median, q25, q75, worst_decile, min, max), and `errors` of failed proposals.

    Raises:
        PrepeError: the store has no such trial, or several.
    """
    facts = store.trial_named(results, trial)
    name = facts["trial"]
    columns = "intervention, metric, members, median, q25, q75, mean, sd, worst_decile, min, max"
    sql = f"SELECT DISTINCT ON (intervention, metric) {columns} FROM summaries WHERE trial = '{name}'"
    facts["summaries"] = store.query(results, f"{sql} ORDER BY intervention, metric, members DESC", name).to_pylist()
    facts["spec"] = json.loads(facts["spec"]) if facts["spec"] else None
    facts["errors"] = [row["error"] for row in facts["proposals"] if row["error"]]
    return facts


def tables_of(results: store.Root, trial: str) -> dict[str, pa.Table]:
    """Return a trial's stored rows by table."""
    facts = store.trial_named(results, trial)
    of_trial, of_model = (pc.field(column) == facts[column] for column in ("trial", "model"))
    tables = {table: store.read(results, table, of_trial) for table in ("effects", "items", "members")}
    return tables | {table: store.read(results, table, of_model) for table in ("history", "snapshots")}


def draw(name: str, results: store.Root, out: Path | None = None, contour: tuple[str, str] | None = None) -> list[Path]:
    """Draw every figure that makes sense for a name, and return the paths of the light pictures.

    Args:
        name: see `pages`.
        results: the store.
        out: the folder for the figures; by default `figures` in the store.
        contour: see `pages`.

    Raises:
        PrepeError: the name means nothing, or there is nothing to draw.
    """
    stem, found = pages(name, results, contour)
    return _save(found, store.local_folder(results) / "figures" if out is None else out, stem)


def pages(name: str, results: store.Root, contour: tuple[str, str] | None = None) -> "tuple[str, Iterable[Page]]":
    """Return how the figures of a name are called, and the figures.

    Args:
        name: a sweep of the store, a trial of it (or the beginning of its name), a sweep file or a dopesheet (`.csv`),
            whose schedule is drawn, or one of the experiments in which nothing is trained.
        results: the store.
        contour: of a search, the two parameters over which its first objective is drawn; by default the two that
            matter most for it.

    Raises:
        PrepeError: the name is none of these, or there is nothing to draw.
    """
    from prepe.figures.gallery import GALLERY

    gallery: dict[str, Callable[[], Iterator[Page]]] = {**GALLERY, "ex-2.1": _lobes}
    if name in gallery:
        return name, gallery[name]()
    if Path(name).suffix.lower() in (".toml", ".csv"):
        return Path(name).stem, [_schedule_page(Path(name))]
    store.check_store(results)
    sweeps = sorted(set(store.read(results, "proposals", columns=["sweep"])["sweep"].to_pylist()))
    if name in sweeps:
        return name, _sweep_pages(results, name, contour)
    if not _LIKE_A_TRIAL.fullmatch(name):
        found = unknown(name, [*sweeps, *gallery], "name")
        raise PrepeError(f"{results}: {found}; or a trial, or a file that ends in .toml or .csv")
    trial = store.trial_named(results, name)["trial"]
    return trial, _trial_pages(results, trial)


def draw_tables(tables: dict[str, pa.Table], results: store.Root, name: str, intervention: str | None = None) -> Path:
    """Draw a trial's page from rows by table, and return the path of the light picture."""
    if not len(tables["effects"]):
        raise PrepeError(f"trial {name}: it has no effects to draw")
    stem = f"{name}-{intervention}" if intervention else name
    return _save([_effects_page(tables, f"Trial {name}", intervention)], store.local_folder(results) / "figures", stem)[
        0
    ]


def draw_sweep(results: store.Root, sweep: str) -> Path:
    """Draw a sweep's first page, and return the path of the light picture.

    It shows the trials of a search in the plane of two objectives; what an intervention did in a single trial that has
    one; and otherwise members, latents and losses of all trials.
    """
    from prepe.figures.stored import of_sweep

    name = store.sweep_named(results, sweep)
    trials, objectives = of_sweep(results, name)
    page = (
        next(iter(_trial_pages(results, trials[0].name, name)))
        if len(trials) == 1
        else _first_page(results, name, trials, objectives)
    )
    return _save([page], store.local_folder(results) / "figures", name)[0]


def _sweep_pages(results: store.Root, name: str, contour: tuple[str, str] | None) -> "Iterator[Page]":
    """Give all pages of a sweep; of a search, the first one and those of the best trial."""
    from prepe.figures import album
    from prepe.figures.stored import of_sweep

    trials, objectives = of_sweep(results, name)
    if len(trials) == 1:
        yield from _trial_pages(results, trials[0].name, name)
    else:
        yield _first_page(results, name, trials, objectives)
        yield from _label_pages(results, name)
        if not objectives:
            yield from album.details(trials, name)
            return
        yield from album.of_search(_search(results, name), name, objectives, contour)
        best = top(results, name, 1)[0]["trial"]
        for page in _trial_pages(results, best, f"{name}, best trial {best}"):
            yield page._replace(stem="-".join(filter(None, ("best", page.stem))))


def _trial_pages(results: store.Root, trial: str, title: str = "") -> "Iterator[Page]":
    """Give all pages of a trial."""
    from prepe.figures import album
    from prepe.figures.stored import Stored

    one = Stored(results, trial, {})
    labels = list(dict.fromkeys(one.effects["intervention"].to_pylist()))
    tables = tables_of(results, trial) if labels else {}
    for i, label in enumerate(labels):
        yield _effects_page(tables, title or f"Trial {trial}", label)._replace(stem=label if i else "")
    if labels:
        yield from _before_and_after(tables, title or f"Trial {trial}")
    if not labels:
        yield album.overview([one], title or f"Trial {trial}")
    yield from album.details([one], title or f"trial {trial}")


def _first_page(results: store.Root, name: str, trials: "list[Stored]", objectives: list[tuple[str, str]]) -> "Page":
    from prepe.figures import album
    from prepe.figures import sweep as sweep_figure

    if not objectives:
        return album.overview(trials, name)
    arguments = (_search(results, name), name, objectives)
    return album.Page("", lambda: sweep_figure.draw(*arguments), sweep_figure.alt_text(*arguments))


def _search(results: store.Root, name: str) -> pa.Table:
    return store.query(results, f"SELECT * FROM trials WHERE sweep = '{name}' ORDER BY number")


def _label_pages(results: store.Root, name: str) -> "Iterator[Page]":
    """Give the page of scores over labels, if the trials of a sweep differ in their labels alone."""
    from prepe import members
    from prepe.figures import efficiency
    from prepe.figures.album import Page

    try:
        curves = members.curves(members.of_sweep(results, name))
    except PrepeError:
        return
    title = f"{name}: how few labels, and how noisy"
    yield Page("labels", lambda: efficiency.draw(curves, title), efficiency.alt_text(curves, title))


def _effects_page(tables: dict[str, pa.Table], title: str, intervention: str | None) -> "Page":
    from prepe.figures import trial as trial_figure
    from prepe.figures.album import Page

    names = ("effects", "items", "history", "members", "snapshots")
    effects, items, history, members, snapshots = (tables[name] for name in names)
    arguments = (effects, items, history, members, snapshots, title, intervention)
    return Page("", lambda: trial_figure.draw(*arguments), trial_figure.alt_text(*arguments))


def _before_and_after(tables: dict[str, pa.Table], title: str) -> "Iterator[Page]":
    """Give the page of the member with the best score by the first intervention, beside what each makes of it."""
    from prepe.figures import stacked
    from prepe.figures.album import Page

    seed = stacked.shown(tables["effects"])
    grid = tables["items"].filter((pc.field("set") == "reference") & (pc.field("seed") == seed))
    labels = set(tables["effects"]["intervention"].to_pylist())
    if seed is not None and labels == set(grid["intervention"].to_pylist()):  # a published store may lack some
        arguments = (tables["effects"], tables["items"], seed, f"Before and after: {title}")
        yield Page("before-after", lambda: stacked.draw(*arguments), stacked.alt_text(*arguments))


def _lobes() -> "Iterator[Page]":
    """Give what gates and mappers do to unit vectors (experiment 2.1)."""
    from prepe.figures import lobes
    from prepe.figures.album import Page
    from prepe.interventions.lobes import REPULSION, SUPPRESSION, lobe  # needs torch

    for name, parts in (("suppression", SUPPRESSION), ("repulsion", REPULSION)):
        drawn = [lobe(part) for part in parts]
        yield Page(name, partial(lobes.draw, drawn), lobes.alt_text(drawn))


def _schedule_page(file: Path) -> "Page":
    """Return the page of a file's schedules: those of all its variants, or of a dopesheet."""
    from prepe import sweep, timeline
    from prepe.figures import album

    if file.suffix.lower() == ".csv":
        return album.of_schedules({"": timeline.load(file)}, [], file.stem)
    loaded = sweep.load(file)
    names = list(loaded.variants) or [""]
    points = [loaded.start() | ({"variant": name} if name else {}) for name in names]
    trainings = {name: loaded.trial(point).training for name, point in zip(names, points, strict=True)}
    openers = sorted({name for each in trainings.values() for name in each.openers()})
    return album.of_schedules({name: each.schedule for name, each in trainings.items()}, openers, file.stem)


def _save(pages: "Iterable[Page]", out: Path, name: str) -> list[Path]:
    from prepe.figures import style  # slow to import, and tables need none of it

    return [style.save(page.draw, out / "-".join(filter(None, (name, page.stem))), page.alt_text) for page in pages]


def _opened(row: Row) -> Row:
    maps = {name: dict(row[name] or ()) for name in ("objectives", "constraints", "goals")}
    return {**row, **maps, "params": json.loads(row["params"] or "{}")}


def _ordered(rows: list[Row]) -> list[Row]:
    """Order opened proposals: complete, feasible, with more members, then by the first objective, then by number."""

    def key(row: Row) -> tuple[bool, bool, int, float, int]:
        first = next(iter(row["goals"]), None)
        value = row["objectives"].get(first, float("nan")) if first else 0.0
        signed = -value if first and row["goals"][first] == "maximize" else value
        return (
            row["state"] != "complete",
            not row["feasible"],
            -row["members"],
            signed if signed == signed else float("inf"),
            row["number"],
        )

    return sorted(rows, key=key)
