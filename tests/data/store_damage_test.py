"""What a damaged, forged or changed token store says."""

import json
import os
import pickle
import random
import shutil
import time
import tracemalloc
import zlib

import numpy as np
import pytest

import keras_dinolm as kd
from tests.data.stores import Windows
from tests.data.stores import build_store
from tests.data.stores import take
from tests.data.stores import word_tokenizer

pytestmark = pytest.mark.once

SHARDS = {"shard_characters": 200}
HIDDEN = {".lock", ".lock-holder", ".keras_dinolm.json"}
DOCUMENTS = [
    kd.data.Document(
        " ".join(f"w{(i * 7 + j) % 50}" for j in range(1 + i % 9)) + ". w1",
        alternates=[f"w{i % 50} w{i % 7}"] * (i % 3),
    )
    for i in range(60)
]


@pytest.fixture(scope="module")
def tokenizer():
    return word_tokenizer([f"w{i}" for i in range(50)] + ["."])


@pytest.fixture(scope="module")
def whole(tokenizer, tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole") / "store"
    return build_store(DOCUMENTS, tokenizer, directory, **SHARDS).directory


@pytest.fixture
def directory(whole, tmp_path):
    """A copy, which a test may damage."""
    return shutil.copytree(whole, tmp_path / "store")


def flip(path, place, bit):
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    path.write_bytes(data)


def resign(path, change):
    """Changes a header and gives it the right checksum, as a forger would."""
    header = json.loads(path.read_text())
    del header["checksum"]
    header = change(header) or header
    body = json.dumps(header, indent=1).removesuffix("\n}")
    checksum = zlib.crc32(body.encode())
    path.write_text(f'{body},\n "checksum": "{checksum:08x}"\n}}')


# === Damage ===


def test_a_flipped_bit_anywhere_is_refused_and_named(directory, tokenizer):
    files = sorted(p for p in directory.iterdir() if p.name not in HIDDEN)
    kinds = {p.suffix for p in files if p.stat().st_size}
    assert len(kinds) == 7
    generator = random.Random(0)
    for path in files:
        data = path.read_bytes()
        for _ in range(10 if path.name == "header.json" else 2):
            if not data:
                continue
            flip(path, generator.randrange(len(data)), generator.randrange(8))
            with pytest.raises(ValueError, match=path.name) as caught:
                kd.data.TokenStore.open(directory, tokenizer)
            assert "`keras_dinolm.data.tokenize`" in str(caught.value)
            path.write_bytes(data)
    kd.data.TokenStore.open(directory, tokenizer).verify()


def test_without_verify_a_shard_is_compared_when_it_is_first_read(directory):
    flip(directory / "shard-00001.ids", 0, 0)
    store = kd.data.TokenStore.open(directory, verify=False)
    assert len(store[0])
    with pytest.raises(ValueError, match="shard-00001.ids has the checksum"):
        store.shard(1)
    with pytest.raises(ValueError, match="shard-00001.ids"):
        store[store.shards[0]["documents"]]


def test_tokenize_writes_again_what_is_damaged(directory, whole, tokenizer):
    flip(directory / "shard-00001.lengths", 3, 7)
    flip(directory / "shard-00002.json", 40, 1)
    (directory / "shard-00003.alternates").unlink()
    (directory / "settings.json").write_text("{")
    with pytest.warns(UserWarning) as caught:
        build_store(DOCUMENTS, tokenizer, directory, **SHARDS)
    said = "\n".join(str(warning.message) for warning in caught)
    for name in "00001.lengths", "00002.json", "00003.alternates", "settings":
        assert name in said
    for path in whole.iterdir():
        if path.name not in HIDDEN:
            assert (directory / path.name).read_bytes() == path.read_bytes()


def test_a_damaged_shard_is_not_exchanged_for_another_corpus(
    directory, tokenizer
):
    other = [kd.data.Document("w9 w9 w9"), *DOCUMENTS[1:]]
    flip(directory / "shard-00000.json", 40, 1)
    before = (directory / "shard-00000.ids").read_bytes()
    with (
        pytest.warns(UserWarning, match="shard-00000.json"),
        pytest.raises(ValueError, match="another corpus"),
    ):
        build_store(other, tokenizer, directory, **SHARDS)
    assert (directory / "shard-00000.ids").read_bytes() == before


# === Forgery ===


def shard(**changes):
    return lambda header: header["shards"][1].update(changes)


FORGED = {
    "huge": shard(tokens=10**15),
    "negative": shard(documents=-1),
    "float": shard(documents=7.0),
    "string": shard(documents="7"),
    "bool": shard(empty=False),
    "null": shard(sentences=None),
    "int32": shard(tokens=2**31),
    "digits": shard(tokens=10**4000),
    "list": shard(tokens=[1]),
    "checksum": shard(checksums={"ids": "0" * 8}),
    "path": shard(checksums={"../../etc/passwd": "0" * 8}),
    "alternates": shard(alternates=10**9),
    "digest": shard(digest="../../x"),
    "fingerprint": shard(fingerprint="another"),
    "no shards": lambda header: header.update(shards=[]),
    "shards": lambda header: header.update(shards={"0": 1}),
    "shard": lambda header: header.update(shards=[None]),
    "repeated": lambda header: header.update(shards=header["shards"] * 9),
    "one less": lambda header: header["shards"].pop(),
    "dtype": lambda header: header.update(dtype="uint32"),
    "object": lambda header: header.update(dtype="object"),
    "vocabulary": lambda header: header.update(vocabulary_size=10**12),
    "small vocabulary": lambda header: header.update(vocabulary_size=20),
    "padding": lambda header: header.update(pad_token_id=60),
    "special": lambda header: header.update(special_token_ids={"cls": -1}),
    "names": lambda header: header.update(special_token_ids=["cls"]),
    "version": lambda header: header.update(version=True),
    "number": lambda header: 3,
    "empty": lambda header: {"a": 1},
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_header_is_refused(directory, forged):
    path = directory / "header.json"
    if forged == "number":
        path.write_text("3")
    else:
        resign(path, FORGED[forged])
    start = time.monotonic()
    tracemalloc.start()
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        kd.data.TokenStore.open(directory)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.monotonic() - start < 5 and peak < 1 << 24
    message = str(caught.value)
    assert str(directory) in message
    assert "keras_dinolm.data.tokenize" in message and len(message) < 900


def nested(directory):
    (directory / "header.json").write_text("[" * 10**5)


def enormous(directory):
    with open(directory / "header.json", "wb") as file:
        file.truncate(1 << 40)


def a_folder(directory):
    (directory / "header.json").unlink()
    (directory / "header.json").mkdir()


def a_pipe(directory):
    (directory / "shard-00001.ids").unlink()
    os.mkfifo(directory / "shard-00001.ids")


def a_device(directory):
    (directory / "header.json").unlink()
    (directory / "header.json").symlink_to("/dev/zero")


def a_link(directory):
    path = directory / "shard-00001.ids"
    path.rename(directory.parent / "secret")
    path.symlink_to(directory.parent / "secret")


def a_linked_header(directory):
    path = directory / "header.json"
    path.rename(directory.parent / "secret")
    path.symlink_to("../secret")


def latin(directory):
    (directory / "header.json").write_bytes(b'{"version": 2, "\xe9": 1}')


@pytest.mark.parametrize(
    "forge",
    [
        nested,
        enormous,
        a_folder,
        a_pipe,
        a_device,
        a_link,
        a_linked_header,
        latin,
    ],
)
def test_a_hostile_file_is_refused(directory, forge):
    forge(directory)
    start = time.monotonic()
    with pytest.raises(ValueError, match="header.json|shard-00001.ids"):
        kd.data.TokenStore.open(directory)
    assert time.monotonic() - start < 5


FORGED_FILES = {
    "ids": [60],
    "lengths": [-5],
    "sentences": [-1],
    "alternates": [999],
    "alternate_lengths": [0],
    "alternate_counts": [-1],
}


@pytest.mark.parametrize("kind", FORGED_FILES)
def test_numbers_are_looked_at_even_if_the_checksum_is_right(directory, kind):
    path = directory / f"shard-00001.{kind}"
    dtype = "<u2" if kind in ("ids", "alternates") else "<i4"
    values = np.fromfile(path, dtype)
    values[:1] = FORGED_FILES[kind]
    values.tofile(path)
    checksum = f"{zlib.crc32(path.read_bytes()):08x}"
    for name in "header.json", "shard-00001.json":

        def change(header):
            one = header["shards"][1] if "shards" in header else header
            one["checksums"][kind] = checksum

        resign(directory / name, change)
    with pytest.raises(ValueError, match=f"00001.{kind} holds {values[0]}"):
        kd.data.TokenStore.open(directory)


def test_sums_are_compared_with_the_header(directory):
    path = directory / "shard-00001.lengths"
    values = np.fromfile(path, "<i4")
    values[0] += 1
    values.tofile(path)
    checksum = f"{zlib.crc32(path.read_bytes()):08x}"
    resign(
        directory / "header.json",
        lambda h: h["shards"][1]["checksums"].update(lengths=checksum),
    )
    (directory / "shard-00001.json").unlink()
    with pytest.raises(ValueError, match="lengths has the sum"):
        kd.data.TokenStore.open(directory)


# === A store that changes while it is open ===


def test_a_file_that_is_replaced_is_compared_again(directory):
    store = kd.data.TokenStore.open(directory)
    store.shard(1)
    path = directory / "shard-00001.ids"
    other = path.with_name("other")
    other.write_bytes(bytes(len(path.read_bytes())))
    os.replace(other, path)
    with pytest.raises(ValueError, match="shard-00001.ids has the checksum"):
        store.shard(1)


@pytest.mark.parametrize("use_tf_data", [True, False])
def test_a_dataset_finds_a_shard_that_was_changed(directory, use_tf_data):
    store = kd.data.TokenStore.open(directory)
    dataset = kd.data.view_dataset(
        store, Windows(), 4, use_tf_data=use_tf_data, block_tokens=10**6
    )
    flip(directory / "shard-00002.ids", 0, 0)
    with pytest.raises(Exception, match="was changed|has the checksum"):
        take(dataset, 3)


def test_a_store_that_was_moved_says_so(directory):
    store = kd.data.TokenStore.open(directory)
    directory.rename(directory.parent / "elsewhere")
    with pytest.raises(FileNotFoundError, match="shard-00001.ids is missing"):
        store.shard(1)


def test_a_store_does_not_depend_on_the_working_directory(
    directory, monkeypatch
):
    monkeypatch.chdir(directory.parent)
    store = kd.data.TokenStore.open("store")
    monkeypatch.chdir("/")
    assert store.directory == directory
    assert len(store[1]) == store.lengths()[1]


def test_a_store_can_be_pickled_and_forked(directory):
    store = kd.data.TokenStore.open(directory)
    rows = [store[i].tolist() for i in range(len(store))]
    copy = pickle.loads(pickle.dumps(store))
    assert [copy[i].tolist() for i in range(len(copy))] == rows
    assert len(pickle.dumps(store)) < 100_000
    child = os.fork()
    if not child:
        right = [store[i].tolist() for i in range(len(store))] == rows
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0


# === Views of another tokenizer ===


def test_views_of_another_tokenizer_are_refused(directory, tokenizer):
    store = kd.data.TokenStore.open(directory, tokenizer)
    good = kd.views.TextViews(tokenizer, 17)
    kd.data.view_dataset(store, good, 4, use_tf_data=False)
    vocabulary = list(tokenizer.get_vocabulary())
    pieces = [*vocabulary[:-1], "##z"]
    for other, name in (
        (kd.views.SpecialTokens(9, 2, 4), "pad_token_id is 9"),
        (kd.models.DinoLMTokenizer([*vocabulary, "more"]), "vocabulary_size"),
        (kd.models.DinoLMTokenizer(pieces), "tokens that continue a word"),
        (kd.views.SpecialTokens(0, 2, 5), "mask_token_id is 5"),
    ):
        views = kd.views.TextViews(other, 17)
        with pytest.raises(ValueError, match=f"`views` must be made.*{name}"):
            kd.data.view_dataset(store, views, 4)
        with pytest.raises(ValueError, match=f"`views` must be made.*{name}"):
            kd.data.steps_per_epoch(store, views, 4)
