"""Scheme ``batch-settlement``: a call is paid by a voucher over the sum of all calls of its channel so far.

Rules (x402's specification of the scheme; MECHANISM 4): calls of one channel are served one after the other; a voucher
must be for exactly what was charged plus this call; the channel changes only after the handler succeeded, in one
transaction with the call and its response, so that a crash leaves the voucher unused or used up and nothing between.
A voucher that does not follow is answered with what was charged and the payer's own last signature, from which an x402
client finds its way back. The newest voucher stands for all: it alone is claimed (``market.claims``).

A deposit brings a voucher along. Its money moves before the response leaves, and the call is kept as claimed before
that, as in ``market.exact``. What counts afterwards is whether the channel's balance covers the voucher.

>>> vouchers.serve(payment, terms, quote, handler).receipt.receipt.amount  # doctest: +SKIP
500
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from eth_abi.abi import encode as abi_encode

from rodagila.chain.port import Ledger, Reverted
from rodagila.core.hashing import from_hex, hex0x
from rodagila.core.typed_data import recover_digest
from rodagila.market.calls import SERVED, Call
from rodagila.market.channels import Channel, ChannelStore
from rodagila.market.exact import failed, unknown_outcome
from rodagila.market.facilitator import LedgerFacilitator
from rodagila.market.hub import ChannelConfig, Hub, voucher_digest
from rodagila.market.outcome import Handler, PaidAnswer, PaymentDemand, PaymentUnsettled
from rodagila.market.payments import VoucherPayment
from rodagila.market.prices import Quote
from rodagila.market.till import InFlight, Till, used
from rodagila.market.watch import ChannelWatch

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from x402.schemas import PaymentRequirements, SettleResponse

LOG = logging.getLogger(__name__)
REASON = "invalid_batch_settlement_evm_"
MISMATCH = REASON + "cumulative_amount_mismatch"
_MAGIC = from_hex("1626ba7e")


class ChannelScheme:
    """Serves calls that are paid by channel."""

    def __init__(
        self, hub: Hub, store: ChannelStore, watch: ChannelWatch, till: Till, facilitator: LedgerFacilitator
    ) -> None:
        self.hub, self.store, self.watch = hub, store, watch
        self._till, self._facilitator = till, facilitator
        self._in_flight = InFlight()

    def serve(self, payment: VoucherPayment, terms: PaymentRequirements, quote: Quote, handler: Handler) -> PaidAnswer:
        """Return the handler's answer once its voucher is used up."""
        with self.alone(payment.channel_id):
            key = payment.id_on(self.hub.ledger.chain_id)
            channel = self._known(payment)
            call = None
            # The next voucher of a channel has paid nothing yet: what was served is charged. So it is not looked up.
            if channel is None or not self._is_next(payment, quote, channel):
                call = self._till.known(key, payment)
                again = self._again(call, payment, quote)
                if again is not None:
                    return again
            channel = self.following(payment, terms, quote, channel)
            if payment.kind == "deposit":
                return self._with_deposit(key, payment, terms, quote, handler, call, channel)
            self._require_covered(payment, quote, channel)
            call = self._till.answered(key, payment, quote, handler(key))
            settlement = self._settlement(payment, quote, channel, terms)
            call = self._till.signed(call, quote, settlement)
            self._commit(payment, quote, channel, lambda connection: self._till.calls.keep(connection, call))
            return self._till.released(call)

    def alone(self, channel_id: bytes) -> Any:
        """Hold a channel while the block lasts."""
        return self._in_flight.alone(channel_id)

    def following(
        self, payment: VoucherPayment, terms: PaymentRequirements, quote: Quote, channel: Channel | None = None
    ) -> Channel:
        """Return the channel if the voucher is its next one and is signed; a channel never seen is read first.

        Raises ``PaymentDemand``; a voucher with the wrong sum learns the right one. A refund follows with the sum that
        was charged already.
        """
        reason = _mismatch(payment, terms, self.hub.ledger.chain_id)
        if reason is not None:
            raise self._refused(quote, reason)
        channel = channel or self._known(payment)
        if channel is None:
            state = self.hub.state(payment.channel_id)
            channel = Channel(payment.channel_id, payment.config, charged=state.claimed).seen(state)
        expected = channel.charged + (0 if payment.kind == "refund" else quote.amount)
        if payment.amount != expected:
            raise self._corrected(quote, channel)
        if not signed_by_payer(self.hub.ledger, payment.config, payment.channel_id, payment.amount, payment.signature):
            raise self._refused(quote, REASON + "voucher_signature")
        return channel

    def _known(self, payment: VoucherPayment) -> Channel | None:
        self.watch.ensure_fresh()
        return self.store.get(payment.channel_id)

    def _is_next(self, payment: VoucherPayment, quote: Quote, channel: Channel) -> bool:
        plain = payment.kind == "voucher" and payment.identifier is None
        return plain and payment.amount == channel.charged + quote.amount

    def _again(self, call: Call | None, payment: VoucherPayment, quote: Quote) -> PaidAnswer | None:
        if call is None or call.state != SERVED:
            return None
        given = (payment.digest, quote.route, quote.request_hash)
        if (call.digest, call.route, call.request_hash) == given:
            return self._till.replayed(call)
        if payment.identifier is not None and call.identifier == payment.identifier:
            raise used("This payment identifier already names a payment for another call.")
        return None  # its sum is used up: the voucher is told so below, with the sum that is

    def _require_covered(self, payment: VoucherPayment, quote: Quote, channel: Channel) -> None:
        if payment.amount > channel.free:
            # A deposit that somebody else sent, or a chain that went back: look once before refusing.
            state = self.hub.state(payment.channel_id)
            channel = self.watch.refresh(payment.channel_id) or channel.seen(state)
        if channel.state.balance == 0:
            raise self._refused(quote, REASON + "channel_not_found")
        if payment.amount > channel.free:
            raise self._refused(quote, REASON + "cumulative_exceeds_balance")
        if payment.amount <= channel.state.claimed:
            raise self._refused(quote, REASON + "cumulative_below_claimed")

    def _with_deposit(
        self,
        key: bytes,
        payment: VoucherPayment,
        terms: PaymentRequirements,
        quote: Quote,
        handler: Handler,
        call: Call | None,
        channel: Channel,
    ) -> PaidAnswer:
        if call is not None and (call.digest, call.request_hash) != (payment.digest, quote.request_hash):
            raise used("This payment already pays for another call.")
        if call is None:
            result = self._facilitator.verify(payment.payload, terms)
            if not result.is_valid:
                raise self._refused(quote, result.invalid_reason or "unknown")
            call = self._till.answered(key, payment, quote, handler(key))
            if not self._till.calls.claim(call):
                raise used("This payment is being served by another gateway.")
        call = replace(call, transaction=self._deposited(call, payment, terms))
        channel = channel.seen(self.hub.state(payment.channel_id))
        settlement = self._settlement(payment, quote, channel, terms)
        settlement.transaction = hex0x(call.transaction) if call.transaction else ""
        settlement.amount = str(payment.wanted)
        served = self._till.signed(call, quote, settlement)
        self._commit(payment, quote, channel, lambda connection: self._till.calls.serve(served, connection))
        return self._till.released(served)

    def _deposited(self, call: Call, payment: VoucherPayment, terms: PaymentRequirements) -> bytes | None:
        """Bring the money in and return the transaction; None if the channel is covered without one to name."""
        result: SettleResponse = self._facilitator.settle(payment.payload, terms)
        state = self.hub.state(payment.channel_id)
        covered = payment.amount <= state.balance - state.leaving
        if result.success and covered:
            return from_hex(result.transaction)
        if result.transaction and not failed(self.hub.ledger, from_hex(result.transaction)):
            raise unknown_outcome(result.transaction)
        if covered:  # an earlier try brought it in, or somebody else did
            return self.hub.deposit_of(payment.channel_id, payment.wanted or 0)
        self._till.calls.release(call.id)
        reason = result.error_reason or "unknown"
        LOG.warning("deposit into %s failed: %s", hex0x(payment.channel_id), reason)
        raise PaymentUnsettled(
            f"The deposit did not settle ({reason}); nothing was charged and nothing is released.", result,
            hint="Sign a new payment.", reason=reason,
        )  # fmt: skip

    def _commit(
        self, payment: VoucherPayment, quote: Quote, channel: Channel, beside: Callable[[Connection], None]
    ) -> None:
        def charged(now: Channel | None) -> Channel:
            base = now or channel
            if base.charged != channel.charged:  # another process of this home was faster
                raise self._corrected(quote, base)
            return replace(base, state=channel.state).charge(
                quote.amount, payment.amount, payment.signature, self._till.clock()
            )

        self.store.update_channel(payment.channel_id, charged, beside)

    def _settlement(
        self, payment: VoucherPayment, quote: Quote, channel: Channel, terms: PaymentRequirements
    ) -> SettleResponse:
        from x402.schemas import SettleResponse

        state = state_as_json(channel) | {"chargedCumulativeAmount": str(channel.charged + quote.amount)}
        return SettleResponse(
            success=True, transaction="", network=terms.network, payer=payment.payer, amount="",
            extra={"chargedAmount": str(quote.amount), "channelState": state},
        )  # fmt: skip

    def _refused(self, quote: Quote, reason: str) -> PaymentDemand:
        message = f"The voucher was refused: {reason.removeprefix(REASON)}."
        return self._till.demand(quote, "payment_invalid", message, error=reason)

    def _corrected(self, quote: Quote, channel: Channel) -> PaymentDemand:
        correction: dict[str, Any] = {
            "channelState": state_as_json(channel) | {"chargedCumulativeAmount": str(channel.charged)}
        }
        if channel.signature:
            signature = hex0x(channel.signature)
            correction["voucherState"] = {"signedMaxClaimable": str(channel.signed), "signature": signature}
        message = f"The next voucher of this channel is over {channel.charged + quote.amount} atomic units."
        return self._till.demand(quote, "payment_invalid", message, error=MISMATCH, **correction)


def signed_by_payer(ledger: Ledger, config: ChannelConfig, channel_id: bytes, amount: int, signature: bytes) -> bool:
    """Tell whether a voucher is the payer's word: by the key of its authorizer, or by its contract (ERC-1271).

    Only the contract's word costs a call to the ledger.
    """
    digest = voucher_digest(ledger.chain_id, channel_id, amount)
    if config.by_key:
        return recover_digest(digest, signature) == config.payer_authorizer
    if not ledger.code(config.payer):
        return recover_digest(digest, signature) == config.payer
    try:
        data = _MAGIC + abi_encode(["bytes32", "bytes"], [digest, signature])
        return ledger.call(config.payer, data)[:32] == _MAGIC + bytes(28)
    except Reverted:
        return False


def state_as_json(channel: Channel) -> dict[str, Any]:
    """Return what the ledger says of a channel, as x402 writes it."""
    state = channel.state
    return {
        "channelId": hex0x(channel.id),
        "balance": str(state.balance),
        "totalClaimed": str(state.claimed),
        "withdrawRequestedAt": state.leaving_since,
        "refundNonce": str(state.refund_nonce),
    }


def _mismatch(payment: VoucherPayment, terms: PaymentRequirements, chain_id: int) -> str | None:
    config = payment.config
    if config.id_on(chain_id) != payment.channel_id:
        return REASON + "channel_id_mismatch"
    if config.receiver != terms.pay_to:
        return REASON + "receiver_mismatch"
    if config.receiver_authorizer != terms.extra["receiverAuthorizer"]:
        return REASON + "receiver_authorizer_mismatch"
    if config.token != terms.asset:
        return REASON + "token_mismatch"
    # An old channel with another delay can still be emptied by a refund.
    if payment.kind != "refund" and config.withdraw_delay != terms.extra["withdrawDelay"]:
        return REASON + "withdraw_delay_mismatch"
    return None
