"""Each objective on hand-made features, against float64 NumPy loops."""

import keras
import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.special import softmax

import keras_dinolm as kd
from tests import tiny
from tests.objectives import features as made

O = kd.objectives  # noqa: E741
K, D = 5, 6
ROLES = {"global": ("student", "teacher"), "local": ("student",)}
RNG = np.random.default_rng(0)
HEAD = RNG.normal(size=(D, K))
# They read all groups that student and teacher read.
WHOLE = [
    "SequenceDistillation",
    "TokenDistillation",
    "CrossViewTokenDistillation",
    "SimilarityDistillation",
    "FeatureRegression",
]


class Lesson:
    """What objectives ask of a lesson when they are built."""

    roles = ROLES
    num_prototypes = K
    teacher = None


def make_features(batch_size=3, update=0, duplicate=False):
    """`(features, batch, student, teacher)`, all but the first in NumPy."""
    batch = tiny.batch(batch_size=batch_size)
    if duplicate:
        for arrays in batch.values():
            arrays["token_ids"][1] = arrays["token_ids"][0]
    networks = {}
    for network in ("student", "teacher"):
        networks[network] = {
            group: {
                "tokens": RNG.normal(size=(*v["token_ids"].shape, D)),
                "sequence": RNG.normal(size=(*v["token_ids"].shape[:2], D)),
            }
            for group, v in batch.items()
        }
    student, teacher = networks["student"], networks["teacher"]
    in_float32 = keras.tree.map_structure(
        lambda x: x.astype("float32"), (student, teacher)
    )
    features = made.features(batch, *in_float32, update=update, kernel=HEAD)
    return features, batch, student, teacher


def build(objective):
    objective.build_for(Lesson())
    return objective


def loss(objective, features):
    return float(made.compute(objective, features).loss)


def sinkhorn(logits, temperature):
    q = np.exp(logits / temperature)
    for _ in range(3):
        q = q / q.sum(axis=0, keepdims=True)
        q = q / q.sum(axis=1, keepdims=True)
    return q


def test_sequence_distillation_averages_pairs_of_different_views():
    features, _, student, teacher = make_features(update=5)
    objective = build(
        O.SequenceDistillation(
            teacher_temperature=kd.schedules.Linear(0.2, 0.7, steps=10)
        )
    )
    t = teacher["global"]["sequence"] @ HEAD  # [B, 2, K]
    probs = sinkhorn(t.transpose(1, 0, 2).reshape(-1, K), 0.45).reshape(2, 3, K)
    s = np.concatenate(
        [student["global"]["sequence"], student["local"]["sequence"]], axis=1
    )
    predicted = log_softmax(s @ HEAD / 0.1, axis=-1)
    terms = [
        -np.mean(np.sum(probs[i] * predicted[:, j], axis=-1))
        for i in range(2)
        for j in range(6)
        if i != j
    ]
    assert len(terms) == 10
    assert loss(objective, features) == pytest.approx(np.mean(terms), rel=1e-5)


def test_sequence_distillation_with_disjoint_roles_uses_all_pairs():
    features, _, student, teacher = make_features()

    class Disjoint(Lesson):
        roles = {"local": ("student",), "global": ("teacher",)}

    objective = O.SequenceDistillation(targets=kd.layers.Centering())
    objective.build_for(Disjoint())
    probs = softmax(teacher["global"]["sequence"] @ HEAD / 0.05, axis=-1)
    predicted = log_softmax(student["local"]["sequence"] @ HEAD / 0.1, axis=-1)
    expected = -np.mean(
        [
            np.sum(probs[:, i] * predicted[:, j], axis=-1)
            for i in range(2)
            for j in range(4)
        ]
    )
    assert loss(objective, features) == pytest.approx(expected, rel=1e-5)


def test_sequence_metrics_are_entropies_and_perplexity():
    features, _, student, teacher = make_features()
    metrics = made.compute(build(O.SequenceDistillation()), features).metrics
    s = np.concatenate(
        [student["global"]["sequence"], student["local"]["sequence"]], axis=1
    )
    p = softmax(s @ HEAD / 0.1, axis=-1).reshape(-1, K)
    usage = p.mean(axis=0)
    expected = {
        "student_entropy": -np.mean(np.sum(p * np.log(p + 1e-30), axis=-1)),
        "prototype_perplexity": np.exp(-np.sum(usage * np.log(usage))),
    }
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, rel=1e-4), name


def test_token_distillation_weighs_each_masked_view_the_same():
    features, views, student, teacher = make_features(batch_size=6)
    masked = views["global"]["masked"]
    objective = build(O.TokenDistillation(teacher_temperature=0.4))
    places = np.argwhere(masked)
    t = np.stack([teacher["global"]["tokens"][tuple(p)] for p in places])
    probs = sinkhorn(t @ HEAD, 0.4)
    per_view = {}
    for place, target in zip(places, probs):
        row = student["global"]["tokens"][tuple(place)] @ HEAD / 0.1
        per_view.setdefault(tuple(place[:2]), []).append(
            -np.sum(target * log_softmax(row))
        )
    counts = {len(v) for v in per_view.values()}
    assert len(per_view) == 6 and len(counts) > 1
    expected = np.mean([np.mean(v) for v in per_view.values()])
    assert loss(objective, features) == pytest.approx(expected, rel=1e-5)


def test_koleo_takes_equal_texts_for_no_neighbours():
    features, views, student, _ = make_features(batch_size=4, duplicate=True)
    objective = build(O.KoLeo())
    assert objective.weight == 0.1
    values = []
    for view in range(2):
        x = student["global"]["sequence"][:, view]
        x = x / np.linalg.norm(x, axis=-1, keepdims=True)
        texts = views["global"]["token_ids"][:, view]
        for i in range(4):
            distances = [
                np.linalg.norm(x[i] - x[j])
                for j in range(4)
                if not np.array_equal(texts[i], texts[j])
            ]
            values.append(-np.log(min(distances) + 1e-8))
    assert loss(objective, features) == pytest.approx(np.mean(values), rel=1e-4)


def test_koleo_across_views_has_no_neighbours_within_a_document():
    features, _, student, _ = make_features(batch_size=4, duplicate=True)
    objective = build(O.KoLeo(across_views=True))
    assert O.KoLeo.from_config(objective.get_config()).across_views
    x = student["global"]["sequence"]
    x = x / np.linalg.norm(x, axis=-1, keepdims=True)
    # Documents 0 and 1 are the same text.
    owner = np.repeat([0, 0, 2, 3], 2)
    x = x.reshape(8, D)
    values = []
    for i in range(8):
        distances = [
            np.linalg.norm(x[i] - x[j])
            for j in range(8)
            if owner[i] != owner[j]
        ]
        values.append(-np.log(min(distances) + 1e-8))
    assert loss(objective, features) == pytest.approx(np.mean(values), rel=1e-4)


def test_mean_entropy_maximization_is_the_divergence_from_uniform():
    features, _, student, _ = make_features()
    rows = [student[g]["sequence"].reshape(-1, D) for g in student]
    probs = softmax(np.concatenate(rows) @ HEAD / 0.3, axis=-1)
    mean = probs.mean(axis=0)
    expected = np.sum(mean * np.log(mean * K))
    objective = build(O.MeanEntropyMaximization(student_temperature=0.3))
    assert loss(objective, features) == pytest.approx(expected, rel=1e-4)
    assert objective.reads(ROLES) == {
        ("student", "global"),
        ("student", "local"),
    }


def test_info_nce_pairs_views_zero_and_one_two_and_three():
    features, _, student, _ = make_features(batch_size=4)
    x = student["local"]["sequence"]
    x = x / np.linalg.norm(x, axis=-1, keepdims=True)
    terms = []
    for i, j in ((0, 1), (2, 3)):
        scores = x[:, i] @ x[:, j].T / 0.05
        terms.append(-np.mean(np.diag(log_softmax(scores, axis=1))))
        terms.append(-np.mean(np.diag(log_softmax(scores, axis=0))))
    assert loss(build(O.InfoNCE()), features) == pytest.approx(
        np.mean(terms), rel=1e-5
    )
    one = build(O.InfoNCE(num_pairs=1))
    assert loss(one, features) == pytest.approx(np.mean(terms[:2]), rel=1e-5)


def test_masked_lm_predicts_the_hidden_tokens_with_the_tied_embedding():
    model = tiny.model([O.MaskedLM()])
    (objective,) = model.objectives
    views = tiny.batch(batch_size=6)
    outputs = made.on_numpy(lambda: model(views))
    got = loss(objective, made.features(views, **outputs))

    tokens = outputs["student"]["global"]["tokens"]
    kernel, bias = tiny.values(objective.transform.weights)
    embedding = tiny.values([model.student.encoder.token_embedding.embeddings])[
        0
    ].astype("float64")
    hidden = keras.ops.convert_to_numpy(
        keras.ops.gelu(tokens @ kernel + bias, approximate=False)
    ).astype("float64")
    hidden = hidden - hidden.mean(axis=-1, keepdims=True)
    hidden /= np.sqrt(np.mean(hidden**2, axis=-1, keepdims=True) + 1e-6)
    group = views["global"]

    def by_hand(bias):
        scores = log_softmax(hidden @ embedding.T + bias, axis=-1)
        picked = np.take_along_axis(scores, group["token_ids"][..., None], -1)
        return np.mean(
            [
                -picked[b, v, group["masked"][b, v], 0].mean()
                for b in range(6)
                for v in range(2)
                if group["masked"][b, v].any()
            ]
        )

    assert got == pytest.approx(by_hand(0.0), rel=1e-4)
    # The same, once it knows how often tokens occur.
    counts = np.arange(tiny.VOCABULARY_SIZE) % 7
    objective.expect(counts)
    got = loss(objective, made.features(views, **outputs))
    bias = np.log(np.maximum(counts, 0.5))
    assert got == pytest.approx(by_hand(bias), rel=1e-4)
    for wrong in (counts[1:], -counts, 0 * counts, "x", [np.nan] * len(counts)):
        with pytest.raises(ValueError, match="`counts` must"):
            objective.expect(wrong)
    with pytest.raises(ValueError, match="make a `DinoLM`"):
        O.MaskedLM().expect(counts)
    owned = {id(w) for w in objective.weights}
    assert id(model.student.encoder.token_embedding.embeddings) not in owned


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: O.InfoNCE(temperature=0.0), "temperature=0.0"),
        (lambda: O.InfoNCE(weight=-1.0), "weight=-1.0"),
        (lambda: O.KoLeo(start=5, stop=5), "start=5, stop=5"),
        (lambda: O.TokenDistillation(head="tokens"), "head='tokens'"),
        (
            lambda: O.SequenceDistillation(teacher_temperature=-1.0),
            "teacher_temperature=-1.0",
        ),
        (
            lambda: O.MeanEntropyMaximization(student_temperature=0),
            "student_temperature=0",
        ),
        (lambda: build(O.InfoNCE(group="other")), "group='other'"),
        (lambda: O.InfoNCE(num_pairs=0), "num_pairs=0"),
        (lambda: O.InfoNCE(weight=float("nan")), "weight=nan"),
        (
            lambda: type("Mine", (O.Objective,), {"reads_tokens": True})(),
            "Mine.reads_tokens.*'masked'.*True",
        ),
    ],
)
def test_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", WHOLE)
def test_a_group_of_the_gram_teacher_is_read_by_no_other(name):
    roles = {
        "global": ("student", "teacher", "gram"),
        "context": ("gram",),
    }
    reads = getattr(O, name)().reads(roles)
    assert reads == {("student", "global"), ("teacher", "global")}


def test_info_nce_needs_two_views():
    features, *_ = make_features()
    with pytest.raises(ValueError, match="num_pairs=3"):
        build(O.InfoNCE(num_pairs=3)).compute(features)
