"""What every ledger answers alike: the embedded one, a node behind JSON-RPC (anvil), and the embedded one behind it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_account.signers.local import LocalAccount
from evm_programs import COUNTER, REFUSER, RELAY, TOPIC, WASTER, creation, word

from anvil import Chain, running
from rodagila.chain.contracts import send_wei
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.genesis import FAUCET_WEI, faucet_account
from rodagila.chain.jsonrpc.dispatch import Dispatcher
from rodagila.chain.jsonrpc.methods import ethereum_methods
from rodagila.chain.port import EMBEDDED_CHAIN_ID, CallRequest, Ledger, Reverted, TxReceipt
from rodagila.chain.rpc import RpcLedger
from rodagila.chain.trie import keccak256
from rodagila.core.errors import Conflict, InvalidInput, NotFound, RefusedByPolicy, Unreachable

FAUCET = faucet_account()
ADA: LocalAccount = Account.from_key(keccak256(b"ada"))
SINK = "0x000000000000000000000000000000000000bEEF"


@pytest.fixture(scope="module")
def anvil() -> Iterator[Chain]:
    """One anvil with the embedded ledger's rules; ``ledger`` puts it back after each test."""
    rules = ("--gas-limit", "60000000", "--base-fee", "7", "--hardfork", "prague", "--order", "fifo")
    with running(EMBEDDED_CHAIN_ID, *rules) as chain:
        chain.ask("anvil_setBalance", FAUCET.address, hex(FAUCET_WEI))
        yield chain


@pytest.fixture(params=["embedded", "rpc", "served"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "rpc":
        chain: Chain = request.getfixturevalue("anvil")
        before = chain.ask("evm_snapshot")
        with RpcLedger.open(chain.url) as remote:
            yield remote
        chain.ask("evm_revert", before)
        return
    with EmbeddedLedger.open(tmp_path / "ledger.db") as embedded:
        yield embedded if request.param == "embedded" else served(embedded)


def served(embedded: EmbeddedLedger) -> RpcLedger:
    """Return the ledger that a client of the embedded ledger's JSON-RPC sees."""
    dispatcher = Dispatcher(ethereum_methods(embedded))
    transport = httpx.MockTransport(lambda asked: httpx.Response(200, content=dispatcher.answer(asked.content)))
    return RpcLedger.open("http://ledger.test", transport=transport)


def signed(ledger: Ledger, account: LocalAccount, to: str | None, data: bytes = b"", **fields: int) -> bytes:
    target = {} if to is None else {"to": to}
    fees = {"maxFeePerGas": 1000, "maxPriorityFeePerGas": 0, "chainId": EMBEDDED_CHAIN_ID}
    fields = {"value": 0, "gas": 1_000_000, "nonce": ledger.nonce(account.address)} | fields
    return bytes(account.sign_transaction({"data": data, **target, **fees, **fields}).raw_transaction)


def act(ledger: Ledger, to: str | None, data: bytes = b"", **fields: int) -> TxReceipt:
    return ledger.receipt(ledger.send(signed(ledger, FAUCET, to, data, **fields)))


def deployed(ledger: Ledger, runtime: bytes) -> str:
    place = act(ledger, None, creation(runtime)).contract_address
    assert place is not None
    return place


def test_it_is_a_ledger_of_the_embedded_chain(ledger: Ledger) -> None:
    assert isinstance(ledger, Ledger)
    assert ledger.chain_id == EMBEDDED_CHAIN_ID
    assert ledger.base_fee() == 7
    assert ledger.timestamp() == ledger.block(ledger.block_number()).timestamp


def test_a_transfer_is_in_the_receipt_the_block_and_the_balances(ledger: Ledger) -> None:
    raw = signed(ledger, FAUCET, ADA.address, value=10**18, gas=21_000)
    tx_hash = ledger.send(raw)
    receipt, block = ledger.receipt(tx_hash), ledger.block(ledger.block_number())
    assert tx_hash == keccak256(raw)
    assert ledger.transaction(tx_hash) == raw
    assert block.transactions == (tx_hash,)
    assert block.parent_hash == ledger.block(block.number - 1).hash
    assert (receipt.block_number, receipt.index, receipt.status) == (block.number, 0, 1)
    assert (receipt.sender, receipt.to, receipt.contract_address) == (FAUCET.address, ADA.address, None)
    assert receipt.gas_used == block.gas_used == 21_000
    assert ledger.balance(ADA.address) == 10**18
    assert ledger.balance(FAUCET.address) == FAUCET_WEI - 10**18 - 21_000 * block.base_fee
    assert (ledger.nonce(FAUCET.address), ledger.nonce(ADA.address)) == (1, 0)


def test_a_contract_runs_logs_and_is_read(ledger: Ledger) -> None:
    counter = deployed(ledger, COUNTER)
    assert ledger.code(counter) == COUNTER
    assert ledger.call(counter, b"") == word(1)
    first, second = act(ledger, counter), act(ledger, counter)
    assert ledger.storage(counter, 0) == 2
    faucet = word(FAUCET.address)
    assert [log.topics for log in first.logs] == [(TOPIC, faucet)]
    assert [log.data for log in first.logs + second.logs] == [word(1), word(2)]
    assert ledger.logs(counter) == [*first.logs, *second.logs]
    assert ledger.logs(counter, [None, [faucet, word(5)]]) == ledger.logs(topics=[TOPIC]) == ledger.logs(counter)
    assert ledger.logs(counter, from_block=second.block_number) == list(second.logs)
    assert ledger.logs(counter, to_block=first.block_number) == list(first.logs)
    assert ledger.logs(counter, [faucet]) == ledger.logs(counter, [[]]) == ledger.logs(SINK) == []


def test_a_refusal_carries_the_contract_s_reason(ledger: Ledger) -> None:
    refuser = deployed(ledger, REFUSER)
    for ask in (lambda: ledger.call(refuser, b""), lambda: ledger.estimate_gas(refuser, b"", sender=FAUCET.address)):
        with pytest.raises(Reverted, match="no entry") as caught:
            ask()
        assert caught.value.data == bytes.fromhex("08c379a0") + encode(["string"], ["no entry"])
    receipt = act(ledger, refuser)
    assert (receipt.status, receipt.logs) == (0, ())
    failed = act(ledger, None, REFUSER)
    assert (failed.status, failed.contract_address) == (0, None)


def test_an_estimate_suffices(ledger: Ledger) -> None:
    relay, counter = deployed(ledger, RELAY), deployed(ledger, COUNTER)
    limit = ledger.estimate_gas(relay, word(counter), sender=FAUCET.address)
    receipt = act(ledger, relay, word(counter), gas=limit)
    assert receipt.status == 1
    assert receipt.gas_used <= limit <= receipt.gas_used * 2


def test_simulated_calls_see_each_other_and_leave_nothing(ledger: Ledger) -> None:
    counter, refuser, waster = (deployed(ledger, program) for program in (COUNTER, REFUSER, WASTER))
    height = ledger.block_number()
    calls = [CallRequest(counter, place) for place in (counter, refuser, waster, counter)]
    first, refused, failed, second = ledger.simulate(calls)
    assert (first.output, second.output, first.error) == (word(1), word(2), None)
    assert (refused.output[:4].hex(), refused.error, refused.logs) == ("08c379a0", "no entry", ())
    assert (failed.output, failed.logs) == (b"", ())
    assert failed.error
    assert [log.topics for log in first.logs] == [(TOPIC, word(counter))]
    assert [log.log_index for log in first.logs + second.logs] == [0, 1]
    assert (first.logs[0].address, first.logs[0].tx_hash) == (counter, bytes(32))
    assert (ledger.storage(counter, 0), ledger.block_number(), ledger.nonce(counter)) == (0, height, 1)
    assert act(ledger, counter).gas_used == first.gas_used
    assert ledger.simulate([]) == []


def test_a_simulation_may_stand_on_other_words_in_storage(ledger: Ledger) -> None:
    counter = deployed(ledger, COUNTER)
    outcomes = ledger.simulate([CallRequest(ADA.address, counter)] * 2, storage={counter: {0: 41}})
    assert [outcome.output for outcome in outcomes] == [word(42), word(43)]
    assert ledger.storage(counter, 0) == 0
    assert ledger.simulate([CallRequest(ADA.address, counter)])[0].output == word(1)


def test_a_simulated_call_cannot_spend_what_its_sender_lacks(ledger: Ledger) -> None:
    (outcome,) = ledger.simulate([CallRequest(FAUCET.address, SINK, value=5)])
    assert (outcome.error, outcome.gas_used) == (None, 21_000)
    with pytest.raises(InvalidInput) as caught:
        ledger.simulate([CallRequest(ADA.address, SINK, value=5)])
    assert caught.value.code == "transaction_invalid"


def test_a_list_is_taken_in_order(ledger: Ledger) -> None:
    raws = [signed(ledger, FAUCET, SINK, nonce=n, value=n + 1, gas=21_000) for n in range(5)]
    hashes = ledger.send_many(raws)
    assert hashes == list(map(keccak256, raws))
    assert [ledger.receipt(h).status for h in hashes] == [1] * 5
    assert ledger.balance(SINK) == 15


def test_wrong_nonces_are_refused_before_anything_happens(ledger: Ledger) -> None:
    act(ledger, SINK, value=1)
    for nonces in ([0], [2], [1, 3], [1, 1]):
        with pytest.raises(Conflict) as caught:
            ledger.send_many([signed(ledger, FAUCET, SINK, nonce=n, value=9) for n in nonces])
        assert caught.value.code == "nonce_wrong"
        assert caught.value.details["given"] == nonces[-1]
        assert caught.value.details["expected"] == (1 if len(nonces) == 1 else 2)
    assert ledger.balance(SINK) == 1


def test_other_chains_bad_bytes_and_empty_pockets_are_refused(ledger: Ledger) -> None:
    with pytest.raises(RefusedByPolicy):
        ledger.send(signed(ledger, FAUCET, SINK, chainId=1))
    for raw in (b"", b"\x02\x00", signed(ledger, ADA, SINK, value=1), signed(ledger, FAUCET, SINK, gas=20_999)):
        with pytest.raises(InvalidInput) as caught:
            ledger.send(raw)
        assert caught.value.code == "transaction_invalid"


def test_what_is_not_there_is_not_found(ledger: Ledger) -> None:
    for ask in (ledger.receipt, ledger.transaction):
        with pytest.raises(NotFound):
            ask(bytes(32))
    with pytest.raises(NotFound):
        ledger.block(1000)


@pytest.mark.parametrize("text", ["", "0x", "beef", "0x" + "11" * 19, "0x" + "zz" * 20, "0x" + "11" * 21])
def test_what_is_no_address_is_refused(ledger: Ledger, text: str) -> None:
    for ask in (ledger.balance, ledger.nonce, ledger.code, ledger.logs, lambda place: ledger.call(place, b"")):
        with pytest.raises(InvalidInput):
            ask(text)


def test_a_name_of_another_case_is_the_same_address(ledger: Ledger) -> None:
    counter = deployed(ledger, COUNTER)
    (entry,) = act(ledger, counter).logs
    assert ledger.logs(counter.lower()) == [entry]
    assert ledger.code(counter.lower()) == COUNTER


def test_accounts_that_nobody_used_are_empty(ledger: Ledger) -> None:
    assert (ledger.balance(SINK), ledger.nonce(SINK), ledger.code(SINK), ledger.storage(SINK, 7)) == (0, 0, b"", 0)
    assert ledger.call(SINK, b"anything") == b""


def test_ranges_of_events_may_be_empty_or_lie_beyond_the_head(ledger: Ledger) -> None:
    counter = deployed(ledger, COUNTER)
    (entry,) = act(ledger, counter).logs
    head = ledger.block_number()
    assert ledger.logs(counter, from_block=head + 1) == ledger.logs(counter, from_block=5, to_block=2) == []
    assert ledger.logs(counter, from_block=head + 100, to_block=head + 200) == []
    assert ledger.logs(counter, from_block=head, to_block=head + 1_000_000) == [entry]


def test_the_same_transaction_twice_is_refused(ledger: Ledger) -> None:
    raw = signed(ledger, FAUCET, SINK, value=1, gas=21_000)
    ledger.send(raw)
    with pytest.raises(Conflict) as caught:
        ledger.send(raw)
    assert caught.value.code == "nonce_wrong"
    assert ledger.balance(SINK) == 1


def test_an_empty_list_does_nothing(ledger: Ledger) -> None:
    head = ledger.block_number()
    assert ledger.send_many([]) == []
    assert ledger.block_number() == head


def test_a_simulation_of_money_that_is_not_there_says_so(ledger: Ledger) -> None:
    with pytest.raises(InvalidInput) as caught:
        ledger.simulate([CallRequest(ADA.address, SINK, value=1)])
    assert caught.value.code == "transaction_invalid"


def test_every_block_is_confirmed_where_none_is_ever_replaced(ledger: Ledger) -> None:
    counter = deployed(ledger, COUNTER)
    act(ledger, counter)
    assert ledger.confirmations == 0
    assert ledger.confirmed_block() == ledger.block_number()
    assert ledger.at(ledger.confirmed_block()).call(counter, b"") == ledger.call(counter, b"")


def test_concurrent_senders_of_one_account_lose_nothing_and_repeat_nothing(ledger: Ledger) -> None:
    def send(amount: int) -> None:
        send_wei(ledger, FAUCET, SINK, amount)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, (1 << n for n in range(12))))
    assert ledger.balance(SINK) == (1 << 12) - 1
    assert ledger.nonce(FAUCET.address) == 12


def test_a_node_that_does_not_answer_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        RpcLedger.open("http://127.0.0.1:9", timeout=2)
    with pytest.raises(Unreachable):
        RpcLedger.open("no address")


def test_a_node_that_answers_something_else_is_unreachable() -> None:
    class Other(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(Unreachable, match="not JSON-RPC"):
            RpcLedger.open(f"http://127.0.0.1:{server.server_port}")
        thread.join()
