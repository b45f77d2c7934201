"""Plain exports: tables of records (JSON lines, JSON list, CSV, Parquet) and folders of text or Markdown.

A table has the columns of `sources` and no others. A text is cut at blank lines into records of at most
``TEXT_CHARS`` characters; Markdown's headings begin a new one. Parquet is read by row groups, its pages unpacked
only below ``MAX_GROUP_BYTES``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from rodagila.collect.archive import Files
from rodagila.collect.message import Item, Message, Source
from rodagila.collect.sources import COLUMNS, LineProblem, SourceRow, record_row, stream_rows
from rodagila.core.errors import InvalidInput
from rodagila.core.policy import RecordRules

TEXT_CHARS = 2_000
MAX_GROUP_BYTES = 128 * 2**20
_TEXTS = (".txt", ".md", ".markdown")
_BATCH = 1_024


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _recognises_table(name: str, head: bytes) -> bool:
    return _suffix(name) in {".jsonl", ".ndjson", ".json", ".csv"}


def _read_table(files: Files, name: str, rules: RecordRules) -> Iterator[Item]:
    with files.open(name) as stream:
        for row in stream_rows(stream, _suffix(name), rules):
            yield _message(row)


def _message(row: SourceRow | LineProblem) -> Item:
    if isinstance(row, LineProblem):
        return row
    return Message(row.record.text, answer=row.record.answer, label=row.record.label)


def _recognises_parquet(name: str, head: bytes) -> bool:
    return head.startswith(b"PAR1")


def _read_parquet(files: Files, name: str, rules: RecordRules) -> Iterator[Item]:
    import pyarrow
    import pyarrow.parquet

    with files.open(name) as stream:
        if not stream.seekable():
            raise _no_parquet(name, "it cannot be read out of this archive; unpack it")
        try:
            yield from _parquet_rows(pyarrow.parquet.ParquetFile(stream), name, rules)
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _no_parquet(name, type(error).__name__) from error


def _parquet_rows(file: Any, name: str, rules: RecordRules) -> Iterator[Item]:
    unknown = sorted(set(file.schema_arrow.names) - set(COLUMNS))
    if unknown:
        shown = ", ".join(repr(column[:80]) for column in unknown[:20])
        raise InvalidInput(
            "unknown_columns",
            f"{name!r} has columns that the policy does not know: {shown}; nothing was taken.",
            hint=f"Keep only {', '.join(COLUMNS)}.",
        )
    sizes = [file.metadata.row_group(group).total_byte_size for group in range(file.metadata.num_row_groups)]
    if any(not 0 <= size <= MAX_GROUP_BYTES for size in sizes):
        raise _no_parquet(name, f"a row group has more than {MAX_GROUP_BYTES:,} bytes")
    line = 0
    for batch in file.iter_batches(batch_size=_BATCH, use_threads=False):
        for body in batch.to_pylist():
            line += 1
            yield _message(record_row(line, body, rules))


def _no_parquet(name: str, what: str) -> InvalidInput:
    return InvalidInput("file_unreadable", f"{name!r} cannot be read as Parquet: {what}.", hint="Write it anew.")


def _recognises_text(name: str, head: bytes) -> bool:
    return _suffix(name) in _TEXTS


def _read_text(files: Files, name: str, rules: RecordRules) -> Iterator[Item]:
    with files.open(name) as stream:
        parts: list[str] = []
        length = 0
        for line in text_lines(stream, name):
            heading = _suffix(name) != ".txt" and bool(re.match(r"#{1,6} ", line))
            blank = not line.strip()
            if parts and (heading or length + len(line) > TEXT_CHARS or (blank and length > TEXT_CHARS // 2)):
                yield Message("".join(parts).strip())
                parts, length = [], 0
            if not blank or parts:
                parts.append(line)
                length += len(line)
        if "".join(parts).strip():
            yield Message("".join(parts).strip())


def text_lines(stream: BinaryIO, name: str, limit: int = 65_536) -> Iterator[str]:
    """Yield the lines of UTF-8 text with their ends, cut at ``limit`` bytes; raises file_unreadable."""
    first = True
    kept = b""
    while raw := stream.readline(limit):
        raw, kept = kept + raw, b""
        if first:
            raw, first = raw.removeprefix(b"\xef\xbb\xbf"), False
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.reason != "unexpected end of data" or len(raw) < limit:
                raise _no_text(name) from None
            text, kept = raw[: error.start].decode("utf-8"), raw[error.start :]
        if "\0" in text:
            raise _no_text(name)
        yield text
    if kept:
        raise _no_text(name)


def _no_text(name: str) -> InvalidInput:
    return InvalidInput("file_unreadable", f"{name!r} is not UTF-8 text.", hint="Save the file as UTF-8.")


PLAIN = (
    Source("parquet", _recognises_parquet, _read_parquet),
    Source("table", _recognises_table, _read_table),
    Source("text", _recognises_text, _read_text),
)
