"""The same ids on every path, for every string; presets; training."""

import json
import os
import random
import subprocess
import sys
import unicodedata

import keras_hub
import numpy as np
import pytest

import keras_dinolm as kd
from keras_dinolm.models.encoder.backbone import DinoLMBackbone
from keras_dinolm.models.tasks.tokenizer import DinoLMTokenizer
from keras_dinolm.text import normalization
from keras_dinolm.text.encoder import Encoder

OPTIONS = [(True, True), (False, False), (True, False), (False, True)]

NASTY = [
    "",
    "   ",
    "plain words, and punctuation!",
    "x = np.zeros((3, 4))[::-1]  # code: a_b.c != d->e",
    "0123 4.5e-6 0xFF 1_000 ²³ ½ Ⅷ ٣٤ ६",
    "Größe, ÑANDÚ, Ångström, İstanbul ıI, ΑΣ ΣΑΣ, ẞß, ǅ, ﬁne",
    unicodedata.normalize("NFD", "Größe ñandú Việt Nam が 한국어"),
    "漢字かな交じり文、テスト。중국어 國 \U00020000 豈 \uf900",
    "हिन्दी में पाठ ภาษาไทย ไม้เอก",
    "שָׁלוֹם עולם مَرْحَبًا \u202eright to left\u202c \u200f",
    "👩\u200d👩\u200d👧 👍🏽 ❤\ufe0f 🏳\ufe0f\u200d🌈 🇩🇪 \U0001fae8",
    "zero\u200bwidth soft\u00adhyphen \ufeffbom word\u2060joiner",
    "nul\0 bell\a esc\x1b del\x7f c1\x85\x9f nbsp\xa0 ls\u2028ps\u2029",
    "\t tab\r\nnewline \u3000ideographic \u2003em \u180e \u1680",
    "a" * 24 + " " + "b" * 25 + " " + "c" * 26 + " " + "d" * 1000,
    "é" * 120 + "漢" * 120 + "ж" * 120 + "𝔘" * 120,
    "e" + "\u0301" * 200,
    "[CLS] [MASK] [PAD] ##ing [UNK]",
    "\ufffd\ufffe\uffff\U0010ffff\ue000",
    "“quotes” ‘single’ — dash … ‽ ¿qué? «»",
    "ภาษาไทยไม่มีช่องว่าง คืนมือสัตว์ เเ ิก กั น ราคา๒๕บาท",
    "ພາສາລາວ ភាសាខ្មែរ ចាប់ မြန်မာကောင်းအင်္ဂ ꦏ꧀ꦱ ᬓ᭄ᬱ བོད་སྐད",
    "コンピューターがちょっと人々の一ヶ月 ﾊﾟｿｺﾝ ゙ か\u3099",
    "ก" + "\u0e48" * 60 + "က" * 60 + "コ" * 60,
    "3b5d5c3712955042212316173ccf37be800afb8d1c5b4a0c",
    "किंकर्तव्यविमूढ़तासम्बन्धीविचारविमर्शप्रक्रिया",
]


RANGES = [
    *((0, high) for high in (0x7F, 0x17F, 0x3000, 0xFFFF, 0x10FFFF)),
    # Thai and Lao, Burmese, Khmer, Tai Tham, Balinese, kana.
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF)),
    *((0x1A20, 0x1AAF), (0x1B00, 0x1B7F), (0x3040, 0x30FF)),
]


def random_strings(count):
    generator = random.Random(0)
    strings = []
    for _ in range(count):
        characters = []
        for _ in range(generator.randint(1, 40)):
            low, high = generator.choice(RANGES)
            code = generator.randint(low, high)
            characters.append(" " if 0xD800 <= code < 0xE000 else chr(code))
        strings.append("".join(characters))
    return strings


@pytest.fixture(scope="module")
def vocabulary():
    texts = NASTY + random_strings(30) + ["internationalization of words"] * 3
    tokenizer = kd.data.train_tokenizer(
        texts, vocabulary_size=900, minimum_frequency=1, show_progress=False
    )
    return list(tokenizer.get_vocabulary())


@pytest.fixture(scope="module")
def tokenizer(vocabulary):
    return DinoLMTokenizer(vocabulary)


# === One way from text to ids ===


@pytest.mark.once
@pytest.mark.parametrize(("lowercase", "strip_accents"), OPTIONS)
def test_ids_are_equal_in_a_graph_in_python_and_in_bulk(
    vocabulary, lowercase, strip_accents
):
    import tensorflow as tf

    options = {"lowercase": lowercase, "strip_accents": strip_accents}
    tokenizer = DinoLMTokenizer(vocabulary, **options)
    texts = NASTY + random_strings(600)
    rows = tokenizer.tokenize(texts)
    assert rows == Encoder(vocabulary, **options)(texts)
    assert rows == [tokenizer(text).tolist() for text in texts]
    dataset = tf.data.Dataset.from_tensor_slices(texts)
    graph = []
    for batch in dataset.batch(500).map(tokenizer):
        graph.extend(batch.to_list())
    assert graph == rows
    alone = [ids.numpy().tolist() for ids in dataset.take(20).map(tokenizer)]
    assert alone == rows[:20]


@pytest.mark.once
@pytest.mark.parametrize(("lowercase", "strip_accents"), OPTIONS)
def test_ids_are_those_of_the_reference_algorithm(
    vocabulary, lowercase, strip_accents
):
    """Greedy longest match, written down plainly."""
    ids = {token: i for i, token in enumerate(vocabulary)}
    tokenizer = DinoLMTokenizer(vocabulary, lowercase, strip_accents)

    def spell(word):
        pieces, rest = [], word
        while rest:
            prefix = "##" if pieces else ""
            for end in range(len(rest), 0, -1):
                if prefix + rest[:end] in ids:
                    break
            else:
                return [1]
            pieces.append(ids[prefix + rest[:end]])
            rest = rest[end:]
        return pieces

    for text in NASTY:
        words = normalization.normalize(text, lowercase, strip_accents).split()
        expected = [i for word in words for i in spell(word)]
        assert tokenizer(text).tolist() == expected


def test_bytes_that_are_not_text_separate_words(tokenizer):
    import tensorflow as tf

    generator = np.random.default_rng(0)
    raw = [generator.bytes(30) for _ in range(300)] + [b"a\xffb", b"a b"]
    rows = tokenizer.tokenize(raw)
    (graph,) = tf.data.Dataset.from_tensors(raw).map(tokenizer)
    assert graph.to_list() == rows
    assert rows[-1] == rows[-2]
    assert tokenizer("a\ud800b").tolist() == rows[-1]


@pytest.mark.once
def test_normalization_is_pinned():
    """Another Unicode edition must not change a single id, silently."""
    assert normalization.table_digest(True, True) == "94980cd405fbe35b"
    assert normalization.table_digest(False, False) == "9b6b1ad5b93bcdf3"


@pytest.mark.once
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Größe=np.zeros(3)", "große = np . zeros ( 3 )"),
        ("snake_case CamelCase", "snake _ case camelcase"),
        ("漢字です", "漢 字 で す"),
        ("हिन्दी", "हिन्दी"),
        # Signs that are no accents, though Unicode calls them marks, too.
        ("शक्ति שָׁלוֹם مَرْحَبًا", "शक्ति שָׁלוֹם مَرْحَبًا"),
        ("ที่ นี้", "ที่ นี้"),
        ("Việt Đà Nẵng", "viet đa nang"),
        # One character stays one: no sentence out of a ligature.
        ("\ufdfa ﬁ Ａ İSTANBUL ẞ ΟΔΟΣ", "\ufdfa ﬁ ａ istanbul ß οδοσ"),
        ("ᲗᲑᲘᲚᲘᲡᲘ Ⰰ", "თბილისი ⰰ"),
        # Invisible characters: some part words, most do not.
        ("می\u200cخواهم", "میخواهم"),
        ("क्\u200dष", "क्ष"),
        ("\u202bאב\u202c\u200f", "אב"),
        ("ខ្ញុំ\u200bទៅ", "ខ្ញុំ ទៅ"),
        ("葛\U000e0100飾", "葛 飾"),
        ("🏳\ufe0f\u200d🌈👍🏽", "🏳 🌈 👍 🏽"),
        ("a\ud800b\ufffdc", "a b c"),
        ("soft\u00adhyphen zero\u200dwidth", "softhyphen zerowidth"),
        ("👩\u200d👧❤\ufe0f", "👩 👧 ❤"),
        ("a\x00b\u2028c\u3000d", "a b c d"),
        ("x" * 60, f"{'x' * 25} {'x' * 25} {'x' * 10}"),
    ],
)
def test_words(text, words):
    assert normalization.normalize(text).split() == words.split(" ")


@pytest.mark.once
def test_no_character_explodes():
    """A text never has more characters than before, except for spaces."""
    for options in ((True, True), (False, False)):
        for code, text in normalization.exceptions(*options):
            assert len(text.strip()) <= 1, hex(code)


@pytest.mark.once
def test_a_character_in_front_changes_no_id_of_what_follows():
    texts = [
        "ภาษาไทยไม่มีช่องว่างระหว่างคำ" * 3,
        "ພາສາລາວບໍ່ມີຊ່ອງຫວ່າງ" * 3,
        "ភាសាខ្មែរមិនមានដកឃ្លារវាងពាក្យទេ" * 3,
        "မြန်မာစာတွင်စကားလုံးများကြားနေရာလွတ်မရှိပါ" * 3,
        "これは日本語の文章ですがコンピューターで処理します" * 3,
    ]
    tokenizer = kd.data.train_tokenizer(
        texts, 400, minimum_frequency=1, show_progress=False
    )
    for text, front in zip(texts, "กກកကあ"):
        ids = tokenizer(text).tolist()
        assert 1 not in ids
        # Frequent syllables have ids of their own.
        assert len(ids) < 0.9 * len(text)
        assert tokenizer(front + text).tolist()[1:] == ids


@pytest.mark.once
def test_composed_and_decomposed_letters_are_equal(tokenizer):
    text = "Größe ÑANDÚ Việt Nam résumé"
    decomposed = unicodedata.normalize("NFD", text)
    assert text != decomposed
    assert (tokenizer(text) == tokenizer(decomposed)).all()


@pytest.mark.once
def test_tokenizing_what_was_detokenized_changes_nothing(tokenizer):
    count = 0
    for text in NASTY + random_strings(300):
        ids = tokenizer.tokenize(text)
        if tokenizer.unk_token_id not in ids:
            count += 1
            again = tokenizer.detokenize(ids)
            assert tokenizer.tokenize(again).tolist() == ids.tolist()
    assert count > 15
    text = "plain words, and punctuation!"
    assert (
        tokenizer.detokenize(tokenizer(text))
        == "plain words , and punctuation !"
    )


@pytest.mark.once
def test_no_text_becomes_a_special_token(tokenizer):
    specials = {0, 2, 3, 4}
    for row in tokenizer.tokenize(NASTY):
        assert not specials & set(row)


# === The layer ===


@pytest.mark.once
def test_special_ids_are_fixed(tokenizer):
    assert tokenizer.pad_token_id == 0
    assert tokenizer.unk_token_id == 1
    assert tokenizer.cls_token_id == tokenizer.start_token_id == 2
    assert tokenizer.sep_token_id == tokenizer.end_token_id == 3
    assert tokenizer.mask_token_id == 4
    assert tokenizer.cls_token == "[CLS]"
    assert tokenizer.vocabulary_size() == len(tokenizer.get_vocabulary())


def test_sequence_length_pads_and_cuts(vocabulary):
    import tensorflow as tf

    texts = ["", "plain", "plain words, and punctuation!" * 4]
    free = DinoLMTokenizer(vocabulary).tokenize(texts)
    fixed = DinoLMTokenizer(vocabulary, sequence_length=7)
    dense = fixed.tokenize(texts)
    assert dense.shape == (3, 7) and dense.dtype == "int32"
    for row, ids in zip(dense, free):
        assert row.tolist() == (ids + [0] * 7)[:7]
    (graph,) = tf.data.Dataset.from_tensors(texts).map(fixed)
    assert (graph.numpy() == dense).all()
    assert (fixed.tokenize(texts[2]) == dense[2]).all()


def test_tensors_and_arrays_of_strings(tokenizer):
    import tensorflow as tf

    texts = ["plain", "words and"]
    rows = tokenizer.tokenize(texts)
    assert tokenizer.tokenize(np.array(texts)) == rows
    assert tokenizer.tokenize(tf.constant(texts)) == rows
    assert tokenizer.tokenize(tf.constant("plain")).tolist() == rows[0]


@pytest.mark.once
@pytest.mark.parametrize("inputs", [3, None, [["a"]], [1], {"a": "b"}])
def test_other_inputs_are_errors(tokenizer, inputs):
    with pytest.raises(ValueError, match="`inputs` must (be|hold)"):
        tokenizer.tokenize(inputs)


@pytest.mark.once
def test_fingerprint_tells_tokenizers_apart(vocabulary):
    base = DinoLMTokenizer(vocabulary).fingerprint()
    assert base == DinoLMTokenizer(list(vocabulary)).fingerprint()
    others = [
        DinoLMTokenizer(vocabulary, lowercase=False),
        DinoLMTokenizer(vocabulary, strip_accents=False),
        DinoLMTokenizer([*vocabulary, "unheardof"]),
        DinoLMTokenizer([*vocabulary[:-2], *vocabulary[:-3:-1]]),
    ]
    prints = {base, *(other.fingerprint() for other in others)}
    assert len(prints) == 5


def test_preset_through_keras_hub(tmp_path, vocabulary):
    tokenizer = DinoLMTokenizer(vocabulary, strip_accents=False)
    backbone = DinoLMBackbone(
        vocabulary_size=tokenizer.vocabulary_size(),
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
    )
    backbone.save_to_preset(str(tmp_path))
    tokenizer.save_to_preset(str(tmp_path))
    # The vocabulary is an asset, not a part of the configuration.
    assert len((tmp_path / "tokenizer.json").read_text()) < 2_000
    loaded = keras_hub.models.Tokenizer.from_preset(str(tmp_path))
    assert type(loaded) is DinoLMTokenizer
    assert loaded.fingerprint() == tokenizer.fingerprint()
    assert loaded.tokenize(NASTY) == tokenizer.tokenize(NASTY)


# === Without TensorFlow ===

WITHOUT = """
import json, sys
sys.modules["tensorflow"] = None
sys.modules["tensorflow_text"] = None
import keras_dinolm as kd
vocabulary, texts = json.load(sys.stdin)
tokenizer = kd.models.DinoLMTokenizer(vocabulary)
rows = tokenizer.tokenize(texts)
json.dump([rows, tokenizer.detokenize(rows)], sys.stdout)
"""


@pytest.mark.once
def test_ids_are_equal_without_tensorflow(vocabulary, tokenizer):
    backend = os.environ["KERAS_BACKEND"]
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        input=json.dumps([vocabulary, NASTY]),
        env={
            **os.environ,
            "KERAS_BACKEND": "jax" if backend == "tensorflow" else backend,
        },
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    rows, texts = json.loads(result.stdout)
    assert rows == tokenizer.tokenize(NASTY)
    assert texts == tokenizer.detokenize(rows)


# === Training ===


def corpus(count=200):
    generator = np.random.default_rng(0)
    syllables = ["ba", "ke", "lo", "mi", "nu", "ra", "se", "ti"]
    words = ["".join(generator.choice(syllables, 3)) for _ in range(80)]
    return [" ".join(generator.choice(words, 20)) for _ in range(count)]


@pytest.mark.once
def test_training_depends_on_word_counts_alone():
    texts = corpus()
    options = {"vocabulary_size": 150, "show_progress": False}
    first = kd.data.train_tokenizer(texts, **options)
    assert first.vocabulary_size() == 150
    for other in (texts, texts[::-1], iter([" ".join(texts)])):
        again = kd.data.train_tokenizer(other, **options)
        assert again.get_vocabulary() == first.get_vocabulary()


@pytest.mark.once
def test_frequent_words_become_one_token():
    texts = corpus() + ["frequently"] * 100
    tokenizer = kd.data.train_tokenizer(
        texts, vocabulary_size=150, show_progress=False
    )
    assert len(tokenizer("Frequently")) == 1
    lengths = [len(row) for row in tokenizer.tokenize(texts)]
    assert np.mean(lengths) < np.mean([len(t) / 2 for t in texts])


@pytest.mark.once
def test_rare_characters_are_left_out_and_unknown():
    texts = [*corpus(), "ѫ ѫ", "ў"]
    tokenizer = kd.data.train_tokenizer(
        texts, vocabulary_size=150, minimum_frequency=2, show_progress=False
    )
    assert tokenizer("ў").tolist() == [1]
    assert tokenizer("ѫ")[0] > 4


@pytest.mark.once
def test_case_can_matter():
    texts = [t.title() for t in corpus()]
    tokenizer = kd.data.train_tokenizer(
        texts, vocabulary_size=150, lowercase=False, show_progress=False
    )
    assert tokenizer(texts[0]).tolist() != tokenizer(texts[0].lower()).tolist()
    assert tokenizer.detokenize(tokenizer(texts[0])) == texts[0]


@pytest.mark.once
def test_names_of_files_are_not_texts(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("the cat sat on the mat " * 20)
    with pytest.raises(ValueError, match="name of a file.*read_"):
        kd.data.train_tokenizer([str(path)], show_progress=False)


@pytest.mark.once
def test_training_errors():
    with pytest.raises(ValueError, match="0 documents without a single word"):
        kd.data.train_tokenizer([], show_progress=False)
    with pytest.raises(ValueError, match="2 documents without a single word"):
        kd.data.train_tokenizer(["", " \n"], show_progress=False)
    with pytest.raises(ValueError, match="vocabulary_size=10"):
        kd.data.train_tokenizer(
            corpus(), 10, alphabet_size=20, show_progress=False
        )
