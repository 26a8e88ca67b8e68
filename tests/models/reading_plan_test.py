"""Which network reads which views, what of it, and when: plain Python."""

import dataclasses

import pytest

from keras_dinolm.models.distillation.reading_plan import Part
from keras_dinolm.models.distillation.reading_plan import Reading
from keras_dinolm.models.distillation.reading_plan import make_plan

pytestmark = pytest.mark.once

ROLES = {"global": ("student", "teacher"), "local": ("student",)}
BOTH = (("student", "global"), ("teacher", "global"))


@dataclasses.dataclass
class Objective:
    """What the plan asks of an objective."""

    name: str
    pairs: tuple
    reads_tokens: str = "none"
    num_teacher_layers: int = 0
    start: int = 0
    stop: int | None = None

    def acts_at(self, update):
        return self.start <= update and (
            self.stop is None or update < self.stop
        )

    def reads(self, roles):
        return {(role, group) for role, group in self.pairs if group in roles}


class Strict(Objective):
    """Says what it reads, whether the groups have started or not."""

    def reads(self, roles):
        return set(self.pairs)


def part(*objectives, lesson="a", learner="a", teacher="teacher", moves=False):
    return Part(
        lesson,
        learner,
        {"student": learner, "teacher": teacher},
        list(objectives),
        moves,
    )


def plan(*parts, roles=ROLES, starts=None, **updates):
    learners = dict.fromkeys((p.learner for p in parts), 0)
    return make_plan(list(parts), roles, starts or {}, {**learners, **updates})


def readings(made):
    return {(r.network, r.group): r for r in made.readings}


def test_only_what_an_active_objective_reads_is_planned():
    now = Objective("now", (("student", "local"),))
    later = Objective("later", BOTH, start=3)
    made = plan(part(now, later))
    assert list(readings(made)) == [("a", "local")]
    assert made.active == {("a", "now")}
    made = plan(part(now, later), a=3)
    # By networks, the students first, and groups in the order of the roles.
    assert list(readings(made)) == [
        ("a", "global"),
        ("a", "local"),
        ("teacher", "global"),
    ]
    assert made.groups_read_by("a") == ["global", "local"]
    assert made.active == {("a", "now"), ("a", "later")}


def test_tokens_are_read_where_somebody_wants_them():
    made = plan(
        part(
            Objective("all", (("student", "global"),), "all"),
            Objective("none", (*BOTH, ("student", "local")), "none"),
            Objective("masked", (("student", "local"),), "masked"),
        )
    )
    found = readings(made)
    # The statistics see tokens where somebody reads them, and not otherwise.
    assert made.watched == {"a": ("a", "global")}
    assert made.watches_tokens("a")
    none = plan(part(Objective("none", BOTH, "none")))
    assert none.watched == {"a": ("a", "global")}
    assert not none.watches_tokens("a")
    assert not readings(none)["a", "global"].needs_tokens(True)
    assert found["a", "global"].needs_tokens(False)
    assert not found["teacher", "global"].needs_tokens(True)
    assert found["a", "local"].needs_tokens(True)
    assert not found["a", "local"].needs_tokens(False)


@pytest.mark.parametrize(
    ("reads", "unmasked", "masked"),
    [
        ({"none"}, False, False),
        ({"masked"}, False, True),
        ({"none", "masked"}, False, True),
        ({"masked", "all"}, True, True),
    ],
)
def test_needs_tokens(reads, unmasked, masked):
    reading = Reading("student", "global", frozenset(reads))
    assert reading.needs_tokens(False) == unmasked
    assert reading.needs_tokens(True) == masked


def test_layers_are_those_of_the_teacher_in_the_groups_that_want_them():
    roles = {"one": ("student", "teacher"), "two": ("student", "teacher")}
    pairs = [(role, group) for group in roles for role in roles[group]]
    found = readings(
        plan(
            part(
                Objective("deep", tuple(pairs[:2]), num_teacher_layers=3),
                Objective("flat", tuple(pairs)),
            ),
            roles=roles,
        )
    )
    assert {k: r.num_layers for k, r in found.items()} == {
        ("a", "one"): 0,
        ("a", "two"): 0,
        ("teacher", "one"): 3,
        ("teacher", "two"): 0,
    }


def test_what_is_watched_is_what_is_exported_while_it_runs():
    both = Objective("both", BOTH, start=2)
    alone = Objective("alone", (("student", "local"),))
    moving = part(both, alone, moves=True)
    assert plan(moving).watched == {"a": ("a", "local")}
    made = plan(moving, a=2)
    assert made.watched == {"a": ("teacher", "global")}
    fixed = part(both, alone, moves=False)
    assert plan(fixed, a=2).watched == {"a": ("a", "global")}
    # Of a student's lessons, one with a teacher that moves.
    self_taught = part(both, lesson="b", teacher="b_teacher", moves=True)
    made = plan(fixed, self_taught, a=2)
    assert made.watched == {"a": ("b_teacher", "global")}


def test_several_lessons_share_passes_and_see_their_own():
    one = Objective("x", BOTH)
    two = Objective("x", (("student", "local"), ("teacher", "global")))
    # One student of one teacher, twice.
    made = plan(part(one), part(two, lesson="b"))
    assert len(made.readings) == 3
    assert made.reads == {"a": frozenset(BOTH), "b": frozenset(two.pairs)}
    assert made.active == {("a", "x"), ("b", "x")}
    # Two students of one teacher, and of a teacher each.
    made = plan(part(one), part(one, lesson="b", learner="b"))
    assert set(readings(made)) == {
        ("a", "global"),
        ("b", "global"),
        ("teacher", "global"),
    }
    made = plan(part(one), part(one, lesson="b", teacher="t"))
    assert set(readings(made)) == {
        ("a", "global"),
        ("teacher", "global"),
        ("t", "global"),
    }


def test_each_learner_has_its_own_update():
    roles = {**ROLES, "extra": ("teacher",)}
    pairs = (*BOTH, ("teacher", "extra"))
    parts = [part(Objective("x", pairs), lesson=n, learner=n) for n in "ab"]
    fast = plan(*parts, roles=roles, starts={"extra": 3}, a=5, b=2)
    assert fast.reads["a"] == set(pairs) and fast.reads["b"] == set(BOTH)
    # The passes stay the same; what `b` learns from does not.
    later = plan(*parts, roles=roles, starts={"extra": 3}, a=6, b=3)
    assert later.readings == fast.readings
    assert later.phase != fast.phase
    assert fast.boundaries == {"a": None, "b": 3}


def test_boundaries_are_the_next_updates_at_which_something_may_change():
    parts = [
        part(
            Objective("x", BOTH, stop=9),
            Objective("y", BOTH, start=4),
        ),
        part(Objective("z", BOTH, start=0, stop=7), lesson="b", learner="b"),
    ]
    starts = {"local": 6}
    found = [
        plan(*parts, starts=starts, a=a, b=b).boundaries
        for a, b in ((0, 0), (4, 6), (8, 6))
    ]
    assert found == [
        {"a": 4, "b": 6},
        {"a": 6, "b": 7},
        {"a": 9, "b": 7},
    ]
    # Nothing changes before the boundary.
    phases = {plan(*parts, starts=starts, a=a).phase for a in range(4)}
    assert len(phases) == 1


def test_an_objective_waits_for_all_its_groups():
    waits = Strict("waits", (*BOTH, ("student", "local")))
    acts = Objective("acts", BOTH)
    made = plan(part(waits, acts), starts={"local": 2})
    assert made.active == {("a", "acts")}
    made = plan(part(waits, acts), starts={"local": 2}, a=2)
    assert made.active == {("a", "acts"), ("a", "waits")}


def test_a_learner_without_anything_to_learn_is_named():
    parts = [
        part(Objective("x", BOTH)),
        part(Objective("late", BOTH, start=5), lesson="b", learner="b"),
    ]
    with pytest.raises(ValueError, match=r"update 0.*late\(start=5"):
        plan(*parts)
