"""Every objective and every kind of targets, in float32 and mixed_bfloat16.

Both policies get the same weights and the same features; under the mixed one
the features come in bfloat16, as its encoder gives them. That alone moves
each of them by up to 2^-9 of itself.
"""

import inspect

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny
from tests.gradients import value_and_grad
from tests.objectives import features as made

O = kd.objectives  # noqa: E741
L = kd.layers
K, WIDTH = 12, 16
VIEWS = tiny.batch(batch_size=8)
# Two local views are enough, and compile in less time.
VIEWS["local"] = {name: x[:, :2] for name, x in VIEWS["local"].items()}
PUBLIC = {
    name: thing
    for room in (O, L)
    for name, thing in vars(room).items()
    if inspect.isclass(thing) and hasattr(thing, "after_step")
} | {
    name: thing
    for name, thing in vars(O).items()
    if inspect.isclass(thing) and issubclass(thing, O.Objective)
}
TARGETS = {name for name in PUBLIC if name in vars(L)}
OBJECTIVES = set(PUBLIC) - TARGETS - {"Objective"}


def targets():
    return {
        "sinkhorn": L.Sinkhorn(),
        "centering": L.Centering(),
        "soft_codebook": L.OnlineCodebook(K, hard=False),
        "hard_codebook": L.OnlineCodebook(K),
    }


def make_objectives():
    """Every objective, and one of them with each kind of targets."""
    # Soft enough that a rounded cosine is no other target.
    options = {"teacher_temperature": 0.1}
    made = [
        O.SequenceDistillation(targets=kind, name=name, **options)
        for name, kind in targets().items()
    ]
    made += [
        O.TokenDistillation(**options),
        O.TokenDistillation(max_logits=5 * K, name="in_chunks", **options),
        O.CrossViewTokenDistillation(targets=L.Centering(), **options),
        O.FeatureRegression(num_layers=2),
        O.KoLeo(across_views=True, name="koleo_across_views"),
        # Its own teacher computes in half precision, too.
        O.UnitPrediction(
            (5, 8), tiny.backbone(hidden_dim=8), window=1, temperature=0.5
        ),
        O.VICReg(expander_dim=8),
        O.SIGReg(seed=0),
        O.MomentumContrast(queue_size=20),
    ]
    # All others, and those to come, as they are by default.
    there = {type(o).__name__ for o in made} - {"KoLeo"}
    return made + [PUBLIC[name]() for name in sorted(OBJECTIVES - there)]


OF_EACH_NAME = {objective.name: objective for objective in make_objectives()}
NAMES = list(OF_EACH_NAME)


def build(policy):
    """A model for its heads, and the objectives built for it."""
    keras.config.set_dtype_policy(policy)
    try:
        model = tiny.model(
            [O.SequenceDistillation(), O.TokenDistillation()],
            backbone_overrides={"num_layers": 2},
        )
        objectives = make_objectives()
        for objective in objectives:
            objective.build_for(model.lesson)
    finally:
        keras.config.set_dtype_policy("float32")
    return model, objectives


def draw(seed):
    """Features of one network: tokens around the sequence they are from."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for group, view in VIEWS.items():
        shape = view["token_ids"].shape
        sequence = rng.normal(size=(*shape[:2], WIDTH))
        tokens = sequence[:, :, None] + 2 * rng.normal(size=(*shape, WIDTH))
        arrays[group] = {
            "tokens": tokens.astype("float32"),
            "sequence": sequence.astype("float32"),
        }
    return arrays


STUDENT, TEACHER = draw(1), draw(2)
KEYS = [(g, k) for g in STUDENT for k in STUDENT[g]]


def losses_of(model, dtype):
    """A function of an objective and the student's features: its loss."""

    def cast(x):
        return keras.ops.cast(keras.ops.convert_to_tensor(x), dtype)

    teacher = keras.tree.map_structure(cast, TEACHER)
    for features in teacher.values():
        features["layers"] = [features["tokens"] + i for i in range(2)]

    def losses(objective, *arrays):
        student = {group: {} for group in STUDENT}
        for (group, key), array in zip(KEYS, arrays):
            student[group][key] = cast(array)
        features = O.Features(
            keras.tree.map_structure(keras.ops.convert_to_tensor, VIEWS),
            student,
            teacher,
            update=0,
            student_logits=model.student.logits,
            teacher_logits=model.teacher.logits,
            student_factors=model.student.factors,
            teacher_factors=model.teacher.factors,
        )
        return objective.compute(features).loss

    return losses


@pytest.fixture(scope="module")
def results():
    """`{policy: {name: (dtype, loss, gradient)}}`."""
    built = {policy: build(policy) for policy in ("float32", "mixed_bfloat16")}
    sides = [
        [*model.weights, *sum((o.weights for o in objectives), [])]
        for model, objectives in built.values()
    ]
    for one, other in zip(*sides, strict=True):
        assert one.shape == other.shape
        other.assign(one.value)
    arrays = [STUDENT[group][key] for group, key in KEYS]
    found = {}
    for policy, (model, objectives) in built.items():
        for objective in objectives:
            for variable in objective.weights:
                kind = keras.backend.standardize_dtype(variable.dtype)
                assert kind in ("float32", "int32"), variable.path
        dtype = "float32" if policy == "float32" else "bfloat16"
        losses = losses_of(model, dtype)
        found[policy] = {}
        for objective in objectives:
            dtypes = []

            def loss(*inputs, losses=losses, objective=objective, to=dtypes):
                value = losses(objective, *inputs)
                to.append(keras.backend.standardize_dtype(value.dtype))
                return value

            value, grads = value_and_grad(loss, *arrays)
            gradient = np.concatenate([grad.ravel() for grad in grads])
            found[policy][objective.name] = dtypes[0], value, gradient
    return found


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_follows_full_precision(results, name):
    _, expected, true = results["float32"][name]
    dtype, loss, gradient = results["mixed_bfloat16"][name]
    assert dtype == "float32"
    assert loss == pytest.approx(expected, rel=0.02)
    assert np.all(np.isfinite(gradient)) and np.any(true)
    norms = np.linalg.norm(gradient), np.linalg.norm(true)
    assert gradient @ true > 0.98 * norms[0] * norms[1]
    assert norms[0] == pytest.approx(norms[1], rel=0.05)


# === What each objective, and each kind of targets, has ===


def test_every_kind_of_targets_is_here():
    assert TARGETS == {type(made).__name__ for made in targets().values()}


@pytest.mark.parametrize("name", sorted(OBJECTIVES | TARGETS))
def test_documentation_names_a_paper_and_shows_an_example(name):
    doc = inspect.getdoc(PUBLIC[name])
    head, _, references = doc.partition("\nReference")
    assert "https://" in references, "no paper"
    assert "```python" in head and "Args:" in head
    # Arguments of `Objective` are described in its own docstring.
    own = vars(PUBLIC[name]).get("__init__", lambda: None)
    for argument in inspect.signature(own).parameters.values():
        if argument.kind is argument.POSITIONAL_OR_KEYWORD:
            described = f"    {argument.name}:" in head
            assert described or argument.name == "self", argument.name


@pytest.mark.parametrize("name", NAMES)
def test_config_round_trip(name):
    objective = OF_EACH_NAME[name]
    config = keras.saving.serialize_keras_object(objective)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(objective)
    assert keras.saving.serialize_keras_object(again) == config
    arguments = inspect.signature(type(objective)).parameters.values()
    names = {a.name for a in arguments if a.kind is a.POSITIONAL_OR_KEYWORD}
    assert names <= set(objective.get_config())


def test_with_weight_zero_an_objective_costs_nothing():
    silent = [
        type(o).from_config({**o.get_config(), "weight": 0, "name": o.name})
        for o in OF_EACH_NAME.values()
        if o.name != "info_nce"
    ]
    model = tiny.model(
        [O.InfoNCE(), *silent], backbone_overrides={"num_layers": 2}
    )
    assert model.plan.active == {("lesson", "info_nce")}
    outputs = made.on_numpy(lambda: model(VIEWS))
    assert {n: set(o) for n, o in outputs.items()} == {
        "student": {"local"},
        "teacher": set(),
    }
