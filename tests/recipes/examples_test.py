"""`examples/pretrain.py` and `examples/search.py`, as a user starts them."""

import os
import pathlib
import subprocess
import sys

import keras
import pytest

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = ["json", "email", "logging", "argparse", "unittest"]
START = f"""
import functools, runpy, sys
import keras_dinolm as kd
kd.data.installed_docs = functools.partial(
    kd.data.installed_docs, packages={PACKAGES}
)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")

    def run(name, *arguments, typed="", code=0):
        """What an example prints; errors too, if `code` expects one."""
        result = subprocess.run(
            [sys.executable, "-c", START, str(ROOT / "examples" / name)]
            + [str(argument) for argument in arguments],
            env={
                **os.environ,
                "KERAS_BACKEND": keras.backend.backend(),
                "KERAS_DINOLM_HOME": str(folder / "home"),
                "PYTHONPATH": str(ROOT),
            },
            cwd=folder,
            input=typed,
            capture_output=True,
            text=True,
        )
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout + (result.stderr if code else "")

    run.folder = folder
    return run


@pytest.mark.once
def test_pretrain_prints_its_table_and_search_reads_its_preset(run):
    printed = run("pretrain.py", "--steps", 2)
    for row in ("TF-IDF (baseline)", "untrained encoder", "this encoder"):
        assert row in printed
    made = {path.name for path in (run.folder / "runs/pretrain").iterdir()}
    assert {"preset", "curves.png", "report.md"} <= made

    story = "The horse number 3 came to a hill, and it stayed there."
    corpus = run.folder / "stories.txt"
    corpus.write_text(f"Another text.\n\n{story}\n")
    first = run("search.py", "--corpus", corpus, "--query", story)
    assert "2 documents, embedded now." in first
    hit = first.splitlines()[1]
    assert hit.split()[0] == "1.000" and "stories.txt:3" in hit
    # Again, typed; the features are there.
    second = run("search.py", "--corpus", corpus, typed=f"{story}\n\n")
    assert "embedded before" in second and "stories.txt:3" in second


@pytest.mark.once
def test_search_says_how_to_make_a_preset(run):
    printed = run("search.py", "--preset", run.folder / "none", code=2)
    assert "python examples/pretrain.py" in printed.replace("\n", " ")
    assert "Traceback" not in printed
