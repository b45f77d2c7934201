"""Methods about the state: accounts, storage and proofs at any block, calls, estimates, simulations, sending.

Blocks are made on demand, so "latest" stands still between them. Calls at latest or pending therefore run in the next
block, now, as the ledger's own ``call`` does; at a block's number or hash they run in that block's environment. A
transaction is in a block and on the disk before ``eth_sendRawTransaction`` answers.

>>> AccountMethods(ledger).table()["eth_getBalance"](["0x" + "00" * 20])     # doctest: +SKIP
'0x0'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate
from typing import Any

from ethereum.forks.prague.fork_types import Account, Address
from ethereum_types.bytes import Bytes32
from ethereum_types.numeric import U256, Uint
from immutables import Map

from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.execution import Call, Simulated
from rodagila.chain.jsonrpc.dispatch import Method, Param
from rodagila.chain.jsonrpc.forms import Form, unmade_form
from rodagila.chain.jsonrpc.requests import call_request, overridden, simulation_request
from rodagila.chain.jsonrpc.values import (
    LATEST,
    REVERTED,
    SERVER,
    BlockTag,
    JsonRpcError,
    address,
    block_tag,
    data,
    hexed,
    listed,
    mapping,
    slot,
)
from rodagila.chain.simulation import Moment, reason, simulated, sufficient, tried
from rodagila.chain.trie import HexTrie, keccak256
from rodagila.chain.world import World, code_hash
from rodagila.core.errors import Conflict, InvalidInput, RefusedByPolicy

MAX_PROOF_SLOTS = 1_024
_NO_HASH = "0x" + "00" * 32

_EMPTY = Account(Uint(0), U256(0), b"")
_NO_SLOTS: Map[Bytes32, U256] = Map()
_FAILURES = {
    "OutOfGasError": "out of gas",
    "InvalidOpcode": "invalid opcode",
    "InvalidJumpDestError": "invalid jump destination",
    "StackUnderflowError": "stack underflow",
    "StackOverflowError": "stack limit reached 1024",
    "WriteInStaticContext": "write protection",
    "intrinsic gas": "intrinsic gas too low",
}
_UNPROTECTED = "only replay-protected (EIP-155) transactions allowed over RPC"
_FUNDS = "insufficient funds for gas * price + value"
_LACKS = {
    "gas": "intrinsic gas too low",
    "room": "exceeds block gas limit",
    "fee": "max fee per gas less than block base fee",
    "funds": _FUNDS,
}
"""The words by which ethers, viem and web3.py know why a node refused a transaction (go-ethereum's)."""


class AccountMethods:
    """The methods over one ledger; threads may share them."""

    def __init__(self, ledger: EmbeddedLedger) -> None:
        self.ledger = ledger

    def table(self) -> dict[str, Method]:
        """Return each method by its name."""
        place, at = Param(address), Param(block_tag, LATEST)
        call, overrides = Param(call_request), Param(mapping, {})
        return {
            "eth_getBalance": Method(lambda a, b: hexed(int(self._account(a, b).balance)), (place, at)),
            "eth_getTransactionCount": Method(lambda a, b: hexed(int(self._account(a, b).nonce)), (place, at)),
            "eth_getCode": Method(lambda a, b: hexed(bytes(self._account(a, b).code)), (place, at)),
            "eth_getStorageAt": Method(self.storage_at, (place, Param(slot), at)),
            "eth_getProof": Method(self.proof, (place, Param(listed(slot, MAX_PROOF_SLOTS)), at)),
            "eth_call": Method(self.call, (call, at, overrides)),
            "eth_estimateGas": Method(self.estimate_gas, (call, at, overrides)),
            "eth_simulateV1": Method(self.simulate, (Param(simulation_request), at)),
            "eth_sendRawTransaction": Method(self.send, (Param(data),)),
        }

    def storage_at(self, place: Address, key: Bytes32, tag: BlockTag) -> str:
        """Return a word as 32 bytes."""
        word = self._world(tag).storages.get(place, _NO_SLOTS).get(key, U256(0))
        return hexed(bytes(word.to_be_bytes32()))

    def proof(self, place: Address, keys: list[Bytes32], tag: BlockTag) -> Form:
        """Return an account and some of its storage with the Merkle proofs of both (EIP-1186)."""
        number = self._number(tag)
        world, tries = self.ledger.world(number), self.ledger.tries(number)
        account, storage = world.accounts.get(place, _EMPTY), tries.storages.get(place) or HexTrie()
        slots = world.storages.get(place, _NO_SLOTS)
        return {
            "address": hexed(bytes(place)),
            "balance": hexed(int(account.balance)),
            "codeHash": hexed(code_hash(account.code)),
            "nonce": hexed(int(account.nonce)),
            "storageHash": hexed(storage.root()),
            "accountProof": list(map(hexed, tries.accounts.proof(keccak256(place)))),
            "storageProof": [
                {
                    "key": hexed(int.from_bytes(key)),
                    "value": hexed(int(slots.get(key, U256(0)))),
                    "proof": list(map(hexed, storage.proof(keccak256(key)))),
                }
                for key in keys
            ],
        }

    def call(self, call: Call, tag: BlockTag, overrides: Mapping[str, Any]) -> str:
        """Return a call's output."""
        return hexed(_succeeded(self._tried(self._moment(tag, overrides), call)).output)

    def estimate_gas(self, call: Call, tag: BlockTag, overrides: Mapping[str, Any]) -> str:
        """Return a gas limit with which the transaction does what it does with all gas that its sender can pay."""
        moment = self._moment(tag, overrides)
        call = replace(call, gas=min(call.gas, _affordable(moment, call)))
        free = _succeeded(self._tried(moment, call))
        return hexed(sufficient(moment, call, free))

    def simulate(self, request: Any, tag: BlockTag) -> list[Form]:
        """Run calls one after the other in the next block, on overridden state where asked, and keep nothing."""
        moment = self._moment(tag, request.overrides)
        moment = moment if request.time is None else replace(moment, timestamp=request.time)
        try:
            results = simulated(moment, request.calls, {})
        except InvalidInput as error:
            raise JsonRpcError(-38014, f"{_FUNDS}: {error.message}") from error
        block = unmade_form(moment.header(sum(result.gas_used for result in results)))
        starts = accumulate((len(result.logs) for result in results), initial=0)
        calls = [
            _simulated_form(done, block, i, start) for i, (done, start) in enumerate(zip(results, starts, strict=False))
        ]
        return [block | {"hash": _NO_HASH, "nonce": "0x0000000000000000", "calls": calls}]

    def send(self, raw: bytes) -> str:
        """Include a transaction in a block and return its hash."""
        try:
            return hexed(self.ledger.send(raw))
        except Conflict as error:
            raise _nonce_error(error) from error
        except RefusedByPolicy as error:
            words = "invalid chain id for signer" if "given" in error.details else _UNPROTECTED
            raise JsonRpcError(SERVER, f"{words}: {error.message}") from error
        except InvalidInput as error:
            words = _LACKS.get(error.details.get("lacks", ""), "")
            raise JsonRpcError(SERVER, f"{words}: {error.message}" if words else error.message) from error

    def _number(self, tag: BlockTag) -> int:
        latest = self.ledger.block_number()
        number = self.ledger.number_of(tag.hash) if tag.hash is not None else tag.number
        if tag.hash is None and number is None:
            return latest
        if number is None or number > latest:
            raise JsonRpcError(SERVER, "header not found")
        return number

    def _world(self, tag: BlockTag) -> World:
        return self.ledger.world(self._number(tag))

    def _account(self, place: Address, tag: BlockTag) -> Account:
        return self._world(tag).accounts.get(place, _EMPTY)

    def _moment(self, tag: BlockTag, overrides: Mapping[str, Any]) -> Moment:
        fixed = tag.number is not None or tag.hash is not None
        moment = self.ledger.moment(self._number(tag) if fixed else None)
        return replace(moment, world=overridden(moment.world, overrides)) if overrides else moment

    def _tried(self, moment: Moment, call: Call) -> Simulated:
        try:
            return tried(moment, call)
        except InvalidInput as error:
            raise JsonRpcError(SERVER, f"{_FUNDS}: {error.message}") from error


def _succeeded(result: Simulated) -> Simulated:
    if result.error is None:
        return result
    if result.reverted:
        raise JsonRpcError(REVERTED, _refusal(result), hexed(result.output))
    raise JsonRpcError(SERVER, _refusal(result))


def _refusal(result: Simulated) -> str:
    if not result.reverted:
        return _FAILURES.get(result.error or "", result.error or "")
    named = result.output[:4].hex() in ("08c379a0", "4e487b71")
    return f"execution reverted: {reason(result.output)}" if named else "execution reverted"


def _affordable(moment: Moment, call: Call) -> int:
    """Return how much gas the sender can pay for at the price that the client named."""
    if not call.gas_price:
        return call.gas
    balance = int(moment.world.accounts.get(call.sender, _EMPTY).balance) - call.value
    return max(0, balance) // call.gas_price


def _nonce_error(error: Conflict) -> JsonRpcError:
    expected, given = error.details.get("expected", 0), error.details.get("given", 0)
    if "already" in error.message:
        return JsonRpcError(SERVER, "already known")
    words = "nonce too low" if given < expected else "nonce too high"
    return JsonRpcError(SERVER, f"{words}: next nonce {expected}, tx nonce {given}")


def _simulated_form(result: Simulated, block: Form, position: int, first_log: int) -> Form:
    place = {
        "blockHash": _NO_HASH,
        "blockNumber": block["number"],
        "blockTimestamp": block["timestamp"],
        "transactionHash": _NO_HASH,
        "transactionIndex": hexed(position),
        "removed": False,
    }
    form: Form = {
        "status": "0x1" if result.error is None else "0x0",
        "returnData": hexed(result.output),
        "gasUsed": hexed(result.gas_used),
        "logs": [
            {
                "address": hexed(bytes(log.address)),
                "topics": list(map(hexed, log.topics)),
                "data": hexed(bytes(log.data)),
            }
            | place
            | {"logIndex": hexed(first_log + i)}
            for i, log in enumerate(result.logs)
        ],
    }
    if result.error is not None:
        code = REVERTED if result.reverted else -32015
        form["error"] = {"code": code, "message": _refusal(result)}
        form["error"] |= {"data": hexed(result.output)} if result.reverted else {}
    return form
