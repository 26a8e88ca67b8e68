"""Views of text: the spans of a document that student and teacher see."""

import warnings

import keras
import numpy as np

from keras_dinolm.views.alternates import KEYS
from keras_dinolm.views.alternates import draw_texts
from keras_dinolm.views.alternates import join_texts
from keras_dinolm.views.masks import mask_views
from keras_dinolm.views.masks import masked_counts
from keras_dinolm.views.masks import masked_indices
from keras_dinolm.views.masks import masked_ratios
from keras_dinolm.views.namespace import NUMPY
from keras_dinolm.views.namespace import namespace_of
from keras_dinolm.views.perturb import perturb
from keras_dinolm.views.piecewise_linear import PiecewiseLinear
from keras_dinolm.views.piecewise_linear import highest
from keras_dinolm.views.piecewise_linear import units_at
from keras_dinolm.views.random import fold
from keras_dinolm.views.random import stream
from keras_dinolm.views.replacement_table import ReplacementTable
from keras_dinolm.views.spans import UNIT
from keras_dinolm.views.spans import draw_spans
from keras_dinolm.views.special_tokens import SpecialTokens
from keras_dinolm.views.view_group import ROLES
from keras_dinolm.views.view_group import ViewGroup
from keras_dinolm.views.view_group import default_groups

_MAX_SEQUENCE_LENGTH = 2**15 - 1


@keras.saving.register_keras_serializable(package="keras_dinolm")
class TextViews:
    """Cuts each window of tokens into groups of views.

    Views are to self-distillation what labels are to classification: the
    student learns that spans of one document belong together, and what the
    tokens masked in its input were to the teacher.

    The result is a function of `(windows, seed, step)` and nothing else, the
    same to the bit on NumPy arrays, in a `tf.data` pipeline (as graph ops) and
    on the device, compiled or not, with any backend. The views of a row do
    not depend on the other rows; only which views of a batch are masked, and
    how much, is decided for the batch as a whole.

    Settings may follow a curriculum (see `ViewGroup`). Shapes do not change
    with the step, and a step given as a tensor is never looked at by Python,
    so that one trace, or one compiled program, serves all steps.

    Args:
        tokenizer: `keras_dinolm.models.DinoLMTokenizer`, `SpecialTokens`, or
            any object with `pad_token_id`, `cls_token_id`, `mask_token_id`,
            such as a keras-hub tokenizer. WordPiece tokenizers tell which
            tokens are pieces of a word or punctuation; with others, each
            token is a word, and punctuation is unknown.
        sequence_length: int. Longest view, `[CLS]` included; windows have one
            token less, at most. Defaults to `128`.
        groups: sequence of `ViewGroup`, or `None` for two long views
            (`"global"`, 80-100 % of the window, read by both networks, half
            of them masked for the student by 10-50 %) and four short ones
            (`"local"`, 20-40 %, read by the student).
        synonyms: `ReplacementTable` for `ViewGroup.synonym_replacement`, see
            `synonym_table`.
        typos: `ReplacementTable` for `ViewGroup.typos`, see `typo_table`.
        gradient_accumulation_steps: int. Batches to an optimizer update, as
            given to the optimizer. A curriculum moves once every so many
            batches, so that its steps are optimizer updates, as those of the
            objectives' schedules are. Defaults to `1`.

    Raises:
        ValueError: if an argument is out of its range, group names repeat,
            student or teacher have no group, or a group needs a table that
            is not there.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    views = kd.views.TextViews(
        kd.views.SpecialTokens(pad_token_id=0, cls_token_id=1, mask_token_id=2),
        sequence_length=9,
    )
    windows = {
        "token_ids": np.arange(10, 26, dtype="int32").reshape(2, 8),
        "lengths": np.array([8, 8], dtype="int32"),
        "starts": np.array([0, 0], dtype="int32"),
    }
    batch = views(windows, seed=0, step=0)
    batch["global"]["token_ids"].shape  # (2, 2, 9)
    batch["local"]["positions"].shape  # (2, 4, 5)
    ```

    With a curriculum of all kinds: dropout-only views at first, then crops
    and whole words masked, then perturbations.

    ```python
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary += [".", "a", "big", "large", "form", "from", "##s"]
    tokenizer = kd.models.DinoLMTokenizer(vocabulary)
    ramp = kd.views.ramp
    views = kd.views.TextViews(
        tokenizer,
        sequence_length=9,
        groups=(
            kd.views.ViewGroup(
                "global",
                count=2,
                span=(ramp(1.0, 0.5, steps=1_000), 1.0),
                mask_probability=ramp(0.0, 1.0, steps=100, begin=1_000),
                mask_unit="word",
                word_swap=ramp(0.0, 0.2, steps=1_000, begin=2_000),
                punctuation_removal=ramp(0.0, 0.5, steps=1_000, begin=2_000),
                typos=ramp(0.0, 0.1, steps=1_000, begin=2_000),
            ),
        ),
        typos=kd.views.typo_table(tokenizer),
    )
    windows = {
        "token_ids": np.array([tokenizer("a big form. from a large")] * 4),
        "lengths": np.array([7] * 4),
    }
    views(windows, step=0)["global"]["masked"].any()  # False
    views(windows, step=1_500)["global"]["masked"].any(-1).sum()  # 8
    ```

    References:
        - [DINO](https://arxiv.org/abs/2104.14294)
        - [iBOT](https://arxiv.org/abs/2111.07832)
    """

    def __init__(
        self,
        tokenizer,
        sequence_length=128,
        groups=None,
        synonyms=None,
        typos=None,
        gradient_accumulation_steps=1,
    ):
        if not 2 <= sequence_length <= _MAX_SEQUENCE_LENGTH:
            raise ValueError(
                "`sequence_length` must be an integer in [2, "
                f"{_MAX_SEQUENCE_LENGTH}]: [CLS] and one token, at least. "
                f"Received: sequence_length={sequence_length}"
            )
        self.special_tokens = SpecialTokens.of(tokenizer)
        if (
            not isinstance(gradient_accumulation_steps, int)
            or gradient_accumulation_steps < 1
        ):
            raise ValueError(
                "`gradient_accumulation_steps` must be an integer, at least "
                "1: the batches to an optimizer update. Received: "
                f"gradient_accumulation_steps={gradient_accumulation_steps!r}"
            )
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.sequence_length = int(sequence_length)
        self.groups = _checked_groups(groups)
        self.tables = {"synonyms": synonyms, "typos": typos}
        self._check_tables()

    @property
    def roles(self):
        """Readers of each group: `{name: ("student", "teacher")}`."""
        return {group.name: group.roles for group in self.groups}

    @property
    def draws_alternates(self):
        """Whether any group cuts views from alternates of a document."""
        return any(group.draws_alternates for group in self.groups)

    def __call__(self, windows, seed=0, step=0, xp=None):
        """Makes the views of a batch of windows.

        Args:
            windows: dictionary of `"token_ids"`, integers `[B, W]`, padded;
                `"lengths"`, integers `[B]`, the tokens in each window; and
                optionally `"starts"`, integers `[B]`, the index of each
                window's first token in its document (default 0). If a group
                draws from alternates, also `"alternate_ids"`, integers
                `[B, S, W]`, `"alternate_lengths"` and `"alternate_starts"`,
                integers `[B, S]`: the same of up to `S` other texts of each
                document; unused slots come last and have length 0. `B`, `S`
                and `W` must be static. NumPy arrays, tensors of the active
                backend, or tensors of a `tf.data` pipeline.
            seed: int, or integer tensor. Same seed, same views.
            step: int, or integer tensor. Number of the batch.
            xp: namespace, see `keras_dinolm.views.namespace`. Defaults to
                that of the arguments.

        Returns:
            `{group name: {...}}`, with `V` views of width `L`:

            - `"token_ids"`: int32 `[B, V, L]`, `[CLS]` and the span, padded.
            - `"padding_mask"`: bool `[B, V, L]`, True at tokens and `[CLS]`.
            - `"positions"`: int32 `[B, V, L]`, index of each token in the
              document; -1 at `[CLS]` and padding. In alternates, which
              `view_dataset` numbers on from the end of the document, they
              are no token's of the document.

            and, if the group's `mask_probability` is not 0:

            - `"masked"`: bool `[B, V, L]`, True at masked tokens.
            - `"masked_token_ids"`: int32 `[B, V, L]`, the student's input.
            - `"masked_indices"`: int32 `[B, C]`, ascending indices of the
              masked tokens in the flattened `[B * V * L]`, filled row by row;
              -1 where there are no more. `C` is `capacity(B, W)`, enough for
              windows of any lengths, so no masked token is ever dropped.

        Raises:
            ValueError: if `windows` has other keys, shapes or lengths.
        """
        for key in ("token_ids", "lengths"):
            if key not in windows:
                raise ValueError(
                    "`windows` must have the keys 'token_ids' and 'lengths', "
                    "and may have 'starts'. "
                    f"Received: keys {sorted(windows)}"
                )
        xp = xp or namespace_of(windows["token_ids"], seed, step)
        token_ids = xp.asarray(windows["token_ids"])
        batch_size, window = self._checked_shape(xp.shape(token_ids))
        lengths = xp.asarray(windows["lengths"])
        if xp is NUMPY:
            _check_lengths(lengths, batch_size, window)
        lengths = xp.minimum(xp.maximum(lengths, 0), window)
        if "starts" in windows:
            starts = xp.asarray(windows["starts"])
        else:
            starts = lengths * 0
        alternates = None
        if self.draws_alternates:
            alternates = self._checked_alternates(
                windows, batch_size, window, xp
            )
        key = stream(seed, step, xp)
        # From here on the step tells the place in the curriculum alone.
        step = step // self.gradient_accumulation_steps
        return {
            group.name: self._make(
                group,
                fold(key, number, xp),
                token_ids,
                lengths,
                starts,
                alternates,
                step,
                xp,
            )
            for number, group in enumerate(self.groups)
        }

    def _make(
        self, group, key, token_ids, lengths, starts, alternates, step, xp
    ):
        special = self.special_tokens
        batch_size, window = xp.shape(token_ids)
        width = group.width(window)
        num_views = batch_size * group.count
        shape = (batch_size, group.count, width)

        rows = xp.arange(batch_size)[:, None]
        keys = fold(fold(key, rows, xp), xp.arange(group.count)[None, :], xp)
        if group.draws_alternates:
            probability = units_at(
                group.alternate_probability, 1 << 16, step, xp
            )
            slots = xp.shape(alternates[1])[1]
            counts = xp.cumsum(alternates[1] > 0)[:, -1]
            rows = rows * (1 + slots) + draw_texts(
                keys, counts, probability, xp
            )
            token_ids, lengths, starts = join_texts(
                token_ids, lengths, starts, alternates, xp
            )
            lengths, starts = xp.take(lengths, rows), xp.take(starts, rows)
            end = batch_size * (1 + slots) * window - 1
        else:
            lengths, starts = lengths[:, None], starts[:, None]
            token_ids = xp.reshape(token_ids, (-1,))
            end = batch_size * window - 1
        low, high = (units_at(end, UNIT, step, xp) for end in group.span)
        start, length = draw_spans(keys, lengths, low, high, xp)
        # First token of each span: in all windows laid end to end, and in its
        # document.
        first = xp.reshape(rows * window + start, (num_views, 1))
        origin = xp.reshape(starts + start, (num_views, 1))
        keys = xp.reshape(keys, (num_views,))
        length = xp.reshape(length, (num_views,))

        slot = xp.arange(width)[None, :]
        offset = slot - 1
        text = xp.take(
            token_ids, xp.minimum(first + xp.maximum(offset, 0), end)
        )
        begins = None
        if group.perturbed or (group.maskable and group.mask_unit == "word"):
            changed, places, begins, length = perturb(
                group,
                special,
                self.tables,
                keys,
                text[:, 1:],
                length,
                step,
                xp,
            )
            # The column of [CLS] in front.
            text, offset, begins = (
                xp.concatenate([part[:, :1], part], 1)
                for part in (changed, places, begins)
            )

        is_text = (slot >= 1) & (slot <= length[:, None])
        ids = xp.where(is_text, text, special.pad_token_id)
        ids = xp.where(slot == 0, special.cls_token_id, ids)
        made = {
            "token_ids": xp.reshape(ids, shape),
            "padding_mask": xp.reshape(is_text | (slot == 0), shape),
            "positions": xp.reshape(
                xp.where(is_text, origin + offset, -1), shape
            ),
        }
        if not group.maskable:
            return made

        if group.num_masked(batch_size):
            masked = mask_views(
                fold(key, -1, xp),
                keys,
                length,
                self._mask_ratios_at(group, batch_size, step, xp),
                begins if group.mask_unit == "word" else None,
                width,
                _cut_chance(group.mask_span, step, xp),
                xp,
            )
        else:
            most = highest(group.mask_probability)
            warnings.warn(
                f"No view of group '{group.name}' can be masked: "
                f"mask_probability={most} of {num_views} "
                "views is less than one view. Use a larger batch or a larger "
                "`mask_probability`, or set it to 0.",
                stacklevel=3,
            )
            masked = is_text & (slot < 0)
        slots = self._capacity(group, batch_size, window)
        indices = masked_indices(masked, batch_size * slots, xp)
        made["masked"] = xp.reshape(masked, shape)
        made["masked_token_ids"] = xp.reshape(
            xp.where(masked, special.mask_token_id, ids), shape
        )
        made["masked_indices"] = xp.reshape(indices, (batch_size, slots))
        return made

    def capacity(self, batch_size, window):
        """Slots for masked tokens, a document, in each maskable group.

        The slots suffice when all windows are full and all spans as long as
        they can be, so masked tokens are never dropped for want of room.

        Args:
            batch_size: int.
            window: int. Width `W` of the windows.

        Returns:
            `{group name: C}`, the second axis of `"masked_indices"`.
        """
        return {
            group.name: self._capacity(group, batch_size, window)
            for group in self.groups
            if group.maskable
        }

    def shapes(self, batch_size, window):
        """Static shapes of the arrays that `__call__` returns.

        Args:
            batch_size: int.
            window: int. Width `W` of the windows.

        Returns:
            `{group name: {key: shape}}`.
        """
        batch_size, window = self._checked_shape((batch_size, window))
        shapes = {}
        for group in self.groups:
            shape = (batch_size, group.count, group.width(window))
            keys = ["token_ids", "padding_mask", "positions"]
            if group.maskable:
                keys += ["masked", "masked_token_ids"]
            shapes[group.name] = dict.fromkeys(keys, shape)
            if group.maskable:
                slots = self._capacity(group, batch_size, window)
                shapes[group.name]["masked_indices"] = (batch_size, slots)
        return shapes

    def get_config(self):
        """Everything `from_config` needs; no tokenizer."""
        return {
            "special_tokens": self.special_tokens.get_config(),
            "sequence_length": self.sequence_length,
            "groups": [group.get_config() for group in self.groups],
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
            **{
                name: table and table.get_config()
                for name, table in self.tables.items()
            },
        }

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(
            SpecialTokens.from_config(config["special_tokens"]),
            sequence_length=config["sequence_length"],
            groups=[ViewGroup.from_config(group) for group in config["groups"]],
            gradient_accumulation_steps=config.get(
                "gradient_accumulation_steps", 1
            ),
            **{
                name: config.get(name)
                and ReplacementTable.from_config(config[name])
                for name in ("synonyms", "typos")
            },
        )

    def _mask_ratios_at(self, group, batch_size, step, xp):
        """Ratios of the masked views of a step, 0 for those not yet masked."""
        ends = (group.mask_probability, *group.mask_ratio)
        if not any(isinstance(end, PiecewiseLinear) for end in ends):
            return self._most_mask_ratios(group, batch_size)
        most = group.num_masked(batch_size)
        if 2 * UNIT * batch_size * group.count >= 1 << 31:
            raise ValueError(
                "Masks that change with the step need fewer than 107,374 views "
                f"in a batch (products must fit into an int32). Received: "
                f"{batch_size * group.count} views of group '{group.name}'"
            )
        share, low, high = (units_at(end, UNIT, step, xp) for end in ends)
        num_masked = share * (batch_size * group.count) // UNIT
        return masked_ratios(
            xp.reshape(xp.asarray(num_masked), (1,)),
            low,
            # Rounded lines may cross by a unit.
            xp.maximum(low, high),
            most,
            xp,
        )

    def _most_mask_ratios(self, group, batch_size):
        """Ratios at which the most tokens are masked.

        More views, and larger ratios at either end, never mask fewer: spread
        evenly, the i-th smallest of M ratios is at most the i + 1-th of M + 1.
        """
        low, high = (round(highest(end) * UNIT) for end in group.mask_ratio)
        return masked_ratios(group.num_masked(batch_size), low, high)

    def _capacity(self, group, batch_size, window):
        ratios = self._most_mask_ratios(group, batch_size)
        longest = np.full_like(ratios, group.width(window) - 1)
        masked = int(masked_counts(ratios, longest, NUMPY).sum())
        return max(-(-masked // batch_size), 1)

    def _check_tables(self):
        special, tables = self.special_tokens, self.tables
        for name, table in tables.items():
            if table is not None and not isinstance(table, ReplacementTable):
                raise ValueError(
                    f"`{name}` must be a `keras_dinolm.views."
                    "ReplacementTable`, as `synonym_table` and `typo_table` "
                    f"return it. Received: {name}={table!r}"
                )
        for group in self.groups:
            for argument, table, fix in (
                (
                    "punctuation_removal",
                    special.punctuation,
                    "Use a WordPiece tokenizer, or `SpecialTokens("
                    "punctuation=...)`",
                ),
                (
                    "sentence_shuffle",
                    special.sentence_ends,
                    "Use a WordPiece tokenizer, or `SpecialTokens("
                    "sentence_ends=...)`",
                ),
                (
                    "synonym_replacement",
                    tables["synonyms"],
                    "Pass `TextViews(synonyms=kd.views.synonym_table(path, "
                    "tokenizer))`",
                ),
                (
                    "typos",
                    tables["typos"],
                    "Pass `TextViews(typos=kd.views.typo_table(tokenizer))`",
                ),
            ):
                value = getattr(group, argument)
                if highest(value) and table is None:
                    raise ValueError(
                        f"`{argument}` of view group '{group.name}' needs a "
                        f"table of tokens that is not there. {fix}, or set "
                        f"it to 0. Received: {argument}={value!r}"
                    )

    def _checked_alternates(self, windows, batch_size, window, xp):
        if any(key not in windows for key in KEYS):
            raise ValueError(
                "`windows` must have the keys "
                f"{list(KEYS)}, since a view group has an "
                "`alternate_probability` above 0. Use a corpus with "
                "alternates in `view_dataset`, or set it to 0. "
                f"Received: keys {sorted(windows)}"
            )
        ids, lengths, starts = (xp.asarray(windows[key]) for key in KEYS)
        slots = xp.shape(lengths)[-1]
        expected = (batch_size, slots)
        shapes = [tuple(xp.shape(array)) for array in (ids, lengths, starts)]
        if shapes != [(*expected, window), expected, expected] or not slots:
            raise ValueError(
                f"The arrays {list(KEYS)} of `windows` must have the static "
                "shapes [B, S, W], [B, S] and [B, S], with B and W those of "
                "'token_ids' and S at least 1. "
                f"Received: shapes {shapes}, B={batch_size}, W={window}"
            )
        lengths = xp.minimum(xp.maximum(lengths, 0), window)
        return ids, lengths, starts

    def _checked_shape(self, shape):
        longest = self.sequence_length - 1
        if len(shape) != 2 or None in shape:
            raise ValueError(
                "`windows['token_ids']` must have a static shape [B, W]; in "
                "`tf.data`, use `.batch(..., drop_remainder=True)` and pad to "
                f"a fixed width. Received: shape {tuple(shape)}"
            )
        batch_size, window = shape
        if batch_size < 1 or not 1 <= window <= longest:
            raise ValueError(
                "`windows['token_ids']` must have at least one row, and from "
                f"1 to sequence_length - 1 = {longest} columns ([CLS] takes "
                f"one place). Received: shape {tuple(shape)}"
            )
        return batch_size, window


def _cut_chance(mask_span, step, xp):
    """Probability that a segment begins, in units of 2^-16."""
    if not isinstance(mask_span, PiecewiseLinear):
        return round(65536 / mask_span)
    # The mean length has eight binary digits after the point.
    units = units_at(mask_span, 256, step, xp)
    return (65536 * 256 + units // 2) // units


def _check_lengths(lengths, batch_size, window):
    if lengths.shape != (batch_size,):
        raise ValueError(
            "`windows['lengths']` must hold one integer a row. "
            f"Received: shape {lengths.shape} for {batch_size} rows"
        )
    if lengths.min() < 0 or lengths.max() > window:
        raise ValueError(
            "`windows['lengths']` must lie between 0 and the width of "
            f"`windows['token_ids']`, {window}. Received: lengths from "
            f"{lengths.min()} to {lengths.max()}"
        )


def _checked_groups(groups):
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
            raise ValueError(
                f"`groups` must have at least one group with the role "
                f"'{role}', else there is nothing to distil. Add it to "
                "the `roles` of a group. Received: roles "
                f"{ {group.name: group.roles for group in groups} }"
            )
    return groups
