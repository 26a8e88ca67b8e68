"""The configuration of lessons, which may share students and teachers."""

import keras

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
    deserialize = keras.saving.deserialize_keras_object
    encoders = [deserialize(encoder) for encoder in config.pop("encoders")]
    teachers = [deserialize(teacher) for teacher in config.pop("teachers")]
    return [
        Lesson.from_config(
            {
                **lesson,
                "student": encoders[lesson["student"]],
                "teacher": None
                if lesson["teacher"] is None
                else teachers[lesson["teacher"]],
            }
        )
        for lesson in config["lessons"]
    ]
