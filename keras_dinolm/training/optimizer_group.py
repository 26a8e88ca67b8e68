"""Several optimizers in the place of one."""

from typing import Any

import keras


class OptimizerGroup(keras.optimizers.Optimizer):
    """Answers for the optimizers of several learners that train in one run.

    Keras' `fit`, checkpoints and callbacks ask a model for its optimizer. A
    model with several learners, each with an optimizer of its own, gives them
    this. It applies no gradients; the training step does so by each learner's
    optimizer.

    `learning_rate` reads that of the first; setting it sets all.

    Args:
        optimizers: dict of learner to its optimizer, which is saved under the
            learner's name.
    """

    def __init__(self, optimizers: dict) -> None:
        super().__init__(learning_rate=0.0, name="optimizer_group")
        self._names = list(optimizers)
        for name, optimizer in optimizers.items():
            # An attribute, which Keras saves by its name.
            setattr(self, f"optimizer_of_{name}", optimizer)
        self.gradient_accumulation_steps = [
            o.gradient_accumulation_steps for o in self.optimizers().values()
        ]
        self.built = True

    def optimizers(self) -> dict:
        """The optimizer of each learner."""
        return {
            name: getattr(self, f"optimizer_of_{name}") for name in self._names
        }

    @property
    def variables(self) -> list:
        return [v for o in self.optimizers().values() for v in o.variables]

    @property
    def iterations(self) -> keras.Variable:
        return next(iter(self.optimizers().values())).iterations

    @property
    def learning_rate(self) -> Any:
        return next(iter(self.optimizers().values())).learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        for optimizer in self.optimizers().values():
            optimizer.learning_rate = learning_rate

    def build(self, variables: list) -> None:
        """Does nothing: the learners have built their optimizers."""

    def finalize_variable_values(self, var_list: list) -> None:
        """Does nothing: each learner's weights are what they are."""

    def save_own_variables(self, store: dict) -> None:
        """Does nothing: each optimizer is saved by itself."""

    def load_own_variables(self, store: dict) -> None:
        """Does nothing, likewise."""
