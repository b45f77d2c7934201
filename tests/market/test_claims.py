"""Claims: what is due, what a bad row does, and that a killed claimer loses and repeats nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from channel_stand import Opened, funded
from gateway_stand import Stand, key
from rodagila.core.errors import Unreachable
from rodagila.core.policy import ChannelRules
from rodagila.market.channels import Channel
from rodagila.market.claims import Claimer, claim_safely, due
from rodagila.market.fees import fees
from rodagila.market.hub import HUB, ChannelConfig, Hub, HubState
from rodagila.market.lanes import Lane, LanePayer
from rodagila.market.watch import ChannelWatch

SALTS = count(1)
NOW = 1_800_000_000
RULES = ChannelRules(withdraw_delay_seconds=86_400, claim_value=1_000, claim_age_seconds=3_600)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    stand = Stand(Path(tmp_path_factory.mktemp("claims")))
    yield stand
    stand.close()


@pytest.fixture
def treasury(stand: Stand) -> str:
    """A treasury of this test's own."""
    return str(key(f"treasury {next(SALTS)}").address)


def claimer_of(stand: Stand, now: int = NOW) -> Claimer:
    hub = Hub(stand.ledger)
    watch = ChannelWatch(hub, stand.channels)
    signer = stand.paywall.facilitator.signer
    return Claimer(stand.token.address, hub, stand.channels, watch, signer, clock=lambda: now)


def test_claims_are_due_by_value_by_age_and_on_an_announced_exit() -> None:
    config = ChannelConfig(HUB, HUB, HUB, HUB, HUB, 86_400, bytes(32))
    one = Channel(bytes(32), config, charged=500, state=HubState(10_000), unclaimed_since=NOW)
    assert not due([], RULES, NOW)
    assert not due([one, replace(one, charged=499)], RULES, NOW)
    assert due([one, one], RULES, NOW)
    assert not due([one], RULES, NOW + 3_599)
    assert due([one], RULES, NOW + 3_600)
    assert due([replace(one, state=HubState(10_000, 0, 1, NOW))], RULES, NOW)
    assert not due([replace(one, charged=0, state=HubState(10_000, 0, 1, NOW))], RULES, NOW + 99_999)
    late = replace(RULES, claim_age_seconds=86_400 * 20)
    assert not due([one], late, NOW + 43_199)
    assert due([one], late, NOW + 43_200)  # half the withdraw delay, whatever the policy says


def test_what_is_due_becomes_the_treasurys_money_once(stand: Stand, treasury: str) -> None:
    first = stand.ledger.block_number() + 1
    ada, bob = funded(stand, "ada"), funded(stand, "bob")
    channels = [Opened(stand, ada, treasury), Opened(stand, ada, treasury), Opened(stand, bob, treasury)]
    for place, opened in enumerate(channels):
        opened.charge(100 * (place + 1))
        opened.charge(10)
    claimer = claimer_of(stand)
    assert claimer.run({treasury: RULES}) == []
    (claim,) = claimer_of(stand, NOW + 4_000).run({treasury: RULES})
    assert (claim.rows, claim.amount, claim.paid) == (3, 630, 630)
    assert stand.balance(treasury) == 630
    assert all(opened.now.unclaimed == 0 and opened.now.unclaimed_since == 0 for opened in channels)
    assert claimer.flush([treasury])[0].rows == 0
    assert stand.balance(treasury) == 630
    paid = sorted([(ada.address, 2, 320), (bob.address, 1, 310)])
    assert fees(stand.ledger, stand.token.address, treasury, first) == paid  # the payment out is no second fee


def test_only_the_newest_voucher_of_a_channel_is_claimed(stand: Stand, treasury: str) -> None:
    opened = Opened(stand, funded(stand, "many calls"), treasury)
    for _ in range(20):
        opened.charge(7)
    before = stand.ledger.block_number()
    (claim,) = claimer_of(stand).flush([treasury])
    assert (claim.rows, claim.amount, claim.paid) == (1, 140, 140)
    assert stand.ledger.block_number() == before + 2  # one claim, one payment


def test_a_row_that_the_contract_refuses_is_left_out_and_costs_the_others_nothing(stand: Stand, treasury: str) -> None:
    """One channel's signature is spoilt, another has less than its voucher: the third is claimed."""
    payer = funded(stand, "bad rows")
    spoilt, drained, good = (Opened(stand, payer, treasury) for _ in range(3))
    for opened in (spoilt, drained, good):
        opened.charge(200)
    stand.channels.update_channel(spoilt.id, lambda now: now and replace(now, signature=bytes(65)))
    drained.charge(1_000_000)
    (claim,) = claimer_of(stand).flush([treasury])
    assert (claim.rows, claim.amount, claim.paid) == (1, 200, 200)
    assert good.now.unclaimed == 0
    assert spoilt.now.unclaimed == 200
    assert drained.now.unclaimed == 1_000_200


def test_an_announced_exit_is_claimed_at_once_and_takes_only_the_rest(stand: Stand, treasury: str) -> None:
    payer = funded(stand, "leaver")
    opened = Opened(stand, payer, treasury, delay=900)
    opened.charge(300)
    hub = Hub(stand.ledger)
    stand.transact(payer, HUB, hub.contract.encode("initiateWithdraw", opened.config.as_tuple(), 10_000))
    assert opened.now.state.leaving == 0  # nobody has looked yet
    (claim,) = claimer_of(stand).run({treasury: RULES})
    assert (claim.amount, claim.paid) == (300, 300)
    assert (opened.now.state.leaving, opened.now.free) == (10_000, 0)


def test_a_hundred_vouchers_fit_one_claim_and_more_take_another(stand: Stand, treasury: str) -> None:
    from rodagila.market import claims

    payer = funded(stand, "hundred")
    for _ in range(5):
        Opened(stand, payer, treasury, deposit=50).charge(11)
    before = stand.ledger.block_number()
    whole, claims.ROWS = claims.ROWS, 2
    try:
        (claim,) = claimer_of(stand).flush([treasury])
    finally:
        claims.ROWS = whole
    assert (claim.rows, claim.amount) == (5, 55)
    assert stand.ledger.block_number() == before + 4


@pytest.mark.slow
def test_the_gas_limit_suffices_for_a_hundred_vouchers(stand: Stand, treasury: str) -> None:
    payer = funded(stand, "a hundred")
    for _ in range(100):
        Opened(stand, payer, treasury, deposit=50).charge(11)
    (claim,) = claimer_of(stand).flush([treasury])
    assert (claim.rows, claim.paid) == (100, 1_100)
    (transaction,) = {entry.tx_hash for _, _, entry in Hub(stand.ledger).claims(stand.token.address, treasury, 0)}
    assert stand.ledger.receipt(transaction).gas_used < 3_000_000


@pytest.mark.parametrize("dies_at", range(1, 6))
def test_a_claimer_that_is_killed_anywhere_loses_and_repeats_nothing(
    stand: Stand, treasury: str, dies_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after the claim is sent, before and after it is paid out, before the channel is read anew."""

    class Killed(BaseException):
        pass

    opened = Opened(stand, funded(stand, "killed claimer"), treasury)
    opened.charge(400)
    steps = count(1)
    real_send, real_refresh = stand.ledger.send, ChannelWatch.refresh

    def send(raw: bytes) -> bytes:
        if next(steps) == dies_at:
            raise Killed
        sent = real_send(raw)
        if next(steps) == dies_at:
            raise Killed
        return sent

    def refresh(self: ChannelWatch, channel_id: bytes) -> Channel | None:
        if next(steps) == dies_at:
            raise Killed
        return real_refresh(self, channel_id)

    claimer = claimer_of(stand)
    claimer._watch.renew()
    with monkeypatch.context() as patch:
        patch.setattr(stand.ledger, "send", send)
        patch.setattr(ChannelWatch, "refresh", refresh)
        with pytest.raises(Killed):
            claimer._claim(treasury, [opened.now])
    claimer_of(stand, NOW + 4_000).run({treasury: RULES})
    assert stand.balance(treasury) == 400
    assert opened.now.unclaimed == 0


def test_two_claimers_at_once_pay_once(stand: Stand, treasury: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    opened = Opened(stand, funded(stand, "two claimers"), treasury)
    opened.charge(400)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda claimer: claimer.flush([treasury]), [claimer_of(stand), claimer_of(stand)]))
    assert stand.balance(treasury) == 400


def test_a_ledger_that_is_down_is_tried_again_later() -> None:
    def down() -> Any:
        raise Unreachable("unreachable", "no ledger")

    assert claim_safely(down) == []


def test_a_payer_that_lost_its_file_signs_nothing_that_it_did_not_sign_before(stand: Stand, tmp_path: Path) -> None:
    """A gateway that names a sum without the payer's own signature on it is refused."""
    from rodagila.core.errors import PaymentFailed
    from rodagila.market.lanes import MISMATCH

    payer = LanePayer(stand.buyer, stand.token.address, stand.network, 5_000, Lane(tmp_path / "lane.json", 50_000))
    terms: dict[str, Any] = {
        "scheme": "batch-settlement",
        "network": stand.network,
        "asset": stand.token.address,
        "amount": "1000",
        "payTo": stand.treasuries["docs"],
        "maxTimeoutSeconds": 120,
        "extra": {"receiverAuthorizer": stand.gateway.address, "withdrawDelay": 86_400},
    }
    state = {"chargedCumulativeAmount": "40000", "balance": "50000"}
    for voucher in (None, {"signedMaxClaimable": "40000", "signature": "0x" + "11" * 65}):
        lie = {**terms, "extra": {**terms["extra"], "channelState": state}}
        if voucher is not None:
            lie["extra"]["voucherState"] = voucher
        with pytest.raises(PaymentFailed) as refused:
            payer.corrected({"error": MISMATCH, "accepts": [lie]}, "http://g/")
        assert refused.value.code == "channel_broken"
    payer.close()
