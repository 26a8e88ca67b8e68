"""Changes to a span beyond its cut."""

from keras_dinolm.views.compaction import locate
from keras_dinolm.views.compaction import running_count
from keras_dinolm.views.random import below
from keras_dinolm.views.random import fold
from keras_dinolm.views.random import happens

_DELETE, _SPARE = 2, 3


def delete_words(keys, continues, lengths, probability, xp):
    """Deletes each word with a given probability, but never all of them.

    The word that holds one uniformly drawn token is spared, so that no view
    loses all of its text.

    Args:
        keys: int32 `[N]`. One key a view.
        continues: bool `[N, L]`. True where a token belongs to the word of
            the token before it.
        lengths: int32 `[N]`. Tokens in each view, at most `L`.
        probability: int. In units of 2^-16.
        xp: namespace of the arrays.

    Returns:
        Pair of int32 `[N, L]`, the place in the span of the first, second,
        ... token that is kept (unused places hold arbitrary valid ones); and
        int32 `[N]`, the number of tokens kept.
    """
    rows, width = xp.shape(continues)
    place = xp.arange(width)[None, :]
    first = xp.arange(rows) * width
    word = xp.cumsum(~continues)
    spared = below(fold(keys, _SPARE, xp), xp.maximum(lengths, 1), xp)
    spared_word = xp.take(xp.reshape(word, (-1,)), first + spared)
    draws = fold(fold(keys, _DELETE, xp)[:, None], word, xp)
    kept = ~happens(draws, probability, xp) | (word == spared_word[:, None])
    kept = kept & (place < lengths[:, None])

    counts, before, total = running_count(kept, xp)
    found = locate(counts, before[:, None] + place + 1, xp) - first[:, None]
    return xp.minimum(found, width - 1), total
