"""Each recipe, and one of a user's own."""

import importlib.util
import inspect

import keras
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.recipes import registry
from tests.recipes.made_texts import SMALLEST
from tests.recipes.made_texts import made_texts


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    texts = made_texts(200)
    tokenizer = kd.data.train_tokenizer(texts, 120, show_progress=False)
    directory = tmp_path_factory.mktemp("tokens")
    return tokenizer, kd.data.tokenize(
        texts, tokenizer, directory, show_progress=False
    )


def make(name, tokenizer):
    return getattr(kd.recipes, name)(tokenizer, "nano", sequence_length=12)


@pytest.mark.parametrize(
    ["name", "objectives"],
    [
        ("bag_then_blocks", [["info_nce"], ["info_nce", "masked_lm"]]),
        ("crop_info_nce", [["info_nce"]]),
        (
            "dino",
            [
                [
                    "sequence_distillation",
                    "token_distillation",
                    "koleo",
                    "info_nce",
                ]
            ],
        ),
        ("masked_lm", [["masked_lm"]]),
        ("simcse", [["info_nce"]]),
    ],
)
def test_a_recipe_makes_models_that_its_views_feed(name, objectives, tokens):
    tokenizer, store = tokens
    before = None
    for phase, names in zip(make(name, tokenizer), objectives, strict=True):
        model = phase.model(phase.backbone(before, store), 100)
        assert [o.name for o in model.objectives] == names
        data = kd.recipes.make_dataset(phase, store, seed=0)
        batch = keras.tree.map_structure(np.asarray, next(iter(data)))
        assert set(model.roles) == set(batch)
        before = phase.kept(model)
        if phase.pooled_layers is not None:
            assert before.pooled_layers == phase.pooled_layers
    assert before.num_layers == 2


def test_the_registry_has_every_recipe_by_its_name():
    built_in = {
        "bag_then_blocks",
        "crop_info_nce",
        "dino",
        "masked_lm",
        "simcse",
    }
    assert built_in <= set(kd.recipes.names())
    for name in built_in:
        assert kd.recipes.get(name).phases is getattr(kd.recipes, name)


def test_the_default_recipe_is_the_one_that_was_measured():
    """The contest's results are of these numbers, see its `methods.py`."""
    parameters = inspect.signature(kd.recipes.bag_then_blocks).parameters
    known = {name: p.default for name, p in parameters.items()}
    assert known == {
        "tokenizer": inspect.Parameter.empty,
        "size": "nano",
        "sequence_length": 64,
        "span": (0.2, 0.4),
        "mask_ratio": 0.3,
        "temperature": 0.05,
        "token_weights": 0.5,
        "embedding_rate": 0.1,
        "count_output": True,
        "bag_steps": 1_000,
        "bag_batch_size": 256,
        "bag_learning_rate": 2e-3,
        "batch_size": 64,
        "learning_rate": 1e-3,
    }


def test_blocks_start_from_the_bag(tokens):
    tokenizer, store = tokens
    bag, blocks = kd.recipes.bag_then_blocks(tokenizer, "nano", 12)
    first = bag.backbone(None, store)
    assert first.num_layers == 0
    # Counted, not drawn.
    drawn = bag.backbone(None, None).token_embedding.get_weights()[0]
    counted = first.token_embedding.get_weights()[0]
    assert not np.allclose(counted, drawn)
    deep = blocks.backbone(first, store)
    assert deep.num_layers == 2 and deep.pooled_layers == (0,)
    np.testing.assert_array_equal(
        deep.token_embedding.get_weights()[0], counted
    )


def test_tokens_weigh_by_the_square_root_of_their_rarity(tokens):
    tokenizer, store = tokens
    size = tokenizer.vocabulary_size()
    bag, blocks = kd.recipes.bag_then_blocks(tokenizer, "nano", 12)
    first = bag.backbone(None, store)
    expected = np.sqrt(kd.data.sif_weights(store, size))
    model = blocks.model(blocks.backbone(first, None), 30)
    before = model.learned().encoder.backbone.pooler.log_weights
    weights = np.exp(keras.ops.convert_to_numpy(before))
    words = expected > 0.01  # all but special tokens
    np.testing.assert_allclose(weights[words], expected[words], rtol=1e-5)
    # They are counted, not learned, and masked LM starts from counts as well.
    names = [v.path for v in model.trainable_variables]
    assert not any("log_weights" in name for name in names)
    blocks.prepare(model, store)
    counts = np.maximum(kd.data.token_counts(store, size), 0.5)
    bias = keras.ops.convert_to_numpy(model.objectives[1].bias)
    np.testing.assert_allclose(np.exp(bias), counts / counts.sum(), rtol=1e-5)


def test_the_old_default_is_within_reach(tokens):
    tokenizer, store = tokens
    bag, blocks = kd.recipes.bag_then_blocks(
        tokenizer,
        "nano",
        12,
        token_weights=0,
        embedding_rate=1.0,
        count_output=False,
    )
    deep = blocks.backbone(bag.backbone(None, store), None)
    assert deep.get_config()["pooling"] == "mean" and blocks.prepare is None


def test_dropout_is_what_simcse_needs(tokens):
    with pytest.raises(
        ValueError, match="`dropout` must be a finite number above 0"
    ):
        kd.recipes.simcse(tokens[0], dropout=0.0)


@pytest.mark.parametrize(
    ["changes", "message"],
    [
        ({"batch_size": 0}, "`batch_size` must be .*of the phase 'crops'"),
        ({"batch_size": 8.0}, r"batch_size=8\.0"),
        ({"share": float("nan")}, "share=nan"),
        ({"name": "../x"}, "name='../x'"),
        ({"name": ""}, "name=''"),
        ({"views": None}, "`views` must be a `TextViews`"),
        ({"model": 3}, "`model` must be a callable"),
        ({"pooled_layers": ("x",)}, r"pooled_layers\[0\]='x'"),
        ({"share": -1.0}, "`share`"),
        ({"max_steps": 0}, "`max_steps`"),
        ({"keep": "both"}, "one of 'learned', 'student'"),
    ],
)
def test_a_phase_checks_itself(tokens, changes, message):
    (phase,) = kd.recipes.crop_info_nce(tokens[0])
    with pytest.raises(ValueError, match=message):
        kd.recipes.Phase(**{**vars(phase), **changes})


# === One of a user's own ===

MINE = '''
"""A recipe in a file of its own."""

import keras_dinolm as kd


@kd.recipes.register
def word_by_word(tokenizer, size="nano", sequence_length=64, batch_size=8):
    group = kd.views.ViewGroup(
        "whole", 1, mask_probability=1.0, mask_ratio=0.2
    )
    views = kd.views.TextViews(tokenizer, sequence_length, groups=[group])

    def backbone(before, tokens):
        return kd.models.DinoLMBackbone.from_size(
            size, tokenizer.vocabulary_size()
        )

    def model(backbone, steps):
        model = kd.models.DinoLM(
            backbone, [kd.objectives.MaskedLM()], roles=views.roles
        )
        model.compile(kd.optimizers.adamw(1e-3, total_steps=steps))
        return model

    return [kd.recipes.Phase("words", views, batch_size, backbone, model)]
'''


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    spec = importlib.util.spec_from_file_location("mine", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    yield "word_by_word"
    del registry._RECIPES["word_by_word"]


def test_a_recipe_of_ones_own_is_one_file(mine, tmp_path):
    embedder = kd.recipes.pretrain(
        made_texts(60),
        tmp_path / "run",
        recipe=mine,
        batch_size=100,
        **{**SMALLEST, "steps": 2},
    )
    assert embedder.encode(["a cat", "a dog"]).shape == (2, 128)
    report = (tmp_path / "run" / "report.md").read_text()
    # Of 60 texts three are held out, and a batch cannot hold more than are.
    assert "batches of 57 texts instead of 100" in report
    assert "Search was not measured" in report


def test_a_recipe_must_take_what_it_is_given():
    with pytest.raises(ValueError, match="lacks size, sequence_length"):
        kd.recipes.register(lambda tokenizer: [])
