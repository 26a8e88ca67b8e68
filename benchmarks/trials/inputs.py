"""Random inputs from the strategies of the property tests, many of them."""

import collections
import dataclasses
import importlib
import traceback

import hypothesis


@dataclasses.dataclass(frozen=True)
class Area:
    """A property, and the inputs that try it.

    Attributes:
        name: string.
        module: string, of `tests.properties`.
        cases: string. The name of a strategy there, or of what returns one.
        check: string. The name of a function there. It returns how many inputs
            a case has, or `None` for one.
        share: float. How many inputs it gets compared with others.
        chunk: int. Cases that one child tries.
    """

    name: str
    module: str
    cases: str = "cases"
    check: str = "check"
    share: float = 1.0
    chunk: int = 500


AREAS = {
    area.name: area
    for area in (
        Area("readers", "readers", "files", "check_jsonl", share=4),
        Area("text lines", "readers", "text_files", "check_lines", share=2),
        Area("tokenizer", "tokenizers", share=10, chunk=400),
        Area("stores", "stores", share=3, chunk=300),
        Area("views", "views", share=4),
        Area("views in tf.data", "views", "pipeline_cases", "check_pipeline",
             share=2),
        Area("losses", "losses", share=4),
        Area("losses at the edge", "losses", "edge_cases", "check_edges",
             share=1),
        Area("targets", "losses", "target_cases", "check_targets", share=1),
        Area("schedules", "schedules", share=1),
        Area("constructors", "constructors", share=3),
        Area("presets", "presets", "round_trips", "check_round_trip",
             share=0.05, chunk=20),
        Area("hostile presets", "presets", "hostile", "check_hostile",
             share=0.3, chunk=100),
        Area("checkpoints", "checkpoints", share=2),
        Area("encode", "encoding", share=2, chunk=100),
    )
}  # fmt: skip


def try_chunk(area: Area, seed: int, count: int) -> dict:
    """Tries cases of an area; the same seed tries the same ones.

    Returns:
        Dict of `inputs`, `seconds` of nothing but the cases, and `failures`:
        a list of strings, each with the smallest case.
    """
    module = importlib.import_module(f"tests.properties.{area.module}")
    cases, check = getattr(module, area.cases), getattr(module, area.check)
    if not isinstance(cases, hypothesis.strategies.SearchStrategy):
        cases = cases()
    counts = collections.Counter()

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        print_blob=False,
    )
    @hypothesis.given(cases)
    def attempt(case):
        counts["inputs"] += 1
        inputs = check(case)
        if inputs is not None:
            counts["inputs"] += inputs - 1

    failures = []
    try:
        attempt()
    except BaseExceptionGroup as group:
        failures = [_told(error) for error in group.exceptions]
    except Exception as error:
        failures = [_told(error)]
    return {"inputs": counts["inputs"], "failures": failures}


def _told(error):
    """The error, where it was raised, and the smallest case."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{frame.filename.split('site-packages/')[-1]}:{frame.lineno}"
    notes = "\n".join(getattr(error, "__notes__", ()))
    text = f"{type(error).__name__} at {place}: {str(error)[:600]}"
    return f"{text}\n{notes[:1500]}".rstrip()
