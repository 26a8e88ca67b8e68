"""`encode` in many threads, under interrupts, and after changes."""

import ctypes
import threading
import time

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.layers.encoder_block import EncoderBlock
from keras_dinolm.models.encoder.weight_changes import WeightChanges
from keras_dinolm.models.tasks.apart import call_apart
from keras_dinolm.models.tasks.text_classifier import DinoLMTextClassifier
from keras_dinolm.models.tasks.text_embedder import DinoLMTextEmbedder
from keras_dinolm.models.tasks.text_preprocessor import DinoLMTextPreprocessor
from tests import tiny as shared
from tests.gradients import compiled
from tests.models import tiny

TEXTS = ["the quick brown fox", "a lazy dog", "good", ""]


def embedder(backbone=None, **kwargs):
    preprocessor = DinoLMTextPreprocessor(tiny.tokenizer(), sequence_length=16)
    return DinoLMTextEmbedder(
        backbone or tiny.backbone(), preprocessor, **kwargs
    )


def expected(backbone, texts=TEXTS):
    """What the backbone computes now, without anything compiled before."""
    rows = DinoLMTextPreprocessor(tiny.tokenizer(), sequence_length=16)(texts)

    def pooled(rows):
        return backbone(rows, training=False)["pooled_output"]

    if keras.backend.backend() == "jax":
        # It compiles each operation that is not within a compiled function.
        pooled = compiled(pooled)
    return keras.ops.convert_to_numpy(pooled(rows)).astype("float32")


def run_in_threads(function, count):
    """Results of a function in threads that start at the same time."""
    start = threading.Barrier(count)
    results, errors = [], []

    def run():
        start.wait()
        try:
            results.append(function())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


# === Threads ===


def test_threads_encode_at_once_from_the_first_call_on():
    made = embedder()
    right = expected(made.backbone)

    def encode():
        return [made.encode(TEXTS) for _ in range(10)]

    for found in run_in_threads(encode, 6):
        for features in found:
            np.testing.assert_allclose(features, right, atol=1e-5)


def test_threads_predict_classes_at_once():
    preprocessor = DinoLMTextPreprocessor(tiny.tokenizer(), sequence_length=16)
    made = DinoLMTextClassifier(tiny.backbone(), 3, preprocessor)
    features = expected(made.backbone)
    kernel, bias = made.output_dense.get_weights()

    def predict():
        return [made.predict(TEXTS, 4, verbose=0) for _ in range(5)]

    for found in run_in_threads(predict, 4):
        for logits in found:
            np.testing.assert_allclose(
                logits, features @ kernel + bias, atol=1e-4
            )


def test_an_error_half_way_leaves_nothing_behind(monkeypatch):
    made = embedder()
    call = EncoderBlock.call

    def fail(*args, **kwargs):
        raise RuntimeError("half-way")

    monkeypatch.setattr(EncoderBlock, "call", fail)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="half-way"):
            made.encode(TEXTS)
    monkeypatch.setattr(EncoderBlock, "call", call)
    np.testing.assert_allclose(
        made.encode(TEXTS), expected(made.backbone), atol=1e-5
    )


def interrupt(thread):
    return ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(KeyboardInterrupt)
    )


def test_interrupts_at_any_moment_harm_no_later_call():
    made = embedder()
    right = expected(made.backbone)
    seen, stop = [], threading.Event()

    def serve():
        while not stop.is_set():
            try:
                found = made.encode(TEXTS)
                np.testing.assert_allclose(found, right, atol=1e-5)
            except KeyboardInterrupt:
                seen.append("interrupt")
            except Exception as error:
                seen.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    rng = np.random.default_rng(0)
    for count in range(40):
        # The first comes while the network is compiled.
        interrupt(thread)
        deadline = time.monotonic() + 30
        while len(seen) <= count and time.monotonic() < deadline:
            time.sleep(rng.uniform(0, 0.004))
    stop.set()
    thread.join()
    assert seen == ["interrupt"] * 40
    np.testing.assert_allclose(made.encode(TEXTS), right, atol=1e-5)


@pytest.mark.once
def test_a_call_apart_ends_though_its_caller_was_interrupted():
    begun, may_end, ended = (threading.Event() for _ in range(3))
    caught = []

    def work():
        begun.set()
        may_end.wait(10)
        ended.set()

    def wait():
        try:
            call_apart(work)
        except KeyboardInterrupt:
            caught.append(ended.is_set())

    caller = threading.Thread(target=wait)
    caller.start()
    assert begun.wait(10)
    assert interrupt(caller) == 1
    may_end.set()
    caller.join(10)
    assert ended.wait(10) and len(caught) == 1

    def fail():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        call_apart(fail)
    # Threads serve again: there are no more than calls at a time, up to now.
    idents = {call_apart(threading.get_ident) for _ in range(100)}
    assert len(idents) <= 10 and threading.get_ident() not in idents


# === Changes ===


def test_no_change_of_the_network_is_answered_with_old_features():
    backbone = tiny.backbone()
    made = embedder(backbone)
    # Others in its place, each after a call that compiles for the old one.
    rng = np.random.default_rng(0)

    def set_weights():
        backbone.set_weights([w + 0.1 for w in backbone.get_weights()])

    def assign():
        variable = backbone.weights[-1]
        variable.assign(np.ones(variable.shape))

    def change_activation():
        backbone.blocks[0].mlp.up.activation = keras.ops.tanh

    def change_precision():
        backbone.blocks[0].mlp.up.dtype_policy = "mixed_bfloat16"
        backbone.blocks[0].mlp.down.dtype_policy = "mixed_bfloat16"

    def add_lora():
        backbone.enable_lora(2)
        for variable in backbone.trainable_weights:
            variable.assign(rng.normal(size=variable.shape))

    def quantize():
        backbone.quantize("int8")

    changes = [
        set_weights,
        assign,
        change_activation,
        change_precision,
        add_lora,
        quantize,
    ]
    before = made.encode(TEXTS)
    for change in changes:
        change()
        found = made.encode(TEXTS)
        assert np.abs(found - before).max() > 1e-5, change.__name__
        np.testing.assert_allclose(
            found, expected(backbone), atol=2e-2, err_msg=change.__name__
        )
        before = found
        if change is assign:
            made.encode(TEXTS, output_value="token_embeddings")
    tokens = made.encode(TEXTS, output_value="token_embeddings")
    np.testing.assert_allclose(
        [x.mean(axis=0) for x in tokens], found, atol=2e-2
    )
    # No change: nothing is compiled again.
    compiled_before = made._text_call._compiled
    backbone.trainable = False
    made.encode(TEXTS)
    assert made._text_call._compiled is compiled_before


def test_predict_of_keras_is_not_stale_either():
    preprocessor = DinoLMTextPreprocessor(tiny.tokenizer(), sequence_length=16)
    made = DinoLMTextClassifier(tiny.backbone(), 3, preprocessor)
    rows = {
        name: keras.ops.convert_to_numpy(value)
        for name, value in preprocessor(TEXTS).items()
    }
    without = DinoLMTextClassifier(made.backbone, 3)
    without.set_weights(made.get_weights())
    for predict in (
        lambda: made.predict(TEXTS, verbose=0),
        lambda: without.predict(rows, verbose=0),
    ):
        predict()
    made.backbone.quantize("int8")
    kernel, bias = made.output_dense.get_weights()
    right = expected(made.backbone) @ kernel + bias
    for found in (
        made.predict(TEXTS, verbose=0),
        without.predict(rows, verbose=0),
    ):
        np.testing.assert_allclose(found, right, atol=1e-4)


def test_readers_see_the_weights_of_before_or_of_after():
    made = embedder()
    old = made.get_weights()
    new = [w + np.float32(0.5) for w in old]
    allowed = []
    for weights in (new, old):
        made.set_weights(weights)
        allowed.append(made.encode(TEXTS))
    assert np.abs(allowed[0] - allowed[1]).max() > 1e-2

    def is_allowed(features, allowed):
        near = [np.abs(features - x).max(axis=1) < 1e-4 for x in allowed]
        return (near[0] | near[1]).all()

    stop = threading.Event()

    def flip():
        turn = 0
        while not stop.is_set():
            made.set_weights((new, old)[turn % 2])
            turn += 1

    thread = threading.Thread(target=flip)
    thread.start()
    found = [made.encode(TEXTS) for _ in range(40)]
    stop.set()
    thread.join()
    assert all(is_allowed(features, allowed) for features in found)

    # `fit` takes many steps, and on jax the weights are away meanwhile.
    made.set_weights(old)
    made.compile("sgd", "mse")
    thread = threading.Thread(
        target=made.fit,
        args=(TEXTS * 20, np.zeros((80, 16), "float32"), 4, 3, 0),
    )
    thread.start()
    found = []
    while thread.is_alive():
        found.append(made.encode(TEXTS))
    after = made.encode(TEXTS)
    assert np.abs(after - allowed[1]).max() > 1e-4
    allowed = [allowed[1], after]
    assert found and all(is_allowed(x, allowed) for x in found)


def test_a_backbone_is_served_while_it_is_trained_by_a_distillation():
    model = shared.model([kd.objectives.SequenceDistillation()])
    model.compile(kd.optimizers.adamw(1e-2, schedule="constant"))
    backbone = model.student.encoder.backbone
    vocabulary = [*tiny.VOCABULARY, *map(str, range(1000))]
    tokenizer = kd.models.DinoLMTokenizer(
        vocabulary[: backbone.vocabulary_size]
    )
    made = DinoLMTextEmbedder(backbone, DinoLMTextPreprocessor(tokenizer, 16))
    before = made.encode(TEXTS)
    thread = threading.Thread(
        target=model.fit,
        args=(shared.Batches(20),),
        kwargs={"verbose": 0, "epochs": 1},
    )
    thread.start()
    found = []
    while thread.is_alive():
        found.append(made.encode(TEXTS))
    after = made.encode(TEXTS)
    assert found and np.abs(after - before).max() > 1e-4
    for features in found:
        near = [np.abs(features - x).max() < 1e-4 for x in (before, after)]
        assert any(near)


def test_a_callback_reads_the_weights_that_are_being_trained():
    made = embedder()
    made.compile("sgd", "mse")
    seen = []

    class Encode(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(made.encode(TEXTS))

    y = np.zeros((4, 16), "float32")
    made.fit(TEXTS, y, epochs=2, verbose=0, callbacks=[Encode()])
    assert np.abs(seen[0] - seen[1]).max() > 1e-5
    np.testing.assert_allclose(seen[1], made.encode(TEXTS), atol=1e-6)


@pytest.mark.once
def test_a_change_ends_with_its_block_even_if_nobody_says_so():
    changes = WeightChanges()
    me = threading.get_ident()
    thread = threading.Thread(target=lambda: changes.short().__enter__())
    thread.start()
    thread.join()
    assert changes.begin_reading(me) is None
    changes.end_reading(None)
    with changes.short():
        # The thread that makes the change may read.
        assert changes.begin_reading(me) is None
        changes.end_reading(None)
        other = threading.Thread(
            target=lambda: changes.begin_reading(threading.get_ident()),
            daemon=True,
        )
        other.start()
        other.join(0.05)
        assert other.is_alive()
    other.join(10)
    assert not other.is_alive()


# === What cannot be right is named ===


def test_features_that_are_not_finite_are_an_error():
    made = embedder()
    made.encode(TEXTS)
    broken = made.backbone.blocks[0].mlp.up.kernel
    broken.assign(np.full(broken.shape, np.nan))
    for output in ("sentence_embedding", "token_embeddings"):
        with pytest.raises(ValueError, match=r"inputs\[\d\].*mlp/up/kernel"):
            made.encode(TEXTS, output_value=output)
    half = embedder(tiny.backbone(dtype="float16"))
    weights = [np.full(w.shape, 3e4) for w in half.get_weights()]
    half.set_weights(weights)
    with pytest.raises(ValueError, match="float16"):
        half.encode(TEXTS)


@pytest.mark.parametrize("name", ["backbone", "normalize", "pooling"])
@pytest.mark.once
def test_what_is_in_the_graph_cannot_be_exchanged(name):
    made = embedder()
    value = {
        "backbone": tiny.backbone(),
        "normalize": True,
        "pooling": "cls",
    }[name]
    with pytest.raises(AttributeError, match=name):
        setattr(made, name, value)


@pytest.mark.parametrize("policy", ["float16", "mixed_float16"])
def test_half_precision_encodes_and_trains(policy):
    full = tiny.backbone()
    backbone = tiny.backbone(dtype=policy)
    backbone.set_weights(full.get_weights())
    made = embedder(backbone)
    np.testing.assert_allclose(made.encode(TEXTS), expected(full), atol=1e-2)
    if policy == "float16":
        return
    made.compile("sgd", "mse")
    history = made.fit(TEXTS, np.zeros((4, 16), "float32"), verbose=0).history
    mean = np.square(expected(full)).mean()
    np.testing.assert_allclose(history["loss"], [mean], rtol=1e-2)
