"""`view_dataset`: batches of a token store, for `fit`."""

import json
import warnings
import zlib
from collections.abc import Callable
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.data.arguments import MOST_SEED
from keras_dinolm.data.arguments import MOST_STEP
from keras_dinolm.data.arguments import check_buckets
from keras_dinolm.data.arguments import check_max_alternates
from keras_dinolm.data.arguments import check_special_tokens
from keras_dinolm.data.arguments import check_views
from keras_dinolm.data.arguments import draws_alternates
from keras_dinolm.data.homogeneous_batches import HomogeneousBatches
from keras_dinolm.data.token_store import TokenStore

if TYPE_CHECKING:
    from keras_dinolm.data.view_features import Features
    from keras_dinolm.models import DinoLMTokenizer


def view_dataset(
    tokens: TokenStore,
    views: Callable,
    batch_size: int,
    seed: int = 0,
    start_step: int = 0,
    num_epochs: int | None = None,
    drop_remainder: bool = True,
    buckets: Sequence[int] | None = None,
    block_tokens: int = 16_000_000,
    homogeneous: HomogeneousBatches | None = None,
    max_alternates: int | None = None,
    tokenizer: "DinoLMTokenizer | None" = None,
    use_tf_data: bool | None = None,
    features: "Features | None" = None,
    only_with_features: bool = False,
) -> Any:
    """Batches of a tokenized corpus, shuffled, endless, and reproducible.

    Batch n is a function of `(seed, n)`, the views and the store alone: it
    does not depend on threads, the backend, or whether TensorFlow is
    installed. `start_step=n` begins there at once, without going through the
    batches before it.

    The corpus is not held in memory. Blocks of shards are loaded in a random
    order; within a block, windows are shuffled. A document longer than
    `views.sequence_length - 1` tokens gives several windows, with a new
    random phase each epoch. Windows are padded to one of a few widths
    (`buckets`), and each batch has one width, so shapes are static and little
    is padding. Windows that do not fill a batch move on to the next larger
    width.

    For texts that cannot be tokenized beforehand, see
    `keras_dinolm.data.stream_dataset`.

    Args:
        tokens: `TokenStore`.
        views: `keras_dinolm.views.TextViews`. What each batch is made by.
        batch_size: int. Documents in a batch.
        seed: int. Same seed, same batches. Defaults to `0`.
        start_step: int. The step to begin with. Defaults to `0`.
        num_epochs: int. After how many passes over the corpus to end (counted
            from step 0). Defaults to `None`: never. Then use
            `fit(steps_per_epoch=...)`.
        drop_remainder: bool. With `True`, windows that do not fill the last
            batch of a block are left out of this epoch (others in the next).
            With `False`, that batch is completed with windows of the same
            block, so that each window is seen and shapes stay the same.
            Defaults to `True`.
        buckets: ascending list of window widths. The last one must be
            `views.sequence_length - 1`. Defaults to half of that and that.
        block_tokens: int. Tokens that are loaded, and shuffled, at a time.
            Defaults to 16 million.
        homogeneous: `keras_dinolm.data.HomogeneousBatches`. The clusters of
            the documents, and which share of the batches is of one cluster
            alone. Defaults to `None`: all batches are mixed.
        max_alternates: int. How many alternates of a document come with a
            window of it, at most. Of more, each epoch takes others. A long
            alternate is cut where the window lies in its document. Only for
            views that draw from alternates, where it defaults to `4`.
        tokenizer: `DinoLMTokenizer`. If given, it is compared with the one
            that made the store. Defaults to `None`.
        use_tf_data: bool. `True` returns a `tf.data.Dataset`, `False` a
            `keras.utils.PyDataset`. Defaults to `None`: a `tf.data.Dataset`
            if TensorFlow is installed, and there are no `features`.
        features: dict of a teacher's name to its `FeatureStore` (or
            `JoinedFeatures`). Each view group gets two more arrays:
            `NAME_sequence`, float16 `[B, dim]`, the features of the
            documents; and, if there are features of tokens, `NAME_tokens`,
            float16 `[B, V, L, dim]`, those of the tokens of the views. Zeros
            stand where there are none: at `[CLS]`, padding, and in documents
            without features. Defaults to `None`.
        only_with_features: bool. Whether to leave documents out that have
            no features of some teacher. Defaults to `False`.

    Returns:
        A `tf.data.Dataset`, or a `keras.utils.PyDataset` with the same
        batches. Each batch is the dict that `views` returns. The attribute
        `views` holds the views, with which `fit` compares the model. What
        `map` or `prefetch` of `tf.data` makes of the dataset lacks it: set
        `views` again. `num_epochs` gives the dataset a length, and
        `keras_dinolm.data.steps_per_epoch` tells how many steps an epoch has.
        With a `PyDataset` that has a length, call `fit(shuffle=False)`, or
        Keras shuffles its batches.

    Raises:
        ValueError: if there are fewer windows than `batch_size`, an argument
            is out of range or does not apply, `tokens` is no store,
            `views` are for another tokenizer than that of the store, or they
            draw from alternates and no document of the store has any.
        ImportError: if `use_tf_data=True` and TensorFlow is not installed.

    Example:

    ```python
    import keras_dinolm as kd

    texts = [f"text number {i} of a small corpus" for i in range(100)]
    tokenizer = kd.data.train_tokenizer(texts, vocabulary_size=80)
    tokens = kd.data.tokenize(texts, tokenizer, "tokens/")
    views = kd.views.TextViews(tokenizer, sequence_length=16)
    dataset = kd.data.view_dataset(tokens, views, batch_size=8)
    batch = next(iter(dataset))  # {"global": {"token_ids": ...}, ...}
    ```

    Documents with translations, from which half of the views are cut:

    ```python
    documents = [
        kd.data.Document(text, alternates=[f"Text Nummer {i} eines Korpus"])
        for i, text in enumerate(texts)
    ]
    tokenizer = kd.data.train_tokenizer(documents, vocabulary_size=100)
    tokens = kd.data.tokenize(documents, tokenizer, "both/")
    group = kd.views.ViewGroup("global", 2, alternate_probability=0.5)
    views = kd.views.TextViews(tokenizer, 16, groups=[group])
    dataset = kd.data.view_dataset(tokens, views, batch_size=8)
    ```
    """
    only_with_features = arguments.flag(
        "only_with_features", only_with_features
    )
    kept = None
    if features is not None:
        features, kept = _checked_features(
            features, only_with_features, tokens, use_tf_data
        )
        use_tf_data = False
    elif only_with_features:
        raise ValueError(
            "`only_with_features` needs `features`. Received: "
            "only_with_features=True, features=None"
        )
    layout = _layout(
        tokens,
        views,
        batch_size,
        drop_remainder,
        buckets,
        block_tokens,
        max_alternates,
        kept,
    )
    seed = arguments.integer("seed", seed, 0, MOST_SEED - 1)
    start_step = arguments.integer("start_step", start_step, 0, MOST_STEP - 1)
    if use_tf_data is not None:
        use_tf_data = arguments.flag("use_tf_data", use_tf_data)
    if tokenizer is not None:
        tokens.check_tokenizer(tokenizer)
    if homogeneous is not None:
        layout = _with_clusters(
            layout, tokens if kept is None else kept, homogeneous
        )
    num_steps = None
    if num_epochs is not None:
        num_epochs = arguments.integer(
            "num_epochs", num_epochs, 1, MOST_STEP - 1
        )
        num_steps = num_epochs * layout.steps_per_epoch - start_step
        if num_steps <= 0:
            raise ValueError(
                "`start_step` must be below the number of steps. Received: "
                f"start_step={start_step}, while num_epochs={num_epochs} of "
                f"{layout.steps_per_epoch} steps are "
                f"{num_epochs * layout.steps_per_epoch}"
            )
    make_dataset = _dataset_maker(use_tf_data)
    store = tokens if kept is None else kept
    options = {} if features is None else {"features": features}
    dataset = make_dataset(
        store, views, layout, seed, start_step, num_steps, **options
    )
    # With which `keras_dinolm.runs.fit` compares the data of a run.
    dataset.origin = {
        "store": {
            "tokenizer": tokens.fingerprint,
            "documents": tokens.num_documents,
            "tokens": tokens.num_tokens,
            "checksum": zlib.crc32(json.dumps(tokens.shards).encode()),
        },
        "seed": seed,
        "batch_size": layout.batch_size,
        "buckets": list(layout.buckets),
        "drop_remainder": layout.drop_remainder,
        "blocks": len(layout.blocks),
        "homogeneous": None if homogeneous is None else homogeneous.share,
        "num_epochs": num_epochs,
    }
    if features is not None:
        dataset.origin["features"] = {
            name: store.origin() for name, store in features.items()
        }
        dataset.origin["only_with_features"] = only_with_features
    if hasattr(views, "get_config"):
        dataset.origin["views"] = views.get_config()
    return dataset


def steps_per_epoch(
    tokens: TokenStore,
    views: Callable,
    batch_size: int,
    drop_remainder: bool = True,
    buckets: Sequence[int] | None = None,
    block_tokens: int = 16_000_000,
) -> int:
    """How many batches of `view_dataset` are one pass over the corpus.

    The arguments are those of `view_dataset`. Its other arguments do not
    change the number of steps.

    Args:
        tokens: `TokenStore`.
        views: `keras_dinolm.views.TextViews`.
        batch_size: int. Documents in a batch.
        drop_remainder: bool. Whether windows that do not fill a batch are
            left out. Defaults to `True`.
        buckets: ascending list of window widths. Defaults to half of
            `views.sequence_length - 1` and that.
        block_tokens: int. Tokens that are shuffled at a time. Defaults to 16
            million.

    Returns:
        An int, the same for every epoch and seed.

    Raises:
        ValueError: as `view_dataset`.

    Example:

    ```python
    import keras_dinolm as kd

    texts = [f"text number {i} of a small corpus" for i in range(100)]
    tokenizer = kd.data.train_tokenizer(texts, vocabulary_size=80)
    tokens = kd.data.tokenize(texts, tokenizer, "tokens/")
    views = kd.views.TextViews(tokenizer, sequence_length=16)
    kd.data.steps_per_epoch(tokens, views, batch_size=8)  # 12
    ```
    """
    layout = _layout(
        tokens, views, batch_size, drop_remainder, buckets, block_tokens
    )
    return layout.steps_per_epoch


def _layout(
    tokens,
    views,
    batch_size,
    drop_remainder,
    buckets,
    block_tokens,
    max_alternates=None,
    kept=None,
):
    """Checks the arguments that decide how long an epoch is; a `Layout`."""
    from keras_dinolm.data.layout import make_layout

    if not isinstance(tokens, TokenStore):
        raise ValueError(
            "`tokens` must be a `TokenStore`, from "
            "`keras_dinolm.data.tokenize` or `TokenStore.open`. For texts that "
            "cannot be tokenized beforehand, use "
            "`keras_dinolm.data.stream_dataset`. Received: "
            f"tokens={arguments.shorten(tokens)} "
            f"(of type {type(tokens).__name__})"
        )
    longest = check_views(views)
    check_special_tokens(views, tokens)
    batch_size = arguments.integer("batch_size", batch_size, 1, MOST_STEP - 1)
    drop_remainder = arguments.flag("drop_remainder", drop_remainder)
    buckets = check_buckets(buckets, longest)
    block_tokens = arguments.integer(
        "block_tokens", block_tokens, 1, MOST_STEP - 1
    )
    max_alternates = check_max_alternates(max_alternates, views)
    if draws_alternates(views) and not tokens.most_alternates:
        raise ValueError(
            "`views` draw from alternates, and no document of the store "
            f"{tokens.directory} has any. Tokenize a corpus with alternates "
            "(`Document(alternates=...)`, `read_jsonl(alternates_key=...)`), "
            "or set `alternate_probability` of the view groups to 0."
        )
    layout = make_layout(
        tokens if kept is None else kept,
        batch_size,
        buckets,
        drop_remainder,
        block_tokens,
        min(tokens.most_alternates, max_alternates),
    )
    if layout.steps_per_epoch == 0:
        fix = (
            "Use a `batch_size` of at most this number, a larger corpus, or "
            "`drop_remainder=False` (which repeats windows)."
        )
        if layout.windows >= batch_size:
            fix = "Raise `block_tokens`, or use a smaller `batch_size`."
        raise ValueError(
            f"`batch_size` is larger than the corpus: {batch_size} windows "
            f"make a batch, and the corpus has {layout.windows} windows of up "
            f"to {longest} tokens, from {tokens.num_documents} documents, in "
            f"{len(layout.blocks)} blocks. {fix}"
        )
    return layout


def _checked_features(features, only, tokens, use_tf_data):
    """Features by name, and the store of the documents that have them."""
    from keras_dinolm.data.feature_store import check_tokens
    from keras_dinolm.data.restricted_store import RestrictedStore
    from keras_dinolm.data.view_features import check_features
    from keras_dinolm.data.view_features import have_features

    check_tokens(tokens)
    features = check_features(features, tokens)
    if use_tf_data:
        raise ValueError(
            "`use_tf_data=True` does not go with `features`, which are read "
            "from memory maps in Python. Leave it out. Received: "
            f"use_tf_data={use_tf_data!r}"
        )
    if not only:
        return features, None
    there = have_features(features, tokens.num_documents)
    return features, RestrictedStore(tokens, there)


def _with_clusters(layout, tokens, homogeneous):
    from keras_dinolm.data.layout import with_clusters

    if not isinstance(homogeneous, HomogeneousBatches):
        raise ValueError(
            "`homogeneous` must be a `keras_dinolm.data.HomogeneousBatches("
            "labels, share)`, or `None` for mixed batches. Received: "
            f"homogeneous={arguments.shorten(homogeneous)} "
            f"(of type {type(homogeneous).__name__})"
        )
    labels, share = homogeneous.labels, homogeneous.share
    if len(labels) != tokens.num_documents:
        raise ValueError(
            "`homogeneous` must have a label for each of the "
            f"{tokens.num_documents} documents of the store. "
            f"Received: {len(labels)} labels"
        )
    layout, possible = with_clusters(layout, tokens, labels, share)
    wanted = share * layout.steps_per_epoch
    if possible < wanted:
        warnings.warn(
            f"About {possible:,} of {layout.steps_per_epoch:,} batches can be "
            f"of one cluster, and `homogeneous` asks for {wanted:,.0f}: few "
            f"clusters have {layout.batch_size} windows of like length. Use "
            "larger clusters (a higher level of the tree), a smaller "
            "`batch_size`, or a single width in `buckets`.",
            stacklevel=3,
        )
    return layout


def _dataset_maker(use_tf_data):
    """`make_dataset` of `tf.data`, or of Keras alone."""
    if use_tf_data is None or use_tf_data:
        try:
            from keras_dinolm.data.tf_dataset import make_dataset

            return make_dataset
        except ImportError as error:
            if use_tf_data:
                raise ImportError(
                    "`use_tf_data=True` needs TensorFlow, which cannot be "
                    "imported. Install it, or leave `use_tf_data` out: the "
                    "batches are the same."
                ) from error
    from keras_dinolm.data.store_dataset import make_dataset

    return make_dataset
