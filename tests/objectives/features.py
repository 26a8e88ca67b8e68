"""Hand-made features for objectives that need no networks to be tested."""

import keras
import numpy as np

import keras_dinolm as kd

WIDTH = 6


class Encoder:
    hidden_dim = WIDTH

    def check_num_layers(self, num_layers):
        pass


class Tower:
    encoder = Encoder()


class Model:
    """What objectives ask of a model when they are built."""

    roles = {"global": ("student", "teacher"), "local": ("student",)}
    num_prototypes = 5
    bottleneck_dim = 4
    student = teacher = Tower()


def draw(views, seed, num_layers=0):
    """Features of one network in NumPy, for each group of views."""
    rng = np.random.default_rng(seed)
    made = {}
    for group, v in views.items():
        shape = v["token_ids"].shape
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


def features(views, student, teacher=None, **kwargs):
    """`Features` of arrays or tensors."""
    given = {"views": views, "student": student, "teacher": teacher or {}}
    given = keras.tree.map_structure(keras.ops.convert_to_tensor, given)
    kwargs = {"update": 0, **kwargs}
    return kd.objectives.Features(
        **given, student_logits=None, teacher_logits=None, **kwargs
    )


def masked_rows(views, group="global"):
    """`(places, weights)` of the masked tokens; each view weighs the same."""
    masked = views[group]["masked"]
    places = [tuple(place) for place in np.argwhere(masked)]
    weights = [1.0 / masked[place[:2]].sum() for place in places]
    return places, np.array(weights)
