"""Splitting documents into training and held-out ones, without copies."""

import collections
import hashlib

from keras_dinolm.data.near_duplicates import find_near_duplicates

# Split, text, id, label and module of a document.
Row = tuple[str, str, str, str, str]


def split_of(module: str, fraction: float) -> str:
    """`"held_out"` for a fraction of modules, chosen by a hash; or `"train"`.

    Args:
        module: str. A dotted name.
        fraction: float in [0, 1). The share of modules that are held out.
    """
    digest = hashlib.blake2b(module.encode(), digest_size=8).digest()
    held_out = int.from_bytes(digest, "little") < fraction * 2**64
    return "held_out" if held_out else "train"


def leave_out_copies(
    rows: list[Row],
    similarity: float,
    dropped: collections.Counter,
    show_progress: bool,
) -> list[Row]:
    """Leaves out copies and near copies, within the splits and across them.

    Args:
        rows: list of rows.
        similarity: float. From which similarity two texts are near copies.
        dropped: counter, to which is added what is left out.
        show_progress: bool.

    Returns:
        The other rows, training documents first.
    """
    # The held-out document of a pair across the splits goes.
    rows = sorted(rows, key=lambda row: row[0] == "held_out")
    rows = _without_exact_copies(rows, dropped)
    originals = find_near_duplicates(
        [row[1] for row in rows], similarity, show_progress
    )
    kept = []
    for row, original in zip(rows, originals):
        if original is None:
            kept.append(row)
        elif row[0] == rows[original][0]:
            dropped[f"near copies within {row[0]}"] += 1
        else:
            dropped["held-out documents with a near copy in train"] += 1
    return kept


def _without_exact_copies(rows, dropped):
    seen, kept = set(), []
    for row in rows:
        words = " ".join(row[1].split())
        key = hashlib.blake2b(words.encode(), digest_size=16).digest()
        if key in seen:
            dropped["exact copies"] += 1
        else:
            seen.add(key)
            kept.append(row)
    return kept
