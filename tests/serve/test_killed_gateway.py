"""A real gateway process is killed between any two steps of a paid call: nothing is paid twice, nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from channel_stand import PRICE, SEARCH, channel_id, paid, terms_of
from gateway_stand import Stand, signed_header

ROOT = Path(__file__).resolve().parents[2]
SALTS = count(1)
EXACT_STEPS, DEPOSIT_STEPS, VOUCHER_STEPS = 13, 49, 7
"""How many steps a call has; a gateway that is to be killed later serves it."""


class Gateways:
    """Forks gateways over one stand's files; the stand is opened here too, to see what they did."""

    def __init__(self, folder: Path) -> None:
        self.stand = Stand(folder)
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
        command = [sys.executable, str(ROOT / "tests/serve/killed_gateway.py"), str(folder), self.stand.token.address]
        self._program = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
        )

    def start(self, kill_at: int = 0) -> httpx.Client:
        """Start a gateway in place of the one before and return a client of it."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(json.dumps({"kill_at": kill_at}) + "\n")
        self._program.stdin.flush()
        return httpx.Client(base_url=f"http://127.0.0.1:{int(self._program.stdout.readline())}", timeout=30)

    def close(self) -> None:
        """End everything."""
        self._program.communicate()
        self.stand.close()


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    gateways = Gateways(Path(tmp_path_factory.mktemp("killed")))
    yield gateways
    gateways.close()


def search(http: httpx.Client, header: str | None, k: int = 2) -> httpx.Response | None:
    """Make one call; None if the gateway died over it."""
    headers = {} if header is None else {"PAYMENT-SIGNATURE": header}
    try:
        return http.post("/v1/search", json={**SEARCH, "k": k}, headers=headers)
    except httpx.TransportError:
        return None


def killed_and_mended(gateways: Gateways, header: str, kill_at: int) -> bool:
    """Pay, be killed at a step, pay the same again: one answer. Returns whether the gateway was killed."""
    with gateways.start(kill_at) as http:
        first = search(http, header)
    with gateways.start() as http:
        second, third = search(http, header), search(http, header)
        other = search(http, header, k=3)
    assert second is not None
    assert third is not None
    assert other is not None
    assert (second.status_code, third.status_code) == (200, 200), second.text
    for name in ("RODA-RECEIPT", "PAYMENT-RESPONSE"):
        assert third.headers[name] == second.headers[name]
    assert third.content == second.content
    assert other.status_code in (402, 409)  # the same payment buys nothing else
    if first is not None:
        assert (first.status_code, first.content) == (200, second.content)
    return first is None


def exact_try(gateways: Gateways, kill_at: int) -> bool:
    """One try by exact: the price moves once."""
    stand = gateways.stand
    with gateways.start() as http:
        demanded = search(http, None)
    assert demanded is not None
    header = signed_header(stand, demanded, stand.buyer)
    before = stand.balance(stand.buyer.address)
    killed = killed_and_mended(gateways, header, kill_at)
    assert before - stand.balance(stand.buyer.address) == PRICE
    return killed


class ChannelTries:
    """Tries on one channel after the other: the deposit comes in once, each voucher is charged once, none is lost."""

    CALLS = 4

    def __init__(self, gateways: Gateways) -> None:
        self._gateways, self._charged, self._salt = gateways, 0, next(SALTS)
        with gateways.start() as http:
            demanded = search(http, None)
        assert demanded is not None
        self._terms: Any = terms_of(demanded)

    def once(self, number: int) -> bool:
        """One try with the channel's next voucher, killed at the ``number``-th step; the first brings the money in."""
        kill_at = 1 + number % (VOUCHER_STEPS if self._charged else DEPOSIT_STEPS)
        stand = self._gateways.stand
        before = stand.balance(stand.buyer.address)
        deposit = None if self._charged else self.CALLS * PRICE
        header = paid(self._terms, stand.buyer, self._charged + PRICE, salt=self._salt, deposit=deposit)
        killed = killed_and_mended(self._gateways, header, kill_at)
        self._charged += PRICE
        channel = stand.channels.get(channel_id(self._terms, stand.buyer, self._salt))
        assert channel is not None
        assert (channel.charged, channel.signed) == (self._charged, self._charged)
        assert channel.state.balance == self.CALLS * PRICE
        assert before - stand.balance(stand.buyer.address) == (deposit or 0)
        if self._charged == self.CALLS * PRICE:
            self._charged, self._salt = 0, next(SALTS)
        return killed


def claimable(stand: Stand) -> None:
    """Claim everything: what was served is what the treasury gets."""
    treasury, claimer = stand.treasuries["docs"], stand.paywall.claimer
    assert claimer is not None
    charged = sum(channel.unclaimed for channel in stand.channels.list())
    before = stand.balance(treasury)
    claimer.flush([treasury])
    assert stand.balance(treasury) - before == charged


def test_a_gateway_killed_anywhere_takes_each_payment_once(gateways: Gateways) -> None:
    """Fifteen tries: a deposit, vouchers and exact payments, at steps spread over the call."""
    channel = ChannelTries(gateways)
    killed = [channel.once(number) for number in (24, 2, 4, 6, 43, 0, 5, 3)]
    killed += [exact_try(gateways, kill_at) for kill_at in (2, 5, 6, 7, 9, 11, 13)]
    assert sum(killed) >= 13
    claimable(gateways.stand)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(5))
def test_a_thousand_kills_lose_no_payment_and_take_none_twice(gateways: Gateways, part: int) -> None:
    channel = ChannelTries(gateways)
    killed = sum(
        exact_try(gateways, 1 + number % EXACT_STEPS) if number % 3 == 0 else channel.once(number)
        for number in range(200 * part, 200 * part + 200)
    )
    assert killed >= 190
    claimable(gateways.stand)
