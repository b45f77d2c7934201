"""What the ledger's file survives: reopening, other processes, kill -9, a full disk, damage."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from evm_programs import COUNTER, KEEPER, REFUSER, creation, word

from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.port import EMBEDDED_CHAIN_ID
from rodagila.chain.trie import keccak256
from rodagila.core.errors import Conflict, Corrupted, RefusedByPolicy, Unreachable

ADA: LocalAccount = Account.from_key(keccak256(b"ada"))
BEN: LocalAccount = Account.from_key(keccak256(b"ben"))
SINK = "0x000000000000000000000000000000000000bEEF"


def signed(account: LocalAccount, nonce: int, to: str | None = SINK, data: bytes = b"", **fields: int) -> bytes:
    target = {} if to is None else {"to": to}
    fees = {"maxFeePerGas": 1000, "maxPriorityFeePerGas": 0, "chainId": EMBEDDED_CHAIN_ID}
    fields = {"value": 1, "gas": 1_000_000} | fields
    return bytes(account.sign_transaction({"nonce": nonce, "data": data, **target, **fees, **fields}).raw_transaction)


def filled(path: Path) -> None:
    """Write a ledger with transfers, contracts, logs, cleared storage and a list."""
    with EmbeddedLedger.open(path) as ledger:
        faucet = ledger.faucet
        raws = [signed(faucet, 0, ADA.address, value=10**18), signed(faucet, 1, BEN.address, value=10**18)]
        ledger.send_many(raws)
        counter, keeper, refuser = (
            ledger.receipt(ledger.send(signed(faucet, 2 + n, None, creation(code), value=0))).contract_address
            for n, code in enumerate((COUNTER, KEEPER, REFUSER))
        )
        for nonce, (to, data) in enumerate(
            [(counter, b""), (keeper, word(1) + word(2)), (counter, b""), (keeper, word(1) + word(0)), (refuser, b"")]
        ):
            ledger.send(signed(ADA, nonce, to, data, value=0))


def apart(work: Callable[[], None]) -> multiprocessing.process.BaseProcess:
    """Start ``work`` in a process of its own."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def test_reopening_gives_the_same_head_and_state(path: Path) -> None:
    filled(path)
    with EmbeddedLedger.open(path) as first:
        before = [first.block(n) for n in range(first.block_number() + 1)], first.logs(), first.balance(ADA.address)
    with EmbeddedLedger.open(path) as again:
        after = [again.block(n) for n in range(again.block_number() + 1)], again.logs(), again.balance(ADA.address)
        assert after == before
        again.send(signed(BEN, 0))
        seen: list[tuple[int, int]] = []
        assert again.verify(lambda done, total: seen.append((done, total))).transactions == 11
        assert seen == [(n, 11) for n in range(1, 12)]


def test_another_chain_s_ledger_is_refused(path: Path) -> None:
    filled(path)
    with pytest.raises(RefusedByPolicy) as caught:
        EmbeddedLedger.open(path, chain_id=5)
    assert caught.value.code == "chain_mismatch"


def test_two_handles_follow_each_other(path: Path) -> None:
    with EmbeddedLedger.open(path) as one, EmbeddedLedger.open(path) as two:
        for nonce in range(0, 6, 2):
            one.send(signed(one.faucet, nonce))
            assert (two.balance(SINK), two.nonce(two.faucet.address)) == (nonce + 1, nonce + 1)
            two.send(signed(two.faucet, nonce + 1))
            assert (one.balance(SINK), one.block_number()) == (nonce + 2, nonce + 2)
        counter = one.receipt(one.send(signed(one.faucet, 6, None, creation(COUNTER), value=0))).contract_address
        assert counter is not None
        assert two.code(counter) == COUNTER
        two.send(signed(two.faucet, 7, counter, value=0))
        assert one.storage(counter, 0) == 1
        assert one.verify() == two.verify()


def test_two_processes_write_in_turns_and_agree(path: Path) -> None:
    with EmbeddedLedger.open(path) as ledger:
        ledger.send_many([signed(ledger.faucet, n, a.address, value=10**18) for n, a in enumerate((ADA, BEN))])

    def write(account: LocalAccount) -> None:
        with EmbeddedLedger.open(path) as own:
            for nonce in range(25):
                own.send(signed(account, nonce))
                assert own.nonce(account.address) == nonce + 1

    processes = [apart(lambda a=account: write(a)) for account in (ADA, BEN)]  # type: ignore[misc]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    with EmbeddedLedger.open(path) as ledger:
        assert ledger.balance(SINK) == 50
        assert ledger.verify().blocks == 52
        senders = [ledger.receipt(ledger.block(n).transactions[0]).sender for n in range(2, 52)]
        changes = sum(a != b for a, b in itertools.pairwise(senders))
        assert changes > 5, "one process kept the other out"


def test_of_two_processes_with_the_same_nonce_one_wins(path: Path) -> None:
    with EmbeddedLedger.open(path) as one, EmbeddedLedger.open(path) as two:
        one.send(signed(one.faucet, 0, value=5))
        with pytest.raises(Conflict) as caught:
            two.send(signed(two.faucet, 0, value=6))
        assert caught.value.details["expected"] == 1
        assert two.balance(SINK) == 5


def test_two_processes_may_create_the_ledger_at_once(tmp_path: Path) -> None:
    for attempt in range(5):
        path = tmp_path / f"{attempt}.db"
        processes = [apart(lambda p=path: EmbeddedLedger.open(p).close()) for _ in range(3)]  # type: ignore[misc]
        for process in processes:
            process.join(30)
        assert [process.exitcode for process in processes] == [0, 0, 0]
        with EmbeddedLedger.open(path) as ledger:
            assert ledger.verify().blocks == 1


def killed_while_writing(path: Path, nonce: int, after: float) -> list[bytes]:
    """Let a process send from the faucet, starting at ``nonce``; kill it; return the hashes it had acknowledged."""
    reader, writer = os.pipe()

    def write() -> None:
        ledger = EmbeddedLedger.open(path)
        for at in range(nonce, nonce + 100_000):
            os.write(writer, ledger.send(signed(ledger.faucet, at)))

    process = apart(write)
    os.close(writer)
    with os.fdopen(reader, "rb", buffering=0) as acknowledged:
        first = acknowledged.read(32)
        time.sleep(after)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        data = first + b"".join(iter(lambda: acknowledged.read(65536), b""))
    assert process.exitcode == -signal.SIGKILL
    return [data[at : at + 32] for at in range(0, len(data), 32)]


def survives_kills(path: Path, times: int) -> None:
    chance = random.Random(7)
    total = 0
    for _ in range(times):
        with EmbeddedLedger.open(path) as ledger:
            nonce = ledger.nonce(ledger.faucet.address)
        hashes = killed_while_writing(path, nonce, chance.uniform(0, 0.1))
        total += len(hashes)
        with EmbeddedLedger.open(path) as ledger:
            assert [ledger.receipt(h).status for h in hashes] == [1] * len(hashes)
            # One more may have become durable without having been acknowledged, never one fewer.
            assert ledger.nonce(ledger.faucet.address) - nonce - len(hashes) in (0, 1)
            assert ledger.balance(SINK) == ledger.nonce(ledger.faucet.address) == ledger.block_number()
    with EmbeddedLedger.open(path) as ledger:
        assert ledger.verify().transactions >= total > times


def test_kill_9_loses_no_acknowledged_transaction(path: Path) -> None:
    survives_kills(path, 20)


@pytest.mark.slow
def test_kill_9_loses_no_acknowledged_transaction_in_two_hundred_kills(path: Path) -> None:
    survives_kills(path, 200)


def test_a_full_disk_writes_nothing_and_says_so(path: Path) -> None:
    with EmbeddedLedger.open(path) as ledger:
        connection = ledger._file.connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 5}")
        nonce = 0
        with pytest.raises(Unreachable) as caught:
            for nonce in range(1000):
                ledger.send(signed(ledger.faucet, nonce))
        assert caught.value.code == "disk_full"
        assert 0 < nonce < 999
        assert ledger.nonce(ledger.faucet.address) == ledger.block_number() == ledger.balance(SINK) == nonce
        connection.execute("PRAGMA max_page_count = 100000")
        ledger.send(signed(ledger.faucet, nonce))
        assert ledger.verify().transactions == nonce + 1


@pytest.fixture
def damaged(path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a function that changes a row of a filled ledger and gives back its path."""
    filled(path)

    def change(sql: str) -> Path:
        with closing(sqlite3.connect(path)) as connection, connection:
            assert connection.execute(sql).rowcount > 0
        return path

    yield change


@pytest.mark.parametrize(
    ("sql", "block", "what"),
    [
        ("UPDATE transactions SET raw = CAST(substr(raw, 1, 99) || x'00' AS BLOB) WHERE block = 4", 4, "stored hash"),
        ("UPDATE transactions SET raw = substr(raw, 1, 40) || 'text' WHERE block = 4", 4, "stored hash"),
        (
            "UPDATE transactions SET receipt = CAST(replace(receipt, x'01', x'00') AS BLOB) WHERE block = 5",
            5,
            "receipts",
        ),
        ("UPDATE transactions SET sender = recipient WHERE block = 7", 7, "stored receipts"),
        ("UPDATE logs SET data = zeroblob(32) WHERE block = 7", 7, "stored logs"),
        ("DELETE FROM logs WHERE block = 5", 5, "stored logs"),
        ("DELETE FROM transactions WHERE block = 1 AND position = 1", 1, "transactions root"),
        ("UPDATE blocks SET header = (SELECT header FROM blocks WHERE number = 2) WHERE number = 3", 3, "stored hash"),
        ("UPDATE blocks SET hash = zeroblob(32) WHERE number = 2", 2, "stored hash"),
        ("UPDATE blocks SET changes = (SELECT changes FROM blocks WHERE number = 2) WHERE number = 3", 3, "changes"),
        ("UPDATE blocks SET changes = x'c2c0c0' WHERE number = 0", 0, "genesis"),
        ("DELETE FROM blocks WHERE number = 6", 6, "missing"),
        ("UPDATE accounts SET balance = x'ffff'", 9, "accounts and storage"),
        ("DELETE FROM storage WHERE slot = zeroblob(32)", 9, "accounts and storage"),
    ],
)
def test_verifying_names_the_first_block_that_was_changed(
    damaged: Callable[[str], Path], sql: str, block: int, what: str
) -> None:
    with EmbeddedLedger.open(damaged(sql)) as ledger, pytest.raises(Corrupted, match=what) as caught:
        ledger.verify()
    assert caught.value.code == "ledger_corrupted"
    assert caught.value.details["block"] == block


def test_a_changed_balance_stops_the_next_block(damaged: Callable[[str], Path]) -> None:
    path = damaged("UPDATE accounts SET balance = x'ffffffffffffffffffff' WHERE nonce = 0")
    with EmbeddedLedger.open(path) as ledger, pytest.raises(Corrupted, match="state root"):
        ledger.send(signed(ADA, 5))


def test_a_head_that_is_not_what_it_was_is_noticed_at_opening(damaged: Callable[[str], Path]) -> None:
    with pytest.raises(Corrupted, match="stored hash"):
        EmbeddedLedger.open(damaged("UPDATE blocks SET header = (SELECT header FROM blocks WHERE number = 3)"))


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    noise = tmp_path / "noise.db"
    noise.write_bytes(random.Random(1).randbytes(20_000))
    with pytest.raises(Corrupted) as caught:
        EmbeddedLedger.open(noise)
    assert caught.value.code == "ledger_corrupted"
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE meta (key TEXT, value TEXT)")
    with pytest.raises(Corrupted):
        EmbeddedLedger.open(other)


def test_every_overwritten_page_is_noticed(path: Path, tmp_path: Path) -> None:
    filled(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = path.read_bytes()
    noticed = 0
    for at in range(4096, len(whole), 4096):
        hurt = tmp_path / f"hurt{at}.db"
        hurt.write_bytes(whole[:at] + b"\xa5" * 4096 + whole[at + 4096 :])
        try:
            with EmbeddedLedger.open(hurt) as ledger:
                ledger.verify()
        except Corrupted:
            noticed += 1
        hurt.unlink()
    assert noticed == len(whole) // 4096 - 1


def test_a_file_cut_short_is_noticed(path: Path) -> None:
    filled(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(Corrupted), EmbeddedLedger.open(path) as ledger:
        ledger.verify()


def test_a_place_where_no_file_can_be_is_unreachable(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(Unreachable):
        EmbeddedLedger.open(blocker / "ledger.db")
    with pytest.raises(Unreachable):
        EmbeddedLedger.open(tmp_path)


def test_a_copy_taken_between_two_blocks_is_a_ledger(path: Path, tmp_path: Path) -> None:
    filled(path)
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(path, copy)
    with EmbeddedLedger.open(copy) as ledger, EmbeddedLedger.open(path) as original:
        assert ledger.verify() == original.verify()
