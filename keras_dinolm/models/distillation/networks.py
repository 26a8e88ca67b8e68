"""The networks of a model by name, and which lesson has which."""

from collections.abc import Callable
from typing import Any

from keras_dinolm.models.distillation.checks import check_is_tower
from keras_dinolm.models.distillation.checks import check_told_apart
from keras_dinolm.models.distillation.learner import Learner
from keras_dinolm.models.distillation.lesson import Lesson
from keras_dinolm.models.distillation.reading_plan import Part
from keras_dinolm.models.distillation.tower import Tower


def frozen_teacher(given: Any, known: dict) -> Tower | None:
    """A frozen copy of a fixed teacher, the same for the same object.

    Args:
        given: a trained model, one of its towers, a teacher without heads,
            or `None`.
        known: dict of what was copied before, which is added to.

    Returns:
        A `Tower`; `None` where the teacher follows its student.
    """
    if given is None:
        return None
    if id(given) not in known:
        tower = given.learned() if hasattr(given, "learners") else given
        check_is_tower(tower)
        copy = tower.clone(name="teacher")
        copy.freeze()
        # With what was given, whose `id` stays its own as long as it lives.
        known[id(given)] = copy, given
    return known[id(given)][0]


def name_of_student(lessons: list[Lesson], students: list[list[Lesson]]) -> str:
    """What a student is called.

    Args:
        lessons: list of its lessons.
        students: list of the lessons of each student.

    Returns:
        A string.
    """
    if len(students) == 1:
        return "student"
    return lessons[0].name if len(lessons) == 1 else lessons[0].encoder.name


def networks_and_parts(
    learners: list[Learner],
) -> tuple[dict[str, Callable], list[Part]]:
    """The networks by name, and what the plan has to know of each lesson.

    Args:
        learners: list of `Learner`.

    Returns:
        `(networks, parts)`: a dict of name to a callable that returns
        `(tower, masks, is_teacher)`, and a list of `Part`.
    """
    lessons = [(m, lesson) for m in learners for lesson in m.lessons.values()]
    teachers = {}
    for _, lesson in lessons:
        teachers.setdefault(id(lesson.teacher), lesson)
    names = {
        key: "teacher" if len(teachers) == 1 else f"{lesson.name}_teacher"
        for key, lesson in teachers.items()
    }
    networks, parts = {}, []
    for learner, lesson in lessons:
        student = learner.lessons.values()[0].student
        networks[learner.name] = _network(
            student, masks=lesson.mask_student, is_teacher=False
        )
        teacher = names[id(lesson.teacher)]
        networks[teacher] = _network(
            lesson.teacher, masks=False, is_teacher=True
        )
        parts.append(
            Part(
                lesson=lesson.name,
                learner=learner.name,
                networks={"student": learner.name, "teacher": teacher},
                objectives=lesson.objectives.values(),
                teacher_moves=not lesson.teacher_is_fixed,
            )
        )
    check_told_apart(learners, list(names.values()))
    return networks, parts


def _network(tower, masks, is_teacher):
    # A function, so that Keras does not save the tower a second time.
    return lambda: (tower, masks, is_teacher)
