"""What one model's training and one trial's evaluation are, as frozen and validated data whose digests are names.

A `Training` says everything that shapes a model's weights but its seed; a `Trial` adds what is measured on it. Seeds
and devices are in neither: a digest names a distribution over seeds, and members are draws from it.
"""

import hashlib
import json
import re
from typing import Any, Literal, TypeVar

from pydantic import InstanceOf, SerializeAsAny, ValidationError

from prepe.catalog import (
    DATA,
    DELETIONS,
    MODELS,
    OPERATORS,
    TERMS,
    Axis,
    DataPart,
    Direction,
    Intervention,
    ModelPart,
    Part,
    Term,
    unknown,
)
from prepe.errors import PrepeError
from prepe.keyframes import Schedule

P = TypeVar("P", bound=Part)
_RESERVED = ("lr", "step", "values", "recon", "total")
"""What no term can be called: a schedule and a history have these names for something else."""
_NEEDED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text in quotes",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "union_tag_not_found": "an axis as { axis = 0, sign = 1 }, or a list of components",
}
"""What TOML calls the types that a validation asks for."""


class Training(Part):
    """Data, model, terms of the loss and schedule: everything that shapes a model but its seed."""

    data: SerializeAsAny[InstanceOf[DataPart]]
    model: SerializeAsAny[InstanceOf[ModelPart]]
    terms: dict[str, SerializeAsAny[InstanceOf[Term]]]
    schedule: Schedule

    def digest(self) -> str:
        """Return the model's name: 16 hexadecimal digits of the digest of this data."""
        return _digest(self)

    def unregularised(self) -> "Training":
        """Return the same training with every term off and no labels: the twin that `task_cost` compares with."""
        return Training(
            data=self.data.model_copy(update={"labels": {}}),
            model=self.model,
            terms={},
            schedule=self.schedule.only(["lr"]),
        )


class Concept(Part):
    """An item that stands for a concept, where the concept is prescribed, and what its deletion should do.

    `similarity` grades every item against the concept; `fallback` is the item that an ideal deletion puts in its place;
    `isolated` says that the direction should carry nothing else.
    """

    item: str
    direction: Direction
    site: str = "bottleneck"
    similarity: str = "hsv"
    fallback: str = "gray"
    isolated: bool = False


class Trial(Part):
    """A training, the concepts and interventions measured on it, and the twin that it is compared with."""

    training: Training
    twin: Training | None
    concepts: dict[str, Concept]
    interventions: tuple[SerializeAsAny[InstanceOf[Intervention]], ...]

    def digest(self) -> str:
        """Return the trial's name: 16 hexadecimal digits of the digest of this data."""
        return _digest(self)

    def to_json(self) -> str:
        """Return this trial as canonical JSON, from which `trial_from_json` makes it again."""
        return _canonical(self)


def _canonical(part: Part) -> str:
    return json.dumps(part.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def _digest(part: Part) -> str:
    return hashlib.sha256(_canonical(part).encode()).hexdigest()[:16]


def trial_from_json(text: str) -> Trial:
    """Make a trial from its canonical JSON."""
    table = json.loads(text)
    twin = table.pop("twin")
    training = table.pop("training")
    table["interventions"] = list(table["interventions"])
    return trial({**training, **table}, twin and _training(twin))


def trial(table: dict[str, Any], twin: Training | Literal["own"] | None = "own") -> Trial:
    """Check a table of plain values, as a sweep file has them, and make a trial of it.

    Args:
        table: keys data, model, terms, schedule, concepts, interventions.
        twin: the training that `task_cost` compares with; `"own"` means this training without its terms.

    Raises:
        PrepeError: naming the path in the table, the value, and what is allowed.
    """
    training = _training(table)
    concepts = {
        name: _part(Concept, value, f"concepts.{name}") for name, value in sorted(_table(table, "concepts", {}).items())
    }
    rows = table.get("interventions", [])
    if not isinstance(rows, list):
        raise PrepeError("interventions: a list of tables is needed here, each headed [[interventions]]")
    interventions = tuple(_named_part(OPERATORS, "operator", row, f"interventions[{i}]") for i, row in enumerate(rows))
    _check_concepts(training, concepts)
    _check_interventions(training, concepts, interventions)
    return Trial(
        training=training,
        twin=training.unregularised() if twin == "own" else twin,
        concepts=concepts,
        interventions=interventions,
    )


def _training(table: dict[str, Any]) -> Training:
    data = _named_part(DATA, "kind", _table(table, "data"), "data")
    model = _named_part(MODELS, "kind", _table(table, "model"), "model")
    terms = {  # in one order, whatever the file's: sums of floats depend on it, and a digest does not
        name: _named_part(TERMS, "kind", value, f"terms.{name}")
        for name, value in sorted(_table(table, "terms", {}).items())
    }
    schedule = _part(Schedule, _table(table, "schedule"), "schedule")
    _check_terms(terms, model.sites(), data.labels)
    _check_schedule(schedule, terms)
    return Training(data=data, model=model, terms=terms, schedule=schedule)


def _check_terms(terms: dict[str, Term], sites: dict[str, int], labels: dict[str, Any]) -> None:
    for name, term in terms.items():
        path = f"terms.{name}"
        if name in _RESERVED:
            raise PrepeError(f"{path}: {name!r} means something else; allowed: any name but {', '.join(_RESERVED)}")
        if term.site not in sites:
            raise PrepeError(f"{path}.site: the model has no site {term.site!r}; allowed: {', '.join(sites)}")
        for label in term.labels:
            if label not in labels:
                allowed = ", ".join(labels) or "none, since [data.labels] is empty"
                raise PrepeError(f"{path}.labels: no data produces the label {label!r}; allowed: {allowed}")
        problem = term.problem(sites[term.site])
        if problem:
            raise PrepeError(f"{path}.{problem[0]}: {problem[1]}")


def _check_schedule(schedule: Schedule, terms: dict[str, Term]) -> None:
    known = ["lr", *terms]
    for i, frame in enumerate(schedule.keyframes):
        for name in frame.values:
            if name not in known:
                raise PrepeError(f"schedule.keyframes[{i}]: {unknown(name, ['step', *known])}")
    for name in ("lr", *terms):
        if name not in schedule.names():
            what = "the learning rate 'lr'" if name == "lr" else f"the weight of the term {name!r}"
            raise PrepeError(f"schedule.keyframes: no keyframe gives {what}; allowed: at least one value for each")


def _check_direction(path: str, direction: Direction, site: str, sites: dict[str, int]) -> None:
    if site not in sites:
        raise PrepeError(f"{path}.site: the model cannot be edited at {site!r}; allowed: {', '.join(sites)}")
    fault = direction.fault(sites[site])
    if fault:
        raise PrepeError(f"{path}.direction: {fault}")


def _check_concepts(training: Training, concepts: dict[str, Concept]) -> None:
    items = training.data.items()
    for name, concept in concepts.items():
        path = f"concepts.{name}"
        for key in ("item", "fallback"):
            item = getattr(concept, key)
            if item not in items:
                raise PrepeError(f"{path}.{key}: {unknown(item, items, 'item')}")
        if concept.item == concept.fallback:
            raise PrepeError(f"{path}.fallback: {concept.fallback!r} is the concept itself; allowed: any other item")
        similarities = training.data.similarities()
        if concept.similarity not in similarities:
            raise PrepeError(f"{path}.similarity: {unknown(concept.similarity, similarities, 'similarity')}")
        _check_direction(path, concept.direction, concept.site, training.model.sites())


def _check_interventions(
    training: Training, concepts: dict[str, Concept], interventions: tuple[Intervention, ...]
) -> None:
    seen: set[str] = set()
    for i, intervention in enumerate(interventions):
        path = f"interventions[{i}]"
        if intervention.label in seen:
            raise PrepeError(f"{path}.label: {intervention.label!r} stands twice; allowed: each label once")
        seen.add(intervention.label)
        if intervention.concept not in concepts:
            allowed = ", ".join(concepts) or "none, since there is no [concepts] table"
            raise PrepeError(f"{path}.concept: unknown concept {intervention.concept!r}; allowed: {allowed}")
        direction = intervention.direction or concepts[intervention.concept].direction
        _check_direction(path, direction, intervention.site, training.model.edit_sites())
        if isinstance(intervention, DELETIONS) and not isinstance(direction, Axis):
            raise PrepeError(f"{path}.direction: {direction} is off the axes; allowed here: an axis of the site")


def _table(table: dict[str, Any], key: str, default: Any = None) -> dict[str, Any]:
    value = table.get(key, default)
    if value is None:
        raise PrepeError(f"{key}: the table [{key}] is missing")
    if not isinstance(value, dict):
        raise PrepeError(f"{key}: {value!r} stands where a table is needed")
    return value


def _named_part(members: dict[str, type[P]], key: str, value: Any, path: str) -> P:
    """Check one member of an open set, told apart by `key`."""
    if not isinstance(value, dict):
        raise PrepeError(f"{path}: {value!r} stands where a table is needed")
    name = value.get(key)
    if name is None:
        raise PrepeError(f"{path}.{key}: missing; allowed: {', '.join(members)}")
    if not isinstance(name, str) or name not in members:
        raise PrepeError(f"{path}.{key}: {unknown(name, members, key)}")
    return _part(members[name], value, path)


def _part(part: type[P], value: Any, path: str) -> P:
    try:
        return part.model_validate(value)
    except ValidationError as error:
        raise PrepeError(explain(error, value, path)) from None


def explain(error: ValidationError, value: Any, path: str = "") -> str:
    """Say in one line what the first fault of a validation is: path, value, and what is allowed.

    Args:
        error: what the validation raised.
        value: what was validated; a step of the error that is not in it, such as the form of a union, is left out.
        path: where the value stands.
    """
    first = error.errors(include_url=False)[0]
    missing = first["type"] == "missing"
    for step in first["loc"]:
        if isinstance(value, dict) and (step in value or (missing and step == first["loc"][-1])):
            path, value = f"{path}.{step}" if path else str(step), value.get(step)
        elif isinstance(value, list | tuple) and isinstance(step, int):
            path, value = f"{path}[{step}]", value[step] if step < len(value) else None
    message = first["msg"].removeprefix("Value error, ").split(" after validation")[0]
    if missing:
        return f"{path}: missing, and it has no default"
    if first["type"] == "value_error":
        return f"{path}: {message}"
    needed = _NEEDED.get(first["type"]) or re.sub(r"^\w+ should (be |have |match )?", "", message)
    return f"{path}: {first['input']!r} stands here; allowed: {needed}"
