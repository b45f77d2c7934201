"""What a 402 says: the ways to pay for one call, each signed as an offer.

``exact`` is always offered, and first, because most clients take the first that they know. ``batch-settlement`` is
offered where the chain has the channel hub. A payment fits an entry of ``accepts`` if everything that the entry says
is in it. Offers are signed once for some seconds and many buyers: the same quote gives the same bytes.

>>> terms.required(quote, "payment_required").accepts[0].scheme  # doctest: +SKIP
'exact'
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from eth_account.signers.local import LocalAccount

from rodagila.market.offers import EXTENSION, OFFERS_SCHEMA, offer_payload, signed_offer
from rodagila.market.payments import BATCH, EXACT, IDENTIFIER
from rodagila.market.prices import PAYMENT_SECONDS, Quote, Token

if TYPE_CHECKING:
    from x402.schemas import PaymentRequired, PaymentRequirements

MIN_DEPOSIT_CALLS = 10
"""How many calls a first deposit should be good for: a hint to clients."""

OFFER_SECONDS = 600
KEPT_SECONDS = 60
KEPT = 256


class Terms:
    """Makes the terms of quotes for one token on one network; ``schemes`` in the order of preference."""

    def __init__(
        self,
        token: Token,
        network: str,
        gateway: LocalAccount,
        schemes: tuple[str, ...],
        clock: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        self.schemes = schemes
        self._token, self._network, self._gateway, self._clock = token, network, gateway, clock
        self._kept: dict[tuple[Any, ...], tuple[int, PaymentRequired]] = {}

    def of(self, quote: Quote, scheme: str) -> PaymentRequirements:
        """Return the terms of paying a quote by one scheme."""
        from x402.schemas import PaymentRequirements

        extra: dict[str, Any] = {"name": self._token.name, "version": self._token.version}
        if scheme == BATCH:
            extra |= {
                "receiverAuthorizer": str(self._gateway.address),
                "withdrawDelay": quote.withdraw_delay,
                "minDeposit": str(quote.amount * MIN_DEPOSIT_CALLS),
            }
        return PaymentRequirements(
            scheme=scheme,
            network=self._network,
            asset=self._token.address,
            amount=str(quote.amount),
            pay_to=quote.pay_to,
            max_timeout_seconds=PAYMENT_SECONDS,
            extra=extra,
        )

    def met(self, quote: Quote, accepted: PaymentRequirements) -> PaymentRequirements | None:
        """Return the terms that a payment was signed for, None if they are not offered for this quote.

        A channel may be filled by Permit2 instead of the token's own authorisations: the payer says so in ``extra``.
        """
        if accepted.scheme not in self.schemes:
            return None
        terms = self.of(quote, accepted.scheme)
        given = accepted.extra or {}
        same = all(
            getattr(terms, name) == getattr(accepted, name)
            for name in ("network", "asset", "amount", "pay_to", "max_timeout_seconds")
        )
        if not same or any(given.get(name) != value for name, value in terms.extra.items()):
            return None
        if accepted.scheme == BATCH and given.get("assetTransferMethod") == "permit2":
            if not _takes_permit2():
                return None
            terms.extra["assetTransferMethod"] = "permit2"
        return terms

    def required(self, quote: Quote, error: str, **channel: Any) -> PaymentRequired:
        """Return the whole of a 402; ``channel`` is what a buyer needs to correct a voucher, beside the terms."""
        required = self._signed(quote)
        accepts = [terms.model_copy(deep=True) for terms in required.accepts] if channel else required.accepts
        for terms in accepts if channel else ():
            if terms.scheme == BATCH:
                terms.extra |= channel
        return required.model_copy(update={"error": error, "accepts": accepts})

    def _signed(self, quote: Quote) -> PaymentRequired:
        key = (quote.dao, quote.route, quote.amount, quote.pay_to, quote.url, quote.withdraw_delay)
        now = self._clock()
        kept = self._kept.get(key)
        if kept is not None and 0 <= now - kept[0] < KEPT_SECONDS:
            return kept[1]
        made = self._made(quote, now + OFFER_SECONDS)
        if len(self._kept) >= KEPT:  # the address is the caller's words, so its kinds have no end
            self._kept.clear()
        self._kept[key] = (now, made)
        return made

    def _made(self, quote: Quote, valid_until: int) -> PaymentRequired:
        from x402.schemas import PaymentRequired, ResourceInfo

        accepts = [self.of(quote, scheme) for scheme in self.schemes]
        offers = [
            signed_offer(
                self._gateway,
                offer_payload(quote.url, one.scheme, str(one.network), one.asset, one.pay_to, one.amount, valid_until),
                index,
            )
            for index, one in enumerate(accepts)
        ]
        return PaymentRequired(
            resource=ResourceInfo(
                url=quote.url, description=f"One call of {quote.route}, DAO {quote.dao}", mime_type="application/json"
            ),
            accepts=accepts,
            extensions={
                IDENTIFIER: {"info": {"required": False}, "schema": _IDENTIFIER_SCHEMA},
                EXTENSION: {"info": {"offers": offers}, "schema": OFFERS_SCHEMA},
            },
        )


_IDENTIFIER_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "required": {"type": "boolean"},
        "id": {"type": "string", "minLength": 16, "maxLength": 128, "pattern": "^[a-zA-Z0-9_-]+$"},
    },
    "required": ["required"],
}


@lru_cache(maxsize=1)
def _takes_permit2() -> bool:
    # x402 imports all its extensions for it, and those need this package.
    return find_spec("jsonschema") is not None


def schemes(with_channels: bool) -> tuple[str, ...]:
    """Return the schemes that are offered."""
    return (EXACT, BATCH) if with_channels else (EXACT,)
