"""A trained backbone whose rotary positions are made for longer texts."""

from keras_dinolm import arguments
from keras_dinolm.models.encoder.backbone import DinoLMBackbone

ROPE = ("ntk", "interpolation", "extrapolation")


def extend_context(
    backbone: DinoLMBackbone,
    factor: float,
    rope: str = "ntk",
    position_jitter: float | None = None,
) -> DinoLMBackbone:
    """Makes a backbone for texts that are `factor` times as long.

    In texts longer than those of its training, an encoder meets angles
    between far tokens that it has never seen. Rescaling brings them into the
    range that it knows:

    - `"interpolation"` divides all positions by `factor`. Neighbours also
      come closer than they ever were in training.
    - `"ntk"` stretches the longest period by `factor` and the others by less,
      the shortest not at all, so that neighbours stay where they were: with d
      the size of a head, `max_wavelength` is multiplied by
      `factor ** (d / (d - 2))`.
    - `"extrapolation"` leaves the angles as they are.

    The weights stay as they are. Features are good after a little training
    at the new lengths, see `LongContextAdaptation`.

    Args:
        backbone: `DinoLMBackbone`.
        factor: number, at least 1.
        rope: `"ntk"`, `"interpolation"` or `"extrapolation"`.
        position_jitter: float, see `kd.layers.RotaryTables`. `None` keeps the
            backbone's own.

    Returns:
        A new `DinoLMBackbone` with equal weights.

    Raises:
        ValueError: if an argument is out of range, or the backbone is of a
            class with learned positions.

    Example:

    ```python
    import keras_dinolm as kd

    backbone = kd.models.DinoLMBackbone.from_size("nano", 1_000)
    longer = kd.models.extend_context(backbone, factor=4)
    longer.max_wavelength  # 41827.1
    ```

    References:
        - [Position Interpolation](https://arxiv.org/abs/2306.15595)
        - [YaRN](https://arxiv.org/abs/2309.00071) (NTK-aware interpolation)
    """
    arguments.instance(
        "backbone",
        backbone,
        DinoLMBackbone,
        "a `DinoLMBackbone`; keras-hub's encoders have learned positions, and "
        "none beyond their `max_sequence_length`",
    )
    factor = arguments.number(
        "factor",
        factor,
        1,
        meaning="how many times as long the texts become",
    )
    arguments.choice("rope", rope, ROPE)
    config = backbone.get_config()
    if rope == "ntk":
        dim = backbone.hidden_dim // backbone.num_heads
        if dim == 2:
            raise ValueError(
                "rope='ntk' stretches all periods except the shortest, and a "
                "head of two features has only one. Use rope='interpolation'. "
                f"Received: hidden_dim={backbone.hidden_dim}, "
                f"num_heads={backbone.num_heads}"
            )
        config["max_wavelength"] *= factor ** (dim / (dim - 2))
    elif rope == "interpolation":
        config["scaling_factor"] *= factor
    if position_jitter is not None:
        config["position_jitter"] = position_jitter
    # The copy of a frozen teacher is trainable, as all copies are.
    config["trainable"] = True
    longer = type(backbone).from_config(config)
    longer.set_weights(backbone.get_weights())
    return longer
