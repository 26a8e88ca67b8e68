"""F1 of named entities."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from keras_dinolm import arguments


def entity_f1(
    true_tags: Sequence[Sequence[str]], predicted_tags: Sequence[Sequence[str]]
) -> float:
    """Micro-averaged F1 of whole entities, as CoNLL's evaluation script.

    An entity counts as found if its first token, its last token and its type
    are all right. Tags are `O`, `B-type` (an entity begins) and `I-type` (it
    continues). As in the script, an `I-` that does not continue an entity of
    its type begins a new one.

    Args:
        true_tags: Sequence of sentences, each a sequence of tags.
        predicted_tags: The same for the predictions, of the same lengths.

    Returns:
        Float from 0 to 1. 0 if nothing was predicted rightly.

    Raises:
        ValueError: If lengths differ, a tag has another form, or `true_tags`
            holds no entity at all.

    Example:

    ```python
    from keras_dinolm.evaluation import entity_f1

    true = [["B-PER", "I-PER", "O", "B-LOC"]]
    predicted = [["B-PER", "O", "O", "B-LOC"]]  # one of two is whole
    print(entity_f1(true, predicted))  # 0.5
    ```

    Reference:

    - [Tjong Kim Sang & De Meulder, 2003](https://aclanthology.org/W03-0419)
    """
    true = _sentences("true_tags", true_tags)
    predicted = _sentences("predicted_tags", predicted_tags)
    if [len(tags) for tags in true] != [len(tags) for tags in predicted]:
        raise ValueError(
            "`predicted_tags` must have as many tags in each sentence as "
            f"`true_tags`. Received: {len(predicted)} sentences with "
            f"{sum(map(len, predicted))} tags, where `true_tags` has "
            f"{len(true)} with {sum(map(len, true))}."
        )
    found, num_true, num_predicted = 0, 0, 0
    for tags, guesses in zip(true, predicted, strict=True):
        entities, guessed = set(_entities(tags)), set(_entities(guesses))
        found += len(entities & guessed)
        num_true += len(entities)
        num_predicted += len(guessed)
    if num_true == 0:
        raise ValueError(
            "`true_tags` must hold at least one entity (a tag such as "
            f"'B-PER'). Received: {len(true)} sentences of 'O' alone."
        )
    return 2.0 * found / (num_true + num_predicted)


def check_tag(name: str, tag: Any) -> tuple[str, str]:
    """Splits a tag into its prefix and its type.

    Raises:
        ValueError: If it is none of `O`, `B-type`, `I-type`.
    """
    if tag == "O":
        return "O", ""
    prefix, dash, kind = (
        tag.partition("-") if isinstance(tag, str) else ("", "", "")
    )
    if prefix not in ("B", "I") or not dash or not kind:
        raise ValueError(
            f"`{name}` must hold tags 'O', 'B-type' and 'I-type'. "
            f"Received: {tag!r}."
        )
    return prefix, kind


def as_sentences(name: str, sentences: Any) -> list[list[Any]]:
    """Returns tags as a list of lists.

    Raises:
        ValueError: If they are no list of lists.
    """
    rows = _as_list(sentences)
    found = None if rows is None else [_as_list(row) for row in rows]
    if found is None or None in found:
        arguments.refuse(name, sentences, "a list of sentences, lists of tags")
    return found


def _as_list(value):
    """The items of what can be iterated over, or `None`."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(
        value, Iterable
    ):
        return None
    return list(value)


def _sentences(name, sentences):
    return [
        [check_tag(name, tag) for tag in tags]
        for tags in as_sentences(name, sentences)
    ]


def _entities(tags):
    """Yields `(first, last, type)` of each entity."""
    start, kind = None, ""
    for place, (prefix, new) in enumerate([*tags, ("O", "")]):
        if start is not None and (prefix != "I" or new != kind):
            yield start, place - 1, kind
            start = None
        if start is None and prefix != "O":
            start, kind = place, new
