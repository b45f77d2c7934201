"""The embedded ledger's file: blocks, transactions, logs and the latest state in one SQLite database.

WAL mode with ``synchronous=FULL``: when a commit returns, the block is on the disk. One SQLite transaction a block,
so a crash leaves whole blocks only. ``blocks.changes`` holds what each block changed; another process that has the
file open applies those to follow, and ``accounts`` and ``storage`` hold their sum, from which a fresh process starts.

>>> file = LedgerFile.open(path)                                  # doctest: +SKIP
>>> with file.writing(): file.insert(executed)                    # doctest: +SKIP
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from ethereum.crypto.hash import Hash32
from ethereum.forks.prague.blocks import Header
from ethereum.forks.prague.fork_types import Account, Address
from ethereum_rlp import rlp
from ethereum_rlp.exceptions import RLPException
from ethereum_types.bytes import Bytes, Bytes32
from ethereum_types.numeric import U256, Uint
from immutables import Map

from rodagila.chain.execution import Outcome, header_rlp
from rodagila.chain.file_errors import BUSY_MS, damaged, speaking_plainly
from rodagila.chain.port import Topic
from rodagila.chain.world import Changes, World, code_hash

FORMAT_VERSION = 1
RECENT_HASHES = 256
_FEW_BLOCKS = 64
_LAST = 2**63 - 1
"""Larger than any block's number."""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE blocks (number INTEGER PRIMARY KEY, hash BLOB NOT NULL, header BLOB NOT NULL, changes BLOB NOT NULL);
CREATE INDEX blocks_by_hash ON blocks (hash);
CREATE TABLE transactions (
  hash BLOB PRIMARY KEY, block INTEGER NOT NULL, position INTEGER NOT NULL, raw BLOB NOT NULL, sender BLOB NOT NULL,
  recipient BLOB, contract BLOB, status INTEGER NOT NULL, gas_used INTEGER NOT NULL, receipt BLOB NOT NULL);
CREATE UNIQUE INDEX transactions_by_place ON transactions (block, position);
CREATE TABLE logs (
  block INTEGER NOT NULL, log_index INTEGER NOT NULL, tx_hash BLOB NOT NULL, address BLOB NOT NULL,
  topic0 BLOB, topic1 BLOB, topic2 BLOB, topic3 BLOB, data BLOB NOT NULL, PRIMARY KEY (block, log_index)) WITHOUT ROWID;
CREATE INDEX logs_by_address ON logs (address, topic0, block);
CREATE INDEX logs_by_topic ON logs (topic0, block);
CREATE TABLE accounts (
  address BLOB PRIMARY KEY, nonce INTEGER NOT NULL, balance BLOB NOT NULL, code_hash BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE codes (hash BLOB PRIMARY KEY, code BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE storage (address BLOB NOT NULL, slot BLOB NOT NULL, word BLOB NOT NULL, PRIMARY KEY (address, slot))
  WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Head:
    """The latest block and the hashes of the latest 256, oldest first, its own last."""

    header: Header
    hashes: tuple[Hash32, ...]

    @property
    def number(self) -> int:
        return int(self.header.number)


class TransactionRow(NamedTuple):
    """A row of ``transactions``; the fields are its columns, ``receipt`` the consensus encoding."""

    hash: bytes
    block: int
    position: int
    raw: bytes
    sender: bytes
    recipient: bytes | None
    contract: bytes | None
    status: int
    gas_used: int
    receipt: bytes


class PlacedLog(NamedTuple):
    """A row of ``logs`` with its transaction's place in the block and the block's hash and header."""

    block: int
    log_index: int
    tx_hash: bytes
    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    position: int
    block_hash: bytes
    header: Header


class LedgerFile:
    """The open database; the caller serialises its use."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self.connection = path, connection

    @classmethod
    def open(cls, path: Path) -> LedgerFile:
        """Open or create the file; tables are made by ``create``."""
        with speaking_plainly(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
            # A damaged row may hold text where bytes belong; taken as bytes it fails the hash it is checked with.
            connection.text_factory = bytes
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA wal_autocheckpoint = 4000")
            except BaseException:
                connection.close()
                raise
        return cls(path, connection)

    def close(self) -> None:
        """Close the connection; SQLite folds the write-ahead log in when it was the last."""
        self.connection.close()

    def version(self) -> int:
        """Return a number that changes whenever another connection has committed."""
        with speaking_plainly(self.path):
            return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the file's only write transaction; leave it committed and durable, or as if it had never been."""
        with speaking_plainly(self.path):
            self._begin()
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def _begin(self) -> None:
        """Take the write lock, trying about every millisecond.

        SQLite's own waiting sleeps up to 100 ms between tries, so that a process writing block after block would keep
        the others out for as long as it goes on.
        """
        deadline = time.monotonic() + BUSY_MS / 1000
        self.connection.execute("PRAGMA busy_timeout = 0")
        try:
            while True:
                try:
                    self.connection.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.OperationalError as exc:
                    if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                        raise
                time.sleep(random.uniform(0.0002, 0.001))  # noqa: S311 - only spreads the tries
        finally:
            self.connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See one moment of the file in several statements."""
        with speaking_plainly(self.path):
            self.connection.execute("BEGIN")
            try:
                yield
            finally:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")

    def exists(self) -> bool:
        """Say whether the file holds a ledger already."""
        with speaking_plainly(self.path):
            rows = self.connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").fetchall()
        return bool(rows)

    def create(self, chain_id: int) -> None:
        """Make the tables; inside ``writing``."""
        for statement in _SCHEMA.split(";"):
            if statement.strip():
                self.connection.execute(statement)
        pairs = [("format", str(FORMAT_VERSION).encode()), ("chain_id", str(chain_id).encode())]
        self.connection.executemany("INSERT INTO meta VALUES (?, ?)", pairs)

    def meta(self, key: str) -> int:
        """Return a number that was fixed at creation."""
        with speaking_plainly(self.path):
            row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
            if row is None:
                raise damaged(self.path, f"it lacks the entry {key!r}")
            return int(row[0])

    def insert(self, header: Header, block_hash: bytes, changes: Changes, outcomes: Sequence[Outcome] = ()) -> None:
        """Append a block and bring accounts and storage up to it; inside ``writing``."""
        number, execute = int(header.number), self.connection.executemany
        codes = {code_hash(a.code): a.code for a in changes.accounts.values() if a is not None and a.code}
        execute("INSERT OR IGNORE INTO codes VALUES (?, ?)", codes.items())
        row = (number, block_hash, header_rlp(header), encode_changes(changes))
        self.connection.execute("INSERT INTO blocks VALUES (?, ?, ?, ?)", row)
        execute("INSERT INTO transactions VALUES (?,?,?,?,?,?,?,?,?,?)", transaction_rows(number, outcomes))
        execute("INSERT INTO logs VALUES (?,?,?,?,?,?,?,?,?)", log_rows(number, outcomes))
        self._store_state(changes)

    def _store_state(self, changes: Changes) -> None:
        execute = self.connection.executemany
        gone = [(address,) for address, account in changes.accounts.items() if account is None]
        execute("DELETE FROM accounts WHERE address = ?", gone)
        execute(
            "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?)",
            [
                (address, int(a.nonce), a.balance.to_be_bytes(), code_hash(a.code))
                for address, a in changes.accounts.items()
                if a is not None
            ],
        )
        words = [(a, slot, word) for a, slots in changes.storages.items() for slot, word in slots.items()]
        cleared = [(a, slot) for a, slot, word in words if not word]
        execute("DELETE FROM storage WHERE address = ? AND slot = ?", cleared)
        execute(
            "INSERT OR REPLACE INTO storage VALUES (?, ?, ?)",
            [(a, slot, word.to_be_bytes()) for a, slot, word in words if word],
        )

    def head(self, number: int | None = None) -> Head:
        """Return the latest block, or another, with the hashes that execution after it needs."""
        rows = self._rows(
            "SELECT hash, header FROM blocks WHERE number <= ? ORDER BY number DESC LIMIT ?",
            (_LAST if number is None else number, RECENT_HASHES),
        )
        if not rows:
            raise damaged(self.path, "it holds no block")
        return Head(self._header(rows[0][1]), tuple(Hash32(row[0]) for row in reversed(rows)))

    def header(self, number: int) -> tuple[Header, bytes] | None:
        """Return a block's header and hash."""
        rows = self._rows("SELECT header, hash FROM blocks WHERE number = ?", (number,))
        return (self._header(rows[0][0]), rows[0][1]) if rows else None

    def number_of(self, block_hash: bytes) -> int | None:
        """Return the number of the block with that hash."""
        rows = self._rows("SELECT number FROM blocks WHERE hash = ?", (block_hash,))
        return rows[0][0] if rows else None

    def hashes(self, first: int, count: int) -> list[bytes]:
        """Return the hashes of up to ``count`` blocks from ``first`` on."""
        rows = self._rows("SELECT hash FROM blocks WHERE number >= ? ORDER BY number LIMIT ?", (first, count))
        return [row[0] for row in rows]

    def changes_after(self, number: int, last: int = _LAST) -> Iterator[tuple[Header, Changes]]:
        """Yield each later block's header and changes in order, up to block ``last``."""
        rows = self._rows(
            "SELECT header, changes FROM blocks WHERE number > ? AND number <= ? ORDER BY number", (number, last)
        )
        for header, changes in rows:
            yield self._header(header), self.decoded_changes(changes)

    def changes_of(self, number: int) -> Changes:
        """Return what one block changed; block 0 holds the genesis state."""
        rows = self._rows("SELECT changes FROM blocks WHERE number = ?", (number,))
        if not rows:
            raise damaged(self.path, f"block {number} is missing")
        return self.decoded_changes(rows[0][0])

    def world(self) -> World:
        """Load the latest accounts and storage."""
        codes = {row[0]: Bytes(row[1]) for row in self._rows("SELECT hash, code FROM codes")}
        codes[code_hash(b"")] = Bytes(b"")
        try:
            accounts = {
                Address(address): Account(Uint(nonce), U256.from_be_bytes(balance), codes[hashed])
                for address, nonce, balance, hashed in self._rows("SELECT * FROM accounts")
            }
            storages: dict[Address, dict[Bytes32, U256]] = {}
            for address, slot, word in self._rows("SELECT address, slot, word FROM storage ORDER BY address"):
                storages.setdefault(Address(address), {})[Bytes32(slot)] = U256.from_be_bytes(word)
        except (ValueError, KeyError, TypeError, OverflowError) as exc:
            raise damaged(self.path, f"its state cannot be read ({exc})") from exc
        return World(Map(accounts), Map({address: Map(slots) for address, slots in storages.items()}))

    def transaction(self, tx_hash: bytes) -> TransactionRow | None:
        """Return a transaction's row."""
        rows = self._rows("SELECT * FROM transactions WHERE hash = ?", (tx_hash,))
        return TransactionRow(*rows[0]) if rows else None

    def body(self, number: int) -> list[TransactionRow]:
        """Return a block's rows of ``transactions`` in order."""
        rows = self._rows("SELECT * FROM transactions WHERE block = ? ORDER BY position", (number,))
        return [TransactionRow(*row) for row in rows]

    def check(self) -> None:
        """Let SQLite check every page and index; raise ``Corrupted`` with its first finding."""
        finding = bytes(self._rows("PRAGMA integrity_check(1)")[0][0]).decode(errors="replace")
        if finding != "ok":
            raise damaged(self.path, finding)

    def logs(
        self,
        address: bytes | None = None,
        topics: Sequence[Topic] = (),
        from_block: int = 0,
        to_block: int | None = None,
        tx_hash: bytes | None = None,
    ) -> list[Any]:
        """Return rows of ``logs`` that match, in ledger order."""
        where, values = _selection(() if address is None else (address,), topics, from_block, to_block)
        if tx_hash is not None:
            where, values = f"{where} AND tx_hash = ?", [*values, tx_hash]
        # The clauses are constants; every value is bound.
        return self._rows(f"SELECT * FROM logs WHERE {where} ORDER BY block, log_index", values)  # noqa: S608

    def placed_logs(
        self, addresses: Sequence[bytes], topics: Sequence[Topic], from_block: int, to_block: int, limit: int
    ) -> list[PlacedLog]:
        """Return up to ``limit`` matching logs of any of ``addresses`` (none given: of all) with their places."""
        where, values = _selection(addresses, topics, from_block, to_block)
        rows = self._rows(
            f"SELECT logs.*, (SELECT position FROM transactions WHERE hash = logs.tx_hash) FROM logs WHERE {where}"  # noqa: S608
            " ORDER BY block, log_index LIMIT ?",
            [*values, limit],
        )
        blocks = {number: found for number in {row[0] for row in rows} if (found := self.header(number))}
        return [_placed(row, *blocks[row[0]]) for row in rows]

    def decoded_changes(self, blob: bytes) -> Changes:
        """Decode ``blocks.changes``, fetching code by its hash."""
        try:
            accounts, storages = cast(Any, rlp.decode(blob))
            return Changes(
                {Address(entry[0]): self._account(entry) for entry in accounts},
                {
                    Address(address): {Bytes32(slot): U256.from_be_bytes(word) for slot, word in words}
                    for address, words in storages
                },
            )
        except (RLPException, ValueError, TypeError, IndexError, OverflowError) as exc:
            raise damaged(self.path, f"a block's changes cannot be read ({exc})") from exc

    def _account(self, entry: Sequence[bytes]) -> Account | None:
        if len(entry) == 1:
            return None
        _, nonce, balance, hashed = entry
        return Account(Uint.from_be_bytes(nonce), U256.from_be_bytes(balance), self._code(hashed))

    def _code(self, hashed: bytes) -> Bytes:
        if hashed == code_hash(b""):
            return Bytes(b"")
        rows = self._rows("SELECT code FROM codes WHERE hash = ?", (hashed,))
        if not rows:
            raise damaged(self.path, f"the code 0x{hashed.hex()} is missing")
        return Bytes(rows[0][0])

    def _header(self, blob: bytes) -> Header:
        try:
            return rlp.decode_to(Header, blob)
        except RLPException as exc:
            raise damaged(self.path, f"a block's header cannot be read ({exc})") from exc

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with speaking_plainly(self.path):
            return self.connection.execute(sql, values).fetchall()


def _placed(row: Sequence[Any], header: Header, block_hash: bytes) -> PlacedLog:
    number, index, tx_hash, address, *topics, data, position = row
    named = tuple(topic for topic in topics if topic is not None)
    return PlacedLog(number, index, tx_hash, address, named, data, position, block_hash, header)


def _selection(
    addresses: Sequence[bytes], topics: Sequence[Topic], from_block: int, to_block: int | None
) -> tuple[str, list[Any]]:
    """Return the condition on ``logs`` and the values it binds."""
    clauses, values = ["block >= ?"], [cast(Any, from_block)]
    if to_block is not None:
        clauses.append("block <= ?")
        values.append(to_block)
    wanted: list[tuple[str, Topic]] = [(f"topic{position}", topic) for position, topic in enumerate(topics)]
    # A few blocks are read faster by their numbers than by the index of one address, which holds all its past; the plus
    # keeps SQLite from that index. With a first topic the index leads to the blocks too.
    narrow = to_block is not None and to_block - from_block < _FEW_BLOCKS and (not topics or topics[0] is None)
    for column, choice in [*wanted, ("+address" if narrow else "address", addresses or None)]:
        choices = [choice] if isinstance(choice, bytes) else choice
        if choices is not None:
            clauses.append(f"{column} IN ({', '.join('?' * len(choices))})")
            values.extend(choices)
    return " AND ".join(clauses), values


def encode_changes(changes: Changes) -> bytes:
    """Return the RLP of ``[[address, nonce, balance, code hash] or [address] if gone], [address, [slot, word]]]``."""
    accounts: list[Any] = [
        [address] if a is None else [address, a.nonce, a.balance, code_hash(a.code)]
        for address, a in changes.accounts.items()
    ]
    storages: list[Any] = [
        [address, [[slot, word] for slot, word in words.items()]] for address, words in changes.storages.items()
    ]
    return bytes(rlp.encode([accounts, storages]))


def transaction_rows(number: int, outcomes: Sequence[Outcome]) -> Iterable[tuple[Any, ...]]:
    """Yield a block's rows of ``transactions``."""
    for position, done in enumerate(outcomes):
        tx = done.signed
        place = (tx.hash, number, position, tx.raw, tx.sender, tx.recipient, done.contract)
        yield (*place, done.status, done.gas_used, done.receipt)


def log_rows(number: int, outcomes: Sequence[Outcome]) -> Iterable[tuple[Any, ...]]:
    """Yield a block's rows of ``logs``."""
    index = 0
    for done in outcomes:
        for log in done.logs:
            topics = (*log.topics, None, None, None, None)[:4]
            yield (number, index, done.signed.hash, log.address, *topics, log.data)
            index += 1
