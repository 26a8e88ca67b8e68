"""Text encoders learned without labels: the DINO family on text, in Keras 3.

Rooms load when first touched, so `import keras_dinolm` costs next to nothing
and imports neither Keras, keras-hub nor TensorFlow by itself:

    import keras_dinolm as kd

    kd.data        corpora, tokenizer training, token store, `view_dataset`
    kd.curation    copies, junk and leaks out; clusters, balance, neighbours
    kd.views       `TextViews`: spans, masks, perturbations
    kd.models      `DinoLM`, `DinoLMBackbone`, keras-hub tasks and presets
    kd.teachers    fixed encoders to learn from
    kd.objectives  what the student learns from
    kd.losses      the formulas, as pure functions
    kd.layers      the parts of the network
    kd.optimizers  `adamw` with the field's defaults
    kd.schedules   values as functions of the optimizer update
    kd.training    the training step of each backend, phases and guards
    kd.runs        `fit` that resumes, checkpoints, ablations
    kd.recipes     ways to train, each written once
    kd.files       files that appear whole or not at all
    kd.callbacks   monitors and probes
    kd.evaluation  k-NN, retrieval, probes, RankMe; `evaluate` runs nine tasks
    kd.pictures    token similarities, attention maps, prototype atlas
"""

import importlib

from keras_dinolm.version import __version__ as __version__

_ROOMS = {
    "callbacks": "keras_dinolm.callbacks",
    "curation": "keras_dinolm.curation",
    "data": "keras_dinolm.data",
    "evaluation": "keras_dinolm.evaluation",
    "files": "keras_dinolm.files",
    "layers": "keras_dinolm.layers",
    "losses": "keras_dinolm.losses",
    "models": "keras_dinolm.models",
    "objectives": "keras_dinolm.objectives",
    "optimizers": "keras_dinolm.training.optimizers",
    "pictures": "keras_dinolm.pictures",
    "recipes": "keras_dinolm.recipes",
    "runs": "keras_dinolm.runs",
    "schedules": "keras_dinolm.schedules",
    "teachers": "keras_dinolm.teachers",
    "training": "keras_dinolm.training",
    "views": "keras_dinolm.views",
}


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return importlib.import_module(_ROOMS[name])
    raise AttributeError(
        f"module 'keras_dinolm' has no attribute {name!r}. "
        f"Its rooms are: {', '.join(sorted(_ROOMS))}."
    )


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS])
