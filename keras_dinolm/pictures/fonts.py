"""What matplotlib can draw on this machine."""

import functools
from collections.abc import Iterable

from matplotlib import font_manager

# The first comes with matplotlib. The others serve scripts that it lacks, where
# they are installed.
_FAMILIES = (
    "DejaVu Sans",
    "Noto Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Bengali",
    "Noto Sans Tamil",
    "Noto Sans Thai",
    "Arial Unicode MS",
    "Noto Emoji",
    "Segoe UI Symbol",
    "Segoe UI Emoji",
    "Symbola",
)
# Replaces a character that no font has.
BOX = "\u25a1"


@functools.cache
def families() -> list[str]:
    """Those of the fonts above that are installed."""
    installed = set(font_manager.get_font_names())
    return [name for name in _FAMILIES if name in installed]


@functools.cache
def _drawable():
    """All code points that one of these fonts has."""
    found = set()
    for name in families():
        path = font_manager.findfont(name)
        found.update(font_manager.get_font(path).get_charmap())
    return frozenset(found)


def drawable(text: str) -> str:
    """The text with a box for each character that cannot be drawn.

    Matplotlib would warn about each of them, each time.
    """
    return "".join(c if ord(c) in _drawable() else BOX for c in text)


def has_boxes(texts: Iterable[str]) -> bool:
    """Whether `drawable` changes any of these texts."""
    return any(drawable(text) != text for text in texts)
