"""The labeller's side: asking for a task and responding, as the JSON that a gateway takes.

An answer is hidden behind a salt that the account's key makes from the lease, so it can be made again: what was lost is
sent again as it was. The opening goes along, sealed to the batch's recipient, and the node opens it when all responses
are fixed; who does not trust the node keeps it and sends it herself then (``opening_of``).

>>> asked = ask(account, card, nonce=time.time_ns(), now=int(time.time()))          # doctest: +SKIP
>>> given = respond(account, card, offered, "weather", now=int(time.time()))        # doctest: +SKIP
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from eth_account.signers.local import LocalAccount

from rodagila.collect.tasks import Content, answer_hash, commitment
from rodagila.core.canonical import canonical_json
from rodagila.core.errors import InvalidInput, NotAuthorised
from rodagila.core.hashing import from_hex, hex0x, keccak
from rodagila.core.messages import Domain, Response, TaskRequest, dao_id, sign
from rodagila.core.typed_data import sign_digest
from rodagila.vault.sealing import seal

ASK_SECONDS = 300
Card = Mapping[str, Any]
"""What a gateway tells of a batch: ``id``, ``chain_id``, ``registry``, ``recipient`` and its terms."""


def ask(account: LocalAccount, card: Card, *, nonce: int, now: int) -> dict[str, Any]:
    """Return the signed request for the account's next task; ``nonce`` must be above its last one in the batch."""
    domain, batch = _domain(card), from_hex(card["id"])
    request = TaskRequest(account.address, dao_id(domain), batch, nonce, now + ASK_SECONDS)
    return {
        "account": account.address,
        "batch": hex0x(batch),
        "nonce": str(nonce),
        "expiry": request.expiry,
        "signature": hex0x(sign(account, domain, request)),
    }


def respond(
    account: LocalAccount, card: Card, offered: Mapping[str, Any], answer: str, *, now: int, sealed: bool = True
) -> dict[str, Any]:
    """Return the signed response to an offered task; without ``sealed`` the account keeps what opens it.

    Raises ``InvalidInput`` answer_invalid, and ``NotAuthorised`` response_invalid if what is shown is not what the
    task's hash names.
    """
    domain, batch, lease = _domain(card), from_hex(card["id"]), from_hex(offered["lease"])
    content = shown_content(offered)
    opening = opening_of(account, content, lease, answer)
    task = from_hex(offered["task"])
    hidden = commitment(
        domain,
        account.address,
        batch,
        task,
        answer_hash(content.kind, opening["answer"]),
        from_hex(opening["salt"]),
    )
    response = Response(account.address, dao_id(domain), batch, task, lease, hidden, now + ASK_SECONDS)
    kept = seal(canonical_json(opening), [card["recipient"]]) if sealed else b""
    return {
        "account": account.address,
        "batch": hex0x(batch),
        "task": hex0x(task),
        "lease": hex0x(lease),
        "commitment": hex0x(hidden),
        "expiry": response.expiry,
        "signature": hex0x(sign(account, domain, response)),
        "opening": base64.b64encode(kept).decode(),
    }


def opening_of(account: LocalAccount, content: Content, lease: bytes, answer: str) -> dict[str, str]:
    """Return what opens the account's response under ``lease``: the canonical answer and the salt."""
    # Deterministic by RFC 6979, and secret as long as nobody gets the account to sign this.
    salt = keccak(sign_digest(account, keccak(b"rodagila response salt" + lease)))
    return {"answer": content.answer(answer), "salt": hex0x(salt)}


def shown_content(offered: Mapping[str, Any]) -> Content:
    """Return the content of an offered task, as shown; raises ``NotAuthorised`` response_invalid if it is another's."""
    lease = from_hex(offered["lease"])
    content = Content.from_json(dict(offered["content"]))
    if content.shown(lease).task_hash() != from_hex(offered["task"]):  # shown twice is as it was
        raise NotAuthorised(
            "response_invalid",
            "What is shown does not hash to the task that it is said to be.",
            hint="Do not respond; tell the DAO's operator.",
        )
    return content


def _domain(card: Card) -> Domain:
    try:
        return Domain(int(card["chain_id"]), str(card["registry"]))
    except (KeyError, ValueError, TypeError) as error:
        raise InvalidInput("tasks_invalid", "This is not the card of a batch of tasks.") from error
