"""The JSON shape of blocks, transactions, receipts and logs (execution-apis), from what the ledger stores.

>>> log_form(placed)["blockNumber"]                              # doctest: +SKIP
'0x1'
"""

from __future__ import annotations

from typing import Any

from ethereum.forks.prague.blocks import Header
from ethereum.forks.prague.fork_types import Address
from ethereum.forks.prague.transactions import (
    AccessListTransaction,
    FeeMarketTransaction,
    LegacyTransaction,
    SetCodeTransaction,
    Transaction,
)
from ethereum.forks.prague.utils.address import compute_contract_address
from ethereum_rlp import rlp
from ethereum_types.numeric import Uint

from rodagila.chain.embedded import BlockRecord
from rodagila.chain.execution import header_rlp
from rodagila.chain.jsonrpc.values import hexed
from rodagila.chain.ledger_file import PlacedLog, TransactionRow
from rodagila.chain.transactions import decoded

Form = dict[str, Any]
_TYPES: tuple[type, ...] = (
    LegacyTransaction,
    AccessListTransaction,
    FeeMarketTransaction,
    type(None),
    SetCodeTransaction,
)
_PAYS_TIP = (FeeMarketTransaction, SetCodeTransaction)


def block_form(record: BlockRecord, *, full: bool) -> Form:
    """Return a block with its transactions' hashes, or (``full``) the transactions."""
    size = _listed(len(header_rlp(record.header)) + _listed(sum(map(_body_size, record.rows))) + 2 * _listed(0))
    return header_form(record.header, record.hash) | {
        "size": hexed(size),
        "transactions": [transaction_form(record, i) if full else hexed(row.hash) for i, row in enumerate(record.rows)],
        "uncles": [],
        "withdrawals": [],
    }


def unmade_form(header: Header) -> Form:
    """Return a block that is not in the ledger, so that it has no hash and no nonce."""
    return block_form(BlockRecord(header, b"", ()), full=False) | {"hash": None, "nonce": None}


def header_form(header: Header, block_hash: bytes) -> Form:
    """Return a header."""
    return {
        "number": hexed(int(header.number)),
        "hash": hexed(block_hash),
        "parentHash": hexed(header.parent_hash),
        "sha3Uncles": hexed(header.ommers_hash),
        "miner": hexed(header.coinbase),
        "stateRoot": hexed(header.state_root),
        "transactionsRoot": hexed(header.transactions_root),
        "receiptsRoot": hexed(header.receipt_root),
        "logsBloom": hexed(header.bloom),
        "difficulty": hexed(int(header.difficulty)),
        "gasLimit": hexed(int(header.gas_limit)),
        "gasUsed": hexed(int(header.gas_used)),
        "timestamp": hexed(int(header.timestamp)),
        "extraData": hexed(header.extra_data),
        "mixHash": hexed(header.prev_randao),
        "nonce": hexed(header.nonce),
        "baseFeePerGas": hexed(int(header.base_fee_per_gas)),
        "withdrawalsRoot": hexed(header.withdrawals_root),
        "blobGasUsed": hexed(int(header.blob_gas_used)),
        "excessBlobGas": hexed(int(header.excess_blob_gas)),
        "parentBeaconBlockRoot": hexed(header.parent_beacon_block_root),
        "requestsHash": hexed(header.requests_hash),
    }


def transaction_form(record: BlockRecord, position: int) -> Form:
    """Return a transaction with its place; fields that its type lacks are left out."""
    row = record.rows[position]
    tx = decoded(row.raw)
    form: Form = {
        "type": hexed(_TYPES.index(type(tx))),
        "nonce": hexed(int(tx.nonce)),
        "gas": hexed(int(tx.gas)),
        "gasPrice": hexed(price_of(tx, record.header)),
        "to": _place(row.recipient),
        "value": hexed(int(tx.value)),
        "input": hexed(tx.data),
        "r": hexed(int(tx.r)),
        "s": hexed(int(tx.s)),
        "hash": hexed(row.hash),
        "from": hexed(row.sender),
        "transactionIndex": hexed(position),
        **_block_of(record),
    }
    if isinstance(tx, LegacyTransaction):
        return form | {"v": hexed(int(tx.v)), "chainId": hexed((int(tx.v) - 35) // 2)}
    parity = hexed(int(tx.y_parity))
    form |= {
        "v": parity,
        "yParity": parity,
        "chainId": hexed(int(tx.chain_id)),
        "accessList": _access_form(tx.access_list),
    }
    if isinstance(tx, _PAYS_TIP):
        form["maxFeePerGas"] = hexed(int(tx.max_fee_per_gas))
        form["maxPriorityFeePerGas"] = hexed(int(tx.max_priority_fee_per_gas))
    if isinstance(tx, SetCodeTransaction):
        form["authorizationList"] = [_authorization_form(one) for one in tx.authorizations]
    return form


def receipt_form(record: BlockRecord, position: int, logs: list[PlacedLog]) -> Form:
    """Return what a transaction did; ``logs`` are those of its block."""
    row = record.rows[position]
    tx = decoded(row.raw)
    _, cumulative, bloom, _ = _receipt_fields(row.receipt)
    created = None if row.recipient is not None else compute_contract_address(Address(row.sender), Uint(tx.nonce))
    return {
        "type": hexed(_TYPES.index(type(tx))),
        "status": hexed(row.status),
        "transactionHash": hexed(row.hash),
        "transactionIndex": hexed(position),
        "from": hexed(row.sender),
        "to": _place(row.recipient),
        "contractAddress": _place(created),
        "gasUsed": hexed(row.gas_used),
        "cumulativeGasUsed": hexed(int.from_bytes(cumulative)),
        "effectiveGasPrice": hexed(price_of(tx, record.header)),
        "logs": [log_form(log) for log in logs if log.position == position],
        "logsBloom": hexed(bloom),
        **_block_of(record),
    }


def log_form(log: PlacedLog) -> Form:
    """Return one event with its place."""
    return {
        "address": hexed(log.address),
        "topics": [hexed(topic) for topic in log.topics],
        "data": hexed(log.data),
        "blockHash": hexed(log.block_hash),
        "blockNumber": hexed(log.block),
        "blockTimestamp": hexed(int(log.header.timestamp)),
        "transactionHash": hexed(log.tx_hash),
        "transactionIndex": hexed(log.position),
        "logIndex": hexed(log.log_index),
        "removed": False,
    }


def price_of(tx: Transaction, header: Header) -> int:
    """Return what the sender paid per gas in the block."""
    if not isinstance(tx, _PAYS_TIP):
        return int(tx.gas_price)
    return min(int(tx.max_fee_per_gas), int(header.base_fee_per_gas) + int(tx.max_priority_fee_per_gas))


def _block_of(record: BlockRecord) -> Form:
    header = record.header
    return {
        "blockHash": hexed(record.hash),
        "blockNumber": hexed(int(header.number)),
        "blockTimestamp": hexed(int(header.timestamp)),
    }


def _receipt_fields(receipt: bytes) -> Any:
    """Decode a consensus receipt, whose first byte is the type unless it is a list."""
    return rlp.decode(receipt if receipt[0] >= 0xC0 else receipt[1:])


def _access_form(entries: Any) -> list[Form]:
    return [{"address": hexed(e.account), "storageKeys": [hexed(slot) for slot in e.slots]} for e in entries]


def _authorization_form(one: Any) -> Form:
    numbers = {"chainId": one.chain_id, "nonce": one.nonce, "yParity": one.y_parity, "r": one.r, "s": one.s}
    return {"address": hexed(one.address)} | {name: hexed(int(value)) for name, value in numbers.items()}


def _place(address: bytes | None) -> str | None:
    return None if address is None else hexed(bytes(address))


def _body_size(row: TransactionRow) -> int:
    """Return a transaction's size within a block: a typed one is a byte string there."""
    return len(row.raw) if row.raw[0] >= 0xC0 else _listed(len(row.raw))


def _listed(payload: int) -> int:
    """Return the size of an RLP list, or of a string of two bytes and more, with its head."""
    return payload + 1 + (0 if payload < 56 else (payload.bit_length() + 7) // 8)
