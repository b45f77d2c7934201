"""JSON of any length, read member by member: only one member is in memory at a time.

A buffer holds the text that is not read yet; ``json``'s own scanner takes values off its front, and where a value is
cut by the buffer's end, as much again is read and the value tried anew, so that each character is scanned at most
about three times. A member longer than ``MAX_MEMBER`` characters, and nesting deeper than ``MAX_DEPTH`` on the way to
a list, are refused. Source: RFC 8259.

>>> import io
>>> list(JsonStream(io.BytesIO(b'[{"a": 1}, 2]'), "x.json").members())
[{'a': 1}, 2]
>>> list(JsonStream(io.BytesIO(b'{"name": "x", "chats": {"list": [{"messages": [1, 2]}]}}'), "x").lists("messages"))
[1, 2]
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from rodagila.core.errors import InvalidInput

BLOCK = 2**19
MAX_MEMBER = 16 * 2**20
MAX_DEPTH = 32
_SPACE = re.compile(r"[ \t\r\n]*")
_CUT_NUMBER = 2  # of a number cut as ``1.`` or ``1e+`` the scanner takes the 1, and leaves at most so many characters
_NEAR_END = 16  # a value cut by the buffer's end fails at most so many characters before it


class JsonStream:
    """A reader over the JSON text of ``stream``; ``name`` is what errors call it."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self._name = stream, name
        self._bytes = codecs.getincrementaldecoder("utf-8-sig")()
        self._decoder = json.JSONDecoder()
        self._text, self._at, self._ended = "", 0, False

    def members(self) -> Iterator[Any]:
        """Yield the members of the list that the text is; raises ``InvalidInput`` json_malformed, record_too_large."""
        if self._peek() != "[":
            raise self._broken("it is not a list")
        yield from self._members()
        self._require_end()

    def lists(self, key: str) -> Iterator[Any]:
        """Yield the members of every list that stands under ``key``, at any depth outside such a list.

        Raises ``InvalidInput`` json_malformed, record_too_large.
        """
        yield from self._search(key, 0)
        self._require_end()

    def _search(self, key: str, depth: int) -> Iterator[Any]:
        opening = self._peek()
        if opening not in {"{", "["}:
            self._value()
            return
        if depth == MAX_DEPTH:
            raise self._broken(f"it is nested deeper than {MAX_DEPTH} times")
        closing = "}" if opening == "{" else "]"
        self._at += 1
        if self._peek() == closing:
            self._at += 1
            return
        while True:
            name = self._key() if opening == "{" else None
            if name == key and self._peek() == "[":
                yield from self._members()
            else:
                yield from self._search(key, depth + 1)
            if self._after_member(closing):
                return

    def _key(self) -> str:
        if self._peek() != '"':
            raise self._broken("a name of a field is missing")
        name = self._value()
        if self._peek() != ":":
            raise self._broken("a colon is missing")
        self._at += 1
        return str(name)

    def _members(self) -> Iterator[Any]:
        self._at += 1
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            self._peek()
            yield self._value()
            if self._after_member("]"):
                return

    def _after_member(self, closing: str) -> bool:
        """Step over what follows a member; tell whether it was the last."""
        found = self._peek()
        if found not in {",", closing}:
            raise self._broken("a comma or an end is missing")
        self._at += 1
        return found == closing

    def _peek(self) -> str:
        """Return the next character that is no space; raises where the text ends."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                raise self._broken("it ends too early")

    def _value(self) -> Any:
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except RecursionError:
                raise self._broken("a member is nested too deep") from None
            except ValueError as error:
                if self._cannot_be_cut(error) or not self._more():
                    raise self._broken("a member is not valid JSON") from None
                continue
            if end + _CUT_NUMBER < len(self._text) or not isinstance(value, (int, float)) or not self._more():
                self._at = end
                return value

    def _cannot_be_cut(self, error: ValueError) -> bool:
        """Tell whether a value is wrong for good, not merely cut by the buffer's end."""
        if not isinstance(error, json.JSONDecodeError) or error.msg.startswith("Unterminated string"):
            return False
        return error.pos < len(self._text) - _NEAR_END

    def _more(self) -> bool:
        """Read another block, at least as long as what is left; return False at the end."""
        if self._ended:
            return False
        left = len(self._text) - self._at
        if left > MAX_MEMBER:
            raise InvalidInput(
                "record_too_large",
                f"{self._name!r} has a member of more than {MAX_MEMBER:,} characters.",
                hint="Leave that file out of the export.",
            )
        block = self._stream.read(max(BLOCK, left))
        self._ended = not block
        try:
            text = self._bytes.decode(block, final=self._ended)
        except UnicodeDecodeError:
            raise self._broken("it is not UTF-8 text") from None
        shift = self._at
        self._text, self._at = self._text[shift:] + text, 0
        return True

    def _require_end(self) -> None:
        """Refuse text after the value."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                raise self._broken("something follows its end")
            if not self._more():
                return

    def _broken(self, what: str) -> InvalidInput:
        return InvalidInput(
            "json_malformed", f"{self._name!r} is not whole JSON: {what}.", hint="Download the export again."
        )
