"""Short texts that differ in what they are about, and the smallest run."""

import random

import numpy as np

ANIMALS = "cat dog bird horse fox owl wolf bear mouse frog".split()
PLACES = "house tree river road hill lake field barn shed pond".split()
VERBS = "sees likes hears follows finds leaves".split()

# For `pretrain`: two phases of three steps, in seconds.
SMALLEST = {
    "steps": 6,
    "vocabulary_size": 120,
    "sequence_length": 12,
    "verbose": 0,
}
# Of `bag_then_blocks`.
SMALL_BATCHES = {"bag_batch_size": 16, "batch_size": 8}


def made_texts(count=2_000):
    """The first sentence of each text tells what the rest is about."""
    draw = random.Random(0)
    texts = []
    for number in range(count):
        animal, place = draw.choice(ANIMALS), draw.choice(PLACES)
        rest = " ".join(
            f"Then the {animal} {draw.choice(VERBS)} the {place}."
            for _ in range(5)
        )
        texts.append(f"The {animal} number {number} goes to a {place}. {rest}")
    return texts


def same_weights(embedder, other):
    """Whether two encoders are equal to the bit."""
    pairs = zip(
        embedder.backbone.get_weights(),
        other.backbone.get_weights(),
        strict=True,
    )
    return all(np.array_equal(a, b) for a, b in pairs)
