"""Bad values of every argument of the public API, refused by its name."""

import importlib
import inspect
import re
import warnings

import pytest

import keras_dinolm as kd
from tests.argument_table import CASES
from tests.argument_table import EXEMPT
from tests.argument_table import EXEMPT_CALLABLES
from tests.argument_table import World

# The same on every backend: nothing here is computed.
pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("arguments"))


def _kind(entry):
    return entry if isinstance(entry, tuple) else (entry, {})


def _problem(case, argument, value, arguments):
    """What is wrong with the way that a bad value is refused, or `None`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case.function(**arguments)
    except ValueError as error:
        said = str(error)
        if re.search(rf"`{argument}[`\[]", said) or re.search(
            rf"\b{argument}\b\S*=", said
        ):
            return None
        return f"does not name it: {said[:150]!r}"
    except BaseException as error:  # noqa: BLE001
        return f"{type(error).__name__}: {str(error)[:150]!r}"
    return "accepted"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_values_are_refused_by_name(case, world):
    wrong = []
    for argument, entry in case.kinds.items():
        kind, others = _kind(entry)
        for value in kind.bad:
            arguments = {**case.good(world), **others, argument: value}
            problem = _problem(case, argument, value, arguments)
            if problem:
                shown = repr(value)[:60].replace("\n", "")
                wrong.append(f"{argument}={shown}: {problem}")
    assert not wrong, "\n".join([case.name, *wrong])


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.calls_good],
    ids=lambda case: case.name,
)
def test_good_values_are_taken(case, world):
    case.function(**case.good(world))
    for argument, entry in case.kinds.items():
        kind, others = _kind(entry)
        for value in kind.good:
            case.function(**{**case.good(world), **others, argument: value})


def _public():
    """Yields `(name, callable)` of everything that rooms export."""
    for room, module in kd._ROOMS.items():
        names = importlib.import_module(module).__all__
        for name in names:
            value = getattr(getattr(kd, room), name)
            if callable(value):
                yield f"{room}.{name}", value


def test_the_table_has_every_argument_of_every_public_callable():
    table = {case.name: case for case in CASES}
    missing = []
    for name, value in _public():
        if name in EXEMPT_CALLABLES:
            continue
        if name not in table:
            missing.append(name)
            continue
        for argument in inspect.signature(value).parameters:
            known = argument in table[name].kinds
            exempt = {(name, argument), ("*", argument)} & set(EXEMPT)
            if not known and not exempt:
                missing.append(f"{name}({argument})")
    assert not missing


def test_the_table_has_nothing_that_is_not_public():
    public = dict(_public())
    assert set(EXEMPT_CALLABLES) <= set(public)
    for case in CASES:
        found = public.get(case.name)
        if found is None:  # a method
            assert case.name.rpartition(".")[0] in public, case.name
            continue
        parameters = inspect.signature(found).parameters
        if "kwargs" not in parameters:
            assert set(case.kinds) <= set(parameters), case.name
