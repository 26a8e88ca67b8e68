"""Where collapse is looked for: each student, each distillation objective."""

import dataclasses
import math

import keras

from keras_dinolm.callbacks.failures import Reading


@dataclasses.dataclass(frozen=True)
class Place:
    """A student whose features may collapse, or an objective.

    Attributes:
        kind: `"features"` of a student, or `"assignments"` of an objective.
        name: string, for messages; empty for a single student.
        student: string, the student that it belongs to.
        metrics: dict of metric to its name in the logs.
        dim: int. Width of the student's features.
        num_prototypes: int. K of the objective, or `None` for a student.
        distillations: dict of the name in the logs to K, for each
            distillation objective of a student; empty for an objective.
    """

    kind: str
    name: str
    student: str
    metrics: dict[str, str]
    dim: int
    num_prototypes: int | None = None
    distillations: dict[str, int] = dataclasses.field(default_factory=dict)

    def excess(self, logs: dict) -> dict[str, tuple[float, int]]:
        """Compares the losses of the distillation objectives with ln K.

        Args:
            logs: dict of metric to float. An objective that does not act has
                no loss there.

        Returns:
            A dict of name to `(loss - ln K, K)`.
        """
        known = _known(logs, self.distillations)
        return {
            name: (known[name] - math.log(k), k)
            for name, k in self.distillations.items()
            if name in known
        }

    def read(self, logs: dict) -> Reading:
        """Finds what the logs say about this place.

        Args:
            logs: dict of metric to float.

        Returns:
            `Reading`.
        """
        known = _known(logs, self.metrics.values())
        return Reading(
            values={
                metric: known[name]
                for metric, name in self.metrics.items()
                if name in known
            },
            dim=self.dim,
            num_prototypes=self.num_prototypes,
            excess=self.excess(logs),
        )


def _known(logs, names):
    """The logs of some names, without those of which nothing was measured."""
    found = {name: float(logs[name]) for name in names if name in logs}
    # NaN where each step of an epoch was skipped.
    return {k: value for k, value in found.items() if not math.isnan(value)}


def find_places(model: keras.Model) -> list[Place]:
    """Finds all places of a `Distillation` where collapse may show.

    Args:
        model: a `keras_dinolm.models.Distillation`, such as `DinoLM`.

    Returns:
        A list of `Place`, each student before its objectives.

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
