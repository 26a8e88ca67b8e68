"""Views of text: the spans of a document that student and teacher see."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import keras

from keras_dinolm import arguments
from keras_dinolm.typing import Tensor
from keras_dinolm.views.checks import check_tables
from keras_dinolm.views.checks import checked_accumulation
from keras_dinolm.views.checks import checked_groups
from keras_dinolm.views.checks import checked_sequence_length
from keras_dinolm.views.checks import warn_of_no_masks
from keras_dinolm.views.compared_by_config import ComparedByConfig
from keras_dinolm.views.make_arrays import make_arrays
from keras_dinolm.views.mask_room import group_shapes
from keras_dinolm.views.mask_room import mask_slots
from keras_dinolm.views.namespace import namespace_of
from keras_dinolm.views.random import fold
from keras_dinolm.views.random import stream
from keras_dinolm.views.replacement_table import ReplacementTable
from keras_dinolm.views.special_tokens import SpecialTokens
from keras_dinolm.views.view_group import ViewGroup
from keras_dinolm.views.windows import checked_shape
from keras_dinolm.views.windows import read_windows


@keras.saving.register_keras_serializable(package="keras_dinolm")
class TextViews(ComparedByConfig):
    """The recipe of views: makes batches from windows of tokens.

    Views are to self-distillation what labels are to classification: the
    student learns that spans of one document belong together, and what the
    tokens masked in its input were to the teacher. Called with windows, this
    object makes a *batch*: for each group of views a dictionary of its
    *arrays*.

    The batch is a function of `(windows, seed, step)` and nothing else, the
    same to the bit on NumPy arrays, in a `tf.data` pipeline (as graph ops) and
    on the device, compiled or not, with any backend. The views of a row do
    not depend on the other rows; only which views of a batch are masked, and
    how much, is decided for the batch as a whole.

    Settings may follow schedules (see `ViewGroup`). Shapes do not change with
    the step, and Python never looks at a step that is a tensor, so that one
    trace, or one compiled program, serves all steps.

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
            given to the optimizer. Schedules of the groups move once every so
            many batches, so that they count optimizer updates, as those of
            objectives and optimizers do. Defaults to `1`.

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

    A curriculum begins with dropout-only views, then adds crops and masks of
    whole words, then perturbations:

    ```python
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary += [".", "a", "big", "large", "form", "from", "##s"]
    tokenizer = kd.models.DinoLMTokenizer(vocabulary)
    Linear = kd.schedules.Linear
    views = kd.views.TextViews(
        tokenizer,
        sequence_length=9,
        groups=(
            kd.views.ViewGroup(
                "global",
                count=2,
                span=(Linear(1.0, 0.5, steps=1_000), 1.0),
                mask_probability=Linear(0.0, 1.0, steps=100, begin=1_000),
                mask_unit="word",
                word_swap=Linear(0.0, 0.2, steps=1_000, begin=2_000),
                punctuation_removal=Linear(0.0, 0.5, steps=1_000, begin=2_000),
                typos=Linear(0.0, 0.1, steps=1_000, begin=2_000),
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
        tokenizer: Any,
        sequence_length: int = 128,
        groups: Sequence[ViewGroup] | None = None,
        synonyms: ReplacementTable | None = None,
        typos: ReplacementTable | None = None,
        gradient_accumulation_steps: int = 1,
    ):
        self.sequence_length = checked_sequence_length(sequence_length)
        self.special_tokens = SpecialTokens.of(tokenizer)
        self.gradient_accumulation_steps = checked_accumulation(
            gradient_accumulation_steps
        )
        self.groups = checked_groups(groups)
        self.tables = {"synonyms": synonyms, "typos": typos}
        check_tables(self.groups, self.special_tokens, self.tables)

    @property
    def roles(self) -> dict[str, tuple[str, ...]]:
        """Readers of each group: `{name: ("student", "teacher")}`."""
        return {group.name: group.roles for group in self.groups}

    @property
    def follows_schedule(self) -> bool:
        """Whether any setting of a group depends on the step."""
        return any(group.moves for group in self.groups)

    @property
    def draws_alternates(self) -> bool:
        """Whether any group cuts views from alternates of a document."""
        return any(group.draws_alternates for group in self.groups)

    def __call__(
        self,
        windows: Mapping[str, Tensor],
        seed: int | Tensor = 0,
        step: int | Tensor = 0,
        xp: Any = None,
    ) -> dict[str, dict[str, Tensor]]:
        """Makes a batch from windows.

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
        xp = xp or namespace_of(windows.get("token_ids", 0), seed, step)
        windows = read_windows(
            windows, self.sequence_length, self.draws_alternates, xp
        )
        warn_of_no_masks(self.groups, xp.shape(windows.token_ids)[0])
        key = stream(seed, step, xp)
        # From here on the step only tells the place in the curriculum.
        update = step // self.gradient_accumulation_steps
        return {
            group.name: make_arrays(
                group,
                windows,
                self.special_tokens,
                self.tables,
                fold(key, number, xp),
                update,
                xp,
            )
            for number, group in enumerate(self.groups)
        }

    def capacity(self, batch_size: int, window: int) -> dict[str, int]:
        """Slots for masked tokens, a document, in each maskable group.

        The slots suffice when all windows are full and all spans as long as
        they can be, so masked tokens are never dropped for want of room.

        Args:
            batch_size: int. Documents in a batch.
            window: int. Width `W` of the windows.

        Returns:
            `{group name: C}`, the second axis of `"masked_indices"`.
        """
        return {
            group.name: mask_slots(group, batch_size, window)
            for group in self.groups
            if group.maskable
        }

    def shapes(
        self, batch_size: int, window: int
    ) -> dict[str, dict[str, tuple[int, ...]]]:
        """Static shapes of a batch.

        Args:
            batch_size: int. Documents in a batch.
            window: int. Width `W` of the windows.

        Returns:
            `{group name: {key: shape}}`.

        Raises:
            ValueError: if there can be no such batch.
        """
        checked_shape((batch_size, window), self.sequence_length)
        return {
            group.name: group_shapes(group, batch_size, window)
            for group in self.groups
        }

    def get_config(self) -> dict:
        """Everything `from_config` needs; no tokenizer."""
        serialize = keras.saving.serialize_keras_object
        return {
            "tokenizer": serialize(self.special_tokens),
            "sequence_length": self.sequence_length,
            "groups": [serialize(group) for group in self.groups],
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
            **{name: serialize(table) for name, table in self.tables.items()},
        }

    @classmethod
    def from_config(cls, config: dict) -> "TextViews":
        """The inverse of `get_config`.

        Args:
            config: dict.

        Returns:
            `TextViews`.
        """
        deserialize = keras.saving.deserialize_keras_object
        restored = {
            name: deserialize(arguments.field(config, name, cls))
            for name in ("tokenizer", "synonyms", "typos")
        }
        groups = arguments.instance(
            "groups", arguments.field(config, "groups", cls), list, "a list"
        )
        groups = [deserialize(group) for group in groups]
        return cls(**{**config, **restored, "groups": groups})
