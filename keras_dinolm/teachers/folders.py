"""Folders and names of encoders: what they hold, and how they are loaded."""

import os
import pathlib
from typing import Any

from keras_dinolm import arguments
from keras_dinolm import files
from keras_dinolm.teachers.embedder_teacher import EmbedderTeacher
from keras_dinolm.teachers.sentence_transformer_teacher import (
    SentenceTransformerTeacher,
)
from keras_dinolm.teachers.teacher import Teacher
from keras_dinolm.teachers.teacher import digest_of

# What decides on features. The rest of a folder is documentation.
_ENDINGS = {
    ".bin",
    ".h5",
    ".json",
    ".model",
    ".npy",
    ".safetensors",
    ".spm",
    ".txt",
}
_CONFIG, _MODULES = "config.json", "modules.json"
# Where `recipes.pretrain` leaves its encoder.
_OF_RUN = "preset"
_POOLINGS = ("mean", "cls")


def load(
    name: str | os.PathLike,
    prompt: str | None,
    sequence_length: int | None,
    pooling: str | None,
    batch_size: int,
    dtype: str | None = None,
) -> Teacher:
    """Makes a teacher of a folder or a name.

    Args:
        name: path of a folder; name of a preset of keras-hub; name of a model
            of Hugging Face that is in its cache on this machine.
        prompt: str, or `None` for the model's own.
        sequence_length: int, or `None`. Tokens of a text that are read.
        pooling: `"mean"`, `"cls"` or `None`.
        batch_size: int.
        dtype: str, or `None`. What the network computes in.

    Returns:
        A `Teacher`.

    Raises:
        ValueError: if there is no such thing on this machine.
    """
    if pooling is not None:
        arguments.choice("pooling", pooling, _POOLINGS)
    path = arguments.path("teacher", name)
    folder = _folder(path, name)
    options = (prompt, sequence_length, pooling, batch_size, dtype)
    if folder is None:
        return _embedder(str(name), None, *options)
    digest = digest_of_folder(folder)
    if dtype is not None:
        digest = digest_of(digest, dtype)
    if _is_keras(folder):
        return _embedder(str(folder), digest, *options)
    if _has_sentence_transformers():
        return _sentence_transformer(folder, digest, *options)
    return _converted(folder, digest, *options)


def digest_of_folder(folder: pathlib.Path) -> str:
    """A digest of the files of a model that decide on its features.

    Args:
        folder: `pathlib.Path`.
    """
    found = sorted(
        (path.relative_to(folder).as_posix(), path)
        for path in folder.rglob("*")
        if path.suffix in _ENDINGS
        and path.is_file()
        and not any(
            part.startswith(".") for part in path.relative_to(folder).parts
        )
    )
    return digest_of(
        *(part for name, path in found for part in (name, files.checksum(path)))
    )


def _folder(path, name):
    """The folder of a model, or `None` for a preset that keras-hub fetches."""
    if path.is_dir():
        for folder in (path, path / _OF_RUN):
            if any((folder / n).is_file() for n in (_CONFIG, _MODULES)):
                return folder
        raise ValueError(
            f"Argument `teacher` names the folder '{path}', which holds no "
            f"encoder: neither a '{_CONFIG}' nor a '{_MODULES}' is there, nor "
            f"in its folder '{_OF_RUN}'. Received: teacher={name!r}"
        )
    found = _cached(str(name))
    if found is not None:
        return found
    if "://" in str(name) or str(name) in _keras_hub_names():
        return None
    raise ValueError(
        "Argument `teacher` must be a folder, the name of a preset of "
        "keras-hub, or the name of a model in the cache of Hugging Face on "
        "this machine, and nothing is loaded from the network. Fetch a model "
        "first (`hf download NAME --local-dir FOLDER`), and pass its folder. "
        f"Received: teacher={arguments.shorten(name)}"
    )


def _cached(name):
    """The folder of a model in the cache of Hugging Face, or `None`."""
    import huggingface_hub

    for repository in (name, f"sentence-transformers/{name}"):
        try:
            folder = huggingface_hub.snapshot_download(
                repository, local_files_only=True
            )
        except Exception:  # not there, or no name of a model
            continue
        if any(
            (pathlib.Path(folder) / n).exists() for n in (_CONFIG, _MODULES)
        ):
            return pathlib.Path(folder)
    return None


def _keras_hub_names():
    import keras_hub

    from keras_dinolm.models.encoder.stock_backbones import stock_backbones

    classes = (*stock_backbones(), keras_hub.models.Backbone)
    return {name for cls in classes for name in cls.presets}


def _is_keras(folder):
    config = folder / _CONFIG
    if not config.is_file():
        return False
    found = files.read_json(config, "configuration", "Copy it again.")
    return isinstance(found, dict) and "registered_name" in found


def _has_sentence_transformers():
    import importlib.util

    try:
        return importlib.util.find_spec("sentence_transformers") is not None
    except ValueError:  # it is blocked
        return False


def _embedder(
    preset, digest, prompt, sequence_length, pooling, batch_size, dtype
):
    from keras_dinolm.models.tasks.text_embedder import DinoLMTextEmbedder

    options: dict[str, Any] = {} if pooling is None else {"pooling": pooling}
    if dtype is not None:
        options["dtype"] = dtype
    embedder = DinoLMTextEmbedder.from_preset(preset, **options)
    if sequence_length is not None:
        embedder.preprocessor.sequence_length = sequence_length
    return EmbedderTeacher(embedder, digest, batch_size, prompt)


def _sentence_transformer(
    folder, digest, prompt, sequence_length, pooling, batch_size, dtype
):
    import sentence_transformers

    model = sentence_transformers.SentenceTransformer(
        str(folder),
        local_files_only=True,
        model_kwargs={} if dtype is None else {"dtype": dtype},
    )
    if pooling is not None:
        for index, module in enumerate(model):
            if type(module).__name__ == "Pooling":
                size = model[0].get_embedding_dimension()
                model[index] = type(module)(size, pooling_mode=pooling)
        digest = digest_of(digest, pooling)
    if sequence_length is not None:
        model.max_seq_length = sequence_length
    return SentenceTransformerTeacher(model, digest, batch_size, prompt)


def _converted(
    folder, digest, prompt, sequence_length, pooling, batch_size, dtype
):
    """A folder of Hugging Face, read by keras-hub on the active backend."""
    from keras_dinolm.models.tasks.text_embedder import DinoLMTextEmbedder

    options: dict[str, Any] = {}
    if (folder / _MODULES).is_file():
        options = _modules(folder)
        length = _read(folder / "sentence_bert_config.json").get(
            "max_seq_length"
        )
        sequence_length = sequence_length or length
    if pooling is not None:
        options["pooling"] = pooling
    if dtype is not None:
        options["dtype"] = dtype
    embedder = DinoLMTextEmbedder.from_preset(str(folder), **options)
    if sequence_length is not None:
        embedder.preprocessor.sequence_length = sequence_length
    _strip_accents(folder, embedder.preprocessor.tokenizer)
    return EmbedderTeacher(
        embedder, digest_of("converted", digest), batch_size, prompt
    )


def _strip_accents(folder, tokenizer):
    """Has a BERT without case read letters without accents, as it learned.

    keras-hub converts the one setting and forgets the other.
    """
    config = _read(folder / "tokenizer_config.json")
    strips = config.get("strip_accents")
    if hasattr(tokenizer, "strip_accents"):
        tokenizer.strip_accents = tokenizer.lowercase and strips is not False


def _modules(folder):
    """Pooling and normalisation of a sentence-transformers folder."""
    options: dict[str, Any] = {"pooling": "mean", "normalize": False}
    others = []
    for module in _read(folder / _MODULES):
        kind = str(module.get("type")).rpartition(".")[2]
        if kind == "Pooling":
            config = _read(folder / module["path"] / _CONFIG)
            modes = {
                name.removeprefix("pooling_mode_")
                for name, value in config.items()
                if name.startswith("pooling_mode_") and value is True
            } | {config.get("pooling_mode")} - {None}
            if modes <= {"cls_token", "cls"} and modes:
                options["pooling"] = "cls"
            elif not modes <= {"mean_tokens", "mean"}:
                others.append(f"{kind} by {', '.join(sorted(modes))}")
        elif kind == "Normalize":
            options["normalize"] = True
        elif kind != "Transformer":
            others.append(kind)
    if others:
        raise ImportError(
            f"The folder '{folder}' has modules that only the library "
            f"sentence-transformers reads: {', '.join(others)}. Install it: "
            "`pip install keras-dinolm[teachers]`."
        )
    return options


def _read(path):
    if not path.is_file():
        return {}
    return files.read_json(path, "configuration", "Copy it again.")
