"""A node that is busy, drops what it is told, caps what it answers, or lies: what a ledger behind it makes of that.

The node is the embedded ledger's own JSON-RPC, with somebody in between who changes its answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from evm_programs import COUNTER, creation

from anvil import running
from rodagila.chain import node as node_module
from rodagila.chain.contracts import Contract, load_artifact, send_wei, signed_call
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.genesis import faucet_account
from rodagila.chain.jsonrpc.dispatch import Dispatcher
from rodagila.chain.jsonrpc.methods import ethereum_methods
from rodagila.chain.node import READ_ATTEMPTS, Node
from rodagila.chain.port import EMBEDDED_CHAIN_ID, CallRequest, Unconfirmed
from rodagila.chain.rpc import RpcLedger
from rodagila.chain.trie import keccak256
from rodagila.core.errors import Conflict, RefusedByPolicy, RodaError, Unreachable

FAUCET = faucet_account()
ADA: LocalAccount = Account.from_key(keccak256(b"ada"))
SINK = "0x000000000000000000000000000000000000bEEF"
Answer = dict[str, Any] | httpx.Response | Exception
LYING = "cannot be true|not what|does not have the form|is not|holds events"


class Between(httpx.BaseTransport):
    """Hands every request on to the real node unless ``change`` makes something else of the answer."""

    def __init__(self, ledger: EmbeddedLedger) -> None:
        self._dispatcher = Dispatcher(ethereum_methods(ledger))
        self.asked: list[str] = []
        self.before: Callable[[str, list[Any]], Answer | None] = lambda method, params: None
        self.change: Callable[[str, Any], Any] = lambda method, answer: answer

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.read())
        self.asked.append(body["method"])
        instead = self.before(body["method"], body["params"])
        if isinstance(instead, Exception):
            raise instead
        if isinstance(instead, httpx.Response):
            return instead
        answer = instead or json.loads(self._dispatcher.answer(request.content) or b"null")
        if "result" in answer:
            answer["result"] = self.change(body["method"], answer["result"])
        return httpx.Response(200, json=answer)


class Stand:
    """The embedded ledger, who stands between, the client's ledger, and the pauses that the client made."""

    def __init__(self, embedded: EmbeddedLedger) -> None:
        self.embedded, self.between, self.pauses = embedded, Between(embedded), list[float]()
        node = Node(httpx.Client(transport=self.between), "http://ledger.test", self.pauses.append)
        self.ledger = RpcLedger(node, inclusion_seconds=0.2, confirmations=None)
        self.between.asked.clear()

    def count(self, method: str) -> int:
        return self.between.asked.count(method)

    def raw(self) -> bytes:
        return signed_call(self.embedded, FAUCET, SINK, b"", 21_000)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with EmbeddedLedger.open(tmp_path / "ledger.db") as embedded:
        yield Stand(embedded)


def busy(status: int, times: int, method: str, **headers: str) -> Callable[[str, list[Any]], Answer | None]:
    """Return an answer of ``status`` for the first ``times`` of ``method``."""
    left = [times]

    def before(asked: str, params: list[Any]) -> Answer | None:
        if asked != method or left[0] == 0:
            return None
        left[0] -= 1
        return httpx.Response(status, headers=headers)

    return before


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_node_is_asked_again_after_longer_and_longer_pauses(stand: Stand, status: int) -> None:
    stand.between.before = busy(status, 3, "eth_getBalance")
    assert stand.ledger.balance(FAUCET.address) == stand.embedded.balance(FAUCET.address)
    assert stand.pauses == [0.1, 0.2, 0.4]


def test_a_node_that_stays_busy_is_unreachable(stand: Stand) -> None:
    stand.between.before = busy(503, 99, "eth_getBalance")
    with pytest.raises(Unreachable, match="503"):
        stand.ledger.balance(FAUCET.address)
    assert stand.count("eth_getBalance") == READ_ATTEMPTS


def test_the_node_s_own_pause_is_kept_up_to_a_limit(stand: Stand) -> None:
    stand.between.before = busy(429, 1, "eth_getBalance", **{"retry-after": "3"})
    stand.ledger.balance(SINK)
    stand.between.before = busy(429, 1, "eth_getBalance", **{"retry-after": "86400"})
    stand.ledger.balance(SINK)
    assert stand.pauses == [3.0, 10.0]


def test_a_limit_of_the_provider_and_a_dropped_connection_are_waited_out_too(stand: Stand) -> None:
    limited = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "limit exceeded"}}
    refusals: list[Answer] = [dict(limited), httpx.RemoteProtocolError("dropped"), httpx.ReadError("dropped")]
    stand.between.before = lambda method, params: refusals.pop() if refusals else None
    assert stand.ledger.balance(SINK) == 0


def test_a_busy_node_is_never_sent_a_transaction_twice_without_looking(stand: Stand) -> None:
    stand.between.before = busy(503, 1, "eth_sendRawTransaction")
    with pytest.raises(Unreachable):
        stand.ledger.send(stand.raw())
    assert stand.count("eth_sendRawTransaction") == 1
    assert stand.count("eth_getTransactionByHash") == 1
    assert stand.embedded.balance(SINK) == 0


def test_a_list_of_which_a_part_is_on_its_way_is_not_signed_and_sent_again(stand: Stand) -> None:
    """What went out would otherwise happen twice."""
    sends = []

    def interfere(method: str, params: list[Any]) -> Answer | None:
        if method == "eth_sendRawTransaction":
            sends.append(params[0])
            if len(sends) == 2:  # another process of the same signer is faster
                stand.embedded.send(stand.raw())
        return None

    place = stand.embedded.receipt(stand.embedded.send(signed_call_of_creation(stand.embedded))).contract_address
    assert place is not None
    token = Contract(stand.ledger, place, load_artifact("PayToken"))
    stand.between.before = interfere
    with pytest.raises(Conflict) as caught:
        token.transact_many(FAUCET, [("drip", (SINK, 1)), ("drip", (SINK, 2))], gas=200_000)
    assert caught.value.details["sent"] == 1
    assert len(sends) == 2
    assert len(stand.embedded.logs(place)) == 1


@pytest.mark.parametrize("how", ["busy", "dropped", "late"])
def test_a_transaction_whose_answer_was_lost_is_found_where_it_arrived(stand: Stand, how: str) -> None:
    lost = {"busy": httpx.Response(504), "dropped": httpx.ReadError("x"), "late": httpx.ReadTimeout("x")}[how]
    raw = signed_call(stand.embedded, FAUCET, SINK, b"", 21_000)

    def taken_but_unanswered(method: str, params: list[Any]) -> Answer | None:
        if method != "eth_sendRawTransaction":
            return None
        stand.embedded.send(bytes.fromhex(params[0][2:]))
        return lost

    stand.between.before = taken_but_unanswered
    assert stand.ledger.send(raw) == keccak256(raw)
    assert stand.count("eth_sendRawTransaction") == 1
    assert stand.embedded.nonce(FAUCET.address) == 1


def test_a_node_that_is_too_slow_is_told_as_unreachable_and_not_asked_again(stand: Stand) -> None:
    stand.between.before = lambda method, params: httpx.ReadTimeout("slow")
    with pytest.raises(Unreachable, match="ReadTimeout"):
        stand.ledger.balance(SINK)
    assert stand.between.asked == ["eth_getBalance"]


def test_an_answer_without_end_is_not_read_to_its_end(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "MAX_RESPONSE_BYTES", 10_000)
    stand.between.change = lambda method, answer: "0x" + "00" * 6_000
    with pytest.raises(Unreachable, match="longer than 10000 bytes"):
        stand.ledger.code(SINK)


@pytest.mark.parametrize("content", [b"", b"[]", b"<html>", b"[" * 100_000, b'{"id": 1}', b"\xff\xfe"])
def test_what_is_not_json_rpc_is_unreachable(stand: Stand, content: bytes) -> None:
    stand.between.before = lambda method, params: httpx.Response(200, content=content)
    with pytest.raises(Unreachable):
        stand.ledger.balance(SINK)


JUNK = [None, "", "0x", "0xzz", "7", 7, 1.5, True, [], [None], {}, {"number": "0x1"}, "0x" + "11" * 33, [[]], "é"]


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_answers_without_form_raise_nothing_but_our_errors(stand: Stand, junk: Any) -> None:
    ledger, raw = stand.ledger, stand.raw()
    tx_hash = stand.embedded.send(raw)
    again = stand.raw()
    stand.between.change = lambda method, answer: junk
    for ask in (
        ledger.block_number, ledger.timestamp, ledger.base_fee, ledger.confirmed_block,
        lambda: ledger.balance(SINK), lambda: ledger.nonce(SINK), lambda: ledger.storage(SINK, 0),
        lambda: ledger.estimate_gas(SINK, b"", sender=SINK), lambda: ledger.simulate([CallRequest(SINK, SINK)]),
        lambda: ledger.receipt(tx_hash), lambda: ledger.transaction(tx_hash), lambda: ledger.block(1),
        lambda: ledger.send(again), lambda: ledger.lend(SINK, 1),
    ):  # fmt: skip
        with pytest.raises(RodaError):
            ask()
    for tell in (lambda: ledger.code(SINK), lambda: ledger.call(SINK, b""), lambda: ledger.logs(SINK)):
        try:
            assert isinstance(tell(), bytes | list)
        except RodaError as error:
            assert error.code in ("node_invalid", "unreachable")


def test_a_node_that_turns_out_to_be_of_another_chain_is_sent_nothing(stand: Stand) -> None:
    raw = stand.raw()
    stand.between.change = lambda method, answer: "0x1" if method == "eth_chainId" else answer
    for ask in (lambda: stand.ledger.send(raw), stand.ledger.confirmed_block):
        with pytest.raises(RefusedByPolicy) as caught:
            ask()
        assert caught.value.code == "chain_mismatch"
    assert stand.count("eth_sendRawTransaction") == 0


def changed(method: str, **fields: Any) -> Callable[[str, Any], Any]:
    """Return a change of some fields in the answers to one method."""

    def change(asked: str, answer: Any) -> Any:
        if asked != method:
            return answer
        return [{**one, **fields} for one in answer] if isinstance(answer, list) else {**answer, **fields}

    return change


def test_answers_about_something_else_are_not_believed(stand: Stand) -> None:
    stand.embedded.send(stand.raw())
    place = stand.embedded.receipt(stand.embedded.send(signed_call_of_creation(stand.embedded))).contract_address
    assert place is not None
    counted = stand.embedded.send(signed_call(stand.embedded, FAUCET, place, b"", 200_000))
    other = stand.embedded.block(1).transactions[0]
    lies: list[tuple[Callable[[], Any], Callable[[str, Any], Any]]] = [
        (lambda: stand.ledger.receipt(counted), changed("eth_getTransactionReceipt", transactionHash=hexed(other))),
        (lambda: stand.ledger.block(2), changed("eth_getBlockByNumber", number="0x1")),
        (lambda: stand.ledger.logs(place), changed("eth_getLogs", address=SINK.lower())),
        (lambda: stand.ledger.logs(place, from_block=3), changed("eth_getLogs", blockNumber="0x1")),
        (lambda: stand.ledger.logs(place, to_block=3), changed("eth_getLogs", blockNumber="0x9")),
        (lambda: stand.ledger.logs(topics=[bytes(32)]), lambda method, answer: everything(stand, method, answer)),
        (lambda: stand.ledger.transaction(counted), lambda method, answer: instead(method, answer, stand, other)),
        (
            lambda: stand.ledger.send(stand.raw()),
            lambda method, answer: hexed(other) if method == "eth_sendRawTransaction" else answer,
        ),
    ]
    for ask, lie in lies:
        stand.between.change = lie
        with pytest.raises(Unreachable) as caught:
            ask()
        assert caught.value.code == "node_invalid"


def signed_call_of_creation(ledger: EmbeddedLedger) -> bytes:
    fees = {"maxFeePerGas": 1_000, "maxPriorityFeePerGas": 0, "chainId": EMBEDDED_CHAIN_ID, "value": 0}
    made = {"nonce": ledger.nonce(FAUCET.address), "gas": 500_000, "data": creation(COUNTER), **fees}
    return bytes(FAUCET.sign_transaction(made).raw_transaction)


def everything(stand: Stand, method: str, answer: Any) -> Any:
    """Answer a question for some events with all of them."""
    if method != "eth_getLogs":
        return answer
    return [
        {
            "address": log.address.lower(), "topics": [hexed(topic) for topic in log.topics], "data": hexed(log.data),
            "blockNumber": hex(log.block_number), "transactionHash": hexed(log.tx_hash), "logIndex": hex(log.log_index),
        }
        for log in stand.embedded.logs()
    ]  # fmt: skip


def instead(method: str, answer: Any, stand: Stand, other: bytes) -> Any:
    """Answer with another transaction."""
    return hexed(stand.embedded.transaction(other)) if method == "eth_getRawTransactionByHash" else answer


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://base.example/v2/KEY", "https://base.example"),
        ("https://ada:secret@node.example:8545/?k=KEY", "https://node.example:8545"),
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("KEY", "the given address"),
    ],
)
def test_an_address_is_told_without_the_secrets_in_it(url: str, told: str) -> None:
    assert node_module.shown(url) == told
    with pytest.raises(Unreachable) as caught:
        RpcLedger.open(url, transport=httpx.MockTransport(lambda request: httpx.Response(401)))
    assert not {"KEY", "secret"} & set(str(caught.value).split())
    assert "KEY" not in str(caught.value)


@pytest.mark.parametrize("widest", [1, 3, 7])
def test_ranges_are_paged_where_a_node_caps_them(stand: Stand, widest: int) -> None:
    place = stand.embedded.receipt(stand.embedded.send(signed_call_of_creation(stand.embedded))).contract_address
    assert place is not None
    for _ in range(20):
        stand.embedded.send(signed_call(stand.embedded, FAUCET, place, b"", 200_000))

    def capped(method: str, params: list[Any]) -> Answer | None:
        if method != "eth_getLogs":
            return None
        wanted = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
        refusal = {"code": -32005, "message": f"query exceeds {widest} blocks"}
        return {"jsonrpc": "2.0", "id": 1, "error": refusal} if wanted > widest else None

    stand.between.before = capped
    assert stand.ledger.logs(place) == stand.embedded.logs(place)
    assert stand.ledger.logs(place, from_block=4, to_block=9) == stand.embedded.logs(place, from_block=4, to_block=9)
    assert len(stand.embedded.logs(place)) == 20
    assert stand.pauses == []


def test_a_view_shows_the_past_and_sends_nothing(stand: Stand) -> None:
    for amount in (1, 2, 4):
        send_wei(stand.embedded, FAUCET, SINK, amount)
    view = stand.ledger.at(2)
    assert (view.block_number(), view.balance(SINK), view.nonce(FAUCET.address)) == (2, 3, 2)
    assert view.timestamp() == stand.embedded.block(2).timestamp
    with pytest.raises(RodaError):
        view.block(3)
    with pytest.raises(RodaError):
        view.receipt(stand.embedded.block(3).transactions[0])
    for ask in (
        lambda: view.send(stand.raw()), lambda: view.lend(SINK, 1),
        lambda: view.estimate_gas(SINK, b"", sender=FAUCET.address),
    ):  # fmt: skip
        with pytest.raises(Unconfirmed):
            ask()
    assert stand.ledger.balance(SINK) == 7


def test_a_transaction_that_no_block_takes_is_told_with_its_hash_and_may_come_later() -> None:
    with running(EMBEDDED_CHAIN_ID, "--no-mining") as chain, RpcLedger.open(chain.url, inclusion_seconds=0.3) as ledger:
        chain.ask("anvil_setBalance", FAUCET.address, hex(10**20))
        raw = signed_call(ledger, FAUCET, SINK, b"", 21_000)
        with pytest.raises(Unreachable, match="no block held it") as caught:
            ledger.send(raw)
        assert caught.value.details["transaction"] == hexed(keccak256(raw))
        chain.mine()
        assert ledger.receipt(keccak256(raw)).status == 1


def test_a_transaction_that_another_one_of_its_sender_replaced_is_told_so() -> None:
    with running(EMBEDDED_CHAIN_ID, "--no-mining") as chain, RpcLedger.open(chain.url, inclusion_seconds=0.3) as ledger:
        chain.ask("anvil_setBalance", FAUCET.address, hex(10**20))
        cheap, nonce = signed_call(ledger, FAUCET, SINK, b"", 21_000), ledger.nonce(FAUCET.address)
        fees = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**10, "chainId": EMBEDDED_CHAIN_ID}
        dear = {"to": SINK, "value": 5, "gas": 21_000, "nonce": nonce, "data": b"", **fees}
        with pytest.raises(Unreachable):
            ledger.send(cheap)
        chain.ask("eth_sendRawTransaction", hexed(bytes(FAUCET.sign_transaction(dear).raw_transaction)))
        chain.mine()
        with pytest.raises(Conflict) as caught:
            ledger.send(cheap)
        assert caught.value.code == "nonce_wrong"
        assert ledger.balance(SINK) == 5


def patient(stand: Stand) -> RpcLedger:
    """Return a client of the same node that waits long for a block."""
    node = Node(httpx.Client(transport=stand.between), "http://ledger.test", stand.pauses.append)
    return RpcLedger(node, inclusion_seconds=30, confirmations=None)


def test_a_receipt_that_comes_after_the_nonce_is_waited_for_and_nothing_is_sent_twice(stand: Stand) -> None:
    left = [3]

    def late(method: str, params: list[Any]) -> Answer | None:
        if method != "eth_getTransactionReceipt" or left[0] == 0:
            return None
        left[0] -= 1
        return {"jsonrpc": "2.0", "id": 1, "result": None}

    ledger, stand.between.before = patient(stand), late
    send_wei(ledger, FAUCET, SINK, 5)
    assert (stand.count("eth_sendRawTransaction"), ledger.balance(SINK)) == (1, 5)


def test_a_nonce_that_is_used_without_a_receipt_for_long_was_taken_by_another(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rodagila.chain.rpc.LATE_RECEIPT_SECONDS", 0.1)
    ledger, raw = patient(stand), stand.raw()
    stand.between.before = lambda method, params: (
        {"jsonrpc": "2.0", "id": 1, "result": None} if method == "eth_getTransactionReceipt" else None
    )
    with pytest.raises(Conflict) as caught:
        ledger.send(raw)
    assert caught.value.code == "nonce_wrong"
