"""A run of `distill`: the teacher's features, then the student's phases."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_dinolm import files
from keras_dinolm.data import JoinedFeatures
from keras_dinolm.data import TokenStore
from keras_dinolm.data import passages
from keras_dinolm.data import teacher_features
from keras_dinolm.recipes import distilling_phases
from keras_dinolm.recipes import parts
from keras_dinolm.recipes.feature_statistics import feature_statistics
from keras_dinolm.recipes.phase import Phase
from keras_dinolm.recipes.pretraining_run import PretrainingRun
from keras_dinolm.recipes.token_table import token_table

# Of the time that is left once the teacher has read the vocabulary, for its
# features of passages: blocks learn from each passage several times.
SHARE_OF_FEATURES = {"table": 0.4, "blocks": 0.25}
# Passages that are encoded to find out how long the others take.
TIMED_PASSAGES = 64
# Seconds that a run keeps for its report and preset.
FOR_THE_END = 5.0
# However slow the preparation was, this share of the minutes is training.
LEAST_TRAINING = 0.1
# Of English, so that most passages fit into a view.
WORDS_A_TOKEN = 0.7
# Square root of SIF: question words say something too.
POWER_OF_COUNTS = 0.5


class DistillingRun(PretrainingRun):
    """A run of `distill`, from the texts to the report.

    Args:
        folder: `RunFolder`, entered.
        teachers: list of `keras_dinolm.teachers.Teacher`.
        tokenizer: the student's, or `None` to train one.
        options: dict, arguments of `make_phases` that the user may set.
        max_passages: int or `None`. How many passages teachers read at most.
        train: re-iterable of `Document`.
        held_out: list of `Document`.
        began: float. `time.perf_counter()` when the call began.
        verbose: as for `distill`.
    """

    def __init__(
        self,
        folder: Any,
        teachers: list,
        tokenizer: Any,
        options: dict[str, Any],
        max_passages: int | None,
        train: Any,
        held_out: list,
        began: float,
        verbose: str | int,
    ):
        super().__init__(folder, None, options, train, held_out, verbose)
        self.teachers = teachers
        self.given_tokenizer = tokenizer
        self.max_passages = max_passages
        self.began = began

    # === Before training ===

    def _tokenizer(self):
        if self.given_tokenizer is not None:
            return self.given_tokenizer
        return super()._tokenizer()

    def _tokens(self, tokenizer):
        # Short texts, of which a teacher's feature says one thing.
        room = self.asked["sequence_length"] - 1
        self.texts = passages(self.texts, max(int(WORDS_A_TOKEN * room), 3))
        with self._timed("reading", self.began):
            return super()._tokens(tokenizer)

    def _prepare(self, tokenizer, tokens):
        with self._timed("vocabulary"):
            self._say("The teacher reads the vocabulary ...")
            self.table, self.lengths = self._table(tokenizer)
        number = self._passages(tokens)
        with self._timed("features"):
            self._say(f"The teacher reads {number:,} passages ...")
            self.features = self._features(tokenizer, tokens, number)
        self.prepared = time.perf_counter()

    def _table(self, tokenizer):
        """The table that the student starts from; kept, as it is costly."""
        path = self.directory / "table.npz"
        if path.is_file():
            try:
                with np.load(path) as found:
                    return found["table"], found["lengths"]
            except (EOFError, KeyError, OSError, ValueError) as error:
                files.set_aside(path, error)
        table, lengths = token_table(
            self.teachers,
            tokenizer,
            distilling_phases.dim_of(self.asked["size"]),
            self.asked["seed"],
        )
        with files.write_file(path, size=table.nbytes) as file:
            np.savez(file, table=table, lengths=lengths)
        return table, lengths

    def _passages(self, tokens: TokenStore) -> int:
        """How many passages the teachers read; planned once."""
        stored = self.folder.state.get("passages")
        if type(stored) is int and stored > 0:
            return stored
        number = tokens.num_documents - tokens.num_empty
        if self.max_passages is not None:
            number = min(number, self.max_passages)
        if self.asked["minutes"] is not None:
            left = 60 * self.asked["minutes"] - self._spent()
            kind = "table" if self.asked["size"] == "table" else "blocks"
            seconds = SHARE_OF_FEATURES[kind] * left
            number = min(
                number, max(int(seconds / self._seconds_a_passage()), 1)
            )
        self.folder.save(passages=number)
        return number

    def _seconds_a_passage(self):
        texts = self.texts[:: max(len(self.texts) // TIMED_PASSAGES, 1)]
        for teacher in self.teachers:
            teacher.encode_both(texts[:2])  # some compile
        begin = time.perf_counter()
        for teacher in self.teachers:
            teacher.encode_both(texts)
        return (time.perf_counter() - begin) / len(texts)

    def _features(self, tokenizer, tokens, number):
        """What all teachers say of the passages, side by side."""
        blocks = self.asked["size"] != distilling_phases.TABLE
        stores = [
            teacher_features(
                teacher,
                self.texts,
                tokens,
                self.directory / "features" / str(index),
                # Without blocks, there are no features of tokens to learn.
                tokenizer if blocks else None,
                max_documents=number,
                seed=self.asked["seed"],
                show_progress=bool(self.verbose),
            )
            for index, teacher in enumerate(self.teachers)
        ]
        self.statistics = feature_statistics(stores)
        if blocks and not all(store.has_tokens for store in stores):
            self.notes.append(
                "The teacher has no features of tokens (or one of several "
                "has none), so blocks learned its features of texts alone."
            )
        return JoinedFeatures(stores)

    def _made_phases(self, tokenizer):
        return distilling_phases.make_phases(
            tokenizer,
            self.asked["size"],
            self.asked["sequence_length"],
            self._start,
            self.features,
            self.statistics,
            **self.options,
        )

    def _start(self, bag, tokens):
        """Gives a bag its table, and its tokens what they weigh."""
        bag.token_embedding.embeddings.assign(self.table)
        parts.weigh_tokens(bag, tokens, POWER_OF_COUNTS)
        by_count = keras.ops.convert_to_numpy(bag.pooler.log_weights)
        bag.pooler.log_weights.assign(by_count + np.log(self.lengths))

    def _usable(self, phase: Phase, tokens: TokenStore) -> int:
        if phase.only_with_features:
            return self.features.num_done
        return super()._usable(phase, tokens)

    # === Time ===

    @contextlib.contextmanager
    def _timed(self, stage: str, begin: float | None = None) -> Iterator[None]:
        """Remembers the seconds of a stage, of the session that finishes it."""
        begin = time.perf_counter() if begin is None else begin
        yield
        known = self.folder.state.get("preparation", {})
        if stage not in known:
            known = {**known, stage: time.perf_counter() - begin}
            self.folder.save(preparation=known)

    def _preparation(self):
        seconds = self.folder.state["preparation"]
        tokens, read = len(self.table), self.features.num_done
        names = {
            "reading": "texts are cut into passages and tokenized",
            "vocabulary": f"the teacher reads {tokens:,} tokens alone",
            "features": f"the teacher reads {read:,} passages",
        }
        return {names[stage]: seconds[stage] for stage in names}

    def _spent(self) -> float:
        """Seconds of the stages that are finished."""
        return sum(self.folder.state.get("preparation", {}).values())

    def _seconds_to_train(self, compilation):
        minutes = 60 * self.asked["minutes"]
        measuring = time.perf_counter() - self.prepared
        left = minutes - self._spent() - measuring - compilation - FOR_THE_END
        return max(left, LEAST_TRAINING * minutes)
