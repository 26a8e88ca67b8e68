"""`HomogeneousBatches`: which share of the batches is of one cluster."""

import dataclasses

import numpy as np

from keras_dinolm import arguments


@dataclasses.dataclass(frozen=True, eq=False)
class HomogeneousBatches:
    """Some batches hold documents of one cluster alone.

    Their negatives are hard, and what tells them apart is fine detail.
    `view_dataset(..., homogeneous=)` takes one of these. The windows of an
    epoch stay the same; they are only dealt to batches in another way.

    Args:
        labels: integers, one for each document of the token store, in its
            order, e.g. `keras_dinolm.curation.Clusters.labels()`. Documents
            with a negative number are in mixed batches only.
        share: float in [0, 1]. The probability that a batch is of one
            cluster, as far as clusters have enough windows of like length to
            fill batches. Defaults to `0.1`, the share of DINOv3.

    Raises:
        ValueError: if `labels` are not a row of integers, or `share` is not
            in [0, 1].

    Example:

    ```python
    import keras_dinolm as kd

    texts = [f"text number {i} of a small corpus" for i in range(100)]
    tokenizer = kd.data.train_tokenizer(texts, vocabulary_size=80)
    tokens = kd.data.tokenize(texts, tokenizer, "tokens/")
    views = kd.views.TextViews(tokenizer, sequence_length=16)

    labels = [i % 4 for i in range(100)]
    homogeneous = kd.data.HomogeneousBatches(labels, share=0.5)
    dataset = kd.data.view_dataset(
        tokens, views, batch_size=8, homogeneous=homogeneous
    )
    ```
    """

    labels: np.ndarray
    share: float = 0.1

    def __post_init__(self):
        labels = np.asarray(self.labels)
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise ValueError(
                "`labels` must be integers, one for each document of the "
                f"store. Received: labels of shape {labels.shape} and dtype "
                f"{labels.dtype}"
            )
        object.__setattr__(self, "labels", labels)
        share = arguments.number("share", self.share, 0, 1)
        object.__setattr__(self, "share", share)
