"""`python -m keras_dinolm`: from a folder of texts to answers."""

import io
import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import pytest

import keras_dinolm.__main__ as command_line
from keras_dinolm import backend
from keras_dinolm import shipped
from tests.recipes.made_texts import made_texts

ROOT = pathlib.Path(__file__).parents[2]
# What runs behind the command is tested on each backend elsewhere.
pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A folder of plain text and JSON lines."""
    folder = tmp_path_factory.mktemp("my_texts")
    stories = made_texts(600)
    (folder / "a.txt").write_text("\n\n".join(stories[:300]))
    lines = "".join(json.dumps({"text": text}) + "\n" for text in stories[300:])
    (folder / "b.jsonl").write_text(lines)
    return folder


@pytest.fixture(scope="module")
def trained(texts, tmp_path_factory):
    """The folder of a run."""
    run = tmp_path_factory.mktemp("runs") / "mine"
    arguments = ["pretrain", texts, run, "--steps", 2, "--recipe", "masked_lm"]
    arguments += ["--option", "batch_size=8", "--vocabulary-size", 120]
    assert call(*arguments, "--sequence-length", 12) == 0
    return run


def call(*arguments):
    return command_line.main([str(argument) for argument in arguments])


def fresh(*arguments, **environment):
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "keras_dinolm", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_pretrain_leaves_a_run(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"preset", "report.md", "curves.png", "run.json"} <= names
    asked = json.loads((trained / "run.json").read_text())["asked"]
    assert asked["recipe"] == "masked_lm"
    assert asked["options"] == {"batch_size": 8}
    assert asked["backend"] == keras.backend.backend()


def test_distill_learns_from_a_run(trained, texts, tmp_path, capsys):
    arguments = ["distill", texts, tmp_path / "run", "--teacher", trained]
    arguments += ["--steps", 1, "--size", "table", "--sequence-length", 12]
    options = ["--option", "bag_batch_size=8", "max_passages=64"]
    assert call(*arguments, *options) == 0
    asked = json.loads((tmp_path / "run" / "run.json").read_text())["asked"]
    assert asked["recipe"] == "distill" and asked["vocabulary"] == "teacher"
    assert asked["options"]["bag_batch_size"] == 8
    report = (tmp_path / "run" / "report.md").read_text()
    assert "the teacher reads 64 passages" in report
    # The same command again, with a mistake.
    assert call(*arguments, "--option", "mask_ratio=0.1") == 2
    assert "`distill` has no option 'mask_ratio'" in capsys.readouterr().err
    assert call(*arguments, "--option", "size=nano") == 2
    assert "--option is for options" in capsys.readouterr().err


def test_search_finds_a_text_by_its_own_words(trained, texts, capsys):
    query = made_texts(600)[7]
    assert call("search", trained, query, texts, "--top", 2) == 0
    said, first, shown = capsys.readouterr().out.splitlines()[:3]
    assert said.startswith("Computing the features of 600 texts")
    assert first.split()[0] == "1.000" and "a.txt:" in first
    assert "The " in shown
    kept = list((trained / "search").glob("*.npy"))
    assert len(kept) == 1
    # Features that are kept are read again.
    written = kept[0].stat().st_mtime_ns
    assert call("search", trained, "a cat", texts) == 0
    assert kept[0].stat().st_mtime_ns == written
    names = re.findall(r"(?m)^ +-?\d\.\d{3}  .*:\d+$", capsys.readouterr().out)
    assert len(names) == 5


def test_search_asks_for_queries_and_reads_what_was_held_out(
    trained, capsys, monkeypatch
):
    monkeypatch.setattr(sys, "stdin", io.StringIO("a cat\nan owl\n\nmore\n"))
    assert call("search", trained) == 0
    printed = capsys.readouterr().out
    assert "a cat" in printed and "an owl" in printed
    assert "more" not in printed


def test_evaluate_measures_without_labels(trained, capsys):
    assert call("evaluate", trained) == 0
    printed = capsys.readouterr().out
    for part in ("RankMe", "this encoder", "untrained", "TF-IDF (baseline)"):
        assert part in printed


def test_evaluate_on_a_folder_of_tasks(trained, tmp_path, capsys):
    rows = "text\tlabel\n" + "a cat\tcat\na dog\tdog\n" * 4
    folder = tmp_path / "classification" / "trec"
    folder.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        (folder / f"{split}.tsv").write_text(rows)
    assert call("evaluate", trained, tmp_path, "--tasks", "trec") == 0
    assert "average 100.00" in capsys.readouterr().out


def test_a_preset_of_the_package_is_given_by_its_name(
    trained, texts, tmp_path, monkeypatch, capsys
):
    """It is found without a folder, and no folder is made for it."""
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "mine_en").symlink_to(trained / "preset")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "presets")
    monkeypatch.setenv("KERAS_DINOLM_HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    query = made_texts(600)[7]
    assert call("search", "mine_en", query, texts, "--top", 1) == 0
    assert "  1.000  " in capsys.readouterr().out
    kept = tmp_path / "home" / "search" / "mine_en"
    assert len(list(kept.glob("*.npy"))) == 1
    assert call("evaluate", "mine_en") == 2
    assert "no held-out texts" in capsys.readouterr().err
    assert call("evaluate", "yours_en") == 2
    assert "this package brings: mine_en" in capsys.readouterr().err
    assert not any((tmp_path / "work").iterdir())


@pytest.mark.parametrize(
    ["arguments", "message"],
    [
        (["search", "nowhere", "a query"], "There is no encoder in 'nowhere'"),
        (["evaluate", "nowhere"], "no encoder in 'nowhere'. Train one with"),
        (["pretrain", "no_texts", "run", "--steps", 5], "No such file or fold"),
        (["pretrain", "a", "r", "--docs", "--steps", 5], "--docs reads the"),
        (
            ["pretrain", "r", "--steps", 5, "--option", "rate"],
            "--option takes NAME=VALUE",
        ),
    ],
)
def test_mistakes_are_one_line(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and message in captured.err
    assert "Traceback" not in captured.err + captured.out
    assert not any(tmp_path.iterdir())


def test_help_is_quick_and_names_the_commands():
    result = fresh("--help")
    assert result.returncode == 0
    for part in ("pretrain", "search", "evaluate", "KERAS_BACKEND"):
        assert part in result.stdout
    for name in ("pretrain", "search", "evaluate"):
        assert f"python -m keras_dinolm {name}" in fresh(name, "--help").stdout


def test_a_backend_that_is_not_installed_is_one_line(monkeypatch, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    assert call("evaluate", "nowhere") == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and "tensorflow, torch, jax" in printed


def test_the_folder_of_the_run_was_forgotten(texts, capsys):
    before = sorted(texts.iterdir())
    assert call("pretrain", texts, "--minutes", 1) == 2
    assert f"pretrain {texts} runs/mine" in capsys.readouterr().err
    assert sorted(texts.iterdir()) == before


def test_an_error_of_the_arguments_is_not_hidden_by_all_options():
    result = fresh("pretrain", "texts", "run", "--minutes", "ten")
    assert result.returncode == 2 and result.stderr.count("\n") <= 3
    assert "invalid float value: 'ten'" in result.stderr


def test_ctrl_c_says_that_it_stopped(monkeypatch, capsys):
    for arguments, printed in (((), "Stopped."), (("it is saved",), "")):

        def stopped(args, arguments=arguments):
            raise KeyboardInterrupt(*arguments)

        monkeypatch.setattr(command_line, "evaluate", stopped)
        assert call("evaluate", "nowhere") == 130
        assert capsys.readouterr().err.strip() == printed


def test_log_lines_of_tensorflow_are_left_out_and_others_kept():
    code = (
        "import os, keras_dinolm.__main__ as c\n"
        "with c._without_log_lines():\n"
        "    os.write(2, b'WARNING: All log messages before absl::x\\n"
        "I0000 00:00:17 port.cc:153] oneDNN\\nwhat matters\\n')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert result.stderr == "what matters\n"


def test_search_says_which_option_reads_more_of_a_text(
    trained, tmp_path, capsys
):
    (tmp_path / "long.txt").write_text("a cat and a dog " * 100)
    assert call("search", trained, "a cat", tmp_path) == 0
    captured = capsys.readouterr()
    assert "Computing the features of 1 texts" in captured.out
    assert "--length reads more" in captured.err
    assert "preprocessor" not in captured.err


def test_a_mistake_ends_with_code_2():
    result = fresh("search", "nowhere", "a query")
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert fresh("pretrain", "run").returncode == 2


def test_the_backend_is_the_users_or_the_fastest_installed(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "")
    installed = {"torch", "jax", "tensorflow"}
    monkeypatch.setattr(backend, "is_installed", installed.__contains__)
    for name in backend.FASTEST_FIRST[:-1]:
        assert backend.default_backend() == name
        installed.remove(name)
    assert backend.default_backend() == backend.FASTEST_FIRST[-1]
    # Keras writes tensorflow by itself at its first import.
    (tmp_path / "keras.json").write_text('{"backend": "tensorflow"}')
    assert backend.default_backend() == backend.FASTEST_FIRST[-1]
    # What a user wrote wins, if it is installed.
    installed.update(("torch", "jax", "tensorflow"))
    for name in ("torch", "jax"):
        (tmp_path / "keras.json").write_text(f'{{"backend": "{name}"}}')
        assert backend.default_backend() == name
    installed.remove("jax")
    assert backend.default_backend() == backend.FASTEST_FIRST[0]
    # What the environment says wins over all.
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert backend.choose_backend() == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "")
    assert backend.choose_backend() == backend.FASTEST_FIRST[0]
    assert os.environ["KERAS_BACKEND"] == backend.FASTEST_FIRST[0]
    installed.clear()
    monkeypatch.setenv("KERAS_BACKEND", "")
    assert call("evaluate", "nowhere") == 2
    assert "No backend is installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, words",
    [
        (["batch_size=8", "batch_size=16"], "batch_size twice: 8 and 16"),
        (["seed=3"], "--option is for options of the recipe, and seed is"),
        (["verbose=0"], "and verbose is"),
    ],
)
def test_options_twice_or_of_the_command_are_refused(
    texts, tmp_path, capsys, options, words
):
    run = tmp_path / "run"
    arguments = ["pretrain", texts, run, "--steps", 2, "--option", *options]
    assert call(*arguments) == 2
    assert words in capsys.readouterr().err
    assert not run.exists()
