"""Measure the embedded ledger beside anvil, and compare gas and status of every transaction with anvil's.

``python benches/bench_ledger.py --json`` prints rows ``{name, value, unit, peer, ratio, bar, met}``: ``peer`` is
anvil's value in the same run (null where anvil is not installed), ``ratio`` is value / peer, ``bar`` is what this
project asks of itself and ``met`` whether it holds. The embedded ledger fsyncs each block before it answers; anvil
keeps nothing on disk, so its numbers are what giving up durability buys. anvil is looked for in ``$ANVIL``, then in
``contracts/``.

``gas_equal_rows(path)`` replays a ledger file's transactions on anvil, block by block, from the same genesis.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from eth_abi.abi import encode
from eth_account.signers.local import LocalAccount

from rodagila.chain.addresses import from_text, to_text
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.genesis import faucet_account
from rodagila.chain.ledger_file import LedgerFile
from rodagila.chain.port import EMBEDDED_CHAIN_ID, LogEntry
from rodagila.chain.trie import keccak256

ROOT = Path(__file__).resolve().parent.parent
SINK = "0x000000000000000000000000000000000000bEEF"
TOKEN = ROOT / "src/rodagila/chain/artifacts/PayToken.json"
Row = dict[str, Any]
GIVE_WEI = bytes.fromhex("6020355f355b90805f525f5f5f5f600160205f205af1506001019060019003806100055700")
"""Call data: count, first. Send one wei to the last 20 bytes of Keccak-256 of each number from first on."""
GIVE_TOKENS = bytes.fromhex(
    "63a9059cbb60e01b60405260016064526020355f355b90805f5273ffffffffffffffffffffffffffffffffffffffff60205f2016604452"
    "5f5f604460405f6040355af1506001019060019003806100155700"
)
"""Call data: count, first, token. Transfer one unit to each of the same accounts."""


def anvil_path() -> str | None:
    """Return anvil's program, or ``None`` if this machine has none."""
    local = ROOT / "contracts/node_modules/.bin/anvil"
    return os.environ.get("ANVIL") or (str(local) if local.exists() else shutil.which("anvil"))


class Anvil:
    """A running anvil and its JSON-RPC over one kept connection."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def many(self, calls: Sequence[tuple[str, list[Any]]]) -> list[Any]:
        """Make several calls in one request; raise ``RuntimeError`` with anvil's first error."""
        body = [{"jsonrpc": "2.0", "id": n, "method": m, "params": p} for n, (m, p) in enumerate(calls)]
        self.connection.request("POST", "/", json.dumps(body), {"content-type": "application/json"})
        answers = sorted(json.loads(self.connection.getresponse().read()), key=lambda answer: answer["id"])
        for answer, (method, _) in zip(answers, calls, strict=True):
            if "error" in answer:
                raise RuntimeError(f"anvil refused {method}: {answer['error']}")
        return [answer["result"] for answer in answers]

    def call(self, method: str, *params: Any) -> Any:
        """Make one call."""
        return self.many([(method, list(params))])[0]

    def send(self, raw: bytes) -> dict[str, Any]:
        """Send one transaction and wait for its receipt, as a caller of the embedded ledger does."""
        tx_hash = self.call("eth_sendRawTransaction", "0x" + raw.hex())
        while (receipt := self.call("eth_getTransactionReceipt", tx_hash)) is None:
            time.sleep(0.0005)
        return dict(receipt)

    def send_many(self, raws: Sequence[bytes], **block: int) -> list[dict[str, Any]]:
        """Send transactions as the next block, mined by request, and return their receipts."""
        settings: list[tuple[str, list[Any]]] = []
        if "timestamp" in block:
            settings.append(("evm_setNextBlockTimestamp", [block["timestamp"]]))
        if "base_fee" in block:
            settings.append(("anvil_setNextBlockBaseFeePerGas", [hex(block["base_fee"])]))
        sends = [("eth_sendRawTransaction", ["0x" + raw.hex()]) for raw in raws]
        hashes = self.many([*settings, *sends])[len(settings) :]
        self.call("evm_mine")
        return [dict(receipt) for receipt in self.many([("eth_getTransactionReceipt", [h]) for h in hashes])]


@contextmanager
def running_anvil(program: str, *arguments: str) -> Iterator[Anvil]:
    """Run anvil with the embedded ledger's chain id, gas limit and base fee, on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    fixed = ["--chain-id", str(EMBEDDED_CHAIN_ID), "--gas-limit", "60000000", "--base-fee", "7", "--hardfork", "prague"]
    command = [program, "--port", str(port), "--silent", "--order", "fifo", *fixed, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    anvil = Anvil(port)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                anvil.call("eth_chainId")
                break
            except OSError:
                anvil.connection.close()
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.05)
        yield anvil
    finally:
        anvil.connection.close()
        process.terminate()
        process.wait(30)


def same_genesis(anvil: Anvil, file: LedgerFile) -> None:
    """Give anvil's state the accounts of the ledger's block 0."""
    calls: list[tuple[str, list[Any]]] = []
    for address, account in file.changes_of(0).accounts.items():
        if account is not None:
            place = "0x" + address.hex()
            calls.append(("anvil_setBalance", [place, hex(int(account.balance))]))
            calls.append(("anvil_setNonce", [place, hex(int(account.nonce))]))
            calls.append(("anvil_setCode", [place, "0x" + account.code.hex()]))
    anvil.many(calls)


def gas_differences(ledger_path: Path, program: str) -> tuple[int, list[Row]]:
    """Replay a ledger on anvil; return how many transactions it has and what differs, by transaction."""
    count, differences = 0, list[Row]()
    with EmbeddedLedger.open(ledger_path) as ledger:
        start = ledger.block(0).timestamp
        with running_anvil(program, "--no-mining", "--timestamp", str(start)) as anvil:
            same_genesis(anvil, ledger._file)
            for number in range(1, ledger.block_number() + 1):
                block = ledger.block(number)
                raws = [ledger.transaction(tx_hash) for tx_hash in block.transactions]
                theirs = anvil.send_many(raws, timestamp=block.timestamp, base_fee=block.base_fee)
                count += len(raws)
                for tx_hash, receipt in zip(block.transactions, theirs, strict=True):
                    ours = ledger.receipt(tx_hash)
                    here = (ours.gas_used, ours.status, ours.index, [log_of(log) for log in ours.logs])
                    names = ("gasUsed", "status", "transactionIndex")
                    logs = [(log["address"], log["topics"], log["data"]) for log in receipt["logs"]]
                    there = (*(int(receipt[name], 16) for name in names), logs)
                    if here != there:
                        differences.append({"transaction": "0x" + tx_hash.hex(), "here": here, "anvil": there})
    return count, differences


def log_of(log: LogEntry) -> tuple[str, list[str], str]:
    """Return a log as JSON-RPC writes it: address, topics, data."""
    return log.address.lower(), ["0x" + topic.hex() for topic in log.topics], "0x" + log.data.hex()


def gas_equal_rows(ledger_path: Path) -> list[Row]:
    """Return one row: how many of a ledger's transactions have the same gas, status, place and logs on anvil."""
    program = anvil_path()
    name = "transactions with anvil's gas, status, place and number of logs"
    if program is None:
        return [row(name, None, "transactions", None, None, "anvil is not installed")]
    count, differences = gas_differences(ledger_path, program)
    found = row(name, count - len(differences), "transactions", count, count)
    return [{**found, "differences": differences[:20]} if differences else found]


def row(name: str, value: float | None, unit: str, peer: float | None, bar: float | None, note: str = "") -> Row:
    """Return a result row; a bar is a least value, for times (ms, s) a greatest one."""
    met = None
    if value is not None and bar is not None:
        met = value <= bar if unit in ("ms", "s") else value >= bar
    ratio = round(value / peer, 3) if value is not None and peer else None
    figures = {"value": value, "unit": unit, "peer": peer, "ratio": ratio, "bar": bar, "met": met}
    return {"name": name, **figures, **({"note": note} if note else {})}


def signed(
    account: LocalAccount,
    nonce: int,
    to: str | None,
    data: bytes = b"",
    gas: int = 100_000,
    *,
    value: int | None = None,
) -> bytes:
    """Sign a transaction for the embedded chain."""
    target: dict[str, Any] = {} if to is None else {"to": to}
    fees: dict[str, Any] = {"maxFeePerGas": 10**9, "maxPriorityFeePerGas": 0, "chainId": EMBEDDED_CHAIN_ID}
    if value is None:
        value = 1 if to and not data else 0
    fields = {"nonce": nonce, "data": data, "gas": gas, "value": value}
    fees |= target | fields
    return bytes(account.sign_transaction(fees).raw_transaction)


def token_transfer(to: str, amount: int) -> bytes:
    """Return the calldata of ERC-20's ``transfer``."""
    return keccak256(b"transfer(address,uint256)")[:4] + encode(["address", "uint256"], [to, amount])


def timed(send: Callable[[bytes], object], raws: Sequence[bytes]) -> list[float]:
    """Send one by one; return each latency in seconds."""
    latencies = []
    for raw in raws:
        began = time.perf_counter()
        send(raw)
        latencies.append(time.perf_counter() - began)
    return latencies


def workload(kind: str, wallet: LocalAccount, first: int, count: int) -> Iterator[bytes]:
    """Yield signed transfers of ether or of the project's token, which the wallet deployed with nonce 0."""
    token = token_of(wallet)
    for n in range(first, first + count):
        if kind == "ether":
            yield signed(wallet, n, SINK)
        else:
            yield signed(wallet, n, token, token_transfer(to_text((0xADA0000 + n % 50).to_bytes(20, "big")), 1))


def token_of(wallet: LocalAccount) -> str:
    """Return the address of the contract that the wallet's first transaction creates."""
    return to_text(keccak256(bytes.fromhex("d694" + wallet.address[2:] + "80"))[12:])


def token_setup(wallet: LocalAccount) -> list[bytes]:
    """Return the transactions that deploy the token and make some for the wallet."""
    artifact = json.loads(TOKEN.read_text())
    creation = bytes.fromhex(artifact["bytecode"].removeprefix("0x")) + encode(["address"], [wallet.address])
    drip = keccak256(b"drip(address,uint256)")[:4] + encode(["address", "uint256"], [wallet.address, 10**12])
    return [signed(wallet, 0, None, creation, 6_000_000), signed(wallet, 1, token_of(wallet), drip, 200_000)]


def rates(
    kind: str, count: int, wallet: LocalAccount, one: Callable[[bytes], object], many: Callable[..., object]
) -> Row:
    """Measure one target; nonces 0 and 1 are used already. Keys: one, cpu, signing, p50, p95, block."""
    raws = list(workload(kind, wallet, 2, count))
    worked = time.process_time()
    latencies = sorted(timed(one, raws))
    worked = time.process_time() - worked
    began = time.perf_counter()
    timed(one, list(workload(kind, wallet, 2 + count, count)))
    signing = time.perf_counter() - began
    blocks = list(workload(kind, wallet, 2 + 2 * count, 5 * 100))
    began = time.perf_counter()
    for at in range(0, len(blocks), 100):
        many(blocks[at : at + 100])
    in_blocks = time.perf_counter() - began
    return {
        "one": count / sum(latencies),
        "cpu": worked / count * 1000,
        "signing": count / signing,
        "p50": latencies[count // 2] * 1000,
        "p95": latencies[count * 95 // 100] * 1000,
        "block": len(blocks) / in_blocks,
    }


def anvil_rates(kind: str, count: int, wallet: LocalAccount, program: str) -> Row:
    """Measure anvil, mining at once for single transactions and by request for blocks."""
    with running_anvil(program) as anvil:
        anvil.call("anvil_setBalance", wallet.address, hex(10**27))
        for raw in token_setup(wallet):
            anvil.send(raw)

        def block(raws: Sequence[bytes]) -> None:
            anvil.call("evm_setAutomine", False)
            anvil.send_many(raws)

        return rates(kind, count, wallet, anvil.send, block)


def speed_rows(folder: Path, count: int) -> list[Row]:
    """Measure both kinds of transfers on the embedded ledger and, if there is one, on anvil."""
    program, found = anvil_path(), list[Row]()
    for kind in ("ether", "token"):
        with EmbeddedLedger.open(folder / f"{kind}.db") as ledger:
            for raw in token_setup(ledger.faucet):
                assert ledger.receipt(ledger.send(raw)).status == 1
            ours = rates(kind, count, ledger.faucet, ledger.send, ledger.send_many)
            last = ledger.receipt(ledger.block(ledger.block_number()).transactions[-1])
            assert last.status == 1, "the measured transfers failed"
            theirs = anvil_rates(kind, count, ledger.faucet, program) if program else {}
        for key, name, unit, bar in (
            ("one", "transfers one by one, one fsync each", "tx/s", 80),
            ("signing", "transfers one by one, signing included", "tx/s", None),
            ("block", "transfers in blocks of 100", "tx/s", 150),
            ("p50", "transfer latency p50", "ms", None),
            ("p95", "transfer latency p95", "ms", None),
            ("cpu", "transfer, processor time in this process", "ms", 12.5),
        ):
            # anvil works in its own process, so this process's time says nothing about it.
            peer = round(theirs[key], 2) if theirs and key != "cpu" else None
            found.append(row(f"{kind} {name}", round(ours[key], 2), unit, peer, bar))
    return found


@contextmanager
def running_server(home: Path) -> Iterator[Anvil]:
    """Serve the ledger of a home from a process of its own, as ``roda ledger serve`` does."""
    command = [
        sys.executable,
        "-m",
        "rodagila.app.cli",
        "ledger",
        "serve",
        "--port",
        "0",
        "--json",
        "--home",
        str(home),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        node = Anvil(urlsplit(json.loads(process.stdout.readline())["url"]).port or 0)
        try:
            yield node
        finally:
            node.connection.close()
            process.terminate()
            process.wait(30)


def served_rows(folder: Path, count: int) -> list[Row]:
    """Measure token transfers through JSON-RPC, each sent and its receipt read, on the served ledger and on anvil."""
    program, wallet, found = anvil_path(), faucet_account(), dict[str, float]()
    nodes = {"here": running_server(folder / "served"), "anvil": running_anvil(program) if program else None}
    for name, started in nodes.items():
        if started is not None:
            with started as node:
                if name == "anvil":
                    node.call("anvil_setBalance", wallet.address, hex(10**27))
                for raw in token_setup(wallet):
                    node.send(raw)
                found[name] = sorted(timed(node.send, list(workload("token", wallet, 2, count))))[count // 2]
    peer = round(found["anvil"] * 1000, 2) if "anvil" in found else None
    return [row("token transfer over JSON-RPC p50, receipt included", round(found["here"] * 1000, 2), "ms", peer, None)]


def read_rows(folder: Path) -> list[Row]:
    """Measure reads of the token: a balance, and the gas of a transfer, which runs it twice."""
    with EmbeddedLedger.open(folder / "token.db") as ledger:
        sender, token = ledger.faucet.address, token_of(ledger.faucet)
        balance = keccak256(b"balanceOf(address)")[:4] + encode(["address"], [sender])
        reads = sorted(timed(lambda data: ledger.call(token, data), [balance] * 100))
        transfer = token_transfer(SINK, 1)
        gas = sorted(timed(lambda data: ledger.estimate_gas(token, data, sender=sender), [transfer] * 50))
    return [
        row("token balance read p50", round(reads[50] * 1000, 2), "ms", None, None),
        row("token transfer gas estimate p50", round(gas[25] * 1000, 2), "ms", None, None),
    ]


def reload_rows(folder: Path) -> list[Row]:
    """Measure how long opening takes, and the first block after it, which hashes the whole state."""
    path = folder / "token.db"
    began = time.perf_counter()
    with EmbeddedLedger.open(path) as ledger:
        opened = time.perf_counter() - began
        accounts, blocks = len(ledger._world.accounts), ledger.block_number()
        raw = signed(ledger.faucet, ledger.nonce(ledger.faucet.address), SINK)
        began = time.perf_counter()
        ledger.send(raw)
        first = time.perf_counter() - began
        began = time.perf_counter()
        done = ledger.verify()
        checked = (time.perf_counter() - began) / done.transactions
    return [
        row(f"opening at {blocks} blocks and {accounts} accounts", round(opened * 1000, 2), "ms", None, 1000),
        row("first block after opening", round(first * 1000, 2), "ms", None, None),
        row("verifying by executing again", round(1 / checked, 1), "tx/s", None, None),
    ]


def crowd(ledger: EmbeddedLedger, accounts: int) -> None:
    """Make accounts with one wei and one token each, by ordinary transactions to two small contracts."""
    wallet = ledger.faucet
    ledger.send_many(token_setup(wallet))
    token = token_of(wallet)
    code = (GIVE_WEI, GIVE_TOKENS)
    made = ledger.send_many([signed(wallet, 2 + i, None, creation(one), 500_000) for i, one in enumerate(code)])
    wei, tokens = (str(ledger.receipt(tx_hash).contract_address) for tx_hash in made)
    drip = keccak256(b"drip(address,uint256)")[:4] + encode(["address", "uint256"], [tokens, 10**12])
    ledger.send_many(
        [signed(wallet, 4, token, drip), signed(wallet, 5, wei, encode(["uint256"] * 2, [1, 0]), value=10**9)]
    )
    step = 1_500  # what fits in a block's gas
    for first in range(1, accounts, step):
        count = min(step, accounts - first)
        for place, more in ((wei, b""), (tokens, encode(["address"], [token]))):
            data = encode(["uint256", "uint256"], [count, first]) + more
            (tx_hash,) = ledger.send_many([signed(wallet, ledger.nonce(wallet.address), place, data, 59_000_000)])
            assert ledger.receipt(tx_hash).status == 1


def growth_rows(folder: Path, accounts: int) -> list[Row]:
    """Measure whether a block's cost depends on the number of accounts: two ledgers in turns, so load hits both."""
    began = time.perf_counter()
    with EmbeddedLedger.open(folder / "many.db") as many, EmbeddedLedger.open(folder / "few.db") as few:
        crowd(many, accounts)
        crowd(few, 2)
        made = time.perf_counter() - began
        here, holders = len(many._world.accounts), len(many._world.storages[from_text(token_of(many.faucet))])
        assert min(here, holders) >= accounts, f"only {here} accounts and {holders} words of the token exist"
        rows = [row(f"making {accounts} accounts with ether and tokens", round(made, 1), "seconds", None, None)]
        rows += grown(many, few, accounts)
    began = time.perf_counter()
    with EmbeddedLedger.open(folder / "many.db") as ledger:
        opened = time.perf_counter() - began
        raw = signed(ledger.faucet, ledger.nonce(ledger.faucet.address), SINK)
        (first,) = timed(ledger.send, [raw])
    return [
        *rows,
        row(f"opening with {accounts} accounts", round(opened * 1000, 1), "ms", None, accounts / 20),
        row(f"first block after opening with {accounts} accounts", round(first * 1000, 1), "ms", None, None),
    ]


def grown(many: EmbeddedLedger, few: EmbeddedLedger, accounts: int) -> list[Row]:
    """Measure single blocks of ether and of tokens, and blocks of 100 tokens, in turns on both ledgers."""
    found = list[Row]()
    for name, kind, size, times in (("", "ether", 1, 150), ("token ", "token", 1, 150), ("token ", "token", 100, 6)):
        latencies: dict[EmbeddedLedger, list[float]] = {few: [], many: []}
        for n in range(times):
            for ledger in (few, many) if n % 2 else (many, few):
                raws = list(workload(kind, ledger.faucet, ledger.nonce(ledger.faucet.address), size))
                latencies[ledger].extend(timed(ledger.send_many, [raws]))
        here, there = (round(sorted(latencies[ledger])[times // 2] * 1000, 2) for ledger in (many, few))
        what = f"{name}block p50 with {accounts} accounts" + (f", {size} transfers" if size > 1 else "")
        found.append({**row(what, here, "ms", None, round(there * 1.5, 2)), "with few": there})
    return found


def creation(runtime: bytes) -> bytes:
    """Return creation code that installs ``runtime``: PUSH2 size DUP1 PUSH1 10 PUSH0 CODECOPY PUSH0 RETURN."""
    return bytes.fromhex(f"61{len(runtime):04x}80600a5f395ff3") + runtime


def main() -> None:
    """Print the rows as JSON, or one a line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    parser.add_argument("--count", type=int, default=300, help="transactions in each one-by-one measurement")
    parser.add_argument("--accounts", type=int, default=100_000, help="accounts for the growth measurement")
    parser.add_argument("--ledger", type=Path, help="only compare this ledger file's gas with anvil's")
    options = parser.parse_args()
    if options.ledger:
        rows = gas_equal_rows(options.ledger)
    else:
        with tempfile.TemporaryDirectory(dir=ROOT) as name:
            folder = Path(name)
            rows = (
                speed_rows(folder, options.count)
                + served_rows(folder, options.count)
                + read_rows(folder)
                + reload_rows(folder)
            )
            rows += gas_equal_rows(folder / "token.db") + growth_rows(folder, options.accounts)
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        print(f"load averages {os.getloadavg()} on {os.cpu_count()} cores", file=sys.stderr)
        for found in rows:
            print("  ".join(f"{key}={value}" for key, value in found.items()))
    sys.exit(0 if all(found["met"] is not False for found in rows) else 1)


if __name__ == "__main__":
    main()
