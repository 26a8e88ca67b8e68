"""A folder of all nine tasks in the layout of `evaluate`, a few rows each."""

import gzip
import json

import numpy as np

ANIMALS = ("fox", "dog", "cat")


def write(folder, num_rows=30):
    """Texts whose label is the animal they name; words of `tests.models.tiny`.

    Returns:
        The folder.
    """
    rng = np.random.default_rng(0)

    def text(animal):
        quick = rng.choice(["quick", "brown", "lazy", "good", "bad"], size=2)
        return f"the {' '.join(quick)} {ANIMALS[animal]} jumps"

    def tsv(path, header, rows):
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ["\t".join(map(str, row)) for row in (header, *rows)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def jsonl(path, records):
        path.parent.mkdir(parents=True, exist_ok=True)
        data = "".join(json.dumps(record) + "\n" for record in records).encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)

    animals = [row % 3 for row in range(num_rows)]
    for split in ("train", "dev", "test"):
        for name in ("trec", "sst2", "clinc150"):
            rows = [(text(i), ANIMALS[i]) for i in animals]
            path = folder / "classification" / name / f"{split}.tsv"
            tsv(path, ("text", "label"), rows)
        rows, scores = [], []
        for i in animals:
            j = int(rng.choice([i, (i + 1) % 3]))
            rows.append((["other", "same"][i == j], text(i), text(j)))
            scores.append((5.0 * (i == j) + rng.random(), text(i), text(j)))
        path = folder / "nli" / "snli10k" / f"{split}.tsv"
        tsv(path, ("label", "s1", "s2"), rows)
        path = folder / "sts" / "stsb" / f"{split}.tsv"
        tsv(path, ("score", "s1", "s2"), scores)
        sentences = [text(i).split() for i in animals]
        records = [
            {
                "tokens": words,
                "tags": ["B-animal" if w in ANIMALS else "O" for w in words],
                "intent": words[3],
            }
            for words in sentences
        ]
        jsonl(folder / "slots" / "snips" / f"{split}.jsonl", records)
    for split, ending in (("train", ""), ("valid", ".gz")):
        documents = [
            {"source": ANIMALS[i], "text": "title\n" + (text(i) + " ") * 4}
            for i in animals
        ]
        jsonl(folder / "corpus" / f"{split}.jsonl{ending}", documents)
    beir = folder / "retrieval" / "xquad"
    documents = [
        {"_id": f"d{i}", "title": ANIMALS[i], "text": text(i)} for i in range(3)
    ]
    jsonl(beir / "corpus.jsonl", documents)
    queries = [
        {"_id": f"q{row}", "text": text(i)} for row, i in enumerate(animals)
    ]
    jsonl(beir / "queries.jsonl", queries)
    tsv(
        beir / "qrels" / "test.tsv",
        ("query-id", "corpus-id", "score"),
        [(f"q{row}", f"d{i}", 1) for row, i in enumerate(animals)],
    )
    return folder
