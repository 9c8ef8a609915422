"""A trial's intervention in; which items it should damage and how much, and where it acts in every member, out."""

from collections.abc import Callable

import numpy as np

from prepe import data
from prepe.catalog import Fitted, Intervention, together
from prepe.data.task import Task
from prepe.evaluate.find import find
from prepe.evaluate.members import similarity
from prepe.interventions import Edited, Place
from prepe.spec import Concept, Trial

Grade = Callable[[np.ndarray], np.ndarray]


class Aim:
    """What an intervention should damage: its concepts taken together.

    Attributes:
        concepts: of the intervention.
        stated: where it acts, as the file has it.
        grade, other: similarity of inputs `(n, inputs)` to the nearest of its concepts, by its own way and by another.
        fallback: the target that an ideal deletion puts in the place of each of some inputs, `(n, outputs)`: that of
            the nearest of its concepts, and of equally near ones the first.
        d_star: D*, the mean over its concepts.
    """

    def __init__(self, trial: Trial, part: Intervention, task: Task) -> None:
        self.concepts: list[Concept] = [trial.concepts[name] for name in part.concept]
        self.stated = trial.places(part)
        self.grade = _nearest(task, self.concepts, part.similarity)
        self.way = part.similarity or self.concepts[0].similarity
        self.other_way = next((name for name in trial.training.data.similarities() if name != self.way), self.way)
        self.other = _nearest(task, self.concepts, self.other_way)
        self.d_star = float(np.mean([ideal_damage(task, concept) for concept in self.concepts]))
        self._task = task

    def found(self, trial: Trial, part: Intervention, task: Task, seeds: list[int], plain: Edited) -> list[Place]:
        """Return where it acts, with directions that are to be found in members found."""
        grades = self.grade(task.train.inputs)
        ideal = self.d_star * grades**part.power
        return [
            find(place, trial.training, task, part.site, grades, ideal, seeds, plain)
            if isinstance(place, Fitted)
            else place
            for place in self.stated
        ]

    def fallback(self, inputs: np.ndarray) -> np.ndarray:
        near = np.argmax([similarity(self._task, each, inputs, self.way) for each in self.concepts], axis=0)
        rows = [self._task.named.names.index(each.fallback) for each in self.concepts]
        return np.asarray(self._task.named.targets[rows][near])


def _nearest(task: Task, concepts: list[Concept], way: str | None) -> Grade:
    return lambda inputs: np.max([similarity(task, concept, inputs, way) for concept in concepts], axis=0)


def ideal_damage(task: Task, concept: Concept) -> float:
    """Return D*: the error of putting the fallback item where the concept's item should be."""
    item, fallback = (task.named.names.index(name) for name in (concept.item, concept.fallback))
    return float(data.error(task.named.targets[fallback], task.named.targets[item]))


def joined(places: list[Place]) -> Place:
    """Return one place for all of these; one that was found in members is alone."""
    return places[0] if len(places) == 1 else together(places)  # type: ignore[arg-type]
