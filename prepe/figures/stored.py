"""A store and the name of a sweep or a trial in; its trials, with their specification and their rows, out."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from prepe import store
from prepe.errors import PrepeError
from prepe.figures import snapshots
from prepe.figures.members import of
from prepe.keyframes import phase_starts
from prepe.spec import Trial, trial_from_json

Row = dict[str, Any]


@dataclass(frozen=True)
class Stored:
    """One trial of a store.

    Attributes:
        results: the store.
        name: of the trial.
        params: of the search; `variant` names a variant.
        seeds: whose rows count; all that are stored if None.
    """

    results: store.Root
    name: str
    params: Row
    seeds: range | None = None

    @property
    def label(self) -> str:
        """What tells it from the sweep's other trials: its variant, its parameters, or nothing."""
        variant = [str(self.params["variant"])] if "variant" in self.params else []
        return ", ".join([*variant, *(f"{key} = {value:g}" for key, value in self.params.items() if key != "variant")])

    @cached_property
    def spec(self) -> Trial:
        """What it is."""
        rows = store.read(self.results, "trials", columns=["spec"], names=f"{self.name}-*")
        if not len(rows):
            raise PrepeError(f"trial {self.name}: {self.results} has no rows of it; it failed, or is being made")
        return trial_from_json(rows["spec"][0].as_py())

    @cached_property
    def members(self) -> pa.Table:
        """Its members, each seed once, those that broke without any number."""
        rows = store.read(self.results, "members", names=f"{self.name}-*").sort_by([("seed", "ascending")])
        return self._once(rows, ["seed"])

    @cached_property
    def effects(self) -> pa.Table:
        return self._once(store.read(self.results, "effects", names=f"{self.name}-*"), ["seed", "intervention"])

    @cached_property
    def history(self) -> pa.Table:
        """How its training went: of its largest block of members, if there are several."""
        rows = store.read(self.results, "history", names=f"{self.spec.training.digest()}-*")
        sizes = rows.group_by("block").aggregate([("members", "max")]).to_pylist()
        largest = max(sizes, key=lambda row: row["members_max"], default=None)
        return of(rows, block=largest["block"]) if largest else rows

    @cached_property
    def snapshots(self) -> snapshots.Snapshots | None:
        """Snapshots of its first shown member, of the items that lie among what it was trained on."""
        rows = store.read(self.results, "snapshots", names=f"{self.spec.training.digest()}-*")
        shown = snapshots.read(rows)
        if shown is None:
            return None
        mask = snapshots.covered(shown.inputs, self.spec.training.data)
        return shown.only(mask) if mask.any() else shown

    @property
    def phases(self) -> list[int]:
        """First steps of its phases after the first one."""
        return [step for step, _ in phase_starts(self.spec.training.schedule)[1:]]

    def _once(self, rows: pa.Table, keys: list[str]) -> pa.Table:
        """Keep the rows of its own seeds, each once even where two blocks overlap."""
        if self.seeds is not None:
            rows = rows.filter(pc.field("seed").isin(list(self.seeds)))
        seen = list(zip(*(rows[key].to_pylist() for key in keys), strict=True))
        first = {key: i for i, key in reversed(list(enumerate(seen)))}
        return rows.take(pa.array(sorted(first.values()), pa.int64()))


def of_sweep(results: store.Root, name: str) -> tuple[list[Stored], list[tuple[str, str]]]:
    """Return a sweep's complete trials in the order of proposal, and its objectives with their goals.

    Trials that only an older version of the sweep's file asked for are left out.

    Raises:
        PrepeError: none is complete.
    """
    rows = store.last_version(store.read(results, "proposals", where=pc.field("sweep") == name)).sort_by("number")
    complete = [row for row in rows.to_pylist() if row["state"] == "complete"]
    if not complete:
        raise PrepeError(f"sweep {name}: none of its trials is complete, so there is nothing to draw")
    trials = [
        Stored(
            results,
            row["trial"],
            json.loads(row["params"] or "{}"),
            range(row["first_seed"], row["first_seed"] + row["members"]),
        )
        for row in complete
    ]
    return trials, list(dict(complete[-1]["goals"] or ()).items())
