"""The properties of this folder on a few inputs, the same in each run.

`benchmarks/campaign.py` tries many more.
"""

import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings

from tests.properties import checkpoints
from tests.properties import constructors
from tests.properties import encoding
from tests.properties import losses
from tests.properties import presets
from tests.properties import readers
from tests.properties import schedules
from tests.properties import stores
from tests.properties import tokenizers
from tests.properties import views


def few(count):
    """So many inputs, and no others on another day."""
    return settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


# === What every backend says the same ===


@pytest.mark.once
@few(150)
@given(readers.files())
def test_every_json_line_is_a_document_or_is_counted(case):
    readers.check_jsonl(case)


@pytest.mark.once
@few(100)
@given(readers.text_files)
def test_every_line_of_text_is_a_document(case):
    readers.check_lines(case)


@pytest.mark.once
@few(50)
@given(tokenizers.cases)
def test_a_tokenizer_gives_the_same_ids_on_all_paths(case):
    tokenizers.check(case)


@pytest.mark.once
@few(30)
@given(stores.cases)
def test_a_store_is_whole_or_refused(case):
    stores.check(case)


@pytest.mark.once
@pytest.mark.filterwarnings("ignore:No view of group")
@few(100)
@given(views.cases())
def test_views_of_any_configuration(case):
    views.check(case)


@pytest.mark.once
@few(100)
@given(constructors.cases())
def test_a_bad_argument_is_named(case):
    constructors.check(case)


@pytest.mark.once
@few(80)
@given(checkpoints.cases)
def test_a_checkpoint_is_whole_or_refused(case):
    checkpoints.check(case)


@pytest.mark.once
@few(8)
@given(presets.hostile)
def test_a_hostile_preset_is_refused(case):
    presets.check_hostile(case)


# === What each backend must show ===


@few(40)
@given(losses.cases)
def test_losses_and_gradients_are_those_of_float64(case):
    losses.check(case)


@few(40)
@given(losses.edge_cases)
def test_losses_and_gradients_are_finite(case):
    losses.check_edges(case)


@few(20)
@given(losses.target_cases)
def test_targets_are_those_of_float64(case):
    losses.check_targets(case)


@few(40)
@given(schedules.cases)
def test_schedules_are_lines_and_waves(case):
    schedules.check(case)


@few(2)
@given(presets.round_trips)
def test_a_preset_gives_the_same_bits_back(case):
    presets.check_round_trip(case)


@few(6)
@given(encoding.cases)
def test_encode_does_not_depend_on_the_batch(case):
    encoding.check(case)
