"""A ledger behind Ethereum JSON-RPC: any EVM chain whose node answers the ``eth_`` methods.

Methods: https://ethereum.github.io/execution-apis. Transactions are decoded and checked here before they leave, so
refusals read the same as the embedded ledger's. ``send`` returns once a block holds the transaction; how final that
block is, is the chain's to say. ``send_many`` checks the whole list first, but a public chain may still spread it over
several blocks.

>>> ledger = RpcLedger.open("http://127.0.0.1:8545")               # doctest: +SKIP
>>> ledger.balance("0x000000000000000000000000000000000000bEEF")   # doctest: +SKIP
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from rodagila.chain.addresses import from_text, to_text
from rodagila.chain.port import (
    ZERO_ADDRESS,
    BlockInfo,
    CallOutcome,
    CallRequest,
    LogEntry,
    Reverted,
    Storage,
    Topic,
    TxReceipt,
)
from rodagila.chain.simulation import reason
from rodagila.chain.transactions import Signed, decode
from rodagila.core.errors import Conflict, InvalidInput, NotFound, Unreachable

MAX_RESPONSE_BYTES = 64 * 1024 * 1024
POLL_SECONDS = 0.05
_REVERTED = 3
"""The error code of a call that a contract refused (execution-apis, go-ethereum)."""
_NO_METHOD = -32601


class RpcError(Exception):
    """The node's own error answer; the ledger's methods turn it into the project's errors."""

    def __init__(self, method: str, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("message", error)))
        self.method, self.code, self.data = method, error.get("code"), error.get("data")


class RpcLedger:
    """A ``Ledger`` over one node; make one with ``open``. Threads may share it."""

    def __init__(self, client: httpx.Client, url: str, inclusion_seconds: float) -> None:
        self._client, self._url, self._inclusion_seconds = client, url, inclusion_seconds
        self._ids = itertools.count(1)
        self.chain_id = _number(self._ask("eth_chainId"))

    @classmethod
    def open(cls, url: str, *, timeout: float = 30.0, inclusion_seconds: float = 120.0) -> RpcLedger:
        """Connect to the node at ``url``; ``send`` waits ``inclusion_seconds`` for a block. Raises ``Unreachable``."""
        client = httpx.Client(timeout=timeout)
        try:
            return cls(client, url, inclusion_seconds)
        except BaseException:
            client.close()
            raise

    def __enter__(self) -> RpcLedger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def block_number(self) -> int:
        """Return the latest block's number."""
        return _number(self._ask("eth_blockNumber"))

    def timestamp(self) -> int:
        """Return the latest block's time."""
        return _number(self._ask("eth_getBlockByNumber", "latest", False)["timestamp"])

    def base_fee(self) -> int:
        """Return the next block's base fee in wei per gas."""
        return _number(self._ask("eth_feeHistory", "0x1", "latest", [])["baseFeePerGas"][-1])

    def balance(self, address: str) -> int:
        """Return the account's wei."""
        return _number(self._ask("eth_getBalance", _place(address), "latest"))

    def nonce(self, address: str) -> int:
        """Return the nonce of the account's next transaction, counting those the node still holds."""
        return _number(self._ask("eth_getTransactionCount", _place(address), "pending"))

    def code(self, address: str) -> bytes:
        """Return the contract's runtime code, empty for other accounts."""
        return _data(self._ask("eth_getCode", _place(address), "latest"))

    def storage(self, address: str, slot: int) -> int:
        """Return the word in a contract's storage slot."""
        return _number(self._ask("eth_getStorageAt", _place(address), f"0x{slot:064x}", "latest"))

    def call(self, to: str, data: bytes, *, sender: str = ZERO_ADDRESS, value: int = 0) -> bytes:
        """Run a call that changes nothing and return its output; raise ``Reverted``."""
        return _data(self._run("eth_call", _request(to, data, sender, value), "latest"))

    def estimate_gas(self, to: str | None, data: bytes, *, sender: str, value: int = 0) -> int:
        """Return the node's estimate; raise ``Reverted``."""
        return _number(self._run("eth_estimateGas", _request(to, data, sender, value)))

    def simulate(self, calls: Sequence[CallRequest], *, storage: Storage | None = None) -> list[CallOutcome]:
        """Let the node run calls one after the other (``eth_simulateV1``); raise ``Unreachable`` if it cannot."""
        asked = [_request(call.to, call.data, call.sender, call.value) for call in calls]
        try:
            run = {"calls": asked, "stateOverrides": {key: _slots(words) for key, words in (storage or {}).items()}}
            (block,) = self._ask_or_error("eth_simulateV1", {"blockStateCalls": [run]}, "latest")
        except RpcError as exc:
            if exc.code == _NO_METHOD:
                raise Unreachable(
                    "unreachable",
                    f"The node at {self._url} cannot simulate calls: it has no eth_simulateV1.",
                    hint="Use a node that has it (go-ethereum 1.15, anvil 1.7 or later).",
                ) from exc
            raise InvalidInput("transaction_invalid", f"The node does not simulate these calls: {exc}.") from exc
        return [_outcome(found) for found in block["calls"]]

    def send(self, raw: bytes) -> bytes:
        """Send one transaction and return its hash once a block holds it."""
        return self.send_many([raw])[0]

    def send_many(self, raws: Sequence[bytes]) -> list[bytes]:
        """Send transactions in their order, after all have been checked; return when blocks hold all of them."""
        signed = [decode(raw, chain_id=self.chain_id, index=i) for i, raw in enumerate(raws)]
        self._check_nonces(signed)
        for transaction in signed:
            try:
                self._ask_or_error("eth_sendRawTransaction", "0x" + transaction.raw.hex())
            except RpcError as exc:
                tx_hash = "0x" + transaction.hash.hex()
                raise InvalidInput(
                    "transaction_invalid", f"The node refused transaction {tx_hash}: {exc}.", transaction=tx_hash
                ) from exc
        deadline = time.monotonic() + self._inclusion_seconds
        for transaction in signed:
            self._await_inclusion(transaction.hash, deadline)
        return [transaction.hash for transaction in signed]

    def receipt(self, tx_hash: bytes) -> TxReceipt:
        """Return what the transaction did; raise ``NotFound`` if no block holds it."""
        found = self._ask("eth_getTransactionReceipt", "0x" + tx_hash.hex())
        if found is None:
            raise _unknown(tx_hash)
        return TxReceipt(
            tx_hash=tx_hash,
            block_number=_number(found["blockNumber"]),
            index=_number(found["transactionIndex"]),
            sender=to_text(_data(found["from"])),
            to=_optional_place(found["to"]),
            status=_number(found["status"]),
            gas_used=_number(found["gasUsed"]),
            # Some nodes name the address even where the creation failed and nothing is there.
            contract_address=_optional_place(found["contractAddress"]) if _number(found["status"]) else None,
            logs=tuple(map(_log_entry, found["logs"])),
        )

    def transaction(self, tx_hash: bytes) -> bytes:
        """Return the signed transaction's raw bytes; raise ``NotFound``."""
        raw = self._ask("eth_getRawTransactionByHash", "0x" + tx_hash.hex())
        if raw is None or raw == "0x":
            raise _unknown(tx_hash)
        return _data(raw)

    def logs(
        self,
        address: str | None = None,
        topics: Sequence[Topic] = (),
        from_block: int = 0,
        to_block: int | None = None,
    ) -> list[LogEntry]:
        """Return matching events in ledger order; both ends are included, ``to_block=None`` means the latest."""
        if any(topic is not None and len(topic) == 0 for topic in topics):
            return []
        wanted: dict[str, Any] = {
            "fromBlock": hex(from_block),
            "toBlock": "latest" if to_block is None else hex(to_block),
            "topics": [_topic(topic) for topic in topics],
        }
        if address is not None:
            wanted["address"] = _place(address)
        return [_log_entry(found) for found in self._ask("eth_getLogs", wanted)]

    def block(self, number: int) -> BlockInfo:
        """Return a block's header; raise ``NotFound``."""
        found = self._ask("eth_getBlockByNumber", hex(number), False)
        if found is None:
            raise NotFound("block_unknown", f"The ledger has no block {number}; ask for 0 to the latest.")
        return BlockInfo(
            number=number,
            hash=_data(found["hash"]),
            parent_hash=_data(found["parentHash"]),
            timestamp=_number(found["timestamp"]),
            state_root=_data(found["stateRoot"]),
            transactions_root=_data(found["transactionsRoot"]),
            receipts_root=_data(found["receiptsRoot"]),
            gas_limit=_number(found["gasLimit"]),
            gas_used=_number(found["gasUsed"]),
            base_fee=_number(found["baseFeePerGas"]),
            transactions=tuple(map(_data, found["transactions"])),
        )

    def _check_nonces(self, signed: Sequence[Signed]) -> None:
        following: dict[bytes, int] = {}
        for index, transaction in enumerate(signed):
            sender, given = bytes(transaction.sender), int(transaction.transaction.nonce)
            expected = following.get(sender)
            if expected is None:
                expected = self.nonce(to_text(sender))
            if given != expected:
                raise Conflict(
                    "nonce_wrong",
                    f"Transaction {index} (0x{transaction.hash.hex()}) has nonce {given}; "
                    f"the account's next is {expected}.",
                    hint="Read the account's nonce again and sign anew.",
                    expected=expected,
                    given=given,
                )
            following[sender] = expected + 1

    def _await_inclusion(self, tx_hash: bytes, deadline: float) -> None:
        while self._ask("eth_getTransactionReceipt", "0x" + tx_hash.hex()) is None:
            if time.monotonic() > deadline:
                raise Unreachable(
                    "unreachable",
                    f"Transaction 0x{tx_hash.hex()} was sent, but no block held it after "
                    f"{self._inclusion_seconds:g} seconds.",
                    hint="It may still be included: read its receipt before sending anything in its place.",
                    transaction="0x" + tx_hash.hex(),
                )
            time.sleep(POLL_SECONDS)

    def _run(self, method: str, *params: Any) -> Any:
        try:
            return self._ask_or_error(method, *params)
        except RpcError as exc:
            data = _data(exc.data) if isinstance(exc.data, str) and exc.data.startswith("0x") else b""
            why = reason(data) if data or exc.code == _REVERTED else str(exc)
            raise Reverted(f"The contract refused the call: {why}.", data) from exc

    def _ask(self, method: str, *params: Any) -> Any:
        try:
            return self._ask_or_error(method, *params)
        except RpcError as exc:
            raise Unreachable("unreachable", f"The node refused {method}: {exc}.", method=method) from exc

    def _ask_or_error(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
        try:
            with self._client.stream("POST", self._url, json=body) as response:
                answer = json.loads(_read(response))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
            raise Unreachable(
                "unreachable",
                f"The node gave no answer to {method} ({type(exc).__name__}).",
                hint="Check the node's address and that it runs.",
            ) from exc
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise Unreachable("unreachable", f"The node's answer to {method} is not JSON-RPC.")
        if answer.get("error") is not None:
            raise RpcError(method, answer["error"])
        return answer["result"]


def _read(response: httpx.Response) -> bytes:
    parts, size = list[bytes](), 0
    for part in response.iter_bytes():
        size += len(part)
        if size > MAX_RESPONSE_BYTES:
            raise ValueError(f"the answer exceeds {MAX_RESPONSE_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _request(to: str | None, data: bytes, sender: str, value: int) -> dict[str, str]:
    target = {} if to is None else {"to": _place(to)}
    return {**target, "from": _place(sender), "data": "0x" + data.hex(), "value": hex(value)}


def _place(address: str) -> str:
    return "0x" + bytes(from_text(address)).hex()


def _optional_place(text: str | None) -> str | None:
    return None if text is None else to_text(_data(text))


def _topic(topic: Topic) -> str | list[str] | None:
    if topic is None:
        return None
    return "0x" + topic.hex() if isinstance(topic, bytes) else ["0x" + one.hex() for one in topic]


def _log_entry(found: dict[str, Any]) -> LogEntry:
    return LogEntry(
        address=to_text(_data(found["address"])),
        topics=tuple(map(_data, found["topics"])),
        data=_data(found["data"]),
        block_number=_number(found["blockNumber"]),
        tx_hash=_data(found["transactionHash"]),
        log_index=_number(found["logIndex"]),
    )


def _outcome(found: dict[str, Any]) -> CallOutcome:
    output, failed = _data(found["returnData"]), not _number(found["status"])
    logs = (_log_entry({**log, "transactionHash": "0x" + "00" * 32}) for log in found["logs"])
    error = (reason(output) if output else found["error"]["message"]) if failed else None
    return CallOutcome(output, error, _number(found["gasUsed"]), tuple(logs))


def _slots(words: Mapping[int, int]) -> dict[str, dict[str, str]]:
    return {"stateDiff": {f"0x{slot:064x}": f"0x{word:064x}" for slot, word in words.items()}}


def _unknown(tx_hash: bytes) -> NotFound:
    return NotFound("transaction_unknown", f"The ledger has no transaction 0x{tx_hash.hex()}.")


def _number(text: str) -> int:
    return int(text, 16)


def _data(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
