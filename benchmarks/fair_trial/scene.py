"""What a phase of a variant may ask for before it trains."""

import dataclasses
from typing import Any

import numpy as np
from keras import ops

import keras_dinolm as kd

NUM_TOKENS, NUM_TEXTS = 40_000, 2_048


@dataclasses.dataclass(frozen=True)
class Scene:
    """A phase before it begins.

    Args:
        workshop: `Workshop`.
        family: `Family`.
        before: the encoder that the phase before left, or the start.
        steps: int. Of this phase.
        seed: int.
    """

    workshop: Any
    family: Any
    before: Any
    steps: int
    seed: int

    def token_features(self, encoder, window=0):
        """What an encoder says of the tokens of sampled texts, `[N, D]`."""
        return kd.models.token_features(
            encoder, self.family.sample(self.workshop), NUM_TOKENS, window
        )

    def text_features(self, encoder):
        """What an encoder says of sampled texts, `[N, D]`."""
        rows = []
        for batch in self.family.sample(self.workshop):
            batch = batch[0] if isinstance(batch, tuple) else batch
            (arrays,) = batch.values()
            found = encoder(
                {
                    name: np.asarray(arrays[name])[:, 0]
                    for name in ("token_ids", "padding_mask")
                },
                training=False,
            )
            rows.append(ops.convert_to_numpy(found["sequence"]))
            if sum(map(len, rows)) >= NUM_TEXTS:
                break
        return np.concatenate(rows).astype("float32")
