"""The Python of README and guides runs, and the site builds.

A block fenced as `python` is run, those of a page one after the other in one
namespace, on less of everything. A block fenced as `py` is for reading. The
pages run in one folder, the README first: what it trains in `runs/mine`, the
guides open.
"""

import contextlib
import inspect
import io
import os
import pathlib
import re
import subprocess
import sys

import pytest

import keras_dinolm as kd

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
PRINTED = re.compile(r"^print\(.*\)  # (.+)$", re.MULTILINE)

TEXTS = [
    f"Sort the {kind} of {thing} in place, then give back their {number}."
    for kind in ("keys", "rows", "names")
    for thing in ("a table", "a tree", "an array", "a list", "a file")
    for number in ("sum", "mean", "length", "first one", "last one")
]
SMALLER = {
    "kd.data.installed_docs()": "list(TEXTS)",
    "minutes=10": "steps=4",
    "vocabulary_size=8_192": "vocabulary_size=120",
    "sequence_length=128": "sequence_length=16",
    "batch_size=256": "batch_size=4",
    '"tiny"': '"nano"',
    "warmup_steps=500": "warmup_steps=1",
    "epochs=20": "epochs=1",
    "steps_per_epoch=1_000": "steps_per_epoch=2",
    "steps_per_epoch=100": "steps_per_epoch=2",
    "steps=20_000": "steps=4",
    "steps=1_000,\n    steps_per_epoch": "steps=2,\n    steps_per_epoch",
    "seeds=[0, 1, 2]": "seeds=[0]",
    "save_every=250": "save_every=2",
}


def _blocks(path):
    return BLOCK.findall(path.read_text(encoding="utf-8"))


GUIDES = [path for path in sorted(DOCS.rglob("*.md")) if _blocks(path)]


def _run(path):
    """Runs a page's blocks; compares what it says that they print."""
    namespace = {"TEXTS": TEXTS}
    output = io.StringIO()
    source = "".join(_blocks(path))
    for ours, smaller in SMALLER.items():
        source = source.replace(ours, smaller)
    with contextlib.redirect_stdout(output):
        exec(compile(source, str(path), "exec"), namespace)
    printed = output.getvalue().splitlines()
    for expected in PRINTED.findall(source):
        assert expected in printed, f"{path.name} does not print {expected}"
    return namespace


@pytest.fixture(scope="module")
def after_readme(tmp_path_factory):
    """The folder in which the README ran, and what it left in Python."""
    folder = tmp_path_factory.mktemp("docs")
    with contextlib.chdir(folder):
        namespace = _run(ROOT / "README.md")
    return folder, namespace


@pytest.mark.once
def test_the_readme_runs(after_readme):
    folder, namespace = after_readme
    assert namespace["features"].shape == (2, 128)
    assert namespace["classifier"].predict(["text"], verbose=0).shape == (1, 4)
    assert (folder / "runs" / "mine" / "preset").is_dir()


@pytest.mark.once
@pytest.mark.parametrize(
    "path", GUIDES, ids=lambda path: path.relative_to(DOCS).as_posix()
)
def test_a_guide_runs(path, after_readme, monkeypatch):
    folder, _ = after_readme
    monkeypatch.chdir(folder)
    _run(path)


@pytest.mark.once
def test_each_smaller_number_stands_on_a_page():
    pages = [ROOT / "README.md", *GUIDES]
    source = "".join(block for page in pages for block in _blocks(page))
    assert not [ours for ours in SMALLER if ours not in source]


@pytest.mark.once
def test_the_readme_is_short():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150


@pytest.mark.once
def test_the_links_of_the_readme_lead_somewhere():
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            if "://" not in target:
                assert (ROOT / target).exists(), f"{name} links to {target}"


@pytest.mark.once
def test_the_tables_that_the_guides_name_are_there():
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.*)$", results, re.MULTILINE)
    for path in DOCS.rglob("*.md"):
        text = " ".join(path.read_text(encoding="utf-8").split())
        for name in re.findall(r'RESULTS\.md`, "([^"]+)"', text):
            assert name in titles, f"{path.name} names the table {name!r}"


@pytest.mark.once
def test_the_site_builds_without_a_warning(tmp_path):
    """And its reference has every public class and function."""
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"]
        + ["--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    missing = []
    for room in kd._ROOMS:
        page = tmp_path / "reference" / room / "index.html"
        text = page.read_text(encoding="utf-8")
        for name, place in _defined(getattr(kd, room)):
            if f'id="{place}"' not in text:
                missing.append(f"kd.{room}.{name}")
    assert not missing


def _defined(room):
    """Yields `(name, where it is defined)` of public classes and functions."""
    for name in getattr(room, "__all__", vars(room)):
        thing = getattr(room, name)
        place = getattr(thing, "__module__", None) or ""
        # The step of a backend has another place on each.
        if (
            not name.startswith("_")
            and place.startswith(room.__name__)
            and not place.endswith("_step")
            and (inspect.isclass(thing) or inspect.isfunction(thing))
        ):
            yield name, f"{place}.{thing.__qualname__}"
