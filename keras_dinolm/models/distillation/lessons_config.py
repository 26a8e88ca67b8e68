"""The configuration of lessons, which may share students and teachers."""

import keras

from keras_dinolm import arguments
from keras_dinolm.models.distillation.deserialized import deserialized_list
from keras_dinolm.models.distillation.lesson import Lesson


def lessons_config(lessons: list[Lesson]) -> dict:
    """A JSON-serialisable dict of lessons; each network is in it once.

    Args:
        lessons: list of `Lesson`, built.

    Returns:
        Dict of `"encoders"`, `"teachers"` and `"lessons"`, which name their
        networks by index.
    """
    serialize = keras.saving.serialize_keras_object
    encoders = {id(lesson.encoder): lesson.encoder for lesson in lessons}
    teachers = {
        id(lesson.teacher): lesson.teacher
        for lesson in lessons
        if lesson.teacher_is_fixed
    }
    return {
        "encoders": [serialize(encoder) for encoder in encoders.values()],
        "teachers": [serialize(teacher) for teacher in teachers.values()],
        "lessons": [
            {
                **lesson.get_config(),
                "student": list(encoders).index(id(lesson.encoder)),
                "teacher": list(teachers).index(id(lesson.teacher))
                if lesson.teacher_is_fixed
                else None,
            }
            for lesson in lessons
        ],
    }


def lessons_from_config(config: dict) -> list[Lesson]:
    """The inverse of `lessons_config`.

    Args:
        config: dict, from which the networks are taken out.

    Returns:
        List of `Lesson`.
    """
    encoders = deserialized_list(config, "encoders", Lesson)
    teachers = deserialized_list(config, "teachers", Lesson)
    lessons = arguments.field(config, "lessons", Lesson)
    del config["encoders"], config["teachers"]
    arguments.instance("lessons", lessons, list, "a list")
    return [
        Lesson.from_config(
            {
                **arguments.instance("lessons", lesson, dict, "a list of dict"),
                "student": _chosen(lesson, "student", encoders),
                "teacher": None
                if arguments.field(lesson, "teacher", Lesson) is None
                else _chosen(lesson, "teacher", teachers),
            }
        )
        for lesson in lessons
    ]


def _chosen(lesson, name, networks):
    """The network that a lesson names by its index."""
    index = arguments.field(lesson, name, Lesson)
    return networks[arguments.integer(name, index, 0, len(networks) - 1)]
