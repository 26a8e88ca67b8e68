"""The one table of tests that are skipped.

`tests/conftest.py` skips the tests listed here. It fails every other skip or
expected failure, wherever it comes from (marker, `pytest.skip`,
`importorskip`). An entry that matches no test fails the whole run as well, so
remove an entry when its reason is gone.

A test that says the same on every backend needs no entry: mark it `once`.
"""

from typing import NamedTuple


class Skip(NamedTuple):
    backend: str  # "jax", "torch", "tensorflow", or "*" for all three
    test: str  # glob over test ids: "tests/losses/gram_test.py::test_x[[]a*"
    reason: str


SKIPS: tuple[Skip, ...] = (
    Skip(
        "tensorflow",
        "tests/package_test.py::test_every_room_loads_without_tensorflow",
        "the backend itself cannot be missing",
    ),
    Skip(
        "tensorflow",
        "tests/without_tensorflow_test.py::*",
        "CI's time; jax writes here too, and presets are read across backends",
    ),
    *(
        Skip(
            "jax",
            f"tests/{test}",
            "a minute op by op; compiled runs beside it compare the same",
        )
        for test in (
            "models/distillation_test.py"
            "::test_eager_in_half_precision_each_does_what_it_does_alone",
            "views/agreement_test.py::test_device_agrees_with_numpy",
        )
    ),
)
