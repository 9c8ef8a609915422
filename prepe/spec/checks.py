"""Parts that are each valid in; an error where they do not fit each other."""

from pydantic import ValidationError

from prepe.catalog import (
    Aimed,
    AnchorCapturedTerm,
    CustomModel,
    DataPart,
    Erase,
    Fitted,
    Intervention,
    ModelPart,
    Route,
    Subspace,
    Term,
    together,
    unknown,
)
from prepe.errors import PrepeError
from prepe.keyframes import ExtendRule, MoveRule, RatioRule
from prepe.spec.faults import explain
from prepe.spec.parts import LOSS, Concept, Cycle, Training

_RESERVED = ("lr", "step", "phase", "actions", "values", "recon", "total", LOSS)
"""What no term can be called: a schedule and a history have these names for something else."""


def check_editable(model: ModelPart) -> None:
    if not isinstance(model, CustomModel) or model.editable is None:
        return
    if not model.editable:
        raise PrepeError("model.editable: empty; allowed: at least one site, or without it all sites")
    for site in model.editable:
        if site not in model.widths:
            raise PrepeError(f"model.editable: {unknown(site, model.widths, 'site')}")


def check_terms(terms: dict[str, Term], sites: dict[str, int], data: DataPart) -> None:
    for name, term in terms.items():
        path = f"terms.{name}"
        if name in _RESERVED:
            raise PrepeError(f"{path}: {name!r} means something else; allowed: any name but {', '.join(_RESERVED)}")
        if term.site not in sites:
            raise PrepeError(f"{path}.site: the model has no site {term.site!r}; allowed: {', '.join(sites)}")
        for label in term.labels:
            _check_label(f"{path}.labels", label, data)
        for label in term.listens():
            _check_label(f"{path}.label", label, data)
        for item in term.items if isinstance(term, AnchorCapturedTerm) else ():
            if item not in data.items():
                raise PrepeError(f"{path}.items: {unknown(item, data.items(), 'item')}")
        problem = term.problem(sites[term.site])
        if problem:
            raise PrepeError(f"{path}.{problem[0]}: {problem[1]}")


def check_data(data: DataPart) -> None:
    for i, each in enumerate(data.unlike):
        if each.item not in data.items():
            raise PrepeError(f"data.unlike[{i}].item: {unknown(each.item, data.items(), 'item')}")
        if each.similarity not in (None, *data.similarities()):
            raise PrepeError(
                f"data.unlike[{i}].similarity: {unknown(each.similarity, data.similarities(), 'similarity')}"
            )


def check_routes(routes: dict[str, Route], sites: dict[str, int], data: DataPart) -> None:
    for name, route in routes.items():
        path = f"routes.{name}"
        if route.site not in sites:
            allowed = ", ".join(sites)
            raise PrepeError(f"{path}.site: gradients cannot be routed at {route.site!r}; allowed: {allowed}")
        bad = [axis for axis in route.axes if axis >= sites[route.site]]
        if bad:
            dim = sites[route.site]
            raise PrepeError(f"{path}.axes: axis {bad[0]} does not exist in {dim} dimensions; allowed: 0 to {dim - 1}")
        _check_label(f"{path}.label", route.label, data)


def _check_label(path: str, label: str, data: DataPart) -> None:
    if label not in data.labels:
        allowed = ", ".join(data.labels) or "none, since [data.labels] is empty"
        raise PrepeError(f"{path}: no data produces the label {label!r}; allowed: {allowed}")


def check_schedule(training: Training) -> None:
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


def check_rules(training: Training) -> None:
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


def _check_direction(path: str, direction: Aimed, site: str, sites: dict[str, int]) -> None:
    if site not in sites:
        raise PrepeError(f"{path}.site: the model cannot be edited at {site!r}; allowed: {', '.join(sites)}")
    fault = direction.fault(sites[site])
    if fault:
        raise PrepeError(f"{path}.direction: {fault}")


def check_concepts(training: Training, concepts: dict[str, Concept]) -> None:
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


def check_cycle(training: Training, cycle: Cycle) -> None:
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


def check_interventions(
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
        _check_fitted(path, intervention, training)


def _check_places(path: str, intervention: Intervention, concepts: dict[str, Concept], sites: dict[str, int]) -> None:
    if isinstance(intervention.direction, Fitted):  # found in every member, at whatever width
        _check_direction(path, intervention.direction, intervention.site, sites)
        return
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


def _check_fitted(path: str, intervention: Intervention, training: Training) -> None:
    """Check that what is found in members can be found, and that the operator is made for it."""
    direction = intervention.direction
    erases, leace = isinstance(intervention, Erase), isinstance(direction, Fitted) and direction.fitted == "leace"
    if erases != leace:
        allowed = '{ fitted = "leace", label = "..." }' if erases else "another direction, or operator = 'erase'"
        raise PrepeError(
            f"{path}.direction: the operator 'erase' goes with a direction fitted = 'leace', and no other does; "
            f"allowed: {allowed}"
        )
    if not isinstance(direction, Fitted):
        return
    if direction.label is not None:
        _check_label(f"{path}.direction.label", direction.label, training.data)
        if training.openers() or training.schedule.rules or training.schedule.phases:
            raise PrepeError(
                f"{path}.direction.label: what was drawn is known beforehand only without phases, rules and what opens "
                "the data; allowed: no label, for exact ones"
            )
