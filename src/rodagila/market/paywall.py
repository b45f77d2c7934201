"""The paywall: nothing leaves unpaid, nothing is paid twice, and a payment that fails releases nothing.

Rules (MECHANISM 4, x402 version 2): an unpaid call learns the terms and nothing else; a handler that fails costs
nothing; a settlement that fails releases nothing; one signed payment is served at most once; a fault of our own is
never a demand for money. ``market.exact`` and ``market.vouchers`` say how each scheme keeps them.

>>> paywall.serve(None, quote, handler)  # doctest: +SKIP
Traceback (most recent call last):
rodagila.market.outcome.PaymentDemand: POST /v1/search costs 0.001 Roda Pay.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from eth_account.signers.local import LocalAccount

from rodagila.chain.port import Ledger
from rodagila.core.errors import PaymentFailed
from rodagila.core.money import format_amount
from rodagila.market.calls import Calls
from rodagila.market.channels import ChannelStore
from rodagila.market.claims import Claimer
from rodagila.market.exact import ExactScheme
from rodagila.market.facilitator import LedgerFacilitator
from rodagila.market.hub import Hub
from rodagila.market.outcome import Handler, PaidAnswer
from rodagila.market.payments import BATCH, Payment, VoucherPayment, decode_payment
from rodagila.market.prices import Quote, Token, network_of
from rodagila.market.refunds import Refunds
from rodagila.market.settlements import Settlements
from rodagila.market.terms import Terms, schemes
from rodagila.market.till import Till
from rodagila.market.vouchers import ChannelScheme
from rodagila.market.watch import ChannelWatch

if TYPE_CHECKING:
    from x402.schemas import PaymentRequirements


class Paywall:
    """Serves paid calls of one token on one ledger; blocking, so callers keep it off their event loop.

    Channels are taken if there is a store for them and the ledger has the hub.
    """

    def __init__(
        self,
        ledger: Ledger,
        token: Token,
        gateway: LocalAccount,
        calls: Calls,
        channels: ChannelStore | None = None,
        *,
        clock: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        self.ledger, self.token, self.calls = ledger, token, calls
        self.gateway = str(gateway.address)
        hub = Hub(ledger)
        takes_channels = channels is not None and hub.present()
        self.terms = Terms(token, network_of(ledger.chain_id), gateway, schemes(takes_channels), clock)
        self.till = Till(gateway, calls, self.terms, clock)
        self.facilitator = LedgerFacilitator(ledger, gateway, Settlements(calls.database))
        self._exact = ExactScheme(ledger, token, self.till, self.facilitator)
        self.vouchers: ChannelScheme | None = None
        self.claimer: Claimer | None = None
        if channels is not None and takes_channels:
            watch = ChannelWatch(hub, channels)
            self.vouchers = ChannelScheme(hub, channels, watch, self.till, self.facilitator)
            self._refunds = Refunds(self.vouchers, self.till, self.facilitator.signer)
            self.claimer = Claimer(token.address, hub, channels, watch, self.facilitator.signer, clock)

    def serve(self, header: str | None, quote: Quote, handler: Handler) -> PaidAnswer:
        """Return the handler's answer once it is paid; ``header`` is ``PAYMENT-SIGNATURE``.

        Raises ``PaymentDemand``, ``PaymentUnsettled``, ``Conflict`` (``payment_used``), ``Unreachable`` and whatever
        the handler raises.
        """
        if quote.amount == 0:
            return PaidAnswer(handler(b""))
        payment, terms = self._read(header, quote)
        if isinstance(payment, Payment):
            return self._exact.serve(payment, terms, quote, handler)
        assert self.vouchers is not None  # no other terms are met by such a payment
        if payment.kind == "refund":
            return self._refunds.serve(payment, terms, quote)
        return self.vouchers.serve(payment, terms, quote, handler)

    def refund(self, header: str | None, quote: Quote) -> PaidAnswer:
        """Give back what is left in the channel that the header names; another payment buys nothing here."""
        payment, terms = self._read(header, quote)
        if not isinstance(payment, VoucherPayment) or payment.kind != "refund":
            raise self.till.demand(quote, "payment_invalid", "Only a refund can be asked for at this address.")
        return self._refunds.serve(payment, terms, quote)

    def _read(self, header: str | None, quote: Quote) -> tuple[Payment | VoucherPayment, PaymentRequirements]:
        if header is None:
            price = f"{format_amount(quote.amount)} {self.token.name}"
            raise self.till.demand(quote, "payment_required", f"POST {quote.route} costs {price}.")
        try:
            payment = decode_payment(header)
        except PaymentFailed as error:
            raise self.till.demand(quote, error.code, error.message, hint=error.hint) from error
        terms = self.terms.met(quote, payment.payload.accepted)
        if terms is None or (terms.scheme == BATCH) != isinstance(payment, VoucherPayment):
            message = "The payment is signed for other terms: chain, token, amount, recipient or time differ."
            raise self.till.demand(quote, "payment_invalid", message)
        return payment, terms
