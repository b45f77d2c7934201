"""Claims: the newest voucher of each channel becomes the treasury's money, in batches, before it is too late.

A channel is due when its buyer announced an exit; when its oldest unclaimed call is older than the policy's age, and at
the latest at half the withdraw delay; or when all that is unclaimed for its treasury reaches the policy's value. Then
everything unclaimed for that treasury is claimed, a hundred rows a transaction, and what was claimed is paid out. A
row that the contract would refuse is found by trying and left out, because one bad row would undo a batch. Nothing is
kept of a claim that is under way: a row that was claimed already is passed over by the contract and what is unpaid
stands on the ledger, so whoever is killed anywhere starts again.

>>> claimer.run(rules)  # doctest: +SKIP
[Claim(receiver='0x5AED...', rows=12, amount=24000, paid=24000)]
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rodagila.chain.port import Reverted
from rodagila.core.errors import RodaError
from rodagila.core.hashing import from_hex, hex0x
from rodagila.core.policy import ChannelRules
from rodagila.market.channels import Channel, ChannelStore
from rodagila.market.facilitator import LedgerFacilitatorSigner
from rodagila.market.hub import HUB, Hub
from rodagila.market.watch import ChannelWatch

LOG = logging.getLogger(__name__)
ROWS = 100
BATCH_GAS = 100_000
ROW_GAS = 29_000
CONTRACT_GAS = 100_000
"""Gas limits: a batch of 100 keys' vouchers gets 3,000,000; a contract that checks its own signature takes more."""
SETTLE_GAS = 150_000


@dataclass(frozen=True, slots=True)
class Claim:
    """What was claimed for one receiver: vouchers, their amount, and what was paid out to it."""

    receiver: str
    rows: int
    amount: int
    paid: int


class Claimer:
    """Claims one token by the key of the receivers' authorizer; any number may run, in any process."""

    def __init__(
        self,
        token: str,
        hub: Hub,
        store: ChannelStore,
        watch: ChannelWatch,
        signer: LedgerFacilitatorSigner,
        clock: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        self._token, self._hub, self._store, self._watch = token, hub, store, watch
        self._signer, self._clock = signer, clock
        self._left_out: set[tuple[bytes, int]] = set()
        self._paid_out: set[str] = set()

    def run(self, rules: Mapping[str, ChannelRules]) -> list[Claim]:
        """Claim and pay out what is due; ``rules`` by receiver."""
        self._watch.renew()
        done = []
        for receiver, channels in self._unclaimed(rules).items():
            if due(channels, rules[receiver], self._clock()):
                done.append(self._claim(receiver, channels))
            elif receiver not in self._paid_out:  # somebody was killed between claiming and paying out
                done.append(self._claim(receiver, []))
        return [claim for claim in done if claim.rows or claim.paid]

    def flush(self, receivers: Iterable[str]) -> list[Claim]:
        """Claim and pay out everything for these receivers, due or not."""
        self._watch.renew()
        unclaimed = self._unclaimed(dict.fromkeys(receivers))
        return [self._claim(receiver, channels) for receiver, channels in unclaimed.items()]

    def _unclaimed(self, receivers: Iterable[str]) -> dict[str, list[Channel]]:
        found: dict[str, list[Channel]] = {receiver: [] for receiver in receivers}
        ours = self._signer.get_addresses()
        for channel in self._store.unclaimed():
            config = channel.config
            if config.receiver in found and config.receiver_authorizer in ours and config.token == self._token:
                found[config.receiver].append(channel)
        return found

    def _claim(self, receiver: str, channels: Sequence[Channel]) -> Claim:
        parts = [channels[start : start + ROWS] for start in range(0, len(channels), ROWS)]
        claimed = [channel for part in parts for channel in self._batch(part)]
        paid = self._pay_out(receiver)
        return Claim(receiver, len(claimed), sum(channel.unclaimed for channel in claimed), paid)

    def _batch(self, channels: Sequence[Channel]) -> list[Channel]:
        good = list(channels) if self._would_pass(channels) else [one for one in channels if self._would_pass([one])]
        for channel in channels:
            self._note(channel, good=channel in good)
        if not good:
            return []
        gas = BATCH_GAS + sum(ROW_GAS + (0 if channel.config.by_key else CONTRACT_GAS) for channel in good)
        transaction = self._signer.send_transaction(HUB, self._data(good), gas=gas)
        if self._signer.wait_for_transaction_receipt(transaction).status != 1:
            LOG.warning("The claim %s of %d vouchers failed; it is tried again.", transaction, len(good))
            return []
        for channel in good:
            self._watch.refresh(channel.id)
        return good

    def _pay_out(self, receiver: str) -> int:
        waiting = self._hub.unsettled(receiver, self._token)
        self._paid_out.discard(receiver)
        if waiting:
            data = self._hub.contract.encode("settle", receiver, self._token)
            transaction = self._signer.send_transaction(HUB, data, gas=SETTLE_GAS)
            if self._hub.ledger.receipt(from_hex(transaction)).status != 1:
                LOG.warning("The payment %s of %d atomic units to %s failed.", transaction, waiting, receiver)
                return 0
        self._paid_out.add(receiver)
        return waiting

    def _would_pass(self, channels: Sequence[Channel]) -> bool:
        try:
            self._hub.ledger.call(HUB, self._data(channels), sender=self._signer.get_addresses()[0])
        except Reverted:
            return False
        return True

    def _data(self, channels: Sequence[Channel]) -> bytes:
        return self._hub.contract.encode("claim", [channel.row.as_tuple() for channel in channels])

    def _note(self, channel: Channel, *, good: bool) -> None:
        key = (channel.id, channel.charged)
        if not good and key not in self._left_out:
            LOG.warning("The voucher of channel %s cannot be claimed now and is left out.", hex0x(channel.id))
            self._left_out.add(key)


def due(channels: Sequence[Channel], rules: ChannelRules, now: int) -> bool:
    """Tell whether a receiver's channels should be claimed now."""
    if sum(channel.unclaimed for channel in channels) >= rules.claim_value:
        return True
    waiting = [channel for channel in channels if channel.unclaimed]
    return any(channel.state.leaving or now - channel.unclaimed_since >= _age(channel, rules) for channel in waiting)


def _age(channel: Channel, rules: ChannelRules) -> int:
    return min(rules.claim_age_seconds, channel.config.withdraw_delay // 2)


def claim_safely(claim: Callable[[], list[Claim]]) -> list[Claim]:
    """Return what ``claim`` did, nothing if the ledger cannot be used now: the next time makes up for it."""
    try:
        return claim()
    except RodaError as error:
        LOG.warning("Vouchers could not be claimed now: %s", error)
        return []
