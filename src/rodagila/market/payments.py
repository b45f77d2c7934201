"""A signed x402 payment as the gateway reads it: the header decoded, its fields checked, its identity derived.

Only x402 version 2 with an EIP-3009 authorisation (scheme ``exact``) is accepted. The payment's id is
``keccak(abi.encode(chainId, token, payer, nonce))``: that is what the token uses up when it settles, so two headers
with one id can never both be settled. ``digest`` tells whether two headers with one id are the same signed payment.

>>> payment_id(1919902817, "0x" + "11" * 20, "0x" + "22" * 20, bytes(32)).hex()[:8]
'9ea6cc36'
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eth_utils.address import to_checksum_address

from rodagila.core.canonical import json_hash
from rodagila.core.errors import InvalidInput, PaymentFailed
from rodagila.core.hashing import keccak_abi

if TYPE_CHECKING:
    from x402.schemas import PaymentPayload

MAX_HEADER_CHARS = 16_384
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_UINT = re.compile(r"[0-9]{1,78}")
_NONCE = re.compile(r"0x[0-9a-fA-F]{64}")
_SIGNATURE = re.compile(r"0x(?:[0-9a-fA-F]{2}){65,2048}")
_FIELDS = {
    "from": _ADDRESS,
    "to": _ADDRESS,
    "value": _UINT,
    "validAfter": _UINT,
    "validBefore": _UINT,
    "nonce": _NONCE,
}


@dataclass(frozen=True, slots=True)
class Payment:
    """A well-formed payment that nobody has verified yet; ``nonce`` has 32 bytes."""

    payload: PaymentPayload
    payer: str
    nonce: bytes
    digest: bytes

    def id_on(self, chain_id: int, token: str) -> bytes:
        """Return the payment's id on a chain in a token."""
        return payment_id(chain_id, token, self.payer, self.nonce)


def payment_id(chain_id: int, token: str, payer: str, nonce: bytes) -> bytes:
    """Return the hash of what a token uses up when it settles the payment."""
    return keccak_abi(["uint256", "address", "address", "bytes32"], [chain_id, token, payer, nonce])


def decode_payment(header: str) -> Payment:
    """Return the payment of a ``PAYMENT-SIGNATURE`` header; raises ``PaymentFailed`` with what is wrong in it."""
    from pydantic import ValidationError
    from x402.schemas import PaymentPayload

    body = _json_of(header)
    if body.get("x402Version") != 2:
        raise _invalid("is not of x402 version 2")
    try:
        payload = PaymentPayload.model_validate(body)
    except ValidationError as error:
        raise _invalid(f"lacks the shape of an x402 payment: {error.errors()[0]['msg'].lower()}") from error
    authorization = _checked_authorization(payload.payload)
    return Payment(
        payload,
        to_checksum_address(authorization["from"]),
        bytes.fromhex(authorization["nonce"][2:]),
        _digest(payload.payload),
    )


def _json_of(header: str) -> dict[str, Any]:
    if len(header) > MAX_HEADER_CHARS:
        raise _invalid(f"has {len(header)} characters; at most {MAX_HEADER_CHARS} are read")
    try:
        body = json.loads(base64.b64decode(header, validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise _invalid("is not base64 of a JSON object") from error
    if not isinstance(body, dict):
        raise _invalid("is not base64 of a JSON object")
    return body


def _checked_authorization(payload: dict[str, Any]) -> dict[str, str]:
    # The SDK would read a payload with this key as another transfer method, whose nonce is not the token's.
    authorization = payload.get("authorization")
    if not isinstance(authorization, dict) or "permit2Authorization" in payload:
        raise _invalid("carries no EIP-3009 authorisation, the one transfer method taken here")
    for name, form in _FIELDS.items():
        value = authorization.get(name)
        if not isinstance(value, str) or not form.fullmatch(value):
            raise _invalid(f"has no valid authorization.{name}")
    signature = payload.get("signature")
    if not isinstance(signature, str) or not _SIGNATURE.fullmatch(signature):
        raise _invalid("has no valid signature field")
    return authorization


def _digest(payload: dict[str, Any]) -> bytes:
    try:
        return json_hash(payload)
    except InvalidInput as error:
        raise _invalid("has no canonical JSON form") from error


def _invalid(what: str) -> PaymentFailed:
    return PaymentFailed(
        "payment_invalid", f"The payment header {what}.", hint="Sign a payment for the terms in PAYMENT-REQUIRED."
    )
