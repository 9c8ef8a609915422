"""Stored rows in; the tables and figures that a person reads out. Neither torch nor Ray."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def ls(results: Path) -> list[Row]:
    """List a store's sweeps: trials complete, feasible and failed, members of each, and the best first objective.

    `other versions` counts trials that only an older version of the sweep's file asked for; the rest is without them.
    """
    store.check_store(results)
    proposals = store.read(results, "proposals")
    trials = {(row["sweep"], row["trial"]) for row in proposals.select(["sweep", "trial"]).to_pylist()}
    every = Counter(sweep for sweep, _ in trials)
    rows = [_opened(row) for row in store.last_version(proposals).to_pylist()]
    listed = []
    for name in sorted(every):
        own = [row for row in rows if row["sweep"] == name]
        best = _ordered(own)[0]
        first = next(iter(best["objectives"]), None)
        listed.append(
            {
                "sweep": name,
                "complete": sum(row["state"] == "complete" for row in own),
                "feasible": sum(row["state"] == "complete" and row["feasible"] for row in own),
                "failed": sum(row["state"] == "failed" for row in own),
                "other versions": every[name] - len({row["trial"] for row in own}),
                "members": max(row["members"] for row in own),
                "best trial": best["trial"],
                "objective": first or "",
                "value": best["objectives"].get(first) if first else None,
                "last": max(row["created"] for row in own).strftime("%Y-%m-%d %H:%M"),
            }
        )
    return listed


def top(results: Path, sweep: str, n: int = 10) -> list[Row]:
    """Return a sweep's best trials: feasible ones first, then by the first objective.

    Failed ones are left out, and those that only an older version of the sweep's file asked for.

    Each row has `trial`, `number`, `feasible`, `members`, `objectives` and `params`.

    Raises:
        PrepeError: the store has no such sweep.
    """
    name = store.sweep_named(results, sweep)
    ordered = [row for row in _ordered(_proposals(results, name)) if row["state"] == "complete"]
    keys = ("trial", "number", "feasible", "members", "objectives", "params")
    return [{key: row[key] for key in keys} for row in ordered[:n]]


def show(results: Path, trial: str) -> Row:
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
    facts["summaries"] = store.query(results, f"{sql} ORDER BY intervention, metric, members DESC").to_pylist()
    facts["spec"] = json.loads(facts["spec"]) if facts["spec"] else None
    facts["errors"] = [row["error"] for row in facts["proposals"] if row["error"]]
    return facts


def tables_of(results: Path, trial: str) -> dict[str, pa.Table]:
    """Return a trial's stored rows by table."""
    facts = store.trial_named(results, trial)
    of_trial, of_model = (pc.field(column) == facts[column] for column in ("trial", "model"))
    tables = {table: store.read(results, table, of_trial) for table in ("effects", "items", "members")}
    return tables | {table: store.read(results, table, of_model) for table in ("history", "snapshots")}


def draw(name: str, results: Path, out: Path | None = None) -> list[Path]:
    """Draw every figure that makes sense for a name, and return the paths of the light pictures.

    Args:
        name: see `pages`.
        results: the store.
        out: the folder for the figures; by default `figures` in the store.

    Raises:
        PrepeError: the name means nothing, or there is nothing to draw.
    """
    stem, found = pages(name, results)
    return _save(found, results / "figures" if out is None else out, stem)


def pages(name: str, results: Path) -> "tuple[str, Iterable[Page]]":
    """Return how the figures of a name are called, and the figures.

    Args:
        name: a sweep of the store, a trial of it (or the beginning of its name), a sweep file or a dopesheet (`.csv`),
            whose schedule is drawn, or one of the experiments in which nothing is trained.
        results: the store.

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
        return name, _sweep_pages(results, name)
    if not _LIKE_A_TRIAL.fullmatch(name):
        found = unknown(name, [*sweeps, *gallery], "name")
        raise PrepeError(f"{results}: {found}; or a trial, or a file that ends in .toml or .csv")
    trial = store.trial_named(results, name)["trial"]
    return trial, _trial_pages(results, trial)


def draw_tables(tables: dict[str, pa.Table], results: Path, name: str, intervention: str | None = None) -> Path:
    """Draw a trial's page from rows by table, and return the path of the light picture."""
    if not len(tables["effects"]):
        raise PrepeError(f"trial {name}: it has no effects to draw")
    stem = f"{name}-{intervention}" if intervention else name
    return _save([_effects_page(tables, f"Trial {name}", intervention)], results / "figures", stem)[0]


def draw_sweep(results: Path, sweep: str) -> Path:
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
    return _save([page], results / "figures", name)[0]


def _sweep_pages(results: Path, name: str) -> "Iterator[Page]":
    """Give all pages of a sweep; of a search, the first one and those of the best trial."""
    from prepe.figures import album
    from prepe.figures.stored import of_sweep

    trials, objectives = of_sweep(results, name)
    if len(trials) == 1:
        yield from _trial_pages(results, trials[0].name, name)
    else:
        yield _first_page(results, name, trials, objectives)
        if not objectives:
            yield from album.details(trials, name)
            return
        best = top(results, name, 1)[0]["trial"]
        for page in _trial_pages(results, best, f"{name}, best trial {best}"):
            yield page._replace(stem="-".join(filter(None, ("best", page.stem))))


def _trial_pages(results: Path, trial: str, title: str = "") -> "Iterator[Page]":
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


def _first_page(results: Path, name: str, trials: "list[Stored]", objectives: list[tuple[str, str]]) -> "Page":
    from prepe.figures import album
    from prepe.figures import sweep as sweep_figure

    if not objectives:
        return album.overview(trials, name)
    table = store.query(results, f"SELECT * FROM trials WHERE sweep = '{name}' ORDER BY number")
    arguments = (table, name, objectives)
    return album.Page("", lambda: sweep_figure.draw(*arguments), sweep_figure.alt_text(*arguments))


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


def _proposals(results: Path, sweep: str) -> list[Row]:
    """Return the opened proposals of the last version of a sweep's file."""
    proposals = store.read(results, "proposals", where=pc.field("sweep") == sweep)
    return [_opened(row) for row in store.last_version(proposals).to_pylist()]


def _opened(row: Row) -> Row:
    maps = {name: dict(row[name] or ()) for name in ("objectives", "constraints", "goals")}
    return {**row, **maps, "params": json.loads(row["params"] or "{}")}


def _ordered(rows: list[Row]) -> list[Row]:
    """Order opened proposals: complete, then feasible, then by the first objective, then by number."""

    def key(row: Row) -> tuple[bool, bool, float, int]:
        first = next(iter(row["goals"]), None)
        value = row["objectives"].get(first, float("nan")) if first else 0.0
        signed = -value if first and row["goals"][first] == "maximize" else value
        return (
            row["state"] != "complete",
            not row["feasible"],
            signed if signed == signed else float("inf"),
            row["number"],
        )

    return sorted(rows, key=key)
