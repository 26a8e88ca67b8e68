"""The recipes by name, and how a new one joins them."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from keras_dinolm import arguments
from keras_dinolm.models import DinoLMTokenizer
from keras_dinolm.recipes.phase import Phase

# What `pretrain` gives to every recipe; the rest are options.
GIVEN = ("tokenizer", "size", "sequence_length")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A registered recipe.

    Attributes:
        name: string.
        phases: the function that returns the list of `Phase`.
        tokenizer: callable from the recipe's options to the tokenizer that
            it needs, or `None`: then `pretrain` trains one on the corpus.
    """

    name: str
    phases: Callable[..., list[Phase]]
    tokenizer: Callable[..., DinoLMTokenizer] | None = None

    def options(self) -> dict[str, inspect.Parameter]:
        """The recipe's own arguments, by name."""
        parameters = inspect.signature(self.phases).parameters
        return {n: p for n, p in parameters.items() if n not in GIVEN}

    def check_options(self, options: dict[str, Any]) -> None:
        """Raises unless the recipe can be called with these options.

        Args:
            options: dict of name to value.

        Raises:
            ValueError: for an option that the recipe does not have, or one
                that it needs and that is missing.
        """
        known = self.options()
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(
                f"The recipe {self.name!r} has no option "
                f"{', '.join(map(repr, unknown))}. Its options are: "
                f"{', '.join(known) or 'none'}."
            )
        missing = [
            name
            for name, parameter in known.items()
            if parameter.default is parameter.empty and name not in options
        ]
        if missing:
            raise ValueError(
                f"The recipe {self.name!r} needs "
                f"{', '.join(f'`{name}=...`' for name in missing)}. See "
                f"`help(kd.recipes.{self.name})`."
            )


_RECIPES: dict[str, Recipe] = {}


def register(
    function: Callable[..., list[Phase]] | None = None,
    *,
    tokenizer: Callable[..., DinoLMTokenizer] | None = None,
) -> Callable:
    """Adds a recipe, so that `pretrain(recipe=...)` finds it by its name.

    Use it as a decorator. Registering a function again replaces the recipe of
    that name, as a notebook does when a cell runs twice.

    Args:
        function: callable `(tokenizer, size, sequence_length, **options)`
            that returns a list of `Phase`. Its name is the recipe's name;
            each further argument is an option that `pretrain` passes on.
        tokenizer: callable that takes the options and returns the tokenizer
            to use, for recipes that need a certain one, such as that of a
            teacher. By default `pretrain` trains one on the corpus.

    Returns:
        The function, unchanged.

    Raises:
        ValueError: if the function does not take what `pretrain` gives it.

    Example:

    ```python
    import keras_dinolm as kd

    @kd.recipes.register
    def short_crops(tokenizer, size="nano", sequence_length=64):
        return kd.recipes.crop_info_nce(
            tokenizer, size, sequence_length, span=(0.1, 0.2)
        )

    # pretrain(texts, "runs/mine", minutes=10, recipe="short_crops")
    ```
    """
    if function is None:
        if tokenizer is not None and not callable(tokenizer):
            arguments.refuse("tokenizer", tokenizer, "a function")
        return lambda f: register(f, tokenizer=tokenizer)
    for argument, value in (("function", function), ("tokenizer", tokenizer)):
        if value is not None and not inspect.isroutine(value):
            arguments.refuse(argument, value, "a function")
    parameters = inspect.signature(function).parameters
    missing = [name for name in GIVEN if name not in parameters]
    if missing:
        raise ValueError(
            f"A recipe must take the arguments {', '.join(GIVEN)}; "
            f"{function.__name__!r} lacks {', '.join(missing)}."
        )
    name = function.__name__
    _RECIPES[name] = Recipe(name, function, tokenizer)
    return function


def names() -> list[str]:
    """The names of all registered recipes."""
    return sorted(_RECIPES)


def get(name: str) -> Recipe:
    """The recipe of a name.

    Args:
        name: string.

    Returns:
        A `Recipe`.

    Raises:
        ValueError: if there is none of that name.
    """
    return find("name", name)


def find(argument: str, name: str) -> Recipe:
    """The recipe of a name, for an argument that is called otherwise.

    Args:
        argument: string. The argument, for the message.
        name: string.

    Returns:
        A `Recipe`.

    Raises:
        ValueError: if there is none of that name.
    """
    if not isinstance(name, str) or name not in _RECIPES:
        raise ValueError(
            f"Argument `{argument}` must be one of {', '.join(names())}, or "
            "the name of a function of yours that `kd.recipes.register` was "
            f"called with. Received: {argument}={name!r}"
        )
    return _RECIPES[name]
