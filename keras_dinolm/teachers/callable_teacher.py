"""Functions, and any object with `encode`, as teachers."""

from collections.abc import Callable
from typing import Any

from keras_dinolm.teachers.teacher import PROBES
from keras_dinolm.teachers.teacher import Teacher
from keras_dinolm.teachers.teacher import digest_of
from keras_dinolm.teachers.teacher import digest_of_features


class CallableTeacher(Teacher):
    """A teacher that is a function of texts.

    Args:
        function: callable. Takes a list of str, returns an array
            `[texts, dim]`.
        tokens: callable. Takes a list of str, returns for each an array of
            features `[tokens, dim]` and integers `[tokens, 2]`, the spans of
            the tokens in characters. `None` for no features of tokens.
        owner: what the two belong to, for the fingerprint and messages.
        prompt: str that is put before each text.
    """

    def __init__(
        self,
        function: Callable,
        tokens: Callable | None = None,
        owner: Any = None,
        prompt: str = "",
    ):
        super().__init__(prompt)
        self.function = function
        self.tokens = tokens
        self.owner = function if owner is None else owner
        self.has_tokens = tokens is not None

    def fingerprint(self) -> str:
        """The owner's, or its name with its features of a few texts.

        An owner may have a method `fingerprint` that returns a string.
        """
        known = getattr(self.owner, "fingerprint", None)
        if callable(known) and not isinstance(self.owner, type):
            return digest_of("own", str(known()), self.prompt)
        with self.silence():
            pooled, found = self.encode_both(PROBES)
        parts = [_name(self.owner), self.prompt, digest_of_features(pooled)]
        for tokens, spans in found or ():
            parts += [spans.tolist(), digest_of_features(tokens)]
        return digest_of(*parts)

    def vocabulary(self) -> list[str] | None:
        """What the owner's method `vocabulary` returns, if there is one."""
        known = getattr(self.owner, "vocabulary", None)
        return list(known()) if callable(known) else None

    def _encode(self, texts):
        return self.function(texts)

    def _encode_both(self, texts):
        return self.function(texts), list(self.tokens(texts))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {_name(self.owner)}>"


def _name(owner):
    """The name of a function or of an object's class, without an address."""
    named = owner if hasattr(owner, "__qualname__") else type(owner)
    return f"{named.__module__}.{named.__qualname__}"
