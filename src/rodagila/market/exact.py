"""Scheme ``exact``: one authorisation of the token pays one call, and moves the money with a transaction of its own.

The steps are recorded so that a crash between any two of them is mended by the buyer's retry of the same payment:

====================  ================================================================
row of the payment    what a retry with the same request does
====================  ================================================================
none                  verify, run, keep the response, settle, sign, release
claimed               settle, or find the settlement on the ledger; sign, release
served                release the kept response again, while it is kept
====================  ================================================================

The same payment with another request is a conflict. Responses are kept for as long as a payment stays good: a settled
authorisation stands on a public ledger, so whoever also knows the request could otherwise fetch the response for ever.

>>> exact.serve(payment, terms, quote, handler).payment_response  # doctest: +SKIP
'eyJzdWNjZXNzIjp0cnVlLC4uLn0='
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from rodagila.chain.port import Ledger
from rodagila.core.errors import NotFound, Unreachable
from rodagila.core.hashing import from_hex, hex0x
from rodagila.market.calls import SERVED, Call
from rodagila.market.facilitator import LedgerFacilitator
from rodagila.market.fees import settled_transaction
from rodagila.market.outcome import Handler, PaidAnswer, PaymentUnsettled
from rodagila.market.payments import Payment
from rodagila.market.prices import Quote, Token
from rodagila.market.till import InFlight, Till, used

if TYPE_CHECKING:
    from x402.schemas import PaymentRequirements

LOG = logging.getLogger(__name__)


class ExactScheme:
    """Serves calls that are paid one by one."""

    def __init__(self, ledger: Ledger, token: Token, till: Till, facilitator: LedgerFacilitator) -> None:
        self._ledger, self._token, self._till, self._facilitator = ledger, token, till, facilitator
        self._in_flight = InFlight()

    def serve(self, payment: Payment, terms: PaymentRequirements, quote: Quote, handler: Handler) -> PaidAnswer:
        """Return the handler's answer once its payment is settled."""
        key = payment.id_on(self._ledger.chain_id, self._token.address)
        with self._in_flight.alone(key):
            call = self._known(key, payment, quote)
            if call is None:
                self._verify(payment, terms, quote)
                call = self._claimed(self._till.answered(key, payment, quote, handler(key)))
            if call.state == SERVED:
                return self._replay(call)
            transaction = self._settled(call, payment, terms, quote)
            return self._released(replace(call, transaction=transaction), quote, str(terms.network))

    def _known(self, key: bytes, payment: Payment, quote: Quote) -> Call | None:
        call = self._till.known(key, payment)
        given = (payment.digest, quote.route, quote.request_hash)
        if call is not None and (call.digest, call.route, call.request_hash) != given:
            raise used("This payment already pays for another call.")
        return call

    def _verify(self, payment: Payment, terms: PaymentRequirements, quote: Quote) -> None:
        result = self._facilitator.verify(payment.payload, terms)
        if not result.is_valid:
            reason = result.invalid_reason or "unknown"
            raise self._till.demand(quote, "payment_invalid", f"The payment was refused: {reason}.", error=reason)

    def _claimed(self, call: Call) -> Call:
        if not self._till.calls.claim(call):
            raise used("This payment is being served by another gateway.")
        return call

    def _settled(self, call: Call, payment: Payment, terms: PaymentRequirements, quote: Quote) -> bytes:
        result = self._facilitator.settle(payment.payload, terms)
        if result.success:
            return from_hex(result.transaction)
        found = settled_transaction(
            self._ledger, self._token.address, payer=call.payer, nonce=payment.nonce, pay_to=quote.pay_to,
            amount=call.amount,
        )  # fmt: skip
        if found is not None:
            return found
        if result.transaction and not failed(self._ledger, from_hex(result.transaction)):
            raise unknown_outcome(result.transaction)
        self._till.calls.release(call.id)
        reason = result.error_reason or "unknown"
        LOG.warning("settlement of %s failed: %s", hex0x(call.id), reason)
        raise PaymentUnsettled(
            f"The payment did not settle ({reason}); no money moved and nothing is released.", result,
            hint="Sign a new payment.", reason=reason,
        )  # fmt: skip

    def _released(self, call: Call, quote: Quote, network: str) -> PaidAnswer:
        from x402.schemas import SettleResponse

        settlement = SettleResponse(
            success=True, transaction=hex0x(call.transaction or b""), network=network, payer=call.payer,
            amount=str(call.amount),
        )  # fmt: skip
        call = self._till.signed(call, quote, settlement)
        self._till.calls.serve(call)
        return self._till.released(call)

    def _replay(self, call: Call) -> PaidAnswer:
        again = self._till.replayed(call)
        if again is None:
            raise used("This payment was served and its response is no longer kept.")
        return again


def failed(ledger: Ledger, transaction: bytes) -> bool:
    """Tell whether a transaction is in a block and failed there."""
    try:
        return ledger.receipt(transaction).status == 0
    except NotFound:
        return False  # sent, and in no block yet


def unknown_outcome(transaction: str) -> Unreachable:
    """Return the error of a settlement that was sent and is in no block yet."""
    return Unreachable(
        "unreachable",
        "The settlement was sent and its outcome is not known yet; nothing was released.",
        hint="Try the same payment again.",
        transaction=transaction,
    )
