"""Decode signed transactions and say precisely why one cannot be included.

Formats: EIP-155 (legacy with chain id), EIP-2930, EIP-1559 and EIP-7702. Refused: legacy transactions without a chain
id, which could be replayed on any chain, and blob transactions, whose data nobody here would keep.

>>> decode(bytes.fromhex("00"), chain_id=1919902817)
Traceback (most recent call last):
rodagila.core.errors.InvalidInput: The bytes are not a signed transaction: unknown transaction type `0`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ethereum.exceptions import EthereumException
from ethereum.forks.prague import vm
from ethereum.forks.prague.fork_types import Account, Address
from ethereum.forks.prague.transactions import (
    BlobTransaction,
    FeeMarketTransaction,
    LegacyTransaction,
    SetCodeTransaction,
    Transaction,
    calculate_intrinsic_cost,
    decode_transaction,
    encode_transaction,
    recover_sender,
)
from ethereum_rlp import rlp
from ethereum_rlp.exceptions import RLPException
from ethereum_types.bytes import Bytes
from ethereum_types.numeric import U64, U256

from rodagila.chain.trie import keccak256
from rodagila.core.errors import Conflict, InvalidInput, RefusedByPolicy, RodaError

MAX_TRANSACTION_BYTES = 128 * 1024
"""What public nodes relay at most (go-ethereum's ``txMaxSize``)."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A decoded transaction with its raw bytes, hash and recovered sender."""

    raw: bytes
    hash: bytes
    transaction: Transaction
    sender: Address
    recipient: Address | None


def decode(raw: bytes, *, chain_id: int, index: int = 0) -> Signed:
    """Decode and authenticate raw bytes; raise ``InvalidInput`` or ``RefusedByPolicy`` (``chain_mismatch``)."""
    if len(raw) > MAX_TRANSACTION_BYTES:
        raise InvalidInput(
            "transaction_invalid", f"Transaction {index} has {len(raw)} bytes; {MAX_TRANSACTION_BYTES} are allowed."
        )
    tx_hash = keccak256(raw)
    tx = decoded(raw, index)
    given = _chain_id(tx)
    if given is None:
        raise RefusedByPolicy(
            "chain_mismatch",
            f"Transaction {index} (0x{tx_hash.hex()}) names no chain, so it could be replayed on another.",
            hint=f"Sign it for chain {chain_id}.",
            expected=chain_id,
        )
    if given != chain_id:
        raise RefusedByPolicy(
            "chain_mismatch",
            f"Transaction {index} (0x{tx_hash.hex()}) is signed for chain {given}; this ledger is chain {chain_id}.",
            hint=f"Sign it for chain {chain_id}.",
            expected=chain_id,
            given=given,
        )
    if isinstance(tx, BlobTransaction):
        raise invalid(tx_hash, index, "carries blobs, which this ledger does not keep")
    try:
        sender = recover_sender(U64(chain_id), tx)
    except EthereumException as exc:
        raise invalid(tx_hash, index, f"has no valid signature ({exc})") from exc
    return Signed(raw, tx_hash, tx, sender, tx.to if isinstance(tx.to, Address) else None)


def refusal(
    signed: Signed, account: Account, env: vm.BlockEnvironment, output: vm.BlockOutput, index: int
) -> RodaError | None:
    """Return why ``signed`` cannot be the block's next transaction, or ``None``; EELS has the last word."""
    tx = signed.transaction
    nonce, gas = int(tx.nonce), int(tx.gas)
    if nonce != int(account.nonce):
        return Conflict(
            "nonce_wrong",
            f"Transaction {index} (0x{signed.hash.hex()}) has nonce {nonce}; the account's next is {account.nonce}.",
            hint="Read the account's nonce again and sign anew.",
            expected=int(account.nonce),
            given=nonce,
        )
    needed = int(max(calculate_intrinsic_cost(tx)))
    if gas < needed:
        return invalid(signed.hash, index, f"has a gas limit of {gas}; it needs at least {needed}", lacks="gas")
    free = int(env.block_gas_limit - output.block_gas_used)
    if gas > free:
        return invalid(signed.hash, index, f"has a gas limit of {gas}; the block has {free} left", lacks="room")
    price = int(tx.max_fee_per_gas if isinstance(tx, FeeMarketTransaction | SetCodeTransaction) else tx.gas_price)
    if price < int(env.base_fee_per_gas):
        what = f"pays {price} wei per gas; the base fee is {env.base_fee_per_gas}"
        return invalid(signed.hash, index, what, lacks="fee")
    cost = gas * price + int(tx.value)
    if cost > int(account.balance):
        return invalid(signed.hash, index, f"may cost {cost} wei; its account has {account.balance}", lacks="funds")
    return None


def invalid(tx_hash: bytes, index: int, reason: str, *, lacks: str = "") -> InvalidInput:
    """Return the error for a transaction that no block can hold; ``lacks`` is gas, room, fee or funds."""
    return InvalidInput(
        "transaction_invalid",
        f"Transaction {index} (0x{tx_hash.hex()}) {reason}.",
        transaction="0x" + tx_hash.hex(),
        **({"lacks": lacks} if lacks else {}),
    )


def decoded(raw: bytes, index: int = 0) -> Transaction:
    """Decode raw bytes without asking who signed them; raise ``InvalidInput``."""
    try:
        if raw and raw[0] >= 0xC0:
            tx: Transaction = rlp.decode_to(LegacyTransaction, raw)
            canonical = rlp.encode(tx)
        else:
            tx = decode_transaction(Bytes(raw))
            canonical = Bytes(encode_transaction(tx))
    except (EthereumException, RLPException, IndexError) as exc:
        raise InvalidInput("transaction_invalid", f"The bytes are not a signed transaction: {exc}.") from exc
    if canonical != raw:
        raise InvalidInput("transaction_invalid", f"Transaction {index} is not in canonical RLP; sign it again.")
    return tx


def _chain_id(tx: Transaction) -> int | None:
    if not isinstance(tx, LegacyTransaction):
        return int(tx.chain_id)
    return None if tx.v in (U256(27), U256(28)) else (int(tx.v) - 35) // 2
