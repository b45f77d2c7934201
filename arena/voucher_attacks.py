"""Row 18: vouchers replayed, spent concurrently, over lower sums, for other chains and channels; is one served twice?

Each round a buyer signs the next voucher of a channel, by x402's own client, and a thief who has it tries to get more
than one call: she sends it at once from several threads, for this request and others, then again for other requests,
and sends vouchers over lower sums, vouchers that were signed for another chain, and those of another channel. All go
through the gateway's paywall with its real store, its checks and a ledger in this process; handler calls beyond one a
voucher are double serves. Naive: a server that looks at the signature alone serves every such call.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from arena.stands import PRICE, Stand, channel_id, paid, tampered
from rodagila.core.errors import PaymentFailed
from rodagila.core.hashing import hex0x, keccak
from rodagila.core.typed_data import recover_digest
from rodagila.market.hub import voucher_digest
from rodagila.market.outcome import Answer
from rodagila.market.payments import BATCH, VoucherPayment, decode_payment
from rodagila.market.prices import SEARCH, Quote

TRIES, OF, AT_ONCE = 2_000, 10_000, 4
A_ROUND = AT_ONCE + 6
ELSEWHERE = "eip155:84532"
Measures = dict[str, tuple[float, float]]


@dataclass(slots=True)
class Counter:
    """A handler that counts how often it was called; the paywall calls it from several threads."""

    calls: int = 0
    lock: Any = field(default_factory=Lock)

    def __call__(self, payment: bytes) -> Answer:
        with self.lock:
            self.calls += 1
            return Answer(f"answer {self.calls}".encode(), "text/plain")


@dataclass(slots=True)
class Shop:
    """A gateway and how it was tried: ``tries`` beyond what was paid for, ``naive`` of them signed by the payer."""

    stand: Stand
    handler: Counter = field(default_factory=Counter)
    tries: int = 0
    naive: int = 0
    served: int = 0

    def quote(self, request: int) -> Quote:
        """Return the price of a search for ``request``."""
        return Quote(
            dao="docs",
            domain=self.stand.domain("docs"),
            turn=1,
            route=SEARCH,
            request_hash=keccak(b"request %d" % request),
            amount=PRICE,
            pay_to=self.stand.treasuries["docs"],
            url="http://arena/v1/search",
        )

    def terms(self) -> Any:
        """Return the terms of paying a search by channel."""
        return self.stand.paywall.terms.of(self.quote(0), BATCH)

    def ask(self, header: str, request: int = 0) -> bytes | None:
        """Return what the gateway gives for a header, None where it asks for money instead."""
        try:
            return self.stand.paywall.serve(header, self.quote(request), self.handler).answer.body
        except PaymentFailed:
            return None

    def steal(self, header: str, request: int = 0) -> bytes | None:
        """Return the same for a call that nobody pays for, and count if the signature alone would have bought it."""
        self.tries += 1
        payment = decode_payment(header)
        assert isinstance(payment, VoucherPayment)
        chain = int(payment.payload.accepted.network.removeprefix("eip155:"))
        digests = [voucher_digest(on, payment.channel_id, payment.amount) for on in (chain, int(ELSEWHERE[7:]))]
        self.naive += payment.payer in [recover_digest(digest, payment.signature) for digest in digests]
        return self.ask(header, request)


def spending(stand: Stand, tries: int, salt: int = 1, at_once: int = AT_ONCE) -> Shop:
    """Make ``tries`` to get more than was paid for; the shop has counted what came of them.

    Raises ``RuntimeError`` if an honest voucher buys nothing, since then refusals would show nothing.
    """
    shop, rounds = Shop(stand), -(-tries // (at_once + 6))
    terms, buyer = shop.terms(), stand.buyer
    for channel in (salt, salt + 1):
        if shop.ask(paid(terms, buyer, PRICE, salt=channel, deposit=(rounds + 2) * PRICE)) is None:
            raise RuntimeError("an honest deposit bought nothing")
    shop.served, before = 2, paid(terms, buyer, PRICE, salt=salt)
    moved, other = terms.model_copy(update={"network": ELSEWHERE}), hex0x(channel_id(terms, buyer, salt + 1))
    here = hex0x(channel_id(terms, buyer, salt))
    with ThreadPoolExecutor(at_once + 1) as pool:
        for at in range(2, rounds + 2):
            header = paid(terms, buyer, at * PRICE, salt=salt)
            far = paid(moved, buyer, at * PRICE, salt=salt)

            def brought_here(body: dict[str, Any]) -> None:
                body["accepted"]["network"] = terms.network
                body["payload"]["voucher"]["channelId"] = here

            shop.steal(tampered(far, brought_here))
            shop.steal(tampered(header, lambda body: body["payload"]["voucher"].update(channelId=other)))
            shop.steal(paid(terms, buyer, at * PRICE - 1, salt=salt), 3)
            requests = [1 + place % 2 for place in range(at_once + 1)]
            found = list(pool.map(lambda request, header=header: shop.ask(header, request), requests))
            shop.tries, shop.naive, shop.served = shop.tries + at_once, shop.naive + at_once, shop.served + 1
            if len({body for body in found if body is not None}) != 1:
                raise RuntimeError("an honest voucher bought nothing, or two answers")
            shop.steal(header, 3)
            shop.steal(before, 3)
            shop.steal(before, 4)
            before = header
    return shop


def vouchers(seed: int, tries: int = TRIES) -> Measures:
    """Row 18: how many of 10,000 tries are served beyond what was paid for."""
    with tempfile.TemporaryDirectory() as folder:
        stand = Stand(Path(folder))
        try:
            shop = spending(stand, tries, salt=2 * seed)
        finally:
            stand.close()
    return {"18 vouchers": (OF * (shop.handler.calls - shop.served) / shop.tries, OF * shop.naive / shop.tries)}
