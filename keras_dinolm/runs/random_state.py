"""Randomness that is not a variable of the model.

Keras keeps the state of its random layers in variables, with one exception:
under torch, `Dropout` without a seed draws from torch's own generator.
"""

import random

import keras
import numpy as np

from keras_dinolm.runs.state_file import CheckpointError


def read():
    """The state of the generators of Python, NumPy and the backend.

    Returns:
        List of `(name, array)`.
    """
    version, internal, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state()
    state = [
        ("python", np.array([version, *internal], "uint64")),
        ("python_gauss", _optional(gauss)),
        ("numpy", np.append(keys, [position, has_gauss]).astype("uint32")),
        ("numpy_gauss", np.array([cached])),
    ]
    if keras.backend.backend() == "torch":
        import torch

        state.append(("torch", torch.get_rng_state().numpy()))
        if torch.cuda.is_available():
            for index, device in enumerate(torch.cuda.get_rng_state_all()):
                state.append((f"torch_cuda_{index}", device.numpy()))
    return state


def check(state):
    """Raises unless a state is one that `write` can put back.

    Args:
        state: list of `(name, array)`, from a file.

    Raises:
        CheckpointError: naming what does not fit.
    """
    state = dict(state)
    for name, now in read():
        if name.startswith("torch_cuda_"):
            continue  # a machine may have fewer devices
        then = state.get(name)
        if (
            then is None
            or then.dtype != now.dtype
            or (then.shape != now.shape and name != "python_gauss")
            or then.size > now.size + 1
        ):
            raise CheckpointError(
                f"The random state {name!r} must have shape {now.shape} and "
                f"dtype {now.dtype}. Received: "
                f"{None if then is None else (then.shape, str(then.dtype))}. "
                "Move the checkpoint away to resume from an earlier one."
            )
    before = read()
    try:
        write(list(state.items()))
    except (IndexError, OverflowError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"The random state cannot be restored ({error}). Move the "
            "checkpoint away to resume from an earlier one."
        ) from None
    finally:
        write(before)


def write(state):
    """Puts back what `read` returned."""
    state = dict(state)
    version, *internal = state["python"].tolist()
    gauss = state["python_gauss"].tolist()
    random.setstate((version, tuple(internal), gauss[0] if gauss else None))
    *keys, position, has_gauss = state["numpy"].tolist()
    np.random.set_state(
        (
            "MT19937",
            np.array(keys, "uint32"),
            position,
            has_gauss,
            float(state["numpy_gauss"][0]),
        )
    )
    if keras.backend.backend() == "torch":
        import torch

        torch.set_rng_state(torch.tensor(state["torch"]))
        if torch.cuda.is_available():
            torch.cuda.set_rng_state_all(
                [
                    torch.tensor(array)
                    for name, array in state.items()
                    if name.startswith("torch_cuda_")
                ]
            )


def _optional(value):
    return np.array([] if value is None else [value], "float64")
