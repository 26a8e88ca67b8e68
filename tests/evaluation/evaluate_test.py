"""The suite of tasks, on a folder of made texts."""

import json
import warnings

import numpy as np
import pytest
from scipy.stats import spearmanr

import keras_dinolm as kd
from keras_dinolm.evaluation import TASKS
from keras_dinolm.evaluation import evaluate
from tests.evaluation import task_folder
from tests.models import tiny

NAMES = {
    "stsb",
    "xquad",
    "trec",
    "sst2",
    "snli",
    "clinc150",
    "snips_intent",
    "snips_slots",
    "topic",
}


class Bag:
    """Counts of words."""

    words = ("fox", "dog", "cat", "quick", "brown", "lazy", "good", "bad")

    def __init__(self, scale=1.0):
        self.scale = scale
        self.asked = []

    def encode(self, texts):
        self.asked += texts
        return self.scale * np.array(
            [[t.split().count(w) for w in self.words] for t in texts], float
        )

    def encode_words(self, sentences):
        return [self.encode(words) for words in sentences]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return task_folder.write(tmp_path_factory.mktemp("tasks"))


@pytest.mark.once
@pytest.mark.parametrize("split", ["dev", "test"])
def test_all_tasks(folder, split, capsys):
    scores = evaluate(Bag(), folder, split)
    assert set(scores) == NAMES == set(TASKS)
    for name in ("trec", "clinc150", "snips_intent", "snips_slots"):
        assert scores[name] == 1.0, name  # the words tell
    assert scores["topic"] > 0.8  # here they are one third of the votes
    assert scores["xquad"] > 0.5
    lines = (folder / "sts" / "stsb" / f"{split}.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines[1:]]
    u, v = (Bag().encode([row[i] for row in rows]) for i in (1, 2))
    cosines = (u * v).sum(1) / np.linalg.norm(u, axis=1)
    cosines /= np.linalg.norm(v, axis=1)
    by_hand = spearmanr(np.round(cosines, 9), [float(row[0]) for row in rows])
    assert scores["stsb"] == pytest.approx(by_hand.statistic)
    assert capsys.readouterr().out.count("\n") == 9


def test_our_embedder_does_texts_and_words(folder):
    preprocessor = kd.models.DinoLMTextPreprocessor(tiny.tokenizer(), 96)
    ours = kd.models.DinoLMTextEmbedder(tiny.backbone(), preprocessor)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "error", UserWarning
        )  # nothing is cut, all is aligned
        scores = evaluate(
            ours, folder, tasks=["snips_slots", "trec"], verbose=False
        )
    assert min(scores.values()) > 0.8


@pytest.mark.once
def test_each_text_is_encoded_once(folder):
    bag = Bag()
    bag.encode_words = lambda sentences: [
        Bag().encode(words) for words in sentences
    ]
    evaluate(bag, folder, "test", verbose=False)
    assert len(bag.asked) == len(set(bag.asked))


@pytest.mark.once
def test_finished_tasks_are_read_from_the_file(folder, tmp_path):
    path = tmp_path / "results" / "scores.json"
    first = evaluate(Bag(), folder, tasks=["trec"], results=path, verbose=False)
    again = Bag()
    both = evaluate(
        again, folder, tasks=["sst2", "trec"], results=path, verbose=False
    )
    texts = TASKS["sst2"].load(folder)
    assert set(again.asked[1:]) == {*texts.train.texts, *texts.dev.texts}
    assert list(both) == ["sst2", "trec"] and both["trec"] == first["trec"]
    assert json.loads(path.read_text())["scores"] == both
    with pytest.raises(ValueError, match="measured otherwise.*'seed': 0"):
        evaluate(Bag(), folder, seed=1, results=path)
    with pytest.raises(ValueError, match="of another encoder"):
        evaluate(Bag(scale=2.0), folder, results=path)


# === What a task reads ===


@pytest.mark.once
def test_choosing_and_reporting_share_nothing(folder):
    for name in ("xquad", "topic"):
        whole = (
            TASKS[name].load(folder, "dev"),
            TASKS[name].load(folder, "test"),
        )
        if name == "xquad":
            assert len(whole[0].queries) == len(whole[1].queries) == 15
            assert whole[0].documents == whole[1].documents
        else:
            assert len(whole[0].test.texts) == len(whole[1].test.texts) == 15
            assert "title" not in whole[0].train.texts
    dev, test = (TASKS["trec"].load(folder, split) for split in ("dev", "test"))
    assert dev.test is dev.dev
    assert test.dev == dev.dev and test.test != dev.dev


@pytest.mark.once
def test_a_dev_file_of_judgements_is_used(folder, tmp_path):
    beir = tmp_path / "retrieval" / "xquad"
    (beir / "qrels").mkdir(parents=True)
    source = folder / "retrieval" / "xquad"
    for name in ("corpus.jsonl", "queries.jsonl"):
        (beir / name).write_bytes((source / name).read_bytes())
    judgements = (source / "qrels" / "test.tsv").read_text().splitlines()
    for split, rows in (("dev", judgements[1:5]), ("test", judgements[5:])):
        text = "\n".join([judgements[0], *rows])
        (beir / "qrels" / f"{split}.tsv").write_text(text)
    counts = [
        len(TASKS["xquad"].load(tmp_path, split).queries)
        for split in ("dev", "test")
    ]
    assert counts == [4, 26]


@pytest.mark.once
def test_fewer_training_rows_are_the_same_for_all(folder):
    task = TASKS["trec"]
    whole, part = task.load(folder), task.load(folder, max_train=7, seed=3)
    assert len(part.train.texts) == len(part.train.labels) == 7
    assert part.train == task.load(folder, max_train=7, seed=3).train
    assert part.train != task.load(folder, max_train=7, seed=4).train
    rows = list(zip(*whole.train, strict=True))
    places = [rows.index(row) for row in zip(*part.train, strict=True)]
    assert places == sorted(places)
    assert part.dev == whole.dev
    assert len(TASKS["topic"].load(folder, max_train=4).train.texts) == 4


@pytest.mark.once
def test_passages_are_long_lines_cut(tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    lines = [" ".join(["word"] * n) for n in (15, 16, 64, 65)]
    record = json.dumps({"source": "a", "text": "\n".join(lines)}) + "\n"
    for name in ("train", "dev"):
        (corpus / f"{name}.jsonl").write_text(record)
    texts = TASKS["topic"].load(tmp_path).test.texts
    assert [len(text.split()) for text in texts] == [16, 64, 64]


@pytest.mark.once
def test_wrong_arguments_are_named(folder, tmp_path):
    with pytest.raises(ValueError, match="stsb, xquad, .*'imdb'"):
        evaluate(Bag(), folder, tasks=["imdb"])
    with pytest.raises(ValueError, match="split='train'"):
        evaluate(Bag(), folder, "train")
    with pytest.raises(ValueError, match="max_train=0"):
        evaluate(Bag(), folder, max_train=0)
    with pytest.raises(FileNotFoundError, match="train.tsv.*train.jsonl"):
        evaluate(Bag(), tmp_path, tasks=["trec"])


@pytest.mark.once
@pytest.mark.parametrize(
    "tasks",
    ["trec", TASKS["trec"], 3, [3], [None], ["trec", "trec"], [["trec"]]],
)
def test_tasks_are_a_list_of_different_names(folder, tasks):
    with pytest.raises(ValueError, match="Argument `tasks`"):
        evaluate(Bag(), folder, tasks=tasks)


@pytest.mark.once
@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "3",
        '{"settings": {}}',
        '{"settings": [], "encoder": [], "scores": {}}',
        '{"settings": {}, "encoder": "abc", "scores": {}}',
        '{"settings": {}, "encoder": [1, "a"], "scores": {}}',
        '{"settings": {}, "encoder": [NaN], "scores": {}}',
        '{"settings": {}, "encoder": [1.0], "scores": {"trec": null}}',
        '{"settings": {}, "encoder": [1.0], "scores": {"trec": Infinity}}',
        '{"settings": {}, "encoder": [1.0], "scores": [], "more": 1}',
    ],
)
def test_results_of_something_else_are_refused_by_name(folder, tmp_path, text):
    path = tmp_path / "scores.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"scores\.json.*remove it"):
        evaluate(Bag(), folder, tasks=["trec"], results=path)
    assert path.read_text() == text


@pytest.mark.once
@pytest.mark.parametrize("data", [b'{"settings": {"sp', b"\xff\xfe", b"", b"["])
def test_results_that_were_cut_off_are_set_aside(folder, tmp_path, data):
    path = tmp_path / "scores.json"
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=r"scores\.json"):
        scores = evaluate(
            Bag(), folder, tasks=["trec"], results=path, verbose=False
        )
    assert json.loads(path.read_text())["scores"] == scores
    aside = [p for p in tmp_path.iterdir() if p != path and data]
    assert not data or [p.read_bytes() for p in aside] == [data]
