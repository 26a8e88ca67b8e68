"""Hand-made features for objectives that need no networks to be tested."""

import keras
import numpy as np

import keras_dinolm as kd

WIDTH = 6


class Encoder:
    hidden_dim = pooled_dim = WIDTH

    def check_num_layers(self, num_layers):
        pass


class Tower:
    encoder = Encoder()
    bottleneck_dim = 4


class Lesson:
    """What objectives ask of a lesson when they are built."""

    roles = {"global": ("student", "teacher"), "local": ("student",)}
    num_prototypes = 5
    bottleneck_dim = 4
    student = teacher = Tower()
    teacher_is_fixed = True


def draw(batch, seed, num_layers=0):
    """Features of one network in NumPy, for each view group."""
    rng = np.random.default_rng(seed)
    made = {}
    for group, arrays in batch.items():
        shape = arrays["token_ids"].shape
        made[group] = {
            "tokens": rng.normal(size=(*shape, WIDTH)).astype("float32"),
            "sequence": rng.normal(size=(*shape[:2], WIDTH)).astype("float32"),
        }
        if num_layers:
            made[group]["layers"] = [
                3 + 2 * rng.normal(size=(*shape, WIDTH)).astype("float32")
                for _ in range(num_layers)
            ]
    return made


def features(batch, student, teacher=None, update=0, kernel=None):
    """`Features` of arrays or tensors.

    Args:
        batch: dict of view group to arrays.
        student: dict of view group to features.
        teacher: the same.
        update: int.
        kernel: array `[D, K]`, which both networks have as each of their
            heads; `None` for objectives that read no head.
    """
    given = {"batch": batch, "student": student, "teacher": teacher or {}}
    given = keras.tree.map_structure(keras.ops.convert_to_tensor, given)

    def logits(head, x):
        return keras.ops.matmul(x, keras.ops.cast(kernel, "float32"))

    def factors(head, x):
        return x, keras.ops.cast(kernel, "float32")

    return kd.objectives.Features(
        **given,
        update=keras.ops.convert_to_tensor(update),
        student_logits=logits,
        teacher_logits=logits,
        student_factors=factors,
        teacher_factors=factors,
    )


def on_numpy(fn):
    """What `fn()` returns, in NumPy; on jax, compiled as a whole.

    Operation by operation, jax would compile each for each shape.
    """
    if keras.backend.backend() == "jax":
        import jax

        fn = jax.jit(fn)
    return keras.tree.map_structure(
        lambda x: keras.ops.convert_to_numpy(keras.ops.stop_gradient(x)), fn()
    )


def compute(objective, features):
    """`objective.compute(features)`, in NumPy."""
    found = on_numpy(lambda: vars(objective.compute(features)))
    return kd.objectives.Result(**found)


def masked_rows(batch, group="global"):
    """`(places, weights)` of the masked tokens; each view weighs the same."""
    masked = batch[group]["masked"]
    places = [tuple(place) for place in np.argwhere(masked)]
    weights = [1.0 / masked[place[:2]].sum() for place in places]
    return places, np.array(weights)
