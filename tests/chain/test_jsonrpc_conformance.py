"""For the same transactions the ledger's JSON-RPC answers what anvil's does, method by method.

``UNLIKE`` lists every field that may differ, each with its reason; everything else must be equal.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bench_module import loaded_bench
from evm_programs import CLOCK, COUNTER, REFUSER, TOPIC, WASTER, creation, word
from test_ledger_gas import ADA, BEN, signed, varied

from rodagila.chain.addresses import to_text
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.genesis import faucet_account
from rodagila.chain.jsonrpc.dispatch import Dispatcher
from rodagila.chain.jsonrpc.methods import ethereum_methods
from rodagila.chain.trie import keccak256

FAUCET = faucet_account()
SINK = "0x000000000000000000000000000000000000beef"
NOBODY = "0x00000000000000000000000000000000000dead0"

UNLIKE = {
    "hash": "the hash of a header whose other fields differ as below",
    "parentHash": "likewise",
    "blockHash": "likewise",
    "stateRoot": "anvil has ten accounts of its own and runs none of Prague's system transactions",
    "mixHash": "anvil's is random, ours the hash of the parent's hash",
    "extraData": "ours names the program",
    "size": "ours holds extraData and, as the specification asks, the empty list of withdrawals",
    "totalDifficulty": "anvil still sends it; the specification dropped it",
    "blobGasPrice": "anvil sends it for transactions without blobs too",
}
"""Why a field of a block, a transaction, a receipt or a log may differ from anvil's."""


@dataclass
class Pair:
    """Two nodes with the same blocks."""

    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    blocks: int
    counter: str
    refuser: str
    waster: str
    clock: str

    def alike(self, method: str, *params: Any) -> Any:
        """Ask both and return the answer that they share."""
        ours, theirs = self.ours(method, *params), self.theirs(method, *params)
        assert "error" not in ours, ours
        assert "error" not in theirs, theirs
        found = same_form(ours["result"])
        assert found == same_form(theirs["result"]), (method, params)
        return ours["result"]

    def both_refuse(self, method: str, *params: Any) -> tuple[Any, Any]:
        """Ask both, who must answer with an error, and return the errors."""
        return self.ours(method, *params)["error"], self.theirs(method, *params)["error"]


def same_form(value: Any) -> Any:
    """Return an answer without the fields that may differ."""
    if isinstance(value, list):
        return [same_form(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {name: same_form(one) for name, one in value.items() if name not in UNLIKE}
    if isinstance(found.get("blockTimestamp"), int):  # in receipts anvil writes a plain number
        found["blockTimestamp"] = hex(found["blockTimestamp"])
    return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, project_root: Path) -> Iterator[Pair]:
    bench = loaded_bench(project_root)
    program = bench.anvil_path()
    if program is None:
        pytest.skip("needs anvil: set ANVIL or run npm install @foundry-rs/anvil in contracts/")
    path = tmp_path_factory.mktemp("conformance") / "ledger.db"
    with EmbeddedLedger.open(path) as ledger:
        varied(ledger, random.Random(5), 40)
        nonce = ledger.nonce(FAUCET.address)
        programs = (COUNTER, REFUSER, WASTER, CLOCK)
        made = ledger.send_many([signed(FAUCET, nonce + i, None, creation(p)) for i, p in enumerate(programs)])
        places = [str(ledger.receipt(h).contract_address).lower() for h in made]
        target = ledger.receipt(made[0]).contract_address
        listed = [{"address": to_text(bytes.fromhex(SINK[2:])), "storageKeys": ["0x" + word(1).hex()]}]
        tips = {"maxPriorityFeePerGas": 3, "maxFeePerGas": 8}
        for n, fees in enumerate(({"gasPrice": 9}, {"gasPrice": 9, "accessList": listed}, tips)):
            fields = {"to": target, "gas": 90_000, "value": 0, "chainId": ledger.chain_id, "data": b"", **fees}
            ledger.send(bytes(FAUCET.sign_transaction({"nonce": nonce + 4 + n, **fields}).raw_transaction))
        last = ledger.block_number()
        start = ledger.block(0).timestamp
        with bench.running_anvil(program, "--no-mining", "--timestamp", str(start)) as anvil:
            bench.same_genesis(anvil, ledger._file)
            for number in range(1, last + 1):
                block = ledger.block(number)
                raws = [ledger.transaction(h) for h in block.transactions]
                anvil.send_many(raws, timestamp=block.timestamp, base_fee=block.base_fee)
            dispatcher = Dispatcher(ethereum_methods(ledger))
            yield Pair(asking(dispatcher.answer), asking(posting(anvil)), last, *places)


def posting(anvil: Any) -> Callable[[bytes], bytes]:
    def post(body: bytes) -> bytes:
        anvil.connection.request("POST", "/", body, {"content-type": "application/json"})
        return bytes(anvil.connection.getresponse().read())

    return post


def asking(answer: Callable[[bytes], bytes | None]) -> Callable[..., Any]:
    def ask(method: str, *params: Any) -> Any:
        return json.loads(
            answer(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()) or b""
        )

    return ask


def test_the_node_describes_itself_alike(pair: Pair) -> None:
    for method in ("eth_chainId", "net_version", "net_listening", "eth_syncing", "eth_blockNumber", "eth_coinbase"):
        pair.alike(method)
    assert pair.alike("web3_sha3", "0x68656c6c6f") == "0x" + keccak256(b"hello").hex()
    assert pair.ours("web3_clientVersion")["result"].startswith("rodagila/")
    assert pair.ours("eth_accounts")["result"] == [], "keys stay in wallets; anvil has ten"


def test_blocks_are_alike(pair: Pair) -> None:
    for number in range(1, pair.blocks + 1):
        for full in (False, True):
            block = pair.alike("eth_getBlockByNumber", hex(number), full)
            theirs = pair.theirs("eth_getBlockByNumber", hex(number), full)["result"]
            assert set(theirs) - set(block) <= {"totalDifficulty"}
            assert same_form(pair.ours("eth_getBlockByHash", block["hash"], full)["result"]) == same_form(block)
            assert int(block["size"], 16) == int(theirs["size"], 16) + len(b"rodagila") + 1
        pair.alike("eth_getBlockTransactionCountByNumber", hex(number))
        pair.alike("eth_getUncleCountByBlockNumber", hex(number))
        pair.alike("eth_getUncleByBlockNumberAndIndex", hex(number), "0x0")
        assert pair.ours("eth_getBlockTransactionCountByHash", block["hash"])["result"] == hex(
            len(block["transactions"])
        )
    for tag in ("latest", "safe", "finalized"):
        assert pair.ours("eth_getBlockByNumber", tag, False)["result"]["number"] == hex(pair.blocks)
    assert pair.ours("eth_getBlockByNumber", "earliest", False)["result"]["number"] == "0x0"
    assert pair.alike("eth_getBlockByNumber", "0x9999", False) is None
    assert pair.alike("eth_getBlockByHash", "0x" + "11" * 32, False) is None


def test_a_pending_block_has_the_fields_of_a_block(pair: Pair) -> None:
    ours = pair.ours("eth_getBlockByNumber", "pending", True)["result"]
    theirs = pair.theirs("eth_getBlockByNumber", "pending", True)["result"]
    assert set(theirs) - set(ours) <= {"totalDifficulty"}
    assert (ours["number"], ours["transactions"], ours["hash"]) == (theirs["number"], [], None)
    assert ours["parentHash"] == pair.ours("eth_getBlockByNumber", "latest", False)["result"]["hash"]


def test_transactions_and_receipts_are_alike(pair: Pair) -> None:
    types = set()
    for number in range(1, pair.blocks + 1):
        block = pair.ours("eth_getBlockByNumber", hex(number), True)["result"]
        pair.alike("eth_getBlockReceipts", hex(number))
        for index, transaction in enumerate(block["transactions"]):
            types.add(transaction["type"])
            found = pair.alike("eth_getTransactionByHash", transaction["hash"])
            receipt = pair.alike("eth_getTransactionReceipt", transaction["hash"])
            assert receipt["blockHash"] == found["blockHash"] == block["hash"]
            assert pair.alike("eth_getTransactionByBlockNumberAndIndex", hex(number), hex(index)) == found
            assert pair.ours("eth_getTransactionByBlockHashAndIndex", block["hash"], hex(index))["result"] == found
            raw = pair.alike("eth_getRawTransactionByHash", transaction["hash"])
            assert pair.alike("eth_getRawTransactionByBlockNumberAndIndex", hex(number), hex(index)) == raw
            assert keccak256(bytes.fromhex(raw[2:])).hex() == transaction["hash"][2:]
    assert types == {"0x0", "0x1", "0x2", "0x4"}
    for method in ("eth_getTransactionByHash", "eth_getTransactionReceipt", "eth_getRawTransactionByHash"):
        assert pair.alike(method, "0x" + "11" * 32) is None
    assert pair.alike("eth_getTransactionByBlockNumberAndIndex", "latest", "0x99") is None
    assert pair.alike("eth_getBlockReceipts", "0x9999") is None


def test_accounts_are_alike_at_every_block(pair: Pair) -> None:
    for number in [*(hex(n) for n in range(1, pair.blocks + 1)), "latest", "pending"]:
        for place in (FAUCET.address, ADA.address, BEN.address, pair.counter, NOBODY):
            pair.alike("eth_getBalance", place, number)
            pair.alike("eth_getTransactionCount", place, number)
            pair.alike("eth_getCode", place, number)
            pair.alike("eth_getStorageAt", place, "0x0", number)
    assert (
        pair.alike("eth_getStorageAt", pair.counter, word(0).hex().join(("0x", "")), "latest") == "0x" + word(3).hex()
    )
    block = pair.ours("eth_getBlockByNumber", "0x3", False)["result"]
    by_hash = pair.ours("eth_getBalance", ADA.address, {"blockHash": block["hash"]})["result"]
    assert by_hash == pair.ours("eth_getBalance", ADA.address, "0x3")["result"]


def test_calls_are_alike(pair: Pair) -> None:
    call = {"from": NOBODY, "to": pair.counter}
    assert pair.alike("eth_call", call, "latest") == "0x" + word(4).hex()
    assert pair.alike("eth_call", call, hex(pair.blocks - 1)) == "0x" + word(3).hex()
    assert pair.alike("eth_call", {"to": NOBODY, "input": "0x01"}, "latest") == "0x"
    assert pair.alike("eth_call", {"data": "0x" + creation(COUNTER).hex()}, "latest") == "0x" + COUNTER.hex()
    overrides = [{pair.counter: {"stateDiff": {"0x" + word(0).hex(): "0x" + word(9).hex()}}}]
    assert pair.alike("eth_call", call, "latest", *overrides) == "0x" + word(10).hex()
    overrides = [{NOBODY: {"balance": "0xff", "code": "0x" + COUNTER.hex()}}]
    assert (
        pair.alike("eth_call", {"to": NOBODY, "from": NOBODY, "value": "0xff"}, "latest", *overrides)
        == "0x" + word(1).hex()
    )


def test_a_call_at_a_block_runs_in_that_block_and_at_latest_in_the_next(pair: Pair) -> None:
    at = hex(pair.blocks)
    here, there = (ask("eth_call", {"to": pair.clock}, at)["result"] for ask in (pair.ours, pair.theirs))
    assert here[:130] == there[:130], "time and number; the third word is a block's hash"
    block = pair.ours("eth_getBlockByNumber", at, False)["result"]
    assert here[2:130] == (word(int(block["timestamp"], 16)) + word(pair.blocks)).hex()
    latest = bytes.fromhex(pair.ours("eth_call", {"to": pair.clock}, "latest")["result"][2:])
    assert latest[32:64] == word(pair.blocks + 1), "blocks are made on demand: the clock must not stand still"
    assert latest[64:].hex() == block["hash"][2:]


def test_refused_calls_carry_the_reason_alike(pair: Pair) -> None:
    for method in ("eth_call", "eth_estimateGas"):
        ours, theirs = pair.both_refuse(method, {"from": NOBODY, "to": pair.refuser})
        assert ours == theirs == {"code": 3, "message": "execution reverted: no entry", "data": ours["data"]}
        ours, theirs = pair.both_refuse(method, {"from": NOBODY, "to": pair.waster})
        assert ours == {"code": -32000, "message": "invalid opcode"}, theirs
    for error in pair.both_refuse("eth_call", {"from": NOBODY, "to": SINK, "value": "0x5"}):
        assert "insufficient funds for gas * price + value" in error["message"].lower()
    ours, theirs = pair.both_refuse("eth_call", {"from": NOBODY, "to": pair.counter, "gas": "0x5300"})
    assert ours["message"] == "out of gas"
    assert "OOG" in theirs["message"] or "OutOfGas" in theirs["message"]


def test_estimates_suffice_and_are_near(pair: Pair) -> None:
    for call in ({"to": pair.counter}, {"to": SINK, "value": "0x1"}, {"data": "0x" + creation(COUNTER).hex()}):
        asked = {"from": FAUCET.address, **call}
        ours, theirs = (int(ask("eth_estimateGas", asked)["result"], 16) for ask in (pair.ours, pair.theirs))
        assert abs(ours - theirs) <= theirs // 64 + 1
    poor = {"from": NOBODY, "to": SINK, "maxFeePerGas": "0x10"}
    assert "intrinsic gas too low" in pair.ours("eth_estimateGas", poor)["error"]["message"]


def test_simulations_are_alike(pair: Pair) -> None:
    calls = [{"from": NOBODY, "to": place} for place in (pair.counter, pair.refuser, pair.waster, pair.counter)]
    payload = {"blockStateCalls": [{"calls": calls}]}
    (ours,), (theirs,) = (ask("eth_simulateV1", payload, "latest")["result"] for ask in (pair.ours, pair.theirs))
    for here, there in zip(ours["calls"], theirs["calls"], strict=True):
        assert (here["status"], here["returnData"]) == (there["status"], there["returnData"])
        assert [(log["topics"], log["data"], log["logIndex"]) for log in here["logs"]] == [
            (log["topics"], log["data"], log["logIndex"]) for log in there["logs"]
        ]
        assert here["gasUsed"] == there["gasUsed"]
    assert ours["calls"][1]["error"]["message"] == "execution reverted: no entry"
    assert set(theirs) - set(ours) <= {"totalDifficulty"}


def test_logs_are_alike(pair: Pair) -> None:
    whole = {"fromBlock": "0x0", "toBlock": "latest"}
    everything = pair.alike("eth_getLogs", whole)
    assert len(everything) > 10
    topic, faucet = "0x" + TOPIC.hex(), "0x" + word(FAUCET.address).hex()
    for more in (
        {"address": pair.counter},
        {"address": [pair.counter, NOBODY]},
        {"topics": [topic]},
        {"topics": [None, faucet]},
        {"topics": [[topic, faucet], [faucet]]},
        {"topics": []},
        {"topics": [faucet]},
        {"fromBlock": hex(pair.blocks)},
        {"fromBlock": "0x4", "toBlock": "0x6"},
        {"fromBlock": "0x6", "toBlock": "0x4"},
        {"address": NOBODY},
    ):
        pair.alike("eth_getLogs", whole | more)
    assert pair.alike("eth_getLogs", {}) == pair.alike("eth_getLogs", {"fromBlock": "latest"})
    block = pair.ours("eth_getBlockByNumber", hex(pair.blocks), False)["result"]
    assert pair.ours("eth_getLogs", {"blockHash": block["hash"]})["result"] == [
        log for log in everything if log["blockNumber"] == hex(pair.blocks)
    ]
    ours, theirs = pair.both_refuse("eth_getLogs", {"blockHash": "0x" + "11" * 32})
    assert ours == theirs


def test_fees_are_alike(pair: Pair) -> None:
    history = pair.alike("eth_feeHistory", hex(5), "latest", [0, 25, 50, 100])
    assert history["reward"][-2:] == [["0x2"] * 4, ["0x1"] * 4]
    ours, theirs = (ask("eth_feeHistory", "0x1", hex(pair.blocks), [])["result"] for ask in (pair.ours, pair.theirs))
    assert theirs == ours | {"reward": []}, "rewards that nobody asked for are left out, as in go-ethereum"
    assert int(pair.ours("eth_gasPrice")["result"], 16) == 8, "anvil suggests a tip of a whole gwei"
    assert pair.ours("eth_maxPriorityFeePerGas")["result"] == "0x1"
    pair.alike("eth_blobBaseFee")


def test_filters_are_there_alike(pair: Pair) -> None:
    for method, params in (
        ("eth_newBlockFilter", []),
        ("eth_newPendingTransactionFilter", []),
        ("eth_newFilter", [{}]),
    ):
        ids = [ask(method, *params)["result"] for ask in (pair.ours, pair.theirs)]
        for ask, key in zip((pair.ours, pair.theirs), ids, strict=True):
            assert ask("eth_getFilterChanges", key)["result"] == []
            assert ask("eth_uninstallFilter", key)["result"] is True
            assert ask("eth_uninstallFilter", key)["result"] is False
            assert ask("eth_getFilterChanges", key)["error"] == {"code": -32000, "message": "filter not found"}
    whole = {"fromBlock": "0x0", "toBlock": "latest"}
    logs = [
        ask("eth_getFilterLogs", ask("eth_newFilter", whole)["result"])["result"] for ask in (pair.ours, pair.theirs)
    ]
    assert same_form(logs[0]) == same_form(logs[1])
    assert len(logs[0]) > 10


def test_proofs_have_anvil_s_shape(pair: Pair) -> None:
    slots = ["0x" + word(0).hex(), "0x" + word(1).hex()]
    ours, theirs = (ask("eth_getProof", pair.counter, slots, "latest")["result"] for ask in (pair.ours, pair.theirs))
    # The account's own proof hangs on the state root, which differs; its storage is the same trie.
    for name in ("address", "balance", "codeHash", "nonce", "storageHash"):
        assert ours[name] == theirs[name]
    for here, there in zip(ours["storageProof"], theirs["storageProof"], strict=True):
        assert (here["value"], here["proof"]) == (there["value"], there["proof"])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"nonce": -1}, "nonce too low"),
        ({"gas": 20_000}, "intrinsic gas too low"),
        ({"gas": 61_000_000}, "block gas limit|intrinsic gas too high"),
        ({"value": 10**30}, "insufficient funds for gas \\* price \\+ value"),
        ({"maxFeePerGas": 1}, "max fee per gas less than block base fee"),
        ({"chainId": 1}, "invalid chain id for signer"),
    ],
)
def test_refused_transactions_are_worded_as_clients_expect(pair: Pair, fields: dict[str, int], words: str) -> None:
    nonce = int(pair.ours("eth_getTransactionCount", FAUCET.address, "pending")["result"], 16)
    fields = dict(fields) | {"nonce": nonce + fields.get("nonce", 0)}
    raw = "0x" + signed(FAUCET, fields.pop("nonce"), to_text(bytes.fromhex(pair.counter[2:])), **fields).hex()
    for error in pair.both_refuse("eth_sendRawTransaction", raw):
        assert re.search(words, error["message"], re.IGNORECASE), error
        assert -32099 <= error["code"] <= -32000


def test_unknown_methods_and_bad_parameters_have_the_standard_codes(pair: Pair) -> None:
    for error in pair.both_refuse("eth_nonsense"):
        assert error["code"] == -32601
    for method, params in (
        ("eth_getBalance", []),
        ("eth_getBalance", ["0x12", "latest"]),
        ("eth_getBalance", [NOBODY, "sometime"]),
        ("eth_getStorageAt", [NOBODY]),
        ("eth_getTransactionByHash", ["0x12"]),
        ("eth_call", ["0x", "latest"]),
        ("eth_getLogs", [{"topics": ["0x12"]}]),
    ):
        for error in pair.both_refuse(method, *params):
            assert error["code"] == -32602, (method, params, error)
    assert pair.ours("eth_getBalance", NOBODY, "0x9999")["error"] == {"code": -32000, "message": "header not found"}
    assert pair.theirs("eth_getBalance", NOBODY, "0x9999")["error"]["code"] == -32602, "go-ethereum says -32000"
