"""The README's Python runs, one block after the other, on less of everything.

Names, arguments and their order are the README's own.
"""

import pathlib
import re

README = pathlib.Path(__file__).parent.parent / "README.md"
TEXTS = [
    f"Sort the {kind} of {thing} in place, then give back their {number}."
    for kind in ("keys", "rows", "names")
    for thing in ("a table", "a tree", "an array")
    for number in ("sum", "mean", "length")
]
SMALLER = {
    "kd.data.installed_docs()": repr(TEXTS),
    "vocabulary_size=8_192": "vocabulary_size=120",
    "sequence_length=128": "sequence_length=16",
    "batch_size=256": "batch_size=4",
    '"tiny"': '"nano"',
    "warmup_steps=500": "warmup_steps=1",
    "epochs=20": "epochs=1",
    "steps_per_epoch=1_000": "steps_per_epoch=2",
    "steps=20_000": "steps=4",
    "save_every=250": "save_every=2",
}


def test_its_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = README.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    source = "".join(blocks)
    for ours, smaller in SMALLER.items():
        assert ours in source, ours
        source = source.replace(ours, smaller)
    namespace = {}
    exec(compile(source, str(README), "exec"), namespace)
    assert namespace["features"].shape == (2, 128)
    assert namespace["classifier"].predict(["text"]).shape == (1, 4)
    assert (tmp_path / "runs" / "mine").is_dir()
