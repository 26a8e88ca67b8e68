"""`load_weights` and `.keras`: everything by its name, or nothing."""

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm import objectives as o
from tests import tiny


def centers(name=None, kind=o.SequenceDistillation, **kwargs):
    targets = kd.layers.Centering()
    if name:
        kwargs["name"] = name
    return kind(targets=targets, **kwargs)


def two(order=1):
    """Two objectives of one class, and one of another."""
    made = [
        centers("cold"),
        centers("warm", student_temperature=0.2),
        centers(kind=o.TokenDistillation),
    ]
    return made[::order]


def build(objectives, seed=0, optimizer=kd.optimizers.AdamW, **kwargs):
    """A model of which each variable says where it is."""
    keras.utils.set_random_seed(seed)
    model = tiny.model(objectives, **kwargs)
    if optimizer is not None:
        model.compile(optimizer(1e-3), jit_compile=False)
    rng = np.random.default_rng(seed)
    for variable in variables(model):
        if "float" in keras.backend.standardize_dtype(variable.dtype):
            variable.assign(rng.normal(size=variable.shape))
    return model


def variables(model):
    metrics = {id(v) for v in model.metrics_variables}
    slots = model.optimizer.variables if model.compiled else []
    return [v for v in (*model.variables, *slots) if id(v) not in metrics]


def assert_same(one, other):
    """Compares heads, centers, encoders and slots, by what they are."""
    for name in one.lesson.objectives:
        pairs = [
            tiny.values(model.lesson.objectives[name].variables)
            for model in (one, other)
        ]
        for a, b in zip(*pairs, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
    for tower in ("student", "teacher"):
        pairs = [tiny.values(getattr(m, tower).weights) for m in (one, other)]
        for a, b in zip(*pairs, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=tower)
    pairs = [tiny.values(m.optimizer.variables) for m in (one, other)]
    for a, b in zip(*pairs, strict=True):
        np.testing.assert_array_equal(a, b, err_msg="optimizer")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    model = build(two())
    model.save_weights(folder / "a.weights.h5")
    model.save(folder / "a.keras")
    return model, folder


@pytest.mark.parametrize("suffix", ["weights.h5", "keras"])
def test_another_order_and_another_seed_change_nothing(suffix, saved):
    model, folder = saved
    other = build(two(-1), seed=1)
    other.load_weights(folder / f"a.{suffix}")
    assert_same(model, other)


def test_a_whole_model_comes_back_with_its_slots(saved):
    model, folder = saved
    assert_same(model, keras.saving.load_model(folder / "a.keras"))


@pytest.mark.parametrize(
    ["objectives", "message"],
    [
        (lambda: two()[:2], "only in the file: .*token_head"),
        (lambda: [*two(), o.VICReg(), o.MaskedLM()], "not in the file"),
        (lambda: [centers("hot"), *two()[1:]], "not in the file: .*hot/targ"),
        (
            lambda: [o.SequenceDistillation(name="cold"), *two()[1:]],
            "only in the file: .*cold/targets/0",
        ),
    ],
    ids=["fewer", "more", "renamed", "without a center"],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(
    objectives, message, saved
):
    other = build(objectives(), seed=1)
    before = tiny.values(variables(other))
    with pytest.raises(ValueError, match=message) as error:
        other.load_weights(saved[1] / "a.weights.h5")
    assert "a.weights.h5" in str(error.value)
    assert "skip_mismatch=True" in str(error.value)
    for a, b in zip(before, tiny.values(variables(other)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_size_is_named(saved):
    other = build(two(), num_prototypes=5)
    with pytest.raises(ValueError, match=r"\(8, 5\) in the model, \(8, 12\)"):
        other.load_weights(saved[1] / "a.weights.h5")


def test_an_optimizer_with_slots_of_the_same_shapes_is_refused(saved):
    """Keras would take what one knows for what the other knows."""
    other = build(two(), seed=1, optimizer=keras.optimizers.Adadelta)
    before = tiny.values(variables(other))
    with pytest.raises(ValueError, match="AdamW of .* then, Adadelta of"):
        other.load_weights(saved[1] / "a.weights.h5")
    for a, b in zip(before, tiny.values(variables(other)), strict=True):
        np.testing.assert_array_equal(a, b)
    other = build(two(), seed=1, optimizer=None)
    other.load_weights(saved[1] / "a.weights.h5")
    for a, b in zip(
        tiny.values(saved[0].student.weights),
        tiny.values(other.student.weights),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(value, tmp_path):
    model = build([o.InfoNCE()])
    weight = model.student.encoder.backbone.token_embedding.embeddings
    weight.assign(np.full(weight.shape, value))
    model.save_weights(tmp_path / "a.weights.h5")
    other = build([o.InfoNCE()], seed=1)
    before = tiny.values(variables(other))
    with pytest.raises(ValueError, match="not finite: token_embedding/embedd"):
        other.load_weights(tmp_path / "a.weights.h5")
    for a, b in zip(before, tiny.values(variables(other)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"lora_rank": 2},
        {"backbone_overrides": {"dropout": 0.1, "drop_path_rate": 0.1}},
    ],
    ids=["lora", "dropout"],
)
def test_a_model_takes_the_file_that_it_wrote(kwargs, tmp_path):
    model = build([o.SequenceDistillation()], **kwargs)
    model.save_weights(tmp_path / "a.weights.h5")
    other = build([o.SequenceDistillation()], seed=1, **kwargs)
    other.load_weights(tmp_path / "a.weights.h5")
    batch = tiny.batch()
    for a, b in zip(
        tiny.values(model.teacher.weights),
        tiny.values(other.teacher.weights),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    same = [
        keras.ops.convert_to_numpy(m(batch)["student"]["global"]["sequence"])
        for m in (model, other)
    ]
    np.testing.assert_allclose(*same, rtol=1e-5, atol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize("content", [b"", b"no hdf5", b"\x89HDF\r\n\x1a\n"])
def test_a_file_that_is_none_is_named(content, tmp_path):
    path = tmp_path / "a.weights.h5"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is no file of weights, or is damag"):
        build([o.InfoNCE()]).load_weights(path)
