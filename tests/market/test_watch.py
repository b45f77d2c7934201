"""What the gateway remembers of a channel follows the ledger, also when blocks are read twice or by two processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from channel_stand import Opened, funded
from gateway_stand import Stand, key
from rodagila.market.hub import HUB, Hub
from rodagila.market.watch import FRESH_SECONDS, ChannelWatch


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    stand = Stand(Path(tmp_path_factory.mktemp("watch")))
    yield stand
    stand.close()


def test_a_change_on_the_ledger_is_seen_and_then_not_again(stand: Stand) -> None:
    hub, payer = Hub(stand.ledger), funded(stand, "watched")
    opened = Opened(stand, payer, key("watch treasury").address)
    watch = ChannelWatch(hub, stand.channels)
    watch.renew()
    stand.transact(payer, HUB, hub.contract.encode("initiateWithdraw", opened.config.as_tuple(), 4_000))
    assert opened.now.state.leaving == 0
    assert opened.id in watch.renew()
    assert (opened.now.state.leaving, opened.now.free) == (4_000, 6_000)
    assert stand.channels.cursor() == stand.ledger.block_number()
    assert ChannelWatch(hub, stand.channels).renew() >= {opened.id}  # the last blocks are read twice: they may change


def test_the_memory_is_renewed_when_it_is_too_old_and_not_before(stand: Stand) -> None:
    hub, payer, now = Hub(stand.ledger), funded(stand, "watched too"), [1_000.0]
    opened = Opened(stand, payer, key("watch treasury").address)
    watch = ChannelWatch(hub, stand.channels, lambda: now[0])
    watch.ensure_fresh()
    stand.transact(payer, HUB, hub.contract.encode("initiateWithdraw", opened.config.as_tuple(), 1))
    now[0] += FRESH_SECONDS
    watch.ensure_fresh()
    assert opened.now.state.leaving == 0
    now[0] += 1
    watch.ensure_fresh()
    assert opened.now.state.leaving == 1


def test_channels_of_others_are_not_kept(stand: Stand) -> None:
    hub, payer = Hub(stand.ledger), funded(stand, "somebody")
    opened = Opened(stand, payer, key("watch treasury").address)
    with stand.database.begin() as connection:
        connection.exec_driver_sql("delete from channel where id = ?", (opened.id.hex(),))
    watch = ChannelWatch(hub, stand.channels)
    assert opened.id not in watch.renew()
    assert watch.refresh(opened.id) is None
    assert stand.channels.get(opened.id) is None
