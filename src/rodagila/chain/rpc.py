"""A ledger behind Ethereum JSON-RPC: any EVM chain whose node answers the ``eth_`` methods.

Methods: https://ethereum.github.io/execution-apis. Transactions are decoded and checked here before they leave, so
refusals read the same as the embedded ledger's. ``send`` returns once a block holds the transaction; a block counts as
confirmed when ``confirmations`` more stand on it, because a public chain replaces its newest blocks now and then.
``send_many`` checks the whole list first, but a public chain may still spread it over several blocks.

On a development chain that is made on demand, as anvil's, time stands still between blocks: there reads are of the
block to come, as on the embedded ledger.

>>> ledger = RpcLedger.open("http://127.0.0.1:8545")               # doctest: +SKIP
>>> ledger.balance("0x000000000000000000000000000000000000bEEF")   # doctest: +SKIP
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import httpx

from rodagila.chain import answers
from rodagila.chain.addresses import from_text, to_text
from rodagila.chain.node import Node, RpcError
from rodagila.chain.port import (
    LOCAL_CHAIN_IDS,
    ZERO_ADDRESS,
    BlockInfo,
    CallOutcome,
    CallRequest,
    LogEntry,
    Reverted,
    Storage,
    Topic,
    TxReceipt,
    Unconfirmed,
)
from rodagila.chain.simulation import reason
from rodagila.chain.transactions import Signed, decode
from rodagila.chain.trie import keccak256
from rodagila.core.errors import Conflict, InvalidInput, NotFound, RefusedByPolicy, Unreachable

PUBLIC_CONFIRMATIONS = 12
"""Blocks that must stand on a block of a public chain before anything is paid from it."""

POLL_SECONDS = 0.05
LATE_RECEIPT_SECONDS = 3.0
"""How long a receipt may come after the account's nonce has counted it."""
_REVERTED = 3
"""The error code of a call that a contract refused (execution-apis, go-ethereum)."""
_NO_METHOD = -32601
_WIDEST = 1 << 62

T = TypeVar("T")


class RpcLedger:
    """A ``Ledger`` over one node; make one with ``open``. Threads may share it."""

    def __init__(self, node: Node, inclusion_seconds: float, confirmations: int | None) -> None:
        self._node, self._inclusion_seconds = node, inclusion_seconds
        self._pinned: int | None = None
        self._span = _WIDEST
        self.since = 0
        """No event before this block is asked for: what a home looks for came after it."""
        self.chain_id = self._read(answers.number, "eth_chainId")
        usual = 0 if self.is_local else PUBLIC_CONFIRMATIONS
        self.confirmations = usual if confirmations is None else confirmations

    @classmethod
    def open(
        cls,
        url: str,
        *,
        timeout: float = 30.0,
        inclusion_seconds: float = 120.0,
        confirmations: int | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> RpcLedger:
        """Connect to the node at ``url``; ``send`` waits ``inclusion_seconds`` for a block. Raises ``Unreachable``.

        ``confirmations`` is 12 by default, and 0 on a local development chain.
        """
        node = Node(httpx.Client(timeout=timeout, transport=transport), url)
        try:
            return cls(node, inclusion_seconds, confirmations)
        except BaseException:
            node.close()
            raise

    def __enter__(self) -> RpcLedger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._node.close()

    @property
    def is_local(self) -> bool:
        """Whether this is a development chain, whose money is nobody's."""
        return self.chain_id in LOCAL_CHAIN_IDS

    def block_number(self) -> int:
        """Return the latest block's number."""
        return self._read(answers.number, "eth_blockNumber") if self._pinned is None else self._pinned

    def confirmed_block(self) -> int:
        """Return the newest block that ``confirmations`` others stand on; raise if the node has changed its chain."""
        self._require_same_chain()
        return max(0, self.block_number() - self.confirmations)

    def at(self, block: int) -> RpcLedger:
        """Return a view of the state after ``block``; it sends nothing and raises ``Unconfirmed`` instead."""
        view = copy.copy(self)
        view._pinned = block
        return view

    def timestamp(self) -> int:
        """Return the latest block's time."""
        return self._header(self._block()).timestamp

    def base_fee(self) -> int:
        """Return the next block's base fee in wei per gas."""
        return self._read(answers.next_base_fee, "eth_feeHistory", "0x1", self._block(), [])

    def balance(self, address: str) -> int:
        """Return the account's wei."""
        return self._read(answers.number, "eth_getBalance", _place(address), self._block())

    def nonce(self, address: str) -> int:
        """Return the nonce of the account's next transaction, counting those the node still holds."""
        return self._nonce(address, "pending" if self._pinned is None else self._block())

    def code(self, address: str) -> bytes:
        """Return the contract's runtime code, empty for other accounts."""
        return self._read(answers.data, "eth_getCode", _place(address), self._block())

    def storage(self, address: str, slot: int) -> int:
        """Return the word in a contract's storage slot."""
        return self._read(answers.number, "eth_getStorageAt", _place(address), f"0x{slot:064x}", self._block())

    def call(self, to: str, data: bytes, *, sender: str = ZERO_ADDRESS, value: int = 0) -> bytes:
        """Run a call that changes nothing and return its output; raise ``Reverted``."""
        return self._run(answers.data, "eth_call", _request(to, data, sender, value), self._now())

    def estimate_gas(self, to: str | None, data: bytes, *, sender: str, value: int = 0) -> int:
        """Return the node's estimate; raise ``Reverted``."""
        self._require_unpinned()
        return self._run(answers.number, "eth_estimateGas", _request(to, data, sender, value))

    def simulate(self, calls: Sequence[CallRequest], *, storage: Storage | None = None) -> list[CallOutcome]:
        """Let the node run calls one after the other (``eth_simulateV1``); raise ``Unreachable`` if it cannot."""
        asked = [_request(call.to, call.data, call.sender, call.value) for call in calls]
        try:
            run = {"calls": asked, "stateOverrides": {key: _slots(words) for key, words in (storage or {}).items()}}
            found = self._node.read("eth_simulateV1", {"blockStateCalls": [run]}, self._block())
        except RpcError as exc:
            if exc.code == _NO_METHOD:
                raise Unreachable(
                    "unreachable",
                    f"The node at {self._node.shown} cannot simulate calls: it has no eth_simulateV1.",
                    hint="Use a node that has it (go-ethereum 1.15, anvil 1.7 or later).",
                ) from exc
            raise InvalidInput("transaction_invalid", f"The node does not simulate these calls: {exc}.") from exc
        return answers.parsed("eth_simulateV1", answers.outcomes, found)

    def send(self, raw: bytes) -> bytes:
        """Send one transaction and return its hash once a block holds it."""
        return self.send_many([raw])[0]

    def send_many(self, raws: Sequence[bytes]) -> list[bytes]:
        """Send transactions in their order, after all have been checked; return when blocks hold all of them."""
        self._require_unpinned()
        signed = [decode(raw, chain_id=self.chain_id, index=i) for i, raw in enumerate(raws)]
        self._require_same_chain()
        self._check_nonces(signed)
        for index, transaction in enumerate(signed):
            self._hand_over(transaction, index)
        deadline = time.monotonic() + self._inclusion_seconds
        for index, transaction in enumerate(signed):
            self._await_inclusion(transaction, index, deadline, others=len(signed) - 1)
        return [transaction.hash for transaction in signed]

    def lend(self, to: str, wei: int) -> None:
        """Let an account whose key the node itself holds send ``wei``; development nodes hold some, others none."""
        self._require_unpinned()
        holders = self._read(answers.addresses, "eth_accounts")
        richest = max(holders, key=self.balance, default=None)
        if richest is None or self.balance(richest) <= wei:
            raise RefusedByPolicy(
                "no_faucet",
                f"No account that the node at {self._node.shown} holds unlocked has {wei} wei.",
                hint="Start it with funded accounts, as anvil does by itself.",
            )
        request = {"from": _place(richest), "to": _place(to), "value": hex(wei)}
        try:
            sent = self._node.write("eth_sendTransaction", request)
        except RpcError as exc:
            raise Unreachable("unreachable", f"The node refused eth_sendTransaction: {exc}.") from exc
        tx_hash, deadline = answers.parsed("eth_sendTransaction", answers.word, sent), self._deadline()
        while self._receipt(tx_hash) is None:
            if time.monotonic() > deadline:
                raise self._not_included(tx_hash)
            time.sleep(POLL_SECONDS)

    def put_code(self, code: Mapping[str, bytes]) -> None:
        """Let a development node hold ``code`` at addresses where it has none, as the embedded ledger's block 0 does.

        A node that cannot (``anvil_setCode``) stays as it is; what needs those contracts is then not offered.
        """
        for address, body in code.items():
            if self.code(address):
                continue
            try:
                self._node.write("anvil_setCode", _place(address), _hex(body))
            except RpcError:
                return

    def receipt(self, tx_hash: bytes) -> TxReceipt:
        """Return what the transaction did; raise ``NotFound`` if no block holds it."""
        found = self._receipt(tx_hash)
        if found is None or (self._pinned is not None and found.block_number > self._pinned):
            raise _unknown(tx_hash)
        return found

    def transaction(self, tx_hash: bytes) -> bytes:
        """Return the signed transaction's raw bytes; raise ``NotFound``."""
        raw = self._ask("eth_getRawTransactionByHash", _hex(tx_hash))
        if raw is None or raw == "0x":
            raise _unknown(tx_hash)
        found = answers.parsed("eth_getRawTransactionByHash", answers.data, raw)
        if keccak256(found) != tx_hash:
            raise answers.invalid("eth_getRawTransactionByHash", f"is not the transaction {_hex(tx_hash)}")
        return found

    def logs(
        self,
        address: str | None = None,
        topics: Sequence[Topic] = (),
        from_block: int = 0,
        to_block: int | None = None,
    ) -> list[LogEntry]:
        """Return matching events in ledger order; both ends are included, ``to_block=None`` means the latest.

        A node that caps ranges or results is asked for halves until it answers.
        """
        if any(topic is not None and len(topic) == 0 for topic in topics):
            return []
        place = None if address is None else to_text(from_text(address))
        head = self.block_number()
        last = head if to_block is None else min(to_block, head)
        wanted: dict[str, Any] = {"topics": [_topic(topic) for topic in topics]}
        if place is not None:
            wanted["address"] = _place(place)
        found, start = list[LogEntry](), max(from_block, self.since)
        while start <= last:
            end = min(last, start + self._span - 1)
            page = self._page(wanted, start, end)
            if page is None:
                continue  # the span was halved
            if not all(answers.matches(entry, place, topics, start, end) for entry in page):
                raise answers.invalid("eth_getLogs", "holds events that were not asked for")
            found += page
            start = end + 1
        return found

    def block(self, number: int) -> BlockInfo:
        """Return a block's header; raise ``NotFound``."""
        if self._pinned is not None and number > self._pinned:
            raise _no_block(number)
        return self._header(hex(number))

    def _header(self, which: str) -> BlockInfo:
        found = self._ask("eth_getBlockByNumber", which, False)
        if found is None and which.startswith("0x"):
            raise _no_block(int(which, 16))
        block = answers.parsed("eth_getBlockByNumber", answers.block, found)
        if which.startswith("0x") and block.number != int(which, 16):
            raise answers.invalid("eth_getBlockByNumber", f"is block {block.number}, not {int(which, 16)}")
        return block

    def _page(self, wanted: dict[str, Any], start: int, end: int) -> list[LogEntry] | None:
        try:
            found = self._node.read("eth_getLogs", {**wanted, "fromBlock": hex(start), "toBlock": hex(end)})
        except RpcError as exc:
            if start == end:
                raise Unreachable("unreachable", f"The node refused eth_getLogs: {exc}.", method=exc.method) from exc
            self._span = (end - start + 1) // 2
            return None
        return answers.parsed("eth_getLogs", answers.log_entries, found)

    def _block(self) -> str:
        return "latest" if self._pinned is None else hex(self._pinned)

    def _now(self) -> str:
        return "pending" if self._pinned is None and self.is_local else self._block()

    def _nonce(self, address: str, which: str) -> int:
        return self._read(answers.number, "eth_getTransactionCount", _place(address), which)

    def _require_unpinned(self) -> None:
        if self._pinned is not None:
            raise Unconfirmed(self._pinned)

    def _require_same_chain(self) -> None:
        """Raise if the node is another chain's now: a proxy may have moved, or the node was started anew."""
        given = self._read(answers.number, "eth_chainId")
        if given != self.chain_id:
            raise RefusedByPolicy(
                "chain_mismatch",
                f"The node was of chain {self.chain_id} and now says that it is of chain {given}.",
                hint="Nothing was sent. Check where the node's address leads.",
                expected=self.chain_id,
                given=given,
            )

    def _check_nonces(self, signed: Sequence[Signed]) -> None:
        following: dict[bytes, int] = {}
        for index, transaction in enumerate(signed):
            sender, given = bytes(transaction.sender), int(transaction.transaction.nonce)
            expected = following.get(sender)
            if expected is None:
                expected = self.nonce(to_text(sender))
            if given != expected:
                raise _nonce_wrong(transaction, index, expected, sent=0)
            following[sender] = expected + 1

    def _hand_over(self, transaction: Signed, index: int) -> None:
        """Give the node one transaction; one that it did not answer for, or says it has, is looked up before more."""
        try:
            given = self._node.write("eth_sendRawTransaction", _hex(transaction.raw))
        except RpcError as exc:
            if self._knows(transaction.hash):
                return
            self._refuse(transaction, index, exc)
        except Unreachable:
            if not self._knows(transaction.hash):
                raise
        else:
            if given != _hex(transaction.hash):
                raise answers.invalid("eth_sendRawTransaction", "is not the hash of the transaction that was sent")

    def _refuse(self, transaction: Signed, index: int, exc: RpcError) -> None:
        """Raise for a transaction that the node refused: somebody else took its nonce, or it cannot be included."""
        expected = self.nonce(to_text(bytes(transaction.sender)))
        if expected != int(transaction.transaction.nonce):
            raise _nonce_wrong(transaction, index, expected, sent=index) from exc
        raise InvalidInput(
            "transaction_invalid",
            f"The node refused transaction {_hex(transaction.hash)}: {exc}.",
            transaction=_hex(transaction.hash),
        ) from exc

    def _knows(self, tx_hash: bytes) -> bool:
        return self._ask("eth_getTransactionByHash", _hex(tx_hash)) is not None

    def _await_inclusion(self, transaction: Signed, index: int, deadline: float, *, others: int) -> None:
        sender, nonce = to_text(bytes(transaction.sender)), int(transaction.transaction.nonce)
        missed: float | None = None  # since when the nonce is used and no block seems to hold the transaction
        while self._receipt(transaction.hash) is None:
            now = time.monotonic()
            mined = self._nonce(sender, "latest")
            missed = (now if missed is None else missed) if mined > nonce else None
            # A node can count a nonce a moment before it shows the receipt. Who takes that for somebody else's
            # transaction signs anew, and everything happens twice.
            if missed is not None and now - missed > LATE_RECEIPT_SECONDS:
                raise _nonce_wrong(transaction, index, mined, sent=others)  # another one of the account took its place
            if now > deadline:
                raise self._not_included(transaction.hash)
            time.sleep(POLL_SECONDS)

    def _deadline(self) -> float:
        return time.monotonic() + self._inclusion_seconds

    def _not_included(self, tx_hash: bytes) -> Unreachable:
        return Unreachable(
            "unreachable",
            f"Transaction {_hex(tx_hash)} was sent, but no block held it after {self._inclusion_seconds:g} seconds.",
            hint="It may still be included: read its receipt before sending anything in its place.",
            transaction=_hex(tx_hash),
        )

    def _receipt(self, tx_hash: bytes) -> TxReceipt | None:
        found = self._ask("eth_getTransactionReceipt", _hex(tx_hash))
        if found is None:
            return None
        receipt = answers.parsed("eth_getTransactionReceipt", answers.receipt, found)
        if receipt.tx_hash != tx_hash:
            raise answers.invalid("eth_getTransactionReceipt", f"is not of the transaction {_hex(tx_hash)}")
        return receipt

    def _run(self, form: Callable[[Any], T], method: str, *params: Any) -> T:
        try:
            return answers.parsed(method, form, self._node.read(method, *params))
        except RpcError as exc:
            given = exc.data if isinstance(exc.data, str) and exc.data.startswith("0x") else ""
            data = answers.parsed(method, answers.data, given) if given else b""
            why = reason(data) if data or exc.code == _REVERTED else str(exc)
            raise Reverted(f"The contract refused the call: {why}.", data) from exc

    def _read(self, form: Callable[[Any], T], method: str, *params: Any) -> T:
        return answers.parsed(method, form, self._ask(method, *params))

    def _ask(self, method: str, *params: Any) -> Any:
        try:
            return self._node.read(method, *params)
        except RpcError as exc:
            raise Unreachable("unreachable", f"The node refused {method}: {exc}.", method=method) from exc


def _request(to: str | None, data: bytes, sender: str, value: int) -> dict[str, str]:
    target = {} if to is None else {"to": _place(to)}
    return {**target, "from": _place(sender), "data": _hex(data), "value": hex(value)}


def _place(address: str) -> str:
    return _hex(bytes(from_text(address)))


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _topic(topic: Topic) -> str | list[str] | None:
    if topic is None:
        return None
    return _hex(topic) if isinstance(topic, bytes) else [_hex(one) for one in topic]


def _nonce_wrong(transaction: Signed, index: int, expected: int, *, sent: int) -> Conflict:
    """Return the conflict; ``sent`` others of the same list are on their way or in a block."""
    given = int(transaction.transaction.nonce)
    return Conflict(
        "nonce_wrong",
        f"Transaction {index} ({_hex(transaction.hash)}) has nonce {given}; the account's next is {expected}.",
        hint="Read the account's nonce again and sign anew.",
        expected=expected,
        given=given,
        **({"sent": sent} if sent else {}),
    )


def _slots(words: Mapping[int, int]) -> dict[str, dict[str, str]]:
    return {"stateDiff": {f"0x{slot:064x}": f"0x{word:064x}" for slot, word in words.items()}}


def _unknown(tx_hash: bytes) -> NotFound:
    return NotFound("transaction_unknown", f"The ledger has no transaction {_hex(tx_hash)}.")


def _no_block(number: int) -> NotFound:
    return NotFound("block_unknown", f"The ledger has no block {number}; ask for 0 to the latest.")
