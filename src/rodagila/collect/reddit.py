"""Reddit's answer to a request for one's data: ``posts.csv`` and ``comments.csv`` are one's own words.

Other tables of that export (votes, saved posts, addresses of the network, chats) are not read. A post's title is its
first line; what was removed since stands there as ``[deleted]`` or ``[removed]`` and counts as no text.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import BinaryIO

from rodagila.collect.archive import Files
from rodagila.collect.message import Item, Message, Source
from rodagila.collect.plain import text_lines
from rodagila.collect.sources import LineProblem
from rodagila.core.policy import RecordRules

_TABLES = ("posts.csv", "comments.csv")
_GONE = ("[deleted]", "[removed]")
_MAX_LINE = 131_072  # csv refuses longer fields by itself


def _recognises(name: str, head: bytes) -> bool:
    header = head.splitlines()[0] if head else b""
    return PurePosixPath(name).name.lower() in _TABLES and b"permalink" in header and b"body" in header


def _read(files: Files, name: str, rules: RecordRules) -> Iterator[Item]:
    with files.open(name) as stream:
        yield from rows_of(stream, name)


def rows_of(stream: BinaryIO, name: str) -> Iterator[Item]:
    """Yield the posts or comments of a table; raises ``InvalidInput`` file_unreadable."""
    rows = csv.reader(text_lines(stream, name, _MAX_LINE))
    header: list[str] = []
    while True:
        try:
            values = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield LineProblem(rows.line_num, "row_malformed", f"Line {rows.line_num} is not a CSV row: {error}.")
            continue
        if not header:
            header = values
        elif len(values) != len(header):
            message = f"Line {rows.line_num} has {len(values)} columns; the header has {len(header)}."
            yield LineProblem(rows.line_num, "row_malformed", message)
        else:
            yield _message(dict(zip(header, values, strict=True)))


def _message(row: dict[str, str]) -> Message:
    parts = [part.strip() for part in (row.get("title", ""), row.get("body", ""))]
    text = "\n".join(part for part in parts if part and part not in _GONE)
    return Message(text, at=_moment(row.get("date", "")))


def _moment(text: str) -> int | None:
    try:
        return int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        return None


REDDIT = (Source("reddit", _recognises, _read),)
