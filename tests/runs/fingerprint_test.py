"""A folder holds one run: another one is an error that shows what differs."""

import os
import re
import warnings

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.runs import fingerprint
from keras_dinolm.runs.resume import FirstWeightsWarning
from keras_dinolm.runs.resume import fit
from keras_dinolm.runs.state_file import CheckpointError
from tests import tiny


def build(rate=1e-2, loss="mse", optimizer=keras.optimizers.Adam, name=None):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(1, name=name)]
    )
    model.compile(optimizer(rate), loss)
    return model


def batches(seed, step):
    while True:
        x = np.random.default_rng([seed, step]).normal(size=(4, 3))
        yield x.astype("float32"), x.sum(1, keepdims=True).astype("float32")
        step += 1


def run(
    directory, seed=0, data_seed=0, steps=2, model=None, make=None, **kwargs
):
    keras.utils.set_random_seed(seed)
    model = model or build(**kwargs)
    make = make or (lambda step: batches(data_seed, step))
    return fit(model, make, directory, steps, 1, verbose=0)


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """The folder of a run of two steps."""
    directory = tmp_path_factory.mktemp("used")
    run(directory)
    return directory


@pytest.mark.parametrize(
    ["changes", "difference"],
    [
        ({"seed": 1}, "seed: 0 then, 1 now"),
        ({"data_seed": 1}, r"data.first batch.0: \"float32 \[4, 3\], checksum"),
        (
            {"rate": 0.5},
            r"optimizer.config.learning_rate: 0.00\d+ then, 0.5 now",
        ),
        (
            {"optimizer": keras.optimizers.Nadam},
            'optimizer.class_name: "Adam" then, "Nadam" now',
        ),
        ({"loss": "mae"}, 'loss.loss: "mse" then, "mae" now'),
    ],
)
def test_another_run_is_an_error_that_names_what_differs(
    changes, difference, used
):
    before = sorted(os.listdir(used))
    # Finished or not.
    for steps in (2, 4):
        with pytest.raises(CheckpointError, match=difference) as error:
            run(used, steps=steps, **changes)
        assert str(used) in str(error.value)
        assert "another `directory`" in str(error.value)
    assert sorted(os.listdir(used)) == before


def test_the_same_run_continues_and_may_take_more_steps(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        first = run(tmp_path).history["loss"]
        assert run(tmp_path).history["loss"] == first
        longer = run(tmp_path, steps=3).history["loss"]
    assert longer[:2] == first and len(longer) == 3


def test_other_first_weights_are_told(used):
    model = build()
    keras.utils.set_random_seed(0)
    with pytest.warns(FirstWeightsWarning, match="began with other weights"):
        run(used, model=model)


def test_fit_may_be_called_again_with_what_it_has_trained(tmp_path):
    """As in a notebook, where a callback has changed the rate."""
    keras.utils.set_random_seed(0)
    model = build()
    run(tmp_path, model=model)
    model.optimizer.learning_rate = 1e-3
    with warnings.catch_warnings():
        warnings.simplefilter("error", FirstWeightsWarning)
        run(tmp_path, model=model, steps=3)
    # Compiled again, it is another run.
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    with pytest.raises(CheckpointError, match="learning_rate: 0.00"):
        run(tmp_path, model=model, steps=4)


def test_a_seed_that_was_never_set_is_not_compared(tmp_path, monkeypatch):
    run(tmp_path)
    monkeypatch.setattr(fingerprint, "_seed", lambda: None)
    run(tmp_path, steps=3)


def test_data_that_never_repeats_is_told_and_not_refused(tmp_path):
    rng = np.random.default_rng(0)

    def make(step):
        return batches(int(rng.integers(1 << 30)), step)

    run(tmp_path, make=make)
    with pytest.warns(UserWarning, match="Seed the data"):
        run(tmp_path, make=make, steps=3)


def test_data_without_a_batch_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one batch"):
        run(tmp_path, make=lambda step: iter(()))
    with pytest.raises(ValueError, match="`make_dataset` must be a callable"):
        run(tmp_path, make=batches(0, 0))


def test_a_look_at_the_data_draws_no_random_numbers():
    def make(step):
        while True:
            yield np.random.normal(size=2), np.array([keras.random.normal(())])

    keras.utils.set_random_seed(3)
    expected = np.random.normal(size=3)
    keras.utils.set_random_seed(3)
    fingerprint.make_described(make)
    np.testing.assert_array_equal(np.random.normal(size=3), expected)


def test_a_dataset_that_can_be_read_again_is_made_once():
    made = []

    def make(step):
        made.append(step)
        return [np.ones(3)]

    _, again = fingerprint.make_described(make)
    again(0)
    again(0)
    again(5)
    assert made == [0, 0, 5]


@pytest.mark.once
def test_what_a_view_dataset_is_made_of_is_named(tmp_path):
    texts = [f"text number {i} of a small corpus" for i in range(10, 50)]
    tokenizer = kd.data.train_tokenizer(texts, 80, show_progress=False)
    tokens = kd.data.tokenize(
        texts, tokenizer, tmp_path / "a", show_progress=False
    )

    def described(seed=0, length=16, batch_size=8, tokens=tokens):
        views = kd.views.TextViews(tokenizer, sequence_length=length)
        return fingerprint.make_described(
            lambda step: kd.data.view_dataset(
                tokens, views, batch_size, seed=seed, start_step=step
            )
        )[0]

    first = described()
    assert described() == first
    for changes, difference in (
        ({"seed": 1}, "seed: 0 then, 1 now"),
        ({"length": 12}, "views.sequence_length: 16 then, 12 now"),
        ({"batch_size": 4}, "batch_size: 8 then, 4 now"),
    ):
        lines = fingerprint.differences(first, described(**changes))
        assert difference in lines
    # As many texts and tokens, of which one differs.
    texts[7] = texts[7].replace("17", "18")
    other = kd.data.tokenize(
        texts, tokenizer, tmp_path / "other", show_progress=False
    )
    [line, *_] = fingerprint.differences(first, described(tokens=other))
    assert line.startswith("store.checksum: ")


def objectives(order):
    made = [
        kd.objectives.SequenceDistillation(name="cold"),
        kd.objectives.SequenceDistillation(
            name="warm", student_temperature=0.2
        ),
    ]
    return made[::order]


@pytest.mark.parametrize(
    ["changes", "difference"],
    [
        ({"momentum": 0.5}, r"model.config.momentum: 0.9 then, 0.5 now"),
        ({"objectives": objectives(-1)}, r"objectives.0.config.name: \"cold\""),
        ({"max_skipped_steps": 3}, "max_skipped_steps: 20 then, 3 now"),
    ],
)
def test_the_recipe_of_a_dino_lm_is_compared(changes, difference):
    def described(objectives=None, **overrides):
        model = tiny.model(
            objectives or globals()["objectives"](1),
            **{"momentum": 0.9, **overrides},
        )
        model.compile(kd.optimizers.adamw(1e-3, schedule="constant"))
        return fingerprint.of_model(model)

    first = described()
    assert fingerprint.differences(first, described()) == []
    lines = "\n".join(fingerprint.differences(first, described(**changes)))
    assert re.search(difference, lines)


def test_the_optimizers_of_several_students_are_compared():
    def described(rate):
        teacher = tiny.model()
        model = kd.models.Distillation(
            [
                kd.models.Lesson(
                    tiny.backbone(),
                    [kd.objectives.SequenceDistillation()],
                    teacher=teacher,
                    name=name,
                )
                for name in ("one", "two")
            ]
        )
        model.compile(
            {
                "one": keras.optimizers.Adam(1e-3),
                "two": keras.optimizers.Adam(rate),
            }
        )
        return fingerprint.of_model(model)

    lines = fingerprint.differences(described(1e-3), described(1e-2))
    assert len(lines) == 1
    assert lines[0].startswith("optimizer.two.config.learning_rate: 0.001")


@pytest.mark.once
def test_names_are_compared_without_the_numbers_of_keras():
    def described():
        inputs = keras.Input((3,))
        outputs = keras.layers.Dense(1)(keras.layers.Dense(2)(inputs))
        model = keras.Model(inputs, outputs)
        model.compile("adam", lambda y, z: keras.ops.mean(y - z))
        return fingerprint.of_model(model)

    assert fingerprint.differences(described(), described()) == []
