"""What watches training from outside: monitors and probes."""

from keras_dinolm.callbacks.collapse_monitor import CollapseMonitor
from keras_dinolm.callbacks.collapse_monitor import CollapseWarning
from keras_dinolm.callbacks.online_probe import OnlineProbe

__all__ = [
    "CollapseMonitor",
    "CollapseWarning",
    "OnlineProbe",
]
