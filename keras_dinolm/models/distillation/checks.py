"""Checks of what a `Distillation` is made of."""

import inspect
from collections.abc import Mapping
from typing import Any

import keras

from keras_dinolm import arguments
from keras_dinolm.models.distillation.headless import HeadlessTeacher
from keras_dinolm.models.distillation.tower import Tower
from keras_dinolm.models.encoder.backbone import DinoLMBackbone
from keras_dinolm.models.encoder.text_encoder import TextEncoder
from keras_dinolm.objectives import MaskedLM
from keras_dinolm.objectives import Objective
from keras_dinolm.objectives import Result
from keras_dinolm.objectives import UnitPrediction

NETWORKS = ("student", "teacher")
# Objectives that a student solves by copying, unless it reads masked views.
PREDICT_HIDDEN = (MaskedLM, UnitPrediction)


def checked_roles(roles: Mapping) -> dict[str, tuple[str, ...]]:
    """Roles as tuples, of which both networks have a view group to read."""
    arguments.instance(
        "roles", roles, Mapping, "a dict of view group to its roles"
    )
    known = (*NETWORKS, "gram")
    for group, group_roles in roles.items():
        if (
            not isinstance(group, str)
            or not isinstance(group_roles, tuple | list)
            or not group_roles
            or not all(
                isinstance(role, str) and role in known for role in group_roles
            )
        ):
            raise ValueError(
                "Argument `roles` must give each view group one or more of "
                f"{known}. Received: roles[{group!r}]={group_roles}"
            )
    for role in NETWORKS:
        if not any(role in r for r in roles.values()):
            raise ValueError(
                f"Argument `roles` must have a group for the {role}. "
                f"Received: roles={roles}"
            )
    return {group: tuple(group_roles) for group, group_roles in roles.items()}


def checked_group_starts(starts: Mapping | None, roles: dict) -> dict[str, int]:
    """The first updates of known groups, or an error."""
    if starts is None:
        return {}
    arguments.instance(
        "group_starts", starts, Mapping, "a dict of view group to update"
    )
    unknown = [group for group in starts if group not in roles]
    if unknown:
        raise ValueError(
            f"Argument `group_starts` must name groups of {sorted(roles)}. "
            f"Received: group_starts={starts}"
        )
    for group, start in starts.items():
        arguments.count(
            f"group_starts[{group!r}]",
            start,
            0,
            meaning="the first optimizer update of the group",
        )
    first = [roles[group] for group in roles if not starts.get(group)]
    for role in NETWORKS:
        if not any(role in r for r in first):
            raise ValueError(
                "Argument `group_starts` must leave both networks a group to "
                f"read at update 0; the {role} has none. Leave one out of it. "
                f"Received: group_starts={starts}, roles={roles}"
            )
    return {group: int(start) for group, start in starts.items()}


def check_names(what: str, names: list[str]) -> None:
    """Raises unless there are names, each of them once."""
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"Argument `{what}` must hold at least one, each with a name of "
            "its own; pass `name=` to tell two of a kind apart. "
            f"Received {what} named: {names}"
        )


def check_all(what: str, values: Any, kind: type, example: str) -> None:
    """Raises unless an argument is a list of objects of a class."""
    if not isinstance(values, list | tuple) or not all(
        isinstance(value, kind) for value in values
    ):
        arguments.refuse(what, values, f"a list of {example}")


def check_students(lessons: list) -> None:
    """Raises unless the lessons of one student agree about it."""
    first = {}
    for lesson in lessons:
        other = first.setdefault(id(lesson.encoder.backbone), lesson)
        if other.encoder is not lesson.encoder:
            raise ValueError(
                f"The lessons {other.name!r} and {lesson.name!r} train one "
                "backbone as two students. For one student of both, make a "
                "`TextEncoder` of it and give both the same; for two "
                "students, give each a backbone of its own."
            )
        for option, why in (
            ("mask_student", "reads each view once, masked or whole"),
            ("lora_rank", "learns all of its weights or low-rank updates"),
        ):
            values = [getattr(one, option) for one in (other, lesson)]
            if values[0] != values[1]:
                raise ValueError(
                    f"A student {why}: give all its lessons the same "
                    f"`{option}`. Received: {option}={values[0]} in "
                    f"{other.name!r}, {option}={values[1]} in {lesson.name!r}"
                )


def check_told_apart(learners: list, teachers: list[str]) -> None:
    """Raises where two things would have one name in outputs and logs."""
    names = [*teachers, *(learner.name for learner in learners)]
    if len(learners) > 1:
        names += [
            name
            for learner in learners
            if len(learner.lessons) > 1
            for name in learner.lessons
        ]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            "Students, teachers and lessons need different names; pass "
            f"another `name=` to `Lesson` or `TextEncoder`. Twice: {twice}"
        )


def check_objectives(objectives: list[Objective], mask_student: bool) -> None:
    """Raises unless the objectives go together and with a masked student."""
    check_all(
        "objectives",
        objectives,
        Objective,
        "`keras_dinolm.objectives.Objective`",
    )
    check_names("objectives", [objective.name for objective in objectives])
    for objective in objectives:
        if isinstance(objective, PREDICT_HIDDEN) and not mask_student:
            raise ValueError(
                f"`{type(objective).__name__}` predicts tokens that the "
                "student must not see, but it reads whole views, as it does "
                "by default with a fixed `teacher`. Remove the objective or "
                "pass `mask_student=True`. "
                f"Received: objectives with {objective.name!r}"
            )


def check_reads(objective: Objective, roles: dict) -> None:
    """Raises unless an objective reads networks and groups that there are.

    One that reads a group which there is not would wait for it forever.
    """
    reads = objective.reads(roles)
    fits = bool(reads) and all(
        isinstance(pair, tuple)
        and len(pair) == 2
        and pair[0] in NETWORKS
        and pair[1] in roles
        for pair in reads
    )
    if not fits:
        raise ValueError(
            f"`{type(objective).__name__}.reads` must return a set of at "
            f"least one (network, view group), of the networks {NETWORKS} and "
            f"the groups {list(roles)}. Other groups need `roles=views.roles` "
            f"where the model is made. Received: {reads!r}"
        )


def check_result(objective: Objective, result: Any) -> None:
    """Raises unless an objective computed what it said it would."""
    name = type(objective).__name__
    if not isinstance(result, Result):
        raise ValueError(
            f"`{name}.compute` must return a `keras_dinolm.objectives.Result("
            f"loss)`. Received: {type(result).__name__}"
        )
    shape = getattr(result.loss, "shape", ())
    if len(shape) > 0:
        raise ValueError(
            f"The loss of `{name}` must be a scalar; take the mean. Received "
            f"a loss of shape {tuple(shape)}"
        )
    if set(result.metrics) != set(objective.extra_metrics):
        raise ValueError(
            f"The metrics of `{name}` must be those that its attribute "
            f"`extra_metrics` names, {sorted(objective.extra_metrics)}, at "
            f"each step. Received metrics: {sorted(result.metrics)}"
        )


def check_config(objective: Objective, config: dict) -> None:
    """Raises if a loaded objective would not be the one that was saved."""
    parameters = inspect.signature(type(objective).__init__).parameters
    missing = [
        name
        for name, parameter in parameters.items()
        if parameter.kind
        not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        and name not in ("self", *config)
    ]
    if missing:
        raise ValueError(
            f"`{type(objective).__name__}` would lose its arguments {missing} "
            "when it is saved. Return them from `get_config`, as any Keras "
            "layer: `return {**super().get_config(), "
            f"{missing[0]!r}: self.{missing[0]}}}`."
        )


def check_encoder(name: str, value: Any) -> None:
    """Raises unless this may be an encoder; `TextEncoder` looks closer."""
    arguments.instance(
        name,
        value,
        (TextEncoder, keras.Model),
        "a `DinoLMBackbone`, a supported keras-hub backbone, or a "
        "`TextEncoder`",
    )


def check_teacher(teacher: Any) -> None:
    """Raises unless this may be a fixed teacher."""
    if not hasattr(teacher, "learners"):
        check_is_tower(teacher)


def check_is_tower(teacher: Any) -> None:
    """Raises unless a teacher is a network that can teach."""
    if not isinstance(teacher, Tower | HeadlessTeacher):
        raise ValueError(
            "Argument `teacher` must be a trained `DinoLM`, or, without heads, "
            "a `keras_dinolm.models.FixedTeacher(encoder)` or a "
            "`CachedTeacher`. Load a `DinoLM` by `keras.saving.load_model`, "
            "or by `DinoLM.from_preset` from a preset exported with "
            f"`heads=True`. Received: teacher={teacher!r}"
        )


def check_shares_prototypes(teacher: Tower, student: Tower) -> None:
    """Raises unless the student can learn from this fixed teacher."""
    missing = [head for head in student.heads if head not in teacher.heads]
    if missing and isinstance(teacher, HeadlessTeacher):
        raise ValueError(
            f"The objectives compare with prototypes of {missing}, of which "
            f"the `teacher` has those of {list(teacher.heads)}. Pass "
            f"`prototypes={{{missing[0]!r}: centroids, ...}}` to "
            f"`{type(teacher).__name__}`, or remove the objectives."
        )
    if missing:
        raise ValueError(
            f"The `teacher` has no head {missing}, which the objectives read: "
            f"it was trained with the heads {list(teacher.heads)}. Remove the "
            "objectives that need the others, or tie the heads "
            "(`TokenDistillation(head='sequence')`)."
        )
    if teacher.heads and teacher.num_prototypes != student.num_prototypes:
        raise ValueError(
            "Student and `teacher` must have as many prototypes; leave "
            "`num_prototypes=None`. Received: num_prototypes="
            f"{student.num_prototypes}, the teacher has "
            f"{teacher.num_prototypes}"
        )
    encoders = (teacher.encoder, student.encoder)
    if not isinstance(teacher.encoder, TextEncoder):
        return  # it reads no token ids
    sizes = [encoder.vocabulary_size for encoder in encoders]
    # Stock backbones may have unused rows at the end; ours are made for
    # their tokenizer.
    exact = all(isinstance(e.backbone, DinoLMBackbone) for e in encoders)
    if exact and sizes[0] != sizes[1]:
        raise ValueError(
            "Student and `teacher` must share a tokenizer, since they read "
            f"the same token ids. Received: a teacher of {sizes[0]} tokens, "
            f"a student of {sizes[1]}"
        )


def check_reads_tokens_of(views: Any, encoder: Any) -> None:
    """Raises if views hold token ids that an encoder does not have."""
    special = getattr(views, "special_tokens", None)
    table = getattr(special, "continues", None)
    if table is None or not isinstance(encoder.backbone, DinoLMBackbone):
        return
    if len(table) > encoder.vocabulary_size:
        raise ValueError(
            f"The tokenizer of the views has {len(table)} tokens, and the "
            f"backbone reads {encoder.vocabulary_size}. Make the backbone with "
            "`vocabulary_size=tokenizer.vocabulary_size()`, and read texts "
            "that this tokenizer has tokenized."
        )
