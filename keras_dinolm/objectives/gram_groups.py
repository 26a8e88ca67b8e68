"""Which view groups `GramAnchoring` compares, and a context around them."""

import dataclasses

from keras import ops

from keras_dinolm.objectives.view_groups import groups_of
from keras_dinolm.typing import Tensor


@dataclasses.dataclass(frozen=True)
class GramGroups:
    """What is compared, and how.

    Attributes:
        same: view groups that student and Gram teacher read alike.
        within: view groups that the student reads within a context.
        context: view groups that the Gram teacher alone reads, at most one.
    """

    same: tuple[str, ...]
    within: tuple[str, ...]
    context: tuple[str, ...]


def find_gram_groups(roles: dict[str, tuple[str, ...]]) -> GramGroups:
    """Sorts the view groups by how they are compared.

    Args:
        roles: dict of view group to its roles.

    Returns:
        `GramGroups`.

    Raises:
        ValueError: if nothing can be compared, or there are two contexts.
    """
    both = groups_of(roles, "student", "teacher")
    marked = groups_of(roles, "gram")
    same = groups_of(roles, "gram", "student")
    context = tuple(g for g in marked if g not in same)
    if not marked:
        same = both
    within = tuple(g for g in both if g not in same) if context else ()
    if len(context) > 1 or not (within if context else same):
        raise ValueError(
            "`GramAnchoring` needs a view group that both networks read, or "
            "one with the roles 'student' and 'gram'; and at most one that "
            "the Gram teacher reads and the student does not, the context of "
            f"groups that both networks read. Received: roles={dict(roles)}"
        )
    return GramGroups(same, within, context)


def positions_of_context(batch: dict, group: str) -> Tensor:
    """Takes the positions of the tokens of a context.

    Args:
        batch: dict of view group to its arrays.
        group: string, the context.

    Returns:
        Int tensor `[B, L]`.

    Raises:
        ValueError: if the group has more than one view.
    """
    positions = batch[group]["positions"]
    if positions.shape[1] != 1:
        raise ValueError(
            f"View group '{group}' is the context of the Gram teacher, of "
            "which there is one to a text. Make it "
            f"`ViewGroup({group!r}, count=1, roles='gram')`. Received: a "
            f"group of {positions.shape[1]} views"
        )
    return positions[:, 0]


def join_views(x: Tensor) -> Tensor:
    """Reshapes `[B, V, ...]` to `[B * V, ...]`."""
    return ops.reshape(x, (-1, *ops.shape(x)[2:]))
