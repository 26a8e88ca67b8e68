"""Checks of constructor arguments that several layers share."""


def check_rate(name: str, value: float) -> float:
    """Returns `value` if it is a probability below 1, or raises an error."""
    if not 0 <= value < 1:
        raise ValueError(
            f"Argument `{name}` must be in [0, 1): the probability that "
            f"something is dropped. Received: {name}={value}"
        )
    return value


def check_positive(name: str, value: int) -> int:
    """Returns `value` if it is an integer of at least 1, or raises an error."""
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(
            f"Argument `{name}` must be an integer of at least 1. "
            f"Received: {name}={value}"
        )
    return int(value)
