"""Tasks over HTTP: the batches on offer, the next task of an account, and its response.

An account proves itself by signing each request (EIP-712, the DAO's domain); a task is shown once its lease is on disk,
a response is acknowledged once it is.

>>> desk.next_task(asked, now=clock())["content"]["text"]   # doctest: +SKIP
'will it rain in Paris'
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from eth_utils.address import to_checksum_address
from pydantic import Field, StringConstraints

from rodagila.collect.queue import (
    CLOSED,
    MAX_OPENING_BYTES,
    OPEN,
    Batch,
    Offered,
    Taken,
    TaskQueue,
    require_asked,
    require_authentic,
)
from rodagila.collect.tasks import MAX_ANSWER_CHARS, Content, answer_hash, commitment
from rodagila.core.canonical import canonical_json
from rodagila.core.errors import InvalidInput, NotAuthorised, NotFound, RefusedByPolicy, RodaError
from rodagila.core.hashing import from_hex, hex0x
from rodagila.core.messages import Response, TaskRequest, dao_id
from rodagila.serve.schemas import Address, Hash, Strict
from rodagila.store.database import Database
from rodagila.vault.sealing import identity_from_text, open_sealed, seal

Signature = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{130}$")]
Base64 = Annotated[str, StringConstraints(max_length=4 * MAX_OPENING_BYTES // 3 + 4)]
Seconds = Annotated[int, Field(ge=0, lt=2**53, strict=True)]


class NextTaskRequest(Strict):
    """An account asks for its next task; ``nonce`` is decimal text."""

    account: Address
    batch: Hash
    nonce: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,77}$")]
    expiry: Seconds
    signature: Signature


class ResponseRequest(Strict):
    """An account responds; ``opening`` is base64 of what the commitment hides, sealed to the batch, or empty."""

    account: Address
    batch: Hash
    task: Hash
    lease: Hash
    commitment: Hash
    expiry: Seconds
    signature: Signature
    opening: Base64 = ""


class OpeningRequest(Strict):
    """What opens a response, from an account that kept it until the batch was closed."""

    batch: Hash
    lease: Hash
    answer: Annotated[str, StringConstraints(min_length=1, max_length=MAX_ANSWER_CHARS)]
    salt: Hash


@dataclass(frozen=True, slots=True)
class OpenedBatch:
    """A batch whose tasks this node can open: ``key`` is the text of its identity, ``recipient`` what it belongs to."""

    batch: Batch
    number: int
    escrow: str
    key: str
    recipient: str

    def content(self, sealed: bytes) -> tuple[Content, str]:
        """Return a task's content and, of a gold, what is right."""
        body = json.loads(open_sealed(sealed, [identity_from_text(self.key)]))
        return Content.from_json(body["content"]), str(body["truth"])

    def opening(self, taken: Taken, content: Content) -> tuple[str, bytes] | None:
        """Return answer and salt of a response, None if they are missing or are not what was committed to."""
        try:
            body = json.loads(open_sealed(taken.opening, [identity_from_text(self.key)]))
            return self.checked(taken, content, str(body["answer"]), from_hex(str(body["salt"])))
        except (RodaError, ValueError, KeyError, TypeError, RecursionError):
            return None  # sealed by a stranger: whatever is wrong with it, the response counts as not opened

    def checked(self, taken: Taken, content: Content, answer: str, salt: bytes) -> tuple[str, bytes] | None:
        """Return answer and salt if they open the response's commitment."""
        seen = content.shown(taken.lease)
        if len(salt) != 32 or seen.answer(answer) != answer:
            return None
        hashed, batch = answer_hash(content.kind, answer), self.batch
        opened = commitment(batch.domain, taken.account, batch.id, taken.task, hashed, salt)
        return (answer, salt) if opened == taken.commitment else None


class TaskDesk:
    """Where accounts take tasks and hand in responses, for the batches that ``find`` and ``all_of`` give."""

    def __init__(
        self, database: Database, find: Callable[[bytes], OpenedBatch], all_of: Callable[[], Sequence[OpenedBatch]]
    ) -> None:
        self._queue = TaskQueue(database)
        self._find, self._all = find, all_of

    def batches(self) -> list[dict[str, Any]]:
        """Return the cards of the batches that take responses."""
        return [self.card(one) for one in self._all() if self._queue.state(one.batch) == OPEN]

    def card(self, opened: OpenedBatch) -> dict[str, Any]:
        """Return what an account must know of a batch: what it signs for, what it is paid, who judges."""
        batch = opened.batch
        return {
            "id": hex0x(batch.id),
            "number": opened.number,
            "dao": batch.dao,
            "dao_id": hex0x(dao_id(batch.domain)),
            "chain_id": batch.domain.chain_id,
            "registry": batch.domain.registry,
            "escrow": opened.escrow,
            "recipient": opened.recipient,
            "state": self._queue.state(batch),
            "terms": batch.terms.as_json(),
            "wanted": self._queue.counts(batch)["wanted"],
        }

    def next_task(self, given: NextTaskRequest, *, now: int) -> dict[str, Any]:
        """Lease the account's next task to her and show it."""
        opened = self._find(from_hex(given.batch))
        batch, account = opened.batch, to_checksum_address(given.account)
        request = TaskRequest(account, dao_id(batch.domain), batch.id, int(given.nonce), given.expiry)
        if request.nonce >= 2**256:
            raise InvalidInput("invalid_request", "A nonce has at most 256 bits.")
        require_asked(batch, request, from_hex(given.signature), now=now)
        return _shown(opened, self._queue.next_task(batch, account, nonce=request.nonce, now=now))

    def held(self, opened: OpenedBatch, account: str, *, now: int) -> dict[str, Any]:
        """Return the task in an account's hands; raises ``NotFound`` lease_unknown if it has none."""
        offered = self._queue.held(opened.batch, account, now=now)
        if offered is None:
            raise NotFound(
                "lease_unknown",
                f"{account} holds no task of batch {opened.number}.",
                hint=f"Take one: roda task next {opened.number} --dao {opened.batch.dao}",
            )
        return _shown(opened, offered)

    def respond(self, given: ResponseRequest, *, now: int) -> dict[str, Any]:
        """Take a response."""
        batch = self._find(from_hex(given.batch)).batch
        account = to_checksum_address(given.account)
        response = Response(
            account,
            dao_id(batch.domain),
            batch.id,
            from_hex(given.task),
            from_hex(given.lease),
            from_hex(given.commitment),
            given.expiry,
        )
        signature = from_hex(given.signature)
        require_authentic(batch, response, signature, now=now)
        try:
            opening = base64.b64decode(given.opening, validate=True)
        except binascii.Error as error:
            raise InvalidInput("invalid_request", "The opening is not base64.") from error
        serial = self._queue.respond(batch, response, signature, opening, now=now)
        return {"batch": hex0x(batch.id), "lease": given.lease, "response": serial}

    def open_response(self, given: OpeningRequest) -> dict[str, Any]:
        """Take what opens a response of a closed batch; whoever has it may send it."""
        opened = self._find(from_hex(given.batch))
        if self._queue.state(opened.batch) != CLOSED:
            raise RefusedByPolicy(
                "batch_closed", "Responses are opened after the batch is closed and before it is settled."
            )
        lease = from_hex(given.lease)
        taken = next(self._queue.taken(opened.batch, lease), None)
        if taken is None:
            raise NotFound("lease_unknown", f"No response was given under the lease {given.lease}.")
        content, _ = opened.content(self._queue.sealed(opened.batch, taken.number))
        if opened.checked(taken, content, given.answer, from_hex(given.salt)) is None:
            raise NotAuthorised("response_invalid", "This answer and salt are not what the response committed to.")
        body = canonical_json({"answer": given.answer, "salt": given.salt.lower()})
        self._queue.reseal(opened.batch, lease, seal(body, [opened.recipient]))
        return {"batch": given.batch, "lease": given.lease}


def _shown(opened: OpenedBatch, offered: Offered) -> dict[str, Any]:
    content, _ = opened.content(offered.sealed)
    return {
        "batch": hex0x(opened.batch.id),
        "lease": hex0x(offered.lease),
        "task": hex0x(offered.task),
        "price": str(offered.price),
        "expires": offered.expires,
        "content": content.shown(offered.lease).as_json(),
    }
