"""`stream_dataset`: batches of texts as they come, for `fit`."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.data.arguments import MOST_SEED
from keras_dinolm.data.arguments import check_max_alternates
from keras_dinolm.data.arguments import check_views
from keras_dinolm.data.corpora.document import Document
from keras_dinolm.data.corpora.documents import check_corpus
from keras_dinolm.data.corpora.documents import is_read_once
from keras_dinolm.data.store_encoder import check_tokenizer_kind
from keras_dinolm.data.token_store import TokenStore

if TYPE_CHECKING:
    from keras_dinolm.models import DinoLMTokenizer


def stream_dataset(
    texts: Iterable[str | Document | Mapping],
    views: Callable,
    batch_size: int,
    tokenizer: "DinoLMTokenizer",
    seed: int = 0,
    start_step: int = 0,
    num_epochs: int | None = None,
    shuffle_buffer: int = 10_000,
    max_alternates: int | None = None,
) -> Any:
    """Batches of texts that cannot be tokenized beforehand.

    For sources that are unbounded, or made while training. Texts are
    tokenized in this process, and their windows are shuffled in a buffer.
    All windows have one width, and those that do not fill the last batch are
    left out. Batches can only be read forward, and `start_step` reads and
    leaves out the batches before it. Where a corpus
    can be read twice, `tokenize` and `view_dataset` are faster, shuffle
    better, and begin at any step at once.

    Args:
        texts: iterable of `str`, `Document`, or mappings with `"text"`. A
            list, or an object with `__iter__`, can be read again for the next
            epoch. An iterator, or a corpus of a pipe, can be read once.
        views: `keras_dinolm.views.TextViews`. What each batch is made by.
        batch_size: int. Documents in a batch.
        tokenizer: `DinoLMTokenizer`.
        seed: int. Same seed and texts, same batches. Defaults to `0`.
        start_step: int. The step to begin with. Defaults to `0`.
        num_epochs: int. After how many passes over the texts to end (counted
            from step 0). Defaults to `None`: never, or when an iterator ends.
        shuffle_buffer: int. Number of windows among which the next one is
            drawn. Defaults to `10_000`.
        max_alternates: int. How many alternates of a document come with a
            window of it, at most. Only for views that draw from alternates,
            where it defaults to `4`.

    Returns:
        A `keras.utils.PyDataset`. Each batch is the dict that `views`
        returns. The attribute `views` holds the views.

    Raises:
        ValueError: if an argument is out of range or does not apply, `texts`
            is a token store or a single text, or `num_epochs` asks for more
            passes than an iterator has.

    Example:

    ```python
    import keras_dinolm as kd

    def texts():  # for instance from a network
        for i in range(100):
            yield f"text number {i} of a small corpus"

    tokenizer = kd.data.train_tokenizer(texts(), vocabulary_size=80)
    views = kd.views.TextViews(tokenizer, sequence_length=16)
    dataset = kd.data.stream_dataset(
        texts(), views, batch_size=8, tokenizer=tokenizer
    )
    batch = next(iter(dataset))  # {"global": {"token_ids": ...}, ...}
    ```
    """
    _check_texts(texts)
    can_be_read_again = not is_read_once(texts)
    window = check_views(views)
    batch_size = arguments.count("batch_size", batch_size)
    check_tokenizer_kind(tokenizer)
    seed = arguments.integer("seed", seed, 0, MOST_SEED - 1)
    start_step = arguments.count("start_step", start_step, 0)
    if num_epochs is not None:
        num_epochs = arguments.count("num_epochs", num_epochs)
        if num_epochs > 1 and not can_be_read_again:
            raise ValueError(
                "`num_epochs` of an iterator or a pipe must be 1 or `None`, "
                "because it can be read once only. Pass a list, or an object "
                "whose `__iter__` begins again. Received: "
                f"num_epochs={num_epochs} and texts of type "
                f"{type(texts).__name__}"
            )
    shuffle_buffer = arguments.count("shuffle_buffer", shuffle_buffer)
    max_alternates = check_max_alternates(max_alternates, views)

    from keras_dinolm.data.text_dataset import TextDataset
    from keras_dinolm.data.text_stream import TextStream

    stream = TextStream(
        texts,
        tokenizer,
        window,
        batch_size,
        seed,
        num_epochs,
        shuffle_buffer,
        max_alternates,
    )
    return TextDataset(stream, views, start_step)


def _check_texts(texts):
    if isinstance(texts, TokenStore):
        raise ValueError(
            "`texts` must be an iterable of texts. For a token store, use "
            f"`keras_dinolm.data.view_dataset`. Received: texts={texts!r}"
        )
    check_corpus(texts, "texts")
