"""A small crowd for tests: a batch over planted truths, and accounts that answer it by their own rules."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

from eth_account.signers.local import LocalAccount
from small_dao import TOPICS, key_of

from rodagila.app.daos import Dao
from rodagila.app.tasks import batch_named, desk_of, new_batch, terms_of
from rodagila.collect.batches import Item
from rodagila.collect.responding import ask, respond
from rodagila.core.errors import NotFound, RefusedByPolicy
from rodagila.core.hashing import keccak
from rodagila.serve.tasks import NextTaskRequest, ResponseRequest

CHOICES = tuple(TOPICS)
Rule = Callable[[str], str]
NONCES = itertools.count(time.time_ns())


def text_of(number: int, topic: str) -> str:
    """Return a text of a topic that no other number has."""
    return f"request {number}: {TOPICS[topic][number % 4]}"


def truth_of(text: str) -> str:
    """Return the topic of a text."""
    return next(topic for topic, texts in TOPICS.items() if any(text.endswith(one) for one in texts))


def items(first: int, count: int, *, golds: bool = False) -> list[Item]:
    """Return tasks, or golds, on the topics in turn."""
    found = []
    for number in range(first, first + count):
        topic = CHOICES[number % len(CHOICES)]
        information = number * 37_000 % 1_000_000
        found.append(Item(text_of(number, topic), information=information, truth=topic if golds else ""))
    return found


def launch_batch(dao: Dao, tasks: int = 24, golds: int = 22, requester: str = "buyer", **chosen: Any) -> dict[str, Any]:
    """Make and fund a batch of kind classify."""
    terms = terms_of(
        dao,
        key_of(requester).address,
        seconds=86_400,
        **{
            "kind": "classify",
            "instruction": "Which topic is this request about?",
            "choices": CHOICES,
            "price": 10_000,
            "price_most": 30_000,
            **chosen,
        },
    )
    return new_batch(dao, key_of(requester), terms, items(0, tasks), items(1_000, golds, golds=True))


def honest(text: str) -> str:
    """Answer rightly, but for one text in nine or so."""
    right = truth_of(text)
    return right if sum(text.encode()) % 9 else CHOICES[(CHOICES.index(right) + 1) % 3]


def honest_as(name: str) -> Rule:
    """Return an honest rule whose errors are the account's own."""

    def rule(text: str) -> str:
        right = truth_of(text)
        errs = keccak(f"{name} {text}".encode())[0] % 9 == 0
        return CHOICES[(CHOICES.index(right) + 1) % 3] if errs else right

    return rule


def colluding(text: str) -> str:
    """Answer by a code that has nothing to do with the text's meaning."""
    return CHOICES[len(text) % 3]


def take(dao: Dao, number: int, account: LocalAccount) -> dict[str, Any]:
    """Take the account's next task."""
    desk, (opened, _) = desk_of(dao.home), batch_named(dao, number)
    now = dao.home.clock()
    asked = ask(account, desk.card(opened), nonce=next(NONCES), now=now)
    return desk.next_task(NextTaskRequest(**asked), now=now)


def answer(dao: Dao, number: int, account: LocalAccount, offered: dict[str, Any], said: str, **how: bool) -> None:
    """Respond to a task."""
    desk, (opened, _) = desk_of(dao.home), batch_named(dao, number)
    now = dao.home.clock()
    desk.respond(ResponseRequest(**respond(account, desk.card(opened), offered, said, now=now, **how)), now=now)


def work_again(dao: Dao, number: int, name: str, rule: Rule) -> None:
    """Work on after a kill: the batch may be closed by now."""
    try:
        work(dao, number, name, rule)
    except RefusedByPolicy as closed:
        assert closed.code == "batch_closed"


def work(dao: Dao, number: int, name: str, rule: Rule, most: int = 1_000) -> int:
    """Let an account answer until no task is left for it; returns how many it answered."""
    desk, (opened, _), account = desk_of(dao.home), batch_named(dao, number), key_of(name)
    card, now = desk.card(opened), dao.home.clock()
    for done in range(most):
        try:
            asked = ask(account, card, nonce=next(NONCES), now=now)
            offered = desk.next_task(NextTaskRequest(**asked), now=now)
        except NotFound as end:
            assert end.code == "task_none"
            return done
        said = rule(offered["content"]["text"])
        desk.respond(ResponseRequest(**respond(account, card, offered, said, now=now)), now=now)
    return most
