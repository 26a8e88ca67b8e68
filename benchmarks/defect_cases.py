"""The reproductions of `defects.py`.

Each takes an empty folder, returns if all is right, and raises `Wrong`
otherwise. The names are those of the list of defects that they were found in.
"""

import bz2
import ctypes
import gzip
import inspect
import json
import lzma
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import threading
import time
import tomllib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import keras_dinolm as kd

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "the a quick brown fox jumps over lazy dog cat sees runs home".split()
ROOT = pathlib.Path(kd.__file__).resolve().parent.parent

# Line of the list: backend that shows it, and function of an empty folder.
CASES: dict[str, tuple[str, Callable[[pathlib.Path], None]]] = {}


class Wrong(Exception):
    """What a user gets is not what it should be."""


def line(name: str, backend: str = "torch") -> Callable:
    def add(function):
        CASES[name] = backend, function
        return function

    return add


def import_all() -> None:
    """Imports what takes long."""
    import h5py
    import keras
    import keras_hub
    import pandas
    import pyarrow

    for module in (h5py, keras, keras_hub, pandas, pyarrow):
        assert module
    for room in ("models", "runs", "evaluation", "callbacks"):
        getattr(kd, room)


def short(value: Any, most: int = 150) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= most else text[: most - 3] + "..."


def check(condition: Any, text: str) -> None:
    if not condition:
        raise Wrong(text)


def refused(what: str, call: Callable, *names: str) -> None:
    """The call must raise an error of ours that names things."""
    kinds = (ValueError, TypeError, OSError, kd.runs.CheckpointError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except Exception as error:
        kind = type(error)
        json_error = kind.__name__ in ("JSONDecodeError", "UnicodeDecodeError")
        missing = [name for name in names if name not in str(error)]
        if not isinstance(error, kinds) or json_error or missing:
            raise Wrong(f"{what}: {kind.__name__}: {short(error)!r}") from error
    else:
        raise Wrong(f"{what}: accepted")


# === Small things that lines share ===


def tokenizer() -> Any:
    return kd.models.DinoLMTokenizer([*SPECIAL, *WORDS])


def texts(count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 12)) for _ in range(count)]


def backbone(**options: Any) -> Any:
    sizes: dict[str, Any] = {
        "vocabulary_size": len(SPECIAL) + len(WORDS),
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 16,
        "intermediate_dim": 32,
    }
    return kd.models.DinoLMBackbone(**{**sizes, **options})


def embedder(**options: Any) -> Any:
    preprocessor = kd.models.DinoLMTextPreprocessor(tokenizer(), 16)
    return kd.models.DinoLMTextEmbedder(backbone(**options), preprocessor)


def export(folder: Any, network: Any = None) -> None:
    encoder = kd.models.TextEncoder(network or backbone())
    kd.models.export_preset(encoder, tokenizer(), folder, 16)


def load(folder: Any) -> Any:
    return kd.models.DinoLMTextEmbedder.from_preset(folder)


def edit(path: pathlib.Path, **values: Any) -> None:
    content = json.loads(path.read_text())
    content.get("config", content).update(values)
    path.write_text(json.dumps(content))


def read(corpus: Any) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [document.text for document in corpus]


def jsonl(rows: list[str]) -> bytes:
    return "".join(json.dumps({"text": t}) + "\n" for t in rows).encode()


# === A. The user's data is lost ===


@line("A1")
def _(folder):
    project = folder / "project"
    (project / ".git").mkdir(parents=True)
    for name in ("config.json", "thesis.tex", ".git/HEAD"):
        (project / name).write_text("{}")
    try:
        export(project)
    except (OSError, ValueError):
        pass
    left = {str(p.relative_to(project)) for p in project.rglob("*")}
    lost = {"config.json", "thesis.tex", ".git/HEAD"} - left
    check(not lost, f"lost: {sorted(lost)}")
    # A user's file in a preset.
    export(folder / "preset")
    (folder / "preset" / "notes.txt").write_text("mine")
    try:
        export(folder / "preset")
    except (OSError, ValueError):
        pass
    check((folder / "preset" / "notes.txt").exists(), "notes.txt is lost")
    # A link stays one, and what it leads to is the new preset.
    export(folder / "target")
    (folder / "link").symlink_to(folder / "target")
    before = (folder / "target" / "model.weights.h5").read_bytes()
    export(folder / "link")
    check((folder / "link").is_symlink(), "the link is replaced")
    after = (folder / "target" / "model.weights.h5").read_bytes()
    check(before != after, "the target of the link is the old preset")


@line("A2")
def _(folder):
    end, start = os.pipe()
    os.dup2(end, 0)

    def write():
        with open(start, "wb") as pipe:
            pipe.write(jsonl(texts(1000)))

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    found = read(kd.data.read_jsonl("/dev/stdin"))
    check(found == texts(1000), f"{len(found)} of 1,000 documents")


@line("A3")
def _(folder):
    rows = texts(300)
    for name, row in (("early.txt", 3), ("late.txt", 290)):
        spoiled = [*rows[:row], "a\0" + rows[row], *rows[row + 1 :]]
        (folder / name).write_text("\n".join(spoiled))
        found = read(kd.data.read_text(folder / name, split="line"))
        check(len(found) >= 299, f"{name}: {len(found)} of 300 lines")


@line("A4")
def _(folder):
    names = ["a.txt", "NOTES.TXT", "b.markdown", "c.md", "D.Md"]
    for name in names:
        (folder / name).write_text(f"The text of {name}")
    found = read(kd.data.read_text(folder))
    check(len(found) == len(names), f"{len(found)} of {len(names)} files")


@line("A5")
def _(folder):
    block = gzip.compress(b"x" * (1 << 20))
    good = gzip.compress(jsonl(texts(2)))
    content = good + gzip.compress(b'{"text": "') + 300 * block
    content += gzip.compress(b'"}\n') + good
    (folder / "long.jsonl.gz").write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = read(kd.data.read_jsonl(folder / "long.jsonl.gz"))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check(found == 2 * texts(2), f"{len(found)} documents instead of 4")
    grown = (after - before) >> 10
    check(grown < 300, f"{grown:,} MiB for a line that is left out")


# === B. A wrong result, in silence ===


class Slow:
    """A corpus that takes a while."""

    def __init__(self, seed):
        self.texts = texts(40, seed)

    def __iter__(self):
        for text in self.texts:
            time.sleep(0.05)
            yield text


def _ids(store):
    return [store[i].tolist() for i in range(len(store))]


@line("B4")
def _(folder):
    def tokenize(seed):
        store = kd.data.tokenize(
            Slow(seed),
            tokenizer(),
            folder / "tokens",
            num_workers=0,
            shard_characters=200,
            show_progress=False,
        )
        expected = [list(row) for row in tokenizer().tokenize(texts(40, seed))]
        return _ids(store) == expected

    child = os.fork()
    if not child:
        try:
            os._exit(0 if tokenize(1) else 1)
        except Exception as error:
            print(error, file=sys.stderr)
            os._exit(2)
    time.sleep(0.3)
    try:
        good = tokenize(2)
    except (OSError, ValueError, RuntimeError):
        good = True  # It was refused.
    other = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    check(good and other != 1, "a store of the other's documents")
    check(other == 0, "the first of two is refused")


@line("B5")
def _(folder):
    def make(name):
        kd.data.tokenize(
            texts(60),
            tokenizer(),
            folder / name,
            num_workers=0,
            shard_characters=1_000,
            show_progress=False,
        )

    make("good")
    expected = _ids(kd.data.TokenStore.open(folder / "good"))
    unseen = []
    for path in sorted((folder / "good").iterdir()):
        if path.is_dir() or not path.stat().st_size or path.suffix == ".lock":
            continue
        for bit in (0, 3, 7):
            shutil.copytree(folder / "good", folder / "bad")
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1 << bit
            (folder / "bad" / path.name).write_bytes(data)
            try:
                found = _ids(kd.data.TokenStore.open(folder / "bad"))
                if found != expected:
                    unseen.append(f"{path.name} bit {bit}")
            except (OSError, ValueError):
                pass  # It is seen.
            except Exception as error:
                name = type(error).__name__
                unseen.append(f"{path.name} bit {bit} ({name})")
            shutil.rmtree(folder / "bad")
    check(not unseen, f"{len(unseen)} flips unseen: {short(unseen, 90)}")


def _model(**options):
    small = {"num_prototypes": 8, "head_hidden_dim": 8, "bottleneck_dim": 4}
    objectives = options.pop("objectives", None)
    if objectives is None:
        objectives = [kd.objectives.SequenceDistillation()]
    chosen = {**small, **options}
    network = chosen.pop("backbone", None) or backbone(num_layers=1)
    return kd.models.DinoLM(network, objectives, **chosen)


def _dataset(store, seed, start_step=0):
    views = kd.views.TextViews(tokenizer(), sequence_length=12)
    return kd.data.view_dataset(
        store, views, batch_size=8, seed=seed, start_step=start_step
    )


def _store(folder):
    return kd.data.tokenize(
        texts(64), tokenizer(), folder, num_workers=0, show_progress=False
    )


@line("B6")
def _(folder):
    import keras

    store = _store(folder / "tokens")

    def fit(seed=0, learning_rate=1e-3):
        keras.utils.set_random_seed(seed)
        model = _model()
        model.compile(
            kd.optimizers.adamw(learning_rate, schedule="constant"),
            jit_compile=False,
        )
        return kd.runs.fit(
            model,
            lambda step: _dataset(store, seed, step),
            folder / "run",
            steps=2,
            steps_per_epoch=1,
            verbose=0,
        )

    first = fit().history["loss"]
    refused("another learning rate", lambda: fit(learning_rate=0.1))
    refused("another seed", lambda: fit(seed=1))
    check(fit().history["loss"] == first, "the same run is another")


@line("B7")
def _(folder):
    import h5py

    export(folder / "long")
    path = next((folder / "long").rglob("vocabulary.txt"))
    path.write_text(path.read_text().rstrip("\n") + "\nmore\nand\n")
    refused(
        "a vocabulary longer than the table",
        lambda: load(folder / "long").encode("more and"),
        "vocabulary",
    )
    export(folder / "nan")
    with h5py.File(folder / "nan" / "model.weights.h5", "r+") as file:
        found = []
        file.visititems(
            lambda name, item: (
                found.append(item) if isinstance(item, h5py.Dataset) else None
            )
        )
        largest = max(found, key=lambda item: item.size)
        largest[...] = np.nan
    refused("weights of NaN", lambda: load(folder / "nan"), "nan")


@line("B8", "tensorflow")
def _(folder):
    import keras

    made = embedder()
    before = made.encode(WORDS)
    made.backbone.quantize("int8")
    after = made.encode(WORDS)
    rows = made.preprocessor(WORDS)
    expected = made.backbone(rows, training=False)["pooled_output"]
    expected = keras.ops.convert_to_numpy(expected)
    check(np.abs(before - after).max() > 0, "the old features exactly")
    error = np.abs(after - expected).max()
    check(error < 1e-2, f"{error:.1e} from the quantized backbone's")


@line("B9")
def _(folder):
    import pandas

    frame = pandas.DataFrame({"text": texts(30), "label": ["x"] * 30})

    def tokenize(corpus, name):
        return kd.data.tokenize(
            corpus,
            tokenizer(),
            folder / name,
            num_workers=0,
            show_progress=False,
        )

    try:
        found = len(tokenize(frame, "frame"))
    except (TypeError, ValueError) as error:
        check("text" in str(error), f"unclear: {short(error)}")
        found = 30
    check(found == 30, f"a DataFrame is {found} documents")
    found = len(tokenize(frame["text"], "series"))
    check(found == 30, f"a column is {found} documents")
    (folder / "a.txt").write_text("\n\n".join(texts(50)))
    path = str(folder / "a.txt")
    for corpus in ([path], [path] * 3, ["a.txt"]):
        try:
            learned = kd.data.train_tokenizer(
                corpus, 60, minimum_frequency=1, show_progress=False
            )
        except (TypeError, ValueError):
            continue
        known = set(learned.get_vocabulary())
        check("jumps" in known, "a vocabulary of file names")


@line("B12")
def _(folder):
    import keras

    keras.mixed_precision.set_dtype_policy("mixed_float16")
    model = _model()
    optimizer = keras.optimizers.LossScaleOptimizer(
        kd.optimizers.adamw(1e-3, schedule="constant"), initial_scale=2.0**40
    )
    model.compile(optimizer, jit_compile=False)
    store = _store(folder / "tokens")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = model.fit(
            _dataset(store, 0), epochs=2, steps_per_epoch=2, verbose=0
        )
    losses = history.history.get("loss", [])
    check(0.0 not in losses, f"all steps are skipped, losses {losses}")


# === C. It crashes, or can be made to ===


@line("C1", "jax")
def _(folder):
    made = embedder()
    expected = made.encode(WORDS)
    errors, worst = [], []

    def call():
        for _ in range(25):
            try:
                worst.append(np.abs(made.encode(WORDS) - expected).max())
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not errors, f"{len(errors)} of 200 fail: {short(errors[:1])}")
    check(max(worst) < 1e-5, f"{max(worst)} from the right features")


@line("C2")
def _(folder):
    mark = folder / "executed"
    for name in ("tokenizers", "filelock", "tqdm", "numpy", "keras_dinolm"):
        (folder / f"{name}.py").write_text(
            f"open({str(mark)!r}, 'a').write({name!r} + ' ')\n"
            "raise ImportError('not yours')\n"
        )
    # As a user in that folder: this process has imported all before.
    try:
        kd.data.tokenize(
            texts(50),
            tokenizer(),
            folder / "tokens",
            num_workers=2,
            shard_characters=500,
            show_progress=False,
        )
    finally:
        if mark.exists():
            raise Wrong(f"executed: {mark.read_text()}")


@line("C3")
def _(folder):
    # This process gets a small disk that no other sees.
    libc = ctypes.CDLL(None, use_errno=True)
    disk = folder / "disk"
    disk.mkdir()
    if libc.unshare(0x00020000):
        raise OSError(ctypes.get_errno(), "not tried: no right to mount")
    for command in (
        ["mount", "--make-rprivate", "/"],
        ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(disk)],
    ):
        subprocess.run(command, check=True)
    network = backbone(hidden_dim=128, intermediate_dim=512)
    export(disk / "preset", network)
    expected = load(disk / "preset").encode(WORDS)
    names = sorted(p.name for p in disk.rglob("*"))
    weights = (disk / "preset" / "model.weights.h5").stat().st_size
    with open(disk / "filler", "wb") as filler:
        free = shutil.disk_usage(disk).free
        filler.write(bytes(free - weights // 2))
    refused("a full disk", lambda: export(disk / "preset", network))
    (disk / "filler").unlink()
    left = sorted(p.name for p in disk.rglob("*"))
    check(left == names, f"left: {sorted(set(left) ^ set(names))}")
    again = load(disk / "preset").encode(WORDS)
    check((again == expected).all(), "the old preset is another")


@line("C4")
def _(folder):
    rows = texts(600)
    kd.data.tokenize(
        rows,
        tokenizer(),
        folder / "tokens",
        num_workers=0,
        shard_characters=150,
        show_progress=False,
    )
    opened = len(os.listdir("/proc/self/fd"))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 100, hard))
    store = kd.data.TokenStore.open(folder / "tokens", tokenizer())
    check(len(store.shards) > 110, f"only {len(store.shards)} shards")
    expected = [list(row) for row in tokenizer().tokenize(rows)]
    check(_ids(store) == expected, "other ids")


@line("C5")
def _(folder):
    trained = []

    def recipe(config, seed):
        store = _store(folder / "tokens")
        model = _model()
        model.compile(
            kd.optimizers.adamw(1e-3, schedule="constant"), jit_compile=False
        )
        return model, lambda step: ((b,) for b in _dataset(store, seed, step))

    def measure(model, history):
        trained.append(1)
        return {"loss": history["loss"][-1]}

    def run():
        return kd.runs.Ablation(
            recipe,
            {"as it is": {}},
            measure,
            folder / "table",
            steps=2,
            steps_per_epoch=1,
            config={"x": 1},
            seeds=[0, 1],
            verbose=0,
        ).run()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = run()
        path = folder / "table" / "results.jsonl"
        whole = path.read_text()
        path.write_text(whole[: len(whole) - 20])
        again = run()
        check(len(again) == 2, f"{len(again)} of 2 results")
        check(len(trained) == 3, f"{len(trained)} runs instead of 3")
        check(again[0] == first[0], "a finished result is another")
        path = folder / "table" / "recipe.json"
        path.write_text(path.read_text()[:30])
        check(run() == again, "other results after half a recipe.json")


@line("C6", "jax")
def _(folder):
    import keras_hub

    words = [*SPECIAL, *WORDS]
    stock = keras_hub.models.BertTokenizer(words, lowercase=True)
    for dtype in ("float16", "mixed_float16"):
        found = embedder(dtype=dtype).encode(WORDS)
        check(np.isfinite(found).all(), f"{dtype}: not finite")
        network = keras_hub.models.BertBackbone(
            len(words), 2, 2, 16, 32, max_sequence_length=16, dtype=dtype
        )
        bert = kd.models.DinoLMTextEmbedder(
            network,
            keras_hub.models.BertTextClassifierPreprocessor(stock, 16),
        )
        found = bert.encode(WORDS)
        check(np.isfinite(found).all(), f"{dtype}: BERT is not finite")


def _round_trip(made, folder, what):
    expected = made.encode(WORDS)
    for write, name in (
        (lambda path: export(path, made.backbone), "export_preset"),
        (made.save_to_preset, "save_to_preset"),
    ):
        path = folder / f"{what} {name}"
        try:
            write(str(path))
            found = load(str(path)).encode(WORDS)
        except Exception as error:
            text = f"{what}, {name}: {type(error).__name__}: {short(error)}"
            raise Wrong(text) from error
        worst = np.abs(found - expected).max()
        check(worst < 1e-3, f"{what}, {name}: {worst:.1e} from before")


@line("C7")
def _(folder):
    for mode in ("int8", "float8"):
        made = embedder()
        try:
            made.backbone.quantize(mode)
        except NotImplementedError:
            continue
        _round_trip(made, folder, mode)


@line("C8")
def _(folder):
    for dtype in ("mixed_bfloat16", "bfloat16", "float16", "float32"):
        _round_trip(embedder(dtype=dtype), folder, dtype)


@line("C9")
def _(folder):
    values = {
        "vocabulary_size": 10**10,
        "num_layers": 10**7,
        "hidden_dim": 10**8,
        "intermediate_dim": 10**10,
    }
    export(folder / "good")
    for key, value in values.items():
        shutil.copytree(folder / "good", folder / key)
        edit(folder / key / "config.json", **{key: value})
        start = time.monotonic()
        refused(key, lambda key=key: load(folder / key), key)
        spent = time.monotonic() - start
        check(spent < 20, f"{key}: refused after {spent:.0f} s")
    model = _model()
    model.export_preset(folder / "heads", tokenizer(), heads=True)
    edit(folder / "heads" / "heads.json", num_prototypes=10**11)
    objectives = [kd.objectives.SequenceDistillation()]
    refused(
        "num_prototypes",
        lambda: kd.models.DinoLM.from_preset(folder / "heads", objectives),
        "num_prototypes",
    )


@line("C10")
def _(folder):
    from transformers import BertConfig
    from transformers import BertModel

    words = [*SPECIAL, *WORDS]
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    model = BertModel(config)
    path = folder / "in" / "preset"
    model.save_pretrained(path)
    (path / "vocab.txt").write_text("\n".join(words) + "\n")
    (path / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    load(path).encode("the fox")
    (path / "model.safetensors").rename(folder / "secret.bin")
    names = dict.fromkeys(model.state_dict(), "../../secret.bin")
    index = {"metadata": {}, "weight_map": names}
    path = path / "model.safetensors.index.json"
    path.write_text(json.dumps(index))
    refused("a path outside", lambda: load(path.parent), "secret.bin")


@line("C11")
def _(folder):
    export(folder / "preset")
    _model().export_preset(folder / "heads", tokenizer(), heads=True)
    forged = {
        "a list": b"[]",
        "empty": b"",
        "null": b"null",
        "deep": b"[" * 200_000,
        "not UTF-8": b"\xff\xfe{",
        "an empty object": b"{}",
    }
    for file in ("config.json", "tokenizer.json", "preprocessor.json"):
        whole = (folder / "preset" / file).read_bytes()
        for name, data in forged.items():
            (folder / "preset" / file).write_bytes(data)
            refused(
                f"{file} is {name}", lambda: load(folder / "preset"), "preset"
            )
        (folder / "preset" / file).write_bytes(whole)
    objectives = [kd.objectives.SequenceDistillation()]
    for name, data in forged.items():
        (folder / "heads" / "heads.json").write_bytes(data)
        refused(
            f"heads.json is {name}",
            lambda: kd.models.DinoLM.from_preset(folder / "heads", objectives),
            "heads",
        )
    content = gzip.compress(b"text\tlabel\n" + 999 * b"the fox\tanimal\n")
    (folder / "t.tsv.gz").write_bytes(content[:-20])
    readers = kd.evaluation
    refused(
        "a broken gzip",
        lambda: readers.read_labelled_texts(folder / "t.tsv.gz"),
        "t.tsv.gz",
    )
    (folder / "t.jsonl").write_bytes(b'{"text": ' + b"[" * 200_000 + b"\n")
    refused(
        "deep nesting",
        lambda: readers.read_labelled_texts(folder / "t.jsonl"),
        "t.jsonl",
    )
    _check_checkpoints(folder, forged)


def _check_checkpoints(folder, forged):
    store = _store(folder / "tokens")

    def fit():
        model = _model()
        model.compile(
            kd.optimizers.adamw(1e-3, schedule="constant"), jit_compile=False
        )
        kd.runs.fit(
            model,
            lambda step: _dataset(store, 0, step),
            folder / "run",
            steps=2,
            steps_per_epoch=1,
            verbose=0,
        )

    fit()
    paths = sorted((folder / "run").rglob("checkpoint.json"))
    check(paths, "there is no checkpoint.json")
    for name, data in forged.items():
        for path in paths:
            path.write_bytes(data)
        refused(f"a checkpoint's header is {name}", fit, "checkpoint")


# === D. Unfit defaults, unclear words ===


@line("D1")
def _(folder):
    rng = np.random.default_rng(0)
    thai = (
        "ฉัน ชอบ กิน ข้าว ผัด และ ดื่ม น้ำ เย็น ทุก วัน ที่ บ้าน ของ เรา มี แมว สอง ตัว "
        "สุนัข นอน ใต้ ต้นไม้ ใหญ่ ใกล้ แม่น้ำ เด็ก เล่น ฟุตบอล หลัง โรงเรียน"
    ).split()
    corpus = ["".join(rng.choice(thai, 80)) for _ in range(300)]
    learned = kd.data.train_tokenizer(corpus, 600, show_progress=False)
    kept, unknown = [], []
    for text in corpus[:30]:
        first, second = learned.tokenize([text, "ก" + text])
        first, second = list(first)[::-1], list(second)[::-1]
        same = 0
        while same < len(first) and first[same] == second[same : same + 1][0]:
            same += 1
        kept.append(same / len(first))
        unknown.append(first.count(learned.unk_token_id) / len(first))
    share = np.mean(kept)
    check(
        share > 0.8,
        f"a letter in front of Thai changes {1 - share:.0%} of the tokens",
    )
    check(np.mean(unknown) < 0.02, f"{np.mean(unknown):.0%} of Thai unknown")
    letters = [chr(0x4E00 + 3 * i) for i in range(3_000)]
    weights = 1 / (20 + np.arange(3_000))
    weights /= weights.sum()
    corpus = ["".join(rng.choice(letters, 100, p=weights)) for _ in range(3000)]
    learned = kd.data.train_tokenizer(corpus, show_progress=False)
    ids = np.concatenate([np.array(row) for row in learned.tokenize(corpus)])
    share = (ids == learned.unk_token_id).mean()
    check(share < 0.02, f"{share:.0%} of Chinese unknown")
    used = len(np.unique(ids))
    check(used > 2_900, f"only {used:,} ids are used for Chinese")


@line("D2")
def _(folder):
    classifier = kd.models.DinoLMTextClassifier(
        backbone(), 2, kd.models.DinoLMTextPreprocessor(tokenizer(), 16)
    )
    classifier.compile(
        "adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    x, y = texts(12), np.arange(12) % 2
    classifier.fit(x, y, 4, verbose=0)
    classifier.evaluate(x, y, 4, verbose=0)
    found = np.asarray(classifier.predict(x, 4, verbose=0))
    check(found.shape == (12, 2), f"predictions of shape {found.shape}")
    for labels in (["cat"] * 12, np.array(["cat"] * 12)):
        refused(
            "labels of strings",
            lambda labels=labels: classifier.fit(x, labels, verbose=0),
            "`y`",
        )


@line("D3")
def _(folder):
    nan, network = float("nan"), backbone()
    for name, value in (
        ("momentum", 1.5),
        ("momentum", nan),
        ("momentum", "x"),
        ("max_skipped_steps", -1),
        ("max_skipped_steps", nan),
        ("head_hidden_dim", 0),
        ("head_hidden_dim", "x"),
        ("num_prototypes", nan),
        ("lora_rank", 0),
    ):
        given = {"backbone": network, name: value}
        refused(
            f"DinoLM({name}={value!r})",
            lambda given=given: _model(**given),
            f"`{name}`",
        )
    for name, value in (
        ("global_clipnorm", -1),
        ("learning_rate", nan),
        ("learning_rate", "x"),
        ("warmup_steps", float("inf")),
    ):
        given = {"total_steps": 10, name: value}
        refused(
            f"adamw({name}={value!r})",
            lambda given=given: kd.optimizers.adamw(**given),
            f"`{name}`",
        )
    for name, value in (
        ("max_wavelength", -1),
        ("num_layers", nan),
        ("hidden_dim", "x"),
        ("num_heads", float("inf")),
    ):
        refused(
            f"backbone({name}={value!r})",
            lambda given={name: value}: backbone(**given),
            f"`{name}`",
        )
    refused(
        "SequenceDistillation(targets='x')",
        lambda: kd.objectives.SequenceDistillation(targets="x"),
        "`targets`",
    )
    for value in (nan, "x", float("inf"), True, -1):
        refused(
            f"TextViews(sequence_length={value!r})",
            lambda value=value: kd.views.TextViews(tokenizer(), value),
            "`sequence_length`",
        )


@line("D4")
def _(folder):
    rooms = [n for n in dir(kd) if inspect.ismodule(getattr(kd, n, None))]
    rooms = [n for n in rooms if hasattr(getattr(kd, n), "__path__")]
    check(len(rooms) > 10, f"only the rooms {rooms}")
    lacking = [n for n in rooms if not hasattr(getattr(kd, n), "__all__")]
    check(not lacking, f"no `__all__`: {lacking}")
    for name in rooms:
        room = getattr(kd, name)
        leaks = {"keras", "ops", "math", "np", "os"} & set(vars(room))
        check(not leaks, f"{name} leaks {leaks}")
        missing = [n for n in room.__all__ if not hasattr(room, n)]
        check(not missing, f"{name} lacks {missing}")


@line("D5")
def _(folder):
    import keras
    import pandas

    made = embedder()
    rows = texts(6)
    expected = made.encode(rows)

    def same(found, what, right=expected):
        found = keras.ops.convert_to_numpy(found)
        good = found.shape == right.shape and np.allclose(found, right, 1e-5)
        check(good, f"{what}: other features")

    tensor = made.encode(rows, convert_to_tensor=True)
    check(keras.ops.is_tensor(tensor), "convert_to_tensor is no tensor")
    same(tensor, "convert_to_tensor")
    listed = made.encode(rows, convert_to_numpy=False)
    same(np.stack([keras.ops.convert_to_numpy(x) for x in listed]), "a list")
    prompted = made.encode(["the " + text for text in rows])
    same(made.encode(rows, prompt="the "), "prompt", prompted)
    same(made.encode(rows, truncate_dim=4), "truncate_dim", expected[:, :4])
    small = made.encode(rows, precision="int8")
    check(small.dtype == np.int8, f"precision int8 gives {small.dtype}")
    same(made.encode(rows, device=None, prompt_name=None), "device")
    same(made.encode_query(rows), "encode_query")
    same(made.encode_document(rows), "encode_document")
    unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    same(made.similarity(expected, expected), "similarity", unit @ unit.T)
    same(made.encode(pandas.Series(rows)), "a Series")
    same(made.encode(text for text in rows), "a generator")
    same(made.encode(np.array(rows)), "an array")
    same(made.encode(np.array(rows[0])), "a 0-d array", expected[0])


@line("D6")
def _(folder):
    import pyarrow
    import pyarrow.parquet

    rows = ["cafés and naïve", "the quick fox"]
    data = jsonl(rows)
    nested = "".join(
        json.dumps({"page": {"body": text}}) + "\n" for text in rows
    )
    (folder / "nested.jsonl").write_text(nested)
    (folder / "array.json").write_text(json.dumps([{"text": t} for t in rows]))
    (folder / "a.jsonl.bz2").write_bytes(bz2.compress(data))
    (folder / "a.jsonl.xz").write_bytes(lzma.compress(data))
    plain = "".join(
        json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in rows
    )
    (folder / "latin.jsonl").write_bytes(plain.encode("cp1252"))
    (folder / "a.csv").write_text(
        "label,text\nx," + rows[0] + '\ny,"' + rows[1] + '"\n'
    )
    pyarrow.parquet.write_table(
        pyarrow.table({"text": rows}), folder / "a.parquet"
    )
    (folder / "home").mkdir()
    (folder / "home" / "a.jsonl").write_bytes(data)
    os.environ["HOME"] = str(folder / "home")
    reads = kd.data.read_jsonl
    wrong = []
    for name, call in {
        "dotted keys": lambda: reads("nested.jsonl", text_key="page.body"),
        "JSON arrays": lambda: reads("array.json"),
        "bz2": lambda: reads("a.jsonl.bz2"),
        "xz": lambda: reads("a.jsonl.xz"),
        "encoding": lambda: reads("latin.jsonl", encoding="cp1252"),
        "~": lambda: reads("~/a.jsonl"),
        "globs": lambda: reads(str(folder / "h*" / "*.jsonl")),
        "CSV": lambda: kd.data.read_csv("a.csv"),
        "Parquet": lambda: kd.data.read_parquet("a.parquet"),
    }.items():
        try:
            found = read(call())
        except Exception as error:
            wrong.append(f"{name} ({type(error).__name__})")
        else:
            if found != rows:
                wrong.append(name)
    # Not said to be cp1252: never a replacement character.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = [document.text for document in reads("latin.jsonl")]
    if any("\ufffd" in text for text in found) or not caught:
        wrong.append("cp1252 becomes U+FFFD")
    check(not wrong, f"not there: {', '.join(wrong)}")


@line("D7")
def _(folder):
    import keras

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = " ".join(project["project"]["dependencies"])
    for name in ("tqdm", "h5py"):
        check(name in declared, f"{name} is not declared")
    made = embedder()
    made.save(folder / "made.keras")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        again = keras.saving.load_model(folder / "made.keras")
    words = [str(w.message) for w in caught if "compile" in str(w.message)]
    check(not words, f"warns: {short(words)}")
    worst = np.abs(again.encode(WORDS) - made.encode(WORDS)).max()
    check(worst < 1e-6, f"{worst} from before")
