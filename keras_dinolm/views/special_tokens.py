"""What the views need to know of a tokenizer."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class SpecialTokens:
    """Ids of the special tokens, and which tokens go on with a word.

    `TextViews` takes one of these in place of a tokenizer, for token ids that
    no tokenizer of this package made.

    Args:
        pad_token_id: int. Fills views up to their width.
        cls_token_id: int. Begins each view.
        mask_token_id: int. Stands for masked tokens.
        continues: bool array `[vocabulary size]`, or `None`. True for tokens
            that belong to the word of the token before them, such as `##ing`.
            `None` makes each token a word of its own.

    Example:

    ```python
    import keras_dinolm as kd

    special_tokens = kd.views.SpecialTokens(
        pad_token_id=0, cls_token_id=1, mask_token_id=2
    )
    views = kd.views.TextViews(special_tokens, sequence_length=128)
    ```
    """

    pad_token_id: int
    cls_token_id: int
    mask_token_id: int
    continues: np.ndarray | None = None

    @classmethod
    def of(cls, tokenizer):
        """Reads them off a tokenizer.

        Args:
            tokenizer: `SpecialTokens`, or an object with `pad_token_id`,
                `mask_token_id`, and `cls_token_id` or `start_token_id`. Where
                words go on is known for keras-hub's WordPiece tokenizers.

        Returns:
            `SpecialTokens`.

        Raises:
            ValueError: if one of the ids is missing.
        """
        if isinstance(tokenizer, cls):
            return tokenizer
        ids = {}
        for name, *others in (
            ("pad_token_id",),
            ("cls_token_id", "start_token_id"),
            ("mask_token_id",),
        ):
            found = [getattr(tokenizer, n, None) for n in (name, *others)]
            found = [value for value in found if value is not None]
            if not found:
                raise ValueError(
                    f"`tokenizer` has no `{name}`, which views need. Pass a "
                    "`keras_dinolm.models.DinoLMTokenizer`, or "
                    "`keras_dinolm.views.SpecialTokens(pad_token_id=..., "
                    "cls_token_id=..., mask_token_id=...)`. "
                    f"Received: tokenizer={tokenizer!r}"
                )
            ids[name] = int(found[0])
        prefix = getattr(tokenizer, "suffix_indicator", None)
        if prefix:
            ids["continues"] = np.array(
                [
                    token.startswith(prefix)
                    for token in tokenizer.get_vocabulary()
                ]
            )
        return cls(**ids)

    def get_config(self):
        """A JSON-serialisable dictionary; the table as hexadecimal bits."""
        config = {
            "pad_token_id": self.pad_token_id,
            "cls_token_id": self.cls_token_id,
            "mask_token_id": self.mask_token_id,
        }
        if self.continues is not None:
            config["vocabulary_size"] = len(self.continues)
            config["continues"] = np.packbits(self.continues).tobytes().hex()
        return config

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        config = dict(config)
        size = config.pop("vocabulary_size", None)
        if size is not None:
            packed = np.frombuffer(
                bytes.fromhex(config["continues"]), dtype=np.uint8
            )
            config["continues"] = np.unpackbits(packed, count=size) != 0
        return cls(**config)
