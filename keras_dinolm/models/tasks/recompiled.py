"""Tasks of keras-hub that are compiled again when they are loaded."""

from typing import Any

import keras


class Recompiled:
    """Mixin for keras-hub tasks: `keras.saving.load_model` compiles them.

    keras-hub's tasks have a `compile` of their own. Keras does not dare to
    call it, and warns each time. The optimizer of a task that was trained is
    loaded as well, so that training can continue.
    """

    def get_compile_config(self) -> dict[str, Any]:
        """What the task was compiled with.

        Returns:
            A dict, empty if it was not compiled.
        """
        task: Any = super()
        config = task.get_compile_config()
        if config:
            optimizer = getattr(self, "optimizer", None)
            built = optimizer is not None and optimizer.built
            config = {**config, "optimizer_is_built": built}
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles the task as it was compiled when it was saved.

        Args:
            config: what `get_compile_config` returned.
        """
        config = dict(config)
        built = config.pop("optimizer_is_built", True)
        task: Any = self
        task.compile(**keras.saving.deserialize_keras_object(config))
        if built and task.optimizer is not None:
            task.optimizer.build(task.trainable_variables)
