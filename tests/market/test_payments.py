"""Payments, prices and receipts as values: identity, shape, round trips."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from rodagila.core.errors import NotAuthorised, PaymentFailed
from rodagila.core.hashing import keccak
from rodagila.core.messages import Domain, Receipt, dao_id
from rodagila.core.policy import PriceRules
from rodagila.market.payments import decode_payment, payment_id
from rodagila.market.prices import PAID_ROUTES, Token, asset_amount, network_of, price_of
from rodagila.market.receipts import decode_receipt, encode_receipt, issue_receipt, request_hash

GATEWAY = Account.from_key(keccak(b"gateway"))
DOMAIN = Domain(1919902817, "0x" + "11" * 20)


def payment(**authorization: str) -> dict[str, Any]:
    terms = {"from": "0x" + "Aa" * 20, "to": "0x" + "22" * 20, "value": "1", "validAfter": "0", "validBefore": "9"}
    return {
        "x402Version": 2,
        "accepted": {
            "scheme": "exact",
            "network": "eip155:1919902817",
            "asset": "0x" + "33" * 20,
            "amount": "1",
            "payTo": "0x" + "22" * 20,
            "maxTimeoutSeconds": 120,
        },
        "payload": {
            "authorization": {**terms, "nonce": "0x" + "44" * 32, **authorization},
            "signature": "0x" + "55" * 65,
        },
    }


def encoded(body: Any) -> str:
    return base64.b64encode(json.dumps(body).encode()).decode()


def test_a_payments_id_is_what_the_token_uses_up() -> None:
    read = decode_payment(encoded(payment()))
    assert read.payer == "0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa"
    token = "0x" + "33" * 20
    assert read.id_on(1, token) == payment_id(1, token, read.payer, b"\x44" * 32)
    later = decode_payment(encoded(payment(validBefore="10", value="2")))
    assert later.id_on(1, token) == read.id_on(1, token)
    assert later.digest != read.digest
    others = [
        payment_id(2, token, read.payer, read.nonce),
        payment_id(1, "0x" + "34" * 20, read.payer, read.nonce),
        payment_id(1, token, "0x" + "35" * 20, read.nonce),
        payment_id(1, token, read.payer, bytes(32)),
    ]
    assert len({read.id_on(1, token), *others}) == 5


@pytest.mark.parametrize(
    "authorization",
    [
        {"from": "0x12"},
        {"value": "-1"},
        {"value": "1e3"},
        {"value": "0x1"},
        {"value": ""},
        {"nonce": "0x" + "44" * 31},
        {"validBefore": "9" * 79},
    ],
)
def test_a_malformed_authorisation_is_refused(authorization: dict[str, str]) -> None:
    with pytest.raises(PaymentFailed, match=next(iter(authorization))):
        decode_payment(encoded(payment(**authorization)))


def test_another_transfer_method_beside_the_authorisation_is_refused() -> None:
    body = payment()
    body["payload"]["permit2Authorization"] = {}
    with pytest.raises(PaymentFailed, match="EIP-3009"):
        decode_payment(encoded(body))


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_no_header_makes_the_reader_fail_otherwise(header: Any) -> None:
    text = base64.b64encode(header).decode() if isinstance(header, bytes) else encoded(header)
    with pytest.raises(PaymentFailed) as refused:
        decode_payment(text)
    assert refused.value.code == "payment_invalid"


def test_deeply_nested_json_is_refused() -> None:
    with pytest.raises(PaymentFailed):
        decode_payment(base64.b64encode(b"[" * 12_000).decode())


def test_every_paid_route_has_its_price() -> None:
    rules = PriceRules(chat=4, search=3, classify=2, embeddings=1)
    assert [price_of(rules, route) for route in PAID_ROUTES] == [8, 4, 2, 1, 3]
    with pytest.raises(KeyError):
        price_of(rules, "/v1/models")


def test_a_price_names_the_token_that_is_signed_for() -> None:
    amount = asset_amount(Token("0x" + "33" * 20), 2_000)
    assert amount.model_dump() == {
        "amount": "2000",
        "asset": "0x" + "33" * 20,
        "extra": {"name": "Roda Pay", "version": "1"},
    }
    assert network_of(1919902817) == "eip155:1919902817"


def receipt(**changes: Any) -> Receipt:
    values = {"payer": GATEWAY.address, "dao": dao_id(DOMAIN), "turn": 1, "route": "/v1/search", "amount": 1_000}
    hashes = {"payment": b"\x01" * 32, "request_hash": request_hash({"a": 1}), "response_hash": b"\x02" * 32}
    return Receipt(**{**values, **hashes, **changes})


def test_a_receipt_survives_its_header_and_names_its_signer() -> None:
    signed = issue_receipt(GATEWAY, DOMAIN, receipt())
    assert decode_receipt(encode_receipt(signed)) == signed
    assert signed.signer() == GATEWAY.address


def test_a_receipt_of_another_dao_or_amount_is_not_signed() -> None:
    signed = issue_receipt(GATEWAY, DOMAIN, receipt())
    body = signed.as_json()
    for change in ({"amount": 1}, {"payer": "0x" + "22" * 20}, {"turn": 2}):
        with pytest.raises(NotAuthorised):
            decode_receipt(encoded({**body, "receipt": {**body["receipt"], **change}}))
    assert issue_receipt(GATEWAY, DOMAIN, receipt(dao=bytes(32))).signer() is None


@pytest.mark.parametrize("header", ["", "x", encoded([]), encoded({}), encoded({"receipt": {}}), encoded(None)])
def test_a_header_that_is_no_receipt_is_refused(header: str) -> None:
    with pytest.raises(NotAuthorised) as refused:
        decode_receipt(header)
    assert refused.value.code == "receipt_invalid"
