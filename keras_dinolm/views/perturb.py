"""All changes of a view group to its spans, one after the other."""

from typing import Any

from keras_dinolm.typing import Tensor
from keras_dinolm.views.perturbations import delete_words
from keras_dinolm.views.perturbations import replace_tokens
from keras_dinolm.views.perturbations import run_starts
from keras_dinolm.views.perturbations import shuffle_sentences
from keras_dinolm.views.perturbations import swap_words
from keras_dinolm.views.perturbations import take_rows
from keras_dinolm.views.replacement_table import ReplacementTable
from keras_dinolm.views.settings import highest
from keras_dinolm.views.settings import units_at
from keras_dinolm.views.special_tokens import SpecialTokens
from keras_dinolm.views.view_group import ViewGroup

_SYNONYM, _TYPO = 12, 13


def perturb(
    group: ViewGroup,
    special_tokens: SpecialTokens,
    tables: dict[str, ReplacementTable | None],
    keys: Tensor,
    ids: Tensor,
    lengths: Tensor,
    step: int | Tensor,
    xp: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Replaces, deletes and reorders the tokens of spans.

    A change that is off costs nothing. Whether a change is made at all is a
    constant of the configuration; only how often may depend on the step.

    Args:
        group: `ViewGroup`.
        special_tokens: `SpecialTokens`.
        tables: dictionary of `ReplacementTable`, `"synonyms"` and `"typos"`.
        keys: int32 `[N]`. One key a view.
        ids: int32 `[N, L]`. The spans; entries past `lengths` are arbitrary.
        lengths: int32 `[N]`.
        step: int, or integer tensor of rank 0.
        xp: namespace of the arrays.

    Returns:
        Tuple of int32 `[N, L]`, the ids in their new order; int32 `[N, L]`,
        the place of each in the span; bool `[N, L]`, True where a word
        begins; and int32 `[N]`, the new lengths. Entries past the lengths are
        arbitrary.
    """

    def chance(argument):
        value = getattr(group, argument)
        return units_at(value, 1 << 16, step, xp) if highest(value) else None

    if special_tokens.continues is None:
        continues = ids != ids
    else:
        continues = _flags(special_tokens.continues, ids, xp)
    word = xp.cumsum(~continues)
    place = xp.arange(xp.shape(ids)[1])[None, :] + word * 0
    inside = place < lengths[:, None]

    # === Which marks there are, before anything changes ===
    punctuation = sentence = None
    if highest(group.punctuation_removal):
        punctuation = _flags(special_tokens.punctuation, ids, xp)
    if highest(group.sentence_shuffle):
        ends = _flags(special_tokens.sentence_ends, ids, xp)
        # Only the last of several marks in a row, such as "?!", ends.
        begins = ends[:, :-1] & ~ends[:, 1:]
        sentence = xp.cumsum(xp.concatenate([~inside[:, :1], begins], 1))

    # === Replacements ===
    if highest(group.synonym_replacement):
        # These are words of one token; what follows the span is unknown.
        ended = place == lengths[:, None] - 1
        begins = run_starts(word, xp)
        ended = ended | xp.concatenate([begins[:, 1:], begins[:, :1]], 1)
        ids = replace_tokens(
            keys,
            ids,
            ended & ~continues,
            tables["synonyms"],
            chance("synonym_replacement"),
            _SYNONYM,
            xp,
        )
    if highest(group.typos):
        ids = replace_tokens(
            keys, ids, None, tables["typos"], chance("typos"), _TYPO, xp
        )

    # === Deletions, then a new order of what is left ===
    original, original_word = ids, word
    if highest(group.word_deletion) or highest(group.punctuation_removal):
        place, lengths = delete_words(
            keys,
            word,
            punctuation,
            lengths,
            chance("word_deletion"),
            chance("punctuation_removal"),
            xp,
        )
    if highest(group.sentence_shuffle):
        order = shuffle_sentences(
            keys,
            take_rows(sentence, place, xp),
            lengths,
            chance("sentence_shuffle"),
            group.sentence_window,
            xp,
        )
        place = take_rows(place, order, xp)
    if highest(group.word_swap):
        word = take_rows(original_word, place, xp)
        order = swap_words(keys, word, lengths, chance("word_swap"), xp)
        place = take_rows(place, order, xp)
    ids = take_rows(original, place, xp)
    begins = run_starts(take_rows(original_word, place, xp), xp)
    return ids, place, begins, lengths


def _flags(table, ids, xp):
    return xp.take(xp.asarray(table), ids) != 0
