"""Teachers without a network, and without heads."""

import keras
import keras_hub
import numpy as np
import pytest
from scipy.special import log_softmax

import keras_dinolm as kd
from tests import tiny
from tests.losses import reference

O = kd.objectives  # noqa: E741
WIDTHS = {"minilm": 12, "mpnet": 20}
RNG = np.random.default_rng(0)
CENTROIDS = {name: RNG.normal(size=(6, dim)) for name, dim in WIDTHS.items()}
# Tracing takes long under tensorflow; compiled steps have tests of their own.
EAGERLY = keras.backend.backend() == "tensorflow"


def batch(step=0):
    """Views with the features of two teachers, as `view_dataset` adds them."""
    views = tiny.batch(step)
    rng = np.random.default_rng([9, step])
    for name, dim in WIDTHS.items():
        pooled = 3 + rng.normal(size=(8, dim)).astype("float16")
        arrays = views["global"]
        tokens = 2 + rng.normal(size=(*arrays["positions"].shape, dim))
        tokens[arrays["positions"] < 0] = 0.0
        arrays[f"{name}_sequence"] = pooled
        arrays[f"{name}_tokens"] = tokens.astype("float16")
    return views


def lesson(encoder, name, objectives, **kwargs):
    teacher = kd.models.CachedTeacher(
        name,
        WIDTHS[name],
        prototypes={"sequence": CENTROIDS[name], "token": CENTROIDS[name]},
        statistics={"sequence": (3.0, 1.0), "token": (2.0, 1.0)},
    )
    return kd.models.Lesson(
        encoder,
        objectives,
        teacher=teacher,
        name=name,
        head_hidden_dim=8,
        bottleneck_dim=8,
        mask_student=True,
    )


@pytest.fixture(scope="module")
def trained():
    encoder = kd.models.TextEncoder(tiny.backbone())
    model = kd.models.Distillation(
        [
            lesson(
                encoder,
                "minilm",
                [
                    O.SequenceRegression(),
                    O.TokenRegression("squared", hidden_dim=8),
                    O.SimilarityDistillation(),
                    O.UnitPrediction(CENTROIDS["minilm"], window=1),
                ],
            ),
            lesson(
                encoder,
                "mpnet",
                [
                    O.SequenceRegression("squared"),
                    O.SequenceDistillation(),
                    # Its codes have the width of the teacher.
                    O.TokenDistillation(targets=kd.layers.OnlineCodebook(6)),
                ],
            ),
        ]
    )
    model.compile(kd.optimizers.AdamW(1e-2), run_eagerly=EAGERLY)
    logs = [model.train_on_batch(batch(), return_dict=True) for _ in range(10)]
    return model, logs


def test_one_student_learns_from_two_cached_teachers(trained):
    model, logs = trained
    for name in (
        "minilm_sequence_regression",
        "minilm_token_regression",
        "minilm_similarity_distillation_excess",
        "minilm_unit_prediction",
        "mpnet_sequence_regression",
        "mpnet_sequence_distillation",
        "mpnet_token_distillation",
    ):
        assert logs[-1][name] < logs[0][name], name
    assert logs[0]["minilm_token_regression_taught"] == 1
    # Sizes follow each teacher.
    lessons = model.lessons()
    for name, dim in WIDTHS.items():
        head = lessons[name].objectives["sequence_regression"].head
        assert head.kernel.shape == (16, dim)
        assert not lessons[name].teacher.trainable_variables


def test_saved_it_goes_on_alike(trained, tmp_path):
    model, _ = trained
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    teacher = again.lessons()["mpnet"].teacher
    found, mean = tiny.values(
        [teacher.prototypes("token").kernel, teacher.token_mean]
    )
    np.testing.assert_allclose(
        found, reference.unit(CENTROIDS["mpnet"]), atol=1e-6
    )
    np.testing.assert_array_equal(mean, 2.0)
    losses = [
        float(one.test_on_batch(batch(3), return_dict=True)["loss"])
        for one in (model, again)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_all_pairs_of_views_and_documents_are_compared():
    """The loss of given prototypes, by hand."""
    objective = O.SequenceDistillation(
        teacher_temperature=0.3, targets=kd.layers.Centering()
    )
    teacher = kd.models.CachedTeacher(
        "minilm", 12, {"sequence": CENTROIDS["minilm"]}, {"sequence": (3, 2)}
    )
    model = kd.models.DinoLM(
        tiny.backbone(), [objective], teacher=teacher, head_hidden_dim=8
    )
    assert model.num_prototypes == 6
    views = batch()
    outputs = model(views)
    found = float(tiny.metrics(model, views)["sequence_distillation"])
    taught = (views["global"]["minilm_sequence"].astype("float64") - 3) / 2
    unit = reference.unit(taught) @ reference.unit(CENTROIDS["minilm"]).T
    probs = np.exp(log_softmax(unit / 0.3, axis=1))
    logits = [
        tiny.values(
            [
                model.student.logits(
                    "sequence", outputs["student"][g]["sequence"]
                )
            ]
        )[0]
        for g in ("global", "local")
    ]
    students = np.concatenate(logits, axis=1)  # [B, S, K]
    logs = log_softmax(students.astype("float64") / 0.1, axis=-1)
    expected = -np.mean(np.sum(probs[:, None] * logs, axis=-1))
    assert found == pytest.approx(expected, rel=1e-4)


def test_says_what_a_batch_lacks():
    def model(name, dim, objectives):
        return kd.models.DinoLM(
            tiny.backbone(),
            objectives,
            teacher=kd.models.CachedTeacher(name, dim),
        )

    regression = O.SequenceRegression()
    with pytest.raises(ValueError, match="features={'other': store}"):
        model("other", 12, [regression])(batch())
    with pytest.raises(ValueError, match="must have width 13"):
        model("minilm", 13, [O.TokenRegression()])(batch())
    with pytest.raises(ValueError, match="the last layer alone"):
        model("minilm", 12, [O.FeatureRegression()])
    with pytest.raises(ValueError, match="pass an encoder"):
        model("minilm", 12, [O.GramAnchoring()])
    with pytest.raises(ValueError, match="prototypes={'sequence': centroids"):
        model("minilm", 12, [O.SequenceDistillation()])


# === A network without heads ===


def test_features_are_standardized_and_unknown_ones_stay_zero():
    backbone = tiny.backbone()
    mean, deviation = RNG.normal(size=16), RNG.uniform(1, 2, size=16)
    teacher = kd.models.FixedTeacher(
        backbone, statistics={"token": (mean, deviation)}
    )
    arrays = tiny.batch()["global"]
    plain = kd.models.FixedTeacher(backbone)(arrays)
    found = teacher(arrays)
    expected = (tiny.values([plain["tokens"]])[0] - mean) / deviation
    np.testing.assert_allclose(
        tiny.values([found["tokens"]])[0], expected, atol=1e-4
    )
    np.testing.assert_array_equal(
        *tiny.values([found["sequence"], plain["sequence"]])
    )
    rows = np.stack([np.zeros(16), mean]).astype("float32")
    for row in tiny.values([teacher.standardized({"tokens": rows})["tokens"]])[
        0
    ]:
        np.testing.assert_allclose(row, 0, atol=1e-6)


@pytest.mark.parametrize("name", ["BertBackbone", "AlbertBackbone"])
def test_layers_of_a_published_encoder(name):
    """data2vec's targets from a stock encoder that stays as it is."""
    config = {
        "vocabulary_size": tiny.VOCABULARY_SIZE,
        "num_layers": 3,
        "num_heads": 2,
        "hidden_dim": 8,
        "intermediate_dim": 16,
        "max_sequence_length": 16,
    }
    if name == "AlbertBackbone":
        config["embedding_dim"] = 4
    backbone = getattr(keras_hub.models, name)(**config)
    encoder = kd.models.TextEncoder(backbone)
    arrays = tiny.batch()["global"]
    inputs = {k: arrays[k][:, 0] for k in ("token_ids", "padding_mask")}
    found = encoder(inputs, num_layers=3)
    plain = encoder(inputs)
    for key, value in plain.items():
        np.testing.assert_allclose(*tiny.values([found[key], value]), atol=1e-5)
    layers = tiny.values(found["layers"])
    # Its blocks are post-norm: what comes out of the last are the tokens.
    np.testing.assert_allclose(
        layers[-1], *tiny.values([plain["tokens"]]), atol=1e-5
    )
    # Each block makes its output of that of the one before.
    blocks = keras.tree.flatten(backbone.transformer_layers)
    again = blocks[-1](found["layers"][-2], padding_mask=inputs["padding_mask"])
    np.testing.assert_allclose(*tiny.values([again]), layers[-1], atol=1e-5)
    with pytest.raises(ValueError, match="backbone's layers, 3. .*=4"):
        encoder.check_num_layers(4)

    model = kd.models.DinoLM(
        tiny.backbone(),
        [O.FeatureRegression(num_layers=2)],
        teacher=kd.models.FixedTeacher(backbone),
        mask_student=True,
    )
    model.compile(kd.optimizers.AdamW(1e-2), run_eagerly=True)
    before = tiny.values(backbone.weights)
    losses = [
        model.train_on_batch(tiny.batch(0), return_dict=True)["loss"]
        for _ in range(5)
    ]
    assert losses[-1] < losses[0]
    for a, b in zip(before, tiny.values(model.teacher.encoder.weights)):
        np.testing.assert_array_equal(a, b)
