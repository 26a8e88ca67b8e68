"""What a phase of a variant may ask for before it trains."""

import dataclasses
from typing import Any

import numpy as np

import keras_dinolm as kd
from keras_dinolm.views import TextViews
from keras_dinolm.views import ViewGroup

NUM_TOKENS, NUM_TEXTS = 40_000, 2_048
# Not the order of any run.
SAMPLE_SEED, BATCH_SIZE = 12_345, 64


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
        """What an encoder says of the tokens of sampled texts, `[N, D]`."""
        return kd.models.token_features(
            encoder, self._texts(), NUM_TOKENS, window
        )

    def text_features(self, encoder):
        """What an encoder says of sampled texts, `[N, D]`."""
        rows = []
        for batch in self._texts():
            batch = batch[0] if isinstance(batch, tuple) else batch
            arrays = {
                name: np.asarray(batch["all"][name])[:, 0]
                for name in ("token_ids", "padding_mask")
            }
            rows.append(encoder.predict_on_batch(arrays)["pooled_output"])
            if len(rows) * BATCH_SIZE >= NUM_TEXTS:
                return np.concatenate(rows)

    def _texts(self):
        views = TextViews(
            self.workshop.tokenizer, self.length, groups=(ViewGroup("all", 1),)
        )
        return iter(self.workshop.dataset(views, BATCH_SIZE, SAMPLE_SEED))
