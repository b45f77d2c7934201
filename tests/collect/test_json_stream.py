"""JSON read member by member is what json reads at once, in little memory."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rodagila.collect import json_stream
from rodagila.collect.json_stream import JsonStream
from rodagila.core.errors import RodaError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def stream(text: str | bytes) -> JsonStream:
    return JsonStream(io.BytesIO(text.encode() if isinstance(text, str) else text), "x.json")


@settings(max_examples=150, deadline=None)
@given(st.lists(VALUES, max_size=6), st.sampled_from([None, 1]), st.integers(1, 9))
def test_members_are_those_of_json_however_the_text_is_cut(values: list[Any], indent: int | None, block: int) -> None:
    before, json_stream.BLOCK = json_stream.BLOCK, block
    try:
        assert list(stream(json.dumps(values, indent=indent)).members()) == values
        wrapped = json.dumps({"a": [1, {"wanted": values}], "wanted": 3, "b": {}})
        assert list(stream(wrapped).lists("wanted")) == values
    finally:
        json_stream.BLOCK = before


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='[]{}",:\\ua1eE+-. tnw', max_size=40) | st.binary(max_size=30).map(lambda b: "[" + str(b)))
def test_any_text_is_read_or_refused_as_json_does(text: str) -> None:
    try:
        expected = json.loads(text)
    except (ValueError, RecursionError):
        expected = None
    try:
        found = list(stream(text).members())
    except RodaError as error:
        assert error.code == "json_malformed"
        assert not isinstance(expected, list)
    else:
        assert found == expected
    try:
        list(stream(text).lists("w"))
    except RodaError:
        assert expected is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[",
        "[1",
        "[1,]",
        "[1 2]",
        "[1] 2",
        '["a',
        "[tru]",
        b'["\xff"]',
        "[" * 100_000,
        "[" + "9" * 5_000 + "]",
    ],
)
def test_what_is_no_list_is_refused_by_one_sentence(text: str | bytes) -> None:
    with pytest.raises(RodaError) as caught:
        list(stream(text).members())
    assert caught.value.code == "json_malformed"
    with pytest.raises(RodaError):
        list(stream(text if text != "{}" else "{]").lists("w"))


class Endless(io.RawIOBase):
    """A file that never ends: one string without its closing quote."""

    read_bytes = 0

    def read(self, size: int = -1) -> bytes:
        if not self.read_bytes:
            self.read_bytes = 2
            return b'["'
        self.read_bytes += size
        return b"a" * size


def test_a_member_without_end_is_refused_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "MAX_MEMBER", 2**20)
    endless = Endless()
    with pytest.raises(RodaError) as caught:
        list(JsonStream(endless, "x.json").members())  # type: ignore[arg-type]
    assert caught.value.code == "record_too_large"
    assert endless.read_bytes <= 2**22


def test_a_long_list_is_read_in_little_memory() -> None:
    text = ("[" + ",".join(['{"text": "' + "x" * 1_000 + '"}'] * 20_000) + "]").encode()
    tracemalloc.start()
    try:
        assert sum(1 for _ in stream(text).members()) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 2**23  # a fifth of the text; BytesIO shares its bytes
    finally:
        tracemalloc.stop()
