"""What this library makes, with a teacher and without one."""

import pathlib

import keras_dinolm as kd
from distilling.texts import documents

# Processor seconds of `pretrain` that come on top of its minutes: tokenizer,
# tokens, compilation, the report. What a run took in all is in the results.
SECONDS_BESIDE = 90


def scratch(args, clock, seed, folder, size="nano"):
    """`pretrain` with its defaults, which has no teacher.

    Args:
        args: arguments of the command.
        clock: `Clock` of the run.
        seed: int.
        folder: path, of this run.
        size: string, of the encoder.

    Returns:
        Encoder, path of its files, dict of what there is to report.
    """
    run = pathlib.Path(folder) / "run"
    embedder = kd.recipes.pretrain(
        documents(args.data),
        run,
        minutes=(60 * args.minutes - SECONDS_BESIDE) / 60,
        size=size,
        seed=seed,
        held_out=documents(args.data, "valid"),
        verbose=2,
    )
    return _readable(embedder, args), run / "preset", {"size": size}


def distill(args, clock, seed, folder, size):
    """`distill` with its defaults.

    Args:
        args: arguments of the command.
        clock: `Clock` of the run.
        seed: int.
        folder: path, of this run.
        size: string, of the student: `"table"` or a size of the library.

    Returns:
        Encoder, path of its files, dict of what there is to report.
    """
    run = pathlib.Path(folder) / "run"
    embedder = kd.recipes.distill(
        documents(args.data),
        args.teacher,
        run,
        minutes=args.minutes,
        size=size,
        seed=seed,
        held_out=documents(args.data, "valid"),
        verbose=2,
    )
    return _readable(embedder, args), run / "preset", {"size": size}


def _readable(embedder, args):
    embedder.preprocessor.sequence_length = args.sequence_length
    return embedder
