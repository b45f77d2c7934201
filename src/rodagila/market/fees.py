"""Fees as the ledger tells them: payments to a treasury, one by one and by channel, read from events alone.

By channel: the hub's ``Claimed`` says how much of a payer's channel became the treasury's. The transfer by which the
hub pays that out (``Settled``) names no payer and is no second fee. One by one: ``transferWithAuthorization`` emits
``AuthorizationUsed(authorizer, nonce)`` and, right after it, ``Transfer(from, to, value)``; EIP-3009 and the token's
source fix that order. A transfer to the treasury counts as a fee if and only if the event just before it, in the same
transaction, is the payer's authorisation: bonds, top-ups and slashes are not fees.

>>> fees(ledger, token, treasury, 1, 90)  # doctest: +SKIP
[('0x5AEDA56215b167893e80B4fE645BA6d5Bab767DE', 12, 24000)]
"""

from __future__ import annotations

from collections.abc import Iterator

from eth_utils.address import to_checksum_address

from rodagila.chain.port import Ledger, LogEntry
from rodagila.core.hashing import keccak
from rodagila.market.hub import Hub

TRANSFER = keccak(b"Transfer(address,address,uint256)")
AUTHORIZATION_USED = keccak(b"AuthorizationUsed(address,bytes32)")


def fees(
    ledger: Ledger, token: str, treasury: str, from_block: int, to_block: int | None = None
) -> list[tuple[str, int, int]]:
    """Return ``(payer, calls, atomic units)`` of all payers, by address; both blocks are included.

    A claim counts as one call, whatever number of calls its voucher was for: the ledger does not know.
    """
    paid = [*_authorised(ledger, token, treasury, from_block, to_block)]
    paid += [(payer, amount) for payer, amount, _ in Hub(ledger).claims(token, treasury, from_block, to_block)]
    totals: dict[str, tuple[int, int]] = {}
    for payer, amount in paid:
        if payer == to_checksum_address(treasury):
            continue  # a treasury that pays itself earned nothing
        calls, total = totals.get(payer, (0, 0))
        totals[payer] = (calls + 1, total + amount)
    return sorted((payer, calls, amount) for payer, (calls, amount) in totals.items())


def _authorised(
    ledger: Ledger, token: str, treasury: str, from_block: int, to_block: int | None
) -> Iterator[tuple[str, int]]:
    used = {
        (entry.block_number, entry.log_index): entry
        for entry in ledger.logs(token, [AUTHORIZATION_USED], from_block, to_block)
    }
    for entry in ledger.logs(token, [TRANSFER, None, _topic(treasury)], from_block, to_block):
        before = used.get((entry.block_number, entry.log_index - 1))
        if before is None or before.tx_hash != entry.tx_hash or before.topics[1] != entry.topics[1]:
            continue
        yield _address(entry.topics[1]), _amount(entry)


def settled_transaction(
    ledger: Ledger, token: str, *, payer: str, nonce: bytes, pay_to: str, amount: int
) -> bytes | None:
    """Return the transaction in which exactly this payment moved, whoever sent it, or None.

    A used nonce alone proves nothing: the payer can sign a second authorisation with it that pays somebody else.
    """
    for used in ledger.logs(token, [AUTHORIZATION_USED, _topic(payer), nonce]):
        for entry in ledger.receipt(used.tx_hash).logs:
            moved = entry.log_index == used.log_index + 1 and entry.address == used.address
            if moved and entry.topics == (TRANSFER, _topic(payer), _topic(pay_to)) and _amount(entry) == amount:
                return used.tx_hash
    return None


def _topic(address: str) -> bytes:
    return bytes(12) + bytes.fromhex(address[2:])


def _address(topic: bytes) -> str:
    return to_checksum_address(topic[-20:])


def _amount(entry: LogEntry) -> int:
    return int.from_bytes(entry.data, "big")
