"""A search's winners in; the same trials on fresh seeds, as a sweep of their own in the store, and what they lost, out.

The confirmation of the sweep `x` is the sweep `x-confirm`: its trials are those of the search, its seeds begin after
all that the search used. So the search's rows stay as they are, and every verb works on either alone.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from prepe import launch, report, spec, store
from prepe.errors import PrepeError
from prepe.measures import Constraint, Measure, Objective, constraint_named, objective_named
from prepe.members import Between, Members, Shrunk, differences, of_seeds, shrinkage
from prepe.sweep import Distribution, Params, Resources, Sweep

SUFFIX = "-confirm"
SCORE = "score_ccc"
Row = dict[str, Any]


class Confirmation(Sweep):
    """A sweep of chosen trials, which are those of a store and not made from a file.

    `winners` has them by the JSON of their parameters, in order. Of the space, it knows the values that they have.
    """

    winners: dict[str, spec.Trial]

    def points(self) -> list[Params]:
        """Return the winners' parameters, the best first."""
        return [json.loads(point) for point in self.winners]

    def start(self) -> Params:
        """Return the parameters of the best winner."""
        return self.points()[0]

    @property
    def space(self) -> dict[str, Distribution]:
        """The parameters that were searched, each a choice of the values that winners have."""
        names = [name for name in self.start() if name != "variant"]
        values = {name: dict.fromkeys(point[name] for point in self.points()) for name in names}
        return {name: Distribution(choice=tuple(own), start=next(iter(own))) for name, own in values.items()}  # type: ignore[arg-type]

    def imports(self) -> list[str]:
        """Return the users' own functions that a winner calls."""
        return sorted({name for each in self.winners.values() for name in each.training.imports()})

    def trial(self, params: Params) -> spec.Trial:
        """Return the winner with these parameters.

        Raises:
            PrepeError: there is none.
        """
        point = json.dumps(params)
        if point not in self.winners:
            raise PrepeError(f"sweep {self.name}: no winner has the parameters {point}")
        return self.winners[point]


@dataclass(frozen=True)
class Confirmed:
    """What came of a search's winners on fresh seeds.

    Attributes:
        sweep: the search.
        confirmation: the sweep of the same trials on fresh seeds.
        trials: the winners' names in the order of the search.
        feasible: which of them are feasible on fresh seeds.
        seeds: the first and the last fresh seed.
        shrunk: every measure of every winner in the search and on fresh seeds.
        between: every two winners on fresh seeds.
        failed: trial -> the last line of its error.
        lost: how many winners lost every worker that tried.
        made: how many were trained or measured now.
    """

    sweep: str
    confirmation: str
    trials: list[str]
    feasible: list[str]
    seeds: tuple[int, int]
    shrunk: list[Shrunk]
    between: list[Between]
    failed: dict[str, str]
    lost: int
    made: int


def confirm(
    name: str,
    results: store.Root,
    *,
    top: int = 5,
    members: int = 64,
    first_seed: int | None = None,
    cpus: int = 1,
    concurrency: int | None = None,
    retry_failed: bool = False,
    **options: Any,
) -> Confirmed:
    """Train the best trials of a search on fresh seeds, unless the store has them, and compare.

    Args:
        name: a searched sweep of the store, or its file.
        results: the store.
        top: how many trials: those that `report.top` has first, among those with all of the sweep's members.
        members: how many fresh seeds.
        first_seed: the first of them; by default that of an earlier confirmation whose seeds are still fresh, or else
            the one after all that the search used.
        cpus: of one trial.
        concurrency: how many trials at a time, with Ray.
        retry_failed: do winners again that failed.
        **options: of `launch.Session`.

    Raises:
        PrepeError: no such sweep, nothing was searched in it, it has fewer trials, or the seeds are not fresh.
    """
    search = store.sweep_named(results, name)
    rows = _winners(results, search, top)
    seeds = _fresh(results, search, members, first_seed)
    resources = Resources(cpus=cpus, concurrency=concurrency)
    sweep = _confirmation(results, search, rows, seeds, resources)
    folder = Path(name).parent if name.endswith(".toml") else None
    queue = launch.run(sweep, results, folder=folder, retry_failed=retry_failed, **options)
    ended = {row["trial"]: row for row in queue.done}
    complete = [row for row in rows if ended.get(row["trial"], {}).get("state") == "complete"]
    measures = _measures(sweep)
    pairs = [(_members(results, row), _members(results, ended[row["trial"]])) for row in complete]
    return Confirmed(
        search,
        sweep.name,
        [row["trial"] for row in rows],
        [row["trial"] for row in complete if ended[row["trial"]]["feasible"]],
        (seeds[0], seeds[-1]),
        [each for before, after in pairs for each in shrinkage(before, after, measures)],
        differences([after for _, after in pairs], measures),
        {name: _last_line(row) for name, row in ended.items() if row["state"] == "failed"},
        queue.lost,
        queue.made,
    )


def _winners(results: store.Root, search: str, top: int) -> list[Row]:
    """Return the proposals of a search's best trials that have all of its members, the best first."""
    ordered = report.proposals(results, search)
    if not any(row["goals"] for row in ordered):
        raise PrepeError(f"sweep {search}: it has no objective, so none of its trials is best; allowed: a search")
    if not any(row["params"] for row in ordered):
        raise PrepeError(f"sweep {search}: nothing was searched, it is one trial; allowed: a sweep with [search]")
    most = max(row["members"] for row in ordered)
    whole = [row for row in ordered if row["state"] == "complete" and row["members"] == most]
    if len(whole) < top:
        raise PrepeError(f"--top {top}: {search} has {len(whole)} trials of {most} members; allowed: at most as many")
    return whole[:top]


def _fresh(results: store.Root, search: str, members: int, first_seed: int | None) -> range:
    """Return seeds that no trial of a search used, of whatever version of its file."""
    used = _seeds(results, search)
    end = max(each.stop for each in used)
    if first_seed is None:
        kept = [each.start for each in _seeds(results, search + SUFFIX) if each.start >= end]
        first_seed = kept[0] if kept else end
    wanted = range(first_seed, first_seed + members)
    for own in used:
        if own.start < wanted.stop and wanted.start < own.stop:
            raise PrepeError(
                f"--first-seed {first_seed}: the search has used some of the seeds {wanted.start} to "
                f"{wanted.stop - 1}; allowed: {end} or more"
            )
    return wanted


def _seeds(results: store.Root, sweep: str) -> list[range]:
    """Return the seeds of each of a sweep's stored proposals, the last one first."""
    columns = ["first_seed", "members", "created"]
    rows = store.read(results, "proposals", pc.field("sweep") == sweep, columns).to_pylist()
    rows = sorted(rows, key=lambda row: row["created"], reverse=True)
    return [range(row["first_seed"], row["first_seed"] + row["members"]) for row in rows]


def _confirmation(
    results: store.Root, search: str, rows: Sequence[Row], seeds: range, resources: Resources
) -> Confirmation:
    params = [row["params"] for row in report.proposals(results, search)]
    variants = sorted({str(each["variant"]) for each in params if "variant" in each})  # of all, as more may win later
    return Confirmation(
        name=search + SUFFIX,
        question=f"Do the winners of {search} hold on fresh seeds?",
        members=len(seeds),
        first_seed=seeds[0],
        resources=resources,
        objectives=tuple(objective_named(name, goal) for name, goal in rows[0]["goals"].items()),
        constraints=tuple(constraint_named(name) for name in rows[0]["constraints"]),
        variants={name: {} for name in variants},
        body={"confirms": rows[0]["digest"], "first_seed": seeds[0]},  # others make another version of it
        winners={json.dumps(row["params"]): _stored_trial(results, row["trial"]) for row in rows},
    )


def _stored_trial(results: store.Root, name: str) -> spec.Trial:
    return spec.trial_from_json(store.read(results, "trials", columns=["spec"], names=f"{name}-*")["spec"][0].as_py())


def _measures(sweep: Sweep) -> list[Measure]:
    """Return what is compared: objectives, the worst decile of each score among them, and what is constrained."""
    objectives: list[Measure] = [_plain(each) for each in sweep.objectives]
    scores = [each for each in objectives if each.metric == SCORE]
    tails = [each.model_copy(update={"statistic": "worst_decile", "log": False}) for each in scores]
    bounds = [_plain(each) for each in sweep.constraints]
    return list(dict.fromkeys([*objectives, *tails, *bounds]))


def _plain(each: Objective | Constraint) -> Measure:
    return Measure(**{name: getattr(each, name) for name in Measure.model_fields})


def _members(results: store.Root, row: Row) -> Members:
    """Return the members of a proposal's own seeds."""
    seeds = range(row["first_seed"], row["first_seed"] + row["members"])
    return of_seeds(results, row["trial"], seeds, row["trial"])


def _last_line(row: Row) -> str:
    return str(row["error"]).strip().rsplit("\n", 1)[-1]
