"""Checks of the configuration of `TextViews`."""

import warnings
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence

from keras_dinolm import arguments
from keras_dinolm.views.replacement_table import ReplacementTable
from keras_dinolm.views.settings import highest
from keras_dinolm.views.special_tokens import SpecialTokens
from keras_dinolm.views.view_group import ViewGroup
from keras_dinolm.views.view_group import default_groups
from keras_dinolm.views.view_group_checks import ROLES

_MAX_SEQUENCE_LENGTH = 2**15 - 1


def checked_sequence_length(value: int) -> int:
    """A length that positions in int32 arithmetic allow, or an error."""
    return arguments.integer(
        "sequence_length",
        value,
        2,
        _MAX_SEQUENCE_LENGTH,
        meaning="[CLS] and one token, at least",
    )


def checked_accumulation(value: int) -> int:
    """The batches to an optimizer update, or an error."""
    return arguments.count(
        "gradient_accumulation_steps",
        value,
        meaning="the batches to an optimizer update",
    )


def checked_groups(groups: Sequence[ViewGroup] | None) -> tuple[ViewGroup, ...]:
    """Groups with distinct names that student and teacher both read."""
    if groups is None:
        groups = default_groups()
    if not isinstance(groups, Iterable) or isinstance(groups, str | Mapping):
        arguments.refuse("groups", groups, "a list of view groups")
    groups = tuple(groups)
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
