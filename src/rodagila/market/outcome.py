"""What comes of a call at the paywall: the answer that a handler made, its release, or a demand for money.

>>> Answer(b"{}", "application/json").places
()
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rodagila.core.errors import PaymentFailed
from rodagila.market.receipts import SignedReceipt

if TYPE_CHECKING:
    from x402.schemas import PaymentRequired, SettleResponse


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler made: the response's bytes, their media type and the places of the records they cite.

    ``pair`` is what the arena showed and the response does not say: the roster, and what gave each answer.
    """

    body: bytes
    media_type: str
    places: tuple[int, ...] = ()
    pair: tuple[str, ...] = ()


Handler = Callable[[bytes], Answer]
"""Makes the answer of a call; it gets the id of the payment, which nobody but the payer chose, empty if free."""


@dataclass(frozen=True, slots=True)
class PaidAnswer:
    """A response that may leave, the receipt, and the value of the ``PAYMENT-RESPONSE`` header; free: both empty.

    A refund has no receipt: nothing was served for it.
    """

    answer: Answer
    receipt: SignedReceipt | None = None
    payment_response: str = ""
    replayed: bool = False


class PaymentDemand(PaymentFailed):
    """A payment is missing or wrong: carries the terms, as x402 writes them."""

    def __init__(self, code: str, message: str, terms: PaymentRequired, *, hint: str = "", **details: Any) -> None:
        super().__init__(code, message, hint=hint, **details)
        self.terms = terms


class PaymentUnsettled(PaymentFailed):
    """The payment did not settle: carries the settlement's failure, as x402 writes it."""

    def __init__(self, message: str, settlement: SettleResponse, *, hint: str = "", **details: Any) -> None:
        super().__init__("payment_unsettled", message, hint=hint, **details)
        self.settlement = settlement
