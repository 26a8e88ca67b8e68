"""What a phase of a variant may ask for before it trains."""

import dataclasses
from typing import Any

import keras_dinolm as kd


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
            encoder,
            self.family.sample(self.workshop),
            self.family.num_rows,
            window,
        )
