"""JSON-RPC by itself: requests and batches, parameters, and what moves between two polls."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from ethereum.forks.prague.blocks import Block
from ethereum.forks.prague.transactions import decode_transaction
from ethereum_rlp import rlp
from ethereum_types.bytes import Bytes
from evm_programs import COUNTER, KEEPER, TOPIC, creation, word
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ledger_gas import ADA, signed, varied

from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.jsonrpc import blocks, filters
from rodagila.chain.jsonrpc.dispatch import MAX_BATCH, Dispatcher, Method, Param
from rodagila.chain.jsonrpc.filters import Filters
from rodagila.chain.jsonrpc.methods import ethereum_methods
from rodagila.chain.jsonrpc.values import JsonRpcError, boolean, data, quantity
from rodagila.chain.trie import keccak256
from rodagila.core.errors import InvalidInput

SINK = "0x000000000000000000000000000000000000bEEF"
ECHO = Dispatcher({"echo": Method(lambda value: value, (Param(quantity),))})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[EmbeddedLedger]:
    with EmbeddedLedger.open(tmp_path / "ledger.db") as opened:
        yield opened


def ask(ledger: EmbeddedLedger, method: str, *params: Any) -> Any:
    """Ask one method of a table made for this ledger; raise ``JsonRpcError``."""
    return table_of(ledger)[method](list(params))


@lru_cache(maxsize=2)
def table_of(ledger: EmbeddedLedger) -> dict[str, Method]:
    return ethereum_methods(ledger)


def refused(ledger: EmbeddedLedger, method: str, *params: Any) -> JsonRpcError:
    with pytest.raises(JsonRpcError) as caught:
        ask(ledger, method, *params)
    return caught.value


def act(ledger: EmbeddedLedger, to: str | None, body: bytes = b"", **fields: Any) -> str:
    nonce = ledger.nonce(ledger.faucet.address)
    return str(ask(ledger, "eth_sendRawTransaction", "0x" + signed(ledger.faucet, nonce, to, body, **fields).hex()))


def answered(body: bytes) -> Any:
    answer = ECHO.answer(body)
    return None if answer is None else json.loads(answer)


def echo(value: Any, **fields: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "echo", "params": [value]} | fields


def test_a_request_gets_an_answer_with_its_id() -> None:
    for request_id in (1, "a", None):
        assert answered(json.dumps(echo("0x1", id=request_id)).encode()) == {
            "jsonrpc": "2.0",
            "id": request_id,
            "result": 1,
        }


def test_a_batch_is_answered_in_its_order_without_notifications() -> None:
    note = {"jsonrpc": "2.0", "method": "echo", "params": ["0x9"]}
    batch = [echo("0x1"), note, echo("x", id=2), 7, echo("0x3", id=3)]
    found = answered(json.dumps(batch).encode())
    assert [answer["id"] for answer in found] == [1, 2, None, 3]
    assert [answer.get("result", answer.get("error", {}).get("code")) for answer in found] == [1, -32602, -32600, 3]
    assert answered(json.dumps(note).encode()) is None
    assert answered(json.dumps([note, note]).encode()) is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{bad", -32700),
        (b"\xff\xfe\xfd", -32700),
        (b"[" * 100_000, -32700),
        (b"9" * 10_000, -32700),
        (b"[]", -32600),
        (b"7", -32600),
        (b'{"jsonrpc": "2.0", "id": 1}', -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "echo"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "echo", "params": "0x1"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "echo", "params": {"value": "0x1"}}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "echo"}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "echo", "params": ["0x1", "0x2"]}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "nothing"}', -32601),
        (json.dumps([echo("0x1")] * (MAX_BATCH + 1)).encode(), -32600),
    ],
)
def test_what_is_no_request_has_the_standard_error(body: bytes, code: int) -> None:
    assert answered(body)["error"]["code"] == code


def test_errors_of_ours_are_told_and_faults_are_not(caplog: pytest.LogCaptureFixture) -> None:
    def fault() -> None:
        raise ValueError("secret")

    def refusal() -> None:
        raise InvalidInput("invalid_request", "Four is required.", hint="Give four.")

    dispatcher = Dispatcher({"fault": Method(fault), "refusal": Method(refusal)})
    first, second = (
        json.loads(dispatcher.answer(json.dumps({"jsonrpc": "2.0", "id": 1, "method": m}).encode()) or b"")["error"]
        for m in ("fault", "refusal")
    )
    assert first == {"code": -32603, "message": "internal error"}
    assert second == {"code": -32000, "message": "Four is required. Give four."}
    assert "secret" in caplog.text


@pytest.mark.parametrize("value", ["", "0x", "1", "0xg", "-0x1", -1, 2**256, True, None, [], "0x" + "1" * 65, 1.0])
def test_what_is_no_quantity_is_refused(value: Any) -> None:
    with pytest.raises(JsonRpcError):
        quantity(value)


def test_what_is_no_data_or_truth_is_refused() -> None:
    assert (data("0x"), data("0x0A"), boolean(value=True)) == (b"", b"\x0a", True)
    for value in ("", "0x1", "0a", 1, None):
        with pytest.raises(JsonRpcError):
            data(value)
    with pytest.raises(JsonRpcError):
        boolean(1)


def test_a_wallet_s_sequence_works(ledger: EmbeddedLedger) -> None:
    assert ask(ledger, "eth_chainId") == "0x726f6461"
    assert ask(ledger, "net_version") == "1919902817"
    wallet = ledger.faucet.address
    assert int(ask(ledger, "eth_getBalance", wallet, "latest"), 16) == 10**27
    call = {"from": wallet, "to": SINK, "value": "0x5"}
    gas, price = int(ask(ledger, "eth_estimateGas", call), 16), int(ask(ledger, "eth_gasPrice"), 16)
    nonce = int(ask(ledger, "eth_getTransactionCount", wallet, "pending"), 16)
    fields = {"to": SINK, "value": 5, "gas": gas, "gasPrice": price, "nonce": nonce, "chainId": ledger.chain_id}
    tx_hash = ask(ledger, "eth_sendRawTransaction", "0x" + ledger.faucet.sign_transaction(fields).raw_transaction.hex())
    receipt = ask(ledger, "eth_getTransactionReceipt", tx_hash)
    assert (receipt["status"], receipt["gasUsed"], receipt["effectiveGasPrice"]) == ("0x1", hex(gas), hex(price))
    assert ask(ledger, "eth_getBalance", SINK, "latest") == "0x5"
    assert ask(ledger, "eth_getTransactionByHash", tx_hash)["blockNumber"] == ask(ledger, "eth_blockNumber") == "0x1"


def test_nonces_are_refused_in_the_words_that_clients_know(ledger: EmbeddedLedger) -> None:
    act(ledger, SINK, value=1)
    raws = ["0x" + signed(ledger.faucet, n, SINK, value=2).hex() for n in (0, 2)]
    assert refused(ledger, "eth_sendRawTransaction", raws[0]).message == "nonce too low: next nonce 1, tx nonce 0"
    assert refused(ledger, "eth_sendRawTransaction", raws[1]).message == "nonce too high: next nonce 1, tx nonce 2"
    again = refused(ledger, "eth_sendRawTransaction", "0x" + ledger.transaction(ledger.block(1).transactions[0]).hex())
    assert (again.code, again.message) == (-32000, "already known")
    assert refused(ledger, "eth_sendRawTransaction", "0x01").code == -32000
    unbound = ledger.faucet.sign_transaction({"to": SINK, "value": 1, "gas": 21_000, "gasPrice": 10, "nonce": 1})
    message = refused(ledger, "eth_sendRawTransaction", "0x" + unbound.raw_transaction.hex()).message
    assert message.startswith("only replay-protected (EIP-155) transactions allowed over RPC")
    assert ask(ledger, "eth_blockNumber") == "0x1"


def test_filters_tell_what_is_new_since_the_last_poll(ledger: EmbeddedLedger) -> None:
    counter = ask(ledger, "eth_getTransactionReceipt", act(ledger, None, creation(COUNTER)))["contractAddress"]
    keys = [ask(ledger, name) for name in ("eth_newBlockFilter", "eth_newPendingTransactionFilter")]
    topic = "0x" + TOPIC.hex()
    keys += [ask(ledger, "eth_newFilter", wanted) for wanted in ({"topics": [topic]}, {"address": SINK})]
    keys.append(ask(ledger, "eth_newFilter", {"fromBlock": "0x3", "toBlock": "0x3"}))
    assert [ask(ledger, "eth_getFilterChanges", key) for key in keys] == [[]] * 5
    sent = [act(ledger, to) for to in (ledger.receipt(ledger.block(1).transactions[0]).contract_address, SINK)]
    sent.append(act(ledger, ledger.receipt(ledger.block(1).transactions[0]).contract_address))
    by_block, pending, logs, other, third = (ask(ledger, "eth_getFilterChanges", key) for key in keys)
    assert by_block == ["0x" + ledger.block(n).hash.hex() for n in (2, 3, 4)]
    assert pending == sent
    assert [(log["address"], log["blockNumber"]) for log in logs] == [(counter, "0x2"), (counter, "0x4")]
    assert other == third == []
    assert [ask(ledger, "eth_getFilterChanges", key) for key in keys] == [[]] * 5
    assert ask(ledger, "eth_getFilterLogs", keys[2]) == logs[1:], "by default a filter's blocks are the latest alone"
    assert refused(ledger, "eth_getFilterLogs", keys[0]).message == "filter not found"


def test_filters_expire_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    kept = Filters(clock=lambda: now[0])
    first = kept.add(filters.Watch("block", 1))
    now[0] = 299.0
    kept.find(first)
    now[0] = 598.0
    assert kept.poll(first, 5)[1:] == (1, 5)
    now[0] = 899.0
    with pytest.raises(JsonRpcError, match="filter not found"):
        kept.find(first)
    monkeypatch.setattr(filters, "MAX_FILTERS", 2)
    kept.add(filters.Watch("block", 1))
    kept.add(filters.Watch("block", 1))
    with pytest.raises(JsonRpcError, match="too many filters"):
        kept.add(filters.Watch("block", 1))
    now[0] = 1300.0
    kept.add(filters.Watch("block", 1))


def test_a_poll_covers_a_bounded_number_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "MAX_POLL_BLOCKS", 10)
    kept = Filters(clock=lambda: 0.0)
    key = kept.add(filters.Watch("block", 1))
    assert [kept.poll(key, 25)[1:] for _ in range(4)] == [(1, 10), (11, 20), (21, 25), (26, 25)]


def test_too_many_logs_are_refused_with_the_usual_words(
    ledger: EmbeddedLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    act(ledger, None, creation(COUNTER))
    counter = ledger.receipt(ledger.block(1).transactions[0]).contract_address
    for _ in range(3):
        act(ledger, counter)
    whole = {"fromBlock": "0x0", "toBlock": "latest"}
    monkeypatch.setattr(blocks, "MAX_LOGS", 3)
    assert len(ask(ledger, "eth_getLogs", whole)) == 3
    monkeypatch.setattr(blocks, "MAX_LOGS", 2)
    error = refused(ledger, "eth_getLogs", whole)
    assert (error.code, "query returned more than 2 results" in error.message) == (-32005, True)
    assert len(ask(ledger, "eth_getLogs", whole | {"toBlock": "0x3"})) == 2


def test_what_would_change_an_answer_and_is_not_supported_is_refused(ledger: EmbeddedLedger) -> None:
    for params in (
        [{"to": SINK, "authorizationList": []}],
        [{"to": SINK, "data": "0x01", "input": "0x02"}],
        [{"to": SINK}, "latest", {SINK: {"movePrecompileToAddress": SINK}}],
        [{"to": SINK}, "latest", {SINK: {"state": {}, "stateDiff": {}}}],
        [{"to": SINK}, "latest", {"0x12": {}}],
        [{"to": SINK, "accessList": [{}]}],
    ):
        assert refused(ledger, "eth_call", *params).code == -32602
    for payload in (
        {"blockStateCalls": [{}, {}]},
        {"blockStateCalls": [{"blockOverrides": {"number": "0x5"}}]},
        {"blockStateCalls": [], "validation": True},
    ):
        assert refused(ledger, "eth_simulateV1", payload).code == -32602
    assert refused(ledger, "eth_getLogs", {"blockHash": "0x" + "11" * 32, "fromBlock": "0x0"}).code == -32602
    assert refused(ledger, "eth_newFilter", {"blockHash": "0x" + "11" * 32}).code == -32602


def test_overrides_reach_balance_nonce_code_and_storage(ledger: EmbeddedLedger) -> None:
    act(ledger, None, creation(KEEPER))
    keeper = str(ledger.receipt(ledger.block(1).transactions[0]).contract_address)
    act(ledger, keeper, word(0) + word(7))
    count = {"to": keeper, "from": ADA.address}
    code = {"code": "0x" + COUNTER.hex()}
    zero = "0x" + word(0).hex()
    for change, expected in (
        (code, 8),
        (code | {"state": {}}, 1),
        (code | {"state": {zero: "0x4"}}, 5),
        (code | {"stateDiff": {zero: zero}}, 1),
    ):
        assert ask(ledger, "eth_call", count, "latest", {keeper: change}) == "0x" + word(expected).hex()
    poor = {"from": ADA.address, "to": SINK, "value": "0x5"}
    assert "insufficient funds" in refused(ledger, "eth_call", poor).message
    assert ask(ledger, "eth_call", poor, "latest", {ADA.address: {"balance": "0x5", "nonce": "0x9"}}) == "0x"
    assert ask(ledger, "eth_getBalance", ADA.address) == "0x0"


def test_a_simulation_starts_from_overrides_at_a_time(ledger: EmbeddedLedger) -> None:
    time = ledger.timestamp() + 1000
    calls = [{"from": ADA.address, "to": SINK, "value": "0x5"}] * 2
    block = {"calls": calls, "stateOverrides": {ADA.address: {"balance": "0xa"}}, "blockOverrides": {"time": hex(time)}}
    (found,) = ask(ledger, "eth_simulateV1", {"blockStateCalls": [block]}, "latest")
    assert [call["status"] for call in found["calls"]] == ["0x1", "0x1"]
    assert (found["timestamp"], found["gasUsed"], found["number"]) == (hex(time), hex(42_000), "0x1")
    assert refused(ledger, "eth_simulateV1", {"blockStateCalls": [{"calls": calls}]}).code == -38014


def test_an_estimate_respects_what_the_sender_can_pay(ledger: EmbeddedLedger) -> None:
    act(ledger, ADA.address, value=30_000 * 10 + 5)
    call = {"from": ADA.address, "to": SINK, "value": "0x5", "gasPrice": "0xa"}
    assert ask(ledger, "eth_estimateGas", call) == "0x5208"
    assert "intrinsic gas too low" in refused(ledger, "eth_estimateGas", call | {"gasPrice": "0x10"}).message


def test_fee_histories_are_bounded_and_ordered(ledger: EmbeddedLedger) -> None:
    for tip in (3, 1):
        act(ledger, SINK, maxPriorityFeePerGas=tip, value=1)
    history = ask(ledger, "eth_feeHistory", "0xffff", "latest", [10, 90])
    assert (history["oldestBlock"], len(history["baseFeePerGas"])) == ("0x0", 4)
    assert history["reward"] == [["0x0", "0x0"], ["0x3", "0x3"], ["0x1", "0x1"]]
    assert ask(ledger, "eth_feeHistory", "0x0", "latest")["baseFeePerGas"] == []
    assert refused(ledger, "eth_feeHistory", "0x1", "latest", [50, 10]).code == -32602
    assert refused(ledger, "eth_feeHistory", "0x1", "0x99").message == "request beyond head block"


def test_a_block_s_size_is_that_of_its_rlp(ledger: EmbeddedLedger) -> None:
    varied(ledger, random.Random(3), 12)
    for number in range(ledger.block_number() + 1):
        record = ledger.record(number)
        assert record is not None
        raws = [row.raw for row in record.rows]
        body = tuple(Bytes(raw) if raw[0] < 0xC0 else decode_transaction(Bytes(raw)) for raw in raws)
        size = len(rlp.encode(Block(record.header, body, (), ())))
        assert ask(ledger, "eth_getBlockByNumber", hex(number), False)["size"] == hex(size)


def test_a_proof_leads_from_the_state_root_to_the_account_and_its_words(ledger: EmbeddedLedger) -> None:
    act(ledger, None, creation(KEEPER))
    keeper = str(ledger.receipt(ledger.block(1).transactions[0]).contract_address)
    for slot in range(40):
        act(ledger, keeper, word(slot) + word(slot + 1))
    for number in (ledger.block_number(), 20):
        root = ledger.block(number).state_root
        slots = ["0x0", "0x7", "0x27", "0x99"]
        found = ask(ledger, "eth_getProof", keeper, slots, hex(number))
        leaf = proven(root, keccak256(bytes.fromhex(keeper[2:])), found["accountProof"])
        assert leaf is not None
        nonce, _, storage, code = rlp.decode(leaf)  # type: ignore[misc]
        assert "0x" + bytes(storage).hex() == found["storageHash"]  # type: ignore[arg-type]
        assert (keccak256(KEEPER), bytes(nonce)) == (code, b"\x01")  # type: ignore[arg-type]
        for entry in found["storageProof"]:
            key = int(entry["key"], 16)
            value = proven(bytes(storage), keccak256(word(key)), entry["proof"])  # type: ignore[arg-type]
            expected = key + 1 if key < number - 1 else 0
            assert int(entry["value"], 16) == expected == (0 if value is None else int.from_bytes(rlp.decode(value)))  # type: ignore[arg-type]
        absent = ask(ledger, "eth_getProof", ADA.address, [], hex(number))
        assert proven(root, keccak256(bytes.fromhex(ADA.address[2:])), absent["accountProof"]) is None


def proven(root: bytes, key: bytes, proof: list[str]) -> bytes | None:
    """Return the value that a Merkle proof shows for a key, or None if it shows that there is none."""
    path, expected = key.hex(), root
    for text in proof:
        node = bytes.fromhex(text[2:])
        assert keccak256(node) == expected, "a node is not the one its parent names"
        items: Any = rlp.decode(node)
        while True:
            if len(items) == 17:
                child, path = items[int(path[0], 16)], path[1:]
            else:
                prefix = items[0].hex()
                shared = prefix[1:] if prefix[0] in "13" else prefix[2:]
                if prefix[0] in "23":
                    return bytes(items[1]) if path == shared else None
                if not path.startswith(shared):
                    return None
                child, path = items[1], path[len(shared) :]
            if isinstance(child, bytes):
                break
            items = child  # a node of under 32 bytes lies within its parent
        if not child:
            return None
        expected = bytes(child)
    raise AssertionError("the proof ends before the key")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Method]]:
    with EmbeddedLedger.open(tmp_path_factory.mktemp("fuzz") / "ledger.db") as ledger:
        ledger.send_many([signed(ledger.faucet, n, None, creation(COUNTER)) for n in range(2)])
        yield ethereum_methods(ledger)


WORDS = [
    "latest",
    "pending",
    "earliest",
    "0x",
    "0x0",
    "0x1",
    "0x2",
    "0x" + "11" * 20,
    "0x" + "11" * 32,
    SINK,
    "0x" + "f" * 64,
]
FIELDS = ["from", "to", "gas", "value", "data", "input", "accessList", "fromBlock", "toBlock", "address", "topics"]
FIELDS += [
    "blockHash",
    "blockNumber",
    "balance",
    "code",
    "state",
    "stateDiff",
    "blockStateCalls",
    "calls",
    "stateOverrides",
    SINK,
]
PLAIN = st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats() | st.text(max_size=5) | st.sampled_from(WORDS)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5)
)


@given(data=st.data())
@settings(max_examples=200)
def test_no_parameters_make_a_method_fault(table: dict[str, Method], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(table)))
    params = data.draw(st.lists(VALUES, max_size=3))
    answer = Dispatcher(table).answer(
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": params}).encode()
    )
    found = json.loads(answer or b"")
    assert found["id"] == 1
    assert ("result" in found) != ("error" in found)
    if "error" in found:
        assert found["error"]["code"] != -32603, (name, params, found)
