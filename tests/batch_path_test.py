"""The way of one batch, as CONTRIBUTING.md tells it, is the way it goes."""

import pathlib
import re
import sys

import keras
import pytest

import keras_dinolm as kd

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "keras_dinolm"


def listed():
    """`(file, function)` of CONTRIBUTING.md, in their order."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("## The way of one batch")[1].split("\n## ")[0]
    return re.findall(
        r"^\d+\. `([\w/]+\.py)`, `([\w.]+)`", section, re.MULTILINE
    )


def first_calls(function):
    """`(file, function)` of the package, in the order of their first calls."""
    order = {}

    def note(frame, event, argument):
        if event == "call":
            code = frame.f_code
            order.setdefault((code.co_filename, code.co_qualname))

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return [
        (pathlib.Path(file).relative_to(PACKAGE).as_posix(), name)
        for file, name in order
        if pathlib.Path(file).is_relative_to(PACKAGE)
    ]


@pytest.mark.once
def test_a_batch_goes_the_way_that_contributors_read(tmp_path):
    texts = [f"text number {i} of a small corpus" for i in range(40)]
    tokenizer = kd.data.train_tokenizer(texts, vocabulary_size=60)
    tokens = kd.data.tokenize(
        texts, tokenizer, tmp_path, num_workers=0, show_progress=False
    )
    views = kd.views.TextViews(tokenizer, sequence_length=8)
    backbone = kd.models.DinoLMBackbone(
        tokenizer.vocabulary_size(),
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
    )
    model = kd.models.DinoLM(
        backbone, [kd.objectives.SequenceDistillation()], num_prototypes=4
    )
    model.compile(kd.optimizers.adamw(1e-3, schedule="constant"))

    def train_one_batch():
        dataset = kd.data.view_dataset(
            tokens, views, batch_size=4, use_tf_data=False
        )
        model.fit(dataset, steps_per_epoch=1, verbose=0)

    step = f"training/{keras.backend.backend()}_step.py"
    expected = [
        (step if file == "training/jax_step.py" else file, name)
        for file, name in listed()
    ]
    assert 1 < len(expected) <= 15
    called = first_calls(train_one_batch)
    assert [place for place in called if place in expected] == expected
