"""Calls and gas estimates on a world that they leave as it is.

Each runs as the first transaction of the next block, several simulated ones as its first ones. An estimate is a limit
that was tried: contracts pass at most 63/64 of their gas on (EIP-150) and may catch what fails below, so the limit must
give the same output and the same events as unlimited gas did, not merely succeed.

>>> called(moment, Call(sender, token, balance_of(ada), 0))           # doctest: +SKIP
>>> estimated(moment, Call(sender, None, creation_code, 0))           # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from ethereum.crypto.hash import Hash32
from ethereum.forks.prague.blocks import Header
from ethereum.forks.prague.fork_types import Address
from ethereum.forks.prague.state import get_account, set_storage
from ethereum.forks.prague.vm import BlockEnvironment
from ethereum_types.bytes import Bytes32
from ethereum_types.numeric import U256

from rodagila.chain.execution import GAS_LIMIT, Call, Simulated, block_environment, simulate, unsealed_header
from rodagila.chain.port import Reverted
from rodagila.chain.world import World, executable
from rodagila.core.errors import InvalidInput

_ERROR_STRING = bytes.fromhex("08c379a0")
_PANIC = bytes.fromhex("4e487b71")
_SLACK = 64
"""An estimate may exceed the least sufficient limit by one part in 64."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A state and the block that would come after it."""

    world: World
    parent: Header
    hashes: Sequence[Hash32]
    chain_id: int
    timestamp: int

    def header(self, gas_used: int = 0) -> Header:
        """Return the header of the block to come as far as it is known: it has no transactions and no new state."""
        return unsealed_header(self.parent, self.hashes[-1], self.timestamp, gas_used)


def called(moment: Moment, call: Call) -> bytes:
    """Return the call's output; raise ``Reverted`` with the contract's reason."""
    return _succeeded(tried(moment, call)).output


def estimated(moment: Moment, call: Call) -> int:
    """Return a sufficient gas limit, at most 1/64 above the least one; raise ``Reverted``."""
    return sufficient(moment, call, _succeeded(tried(moment, call)))


def tried(moment: Moment, call: Call) -> Simulated:
    """Return what the call does within its gas limit; ``Simulated.error`` says why it failed."""
    return _tried(_environment(moment), call)


def sufficient(moment: Moment, call: Call, free: Simulated) -> int:
    """Return a gas limit with which the call does what it did, as ``free``, with all gas."""

    def same(limit: int) -> bool:
        again = tried(moment, replace(call, gas=limit))
        return again.error is None and again.output == free.output and again.logs == free.logs

    low = free.gas_peak
    if same(low):
        return low
    high = min(GAS_LIMIT, (low + 2300) * 64 // 63)
    while high < GAS_LIMIT and not same(high):
        low, high = high, min(GAS_LIMIT, high * 2)
    while high - low > high // _SLACK:
        middle = (low + high) // 2
        low, high = (low, middle) if same(middle) else (middle, high)
    return high


def simulated(moment: Moment, calls: Sequence[Call], slots: Mapping[Address, Mapping[int, int]]) -> list[Simulated]:
    """Return what each call does on the state that those before it left; ``Simulated.error`` says why one failed.

    ``slots`` stand for what those storage slots hold before the first call.
    """
    env = _environment(moment)
    for address, words in slots.items():
        for slot, word in words.items():
            set_storage(env.state, address, Bytes32(slot.to_bytes(32, "big")), U256(word))
    return [_tried(env, call) for call in calls]


def why(result: Simulated) -> str | None:
    """Say in words why a call failed, or None."""
    return reason(result.output) if result.reverted else result.error


def reason(data: bytes) -> str:
    """Say in words what a contract returned when it refused: ``Error(string)``, ``Panic(uint256)`` or a selector."""
    selector, arguments = data[:4], data[4:]
    try:
        if selector == _ERROR_STRING:
            return str(abi_decode(["string"], arguments)[0])
        if selector == _PANIC:
            return f"panic 0x{abi_decode(['uint256'], arguments)[0]:02x}"
    except DecodingError:
        pass
    return f"error 0x{selector.hex()}" if data else "no reason given"


def _tried(env: BlockEnvironment, call: Call) -> Simulated:
    balance = int(get_account(env.state, call.sender).balance)
    if call.value > balance:
        raise InvalidInput(
            "transaction_invalid", f"The call carries {call.value} wei; its sender has {balance}.", lacks="funds"
        )
    return simulate(env, call)


def _environment(moment: Moment) -> BlockEnvironment:
    return block_environment(
        executable(moment.world), moment.parent, moment.hashes, chain_id=moment.chain_id, timestamp=moment.timestamp
    )


def _succeeded(result: Simulated) -> Simulated:
    if result.error is None:
        return result
    raise Reverted(f"The contract refused the call: {why(result)}.", result.output)
