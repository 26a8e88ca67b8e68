"""The command line: `python -m keras_dinolm pretrain|distill|search|...`."""

import argparse
import contextlib
import inspect
import json
import os
import pathlib
import re
import sys
import tempfile
import textwrap
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

from keras_dinolm import files
from keras_dinolm import shipped
from keras_dinolm.backend import FASTEST_FIRST
from keras_dinolm.backend import choose_backend
from keras_dinolm.backend import is_installed

# How TensorFlow begins its own log lines while it is imported. It prints them
# whatever TF_CPP_MIN_LOG_LEVEL says.
LOG_LINES = re.compile(
    rb"(WARNING: All log messages before absl::|[IW]\d{4} |To enable the foll)"
)
ABOUT = """\
Trains text encoders without labels, and uses them.

  python -m keras_dinolm pretrain my_texts/ runs/mine --minutes 10
  python -m keras_dinolm distill my_texts/ runs/mine --teacher T --minutes 10
  python -m keras_dinolm search runs/mine "a query" my_texts/
  python -m keras_dinolm evaluate runs/mine

Each command has its own --help. The environment variable KERAS_BACKEND chooses
the backend: jax, torch or tensorflow. By default it is the one that you wrote
into ~/.keras/keras.json, or else the fastest that is installed, for minutes on
a CPU."""
PRETRAIN = """\
Trains an encoder on texts, without labels.

  python -m keras_dinolm pretrain my_texts/ runs/mine --minutes 10
  python -m keras_dinolm pretrain a.txt b.jsonl.gz runs/mine --steps 5000
  python -m keras_dinolm pretrain runs/docs --minutes 4

Reads *.txt, *.md, *.rst, *.jsonl and *.ndjson (also with .gz) of folders, or
the files named. With RUN alone, it reads the documentation strings of Python
and of the installed packages. RUN is a new folder: it receives the encoder
(preset/), report.md and curves.png. Stop it by Ctrl-C whenever you like: the
same command continues where it was."""
DISTILL = """\
Makes a small, fast encoder for your texts, of one that exists.

  python -m keras_dinolm distill my_texts/ runs/mine --teacher T --minutes 10
  python -m keras_dinolm distill runs/docs --teacher T --steps 3000 --size table

T is a folder with an encoder: of sentence-transformers or Hugging Face, a
preset, or the run of an encoder that you trained. Or the name of one that is
on this machine, such as all-MiniLM-L6-v2. Nothing is loaded from the network.
Texts and RUN are as for `pretrain`. Stop it by Ctrl-C whenever you like: the
same command continues where it was."""
SEARCH = """\
Finds the texts that are nearest to a query by meaning.

  python -m keras_dinolm search runs/mine "a query" my_texts/
  python -m keras_dinolm search runs/mine "a query"
  python -m keras_dinolm search runs/mine - my_texts/ < queries.txt

Without TEXTS, it searches the texts that the run held out of training. With
the query "-", or none, it reads queries from standard input, one a line. The
features of the texts are computed once and kept in RUN/search."""
EVALUATE = """\
Measures the encoder of a run.

  python -m keras_dinolm evaluate runs/mine
  python -m keras_dinolm evaluate runs/mine my_tasks/ --tasks trec stsb
  python -m keras_dinolm evaluate dinolm_nano_en my_tasks/ --split test

Without TASKS, it measures without labels, on the texts that the run held out:
search for the rest of a text by its first sentence, beside the same encoder
untrained and TF-IDF. TASKS is a folder in the layout that
`help(kd.evaluation.evaluate)` describes."""


def main(arguments: list[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: list of strings; by default those of the process.

    Returns:
        0, or 2 after an error, which is one line on standard error.
    """
    args = _parser().parse_args(arguments)
    try:
        backend = choose_backend()
    except ImportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not is_installed(backend):
        print(
            f"error: KERAS_BACKEND={backend} is not installed. Unset it, "
            f"or set it to an installed one of {', '.join(FASTEST_FIRST)}.",
            file=sys.stderr,
        )
        return 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    before, warnings.formatwarning = warnings.formatwarning, _one_line
    try:
        args.command(args)
    except (
        FloatingPointError,
        ImportError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        if args.traceback:
            traceback.print_exc()
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        if not interrupt.args:  # else `kd.runs` said what is saved
            print("\nStopped.", file=sys.stderr)
        return 130  # as a shell expects after Ctrl-C
    finally:
        warnings.formatwarning = before
    return 0


# === Arguments ===


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m keras_dinolm",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_pretrain(commands)
    _add_distill(commands)
    _add_search(commands)
    _add_evaluate(commands)
    return parser


def _command(commands, name, command, description):
    parser = commands.add_parser(
        name,
        help=description.splitlines()[0],
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=command)
    return parser


def _add_pretrain(commands):
    parser = _command(commands, "pretrain", pretrain, PRETRAIN)
    _add_budget(parser, "of training, on this machine")
    add = parser.add_argument
    add(
        "--size",
        default="nano",
        help="nano, tiny, mini, small, base or large; default: %(default)s",
    )
    add(
        "--recipe",
        default="bag_then_blocks",
        help="or crop_info_nce, dino, masked_lm, simcse; default: %(default)s",
    )
    _add_training(parser)


def _add_distill(commands):
    parser = _command(commands, "distill", distill, DISTILL)
    _add_budget(parser, "for all of it, on this machine", "--teacher T ")
    add = parser.add_argument
    add(
        "--teacher",
        required=True,
        action="append",
        metavar="T",
        help="folder or name of an encoder; give it again for several",
    )
    add(
        "--size",
        default="nano",
        help="table (no blocks), nano, tiny, mini, small, base or large; "
        "default: %(default)s",
    )
    add(
        "--vocabulary",
        default="auto",
        help="own or teacher; default: the teacher's where it can be read",
    )
    _add_training(parser)


def _add_budget(parser, minutes, more=""):
    # The list of all options would hide the error below it.
    parser.usage = (
        f"%(prog)s [TEXTS ...] RUN {more}(--minutes MINUTES | --steps STEPS) "
        "[options]"
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="TEXTS ... RUN",
        help="files or folders of texts, then the folder of the run",
    )
    parser.add_argument(
        "--docs",
        action="store_true",
        help="read the documentation, as RUN alone does",
    )
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help=minutes)
    budget.add_argument(
        "--steps", type=int, help="of training; the same on any machine"
    )


def _add_training(parser):
    add = parser.add_argument
    add(
        "--option",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="of the recipe, such as learning_rate=5e-4; a wrong name lists "
        "the right ones",
    )
    add("--seed", type=int, default=0, help="default: %(default)s")
    add(
        "--vocabulary-size",
        type=int,
        default=8_192,
        help="entries of the tokenizer; default: %(default)s",
    )
    add(
        "--sequence-length",
        type=int,
        default=64,
        help="longest view in training, in tokens; default: %(default)s",
    )
    _add_reading(parser)


def _add_search(commands):
    parser = _command(commands, "search", search, SEARCH)
    add = parser.add_argument
    add("run", metavar="RUN", help="folder of a run, or preset")
    add(
        "query",
        nargs="?",
        default="-",
        metavar="QUERY",
        help='what to search for; "-": ask, or read lines',
    )
    add("texts", nargs="*", metavar="TEXTS", help="files or folders")
    add("--top", type=int, default=5, help="texts to list; default: 5")
    add(
        "--length",
        type=int,
        default=128,
        help="tokens of a text that are read; default: %(default)s",
    )
    _add_reading(parser)


def _add_evaluate(commands):
    parser = _command(commands, "evaluate", evaluate, EVALUATE)
    add = parser.add_argument
    add("run", metavar="RUN", help="folder of a run, or preset")
    add("tasks_folder", nargs="?", metavar="TASKS", help="folder of tasks")
    add("--tasks", nargs="+", metavar="NAME", help="default: all nine")
    add("--split", default="dev", choices=["dev", "test"])
    add("--max-train", type=int, help="training rows a task, to save time")
    add("--traceback", action="store_true", help=argparse.SUPPRESS)


def _add_reading(parser):
    add = parser.add_argument
    add(
        "--unit",
        default="paragraph",
        choices=["file", "paragraph", "line"],
        help="what is one text of a text file; default: %(default)s",
    )
    add(
        "--text-key",
        default="text",
        help="where JSON lines have their text; default: %(default)s",
    )
    add("--traceback", action="store_true", help=argparse.SUPPRESS)


# === Commands ===


def pretrain(args: argparse.Namespace) -> None:
    """Trains an encoder.

    Args:
        args: the arguments of the command.
    """
    _train(args, "pretrain", recipe=args.recipe)


def distill(args: argparse.Namespace) -> None:
    """Makes a small encoder of one that exists.

    Args:
        args: the arguments of the command.
    """
    _train(args, "distill", teacher=args.teacher, vocabulary=args.vocabulary)


def _train(args, name, **own):
    """Calls `kd.recipes.pretrain` or `kd.recipes.distill`."""
    *paths, run = args.paths
    if args.docs and paths:
        raise ValueError(
            "--docs reads the documentation, so give the folder of the run "
            f"alone. Received the texts: {', '.join(paths)}"
        )
    options = _options(args.option)
    _check_run(run, paths)
    print(f"Starting (backend: {os.environ['KERAS_BACKEND']}) ...", flush=True)

    with _without_log_lines():
        import keras_dinolm as kd
        from keras_dinolm.recipes.texts import read_files

    function = getattr(kd.recipes, name)
    _check_options(function, options)
    if paths:
        texts: Any = read_files(paths, args.unit, args.text_key)
        held_out: Any = 0.05
    else:
        texts = kd.data.installed_docs("train")
        held_out = kd.data.installed_docs("held_out")
    function(
        texts,
        directory=run,
        minutes=args.minutes,
        steps=args.steps,
        size=args.size,
        seed=args.seed,
        vocabulary_size=args.vocabulary_size,
        sequence_length=args.sequence_length,
        held_out=held_out,
        **own,
        **options,
    )


def _check_options(function, options):
    """Finds options that have names of their own, and those of no function."""
    parameters = inspect.signature(function).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    optional = [n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY]
    own = set(parameters) & set(options) - set(optional)
    if own:
        raise ValueError(
            f"--option is for options of the recipe, and {', '.join(own)} is "
            f"none. `python -m keras_dinolm {function.__name__} --help` lists "
            "the others."
        )
    unknown = set(options) - set(optional)
    if unknown and not takes_all:
        raise ValueError(
            f"`{function.__name__}` has no option "
            f"{', '.join(map(repr, sorted(unknown)))}. Its options are: "
            f"{', '.join(optional)}."
        )


def search(args: argparse.Namespace) -> None:
    """Searches texts.

    Args:
        args: the arguments of the command.
    """
    if args.top < 1 or args.length < 2:
        raise ValueError("--top must be at least 1, and --length at least 2.")
    preset = _preset(args.run)

    with _without_log_lines():
        import keras_dinolm as kd
        from keras_dinolm.recipes.texts import read_files

    documents = (
        read_files(args.texts, args.unit, args.text_key)
        if args.texts
        else _held_out(args.run)
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = kd.recipes.TextSearch(
            preset,
            documents,
            folder=_search_folder(args.run),
            sequence_length=args.length,
            verbose=1,
        )
    for warning in caught:
        _warn_of_search(str(warning.message))
    if args.query != "-":
        _show(found(args.query, args.top))
        return
    if sys.stdin.isatty():
        print("Type a query; an empty line ends.")
    for line in _queries():
        print(f"\n{line}")
        _show(found(line, args.top))


def evaluate(args: argparse.Namespace) -> None:
    """Measures an encoder.

    Args:
        args: the arguments of the command.
    """
    preset = _preset(args.run)
    with _without_log_lines():
        import keras_dinolm as kd
        from keras_dinolm.recipes import held_out

    documents = [] if args.tasks_folder else _held_out(args.run)
    embedder = kd.models.DinoLMTextEmbedder.from_preset(preset)
    if args.tasks_folder:
        scores = kd.evaluation.evaluate(
            embedder,
            args.tasks_folder,
            split=args.split,
            tasks=args.tasks,
            max_train=args.max_train,
        )
        mean = sum(scores.values()) / len(scores)
        print(f"{'average':>14} {100 * mean:6.2f}")
        return
    print(
        f"Measuring on the {len(documents):,} texts that the run held out ...",
        flush=True,
    )
    print(held_out.describe(held_out.measure(embedder, documents)))


# === Parts ===


def _one_line(message, *args, **kwargs):
    """A warning without the line of code that it came from."""
    return f"note: {message}\n"


@contextlib.contextmanager
def _without_log_lines() -> Iterator[None]:
    """Leaves out what TensorFlow logs on import; the rest of stderr is kept."""
    try:
        stderr = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # no file, as in a notebook
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as caught:
        before = os.dup(stderr)
        os.dup2(caught.fileno(), stderr)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(before, stderr)
            os.close(before)
            caught.seek(0)
            for line in caught:
                if not LOG_LINES.match(line):
                    os.write(stderr, line)


def _warn_of_search(message):
    if "texts have more than" in message:
        message = message.split(" Set `")[0] + " --length reads more of them."
    print(f"note: {message}", file=sys.stderr)


def _check_run(run, paths):
    """Finds before any work that the folder of the run was forgotten."""
    folder = pathlib.Path(run)
    if paths or not folder.exists() or (folder / "run.json").is_file():
        return
    if folder.is_file() or any(folder.iterdir()):
        raise ValueError(
            f"'{run}' is no folder of a run. To train on the texts in it, "
            "name the folder of the run too: python -m keras_dinolm pretrain "
            f"{run} runs/mine --minutes 10"
        )


def _options(texts):
    options = {}
    for name, value in map(_option, texts):
        if name in options:
            raise ValueError(
                f"--option has {name} twice: {options[name]!r} and {value!r}. "
                "Give it once."
            )
        options[name] = value
    return options


def _option(text):
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(
            f"--option takes NAME=VALUE, such as learning_rate=5e-4. "
            f"Received: {text!r}"
        )
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value  # a path or a name


def _preset(run):
    """A folder, or the name of a preset that is in this package."""
    for folder in (pathlib.Path(run, "preset"), pathlib.Path(run)):
        if (folder / "config.json").is_file():
            return folder
    if run in shipped.names():
        return run
    began = pathlib.Path(run, "run.json").is_file()
    raise FileNotFoundError(
        f"The run in '{run}' is not finished. Start its command again."
        if began
        else f"There is no encoder in '{run}'. Train one with `python -m "
        f"keras_dinolm pretrain FOLDER_OF_TEXTS {run} --minutes 10`, or take "
        f"one that this package brings: {', '.join(shipped.names())}."
    )


def _search_folder(run):
    """Where the features of texts are kept."""
    if pathlib.Path(run).is_dir():
        return pathlib.Path(run) / "search"
    return files.home() / "search" / run


def _held_out(run):
    from keras_dinolm.recipes.texts import read_documents_of

    path = pathlib.Path(run, "held_out.jsonl")
    documents = read_documents_of(path) if path.is_file() else []
    if not documents:
        raise ValueError(
            f"'{run}' has no held-out texts. Name files or folders of texts "
            "to search in, or of tasks to evaluate on."
        )
    return documents


def _queries():
    while True:
        try:
            line = input("query> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            return
        if not line:
            return
        yield line


def _show(hits):
    for cosine, document in hits:
        shown = textwrap.shorten(document.text, 140, placeholder=" ...")
        print(f"  {cosine:6.3f}  {document.id}")
        for line in textwrap.wrap(shown, 70):
            print(f"          {line}")


if __name__ == "__main__":
    sys.exit(main())
