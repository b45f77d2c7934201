"""The ledger's port: what every ledger answers, whether it runs in this process or behind JSON-RPC.

Addresses are EIP-55 checksum strings, hashes are 32 bytes, amounts are wei, times are seconds. Reads answer for the
latest block; on the embedded ledger ``call`` and ``estimate_gas`` run as if they were in the next block, now, so that a
contract's clock does not stand still between blocks that are made on demand.

>>> ledger.call(token, balance_of(ada))                       # doctest: +SKIP
b'...32 bytes...'
>>> receipt = ledger.receipt(ledger.send(signed.raw_transaction))  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from rodagila.core.errors import Conflict, RefusedByPolicy

ZERO_ADDRESS = "0x0000000000000000000000000000000000000000"

EMBEDDED_CHAIN_ID = 1919902817
"""The embedded ledger's chain id: the ASCII letters ``roda`` as a number; no public chain uses it."""

LOCAL_CHAIN_IDS = (EMBEDDED_CHAIN_ID, 31337)
"""Chains whose money is nobody's: the embedded ledger, and the development chains of Foundry and Hardhat."""

MAX_TRANSACTIONS_PER_BLOCK = 100

Topic = bytes | Sequence[bytes] | None
"""One position of a log filter: a topic, any of several, or anything (``eth_getLogs``)."""

Storage = Mapping[str, Mapping[int, int]]
"""Words by slot, by the contract that holds them."""


class Reverted(RefusedByPolicy):
    """A contract refused the call; ``data`` is the ABI-encoded reason it returned, if any."""

    def __init__(self, message: str, data: bytes = b"", *, hint: str = "", **details: Any) -> None:
        super().__init__("call_reverted", message, hint=hint, data="0x" + data.hex(), **details)
        self.data = data


class Unconfirmed(Conflict):
    """Something was to be sent from a view of a past block: its effect is not in that block."""

    def __init__(self, block: int) -> None:
        super().__init__("unconfirmed", f"What was to happen has not happened up to the confirmed block {block}.")


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One event; ``log_index`` counts within the block."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    tx_hash: bytes
    log_index: int


@dataclass(frozen=True, slots=True)
class TxReceipt:
    """What a transaction did; ``status`` is 1 or, if it failed and changed nothing but the fee, 0."""

    tx_hash: bytes
    block_number: int
    index: int
    sender: str
    to: str | None
    status: int
    gas_used: int
    contract_address: str | None
    logs: tuple[LogEntry, ...]


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call to try with ``Ledger.simulate``; the sender may be any account, a contract without a key too."""

    sender: str
    to: str
    data: bytes = b""
    value: int = 0


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What a simulated call did.

    ``error`` is None, or says in words why it failed; ``output`` is then the contract's ABI-encoded reason. Logs count
    within the simulation and belong to no transaction (``tx_hash`` is zero).
    """

    output: bytes
    error: str | None
    gas_used: int
    logs: tuple[LogEntry, ...]


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """A block's header and the hashes of its transactions in order."""

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    gas_limit: int
    gas_used: int
    base_fee: int
    transactions: tuple[bytes, ...]


@runtime_checkable
class Ledger(Protocol):
    """An EVM ledger that this system writes to and reads from."""

    chain_id: int
    confirmations: int
    """Blocks that must stand on a block before anything is paid from it; 0 where no block is ever replaced."""

    def block_number(self) -> int:
        """Return the latest block's number."""

    def confirmed_block(self) -> int:
        """Return the newest block that ``confirmations`` others stand on."""

    def at(self, block: int) -> Ledger:
        """Return a view of the ledger as it was after ``block``, which sends nothing: it raises ``Unconfirmed``.

        A ledger without confirmations is its own view.
        """

    def timestamp(self) -> int:
        """Return the latest block's time."""

    def base_fee(self) -> int:
        """Return the next block's base fee in wei per gas."""

    def balance(self, address: str) -> int:
        """Return the account's wei."""

    def nonce(self, address: str) -> int:
        """Return the nonce of the account's next transaction."""

    def code(self, address: str) -> bytes:
        """Return the contract's runtime code, empty for other accounts."""

    def storage(self, address: str, slot: int) -> int:
        """Return the word in a contract's storage slot."""

    def call(self, to: str, data: bytes, *, sender: str = ZERO_ADDRESS, value: int = 0) -> bytes:
        """Run a call that changes nothing and return its output; raise ``Reverted`` if the contract refuses."""

    def estimate_gas(self, to: str | None, data: bytes, *, sender: str, value: int = 0) -> int:
        """Return a gas limit with which the transaction does now what it does with all gas; raise ``Reverted``."""

    def simulate(self, calls: Sequence[CallRequest], *, storage: Storage | None = None) -> list[CallOutcome]:
        """Run calls one after the other as if in the next block, each on what those before it left; keep nothing.

        A call that fails changes nothing and the next is still run. No fee is taken. ``storage`` stands for what
        those slots of contracts hold before the first call. Raises ``InvalidInput``
        (``transaction_invalid``) if a call carries more wei than its sender has by then.
        """

    def send(self, raw: bytes) -> bytes:
        """Include a signed transaction in a block and return its hash once that is durable.

        Raises ``InvalidInput``, ``RefusedByPolicy`` (``chain_mismatch``, ``transaction_invalid``) or ``Conflict``
        (``nonce_wrong``); a transaction that reverts is included, with status 0.
        """

    def send_many(self, raws: Sequence[bytes]) -> list[bytes]:
        """Include up to 100 transactions, all or none of them, in one block where the ledger can."""

    def receipt(self, tx_hash: bytes) -> TxReceipt:
        """Return what the transaction did; raise ``NotFound`` if no block holds it."""

    def transaction(self, tx_hash: bytes) -> bytes:
        """Return the signed transaction's raw bytes; raise ``NotFound``."""

    def logs(
        self,
        address: str | None = None,
        topics: Sequence[Topic] = (),
        from_block: int = 0,
        to_block: int | None = None,
    ) -> list[LogEntry]:
        """Return matching events in ledger order; both ends are included, ``to_block=None`` means the latest."""

    def block(self, number: int) -> BlockInfo:
        """Return a block's header; raise ``NotFound``."""

    def close(self) -> None:
        """Release files and connections; further use is an error."""
