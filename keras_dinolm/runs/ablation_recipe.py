"""A recipe with a change applied, and what it comes down to."""

from collections.abc import Callable

import keras

from keras_dinolm.runs import fingerprint


def apply_change(
    recipe: Callable, config: dict, name: str, change: dict | Callable
) -> tuple[Callable, dict]:
    """The recipe and the configuration of one row of the table.

    Args:
        recipe: callable `(config, seed) -> (model, make_dataset)`.
        config: dict.
        name: string. The name of the change, for the errors.
        change: dict of overrides of `config`, or callable
            `(recipe) -> recipe`.

    Returns:
        `(recipe, config)`.

    Raises:
        ValueError: for an override of what is not in `config`, or a change of
            another kind.
    """
    if isinstance(change, dict):
        unknown = sorted(set(change) - set(config))
        if unknown:
            raise ValueError(
                f"The change {name!r} overrides {unknown}, which `config` does "
                f"not have. Its keys are: {sorted(config)}. Add the missing "
                "ones with the values that the unchanged recipe has."
            )
        return recipe, {**config, **change}
    if callable(change):
        return change(recipe), dict(config)
    raise ValueError(
        "A change must be a dict of overrides of `config`, or a function that "
        f"takes the recipe and returns another. Received: {name!r}: {change!r}"
    )


def describe(model: keras.Model, make_dataset: Callable, config: dict) -> dict:
    """What training depends on, as JSON.

    It describes the model, its optimizer and the data, since a recipe may
    read much more than its configuration.

    Args:
        model: a compiled `keras.Model`.
        make_dataset: callable `(start_step) -> dataset`.
        config: dict.

    Returns:
        A nested dict.
    """
    serialize = keras.saving.serialize_keras_object
    return fingerprint.as_json(
        {
            "config": {key: serialize(value) for key, value in config.items()},
            **fingerprint.of_model(model),
            "data": fingerprint.of_data(make_dataset(0)),
        }
    )
