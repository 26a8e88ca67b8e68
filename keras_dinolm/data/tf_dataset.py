"""A token store as a `tf.data.Dataset` of graph ops."""

import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_dinolm.data.alternates import index_alternates
from keras_dinolm.data.layout import Layout
from keras_dinolm.data.layout import block_order
from keras_dinolm.data.plan import cut_windows
from keras_dinolm.data.plan import gather_windows
from keras_dinolm.data.plan import plan_block
from keras_dinolm.data.store_check import shard_path
from keras_dinolm.data.token_store import TokenStore
from keras_dinolm.views.namespace import PipelineNamespace

if not hasattr(tf, "data"):
    # `pip uninstall` can leave an empty folder, which imports.
    raise ImportError("TensorFlow is not usable: its package is empty.")


def make_dataset(
    store: TokenStore,
    views: Callable,
    layout: Layout,
    seed: int,
    start_step: int,
    num_steps: int | None,
) -> tf.data.Dataset:
    """Makes a `tf.data.Dataset` of a token store, of graph ops alone.

    Args:
        store: `TokenStore`.
        views: callable, `views(windows, seed=, step=)`.
        layout: `Layout`.
        seed: int.
        start_step: int. The step of the first batch.
        num_steps: int, or `None` for an endless dataset.

    Returns:
        A `tf.data.Dataset` of batches, with the attribute `views`.
    """
    _leave_accelerators_alone()
    xp = _BlockNamespace(tf)
    num_blocks = len(layout.blocks)
    first_visit, first_batch = layout.locate(seed, start_step)
    load = functools.partial(_load_block, store, layout)

    # These functions have no Python control flow over tensors. Converting
    # them would only take time.
    plain = tf.autograph.experimental.do_not_convert

    @plain
    def visit_block(visit):
        epoch = tf.cast(visit // num_blocks, tf.int32)
        place = tf.cast(visit % num_blocks, tf.int32)
        block = block_order(seed, epoch, num_blocks, xp)[place]
        ids, lengths, *alternates = load(block)
        plan = plan_block(lengths, seed, epoch, block, layout, xp)
        if alternates:
            plan |= index_alternates(*alternates, xp)
        skip = tf.where(visit == first_visit, first_batch, 0)
        return ids, plan, tf.cast(skip, tf.int64)

    @plain
    def windows_of(ids, plan, skip):
        count = tf.size(plan["rows"], out_type=tf.int64)

        def take(batch):
            windows = gather_windows(
                ids, plan, batch, layout, store.header["pad_token_id"], xp
            )
            return windows, plan["bucket"][batch]

        return tf.data.Dataset.range(skip, count).map(plain(take))

    @plain
    def make_batch(step, windows_and_bucket):
        windows, bucket = windows_and_bucket

        def with_width(width):
            # Static shapes, one set for each bucket.
            shaped = {}
            for key, array in cut_windows(windows, width).items():
                shape = (layout.batch_size,)
                if key.startswith("alternate"):
                    shape += (layout.alternates,)
                if key.endswith("_ids"):
                    shape += (width,)
                shaped[key] = tf.ensure_shape(array, shape)
            return views(shaped, seed=seed, step=tf.cast(step, tf.int32))

        if len(layout.buckets) == 1:
            return with_width(layout.buckets[0])
        branches = [
            functools.partial(with_width, width) for width in layout.buckets
        ]
        return tf.switch_case(bucket, branches)

    # One block is read and planned ahead while another is in use.
    dataset = tf.data.Dataset.range(first_visit, tf.int64.max)
    dataset = dataset.map(visit_block).prefetch(1).flat_map(windows_of)
    dataset = dataset.enumerate(start_step)
    if num_steps is not None:
        dataset = dataset.take(num_steps)
    dataset = dataset.map(
        make_batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    dataset = dataset.apply(
        tf.data.experimental.assert_cardinality(
            tf.data.INFINITE_CARDINALITY if num_steps is None else num_steps
        )
    )
    options = tf.data.Options()
    options.deterministic = True
    dataset = dataset.prefetch(tf.data.AUTOTUNE).with_options(options)
    dataset.views = views
    return dataset


class _BlockNamespace(PipelineNamespace):
    """Blocks differ in size, so shapes are known when the graph runs."""

    def searchsorted(self, x, values):
        return self.library.searchsorted(x, values)


def _load_block(store, layout, block):
    """Reads ids and document lengths of a block from its shards.

    With alternates, also their ids and lengths, and how many each document
    has. The sum of each file is compared with that in the header: opening the
    store compared all, and this finds a file that was changed since.
    """

    def read(kind, dtype, total):
        paths = tf.ragged.constant(
            [
                [str(shard_path(store.directory, i, kind)) for i in shards]
                for shards in layout.blocks
            ],
            dtype=tf.string,
        )[block]
        totals = tf.ragged.constant(
            [
                [store.shards[i][total] for i in shards]
                for shards in layout.blocks
            ],
            dtype=tf.int64,
        )[block]

        def load(path_and_total):
            path, expected = path_and_total
            content = tf.io.read_file(path)
            numbers = tf.cast(tf.io.decode_raw(content, dtype), tf.int64)
            check = tf.debugging.assert_equal(
                tf.reduce_sum(numbers),
                expected,
                f"The token store {store.directory} was changed while it was "
                f"open: a .{kind} file has another sum. Open it again.",
            )
            with tf.control_dependencies([check]):
                return tf.identity(content)

        contents = tf.map_fn(
            load, (paths, totals), fn_output_signature=tf.string
        )
        return tf.io.decode_raw(tf.strings.reduce_join(contents), dtype)

    # decode_raw knows no uint32; ids are far below 2**31.
    dtype = tf.uint16 if store.dtype == "uint16" else tf.int32
    parts = [
        read("ids", dtype, "id_sum"),
        read("lengths", tf.int32, "tokens"),
    ]
    if layout.alternates:
        parts += [
            read("alternates", dtype, "alternate_id_sum"),
            read("alternate_lengths", tf.int32, "alternate_tokens"),
            read("alternate_counts", tf.int32, "alternates"),
        ]
    return parts


def _leave_accelerators_alone():
    # TensorFlow takes all memory of a GPU when it first touches one, and on
    # the other backends has no business there.
    if keras.backend.backend() == "tensorflow":
        return
    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        pass  # somebody used TensorFlow before: devices are settled
