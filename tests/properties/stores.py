"""Token stores: what goes in comes out, and nothing broken is opened."""

import json
import pathlib
import tempfile
import warnings

from hypothesis import strategies as st

import keras_dinolm as kd
from tests.properties.tokenizers import tokenizer

_texts = st.one_of(
    st.text(st.sampled_from("fox es. 狐é\n!?"), max_size=30),
    st.text(max_size=10),
    st.just(""),
)
_documents = st.one_of(
    _texts,
    st.builds(
        lambda text, others: kd.data.Document(text, alternates=others),
        _texts,
        st.lists(_texts, max_size=3),
    ),
)
_FORGED = [
    -1, 0, 1, 2**31, 2**62, 1e300, None, "x", [], {}, True, "uint32", "uint16",
    "uint8", "object", "../../secret",
]  # fmt: skip
_mutations = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["flip", "cut", "grow", "remove"]),
            "file": st.integers(0, 50),
            "place": st.floats(0, 1, exclude_max=True),
            "bit": st.integers(0, 7),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("forge"),
            "key": st.integers(0, 60),
            "value": st.sampled_from(_FORGED),
        }
    ),
)
cases = st.fixed_dictionaries(
    {
        "documents": st.lists(_documents, min_size=1, max_size=8),
        "shard_characters": st.sampled_from([1, 20, 100, 4_000_000]),
        "mutation": _mutations,
    }
)
_REFUSALS = (ValueError, FileNotFoundError)


def check(case: dict) -> None:
    """A store gives back its ids; a damaged one gives them or is refused."""
    documents = case["documents"]
    made = tokenizer()
    rows = [made.tokenize(_text(document)).tolist() for document in documents]
    others = [
        [made.tokenize(text).tolist() for text in _alternates(document)]
        for document in documents
    ]
    others = [[row for row in some if row] for some in others]
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = pathlib.Path(name, "store")
        try:
            store = kd.data.tokenize(
                documents,
                made,
                folder,
                num_workers=0,
                shard_characters=case["shard_characters"],
                show_progress=False,
            )
        except ValueError:
            assert not any(rows), "a corpus with words was refused"
            return
        expected = (rows, others, _starts(store))
        assert _contents(store) == expected
        assert store.num_tokens == sum(map(len, rows))
        assert store.lengths().tolist() == [len(row) for row in rows]
        if case["mutation"] is None:
            again = kd.data.TokenStore.open(folder, made)
            assert _contents(again) == expected
            return
        if not _mutate(folder, case["mutation"]):
            return
        try:
            again = kd.data.TokenStore.open(folder, made)
            found = _contents(again)
        except _REFUSALS as error:
            assert str(folder) in str(error), f"names no file: {error}"
            return
        assert found == expected, "a damaged store gave other contents"


def _text(document):
    return document if isinstance(document, str) else document.text


def _alternates(document):
    return () if isinstance(document, str) else document.alternates


def _contents(store):
    return (
        [store[i].tolist() for i in range(len(store))],
        [
            [row.tolist() for row in store.alternates(i)]
            for i in range(len(store))
        ],
        _starts(store),
    )


def _starts(store):
    return [store.sentence_starts(i).tolist() for i in range(len(store))]


def _mutate(folder, mutation):
    """Changes one thing; returns whether there was anything to change."""
    if mutation["kind"] == "forge":
        return _forge(folder / "header.json", mutation)
    names = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    path = names[mutation["file"] % len(names)]
    data = bytearray(path.read_bytes())
    place = int(mutation["place"] * len(data))
    if mutation["kind"] == "remove":
        path.unlink()
    elif mutation["kind"] == "cut":
        path.write_bytes(data[:place])
    elif mutation["kind"] == "grow":
        path.write_bytes(data + b"\1\2")
    elif not data:
        return False
    else:
        data[place] ^= 1 << mutation["bit"]
        path.write_bytes(data)
    return True


def _forge(path, mutation):
    """Another value for one of the keys, however deep."""
    header = json.loads(path.read_text())
    places = list(_places(header))
    owner, key = places[mutation["key"] % len(places)]
    owner[key] = mutation["value"]
    path.write_text(json.dumps(header))
    return True


def _places(value):
    pairs = enumerate(value) if isinstance(value, list) else value.items()
    for key, inner in list(pairs):
        yield value, key
        if isinstance(inner, list | dict):
            yield from _places(inner)
