"""Chats that platforms write as JSON: Telegram, Instagram (and Messenger), Slack.

Telegram: ``result.json`` of one chat or of all, ``text`` plain or in parts. Instagram: ``message_1.json`` a chat, its
letters written as Latin-1 of UTF-8, which is undone. Slack: a folder a channel, a file a day, and ``users.json`` that
tells the names of ids. Messages of the app itself (joins, calls) are passed over.

>>> telegram_text([{"type": "bold", "text": "Link:"}, " ", "here"])
'Link: here'
>>> instagram_text("caf\\u00c3\\u00a9")
'café'
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from rodagila.collect.archive import Files
from rodagila.collect.json_stream import JsonStream
from rodagila.collect.message import Item, Message, Source, dict_of, list_of, not_an_object, seconds_of, text_of
from rodagila.core.policy import RecordRules

_SLACK_FILE = re.compile(r"(?:^|/)[^/]+/\d{4}-\d\d-\d\d\.json$")
_SLACK_OWN = {"", "me_message", "thread_broadcast", "file_share", "reply_broadcast"}
_SLACK_LINK = re.compile(r"<(?P<kind>[@#!]?)(?P<target>[^<>|]{1,2000})(?:\|(?P<label>[^<>]{0,2000}))?>")
_MAX_USERS = 100_000


def _json(name: str) -> bool:
    return name.lower().endswith(".json")


def _recognises_telegram(name: str, head: bytes) -> bool:
    return _json(name) and b'"messages"' in head and (b'"date_unixtime"' in head or b'"date"' in head)


def telegram_text(value: Any) -> str:
    """Return the text of a message that is plain or in parts; a space goes between parts that have none there."""
    if isinstance(value, str):
        return value
    text = ""
    for part in list_of(value):
        piece = part if isinstance(part, str) else text_of(dict_of(part).get("text"))
        text += (" " if text and piece and not text[-1].isspace() and isinstance(part, dict) else "") + piece
    return text


def _read_telegram(files: Files, name: str, rules: RecordRules) -> Iterator[Item]:
    with files.open(name) as stream:
        for number, body in enumerate(JsonStream(stream, name).lists("messages"), 1):
            if not isinstance(body, dict):
                yield not_an_object(name, number)
            elif body.get("type") == "message" and not body.get("forwarded_from"):
                authors = tuple(filter(None, (text_of(body.get("from")), text_of(body.get("from_id")))))
                at = seconds_of(body.get("date_unixtime"))
                at = _moment(body.get("date")) if at is None else at
                yield Message(telegram_text(body.get("text")), authors or ("unknown",), at=at)


def _moment(value: Any) -> int | None:
    try:
        moment = datetime.fromisoformat(text_of(value))
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


def _recognises_instagram(name: str, head: bytes) -> bool:
    return _json(name) and b'"messages"' in head and b'"sender_name"' in head


def instagram_text(text: str) -> str:
    """Return text whose letters were written as Latin-1 of UTF-8 as it was meant; other text as it is."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _read_instagram(files: Files, name: str, rules: RecordRules) -> Iterator[Item]:
    with files.open(name) as stream:
        for number, body in enumerate(JsonStream(stream, name).lists("messages"), 1):
            if not isinstance(body, dict):
                yield not_an_object(name, number)
                continue
            author = instagram_text(text_of(body.get("sender_name"))) or "unknown"
            at = seconds_of(body.get("timestamp_ms"), 1_000)
            yield Message(instagram_text(text_of(body.get("content"))), (author,), at=at)


def _recognises_slack(name: str, head: bytes) -> bool:
    return bool(_SLACK_FILE.search(name)) and head.lstrip()[:1] == b"["


def _slack_users(files: Files, name: str) -> dict[str, tuple[str, ...]]:
    """Return the names, address and id of every user by id, the real name first; empty if the export has no list."""
    root = "/".join(name.split("/")[:-2])
    listing = f"{root}/users.json" if root else "users.json"
    if not any(entry.name == listing for entry in files.entries):
        return {}
    users: dict[str, tuple[str, ...]] = {}
    with files.open(listing) as stream:
        for user in map(dict_of, JsonStream(stream, listing).members()):
            profile = dict_of(user.get("profile"))
            names = (
                text_of(user.get("real_name")) or text_of(profile.get("real_name")),
                text_of(user.get("name")),
                text_of(profile.get("display_name")),
                text_of(profile.get("email")),
                text_of(user.get("id")),
            )
            if len(users) < _MAX_USERS:
                users[names[-1]] = tuple(dict.fromkeys(filter(None, names)))
    return users


def slack_text(text: str) -> str:
    """Return a message without Slack's markup: links keep their label or address, mentions lose the person's id."""

    def plain(match: re.Match[str]) -> str:
        shown = match["label"] or ("someone" if match["kind"] == "@" else match["target"])
        return match["kind"].replace("!", "@") + shown if match["kind"] else shown

    return html.unescape(_SLACK_LINK.sub(plain, text))


class _Slack:
    """Reads days of channels; keeps the users of the export that it read last."""

    def __init__(self) -> None:
        self._files: Files | None = None
        self._users: dict[str, tuple[str, ...]] = {}

    def read(self, files: Files, name: str, rules: RecordRules) -> Iterator[Item]:
        if files is not self._files:
            self._files, self._users = files, _slack_users(files, name)
        with files.open(name) as stream:
            for number, body in enumerate(JsonStream(stream, name).members(), 1):
                if not isinstance(body, dict):
                    yield not_an_object(name, number)
                elif text_of(body.get("subtype")) in _SLACK_OWN and body.get("type") == "message":
                    user = text_of(body.get("user"))
                    names = self._users.get(user) or (user or "unknown",)
                    yield Message(slack_text(text_of(body.get("text"))), names, at=seconds_of(body.get("ts")))


CHAT_JSON = (
    Source("slack", _recognises_slack, _Slack().read),
    Source("instagram", _recognises_instagram, _read_instagram),
    Source("telegram", _recognises_telegram, _read_telegram),
)
