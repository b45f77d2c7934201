"""Cooperative refunds: a buyer asks for what is left in a channel, and gets it in one transaction without waiting.

The voucher of such a message is for the sum that was charged already. Claim and refund go together in one
transaction, so what was served is paid and what was not goes back. The same message again, while it is good, gets the
same response and moves nothing; a lost one is worth its money anyway, it is back. A buyer whose gateway does not answer
announces an exit at the contract instead and takes the money when the withdraw delay has passed.

>>> refunds.serve(payment, terms, quote).payment_response  # doctest: +SKIP
'eyJzdWNjZXNzIjp0cnVlLC4uLn0='
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from rodagila.core.hashing import hex0x
from rodagila.market.channels import Channel
from rodagila.market.facilitator import LedgerFacilitatorSigner
from rodagila.market.hub import HUB, ClaimRow
from rodagila.market.outcome import Answer, PaidAnswer, PaymentUnsettled
from rodagila.market.payments import VoucherPayment
from rodagila.market.prices import PAYMENT_SECONDS, Quote
from rodagila.market.till import Till
from rodagila.market.vouchers import REASON, ChannelScheme, state_as_json

if TYPE_CHECKING:
    from x402.schemas import PaymentRequirements

REFUND_GAS = 500_000
KEPT = 1_024


class Refunds:
    """Gives buyers back what is left in their channels; ``signer`` sends as the receiver's authorizer."""

    def __init__(self, scheme: ChannelScheme, till: Till, signer: LedgerFacilitatorSigner) -> None:
        self._scheme, self._till, self._signer = scheme, till, signer
        self._done: dict[bytes, tuple[bytes, int, PaidAnswer]] = {}

    def serve(self, payment: VoucherPayment, terms: PaymentRequirements, quote: Quote) -> PaidAnswer:
        """Claim what was served, give back what is left or what was asked of it, and tell so.

        Raises ``PaymentDemand``, ``PaymentUnsettled`` or ``Unreachable``.
        """
        with self._scheme.alone(payment.channel_id):
            digest, until, answer = self._done.get(payment.channel_id, (b"", 0, None))
            if answer is not None and digest == payment.digest and self._till.clock() < until:
                return replace(answer, replayed=True)
            channel = self._scheme.following(payment, terms, quote)
            state = self._scheme.hub.state(payment.channel_id)
            channel = channel.seen(state)
            amount = self._amount(payment, quote, channel)
            transaction = self._sent(payment, channel, amount)
            after = channel.seen(self._scheme.hub.state(payment.channel_id))
            self._scheme.store.update_channel(payment.channel_id, lambda now: now and now.seen(after.state))
            back = channel.state.balance - after.state.balance
            told = self._told(payment, after, transaction, back, str(terms.network))
            if len(self._done) >= KEPT:
                self._done.clear()
            self._done[payment.channel_id] = (payment.digest, self._till.clock() + PAYMENT_SECONDS, told)
            return told

    def _amount(self, payment: VoucherPayment, quote: Quote, channel: Channel) -> int:
        left = channel.state.balance - channel.charged
        wanted = left if payment.wanted is None else payment.wanted
        if payment.wanted == 0:
            raise self._refused(quote, "refund_amount_invalid")
        if left <= 0 or wanted > left:
            raise self._refused(quote, "refund_no_balance")
        return wanted

    def _sent(self, payment: VoucherPayment, channel: Channel, amount: int) -> str:
        contract = self._scheme.hub.contract
        steps = [contract.encode("refund", payment.config.as_tuple(), amount)]
        if channel.unclaimed:
            row = ClaimRow(payment.config, payment.amount, payment.signature, channel.charged)
            steps.insert(0, contract.encode("claim", [row.as_tuple()]))
        data = contract.encode("multicall", steps)
        transaction = self._signer.send_transaction(HUB, data, gas=REFUND_GAS)
        if self._signer.wait_for_transaction_receipt(transaction).status != 1:
            raise self._failed(payment, transaction)
        return transaction

    def _told(self, payment: VoucherPayment, after: Channel, transaction: str, back: int, network: str) -> PaidAnswer:
        from x402.http.utils import encode_payment_response_header
        from x402.schemas import SettleResponse

        state = state_as_json(after) | {"chargedCumulativeAmount": str(after.charged)}
        settlement = SettleResponse(
            success=True, transaction=transaction, network=network, payer=payment.payer, amount=str(back),
            extra={"channelState": state},
        )  # fmt: skip
        body = {"message": "Refund acknowledged", "channelId": hex0x(after.id), "amount": str(back)}
        answer = Answer(json.dumps(body).encode(), "application/json")
        return PaidAnswer(answer, payment_response=encode_payment_response_header(settlement))

    def _failed(self, payment: VoucherPayment, transaction: str) -> PaymentUnsettled:
        from x402.schemas import SettleResponse

        reason = REASON + "refund_transaction_failed"
        network = payment.payload.accepted.network
        settlement = SettleResponse(success=False, error_reason=reason, transaction=transaction, network=network)
        return PaymentUnsettled("The refund did not settle; nothing moved.", settlement, hint="Try again.")

    def _refused(self, quote: Quote, reason: str) -> Exception:
        message = f"The refund was refused: {reason}."
        return self._till.demand(quote, "payment_invalid", message, error=REASON + reason)
