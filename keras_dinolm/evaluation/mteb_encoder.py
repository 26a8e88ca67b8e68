"""Our encoders in the benchmark suite `mteb`."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.evaluation.text_features import PROBE
from keras_dinolm.evaluation.text_features import TextFeatures
from keras_dinolm.typing import Tensor


class MTEBEncoder:
    """An encoder as `mteb` (version 2) wants it.

    Needs the package `mteb` (`pip install keras-dinolm[mteb]`) and, unless
    the tasks are local (`mteb_task`), the network.

    Args:
        encoder: An object with `encode`, or a function, as for
            `TextFeatures`.
        name: String of the form `"organization/model"`, under which `mteb`
            files its results.
        revision: String. `mteb` takes results of the same name and revision
            from its cache. Defaults to a digest of a feature, so that a
            changed encoder counts as another one.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    def letters(texts):
        return np.array([[text.count(c) for c in "abc"] for text in texts])

    encoder = kd.evaluation.MTEBEncoder(letters, name="me/letters")
    # mteb.evaluate(encoder, mteb.get_tasks(["STSBenchmark"]))
    ```

    Reference:

    - [Muennighoff et al., 2022](https://arxiv.org/abs/2210.07316)
    """

    def __init__(
        self,
        encoder: Any,
        name: str = "keras_dinolm/encoder",
        revision: str | None = None,
    ) -> None:
        organization, *model = arguments.string("name", name).split("/")
        if not organization or len(model) != 1 or not model[0]:
            arguments.refuse("name", name, "of the form 'organization/model'")
        if revision is not None:
            arguments.string("revision", revision)
        self.features = TextFeatures(encoder)
        self.name = name
        self.revision = revision

    def encode(
        self,
        inputs: Iterable[dict[str, Any]],
        *,
        task_metadata: Any = None,
        hf_split: Any = None,
        hf_subset: Any = None,
        prompt_type: Any = None,
        **kwargs: Any,
    ) -> np.ndarray:
        """Features of the texts of a data loader, as `mteb` calls it.

        Args:
            inputs: Iterable of batches, dictionaries with a list of strings
                under `"text"`.
            task_metadata: Not used: there are no prompts.
            hf_split: Not used.
            hf_subset: Not used.
            prompt_type: Not used.
            **kwargs: Not used: the encoder makes its own batches.

        Returns:
            Float array of shape `[N, D]`.
        """
        return self.features.texts(
            [text for batch in inputs for text in batch["text"]]
        )

    def similarity(self, embeddings1: Tensor, embeddings2: Tensor) -> Tensor:
        """Cosines of all rows with all rows.

        Args:
            embeddings1: Array of shape `[N, D]`.
            embeddings2: Array of shape `[M, D]`.

        Returns:
            Tensor of shape `[N, M]`.
        """
        from mteb.similarity_functions import cos_sim

        return cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(
        self, embeddings1: Tensor, embeddings2: Tensor
    ) -> Tensor:
        """Cosines of rows with rows of the same index.

        Args:
            embeddings1: Array of shape `[N, D]`.
            embeddings2: Array of shape `[N, D]`.

        Returns:
            Tensor of shape `[N]`.
        """
        from mteb.similarity_functions import pairwise_cos_sim

        return pairwise_cos_sim(embeddings1, embeddings2)

    @property
    def mteb_model_meta(self) -> Any:
        """What `mteb` keeps with the results."""
        from mteb.models import ModelMeta

        feature = self.features.texts([PROBE])[0]
        revision = self.revision
        if revision is None:
            data = np.ascontiguousarray(feature).tobytes()
            revision = hashlib.sha256(data).hexdigest()[:16]
        return ModelMeta.create_empty(
            overwrites={
                "name": self.name,
                "revision": revision,
                "embed_dim": len(feature),
                "similarity_fn_name": "cosine",
            }
        )
