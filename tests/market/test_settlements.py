"""A paid call whose block the chain drops is settled again from what the buyer signed, or its receipt says so."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from anvil import Chain, running
from channel_stand import PRICE, ask, terms_of
from channel_stand import paid as paid_by_channel
from gateway_stand import Stand, serving, signed_header
from rodagila.chain.port import EMBEDDED_CHAIN_ID
from rodagila.chain.predeploys import predeployed_code
from rodagila.chain.rpc import RpcLedger
from rodagila.core.errors import Conflict
from rodagila.market.calls import ORPHANED, SERVED, Call
from rodagila.market.receipts import decode_receipt
from rodagila.market.settlements import Followed, Settlements
from rodagila.serve.feedback import FeedbackRequest

CONFIRMATIONS = 12


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running(EMBEDDED_CHAIN_ID) as found:
        yield found


@pytest.fixture
def stand(chain: Chain, tmp_path: Path) -> Iterator[Stand]:
    before = chain.ask("evm_snapshot")
    ledger = RpcLedger.open(chain.url, confirmations=CONFIRMATIONS)
    ledger.put_code(predeployed_code())
    made = Stand(tmp_path, ledger)
    chain.mine(CONFIRMATIONS)
    yield made
    made.close()
    chain.ask("evm_revert", before)


@pytest.fixture
def http(stand: Stand) -> Iterator[httpx.Client]:
    with serving(stand.app) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def paid(stand: Stand, http: httpx.Client, text: str) -> Call:
    """Pay one call and return it."""
    body = {"model": "docs", "text": text, "k": 1}
    header = signed_header(stand, http.post("/v1/search", json=body), stand.buyer)
    response = http.post("/v1/search", json=body, headers={"PAYMENT-SIGNATURE": header})
    assert response.status_code == 200, response.text
    return stand.calls.by_receipt(decode_receipt(response.headers["RODA-RECEIPT"]).id)


def follow(stand: Stand) -> Followed:
    """Look after the settlements once, as the gateway does every few seconds."""
    accounts = {str(stand.gateway.address): stand.gateway}
    return Settlements(stand.database).follow(stand.ledger, accounts, stand.calls)


def recheck(stand: Stand) -> None:
    """Read the channels anew, as whoever follows settlements does after the chain dropped one."""
    assert stand.paywall.vouchers is not None
    stand.paywall.vouchers.watch.recheck()


def income(stand: Stand) -> int:
    return stand.balance(stand.treasuries["docs"])


def now(stand: Stand, call: Call) -> Call:
    found = stand.calls.get(call.id)
    assert found is not None
    return found


def test_a_settlement_is_followed_until_it_is_confirmed(stand: Stand, http: httpx.Client, chain: Chain) -> None:
    paid(stand, http, "open a file")
    assert follow(stand) == Followed(waiting=1, sent_again=0, orphaned=0)
    chain.mine(CONFIRMATIONS - 1)
    assert follow(stand).waiting == 1
    chain.mine()
    assert follow(stand).waiting == 0


@pytest.mark.parametrize("depth", [1, 3, 12])
def test_payments_that_a_reorganisation_took_away_are_settled_again_once(
    stand: Stand, http: httpx.Client, chain: Chain, depth: int
) -> None:
    calls = [paid(stand, http, f"text {number}") for number in range(min(depth, 4))]
    chain.mine(max(0, depth - len(calls)))
    assert income(stand) == PRICE * len(calls)
    chain.reorganise(depth)
    assert income(stand) == 0
    assert follow(stand).sent_again == len(calls)
    assert income(stand) == PRICE * len(calls)
    assert [now(stand, call).transaction for call in calls] == [call.transaction for call in calls]
    chain.mine(CONFIRMATIONS)
    assert follow(stand) == Followed(0, 0, 0)
    assert income(stand) == PRICE * len(calls)


def test_a_payment_whose_nonce_was_taken_is_signed_anew_and_its_call_names_the_new_transaction(
    stand: Stand, http: httpx.Client, chain: Chain
) -> None:
    lost = [paid(stand, http, "one"), paid(stand, http, "two")]
    chain.reorganise(2)
    later = paid(stand, http, "three")  # takes the nonce of the first
    assert later.transaction is not None
    followed = follow(stand)
    assert (followed.sent_again, followed.orphaned) == (2, 0)
    assert income(stand) == 3 * PRICE
    first = now(stand, lost[0])
    assert first.transaction != lost[0].transaction
    assert first.state == SERVED
    assert json.loads(base64.b64decode(first.settlement))["transaction"] == "0x" + (first.transaction or b"").hex()
    for call in (*lost, later):
        assert stand.ledger.receipt(now(stand, call).transaction or b"").status == 1
    chain.mine(CONFIRMATIONS)
    assert follow(stand) == Followed(0, 0, 0)


def test_a_payment_that_expired_before_it_could_be_repeated_has_its_receipt_marked_orphaned(
    stand: Stand, http: httpx.Client, chain: Chain
) -> None:
    call = paid(stand, http, "one")
    chain.reorganise(1)
    chain.ask("evm_increaseTime", 1_000)
    chain.mine()
    follow(stand)
    chain.mine(CONFIRMATIONS)
    assert follow(stand) == Followed(waiting=0, sent_again=0, orphaned=1)
    assert (income(stand), now(stand, call).state) == (0, ORPHANED)
    assert call.receipt is not None
    given = FeedbackRequest(
        receipt_id="0x" + call.receipt.id.hex(), account=stand.buyer.address, kind="rating",
        body={"request": {}, "rating": 5}, signature="0x" + "11" * 65,
    )  # fmt: skip
    with pytest.raises(Conflict):
        stand.feedback.take(given, 1)


def test_a_payment_that_a_stranger_repeated_first_is_found_there(
    stand: Stand, http: httpx.Client, chain: Chain
) -> None:
    call = paid(stand, http, "one")
    assert call.transaction is not None
    sent = chain.ask("eth_getTransactionByHash", "0x" + call.transaction.hex())
    chain.reorganise(1)
    stand.transact(stand.faucet, stand.token.address, bytes.fromhex(sent["input"][2:]))
    follow(stand)
    chain.mine(CONFIRMATIONS)
    assert follow(stand).orphaned == 0
    assert income(stand) == PRICE
    found = now(stand, call)
    assert (found.state, found.transaction != call.transaction) == (SERVED, True)
    assert follow(stand).waiting == 0


def test_a_deposit_that_the_chain_dropped_is_made_again_and_its_channel_goes_on(
    stand: Stand, http: httpx.Client, chain: Chain
) -> None:
    before, terms = stand.balance(stand.buyer.address), terms_of(ask(http))
    assert ask(http, paid_by_channel(terms, stand.buyer, PRICE, salt=1, deposit=10_000)).status_code == 200
    chain.reorganise(1)
    assert stand.balance(stand.buyer.address) == before
    assert follow(stand).sent_again == 1
    assert stand.balance(stand.buyer.address) == before - 10_000
    recheck(stand)
    assert ask(http, paid_by_channel(terms, stand.buyer, 2 * PRICE, salt=1)).status_code == 200
    chain.mine(CONFIRMATIONS)
    assert follow(stand) == Followed(0, 0, 0)


def test_a_channel_whose_deposit_is_lost_buys_nothing_more(stand: Stand, http: httpx.Client, chain: Chain) -> None:
    terms = terms_of(ask(http))
    assert ask(http, paid_by_channel(terms, stand.buyer, PRICE, salt=2, deposit=10_000)).status_code == 200
    chain.reorganise(1)
    chain.ask("evm_increaseTime", 10_000)
    chain.mine()
    follow(stand)
    chain.mine(CONFIRMATIONS)
    assert follow(stand).orphaned == 1
    recheck(stand)
    assert ask(http, paid_by_channel(terms, stand.buyer, 2 * PRICE, salt=2)).status_code == 402
