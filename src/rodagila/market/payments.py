"""A signed x402 payment as the gateway reads it: the header decoded, its fields checked, its identity derived.

Two schemes of x402 version 2 are accepted. ``exact`` is an EIP-3009 authorisation; the payment's id is
``keccak(abi.encode(chainId, token, payer, nonce))``, which is what the token uses up when it settles. The other is
``batch-settlement``: a voucher, alone or with a deposit, or the wish for a refund; its id is the digest that the payer
signed, channel and sum, and a channel's sums only grow. So two headers with one id can never both be settled.
``digest`` tells whether two headers with one id are the same signed payment.

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

from rodagila.core.canonical import json_hash
from rodagila.core.errors import InvalidInput, PaymentFailed
from rodagila.core.hashing import keccak_abi
from rodagila.core.typed_data import checksummed
from rodagila.market.hub import ChannelConfig, voucher_digest

if TYPE_CHECKING:
    from x402.schemas import PaymentPayload

EXACT = "exact"
BATCH = "batch-settlement"
IDENTIFIER = "payment-identifier"
MAX_HEADER_CHARS = 16_384
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_UINT = re.compile(r"[0-9]{1,78}")
_NONCE = re.compile(r"0x[0-9a-fA-F]{64}")
_SIGNATURE = re.compile(r"0x(?:[0-9a-fA-F]{2}){65,2048}")
_IDENTIFIER = re.compile(r"[a-zA-Z0-9_-]{16,128}")
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
    """A well-formed payment that nobody has verified yet; ``nonce`` has 32 bytes.

    ``identifier`` is the payer's own name of the payment, from x402's extension ``payment-identifier``.
    """

    payload: PaymentPayload
    payer: str
    nonce: bytes
    digest: bytes
    identifier: str | None = None

    def id_on(self, chain_id: int, token: str) -> bytes:
        """Return the payment's id on a chain in a token."""
        return payment_id(chain_id, token, self.payer, self.nonce)


@dataclass(frozen=True, slots=True)
class VoucherPayment:
    """A well-formed payment by channel: ``kind`` is voucher, deposit (with a voucher) or refund.

    ``amount`` is the sum that the voucher covers, ``wanted`` what a refund asks for (None: all that is left) or what a
    deposit brings.
    """

    payload: PaymentPayload
    kind: str
    config: ChannelConfig
    channel_id: bytes
    amount: int
    signature: bytes
    wanted: int | None
    digest: bytes
    identifier: str | None = None

    @property
    def payer(self) -> str:
        """The account whose channel it is."""
        return self.config.payer

    def id_on(self, chain_id: int) -> bytes:
        """Return the payment's id: what was signed, on this chain."""
        return voucher_digest(chain_id, self.channel_id, self.amount)


def payment_id(chain_id: int, token: str, payer: str, nonce: bytes) -> bytes:
    """Return the hash of what a token uses up when it settles the payment."""
    return keccak_abi(["uint256", "address", "address", "bytes32"], [chain_id, token, payer, nonce])


def decode_payment(header: str) -> Payment | VoucherPayment:
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
    identifier = _identifier(payload.extensions)
    if payload.accepted.scheme == BATCH:
        return _voucher_payment(payload, identifier)
    authorization = _checked_authorization(payload.payload)
    return Payment(
        payload,
        checksummed(authorization["from"]),
        bytes.fromhex(authorization["nonce"][2:]),
        _digest(payload.payload),
        identifier,
    )


def _voucher_payment(payload: PaymentPayload, identifier: str | None) -> VoucherPayment:
    body, kind = payload.payload, payload.payload.get("type")
    if kind not in ("voucher", "deposit", "refund"):
        raise _invalid("is neither a voucher nor a deposit nor a refund")
    voucher = _object(body, "voucher")
    try:
        config = ChannelConfig.from_json(_object(body, "channelConfig"))
    except (KeyError, TypeError, ValueError) as error:
        raise _invalid("has no valid channelConfig") from error
    wanted = body.get("amount") if kind == "refund" else None
    if kind == "deposit":
        deposit = _object(body, "deposit")
        _object(deposit, "authorization")
        wanted = deposit.get("amount")
    return VoucherPayment(
        payload,
        kind,
        config,
        bytes.fromhex(_matching(voucher, "channelId", _NONCE)[2:]),
        _uint128(voucher, "maxClaimableAmount"),
        bytes.fromhex(_matching(voucher, "signature", _SIGNATURE)[2:]),
        None if wanted is None else _uint128({"amount": wanted}, "amount"),
        _digest(body),
        identifier,
    )


def _identifier(extensions: dict[str, Any] | None) -> str | None:
    declared = (extensions or {}).get(IDENTIFIER)
    if declared is None:
        return None
    info = declared.get("info") if isinstance(declared, dict) else None
    found = info.get("id") if isinstance(info, dict) else None
    if found is not None and not (isinstance(found, str) and _IDENTIFIER.fullmatch(found)):
        raise _invalid("has a payment identifier that is not of 16 to 128 letters, digits, dashes and underscores")
    return found


def _object(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    if not isinstance(value, dict):
        raise _invalid(f"has no {name}")
    return value


def _matching(body: dict[str, Any], name: str, form: re.Pattern[str]) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not form.fullmatch(value):
        raise _invalid(f"has no valid {name}")
    return value


def _uint128(body: dict[str, Any], name: str) -> int:
    value = int(_matching(body, name, _UINT))
    if value >= 2**128:
        raise _invalid(f"has no valid {name}")
    return value


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
