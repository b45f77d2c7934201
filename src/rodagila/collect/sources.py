"""Sources: files of records, read line by line with every limit in force.

JSON lines (``.jsonl``, ``.ndjson``), a JSON list (``.json``) and CSV (``.csv``, header required) with the columns
``owner`` (optional), ``text``, ``label`` and ``answer``. A column outside these refuses the whole file, so that nobody
gives away a field she did not know was there. A bad line is named by its number; the policy says whether the rest is
taken (``on_malformed = "skip"``) or nothing is (``"refuse"``). A JSON list cannot be read past a syntax error, so that
refuses it always. Nothing is read unbounded: files, lines and fields have limits.

>>> reading = read_records(Path("export.jsonl"), policy.records)               # doctest: +SKIP
>>> [problem.line for problem in reading.problems]                             # doctest: +SKIP
[17]
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rodagila.core.canonical import canonical_json
from rodagila.core.errors import InvalidInput, NotFound
from rodagila.core.policy import RecordRules
from rodagila.core.records import Record

COLUMNS = ("owner", "text", "label", "answer")
MAX_FILE_BYTES = 256 * 2**20
_ESCAPED = 6  # one byte of text takes at most six in JSON: \\u0041
_SLACK = 4_096
_SPACE = re.compile(r"[ \t\r\n]*")
_REPORT_EVERY = 1_000
Progress = Callable[[int, int], None]
"""``progress(bytes_read, bytes_in_all)``."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One record with the owner its source names (empty if none) and the line it began on, from 1."""

    owner: str
    record: Record
    line: int


@dataclass(frozen=True, slots=True)
class LineProblem:
    """A line that was not taken: its number from 1, a stable error code, one sentence."""

    line: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class SourceReading:
    """What a source gave: the rows in its order, and what was left out and why."""

    rows: tuple[SourceRow, ...]
    problems: tuple[LineProblem, ...]


Item = tuple[int, Any] | LineProblem
"""A line number with a decoded value, or why the line gave none."""


def read_records(path: Path, rules: RecordRules, *, progress: Progress | None = None) -> SourceReading:
    """Read the records of ``path`` in order, under ``rules``.

    Raises ``NotFound`` file_unknown; ``InvalidInput`` file_empty, file_too_large, file_unreadable (not UTF-8, binary,
    another format), unknown_columns, json_malformed for a broken JSON list; and with ``on_malformed = "refuse"`` the
    first problem's code: json_malformed, record_invalid, record_too_large, row_malformed.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise _unreadable(f"{path.name!r} is not a .jsonl, .ndjson, .json or .csv file", "Export it in one of these.")
    rows: list[SourceRow] = []
    problems: list[LineProblem] = []
    total = _size_of(path)
    try:
        with path.open("rb") as file:
            for count, item in enumerate(reader(file, rules)):
                _take(item, rules, rows, problems)
                if progress and count % _REPORT_EVERY == 0:
                    progress(file.tell(), total)
    except OSError as error:
        raise _unreadable(f"{path.name!r} cannot be read: {error.strerror}", "Check its permissions.") from error
    if not rows and not problems:
        raise InvalidInput("file_empty", f"{path.name!r} holds no records.", hint="Check that the export is complete.")
    return SourceReading(tuple(rows), tuple(problems))


def stream_rows(file: BinaryIO, suffix: str, rules: RecordRules) -> Iterator[SourceRow | LineProblem]:
    """Yield the rows and problems of an open table; ``suffix`` is one of .csv, .json, .jsonl, .ndjson.

    Raises ``InvalidInput`` as `read_records` does; the policy's ``on_malformed`` is the caller's to see to.
    """
    for item in _READERS[suffix](file, rules):
        yield item if isinstance(item, LineProblem) else record_row(*item, rules)


def _take(item: Item, rules: RecordRules, rows: list[SourceRow], problems: list[LineProblem]) -> None:
    """Put an item among the rows or the problems; under ``refuse`` the first problem is raised."""
    result = item if isinstance(item, LineProblem) else record_row(*item, rules)
    if isinstance(result, SourceRow):
        rows.append(result)
    elif rules.on_malformed == "refuse":
        raise InvalidInput(result.code, result.message, hint="Correct it; nothing was taken.", line=result.line)
    else:
        problems.append(result)


def _size_of(path: Path) -> int:
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a path with a zero byte
        raise NotFound("file_unknown", f"There is no file at {str(path)!r}.", hint="Check the path.") from None
    except OSError as error:
        raise _unreadable(f"{path.name!r} cannot be read: {error.strerror}", "Check its permissions.") from error
    if size > MAX_FILE_BYTES:
        raise InvalidInput(
            "file_too_large",
            f"{path.name!r} has {size:,} bytes; a source may have {MAX_FILE_BYTES:,}.",
            hint="Split it into several files.",
        )
    return size


def record_row(line: int, value: Any, rules: RecordRules) -> SourceRow | LineProblem:
    """Turn a decoded object into a row, or say what is wrong with it; raises unknown_columns."""
    if not isinstance(value, dict):
        return LineProblem(line, "record_invalid", f"Line {line} is not an object with a text.")
    unknown = sorted(str(name) for name in value.keys() - set(COLUMNS))
    if unknown:
        names = ", ".join(repr(name[:80]) for name in unknown[:20])
        raise InvalidInput(
            "unknown_columns",
            f"Line {line} has columns that the policy does not know: {names}; nothing was taken.",
            hint=f"Keep only {', '.join(COLUMNS)}.",
            line=line,
        )
    fields = {name: _field(value.get(name)) for name in COLUMNS}
    wrong = [name for name, field in fields.items() if field is None]
    if wrong or not fields["text"]:
        problem = f"has a {wrong[0]} that is not text" if wrong else "has no text"
        return LineProblem(line, "record_invalid", f"Line {line} {problem}.")
    owner, text, label, answer = (field or "" for field in fields.values())
    record = Record(text, label, answer)
    size = len(canonical_json(record.as_json()))
    return _too_large(line, f"{size:,}", rules) if size > rules.max_bytes else SourceRow(owner, record, line)


def _field(value: Any) -> str | None:
    """Return the text of a field: absent is empty, whole numbers are written out, anything else is no text."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return str(value)
    if not isinstance(value, str) or any("\ud800" <= char <= "\udfff" for char in value):
        return None
    return value


def _too_large(line: int, size: str, rules: RecordRules) -> LineProblem:
    message = f"Line {line} has a record of {size} bytes; the policy allows {rules.max_bytes:,}."
    return LineProblem(line, "record_too_large", message)


def _lines(file: BinaryIO, rules: RecordRules) -> Iterator[tuple[int, str] | LineProblem]:
    """Yield numbered lines without a byte order mark; a line over the cap is skipped without holding it."""
    cap = _ESCAPED * rules.max_bytes + _SLACK
    number = 0
    while raw := file.readline(cap):
        number += 1
        if len(raw) == cap and not raw.endswith(b"\n"):
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(cap)
            yield _too_large(number, f"over {cap:,}", rules)
            continue
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        yield number, _decoded(raw, number)


def _decoded(raw: bytes, number: int) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _unreadable(f"Line {number} is not UTF-8 text", "Save the file as UTF-8.") from None
    if "\0" in text:
        raise _unreadable(f"Line {number} holds binary data", "Give a text export.")
    return text


def _read_lines(file: BinaryIO, rules: RecordRules) -> Iterator[Item]:
    for item in _lines(file, rules):
        if isinstance(item, LineProblem):
            yield item
        elif item[1].strip():
            try:
                yield item[0], json.loads(item[1])
            except (ValueError, RecursionError):
                yield LineProblem(item[0], "json_malformed", f"Line {item[0]} is not valid JSON.")


def _read_list(file: BinaryIO, rules: RecordRules) -> Iterator[Item]:
    """Yield the members of a JSON list with the line each begins on."""
    text = _decoded(file.read(MAX_FILE_BYTES).removeprefix(b"\xef\xbb\xbf"), 1)
    decoder, place, line = json.JSONDecoder(), _skip_space(text, 0), 1
    if place == len(text):
        return
    if text[place] != "[":
        raise _broken_list(1, "it must be a list of objects")
    seen, place = 0, _skip_space(text, place + 1)
    if text[place : place + 1] == "]":
        return
    while True:
        line, seen = line + text.count("\n", seen, place), place
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            raise _broken_list(line, "a member is not valid JSON") from None
        yield line, value
        place = _skip_space(text, place)
        if text[place : place + 1] == "]":
            break
        if text[place : place + 1] != ",":
            raise _broken_list(line, "a comma or the list's end is missing after a member")
        place = _skip_space(text, place + 1)
    if _skip_space(text, place + 1) != len(text):
        raise _broken_list(line, "something follows the list")


def _skip_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _broken_list(line: int, what: str) -> InvalidInput:
    return InvalidInput(
        "json_malformed",
        f"The JSON list is broken at line {line}: {what}; nothing was taken.",
        hint="Export it again, or as JSON lines, where one bad line costs only itself.",
        line=line,
    )


def _read_csv(file: BinaryIO, rules: RecordRules) -> Iterator[Item]:
    skipped: list[LineProblem] = []
    rows = csv.reader(_csv_lines(file, rules, skipped), strict=True)
    header: list[str] | None = None
    while True:
        start = rows.line_num + 1 + len(skipped)
        try:
            values = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            yield LineProblem(start, "row_malformed", f"Line {start} is not a CSV row: {error}.")
            continue
        if header is None:
            header = _header(values) if any(map(str.strip, values)) else None
        elif values and len(values) != len(header):
            message = f"Line {start} has {len(values)} columns; the header has {len(header)}."
            yield LineProblem(start, "row_malformed", message)
        elif values:
            yield start, dict(zip(header, values, strict=True))
    yield from skipped


def _header(values: list[str]) -> list[str]:
    header = [name.strip().lower() for name in values]
    unknown = [name for name in header if name not in COLUMNS]
    if unknown:
        raise InvalidInput(
            "unknown_columns",
            f"The file has columns that the policy does not know: {', '.join(repr(n[:80]) for n in unknown[:20])}.",
            hint=f"Keep only {', '.join(COLUMNS)}.",
            line=1,
        )
    if "text" not in header or len(set(header)) != len(header):
        raise InvalidInput(
            "row_malformed",
            "The header must name the column text, and each column once.",
            hint="Correct the first line.",
        )
    return header


def _csv_lines(file: BinaryIO, rules: RecordRules, skipped: list[LineProblem]) -> Iterator[str]:
    for item in _lines(file, rules):
        if isinstance(item, LineProblem):
            skipped.append(item)
        else:
            yield item[1]


def _unreadable(what: str, hint: str) -> InvalidInput:
    return InvalidInput("file_unreadable", f"{what}.", hint=hint)


_READERS: dict[str, Callable[[BinaryIO, RecordRules], Iterator[Item]]] = {
    ".csv": _read_csv,
    ".json": _read_list,
    ".jsonl": _read_lines,
    ".ndjson": _read_lines,
}
