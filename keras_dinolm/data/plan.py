"""Which tokens are in which batch: a function of (seed, step) alone.

Shuffling has two levels, so that a corpus need not fit into memory. *Blocks*
are fixed sets of shards (every K-th one, so that a block is a sample of the
whole corpus), small enough to be loaded; an epoch visits them in a random
order. Inside a block all windows are shuffled, dealt to length buckets, and
cut into batches, which come in a random order again.

How many windows a document gives does not depend on chance, so every epoch has
the same number of steps, and step n is found by arithmetic: nothing is read
or drawn for the steps before it.

These functions are written in the array namespace of `keras_dinolm.views`: the
same lines make the plan in NumPy and as graph ops, with the same bits.
"""

import dataclasses

import numpy as np

from keras_dinolm.data.alternates import gather_alternates
from keras_dinolm.views.namespace import NUMPY
from keras_dinolm.views.random import fold
from keras_dinolm.views.random import happens
from keras_dinolm.views.random import logical_right_shift
from keras_dinolm.views.random import permutation
from keras_dinolm.views.random import stream

# One tag for each purpose, so that no two draws share their numbers.
_BLOCK_ORDER, _PHASE, _WINDOW_ORDER, _BATCH_ORDER = range(1001, 1005)
_RUN_ORDER, _HOMOGENEOUS = range(1005, 1007)
_ALTERNATES = 1007


@dataclasses.dataclass(frozen=True)
class Layout:
    """What does not change from epoch to epoch.

    Attributes:
        batch_size: int.
        buckets: ascending tuple of window widths.
        drop_remainder: bool.
        blocks: tuple of tuples of shard numbers.
        batches: int64 [K], the number of batches in each block.
        windows: int, windows of the corpus.
        clusters: `Homogeneity`, or `None`.
        alternates: int, how many alternates come with a window, at most.
    """

    batch_size: int
    buckets: tuple
    drop_remainder: bool
    blocks: tuple
    batches: np.ndarray
    windows: int
    clusters: "Homogeneity | None" = None
    alternates: int = 0

    @property
    def steps_per_epoch(self):
        return int(self.batches.sum())

    def locate(self, seed, step):
        """Where a step is: (visit, batch within the block's batches).

        A visit counts blocks over all epochs.
        """
        epoch, rest = divmod(step, self.steps_per_epoch)
        order = block_order(seed, epoch, len(self.blocks))
        ends = np.cumsum(self.batches[order])
        place = int(np.searchsorted(ends, rest, side="right"))
        begin = int(ends[place] - self.batches[order[place]])
        return epoch * len(self.blocks) + place, rest - begin


@dataclasses.dataclass(frozen=True)
class Homogeneity:
    """Which batches are of one cluster.

    Attributes:
        labels: int32 [documents], in the order of the blocks: 0 to
            `num_clusters - 1`, or `num_clusters` for none.
        first_document: int32 [K], where each block begins in `labels`.
        num_clusters: int.
        probability: int, in units of 2^-16.
    """

    labels: np.ndarray
    first_document: np.ndarray
    num_clusters: int
    probability: int


def make_layout(
    store, batch_size, buckets, drop_remainder, block_tokens, alternates=0
):
    """The `Layout` of a store.

    Reads the length of every document once, shard by shard.
    """
    tokens = [shard["tokens"] for shard in store.shards]
    if alternates:
        others = [shard.get("alternate_tokens", 0) for shard in store.shards]
        tokens = [sum(pair) for pair in zip(tokens, others)]
    num_blocks = min(len(tokens), -(-sum(tokens) // block_tokens))
    counts = np.array(
        [
            _windows_per_bucket(store.shard(i)[1], buckets)
            for i in range(len(tokens))
        ]
    )
    blocks, batches = [], []
    for block in range(num_blocks):
        shards = tuple(range(block, len(tokens), num_blocks))
        blocks.append(shards)
        left, total = 0, 0
        for width, count in enumerate(counts[list(shards)].sum(0)):
            left += count
            if width < len(buckets) - 1 or drop_remainder:
                total += left // batch_size
                left %= batch_size
            else:
                total += -(-left // batch_size)
        batches.append(total)
    return Layout(
        batch_size,
        tuple(buckets),
        drop_remainder,
        tuple(blocks),
        np.array(batches, dtype="int64"),
        int(counts.sum()),
        alternates=alternates,
    )


def _windows_per_bucket(lengths, buckets):
    windows, bucket = _windows(lengths, buckets)
    return np.bincount(bucket, windows, len(buckets)).astype("int64")


def _windows(lengths, buckets):
    """How many windows each document gives, and of which bucket."""
    lengths = np.asarray(lengths)
    windows = -(-lengths // buckets[-1])
    return windows, np.searchsorted(buckets, np.minimum(lengths, buckets[-1]))


def add_clusters(layout, store, labels, probability):
    """The same layout with homogeneous batches.

    Args:
        layout: `Layout`.
        store: `TokenStore`.
        labels: integers [documents]; negative ones stand for no cluster.
        probability: float, of a batch to be of one cluster.

    Returns:
        A `Layout`, and how many batches of an epoch can be of one cluster.
    """
    names = np.unique(labels[labels >= 0])
    labels = np.where(
        labels < 0, len(names), np.searchsorted(names, labels)
    ).astype("int32")
    first = np.cumsum([0] + [shard["documents"] for shard in store.shards])
    parts, starts, possible = [], [0], 0
    for block in layout.blocks:
        part = np.concatenate([labels[first[i] : first[i + 1]] for i in block])
        lengths = np.concatenate([store.shard(i)[1] for i in block])
        windows, bucket = _windows(lengths, layout.buckets)
        groups = np.bincount(bucket * (len(names) + 1) + part, windows)
        if windows.sum() * len(layout.buckets) * (len(names) + 1) >= 1 << 31:
            raise ValueError(
                f"`clusters` are too many, {len(names):,}, for a block of "
                f"{int(windows.sum()):,} windows: their product must be below "
                "2^31. Use a higher level of clusters, or lower "
                "`block_tokens`."
            )
        whole = groups.astype("int64") // layout.batch_size
        ours = np.arange(len(whole)) % (len(names) + 1) < len(names)
        possible += int(whole[ours].sum())
        parts.append(part)
        starts.append(starts[-1] + len(part))
    clusters = Homogeneity(
        np.concatenate(parts),
        np.array(starts[:-1], dtype="int32"),
        len(names),
        round(probability * (1 << 16)),
    )
    return dataclasses.replace(layout, clusters=clusters), possible


def block_order(seed, epoch, num_blocks, xp=NUMPY):
    """The order in which an epoch visits the blocks: int32 [K]."""
    key = fold(stream(seed, epoch, xp), _BLOCK_ORDER, xp)
    return permutation(key, num_blocks, xp)


def plan_block(lengths, seed, epoch, block, layout, xp=NUMPY):
    """All batches of one visit to a block.

    Args:
        lengths: int32 [n], tokens of each document of the block.
        seed, epoch, block: integers.
        layout: `Layout`.
        xp: array namespace.

    Returns:
        A dict of int32 arrays. For each window, in the order of the batches:
        `"first"` (its first token, counted through the block), `"length"` and
        `"start"` (its first token, counted through the document). For each
        batch, in the order they come: `"rows"` (its first window) and
        `"bucket"`. With alternates, for each window also `"document"` (its
        place in the block), `"rest"` (tokens of the document outside of it)
        and `"turn"` (random bits, the same for a document's windows).
    """
    key = fold(stream(seed, epoch, xp), block, xp)
    longest = layout.buckets[-1]
    size = layout.batch_size

    # Windows in the order of the documents. A long document is covered by as
    # few full windows as can be; the slack goes into overlaps, at a random
    # phase.
    windows = (lengths + longest - 1) // longest
    ends = xp.cumsum(windows)
    count = ends[-1]
    window = xp.arange(count)
    document = xp.searchsorted(ends, window + 1)
    length = xp.take(lengths, document)
    pieces = xp.take(windows, document)
    slack = pieces * longest - length
    bits = fold(fold(key, _PHASE, xp), document, xp)
    phase = logical_right_shift(bits, 1, xp) % (slack + 1)
    piece = window - (xp.take(ends, document) - pieces)
    start = xp.minimum(piece * longest - phase, length - longest)
    start = xp.maximum(start, 0)
    first = xp.take(xp.cumsum(lengths) - lengths, document) + start
    whole, owner = length, document
    length = xp.minimum(length, longest)

    # Shuffled, then dealt to buckets. What does not fill a batch moves on to
    # the next larger bucket.
    order = permutation(fold(key, _WINDOW_ORDER, xp), count, xp)
    widths = xp.asarray(np.array(layout.buckets))
    bucket = xp.searchsorted(widths, xp.take(length, order))
    batch_ends, done = [], 0
    for width in range(len(layout.buckets)):
        here = xp.asarray(bucket == width)
        rank = xp.cumsum(here)
        total = rank[-1]
        last = width == len(layout.buckets) - 1
        if not last:
            full = total - total % size
            bucket = xp.where((here > 0) & (rank > full), width + 1, bucket)
            done = done + full // size
        elif layout.drop_remainder:
            done = done + total // size
        else:
            done = done + (total + size - 1) // size
        batch_ends.append(xp.reshape(xp.asarray(done), (1,)))
    batch_ends = xp.concatenate(batch_ends, 0)
    if layout.clusters is None:
        # Stable by construction: the keys are distinct.
        dealt = xp.argsort(bucket * count + window)
    else:
        block_start = xp.take(xp.asarray(layout.clusters.first_document), block)
        document = block_start + xp.take(document, order)
        cluster = xp.take(xp.asarray(layout.clusters.labels), document)
        dealt = _deal_clusters(
            key, bucket, cluster, count, batch_ends, layout, xp
        )
    order = xp.take(order, dealt)
    batch_order = permutation(fold(key, _BATCH_ORDER, xp), done, xp)
    plan = {
        "count": xp.reshape(xp.asarray(count), (1,)),
        "first": xp.take(first, order),
        "length": xp.take(length, order),
        "start": xp.take(start, order),
        "rows": batch_order * size,
        "bucket": xp.searchsorted(batch_ends, batch_order + 1),
    }
    if layout.alternates:
        turn = fold(fold(key, _ALTERNATES, xp), owner, xp)
        plan["document"] = xp.take(owner, order)
        plan["rest"] = xp.take(whole - length, order)
        plan["turn"] = xp.take(turn, order)
    return plan


def _deal_clusters(key, bucket, cluster, count, batch_ends, layout, xp):
    """An order by bucket, in which some batches have one cluster each.

    Each batch is to be of one cluster with the given probability. In each
    bucket, the windows of a cluster, which come shuffled, are cut into *runs*
    of a whole batch. As many runs as are wanted (or there are) come first,
    drawn from all runs alike; everything else follows, mixed.

    Args:
        key: int32 [1].
        bucket, cluster: int32 [n], of the shuffled windows.
        count: n.
        batch_ends: int32, the number of batches up to each bucket's end.
        layout: `Layout` with clusters.
        xp: array namespace.

    Returns:
        int32 [n], places in the shuffled windows.
    """
    size = layout.batch_size
    none = layout.clusters.num_clusters
    place = xp.arange(count)

    # How many homogeneous batches each bucket wants.
    bits = fold(fold(key, _HOMOGENEOUS, xp), place, xp)
    drawn = xp.cumsum(happens(bits, layout.clusters.probability, xp))
    zero = xp.asarray(np.zeros(1))
    upto = xp.take(xp.concatenate([zero, drawn], 0), batch_ends)
    wanted = upto - xp.concatenate([zero, upto[:-1]], 0)

    # Runs: `rank` counts through the windows of one bucket and cluster.
    group = bucket * (none + 1) + cluster
    by_group = xp.argsort(group * count + place)
    group = xp.take(group, by_group)
    start = xp.searchsorted(group, group)
    length = xp.searchsorted(group, group + 1) - start
    rank = place - start
    bucket = group // (none + 1)
    in_run = (rank < length // size * size) & (group % (none + 1) < none)
    first = in_run & (rank % size == 0)

    # The runs of a bucket in random order, before its other windows.
    draw = permutation(fold(key, _RUN_ORDER, xp), count, xp)
    line = xp.argsort((bucket * 2 + xp.where(first, 0, 1)) * count + draw)
    number = xp.argsort(line) - xp.searchsorted(bucket, bucket)
    chosen = first & (number < xp.take(wanted, bucket))
    chosen = xp.take(xp.asarray(chosen), place - rank % size)
    rest = xp.where(in_run & (chosen > 0), place, count + by_group)
    return xp.take(by_group, xp.argsort(bucket * 2 * count + rest))


def gather_batch(ids, plan, batch, layout, pad_token_id, xp=NUMPY):
    """The windows of a batch, as wide as the largest bucket.

    Args:
        ids: [tokens of the block], any integer type.
        plan: what `plan_block` returned; with alternates, and
            `index_alternates`.
        batch: int or tensor, the number of the batch within the block.
        layout: `Layout`.
        pad_token_id: int.
        xp: array namespace.

    Returns:
        A dict of `"token_ids"` int32 [B, W], `"lengths"` and `"starts"`
        int32 [B]; with alternates, also what `gather_alternates` returns.
    """
    rows = plan["rows"][batch] + xp.arange(layout.batch_size)
    if not layout.drop_remainder:
        # The last batch is completed with windows from the beginning.
        rows = rows % xp.reshape(plan["count"], ())
    first = xp.take(plan["first"], rows)[:, None]
    lengths = xp.take(plan["length"], rows)
    column = xp.arange(layout.buckets[-1])[None, :]
    inside = column < lengths[:, None]
    # Padding reads the first token, which is always there.
    places = first + xp.where(inside, column, 0)
    token_ids = xp.asarray(xp.take(ids, places))
    windows = {
        "token_ids": xp.where(inside, token_ids, pad_token_id),
        "lengths": lengths,
        "starts": xp.take(plan["start"], rows),
    }
    if layout.alternates:
        widths = xp.asarray(np.array(layout.buckets))
        width = xp.take(widths, plan["bucket"][batch])
        windows |= gather_alternates(
            plan, rows, width, layout, pad_token_id, xp
        )
    return windows


def cut_windows(windows, width):
    """The windows of a batch, no wider than its bucket."""
    return {
        key: value[..., :width] if key.endswith("_ids") else value
        for key, value in windows.items()
    }
