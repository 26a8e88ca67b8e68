"""What a phase of a variant may ask for before it trains."""

import dataclasses
import functools
from typing import Any

import numpy as np
from keras import ops

from keras_dinolm.views import TextViews
from keras_dinolm.views import ViewGroup

# Enough for centroids: some 45,000 tokens, 1,280 texts.
SAMPLE_BATCHES, SAMPLE_SIZE = 20, 64
# Not the order of any run.
SAMPLE_SEED = 12_345


@dataclasses.dataclass(frozen=True)
class Scene:
    """A phase before it begins.

    Args:
        workshop: `Workshop`.
        before: the encoder that the phase before left, or the start.
        length: int. Tokens of a sampled text, [CLS] included.
        steps: int. Of this phase.
        seed: int.
    """

    workshop: Any
    before: Any
    length: int
    steps: int
    seed: int

    def token_features(self, encoder, window=0):
        """What an encoder says of the tokens of sampled texts, `[N, D]`.

        Args:
            encoder: backbone.
            window: int. Features are means over so many neighbours on
                either side, too.
        """
        tokens, is_text, _ = self._sample(encoder)
        if window:
            from keras_dinolm.layers.near_tokens import mean_of_near_tokens

            tokens = mean_of_near_tokens(tokens, is_text, window)
        return ops.convert_to_numpy(tokens)[is_text]

    def text_features(self, encoder):
        """What an encoder says of sampled texts, `[N, D]`."""
        return self._sample(encoder)[2]

    def _sample(self, encoder):
        found = [encoder.predict_on_batch(x) for x in self._texts]
        is_text = np.concatenate([x["padding_mask"] for x in self._texts])
        is_text[:, 0] = False  # [CLS]
        return (
            np.concatenate([x["sequence_output"] for x in found]),
            is_text,
            np.concatenate([x["pooled_output"] for x in found]),
        )

    @functools.cached_property
    def _texts(self):
        views = TextViews(
            self.workshop.tokenizer, self.length, groups=(ViewGroup("all", 1),)
        )
        data = iter(self.workshop.dataset(views, SAMPLE_SIZE, SAMPLE_SEED))
        batches = []
        for _ in range(SAMPLE_BATCHES):
            batch = next(data)
            arrays = (batch[0] if isinstance(batch, tuple) else batch)["all"]
            batches.append(
                {
                    "token_ids": np.array(arrays["token_ids"])[:, 0],
                    "padding_mask": np.array(arrays["padding_mask"])[
                        :, 0
                    ].astype(bool),
                }
            )
        return batches
