"""Which network reads which views, what of it, and when: plain Python.

Nothing here touches a tensor. A plan is made for a moment of training and
holds until the next boundary. What it does not list is not computed.
"""

import dataclasses
from typing import Any

# What objectives read of a view's tokens, from nothing to everything.
_NONE, _MASKED, _ALL = "none", "masked", "all"


@dataclasses.dataclass(frozen=True)
class Reading:
    """One network reads one view group: one forward pass.

    Attributes:
        network: string, the network's name in the plan.
        group: string, the view group.
        reads_tokens: set of what the objectives read of its tokens: `"none"`,
            `"masked"`, `"all"`. Where nobody reads tokens, blocks that a
            text's feature does not need do not run.
        num_layers: int. How many of the last layers are read as well.
    """

    network: str
    group: str
    reads_tokens: frozenset
    num_layers: int = 0

    @property
    def place(self) -> tuple[str, str]:
        """The network and the view group."""
        return self.network, self.group

    def needs_tokens(self, is_masked: bool) -> bool:
        """Whether the features of tokens are read, if the group has masks."""
        return _ALL in self.reads_tokens or (
            is_masked and _MASKED in self.reads_tokens
        )


@dataclasses.dataclass(frozen=True)
class Part:
    """What the plan has to know of one lesson.

    Attributes:
        lesson: string.
        learner: string. Whose optimizer updates are counted.
        networks: dict of `"student"` and `"teacher"` to names of networks.
        objectives: list of objectives.
        teacher_moves: boolean.
    """

    lesson: str
    learner: str
    networks: dict
    objectives: list
    teacher_moves: bool


@dataclasses.dataclass(frozen=True)
class ReadingPlan:
    """What is computed from now to the next boundary.

    Attributes:
        active: frozenset of `(lesson, objective)` names.
        readings: tuple of `Reading`, the forward passes.
        reads: dict of lesson to what its active objectives read, a frozenset
            of `(role, group)`. Lessons share forward passes, and each sees
            only what it would see alone.
        watched: dict of learner to `(network, group)`, of whose features the
            running statistics are kept: the network that is exported, or the
            student while its teacher does not run.
        boundaries: dict of learner to the next optimizer update at which
            another plan may hold, or `None`.
    """

    active: frozenset
    readings: tuple
    reads: dict
    watched: dict
    boundaries: dict

    @property
    def phase(self) -> tuple:
        """While it is the same, so is what a step computes."""
        return self.active, self.readings, frozenset(self.reads.items())

    def watches_tokens(self, learner: str) -> bool:
        """Whether some objective reads the tokens of what is watched."""
        return any(
            reading.place == self.watched[learner]
            and reading.reads_tokens != {_NONE}
            for reading in self.readings
        )

    def groups_read_by(self, network: str) -> list[str]:
        """The view groups that a network reads."""
        return [r.group for r in self.readings if r.network == network]


def make_plan(
    parts: list[Part],
    roles: dict[str, tuple],
    group_starts: dict[str, int],
    updates: dict[str, int],
) -> ReadingPlan:
    """Plans the forward passes of a moment of training.

    Args:
        parts: list of `Part`, one for each lesson.
        roles: dict of view group to its roles.
        group_starts: dict of view group to the update at which it starts.
        updates: dict of learner to the optimizer updates it has done.

    Returns:
        `ReadingPlan`.

    Raises:
        ValueError: if a learner has nothing to learn at its update.
    """
    active, wanted, seen = {}, {}, {}
    for part in parts:
        started = _started(roles, group_starts, updates[part.learner])
        for objective in part.objectives:
            if not objective.acts_at(updates[part.learner]):
                continue
            reads = objective.reads(started)
            # Objectives wait until all their view groups have started.
            if not reads or not {g for _, g in reads} <= set(started):
                continue
            active[part.lesson, objective.name] = part.learner
            seen.setdefault(part.lesson, set()).update(reads)
            for role, group in reads:
                if role not in part.networks:
                    continue  # a Gram teacher, which its objective runs
                wanted.setdefault((part.networks[role], group), []).append(
                    (role, objective)
                )
    for learner, update in updates.items():
        if learner not in active.values():
            own = [p for p in parts if p.learner == learner]
            raise ValueError(_nothing_acts(own, update, group_starts))

    networks = dict.fromkeys(
        part.networks[role] for role in ("student", "teacher") for part in parts
    )
    places = [
        (network, group)
        for network in networks
        for group in roles
        if (network, group) in wanted
    ]
    watched = {
        learner: _watched([p for p in parts if p.learner == learner], places)
        for learner in updates
    }
    readings = []
    for place in places:
        reads = {o.reads_tokens for _, o in wanted[place]}
        num_layers = max(
            o.num_teacher_layers if role == "teacher" else 0
            for role, o in wanted[place]
        )
        readings.append(Reading(*place, frozenset(reads), num_layers))
    return ReadingPlan(
        active=frozenset(active),
        readings=tuple(readings),
        reads={lesson: frozenset(reads) for lesson, reads in seen.items()},
        watched=watched,
        boundaries={
            learner: _next_boundary(
                [p for p in parts if p.learner == learner],
                group_starts,
                update,
            )
            for learner, update in updates.items()
        },
    )


def _started(roles, group_starts, update):
    return {
        group: group_roles
        for group, group_roles in roles.items()
        if group_starts.get(group, 0) <= update
    }


def _watched(parts, places):
    """The first group of the network that is exported, if it runs."""
    moving = [p.networks["teacher"] for p in parts if p.teacher_moves]
    students = [p.networks["student"] for p in parts]
    return next(
        place
        for network in [*moving[:1], *students]
        for place in places
        if place[0] == network
    )


def _next_boundary(parts, group_starts, update):
    boundaries: list[Any] = [
        boundary
        for part in parts
        for objective in part.objectives
        for boundary in (objective.start, objective.stop)
    ]
    boundaries += group_starts.values()
    return min(
        (b for b in boundaries if b is not None and b > update), default=None
    )


def _nothing_acts(parts, update, group_starts):
    return (
        f"No objective acts at optimizer update {update}: all have weight 0, "
        "act at other updates or read view groups that start later. Received "
        "objectives: "
        + ", ".join(
            f"{o.name}(start={o.start}, stop={o.stop})"
            for part in parts
            for o in part.objectives
        )
        + f"; group_starts={dict(group_starts)}"
    )
