"""What else may be made of the same teacher in the same time.

model2vec as its authors describe it, and plain regressions as anybody would
write them in PyTorch. Imports of what is not in the test environment are
inside functions.
"""

import logging
import math
import pathlib
import time

import numpy as np

from distilling import teacher

# The share of the budget that goes into the teacher's features.
FEATURES_SHARE = 0.5
MOST_TOKENS = 64


class StaticEncoder:
    """A model of model2vec, with features of words.

    Args:
        model: `StaticModel`.
    """

    def __init__(self, model):
        self.model = model

    def encode(self, texts):
        return self.model.encode(list(texts), use_multiprocessing=False)

    def encode_words(self, sentences):
        return _each_word(self.encode, sentences)


def model2vec(args, clock, seed, folder):
    """The library's `distill` with its defaults: PCA to 256, SIF.

    Args:
        args: arguments of the command.
        clock: `Clock` of the run.
        seed: int. Nothing is drawn.
        folder: path, of this run.

    Returns:
        Encoder, path of its files, dict of what there is to report.
    """
    model = _distill(args)
    return StaticEncoder(model), _save(model, folder), {}


def tokenlearn(args, clock, seed, folder):
    """Then trained on the teacher's features, as Tokenlearn does.

    The start is not reduced by PCA: so it is in the teacher's space, where
    the targets are, and there is no head to be thrown away. Batch size,
    learning rate and early stopping are those of model2vec.

    Args:
        args: arguments of the command.
        clock: `Clock` of the run.
        seed: int, of the batches.
        folder: path, of this run.

    Returns:
        Encoder, path of its files, dict of what there is to report.
    """
    from model2vec.train import StaticModelForSimilarity

    logging.getLogger("model2vec").setLevel(logging.ERROR)
    start = _distill(args, pca_dims=None)
    budget = 60 * args.minutes
    texts, targets = teacher.features(
        args, FEATURES_SHARE * (budget - clock.seconds()), clock
    )

    def fit(epochs):
        model = StaticModelForSimilarity.from_static_model(
            model=start, n_layers=0, freeze_weights=False
        )
        return model.fit(
            texts,
            targets,
            max_epochs=epochs,
            random_seed=seed,
            device="cpu",
        )

    # An epoch is measured by a run of its own, which is free.
    with clock.paused():
        begin = time.process_time()
        fit(1)
        epoch = time.process_time() - begin
    epochs = max(int((budget - clock.seconds()) / epoch), 1)
    model = fit(epochs).to_static_model()
    details = {"sentences": len(texts), "most_epochs": epochs}
    return StaticEncoder(model), _save(model, folder), details


def regression_bag(args, clock, seed, folder):
    """A mean of embeddings and a linear layer, which predict the feature.

    Args:
        args: arguments of the command.
        clock: `Clock` of the run.
        seed: int, of weights and batches.
        folder: path, of this run.

    Returns:
        Encoder, path of its files, dict of what there is to report.
    """
    return _regression(
        args, clock, seed, folder, layers=0, width=256, batch=256
    )


def regression_blocks(args, clock, seed, folder):
    """The same with two Transformer blocks, 128 features wide.

    Args:
        args: arguments of the command.
        clock: `Clock` of the run.
        seed: int, of weights and batches.
        folder: path, of this run.

    Returns:
        Encoder, path of its files, dict of what there is to report.
    """
    return _regression(args, clock, seed, folder, layers=2, width=128, batch=64)


def _regression(args, clock, seed, folder, layers, width, batch):
    import torch

    from distilling.plain_student import PlainStudent

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    tokenizer = teacher.load(args.teacher).tokenizer
    budget = 60 * args.minutes
    texts, rows = teacher.features(args, FEATURES_SHARE * budget, clock)
    targets = rows - rows.mean(axis=0)
    student = PlainStudent(tokenizer, layers, width, targets.shape[1])
    encoded = student.tokenize(texts)
    optimizer = torch.optim.Adam(student.parameters())
    rng = np.random.default_rng(seed)
    step, steps, timed = 0, math.inf, None
    while step < steps:
        if step == 10:
            timed = clock.seconds()
        if step == 40:
            each = (clock.seconds() - timed) / 30
            steps = step + max(int((budget - clock.seconds()) / each), 1)
        rate = args.learning_rate * min((step + 1) / 100, 1.0)
        if steps < math.inf:
            rate *= 0.5 * (1 + math.cos(math.pi * step / steps))
        optimizer.param_groups[0]["lr"] = rate
        chosen = rng.integers(len(texts), size=batch)
        loss = student.loss([encoded[i] for i in chosen], targets[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
    folder = pathlib.Path(folder) / "plain"
    student.save(folder)
    details = {
        "sentences": len(texts),
        "steps": steps,
        "loss": float(loss.detach()),
    }
    return student.eval(), folder, details


def _distill(args, **options):
    try:
        from model2vec.distill import distill
    except ImportError:
        raise SystemExit(
            "This rival needs model2vec: pip install 'model2vec[distill,train]'"
        ) from None
    import torch

    torch.set_num_threads(1)
    return distill(str(args.teacher), device="cpu", **options)


def _save(model, folder):
    path = pathlib.Path(folder) / "model2vec"
    model.save_pretrained(path)
    return path


def _each_word(encode, sentences):
    """Features of words that have no context."""
    words = list(dict.fromkeys(w for words in sentences for w in words))
    place = {word: i for i, word in enumerate(words)}
    rows = np.asarray(encode(words))
    return [rows[[place[w] for w in words]] for words in sentences]
