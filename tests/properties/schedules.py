"""Schedules against lines and waves in float64."""

import math

import keras
import numpy as np
from hypothesis import strategies as st

import keras_dinolm as kd

_value = st.floats(0.0, 10.0)
_steps = st.integers(1, 100_000)
cases = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["Linear", "Cosine", "PiecewiseLinear"]),
        "start": _value,
        "end": _value,
        "steps": _steps,
        "begin": st.integers(0, 1_000),
        "warmup": st.integers(0, 1_000),
        "delay": st.integers(0, 1_000),
        "step": st.integers(0, 200_000),
    }
)


def check(case: dict) -> None:
    """The value at a step, plain, warmed up, and delayed; serialized too."""
    start, end = case["start"], case["end"]
    steps, begin = case["steps"], case["begin"]
    kind = getattr(kd.schedules, case["kind"])
    if case["kind"] == "PiecewiseLinear":
        schedule = kind([begin, begin + steps], [start, end])
    else:
        schedule = kind(start, end, steps=steps, begin=begin)

    def plain(step):
        share = min(max(step - begin, 0) / steps, 1.0)
        if case["kind"] == "Cosine":
            share = 0.5 - 0.5 * math.cos(math.pi * share)
        return start + (end - start) * share

    def warmed(step):
        rise = min((step + 1) / max(case["warmup"], 1), 1.0)
        return rise * plain(max(step - case["warmup"], 0))

    def delayed(step):
        return plain(step - case["delay"]) if step >= case["delay"] else 0.0

    for made, expected in (
        (schedule, plain),
        (kd.schedules.Warmup(case["warmup"], then=schedule), warmed),
        (kd.schedules.Delayed(case["delay"], then=schedule), delayed),
    ):
        value = float(keras.ops.convert_to_numpy(made(case["step"])))
        wanted = expected(case["step"])
        assert abs(value - wanted) <= 2e-5 * max(start, end, 1e-3), (
            value,
            wanted,
        )
        config = keras.saving.serialize_keras_object(made)
        again = keras.saving.deserialize_keras_object(config)
        same = float(keras.ops.convert_to_numpy(again(case["step"])))
        assert np.float32(same) == np.float32(value)
