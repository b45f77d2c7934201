"""Real clients on the served ledger: web3.py, viem, cast, and what a browser may and may not do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.exceptions import ContractCustomError, TransactionNotFound, Web3RPCError

from rodagila.app.ledger_server import MAX_BODY_BYTES, LedgerApp
from rodagila.app.listening import listening
from rodagila.chain.abi import load_artifact
from rodagila.chain.contracts import deploy
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.genesis import faucet_account
from rodagila.chain.jsonrpc.dispatch import Dispatcher
from rodagila.chain.jsonrpc.methods import ethereum_methods
from rodagila.chain.port import EMBEDDED_CHAIN_ID
from rodagila.chain.rpc import RpcLedger

FAUCET: LocalAccount = faucet_account()
SINK = "0x000000000000000000000000000000000000bEEF"
WALLET = "https://wallet.example"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[EmbeddedLedger]:
    with EmbeddedLedger.open(tmp_path / "ledger.sqlite") as opened:
        yield opened


@pytest.fixture
def url(ledger: EmbeddedLedger) -> Iterator[str]:
    app = LedgerApp(Dispatcher(ethereum_methods(ledger)), [WALLET])
    with listening(lambda: app, "127.0.0.1", 0) as address:
        yield address


@pytest.fixture
def web3(url: str) -> Web3:
    return Web3(Web3.HTTPProvider(url))


@pytest.fixture
def token(ledger: EmbeddedLedger) -> str:
    return deploy(ledger, FAUCET, "PayToken", FAUCET.address).address


def rpc(url: str, method: str, *params: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return httpx.post(url, json=body, headers=headers)


def transfer(nonce: int, value: int = 1) -> str:
    fields = {"to": SINK, "value": value, "gas": 21_000, "gasPrice": 8, "nonce": nonce, "chainId": EMBEDDED_CHAIN_ID}
    return "0x" + bytes(FAUCET.sign_transaction(fields).raw_transaction).hex()


def test_web3_py_sends_and_reads(web3: Web3) -> None:
    assert web3.is_connected()
    assert web3.eth.chain_id == EMBEDDED_CHAIN_ID
    fields: Any = {"from": FAUCET.address, "to": SINK, "value": 5}
    fields |= {"gas": web3.eth.estimate_gas(fields), "nonce": web3.eth.get_transaction_count(FAUCET.address)}
    fees = {"maxFeePerGas": web3.eth.gas_price * 2, "maxPriorityFeePerGas": web3.eth.max_priority_fee}
    fields |= {"chainId": web3.eth.chain_id, **fees}
    tx_hash = web3.eth.send_raw_transaction(FAUCET.sign_transaction(fields).raw_transaction)
    receipt = web3.eth.wait_for_transaction_receipt(tx_hash)
    assert (receipt["status"], receipt["gasUsed"]) == (1, 21_000)
    assert web3.eth.get_transaction(tx_hash)["value"] == web3.eth.get_balance(SINK) == 5  # type: ignore[arg-type]
    block = web3.eth.get_block("latest", full_transactions=True)
    assert [dict(one)["hash"] for one in block["transactions"]] == [tx_hash]  # type: ignore[arg-type]
    assert web3.eth.get_block(block["hash"])["number"] == 1
    assert web3.eth.fee_history(1, "latest", [50])["reward"] == [[1]]
    assert web3.eth.get_balance(SINK, 0) == 0  # type: ignore[arg-type]
    with pytest.raises(TransactionNotFound):
        web3.eth.get_transaction_receipt("0x" + "11" * 32)  # type: ignore[arg-type]


def test_web3_py_uses_a_contract_its_events_and_its_refusals(web3: Web3, token: str) -> None:
    artifact = load_artifact("PayToken")
    contract = web3.eth.contract(web3.to_checksum_address(token), abi=json.loads(abi_of("PayToken")))
    watched = contract.events.Transfer.create_filter(from_block="latest")
    call = contract.functions.drip(FAUCET.address, 500)
    fields = call.build_transaction({"from": FAUCET.address, "nonce": 1, "chainId": EMBEDDED_CHAIN_ID, "gasPrice": 8})  # type: ignore[typeddict-item]
    web3.eth.send_raw_transaction(FAUCET.sign_transaction(dict(fields)).raw_transaction)
    assert contract.functions.balanceOf(FAUCET.address).call() == 500
    assert contract.functions.balanceOf(FAUCET.address).call(block_identifier=1) == 0
    (event,) = watched.get_new_entries()
    assert (event["args"]["to"], event["args"]["value"]) == (FAUCET.address, 500)
    assert watched.get_new_entries() == []
    assert [found["args"] for found in contract.events.Transfer.get_logs(from_block=0)] == [event["args"]]
    with pytest.raises(ContractCustomError) as caught:
        contract.functions.transfer(SINK, 501).call({"from": FAUCET.address})
    assert str(caught.value.data).startswith("0x" + insufficient_balance(artifact).hex())


def insufficient_balance(artifact: Any) -> bytes:
    return next(selector for selector, entry in artifact.errors.items() if entry.name == "ERC20InsufficientBalance")


def abi_of(name: str) -> str:
    from importlib.resources import files

    return json.dumps(json.loads((files("rodagila.chain") / "artifacts" / f"{name}.json").read_text())["abi"])


def test_web3_py_is_told_of_wrong_nonces(web3: Web3) -> None:
    web3.eth.send_raw_transaction(transfer(0))  # type: ignore[arg-type]
    for nonce, words in ((0, "already known"), (2, "nonce too high")):
        with pytest.raises(Web3RPCError, match=words):
            web3.eth.send_raw_transaction(transfer(nonce))  # type: ignore[arg-type]
    with pytest.raises(Web3RPCError, match="nonce too low"):
        web3.eth.send_raw_transaction(transfer(0, value=2))  # type: ignore[arg-type]


def test_the_rpc_ledger_reads_what_the_embedded_one_holds(ledger: EmbeddedLedger, url: str, token: str) -> None:
    with RpcLedger.open(url) as remote:
        assert remote.chain_id == ledger.chain_id
        tx_hash = remote.send(bytes.fromhex(transfer(1)[2:]))
        assert remote.receipt(tx_hash) == ledger.receipt(tx_hash)
        assert remote.block(remote.block_number()) == ledger.block(ledger.block_number())
        assert remote.logs(token) == ledger.logs(token)
        assert remote.code(token) == ledger.code(token)
        assert remote.base_fee() == ledger.base_fee()


def cast_program(root: Path) -> str:
    local = next((root / "contracts/node_modules/@foundry-rs").glob("cast-*/bin/cast"), None)
    found = os.environ.get("CAST") or (str(local) if local else shutil.which("cast"))
    if found is None:
        pytest.skip("needs cast: set CAST or run npm install in contracts/")
    return found


def test_cast_sends_calls_and_lists(project_root: Path, url: str, token: str) -> None:
    program = cast_program(project_root)

    def cast(*arguments: str) -> str:
        done = subprocess.run([program, *arguments, "--rpc-url", url], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert cast("chain-id") == str(EMBEDDED_CHAIN_ID)
    assert cast("client").startswith("rodagila/")
    key = ["--private-key", FAUCET.key.hex(), "--json"]
    receipt = json.loads(cast("send", token, "drip(address,uint256)", FAUCET.address, "700", *key))
    assert receipt["status"] == "0x1"
    assert cast("call", token, "balanceOf(address)(uint256)", FAUCET.address) == "700"
    assert json.loads(cast("receipt", receipt["transactionHash"], "--json"))["gasUsed"] == receipt["gasUsed"]
    assert int(json.loads(cast("block", "latest", "--json"))["number"], 16) == int(receipt["blockNumber"], 16)
    assert json.loads(cast("tx", receipt["transactionHash"], "--json"))["from"] == FAUCET.address.lower()
    assert cast("code", token).startswith("0x60")
    assert cast("nonce", FAUCET.address) == "2"
    assert cast("balance", SINK) == "0"
    assert len(json.loads(cast("logs", "--address", token, "--from-block", "0", "--json"))) >= 1
    json.loads(cast("proof", token, "0x0"))
    assert int(cast("estimate", SINK, "--value", "1", "--from", FAUCET.address)) == 21_000


def test_viem_watches_writes_and_names_errors(project_root: Path, url: str, token: str) -> None:
    modules = os.environ.get("NODE_PATH") or str(project_root / "contracts/node_modules")
    node = shutil.which("node")
    if node is None or not (Path(modules) / "viem").is_dir():
        pytest.skip("needs node and viem: run npm install in contracts/, or set NODE_PATH")
    key = "0x" + FAUCET.key.hex().removeprefix("0x")
    arguments = [node, str(Path(__file__).parent / "viem_client.cjs"), url, key, token, SINK]
    done = subprocess.run(
        arguments, capture_output=True, text=True, check=False, env={**os.environ, "NODE_PATH": modules}, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "chainId": EMBEDDED_CHAIN_ID,
        "status": "success",
        "balance": "900",
        "inBlock": True,
        "ether": str(10**27),
        "sink": "5",
        "refused": "ERC20InsufficientBalance",
        "low": "NonceTooLowError",
        "high": "NonceTooHighError",
        "funds": "InsufficientFundsError",
        "simulated": ["success", "success"],
        "seen": ["900"],
    }


def test_an_explorer_walks_every_block_and_its_sums_agree(ledger: EmbeddedLedger, url: str, token: str) -> None:
    for nonce in range(1, 4):
        rpc(url, "eth_sendRawTransaction", transfer(nonce))

    def batch(*calls: tuple[str, list[Any]]) -> list[Any]:
        asked = [{"jsonrpc": "2.0", "id": i, "method": m, "params": p} for i, (m, p) in enumerate(calls)]
        return [answer["result"] for answer in httpx.post(url, json=asked).json()]

    last = int(batch(("eth_blockNumber", []))[0], 16)
    blocks = batch(*(("eth_getBlockByNumber", [hex(n), True]) for n in range(last + 1)))
    assert [block["parentHash"] for block in blocks[1:]] == [block["hash"] for block in blocks[:-1]]
    for block in blocks:
        receipts, count = batch(
            ("eth_getBlockReceipts", [block["number"]]), ("eth_getBlockTransactionCountByHash", [block["hash"]])
        )
        assert int(count, 16) == len(receipts) == len(block["transactions"])
        assert sum(int(one["gasUsed"], 16) for one in receipts) == int(block["gasUsed"], 16)
        for transaction, receipt in zip(block["transactions"], receipts, strict=True):
            sender = transaction["from"]
            before, after, code = batch(
                ("eth_getTransactionCount", [sender, hex(int(block["number"], 16) - 1)]),
                ("eth_getTransactionCount", [sender, {"blockHash": block["hash"]}]),
                ("eth_getCode", [receipt["contractAddress"] or SINK, block["number"]]),
            )
            assert int(after, 16) == int(before, 16) + 1 == int(transaction["nonce"], 16) + 1
            assert (code == "0x") == (receipt["contractAddress"] is None)
    assert len(batch(("eth_getLogs", [{"fromBlock": "0x0", "address": token}]))[0]) == len(ledger.logs(token))


def test_clients_at_once_get_every_transaction_in(ledger: EmbeddedLedger, url: str) -> None:
    raws = [transfer(n) for n in range(24)]
    found: list[Any] = []

    def reader() -> None:
        found.extend(rpc(url, "eth_getBalance", SINK).json()["result"] for _ in range(10))

    threads = [threading.Thread(target=reader) for _ in range(4)]
    for thread in threads:
        thread.start()
    batch = [
        {"jsonrpc": "2.0", "id": i, "method": "eth_sendRawTransaction", "params": [raw]} for i, raw in enumerate(raws)
    ]
    answers = httpx.post(url, json=batch).json()
    for thread in threads:
        thread.join()
    assert [answer["id"] for answer in answers] == list(range(24))
    assert all("result" in answer for answer in answers)
    assert ledger.balance(SINK) == 24
    assert len(found) == 40


def test_pages_of_other_sites_are_kept_out(url: str) -> None:
    for origin in (
        "https://evil.example",
        "null",
        "http://[evil",
        "http://localhost.evil.example",
        f"{WALLET}.evil.example",
    ):
        refused = rpc(url, "eth_chainId", headers={"origin": origin})
        assert refused.status_code == 403
        assert "access-control-allow-origin" not in refused.headers
        assert httpx.options(url, headers={"origin": origin}).status_code == 403
    for host in ("", "[evil", "evil.example", "localhost.evil.example", "evil.example:8545"):
        assert rpc(url, "eth_chainId", headers={"host": host}).status_code == 403


def test_pages_of_this_machine_extensions_and_named_sites_may_ask(url: str) -> None:
    for origin in ("http://localhost:3000", "http://127.0.0.1", "chrome-extension://abcdef", WALLET):
        preflight = httpx.options(
            url,
            headers={
                "origin": origin,
                "access-control-request-method": "POST",
                "access-control-request-headers": "content-type",
            },
        )
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == origin
        assert preflight.headers["access-control-allow-methods"] == "POST"
        assert preflight.headers["access-control-allow-headers"] == "content-type"
        answer = rpc(url, "eth_chainId", headers={"origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.json()["result"] == hex(EMBEDDED_CHAIN_ID)
    assert rpc(url, "eth_chainId", headers={"host": "wallet.example"}).status_code == 200


def test_only_small_json_posts_are_read(url: str) -> None:
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}'
    assert httpx.get(url).status_code == 405
    # A page may send these three without asking first.
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert httpx.post(url, content=body, headers={"content-type": kind}).status_code == 415
    json_type = {"content-type": "application/json; charset=utf-8"}
    assert httpx.post(url, content=body, headers=json_type).status_code == 200
    big = b" " * (MAX_BODY_BYTES + 1)
    assert httpx.post(url, content=big, headers=json_type).status_code == 413
    assert httpx.post(url, content=iter([big]), headers=json_type).status_code == 413
    assert httpx.post(url, content=body.replace(b'"id": 1, ', b""), headers=json_type).status_code == 204


def test_the_command_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "rodagila.app.cli",
        "ledger",
        "serve",
        "--port",
        "0",
        "--home",
        str(tmp_path / "home"),
    ]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        assert rpc(url, "eth_blockNumber").json()["result"] == "0x0"
        with EmbeddedLedger.open(tmp_path / "home" / "ledger.sqlite") as beside:
            beside.send(bytes.fromhex(transfer(0)[2:]))
        assert rpc(url, "eth_blockNumber").json()["result"] == "0x1", "it follows the blocks of other processes"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
