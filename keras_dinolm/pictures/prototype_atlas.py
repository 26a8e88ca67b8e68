"""What the most used prototypes mean."""

import collections
import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.data.corpora.documents import to_documents
from keras_dinolm.pictures.text_reader import TextReader

# Tokens shown on either side of a token.
_CONTEXT = 8

UNITS = ("spans", "tokens")


@dataclasses.dataclass(frozen=True)
class Span:
    """A piece of text that belongs to a prototype.

    Attributes:
        before: string. The text before a token, with the space between them
            if there is one; empty for a span.
        text: string. The token, or the span.
        after: string. The text that follows a token, as `before`.
        cosine: float. Cosine of its projected feature with the prototype.
        times: int. How often exactly this span belongs to it.
    """

    before: str
    text: str
    after: str
    cosine: float
    times: int = 1


@dataclasses.dataclass(frozen=True)
class Prototype:
    """A prototype and the spans that are nearest to it.

    Attributes:
        index: int. Its place among the prototypes.
        count: int. Spans (or tokens) that belong to it.
        spans: tuple of `Span`, nearest first.
    """

    index: int
    count: int
    spans: tuple


@dataclasses.dataclass(frozen=True, eq=False)
class PrototypeAtlas:
    """The most used prototypes of a head, with what belongs to them.

    Attributes:
        head: string, the head's name.
        unit: `"spans"` or `"tokens"`, what is assigned.
        counts: int64 array `[K]`. Spans (or tokens) of each prototype.
        prototypes: tuple of `Prototype`, most used first.
        num_texts: int. Texts that were read.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    span = kd.pictures.Span("", "the quick fox", "", cosine=0.9, times=2)
    atlas = kd.pictures.PrototypeAtlas(
        "sequence",
        "spans",
        np.array([0, 2]),
        (kd.pictures.Prototype(1, 2, (span,)),),
        num_texts=1,
    )
    print(atlas.describe())
    ```
    """

    head: str
    unit: str
    counts: np.ndarray
    prototypes: tuple
    num_texts: int

    @property
    def num_used(self) -> int:
        """How many prototypes have anything that belongs to them."""
        return int((self.counts > 0).sum())

    @property
    def perplexity(self) -> float:
        """Perplexity of usage: K if all are used alike, 1 if one takes all."""
        shares = self.counts[self.counts > 0] / self.counts.sum()
        return float(np.exp(-(shares * np.log(shares)).sum()))

    def describe(self) -> str:
        """The usage of the prototypes, in words."""
        return (
            f"{self.counts.sum():,} {self.unit} of {self.num_texts:,} texts, "
            f"each with its nearest prototype: {self.num_used:,} of "
            f"{len(self.counts):,} prototypes are used, with a perplexity of "
            f"{self.perplexity:.1f}; the most used one has "
            f"{self.counts.max():,}."
        )


def prototype_atlas(
    reader: TextReader,
    texts: Iterable[Any],
    head: str = "sequence",
    unit: str | None = None,
    num_prototypes: int = 12,
    num_spans: int = 5,
    span_length: int = 32,
    batch_size: int = 32,
) -> PrototypeAtlas:
    """Finds what the most used prototypes mean.

    Prototypes have no names, so their meaning shows in what is assigned to
    them. Each span of the texts, or each token in its span, goes to the
    prototype with the largest cosine. This is the head's own choice, without
    the balancing of training (Sinkhorn, centering).

    Args:
        reader: `TextReader` with heads.
        texts: iterable of strings or documents. They are cut evenly into
            spans; texts without a token are left out.
        head: `"sequence"` or `"token"`.
        unit: `"spans"` or `"tokens"` (words in context), what is assigned.
            By default what the head is named for; `"tokens"` goes with
            `"sequence"` if the two heads were tied in training.
        num_prototypes: int. How many of the most used ones to look at.
        num_spans: int. How many of the nearest spans to show for each, out of
            those that belong to it. Equal ones count as one.
        span_length: int. Longest span, in tokens.
        batch_size: int. Spans at a time.

    Returns:
        A `PrototypeAtlas`.

    Raises:
        ValueError: if there is no such head or unit, or not one token.

    Example:

    ```python
    import keras_dinolm as kd

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = kd.models.DinoLMTokenizer([*special, "fox", "##es", "."])
    backbone = kd.models.DinoLMBackbone(
        tokenizer.vocabulary_size(), num_layers=1, num_heads=2, hidden_dim=8,
        intermediate_dim=16,
    )
    model = kd.models.DinoLM(backbone, num_prototypes=4)
    reader = kd.pictures.TextReader(model.learned(), tokenizer)
    atlas = kd.pictures.prototype_atlas(reader, ["Foxes.", "fox"], "token")
    atlas.counts.sum()  # 4
    ```

    Reference:

    - [Caron et al., 2021](https://arxiv.org/abs/2104.14294)
    """
    arguments.instance("reader", reader, TextReader, "a `TextReader`")
    reader.check_head(head)
    if unit is None:
        unit = "tokens" if head == "token" else "spans"
    arguments.choice("unit", unit, UNITS)
    num_prototypes = arguments.count("num_prototypes", num_prototypes)
    num_spans = arguments.count("num_spans", num_spans)
    span_length = arguments.count("span_length", span_length)
    batch_size = arguments.count("batch_size", batch_size)
    rows, num_texts = _spans(reader, texts, span_length)
    found = reader.assignments(rows, head, unit == "tokens", batch_size)
    if not rows:
        raise ValueError(
            "Argument `texts` must hold at least one token. Received: "
            f"{num_texts} texts without any."
        )
    places: list[tuple[Any, int | None]]
    if unit == "tokens":
        places = [(row, i) for row in rows for i in range(1, len(row))]
        # [CLS] is no token of the text.
        found = [{k: v[1:] for k, v in item.items()} for item in found]
    else:
        places = [(row, None) for row in rows]
    assigned, cosines = (
        np.concatenate([np.atleast_1d(item[key]) for item in found])
        for key in ("prototype", "cosine")
    )
    # `assignments` refuses a reader without heads.
    assert reader.tower is not None
    counts = np.bincount(assigned, minlength=reader.tower.num_prototypes)
    most = np.argsort(-counts, kind="stable")[:num_prototypes]
    # Best first; equal ones in the order of the texts.
    order = np.argsort(-cosines, kind="stable")
    prototypes = []
    for index in most[counts[most] > 0]:
        members = order[assigned[order] == index]
        spans = _nearest(reader.pieces, places, members, cosines, num_spans)
        prototypes.append(Prototype(int(index), int(counts[index]), spans))
    return PrototypeAtlas(head, unit, counts, tuple(prototypes), num_texts)


def _spans(reader, texts, span_length):
    """Rows of ids, `[CLS]` first, and how many texts they come from."""
    limit = reader.limit("span_length", span_length)
    rows, num_texts = [], 0
    for document in to_documents(texts, "texts"):
        num_texts += 1
        ids = reader.ids(document.text)
        if ids:
            # Spans are even, so that no last span of one token represents
            # a text.
            parts = np.array_split(ids, -(-len(ids) // limit))
            rows += [reader.row(part.tolist()) for part in parts]
    return rows, num_texts


def _nearest(pieces, places, members, cosines, num_spans):
    """The first distinct `Span`s of the members of a prototype."""
    keys = [_key(*places[member]) for member in members]
    times = collections.Counter(keys)
    first = {}
    for key, member in zip(keys, members):
        first.setdefault(key, member)
    return tuple(
        Span(
            *pieces.join_marked(*key),
            cosine=float(cosines[first[key]]),
            times=times[key],
        )
        for key in list(first)[:num_spans]
    )


def _key(row, place):
    """Ids `(before, of the span, after)`."""
    if place is None:
        return (), row[1:], ()
    return (
        row[max(place - _CONTEXT, 1) : place],
        row[place : place + 1],
        row[place + 1 : place + 1 + _CONTEXT],
    )
