"""Makes training collapse in four ways that `CollapseMonitor` names.

    KERAS_BACKEND=jax python benchmarks/collapse.py

Four runs are set up to fail, each by a mistake that users make, and the
monitor has to name the failure; three healthy runs with other seeds must give
no warning. The models are small and the texts synthetic (each topic has its
own words). Exits with 1 if a name is wrong.

Cost: about three minutes on two cores. Machine, date and result: `RESULTS.md`,
"Collapse".
"""

import argparse
import pathlib
import sys
import time
import warnings

ROOT = pathlib.Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import ops  # noqa: E402

import keras_dinolm as kd  # noqa: E402

VOCABULARY = 128
LENGTH = 15
STEPS_PER_EPOCH = 20


@keras.saving.register_keras_serializable(package="collapse")
class FixedCenter(kd.layers.Centering):
    """A center that never moves: targets without centering."""

    def after_step(self, statistics, finite, moved):
        pass


@keras.saving.register_keras_serializable(package="collapse")
class Invariance(kd.objectives.Objective):
    """Squared distance between two views, and nothing against collapse."""

    def reads(self, roles):
        return {("student", "global")}

    def compute(self, features):
        views = features.student["global"]["sequence"]
        loss = kd.losses.vicreg(
            views[:, 0], views[:, 1], variance_weight=0, covariance_weight=0
        )
        return kd.objectives.Result(loss)


@keras.saving.register_keras_serializable(package="collapse")
class TwoDimensions(kd.objectives.Objective):
    """Presses the features into their first two dimensions."""

    def reads(self, roles):
        return {("student", group) for group in roles}

    def compute(self, features):
        rest = [
            kd.layers.l2_normalize(group["sequence"])[..., 2:]
            for group in features.student.values()
        ]
        loss = sum(ops.mean(ops.sum(ops.square(x), axis=-1)) for x in rest)
        return kd.objectives.Result(loss)


def texts(count=256, topics=16):
    """Token ids of documents; a topic's words make up most of its texts."""
    rng = np.random.default_rng(0)
    words = rng.integers(3, VOCABULARY, (topics, 12))
    topic = rng.integers(topics, size=(count, 1))
    own = words[topic, rng.integers(12, size=(count, LENGTH))]
    common = rng.integers(3, VOCABULARY, (count, LENGTH))
    chosen = np.where(rng.random((count, LENGTH)) < 0.6, own, common)
    return chosen.astype("int32")


def batches(seed, batch_size=16):
    """Endless views of random texts."""
    documents = texts()
    views = kd.views.TextViews(
        kd.views.SpecialTokens(pad_token_id=0, cls_token_id=1, mask_token_id=2),
        sequence_length=LENGTH + 1,
    )
    lengths = np.full((batch_size,), LENGTH, "int32")
    step = 0
    while True:
        rng = np.random.default_rng((seed, step))
        rows = rng.choice(len(documents), batch_size, replace=False)
        windows = {"token_ids": documents[rows], "lengths": lengths}
        yield (views(windows, seed=seed, step=step),)
        step += 1


def train(
    objectives,
    epochs,
    seed=0,
    learning_rate=1e-2,
    momentum=0.5,
    num_prototypes=32,
    monitor=None,
    callbacks=(),
):
    """Trains a small model under a monitor.

    Returns:
        `(monitor, messages, history)`.
    """
    keras.utils.set_random_seed(seed)
    model = kd.models.DinoLM(
        kd.models.DinoLMBackbone(
            vocabulary_size=VOCABULARY,
            num_layers=1,
            num_heads=2,
            hidden_dim=32,
            intermediate_dim=64,
        ),
        objectives=objectives,
        num_prototypes=num_prototypes,
        head_hidden_dim=64,
        bottleneck_dim=16,
        momentum=momentum,
    )
    model.compile(
        kd.optimizers.adamw(learning_rate, warmup_steps=10, schedule="constant")
    )
    if monitor is None:
        monitor = kd.callbacks.CollapseMonitor(patience=60, check_every=10)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(
            batches(seed),
            steps_per_epoch=STEPS_PER_EPOCH,
            epochs=epochs,
            verbose=0,
            callbacks=[monitor, *callbacks],
        )
    messages = [
        str(w.message)
        for w in caught
        if issubclass(w.category, kd.callbacks.CollapseWarning)
    ]
    return monitor, messages, history.history


def one_prototype():
    """A cold teacher without centering: the classical collapse."""
    return {
        "objectives": [
            kd.objectives.SequenceDistillation(
                teacher_temperature=0.02, targets=FixedCenter()
            )
        ],
        "epochs": 8,
    }


def constant_features():
    """Views are pulled together harder than anything keeps texts apart."""
    return {
        "objectives": [
            kd.objectives.SequenceDistillation(),
            Invariance(weight=20.0),
        ],
        "epochs": 8,
    }


def uniform_assignment():
    """A teacher so warm that it tells nothing; InfoNCE keeps texts apart."""
    return {
        "objectives": [
            kd.objectives.SequenceDistillation(teacher_temperature=100.0),
            kd.objectives.InfoNCE(),
        ],
        "epochs": 6,
        "learning_rate": 1e-3,
    }


def dimensional_collapse():
    """InfoNCE keeps the texts apart, but there are two dimensions for it."""
    return {
        "objectives": [
            kd.objectives.SequenceDistillation(),
            kd.objectives.InfoNCE(),
            TwoDimensions(weight=10.0),
        ],
        "epochs": 9,
        "learning_rate": 3e-3,
        "momentum": 0.9,
    }


def healthy(seed):
    """The default objectives."""
    return {
        "objectives": None,
        "epochs": 10,
        "seed": seed,
        "learning_rate": 1e-3,
        "momentum": 0.99,
    }


RUNS = {
    "constant features": constant_features,
    "one prototype": one_prototype,
    "uniform assignment": uniform_assignment,
    "dimensional collapse": dimensional_collapse,
}


def main():
    argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    good = True
    runs = [(name, {name}, make()) for name, make in RUNS.items()]
    runs += [(f"healthy, seed {s}", set(), healthy(s)) for s in range(3)]
    for name, expected, arguments in runs:
        start = time.time()
        monitor, messages, history = train(**arguments)
        last = {
            key: round(float(history[key][-1]), 3)
            for key in (
                "feature_std",
                "rankme",
                "sequence_distillation_teacher_entropy",
                "sequence_distillation_prototype_perplexity",
                "sequence_distillation_minus_ln_k",
            )
            if key in history
        }
        right = (
            expected <= set(monitor.found) if expected else not monitor.found
        )
        good &= right
        print(
            f"{name:22} {'ok    ' if right else 'WRONG '} named: "
            f"{', '.join(monitor.found) or 'nothing'} "
            f"({time.time() - start:.0f} s)\n    at the end: {last}",
            flush=True,
        )
        for message in messages:
            print(f"    {message}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
