"""Google Takeout: mail (``.mbox``), activity (``MyActivity.json``) and browser history (``BrowserHistory.json``).

Mail is one's own where one's address is in ``From``; quoted lines and what follows a signature's mark are dropped, and
a mail that its domain signed, under an archived key, is proven. Of history and activity only titles are taken: an
address of a page may hold a secret. A mail over ``MAX_MAIL_BYTES`` is left out. Sources: RFC 4155, RFC 5322.

>>> own_words("Yes.\\n> no?\\n-- \\nAda")
'Yes.'
"""

from __future__ import annotations

import email
import email.header
import email.policy
import re
from collections.abc import Iterator, Mapping
from email.message import Message as Mail
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any, BinaryIO

from rodagila.collect.archive import Files
from rodagila.collect.dkim import proven_domain
from rodagila.collect.json_stream import JsonStream
from rodagila.collect.message import (
    ASSERTED,
    PROVEN,
    Item,
    Message,
    Source,
    not_an_object,
    seconds_of,
    text_of,
)
from rodagila.collect.sources import LineProblem
from rodagila.core.policy import RecordRules

MAX_MAIL_BYTES = 4 * 2**20
MAX_PARTS = 100
_LINE_BYTES = 65_536
_FIELD_CHARS = 2_000  # decoding a field takes time that grows with the square of its length
_WROTE = re.compile(r"^.{0,200}(?:wrote|schrieb|écrit|escribió|scritto)[^\n]{0,60}:\s*$", re.IGNORECASE)
_ACTIVITY = re.compile(r"^(?:Searched for|Watched|Visited|Said|Asked|Used|Viewed) ")


def _recognises_history(name: str, head: bytes) -> bool:
    return name.lower().endswith(".json") and b'"Browser History"' in head


def _read_history(files: Files, name: str, rules: RecordRules) -> Iterator[Item]:
    with files.open(name) as stream:
        for number, body in enumerate(JsonStream(stream, name).lists("Browser History"), 1):
            if isinstance(body, dict):
                yield Message(text_of(body.get("title")), at=seconds_of(body.get("time_usec"), 1_000_000))
            else:
                yield not_an_object(name, number)


def _recognises_activity(name: str, head: bytes) -> bool:
    return name.lower().endswith(".json") and b'"header"' in head and b'"title"' in head and b'"time"' in head


def _read_activity(files: Files, name: str, rules: RecordRules) -> Iterator[Item]:
    with files.open(name) as stream:
        for number, body in enumerate(JsonStream(stream, name).members(), 1):
            if isinstance(body, dict):
                title = _ACTIVITY.sub("", text_of(body.get("title")))
                yield Message("" if title.startswith(("http://", "https://")) else title)
            else:
                yield not_an_object(name, number)


def mails_of(stream: BinaryIO) -> Iterator[bytes | None]:
    """Yield the mails of an mbox, None for one over ``MAX_MAIL_BYTES``; a file without ``From`` lines is one mail."""
    parts: list[bytes] = []
    size, blank = 0, True
    while line := stream.readline(_LINE_BYTES):
        if blank and line.startswith(b"From ") and (parts or size == 0):
            if size:
                yield b"".join(parts) if size <= MAX_MAIL_BYTES else None
            parts, size, blank = [], 0, False
            continue
        blank = not line.strip()
        size += len(line)
        if size <= MAX_MAIL_BYTES:
            parts.append(line)
        elif not parts or parts[-1]:
            parts = [b""]
    if size:
        yield b"".join(parts) if size <= MAX_MAIL_BYTES else None


def mail_message(mail: bytes, keys: Mapping[str, str]) -> Message:
    """Return what the author of a mail wrote in it: subject and own words. May raise whatever ``email`` does."""
    parsed = email.message_from_bytes(mail, policy=email.policy.compat32)
    addresses = [address for _, address in getaddresses([_decoded(parsed.get("From"))]) if address]
    body = own_words(_plain(parsed))
    subject = _decoded(parsed.get("Subject"))
    text = f"{subject}\n\n{body}".strip() if body else ""
    level = PROVEN if keys and proven_domain(mail, keys) else ASSERTED
    return Message(text, tuple(addresses[:1]) or ("unknown",), at=_moment(parsed.get("Date")), level=level)


def _moment(value: Any) -> int | None:
    try:
        return int(parsedate_to_datetime(str(value)[:_FIELD_CHARS]).timestamp())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _decoded(value: Any) -> str:
    """Return the text of a field (RFC 2047), its lines unfolded."""
    raw = str(value or "")[:_FIELD_CHARS]
    try:
        text = str(email.header.make_header(email.header.decode_header(raw)))
    except (ValueError, LookupError):
        text = raw
    return " ".join(text.split())


def _plain(mail: Mail) -> str:
    """Return the first plain text of a mail; attachments and HTML are not looked into."""
    for count, part in enumerate(mail.walk()):
        if count == MAX_PARTS:
            break
        if part.get_content_type() == "text/plain" and part.get_content_disposition() != "attachment":
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                try:
                    return content.decode(part.get_content_charset() or "utf-8", errors="replace")
                except LookupError:
                    return content.decode("utf-8", errors="replace")
    return ""


def own_words(text: str) -> str:
    """Return a mail's text without what it quotes and without its signature."""
    kept = []
    for line in text.splitlines():
        if line.rstrip() == "--" or line.startswith("-----Original Message"):
            break
        if not line.startswith(">") and not _WROTE.match(line):
            kept.append(line.rstrip())
    return "\n".join(kept).strip()


def _recognises_mail(name: str, head: bytes) -> bool:
    return name.lower().endswith((".mbox", ".eml")) or (head.startswith(b"From ") and b"\nMessage-ID:" in head)


def mail_source(keys: Mapping[str, str]) -> Source:
    """Return the source of mail; ``keys`` are archived DKIM keys by name."""

    def read(files: Files, name: str, rules: RecordRules) -> Iterator[Item]:
        with files.open(name) as stream:
            for number, mail in enumerate(mails_of(stream), 1):
                if mail is None:
                    message = f"Mail {number} of {name!r} has more than {MAX_MAIL_BYTES:,} bytes."
                    yield LineProblem(number, "record_too_large", message)
                    continue
                try:
                    item: Item = mail_message(mail, keys)
                except Exception as error:  # the parser raises what it likes on a stranger's mail; none costs the rest
                    message = f"Mail {number} of {name!r} cannot be read: {type(error).__name__}."
                    item = LineProblem(number, "record_invalid", message)
                yield item

    return Source("mail", _recognises_mail, read)


TAKEOUT = (
    Source("browser history", _recognises_history, _read_history),
    Source("activity", _recognises_activity, _read_activity),
)
