"""View groups that are read from a later update on: phases of the views."""

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny

O = kd.objectives  # noqa: E741


def compiled(objectives, **kwargs):
    model = tiny.model(objectives, momentum=0.5, **kwargs)
    # To trace two phases takes tensorflow longer than all other tests here.
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=EAGERLY)
    return model


EAGERLY = keras.backend.backend() == "tensorflow"


def test_a_group_is_read_from_its_start_on():
    model = compiled(
        [
            O.SequenceDistillation(),
            O.MeanEntropyMaximization(weight=0.5),
            O.InfoNCE(),
        ],
        group_starts={"local": 1},
    )
    alone = compiled(
        [O.SequenceDistillation(), O.MeanEntropyMaximization(weight=0.5)],
        roles={"global": ("student", "teacher")},
    )
    assert model.phase == alone.phase
    both = [("student", "global"), ("teacher", "global")]
    assert tiny.passes(model) == both

    # The first update is that of a model without the group ...
    logs, expected = (
        one.train_on_batch(tiny.batch(0), return_dict=True)
        for one in (model, alone)
    )
    assert logs.keys() == expected.keys()
    for name, value in expected.items():
        assert float(logs[name]) == pytest.approx(float(value), rel=1e-5), name
    for one, other in zip(
        tiny.values(model.student.weights),
        tiny.values(alone.student.weights),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)

    # ... and from the second on, all take part, with other values.
    logs = model.train_on_batch(tiny.batch(1), return_dict=True)
    info_nce = ("lesson", "info_nce")
    assert model.plan.active == {*alone.plan.active, info_nce}
    assert sorted(tiny.passes(model)) == sorted([*both, ("student", "local")])
    assert np.isfinite(list(map(float, logs.values()))).all()
    assert float(logs["info_nce"]) > 0
    again = kd.models.DinoLM.from_config(model.get_config())
    assert again.group_starts == {"local": 1}


def test_objectives_go_on_without_a_group_that_comes_later():
    """Those that take it up later, with masks, tokens and views of its own."""
    group = kd.views.ViewGroup
    views = tiny.text_views(
        groups=[
            group("one", 2, mask_probability=0.5),
            group("two", 1, mask_probability=1.0),
        ]
    )
    # `MaskedLM` and `FeatureRegression` read as `TokenDistillation` does.
    objectives = [
        O.TokenDistillation(),
        O.CrossViewTokenDistillation(),
        O.GramAnchoring(),
        O.KoLeo(),
    ]
    late = tiny.model(objectives, roles=views.roles, group_starts={"two": 5})
    same = [type(o).from_config(o.get_config()) for o in objectives]
    alone = tiny.model(same, roles={"one": ("student", "teacher")})
    for mine, theirs in zip(late.objectives, alone.objectives):
        for a, b in zip(mine.weights, theirs.weights, strict=True):
            b.assign(a.value)
    batch = tiny.batch(views=views)
    found, expected = (tiny.metrics(model, batch) for model in (late, alone))
    assert found.keys() == expected.keys() >= {o.name for o in objectives}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


def test_koleo_waits_for_its_groups():
    roles = {"whole": "teacher", "part": "student", "both": "student teacher"}
    roles = {group: tuple(names.split()) for group, names in roles.items()}
    objectives = [O.SequenceDistillation(), O.KoLeo()]
    model = tiny.model(objectives, roles=roles, group_starts={"both": 3})
    assert model.plan.active == {("lesson", "sequence_distillation")}
    model.enter_phase([3])
    assert ("lesson", "koleo") in model.plan.active
    assert model.objectives[1].reads(roles) == {("student", "both")}


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        ({"other": 3}, r"name groups of \['global', 'local'\]"),
        ({"local": -1}, r"group_starts\['local'\]=-1"),
        ({"local": 1.5}, r"group_starts\['local'\]=1.5"),
        ({"global": 2}, "the teacher has none"),
    ],
)
def test_refuses(starts, message):
    with pytest.raises(ValueError, match=message):
        tiny.model([O.InfoNCE()], group_starts=starts)


def test_an_objective_has_to_act_at_each_update():
    with pytest.raises(ValueError, match="start later.*'local': 3"):
        tiny.model([O.InfoNCE()], group_starts={"local": 3})
