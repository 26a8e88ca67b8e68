"""The values of a JSON file: lines, arrays, or objects of many lines."""

import json
import re
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

from keras_dinolm.data.corpora.opening import numbered_lines

_SOME = 1 << 16
_SPACE = re.compile(r"[ \t\r\n\ufeff]*")
# Always matches at a quote, so that no text of quotes takes long. Group 1 is
# empty if the string has no end.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+\\?("|\Z)', re.DOTALL)
_decode = json.JSONDecoder().raw_decode
# What matters within a string, and outside of strings.
_QUOTED = re.compile(r'["\\]')
_PLAIN = re.compile(r'["\[\]{},]')
# An element, and its text.
_TOO_LONG = (None, None)


class Value(NamedTuple):
    """A value of a JSON file.

    Attributes:
        place: string. What to append to the path: `:3` for line 3, `[2]` for
            the third element of an array.
        value: what `json.loads` returns.
        text: string. What the value was read from; `None` if it was too long.
        error: string. Why there is no value, a plural; or `""`.
    """

    place: str
    value: Any
    text: str | None
    error: str = ""


class _Text:
    """A text stream that takes back what was read too far."""

    def __init__(self, file):
        self._file = file
        self._back = ""

    def push_back(self, text):
        self._back = text + self._back

    def read(self, size):
        text, self._back = self._back[:size], self._back[size:]
        return text or self._file.read(size)

    def readline(self, size):
        if not self._back:
            return self._file.readline(size)
        end = self._back.find("\n", 0, size) + 1
        end = end or min(size, len(self._back))
        line, self._back = self._back[:end], self._back[end:]
        if line.endswith("\n") or len(line) == size:
            return line
        return line + self._file.readline(size - len(line))


def json_values(file: Any, longest: int) -> Iterator[Value]:
    """Yields the values of a JSON file, whatever its form.

    Each line may hold a value, or several ones one after the other; a value
    may take several lines; and the whole file may be an array, of which each
    element is a value here. A line that cannot be read stops nothing. Of a
    damaged array what follows the damage cannot be read.

    Args:
        file: text stream whose lines end in `"\\n"` alone.
        longest: int. No line, and no value of several lines, with more
            characters is read. This bounds the memory.

    Yields:
        `Value`.

    Example:

    ```python
    import io
    from keras_dinolm.data.corpora.json_values import json_values

    lines = [item.value for item in json_values(io.StringIO("1\\n2"), 99)]
    array = [item.value for item in json_values(io.StringIO("[1,\\n2]"), 99)]
    assert lines == array == [1, 2]
    ```
    """
    text = _Text(file)
    if (array := _array_at_start(text, longest)) is not None:
        yield from array
        return
    lines = numbered_lines(text, longest)
    for number, line in lines:
        if line is None:
            yield Value(f":{number}", None, None)
        elif not _is_space(line):
            found = list(_line(number, line))
            if found[0].error and (_depth(line) or 0) > 0:
                found = _several_lines(number, line, lines, longest)
            yield from found


def _is_space(line):
    return not line.strip(" \t\r\n\ufeff")


def _line(number, line):
    """All values of one line, or one that says that it is none."""
    place = f":{number}"
    try:
        return [Value(place, json.loads(line.lstrip("\ufeff")), line)]
    except (ValueError, RecursionError):
        pass
    values = []
    position = _SPACE.match(line).end()
    try:
        while position < len(line):
            start = position
            value, position = _decode(line, position)
            number = len(values)
            name = f"{place}#{number + 1}" if number else place
            values.append(Value(name, value, line[start:position]))
            position = _SPACE.match(line, position).end()
    except (ValueError, RecursionError):
        return [Value(place, None, line, "lines that are not JSON")]
    return values


def _depth(line):
    """How many brackets stay open; `None` if a string does."""
    ends = []
    rest = _STRING.sub(lambda match: ends.append(match[1]) or "", line)
    if ends and not ends[-1]:
        return None
    opened = rest.count("{") + rest.count("[")
    return opened - rest.count("}") - rest.count("]")


def _several_lines(number, line, lines, longest):
    """The value that begins in a line; or all lines, one by one."""
    begun = [(number, line)]
    size, depth = len(line), _depth(line)
    for following, line in lines:
        begun.append((following, line))
        step = None if line is None else _depth(line)
        if step is None or size + len(line) > longest:
            break
        size, depth = size + len(line), depth + step
        if depth <= 0:
            break
    if depth == 0:
        whole = "".join(line for _, line in begun if line is not None)
        found = list(_line(number, whole))
        if not found[0].error:
            return found
    return _one_by_one(begun)


def _one_by_one(begun):
    for number, line in begun:
        if line is None:
            yield Value(f":{number}", None, None)
        elif not _is_space(line):
            yield from _line(number, line)


def _array_at_start(text, longest):
    """The elements of the array that the file is; `None` if it is none."""
    start = ""
    while _is_space(start) and (part := text.readline(_SOME)):
        start += part
    begin = _SPACE.match(start).end()
    if start[begin : begin + 1] != "[":
        text.push_back(start)
        return None
    if not start.endswith("\n"):
        start += text.readline(longest)
    array = _Array(text, start, begin + 1, longest)
    if not _line(1, start)[0].error and not array.is_last_line():
        # A line that is a list, among others.
        text.push_back(array.buffer)
        return None
    if array.is_empty():
        return []
    first = array.value()
    # One element could be a broken line that opens a bracket.
    if first is None or not array.goes_on():
        text.push_back(array.buffer)
        return None
    return array.elements(first)


class _Array:
    """Elements of an array, with one of them at a time in memory."""

    def __init__(self, text, buffer, position, longest):
        self.buffer = buffer
        self._text = text
        self._position = position
        self._longest = longest
        self._begun = False

    def is_last_line(self):
        """Whether nothing but space follows what was read so far."""
        end = len(self.buffer)
        while _is_space(self.buffer[end:]) and self._more():
            pass
        return _is_space(self.buffer[end:])

    def is_empty(self):
        return self._next() == "]"

    def goes_on(self):
        return self._next() in ("", ",", "]")

    def elements(self, first):
        """Yields the elements, of which the first was read."""
        # From now on, it is an array: what was read can be forgotten.
        self._begun = True
        index, found = 0, first
        while found is not None:
            yield Value(f"[{index}]", *found)
            index += 1
            if self._next() == "]":
                return
            if self._next() != ",":
                break
            self._position += 1
            found = self.value()
        reason = "JSON arrays that are damaged or cut off (read up to there)"
        yield Value(f"[{index}]", None, "", reason)

    def value(self):
        """An element and its text; `None` if there is none.

        The text is `None`, too, if the element is too long.
        """
        self._next()
        while True:
            try:
                value, end = _decode(self.buffer, self._position)
                # A number may have more digits in what follows.
                if end < len(self.buffer) or not self._more():
                    text = self.buffer[self._position : end]
                    self._position = end
                    return value, text
                continue
            except (ValueError, RecursionError):
                size = len(self.buffer) - self._position
                if size > self._longest:
                    return _TOO_LONG if self._pass() else None
                if not self._more():
                    return None

    def _pass(self):
        """Goes to the end of an element; returns whether it is too long.

        What is broken and shorter has no end that could be trusted.
        """
        depth = length = 0
        quoted = False
        while self._begun:
            pattern = _QUOTED if quoted else _PLAIN
            match = pattern.search(self.buffer, self._position)
            end = match.start() if match else len(self.buffer)
            length += end - self._position
            self._position = end
            # The character that a backslash escapes must be there as well.
            if match is None or end + 1 == len(self.buffer):
                if not self._more():
                    return False
                continue
            mark = match[0]
            if not quoted and depth == 0 and mark in ",]}":
                break
            step = 2 if mark == "\\" else 1
            length += step
            self._position += step
            if mark == '"':
                quoted = not quoted
            elif mark in "[{":
                depth += 1
            elif mark in "]}":
                depth -= 1
            if mark in '"]}' and depth == 0 and not quoted:
                break
        return length > self._longest

    def _next(self):
        """Goes to the next character that is no space, and returns it."""
        while True:
            self._position = _SPACE.match(self.buffer, self._position).end()
            if self._position < len(self.buffer):
                return self.buffer[self._position]
            if not self._more():
                return ""

    def _more(self):
        # By doubling, a long element is not tried too often.
        part = self._text.read(max(_SOME, len(self.buffer) - self._position))
        if part and self._begun:
            self.buffer = self.buffer[self._position :] + part
            self._position = 0
        else:
            self.buffer += part
        return bool(part)
