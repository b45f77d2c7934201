"""Verify a ledger's file by executing every block again from genesis.

First SQLite checks its pages and indexes. Compared for each block: number, parent link, hash, every transaction's hash,
the transactions, receipts and state roots, the stored rows of transactions and logs and the stored changes; at the end
the stored accounts and storage. The first difference is named.

>>> verified(file, 17, 1919902817, lambda done, total: None)      # doctest: +SKIP
Verified(blocks=18, transactions=40, head=b'...')
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ethereum.crypto.hash import Hash32
from ethereum.forks.prague.blocks import Header

from rodagila.chain.execution import Executed, execute_block, header_hash, transactions_root
from rodagila.chain.ledger_file import RECENT_HASHES, LedgerFile, log_rows, transaction_rows
from rodagila.chain.transactions import decode
from rodagila.chain.trie import keccak256
from rodagila.chain.world import Tries, World, applied, hashed
from rodagila.core.errors import Corrupted, RodaError


@dataclass(frozen=True, slots=True)
class Verified:
    """How much was verified, and the latest block's hash."""

    blocks: int
    transactions: int
    head: bytes


@dataclass(frozen=True, slots=True)
class _Point:
    """Where the verification stands: the state after the block that ``header`` heads."""

    world: World
    tries: Tries
    header: Header
    hashes: tuple[Hash32, ...]


def verified(file: LedgerFile, last: int, chain_id: int, progress: Callable[[int, int], None]) -> Verified:
    """Execute blocks 1 to ``last`` again; raise ``Corrupted`` (``ledger_corrupted``) at the first difference."""
    file.check()
    point = _genesis(file)
    count = 0
    for number in range(1, last + 1):
        progress(number, last + 1)
        point, size = _next(file, point, number, chain_id)
        count += size
    stored = file.world()
    if (stored.accounts, stored.storages) != (point.world.accounts, point.world.storages):
        raise _differs(last, "the stored accounts and storage are not what its blocks make")
    progress(last + 1, last + 1)
    return Verified(last + 1, count, bytes(point.hashes[-1]))


def _genesis(file: LedgerFile) -> _Point:
    header = _header(file, 0)
    world = applied(World(), file.changes_of(0))
    tries = hashed(world)
    if tries.accounts.root() != header.state_root:
        raise _differs(0, "its state root is not that of the genesis accounts")
    return _Point(world, tries, header, (header_hash(header),))


def _next(file: LedgerFile, before: _Point, number: int, chain_id: int) -> tuple[_Point, int]:
    header, body = _header(file, number), file.body(number)
    if header.parent_hash != before.hashes[-1]:
        raise _differs(number, "its parent hash is not the hash of the block before")
    if header.timestamp < before.header.timestamp:
        raise _differs(number, "it is older than the block before")
    raws = [row[3] for row in body]
    for tx_hash, raw in zip((row[0] for row in body), raws, strict=True):
        if keccak256(raw) != tx_hash:
            raise _differs(number, f"transaction 0x{tx_hash.hex()} does not hash to its stored hash")
    if transactions_root(raws) != header.transactions_root:
        raise _differs(number, "its transactions root is not that of its transactions")
    if transactions_root([row[-1] for row in body]) != header.receipt_root:
        raise _differs(number, "its receipts root is not that of its receipts")
    done = _again(before, header, raws, chain_id)
    if done.header.state_root != header.state_root:
        raise _differs(number, "its state root is not what its transactions make")
    if done.hash != header_hash(header):
        raise _differs(number, "executing it again gives another header")
    if body != list(transaction_rows(number, done.outcomes)):
        raise _differs(number, "its stored receipts are not what its transactions do")
    if file.logs(from_block=number, to_block=number) != list(log_rows(number, done.outcomes)):
        raise _differs(number, "its stored logs are not what its transactions log")
    if file.changes_of(number) != done.changes:
        raise _differs(number, "its stored changes are not what its transactions change")
    return _Point(done.world, done.tries, header, (*before.hashes, done.hash)[-RECENT_HASHES:]), len(body)


def _again(before: _Point, header: Header, raws: list[bytes], chain_id: int) -> Executed:
    try:
        return execute_block(
            before.world,
            before.tries,
            before.header,
            before.hashes,
            [decode(raw, chain_id=chain_id, index=i) for i, raw in enumerate(raws)],
            chain_id=chain_id,
            timestamp=int(header.timestamp),
        )
    except RodaError as exc:
        raise _differs(int(header.number), f"it cannot be executed again: {exc.message}") from exc


def _header(file: LedgerFile, number: int) -> Header:
    found = file.header(number)
    if found is None:
        raise _differs(number, "it is missing")
    header, stored_hash = found
    if int(header.number) != number or header_hash(header) != stored_hash:
        raise _differs(number, "its header does not hash to its stored hash")
    return header


def _differs(number: int, what: str) -> Corrupted:
    return Corrupted("ledger_corrupted", f"Block {number} does not verify: {what}.", block=number)
