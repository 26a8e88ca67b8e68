"""What watches a run from outside: checkpoints, monitors and probes."""

from keras_dinolm.callbacks.checkpoint import Checkpoint as Checkpoint
from keras_dinolm.callbacks.checkpoint import Position as Position
from keras_dinolm.callbacks.collapse_monitor import (
    CollapseMonitor as CollapseMonitor,
)
from keras_dinolm.callbacks.collapse_monitor import (
    CollapseWarning as CollapseWarning,
)
from keras_dinolm.callbacks.online_probe import OnlineProbe as OnlineProbe
from keras_dinolm.callbacks.state_file import CheckpointError as CheckpointError
