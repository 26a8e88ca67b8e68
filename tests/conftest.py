"""What every test runs under: one backend, fixed seeds, no unlisted skip.

A test marked `once` says the same on every backend: it touches no tensor, or
what it repeats is tested on each backend elsewhere. `tests/run.py` runs such
tests in the process of one backend and deselects them in the others
(`--once=skip`). Plain `pytest` runs them on whatever backend it has.
"""

import fnmatch
import gc
import json
import os

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")

# Tests compile much and run it little: the first halves XLA's share of the
# time, the second takes a third of what is left.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false",
)

if os.environ["KERAS_BACKEND"] == "torch":
    # Before TensorFlow, which keras-hub imports: the other order can crash.
    import torch  # noqa: F401

import keras
import pytest

from tests.skips import SKIPS

BACKENDS = ("jax", "torch", "tensorflow")
SEED = 1337

# Set by `tests/run.py`: the file that receives this run's counts.
REPORT = "KERAS_DINOLM_TEST_REPORT"

counts = {
    "passed": 0,
    "failed": 0,
    "errors": 0,
    "skipped": 0,
    "deselected": 0,
    # Tests marked `once`: all that were collected, and those of them that
    # another backend's process runs.
    "once": 0,
    "elsewhere": 0,
}


def pytest_addoption(parser):
    parser.addoption(
        "--once",
        choices=("run", "skip", "only"),
        default="run",
        help="run, skip, or run nothing but the tests marked `once`",
    )


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "once: the same on every backend; one backend's process runs it",
    )


# === Each test alone ===


@pytest.fixture(autouse=True)
def _same_start_for_every_test():
    """Seeds before, and Keras' global settings back to default after."""
    keras.utils.set_random_seed(SEED)
    yield
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)


@pytest.fixture(autouse=True, scope="module")
def _same_start_for_every_file():
    """Drops names, graphs and caches; a fresh file sees a fresh session."""
    keras.backend.clear_session()
    # What is alive now stays to the end: collections pass it by from here on,
    # which else take seconds a file.
    gc.freeze()


# === Skips: the table and nothing else ===


def _entry(item):
    """The line of the table that skips this test, or `None`."""
    for skip in SKIPS:
        if skip.backend in ("*", keras.backend.backend()) and (
            fnmatch.fnmatchcase(item.nodeid, skip.test)
        ):
            return skip
    return None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config, items):
    # Before `-m` and `-k` take tests away, so that no entry seems unused.
    _apply_skips(config, items)
    yield
    # And after them: what they took away runs nowhere, not elsewhere.
    _apply_once(config, items)


def _apply_skips(config, items):
    used = set()
    for item in items:
        skip = _entry(item)
        if skip:
            used.add(skip)
            item.add_marker(pytest.mark.skip(reason=skip.reason))
    whole_suite = config.args_source != config.ArgsSource.ARGS
    for skip in SKIPS:
        if skip.backend not in ("*", *BACKENDS):
            raise pytest.UsageError(
                f"tests/skips.py: `backend` must be '*' or one of {BACKENDS}. "
                f"Received: {skip}"
            )
        here = skip.backend in ("*", keras.backend.backend())
        if whole_suite and here and skip not in used:
            raise pytest.UsageError(
                "tests/skips.py: an entry matches no test (or one before it "
                f"takes all). Remove it. Received: {skip}"
            )


def _fail(report, what):
    report.outcome = "failed"
    report.longrepr = (
        f"{report.nodeid}: {what}. Tests are skipped by a line of "
        f"tests/skips.py alone. It said: {report.longrepr}"
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if hasattr(report, "wasxfail"):
        del report.wasxfail
        _fail(report, "xfail is not used here")
    elif report.skipped and _entry(item) is None:
        _fail(report, "skipped without being listed")
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector):
    report = yield
    if report.skipped:
        _fail(report, "whole file skipped without being listed")
    return report


# === Tests that one backend runs for all ===


def _apply_once(config, items):
    once = [item for item in items if item.get_closest_marker("once")]
    counts["once"] += len(once)
    mode = config.getoption("once")
    rest = [item for item in items if not item.get_closest_marker("once")]
    left, elsewhere = {
        "run": (list(items), []),
        "skip": (rest, once),
        "only": (once, rest),
    }[mode]
    counts["elsewhere"] += len(elsewhere)
    if elsewhere:
        # The terminal counts them as deselected; our own table does not.
        counts["deselected"] -= len(elsewhere)
        config.hook.pytest_deselected(items=elsewhere)
    items[:] = left


# === Counts, for `tests/run.py` ===


def pytest_runtest_logreport(report):
    if report.failed:
        counts["failed" if report.when == "call" else "errors"] += 1
    elif report.skipped:
        counts["skipped"] += 1
    elif report.when == "call":
        counts["passed"] += 1


def pytest_collectreport(report):
    counts["errors"] += report.failed


def pytest_deselected(items):
    counts["deselected"] += len(items)


def pytest_sessionfinish(session):
    if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        # All that there is runs elsewhere: nothing is wrong.
        if counts["elsewhere"]:
            session.exitstatus = pytest.ExitCode.OK
    path = os.environ.get(REPORT)
    if path:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(counts, file)
