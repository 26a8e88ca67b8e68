"""`TextViews` of any configuration: what every batch must satisfy."""

import functools
import importlib.util

import keras
import numpy as np
from hypothesis import strategies as st

import keras_dinolm as kd

VOCABULARY_SIZE, BATCH_SIZE = 40, 4
_share = st.sampled_from([0.0, 0.0, 0.0, 0.1, 0.5, 1.0])
_fraction = st.floats(0.01, 1.0)


def _schedule(low, high):
    value = st.floats(low, high)
    return st.one_of(
        value,
        st.builds(kd.schedules.Linear, value, value, steps=st.integers(1, 50)),
    )


@st.composite
def _group(draw, name, roles):
    ends = sorted([draw(_fraction), draw(_fraction)])
    ratios = sorted([draw(_fraction), draw(_fraction)])
    options = {
        "mask_probability": _share,
        "mask_span": _schedule(1.0, 6.0),
        "word_deletion": st.sampled_from([0.0, 0.0, 0.2, 0.9]),
        "punctuation_removal": _share,
        "word_swap": _share,
        "sentence_shuffle": _share,
        "sentence_window": st.integers(2, 16),
        "synonym_replacement": _share,
        "typos": _share,
        "mask_unit": st.sampled_from(["token", "word"]),
        "alternate_probability": _share,
    }
    return kd.views.ViewGroup(
        name,
        draw(st.integers(1, 3)),
        span=tuple(ends),
        roles=roles,
        mask_ratio=tuple(ratios),
        **{key: draw(value) for key, value in options.items()},
    )


@st.composite
def cases(draw):
    """A `TextViews`, windows, a seed and a step."""
    groups = [draw(_group("one", ("student", "teacher")))]
    if draw(st.booleans()):
        groups.append(draw(_group("two", draw(st.sampled_from(["student"])))))
    # Groups that may draw alternates want windows that have some.
    least = int(any(group.alternate_probability for group in groups))
    return {
        "groups": tuple(groups),
        "width": draw(st.integers(1, 24)),
        "windows": draw(st.integers(0, 2**32)),
        "alternates": draw(st.integers(least, 2)),
        "seed": draw(st.integers(0, 2**31 - 1)),
        "step": draw(st.integers(0, 10**6)),
    }


@functools.cache
def _tables():
    of = kd.views.ReplacementTable.of
    synonyms = {i: [i + 1, i + 2] for i in range(4, 30, 3)}
    typos = {i: [i - 1] for i in range(5, VOCABULARY_SIZE, 2)}
    return of(synonyms, VOCABULARY_SIZE), of(typos, VOCABULARY_SIZE)


def _make(groups, width):
    ids = np.arange(VOCABULARY_SIZE)
    special = kd.views.SpecialTokens(
        0, 1, 2, ids % 3 == 0, ids % 5 == 1, ids % 10 == 1
    )
    synonyms, typos = _tables()
    return kd.views.TextViews(
        special, width + 1, groups, synonyms=synonyms, typos=typos
    )


def make_windows(seed, width, alternates):
    """Windows whose lengths are anything from 0 on."""
    rng = np.random.default_rng(seed)
    shape = (BATCH_SIZE, alternates, width)
    ids = rng.integers(3, VOCABULARY_SIZE, (BATCH_SIZE, width), "int32")
    lengths = rng.integers(0, width + 1, BATCH_SIZE, "int32")
    ids[np.arange(width) >= lengths[:, None]] = 0
    windows = {
        "token_ids": ids,
        "lengths": lengths,
        "starts": rng.integers(0, 500, BATCH_SIZE, "int32"),
    }
    if alternates:
        # Alternates that are there come before those that are not.
        count = rng.integers(0, alternates + 1, (BATCH_SIZE, 1))
        some = rng.integers(1, width + 1, shape[:2], "int32")
        some[np.arange(alternates) >= count] = 0
        windows |= {
            "alternate_ids": rng.integers(3, VOCABULARY_SIZE, shape, "int32"),
            "alternate_lengths": some,
            "alternate_starts": 600 + 100 * np.indices(shape[:2])[1],
        }
        windows["alternate_starts"] = windows["alternate_starts"].astype(
            "int32"
        )
    return windows


def check(case: dict) -> None:
    """Shapes, ranges, masks and positions of a batch; the same twice."""
    groups, width = case["groups"], case["width"]
    views = _make(groups, width)
    windows = make_windows(case["windows"], width, case["alternates"])
    options = {"seed": case["seed"], "step": case["step"]}
    batch = views(windows, **options)
    shapes = views.shapes(BATCH_SIZE, width)
    assert batch.keys() == shapes.keys()
    for group in groups:
        arrays = batch[group.name]
        found = {name: array.shape for name, array in arrays.items()}
        assert found == shapes[group.name], (found, shapes[group.name])
        _check_group(group, arrays, windows)
    again = views({k: v.copy() for k, v in windows.items()}, **options)
    keras.tree.map_structure(np.testing.assert_array_equal, batch, again)


def _check_group(group, arrays, windows):
    ids, real = arrays["token_ids"], arrays["padding_mask"]
    positions = arrays["positions"]
    assert ((ids >= 0) & (ids < VOCABULARY_SIZE)).all(), "an id out of range"
    assert (ids[..., 0] == 1).all() and real[..., 0].all(), "no [CLS] first"
    assert (ids[~real] == 0).all(), "padding that is not padding"
    # Text follows [CLS] without a gap.
    assert (real[..., 1:] <= real[..., :-1]).all(), "a gap"
    text = real.copy()
    text[..., 0] = False
    assert (positions[~text] == -1).all()
    assert (positions[text] >= 0).all()
    filled = windows["lengths"] > 0
    if group.alternate_probability == 0.0 or "alternate_ids" not in windows:
        starts, lengths = windows["starts"], windows["lengths"]
        place = positions - starts[:, None, None]
        inside = (place >= 0) & (place < lengths[:, None, None])
        assert inside[text].all(), "a position outside of its window"
        assert (text.any(-1) == filled[:, None]).all(), "an empty view"
        if not (group.synonym_replacement or group.typos):
            rows = np.broadcast_to(
                np.arange(BATCH_SIZE)[:, None, None], place.shape
            )
            source = windows["token_ids"][rows[text], place[text]]
            assert (ids[text] == source).all(), "another token"
    if "masked" not in arrays:
        return
    masked = arrays["masked"]
    assert not (masked & ~text).any(), "something masked that is no text"
    changed = np.where(masked, 2, ids)
    np.testing.assert_array_equal(arrays["masked_token_ids"], changed)
    indices = arrays["masked_indices"].reshape(-1)
    assert ((indices >= -1) & (indices < masked.size)).all()
    used = indices[indices >= 0]
    assert masked.reshape(-1)[used].all() and len(set(used)) == len(used)
    assert len(used) == masked.sum(), "a masked token without a slot"


# === `tf.data` ===


@functools.cache
def _fixed():
    """Two views whose groups have everything, traced once."""
    ramp = kd.schedules.Linear
    everything = kd.views.ViewGroup(
        "one",
        2,
        span=(ramp(0.9, 0.2, steps=9, begin=1), 1.0),
        mask_probability=ramp(0.0, 0.8, steps=9, begin=3),
        mask_ratio=(0.1, 0.6),
        mask_span=2.5,
        mask_unit="word",
        word_deletion=0.2,
        punctuation_removal=0.3,
        word_swap=0.4,
        sentence_shuffle=0.5,
        synonym_replacement=0.3,
        typos=0.2,
        alternate_probability=0.5,
    )
    return _make((everything,), 20)


@functools.cache
def _traced():
    import tensorflow as tf

    @tf.function
    def cut(windows, seed, step):
        return _fixed()(windows, seed=seed, step=step)

    return cut


pipeline_cases = st.fixed_dictionaries(
    {
        "windows": st.integers(0, 2**32),
        "seed": st.integers(0, 2**31 - 1),
        "step": st.one_of(st.integers(0, 15), st.integers(0, 10**6)),
    }
)


def check_pipeline(case: dict) -> None:
    """A graph of TensorFlow gives the bits that NumPy gives."""
    windows = make_windows(case["windows"], 20, 2)
    expected = _fixed()(windows, seed=case["seed"], step=case["step"])
    if importlib.util.find_spec("tensorflow") is None:
        return
    import tensorflow as tf

    found = _traced()(
        {name: tf.constant(array) for name, array in windows.items()},
        tf.constant(case["seed"], tf.int32),
        tf.constant(case["step"], tf.int64),
    )
    for name, arrays in expected.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(found[name][key].numpy(), array, key)
