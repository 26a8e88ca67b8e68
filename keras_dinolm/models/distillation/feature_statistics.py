"""Running statistics of the features, from which collapse is read off."""

import math

import keras
import numpy as np
from keras import ops

from keras_dinolm.layers.normalize import l2_normalize


class FeatureStatistics(keras.metrics.Metric):
    """Spread of the features seen since the last reset.

    Keeps only sums (a `[D, D]` second moment), so it costs one small matrix
    product a step and covers every text of the epoch.

    `result()` gives

    - `feature_std`: standard deviation of a dimension of the L2-normalised
      feature, averaged and times √D: 1 when isotropic, 0 when constant;
    - `mean_cosine`: mean cosine between the features of two texts;
    - `token_sequence_cosine`: mean cosine between a token's feature and its
      text's: tokens that all repeat the text give 1. Where the text's feature
      joins several layers, the mean of its tokens is taken instead. Features
      of tokens are not computed for its sake; where there are none, it is NaN.

    Args:
        dim: int. D.
        **kwargs: as for `keras.metrics.Metric`.
    """

    def __init__(self, dim, name="features", **kwargs):
        super().__init__(name=name, **kwargs)
        self.dim = dim
        for key, shape in (
            ("sum", (dim,)),
            ("second_moment", (dim, dim)),
            ("count", ()),
            ("token_sequence_cosine", ()),
            ("num_tokens", ()),
        ):
            weight = self.add_weight(shape, initializer="zeros", name=key)
            setattr(self, key, weight)

    @staticmethod
    def sums(features, padding_mask):
        """The sums over one batch, a pure function.

        Args:
            features: `{"tokens": [B, V, L, D], "sequence": [B, V, P]}`, or
                without `"tokens"`.
            padding_mask: `[B, V, L]`.

        Returns:
            A dict of arrays for `update_state`.
        """
        sequence = l2_normalize(ops.stop_gradient(features["sequence"]))
        rows = ops.reshape(sequence, (-1, sequence.shape[-1]))
        sums = {
            "sum": ops.sum(rows, axis=0),
            "second_moment": ops.matmul(ops.transpose(rows), rows),
            "count": ops.sum(ops.ones_like(rows[:, 0])),
        }
        if "tokens" not in features:
            return sums
        tokens = ops.cast(ops.stop_gradient(features["tokens"]), "float32")
        mask = ops.cast(padding_mask, "float32")
        text = sequence
        if sequence.shape[-1] != tokens.shape[-1]:
            text = l2_normalize(ops.einsum("bvld,bvl->bvd", tokens, mask))
        # The direction of each token against that of its text, without a
        # normalised copy of all tokens.
        dots = ops.einsum("bvld,bvd->bvl", tokens, text)
        norms = ops.sqrt(ops.sum(ops.square(tokens), axis=-1) + 1e-12)
        return {
            **sums,
            "token_sequence_cosine": ops.sum(dots / norms * mask),
            "num_tokens": ops.sum(mask),
        }

    def update_state(self, sums, keep=True):
        """Adds the sums of one batch.

        Args:
            sums: as `sums` returns them.
            keep: boolean scalar; `False` leaves the batch out.
        """
        for name, value in sums.items():
            # A bad batch may hold NaN, which no product with 0 removes.
            getattr(self, name).assign_add(ops.where(keep, value, 0.0))

    def result(self):
        count = ops.maximum(self.count, 1.0)
        mean = self.sum / count
        mean_norm = ops.sum(ops.square(mean))
        variance = ops.trace(self.second_moment) / count - mean_norm
        pairs = ops.maximum(self.count - 1.0, 1.0)
        values = {
            "feature_std": ops.sqrt(ops.maximum(variance, 0.0)),
            "mean_cosine": (self.count * mean_norm - 1.0) / pairs,
            "token_sequence_cosine": self.token_sequence_cosine
            / ops.maximum(self.num_tokens, 1.0),
        }
        # Where nothing was seen, 0 would look like a collapse.
        seen = {"token_sequence_cosine": self.num_tokens}
        return {
            name: ops.where(seen.get(name, self.count) > 0, value, math.nan)
            for name, value in values.items()
        }

    def rankme(self):
        """RankMe of all features seen: their effective rank, 1 to D.

        NaN before any was seen. Read off the second moment, whose eigenvalues
        are the squared singular values of the feature matrix.

        Reference:
            [RankMe](https://arxiv.org/abs/2210.02885)
        """
        if not float(ops.convert_to_numpy(self.count)):
            return math.nan
        moment = ops.convert_to_numpy(self.second_moment).astype("float64")
        singular = np.sqrt(np.maximum(np.linalg.eigvalsh(moment), 0.0))
        if not singular.sum() > 0:
            return 1.0
        share = singular / singular.sum() + 1e-7
        return float(np.exp(-(share * np.log(share)).sum()))
