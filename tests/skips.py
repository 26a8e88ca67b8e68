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
        "tensorflow",
        "tests/without_tensorflow_test.py::*",
        "CI's time; jax writes here too, and presets are read across backends",
    ),
    Skip(
        "tensorflow",
        "tests/examples_test.py::test_search_finds_a_document_by_its_own_words",
        "CI's time; README runs it on jax, where it is tested",
    ),
    Skip(
        "jax",
        "tests/quality_test.py::test_a_run_trains_measures_and_goes_on",
        "CI's time; it repeats `fit`, which is tested on each backend",
    ),
    Skip(
        "jax",
        "tests/models/dino_lm_test.py::test_trains_in_mixed_precision"
        "[[]mixed_float16]",
        "XLA on a CPU has no float16 product with a float32 sum",
    ),
    *(
        Skip(
            "jax",
            f"tests/{test}",
            "a minute op by op; compiled runs beside it compare the same",
        )
        for test in (
            "models/multi_student_distillation_test.py"
            "::test_eager_in_half_precision_each_does_what_it_does_alone",
            "models/multi_teacher_distillation_test.py"
            "::test_a_step_is_the_weighted_mean_of_the_steps_of_each[[]True]",
            "views/agreement_test.py::test_device_agrees_with_numpy",
        )
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
        Skip(backend, test, "no tensor in it: the same on every backend")
        for backend in ("jax", "tensorflow")
        for test in (
            "tests/curation/*",
            "tests/package_test.py::test_ruff_finds_nothing",
            "tests/data/corpus_test.py::*",
            "tests/data/ppmi_embeddings_test.py::*",
            "tests/data/token_store_test.py::*",
            "tests/data/view_dataset_test.py"
            "::test_without_tensorflow_the_batches_are_the_same",
            "tests/examples_test.py"
            "::test_without_a_preset_they_say_how_to_make_one*",
        )
    ),
    *(
        Skip(
            backend,
            f"tests/{test}",
            "CI's time; it repeats `fit`, which is tested on each backend",
        )
        for backend in ("jax", "tensorflow")
        for test in (
            "docstrings_test.py::test_example_runs"
            "[[]keras_dinolm.runs.ablation.Ablation]",
            "training/ablation_test.py::test_stopped_anywhere_*",
            "training/ablation_test.py::test_finished_runs_are_not_repeated_*",
            "training/ablation_test.py::test_a_change_may_be_a_function",
            "training/ablation_test.py::test_a_run_that_breaks_is_a_result",
            "training/ablation_test.py::test_one_that_breaks_before_*",
            "training/ablation_test.py::test_what_was_found_before_*",
        )
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
            "test_pretrain_refuses_a_feature_that_is_the_same_for_all",
            "test_classify_learns_and_saves",
        )
    ),
)
