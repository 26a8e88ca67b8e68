"""What `fit`, `evaluate` and `predict` of a `DinoLM` accept and refuse."""

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from tests import tiny

TEXTS = [f"a text about the number {i}" for i in range(40)]


def compiled(**overrides):
    model = tiny.model([kd.objectives.InfoNCE()], **overrides)
    model.compile(keras.optimizers.SGD(0.1))
    return model


def generator(item):
    yield item


class Endless(keras.utils.PyDataset):
    num_batches = None

    def __getitem__(self, index):
        return tiny.batch(index)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    tokenizer = kd.data.train_tokenizer(TEXTS, vocabulary_size=60)
    folder = tmp_path_factory.mktemp("tokens")
    return kd.data.tokenize(TEXTS, tokenizer, folder), tokenizer


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
@pytest.mark.parametrize(
    "x",
    [
        None,
        TEXTS,
        "corpus.txt",
        np.array(TEXTS),
        np.zeros((8, 16), "int32"),
        tiny.text_views(),
    ],
    ids=["nothing", "texts", "path", "strings", "array", "views"],
)
def test_names_what_makes_batches_of_views(method, x):
    with pytest.raises(ValueError, match="view_dataset.*stream_dataset"):
        getattr(compiled(), method)(x)


def test_a_token_store_is_not_yet_batches(tokens):
    store, _ = tokens
    with pytest.raises(ValueError, match="view_dataset.*TokenStore"):
        compiled().fit(store)


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((8, 16), "int32"),
        {"token_ids": np.zeros((8, 16), "int32")},
    ],
    ids=["array", "tokens"],
)
def test_a_batch_of_something_else_is_refused(batch):
    with pytest.raises(Exception, match="view_dataset.*another kind"):
        compiled().fit(generator((batch,)), steps_per_epoch=1, verbose=0)


def test_a_single_batch_is_no_dataset():
    """Keras would cut it into rows, and masks count through whole batches."""
    with pytest.raises(ValueError, match="train_on_batch"):
        compiled().fit(tiny.batch())


@pytest.mark.parametrize("name", ["y", "sample_weight", "class_weight"])
def test_there_are_no_labels(name):
    with pytest.raises(ValueError, match=f"Remove `{name}` from `fit`"):
        compiled().fit(tiny.Batches(1), **{name: np.zeros(8)})
    with pytest.raises(ValueError, match="takes no `y`"):
        compiled().evaluate(tiny.Batches(1), np.zeros(8))


def test_the_dataset_makes_the_batches():
    with pytest.raises(ValueError, match="takes no `batch_size`"):
        compiled().fit(tiny.Batches(1), batch_size=4)


def test_an_endless_dataset_needs_steps():
    model = compiled()
    with pytest.raises(ValueError, match="never ends: pass `steps_per_epoch`"):
        model.fit(Endless())
    with pytest.raises(
        ValueError, match="`validation_data`.*`validation_steps"
    ):
        model.fit(tiny.Batches(1), validation_data=Endless())
    with pytest.raises(ValueError, match="never ends: pass `steps`"):
        model.evaluate(Endless())


def test_an_endless_view_dataset_needs_steps(tokens):
    store, tokenizer = tokens
    views = kd.views.TextViews(tokenizer, sequence_length=16)
    for use_tf_data in (None, False):
        dataset = kd.data.view_dataset(
            store, views, batch_size=8, use_tf_data=use_tf_data
        )
        with pytest.raises(ValueError, match="never ends"):
            compiled().fit(dataset)


def test_a_dataset_of_other_views_is_refused_before_anything_runs(tokens):
    store, tokenizer = tokens
    views = kd.views.TextViews(
        tokenizer, 16, groups=[kd.views.ViewGroup("whole", 2)]
    )
    dataset = kd.data.view_dataset(store, views, batch_size=8)
    with pytest.raises(ValueError, match="^The batch lacks.*roles=views.roles"):
        compiled().fit(dataset, steps_per_epoch=1)


def test_views_for_other_networks_are_refused(tokens):
    store, tokenizer = tokens
    groups = [
        kd.views.ViewGroup("global", 2),
        kd.views.ViewGroup("local", 2, span=(0.5, 1.0)),
    ]
    views = kd.views.TextViews(tokenizer, 16, groups=groups)
    dataset = kd.data.view_dataset(store, views, batch_size=8)
    with pytest.raises(ValueError, match="'local'.*roles=views.roles"):
        compiled().fit(dataset, steps_per_epoch=1)


def test_views_of_a_larger_vocabulary_are_refused(tokens):
    store, tokenizer = tokens
    views = kd.views.TextViews(tokenizer, sequence_length=16)
    dataset = kd.data.view_dataset(store, views, batch_size=8)
    model = compiled(backbone_overrides={"vocabulary_size": 30})
    with pytest.raises(ValueError, match="vocabulary_size="):
        model.fit(dataset, steps_per_epoch=1)


def test_evaluates_to_numbers_in_the_order_of_their_names():
    model = compiled()
    logs = model.evaluate(tiny.Batches(2), verbose=0, return_dict=True)
    numbers = model.evaluate(tiny.Batches(2), verbose=0)
    assert model.metrics_names[0] == "loss"
    assert dict(zip(model.metrics_names, numbers, strict=True)) == logs


@pytest.mark.parametrize(
    "arguments",
    [("mse",), {"loss": "mse"}, {"metrics": ["mae"]}, {"loss_weights": [1.0]}],
    ids=str,
)
def test_compile_takes_neither_losses_nor_metrics(arguments):
    named = arguments if isinstance(arguments, dict) else {}
    others = () if named else arguments
    with pytest.raises(ValueError, match="loss and metrics from its"):
        compiled().compile("adam", *others, **named)
