"""Who else is there while a store is made: processes, limits, other files."""

import errno
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.data import shard as shard_module
from keras_dinolm.data import worker
from tests.data.stores import Windows
from tests.data.stores import build_store
from tests.data.stores import take
from tests.data.stores import word_tokenizer

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parents[2]
SHARDS = {"shard_characters": 200}


def corpus(word, count=60):
    return [f"{word} w{i % 50} w{i * 3 % 50} {word}." for i in range(count)]


@pytest.fixture(scope="module")
def tokenizer():
    return word_tokenizer([f"w{i}" for i in range(50)] + ["."])


def rows(store):
    return [store[i].tolist() for i in range(len(store))]


# `tokenize` in another process, without Keras: a slow reader of a corpus.
TOKENIZE = """
import json, os, sys, time
sys.path.insert(0, {root!r})
import keras_dinolm as kd
directory, config, fingerprint, texts, options = json.loads(
    sys.stdin.readline()
)
class Tokenizer:
    pad_token_id, cls_token_id, mask_token_id = 0, 2, 4
    suffix_indicator = "##"
    encoder_config = lambda self: config
    vocabulary_size = lambda self: len(config["vocabulary"])
    get_vocabulary = lambda self: config["vocabulary"]
    fingerprint = lambda self: fingerprint
def slowly():
    for text in texts:
        time.sleep(options["seconds"])
        yield text
tokenize = kd.data.tokenize
os.chdir(options.get("cwd", "."))
print("ready", flush=True)
sys.stdin.readline()
try:
    store = tokenize(
        slowly(), Tokenizer(), directory, num_workers=options["workers"],
        shard_characters=200, show_progress=False,
    )
    print(json.dumps([store[i].tolist() for i in range(len(store))]))
except (ValueError, RuntimeError) as error:
    print(f"{{type(error).__name__}}: {{error}}")
""".format(root=str(ROOT))


def start(tokenizer, directory, texts, hold=False, **options):
    process = subprocess.Popen(
        [sys.executable, "-c", TOKENIZE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    options = {"seconds": 0.0, "workers": 0, **options}
    json.dump(
        [
            str(directory),
            tokenizer.encoder_config(),
            tokenizer.fingerprint(),
            texts,
            options,
        ],
        process.stdin,
    )
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "ready\n"
    if not hold:
        go(process)
    return process


def go(*processes):
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.close()
        process.stdin = None


# === Two processes, one folder ===


def test_two_corpora_in_one_folder_are_never_exchanged(tokenizer, tmp_path):
    texts = [corpus("w1"), corpus("w2")]
    running = [
        start(tokenizer, tmp_path, some, True, seconds=0.01, workers=number)
        for number, some in enumerate(texts)
    ]
    go(*running)
    said = [process.communicate(timeout=120) for process in running]
    right = [json.dumps([r for r in tokenizer.tokenize(t)]) for t in texts]
    outcomes = []
    for (out, err), expected in zip(said, right):
        outcomes.append(out.strip() == expected)
        if not outcomes[-1]:
            assert "holds tokens of another corpus: document 0 begins" in out
            assert "This call waits until the other one ends" in err
            assert "in use by process" in err
    # One of them made the store; the other waited, and was refused.
    assert sorted(outcomes) == [False, True]
    store = kd.data.TokenStore.open(tmp_path, tokenizer)
    assert json.dumps(rows(store)) == right[outcomes.index(True)]


def test_the_same_corpus_twice_at_once_is_made_once(tokenizer, tmp_path):
    texts = corpus("w1")
    running = [
        start(tokenizer, tmp_path, texts, True, seconds=0.005) for _ in range(2)
    ]
    go(*running)
    said = [process.communicate(timeout=120)[0] for process in running]
    assert said[0] == said[1] == json.dumps(tokenizer.tokenize(texts)) + "\n"


def test_workers_of_a_killed_run_change_nothing(
    tokenizer, tmp_path, monkeypatch
):
    """They still write what they had, but not into the store."""
    texts = corpus("w1", 400)
    process = start(tokenizer, tmp_path, texts, seconds=0.002, workers=2)
    while len(list(tmp_path.glob("shard-*.json"))) < 3:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("shard-*")}
    process.communicate()
    time.sleep(0.3)
    after = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("shard-*")}
    assert after == before
    store = build_store(texts, tokenizer, tmp_path, **SHARDS)
    assert rows(store) == tokenizer.tokenize(texts)
    hidden = {p.name for p in tmp_path.iterdir() if p.name[0] == "."}
    assert hidden == {".keras_dinolm.json", ".lock", ".lock-holder"}


def test_other_settings_are_refused_and_named(tokenizer, tmp_path):
    texts = corpus("w1")
    build_store(texts, tokenizer, tmp_path, **SHARDS)
    both = "`shard_characters` is 200 there and 300 here"
    with pytest.raises(ValueError, match=both):
        build_store(texts, tokenizer, tmp_path, shard_characters=300)


@pytest.mark.parametrize("name", ["header.json", "shard-00000.ids"])
def test_files_of_the_user_stay(tokenizer, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises((FileExistsError, ValueError), match=name):
        build_store(corpus("w1"), tokenizer, tmp_path)
    assert (tmp_path / name).read_text() == "mine"
    assert os.listdir(tmp_path) == [name]


def test_an_empty_corpus_leaves_the_folder_usable(tokenizer, tmp_path):
    for texts in ([], ["", " "]):
        with pytest.raises(ValueError, match="The corpus is empty"):
            build_store(texts, tokenizer, tmp_path)
    store = build_store(corpus("w1"), tokenizer, tmp_path)
    assert len(store) == 60


# === Code from the working directory ===


def traps(folder):
    """Modules beside the user's data, which leave a trace if they run."""
    trace = folder / "executed"
    code = f"open({str(trace)!r}, 'a').write(__name__ + chr(10))\n"
    folder.mkdir()
    for name in ("tokenizers", "numpy", "json", "pickle", "filelock"):
        (folder / f"{name}.py").write_text(code)
    package = folder / "keras_dinolm"
    package.mkdir()
    (package / "__init__.py").write_text(code)
    for name in ("sitecustomize", "usercustomize"):
        (folder / f"{name}.py").write_text(code)
    (folder / "startup.py").write_text(code)
    return trace


@pytest.mark.parametrize("path", ["", ".", ":/nowhere", "here"])
def test_workers_execute_nothing_from_the_working_directory(
    tokenizer, tmp_path, monkeypatch, path
):
    trace = traps(tmp_path / "data")
    texts = corpus("w1")
    # The parent has its modules before it gets there.
    monkeypatch.setenv("PYTHONPATH", path.replace("here", str(ROOT)))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "data" / "startup.py"))
    process = start(
        tokenizer, "store", texts, workers=2, cwd=str(tmp_path / "data")
    )
    out, err = process.communicate(timeout=120)
    assert out == json.dumps(tokenizer.tokenize(texts)) + "\n", err
    assert not trace.exists()


def test_the_working_directory_is_no_path_of_a_worker(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    link = tmp_path.parent / "link"
    link.symlink_to(tmp_path)
    kept = str(tmp_path / "elsewhere")
    paths = ["", ".", "lib", str(tmp_path), str(link), kept]
    monkeypatch.setattr(sys, "path", paths)
    executable, isolated, *_, start = worker.command()
    assert executable == sys.executable and isolated == "-I"
    assert json.loads(start)[1] == [kept]


# === What goes wrong ===


@pytest.mark.parametrize("workers", [0, 2])
def test_a_full_disk_is_named_and_nothing_is_lost(
    tokenizer, tmp_path, monkeypatch, workers
):
    texts = corpus("w1")
    if workers:
        # In the worker: its files may have no more than some bytes.
        limit = "import resource; resource.setrlimit(" + (
            "resource.RLIMIT_FSIZE, (100, 100))\n"
            "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        )
        monkeypatch.setattr(worker, "_START", limit + worker._START)
    else:

        def full(*arguments):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(shard_module.os, "fsync", full)
    with pytest.raises(OSError, match="Make room|too large") as caught:
        build_store(texts, tokenizer, tmp_path, **SHARDS, num_workers=workers)
    assert caught.value.errno in (errno.ENOSPC, errno.EFBIG)
    monkeypatch.undo()
    assert not list(tmp_path.glob(".shards*"))
    store = build_store(texts, tokenizer, tmp_path, **SHARDS)
    assert rows(store) == tokenizer.tokenize(texts)


def test_a_process_that_cannot_start_is_an_error_that_says_so(
    tokenizer, tmp_path, monkeypatch
):
    def too_many(*arguments, **options):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(subprocess, "Popen", too_many)
    with pytest.raises(RuntimeError, match="Too many open.*`num_workers`"):
        build_store(corpus("w1"), tokenizer, tmp_path, **SHARDS, num_workers=1)


def test_a_worker_killed_half_way_is_an_error_and_the_rest_is_kept(
    tokenizer, tmp_path
):
    texts = corpus("w1", 300)

    def killing():
        for index, text in enumerate(texts):
            if index == 250:
                children = f"/proc/self/task/{os.getpid()}/children"
                for child in pathlib.Path(children).read_text().split():
                    if (
                        b"keras_dinolm"
                        in pathlib.Path(f"/proc/{child}/cmdline").read_bytes()
                    ):
                        os.kill(int(child), signal.SIGKILL)
            yield text

    with pytest.raises(RuntimeError, match="died.*exit status -9"):
        build_store(killing(), tokenizer, tmp_path, **SHARDS, num_workers=2)
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.glob("shard-*.json")}
    assert kept
    store = build_store(texts, tokenizer, tmp_path, **SHARDS)
    assert rows(store) == tokenizer.tokenize(texts)
    assert all(p.stat().st_mtime_ns == when for p, when in kept.items())


def test_an_interrupt_ends_the_workers(tokenizer, tmp_path):
    texts = corpus("w1", 300)

    def interrupted():
        for index, text in enumerate(texts):
            if index == 200:
                raise KeyboardInterrupt
            yield text

    with pytest.raises(KeyboardInterrupt):
        build_store(interrupted(), tokenizer, tmp_path, **SHARDS, num_workers=2)
    names = {p.name for p in tmp_path.iterdir() if p.name[0] == "."}
    assert names == {".keras_dinolm.json", ".lock", ".lock-holder"}
    store = build_store(texts, tokenizer, tmp_path, **SHARDS)
    assert rows(store) == tokenizer.tokenize(texts)


# === Few descriptors ===


@pytest.fixture
def few_descriptors():
    """As few more than now as `ulimit -n 256` leaves to a new process."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 100, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("use_tf_data", [True, False])
def test_many_shards_need_few_descriptors(
    tokenizer, tmp_path, use_tf_data, few_descriptors
):
    texts = corpus("w1", 150)
    store = build_store(texts, tokenizer, tmp_path, shard_characters=1)
    assert len(store.shards) == 150
    fewest = len(os.listdir("/proc/self/fd"))
    most = []

    class Counting(Windows):
        def __call__(self, windows, seed, step):
            most.append(len(os.listdir("/proc/self/fd")))
            return windows

    store = kd.data.TokenStore.open(tmp_path, tokenizer)
    assert rows(store) == tokenizer.tokenize(texts)
    assert store.lengths().sum() == store.num_tokens
    assert [store.sentence_starts(i).tolist() for i in range(150)]
    dataset = kd.data.view_dataset(
        store, Counting(), 10, use_tf_data=use_tf_data, num_epochs=1
    )
    seen = take(dataset, 100)
    assert sum(len(batch["lengths"]) for batch in seen) == 150
    most.append(len(os.listdir("/proc/self/fd")))
    assert max(most) < fewest + 80


def test_threads_share_a_store(tokenizer, tmp_path):
    texts = corpus("w1", 120)
    store = build_store(texts, tokenizer, tmp_path, shard_characters=1)
    expected = tokenizer.tokenize(texts)
    wrong = []

    def read(seed):
        for i in np.random.default_rng(seed).permutation(len(store)):
            if store[int(i)].tolist() != expected[i]:
                wrong.append(i)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
