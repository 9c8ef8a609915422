"""A stored trial made again here, without Ray, and compared with its stored rows, metric by metric."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor, nn

from prepe import custom, data, evaluate, interventions, models, report, spec, store, train, trial
from prepe.catalog import EFFECT_METRICS, MEMBER_METRICS, Intervention, Place
from prepe.errors import PrepeError
from prepe.models import Forward, Model
from prepe.rows import block_name, of_training, with_constants

FROM_WEIGHTS_TOLERANCE = 1e-5
_FALSE_ALARM = 0.0027
"""How often a trial made elsewhere may be called different by chance: for one metric, 3 standard errors."""
_SAME_MEAN = {"rel_tol": 1e-9, "abs_tol": 1e-12}


@dataclass(frozen=True)
class Difference:
    """How far apart a metric's stored and new values are.

    Attributes:
        largest: largest absolute difference over members; infinite where only one of the two is a number.
        members: how many were compared.
        shift_se: difference of the means over members, in standard errors; NaN where there is no spread. Means that
            are equal to a part in 10^9 differ by rounding alone, and have no shift.
    """

    intervention: str | None
    metric: str
    largest: float
    members: int
    shift_se: float


@dataclass(frozen=True)
class Reproduction:
    """What came of making a trial again.

    Attributes:
        how: `exact` (same processor capability, device, torch and numpy: equal bit for bit), `tolerance` (stored
            weights measured again: equal to 1e-5), or `distribution` (made elsewhere: equal means over members, within
            `limit_se` standard errors for every metric).
        why: what differs between here and there, when `how` is `distribution`.
        agrees: whether that held; one member alone has no distribution, and agrees.
        differences: by metric.
        figure: path of the picture drawn from the new rows, or None.
    """

    trial: str
    seeds: list[int]
    how: str
    why: str
    agrees: bool
    differences: list[Difference]
    figure: Path | None

    @property
    def largest(self) -> Difference:
        """The metric with the largest difference."""
        return max(self.differences, key=lambda each: each.largest)

    @property
    def limit_se(self) -> float:
        """How many standard errors a mean may shift in a comparison of distributions."""
        return limit_se(self.differences)


def limit_se(differences: list[Difference]) -> float:
    """Return how many standard errors a mean may shift when these metrics are compared at once.

    With many metrics some shift far by chance. So the normal quantile is taken at 0.0027 divided by the number of
    metrics that have a shift (Bonferroni): 3 standard errors for one metric, 4.0 for 40, 4.4 for 200.
    """
    compared = sum(not math.isnan(each.shift_se) for each in differences)
    return NormalDist().inv_cdf(1 - _FALSE_ALARM / max(compared, 1) / 2)


def reproduce(
    name: str,
    results: store.Root,
    *,
    member: int | None = None,
    from_weights: bool = False,
    device: str = "auto",
    figure: bool = True,
    allow_imports: bool = False,
    step_report: trial.Report | None = None,
) -> Reproduction:
    """Make a stored trial again and compare.

    Args:
        name: the trial, or the beginning of its name.
        results: the store; nothing but the figure is written to it.
        member: only this seed.
        from_weights: measure the stored weights again, without training.
        device: `auto`, `cpu` or `cuda`.
        figure: draw it from the new rows.
        allow_imports: let the trial call its user's functions, from the working folder or where Python finds modules.
        step_report: told of progress.

    Raises:
        PrepeError: no such trial or member, or the trial failed and has nothing to compare with, or it calls its
            user's functions, and may not.
    """
    facts = store.trial_named(results, name)
    if not facts["spec"]:
        raise PrepeError(f"trial {facts['trial']}: it failed, so there is nothing to compare with; see: prepe show")
    seeds = seeds_of(facts, member)
    again = trial_of(facts, allow_imports)
    stored = {table: _of_seeds(results, table, facts["trial"], seeds) for table in ("members", "effects")}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if from_weights:
            tables = _measured_again(again, seeds, results, device)
        else:
            tables = _made_again(again, seeds, device, step_report)
    finally:
        torch.set_num_threads(threads)
    differences = compare(stored, tables)
    why = "" if from_weights else _elsewhere(facts, results, device)
    how = "tolerance" if from_weights else "distribution" if why else "exact"
    drawn = None
    if figure and len(tables["effects"]):
        page = report.tables_of(results, facts["trial"]) | tables
        suffix = "" if member is None else f"-member-{member}"
        drawn = report.draw_tables(page, results, f"{facts['trial']}{suffix}-reproduced")
    return Reproduction(facts["trial"], seeds, how, why, _agree(how, differences), differences, drawn)


def compare(stored: dict[str, pa.Table], new: dict[str, pa.Table]) -> list[Difference]:
    """Compare the tables `members` and `effects`, metric by metric, row by row of one (seed, intervention)."""
    differences = []
    for table, metrics, keys in (
        ("members", list(MEMBER_METRICS), ["seed"]),
        ("effects", list(EFFECT_METRICS), ["intervention", "seed"]),
    ):
        old_rows, new_rows = (_once(each[table], keys) for each in (stored, new))
        groups = list(dict.fromkeys(row.get("intervention") for row in (*old_rows, *new_rows)))
        for group in groups:
            old, fresh = ([row for row in rows if row.get("intervention") == group] for rows in (old_rows, new_rows))
            differences += [_difference(group, metric, old, fresh) for metric in metrics]
            if table == "members":
                differences += [
                    _difference(group, f"val_{term}", _flat(old, term), _flat(fresh, term))
                    for term in dict(old_rows[0]["val_terms"] or ())
                ]
    return [each for each in differences if each.members]


def _once(table: pa.Table, keys: list[str]) -> list[dict[str, Any]]:
    """Return rows in the order of their keys, each once."""
    rows: list[dict[str, Any]] = (
        store.first_block(table, keys).sort_by([(key, "ascending") for key in keys]).to_pylist()
    )
    return rows


def _flat(rows: list[dict[str, Any]], term: str) -> list[dict[str, Any]]:
    return [{f"val_{term}": dict(row["val_terms"]).get(term)} for row in rows]


def _difference(group: str | None, metric: str, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> Difference:
    pairs = [(a[metric], b[metric]) for a, b in zip(old, new, strict=True)]
    pairs = [pair for pair in pairs if pair != (None, None)]
    a, b = (np.array([pair[i] for pair in pairs], dtype=float) for i in (0, 1))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    gaps = np.where(same, 0.0, np.abs(a - b))
    gaps = np.where(np.isnan(gaps), math.inf, gaps)
    shift = math.nan
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() > 1:
        spread = math.sqrt((a[both].var(ddof=1) + b[both].var(ddof=1)) / both.sum())
        means = float(a[both].mean()), float(b[both].mean())
        gap = 0.0 if math.isclose(*means, **_SAME_MEAN) else means[1] - means[0]
        shift = gap / spread if spread > 0 else math.copysign(math.inf, gap) if gap else math.nan
    return Difference(group, metric, float(gaps.max(initial=0.0)), len(pairs), shift)


def _agree(how: str, differences: list[Difference]) -> bool:
    """Say whether a comparison's promise holds, as `Reproduction.how` states it.

    Distributions agree if no metric's mean shifts by more than `limit_se`, which grows with the number of metrics, so
    that equal ones are called different in 0.27 % of comparisons, however many metrics there are.
    """
    if how == "distribution":
        limit = limit_se(differences)
        return all(math.isnan(each.shift_se) or abs(each.shift_se) <= limit for each in differences)
    limit = 0.0 if how == "exact" else FROM_WEIGHTS_TOLERANCE
    return all(each.largest <= limit for each in differences)


def _elsewhere(facts: dict[str, Any], results: store.Root, device: str) -> str:
    """Say what differs between here and where a trial, its model and its twin were made, or nothing."""
    columns = ["cpu_capability", "device", "versions"]
    rows = store.read(results, "trials", columns=columns, names=f"{facts['trial']}-*").to_pylist()
    for model in filter(None, (facts["model"], facts["twin"])):
        rows += store.read(results, "models", columns=columns, names=f"{model}-*").to_pylist()
    here = _place(
        {
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "device": str(train.choose_device(device)),
            "versions": store.versions(),
        }
    )
    pairs = {(what, there, here[what]) for row in rows for what, there in _place(row).items() if there != here[what]}
    return ", ".join(f"{what} {there} there and {now} here" for what, there, now in sorted(pairs))


def _place(row: dict[str, Any]) -> dict[str, str]:
    """Return what of a row's provenance has to be the same for equal numbers."""
    versions = json.loads(row["versions"])
    packages = {name: versions.get(name) for name in ("torch", "numpy")}
    return {"CPU capability": row["cpu_capability"], "device": row["device"], **packages}


def trial_of(facts: dict[str, Any], allow_imports: bool) -> spec.Trial:
    """Return a stored trial, from its facts as `store.trial_named` gives them, after a check that it may be made again.

    Raises:
        PrepeError: it calls its user's functions, and may not.
    """
    again = spec.trial_from_json(facts["spec"])
    calls = sorted({name for each in (again.training, again.twin) if each is not None for name in each.imports()})
    custom.check_allowed(calls, allow_imports, f"trial {facts['trial']}")
    custom.look_in([Path.cwd()] if calls else [])
    return again


def seeds_of(facts: dict[str, Any], member: int | None) -> list[int]:
    """Return a stored trial's seeds, or the one of a member.

    Raises:
        PrepeError: it has no such member.
    """
    if member is None:
        return list(facts["seeds"])
    if member not in facts["seeds"]:
        low, high = min(facts["seeds"]), max(facts["seeds"])
        raise PrepeError(f"--member {member}: trial {facts['trial']} has no such member; allowed: {low} to {high}")
    return [member]


def _of_seeds(results: store.Root, table: str, name: str, seeds: list[int]) -> pa.Table:
    return store.read(results, table, where=pc.field("seed").isin(seeds), names=f"{name}-*")


def _made_again(
    again: spec.Trial, seeds: list[int], device: str, step_report: trial.Report | None
) -> dict[str, pa.Table]:
    outcomes = [trial.run(again, block, device=device, report=step_report).tables for block in trial.blocks(seeds)]
    return {
        table: pa.concat_tables([store.conform(table, each[table]) for each in outcomes])
        for table in ("members", "effects", "items")
    }


def _measured_again(again: spec.Trial, seeds: list[int], results: store.Root, device: str) -> dict[str, pa.Table]:
    rows, params = stored_weights(again.training, seeds, results)
    broken = np.array([row["broken"] for row in rows], dtype=bool)
    twin_mse = None
    if again.twin is not None:
        twins, twin_params = stored_weights(again.twin, seeds, results)
        twin_mse = evaluate.reconstruction(again.twin.data, again.twin.model, twin_params, device)
        twin_mse = np.where([row["broken"] for row in twins], np.nan, twin_mse)
    measured = evaluate.evaluate(again, seeds, params, broken, twin_mse, device)
    ids = {"trial": again.digest(), "block": block_name(seeds)}
    members = [{**ids, **row, **of_training(kept)} for row, kept in zip(measured.members, rows, strict=True)]
    return {
        "members": store.conform("members", members),
        "effects": store.conform("effects", [{**ids, **row} for row in measured.effects]),
        "items": store.conform("items", with_constants(measured.items, ids)),
    }


def stored_weights(
    training: spec.Training, seeds: list[int], results: store.Root
) -> tuple[list[dict[str, Any]], Tensor]:
    """Return the stored rows of trained members, in the order of the seeds, and their weights, `(members, parameters)`.

    Raises:
        PrepeError: the store lacks one.
    """
    kept = store.read(results, "models", where=pc.field("seed").isin(seeds), names=f"{training.digest()}-*")
    rows = {row["seed"]: row for row in store.first_block(kept, ["seed"]).to_pylist()}
    lost = [seed for seed in seeds if seed not in rows]
    if lost:
        raise PrepeError(f"{results}: model {training.digest()} has no stored weights for seed {lost[0]}")
    weights = np.stack([np.asarray(rows[seed]["weights"], dtype=np.float32) for seed in seeds])
    return [rows[seed] for seed in seeds], torch.from_numpy(weights)


class Member(nn.Module):
    """One trained member, for one's own work.

    `member(x)` maps `(batch, inputs)` to outputs clamped as in every measurement, or unclamped in training mode;
    `member.forward_sites(x)` also gives the activations by site. An intervention, if one is given with the places where
    it acts, is done at every call.
    """

    def __init__(
        self,
        model: Model,
        flat: Tensor,
        output_range: tuple[float, float],
        intervention: tuple[Intervention, list[Place]] | None = None,
    ) -> None:
        super().__init__()
        self.model, self.output_range, self.intervention = model, output_range, intervention
        self.flat = nn.Parameter(flat.clone())

    def forward_sites(self, x: Tensor) -> Forward:
        """Run the model on `(batch, inputs)`; outputs are unclamped."""
        params = self.model.unpack(self.flat)
        if self.intervention:
            return interventions.apply(*self.intervention, self.model, params)(x)
        return self.model(params, x)

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.forward_sites(x).outputs
        return outputs if self.training else outputs.clamp(*self.output_range)


@dataclass(frozen=True)
class Loaded:
    """A trained member, and where its concepts are: concept -> unit vector `(latent,)`, or orthonormal rows."""

    module: Member
    directions: dict[str, Tensor]

    @property
    def direction(self) -> Tensor:
        """The direction of the first concept."""
        return next(iter(self.directions.values()))


def load(name: str, member: int, results: store.Root | None = None, allow_imports: bool = False) -> Loaded:
    """Return a stored member as a module, in evaluation mode, with the directions that its concepts were pinned to.

    Args:
        name: the trial, or the beginning of its name.
        member: the seed.
        results: the store; by default the variable PREPE_RESULTS, else `results`.
        allow_imports: let the trial call its user's functions, from the working folder or where Python finds modules.

    Raises:
        PrepeError: no such trial or member, or it calls its user's functions, and may not.
    """
    root = store.default_root(results)
    facts = store.trial_named(root, name)
    if not facts["spec"]:
        raise PrepeError(f"trial {facts['trial']}: it failed, so there is nothing to load")
    again = trial_of(facts, allow_imports)
    _, params = stored_weights(again.training, seeds_of(facts, member), root)
    task = data.task(again.training.data)
    module = Member(models.build(again.training.model, task), params[0], task.output_range)
    return Loaded(module.eval(), directions_of(again))


def directions_of(again: spec.Trial) -> dict[str, Tensor]:
    """Return where a trial's concepts are pinned: concept -> unit vector `(latent,)`, or orthonormal rows."""
    sites = again.training.model.sites()
    rows = {
        concept: torch.as_tensor(each.direction.basis(sites[each.site]), dtype=torch.float32)
        for concept, each in again.concepts.items()
    }
    return {concept: each[0] if len(each) == 1 else each for concept, each in rows.items()}
