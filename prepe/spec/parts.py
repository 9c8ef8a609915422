"""The parts of a trial, frozen: a training, the concepts and interventions measured on it, and its cycle."""

import hashlib
import json
from typing import Annotated, Any

from pydantic import Field, InstanceOf, NonNegativeInt, SerializeAsAny

from prepe.catalog import Aimed, DataPart, Intervention, ModelPart, Part, Place, Retrain, Route, Term, Unlike
from prepe.errors import PrepeError
from prepe.keyframes import Schedule
from prepe.spec.faults import checked

LOSS = "loss-recon"
"""The schedule's name for the weight of the task's own loss, 1 where no keyframe gives it."""


class Training(Part):
    """Data, model, terms of the loss, routes of gradients and schedule: everything that shapes a model but its seed."""

    data: SerializeAsAny[InstanceOf[DataPart]]
    model: SerializeAsAny[InstanceOf[ModelPart]]
    terms: dict[str, SerializeAsAny[InstanceOf[Term]]]
    schedule: Schedule
    routes: dict[str, Route] = Field(default={}, exclude_if=lambda value: not value)

    def digest(self) -> str:
        """Return the model's name: 16 hexadecimal digits of the digest of this data."""
        return digest(self)

    def phase_data(self, name: str) -> DataPart:
        """Return the data of a phase: those of the training, with the keys that the phase replaces."""
        phase = self.schedule.phases.get(name)
        return phase_data_of(self.data, phase.data, name) if phase and phase.data else self.data

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

    def without(self, unlike: tuple[Unlike, ...]) -> "Training":
        """Return the training of a model that never sees what is too much like some items: without terms and labels."""
        plain = self.unregularised()
        return plain.model_copy(update={"data": plain.data.model_copy(update={"unlike": unlike})})


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
        return digest(self)

    def retrained(self, part: Retrain) -> Training:
        """Return the training of the model that an intervention puts in place of this trial's."""
        concepts = [self.concepts[name] for name in part.concept]
        return self.training.without(
            tuple(
                Unlike(item=each.item, above=part.above, similarity=part.similarity or each.similarity)
                for each in concepts
            )
        )

    def places(self, part: Intervention) -> list[Aimed]:
        """Return where an intervention acts: its own place, or those of its concepts."""
        return [part.direction] if part.direction else [self.concepts[name].direction for name in part.concept]

    def to_json(self) -> str:
        """Return this trial as canonical JSON, from which `trial_from_json` makes it again."""
        return canonical(self)


def canonical(part: Part) -> str:
    return json.dumps(part.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def digest(part: Part) -> str:
    return hashlib.sha256(canonical(part).encode()).hexdigest()[:16]


def phase_data_of(data: DataPart, changes: dict[str, Any], phase: str) -> DataPart:
    path = f"schedule.phases.{phase}.data"
    for key in ("kind", "labels"):
        if key in changes:
            raise PrepeError(f"{path}.{key}: a phase cannot have its own; allowed: any other key of [data]")
    return checked(type(data), {**data.model_dump(exclude={"labels"}), "labels": dict(data.labels), **changes}, path)
