"""The embedded ledger's rules: what transactions do, what is refused and why, what reads see."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_account.signers.local import LocalAccount
from evm_programs import (
    BRIEF,
    CLOCK,
    COUNTER,
    KEEPER,
    LOOP,
    MIRROR,
    MOTHER,
    REFUSER,
    RELAY,
    SCRATCH,
    TOPIC,
    WASTER,
    creation,
    word,
)

from clocks import StandingClock
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.port import EMBEDDED_CHAIN_ID, ZERO_ADDRESS, Ledger, Reverted, TxReceipt
from rodagila.chain.trie import keccak256
from rodagila.core.errors import Conflict, InvalidInput, NotFound, RefusedByPolicy, Unreachable

ADA: LocalAccount = Account.from_key(keccak256(b"ada"))
BEN: LocalAccount = Account.from_key(keccak256(b"ben"))
SINK = "0x000000000000000000000000000000000000bEEF"
HISTORY = "0x0000F90827F1C53a10cb7A02335B175320002935"


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: StandingClock) -> Iterator[EmbeddedLedger]:
    with EmbeddedLedger.open(tmp_path / "ledger.db", clock=clock) as opened:
        yield opened


def signed(ledger: Ledger, account: LocalAccount, to: str | None, data: bytes = b"", **fields: int) -> bytes:
    fields = {"value": 0, "gas": 1_000_000, "nonce": ledger.nonce(account.address)} | fields
    target = {} if to is None else {"to": to}
    fees = {"maxFeePerGas": 1000, "maxPriorityFeePerGas": 0, "chainId": EMBEDDED_CHAIN_ID}
    return bytes(account.sign_transaction({"data": data, **target, **fees, **fields}).raw_transaction)


def act(ledger: EmbeddedLedger, to: str | None, data: bytes = b"", **fields: int) -> TxReceipt:
    return ledger.receipt(ledger.send(signed(ledger, ledger.faucet, to, data, **fields)))


def deployed(ledger: EmbeddedLedger, runtime: bytes) -> str:
    receipt = act(ledger, None, creation(runtime), gas=5_000_000)
    assert receipt.status == 1
    assert receipt.contract_address is not None
    return receipt.contract_address


def test_the_embedded_ledger_is_a_ledger(ledger: EmbeddedLedger) -> None:
    assert isinstance(ledger, Ledger)
    assert ledger.chain_id == EMBEDDED_CHAIN_ID == int.from_bytes(b"roda")


def test_a_new_ledger_has_block_zero_the_faucet_and_nothing_else_to_spend(
    ledger: EmbeddedLedger, clock: StandingClock
) -> None:
    assert ledger.block_number() == 0
    assert ledger.timestamp() == clock.now
    assert ledger.balance(ledger.faucet.address) == 10**27
    assert ledger.balance(ADA.address) == 0


def test_a_transfer_moves_the_value_and_costs_21000_gas(ledger: EmbeddedLedger) -> None:
    before = ledger.balance(ledger.faucet.address)
    receipt = act(ledger, ADA.address, value=10**18, gas=21_000, maxPriorityFeePerGas=3)
    assert (receipt.status, receipt.gas_used, receipt.index, receipt.block_number) == (1, 21_000, 0, 1)
    assert (receipt.sender, receipt.to, receipt.contract_address) == (ledger.faucet.address, ADA.address, None)
    assert ledger.balance(ADA.address) == 10**18
    assert ledger.balance(ledger.faucet.address) == before - 10**18 - 21_000 * (7 + 3)
    assert ledger.balance(ZERO_ADDRESS) == 21_000 * 3
    assert ledger.nonce(ledger.faucet.address) == 1


def test_a_contract_is_created_called_and_keeps_its_state(ledger: EmbeddedLedger) -> None:
    counter = deployed(ledger, COUNTER)
    assert ledger.code(counter) == COUNTER
    receipt = act(ledger, counter)
    assert ledger.storage(counter, 0) == 1
    (log,) = receipt.logs
    assert (log.address, log.data, log.log_index) == (counter, word(1), 0)
    assert log.topics == (TOPIC, word(ledger.faucet.address))
    assert (log.block_number, log.tx_hash) == (receipt.block_number, receipt.tx_hash)


def test_a_call_returns_output_and_changes_nothing(ledger: EmbeddedLedger) -> None:
    counter = deployed(ledger, COUNTER)
    root = ledger.block(ledger.block_number()).state_root
    assert [ledger.call(counter, b"", sender=ADA.address) for _ in range(3)] == [word(1)] * 3
    ledger.estimate_gas(counter, b"", sender=ADA.address)
    ledger.estimate_gas(None, creation(COUNTER), sender=ADA.address)
    assert ledger.storage(counter, 0) == 0
    assert ledger.nonce(ADA.address) == 0
    assert ledger.block(ledger.block_number()).state_root == root
    act(ledger, SINK, value=1)
    ledger.verify()


def test_a_refused_call_says_why_and_carries_the_data(ledger: EmbeddedLedger) -> None:
    refuser = deployed(ledger, REFUSER)
    with pytest.raises(Reverted, match="no entry") as caught:
        ledger.call(refuser, b"")
    assert caught.value.code == "call_reverted"
    assert caught.value.data == bytes.fromhex("08c379a0") + encode(["string"], ["no entry"])
    with pytest.raises(Reverted, match="no entry"):
        ledger.estimate_gas(refuser, b"", sender=ADA.address)


def test_a_call_that_fails_otherwise_is_named_too(ledger: EmbeddedLedger) -> None:
    waster = deployed(ledger, WASTER)
    with pytest.raises(Reverted, match="InvalidOpcode") as caught:
        ledger.call(waster, b"")
    assert caught.value.data == b""


def test_a_reverted_transaction_is_included_with_status_0_and_changes_only_the_fee(ledger: EmbeddedLedger) -> None:
    refuser = deployed(ledger, REFUSER)
    before = ledger.balance(ledger.faucet.address)
    receipt = act(ledger, refuser, value=5)
    assert (receipt.status, receipt.logs) == (0, ())
    assert ledger.balance(refuser) == 0
    assert ledger.balance(ledger.faucet.address) == before - 7 * receipt.gas_used


@pytest.mark.parametrize(("given", "expected"), [(0, 1), (2, 1)])
def test_a_wrong_nonce_is_refused_with_the_right_one(ledger: EmbeddedLedger, given: int, expected: int) -> None:
    act(ledger, SINK, value=1)
    with pytest.raises(Conflict) as caught:
        ledger.send(signed(ledger, ledger.faucet, SINK, nonce=given, value=2))
    assert caught.value.code == "nonce_wrong"
    assert (caught.value.details["expected"], caught.value.details["given"]) == (expected, given)
    assert ledger.block_number() == 1


def test_sending_a_transaction_twice_is_refused_the_second_time(ledger: EmbeddedLedger) -> None:
    raw = signed(ledger, ledger.faucet, SINK, value=1)
    ledger.send(raw)
    with pytest.raises(Conflict, match="already in block 1"):
        ledger.send(raw)
    assert ledger.balance(SINK) == 1


def test_transactions_for_another_chain_or_for_none_are_refused(ledger: EmbeddedLedger) -> None:
    with pytest.raises(RefusedByPolicy) as caught:
        ledger.send(signed(ledger, ledger.faucet, SINK, chainId=1))
    assert caught.value.code == "chain_mismatch"
    unbound = {"to": SINK, "value": 1, "gas": 21_000, "gasPrice": 10, "nonce": 0}
    with pytest.raises(RefusedByPolicy, match="names no chain"):
        ledger.send(bytes(ledger.faucet.sign_transaction(unbound).raw_transaction))


def test_a_legacy_transaction_bound_to_this_chain_is_taken(ledger: EmbeddedLedger) -> None:
    bound = {"to": SINK, "value": 1, "gas": 21_000, "gasPrice": 10, "nonce": 0, "chainId": EMBEDDED_CHAIN_ID}
    raw = bytes(ledger.faucet.sign_transaction(bound).raw_transaction)
    receipt = ledger.receipt(ledger.send(raw))
    assert (receipt.status, receipt.gas_used, receipt.sender) == (1, 21_000, ledger.faucet.address)
    assert ledger.transaction(receipt.tx_hash) == raw
    ledger.verify()


def test_an_access_list_transaction_is_taken(ledger: EmbeddedLedger) -> None:
    entry = {"address": SINK, "storageKeys": ["0x" + word(1).hex()]}
    receipt = act(ledger, SINK, accessList=[entry])  # type: ignore[arg-type]
    assert receipt.gas_used == 21_000 + 2400 + 1900


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"gas": 20_999}, "gas limit of 20999; it needs at least 21000"),
        ({"gas": 60_000_001}, "the block has 60000000 left"),
        ({"maxFeePerGas": 6}, "pays 6 wei per gas; the base fee is 7"),
        ({"value": 10**28}, "its account has 1000000000000000000000000000"),
        ({"maxFeePerGas": 8, "maxPriorityFeePerGas": 9}, "priority fee greater than max fee"),
    ],
)
def test_what_no_block_can_hold_is_refused_precisely(
    ledger: EmbeddedLedger, change: dict[str, int], sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence) as caught:
        ledger.send(signed(ledger, ledger.faucet, SINK, **change))
    assert caught.value.code == "transaction_invalid"
    assert (ledger.block_number(), ledger.nonce(ledger.faucet.address)) == (0, 0)


def test_bytes_that_are_no_transaction_are_refused(ledger: EmbeddedLedger) -> None:
    good = signed(ledger, ledger.faucet, SINK)
    for raw in (b"", b"\x00", b"\x02", b"\x05" + good[1:], good[:-1], good + b"\x00", b"\xc0", bytes(200), b"\xf8\x01"):
        with pytest.raises(InvalidInput) as caught:
            ledger.send(raw)
        assert caught.value.code == "transaction_invalid"


def test_a_huge_transaction_is_refused_unread(ledger: EmbeddedLedger) -> None:
    with pytest.raises(InvalidInput, match="131072 are allowed"):
        ledger.send(b"\x02" + bytes(128 * 1024))


def test_a_closed_ledger_says_so(ledger: EmbeddedLedger) -> None:
    ledger.close()
    for use in (ledger.block_number, lambda: ledger.send(b"\x02"), lambda: ledger.balance(SINK)):
        with pytest.raises((Unreachable, InvalidInput)):
            use()
    with pytest.raises(Unreachable, match="is closed"):
        ledger.block(0)


def test_a_changed_transaction_is_another_account_s_and_cannot_pay(ledger: EmbeddedLedger) -> None:
    raw = bytearray(signed(ledger, ledger.faucet, SINK, value=1000))
    at = raw.index((1000).to_bytes(2, "big"), 30)
    raw[at + 1] ^= 1
    with pytest.raises(InvalidInput):
        ledger.send(bytes(raw))


def test_a_list_goes_into_one_block_in_order(ledger: EmbeddedLedger) -> None:
    raws = [signed(ledger, ledger.faucet, SINK, nonce=n, value=n, gas=21_000) for n in range(100)]
    hashes = ledger.send_many(raws)
    block = ledger.block(1)
    assert block.transactions == tuple(hashes) == tuple(map(keccak256, raws))
    assert block.gas_used == 100 * 21_000
    assert [ledger.receipt(h).index for h in hashes] == list(range(100))
    assert [ledger.receipt(h).gas_used for h in hashes] == [21_000] * 100
    assert ledger.balance(SINK) == sum(range(100))


def test_logs_of_a_list_are_numbered_within_the_block(ledger: EmbeddedLedger) -> None:
    counter = deployed(ledger, COUNTER)
    first = ledger.nonce(ledger.faucet.address)
    hashes = ledger.send_many([signed(ledger, ledger.faucet, counter, nonce=first + n) for n in range(3)])
    assert [ledger.receipt(h).logs[0].log_index for h in hashes] == [0, 1, 2]
    assert [log.data for log in ledger.logs(counter)] == [word(1), word(2), word(3)]


def test_one_bad_transaction_refuses_the_whole_list(ledger: EmbeddedLedger) -> None:
    raws = [signed(ledger, ledger.faucet, SINK, nonce=n, value=1) for n in (0, 1, 3)]
    with pytest.raises(Conflict, match="Transaction 2 "):
        ledger.send_many(raws)
    assert (ledger.block_number(), ledger.balance(SINK), ledger.nonce(ledger.faucet.address)) == (0, 0, 0)
    with pytest.raises(NotFound):
        ledger.receipt(keccak256(raws[0]))
    assert len(ledger.send_many(raws[:2])) == 2
    assert ledger.send_many([]) == []
    with pytest.raises(InvalidInput, match="101 transactions"):
        ledger.send_many([raws[0]] * 101)


def test_logs_filter_by_address_topic_and_block(ledger: EmbeddedLedger) -> None:
    ours, other = deployed(ledger, COUNTER), deployed(ledger, COUNTER)
    act(ledger, ADA.address, value=10**18)
    act(ledger, ours)
    act(ledger, other)
    ledger.send(signed(ledger, ADA, ours))
    faucet, ada = word(ledger.faucet.address), word(ADA.address)
    assert [log.block_number for log in ledger.logs()] == [4, 5, 6]
    assert [log.block_number for log in ledger.logs(ours)] == [4, 6]
    assert [log.block_number for log in ledger.logs(topics=[TOPIC])] == [4, 5, 6]
    assert [log.block_number for log in ledger.logs(topics=[None, ada])] == [6]
    assert [log.block_number for log in ledger.logs(ours, [TOPIC, [faucet, ada]])] == [4, 6]
    assert [log.block_number for log in ledger.logs(ours, [TOPIC, faucet])] == [4]
    assert [log.block_number for log in ledger.logs(from_block=5)] == [5, 6]
    assert [log.block_number for log in ledger.logs(from_block=4, to_block=5)] == [4, 5]
    assert ledger.logs(topics=[ada]) == ledger.logs(topics=[[]]) == ledger.logs(SINK) == []
    with pytest.raises(InvalidInput, match="at most four"):
        ledger.logs(topics=[None] * 5)


def test_blocks_link_and_time_never_goes_back(ledger: EmbeddedLedger, clock: StandingClock) -> None:
    start = clock.now
    for now in (start + 10, start + 10, start + 5, start + 11):
        clock.now = now
        act(ledger, SINK, value=1)
    blocks = [ledger.block(n) for n in range(5)]
    assert [b.timestamp - start for b in blocks] == [0, 10, 10, 10, 11]
    assert [b.parent_hash for b in blocks[1:]] == [b.hash for b in blocks[:-1]]
    assert {b.base_fee for b in blocks} == {7} and {b.gas_limit for b in blocks} == {60_000_000}
    with pytest.raises(NotFound, match="no block 5"):
        ledger.block(5)


def test_contracts_see_the_next_block_s_time_and_the_last_block_s_hash(
    ledger: EmbeddedLedger, clock: StandingClock
) -> None:
    teller = deployed(ledger, CLOCK)
    clock.now += 1000
    seen = ledger.call(teller, b"")
    last = ledger.block(ledger.block_number())
    assert seen == word(clock.now) + word(last.number + 1) + last.hash


def test_the_system_contracts_run_in_every_block(ledger: EmbeddedLedger, clock: StandingClock) -> None:
    for _ in range(3):
        act(ledger, SINK, value=1)
    for number in range(3):
        assert ledger.call(HISTORY, word(number)) == ledger.block(number).hash
    with pytest.raises(Reverted):
        ledger.call(HISTORY, word(4))
    beacon = "0x000F3df6D732807Ef1319fB7B8bB8522d0Beac02"
    assert ledger.storage(beacon, clock.now % 8191) == clock.now


def test_the_base_fee_rises_with_full_blocks_and_falls_back(ledger: EmbeddedLedger) -> None:
    waster = deployed(ledger, WASTER)
    for _ in range(2):
        assert act(ledger, waster, gas=60_000_000).gas_used == 60_000_000
    assert ledger.base_fee() == 9
    for _ in range(4):
        act(ledger, SINK, value=1)
    assert ledger.base_fee() == 8, "an eighth of 8 wei, rounded down, is nothing: it stays there"


ESTIMATED: dict[str, Callable[[EmbeddedLedger], tuple[str | None, bytes, int]]] = {
    "transfer": lambda ledger: (SINK, b"", 5),
    "calldata at the floor price": lambda ledger: (SINK, bytes(range(1, 200)) * 5, 0),
    "creation": lambda ledger: (None, creation(COUNTER), 0),
    "storage": lambda ledger: (deployed(ledger, COUNTER), b"", 0),
    "relayed storage": lambda ledger: (deployed(ledger, RELAY), word(deployed(ledger, COUNTER)), 0),
    "relay of a relay": lambda ledger: (
        deployed(ledger, RELAY),
        word(deployed(ledger, RELAY)) + word(deployed(ledger, COUNTER)),
        0,
    ),
    "relayed refusal": lambda ledger: (deployed(ledger, RELAY), word(deployed(ledger, REFUSER)), 0),
    "creation in a contract": lambda ledger: (deployed(ledger, MOTHER), creation(COUNTER), 0),
    "refund": lambda ledger: (_with_full_slot(ledger), word(1) + word(0), 0),
    "loop": lambda ledger: (deployed(ledger, LOOP), word(500), 0),
}


def _with_full_slot(ledger: EmbeddedLedger) -> str:
    keeper = deployed(ledger, KEEPER)
    act(ledger, keeper, word(1) + word(9))
    return keeper


@pytest.mark.parametrize("what", ESTIMATED)
def test_an_estimate_suffices_and_is_nearly_the_least(ledger: EmbeddedLedger, what: str) -> None:
    to, data, value = ESTIMATED[what](ledger)
    sender = ledger.faucet.address
    limit = ledger.estimate_gas(to, data, sender=sender, value=value)
    free = b"" if to is None else ledger.call(to, data, sender=sender, value=value)
    receipt = act(ledger, to, data, gas=limit, value=value)
    assert receipt.status == 1
    assert limit <= receipt.gas_used * 1.3
    if to is not None and "relay" in what:
        assert receipt.logs[-1].data == free[:32], "the inner call must end as it does with all gas"


def test_a_call_with_more_value_than_the_sender_has_is_refused(ledger: EmbeddedLedger) -> None:
    with pytest.raises(InvalidInput, match="carries 1 wei; its sender has 0"):
        ledger.call(SINK, b"", sender=ADA.address, value=1)


def test_calls_nest_as_deep_as_the_rules_allow(ledger: EmbeddedLedger) -> None:
    mirror = deployed(ledger, MIRROR)
    receipt = act(ledger, mirror, gas=50_000_000)
    assert receipt.status == 1
    assert ledger.storage(mirror, 0) > 200


def test_a_contract_created_and_destroyed_in_one_transaction_leaves_nothing(ledger: EmbeddedLedger) -> None:
    mother = deployed(ledger, MOTHER)
    child = "0x" + ledger.call(mother, BRIEF, sender=ledger.faucet.address, value=3)[12:].hex()
    receipt = act(ledger, mother, BRIEF, value=3)
    assert receipt.status == 1
    assert (ledger.code(child), ledger.balance(child), ledger.nonce(child)) == (b"", 0, 0)
    assert ledger.balance(mother) == 3
    ledger.verify()


def test_cleared_storage_disappears_from_the_state(ledger: EmbeddedLedger) -> None:
    keeper = deployed(ledger, KEEPER)
    for slot, value in ((1, 5), (2, 6), (1, 0), (2, 0), (3, 0), (1, 7), (1, 0)):
        act(ledger, keeper, word(slot) + word(value))
        assert ledger.storage(keeper, slot) == value
    ledger.verify()


def test_transient_storage_and_memory_copy_work(ledger: EmbeddedLedger) -> None:
    assert ledger.call(deployed(ledger, SCRATCH), b"") == word(5)


def test_a_delegation_lets_an_account_run_code(ledger: EmbeddedLedger) -> None:
    counter = deployed(ledger, COUNTER)
    pass_on = ADA.sign_authorization({"chainId": EMBEDDED_CHAIN_ID, "address": counter, "nonce": 0})
    act(ledger, ADA.address, authorizationList=[pass_on])  # type: ignore[arg-type]
    assert ledger.code(ADA.address) == bytes.fromhex("ef0100" + counter[2:])
    assert ledger.storage(ADA.address, 0) == 1
    ledger.verify()


def test_predeploys_stand_in_block_zero(tmp_path: Path) -> None:
    place = "0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003"
    with EmbeddedLedger.open(tmp_path / "l.db", genesis_code={place: COUNTER}) as ledger:
        assert ledger.code(place) == COUNTER
        assert ledger.nonce(place) == 1
        act(ledger, place)
        assert ledger.storage(place, 0) == 1
        ledger.verify()


@pytest.mark.parametrize("text", ["", "0x", "0x12", "ada", SINK[:-1], "0x000000000000000000000000000000000000BeEf"])
def test_what_is_no_address_is_refused(ledger: EmbeddedLedger, text: str) -> None:
    with pytest.raises(InvalidInput, match="not an address"):
        ledger.balance(text)


def test_threads_share_one_ledger(ledger: EmbeddedLedger) -> None:
    wallets: list[LocalAccount] = [Account.from_key(keccak256(bytes([n]))) for n in range(4)]
    for wallet in wallets:
        act(ledger, wallet.address, value=10**18)
    failures: list[BaseException] = []

    def work(wallet: LocalAccount) -> None:
        try:
            for nonce in range(10):
                ledger.send(signed(ledger, wallet, SINK, nonce=nonce, value=1))
                ledger.balance(SINK)
                ledger.call(SINK, b"")
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work, args=[wallet]) for wallet in wallets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert ledger.balance(SINK) == 40
    assert ledger.verify().transactions == 44


def test_json_nested_without_end_cannot_kill_a_process_that_holds_a_ledger() -> None:
    lines = (
        "import json, rodagila.chain.embedded",
        "try: json.loads('[' * 10**6)",
        "except RecursionError: print('no')",
    )
    program = "\n".join(lines)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "no\n")
