"""Chats that a phone writes as text: WhatsApp and Signal, one line a message, further lines belong to the one above.

WhatsApp writes dates as the phone's region does: day or month first, two or four digits of a year, points, slashes or
dashes, 12 or 24 hours, in brackets with seconds (iOS) or before a dash (Android); Signal's text has ISO dates in
brackets. Whether the day or the month comes first shows in the whole chat: by a number above 12, else by the order in
which time goes on; where both do, the day is first. Lines without an author are the app's own and are passed over.

>>> lines = ["12/31/20, 11:25 PM - Ada Lovelace: a happy\\n", "new year\\n", "1/1/21, 1:02 AM - Bob joined\\n"]
>>> [(message.authors, message.text, message.at) for message in messages_of(lines, order_of(lines))]
[(('Ada Lovelace',), 'a happy\\nnew year', 1609457100)]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from rodagila.collect.archive import Files
from rodagila.collect.message import ASSERTED, CONSISTENT, Item, Message, Source
from rodagila.collect.plain import text_lines
from rodagila.core.policy import RecordRules

DAY, MONTH, YEAR = "dmy", "mdy", "ymd"
MAX_TEXT = 262_144
_MARKS = str.maketrans(dict.fromkeys("\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069", ""))
_SPACES = str.maketrans({"\u202f": " ", "\u00a0": " "})
_LINE = re.compile(
    r"(?P<open>\[)?(?P<date>\d{1,4}[./-]\d{1,2}[./-]\d{1,4})\.?,? +(?P<hour>\d{1,2})[:.](?P<minute>\d{2})"
    r"(?:[:.](?P<second>\d{2}))?(?: ?(?P<half>[ap]) ?\.? ?m\.?)?(?:\](?: -)?|(?(open)(?!)) -) (?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_AUTHOR = re.compile(r"(?P<author>[^:\n]{1,100}|[^\n]{1,100}?): (?P<text>.*)", re.DOTALL)
_ISO = re.compile(rb"(?:\xef\xbb\xbf)?\[\d{4}-\d\d-\d\d, \d\d:\d\d\] ")
_PLACEHOLDER = re.compile(
    r"<(?:media|attached|medien|multimedia|média)[^<>\n]{0,80}>|"
    r"(?:image|video|audio|sticker|document|GIF|contact card|voice message) omitted|"
    r"(?:you deleted this message|this message was deleted)\.?",
    re.IGNORECASE,
)
_FIRST_LINES = 20
_WIDTHS = {(1, 2), (2, 2), (1, 4), (2, 4), (4, 1), (4, 2)}


def _clean(line: str) -> str:
    return line.translate(_MARKS)


def _header(line: str) -> re.Match[str] | None:
    if not line[:1].isdigit() and not line.startswith("["):
        return None
    match = _LINE.match(line[:120].translate(_SPACES) + line[120:])
    return match if match and _numbers(match) else None


def _numbers(match: re.Match[str]) -> tuple[int, int, int] | None:
    """Return the three numbers of a date as they stand, None if it cannot be one."""
    first, second, third = re.split(r"[./-]", match["date"])
    if (len(first), len(third)) not in _WIDTHS:
        return None
    return int(first), int(second), int(third)


def order_of(lines: Iterable[str]) -> str:
    """Return in which order the chat writes its dates: ``dmy``, ``mdy`` or ``ymd``."""
    highest = [0, 0]
    back = {DAY: 0, MONTH: 0}
    last: dict[str, int] = {}
    for line in lines:
        match = _header(_clean(line))
        numbers = _numbers(match) if match else None
        if match is None or numbers is None:
            continue
        if numbers[0] > 31:
            return YEAR
        highest = [max(highest[0], numbers[0]), max(highest[1], numbers[1])]
        for order in back:
            at = _seconds(match, order)
            if at is not None:
                back[order] += at < last.get(order, at)
                last[order] = at
    if highest[0] > 12 or highest[1] > 12:
        return DAY if highest[0] > 12 else MONTH
    return MONTH if back[MONTH] < back[DAY] else DAY


def _seconds(match: re.Match[str], order: str) -> int | None:
    """Return the line's time in seconds, as if its zone were UTC; None if there is no such time."""
    numbers = _numbers(match)
    if numbers is None:
        return None
    parts = dict(zip(YEAR if numbers[0] > 31 else order, numbers, strict=True))
    year = parts["y"] + (2000 if parts["y"] < 100 else 0)
    hour = int(match["hour"])
    if match["half"]:
        hour = hour % 12 + (12 if match["half"].lower() == "p" else 0)
    try:
        moment = datetime(
            year, parts["m"], parts["d"], hour, int(match["minute"]), int(match["second"] or 0), tzinfo=UTC
        )
    except ValueError:
        return None
    return int(moment.timestamp())


def messages_of(lines: Iterable[str], order: str) -> Iterator[Message]:
    """Yield the messages of a chat's lines, whose dates stand in ``order``."""
    author, parts, at, level, length = "", [""], None, ASSERTED, 0
    latest: int | None = None
    for line in map(_clean, lines):
        match = _header(line)
        if match is None:
            if author and length < MAX_TEXT:
                parts.append(line)
                length += len(line)
            continue
        if author:
            yield _message(author, parts, at, level)
        said = _AUTHOR.match(match["rest"])
        author = said["author"].strip() if said else ""
        parts, at = [said["text"] if said else ""], _seconds(match, order)
        length = len(parts[0])
        level = CONSISTENT if at is not None and (latest is None or at >= latest) else ASSERTED
        latest = at if at is not None else latest
    if author:
        yield _message(author, parts, at, level)


def _message(author: str, parts: list[str], at: int | None, level: str) -> Message:
    text = "".join(parts).strip()
    return Message("" if _PLACEHOLDER.fullmatch(text) else text, (author,), at=at, level=level)


def _recognises(name: str, head: bytes) -> bool:
    if not name.lower().endswith(".txt"):
        return False
    lines = head.decode("utf-8", errors="replace").removeprefix("\ufeff").splitlines()[:_FIRST_LINES]
    return any(_header(_clean(line)) for line in lines)


def _recognises_signal(name: str, head: bytes) -> bool:
    return bool(_ISO.match(head)) and _recognises(name, head)


def _read(files: Files, name: str, rules: RecordRules) -> Iterator[Item]:
    with files.open(name) as stream:
        order = order_of(text_lines(stream, name))
    with files.open(name) as stream:
        yield from messages_of(text_lines(stream, name), order)


CHATS = (Source("signal", _recognises_signal, _read), Source("whatsapp", _recognises, _read))
