"""The state after any earlier block is what it was, however far back and in whatever order it is asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from ethereum.forks.prague.fork_types import Account, Address
from ethereum_types.bytes import Bytes
from ethereum_types.numeric import U256, Uint
from test_ledger_gas import signed, varied

from rodagila.chain import history
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.history import History
from rodagila.chain.world import Changes, World, applied, hashed
from rodagila.core.errors import NotFound

COUNT = 3_000
PLACES = [Address(bytes([n]) * 20) for n in range(5)]


def changes_of(number: int) -> Changes:
    """Block n gives one of five accounts n wei."""
    account = Account(Uint(number), U256(number), Bytes(b""))
    return Changes({PLACES[number % 5]: account}, {})


class Walks:
    """The changes of blocks 0 to COUNT, counting how many were read."""

    def __init__(self) -> None:
        self.read = 0

    def __call__(self, number: int, last: int) -> list[Changes]:
        found = [changes_of(n) for n in range(number + 1, min(last, COUNT) + 1)]
        self.read += len(found)
        return found


def expected(number: int) -> dict[Address, int]:
    return {PLACES[n % 5]: n for n in range(max(0, number - 4), number + 1)}


def seen(world: World) -> dict[Address, int]:
    return {place: int(account.balance) for place, account in world.accounts.items()}


def test_every_block_s_state_is_found_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "SPACED", 4)
    walks = Walks()
    worlds = History(walks)
    asked = random.Random(1).sample(range(COUNT + 1), 200)
    for number in [COUNT, 0, *asked]:
        assert seen(worlds.world(number)) == expected(number)
    assert len(worlds._spaced) <= 4
    assert len(worlds._asked) <= history.ASKED


def test_a_second_question_walks_only_from_the_nearest_kept_world() -> None:
    walks = Walks()
    worlds = History(walks)
    worlds.world(COUNT)
    assert walks.read == COUNT + 1
    walks.read = 0
    worlds.world(COUNT - 1)
    worlds.world(COUNT)
    assert walks.read <= 256


def test_recent_worlds_need_no_walk() -> None:
    walks, world = Walks(), World()
    worlds = History(walks)
    for number in range(COUNT):
        world = applied(world, changes_of(number))
        worlds.note(number, world)
    assert seen(worlds.world(COUNT - history.RECENT)) == expected(COUNT - history.RECENT)
    assert walks.read == 0
    with pytest.raises(KeyError):
        worlds.world(COUNT + 1)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[EmbeddedLedger]:
    with EmbeddedLedger.open(tmp_path / "ledger.db") as opened:
        yield opened


def test_an_earlier_state_hashes_to_its_block_s_state_root(ledger: EmbeddedLedger, tmp_path: Path) -> None:
    varied(ledger, random.Random(8), 40)
    last = ledger.block_number()
    with EmbeddedLedger.open(tmp_path / "ledger.db") as fresh:
        for number in range(last, -1, -1):
            root = ledger.block(number).state_root
            assert hashed(ledger.world(number)).accounts.root() == root
            assert fresh.tries(number).accounts.root() == root
        ledger.send(signed(ledger.faucet, ledger.nonce(ledger.faucet.address), PLACE, value=3))
        assert hashed(fresh.world(last)).accounts.root() == ledger.block(last).state_root
        for number in (-1, last + 2):
            with pytest.raises(NotFound):
                fresh.world(number)


PLACE = "0x000000000000000000000000000000000000bEEF"
