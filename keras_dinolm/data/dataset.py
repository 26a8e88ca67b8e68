"""`view_dataset`: batches of views for `fit`."""

import warnings

import numpy as np

from keras_dinolm.data.token_store import TokenStore


def view_dataset(
    tokens,
    views,
    batch_size,
    seed=0,
    start_step=0,
    num_epochs=None,
    drop_remainder=True,
    buckets=None,
    block_tokens=16_000_000,
    use_tf_data=None,
    tokenizer=None,
    shuffle_buffer=10_000,
    clusters=None,
    homogeneous=0.1,
    max_alternates=4,
):
    """Batches of views of a corpus, shuffled, endless, and reproducible.

    Batch n is a function of `(seed, n)` and the store alone: it does not depend
    on threads, the backend, or whether TensorFlow is installed, and
    `start_step=n` begins there at once, without going through the batches
    before it.

    The corpus is not held in memory. Blocks of shards are loaded in a random
    order; within a block, windows are shuffled. A document longer than
    `views.sequence_length - 1` tokens gives several windows, with a new
    random phase each epoch. Windows are padded to one of a few widths
    (`buckets`), and each batch has one width, so shapes are static and little
    is padding; what does not fill a batch moves on to the next larger width.

    Args:
        tokens: `TokenStore`, or any iterable of texts (`str`, `Document`,
            mappings with `"text"`) that cannot be tokenized beforehand; the
            latter needs `tokenizer`, has one width, is shuffled in a buffer,
            and must be read from the beginning for `start_step`.
        views: `keras_dinolm.views.TextViews`.
        batch_size: int. Documents in a batch.
        seed: int. Same seed, same batches. Defaults to `0`.
        start_step: int. The step to begin with. Defaults to `0`.
        num_epochs: int. After how many passes over the corpus to end (counted
            from step 0). Defaults to `None`: never; use
            `fit(steps_per_epoch=...)`.
        drop_remainder: bool. With `True`, windows that do not fill the last
            batch of a block are left out of this epoch (others in the next).
            With `False`, that batch is completed with windows of the same
            block, so that each window is seen and shapes stay the same.
        buckets: ascending list of window widths. The last one must be
            `views.sequence_length - 1`. Defaults to half of that and that.
        block_tokens: int. Tokens that are loaded, and shuffled, at a time.
            Defaults to 16 million.
        use_tf_data: bool. Whether to return a `tf.data.Dataset`; by default,
            if TensorFlow is installed.
        tokenizer: `DinoLMTokenizer`. Needed for texts. With a store, it is
            compared with the one that built it, if given.
        shuffle_buffer: int. Windows among which texts are shuffled.
        clusters: integers, one for each document of the store, e.g.
            `keras_dinolm.curation.Clusters.labels()`. With them, some batches
            hold documents of one cluster alone: their negatives are hard, and
            what tells them apart is fine detail. Documents with a negative
            number are in mixed batches only. Defaults to `None`: all batches
            are mixed.
        homogeneous: float in [0, 1]. With `clusters`, the probability that a
            batch is of one cluster, as far as clusters have enough windows
            of like length to fill batches. An epoch still has each window
            once. Defaults to `0.1`, the share of DINOv3.
        max_alternates: int. How many alternates of a document come with a
            window of it, at most, for `views` that draw from them; of more,
            each epoch takes others. A long alternate is cut where the window
            lies in its document.

    Returns:
        A `tf.data.Dataset`, or a `keras.utils.PyDataset` with the same
        batches. Each is the dict that `views` returns. `num_epochs` gives
        it a length. `kd.data.steps_per_epoch` tells how many steps an epoch
        has. With a `PyDataset` that has a length, call `fit(shuffle=False)`,
        or Keras shuffles its batches.

    Raises:
        ValueError: if there are fewer windows than `batch_size`, an
            argument is out of range, or `views` draw from alternates and no
            document of the store has any.

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
    views = kd.views.TextViews(tokenizer, 16, groups=[group])  # go on as above
    ```
    """
    _check_integers(
        batch_size=(batch_size, 1),
        seed=(seed, 0),
        start_step=(start_step, 0),
        block_tokens=(block_tokens, 1),
        shuffle_buffer=(shuffle_buffer, 1),
        max_alternates=(max_alternates, 1),
    )
    if num_epochs is not None:
        _check_integers(num_epochs=(num_epochs, 1))
    if not isinstance(tokens, TokenStore):
        if clusters is not None:
            raise ValueError(
                "`clusters` need a `TokenStore`, whose documents they number. "
                f"Received: clusters, and tokens of type "
                f"{type(tokens).__name__}. Tokenize to disk first: "
                "`keras_dinolm.data.tokenize`."
            )
        return _stream(
            tokens,
            views,
            batch_size,
            seed,
            start_step,
            num_epochs,
            tokenizer,
            shuffle_buffer,
            max_alternates,
        )
    if tokenizer is not None:
        tokens.check_tokenizer(tokenizer)
    layout = _layout(
        tokens,
        views,
        batch_size,
        buckets,
        drop_remainder,
        block_tokens,
        max_alternates,
    )
    if clusters is not None:
        layout = _with_clusters(layout, tokens, clusters, homogeneous)
    num_steps = None
    if num_epochs is not None:
        num_steps = num_epochs * layout.steps_per_epoch - start_step
        if num_steps <= 0:
            raise ValueError(
                "`start_step` must be below the number of steps. Received: "
                f"start_step={start_step}, while num_epochs={num_epochs} of "
                f"{layout.steps_per_epoch} steps are "
                f"{num_epochs * layout.steps_per_epoch}"
            )
    if use_tf_data is None or use_tf_data:
        try:
            from keras_dinolm.data.tf_dataset import make_dataset
        except ImportError:
            if use_tf_data:
                raise
        else:
            return make_dataset(
                tokens, views, layout, seed, start_step, num_steps
            )
    from keras_dinolm.data.py_dataset import EndlessViewDataset
    from keras_dinolm.data.py_dataset import FiniteViewDataset

    arguments = (tokens, views, layout, seed, start_step)
    if num_steps is None:
        return EndlessViewDataset(*arguments)
    return FiniteViewDataset(*arguments, num_steps=num_steps)


def steps_per_epoch(
    tokens,
    views,
    batch_size,
    drop_remainder=True,
    buckets=None,
    block_tokens=16_000_000,
):
    """How many batches of `view_dataset` are one pass over the corpus.

    Args:
        tokens: `TokenStore`.
        views: `keras_dinolm.views.TextViews`.
        batch_size, drop_remainder, buckets, block_tokens: as for
            `view_dataset`.

    Returns:
        An int, the same for every epoch and seed.

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
        tokens, views, batch_size, buckets, drop_remainder, block_tokens
    )
    return layout.steps_per_epoch


def _layout(
    tokens,
    views,
    batch_size,
    buckets,
    drop_remainder,
    block_tokens,
    max_alternates=1,
):
    from keras_dinolm.data.plan import make_layout

    longest = views.sequence_length - 1
    if buckets is None:
        buckets = sorted({-(-longest // 2), longest})
    buckets = [int(width) for width in buckets]
    if (
        not buckets
        or sorted(set(buckets)) != buckets
        or buckets[0] < 1
        or buckets[-1] != longest
    ):
        raise ValueError(
            "`buckets` must be ascending widths of at least 1, of which the "
            "last is `views.sequence_length - 1` ([CLS] takes one place), "
            f"here {longest}. Received: buckets={buckets}"
        )
    alternates = 0
    if _draws_alternates(views):
        alternates = min(tokens.most_alternates, max_alternates)
        if not alternates:
            raise ValueError(
                "`views` draw from alternates, and no document of the store "
                f"{tokens.directory} has any. Tokenize a corpus with "
                "alternates (`Document(alternates=...)`, "
                "`read_jsonl(alternates_key=...)`), or set "
                "`alternate_probability` of the view groups to 0."
            )
    layout = make_layout(
        tokens, batch_size, buckets, drop_remainder, block_tokens, alternates
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


def _draws_alternates(views):
    # Any callable with a `sequence_length` may make the views.
    return getattr(views, "draws_alternates", False)


def _with_clusters(layout, tokens, clusters, homogeneous):
    from keras_dinolm.data.plan import add_clusters

    labels = np.asarray(clusters)
    if labels.shape != (tokens.num_documents,) or labels.dtype.kind not in "iu":
        raise ValueError(
            "`clusters` must be integers, one for each of the "
            f"{tokens.num_documents} documents of the store. "
            f"Received: clusters of shape {labels.shape} and dtype "
            f"{labels.dtype}"
        )
    if not 0 <= homogeneous <= 1:
        raise ValueError(
            "`homogeneous` must be a probability, in [0, 1]. "
            f"Received: homogeneous={homogeneous}"
        )
    layout, possible = add_clusters(layout, tokens, labels, homogeneous)
    wanted = homogeneous * layout.steps_per_epoch
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


def _stream(
    texts,
    views,
    batch_size,
    seed,
    start_step,
    num_epochs,
    tokenizer,
    shuffle_buffer,
    max_alternates,
):
    from keras_dinolm.data.py_dataset import StreamViewDataset

    if isinstance(texts, str | bytes) or not hasattr(texts, "__iter__"):
        raise ValueError(
            "`tokens` must be a `TokenStore` (from "
            "`keras_dinolm.data.tokenize` or `TokenStore.open`) or an iterable "
            f"of texts. Received: tokens={texts!r}"
        )
    if tokenizer is None:
        raise ValueError(
            "`tokenizer` is needed to read texts. Received: tokens of type "
            f"{type(texts).__name__} and tokenizer=None. Pass the tokenizer, "
            "or the `TokenStore` that `keras_dinolm.data.tokenize` returns."
        )
    return StreamViewDataset(
        texts,
        tokenizer,
        views,
        batch_size,
        seed,
        start_step,
        num_epochs,
        shuffle_buffer,
        max_alternates if _draws_alternates(views) else 0,
    )


def _check_integers(**arguments):
    for name, (value, least) in arguments.items():
        if int(value) != value or value < least:
            raise ValueError(
                f"`{name}` must be an integer of at least {least}. "
                f"Received: {name}={value!r}"
            )
