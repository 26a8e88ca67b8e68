"""Figures and the page: what they hold, whatever the texts are."""

import base64
import html.parser
import warnings

import numpy as np
import pytest

from keras_dinolm.pictures import AttentionMaps
from keras_dinolm.pictures import Prototype
from keras_dinolm.pictures import PrototypeAtlas
from keras_dinolm.pictures import Span
from keras_dinolm.pictures import TextReader
from keras_dinolm.pictures import Tokens
from keras_dinolm.pictures import TokenSimilarity
from keras_dinolm.pictures import fonts
from keras_dinolm.pictures import plot_attention_maps
from keras_dinolm.pictures import plot_prototype_atlas
from keras_dinolm.pictures import plot_token_similarity
from keras_dinolm.pictures import write_page
from tests.pictures import pieces

VOID = {"meta", "img", "link", "br"}
NASTY = pieces.HOSTILE + " \x00\x1b \ud800 \u202e </blockquote></main>"


class Page(html.parser.HTMLParser):
    """Tags in order, their attributes, and the text; tags must be closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def pictures():
    """One of each kind, and a similarity within; nothing is computed."""
    reader = TextReader(pieces.backbone(), pieces.tokenizer())
    rng = np.random.default_rng(0)
    nasty = reader.tokens(NASTY)
    other = reader.tokens("the fox ran")
    long = reader.tokens("the " * 2_000, max_tokens=5)
    read = reader.tokens("$x_ 猫 fox", max_tokens=3)
    names = ("register 1", *read.names)
    spans = (
        Span("<b> & ", "fox", "es 猫 $x_$", cosine=0.9, times=2),
        Span("", NASTY, " " + "x" * 300, cosine=0.8),
    )
    return [
        TokenSimilarity(
            rng.uniform(-0.2, 0.9, size=(len(nasty), 4)), nasty, other
        ),
        TokenSimilarity(np.eye(6), long, long),
        AttentionMaps(
            rng.dirichlet(np.ones(5), size=(2, 2, 5)).astype("float32"),
            names,
            1,
            read,
        ),
        PrototypeAtlas(
            "token",
            "tokens",
            rng.integers(1, 99, size=12),
            tuple(Prototype(k, 9 - k, spans) for k in range(3)),
            num_texts=4,
        ),
    ]


@pytest.fixture(scope="module")
def folder(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages") / "new" / "pictures"
    with warnings.catch_warnings():
        # Such as one for each missing glyph.
        warnings.simplefilter("error")
        path = write_page(folder, pictures, "<b> & co", ["a </p> note"])
    assert path == folder / "index.html"
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "index.html").read_text(encoding="utf-8"))


def test_the_page_holds_its_images_and_loads_nothing(folder, page):
    files = sorted(folder.glob("*.png"))
    assert [f.name for f in files] == [
        "01-token-similarity.png",
        "02-token-similarity.png",
        "03-attention-layer-1.png",
        "04-attention-layer-2.png",
        "05-prototypes-token-tokens.png",
    ]
    images = page.all("img")
    for file, image in zip(files, images, strict=True):
        kind, _, data = image["src"].partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data) == file.read_bytes()
        assert data and file.read_bytes().startswith(b"\x89PNG")
        assert len(image["alt"]) > 60
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "base", "form"}
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            if name in attributes:
                assert attributes[name].startswith(("data:", "#")), tag
    policy = next(m for m in page.all("meta") if "http-equiv" in m)
    assert policy["content"].startswith("default-src 'none'")


def test_links_lead_to_the_sections(page):
    targets = [attributes["id"] for attributes in page.all("section")]
    assert len(targets) == 4
    assert [a["href"] for a in page.all("a")] == [f"#{t}" for t in targets]
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1 and len(page.all("h2")) == 4


def test_texts_are_shown_as_they_are(page):
    shown = NASTY.replace("\x00", "\ufffd").replace("\x1b", "\ufffd")
    assert shown.replace("\ud800", "\ufffd") in "".join(page.texts)
    assert page.all("blockquote")[0] == {"lang": "", "dir": "auto"}
    assert "<b> & co" in page.texts and "a </p> note" in page.texts


def test_what_is_cut_is_noted(page):
    text = " ".join(page.texts)
    assert "the first 5 of 2,000 tokens" in text
    assert "shown here to character 1,500 of 8,000" in text


def test_words_in_context_are_marked(pictures, page):
    spans = [span for p in pictures[3].prototypes for span in p.spans]
    assert len(page.all("mark")) == len(page.all("bdi")) == len(spans) == 6
    text = "".join(page.texts)
    assert spans[0].before + spans[0].text + spans[0].after in text
    assert len(page.all("table")) == len(page.all("caption")) == 3


def test_a_map_shows_the_cosines_and_names(pictures):
    similarity = pictures[0]
    axes, _ = plot_token_similarity(similarity).axes
    np.testing.assert_array_equal(
        axes.images[0].get_array(), similarity.cosines
    )
    low, high = axes.images[0].get_clim()
    assert (low, high) == (similarity.cosines.min(), 1.0)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [fonts.drawable(name) for name in similarity.rows.names]
    assert "$" in labels and "script" in labels


def test_equal_features_can_be_drawn():
    tokens = Tokens("the fox", (2, 5, 6), ("[CLS]", "the", "fox"))
    same = TokenSimilarity(np.ones((3, 3)), tokens, tokens)
    axes, _ = plot_token_similarity(same).axes
    low, high = axes.images[0].get_clim()
    assert low < high == 1.0


def test_heads_share_one_scale(pictures):
    maps = pictures[2]
    figure = plot_attention_maps(maps, layer=1)
    drawn = [axes.images[0] for axes in figure.axes[:2]]
    for image, head in zip(drawn, maps.probabilities[1]):
        np.testing.assert_array_equal(image.get_array(), head)
        assert image.get_clim() == (0.0, maps.probabilities[1].max())
    with pytest.raises(ValueError, match=r"in \[0, 1\].*layer=2"):
        plot_attention_maps(maps, layer=2)


def test_usage_is_drawn_most_used_first(pictures):
    atlas = pictures[3]
    bars, text = plot_prototype_atlas(atlas).axes
    heights = [bar.get_height() for bar in bars.patches]
    assert heights == sorted(atlas.counts, reverse=True)
    lines = [line.get_text() for line in text.texts]
    spans = [span for p in atlas.prototypes for span in p.spans]
    assert len(lines) == len(spans) + 3
    for line in lines:
        assert len(line) < 160


def test_an_atlas_of_one_prototype_and_no_span_can_be_drawn(tmp_path):
    empty = PrototypeAtlas("sequence", "spans", np.array([3, 0]), (), 3)
    write_page(tmp_path, [empty])


def test_only_characters_without_a_glyph_become_boxes():
    assert fonts.drawable("fox ·es é $ ▁") == "fox ·es é $ ▁"
    # A code point that will never be a character has no glyph anywhere.
    assert fonts.drawable("a\uffffb") == "a□b"
    assert fonts.has_boxes(["fox", "\uffff"])
    assert not fonts.has_boxes(["fox", ""])


def test_anything_else_is_no_picture(tmp_path):
    with pytest.raises(ValueError, match="(?s)TokenSimilarity.*ndarray"):
        write_page(tmp_path / "none", [np.ones((2, 2))])
    assert not (tmp_path / "none").exists()
