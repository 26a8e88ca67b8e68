"""Student and teacher with views of their own, and one head for all."""

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny

O = kd.objectives  # noqa: E741
VIEWS = tiny.text_views(
    groups=[
        kd.views.ViewGroup("whole", 1, roles="teacher"),
        kd.views.ViewGroup("part", 2, span=(0.4, 0.8), roles="student"),
    ]
)


def make_model(head):
    return tiny.model(
        [
            O.SequenceDistillation(),
            O.CrossViewTokenDistillation(head=head, num_tokens=4),
        ],
        roles=VIEWS.roles,
        momentum=0.5,
    )


@pytest.mark.parametrize("head", ["sequence", "token"])
def test_each_network_reads_its_own_views_and_heads_are_tied_or_not(head):
    model = make_model(head)
    heads = ("sequence",) if head == "sequence" else ("sequence", "token")
    for tower in (model.student, model.teacher):
        assert tuple(tower.heads) == heads
        kernels = [w for w in tower.weights if w.path.endswith("prototypes")]
        assert len(kernels) == len(heads)
    assert [(r.network, r.group) for r in model.plan.readings] == [
        ("student", "part"),
        ("teacher", "whole"),
    ]


def test_tied_heads_learn_from_every_pair_of_views():
    model = make_model("sequence")
    # Tracing takes tensorflow longer than the step.
    eagerly = keras.backend.backend() == "tensorflow"
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=eagerly)
    before = tiny.values(model.teacher.weights)
    batch = tiny.batch(views=VIEWS)
    logs = model.train_on_batch(batch, return_dict=True)
    assert np.isfinite([float(v) for v in logs.values()]).all()
    assert {"sequence_distillation", "cross_view_token_distillation"} <= {*logs}
    moved = [
        np.abs(a - b).max() > 0
        for a, b in zip(before, tiny.values(model.teacher.weights))
    ]
    assert np.mean(moved) > 0.8

    # A token of the teacher's is found wherever the student's span covers it.
    places = batch["whole"]["positions"][:, 0]
    expected = 0
    for row, place in enumerate(places):
        real = place[place >= 0]
        if len(real) > 4:
            real = real[np.arange(4) * len(real) // 4]
        for view in batch["part"]["positions"][row]:
            expected += np.isin(real, view).sum()
    aligned = logs["cross_view_token_distillation_aligned_pairs"]
    assert float(aligned) == expected > 0
