"""`report.md`: what was trained, how it went, and what to do next."""

import datetime
import math
import pathlib

from keras_dinolm import files
from keras_dinolm.recipes.live_bar import clock
from keras_dinolm.recipes.phase_history import PhaseHistory
from keras_dinolm.version import __version__

# One sentence on what good looks like, for each number that has one.
READING = {
    "loss": "The weighted sum of the losses below.",
    "info_nce": (
        "The loss of finding the view of the same text in the batch. A guess "
        "has ln({batch_size}) = {guess_of_text:.1f}; well below 1 is good."
    ),
    "masked_lm": (
        "The loss of predicting masked words. A guess has ln(vocabulary) = "
        "{guess_of_token:.1f}; it falls for as long as the encoder learns."
    ),
    "sequence_distillation": (
        "The loss between the student's and the teacher's prototypes of a "
        "text. It cannot be read alone: it is low in a good run and in a "
        "collapsed one."
    ),
    "token_distillation": (
        "The same for masked tokens. It cannot be read alone either."
    ),
    "similarity_distillation": (
        "How the student's neighbours differ from the teacher's; it falls "
        "towards the teacher's own entropy, not to 0."
    ),
    "koleo": "How close the nearest neighbours are; lower is more spread.",
    "sequence_regression": (
        "The distance (1 - cosine) to the teacher's features of texts. Lower "
        "is better; 0 is the teacher itself."
    ),
    "token_regression": (
        "The mean squared distance to the teacher's features of tokens, in "
        "units of their variance: 1 is no better than their mean."
    ),
    "feature_std": (
        "1 is spread evenly over all directions, 0 the same feature for every "
        "text. Rising is good, below 0.1 has collapsed."
    ),
    "mean_cosine": (
        "Mean cosine of two texts. Falling is good, 1 has collapsed."
    ),
    "rankme": (
        "How many of the {dim} dimensions are in use. More is better; below "
        "a tenth of them is a bad sign."
    ),
    "skipped_steps": (
        "Steps whose gradients were not finite. 0 is good; a few are harmless."
    ),
}


def write_report(
    path: pathlib.Path,
    asked: dict,
    corpus: dict,
    histories: list[PhaseHistory],
    dim: int,
    notes: list[str],
    held_out: dict,
    preparation: dict[str, float] | None = None,
) -> None:
    """Writes `report.md`.

    Args:
        path: path of the file.
        asked: dict of what the run was asked for.
        corpus: dict of `documents`, `tokens`, `unknown` (a share),
            `vocabulary_size`, `held_out` (a number of documents).
        histories: list of `PhaseHistory`.
        dim: int. Width of the features.
        notes: list of sentences about the run that a reader should know.
        held_out: dict, as `held_out.measure` returns it.
        preparation: dict of what was done before the first phase to its
            seconds.
    """
    sections = [
        _head(path, asked, corpus, histories, preparation or {}),
        _warnings(histories, notes),
        _numbers(histories, dim, corpus),
        _held_out(held_out, dim),
        _next(path),
    ]
    text = "\n\n".join(section for section in sections if section) + "\n"
    files.write_text(path, text)


def _head(path, asked, corpus, histories, preparation):
    options = "".join(f", {k}={v!r}" for k, v in asked["options"].items())
    budget = (
        f"{asked['steps']:,} steps"
        if asked["minutes"] is None
        else f"{asked['minutes']:g} minute"
        + ("" if asked["minutes"] == 1 else "s")
        + ", planned by the time of a step"
    )
    rows = "\n".join(
        [f"| {name} | | | {clock(s)} | |" for name, s in preparation.items()]
        + [
            f"| {h.name} | {h.steps:,} | {h.batch_size} | {clock(h.seconds)} "
            f"| {h.last('loss'):.3f} |"
            for h in histories
        ]
    )
    today = datetime.date.today().isoformat()
    held_out = (
        f" {corpus['held_out']:,} more were held out to measure on."
        if corpus["held_out"]
        else ""
    )
    return (
        f"# {path.parent.name}: a text encoder, trained without labels\n\n"
        f"Recipe `{asked['recipe']}`{options}, size `{asked['size']}`, seed "
        f"{asked['seed']}, {asked['backend']}, keras_dinolm {__version__}, "
        f"finished on {today}. Budget: {budget}.\n\n"
        f"Trained on {corpus['documents']:,} texts of {corpus['tokens']:,} "
        f"tokens in all, with a vocabulary of {corpus['vocabulary_size']:,}."
        f"{held_out} {100 * corpus['unknown']:.2f} % of the tokens are "
        "unknown ([UNK]); above 1 %, raise the vocabulary size.\n\n"
        "| phase | steps | texts a step | time | final loss |\n"
        "|---|---|---|---|---|\n"
        f"{rows}\n\n"
        "The time includes compilation. ![curves](curves.png)"
    )


def _warnings(histories, notes):
    lines = [f"- {note}" for note in notes]
    for history in histories:
        lines += [f"- Phase {history.name}: {w}" for w in history.warnings]
        if not history.warnings:
            lines += [
                f"- Phase {history.name}: collapse by {name}."
                for name in history.found
            ]
    if not lines:
        return "## Warnings\n\nNone. No sign of collapse was seen."
    return "## Warnings\n\n" + "\n".join(lines)


def _numbers(histories, dim, corpus):
    """The last values of the last phase."""
    last = histories[-1]
    facts = {
        "dim": dim,
        "batch_size": last.batch_size,
        "guess_of_text": math.log(last.batch_size),
        "guess_of_token": math.log(corpus["vocabulary_size"]),
    }
    names = ["loss", *last.objectives, *READING]
    rows = []
    for name in dict.fromkeys(names):
        value = last.last(name)
        if math.isnan(value):
            continue
        meaning = READING.get(name, "See the objective's documentation.")
        rows.append(f"| `{name}` | {value:.3f} | {meaning.format(**facts)} |")
    return (
        f"## Final losses and monitors (phase {last.name})\n\n"
        "Means over the last twentieth of the phase. Monitors read what the "
        "encoder reads in training: masks make texts look alike, so compare "
        "within a phase, not between phases.\n\n"
        "| | value | what good looks like |\n|---|---|---|\n" + "\n".join(rows)
    )


def _held_out(found, dim):
    sections = ["## On held-out texts"]
    if "rankme" in found:
        sections.append(
            f"Features of {found['documents']:,} texts, as `encode` gives "
            f"them: RankMe {found['rankme']:.0f} of {dim}, feature std "
            f"{found['feature_std']:.2f} (1 is spread evenly, 0 collapsed)."
        )
    scores = found.get("search")
    if scores is None:
        sections.append(
            "Search was not measured: too few texts were held out whose "
            "first sentence is followed by more text."
        )
    else:
        rows = "\n".join(
            f"| {name} | {100 * row['nDCG@10']:.1f} |"
            for name, row in scores.items()
        )
        sections.append(
            "Find the rest of a text by its first sentence, among "
            f"{found['queries']:,} (nDCG@10 in percent, higher is better): "
            "what each stage of the training brought. TF-IDF finds texts that "
            "share words with the query, and often wins on such a task; the "
            "encoder should be far above an untrained one.\n\n"
            f"| | nDCG@10 |\n|---|---|\n{rows}"
        )
    return "\n\n".join(sections)


def _next(path):
    run = path.parent
    return (
        "## Next\n\n"
        "```sh\n"
        f'python -m keras_dinolm search {run} "a query" FOLDER_OF_TEXTS\n'
        f"python -m keras_dinolm evaluate {run}\n"
        "```\n\n"
        "```python\n"
        "import keras_dinolm as kd\n\n"
        "embedder = kd.models.DinoLMTextEmbedder.from_preset("
        f'"{run}/preset")\n'
        'embedder.encode(["two", "texts"])\n'
        "```\n\n"
        "If the losses in curves.png still fall at the end, more training "
        "makes a better encoder. A finished run is not trained further: start "
        "another one, with more minutes and in a new folder."
    )
