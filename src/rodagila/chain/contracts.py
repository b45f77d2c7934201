"""Contracts by name: read them, send them transactions, list their events, deploy them - over any ``Ledger``.

A transaction is EIP-1559, its gas estimated with a margin; the nonce is read anew when another process of the same
signer was faster. What a contract refuses raises ``ContractRefused`` with the contract's own error, decoded.

>>> rewards = deploy(ledger, operator, "Rewards", operator.address, token, treasury, 86_400, 0)  # doctest: +SKIP
>>> rewards.transact(ada, "claim", 1, ada.address, 5_000_000, proof).status               # doctest: +SKIP
1
>>> rewards.call("claimed", ada.address)                                                  # doctest: +SKIP
5000000
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Never

from rodagila.chain.abi import (
    Artifact,
    decode_error,
    decode_event,
    decode_values,
    encode_topic,
    encode_values,
    load_artifact,
)
from rodagila.chain.port import ZERO_ADDRESS, Ledger, Reverted, Topic, TxReceipt
from rodagila.core.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount  # slow to import, and only named here

__all__ = [
    "Artifact",
    "Contract",
    "ContractRefused",
    "deploy",
    "deploy_all",
    "load_artifact",
    "send_wei",
    "signed_call",
]

_NONCE_TRIES = 24
_NONCE_PAUSE = 0.01
"""Seconds by which the longest pause grows with each try: of those who race for a nonce one wins each time."""
_DEPLOY_GAS = 1_500_000
"""What a deployment may use beside its code: 53,000 at least, and a constructor that mints and delegates tokens."""
_DEPENDENT_GAS = 500_000
"""Gas limit of a call in a batch that cannot be estimated, because it depends on an earlier one of the batch."""


@dataclass(frozen=True, slots=True)
class _Unsigned:
    """A transaction before it is signed; ``to`` None makes a contract."""

    to: str | None
    data: bytes
    gas: int
    value: int = 0


class ContractRefused(Reverted):
    """A contract refused; ``error`` is the name of its custom error, if known, and ``arguments`` what that carries."""

    def __init__(self, where: str, data: bytes) -> None:
        refusal = decode_error(data)
        super().__init__(f"{where} was refused. {refusal.sentence}", data, error=refusal.error)
        self.error = refusal.error
        self.arguments = refusal.arguments


@dataclass(frozen=True, slots=True)
class Contract:
    """A deployed contract: where it is and what it can do."""

    ledger: Ledger
    address: str
    artifact: Artifact

    def encode(self, fn: str, *args: Any) -> bytes:
        """Return the call data of ``fn``, a name or (if it is overloaded) a full signature."""
        entry = self.artifact.function(fn, len(args))
        return entry.selector + encode_values(entry, args)

    def call(self, fn: str, *args: Any, sender: str = ZERO_ADDRESS) -> Any:
        """Read: return the value, a tuple of several, or None; raise ``ContractRefused``. Nothing is changed."""
        entry = self.artifact.function(fn, len(args))
        try:
            output = self.ledger.call(self.address, self.encode(fn, *args), sender=sender)
        except Reverted as refused:
            self._refuse(fn, refused)
        values = decode_values(entry.outputs, output)
        return values[0] if len(values) == 1 else values or None

    def transact(self, signer: LocalAccount, fn: str, *args: Any, gas: int | None = None) -> TxReceipt:
        """Write: send one transaction, wait until it is durable, return its receipt; raise ``ContractRefused``."""
        return self.transact_many(signer, [(fn, args)], gas=gas)[0]

    def transact_many(
        self, signer: LocalAccount, calls: Sequence[tuple[str, Sequence[Any]]], *, gas: int | None = None
    ) -> list[TxReceipt]:
        """Write several in their order, in one block where the ledger can.

        Raises ``ContractRefused`` for the first that was refused; the others stand. ``gas`` is the limit of each; by
        default it is estimated on the present state, and a call that depends on an earlier one gets 500,000.
        """
        prepared = [(fn, self.encode(fn, *args)) for fn, args in calls]
        limits = [gas or self._gas(signer, fn, data, first=i == 0) for i, (fn, data) in enumerate(prepared)]
        unsigned = [_Unsigned(self.address, data, limit) for (_, data), limit in zip(prepared, limits, strict=True)]
        receipts = _send(self.ledger, signer, unsigned)
        for (fn, data), limit, receipt in zip(prepared, limits, receipts, strict=True):
            if receipt.status != 1:
                self._explain(signer, fn, data, limit)
        return receipts

    def events(
        self, name: str, from_block: int = 0, to_block: int | None = None, where: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return the events ``name`` in ledger order: arguments by name, with block_number, tx_hash and log_index.

        ``where`` selects by values of indexed arguments.
        """
        entry = self.artifact.events[name]
        wanted = dict(where or {})
        indexed = [part for part in entry.inputs if part.indexed]
        topics: list[Topic] = [entry.topic]
        topics += [encode_topic(part, wanted.pop(part.name)) if part.name in wanted else None for part in indexed]
        if wanted:
            names = ", ".join(part.name for part in indexed) or "none"
            raise InvalidInput(
                "invalid_request", f"{name} cannot be selected by {', '.join(wanted)}; its indexed arguments: {names}."
            )
        return [
            decode_event(entry, log.topics, log.data)
            | {"block_number": log.block_number, "tx_hash": log.tx_hash, "log_index": log.log_index}
            for log in self.ledger.logs(self.address, topics, from_block, to_block)
        ]

    def _gas(self, signer: LocalAccount, fn: str, data: bytes, *, first: bool) -> int:
        try:
            return _with_margin(self.ledger.estimate_gas(self.address, data, sender=signer.address))
        except Reverted as refused:
            if first:
                self._refuse(fn, refused)
            return _DEPENDENT_GAS

    def _explain(self, signer: LocalAccount, fn: str, data: bytes, gas: int) -> Never:
        """Raise for a transaction that is in a block but failed: ask again for the reason."""
        try:
            self.ledger.call(self.address, data, sender=signer.address)
        except Reverted as refused:
            self._refuse(fn, refused)
        raise Reverted(
            f"{self.artifact.name}.{fn} failed with a gas limit of {gas} and would succeed now.",
            hint="The state changed in between, or the limit was too low; send it again.",
        )

    def _refuse(self, fn: str, refused: Reverted) -> Never:
        raise ContractRefused(f"{self.artifact.name}.{fn.partition('(')[0]}", refused.data) from refused


def deploy(ledger: Ledger, signer: LocalAccount, name: str, *args: Any) -> Contract:
    """Deploy the shipped contract ``name`` with its constructor's arguments; raise ``ContractRefused``."""
    artifact = load_artifact(name)
    data = artifact.bytecode + encode_values(artifact.constructor, args)
    try:
        gas = _with_margin(ledger.estimate_gas(None, data, sender=signer.address))
    except Reverted as refused:
        raise ContractRefused(f"The deployment of {name}", refused.data) from refused
    (receipt,) = _send(ledger, signer, [_Unsigned(None, data, gas)])
    if receipt.status != 1 or receipt.contract_address is None:
        raise Reverted(f"The deployment of {name} failed with a gas limit of {gas}.", hint="Send it again.")
    return Contract(ledger, receipt.contract_address, artifact)


def deploy_all(ledger: Ledger, signer: LocalAccount, plan: Sequence[tuple[str, Sequence[Any]]]) -> list[Contract]:
    """Deploy shipped contracts (name, constructor's arguments) with the signer's next nonces, in one block if possible.

    Contracts that name each other take ``create_address`` of those nonces. Raises ``Conflict`` (``nonce_wrong``) if
    another process of this signer was faster, and ``Reverted`` for the first that failed; the others are then useless.
    """
    unsigned = []
    for name, args in plan:
        artifact = load_artifact(name)
        data = artifact.bytecode + encode_values(artifact.constructor, args)
        # Not estimated: a constructor may call a contract of the same plan. What is not used is not paid for.
        gas = _DEPLOY_GAS + 16 * len(data) + 200 * len(artifact.deployed_bytecode)
        unsigned.append(_Unsigned(None, data, gas))
    nonce, base_fee = ledger.nonce(signer.address), ledger.base_fee()
    raws = [_signed(one, signer, ledger.chain_id, nonce + i, base_fee) for i, one in enumerate(unsigned)]
    receipts = [ledger.receipt(tx_hash) for tx_hash in ledger.send_many(raws)]
    for (name, _), one, receipt in zip(plan, unsigned, receipts, strict=True):
        if receipt.status != 1 or receipt.contract_address is None:
            _explain_deployment(ledger, signer, name, one)
    return [
        Contract(ledger, str(receipt.contract_address), load_artifact(name))
        for (name, _), receipt in zip(plan, receipts, strict=True)
    ]


def _explain_deployment(ledger: Ledger, signer: LocalAccount, name: str, unsigned: _Unsigned) -> Never:
    try:
        ledger.estimate_gas(None, unsigned.data, sender=signer.address)
    except Reverted as refused:
        raise ContractRefused(f"The deployment of {name}", refused.data) from refused
    raise Reverted(f"The deployment of {name} failed with a gas limit of {unsigned.gas}.", hint="Send it again.")


def send_wei(ledger: Ledger, signer: LocalAccount, to: str, amount: int) -> TxReceipt:
    """Send ``amount`` wei to ``to``, for gas."""
    return _send(ledger, signer, [_Unsigned(to, b"", 21_000, amount)])[0]


def _send(ledger: Ledger, signer: LocalAccount, unsigned: Sequence[_Unsigned]) -> list[TxReceipt]:
    """Sign with the next nonces and send; sign again if another process of this signer took them first."""
    for tries_left in reversed(range(_NONCE_TRIES)):
        nonce, base_fee = ledger.nonce(signer.address), ledger.base_fee()
        raws = [_signed(one, signer, ledger.chain_id, nonce + i, base_fee) for i, one in enumerate(unsigned)]
        try:
            return [ledger.receipt(tx_hash) for tx_hash in ledger.send_many(raws)]
        except Conflict as conflict:
            # Where a chain took a part of the list, signing all of it again would do that part twice.
            if conflict.code != "nonce_wrong" or conflict.details.get("sent") or tries_left == 0:
                raise
            time.sleep(random.uniform(0, _NONCE_PAUSE * (_NONCE_TRIES - tries_left)))  # noqa: S311 - no secret
    raise AssertionError("unreachable")


def signed_call(ledger: Ledger, signer: LocalAccount, to: str, data: bytes, gas: int) -> bytes:
    """Return a signed transaction that calls ``to`` with ``data``, under the signer's next nonce and today's fees."""
    return _signed(_Unsigned(to, data, gas), signer, ledger.chain_id, ledger.nonce(signer.address), ledger.base_fee())


def _signed(unsigned: _Unsigned, signer: LocalAccount, chain_id: int, nonce: int, base_fee: int) -> bytes:
    tip = base_fee // 10 + 1
    transaction: dict[str, Any] = {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "value": unsigned.value,
        "data": unsigned.data,
        "gas": unsigned.gas,
        # Twice the base fee outlasts six full blocks, each of which raises it by an eighth.
        "maxFeePerGas": 2 * base_fee + tip,
        "maxPriorityFeePerGas": tip,
    }
    if unsigned.to is not None:
        transaction["to"] = unsigned.to
    return bytes(signer.sign_transaction(transaction).raw_transaction)


def _with_margin(gas: int) -> int:
    """An eighth more: another transaction may come first and make a slot's write dearer."""
    return gas + gas // 8
