"""What one model's training and one trial's evaluation are, as frozen and validated data whose digests are names.

A `Training` says everything that shapes a model's weights but its seed; a `Trial` adds what is measured on it. Seeds
and devices are in neither: a digest names a distribution over seeds, and members are draws from it.
"""

import hashlib
import json
import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, InstanceOf, NonNegativeInt, SerializeAsAny, TypeAdapter, ValidationError

from prepe.catalog import (
    CUSTOM,
    DATA,
    MODELS,
    OPERATORS,
    TERMS,
    AnchorCapturedTerm,
    CustomModel,
    CustomTerm,
    DataPart,
    Intervention,
    ModelPart,
    Part,
    Place,
    Subspace,
    Term,
    together,
    unknown,
)
from prepe.errors import PrepeError
from prepe.keyframes import ExtendRule, MoveRule, RatioRule, Schedule

P = TypeVar("P", bound=Part)
_PLACE: TypeAdapter[Place] = TypeAdapter(Place)
LOSS = "loss-recon"
"""The schedule's name for the weight of the task's own loss, 1 where no keyframe gives it."""
_FRAME_KEYS = ("step", "phase", "actions")
_RESERVED = ("lr", "step", "phase", "actions", "values", "recon", "total", LOSS)
"""What no term can be called: a schedule and a history have these names for something else."""
_DIRECTION = "an axis as { axis = 0, sign = 1 }, or a list of components"
_NEEDED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text in quotes",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "union_tag_not_found": _DIRECTION,
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

    def phase_data(self, name: str) -> DataPart:
        """Return the data of a phase: those of the training, with the keys that the phase replaces."""
        phase = self.schedule.phases.get(name)
        return _phase_data(self.data, phase.data, name) if phase and phase.data else self.data

    def openers(self) -> list[str]:
        """Return the schedule's parameters that open the data of any phase, sorted."""
        phases = [self.data, *(self.phase_data(name) for name in self.schedule.phases)]
        return sorted({name for data in phases for name in data.opened_by})

    def parameters(self) -> list[str]:
        """Return every parameter that has a value at every step: `lr`, the terms' weights, what opens the data, and
        the weight of the task's own loss if a keyframe gives one."""
        loss = [LOSS] if LOSS in self.schedule.names() else []
        return ["lr", *self.terms, *self.openers(), *loss]

    def imports(self) -> list[str]:
        """Return the users' own functions that this training calls, as `package.module:function`."""
        kinds = [self.model.kind, *(term.kind for term in self.terms.values())]
        concepts = [label.concept for label in self.data.labels.values() if not label.concept.startswith("hue:")]
        return sorted({name for name in (*kinds, *concepts) if ":" in name})

    def unregularised(self) -> "Training":
        """Return the same training with every term off and no labels: the twin that `task_cost` compares with."""
        return Training(
            data=self.data.model_copy(update={"labels": {}}),
            model=self.model,
            terms={},
            schedule=self.schedule.only(["lr", LOSS, *self.openers()]),
        )


class Cycle(Part):
    """Items that should lie in a circle, in an order, and the plane of a site in which they should.

    `items` is one of the data's cycles. `grade`, one of the data's grades, should fall towards the middle.
    """

    items: str
    axes: Annotated[tuple[NonNegativeInt, NonNegativeInt], Field(strict=False)] = (0, 1)
    site: str = "bottleneck"
    grade: str | None = None


class Concept(Part):
    """An item that stands for a concept, where the concept is prescribed, and what its deletion should do.

    `similarity` grades every item against the concept; `fallback` is the item that an ideal deletion puts in its place;
    `isolated` says that the direction should carry nothing else.
    """

    item: str
    direction: Place
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
    cycle: Cycle | None = None

    def digest(self) -> str:
        """Return the trial's name: 16 hexadecimal digits of the digest of this data."""
        return _digest(self)

    def places(self, part: Intervention) -> list[Place]:
        """Return where an intervention acts: its own place, or those of its concepts."""
        return [part.direction] if part.direction else [self.concepts[name].direction for name in part.concept]

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


def intervention(table: dict[str, Any]) -> Intervention:
    """Make an intervention from plain data, such as its own `model_dump(mode="json")`.

    Raises:
        PrepeError: naming the key, the value, and what is allowed.
    """
    return _named_part(OPERATORS, "operator", table, "intervention")


def place(value: dict[str, Any] | list[float]) -> Place:
    """Make an axis, a vector or a subspace from plain data, such as its own `model_dump(mode="json")`.

    Raises:
        PrepeError: naming the key, the value, and what is allowed.
    """
    try:
        return _PLACE.validate_python(value)
    except ValidationError as error:
        raise PrepeError(explain(error, value, "direction")) from None


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
    cycle = _part(Cycle, table["cycle"], "cycle") if table.get("cycle") is not None else None
    if cycle:
        _check_cycle(training, cycle)
    return Trial(
        training=training,
        twin=training.unregularised() if twin == "own" else twin,
        concepts=concepts,
        interventions=interventions,
        cycle=cycle,
    )


def _training(table: dict[str, Any]) -> Training:
    data = _named_part(DATA, "kind", _table(table, "data"), "data")
    model = _named_part(MODELS, "kind", _table(table, "model"), "model", CustomModel)
    terms = {  # in one order, whatever the file's: sums of floats depend on it, and a digest does not
        name: _named_part(TERMS, "kind", value, f"terms.{name}", CustomTerm)
        for name, value in sorted(_table(table, "terms", {}).items())
    }
    schedule = _part(Schedule, _table(table, "schedule"), "schedule")
    _check_editable(model)
    _check_terms(terms, model.sites(), data)
    training = Training(data=data, model=model, terms=terms, schedule=schedule)
    for name, phase in schedule.phases.items():
        _phase_data(data, phase.data, name)
    _check_schedule(training)
    _check_rules(training)
    return training


def _phase_data(data: DataPart, changes: dict[str, Any], phase: str) -> DataPart:
    path = f"schedule.phases.{phase}.data"
    for key in ("kind", "labels"):
        if key in changes:
            raise PrepeError(f"{path}.{key}: a phase cannot have its own; allowed: any other key of [data]")
    return _part(type(data), {**data.model_dump(exclude={"labels"}), "labels": dict(data.labels), **changes}, path)


def _check_editable(model: ModelPart) -> None:
    if not isinstance(model, CustomModel) or model.editable is None:
        return
    if not model.editable:
        raise PrepeError("model.editable: empty; allowed: at least one site, or without it all sites")
    for site in model.editable:
        if site not in model.widths:
            raise PrepeError(f"model.editable: {unknown(site, model.widths, 'site')}")


def _check_terms(terms: dict[str, Term], sites: dict[str, int], data: DataPart) -> None:
    for name, term in terms.items():
        path = f"terms.{name}"
        if name in _RESERVED:
            raise PrepeError(f"{path}: {name!r} means something else; allowed: any name but {', '.join(_RESERVED)}")
        if term.site not in sites:
            raise PrepeError(f"{path}.site: the model has no site {term.site!r}; allowed: {', '.join(sites)}")
        for label in term.labels:
            if label not in data.labels:
                allowed = ", ".join(data.labels) or "none, since [data.labels] is empty"
                raise PrepeError(f"{path}.labels: no data produces the label {label!r}; allowed: {allowed}")
        for item in term.items if isinstance(term, AnchorCapturedTerm) else ():
            if item not in data.items():
                raise PrepeError(f"{path}.items: {unknown(item, data.items(), 'item')}")
        problem = term.problem(sites[term.site])
        if problem:
            raise PrepeError(f"{path}.{problem[0]}: {problem[1]}")


def _check_schedule(training: Training) -> None:
    schedule, openers = training.schedule, training.openers()
    needed = ["lr", *training.terms, *openers]
    for name in openers:
        if name in ("lr", LOSS, *training.terms):
            raise PrepeError(f"data.opened_by.{name}: the schedule has this name for something else; allowed: another")
    for i, frame in enumerate(schedule.keyframes):
        for name in frame.values:
            if name not in (*needed, LOSS):
                raise PrepeError(
                    f"schedule.keyframes[{i}]: {unknown(name, ['step', 'phase', 'actions', *needed, LOSS])}"
                )
    for name in needed:
        if name not in schedule.names():
            kinds = {
                "lr": "the learning rate 'lr'",
                **{term: f"the weight of the term {term!r}" for term in training.terms},
            }
            what = kinds.get(name, f"{name!r}, which opens the data")
            raise PrepeError(f"schedule.keyframes: no keyframe gives {what}; allowed: at least one value for each")
    actions = {action for each in schedule.actions().values() for action in each}
    for name, term in training.terms.items():
        if isinstance(term, AnchorCapturedTerm) and term.action not in actions:
            raise PrepeError(f"terms.{name}.action: {unknown(term.action, sorted(actions), 'action')}, of any keyframe")


def _check_rules(training: Training) -> None:
    parameters, parts = training.parameters(), ["recon", "total", *training.terms]
    sizes = {training.schedule.phases[name].batch_size for name in training.schedule.phases}
    parts_of_data = [training.phase_data(name) for name in ("", *training.schedule.phases)]
    draws, epochs = {part.draw for part in parts_of_data}, {part.epoch for part in parts_of_data}
    for i, rule in enumerate(training.schedule.rules):
        path = f"schedule.rules[{i}]"
        if rule.measure not in parts:
            raise PrepeError(f"{path}.measure: {unknown(rule.measure, parts, 'measurement')}")
        if isinstance(rule, MoveRule) and rule.parameter not in parameters:
            raise PrepeError(f"{path}.parameter: {unknown(rule.parameter, parameters, 'parameter')}")
        if isinstance(rule, RatioRule) and rule.measure not in training.terms:
            raise PrepeError(f"{path}.measure: {unknown(rule.measure, training.terms, 'term')}")
        if isinstance(rule, RatioRule) and rule.of not in parts:
            raise PrepeError(f"{path}.of: {unknown(rule.of, parts, 'measurement')}")
        uneven = sizes - {None, training.schedule.batch_size} or draws != {"random"} or epochs != {None}
        if isinstance(rule, ExtendRule) and uneven:
            raise PrepeError(
                f"{path}: members wait by themselves, so all phases need batches of one size; "
                'allowed: draw = "random", no epoch and one batch_size'
            )


def _check_direction(path: str, direction: Place, site: str, sites: dict[str, int]) -> None:
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


def _check_cycle(training: Training, cycle: Cycle) -> None:
    for key, value, known in (
        ("items", cycle.items, training.data.cycles()),
        ("site", cycle.site, list(training.model.sites())),
        ("grade", cycle.grade, training.data.grades()),
    ):
        if value is not None and value not in known:
            raise PrepeError(f"cycle.{key}: {unknown(value, known, key)}")
    dim = training.model.sites()[cycle.site]
    if max(cycle.axes) >= dim or cycle.axes[0] == cycle.axes[1]:
        raise PrepeError(f"cycle.axes: {list(cycle.axes)}; allowed: two different axes, 0 to {dim - 1}")


def _check_interventions(
    training: Training, concepts: dict[str, Concept], interventions: tuple[Intervention, ...]
) -> None:
    seen: set[str] = set()
    for i, intervention in enumerate(interventions):
        path = f"interventions[{i}]"
        if intervention.label in seen:
            raise PrepeError(f"{path}.label: {intervention.label!r} stands twice; allowed: each label once")
        seen.add(intervention.label)
        for name in intervention.concept:
            if name not in concepts:
                allowed = ", ".join(concepts) or "none, since there is no [concepts] table"
                raise PrepeError(f"{path}.concept: unknown concept {name!r}; allowed: {allowed}")
        similarities = training.data.similarities()
        if intervention.similarity not in (None, *similarities):
            raise PrepeError(f"{path}.similarity: {unknown(intervention.similarity, similarities, 'similarity')}")
        _check_places(path, intervention, concepts, training.model.edit_sites())


def _check_places(path: str, intervention: Intervention, concepts: dict[str, Concept], sites: dict[str, int]) -> None:
    places = [intervention.direction or concepts[name].direction for name in intervention.concept]
    for place in places:
        _check_direction(path, place, intervention.site, sites)
        if intervention.sides == 1 and isinstance(place, Subspace):
            raise PrepeError(
                f"{path}.direction: {place} is a subspace, which has no sides, and {intervention.operator!r} acts on "
                "one; allowed: project, ablate, prune, or a direction"
            )
    try:
        whole = together([intervention.direction] if intervention.direction else places)
    except ValidationError as error:
        raise PrepeError(explain(error, None, f"{path}.concept: the directions together")) from None
    _check_direction(path, whole, intervention.site, sites)


def _table(table: dict[str, Any], key: str, default: Any = None) -> dict[str, Any]:
    value = table.get(key, default)
    if value is None:
        raise PrepeError(f"{key}: the table [{key}] is missing")
    if not isinstance(value, dict):
        raise PrepeError(f"{key}: {value!r} stands where a table is needed")
    return value


def _named_part(members: dict[str, type[P]], key: str, value: Any, path: str, custom: type[P] | None = None) -> P:
    """Check one member of an open set, told apart by `key`; a user's own, `package.module:function`, is a `custom`."""
    if not isinstance(value, dict):
        raise PrepeError(f"{path}: {value!r} stands where a table is needed")
    name = value.get(key)
    if name is None:
        raise PrepeError(f"{path}.{key}: missing; allowed: {', '.join(members)}")
    if custom is not None and isinstance(name, str) and CUSTOM.fullmatch(name):
        return _part(custom, value, path)
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
    if first["type"] == "union_tag_invalid":
        key, tag, tags = (first["ctx"][name] for name in ("discriminator", "tag", "expected_tags"))
        if key.endswith("()"):  # a function tells apart what has no key for it, which directions alone are
            return f"{path}: {first['input']!r} stands here; allowed: {_DIRECTION}"
        return f"{path}.{key.strip(chr(39))}: {tag!r} stands here; allowed: {tags}"
    needed = _NEEDED.get(first["type"]) or re.sub(r"^\w+ should (be |have |match )?", "", message)
    return f"{path}: {first['input']!r} stands here; allowed: {needed}"
