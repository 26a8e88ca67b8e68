"""The ways in which self-distillation collapses, and how each is seen."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Reading:
    """What was measured at one place at one moment.

    A place is a student, whose features may collapse, or a distillation
    objective, whose assignments may.

    Attributes:
        values: dict of metric to float, of what was measured.
        dim: int. Width of the student's features.
        num_prototypes: int. K of the objective, or `None` for a student.
        excess: dict of the student's distillation objectives to
            `(loss - ln K, K)`.
    """

    values: dict[str, float]
    dim: int
    num_prototypes: int | None = None
    excess: dict[str, tuple[float, int]] = dataclasses.field(
        default_factory=dict
    )

    @property
    def ln_k(self) -> float:
        """ln K, the entropy of an assignment to all prototypes alike."""
        if self.num_prototypes is None:
            raise ValueError("A student has no K; its objectives have one.")
        return math.log(self.num_prototypes)

    @property
    def entropy(self) -> float | None:
        """Mean entropy of the teacher's assignments as a share of ln K."""
        entropy = self.values.get("teacher_entropy")
        return None if entropy is None else entropy / self.ln_k


class Failure:
    """One way to collapse.

    `health` falls to 0 as the failure comes; below `limit` it is suspected.

    Args:
        limit: float.
    """

    name = ""
    advice = ""
    # The kind of place that it happens at: a student's "features", or the
    # "assignments" of an objective.
    place = "assignments"
    # The metrics to show in a message.
    shows: tuple[str, ...] = ()
    # Failures that show the same signs. Where one of them is suspected, this
    # one is not.
    follows_from: tuple[type, ...] = ()

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def health(self, reading: Reading) -> float | None:
        """Measures how far away the failure is.

        Args:
            reading: `Reading`.

        Returns:
            A float, 0 for the failure itself; `None` if it was not measured.
        """
        raise NotImplementedError

    def meaning(self, reading: Reading) -> str:
        """Says in words what is wrong.

        Args:
            reading: `Reading` of the failure.

        Returns:
            A string.
        """
        raise NotImplementedError


class ConstantFeatures(Failure):
    name = "constant features"
    place = "features"
    shows = ("feature_std", "mean_cosine")
    advice = (
        "Lower the learning rate or warm it up for longer, raise the teacher's "
        "momentum, lower the teacher's temperature, use `Sinkhorn` targets, "
        "or add `InfoNCE` or `KoLeo`, which push texts apart"
    )

    def health(self, reading: Reading) -> float | None:
        return reading.values.get("feature_std")

    def meaning(self, reading: Reading) -> str:
        text = "every text gets the same feature"
        stuck = [
            f"{name} = ln K {excess:+.4f} (ln K = {math.log(k):.4f}, K = {k})"
            for name, (excess, k) in reading.excess.items()
            if abs(excess) < 0.02 * math.log(k)
        ]
        if stuck:
            text += (
                ". A constant feature gives a loss of exactly ln K: nothing "
                "better than every prototype alike can be predicted. Here: "
                + ", ".join(stuck)
            )
        return text


class OnePrototype(Failure):
    name = "one prototype"
    shows = ("prototype_perplexity", "teacher_entropy")
    advice = (
        "Use `Sinkhorn` targets, or `Centering` with a lower momentum so that "
        "the center follows; raise the teacher's temperature; lower the "
        "learning rate"
    )

    def health(self, reading: Reading) -> float | None:
        perplexity = reading.values.get("prototype_perplexity")
        if perplexity is None or reading.entropy is None:
            return None
        # The student's softmax keeps a tail over the others, so its
        # perplexity alone does not get to 1.
        used = math.log(max(perplexity, 1.0)) / reading.ln_k
        return max(reading.entropy, used)

    def meaning(self, reading: Reading) -> str:
        return (
            "the teacher gives all texts to one prototype or a few, and the "
            "student follows; the loss is low and says little"
        )


class UniformAssignment(Failure):
    name = "uniform assignment"
    shows = ("teacher_entropy", "student_entropy")
    follows_from = (ConstantFeatures,)
    advice = (
        "Lower the teacher's temperature (0.04 to 0.07 is usual), keep it "
        "below the student's, shorten its warm-up; with few texts a batch, "
        "use fewer prototypes"
    )

    def health(self, reading: Reading) -> float | None:
        return None if reading.entropy is None else 1.0 - reading.entropy

    def meaning(self, reading: Reading) -> str:
        return (
            "the teacher spreads every text over all prototypes alike "
            f"(ln K = {reading.ln_k:.4f}), so there is nothing to predict "
            "although the features differ"
        )


class ConstantAssignment(Failure):
    name = "constant assignment"
    shows = ("prototype_perplexity", "student_entropy", "teacher_entropy")
    follows_from = (ConstantFeatures, OnePrototype, UniformAssignment)
    advice = (
        "Use `Sinkhorn` targets, or `Centering` with a teacher's temperature "
        "below the student's: one without the other does not suffice"
    )

    def health(self, reading: Reading) -> float | None:
        perplexity = reading.values.get("prototype_perplexity")
        entropy = reading.values.get("student_entropy")
        if perplexity is None or entropy is None:
            return None
        # Mutual information of text and prototype: how much wider all texts
        # spread together than each alone.
        information = math.log(max(perplexity, 1.0)) - entropy
        return max(information, 0.0) / reading.ln_k

    def meaning(self, reading: Reading) -> str:
        return (
            "every text gets the same assignment, of many prototypes but not "
            "of all alike; the student knows it by heart, and nothing in it "
            "tells of the text"
        )


class DimensionalCollapse(Failure):
    name = "dimensional collapse"
    place = "features"
    shows = ("rankme", "feature_std")
    follows_from = (ConstantFeatures,)
    advice = (
        "Add `KoLeo` or raise its weight, add `InfoNCE`, use larger batches, "
        "more prototypes, or a wider bottleneck; lower the weight decay"
    )

    def health(self, reading: Reading) -> float | None:
        rankme = reading.values.get("rankme")
        if rankme is None:
            return None
        return math.log(max(rankme, 1.0)) / math.log(max(reading.dim, 2))

    def meaning(self, reading: Reading) -> str:
        return (
            "the features differ, but along very few of their "
            f"{reading.dim} dimensions"
        )
