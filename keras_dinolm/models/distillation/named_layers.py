"""Layers that are saved by their names, not by their order."""

from collections.abc import Iterator

import keras


class NamedLayers(keras.layers.Layer):
    """A read-only dict of layers, each saved under its name.

    Keras saves the layers of a list or a dict by class and position. Two of
    one class would change places in silence when a file is loaded into a
    model that lists them in another order. It saves attributes by name, so
    here each layer is an attribute. Optimizers save what they know of each
    variable by position, so the order of the variables is that of the names,
    too, whatever order the dict has.

    Args:
        layers: dict of name to layer.
        what: string. What the layers are, for errors.
    """

    def __init__(
        self, layers: dict[str, keras.layers.Layer], what: str
    ) -> None:
        super().__init__(name=what)
        self.names = tuple(layers)
        for name, layer in sorted(layers.items()):
            if hasattr(self, name) or not name.isidentifier():
                raise ValueError(
                    f"{what} are saved by name, which must be a Python "
                    "identifier and no attribute of a Keras layer. Pass "
                    f"another `name=`. Received: name={name!r}"
                )
            setattr(self, name, layer)
        self.built = True

    def __getitem__(self, name: str) -> keras.layers.Layer:
        if name not in self.names:
            raise KeyError(
                f"There is no {name!r} among the {self.name}: "
                f"{list(self.names)}"
            )
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def values(self) -> list[keras.layers.Layer]:
        return [getattr(self, name) for name in self.names]

    def items(self) -> list[tuple[str, keras.layers.Layer]]:
        return [(name, getattr(self, name)) for name in self.names]
