"""Where the presets are that come with this package.

This module is light, so that the command line can look before it loads Keras.
"""

import pathlib

# One folder for each preset, with its model card and its licence.
FOLDER = pathlib.Path(__file__).parent / "presets"


def names() -> list[str]:
    """The names of the presets that come with this package.

    Returns:
        Sorted list of strings.
    """
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))
