"""Signed offers and receipts as x402's extension ``offer-receipt`` has them, in the format EIP-712.

An *offer* is the gateway's word on the terms of one entry of ``accepts``; a *receipt* its word that a payer was served
at an address. Both are signed by the gateway's key, which the model's card names: a verifier must compare the signer
with a gateway that it knows from there, because the signature alone proves no authority (section 4.5.1 of the
extension). The receipt says neither amount nor content on purpose; who must prove those (to give feedback, or in a
dispute) uses our own ``RODA-RECEIPT``, which holds the hashes of request and response.

>>> offer_payload("http://g/", "exact", "eip155:1", "0x22", "0x33", "5", 0)["version"]
1
"""

from __future__ import annotations

from typing import Any

from eth_account.signers.local import LocalAccount

from rodagila.core.hashing import from_hex, hex0x
from rodagila.core.typed_data import Struct, domain_separator, recover_digest, sign_digest

EXTENSION = "offer-receipt"
_KINDS = {"version": "uint256", "validUntil": "uint256", "issuedAt": "uint256"}
_NAMES = {
    "Offer": ("version", "resourceUrl", "scheme", "network", "asset", "payTo", "amount", "validUntil"),
    "Receipt": ("version", "network", "resourceUrl", "payer", "issuedAt", "transaction"),
}
_STRUCTS = {
    name: Struct(name, {name: [{"name": field, "type": _KINDS.get(field, "string")} for field in fields]})
    for name, fields in _NAMES.items()
}
OFFERS_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"offers": {"type": "array", "items": {"type": "object", "required": ["format", "signature"]}}},
    "required": ["offers"],
}
RECEIPT_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"receipt": {"type": "object", "required": ["format", "signature"]}},
    "required": ["receipt"],
}


def offer_payload(
    url: str, scheme: str, network: str, asset: str, pay_to: str, amount: str, valid_until: int
) -> dict[str, Any]:
    """Return what an offer says; ``valid_until`` in seconds, 0 for no end."""
    return dict(zip(_NAMES["Offer"], (1, url, scheme, network, asset, pay_to, amount, valid_until), strict=True))


def receipt_payload(network: str, url: str, payer: str, issued_at: int, transaction: str = "") -> dict[str, Any]:
    """Return what a receipt says; ``transaction`` is empty for a voucher."""
    return dict(zip(_NAMES["Receipt"], (1, network, url, payer, issued_at, transaction), strict=True))


def signed_offer(account: LocalAccount, payload: dict[str, Any], index: int) -> dict[str, Any]:
    """Return an offer for the entry at ``index`` of ``accepts``."""
    return {"acceptIndex": index, **_signed(account, "Offer", payload)}


def signed_receipt(account: LocalAccount, payload: dict[str, Any]) -> dict[str, Any]:
    """Return a receipt, as it stands in ``extensions`` of the settlement."""
    return {"info": {"receipt": _signed(account, "Receipt", payload)}, "schema": RECEIPT_SCHEMA}


def signer_of_artifact(primary: str, artifact: dict[str, Any]) -> str | None:
    """Return who signed an ``Offer`` or a ``Receipt``, None if nobody did by the extension's rules."""
    payload = artifact.get("payload")
    if artifact.get("format") != "eip712" or not isinstance(payload, dict) or payload.get("version") != 1:
        return None
    if set(payload) != set(_NAMES[primary]):
        return None
    try:
        return recover_digest(_digest(primary, payload), from_hex(artifact["signature"]))
    except (ValueError, TypeError, AttributeError, KeyError):
        return None  # values or hex that the extension does not have


def _signed(account: LocalAccount, primary: str, payload: dict[str, Any]) -> dict[str, Any]:
    signature = sign_digest(account, _digest(primary, payload))
    return {"format": "eip712", "payload": payload, "signature": hex0x(signature)}


def _digest(primary: str, payload: dict[str, Any]) -> bytes:
    # The chain id is 1 for every network: the extension signs for no chain, the network is in the payload.
    return _STRUCTS[primary].digest(domain_separator(f"x402 {primary.lower()}", "1", 1), payload)
