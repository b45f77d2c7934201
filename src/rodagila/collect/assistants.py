"""Conversations with assistants: what the owner asked is the text, what was answered the answer.

ChatGPT: ``conversations.json`` (or ``conversations-000.json`` ...), a list of conversations, each a tree of nodes in
``mapping``; the branch that ends in ``current_node`` is the one she kept. Claude: a list of conversations with
``chat_messages`` of senders ``human`` and ``assistant``. Hidden messages, tools and custom instructions are passed
over. A conversation is consistent if its links agree both ways and its times do not go back.

>>> conversation = {"mapping": {"a": {"children": ["b"], "message": {"author": {"role": "user"},
...     "content": {"content_type": "text", "parts": ["hello"]}}}, "b": {"parent": "a", "message":
...     {"author": {"role": "assistant"}, "content": {"content_type": "text", "parts": ["hi"]}}}}, "current_node": "b"}
>>> [(message.text, message.answer, message.level) for message in of_tree(conversation)]
[('hello', 'hi', 'consistent')]
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rodagila.collect.archive import Files
from rodagila.collect.json_stream import JsonStream
from rodagila.collect.message import (
    ASSERTED,
    CONSISTENT,
    Item,
    Message,
    Source,
    dict_of,
    list_of,
    not_an_object,
    seconds_of,
    text_of,
)
from rodagila.core.policy import RecordRules

Turn = tuple[str, str, int | None]
"""Who (``user`` or ``assistant``), what, and when in seconds."""

_LIST = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*\[")
_KINDS = ("text", "multimodal_text", "")


def _recognises_chatgpt(name: str, head: bytes) -> bool:
    return name.lower().endswith(".json") and bool(_LIST.match(head)) and b'"mapping"' in head


def _recognises_claude(name: str, head: bytes) -> bool:
    return name.lower().endswith(".json") and bool(_LIST.match(head)) and b'"chat_messages"' in head


def _read_chatgpt(files: Files, name: str, rules: RecordRules) -> Iterator[Item]:
    with files.open(name) as stream:
        for number, conversation in enumerate(JsonStream(stream, name).members(), 1):
            if isinstance(conversation, dict):
                yield from of_tree(conversation)
            else:
                yield not_an_object(name, number)


def _read_claude(files: Files, name: str, rules: RecordRules) -> Iterator[Item]:
    with files.open(name) as stream:
        for number, conversation in enumerate(JsonStream(stream, name).members(), 1):
            if isinstance(conversation, dict):
                turns = [_claude_turn(dict_of(body)) for body in list_of(conversation.get("chat_messages"))]
                yield from _paired(turns, linked=True)
            else:
                yield not_an_object(name, number)


def of_tree(conversation: dict[str, Any]) -> Iterator[Message]:
    """Yield the questions of a ChatGPT conversation in order, each with what was answered before the next."""
    nodes = dict_of(conversation.get("mapping"))
    place = conversation.get("current_node")
    if not isinstance(place, str) or place not in nodes:
        place = next(reversed(nodes), None)
    path: list[dict[str, Any]] = []
    seen: set[str] = set()
    linked = True
    while isinstance(place, str) and place in nodes and place not in seen:
        seen.add(place)
        node = dict_of(nodes[place])
        above = node.get("parent")
        if isinstance(above, str) and place not in list_of(dict_of(nodes.get(above)).get("children")):
            linked = False
        path.append(dict_of(node.get("message")))
        place = above
    linked = linked and place is None
    yield from _paired([_chatgpt_turn(message) for message in reversed(path)], linked)


def _chatgpt_turn(message: dict[str, Any]) -> Turn:
    content = dict_of(message.get("content"))
    hidden = dict_of(message.get("metadata")).get("is_visually_hidden_from_conversation") is True
    if hidden or text_of(content.get("content_type")) not in _KINDS:
        return "", "", None
    text = "\n".join(part for part in list_of(content.get("parts")) if isinstance(part, str))
    return text_of(dict_of(message.get("author")).get("role")), text, seconds_of(message.get("create_time"))


def _claude_turn(body: dict[str, Any]) -> Turn:
    role = {"human": "user", "assistant": "assistant"}.get(text_of(body.get("sender")), "")
    parts = [dict_of(part) for part in list_of(body.get("content"))]
    text = "\n".join(text_of(part.get("text")) for part in parts if part.get("type") == "text")
    return role, text or text_of(body.get("text")), _moment(text_of(body.get("created_at")))


def _moment(text: str) -> int | None:
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        return None


def _paired(turns: list[Turn], linked: bool) -> Iterator[Message]:
    """Yield each question with the answers up to the next one."""
    times = [at for _, _, at in turns if at is not None]
    level = CONSISTENT if linked and all(a <= b for a, b in itertools.pairwise(times)) else ASSERTED
    question: tuple[str, int | None] | None = None
    answers: list[str] = []
    for role, text, at in [*turns, ("user", "", None)]:
        if role == "user":
            if question:
                yield Message(question[0], answer="\n".join(answers), at=question[1], level=level)
            question, answers = ((text, at) if text.strip() else None), []
        elif role == "assistant" and text.strip():
            answers.append(text)


ASSISTANTS = (
    Source("chatgpt", _recognises_chatgpt, _read_chatgpt),
    Source("claude", _recognises_claude, _read_claude),
)
