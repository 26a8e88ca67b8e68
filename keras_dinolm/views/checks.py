"""Checks of the configuration of `TextViews`."""

import numbers
import warnings
from collections.abc import Sequence

from keras_dinolm.views.replacement_table import ReplacementTable
from keras_dinolm.views.settings import highest
from keras_dinolm.views.special_tokens import SpecialTokens
from keras_dinolm.views.view_group import ViewGroup
from keras_dinolm.views.view_group import default_groups
from keras_dinolm.views.view_group_checks import ROLES

_MAX_SEQUENCE_LENGTH = 2**15 - 1


def checked_sequence_length(value: int) -> int:
    """A length that positions in int32 arithmetic allow, or an error."""
    if not _is_integer(value) or not 2 <= value <= _MAX_SEQUENCE_LENGTH:
        raise ValueError(
            f"`sequence_length` must be an integer in [2, "
            f"{_MAX_SEQUENCE_LENGTH}]: [CLS] and one token, at least. "
            f"Received: sequence_length={value!r}"
        )
    return int(value)


def checked_accumulation(value: int) -> int:
    """The batches to an optimizer update, or an error."""
    if not _is_integer(value) or value < 1:
        raise ValueError(
            "`gradient_accumulation_steps` must be an integer, at least 1: "
            "the batches to an optimizer update. Received: "
            f"gradient_accumulation_steps={value!r}"
        )
    return int(value)


def checked_groups(groups: Sequence[ViewGroup] | None) -> tuple[ViewGroup, ...]:
    """Groups with distinct names that student and teacher both read."""
    groups = default_groups() if groups is None else tuple(groups)
    for group in groups:
        if not isinstance(group, ViewGroup):
            raise ValueError(
                "`groups` must be a sequence of "
                "`keras_dinolm.views.ViewGroup`. "
                f"Received: an entry of type {type(group)}"
            )
    names = [group.name for group in groups]
    if len(set(names)) != len(names):
        raise ValueError(
            "`groups` must have distinct names, the keys of the batch. "
            f"Received: names {names}"
        )
    for role in ROLES:
        if not any(role in group.roles for group in groups):
            roles = {group.name: group.roles for group in groups}
            raise ValueError(
                f"`groups` must have at least one group with the role "
                f"'{role}', or there is nothing to distil. Add it to the "
                f"`roles` of a group. Received: roles {roles}"
            )
    return groups


def check_tables(
    groups: Sequence[ViewGroup],
    special_tokens: SpecialTokens,
    tables: dict[str, ReplacementTable | None],
) -> None:
    """Raises an error if a group needs a table that is not there."""
    for name, table in tables.items():
        if table is not None and not isinstance(table, ReplacementTable):
            raise ValueError(
                f"`{name}` must be a `keras_dinolm.views.ReplacementTable`, "
                "as `synonym_table` and `typo_table` return it. "
                f"Received: {name}={table!r}"
            )
    needed = {
        "punctuation_removal": (
            special_tokens.punctuation,
            "Use a WordPiece tokenizer, or `SpecialTokens(punctuation=...)`",
        ),
        "sentence_shuffle": (
            special_tokens.sentence_ends,
            "Use a WordPiece tokenizer, or `SpecialTokens(sentence_ends=...)`",
        ),
        "synonym_replacement": (
            tables["synonyms"],
            "Pass `TextViews(synonyms=kd.views.synonym_table(path, "
            "tokenizer))`",
        ),
        "typos": (
            tables["typos"],
            "Pass `TextViews(typos=kd.views.typo_table(tokenizer))`",
        ),
    }
    for group in groups:
        for argument, (table, fix) in needed.items():
            value = getattr(group, argument)
            if highest(value) and table is None:
                raise ValueError(
                    f"`{argument}` of view group '{group.name}' needs a table "
                    f"of tokens that is not there. {fix}, or set it to 0. "
                    f"Received: {argument}={value!r}"
                )


def warn_of_no_masks(groups: Sequence[ViewGroup], batch_size: int) -> None:
    """Warns the caller's caller if a batch is too small to mask a view."""
    for group in groups:
        if group.maskable and not group.num_masked(batch_size):
            most = highest(group.mask_probability)
            warnings.warn(
                f"No view of group '{group.name}' can be masked: "
                f"mask_probability={most} of {batch_size * group.count} views "
                "is less than one view. Use a larger batch or a larger "
                "`mask_probability`, or set it to 0.",
                stacklevel=3,
            )


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
