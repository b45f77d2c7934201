"""Receipts of paid calls: the gateway's signature on who paid what for which request and response.

A receipt is ``core.messages.Receipt`` under the DAO's EIP-712 domain; its id is the digest that is signed. Request and
response appear as hashes only: ``request_hash`` is Keccak-256 of the request body's canonical JSON (RFC 8785),
``response_hash`` of the response's bytes. A receipt travels in the header ``RODA-RECEIPT``, base64 of its JSON.

>>> request_hash({"text": "a", "model": "docs"}) == request_hash({"model": "docs", "text": "a"})
True
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from eth_account.signers.local import LocalAccount

from rodagila.core.canonical import canonical_json, json_hash
from rodagila.core.errors import NotAuthorised
from rodagila.core.hashing import from_hex, hex0x, keccak
from rodagila.core.messages import Domain, Receipt, dao_id, digest, message_as_json, sign, signer_of

RECEIPT_HEADER = "RODA-RECEIPT"


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt with the domain it is signed in and the gateway's 65-byte signature."""

    domain: Domain
    receipt: Receipt
    signature: bytes

    @property
    def id(self) -> bytes:
        """The receipt's 32-byte id: its EIP-712 digest."""
        return digest(self.domain, self.receipt)

    def signer(self) -> str | None:
        """Return the address that signed, or None if the signature or the named DAO is wrong."""
        if self.receipt.dao != dao_id(self.domain):
            return None
        return signer_of(self.domain, self.receipt, self.signature)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that is published; ``amount`` is text above 2^53 as in every message."""
        return {
            "id": hex0x(self.id),
            "domain": {"chain_id": self.domain.chain_id, "registry": self.domain.registry},
            "receipt": message_as_json(self.receipt),
            "signature": hex0x(self.signature),
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> SignedReceipt:
        """Return the receipt of ``as_json``'s object; raises ``NotAuthorised`` if its id is not its own."""
        fields = body["receipt"]
        receipt = Receipt(
            payer=str(fields["payer"]),
            dao=from_hex(fields["dao"]),
            turn=int(fields["turn"]),
            route=str(fields["route"]),
            amount=int(fields["amount"]),
            payment=from_hex(fields["payment"]),
            request_hash=from_hex(fields["request_hash"]),
            response_hash=from_hex(fields["response_hash"]),
        )
        domain = Domain(int(body["domain"]["chain_id"]), str(body["domain"]["registry"]))
        signed = cls(domain, receipt, from_hex(body["signature"]))
        if signed.id != from_hex(body["id"]):
            raise NotAuthorised("receipt_invalid", f"The receipt names the id {body['id']}, which is not its digest.")
        return signed


def request_hash(body: dict[str, Any]) -> bytes:
    """Return the hash of a request's JSON body; raises ``InvalidInput`` for numbers without an exact form."""
    return json_hash(body)


def issue_receipt(account: LocalAccount, domain: Domain, receipt: Receipt) -> SignedReceipt:
    """Sign ``receipt`` with the gateway's key."""
    return SignedReceipt(domain, receipt, sign(account, domain, receipt))


def response_hash(body: bytes) -> bytes:
    """Return the hash of a response's bytes."""
    return keccak(body)


def encode_receipt(receipt: SignedReceipt) -> str:
    """Return the header's value."""
    return base64.b64encode(canonical_json(receipt.as_json())).decode()


def decode_receipt(header: str) -> SignedReceipt:
    """Return the receipt of a header's value; raises ``NotAuthorised`` (``receipt_invalid``) if it is not one."""
    try:
        return SignedReceipt.from_json(json.loads(base64.b64decode(header, validate=True)))
    except (ValueError, KeyError, TypeError) as error:
        raise NotAuthorised("receipt_invalid", "The RODA-RECEIPT header is not base64 of a receipt's JSON.") from error
