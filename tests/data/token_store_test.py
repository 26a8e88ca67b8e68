"""The token store: right, resumable, and strict about what it holds."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.text.sentences import split_sentences

pytestmark = pytest.mark.once


def make_texts(count=300, seed=0):
    generator = np.random.default_rng(seed)
    words = ["alpha", "beta", "gamma", "delta", "eps"]
    return [
        f"Text {i}. "
        + " ".join(generator.choice(words, generator.integers(1, 30)))
        + "! Last."
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def texts():
    return make_texts()


@pytest.fixture(scope="module")
def tokenizer(texts):
    return kd.data.train_tokenizer(
        texts, vocabulary_size=120, show_progress=False
    )


def build(texts, tokenizer, directory, **kwargs):
    kwargs = {
        "num_workers": 0,
        "shard_characters": 3_000,
        "show_progress": False,
        **kwargs,
    }
    return kd.data.tokenize(texts, tokenizer, directory, **kwargs)


def shards(directory):
    names = [*directory.glob("shard-*"), directory / "header.json"]
    return {path.name: path.read_bytes() for path in names}


def test_a_store_holds_the_ids_of_each_document(texts, tokenizer, tmp_path):
    store = build(texts, tokenizer, tmp_path)
    assert len(store) == len(texts) and len(store.shards) > 5
    rows = tokenizer.tokenize(texts)
    for i, row in enumerate(rows):
        assert store[i].tolist() == row
    assert store[-1].tolist() == rows[-1]
    assert store.lengths().tolist() == [len(row) for row in rows]
    assert store.num_tokens == sum(len(row) for row in rows)
    assert store[0].dtype == "int32" and store.dtype == "uint16"
    with pytest.raises(IndexError):
        store[len(texts)]


def test_sentence_starts(texts, tokenizer, tmp_path):
    store = build(texts, tokenizer, tmp_path)
    for i in (0, 17, len(texts) - 1):
        pieces = split_sentences(texts[i])
        assert len(pieces) == 3 and "".join(pieces) == texts[i]
        lengths = [len(row) for row in tokenizer.tokenize(pieces)]
        starts = [0, lengths[0], lengths[0] + lengths[1]]
        assert store.sentence_starts(i).tolist() == starts


def test_processes_write_the_same_files(texts, tokenizer, tmp_path):
    build(texts, tokenizer, tmp_path / "here")
    build(texts, tokenizer, tmp_path / "there", num_workers=2)
    assert shards(tmp_path / "here") == shards(tmp_path / "there")


def test_a_corpus_may_be_a_generator(texts, tokenizer, tmp_path):
    store = build(iter(texts), tokenizer, tmp_path)
    assert len(store) == len(texts)


def test_the_same_again_reuses_every_shard(texts, tokenizer, tmp_path):
    build(texts, tokenizer, tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("shard-*")}
    build(texts, tokenizer, tmp_path)
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.glob("shard-*")}


KILLED = """
import json, sys, time
import keras_dinolm as kd
directory, encoder_config, fingerprint, texts = json.load(sys.stdin)
class Tokenizer:  # all that `tokenize` asks for, without Keras
    pad_token_id, cls_token_id, mask_token_id = 0, 2, 4
    suffix_indicator = "##"
    encoder_config = lambda self: encoder_config
    vocabulary_size = lambda self: len(encoder_config["vocabulary"])
    get_vocabulary = lambda self: encoder_config["vocabulary"]
    fingerprint = lambda self: fingerprint
def slowly():
    for text in texts:
        time.sleep(0.003)
        yield text
print("started", flush=True)
kd.data.tokenize(
    slowly(), Tokenizer(), directory, num_workers=1, shard_characters=3_000,
    show_progress=False,
)
"""


def test_a_killed_run_goes_on(texts, tokenizer, tmp_path):
    build(texts, tokenizer, tmp_path / "whole")
    broken = tmp_path / "broken"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    settings = [tokenizer.encoder_config(), tokenizer.fingerprint()]
    json.dump([str(broken), *settings, texts], process.stdin)
    process.stdin.close()
    deadline = time.monotonic() + 60
    while len(list(broken.glob("shard-*.json"))) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(FileNotFoundError, match="begun, but interrupted"):
        kd.data.TokenStore.open(broken, tokenizer)
    kept = {p: p.stat().st_mtime_ns for p in broken.glob("shard-*.json")}
    assert len(kept) >= 2
    build(texts, tokenizer, broken)
    assert all(p.stat().st_mtime_ns == t for p, t in kept.items())
    # The names are compared, too: what the kill cut off is swept.
    assert set(os.listdir(broken)) == set(os.listdir(tmp_path / "whole"))
    assert shards(broken) == shards(tmp_path / "whole")


def test_a_killed_worker_is_an_error_that_says_so(
    texts, tokenizer, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="process died.*call `tokenize`"):
        build(texts, tokenizer, tmp_path / "store", num_workers=2)


# === What a store refuses ===


def test_another_tokenizer_is_refused(texts, tokenizer, tmp_path):
    build(texts, tokenizer, tmp_path)
    other = kd.models.DinoLMTokenizer(
        list(tokenizer.get_vocabulary()), lowercase=False
    )
    both = f"{tokenizer.fingerprint()}.*{other.fingerprint()}"
    with pytest.raises(ValueError, match=both):
        kd.data.TokenStore.open(tmp_path, other)
    with pytest.raises(ValueError, match=both):
        build(texts, other, tmp_path)


@pytest.mark.parametrize("change", ["first", "fewer", "more"])
def test_another_corpus_is_refused(texts, tokenizer, tmp_path, change):
    build(texts, tokenizer, tmp_path)
    other = {
        "first": ["Other.", *texts[1:]],
        "fewer": texts[:150],
        "more": [*texts, "One more."],
    }[change]
    with pytest.raises(ValueError, match="another corpus"):
        build(other, tokenizer, tmp_path)
    # Nothing was harmed.
    assert len(kd.data.TokenStore.open(tmp_path, tokenizer)) == len(texts)


def test_an_empty_corpus_is_an_error(tokenizer, tmp_path):
    for texts in ([], ["", " \n "]):
        with pytest.raises(ValueError, match="The corpus is empty"):
            build(texts, tokenizer, tmp_path)
    with pytest.raises(ValueError, match="iterable of documents"):
        build("one text", tokenizer, tmp_path)


def test_damage_is_found(texts, tokenizer, tmp_path):
    build(texts, tokenizer, tmp_path)
    path = tmp_path / "shard-00002.ids"
    data = path.read_bytes()
    path.write_bytes(data[:-2])
    with pytest.raises(FileNotFoundError, match="shard-00002.ids has"):
        kd.data.TokenStore.open(tmp_path, tokenizer)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="shard-00002.ids is missing"):
        kd.data.TokenStore.open(tmp_path, tokenizer)
    (tmp_path / "header.json").write_text("{}")
    with pytest.raises(ValueError, match="not the header"):
        kd.data.TokenStore.open(tmp_path)
    with pytest.raises(FileNotFoundError, match="Build it with"):
        kd.data.TokenStore.open(tmp_path / "nowhere")


# === What it warns of ===


def test_empty_documents_stay_and_are_reported_once(tokenizer, tmp_path):
    texts = ["alpha", "", "  ", "beta", "\u200d"]
    with pytest.warns(UserWarning, match="3 of 5 documents") as caught:
        store = build(texts, tokenizer, tmp_path)
    assert len(caught) == 1
    assert len(store) == 5 and store.num_empty == 3
    assert store[1].tolist() == [] and len(store[3]) > 0


def test_identical_documents_are_reported(tokenizer, tmp_path):
    with pytest.warns(UserWarning, match="500 documents only 1 are distinct"):
        build(
            ["alpha beta"] * 500,
            tokenizer,
            tmp_path,
            shard_characters=1_000_000,
        )


def test_a_tokenizer_that_does_not_fit_is_reported(tokenizer, tmp_path):
    with pytest.warns(UserWarning, match=r"\[UNK\]"):
        build(["совсем другой язык", "alpha"], tokenizer, tmp_path)


def test_large_vocabularies_take_more_bytes(tmp_path):
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [f"w{i}" for i in range(66_000)]
    tokenizer = kd.models.DinoLMTokenizer(specials + words)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = build(["w0 w65999", "w1"], tokenizer, tmp_path)
    assert store.dtype == "uint32"
    assert store[0].tolist() == [5, 66_004]
