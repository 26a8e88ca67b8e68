"""A start that has learned from a published encoder already."""

import dataclasses
import functools

import keras_dinolm as kd
from fair_trial.minilm import folder
from fair_trial.workshop import VOCABULARY_SIZE
from fair_trial.workshop import Workshop

# Of the student: without blocks, then with blocks.
STEPS, PASSAGES = 1_800, 20_000


@dataclasses.dataclass(frozen=True)
class DistilledWorkshop(Workshop):
    """The workshop of one student of all-MiniLM-L6-v2, the same for all seeds.

    Its tokens are those of the student's tokenizer.
    """

    @functools.cached_property
    def home(self):
        return super().home / f"distilled-{self.size}"

    @functools.cached_property
    def student(self):
        """The student, an embedder."""
        return kd.recipes.distill(
            self.corpus,
            folder(),
            self.home / "run",
            steps=STEPS,
            size=self.size,
            vocabulary="own",
            vocabulary_size=VOCABULARY_SIZE,
            max_passages=PASSAGES,
            verbose=0,
        )

    @functools.cached_property
    def tokenizer(self):
        return self.student.preprocessor.tokenizer

    def start(self, name, seed):
        return self.student.backbone


def workshop_for(workshop, start):
    """The workshop whose tokens the encoders of a start read."""
    if start != "distilled":
        return workshop
    return DistilledWorkshop(workshop.data, workshop.folder, workshop.size)
