"""What a buyer, a thief and a crash can and cannot get from a gateway on a real port over a real ledger."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from gateway_stand import Stand, WordModel, key, signed_header

SEARCH = {"model": "docs", "text": "open a file", "k": 2}


def ask(http: httpx.Client, header: str | None = None, body: dict[str, Any] | None = None) -> httpx.Response:
    headers = {} if header is None else {"PAYMENT-SIGNATURE": header}
    return http.post("/v1/search", json=body or SEARCH, headers=headers)


def test_an_unpaid_call_learns_the_terms_and_nothing_else(stand: Stand, http: httpx.Client, model: WordModel) -> None:
    response = ask(http)
    assert response.status_code == 402
    terms = json.loads(base64.b64decode(response.headers["PAYMENT-REQUIRED"]))
    assert terms["x402Version"] == 2
    assert terms["accepts"] == [
        {
            "scheme": "exact",
            "network": "eip155:1919902817",
            "asset": stand.token.address,
            "amount": "1000",
            "payTo": stand.treasuries["docs"],
            "maxTimeoutSeconds": 120,
            "extra": {"name": "Roda Pay", "version": "1"},
        },
        {
            "scheme": "batch-settlement",
            "network": "eip155:1919902817",
            "asset": stand.token.address,
            "amount": "1000",
            "payTo": stand.treasuries["docs"],
            "maxTimeoutSeconds": 120,
            "extra": {
                "name": "Roda Pay",
                "version": "1",
                "receiverAuthorizer": stand.gateway.address,
                "withdrawDelay": 86_400,
                "minDeposit": "10000",
            },
        },
    ]
    body = response.json()
    assert {name: body[name] for name in terms} == terms
    assert body["code"] == "payment_required"
    assert response.headers["content-type"] == "application/problem+json"
    assert model.calls == 0
    assert "Open file" not in response.text


def test_a_paid_call_moves_the_price_and_returns_a_receipt(stand: Stand, http: httpx.Client, model: WordModel) -> None:
    from rodagila.market.receipts import decode_receipt, request_hash, response_hash

    before = stand.balance(stand.buyer.address), stand.balance(stand.treasuries["docs"])
    response = ask(http, signed_header(stand, ask(http), stand.buyer))
    assert response.status_code == 200, response.text
    assert response.json()["data"][0]["target"] == "open"
    after = stand.balance(stand.buyer.address), stand.balance(stand.treasuries["docs"])
    assert (before[0] - after[0], after[1] - before[1]) == (1000, 1000)
    settled = json.loads(base64.b64decode(response.headers["PAYMENT-RESPONSE"]))
    assert settled["success"] is True
    assert stand.ledger.receipt(bytes.fromhex(settled["transaction"][2:])).status == 1
    signed = decode_receipt(response.headers["RODA-RECEIPT"])
    assert signed.signer() == stand.gateway.address
    assert signed.receipt.request_hash == request_hash(SEARCH)
    assert signed.receipt.response_hash == response_hash(response.content)
    assert (signed.receipt.payer, signed.receipt.amount, signed.receipt.turn) == (stand.buyer.address, 1000, 1)
    stored = http.get("/v1/receipts/0x" + signed.id.hex()).json()
    assert stored["transaction"] == settled["transaction"]
    assert stored["receipt"] == signed.as_json()["receipt"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount": "999"}, "other terms"),
        ({"pay_to": key("thief").address}, "other terms"),
        ({"network": "eip155:84532"}, "other terms"),
        ({"asset": key("other token").address}, "other terms"),
        ({"extra": {"name": "Rodo Pay", "version": "1"}}, "other terms"),
        ({"max_timeout_seconds": 3600}, "other terms"),
    ],
)
def test_a_payment_for_other_terms_buys_nothing(
    stand: Stand, http: httpx.Client, model: WordModel, changes: dict[str, Any], reason: str
) -> None:
    response = ask(http, signed_header(stand, ask(http), stand.buyer, **changes))
    assert (response.status_code, response.json()["code"]) == (402, "payment_invalid")
    assert reason in response.json()["detail"]
    assert "PAYMENT-REQUIRED" in response.headers
    assert model.calls == 0


def _tampered(header: str, change: Any) -> str:
    body = json.loads(base64.b64decode(header))
    change(body)
    return base64.b64encode(json.dumps(body).encode()).decode()


def _authorization(**values: str) -> Any:
    return lambda body: body["payload"]["authorization"].update(values)


def _flip_signature(body: dict[str, Any]) -> None:
    signature = body["payload"]["signature"]
    body["payload"]["signature"] = signature[:10] + ("0" if signature[10] != "0" else "1") + signature[11:]


@pytest.mark.parametrize(
    "change",
    [
        _authorization(value="1"),
        _authorization(to=key("thief").address),
        _authorization(nonce="0x" + "00" * 32),
        _authorization(validBefore="1"),
        _authorization(validBefore="9" * 78),
        _authorization(validAfter="9999999999"),
        _authorization(**{"from": key("thief").address}),
        _authorization(**{"from": "0x" + "aB" * 20}),
        _flip_signature,
        lambda body: body["payload"].update(signature="0x" + "00" * 65),
        lambda body: body["payload"].update(permit2Authorization={}),
        lambda body: body["payload"].pop("authorization"),
        lambda body: body.update(x402Version=1),
        lambda body: body["payload"].update(authorization=[]),
        lambda body: body.pop("accepted"),
    ],
)
def test_a_tampered_payment_buys_nothing(stand: Stand, http: httpx.Client, model: WordModel, change: Any) -> None:
    header = signed_header(stand, ask(http), stand.buyer)
    before = stand.balance(stand.buyer.address)
    response = ask(http, _tampered(header, change))
    assert (response.status_code, response.json()["code"]) == (402, "payment_invalid"), response.text
    assert model.calls == 0
    assert stand.balance(stand.buyer.address) == before
    assert ask(http, header).status_code == 200  # the untampered header still pays


@pytest.mark.parametrize("header", ["", "x", "é", base64.b64encode(b"[1]").decode(), "A" * 20_000, "bnVsbA=="])
def test_a_header_that_is_no_payment_is_refused(http: httpx.Client, model: WordModel, header: str) -> None:
    response = http.post("/v1/search", json=SEARCH, headers={"PAYMENT-SIGNATURE": header.encode()})
    assert (response.status_code, response.json()["code"]) == (402, "payment_invalid")
    assert model.calls == 0


def test_insufficient_funds_buy_nothing(stand: Stand, http: httpx.Client, model: WordModel) -> None:
    response = ask(http, signed_header(stand, ask(http), stand.poor))
    assert response.status_code == 402
    assert "insufficient" in response.json()["detail"]
    assert model.calls == 0


def test_the_same_payment_again_returns_the_same_answer_without_a_second_charge(
    stand: Stand, http: httpx.Client, model: WordModel
) -> None:
    header = signed_header(stand, ask(http), stand.buyer)
    first = ask(http, header)
    before = stand.balance(stand.buyer.address)
    second = ask(http, header)
    assert (second.status_code, second.content) == (200, first.content)
    assert second.headers["RODA-RECEIPT"] == first.headers["RODA-RECEIPT"]
    assert model.calls == 1
    assert stand.balance(stand.buyer.address) == before


def test_the_same_payment_for_another_request_is_a_conflict(stand: Stand, http: httpx.Client, model: WordModel) -> None:
    header = signed_header(stand, ask(http), stand.buyer)
    assert ask(http, header).status_code == 200
    other = ask(http, header, {**SEARCH, "text": "sort a list"})
    assert (other.status_code, other.json()["code"]) == (409, "payment_used")
    assert model.calls == 1


def test_a_settled_nonce_with_another_signature_is_a_conflict(
    stand: Stand, http: httpx.Client, model: WordModel
) -> None:
    header = signed_header(stand, ask(http), stand.buyer)
    assert ask(http, header).status_code == 200
    forged = ask(http, _tampered(header, _flip_signature))
    assert (forged.status_code, forged.json()["code"]) == (409, "payment_used")


def test_concurrent_copies_of_one_payment_are_served_once(stand: Stand, http: httpx.Client, model: WordModel) -> None:
    header = signed_header(stand, ask(http), stand.buyer)
    before = stand.balance(stand.buyer.address)
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: ask(http, header), range(8)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert model.calls == 1
    assert before - stand.balance(stand.buyer.address) == 1000


def test_concurrent_payments_are_each_served(stand: Stand, http: httpx.Client, model: WordModel) -> None:
    headers = [signed_header(stand, ask(http), stand.buyer) for _ in range(6)]
    before = stand.balance(stand.buyer.address)
    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(lambda header: ask(http, header).status_code, headers))
    assert statuses == [200] * 6
    assert before - stand.balance(stand.buyer.address) == 6000


def test_a_failing_handler_costs_nothing_and_the_payment_stays_good(
    stand: Stand, http: httpx.Client, model: WordModel
) -> None:
    header = signed_header(stand, ask(http), stand.buyer)
    before = stand.balance(stand.buyer.address)
    model.fails = RuntimeError("secret words of the model")
    response = ask(http, header)
    assert (response.status_code, response.json()["code"]) == (500, "unexpected")
    assert "secret" not in response.text
    assert "PAYMENT-RESPONSE" not in response.headers
    assert stand.balance(stand.buyer.address) == before
    model.fails = None
    assert ask(http, header).status_code == 200
    assert before - stand.balance(stand.buyer.address) == 1000


def test_a_settlement_that_fails_releases_no_body(stand: Stand, http: httpx.Client, model: WordModel) -> None:
    """The buyer empties the account while the handler works: verification passed, settlement cannot."""
    from eth_abi.abi import encode as abi_encode

    from rodagila.core.hashing import keccak

    runaway = key("runaway")
    drip = keccak(b"drip(address,uint256)")[:4] + abi_encode(["address", "uint256"], [runaway.address, 1000])
    stand.transact(stand.ledger.faucet, stand.token.address, drip)
    stand.transact(stand.ledger.faucet, runaway.address, b"", 10**18)
    header = signed_header(stand, ask(http), runaway)
    away = keccak(b"transfer(address,uint256)")[:4] + abi_encode(["address", "uint256"], [key("away").address, 1000])
    model.before = lambda: stand.transact(runaway, stand.token.address, away)
    response = ask(http, header)
    assert (response.status_code, response.json()["code"]) == (402, "payment_unsettled")
    assert "Open file" not in response.text
    assert json.loads(base64.b64decode(response.headers["PAYMENT-RESPONSE"]))["success"] is False
    assert "RODA-RECEIPT" not in response.headers
    model.before = lambda: None
    assert ask(http, header).status_code == 402
    with stand.database.begin() as connection:
        assert connection.exec_driver_sql("select count(*) from call where state != 'served'").scalar() == 0


def test_a_nonce_spent_on_oneself_while_the_handler_works_releases_no_body(
    stand: Stand, http: httpx.Client, model: WordModel
) -> None:
    """The payer signs a second authorisation with the payment's nonce, to himself, and sends it first."""
    from eth_abi.abi import encode as abi_encode

    from rodagila.core.hashing import keccak

    header = signed_header(stand, ask(http), stand.buyer)
    authorization = json.loads(base64.b64decode(header))["payload"]["authorization"]
    kinds = ["address", "address", "uint256", "uint256", "uint256", "bytes32"]
    nonce = bytes.fromhex(authorization["nonce"][2:])
    values = [stand.buyer.address, stand.buyer.address, 1000, 0, int(authorization["validBefore"]), nonce]
    names = ("from", "to", "value", "validAfter", "validBefore", "nonce")
    signed = stand.buyer.sign_typed_data(
        domain_data={
            "name": "Roda Pay",
            "version": "1",
            "chainId": stand.ledger.chain_id,
            "verifyingContract": stand.token.address,
        },
        message_types={
            "TransferWithAuthorization": [{"name": name, "type": kind} for name, kind in zip(names, kinds, strict=True)]
        },
        message_data=dict(zip(names, values, strict=True)),
    )
    data = keccak(b"transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)")[:4]
    data += abi_encode([*kinds, "bytes"], [*values, bytes(signed.signature)])
    model.before = lambda: stand.transact(stand.ledger.faucet, stand.token.address, data)
    response = ask(http, header)
    assert (response.status_code, response.json()["code"]) == (402, "payment_unsettled")
    assert "Open file" not in response.text


def test_a_request_that_cannot_be_served_is_refused_before_money(http: httpx.Client) -> None:
    assert ask(http, body={**SEARCH, "k": 51}).status_code == 422
    assert ask(http, body={**SEARCH, "model": "nobody"}).json()["code"] == "model_unknown"
    for text in ("", " \n"):
        assert ask(http, body={**SEARCH, "text": text}).json()["code"] == "invalid_request"


def test_each_dao_is_paid_into_its_own_treasury(stand: Stand, http: httpx.Client) -> None:
    body = {**SEARCH, "model": "code-1"}
    unpaid = ask(http, body=body)
    header = signed_header(stand, unpaid, stand.buyer)
    assert ask(http, header).status_code == 402  # the payment for code does not buy from docs
    before = stand.balance(stand.treasuries["code"])
    assert ask(http, header, body).status_code == 200
    assert stand.balance(stand.treasuries["code"]) - before == 1000
