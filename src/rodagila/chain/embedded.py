"""The embedded ledger: Prague's EVM (EELS) in this process, its blocks and state durable in one SQLite file.

``send`` executes the transaction in a block of its own, commits it with an fsync and only then returns: what it
acknowledged survives ``kill -9``. Threads share one ``EmbeddedLedger``; processes open the same file, each follows
the others' blocks before it reads or writes. A block's time may equal its parent's, because blocks are made on demand;
this is the one deviation from Ethereum's rules (``execution`` names the values that have no source here).

>>> ledger = EmbeddedLedger.open(Path("ledger.db"))                                   # doctest: +SKIP
>>> ledger.receipt(ledger.send(faucet_signed)).status                                 # doctest: +SKIP
1
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount
from ethereum.forks.prague.blocks import Header
from ethereum.forks.prague.fork_types import Account
from ethereum_types.bytes import Bytes32
from ethereum_types.numeric import U256, Uint

from rodagila.chain.addresses import from_text, to_text
from rodagila.chain.execution import (
    Call,
    Executed,
    execute_block,
    genesis_header,
    header_hash,
    next_base_fee,
)
from rodagila.chain.file_errors import damaged
from rodagila.chain.genesis import faucet_account, genesis_accounts
from rodagila.chain.history import History
from rodagila.chain.ledger_file import RECENT_HASHES, Head, LedgerFile, PlacedLog, TransactionRow
from rodagila.chain.port import (
    EMBEDDED_CHAIN_ID,
    MAX_TRANSACTIONS_PER_BLOCK,
    ZERO_ADDRESS,
    BlockInfo,
    CallOutcome,
    CallRequest,
    LogEntry,
    Storage,
    Topic,
    TxReceipt,
)
from rodagila.chain.simulation import Moment, called, estimated, simulated, why
from rodagila.chain.transactions import Signed, decode
from rodagila.chain.verification import Verified, verified
from rodagila.chain.world import Changes, Tries, World, applied, hashed, rehashed
from rodagila.core.errors import Conflict, Corrupted, InvalidInput, NotFound, RefusedByPolicy

_EMPTY = Account(Uint(0), U256(0), b"")


def wall_clock() -> int:
    """Return the time in whole seconds."""
    return int(time.time())


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """A block as it is stored: header, hash and the transactions with what they did."""

    header: Header
    hash: bytes
    rows: tuple[TransactionRow, ...]


class EmbeddedLedger:
    """A ``Ledger`` in a file; make one with ``open``."""

    def __init__(self, file: LedgerFile, chain_id: int, clock: Callable[[], int]) -> None:
        self.chain_id = chain_id
        self.confirmations = 0
        self._file = file
        self._clock = clock
        self._lock = threading.RLock()
        with file.reading():
            self._seen = file.version()
            self._head = file.head()
            self._world = file.world()
        self._tries: Tries | None = None
        self._history = History(self._changes_between)
        self._history.note(self._head.number, self._world)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        clock: Callable[[], int] = wall_clock,
        chain_id: int = EMBEDDED_CHAIN_ID,
        genesis_code: Mapping[str, bytes] | None = None,
    ) -> EmbeddedLedger:
        """Open the ledger at ``path``, or create it with ``genesis_code`` (runtime code by address) in block 0.

        An existing ledger keeps its own genesis. Raises ``Corrupted`` (``ledger_corrupted``), ``RefusedByPolicy``
        (``chain_mismatch``) or ``Unreachable``.
        """
        file = LedgerFile.open(path)
        try:
            if not file.exists():
                _create(file, chain_id, clock(), genesis_code or {})
            _check_identity(file, chain_id)
            return cls(file, chain_id, clock)
        except BaseException:
            file.close()
            raise

    def __enter__(self) -> EmbeddedLedger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def faucet(self) -> LocalAccount:
        """The account with the first 10**27 wei. Everybody knows its key: embedded ledgers only."""
        return faucet_account()

    def block_number(self) -> int:
        """Return the latest block's number."""
        return self._current()[0].number

    def confirmed_block(self) -> int:
        """Return the latest block's number: no block is ever replaced."""
        return self.block_number()

    def at(self, block: int) -> EmbeddedLedger:
        """Return the ledger itself: what it has shown stays."""
        return self

    def timestamp(self) -> int:
        """Return the latest block's time."""
        return int(self._current()[0].header.timestamp)

    def base_fee(self) -> int:
        """Return the next block's base fee in wei per gas."""
        return int(next_base_fee(self._current()[0].header))

    def balance(self, address: str) -> int:
        """Return the account's wei."""
        return int(self._account(address).balance)

    def nonce(self, address: str) -> int:
        """Return the nonce of the account's next transaction."""
        return int(self._account(address).nonce)

    def code(self, address: str) -> bytes:
        """Return the contract's runtime code, empty for other accounts."""
        return bytes(self._account(address).code)

    def storage(self, address: str, slot: int) -> int:
        """Return the word in a contract's storage slot."""
        slots = self._current()[1].storages.get(from_text(address))
        return 0 if slots is None else int(slots.get(Bytes32(slot.to_bytes(32, "big")), U256(0)))

    def call(self, to: str, data: bytes, *, sender: str = ZERO_ADDRESS, value: int = 0) -> bytes:
        """Run a call as if in the next block, change nothing and return its output; raise ``Reverted``."""
        return called(self._moment(), Call(from_text(sender), from_text(to), data, value))

    def estimate_gas(self, to: str | None, data: bytes, *, sender: str, value: int = 0) -> int:
        """Return a gas limit that was tried and had the same effect as all gas; raise ``Reverted``."""
        return estimated(self._moment(), Call(from_text(sender), None if to is None else from_text(to), data, value))

    def simulate(self, calls: Sequence[CallRequest], *, storage: Storage | None = None) -> list[CallOutcome]:
        """Run calls one after the other as if in the next block and keep nothing."""
        moment = self._moment()
        asked = [Call(from_text(call.sender), from_text(call.to), call.data, call.value) for call in calls]
        number, positions, outcomes = int(moment.parent.number) + 1, itertools.count(), list[CallOutcome]()
        slots = {from_text(address): words for address, words in (storage or {}).items()}
        for done in simulated(moment, asked, slots):
            rows = [(number, next(positions), bytes(32), log.address, *log.topics, log.data) for log in done.logs]
            outcomes.append(CallOutcome(done.output, why(done), done.gas_used, tuple(map(_log_entry, rows))))
        return outcomes

    def send(self, raw: bytes) -> bytes:
        """Include one transaction in a block of its own; return its hash once the block is on the disk."""
        return self.send_many([raw])[0]

    def send_many(self, raws: Sequence[bytes]) -> list[bytes]:
        """Include up to 100 transactions in one block, or none if one of them cannot be included."""
        if not raws:
            return []
        if len(raws) > MAX_TRANSACTIONS_PER_BLOCK:
            raise InvalidInput(
                "invalid_request",
                f"{len(raws)} transactions were given; a block takes {MAX_TRANSACTIONS_PER_BLOCK}.",
                hint="Send them in several lists.",
            )
        signed = [decode(raw, chain_id=self.chain_id, index=i) for i, raw in enumerate(raws)]
        with self._lock:
            self._include(signed)
        return [transaction.hash for transaction in signed]

    def receipt(self, tx_hash: bytes) -> TxReceipt:
        """Return what the transaction did; raise ``NotFound`` if no block holds it."""
        with self._lock, self._file.reading():
            row = self._transaction_row(tx_hash)
            logs = self._file.logs(from_block=row.block, to_block=row.block, tx_hash=tx_hash)
        return TxReceipt(
            tx_hash=tx_hash,
            block_number=row.block,
            index=row.position,
            sender=to_text(row.sender),
            to=None if row.recipient is None else to_text(row.recipient),
            status=row.status,
            gas_used=row.gas_used,
            contract_address=None if row.contract is None else to_text(row.contract),
            logs=tuple(map(_log_entry, logs)),
        )

    def transaction(self, tx_hash: bytes) -> bytes:
        """Return the signed transaction's raw bytes; raise ``NotFound``."""
        with self._lock:
            return bytes(self._transaction_row(tx_hash).raw)

    def logs(
        self,
        address: str | None = None,
        topics: Sequence[Topic] = (),
        from_block: int = 0,
        to_block: int | None = None,
    ) -> list[LogEntry]:
        """Return matching events in ledger order; both ends are included, ``to_block=None`` means the latest."""
        if len(topics) > 4:
            raise InvalidInput("invalid_request", f"{len(topics)} topics were given; an event has at most four.")
        source = None if address is None else from_text(address)
        with self._lock:
            rows = self._file.logs(source, topics, from_block, to_block)
        return [_log_entry(row) for row in rows]

    def block(self, number: int) -> BlockInfo:
        """Return a block's header; raise ``NotFound``."""
        with self._lock, self._file.reading():
            found = self._file.header(number)
            body = self._file.body(number)
        if found is None:
            raise _no_block(number)
        header, block_hash = found
        return BlockInfo(
            number=number,
            hash=bytes(block_hash),
            parent_hash=bytes(header.parent_hash),
            timestamp=int(header.timestamp),
            state_root=bytes(header.state_root),
            transactions_root=bytes(header.transactions_root),
            receipts_root=bytes(header.receipt_root),
            gas_limit=int(header.gas_limit),
            gas_used=int(header.gas_used),
            base_fee=int(header.base_fee_per_gas),
            transactions=tuple(bytes(row[0]) for row in body),
        )

    def head(self) -> Head:
        """Return the latest block."""
        return self._current()[0]

    def number_of(self, block_hash: bytes) -> int | None:
        """Return the number of the block with that hash, or None."""
        with self._lock:
            return self._file.number_of(block_hash)

    def hashes(self, first: int, count: int) -> list[bytes]:
        """Return the hashes of up to ``count`` blocks from ``first`` on."""
        with self._lock:
            return self._file.hashes(first, count)

    def record(self, number: int) -> BlockRecord | None:
        """Return a block as it is stored, or None."""
        with self._lock, self._file.reading():
            found = self._file.header(number)
            return None if found is None else BlockRecord(found[0], bytes(found[1]), tuple(self._file.body(number)))

    def record_of(self, tx_hash: bytes) -> tuple[BlockRecord, int] | None:
        """Return the stored block that holds a transaction and its place there, or None."""
        with self._lock:
            row = self._file.transaction(tx_hash)
        record = None if row is None else self.record(row.block)
        return None if row is None or record is None else (record, row.position)

    def placed_logs(
        self, addresses: Sequence[bytes], topics: Sequence[Topic], from_block: int, to_block: int, limit: int
    ) -> list[PlacedLog]:
        """Return up to ``limit`` matching logs of any of ``addresses`` (none given: of all) with their places."""
        with self._lock, self._file.reading():
            return self._file.placed_logs(addresses, topics, from_block, to_block, limit)

    def world(self, number: int) -> World:
        """Return the state after a block; raise ``NotFound``."""
        head, world = self._current()
        if number == head.number:
            return world
        if not 0 <= number < head.number:
            raise _no_block(number)
        return self._history.world(number)

    def tries(self, number: int) -> Tries:
        """Return the Merkle tries of the state after a block; an earlier block's are made anew. Raises ``NotFound``."""
        with self._lock:
            self._follow()
            if number == self._head.number:
                return self._hashed()
        return hashed(self.world(number))

    def moment(self, number: int | None = None) -> Moment:
        """Return where calls run: after a block and in its environment, or (None) in the next block, now."""
        if number is None:
            return self._moment()
        world = self.world(number)
        with self._lock, self._file.reading():
            before = self._file.head(max(0, number - 1))
            found = self._file.header(number)
        assert found is not None
        return Moment(world, before.header, before.hashes, self.chain_id, int(found[0].timestamp))

    def verify(self, progress: Callable[[int, int], None] | None = None) -> Verified:
        """Execute every block again from genesis and compare everything; raise ``Corrupted`` at the first difference.

        ``progress`` is called with (blocks done, blocks in all).
        """
        with self._lock:
            self._follow()
            return verified(self._file, self._head.number, self.chain_id, progress or (lambda done, total: None))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def _current(self) -> tuple[Head, World]:
        """Return the latest block and state, which are values: no lock is needed to read on."""
        with self._lock:
            self._follow()
            return self._head, self._world

    def _moment(self) -> Moment:
        head, world = self._current()
        return Moment(world, head.header, head.hashes, self.chain_id, self._next_time(head))

    def _next_time(self, head: Head) -> int:
        return max(int(head.header.timestamp), self._clock())

    def _account(self, address: str) -> Account:
        return self._current()[1].accounts.get(from_text(address)) or _EMPTY

    def _follow(self) -> None:
        """Take over the blocks that other processes have appended."""
        seen = self._file.version()
        if seen == self._seen:
            return
        if not self._file.connection.in_transaction:
            with self._file.reading():
                self._take_over()
        else:
            self._take_over()
        self._seen = seen

    def _take_over(self) -> None:
        head, world, tries = self._head, self._world, self._tries
        for header, change in self._file.changes_after(head.number):
            world = applied(world, change)
            tries = None if tries is None else rehashed(tries, world, change)
            head = Head(header, (*head.hashes, header_hash(header))[-RECENT_HASHES:])
            self._history.note(head.number, world)
        self._head, self._world, self._tries = head, world, tries

    def _include(self, signed: Sequence[Signed]) -> None:
        """Execute a block and store it; memory takes the new state only after the disk has it."""
        try:
            with self._file.writing():
                self._follow()
                for transaction in signed:
                    self._refuse_known(transaction)
                done = self._executed(signed)
                self._file.insert(done.header, done.hash, done.changes, done.outcomes)
        except BaseException:
            # A commit may have failed after the disk had it: look again before the next use.
            self._seen = -1
            raise
        self._head = Head(done.header, (*self._head.hashes, done.hash)[-RECENT_HASHES:])
        self._world, self._tries = done.world, done.tries
        self._history.note(self._head.number, done.world)

    def _changes_between(self, number: int, last: int) -> list[Changes]:
        with self._lock:
            return [change for _, change in self._file.changes_after(number, last)]

    def _refuse_known(self, signed: Signed) -> None:
        known = self._file.transaction(signed.hash)
        if known is not None:
            raise Conflict(
                "nonce_wrong",
                f"Transaction 0x{signed.hash.hex()} is already in block {known.block}.",
                hint="Read its receipt.",
                expected=int((self._world.accounts.get(signed.sender) or _EMPTY).nonce),
                given=int(signed.transaction.nonce),
            )

    def _executed(self, signed: Sequence[Signed]) -> Executed:
        return execute_block(
            self._world,
            self._hashed(),
            self._head.header,
            self._head.hashes,
            signed,
            chain_id=self.chain_id,
            timestamp=self._next_time(self._head),
        )

    def _hashed(self) -> Tries:
        """Return the state's tries, built at the first write: a process that only reads never needs them."""
        if self._tries is None:
            self._tries = hashed(self._world)
            if self._tries.accounts.root() != self._head.header.state_root:
                self._tries = None
                raise damaged(self._file.path, "its accounts and storage do not hash to the latest block's state root")
        return self._tries

    def _transaction_row(self, tx_hash: bytes) -> TransactionRow:
        row = self._file.transaction(tx_hash)
        if row is None:
            raise NotFound("transaction_unknown", f"The ledger has no transaction 0x{tx_hash.hex()}.")
        return row


def _no_block(number: int) -> NotFound:
    return NotFound("block_unknown", f"The ledger has no block {number}; ask for 0 to the latest.")


def _create(file: LedgerFile, chain_id: int, now: int, genesis_code: Mapping[str, bytes]) -> None:
    accounts = genesis_accounts({bytes(from_text(address)): code for address, code in genesis_code.items()})
    change = Changes(dict(sorted(accounts.items())), {})
    header = genesis_header(hashed(applied(World(), change)).accounts.root(), now)
    with file.writing():
        # Two processes may have found no ledger; the second to get here finds the first one's.
        if not file.exists():
            file.create(chain_id)
            file.insert(header, header_hash(header), change)


def _check_identity(file: LedgerFile, chain_id: int) -> None:
    if file.meta("format") != 1:
        raise Corrupted(
            "ledger_corrupted",
            f"The ledger {file.path.name} has format {file.meta('format')}; this version reads format 1.",
            hint="Use the version that wrote it.",
        )
    if file.meta("chain_id") != chain_id:
        raise RefusedByPolicy(
            "chain_mismatch",
            f"The ledger {file.path.name} is chain {file.meta('chain_id')}; chain {chain_id} was asked for.",
            expected=chain_id,
            given=file.meta("chain_id"),
        )
    head = file.head()
    if header_hash(head.header) != head.hashes[-1]:
        raise damaged(file.path, f"block {head.number} does not hash to its stored hash")


def _log_entry(row: Sequence[Any]) -> LogEntry:
    block, index, tx_hash, address, *topics, data = row
    return LogEntry(
        to_text(address), tuple(topic for topic in topics if topic is not None), data, block, tx_hash, index
    )
