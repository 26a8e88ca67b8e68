"""All pictures of a run as PNG files and one page of HTML."""

import base64
import io
import pathlib
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from keras_dinolm import arguments
from keras_dinolm import files
from keras_dinolm.pictures.attention_maps import AttentionMaps
from keras_dinolm.pictures.fonts import BOX
from keras_dinolm.pictures.fonts import has_boxes
from keras_dinolm.pictures.markup import clean
from keras_dinolm.pictures.markup import quotation
from keras_dinolm.pictures.markup import table_of_spans
from keras_dinolm.pictures.markup import wrap
from keras_dinolm.pictures.plot_attention_maps import plot_attention_maps
from keras_dinolm.pictures.plot_prototype_atlas import plot_prototype_atlas
from keras_dinolm.pictures.plot_token_similarity import plot_token_similarity
from keras_dinolm.pictures.prototype_atlas import PrototypeAtlas
from keras_dinolm.pictures.token_similarity import TokenSimilarity
from keras_dinolm.typing import Path

_DOTS_PER_INCH = 130
PAGE = "index.html"


def write_page(
    directory: Path,
    pictures: Sequence[Any],
    title: str = "What the encoder sees",
    notes: Sequence[str] = (),
) -> pathlib.Path:
    """Draws pictures as PNG files, and shows them on one page.

    The page, `index.html`, holds the images itself and loads nothing: it can
    be sent as one file. It follows the reader's choice of light or dark,
    describes every image in words, and shows texts as text, whatever is in
    them.

    Args:
        directory: string or path. A folder, made if it is not there. Files of
            an earlier page are written over.
        pictures: list of `TokenSimilarity`, `AttentionMaps` and
            `PrototypeAtlas`.
        title: string. The heading.
        notes: sequence of strings, paragraphs below the heading: where the
            encoder comes from, what was left out.

    Returns:
        `pathlib.Path` of the page.

    Raises:
        ValueError: if one of the pictures is none of these.
        FileExistsError: if the folder holds files of the same names that are
            not of an earlier page.

    Example:

    ```python
    import numpy as np
    import keras_dinolm as kd

    tokens = kd.pictures.Tokens("Foxes", (2, 7, 8), ("[CLS]", "fox", "·es"))
    similarity = kd.pictures.TokenSimilarity(np.eye(3), tokens, tokens)
    page = kd.pictures.write_page("pictures", [similarity])
    print(page)  # pictures/index.html
    ```
    """
    directory = arguments.path("directory", directory)
    arguments.string("title", title)
    notes = arguments.strings("notes", notes)
    arguments.instance("pictures", pictures, Iterable, "a list of pictures")
    pictures = list(pictures)
    if not pictures:
        arguments.refuse("pictures", pictures, "at least one picture")
    for picture in pictures:
        if type(picture) not in _SECTIONS:
            names = ", ".join(kind.__name__ for kind in _SECTIONS)
            raise ValueError(
                f"Argument `pictures` must hold {names}. Received: "
                f"{picture!r} (of type {type(picture).__name__})"
            )
    files.claim_folder(
        directory, "page of pictures", [PAGE, "[0-9][0-9]-*.png"]
    )
    images = _Images(directory)
    sections = [
        _SECTIONS[type(picture)](picture, images) for picture in pictures
    ]
    path = directory / PAGE
    files.write_text(path, wrap(title, notes, sections))
    return path


class _Images:
    """Numbers and saves figures, and makes them part of the page."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.count = 0

    def add(
        self, figure: Figure, name: str, description: str, names: Iterable[str]
    ) -> str:
        """Saves a figure.

        Args:
            figure: matplotlib figure.
            name: string, part of the file's name.
            description: string, the image in words.
            names: strings that the image shows.

        Returns:
            HTML.
        """
        self.count += 1
        path = self.directory / f"{self.count:02d}-{name}.png"
        image = io.BytesIO()
        figure.savefig(image, dpi=_DOTS_PER_INCH, format="png")
        with files.write_file(path) as file:
            file.write(image.getvalue())
        data = base64.b64encode(image.getvalue()).decode("ascii")
        note = ""
        if has_boxes(names):
            note = (
                f"<figcaption>{BOX} replaces characters that no font has on "
                "the machine that drew this.</figcaption>"
            )
        return (
            f'<figure><img src="data:image/png;base64,{data}" '
            f'alt="{clean(description)}">{note}</figure>'
        )


def _token_similarity(similarity, images):
    rows, columns = similarity.rows, similarity.columns
    image = images.add(
        plot_token_similarity(similarity),
        "token-similarity",
        similarity.describe(),
        [*rows.names, *columns.names],
    )
    if similarity.within:
        title = "Token similarity within a text"
        texts = quotation(rows, "Text")
    else:
        title = "Token similarity between two texts"
        texts = quotation(rows, "Text A, the rows")
        texts += quotation(columns, "Text B, the columns")
    return title, texts + image


def _attention_maps(maps, images):
    body = quotation(maps.tokens, "Text")
    body += (
        "<p>A row shows what its token attends to. Registers come first, "
        "then [CLS] and the text.</p>"
    )
    for layer in range(len(maps.probabilities)):
        body += f"<h3>Layer {layer + 1}</h3>" + images.add(
            plot_attention_maps(maps, layer),
            f"attention-layer-{layer + 1}",
            maps.describe(layer),
            maps.names,
        )
    return "Attention by layer and head", body


def _prototype_atlas(atlas, images):
    spans = [span for p in atlas.prototypes for span in p.spans]
    image = images.add(
        plot_prototype_atlas(atlas),
        f"prototypes-{atlas.head}-{atlas.unit}",
        atlas.describe() + " The list below has the same in words.",
        [span.before + span.text + span.after for span in spans],
    )
    body = f"<p>{clean(atlas.describe())} Of those that belong to it, the "
    body += f"nearest {atlas.unit} of each prototype are listed.</p>"
    body += f"<details><summary>As a picture</summary>{image}</details>"
    for prototype in atlas.prototypes:
        body += table_of_spans(prototype, atlas.unit)
    return f"Prototypes: {atlas.unit} by the {atlas.head} head", body


_SECTIONS = {
    TokenSimilarity: _token_similarity,
    AttentionMaps: _attention_maps,
    PrototypeAtlas: _prototype_atlas,
}
