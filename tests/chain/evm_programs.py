"""Small EVM programs, assembled here so that the ledger's tests need no compiler."""

from __future__ import annotations

from eth_abi.abi import encode
from ethereum.forks.prague.vm.instructions import Ops

TOPIC = bytes(range(32))


def assemble(text: str) -> bytes:
    """Assemble EELS opcode names; a number after a PUSH is its operand, ``name:`` and ``@name`` are jump labels."""
    words = text.split()
    labels: dict[str, int] = {}
    for _ in range(2):
        code = bytearray()
        at = 0
        while at < len(words):
            word = words[at]
            if word.endswith(":"):
                labels[word[:-1]] = len(code)
                code.append(Ops.JUMPDEST.value)
            elif word.startswith("@"):
                code += bytes([Ops.PUSH2.value]) + labels.get(word[1:], 0).to_bytes(2, "big")
            else:
                op = Ops[word]
                code.append(op.value)
                if Ops.PUSH1.value <= op.value <= Ops.PUSH32.value:
                    at += 1
                    code += int(words[at], 0).to_bytes(op.value - Ops.PUSH1.value + 1, "big")
            at += 1
    return bytes(code)


def creation(runtime: bytes) -> bytes:
    """Return creation code that installs ``runtime``."""
    head = assemble(f"PUSH2 {len(runtime)} DUP1 PUSH1 10 PUSH0 CODECOPY PUSH0 RETURN")
    assert len(head) == 10
    return head + runtime


def refusing(data: bytes) -> bytes:
    """Return a program that reverts with ``data``."""
    head = assemble(f"PUSH1 {len(data)} PUSH1 11 PUSH0 CODECOPY PUSH1 {len(data)} PUSH0 REVERT")
    return head.ljust(11, b"\x00") + data


COUNTER = assemble(
    f"PUSH0 SLOAD PUSH1 1 ADD DUP1 PUSH0 SSTORE PUSH0 MSTORE "
    f"CALLER PUSH32 {int.from_bytes(TOPIC)} PUSH1 32 PUSH0 LOG2 PUSH1 32 PUSH0 RETURN"
)
"""Add one to slot 0, log (TOPIC, caller; new count), return the new count."""

REFUSER = refusing(bytes.fromhex("08c379a0") + encode(["string"], ["no entry"]))

CLOCK = assemble(
    "TIMESTAMP PUSH0 MSTORE NUMBER PUSH1 32 MSTORE PUSH1 1 NUMBER SUB BLOCKHASH PUSH1 64 MSTORE PUSH1 96 PUSH0 RETURN"
)
"""Return the time, the block number and the previous block's hash."""

KEEPER = assemble("PUSH1 32 CALLDATALOAD PUSH0 CALLDATALOAD SSTORE STOP")
"""Store the second word under the first."""

RELAY = assemble(
    "PUSH1 32 CALLDATASIZE SUB PUSH1 32 PUSH0 CALLDATACOPY "
    "PUSH0 PUSH0 PUSH1 32 CALLDATASIZE SUB PUSH0 CALLVALUE PUSH0 CALLDATALOAD GAS CALL "
    "PUSH0 MSTORE RETURNDATASIZE PUSH0 PUSH1 32 RETURNDATACOPY "
    "PUSH1 32 PUSH0 LOG0 RETURNDATASIZE PUSH1 32 ADD PUSH0 RETURN"
)
"""Call the address in the first word with the rest, log and return whether that worked, then its output."""

MIRROR = assemble("PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 ADDRESS GAS CALL PUSH1 1 PUSH0 SLOAD ADD PUSH0 SSTORE STOP")
"""Call itself with all gas, as deep as that goes, counting in slot 0 on the way back."""

MOTHER = assemble(
    "CALLDATASIZE PUSH0 PUSH0 CALLDATACOPY PUSH1 7 CALLDATASIZE PUSH0 CALLVALUE CREATE2 "
    "PUSH0 MSTORE PUSH1 32 PUSH0 RETURN"
)
"""Create a contract from the calldata with CREATE2 and return its address."""

BRIEF = assemble("CALLER SELFDESTRUCT")
"""Creation code that destroys itself at once, giving its balance to its maker."""

SCRATCH = assemble(
    "PUSH1 5 PUSH0 TSTORE PUSH0 TLOAD PUSH0 MSTORE PUSH1 32 PUSH0 PUSH1 32 MCOPY PUSH1 32 PUSH1 32 RETURN"
)

WASTER = b"\xfe"
"""Use up all gas at once, without a reason."""

LOOP = assemble("PUSH0 CALLDATALOAD again: PUSH1 1 SWAP1 SUB DUP1 @again JUMPI STOP")
"""Count down from the first word."""


def word(value: int | bytes | str) -> bytes:
    """Return 32 bytes of a number, an address text or right-aligned bytes."""
    if isinstance(value, str):
        value = bytes.fromhex(value[2:])
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\x00")
