"""Offers and receipts of x402's extension ``offer-receipt``: signed, and checked by the extension's own rules."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from gateway_stand import key
from rodagila.market.offers import offer_payload, receipt_payload, signed_offer, signed_receipt, signer_of_artifact

GATEWAY = key("gateway")
OFFER = offer_payload("http://g/v1/chat", "exact", "eip155:1", "0x" + "22" * 20, "0x" + "33" * 20, "500", 1_700_000_000)
RECEIPT = receipt_payload("eip155:1", "http://g/v1/chat", GATEWAY.address, 1_700_000_000)

SPECIFIED = {
    "Offer": (
        "x402 offer",
        "uint256 version,string resourceUrl,string scheme,string network,string asset,string payTo,string amount,"
        "uint256 validUntil",
    ),
    "Receipt": (
        "x402 receipt",
        "uint256 version,string network,string resourceUrl,string payer,uint256 issuedAt,string transaction",
    ),
}
"""Sections 3.2, 4.3 and 5.3 of the extension."""


def specified_signer(primary: str, artifact: dict[str, Any]) -> str:
    """Return the signer by the letter of the extension."""
    name, fields = SPECIFIED[primary]
    typed = [dict(zip(("type", "name"), field.split(), strict=True)) for field in fields.split(",")]
    signable = encode_typed_data(
        full_message={
            "domain": {"name": name, "version": "1", "chainId": 1},
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"},
                ],
                primary: typed,
            },
            "primaryType": primary,
            "message": artifact["payload"],
        }
    )
    return str(Account.recover_message(signable, signature=artifact["signature"]))


def test_an_offer_and_a_receipt_verify_by_the_letter_of_the_extension() -> None:
    offer = signed_offer(GATEWAY, OFFER, 1)
    assert (offer["format"], offer["acceptIndex"], offer["payload"]) == ("eip712", 1, OFFER)
    receipt = signed_receipt(GATEWAY, RECEIPT)["info"]["receipt"]
    assert receipt["payload"] == RECEIPT
    for primary, artifact in (("Offer", offer), ("Receipt", receipt)):
        assert specified_signer(primary, artifact) == GATEWAY.address
        assert signer_of_artifact(primary, artifact) == GATEWAY.address


@pytest.mark.parametrize("name", list(OFFER))
def test_an_offer_with_another_word_has_another_signer(name: str) -> None:
    offer = signed_offer(GATEWAY, OFFER, 0)
    changed = 2 if isinstance(OFFER[name], int) else OFFER[name] + "0"
    assert signer_of_artifact("Offer", {**offer, "payload": {**OFFER, name: changed}}) != GATEWAY.address


@pytest.mark.parametrize(
    "change",
    [
        {"format": "jws"},
        {"payload": None},
        {"payload": {**RECEIPT, "version": 2}},
        {"payload": {**RECEIPT, "more": ""}},
        {"payload": {name: value for name, value in RECEIPT.items() if name != "transaction"}},
        {"signature": "0x"},
        {"signature": "no hex"},
        {"signature": None},
    ],
)
def test_what_is_no_receipt_has_no_signer(change: dict[str, Any]) -> None:
    receipt = signed_receipt(GATEWAY, RECEIPT)["info"]["receipt"]
    assert signer_of_artifact("Receipt", {**receipt, **change}) is None
    assert signer_of_artifact("Offer", receipt) is None
