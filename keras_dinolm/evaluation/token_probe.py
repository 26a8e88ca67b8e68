"""A linear tagger on frozen token features."""

from collections.abc import Iterable
from collections.abc import Sequence

import numpy as np

from keras_dinolm import arguments
from keras_dinolm.evaluation.arguments import as_features
from keras_dinolm.evaluation.entity_f1 import as_sentences
from keras_dinolm.evaluation.entity_f1 import check_tag
from keras_dinolm.evaluation.entity_f1 import entity_f1
from keras_dinolm.evaluation.linear_probe import STRENGTHS
from keras_dinolm.evaluation.logistic_regression import as_strengths
from keras_dinolm.evaluation.logistic_regression import choose
from keras_dinolm.typing import Tensor


def token_probe(
    train_features: Sequence[Tensor] | Tensor,
    train_tags: Sequence[Sequence[str | None]],
    test_features: Sequence[Tensor] | Tensor,
    test_tags: Sequence[Sequence[str | None]],
    dev_features: Sequence[Tensor] | Tensor | None = None,
    dev_tags: Sequence[Sequence[str | None]] | None = None,
    strengths: float | Sequence[float] | None = None,
    max_iterations: int = 1000,
) -> float:
    """Entity F1 of logistic regression on each token's frozen feature.

    Every token is classified on its own: what its feature knows of the
    sentence, it knows from the encoder. Scored by `entity_f1`: whole entities
    of the right type, micro-averaged.

    Features come from pieces of words, tags belong to words: give the tag to
    one piece (usually the first) and `None` to the others, to special tokens
    and to padding. Tokens tagged `None` are neither trained on nor scored.

    Args:
        train_features: Sequence of sentences, each an array `[L, D]`; an
            array of shape `[N, L, D]` is one.
        train_tags: Sequence of sentences, each L tags: `O`, `B-type`,
            `I-type`, or `None`.
        test_features: As `train_features`.
        test_tags: As `train_tags`.
        dev_features: Optional, as `train_features`.
        dev_tags: As `train_tags`, with `dev_features`.
        strengths: As for `linear_probe`; chosen by F1 on the dev data.
        max_iterations: Integer. Most iterations of the solver, L-BFGS.

    Returns:
        Float from 0 to 1.

    Raises:
        ValueError: If lengths do not fit, a tag has another form, features
            are not finite, or there is no entity to find.

    Example:

    ```python
    import numpy as np
    from keras_dinolm.evaluation import token_probe

    tags = [["O", "B-PER", "I-PER", None], ["B-PER", "O", "O", None]] * 10
    kinds = {"O": 0, "B-PER": 1, "I-PER": 2, None: 3}
    features = np.eye(4)[[[kinds[tag] for tag in row] for row in tags]]
    print(token_probe(features[:10], tags[:10], features[10:], tags[10:]))
    ```

    Reference:

    - [Tjong Kim Sang & De Meulder, 2003](https://aclanthology.org/W03-0419)
    """
    train, train_rows = _flatten("train", train_features, train_tags)
    width = train.shape[1]
    test, test_rows = _flatten("test", test_features, test_tags, width)
    max_iterations = arguments.count("max_iterations", max_iterations)
    if (dev_features is None) != (dev_tags is None):
        raise ValueError(
            "`dev_features` and `dev_tags` go together. Received only one."
        )
    dev, dev_rows = None, []
    if dev_features is not None:
        dev, dev_rows = _flatten("dev", dev_features, dev_tags, width)
    if strengths is None:
        strengths = 1.0 if dev is None else STRENGTHS
    predict = choose(
        train,
        [tag for tags in train_rows for tag in tags],
        dev,
        lambda flat: entity_f1(dev_rows, _unflatten(flat, dev_rows)),
        as_strengths(strengths, dev is not None),
        max_iterations,
    )
    return entity_f1(test_rows, _unflatten(predict(test), test_rows))


def _flatten(split, features, tags, width=None):
    """Drops what is tagged `None`; returns `[M, D]` and lists of tags."""
    name = f"{split}_features"
    tags = as_sentences(f"{split}_tags", tags)
    if isinstance(features, str | bytes) or not isinstance(features, Iterable):
        arguments.refuse(name, features, "a list of sentences, arrays [L, D]")
    features = list(features)
    if len(features) != len(tags):
        raise ValueError(
            f"`{split}_tags` must have one entry for each sentence of "
            f"`{name}`. Received: {len(tags)} and {len(features)}."
        )
    rows, kept = [], []
    for i, (x, row) in enumerate(zip(features, tags, strict=True)):
        if not hasattr(x, "__len__"):
            arguments.refuse(name, features, "a list of arrays [L, D]")
        if len(x) != len(row):
            raise ValueError(
                f"`{split}_tags` must have one tag for each token. "
                f"Received: {len(row)} tags for the {len(x)} tokens of "
                f"sentence {i}."
            )
        for tag in row:
            if tag is not None:
                check_tag(f"{split}_tags", tag)
        places = [j for j, tag in enumerate(row) if tag is not None]
        kept.append([row[j] for j in places])
        if places:
            x = as_features(f"{name}[{i}]", x, width)
            width = x.shape[1]
            rows.append(x[places])
    if not rows:
        raise ValueError(
            f"`{split}_tags` must tag at least one token. Received: "
            f"{len(tags)} sentences without any tag but `None`."
        )
    return np.concatenate(rows), kept


def _unflatten(flat, like):
    flat = iter(flat)
    return [[next(flat) for _ in row] for row in like]
