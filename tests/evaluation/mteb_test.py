"""Our encoders and files in the real `mteb`, without the network.

Nothing here depends on the backend, so one runs it: torch, since `mteb`
imports torch, which can crash when TensorFlow was imported first.
"""

import zlib

import numpy as np
import pytest

from keras_dinolm.evaluation import MTEBEncoder
from keras_dinolm.evaluation import NLITask
from keras_dinolm.evaluation import STSTask
from keras_dinolm.evaluation import evaluate
from keras_dinolm.evaluation import mteb_task
from tests.evaluation import task_folder

pytestmark = pytest.mark.once

WIDTH = 8


def bag(texts):
    """Sums of a random vector a word: no two pairs have the same cosine."""

    def vector(word):
        rng = np.random.default_rng(zlib.crc32(word.encode()))
        return rng.normal(size=WIDTH)

    return np.array(
        [sum(map(vector, t.split()), np.zeros(WIDTH)) for t in texts]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return task_folder.write(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def mteb():
    import mteb

    return mteb


def test_local_files_are_scored_as_by_ours(mteb, folder):
    names = ["stsb", "xquad", "trec"]
    tasks = [mteb_task(name, folder, "dev") for name in names]
    results = mteb.evaluate(
        MTEBEncoder(bag), tasks, cache=None, show_progress_bar=False
    )
    found = {r.task_name: r.get_score() for r in results.task_results}
    ours = evaluate(bag, folder, "dev", names, verbose=False)
    assert found["stsb"] == pytest.approx(ours["stsb"], abs=1e-5)
    assert found["xquad"] == pytest.approx(ours["xquad"], abs=1e-5)
    # Another protocol; both find what is there to be found.
    assert found["trec"] > 0.8 and ours["trec"] > 0.8


@pytest.mark.slow
def test_the_real_suite_takes_our_encoder(mteb):
    encoder = MTEBEncoder(bag, name="me/bag")
    assert isinstance(encoder, mteb.EncoderProtocol)
    results = mteb.mock_run(encoder)
    done = [name for name, result in results.items() if result is not None]
    assert results.all_passed and len(done) >= 5, results


def test_what_has_learned_on_is_another_model(mteb):
    meta = MTEBEncoder(bag).mteb_model_meta
    assert meta.name == "keras_dinolm/encoder"
    assert meta.embed_dim == WIDTH
    assert meta.revision == MTEBEncoder(bag).mteb_model_meta.revision
    other = MTEBEncoder(lambda texts: 2 * bag(texts))
    assert meta.revision != other.mteb_model_meta.revision
    assert MTEBEncoder(bag, revision="3").mteb_model_meta.revision == "3"


def test_similarities_are_cosines(mteb):
    x, y = np.random.default_rng(0).normal(size=(2, 4, 8))
    norms = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)
    encoder = MTEBEncoder(bag)
    cosines = (x @ y.T) / norms
    np.testing.assert_allclose(encoder.similarity(x, y), cosines, atol=1e-6)
    np.testing.assert_allclose(
        encoder.similarity_pairwise(x, y), np.diag(cosines), atol=1e-6
    )


def test_wrong_arguments_are_named(folder):
    with pytest.raises(ValueError, match="name='bag'"):
        MTEBEncoder(bag, name="bag")
    with pytest.raises(ValueError, match="ClassificationTask, STSTask"):
        mteb_task(NLITask("snli", "nli/snli10k"), folder)
    with pytest.raises(ValueError, match="'imdb'"):
        mteb_task("imdb", folder)
    with pytest.raises(FileNotFoundError, match="test.tsv"):
        mteb_task(STSTask("mine", "sts"), folder)
