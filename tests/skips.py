"""The one table of tests that are skipped.

`tests/conftest.py` skips what stands here, and fails any other skip or
expected failure, wherever it comes from (marker, `pytest.skip`,
`importorskip`). An entry that matches no test fails the whole run too: when a
reason is gone, its line goes.
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
        "jax",
        "tests/models/dino_lm_test.py::test_trains_in_mixed_precision"
        "[[]mixed_float16]",
        "XLA on a CPU has no float16 product with a float32 sum",
    ),
    Skip(
        "jax",
        "tests/models/multi_student_distillation_test.py"
        "::test_eager_in_half_precision_each_does_what_it_does_alone",
        "a minute op by op; compiled runs beside it compare the same",
    ),
    *(
        Skip(
            backend,
            "tests/evaluation/mteb_test.py::*",
            "mteb brings torch, and is the same on every backend",
        )
        for backend in ("jax", "tensorflow")
    ),
    *(
        Skip(
            backend,
            f"tests/examples_test.py::{test}",
            "CI's time; what the script calls is tested on each backend",
        )
        for backend in ("jax", "tensorflow")
        for test in (
            "test_curate_finds_what_it_planted",
            "test_ablate_writes_its_table",
            "test_all_objectives_report_their_terms",
            "test_continue_pretraining_measures_and_leaves_a_preset",
            "test_pictures_of_a_preset_with_heads",
        )
    ),
)
