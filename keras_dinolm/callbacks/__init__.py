"""What watches training from outside: monitors and probes."""

from keras_dinolm.callbacks.collapse_monitor import (
    CollapseMonitor as CollapseMonitor,
)
from keras_dinolm.callbacks.collapse_monitor import (
    CollapseWarning as CollapseWarning,
)
from keras_dinolm.callbacks.online_probe import OnlineProbe as OnlineProbe
