"""LoRA students: what learns, what stays, and what is written."""

import shutil

import keras
import keras_hub
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.models.encoder.lora import enable_lora
from keras_dinolm.models.encoder.lora import merged_values
from tests import tiny
from tests.gradients import compiled
from tests.models import tiny as tiny_models

O = kd.objectives  # noqa: E741
MOMENTUM = 0.75


def model():
    """A student with LoRA, compiled; the weights come from NumPy."""
    made = tiny.model(
        [O.SequenceDistillation(), O.InfoNCE()], momentum=MOMENTUM, lora_rank=2
    )
    made.compile(kd.optimizers.adamw(1e-2, schedule="constant"))
    return made


def compute(encoder, rows):
    # jax compiles each single operation outside of a compiled function, and
    # knows a function again by its identity, with the weights as they were.
    if keras.backend.backend() == "jax":
        return compiled(lambda rows: encoder(rows))(rows)
    return encoder(rows)


def features(encoder, seed=3):
    found = compute(encoder, tiny_models.rows(seed=seed))
    return tiny.values([found["sequence"]])[0]


def named(network):
    values = tiny.values(network.weights)
    return {w.path: v for w, v in zip(network.weights, values, strict=True)}


def merged(weights):
    """The weights with W + AB for W, in float64, and how many such W."""
    plain, sums = [], 0
    for path, value in weights.items():
        stem = path.removesuffix("kernel")
        if f"{stem}lora_kernel_a" in weights:
            a, b = (weights[f"{stem}lora_kernel_{x}"] for x in "ab")
            value = value + np.tensordot(a.astype("float64"), b, axes=1)
            sums += 1
        if "lora" not in path:
            plain.append(value)
    return plain, sums


@pytest.fixture(scope="module")
def trained():
    """A model after three steps, and its weights before and after each."""
    made = model()
    states = [(named(made.student), tiny.values(made.teacher.weights))]
    for step in range(3):
        made.train_on_batch(tiny.batch(step))
        states.append((named(made.student), tiny.values(made.teacher.weights)))
    return made, states


def test_before_training_it_computes_what_the_encoder_did():
    plain = kd.models.TextEncoder(tiny.backbone(), name="encoder")
    before = features(plain)
    made = kd.models.DinoLM(plain, [O.InfoNCE()], lora_rank=3)
    np.testing.assert_allclose(
        features(made.student.encoder), before, atol=1e-6
    )
    np.testing.assert_array_equal(features(made.teacher.encoder), before)


def test_low_rank_updates_and_heads_learn_and_nothing_else(trained):
    made, states = trained
    before, after = states[0][0], states[-1][0]
    heads = ("student/sequence_head/", "student/sequence_prototypes/")
    for path in before:
        learns = "lora" in path or path.startswith(heads)
        assert learns == np.any(before[path] != after[path]), path
    learning = {v.path for v in made.trainable_variables}
    assert learning == {p for p in before if "lora" in p or "student/" in p}
    # With the kernel's depth in its path, by which rates may differ.
    updates = [p for p in learning if "lora" in p]
    assert updates == [p for p in updates if p.startswith("block_0/")]
    assert sum(before[p].size for p in updates) == 2 * (16 + 48)


def test_the_teacher_averages_what_the_updates_add_up_to(trained):
    made, states = trained
    for (_, teacher), (student, next_teacher) in zip(states, states[1:]):
        plain, _ = merged(student)
        for old, new, value in zip(teacher, next_teacher, plain, strict=True):
            expected = MOMENTUM * old + (1 - MOMENTUM) * value
            np.testing.assert_allclose(new, expected, atol=1e-6)
    assert len(made.teacher.weights) == len(teacher)


def test_a_preset_holds_plain_weights_that_compute_the_same(trained, tmp_path):
    made, _ = trained
    student = made.student.encoder
    tokenizer = kd.models.DinoLMTokenizer(
        [
            *tiny_models.VOCABULARY[:5],
            *map(str, range(tiny.VOCABULARY_SIZE - 5)),
        ]
    )
    kd.models.export_preset(student, tokenizer, tmp_path / "student")
    made.export_preset(tmp_path / "teacher", tokenizer)
    for name, encoder in (
        ("student", student),
        ("teacher", made.teacher.encoder),
    ):
        path = str(tmp_path / name)
        loaded = keras_hub.models.Backbone.from_preset(path)
        assert not [w.path for w in loaded.weights if "lora" in w.path]
        assert len(loaded.trainable_weights) == len(loaded.weights)
        np.testing.assert_allclose(
            features(kd.models.TextEncoder(loaded)),
            features(encoder),
            atol=1e-6,
        )


def test_a_saved_model_goes_on_learning(trained, tmp_path):
    """Keras writes W + AB and 0 for A and B, which would stay 0 for ever."""
    made, _ = trained
    path = tmp_path / "model.keras"
    made.save(path)
    again = keras.saving.load_model(path)
    np.testing.assert_allclose(
        features(again.student.encoder),
        features(made.student.encoder),
        atol=1e-6,
    )
    before = named(again.student)
    again.fit(tiny.Batches(1), epochs=0, verbose=0)
    after = named(again.student)
    for path in before:
        if path.endswith("lora_kernel_a"):
            assert not np.any(before[path]) and np.any(after[path])
        else:
            np.testing.assert_array_equal(after[path], before[path])


def test_a_stopped_run_ends_as_if_it_had_not_been(trained, tmp_path):
    made, _ = trained

    def go_on():
        kd.runs.fit(
            made,
            lambda start: tiny.Batches(4 - start, start),
            tmp_path,
            steps=4,
            steps_per_epoch=2,
            verbose=0,
        )
        return tiny.values([*made.variables, *made.optimizer.variables])

    whole = go_on()
    # Back to the middle; what the model holds now must not matter.
    shutil.rmtree(tmp_path / "step-0000000004")
    for variable in made.weights:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    for a, b in zip(go_on(), whole, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_student_of_a_fixed_teacher_is_exported_with_its_updates():
    made = kd.models.DinoLM(
        tiny.backbone(),
        [O.SequenceDistillation()],
        teacher=tiny.model([O.SequenceDistillation()]),
        lora_rank=2,
    )
    for variable in made.student.encoder.trainable_weights:
        variable.assign(np.ones(variable.shape))
    copy = made.learned().encoder.clone()
    assert copy.trainable_weights and len(copy.weights) < len(
        made.student.encoder.weights
    )
    np.testing.assert_allclose(
        features(copy), features(made.student.encoder), atol=1e-6
    )
    # And as a whole, to teach another student.
    weights = made.learned().clone(name="teacher").encoder.get_weights()
    for a, b in zip(weights, copy.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "name", ["DinoLMBackbone", "AlbertBackbone", "DebertaV3Backbone"]
)
def test_backbones_have_queries_and_values_to_adapt(name):
    ours = name == "DinoLMBackbone"
    encoder = kd.models.TextEncoder(
        tiny_models.backbone() if ours else tiny_models.stock(name)
    )
    plain = tiny.values(encoder.weights)
    enable_lora(encoder, 2)
    paths = [w.path for w in encoder.trainable_weights]
    # A and B, of the fused projection or of queries and values.
    assert len(paths) == (2 if ours else 4)
    assert all("lora_kernel" in path for path in paths)
    for a, b in zip(merged_values(encoder), plain, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), b)


def test_merged_kernels_of_any_rank_are_the_sum():
    """keras-hub's kernels are `[dim, heads, head_dim]`."""
    encoder = kd.models.TextEncoder(tiny_models.stock("BertBackbone"))
    enable_lora(encoder, 2)
    rng = np.random.default_rng(0)
    for variable in encoder.trainable_weights:
        variable.assign(rng.normal(size=variable.shape))
    found = [keras.ops.convert_to_numpy(v) for v in merged_values(encoder)]
    expected, sums = merged(named(encoder))
    assert sums == 2
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("rank", [0, 1.5, True])
def test_a_rank_is_a_positive_integer(rank):
    with pytest.raises(ValueError, match=f"rank={rank}"):
        tiny.model([O.InfoNCE()], lora_rank=rank)


def test_updates_are_added_once_and_only_where_they_can_be():
    encoder = kd.models.TextEncoder(tiny_models.backbone())
    enable_lora(encoder, 2)
    trainable = [w.path for w in encoder.trainable_weights]
    with pytest.raises(ValueError, match="already.*clone"):
        enable_lora(encoder, 2)
    assert [w.path for w in encoder.trainable_weights] == trainable
    with pytest.raises(ValueError, match="rank=0"):
        enable_lora(encoder, 0)
    without = kd.models.TextEncoder(tiny_models.backbone(num_layers=0))
    with pytest.raises(ValueError, match="no layer.*query_key_value"):
        enable_lora(without, 2)
    assert without.trainable_weights


def test_an_update_of_integers_is_not_merged_in_silence():
    """Keras adds W and AB as they are; W is scaled integers by then."""
    encoder = kd.models.TextEncoder(tiny_models.backbone())
    encoder.backbone.quantize("int8")
    enable_lora(encoder, 2)
    with pytest.raises(ValueError, match="query_key_value.*int8"):
        merged_values(encoder)
