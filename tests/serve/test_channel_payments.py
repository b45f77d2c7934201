"""Calls paid by channel: what a buyer, a thief and a fault of our own can and cannot get, on a real port and ledger."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import httpx
import pytest

from channel_stand import (
    PRICE,
    SEARCH,
    ask,
    channel_id,
    error_of,
    funded,
    header_of,
    paid,
    settled,
    tampered,
    terms_of,
)
from gateway_stand import Stand, WordModel, key
from rodagila.core.hashing import hex0x
from rodagila.market.receipts import decode_receipt

SALTS = count(1)


@pytest.fixture
def salt() -> int:
    """A salt that no other test uses, so that each test has a channel of its own."""
    return next(SALTS)


@pytest.fixture
def terms(http: httpx.Client) -> Any:
    """The terms of a search by channel."""
    return terms_of(ask(http))


@pytest.fixture
def opened(stand: Stand, http: httpx.Client, terms: Any, salt: int) -> httpx.Response:
    """The response to the first call of the test's channel, which brought 10,000 in."""
    response = ask(http, paid(terms, stand.buyer, PRICE, salt=salt, deposit=10_000))
    assert response.status_code == 200, response.text
    return response


def test_a_deposit_pays_the_first_call_and_stays_with_the_hub(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, model: WordModel
) -> None:
    before = stand.balance(stand.buyer.address), stand.balance(stand.treasuries["docs"])
    response = ask(http, paid(terms, stand.buyer, PRICE, salt=salt, deposit=10_000))
    assert response.status_code == 200, response.text
    assert before[0] - stand.balance(stand.buyer.address) == 10_000
    assert stand.balance(stand.treasuries["docs"]) == before[1]
    told = settled(response)
    assert (told["success"], told["amount"], told["extra"]["chargedAmount"]) == (True, "10000", "1000")
    assert stand.ledger.receipt(bytes.fromhex(told["transaction"][2:])).status == 1
    assert told["extra"]["channelState"] == {
        "channelId": hex0x(channel_id(terms, stand.buyer, salt)),
        "balance": "10000",
        "totalClaimed": "0",
        "withdrawRequestedAt": 0,
        "refundNonce": "0",
        "chargedCumulativeAmount": "1000",
    }
    assert model.calls == 1


def test_a_voucher_pays_a_call_without_a_transaction(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, opened: httpx.Response, model: WordModel
) -> None:
    block = stand.ledger.block_number()
    response = ask(http, paid(terms, stand.buyer, 2 * PRICE, salt=salt))
    assert response.status_code == 200, response.text
    assert response.json()["data"][0]["target"] == "open"
    assert stand.ledger.block_number() == block
    told = settled(response)
    assert (told["transaction"], told["amount"]) == ("", "")
    assert told["extra"]["channelState"]["chargedCumulativeAmount"] == "2000"
    signed = decode_receipt(response.headers["RODA-RECEIPT"])
    assert signed.signer() == stand.gateway.address
    assert (signed.receipt.payer, signed.receipt.amount) == (stand.buyer.address, PRICE)
    assert http.get("/v1/receipts/" + hex0x(signed.id)).json()["transaction"] is None


def test_a_voucher_asks_the_ledger_nothing(
    stand: Stand,
    http: httpx.Client,
    terms: Any,
    salt: int,
    opened: httpx.Response,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked(*_: object, **__: object) -> Any:
        raise AssertionError("the ledger was asked")

    for operation in ("call", "send", "receipt", "logs", "code", "block_number"):
        monkeypatch.setattr(stand.ledger, operation, asked)
    assert ask(http, paid(terms, stand.buyer, 2 * PRICE, salt=salt)).status_code == 200


def test_the_same_voucher_for_the_same_request_returns_the_same_response(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, opened: httpx.Response, model: WordModel
) -> None:
    header = paid(terms, stand.buyer, 2 * PRICE, salt=salt)
    first, second = ask(http, header), ask(http, header)
    assert (second.status_code, second.content) == (200, first.content)
    for name in ("RODA-RECEIPT", "PAYMENT-RESPONSE"):
        assert second.headers[name] == first.headers[name]
    assert model.calls == 1
    assert stand.channels.get(channel_id(terms, stand.buyer, salt)).charged == 2 * PRICE  # type: ignore[union-attr]


def test_a_used_voucher_for_another_request_learns_the_next_sum(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, opened: httpx.Response, model: WordModel
) -> None:
    header = paid(terms, stand.buyer, 2 * PRICE, salt=salt)
    assert ask(http, header).status_code == 200
    response = ask(http, header, {**SEARCH, "k": 3})
    assert (response.status_code, error_of(response)) == (402, "cumulative_amount_mismatch")
    extra = terms_of(response).extra
    assert extra["channelState"]["chargedCumulativeAmount"] == "2000"
    assert extra["voucherState"]["signedMaxClaimable"] == "2000"
    assert model.calls == 1


@pytest.mark.parametrize("total", [0, 1, PRICE - 1, PRICE, 2 * PRICE - 1, 2 * PRICE + 1, 3 * PRICE, 2**128 - 1])
def test_a_voucher_for_another_sum_than_the_next_buys_nothing(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, opened: httpx.Response, total: int, model: WordModel
) -> None:
    response = ask(http, paid(terms, stand.buyer, total, salt=salt), {**SEARCH, "k": 4})
    assert (response.status_code, error_of(response)) == (402, "cumulative_amount_mismatch")
    assert model.calls == 0


def _config(**changes: Any) -> Any:
    return lambda body: body["payload"]["channelConfig"].update(changes)


def _voucher(**changes: Any) -> Any:
    return lambda body: body["payload"]["voucher"].update(changes)


def _flip(body: dict[str, Any]) -> None:
    voucher = body["payload"]["voucher"]
    voucher["signature"] = (
        voucher["signature"][:10] + ("0" if voucher["signature"][10] != "0" else "1") + (voucher["signature"][11:])
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_flip, "voucher_signature"),
        (_voucher(signature="0x" + "00" * 65), "voucher_signature"),
        (_config(payer=key("thief").address), "channel_id_mismatch"),
        (_config(payerAuthorizer=key("thief").address), "channel_id_mismatch"),
        (_config(salt="0x" + "ff" * 32), "channel_id_mismatch"),
        (_config(withdrawDelay=900), "channel_id_mismatch"),
        (_voucher(channelId="0x" + "ab" * 32), "channel_id_mismatch"),
    ],
)
def test_a_tampered_voucher_buys_nothing(
    stand: Stand,
    http: httpx.Client,
    terms: Any,
    salt: int,
    opened: httpx.Response,
    change: Any,
    reason: str,
    model: WordModel,
) -> None:
    header = paid(terms, stand.buyer, 2 * PRICE, salt=salt)
    response = ask(http, tampered(header, change))
    assert (response.status_code, error_of(response)) == (402, reason)
    assert model.calls == 0
    assert ask(http, header).status_code == 200  # the untampered voucher still pays


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body["payload"].pop("voucher"),
        lambda body: body["payload"].pop("channelConfig"),
        lambda body: body["payload"].update(type="claim"),
        lambda body: body["payload"].update(type=["voucher"]),
        lambda body: body["payload"].update(voucher=[]),
        _voucher(maxClaimableAmount="-1"),
        _voucher(maxClaimableAmount="1e3"),
        _voucher(maxClaimableAmount=str(2**128)),
        _voucher(channelId="0x12"),
        _voucher(signature="0x"),
        _config(salt="0x"),
        _config(token=None),
        _config(withdrawDelay=-1),
        _config(withdrawDelay="soon"),
    ],
)
def test_a_malformed_voucher_is_refused(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, change: Any, model: WordModel
) -> None:
    header = tampered(paid(terms, stand.buyer, PRICE, salt=salt), change)
    response = ask(http, header)
    assert (response.status_code, response.json()["code"]) == (402, "payment_invalid"), response.text
    assert model.calls == 0


def test_a_voucher_signed_for_another_chain_or_contract_buys_nothing(
    stand: Stand,
    http: httpx.Client,
    terms: Any,
    salt: int,
    opened: httpx.Response,
    model: WordModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from x402.mechanisms.evm.batch_settlement import utils
    from x402.mechanisms.evm.batch_settlement.types import ChannelConfig
    from x402.mechanisms.evm.batch_settlement.utils import compute_channel_id

    here = "0x" + channel_id(terms, stand.buyer, salt).hex()
    other_chain = terms.model_copy(update={"network": "eip155:84532"})
    lifted = paid(other_chain, stand.buyer, 2 * PRICE, salt=salt)
    with monkeypatch.context() as patch:
        patch.setattr(utils, "BATCH_SETTLEMENT_ADDRESS", key("another hub").address)
        other_hub = paid(terms, stand.buyer, 2 * PRICE, salt=salt)
    for header in (lifted, other_hub):

        def here_again(body: dict[str, Any]) -> None:
            body["accepted"]["network"] = terms.network
            body["payload"]["voucher"]["channelId"] = here

        config = ChannelConfig.from_dict(_payload(header)["channelConfig"])
        assert compute_channel_id(config, terms.network) == here
        response = ask(http, tampered(header, here_again))
        assert (response.status_code, error_of(response)) == (402, "voucher_signature")
        assert ask(http, header).status_code == 402
    assert model.calls == 0


def _payload(header: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    tampered(header, lambda body: found.update(body["payload"]))
    return found


def test_a_voucher_of_another_channel_counts_only_there(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, opened: httpx.Response
) -> None:
    second = next(SALTS)
    assert ask(http, paid(terms, stand.buyer, PRICE, salt=second, deposit=10_000)).status_code == 200
    header = paid(terms, stand.buyer, 2 * PRICE, salt=salt)
    here = hex0x(channel_id(terms, stand.buyer, second))
    lifted = tampered(header, lambda body: body["payload"]["voucher"].update(channelId=here))
    assert error_of(ask(http, lifted)) == "channel_id_mismatch"
    ours = _payload(paid(terms, stand.buyer, 2 * PRICE, salt=second))["channelConfig"]

    def moved(body: dict[str, Any]) -> None:
        body["payload"]["channelConfig"] = ours
        body["payload"]["voucher"]["channelId"] = here

    assert error_of(ask(http, tampered(header, moved))) == "voucher_signature"


def test_a_channel_for_other_terms_buys_nothing(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, model: WordModel
) -> None:
    """The channel pays somebody else, in another token, or leaves its claims to somebody else."""
    thief = key("thief").address
    changes: dict[str, dict[str, Any]] = {
        "receiver_mismatch": {"pay_to": thief},
        "token_mismatch": {"asset": key("other token").address},
        "receiver_authorizer_mismatch": {"extra": {**terms.extra, "receiverAuthorizer": thief}},
        "withdraw_delay_mismatch": {"extra": {**terms.extra, "withdrawDelay": 900}},
    }
    for reason, change in changes.items():
        header = paid(terms.model_copy(update=change), stand.buyer, PRICE, salt=salt)
        assert ask(http, header).json()["code"] == "payment_invalid"
        honest = terms.model_dump(by_alias=True)
        pretending = tampered(header, lambda body, honest=honest: body.update(accepted=honest))
        response = ask(http, pretending)
        assert (response.status_code, error_of(response)) == (402, reason)
    assert model.calls == 0


def test_a_channel_without_money_buys_nothing(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, model: WordModel
) -> None:
    response = ask(http, paid(terms, stand.buyer, PRICE, salt=salt))
    assert (response.status_code, error_of(response)) == (402, "channel_not_found")
    assert ask(http, paid(terms, stand.buyer, PRICE, salt=salt, deposit=1_500)).status_code == 200
    response = ask(http, paid(terms, stand.buyer, 2 * PRICE, salt=salt))
    assert (response.status_code, error_of(response)) == (402, "cumulative_exceeds_balance")
    assert model.calls == 1
    assert ask(http, paid(terms, stand.buyer, 2 * PRICE, salt=salt, deposit=500)).status_code == 200


def test_a_deposit_that_cannot_be_made_buys_nothing(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, model: WordModel
) -> None:
    response = ask(http, paid(terms, stand.poor, PRICE, salt=salt, deposit=10_000))
    assert response.status_code == 402
    assert model.calls == 0
    assert stand.channels.get(channel_id(terms, stand.poor, salt)) is None


def test_a_deposit_that_fails_after_the_handler_releases_no_body(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, model: WordModel
) -> None:
    """The buyer empties the account while the handler works: verification passed, the deposit cannot."""
    from eth_abi.abi import encode as abi_encode

    from rodagila.core.hashing import keccak

    runaway = funded(stand, "runaway by channel", 10_000)
    header = paid(terms, runaway, PRICE, salt=salt, deposit=10_000)
    away = keccak(b"transfer(address,uint256)")[:4] + abi_encode(["address", "uint256"], [key("away").address, 10_000])
    model.before = lambda: stand.transact(runaway, stand.token.address, away)
    response = ask(http, header)
    assert (response.status_code, response.json()["code"]) == (402, "payment_unsettled"), response.text
    assert "Open file" not in response.text
    assert settled(response)["success"] is False
    assert "RODA-RECEIPT" not in response.headers
    model.before = lambda: None
    assert ask(http, header).status_code == 402
    with stand.database.begin() as connection:
        assert connection.exec_driver_sql("select count(*) from call where state != 'served'").scalar() == 0
    assert stand.channels.get(channel_id(terms, runaway, salt)) is None


def test_a_failing_handler_leaves_the_channel_as_it_was(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, opened: httpx.Response, model: WordModel
) -> None:
    before = stand.channels.get(channel_id(terms, stand.buyer, salt))
    header = paid(terms, stand.buyer, 2 * PRICE, salt=salt)
    model.fails = RuntimeError("secret words of the model")
    response = ask(http, header)
    assert (response.status_code, response.json()["code"]) == (500, "unexpected")
    assert "secret" not in response.text
    assert "PAYMENT-RESPONSE" not in response.headers
    assert stand.channels.get(channel_id(terms, stand.buyer, salt)) == before
    model.fails = None
    assert ask(http, header).status_code == 200


def test_a_fault_of_our_own_is_never_a_demand_for_money(
    stand: Stand,
    http: httpx.Client,
    terms: Any,
    salt: int,
    opened: httpx.Response,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The database is busy, the ledger is down, the facilitator has a defect: nothing is charged, nothing released."""
    import sqlite3

    from sqlalchemy.exc import OperationalError

    def locked(*_: object, **__: object) -> Any:
        raise OperationalError("BEGIN IMMEDIATE", {}, sqlite3.OperationalError("database is locked"))

    def down(*_: object, **__: object) -> Any:
        raise OSError("the disk is gone")

    def defect(*_: object, **__: object) -> Any:
        raise ZeroDivisionError

    voucher = paid(terms, stand.buyer, 2 * PRICE, salt=salt)
    fresh = next(SALTS)
    deposit = paid(terms, stand.buyer, PRICE, salt=fresh, deposit=10_000)
    faults: list[tuple[str, Any, str, Any]] = [
        (voucher, stand.channels, "get", locked),
        (voucher, stand.channels, "update_channel", locked),
        (voucher, stand.calls, "keep", locked),
        (deposit, stand.calls, "claim", locked),
        (deposit, stand.ledger, "call", down),
        (deposit, stand.paywall.facilitator, "verify", defect),
        (deposit, stand.paywall.facilitator, "settle", defect),
        (deposit, stand.ledger, "send", down),
        (deposit, stand.ledger, "receipt", down),
    ]
    for header, place, name, fault in faults:
        with monkeypatch.context() as patch:
            patch.setattr(place, name, fault)
            response = ask(http, header)
        assert response.status_code >= 500, (name, response.text)
        assert "PAYMENT-REQUIRED" not in response.headers
        assert "Open file" not in response.text
    for header, number in ((voucher, salt), (deposit, fresh)):
        assert ask(http, header).status_code == 200
        state = stand.paywall.vouchers.hub.state(channel_id(terms, stand.buyer, number))  # type: ignore[union-attr]
        assert state.balance == 10_000  # however often the deposit was tried, it came in once


def test_concurrent_copies_of_one_voucher_are_served_once(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, opened: httpx.Response, model: WordModel
) -> None:
    header = paid(terms, stand.buyer, 2 * PRICE, salt=salt)
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: ask(http, header), range(8)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert model.calls == 1


def test_concurrent_requests_on_one_voucher_are_serialised_and_one_is_served(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, opened: httpx.Response, model: WordModel
) -> None:
    header = paid(terms, stand.buyer, 2 * PRICE, salt=salt)
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda k: ask(http, header, {**SEARCH, "k": k}), range(1, 9)))
    assert sorted(response.status_code for response in responses) == [200] + [402] * 7
    assert model.calls == 1


def _attack(stand: Stand, url: str, terms: Any, rounds: int, at_once: int) -> int:
    """Settle each of ``rounds`` vouchers ``at_once`` times concurrently, half of them for other requests."""
    served, number = 0, next(SALTS)
    funds = (rounds + 1) * PRICE
    with httpx.Client(base_url=url, timeout=60) as http, ThreadPoolExecutor(at_once) as pool:
        assert ask(http, paid(terms, stand.buyer, PRICE, salt=number, deposit=funds)).status_code == 200
        for turn in range(2, rounds + 2):
            header = paid(terms, stand.buyer, turn * PRICE, salt=number)
            bodies = [{**SEARCH, "k": 1 + place % 2} for place in range(at_once)]
            found = list(pool.map(lambda body, header=header: ask(http, header, body), bodies))
            answers = {response.content for response in found if response.status_code == 200}
            assert {response.status_code for response in found} <= {200, 402}
            assert len(answers) == 1, "one voucher was served twice"
            served += 1
    channel = stand.channels.get(channel_id(terms, stand.buyer, number))
    assert channel is not None
    assert channel.charged == channel.signed == (served + 1) * PRICE
    return served


def test_settling_one_payment_twice_concurrently_never_serves_it_twice(
    stand: Stand, url: str, terms: Any, model: WordModel
) -> None:
    assert _attack(stand, url, terms, rounds=50, at_once=4) == 50  # 200 tries
    assert model.calls == 51


@pytest.mark.slow
def test_ten_thousand_tries_to_settle_one_payment_twice_never_serve_it_twice(
    stand: Stand, url: str, terms: Any, model: WordModel
) -> None:
    assert _attack(stand, url, terms, rounds=1_250, at_once=8) == 1_250
    assert model.calls == 1_251


def test_a_payment_identifier_names_one_payment(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, opened: httpx.Response, model: WordModel
) -> None:
    name = f"pay_{salt:032x}"
    header = paid(terms, stand.buyer, 2 * PRICE, salt=salt, identifier=name)
    first = ask(http, header)
    assert first.status_code == 200, first.text
    assert ask(http, header).content == first.content
    other_request = ask(http, header, {**SEARCH, "k": 5})
    assert (other_request.status_code, other_request.json()["code"]) == (409, "payment_used")
    other_payment = ask(http, paid(terms, stand.buyer, 3 * PRICE, salt=salt, identifier=name))
    assert (other_payment.status_code, other_payment.json()["code"]) == (409, "payment_used")
    assert model.calls == 1
    stranger = funded(stand, f"stranger {salt}")  # another payer's names are her own
    assert ask(http, paid(terms, stranger, PRICE, deposit=5_000, identifier=name)).status_code == 200
    for bad in ("short", "x" * 129, "with spaces in the name", ""):
        assert ask(http, paid(terms, stand.buyer, 3 * PRICE, salt=salt, identifier=bad)).status_code == 402


def test_a_payment_identifier_names_one_exact_payment_too(
    stand: Stand, http: httpx.Client, salt: int, model: WordModel
) -> None:
    from gateway_stand import signed_header

    def named(header: str) -> str:
        info = {"payment-identifier": {"info": {"required": False, "id": f"exact_{salt:032x}"}}}
        return tampered(header, lambda body: body.update(extensions=info))

    header = named(signed_header(stand, ask(http), stand.buyer))
    first = ask(http, header)
    assert first.status_code == 200, first.text
    assert ask(http, header).content == first.content
    second = ask(http, named(signed_header(stand, ask(http), stand.buyer)))
    assert (second.status_code, second.json()["code"]) == (409, "payment_used")
    assert model.calls == 1


def _refund(http: httpx.Client, header: str | None = None) -> httpx.Response:
    return http.get("/v1/channels/docs", headers={} if header is None else {"PAYMENT-SIGNATURE": header})


def test_a_refund_pays_what_was_served_and_gives_the_rest_back(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, opened: httpx.Response
) -> None:
    assert ask(http, paid(terms, stand.buyer, 2 * PRICE, salt=salt)).status_code == 200
    before = stand.balance(stand.buyer.address)
    asked = terms_of(_refund(http))
    response = _refund(http, paid(asked, stand.buyer, 2 * PRICE, salt=salt, kind="refund"))
    assert response.status_code == 200, response.text
    assert settled(response)["amount"] == "8000"
    assert "chargedAmount" not in settled(response)["extra"]
    assert stand.balance(stand.buyer.address) - before == 8_000
    state = stand.paywall.vouchers.hub.state(channel_id(terms, stand.buyer, salt))  # type: ignore[union-attr]
    assert (state.balance, state.claimed) == (2_000, 2_000)
    same = _refund(http, paid(asked, stand.buyer, 2 * PRICE, salt=salt, kind="refund"))
    assert (same.content, same.headers["PAYMENT-RESPONSE"]) == (response.content, response.headers["PAYMENT-RESPONSE"])
    assert stand.balance(stand.buyer.address) - before == 8_000
    again = _refund(http, paid(asked, stand.buyer, 2 * PRICE, salt=salt, kind="refund", amount="1"))
    assert (again.status_code, error_of(again)) == (402, "refund_no_balance")
    # The channel can be filled and used again; its sums go on.
    assert ask(http, paid(terms, stand.buyer, 3 * PRICE, salt=salt, deposit=5_000)).status_code == 200


def test_a_part_of_the_rest_can_be_refunded(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, opened: httpx.Response
) -> None:
    asked = terms_of(_refund(http))
    response = _refund(http, paid(asked, stand.buyer, PRICE, salt=salt, kind="refund", amount="1500"))
    assert settled(response)["amount"] == "1500"
    for amount, reason in (("0", "refund_amount_invalid"), ("7501", "refund_no_balance")):
        refused = _refund(http, paid(asked, stand.buyer, PRICE, salt=salt, kind="refund", amount=amount))
        assert error_of(refused) == reason
    assert ask(http, paid(terms, stand.buyer, 2 * PRICE, salt=salt)).status_code == 200


def test_only_the_payer_can_ask_for_a_refund_and_only_with_the_sum_that_was_charged(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, opened: httpx.Response
) -> None:
    asked = terms_of(_refund(http))
    early = _refund(http, paid(asked, stand.buyer, 0, salt=salt, kind="refund"))
    assert error_of(early) == "cumulative_amount_mismatch"
    forged = tampered(paid(asked, stand.buyer, PRICE, salt=salt, kind="refund"), _flip)
    assert error_of(_refund(http, forged)) == "voucher_signature"
    voucher = _refund(http, paid(asked, stand.buyer, 3 * PRICE, salt=salt))
    assert (voucher.status_code, voucher.json()["code"]) == (402, "payment_invalid")


def test_a_channel_whose_exit_is_announced_serves_only_what_stays(
    stand: Stand, http: httpx.Client, terms: Any, salt: int
) -> None:
    leaver = funded(stand, f"leaver {salt}")
    assert ask(http, paid(terms, leaver, PRICE, salt=salt, deposit=10_000)).status_code == 200
    scheme = stand.paywall.vouchers
    assert scheme is not None
    channel = stand.channels.get(channel_id(terms, leaver, salt))
    assert channel is not None
    data = scheme.hub.contract.encode("initiateWithdraw", channel.config.as_tuple(), 8_000)
    stand.transact(leaver, scheme.hub.contract.address, data)
    scheme.watch.renew()
    assert ask(http, paid(terms, leaver, 2 * PRICE, salt=salt)).status_code == 200
    refused = ask(http, paid(terms, leaver, 3 * PRICE, salt=salt))
    assert (refused.status_code, error_of(refused)) == (402, "cumulative_exceeds_balance")


def test_terms_are_not_met_by_a_payment_of_the_other_scheme(stand: Stand, http: httpx.Client, salt: int) -> None:
    from gateway_stand import signed_header

    exact = signed_header(stand, ask(http), stand.buyer)
    batch = terms_of(ask(http)).model_dump(by_alias=True)
    response = ask(http, tampered(exact, lambda body: body.update(accepted=batch)))
    assert (response.status_code, response.json()["code"]) == (402, "payment_invalid")
    voucher = paid(terms_of(ask(http)), stand.buyer, PRICE, salt=salt)
    first = ask(http)
    from x402.http.utils import decode_payment_required_header

    terms: Any = decode_payment_required_header(first.headers["PAYMENT-REQUIRED"]).accepts[0]
    response = ask(http, header_of(terms, _payload(voucher)))
    assert (response.status_code, response.json()["code"]) == (402, "payment_invalid")


def test_offers_and_the_receipt_are_the_gateways_word_on_exactly_these_terms(
    stand: Stand, http: httpx.Client, terms: Any, salt: int, opened: httpx.Response
) -> None:
    from x402.http.utils import decode_payment_required_header

    from rodagila.market.offers import signer_of_artifact

    required: Any = decode_payment_required_header(ask(http).headers["PAYMENT-REQUIRED"])
    offers = required.extensions["offer-receipt"]["info"]["offers"]
    for offer, accepted in zip(offers, required.accepts, strict=True):
        said = offer["payload"]
        assert signer_of_artifact("Offer", offer) == stand.gateway.address
        assert (said["scheme"], said["network"], said["asset"], said["payTo"], said["amount"]) == (
            accepted.scheme,
            accepted.network,
            accepted.asset,
            accepted.pay_to,
            accepted.amount,
        )
        assert said["resourceUrl"] == required.resource.url == str(http.base_url.join("/v1/search"))
    assert required.extensions["payment-identifier"]["info"] == {"required": False}
    receipt = settled(opened)["extensions"]["offer-receipt"]["info"]["receipt"]
    assert signer_of_artifact("Receipt", receipt) == stand.gateway.address
    assert receipt["payload"]["payer"] == stand.buyer.address
    assert receipt["payload"]["resourceUrl"] == required.resource.url
    assert receipt["payload"]["transaction"] == settled(opened)["transaction"]
    assert http.get("/v1/models/docs").json()["gateway"] == stand.gateway.address


def test_a_chain_without_the_hub_is_offered_exact_alone(stand: Stand, tmp_path: Any, model: WordModel) -> None:
    from gateway_stand import serving
    from rodagila.chain.embedded import EmbeddedLedger

    bare = Stand(tmp_path, EmbeddedLedger.open(tmp_path / "bare.sqlite"))
    try:
        with serving(bare.app) as url, httpx.Client(base_url=url, timeout=30) as http:
            from x402.http.utils import decode_payment_required_header

            required: Any = decode_payment_required_header(ask(http).headers["PAYMENT-REQUIRED"])
            assert [terms.scheme for terms in required.accepts] == ["exact"]
            assert bare.paywall.claimer is None
            refund = http.get("/v1/channels/docs")
            assert refund.status_code == 402
    finally:
        bare.close()
