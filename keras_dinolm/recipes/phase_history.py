"""What is known of a phase once it is over."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class PhaseHistory:
    """How a phase went.

    Attributes:
        name: string, of the phase.
        first_step: int. Steps of the run before the phase.
        steps: int. Steps of the phase.
        steps_per_epoch: int. Steps between two rows of `logs`.
        batch_size: int.
        objectives: tuple of strings. The names of its losses in `logs`.
        logs: dict of name to a value for each epoch, NaN where there is none.
        seconds: float. Of training, over all sessions.
        found: tuple of strings, the failures that `CollapseMonitor` named.
        warnings: tuple of strings, what it said.
    """

    name: str
    first_step: int
    steps: int
    steps_per_epoch: int
    batch_size: int
    objectives: tuple[str, ...]
    logs: dict[str, list[float]]
    seconds: float
    found: tuple[str, ...]
    warnings: tuple[str, ...]

    def ends(self) -> list[int]:
        """The step of the run at the end of each epoch."""
        count = max((len(values) for values in self.logs.values()), default=0)
        return [
            self.first_step + min((i + 1) * self.steps_per_epoch, self.steps)
            for i in range(count)
        ]

    def last(self, name: str) -> float:
        """The last value of a log that is a number, else NaN.

        Args:
            name: string.

        Returns:
            A float.
        """
        known = [v for v in self.logs.get(name, []) if not math.isnan(v)]
        return known[-1] if known else math.nan
