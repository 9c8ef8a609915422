"""A table of plain values, as a sweep file has them, in; a checked trial, or one of its parts, out."""

import json
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from prepe.catalog import DATA, MODELS, OPERATORS, TERMS, CustomModel, CustomTerm, Intervention, Place, Route
from prepe.errors import PrepeError, printable
from prepe.keyframes import Schedule
from prepe.spec import checks
from prepe.spec.faults import checked, explain, member, table_of
from prepe.spec.parts import Concept, Cycle, Training, Trial, phase_data_of

_PLACE: TypeAdapter[Place] = TypeAdapter(Place)


def trial_from_json(text: str) -> Trial:
    """Make a trial from its canonical JSON.

    Raises:
        PrepeError: it is none that prepe wrote.
    """
    try:
        table = json.loads(text)
        twin = table.pop("twin")
        training = table.pop("training")
        return trial({**training, **table}, None if twin is None else _training(twin))
    except PrepeError as error:
        raise PrepeError(printable(str(error))) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = printable(f"{type(error).__name__}: {error}")
        raise PrepeError(f"a stored specification is none that prepe wrote: {said}") from None


def intervention(table: dict[str, Any]) -> Intervention:
    """Make an intervention from plain data, such as its own `model_dump(mode="json")`.

    Raises:
        PrepeError: naming the key, the value, and what is allowed.
    """
    return member(OPERATORS, "operator", table, "intervention")


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
        name: checked(Concept, value, f"concepts.{name}")
        for name, value in sorted(table_of(table, "concepts", {}).items())
    }
    rows = table.get("interventions", [])
    if not isinstance(rows, list):
        raise PrepeError("interventions: a list of tables is needed here, each headed [[interventions]]")
    interventions = tuple(member(OPERATORS, "operator", row, f"interventions[{i}]") for i, row in enumerate(rows))
    checks.check_concepts(training, concepts)
    checks.check_interventions(training, concepts, interventions)
    cycle = checked(Cycle, table["cycle"], "cycle") if table.get("cycle") is not None else None
    if cycle:
        checks.check_cycle(training, cycle)
    return Trial(
        training=training,
        twin=training.unregularised() if twin == "own" else twin,
        concepts=concepts,
        interventions=interventions,
        cycle=cycle,
    )


def _training(table: dict[str, Any]) -> Training:
    data = member(DATA, "kind", table_of(table, "data"), "data")
    model = member(MODELS, "kind", table_of(table, "model"), "model", CustomModel)
    terms = {  # in one order, whatever the file's: sums of floats depend on it, and a digest does not
        name: member(TERMS, "kind", value, f"terms.{name}", CustomTerm)
        for name, value in sorted(table_of(table, "terms", {}).items())
    }
    schedule = checked(Schedule, table_of(table, "schedule"), "schedule")
    routes = {
        name: checked(Route, value, f"routes.{name}") for name, value in sorted(table_of(table, "routes", {}).items())
    }
    checks.check_data(data)
    checks.check_editable(model)
    checks.check_terms(terms, model.sites(), data)
    checks.check_routes(routes, model.edit_sites(), data)
    training = Training(data=data, model=model, terms=terms, schedule=schedule, routes=routes)
    for name, phase in schedule.phases.items():
        phase_data_of(data, phase.data, name)
    checks.check_schedule(training)
    checks.check_rules(training)
    return training
