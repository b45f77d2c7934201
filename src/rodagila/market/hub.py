"""The channel hub: what a channel is, what of it is signed, and what the contract says of it now.

A payer deposits once; each call is then paid by a *voucher*, the payer's signature over the sum of all calls so far.
The contract stands at x402's own address on every chain that has it, and a channel's id is the EIP-712 digest of its
configuration in the domain ``{x402 Batch Settlement, 1, chain, hub}``: neither id nor voucher counts on another chain
or contract. Source: x402's scheme ``batch-settlement`` on EVM; ``contracts/src/Channels.sol``.

>>> voucher_digest(1919902817, bytes(32), 1_000).hex()[:8]
'fd6f8064'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rodagila.chain.contracts import Contract, load_artifact
from rodagila.chain.port import ZERO_ADDRESS, Ledger, LogEntry
from rodagila.chain.predeploys import CHANNELS
from rodagila.core.hashing import from_hex, hex0x, keccak
from rodagila.core.typed_data import checksummed, domain_separator

HUB = CHANNELS
MIN_WITHDRAW_DELAY = 900
MAX_WITHDRAW_DELAY = 2_592_000

_CONFIG = keccak(
    b"ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,"
    b"uint40 withdrawDelay,bytes32 salt)"
)
_VOUCHER = keccak(b"Voucher(bytes32 channelId,uint128 maxClaimableAmount)")
CHANGES = ("Deposited", "Claimed", "WithdrawInitiated", "Withdrawn", "Refunded")
"""The events after which a channel is not what it was; the first indexed argument of each is the channel's id."""


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """What a channel is, for ever; addresses are checksummed, ``salt`` has 32 bytes."""

    payer: str
    payer_authorizer: str
    receiver: str
    receiver_authorizer: str
    token: str
    withdraw_delay: int
    salt: bytes

    def id_on(self, chain_id: int) -> bytes:
        """Return the channel's id on a chain."""
        addresses = (self.payer, self.payer_authorizer, self.receiver, self.receiver_authorizer, self.token)
        words = b"".join(bytes(12) + bytes.fromhex(address[2:]) for address in addresses)
        return _digest(chain_id, keccak(_CONFIG + words + self.withdraw_delay.to_bytes(32, "big") + self.salt))

    def as_tuple(self) -> tuple[Any, ...]:
        """Return the fields in the contract's order."""
        return (
            self.payer,
            self.payer_authorizer,
            self.receiver,
            self.receiver_authorizer,
            self.token,
            self.withdraw_delay,
            self.salt,
        )

    def as_json(self) -> dict[str, Any]:
        """Return x402's JSON object."""
        return {
            "payer": self.payer,
            "payerAuthorizer": self.payer_authorizer,
            "receiver": self.receiver,
            "receiverAuthorizer": self.receiver_authorizer,
            "token": self.token,
            "withdrawDelay": self.withdraw_delay,
            "salt": hex0x(self.salt),
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> ChannelConfig:
        """Return the configuration of x402's JSON object; raises ``KeyError``, ``TypeError`` or ``ValueError``."""
        salt, delay = from_hex(body["salt"]), body["withdrawDelay"]
        if len(salt) != 32 or isinstance(delay, bool) or not 0 <= int(delay) < 2**40:
            raise ValueError("the salt has 32 bytes and the withdraw delay 40 bits")
        return cls(
            checksummed(body["payer"]),
            checksummed(body["payerAuthorizer"]),
            checksummed(body["receiver"]),
            checksummed(body["receiverAuthorizer"]),
            checksummed(body["token"]),
            int(delay),
            salt,
        )

    @property
    def by_key(self) -> bool:
        """Whether a key signs the vouchers; otherwise the payer's contract does (ERC-1271)."""
        return self.payer_authorizer != ZERO_ADDRESS


@dataclass(frozen=True, slots=True)
class HubState:
    """What the contract says of a channel; ``leaving`` is announced to be withdrawn since ``leaving_since``."""

    balance: int = 0
    claimed: int = 0
    leaving: int = 0
    leaving_since: int = 0
    refund_nonce: int = 0


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """One voucher to claim: the sum that was signed, the signature, and the sum that is claimed by it."""

    config: ChannelConfig
    signed: int
    signature: bytes
    total: int

    def as_tuple(self) -> tuple[Any, ...]:
        """Return the row in the contract's order."""
        return ((self.config.as_tuple(), self.signed), self.signature, self.total)


def voucher_digest(chain_id: int, channel_id: bytes, amount: int) -> bytes:
    """Return what the payer signs: of this channel up to ``amount`` in all may be claimed."""
    return _digest(chain_id, keccak(_VOUCHER + channel_id + amount.to_bytes(32, "big")))


class Hub:
    """The contract on one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.contract = Contract(ledger, HUB, load_artifact("Channels"))

    def present(self) -> bool:
        """Tell whether this chain has the hub."""
        return bool(self.ledger.code(HUB))

    def state(self, channel_id: bytes) -> HubState:
        """Return what the contract says of a channel now."""
        balance, claimed = self.contract.call("channels", channel_id)
        leaving, since = self.contract.call("pendingWithdrawals", channel_id)
        return HubState(balance, claimed, leaving, since, self.contract.call("refundNonce", channel_id))

    def unsettled(self, receiver: str, token: str) -> int:
        """Return what was claimed for a receiver and not yet paid out."""
        claimed, settled = self.contract.call("receivers", receiver, token)
        return int(claimed) - int(settled)

    def changed(self, from_block: int, to_block: int | None = None) -> set[bytes]:
        """Return the ids of the channels with which something happened in these blocks."""
        return {entry.topics[1] for entry in self._logs(CHANGES, from_block, to_block)}

    def claims(
        self, token: str, receiver: str, from_block: int, to_block: int | None = None
    ) -> list[tuple[str, int, LogEntry]]:
        """Return ``(payer, amount, event)`` of each claim of ``token`` for ``receiver``, in ledger order."""
        events = self.contract.artifact.events
        topics = [events["Claimed"].topic, None, None, bytes(12) + from_hex(receiver)]
        found: list[tuple[str, int, LogEntry]] = []
        for entry in self.ledger.logs(HUB, topics, from_block, to_block):
            if checksummed(entry.data[12:32]) == checksummed(token):
                found.append((checksummed(entry.topics[2][-20:]), int.from_bytes(entry.data[32:64]), entry))
        return found

    def deposit_of(self, channel_id: bytes, amount: int, from_block: int = 0) -> bytes | None:
        """Return the newest transaction that brought exactly ``amount`` into a channel, or None."""
        topics = [self.contract.artifact.events["Deposited"].topic, channel_id]
        found = self.ledger.logs(HUB, topics, from_block)
        matching = [entry.tx_hash for entry in found if int.from_bytes(entry.data[32:64]) == amount]
        return matching[-1] if matching else None

    def _logs(self, names: Sequence[str], from_block: int, to_block: int | None) -> list[LogEntry]:
        topics = [[self.contract.artifact.events[name].topic for name in names]]
        return self.ledger.logs(HUB, topics, from_block, to_block)


def _digest(chain_id: int, struct: bytes) -> bytes:
    return keccak(b"\x19\x01" + domain_separator("x402 Batch Settlement", "1", chain_id, HUB) + struct)
