"""`extend_context`: rescaled positions, and nothing else changed."""

import keras_hub
import numpy as np
import pytest

from keras_dinolm.models.encoder.extend_context import extend_context
from keras_dinolm.models.encoder.text_encoder import TextEncoder
from keras_dinolm.models.presets.export_preset import export_preset
from tests.layers.arrays import to_numpy
from tests.models import tiny


def wavelengths(backbone):
    """Of each pair of features, read off the tables at position 1."""
    x = np.zeros((1, backbone.num_registers + 2, 1), "float32")
    cos, sin = (to_numpy(t)[-1] for t in backbone.rotary_tables(x))
    return 2 * np.pi / np.arctan2(sin, cos)


def features(backbone, training=False):
    outputs = backbone(tiny.rows(), training=training)
    return to_numpy(outputs["sequence_output"])


def test_ntk_stretches_the_longest_period_and_keeps_the_shortest():
    backbone = tiny.backbone()
    old, new = (wavelengths(b) for b in (backbone, extend_context(backbone, 6)))
    assert new[0] == pytest.approx(old[0], rel=1e-6)
    assert new[-1] == pytest.approx(6 * old[-1], rel=1e-4)
    assert np.all(np.diff(new / old) > 0)


def test_interpolation_divides_positions():
    backbone = tiny.backbone()
    longer = extend_context(backbone, 3, rope="interpolation")
    ratio = wavelengths(longer) / wavelengths(backbone)
    np.testing.assert_allclose(ratio, 3, rtol=1e-4)
    # Twice is the product.
    longer = extend_context(longer, 2, rope="interpolation")
    assert longer.scaling_factor == 6
    ntk = extend_context(extend_context(backbone, 2), 3)
    once = extend_context(backbone, 6)
    assert ntk.max_wavelength == pytest.approx(once.max_wavelength)


def test_weights_are_an_independent_copy():
    backbone = tiny.backbone()
    backbone.trainable = False  # as that of a teacher
    same = extend_context(backbone, 4, rope="extrapolation")
    np.testing.assert_array_equal(features(same), features(backbone))
    assert len(same.trainable_weights) == len(backbone.weights)
    expected = features(backbone)
    same.token_embedding.set_weights(
        [w + 1 for w in same.token_embedding.get_weights()]
    )
    np.testing.assert_array_equal(features(backbone), expected)
    moved = features(extend_context(backbone, 4))
    assert np.abs(moved - expected).max() > 1e-3


def test_preset_keeps_what_was_rescaled(tmp_path):
    longer = extend_context(
        extend_context(tiny.backbone(), 2, position_jitter=2.0),
        2,
        rope="interpolation",
    )
    export_preset(TextEncoder(longer), tiny.tokenizer(), tmp_path / "preset")
    copy = keras_hub.models.Backbone.from_preset(str(tmp_path / "preset"))
    assert copy.get_config() == longer.get_config()
    assert copy.position_jitter == 2.0
    np.testing.assert_array_equal(features(copy), features(longer))
    # The jitter is drawn again at each step, in training alone.
    first, second = features(copy, training=True), features(copy, training=True)
    assert np.abs(first - second).max() > 1e-4
    np.testing.assert_array_equal(features(copy), features(longer))


def test_refuses():
    with pytest.raises(ValueError, match="factor=0.5"):
        extend_context(tiny.backbone(), 0.5)
    with pytest.raises(ValueError, match="rope='linear'"):
        extend_context(tiny.backbone(), 2, rope="linear")
    with pytest.raises(ValueError, match="rope='interpolation'"):
        extend_context(tiny.backbone(num_heads=8), 2)
    with pytest.raises(ValueError, match="BertBackbone"):
        extend_context(tiny.stock("BertBackbone"), 2)
