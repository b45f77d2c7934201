"""Execute blocks and calls by Prague rules with EELS, on values: a world goes in, a new world comes out.

Rules: ``ethereum.forks.prague.fork`` (apply_body, process_transaction), whose system transactions all run here too:
beacon root and parent hash before the transactions, withdrawal and consolidation requests after them. Three choices
are the embedded ledger's own: a block's time may equal its parent's (blocks are made on demand, many in a second),
``prev_randao`` is the hash of the parent's hash (it is no source of randomness) and the beacon root is zero (there
is no beacon chain).

>>> executed = execute_block(world, parent, hashes, [transaction], chain_id=1919902817, timestamp=now)  # doctest: +SKIP
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import lru_cache

from ethereum import EVM_RECURSION_LIMIT
from ethereum.crypto.hash import Hash32
from ethereum.exceptions import EthereumException
from ethereum.forks.prague import fork, vm
from ethereum.forks.prague.blocks import Header, Log, Receipt
from ethereum.forks.prague.bloom import logs_bloom
from ethereum.forks.prague.fork_types import Address, Bloom, Root
from ethereum.forks.prague.requests import compute_requests_hash
from ethereum.forks.prague.state import State, TransientStorage, destroy_account, get_account, increment_nonce
from ethereum.forks.prague.transactions import Access, FeeMarketTransaction, calculate_intrinsic_cost
from ethereum.forks.prague.utils.address import compute_contract_address
from ethereum.forks.prague.utils.message import prepare_message
from ethereum.forks.prague.vm import interpreter, runtime
from ethereum.forks.prague.vm.exceptions import Revert
from ethereum.forks.prague.vm.gas import calculate_excess_blob_gas
from ethereum_rlp import rlp
from ethereum_types.bytes import Bytes, Bytes0, Bytes8, Bytes32
from ethereum_types.numeric import U64, U256, Uint

from rodagila.chain.transactions import Signed, invalid, refusal
from rodagila.chain.trie import EMPTY_ROOT, HexTrie, keccak256
from rodagila.chain.world import Changes, Tries, World, applied, changes, executable, rehashed

GAS_LIMIT = 60_000_000
COINBASE = Address(b"\x00" * 20)
_NO_BEACON = Root(b"\x00" * 32)
_HEADER_FIELDS = tuple(field.name for field in fields(Header))


def _cache_jump_destinations() -> None:
    """Let EELS analyse each contract's code once instead of at every call.

    The analysis walks the whole code in Python and takes three quarters of a small transaction's time. It depends on
    the code alone, and the interpreter only asks whether a destination is in the set, so remembering it is safe for
    every user of EELS in this process. It has no hook, therefore the name is replaced where the interpreter reads it.
    """
    interpreter.get_valid_jump_destinations = lru_cache(maxsize=1024)(runtime.get_valid_jump_destinations)


def _allow_deep_calls() -> None:
    """Let Python follow the EVM down 1,024 calls, about five Python frames each; Python's own limit is 1,000.

    A library under EELS sets 100,000 for the whole process, at which deeply nested JSON from a stranger overflows the C
    stack and kills the process (measured: 50,000 is safe with 8 MiB); so the limit is set, not only raised.
    """
    sys.setrecursionlimit(EVM_RECURSION_LIMIT)


_cache_jump_destinations()
_allow_deep_calls()


@dataclass(frozen=True, slots=True)
class Outcome:
    """One included transaction's effect; ``receipt`` is the consensus encoding."""

    signed: Signed
    status: int
    gas_used: int
    contract: Address | None
    receipt: bytes
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Executed:
    """A block that was executed but not yet stored."""

    header: Header
    hash: Hash32
    outcomes: tuple[Outcome, ...]
    changes: Changes
    world: World
    tries: Tries


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction would do that nobody signed; ``to=None`` creates a contract.

    ``gas_price`` is only what the contract sees: no fee is taken.
    """

    sender: Address
    to: Address | None
    data: bytes
    value: int
    gas_price: int = 0
    access_list: tuple[Access, ...] = ()
    gas: int = GAS_LIMIT


@dataclass(frozen=True, slots=True)
class Simulated:
    """A call's result; ``reverted`` tells a contract's refusal from running out of gas or a bad opcode."""

    output: bytes
    error: str | None
    reverted: bool
    gas_used: int
    gas_peak: int
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class _Body:
    """What a header commits to."""

    state_root: bytes
    output: vm.BlockOutput
    outcomes: tuple[Outcome, ...]


def genesis_header(state_root: bytes, timestamp: int) -> Header:
    """Return block 0's header; the base fee starts at 7 wei, where EIP-1559's integer division keeps it."""
    return _header(None, Hash32(b"\x00" * 32), timestamp, Uint(7), _Body(state_root, vm.BlockOutput(), ()))


def unsealed_header(parent: Header, parent_hash: Hash32, timestamp: int, gas_used: int) -> Header:
    """Return the header of the block after ``parent`` without transactions, on its parent's state."""
    output = vm.BlockOutput(block_gas_used=Uint(gas_used))
    return _header(parent, parent_hash, timestamp, next_base_fee(parent), _Body(parent.state_root, output, ()))


def next_base_fee(parent: Header) -> Uint:
    """Return the base fee of the block after ``parent`` (EIP-1559)."""
    return fork.calculate_base_fee_per_gas(Uint(GAS_LIMIT), parent.gas_limit, parent.gas_used, parent.base_fee_per_gas)


def execute_block(
    world: World,
    tries: Tries,
    parent: Header,
    hashes: Sequence[Hash32],
    transactions: Sequence[Signed],
    *,
    chain_id: int,
    timestamp: int,
) -> Executed:
    """Execute ``transactions`` as the block after ``parent`` and return it.

    ``hashes`` are the latest block hashes, oldest first, up to 256, the parent's last. Raises ``InvalidInput``,
    ``RefusedByPolicy`` or ``Conflict`` if one of the transactions cannot be included; nothing has happened then.
    """
    state = executable(world)
    env = block_environment(state, parent, hashes, chain_id=chain_id, timestamp=timestamp)
    output = vm.BlockOutput()
    fork.process_unchecked_system_transaction(env, fork.BEACON_ROOTS_ADDRESS, env.parent_beacon_block_root)
    fork.process_unchecked_system_transaction(env, fork.HISTORY_STORAGE_ADDRESS, hashes[-1])
    outcomes = tuple(_included(env, output, signed, index) for index, signed in enumerate(transactions))
    fork.process_general_purpose_requests(env, output)
    change = changes(world, state)
    after = applied(world, change)
    new_tries = rehashed(tries, after, change)
    body = _Body(new_tries.accounts.root(), output, outcomes)
    header = _header(parent, hashes[-1], timestamp, env.base_fee_per_gas, body)
    return Executed(header, header_hash(header), outcomes, change, after, new_tries)


def block_environment(
    state: State, parent: Header, hashes: Sequence[Hash32], *, chain_id: int, timestamp: int
) -> vm.BlockEnvironment:
    """Return the environment of the block after ``parent``."""
    return vm.BlockEnvironment(
        chain_id=U64(chain_id),
        state=state,
        block_gas_limit=Uint(GAS_LIMIT),
        block_hashes=list(hashes),
        coinbase=COINBASE,
        number=parent.number + Uint(1),
        base_fee_per_gas=next_base_fee(parent),
        time=U256(timestamp),
        prev_randao=Bytes32(keccak256(hashes[-1])),
        excess_blob_gas=calculate_excess_blob_gas(parent),
        parent_beacon_block_root=_NO_BEACON,
    )


def simulate(env: vm.BlockEnvironment, call: Call) -> Simulated:
    """Run a transaction that nobody signed: no fee, no check of the nonce; the state of ``env`` changes.

    Mirrors ``fork.process_transaction``, so ``gas_used`` is what a receipt would say and ``gas_peak`` what the
    transaction needs before refunds. The caller has checked that the sender has the value.
    """
    tx, gas = _unsigned(env, call), call.gas
    intrinsic, floor = (int(part) for part in calculate_intrinsic_cost(tx))
    if gas < max(intrinsic, floor):
        return Simulated(b"", "intrinsic gas", False, gas, gas, ())
    increment_nonce(env.state, call.sender)
    tx_env = vm.TransactionEnvironment(
        origin=call.sender,
        gas_price=Uint(call.gas_price),
        gas=Uint(gas - intrinsic),
        access_list_addresses={env.coinbase, *(access.account for access in call.access_list)},
        access_list_storage_keys={(access.account, slot) for access in call.access_list for slot in access.slots},
        transient_storage=TransientStorage(),
        blob_versioned_hashes=(),
        authorizations=(),
        index_in_block=Uint(0),
        tx_hash=None,
    )
    result = interpreter.process_message_call(prepare_message(env, tx_env, tx))
    for address in result.accounts_to_delete:
        destroy_account(env.state, address)
    spent = gas - int(result.gas_left)
    used = max(spent - min(spent // 5, int(result.refund_counter)), floor)
    error = None if result.error is None else type(result.error).__name__
    reverted = isinstance(result.error, Revert)
    return Simulated(bytes(result.return_data), error, reverted, used, max(spent, floor), result.logs)


def header_hash(header: Header) -> Hash32:
    """Return the block's hash: Keccak of the header's RLP."""
    return Hash32(keccak256(header_rlp(header)))


def header_rlp(header: Header) -> bytes:
    """Return the header's RLP; the field names spare the deep copy that encoding a dataclass makes."""
    return bytes(rlp.encode([getattr(header, name) for name in _HEADER_FIELDS]))


def transactions_root(raws: Sequence[bytes]) -> Root:
    """Return the Merkle root of values under the RLP of their positions (transactions or receipts)."""
    return Root(HexTrie.build((rlp.encode(Uint(i)), raw) for i, raw in enumerate(raws)).root())


def _unsigned(env: vm.BlockEnvironment, call: Call) -> FeeMarketTransaction:
    return FeeMarketTransaction(
        chain_id=env.chain_id,
        nonce=U256(get_account(env.state, call.sender).nonce),
        max_priority_fee_per_gas=Uint(0),
        max_fee_per_gas=Uint(0),
        gas=Uint(call.gas),
        to=Bytes0(b"") if call.to is None else call.to,
        value=U256(call.value),
        data=Bytes(call.data),
        access_list=call.access_list,
        y_parity=U256(0),
        r=U256(0),
        s=U256(0),
    )


def _included(env: vm.BlockEnvironment, output: vm.BlockOutput, signed: Signed, index: int) -> Outcome:
    gas_before, logs_before = output.block_gas_used, len(output.block_logs)
    refused = refusal(signed, get_account(env.state, signed.sender), env, output, index)
    if refused is not None:
        raise refused
    with _refused_by_eels(signed, index):
        fork.process_transaction(env, output, signed.transaction, Uint(index))
    stored = output.receipts_trie._data[output.receipt_keys[-1]]
    receipt = rlp.encode(stored) if isinstance(stored, Receipt) else bytes(stored or b"")
    status = _status(receipt)
    created = signed.recipient is None and status == 1
    return Outcome(
        signed,
        status,
        int(output.block_gas_used - gas_before),
        compute_contract_address(signed.sender, Uint(signed.transaction.nonce)) if created else None,
        receipt,
        output.block_logs[logs_before:],
    )


@contextmanager
def _refused_by_eels(signed: Signed, index: int) -> Iterator[None]:
    try:
        yield
    except EthereumException as exc:
        reason = str(exc) or type(exc).__name__
        raise invalid(signed.hash, index, f"cannot be included: {reason}") from exc


def _status(receipt: bytes) -> int:
    """Read the first field of a consensus receipt without decoding its 256-byte bloom."""
    at = 0 if receipt[0] >= 0xC0 else 1
    return 1 if receipt[at + 1 + receipt[at] - 0xF7] == 1 else 0


def _header(parent: Header | None, parent_hash: Hash32, timestamp: int, base_fee: Uint, body: _Body) -> Header:
    return Header(
        parent_hash=parent_hash,
        ommers_hash=fork.EMPTY_OMMER_HASH,
        coinbase=COINBASE,
        state_root=Root(body.state_root),
        transactions_root=transactions_root([outcome.signed.raw for outcome in body.outcomes]),
        receipt_root=transactions_root([outcome.receipt for outcome in body.outcomes]),
        bloom=Bloom(logs_bloom(body.output.block_logs)),
        difficulty=Uint(0),
        number=Uint(0) if parent is None else parent.number + Uint(1),
        gas_limit=Uint(GAS_LIMIT),
        gas_used=body.output.block_gas_used,
        timestamp=U256(timestamp),
        extra_data=Bytes(b"rodagila"),
        prev_randao=Bytes32(keccak256(parent_hash)),
        nonce=Bytes8(b"\x00" * 8),
        base_fee_per_gas=base_fee,
        withdrawals_root=Root(EMPTY_ROOT),
        blob_gas_used=body.output.blob_gas_used,
        excess_blob_gas=U64(0) if parent is None else calculate_excess_blob_gas(parent),
        parent_beacon_block_root=_NO_BEACON,
        requests_hash=Hash32(compute_requests_hash(body.output.requests)),
    )
