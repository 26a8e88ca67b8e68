"""Names for the types that signatures share."""

import os
from typing import Any
from typing import TypeAlias

# A tensor of the active backend, or what turns into one. Backends have no
# type in common.
Tensor: TypeAlias = Any
Path: TypeAlias = str | os.PathLike
