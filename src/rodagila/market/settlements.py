"""What a gateway sent to a chain that may be reorganised, followed until it is in a confirmed block.

A response is released when a block holds its payment. If the chain then drops that block, the kept transaction is sent
again as it was, or its call is signed anew where another transaction took the nonce: what the buyer signed stays good
until ``validBefore``. A payment that cannot be settled any more has its receipt marked orphaned; its fee was never
counted, because a turn counts fees of confirmed blocks only.

>>> Settlements(database).follow(ledger, accounts, Calls(database))   # doctest: +SKIP
Followed(waiting=2, sent_again=1, orphaned=0)
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from sqlalchemy import delete, insert, select, update

from rodagila.chain.contracts import signed_call
from rodagila.chain.port import Ledger, Reverted
from rodagila.chain.transactions import Signed, decode
from rodagila.core.errors import Conflict, InvalidInput, NotFound
from rodagila.core.hashing import hex0x, keccak
from rodagila.market.calls import Calls
from rodagila.market.fees import settled_transaction
from rodagila.store import schema
from rodagila.store.database import Database

LOG = logging.getLogger(__name__)
_PAYMENT = ["address", "address", "uint256", "uint256", "uint256", "bytes32"]
_TRANSFERS = {
    keccak(f"transferWithAuthorization({','.join(_PAYMENT)},{signature})".encode())[:4]
    for signature in ("bytes", "uint8,bytes32,bytes32")
}


@dataclass(frozen=True, slots=True)
class Followed:
    """What became of the settlements: how many are not confirmed yet, were sent again, cannot be settled any more."""

    waiting: int
    sent_again: int
    orphaned: int


class Settlements:
    """The table of settlements that are not confirmed yet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, chain_id: int, raw: bytes) -> None:
        """Keep a transaction that a block holds, to be followed."""
        signed = decode(raw, chain_id=chain_id)
        values = {"transaction": signed.hash.hex(), "sender": _sender(signed), "raw": raw}
        with self._database.begin() as connection:
            connection.execute(insert(schema.settlement).prefix_with("OR IGNORE").values(values))

    def waiting(self, up_to: int | None = None) -> list[int]:
        """Return the numbers of those that are not confirmed yet, in their order, ``up_to`` the last one asked for."""
        return [row.number for row in self._rows() if up_to is None or row.number <= up_to]

    def follow(self, ledger: Ledger, accounts: Mapping[str, LocalAccount], calls: Calls) -> Followed:
        """Look after every settlement once; ``accounts`` are the senders' keys by address."""
        again = orphaned = 0
        confirmed = ledger.confirmed_block()
        for row in self._rows():
            signed = decode(row.raw, chain_id=ledger.chain_id)
            try:
                receipt = ledger.receipt(signed.hash)
            except NotFound:
                sent = self._send_again(ledger, signed, accounts.get(row.sender), calls)
                again, orphaned = again + sent, orphaned + (not sent)
                continue
            if receipt.block_number <= confirmed:
                if receipt.status == 1:
                    self._forget(signed.hash)
                else:
                    orphaned += not self._settled_elsewhere(ledger, signed, calls)
        return Followed(len(self._rows()), again, orphaned)

    def _send_again(self, ledger: Ledger, signed: Signed, account: LocalAccount | None, calls: Calls) -> bool:
        """Send the transaction as it was or, where its nonce is taken, its call anew; False if it is orphaned."""
        try:
            ledger.send(signed.raw)
        except (Conflict, InvalidInput) as refused:
            if refused.code not in ("nonce_wrong", "transaction_invalid"):
                raise
        else:
            return True
        transaction: Any = signed.transaction
        to, data = to_checksum_address(bytes(transaction.to)), bytes(transaction.data)
        try:
            ledger.call(to, data, sender=_sender(signed))
        except Reverted:
            return self._settled_elsewhere(ledger, signed, calls)
        if account is None:
            LOG.warning("settlement %s was dropped by the chain; its sender's key is not here", hex0x(signed.hash))
            return True  # another process of the home may have the key
        raw = signed_call(ledger, account, to, data, int(transaction.gas))
        self._replace(signed.hash, ledger.send(raw), raw, calls)
        return True

    def _settled_elsewhere(self, ledger: Ledger, signed: Signed, calls: Calls) -> bool:
        """Follow the transaction that settled the same payment, if there is one, else mark its receipt orphaned."""
        transaction: Any = signed.transaction
        data, token = bytes(transaction.data), to_checksum_address(bytes(transaction.to))
        found = None
        if data[:4] in _TRANSFERS:
            payer, pay_to, amount, _, _, nonce = abi_decode(_PAYMENT, data[4 : 4 + 32 * len(_PAYMENT)])
            found = settled_transaction(
                ledger, token, payer=to_checksum_address(payer), nonce=nonce, pay_to=to_checksum_address(pay_to),
                amount=amount,
            )  # fmt: skip
        if found is not None and found != signed.hash:
            self._replace(signed.hash, found, ledger.transaction(found), calls)
            return True
        LOG.warning("settlement %s was dropped by the chain and cannot be repeated", hex0x(signed.hash))
        calls.orphan(signed.hash)
        self._forget(signed.hash)
        return False

    def _replace(self, old: bytes, new: bytes, raw: bytes, calls: Calls) -> None:
        table = schema.settlement
        with self._database.begin() as connection:
            known = connection.execute(select(table).where(table.c.transaction == new.hex())).first()
            if known is not None:
                connection.execute(delete(table).where(table.c.transaction == old.hex()))
            else:
                values = {"transaction": new.hex(), "raw": raw}
                connection.execute(update(table).where(table.c.transaction == old.hex()).values(values))
        calls.resettle(old, new)

    def _forget(self, transaction: bytes) -> None:
        table = schema.settlement
        with self._database.begin() as connection:
            connection.execute(delete(table).where(table.c.transaction == transaction.hex()))

    def _rows(self) -> list[Any]:
        table = schema.settlement
        with self._database.begin() as connection:
            return list(connection.execute(select(table).order_by(table.c.number)))


def _sender(signed: Signed) -> str:
    return str(to_checksum_address(bytes(signed.sender)))
