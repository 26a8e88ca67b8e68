"""The standard tasks: what is measured on which files, and how."""

from typing import Any

from keras_dinolm import arguments
from keras_dinolm.evaluation.knn_accuracy import knn_accuracy
from keras_dinolm.evaluation.linear_probe import linear_probe
from keras_dinolm.evaluation.nli_probe import nli_probe
from keras_dinolm.evaluation.readers import LabelledTexts
from keras_dinolm.evaluation.readers import Searches
from keras_dinolm.evaluation.readers import read_beir
from keras_dinolm.evaluation.readers import read_labelled_texts
from keras_dinolm.evaluation.readers import read_tagged_words
from keras_dinolm.evaluation.readers import read_text_pairs
from keras_dinolm.evaluation.retrieval_ndcg import retrieval_ndcg
from keras_dinolm.evaluation.sts_spearman import sts_spearman
from keras_dinolm.evaluation.task import Splits
from keras_dinolm.evaluation.task import Task
from keras_dinolm.evaluation.task import half
from keras_dinolm.evaluation.task import load_splits
from keras_dinolm.evaluation.text_features import TextFeatures
from keras_dinolm.evaluation.text_files import find_split
from keras_dinolm.evaluation.token_probe import token_probe


class ClassificationTask(Task):
    """`linear_probe` of labelled texts: `train`, `dev` and `test` files.

    Args:
        name: String.
        path: String. A folder with `train.tsv` (or `.tsv.gz`, `.jsonl`,
            `.jsonl.gz`), `dev.tsv` and, for that split, `test.tsv`.
        text: String. Column or key of the text.
        label: String. Column or key of the label.

    Example:

    ```python
    import keras_dinolm as kd

    fine = kd.evaluation.ClassificationTask(
        "trec_fine", "classification/trec", label="fine_label"
    )
    ```
    """

    def __init__(
        self, name: str, path: str, text: str = "text", label: str = "label"
    ) -> None:
        super().__init__(name, path)
        self.text = arguments.string("text", text)
        self.label = arguments.string("label", label)

    def _load(self, folder, split, subset):
        return load_splits(
            folder,
            split,
            subset,
            lambda path: read_labelled_texts(path, self.text, self.label),
        )

    def score(self, features: TextFeatures, data: Any) -> float:
        train, dev, test = (
            (features.texts(part.texts), part.labels) for part in data
        )
        return linear_probe(*train, *test, *dev)


class NLITask(Task):
    """`nli_probe` of labelled pairs of texts: columns `label`, `s1`, `s2`.

    Args:
        name: String.
        path: String. A folder with `train.tsv`, `dev.tsv`, `test.tsv`.
    """

    def _load(self, folder, split, subset):
        return load_splits(folder, split, subset, read_text_pairs)

    def score(self, features: TextFeatures, data: Any) -> float:
        train, dev, test = (
            (features.texts(u), features.texts(v), y) for u, v, y in data
        )
        return nli_probe(*train, *test, *dev)


class TaggingTask(Task):
    """`token_probe` of tagged words: objects of `tokens` and `tags`.

    Args:
        name: String.
        path: String. A folder with `train.jsonl`, `dev.jsonl`, `test.jsonl`.
    """

    def _load(self, folder, split, subset):
        return load_splits(folder, split, subset, read_tagged_words)

    def score(self, features: TextFeatures, data: Any) -> float:
        train, dev, test = (
            (features.words(part.words), part.tags) for part in data
        )
        return token_probe(*train, *test, *dev)


class STSTask(Task):
    """`sts_spearman` of scored pairs of texts: `score`, `s1`, `s2`.

    Args:
        name: String.
        path: String. A folder with `dev.tsv` and `test.tsv`.
    """

    def _load(self, folder, split, subset):
        return read_text_pairs(find_split(folder, split), "score")

    def score(self, features: TextFeatures, data: Any) -> float:
        return sts_spearman(
            features.texts(data.first),
            features.texts(data.second),
            data.targets,
        )


class RetrievalTask(Task):
    """`retrieval_ndcg` at 10 of a folder in the layout of BEIR.

    Without `qrels/dev.tsv`, the queries of `qrels/test.tsv` at even places
    are the dev split and those at odd places the test split, so that nothing
    is chosen on what is reported.

    Args:
        name: String.
        path: String. A folder as `read_beir` takes it.
    """

    def _load(self, folder, split, subset):
        if any((folder / "qrels").glob("dev.tsv*")):
            return read_beir(folder, split)
        queries, documents, relevant = read_beir(folder, "test")
        part = half(split)
        return Searches(queries[part], documents, relevant[part])

    def score(self, features: TextFeatures, data: Any) -> float:
        return retrieval_ndcg(
            features.texts(data.queries),
            features.texts(data.documents),
            data.relevant,
        )


class TopicTask(Task):
    """`knn_accuracy` of the topic of passages in held-out documents.

    Neighbours are sought among the passages of the training documents. A
    passage is a line of at least 16 words, cut after 64, so that an encoder
    of long texts gets no more to read than others.

    Without files of the splits themselves, the documents of `valid` at even
    places are the dev split and those at odd places the test split.

    Args:
        name: String.
        path: String. A folder with `train.jsonl` and `valid.jsonl` (or
            `.jsonl.gz`), one document an object.
        text: String. Key of a document's text, one paragraph a line.
        label: String. Key of its topic.
    """

    def __init__(
        self, name: str, path: str, text: str = "text", label: str = "source"
    ) -> None:
        super().__init__(name, path)
        self.text = arguments.string("text", text)
        self.label = arguments.string("label", label)

    def _load(self, folder, split, subset):
        def read(name):
            path = find_split(folder, name)
            return read_labelled_texts(path, self.text, self.label)

        try:
            held_out = read(split)
        except FileNotFoundError:
            part = half(split)
            held_out = LabelledTexts(*(rows[part] for rows in read("valid")))
        train = subset(_passages(read("train")))
        held_out = _passages(held_out)
        return Splits(train, held_out, held_out)

    def score(self, features: TextFeatures, data: Any) -> float:
        return knn_accuracy(
            features.texts(data.train.texts),
            data.train.labels,
            features.texts(data.test.texts),
            data.test.labels,
            k=min(20, len(data.train.texts)),
        )


# In the order in which they are measured, the quick ones first.
TASKS = {
    task.name: task
    for task in (
        STSTask("stsb", "sts/stsb"),
        RetrievalTask("xquad", "retrieval/xquad"),
        ClassificationTask("trec", "classification/trec"),
        ClassificationTask("sst2", "classification/sst2"),
        NLITask("snli", "nli/snli10k"),
        ClassificationTask("clinc150", "classification/clinc150"),
        ClassificationTask(
            "snips_intent", "slots/snips", text="tokens", label="intent"
        ),
        TaggingTask("snips_slots", "slots/snips"),
        TopicTask("topic", "corpus"),
    )
}


def _passages(documents, shortest=16, longest=64):
    texts, labels = [], []
    for text, label in zip(*documents, strict=True):
        for line in text.splitlines():
            words = line.split()
            if len(words) >= shortest:
                texts.append(" ".join(words[:longest]))
                labels.append(label)
    return LabelledTexts(texts, labels)
