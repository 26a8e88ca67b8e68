"""Five optimizer updates of seven ways to train, and the views, in numbers.

    KERAS_BACKEND=jax python -m tests.assets.trajectories --write
    KERAS_BACKEND=jax python -m tests.assets.trajectories

The first command writes this backend's part of `trajectories.json`; the second
repeats the runs and prints the largest difference of each. Where code moves
and its mathematics does not, all differences stay below 1e-6, and the views
are the same to the bit. `tests/models/trajectories_test.py` does the same with
a tolerance for other machines. Write the file again only when the mathematics
changes on purpose.
"""

import argparse
import hashlib
import json
import os
import pathlib
import sys
import tempfile
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false",
)

import keras
import numpy as np

import keras_dinolm as kd
from tests import tiny

PATH = pathlib.Path(__file__).with_name("trajectories.json")
UPDATES = 5
TOLERANCE = 1e-6
DIRECTIONS = 3
O = kd.objectives  # noqa: E741


# === Models, each with its parts by name ===


def sgd():
    return keras.optimizers.SGD(0.05, momentum=0.5, global_clipnorm=1.0)


def tower_parts(name, tower, encoder=True):
    """`(name, weights)` of an encoder and its heads."""
    if encoder:
        yield f"{name}/encoder", tower.encoder.weights
    for head in tower.heads:
        yield f"{name}/{head}/head", tower.projection(head).weights
        yield f"{name}/{head}/prototypes", tower.prototypes(head).weights


def objective_parts(name, objectives):
    for objective in objectives:
        yield f"{name}/{objective.name}", objective.weights


def fill(parts):
    """Fixed weights: a function of the part's name and the shape alone."""
    for name, weights in parts:
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        for weight in weights:
            if len(weight.shape) > 1:
                scale = 1.0 / np.sqrt(weight.shape[0])
                weight.assign(scale * rng.normal(size=weight.shape))


def single(objectives, optimizer=None, layers=2, momentum=0.8, **kwargs):
    """One student and the teacher that follows it."""
    model = kd.models.DinoLM(
        tiny.backbone(num_layers=layers, **kwargs),
        objectives,
        num_prototypes=12,
        head_hidden_dim=16,
        bottleneck_dim=8,
        momentum=momentum,
    )
    fill(tower_parts("student", model.student))
    fill(objective_parts("objective", objectives))
    model.reset_teacher()
    model.compile(optimizer or sgd())
    return model


def single_parts(model):
    yield from tower_parts("student", model.student)
    yield from tower_parts("teacher", model.teacher)
    yield from objective_parts("objective", model.objectives)


def trained(width, num_prototypes):
    """A model to be the teacher of others."""
    model = kd.models.DinoLM(
        tiny.backbone(hidden_dim=width, num_layers=2),
        [O.SequenceDistillation(), O.TokenDistillation()],
        num_prototypes=num_prototypes,
        head_hidden_dim=16,
        bottleneck_dim=width // 2,
    )
    fill(tower_parts(f"trained{width}", model.student))
    model.reset_teacher()
    return model


def default():
    objectives = [
        O.SequenceDistillation(),
        O.TokenDistillation(),
        O.KoLeo(),
        O.InfoNCE(),
    ]
    optimizer = kd.optimizers.AdamW(
        1e-2, weight_decay=0.1, global_clipnorm=0.5, epsilon=1e-2
    )
    return single(objectives, optimizer), single_parts


def bag_objectives():
    return [O.MaskedLM(), O.InfoNCE()]


def bag():
    model = single(bag_objectives(), layers=0, num_registers=0)
    return model, single_parts


def deepened_bag():
    shallow, _ = bag()
    backbone = kd.models.extend_depth(
        shallow.student.encoder.backbone,
        num_layers=2,
        layer_scale=0.1,
        num_registers=2,
        pooled_layers=(0,),
    )
    objectives = bag_objectives()
    model = kd.models.DinoLM(
        backbone,
        objectives,
        num_prototypes=12,
        head_hidden_dim=16,
        bottleneck_dim=8,
        momentum=0.8,
    )
    new = [w for w in backbone.weights if "block" in w.path]
    assert new
    fill([("new", new), *objective_parts("objective", objectives)])
    model.reset_teacher()
    model.compile(sgd())
    return model, single_parts


def gram_anchoring():
    objectives = [
        O.InfoNCE(),
        O.GramAnchoring(weight=2.0, start=1, refresh_every=2),
    ]
    return single(objectives), single_parts


def online_codebook():
    objectives = [
        O.SequenceDistillation(targets=kd.layers.OnlineCodebook(12)),
        O.TokenDistillation(targets=kd.layers.OnlineCodebook(12), start=2),
    ]
    return single(objectives), single_parts


def lesson(name, student, teacher, objectives, **kwargs):
    return kd.models.Lesson(
        student,
        objectives,
        head_hidden_dim=16,
        bottleneck_dim=8,
        teacher=teacher,
        name=name,
        **kwargs,
    )


def several_students():
    teacher = trained(24, 12)
    model = kd.models.Distillation(
        [
            lesson(
                "first",
                tiny.backbone(hidden_dim=16),
                teacher,
                [O.SequenceDistillation(targets=kd.layers.Centering())],
            ),
            lesson(
                "second",
                tiny.backbone(hidden_dim=8),
                teacher,
                [O.InfoNCE(), O.TokenDistillation(start=3)],
            ),
        ]
    )
    for name, part in model.lessons().items():
        fill(tower_parts(name, part.student))
    model.compile(
        {
            "first": keras.optimizers.SGD(0.05, gradient_accumulation_steps=2),
            "second": keras.optimizers.SGD(0.1, global_clipnorm=0.1),
        }
    )
    return model, several_students_parts


def several_students_parts(model):
    for name, part in model.lessons().items():
        yield from tower_parts(name, part.student)
        yield from objective_parts(name, part.objectives.values())
    yield from tower_parts("teacher", model.lessons()["first"].teacher)


def several_teachers():
    encoder = kd.models.TextEncoder(tiny.backbone(num_layers=2))
    model = kd.models.Distillation(
        [
            lesson(
                name,
                encoder,
                trained(width, count),
                [
                    O.SequenceDistillation(targets=kd.layers.Centering()),
                    O.TokenDistillation(),
                ],
                weight=weight,
            )
            for name, width, count, weight in (
                ("docs", 24, 12, 1.0),
                ("news", 20, 9, 3.0),
            )
        ]
    )
    fill([("shared", encoder.weights)])
    for name, part in model.lessons().items():
        fill(tower_parts(name, part.student, encoder=False))
    model.compile(sgd())
    return model, several_teachers_parts


def several_teachers_parts(model):
    yield "encoder", model.learners()[0].lessons.values()[0].encoder.weights
    for name, part in model.lessons().items():
        yield from tower_parts(f"{name}/student", part.student, False)
        yield from tower_parts(f"{name}/teacher", part.teacher)
        yield from objective_parts(name, part.objectives.values())


CASES = {
    function.__name__: function
    for function in (
        default,
        bag,
        deepened_bag,
        gram_anchoring,
        online_codebook,
        several_students,
        several_teachers,
    )
}


# === Runs ===


class Losses(keras.callbacks.Callback):
    """The loss of each batch, and the logs of the epoch, which are means."""

    def __init__(self):
        super().__init__()
        self.losses = []
        self.total = 0.0

    def on_train_batch_end(self, batch, logs=None):
        mean = float(logs["loss"])
        self.losses.append(mean * (batch + 1) - self.total)
        self.total += self.losses[-1]

    def on_epoch_end(self, epoch, logs=None):
        self.logs = {name: float(value) for name, value in logs.items()}


def run(case, run_eagerly=False):
    """Trains a new model; returns the numbers of `run_model`."""
    keras.utils.set_random_seed(0)
    model, parts = CASES[case]()
    model.run_eagerly = run_eagerly
    return run_model(model, parts)


def run_model(model, parts):
    """Trains; returns the losses, the logs and the checksums of all weights."""
    before = checksums(parts(model))
    losses = Losses()
    model.fit(
        tiny.Batches(UPDATES),
        epochs=1,
        steps_per_epoch=UPDATES,
        callbacks=[losses],
        verbose=0,
    )
    after = checksums(parts(model))
    moved = [name for name in after if after[name] != before[name]]
    assert moved
    return {"losses": losses.losses, "logs": losses.logs, "weights": after}


def checksums(parts):
    """Of each part, where some directions of length 1 see its weights."""
    result = {}
    for name, weights in parts:
        if not weights:
            continue
        value = np.concatenate(
            [np.ravel(keras.ops.convert_to_numpy(w)) for w in weights]
        ).astype("float64")
        directions = np.random.default_rng(value.size).normal(
            size=(DIRECTIONS, value.size)
        )
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        norm = np.linalg.norm(value) / np.sqrt(value.size)
        result[name] = [norm, *(directions @ value)]
    return result


# === Views ===


def views_digest():
    """A digest of batches of each kind of views, the same on any backend."""
    words = "a big large form from to the cat sat on mat and dogs ran home"
    rng = np.random.default_rng(0)
    texts = [
        " ".join(rng.choice(words.split(), rng.integers(1, 60))) + "."
        for _ in range(300)
    ]
    documents = [
        kd.data.Document(text, alternates=[text[::-1], "the cat"][: i % 3])
        for i, text in enumerate(texts)
    ]
    tokenizer = kd.data.train_tokenizer(documents, vocabulary_size=100)
    digests = {}
    with tempfile.TemporaryDirectory() as folder:
        tokens = kd.data.tokenize(
            documents, tokenizer, folder, show_progress=False
        )
        for name, (views, options) in view_cases(tokenizer).items():
            digest = hashlib.sha256()
            for use_tf_data in (False, True):
                dataset = kd.data.view_dataset(
                    tokens,
                    views,
                    batch_size=16,
                    seed=3,
                    start_step=5,
                    use_tf_data=use_tf_data,
                    **options,
                )
                for _, batch in zip(range(4), dataset):
                    update(digest, batch)
            digests[name] = digest.hexdigest()
    return digests


def view_cases(tokenizer):
    ramp = kd.schedules.Linear
    group = kd.views.ViewGroup
    rich = (
        group(
            "global",
            count=2,
            span=(ramp(1.0, 0.5, steps=10), 1.0),
            mask_probability=ramp(0.2, 1.0, steps=8),
            mask_ratio=(0.1, 0.5),
            mask_unit="word",
            word_swap=0.2,
            word_deletion=0.1,
            punctuation_removal=0.5,
            typos=0.1,
            sentence_shuffle=0.5,
        ),
        group("local", 4, span=(0.2, 0.4), roles="student"),
    )
    both = (group("global", 2, alternate_probability=0.5),)
    clusters = np.arange(300) % 5
    return {
        "default": (kd.views.TextViews(tokenizer, 32), {}),
        "rich": (
            kd.views.TextViews(
                tokenizer, 32, rich, typos=kd.views.typo_table(tokenizer)
            ),
            {"buckets": [15, 31], "block_tokens": 4_000},
        ),
        "alternates": (kd.views.TextViews(tokenizer, 24, both), {}),
        "clusters": (
            kd.views.TextViews(tokenizer, 24),
            {"homogeneous": kd.data.HomogeneousBatches(clusters, 0.5)},
        ),
    }


def update(digest, batch):
    for group in sorted(batch):
        for key in sorted(batch[group]):
            array = np.asarray(batch[group][key])
            digest.update(f"{group}/{key}/{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())


# === Writing and comparing ===


def differences(found, expected):
    """The largest differences of one case: of losses relative to them."""
    for part in ("weights", "logs"):
        assert found[part].keys() == expected[part].keys(), (
            found[part].keys() ^ expected[part].keys()
        )
    return {
        # Losses come from a float32 mean that `fit` logs.
        "losses": np.abs(
            np.divide(found["losses"], expected["losses"]) - 1.0
        ).max(),
        "logs": max(
            abs(value - expected["logs"][name])
            for name, value in found["logs"].items()
        ),
        "weights": max(
            np.abs(np.subtract(value, expected["weights"][name])).max()
            for name, value in found["weights"].items()
        ),
    }


def read():
    return json.loads(PATH.read_text(encoding="utf-8"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    backend = keras.backend.backend()
    stored = read() if PATH.exists() else {}
    views = views_digest()
    runs = {case: run(case) for case in CASES}
    if args.write:
        assert stored.get("views", views) == views
        stored["views"] = views
        stored[backend] = runs
        PATH.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
        print(f"Wrote the runs of {backend} to {PATH}")
        return 0
    good = views == stored["views"]
    print(f"{backend}: views {'equal to the bit' if good else 'DIFFER'}")
    for case in CASES:
        found = differences(runs[case], stored[backend][case])
        # Logs are sums in float32 of numbers of all sizes.
        good &= max(found["losses"], found["weights"]) <= TOLERANCE
        good &= found["logs"] <= 10 * TOLERANCE
        print(
            f"{backend}: {case:18} "
            + ", ".join(f"{name} {found[name]:.1e}" for name in found)
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
