"""From texts to a preset and back, with TensorFlow blocked from import."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np

import keras_dinolm as kd

ROOT = pathlib.Path(__file__).parent.parent
QUERIES = ["the cat sat", "a bird flew over the house"]

# What a user writes, in small.
SCRIPT = """
import sys

# Before anything else: from here on, importing these fails.
for name in ("tensorflow", "tensorflow_text", "tensorflow_datasets"):
    sys.modules[name] = None

import json
import keras
import numpy as np
import keras_dinolm as kd

keras.utils.set_random_seed(0)
animals, places = ["cat", "dog", "bird"], ["house", "tree", "river", "road"]
texts = [
    f"the {a} sat by the {p} and another {a} ran to number {n}"
    for n in range(3) for a in animals for p in places
]
tokenizer = kd.data.train_tokenizer(texts, 120, show_progress=False)
tokens = kd.data.tokenize(texts, tokenizer, "tokens", show_progress=False)
views = kd.views.TextViews(tokenizer, sequence_length=16)
dataset = kd.data.view_dataset(tokens, views, batch_size=8, buckets=[15])
assert isinstance(dataset, keras.utils.PyDataset)

backbone = kd.models.DinoLMBackbone(
    tokenizer.vocabulary_size(), num_layers=1, num_heads=2, hidden_dim=16,
    intermediate_dim=32,
)
model = kd.models.DinoLM(
    backbone, [kd.objectives.InfoNCE()], num_prototypes=8, momentum=0.5
)
model.compile(kd.optimizers.adamw(1e-2, schedule="constant"))
read = lambda: [
    np.array(keras.ops.convert_to_numpy(w)) for w in model.teacher.weights
]
before = read()
history = model.fit(dataset, steps_per_epoch=2, epochs=2, verbose=0).history
assert np.all(np.isfinite(history["loss"])), history
assert max(np.abs(a - b).max() for a, b in zip(read(), before)) > 1e-3
model.export_preset("preset", tokenizer)

embedder = kd.models.DinoLMTextEmbedder.from_preset("preset")
queries = json.loads(sys.argv[1])
features = embedder.encode(queries)
assert features.shape == (2, 16)
np.save("features.npy", features)

import keras_hub

classifier = keras_hub.models.TextClassifier.from_preset(
    "preset", num_classes=3
)
classifier.backbone.trainable = False
classifier.compile("adam", jit_compile=False)
labels = [i // 4 % 3 for i in range(len(texts))]
classifier.fit(texts, labels, batch_size=18, verbose=0)
assert classifier.predict(queries, verbose=0).shape == (2, 3)
assert not any(
    name.split(".")[0].startswith("tensorflow") and module is not None
    for name, module in sys.modules.items()
)
"""


def test_the_whole_path_runs_without_tensorflow(tmp_path):
    """And what it leaves is read by this backend, TensorFlow too."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        backend = "jax"  # the writer; the reader below is TensorFlow
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(QUERIES)],
        cwd=tmp_path,
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    embedder = kd.models.DinoLMTextEmbedder.from_preset(tmp_path / "preset")
    np.testing.assert_allclose(
        embedder.encode(QUERIES), np.load(tmp_path / "features.npy"), atol=1e-5
    )
