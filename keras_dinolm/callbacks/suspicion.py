"""A sign of collapse, and whether it lasts."""

import dataclasses


@dataclasses.dataclass
class Suspicion:
    """A sign of failure, and since when it has not got better.

    Attributes:
        step: int. When it was last better, at first that of the first sign.
        health: float. What was measured at that step.
        saved_step: int. Where the run can go back to.
        first_step: int. When the first sign was seen.
        first_health: float. What was measured at that step.
    """

    step: int
    health: float
    saved_step: int
    first_step: int
    first_health: float

    @classmethod
    def begin(cls, step: int, health: float, saved_step: int) -> "Suspicion":
        """Notes the first sign.

        Args:
            step: int. Now.
            health: float. What is measured now.
            saved_step: int. Where the run can go back to.

        Returns:
            `Suspicion`.
        """
        return cls(step, health, saved_step, step, health)

    def look_again(self, step: int, health: float, limit: float) -> None:
        """Notes whether it has got better.

        Args:
            step: int. Now.
            health: float. What is measured now.
            limit: float. The health below which the failure is suspected.
        """
        if health > max(1.1 * self.health, 0.1 * limit):
            self.step, self.health = step, health
        elif health <= self.first_health:
            # It was better for a while and is back where it began, which
            # counts as never better.
            self.step, self.health = self.first_step, self.first_health
