"""Which network reads which view group: plain Python on the roles."""

from collections.abc import Iterable
from collections.abc import Mapping

from keras_dinolm.typing import Tensor

NETWORKS = ("student", "teacher")


def groups_of(roles: Mapping, *networks: str) -> tuple[str, ...]:
    """Finds the view groups that all of these networks read.

    Args:
        roles: dict of view group to its roles.
        *networks: strings, the roles that a group must have.

    Returns:
        Names of groups, in the order of `roles`.
    """
    return tuple(g for g in roles if set(networks) <= set(roles[g]))


def reads_of(
    roles: Mapping, groups: Iterable[str] | None = None
) -> set[tuple[str, str]]:
    """Lists who of student and teacher reads which view group.

    Args:
        roles: dict of view group to its roles.
        groups: names of view groups; `None` takes all.

    Returns:
        A set of `(network, group)`, as `Objective.reads` returns it.
    """
    # The role "gram" is no network of the lesson, so no reading of it.
    return {
        (network, group)
        for group in (roles if groups is None else groups)
        for network in NETWORKS
        if network in roles[group]
    }


def views_of(
    features: Mapping, groups: Iterable[str]
) -> list[tuple[tuple[str, int], Tensor]]:
    """Lists the views of groups one by one, of those that have started.

    Args:
        features: dict of view group to features, of one network.
        groups: names of view groups.

    Returns:
        A list of `(view, sequence)`: group and number, and features `[B, D]`.
    """
    return [
        ((group, view), features[group]["sequence"][:, view])
        for group in groups
        if group in features
        for view in range(features[group]["sequence"].shape[1])
    ]
