"""The HTML around pictures. Texts are shown and never interpreted."""

import html
import re
from collections.abc import Sequence

from keras_dinolm.pictures.prototype_atlas import Prototype
from keras_dinolm.pictures.tokens import Tokens

# Longer texts are cut on the page, with a note of how much is missing.
_LONGEST = 1_500
# HTML allows no control characters (except tab and line ends), no halves of
# surrogate pairs and no code points that are no characters.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem;
  max-width: 60rem; }
h1, h2, h3 { line-height: 1.2; }
h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
figure { margin: 1rem 0; overflow-x: auto; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
blockquote { margin: .5rem 0; padding: .5rem 1rem; background: var(--soft);
  border-inline-start: 3px solid var(--line); white-space: pre-wrap;
  overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
caption { text-align: start; font-weight: bold; }
th, td { text-align: start; vertical-align: top; padding: .2rem .6rem;
  border-top: 1px solid var(--line); }
td.number { font-variant-numeric: tabular-nums; width: 4rem; }
td.text { overflow-wrap: anywhere; }
mark { padding: 0 .2em; border-radius: 3px; }
"""


def clean(text: str) -> str:
    """A text for use between tags or within a quoted attribute."""
    return html.escape(_FORBIDDEN.sub("\ufffd", text), quote=True)


def quotation(tokens: Tokens, label: str) -> str:
    """The text of `Tokens`, with a note of what is left out."""
    text = tokens.text
    note = f"{label}: {tokens.count()}"
    if len(text) > _LONGEST:
        note += f", shown here to character {_LONGEST:,} of {len(text):,}"
        text = text[:_LONGEST]
    # The language of a text is not known. Its direction is detected.
    return (
        f"<p>{clean(note)}</p>"
        f'<blockquote lang="" dir="auto">{clean(text)}</blockquote>'
    )


def table_of_spans(prototype: Prototype, unit: str) -> str:
    """A prototype with its nearest spans."""
    rows = "".join(
        f'<tr><td class="number">{span.cosine:.2f}</td>'
        f'<td class="number">{span.times:,}</td>'
        f'<td class="text"><bdi lang="">{_marked(span)}</bdi></td></tr>'
        for span in prototype.spans
    )
    return (
        f"<table><caption>Prototype {prototype.index}: "
        f"{prototype.count:,} {unit}</caption>"
        '<thead><tr><th scope="col">cosine</th><th scope="col">times</th>'
        f'<th scope="col">{unit}</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _marked(span):
    text = clean(span.text)
    if not (span.before or span.after):
        return text
    return f"{clean(span.before)}<mark>{text}</mark>{clean(span.after)}"


def wrap(
    title: str, notes: Sequence[str], sections: Sequence[tuple[str, str]]
) -> str:
    """The whole page.

    Args:
        title: string.
        notes: sequence of strings.
        sections: list of `(title, html)`.

    Returns:
        String.
    """
    links = "".join(
        f'<li><a href="#part-{i}">{clean(name)}</a></li>'
        for i, (name, _) in enumerate(sections, 1)
    )
    body = "".join(
        f'<section id="part-{i}"><h2>{clean(name)}</h2>{content}</section>\n'
        for i, (name, content) in enumerate(sections, 1)
    )
    paragraphs = "".join(f"<p>{clean(note)}</p>" for note in notes)
    # The page loads nothing and runs no script.
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{clean(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header><h1>{clean(title)}</h1>{paragraphs}</header>
<nav aria-label="Contents"><ol>{links}</ol></nav>
<main>
{body}</main>
</body>
</html>
"""
