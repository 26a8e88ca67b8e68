"""Texts a second of an encoder beside its teacher, on one core."""

import statistics
import time

ROUNDS = 3


def side_by_side(encoder, teacher, texts):
    """Both encode the same texts in turns.

    Args:
        encoder: object with `encode`.
        teacher: the same.
        texts: list of strings.

    Returns:
        Dict of `"texts_per_second"` and `"teacher_texts_per_second"`, medians
        of a few rounds, by processor time.
    """
    times = {"texts_per_second": [], "teacher_texts_per_second": []}
    encoder.encode(texts)  # compiles, where there is something to compile
    for _ in range(ROUNDS):
        for name, model in zip(times, (encoder, teacher)):
            begin = time.process_time()
            model.encode(texts)
            times[name].append(time.process_time() - begin)
    return {
        name: len(texts) / statistics.median(values)
        for name, values in times.items()
    }


def megabytes(path):
    """What a folder takes on the disk.

    Args:
        path: `pathlib.Path`.

    Returns:
        Float, in millions of bytes.
    """
    files = (file for file in path.rglob("*") if file.is_file())
    return sum(file.stat().st_size for file in files) / 1e6
