"""Where collapse is looked for: each student, each distillation objective."""

import dataclasses
import math

import keras

from keras_dinolm.callbacks.failures import Reading


@dataclasses.dataclass(frozen=True)
class Place:
    """A student whose features may collapse, or an objective.

    Attributes:
        kind: `"features"` or `"assignments"`.
        name: string, for messages; empty where there is no other.
        student: string, the student that it belongs to.
        metrics: dict of metric to its name in the logs.
        dim: int. Width of the student's features.
        num_prototypes: int. K of the objective, or `None`.
        distillations: dict of each distillation objective's name in the logs
            to its K, of a student.
    """

    kind: str
    name: str
    student: str
    metrics: dict
    dim: int
    num_prototypes: int | None = None
    distillations: dict = dataclasses.field(default_factory=dict)

    def excess(self, logs: dict) -> dict:
        """`(loss - ln K, K)` of the distillation objectives in the logs."""
        return {
            name: (float(logs[name]) - math.log(k), k)
            for name, k in self.distillations.items()
            if name in logs
        }

    def read(self, logs: dict) -> Reading:
        """What the logs say of this place."""
        return Reading(
            values={
                metric: float(logs[name])
                for metric, name in self.metrics.items()
                if name in logs
            },
            dim=self.dim,
            num_prototypes=self.num_prototypes,
            excess=self.excess(logs),
        )


def find_places(model: keras.Model) -> list[Place]:
    """All places of a `Distillation`.

    Args:
        model: a `keras_dinolm.models.Distillation`, such as `DinoLM`.

    Returns:
        List of `Place`: each student before its objectives.

    Raises:
        ValueError: for another model.
    """
    if not hasattr(model, "learners"):
        raise ValueError(
            "`CollapseMonitor` reads the statistics of a `DinoLM` or another "
            "`Distillation`. Received a model of class "
            f"{type(model).__name__}"
        )
    places = []
    for learner in model.learners():
        front = model.prefix(learner)
        dim = learner.feature_statistics.dim
        objectives = [
            (f"{model.prefix(lesson)}{objective.name}", objective, lesson)
            for lesson in learner.lessons.values()
            for objective in lesson.objectives.values()
            if hasattr(objective, "targets")
        ]
        names = ("feature_std", "mean_cosine", "rankme")
        places.append(
            Place(
                kind="features",
                name=learner.name if front else "",
                student=learner.name,
                metrics={name: f"{front}{name}" for name in names},
                dim=dim,
                distillations={
                    name: lesson.num_prototypes
                    for name, _, lesson in objectives
                },
            )
        )
        places += [
            Place(
                kind="assignments",
                name=name,
                student=learner.name,
                metrics={
                    metric: f"{name}_{metric}"
                    for metric in objective.extra_metrics
                },
                dim=dim,
                num_prototypes=lesson.num_prototypes,
            )
            for name, objective, lesson in objectives
        ]
    return places
