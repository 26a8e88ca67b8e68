"""Changes to the text of a span after which every token's place is known.

Tokens are dropped, put in another order, or replaced where they are. The first
two give *places*: the index in the span of the first, second, ... token of the
view.

References:
- [EDA](https://arxiv.org/abs/1901.11196) (deletion, swaps, synonyms)
- [BART](https://arxiv.org/abs/1910.13461) (sentence permutation)
"""

from typing import Any

from keras_dinolm.typing import Tensor
from keras_dinolm.views.compaction import locate
from keras_dinolm.views.compaction import running_count
from keras_dinolm.views.random import below
from keras_dinolm.views.random import fold
from keras_dinolm.views.random import happens
from keras_dinolm.views.replacement_table import ReplacementTable

_DELETE, _SPARE, _PUNCTUATION = 2, 3, 6
_SENTENCE_PHASE, _SENTENCE_WINDOW, _SENTENCE_ORDER = 7, 8, 9
_SWAP_PHASE, _SWAP = 10, 11


def take_rows(x: Tensor, columns: Tensor, xp: Any) -> Tensor:
    """Entries of each row of `x`, int32 `[N, L]`, at int32 `[N, M]`."""
    rows, width = xp.shape(x)
    first = xp.arange(rows)[:, None] * width
    return xp.take(xp.reshape(x, (-1,)), first + columns)


def run_starts(x: Tensor, xp: Any) -> Tensor:
    """True where an entry differs from the one before it: bool `[N, L]`."""
    first = x[:, :1] == x[:, :1]
    return xp.concatenate([first, x[:, 1:] != x[:, :-1]], 1)


def delete_words(
    keys: Tensor,
    word: Tensor,
    punctuation: Tensor | None,
    lengths: Tensor,
    word_chance: int | Tensor | None,
    punctuation_chance: int | Tensor | None,
    xp: Any,
) -> tuple[Tensor, Tensor]:
    """Deletes words and punctuation marks, but never the whole text.

    The word that holds one uniformly drawn token is not deleted, so that no
    view loses all of its text. If it is punctuation and removed as such, and
    nothing else is left, it stays.

    Args:
        keys: int32 `[N]`. One key a view.
        word: int32 `[N, L]`. Number of the word that each token belongs to,
            ascending.
        punctuation: bool `[N, L]`, or `None` if `punctuation_chance` is.
        lengths: int32 `[N]`. Tokens in each view, at most `L`.
        word_chance: int, int32 `[1]` or `None`. Probability of each word's
            deletion, in units of 2^-16.
        punctuation_chance: the same for each punctuation mark.
        xp: namespace of the arrays.

    Returns:
        Pair of int32 `[N, L]`, the places of the tokens that are kept
        (unused entries hold arbitrary valid ones); and int32 `[N]`, the
        number of tokens kept.
    """
    rows, width = xp.shape(word)
    place = xp.arange(width)[None, :]
    first = xp.arange(rows) * width
    spared = below(fold(keys, _SPARE, xp), xp.maximum(lengths, 1), xp)
    spared_word = xp.take(xp.reshape(word, (-1,)), first + spared)
    spared = word == spared_word[:, None]
    kept = inside = place < lengths[:, None]
    if word_chance is not None:
        draws = fold(fold(keys, _DELETE, xp)[:, None], word, xp)
        kept = (~happens(draws, word_chance, xp) | spared) & inside
    if punctuation_chance is not None:
        draws = fold(fold(keys, _PUNCTUATION, xp)[:, None], place, xp)
        kept = kept & ~(punctuation & happens(draws, punctuation_chance, xp))
        empty = xp.cumsum(kept)[:, -1:] == 0
        kept = kept | (empty & spared & inside)

    counts, before, total = running_count(kept, xp)
    found = locate(counts, before[:, None] + place + 1, xp) - first[:, None]
    return xp.minimum(found, width - 1), total


def swap_words(
    keys: Tensor, word: Tensor, lengths: Tensor, chance: int | Tensor, xp: Any
) -> Tensor:
    """Exchanges neighbouring words.

    The words are paired up, from the first or from the second one on with
    equal probability, and each pair changes places with a given probability.
    That is the probability with which a word moves, except at the ends.

    Args:
        keys: int32 `[N]`. One key a view.
        word: int32 `[N, L]`. Differs between neighbouring words, and is the
            same within a word.
        lengths: int32 `[N]`. Tokens in each view.
        chance: int or int32 `[1]`. In units of 2^-16.
        xp: namespace of the arrays.

    Returns:
        int32 `[N, L]`, the places; those at `lengths` and beyond stay.
    """
    rank, last = _ranks(word, lengths, xp)
    phase = (fold(keys, _SWAP_PHASE, xp) & 1)[:, None]
    pair = (rank + phase) // 2
    partner = xp.where((rank + phase) % 2 == 0, rank + 1, rank - 1)
    draws = fold(fold(keys, _SWAP, xp)[:, None], pair, xp)
    swapped = happens(draws, chance, xp) & (partner >= 0) & (partner <= last)
    return _sort_by(xp.where(swapped, partner, rank), lengths, xp)


def shuffle_sentences(
    keys: Tensor,
    sentence: Tensor,
    lengths: Tensor,
    chance: int | Tensor,
    size: int,
    xp: Any,
) -> Tensor:
    """Shuffles the sentences in windows of a few.

    The sentences are cut into windows of `size`, at a random phase, and each
    window is put in a random order with a given probability.

    Args:
        keys: int32 `[N]`. One key a view.
        sentence: int32 `[N, L]`. Differs between neighbouring sentences, and
            is the same within a sentence.
        lengths: int32 `[N]`. Tokens in each view.
        chance: int or int32 `[1]`. In units of 2^-16.
        size: int. Sentences in a window.
        xp: namespace of the arrays.

    Returns:
        int32 `[N, L]`, the places; those at `lengths` and beyond stay.
    """
    rank, last = _ranks(sentence, lengths, xp)
    phase = below(fold(keys, _SENTENCE_PHASE, xp), size, xp)[:, None]
    window = (rank + phase) // size
    draws = fold(fold(keys, _SENTENCE_WINDOW, xp)[:, None], window, xp)
    order = fold(keys, _SENTENCE_ORDER, xp)[:, None]
    # A sentence's draw is a function of its number, so that those of its
    # neighbours are known too. Draws of different numbers differ.
    own = fold(order, rank, xp)
    target = xp.maximum(window * size - phase, 0)
    for distance in range(1 - size, size):
        other = rank + distance
        there = (other >= 0) & (other <= last)
        there = there & ((other + phase) // size == window)
        earlier = there & (fold(order, other, xp) < own)
        target = target + xp.where(earlier, 1, 0)
    shuffled = happens(draws, chance, xp)
    return _sort_by(xp.where(shuffled, target, rank), lengths, xp)


def replace_tokens(
    keys: Tensor,
    ids: Tensor,
    eligible: Tensor | None,
    table: ReplacementTable,
    chance: int | Tensor,
    purpose: int,
    xp: Any,
) -> Tensor:
    """Replaces tokens by others of a table, each with a given probability.

    Args:
        keys: int32 `[N]`. One key a view.
        ids: int32 `[N, L]`.
        eligible: bool `[N, L]`, or `None` for all.
        table: `ReplacementTable`.
        chance: int or int32 `[1]`. In units of 2^-16.
        purpose: int. Tells the draws of different tables apart.
        xp: namespace of the arrays.

    Returns:
        int32 `[N, L]`. Tokens without an entry in the table stay.
    """
    ends = xp.asarray(table.ends)
    end = xp.take(ends, ids)
    before = xp.where(ids > 0, xp.take(ends, xp.maximum(ids - 1, 0)), 0)
    place = xp.arange(xp.shape(ids)[1])[None, :]
    draws = fold(fold(keys, purpose, xp)[:, None], place, xp)
    replaced = happens(draws, chance, xp) & (end > before)
    if eligible is not None:
        replaced = replaced & eligible
    choice = below(fold(draws, 1, xp), xp.maximum(end - before, 1), xp)
    choices = xp.asarray(table.choices)
    chosen = xp.take(choices, xp.where(replaced, before + choice, 0))
    return xp.where(replaced, chosen, ids)


def _ranks(unit, lengths, xp):
    """Number of the run each token is in, and of the last run, from 0."""
    rank = xp.cumsum(run_starts(unit, xp)) - 1
    return rank, take_rows(rank, xp.maximum(lengths - 1, 0)[:, None], xp)


def _sort_by(rank, lengths, xp):
    """Places in the order of their ranks; those of one rank keep theirs."""
    width = xp.shape(rank)[1]
    bits = width.bit_length()
    place = xp.arange(width)[None, :]
    rank = xp.where(place < lengths[:, None], rank, width)
    # Fewer than 2^15 places: rank and place fit into an int32 together.
    return xp.sort(rank * (1 << bits) + place) & ((1 << bits) - 1)
