"""What tokenizers do not know, script by script.

    python benchmarks/unknown_rates.py

Texts are the names of countries, languages, currencies and units in CLDR, as
`babel` has them (mkdocs-material brings it: `pip install -e .[docs]`), and
Chinese made of the 3,000 most frequent characters of GB 2312 with frequencies
after Zipf. In scripts without spaces, four names are written as one text. Four
fifths are to learn from, and the rest is measured.

Three tokenizers with the default vocabulary of 8,192 ids: one of the default
corpus (English documentation), one of each language alone, and one of all
languages together. Columns:

- unknown: share of the characters that are lost in `[UNK]`, in percent.
- tokens: tokens per character (white space not counted).
- moved: share of the tokens of a text, in percent, that are others once a
  character is put in front of it. The first word may change.

It takes two minutes. The script needs `train_tokenizer` and `normalize` alone,
so that it can measure older commits, too.
"""

import argparse
import random
import warnings

from babel import localedata

import keras_dinolm as kd
from keras_dinolm.text.normalization import normalize

# Language, script, and a character to put in front.
UNSPACED = [
    ("th", "Thai", "ก"),
    ("lo", "Lao", "ກ"),
    ("km", "Khmer", "ក"),
    ("my", "Burmese", "က"),
    ("ja", "Japanese", "あ"),
    ("zh", "Chinese", "中"),
]
SPACED = [
    ("bo", "Tibetan", "ཀ"),
    ("ko", "Hangul", "가"),
    ("hi", "Devanagari", "क"),
    ("ta", "Tamil", "க"),
    ("ml", "Malayalam", "ക"),
    ("am", "Ethiopic", "ሀ"),
    ("ka", "Georgian", "ა"),
    ("hy", "Armenian", "ա"),
    ("ar", "Arabic", "ب"),
    ("fa", "Persian", "ب"),
    ("he", "Hebrew", "א"),
    ("ru", "Cyrillic", "а"),
    ("el", "Greek", "α"),
    ("vi", "Latin (vi)", "a"),
    ("de", "Latin (de)", "a"),
]


def names(language):
    """All strings of a language in CLDR that have a letter of it."""
    found = set()

    def walk(value):
        if isinstance(value, str):
            found.add(value.replace("{0}", ""))
        elif isinstance(value, dict):
            for item in value.values():
                walk(item)
        elif isinstance(value, list | tuple):
            for item in value:
                walk(item)

    walk(localedata.load(language))
    latin = language in ("vi", "de")
    return sorted(s for s in found if latin or any(c > "\u02ff" for c in s))


def made_chinese(draw, count=4_000):
    """Texts of the 3,000 most frequent characters, after Zipf."""
    codes = [(a, b) for a in range(0xB0, 0xD8) for b in range(0xA1, 0xFF)]
    letters = [bytes(code).decode("gb2312", "ignore") for code in codes]
    letters = [letter for letter in letters if letter][:3_000]
    draw.shuffle(letters)
    weights = [1 / (rank + 10) for rank in range(len(letters))]
    return ["".join(draw.choices(letters, weights, k=60)) for _ in range(count)]


def texts():
    """Yields (script, character in front, texts to learn from, others)."""
    draw = random.Random(0)
    for language, script, front in UNSPACED + SPACED:
        spaced = (language, script, front) in SPACED
        items = names(language)
        draw.shuffle(items)
        rows = [items[i : i + 4] for i in range(0, len(items), 4)]
        joined = [" ".join(row) for row in rows]
        if not spaced:
            joined = ["".join(text.split()) for text in joined]
        cut = len(joined) * 4 // 5
        yield script, front, joined[:cut], joined[cut:]
    rows = made_chinese(draw)
    yield "Chinese, made", "中", rows[:3_200], rows[3_200:]


def train(corpus):
    """The tokenizer that `pretrain` trains by default."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kd.data.train_tokenizer(corpus, show_progress=False)


def measure(tokenizer, front, rows):
    """Unknown characters, tokens per character, and moved tokens."""
    characters = unknown = tokens = moved = 0
    for text in rows:
        words = normalize(text).split()
        ids = [list(row) for row in tokenizer.tokenize(words)]
        characters += sum(map(len, words))
        unknown += sum(len(w) for w, row in zip(words, ids) if 1 in row)
        tokens += sum(map(len, ids))
        # The first word may change, all others should not.
        rest = [i for row in ids[1:] for i in row]
        other = list(tokenizer.tokenize(front + text))
        same = 0
        while same < min(len(rest), len(other)) and (
            rest[-1 - same] == other[-1 - same]
        ):
            same += 1
        moved += len(rest) - same
    return (
        100 * unknown / characters,
        tokens / characters,
        100 * moved / tokens,
    )


def main():
    argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    rows = list(texts())
    default = train(kd.data.installed_docs())
    everything = train([text for row in rows for text in row[2]])
    print(
        "| script | default corpus: unknown | own: ids, unknown, tokens, "
        "moved | all languages: unknown, tokens |\n|---|---|---|---|"
    )
    for script, front, learned, others in rows:
        own = train(learned)
        lost, length, moved = measure(own, front, others)
        shared = measure(everything, front, others)
        print(
            f"| {script} | {measure(default, front, others)[0]:.1f} "
            f"| {own.vocabulary_size():,}, {lost:.2f}, {length:.2f}, "
            f"{moved:.1f} | {shared[0]:.2f}, {shared[1]:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
