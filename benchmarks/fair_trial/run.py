"""One run of the trial: train by steps, then measure."""

import time

import keras

from fair_trial.distilled import workshop_for
from fair_trial.families import FAMILIES
from fair_trial.training import costs_of
from fair_trial.training import steps_of
from fair_trial.training import train
from keras_dinolm import files


def run(workshop, name, lines):
    """Trains and measures; called again, it continues.

    Args:
        workshop: `Workshop`.
        name: string, `family/start/variant/seed`.
        lines: list of dicts, the results so far, for the costs.

    Returns:
        A dict, of which `earlier_seconds` were spent before an interruption.
    """
    family_name, start_name, variant, seed = name.split("/")
    family, seed = FAMILIES[family_name], int(seed)
    folder = run_folder(workshop, name)
    clock = Clock(folder / "spent.json")
    workshop = workshop_for(workshop, start_name)
    start = workshop.start(start_name, seed)
    steps = steps_of(family, variant, costs_of(lines, family_name))
    begin = time.process_time()
    backbone, logs = train(
        workshop,
        family,
        family.variants[variant],
        seed,
        start,
        steps,
        folder,
        [clock],
    )
    trained = time.process_time() - begin
    scores = family.measure(workshop, backbone)
    return {
        "run": name,
        "family": family_name,
        "start": start_name,
        "variant": variant,
        "seed": seed,
        "budget": family.budget,
        "steps": steps,
        "scores": scores,
        "logs": logs,
        "train_seconds": round(trained + clock.earlier, 1),
        "earlier_seconds": clock.earlier,
    }


def run_folder(workshop, name):
    """Where a run keeps its checkpoints until it is done."""
    return workshop.folder / "runs" / name.replace("/", "-")


class Clock(keras.callbacks.Callback):
    """Keeps a run's processor time through interruptions.

    Args:
        path: path of a JSON file.
    """

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.earlier = files.read_json_or_set_aside(path) or 0.0

    def on_epoch_end(self, epoch, logs=None):
        files.write_json(self.path, self.earlier + time.process_time())
