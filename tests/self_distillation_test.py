"""The fair trial: equal costs, the queue, and the tables."""

import argparse
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import self_distillation  # noqa: E402
from fair_trial import report  # noqa: E402
from fair_trial import training  # noqa: E402
from fair_trial.families import FAMILIES  # noqa: E402
from fair_trial.queue import QUEUE  # noqa: E402

import keras_dinolm as kd  # noqa: E402

pytestmark = pytest.mark.once

FAMILY = FAMILIES["tokens"]
COSTS = {
    "steps": {
        "masked_lm/0": 1.0,
        "units_500/0": 0.625,
        "units_twice/0": 0.5,
        "units_twice/1": 0.8,
    },
    "before": {
        "masked_lm/0": 0.0,
        "units_500/0": 20.0,
        "units_twice/0": 20.0,
        "units_twice/1": 40.0,
    },
}


def run(variant, seed, slots, steps=(2_000,)):
    name = f"tokens/bag/{variant}/{seed}"
    family, start, *_ = name.split("/")
    texts = {"trec": 60.0, "sst2": 70.0, "avg8": 65.0}
    return {
        "kind": "run",
        "run": name,
        "family": family,
        "start": start,
        "variant": variant,
        "seed": seed,
        "steps": list(steps),
        "scores": {"slots": slots, "last": texts, "embeddings": texts},
        "size": "nano",
        "processor_seconds": 900.0,
    }


@pytest.mark.parametrize("name", ["masked_lm", "units_500", "units_twice"])
def test_every_variant_costs_the_budget(name):
    steps = training.steps_of(FAMILY, name, COSTS)
    keys = [key for key in COSTS["steps"] if key.startswith(f"{name}/")]
    assert len(steps) == len(FAMILY.variants[name].phases) == len(keys)
    total = sum(
        COSTS["before"][key] + count * COSTS["steps"][key]
        for key, count in zip(keys, steps, strict=True)
    )
    # To half a step of each phase.
    assert total == pytest.approx(FAMILY.budget, abs=len(keys) / 2)


def test_what_costs_the_same_is_timed_once():
    names = ["masked_lm", "units_500", "units_soft", "units_twice", "ibot"]
    missing = training.missing_costs("tokens", names, COSTS)
    assert missing == ["ibot"]
    empty = {"steps": {}, "before": {}}
    missing = training.missing_costs("tokens", names, empty)
    assert missing == ["masked_lm", "units_500", "units_twice", "ibot"]


def test_the_queue_knows_its_runs_and_skips_finished_ones(tmp_path):
    for name in QUEUE:
        family, start, variant, seed = name.split("/")
        assert variant in FAMILIES[family].variants
        assert start in FAMILIES[family].starts
        assert seed.isdigit()
    args = argparse.Namespace(
        results=tmp_path / "results.jsonl", size="nano", only=["tokens/*/0"]
    )
    first = self_distillation.waiting(args, self_distillation.records(args))
    assert first == [
        name
        for name in QUEUE
        if name.startswith("tokens/") and name.endswith("/0")
    ]
    for variant, size in (("masked_lm", "nano"), ("ibot", "mini")):
        kd.files.append_json_line(
            args.results, {**run(variant, 0, 40.0), "size": size}
        )
    lines = self_distillation.records(args)
    left = self_distillation.waiting(args, lines)
    assert set(first) - set(left) == {"tokens/bag/masked_lm/0"}
    assert self_distillation.spent(lines) == pytest.approx(0.25)


def test_a_table_compares_seed_by_seed():
    lines = [
        run("masked_lm", 0, 40.0),
        run("masked_lm", 1, 44.0),
        run("ibot", 1, 45.0, [1_500]),
        run("units_twice", 0, 43.0, [1_250, 1_000]),
        run("units_twice", 1, 45.0, [1_250, 1_000]),
    ]
    (text,) = report.tables(lines).values()
    rows = {row.split(" | ")[0].strip("| "): row for row in text.split("\n")}
    masked, ibot, twice = (
        rows[FAMILY.variants[name].title].strip("| ").split(" | ")
        for name in ("masked_lm", "ibot", "units_twice")
    )
    assert masked[1] == "42.0 ± 2.8"
    assert masked[-3:] == ["", "2,000", "2"]
    # One seed: compared with the same seed of masked LM, 44.
    assert (ibot[1], ibot[-3:]) == ("45.0", ["+1.0", "1,500", "1"])
    assert twice[-3:] == ["+2.0 ± 1.4", "1,250 + 1,000", "2"]
