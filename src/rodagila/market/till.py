"""The till: what both schemes of payment do with a call, from the handler's answer to the response that may leave.

A response leaves with two signatures of the gateway. ``RODA-RECEIPT`` says who paid what for which request and
response, under the DAO's domain: feedback rests on it. The receipt in ``PAYMENT-RESPONSE`` is x402's own, which any
x402 tool can check (``market.offers``). Both are made once and kept with the call, so that a retry gets the same bytes.

>>> till.released(call).payment_response  # doctest: +SKIP
'eyJzdWNjZXNzIjp0cnVlLC4uLn0='
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from eth_account.signers.local import LocalAccount

from rodagila.core.errors import Conflict, RodaError
from rodagila.core.messages import Receipt, dao_id
from rodagila.market.calls import SERVED, Call, Calls
from rodagila.market.offers import EXTENSION, receipt_payload, signed_receipt
from rodagila.market.outcome import Answer, PaidAnswer, PaymentDemand
from rodagila.market.payments import Payment, VoucherPayment
from rodagila.market.prices import PAYMENT_SECONDS, Quote
from rodagila.market.receipts import issue_receipt, response_hash
from rodagila.market.terms import Terms

if TYPE_CHECKING:
    from x402.schemas import SettleResponse

FORGET_EVERY = 256


class Till:
    """The gateway's key, the table of calls and the terms, with what is done with them in every scheme."""

    def __init__(
        self,
        gateway: LocalAccount,
        calls: Calls,
        terms: Terms,
        clock: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        self.gateway, self.calls, self.terms, self.clock = gateway, calls, terms, clock
        self._served = 0

    def known(self, key: bytes, payment: Payment | VoucherPayment) -> Call | None:
        """Return the call of this payment or of its name; raises ``Conflict`` if the name is another payment's."""
        call = self.calls.get(key)
        if payment.identifier is None or (call is not None and call.identifier == payment.identifier):
            return call
        named = self.calls.named(payment.payer, payment.identifier)
        if named is not None and named.id != key:
            raise used("This payment identifier already names another payment.")
        return call

    def answered(self, key: bytes, payment: Payment | VoucherPayment, quote: Quote, answer: Answer) -> Call:
        """Return the call that a handler answered; nothing is kept yet."""
        return Call(
            id=key,
            dao=quote.dao,
            turn=quote.turn,
            payer=payment.payer,
            route=quote.route,
            amount=quote.amount,
            request_hash=quote.request_hash,
            digest=payment.digest,
            created=self.clock(),
            response=answer.body,
            media_type=answer.media_type,
            places=answer.places,
            pair=answer.pair,
            identifier=payment.identifier,
        )

    def signed(self, call: Call, quote: Quote, settlement: SettleResponse) -> Call:
        """Return the call with its receipts, ready to be kept as served."""
        from x402.http.utils import encode_payment_response_header

        assert call.response is not None
        receipt = Receipt(
            payer=call.payer,
            dao=dao_id(quote.domain),
            turn=call.turn,
            route=call.route,
            amount=call.amount,
            payment=call.id,
            request_hash=call.request_hash,
            response_hash=response_hash(call.response),
        )
        public = receipt_payload(str(settlement.network), quote.url, call.payer, self.clock(), settlement.transaction)
        settlement.extensions = {EXTENSION: signed_receipt(self.gateway, public)}
        return replace(
            call,
            receipt=issue_receipt(self.gateway, quote.domain, receipt),
            settlement=encode_payment_response_header(settlement),
            state=SERVED,
        )

    def released(self, call: Call) -> PaidAnswer:
        """Return the response of a call that is kept as served."""
        assert call.response is not None
        self._served += 1
        if self._served % FORGET_EVERY == 0:
            self.forget()
        return PaidAnswer(Answer(call.response, call.media_type, call.places), call.receipt, call.settlement)

    def replayed(self, call: Call) -> PaidAnswer | None:
        """Return the same response again, None if it is not kept any more."""
        if call.response is None or call.created + PAYMENT_SECONDS < self.clock():
            return None
        return replace(self.released(call), replayed=True)

    def demand(
        self, quote: Quote, code: str, message: str, *, error: str = "", hint: str = "", **channel: Any
    ) -> PaymentDemand:
        """Return the demand to pay; ``error`` is the reason as x402 spells it, ``channel`` what corrects a voucher."""
        hint = hint or "Pay by x402 and send the same request with the PAYMENT-SIGNATURE header."
        details = {"reason": error} if error else {}
        terms = self.terms.required(quote, error or message, **channel)
        return PaymentDemand(code, message, terms, hint=hint, **details)

    def forget(self) -> None:
        """Drop the responses for which no retry can ask any more."""
        self.calls.forget_responses(self.clock() - PAYMENT_SECONDS)


class InFlight:
    """Lets one thread at a time work on a payment or a channel; others of the same wait for it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[bytes, tuple[threading.Lock, int]] = {}

    @contextmanager
    def alone(self, key: bytes) -> Iterator[None]:
        """Hold ``key`` while the block lasts."""
        with self._guard:
            lock, users = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, users = self._locks[key]
                if users == 1:
                    del self._locks[key]
                else:
                    self._locks[key] = (lock, users - 1)


def used(message: str) -> RodaError:
    """Return the conflict of a payment that pays for something else."""
    return Conflict("payment_used", message, hint="Sign a new payment for a new call.")
