"""One call from texts and a published encoder to a small, fast one."""

import os
import time
from collections.abc import Iterable
from typing import Any

import keras

from keras_dinolm import arguments
from keras_dinolm import teachers as teachers_module
from keras_dinolm.models import SIZES
from keras_dinolm.models import DinoLMTextEmbedder
from keras_dinolm.recipes import parts
from keras_dinolm.recipes.distilling_phases import TABLE
from keras_dinolm.recipes.distilling_run import DistillingRun
from keras_dinolm.recipes.fast_teacher import fast_teacher
from keras_dinolm.recipes.run_arguments import RunArguments
from keras_dinolm.recipes.run_arguments import plain_option
from keras_dinolm.recipes.run_folder import RunFolder
from keras_dinolm.recipes.run_folder import check_is_ours
from keras_dinolm.recipes.student_tokenizer import LARGEST
from keras_dinolm.recipes.student_tokenizer import tokenizer_of
from keras_dinolm.teachers import Teacher

VOCABULARIES = ("auto", "own", "teacher")


def distill(
    texts: Any,
    teacher: Any,
    directory: str | os.PathLike,
    minutes: float | None = None,
    steps: int | None = None,
    size: str = "nano",
    vocabulary: str = "auto",
    seed: int = 0,
    vocabulary_size: int = 8_192,
    sequence_length: int = 64,
    held_out: float | Iterable = 0.05,
    verbose: str | int = "auto",
    *,
    max_passages: int | None = None,
    span: tuple[float, float] = (0.2, 0.4),
    temperature: float = 0.05,
    bag_steps: int = 1_000,
    bag_batch_size: int = 256,
    bag_learning_rate: float = 1e-3,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
) -> DinoLMTextEmbedder:
    """Makes a small, fast encoder for your texts, of one that exists.

    What a published encoder knows cannot be learned from your texts in
    minutes, and a large one is slow. The student starts with a table of what
    the teacher says of each token alone (model2vec's idea), and learns from
    there to tell spans of your texts apart and to give them the teacher's
    features. With blocks it then learns the teacher's features of tokens in
    their context. The teacher reads each text once; its features are kept
    beside the tokens.

    The feature of a text is that of the table and, with blocks, that of the
    last layer beside it. The feature of a token is that of the last layer.

    Like `pretrain`, it resumes after `kill -9`, a crash or Ctrl-C when it is
    called again, and leaves the same files: preset, report, curves. With
    `steps`, a run that was killed ends with the same bits. With `minutes`,
    the plan is made once; the minutes contain all that the run does before
    and during training, the teacher's features included, as far as the
    teacher leaves time.

    Args:
        texts: as for `pretrain`.
        teacher: anything that `keras_dinolm.teachers.get` takes, such as the
            folder of a model of sentence-transformers, a preset, a run of
            `pretrain`, an object with `encode` or a function of texts. Or a
            list of them: the student learns the features of all. With
            `minutes`, a folder of sentence-transformers computes in bfloat16
            on processors that are fast at it.
        directory: path. A folder for this run alone: new, empty, or that of
            the same run.
        minutes: float. How long it may take on this machine. Give either this
            or `steps`.
        steps: int. How many steps to train, over all phases.
        size: `"table"`, which has no blocks (256 numbers), or one of
            `kd.models.SIZES`.
        vocabulary: `"teacher"` takes that of the (first) teacher; `"own"`
            trains one on the texts, which is smaller. `"auto"` takes the
            teacher's if it has one of at most 65,536 pieces that can be read,
            which was better in our measurements.
        seed: int. Of weights, batches and views.
        vocabulary_size: int. Of the tokenizer that is trained, if one is.
        sequence_length: int. Longest passage in training, in tokens. Longer
            texts are split at the ends of sentences.
        held_out: as for `pretrain`.
        verbose: as for `pretrain`.
        max_passages: int. The most passages that the teacher reads. By
            default all or, with `minutes`, as many as a part of the time
            allows.
        span: pair of floats. Length of the spans that are told apart, as
            shares of a passage.
        temperature: float. Of InfoNCE.
        bag_steps: int. The most steps without blocks.
        bag_batch_size: int. Passages in a batch without blocks.
        bag_learning_rate: float. The highest without blocks.
        batch_size: int. Passages in a batch with blocks.
        learning_rate: float. The highest with blocks.

    Returns:
        A `DinoLMTextEmbedder`, whose `encode` takes texts.

    Raises:
        ValueError: for arguments out of range, too few texts, a teacher that
            is none or whose features are not finite, a vocabulary that cannot
            be read, or a folder that holds another run or other files.
        FileNotFoundError: if `texts` is a path that does not exist.
        RuntimeError: if another process trains in the folder.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    def teacher(texts):  # any function of texts; better: a published encoder
        return np.array([[t.count(c) for c in "aeiou"] for t in texts], "f4")

    texts = [f"The {a} number {n} sleeps." for n in range(40)
             for a in ("cat", "dog", "owl")]
    embedder = kd.recipes.distill(
        texts, teacher, "runs/small", steps=4, vocabulary_size=100,
        sequence_length=16, verbose=0,
    )
    embedder.encode(["two", "texts"]).shape  # (2, 256)
    ```

    References:
        - [Distilling a general encoder](https://arxiv.org/abs/1503.02531)
        - [TinyBERT](https://arxiv.org/abs/1909.10351)
        - [model2vec](https://github.com/MinishLab/model2vec)
    """
    began = time.perf_counter()
    given = RunArguments(
        minutes,
        steps,
        seed,
        vocabulary_size,
        sequence_length,
        held_out,
        verbose,
    )
    size = arguments.choice("size", size, (TABLE, *SIZES))
    arguments.choice("vocabulary", vocabulary, VOCABULARIES)
    if max_passages is not None:
        max_passages = arguments.count("max_passages", max_passages)
    options = {
        "span": span,
        "temperature": temperature,
        "bag_steps": bag_steps,
        "bag_batch_size": bag_batch_size,
        "bag_learning_rate": bag_learning_rate,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
    }
    parts.check_options(options)
    phases = 1 if size == TABLE else 2
    if given.steps is not None and given.steps < phases:
        raise ValueError(
            f"Argument `steps` must be at least {phases}, a step for each "
            f"phase. Received: steps={steps}"
        )
    check_is_ours(directory)
    several = teacher if isinstance(teacher, list | tuple) else [teacher]
    if not several:
        arguments.refuse("teacher", teacher, "a teacher, or a list of them")
    # With `steps`, the result shall be that of any machine.
    load = teachers_module.get if minutes is None else fast_teacher
    found = [load(each) for each in several]
    tokenizer = _tokenizer(vocabulary, found[0], several[0])
    read = given.read(texts)
    shown = {k: plain_option(k, v) for k, v in options.items()}
    asked = {
        "recipe": "distill",
        "options": {**shown, "max_passages": max_passages},
        "teachers": [each.fingerprint() for each in found],
        "vocabulary": "own" if tokenizer is None else "teacher",
        "size": size,
        **given.asked(),
        **read.digests,
        "backend": keras.backend.backend(),
    }
    with RunFolder(directory, asked) as folder:
        return DistillingRun(
            folder,
            found,
            tokenizer,
            options,
            max_passages,
            read.train,
            read.held_out,
            began,
            verbose,
        ).finish()


def _tokenizer(vocabulary: str, teacher: Teacher, given: Any) -> Any:
    """The tokenizer of the teacher, or `None` to train one."""
    if vocabulary == "own":
        return None
    tokenizer = tokenizer_of(teacher, given)
    if vocabulary == "auto":
        if tokenizer is None or tokenizer.vocabulary_size() > LARGEST:
            return None
    elif tokenizer is None:
        raise ValueError(
            "The teacher has no vocabulary that can be read: it needs a "
            "WordPiece tokenizer, or one that keras-hub reads from its "
            f"folder. Pass `vocabulary='own'`. Received: teacher={given!r}"
        )
    return tokenizer
