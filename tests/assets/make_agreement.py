"""Five optimizer updates, in numbers that every backend has to reproduce.

    KERAS_BACKEND=jax python -m tests.assets.make_agreement

writes `agreement.json` beside this file. `tests/models/agreement_test.py`
repeats the runs on its own backend and compares. Make the file anew only when
the mathematics changes on purpose.
"""

import json
import pathlib
import platform

import keras
import numpy as np

import keras_dinolm as kd
from tests import tiny

PATH = pathlib.Path(__file__).with_name("agreement.json")
UPDATES = 5
PROJECTIONS = 4
CASES = ("sgd", "adamw")


def model(case):
    """The default objectives, with weights made by NumPy."""
    # Each kind of targets under each optimizer, once as the sequence's.
    sequence, tokens = kd.layers.Sinkhorn(), kd.layers.Centering()
    optimizer = kd.optimizers.AdamW(
        # A clip that bites: the norms of these gradients are above it.
        1e-2,
        weight_decay=0.1,
        global_clipnorm=0.5,
    )
    if case == "sgd":
        sequence, tokens = tokens, sequence
        optimizer = keras.optimizers.SGD(0.05)
    made = tiny.model(
        [
            kd.objectives.SequenceDistillation(targets=sequence),
            kd.objectives.TokenDistillation(targets=tokens),
            kd.objectives.KoLeo(),
            kd.objectives.InfoNCE(),
        ],
        # Quick enough for the teacher to leave its first place.
        momentum=0.8,
    )
    # XLA's compiler would take longer than all else; jax has no other.
    jit = keras.backend.backend() == "jax"
    made.compile(optimizer, jit_compile=jit)
    return made


def run(made):
    """Trains; returns the terms of every update and the teacher's weights."""
    terms = {}
    for step in range(UPDATES):
        made.reset_metrics()
        logs = made.train_on_batch(tiny.batch(step), return_dict=True)
        for name, value in logs.items():
            terms.setdefault(name, []).append(float(value))
    return {
        "terms": terms,
        "teacher": {
            variable.path: summary(variable)
            for variable in made.teacher.weights
        },
    }


def summary(variable):
    """The norm of a variable, and where some directions see it.

    The directions have length 1, so that an error of the variable is not
    larger here than there.
    """
    value = np.ravel(keras.ops.convert_to_numpy(variable)).astype("float64")
    directions = np.random.default_rng(0).normal(size=(PROJECTIONS, value.size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return [float(np.linalg.norm(value)), *(directions @ value).tolist()]


def main():
    backend = keras.backend.backend()
    made = {
        "made_by": {
            "command": f"KERAS_BACKEND={backend} python -m "
            "tests.assets.make_agreement",
            "backend": f"{backend} {_version(backend)}",
            "keras": keras.__version__,
            "machine": platform.machine(),
        },
        "cases": {case: _rounded(run(model(case))) for case in CASES},
    }
    PATH.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    print(f"Wrote {PATH}")


def _version(backend):
    import importlib.metadata

    return importlib.metadata.version(backend)


def _rounded(tree):
    return keras.tree.map_structure(lambda x: float(f"{x:.8g}"), tree)


if __name__ == "__main__":
    main()
