"""Several optimizers in the place of one."""

import keras


class OptimizerGroup(keras.optimizers.Optimizer):
    """Answers for the optimizers of several models that train in one run.

    Keras' `fit`, checkpoints and callbacks ask a model for its optimizer. A
    model made of models, each with an optimizer of its own, gives them this.
    It applies no gradients; `train_each` has each model's optimizer do so.

    `learning_rate` reads that of the first; setting it sets all.

    Args:
        models: list of compiled models.
    """

    def __init__(self, models):
        super().__init__(learning_rate=0.0, name="optimizer_group")
        # A function, lest Keras save models as a part of their optimizer.
        self._models = lambda: models
        self.gradient_accumulation_steps = [
            o.gradient_accumulation_steps for o in self._optimizers()
        ]
        self.built = True

    def _optimizers(self):
        return [model.optimizer for model in self._models()]

    @property
    def variables(self):
        return [v for o in self._optimizers() for v in o.variables]

    @property
    def iterations(self):
        return self._optimizers()[0].iterations

    @property
    def learning_rate(self):
        return self._optimizers()[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        for optimizer in self._optimizers():
            optimizer.learning_rate = learning_rate

    def build(self, variables):
        """Does nothing: the models have built their optimizers."""

    def finalize_variable_values(self, var_list):
        """At the end of a `fit`, as Keras asks for it."""
        for model in self._models():
            model.optimizer.finalize_variable_values(model.trainable_variables)

    def save_own_variables(self, store):
        """Does nothing: each model saves its optimizer."""

    def load_own_variables(self, store):
        """Does nothing, likewise."""
