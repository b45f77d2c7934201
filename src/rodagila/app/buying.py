"""A buyer's payment channels: what is in them, and the two ways to have the rest back.

``close`` asks the gateway, which pays at once and for free. ``exit`` needs no gateway: it is announced at the contract
and can be taken when the channel's withdraw delay has passed; what was signed before can still be claimed until then.

>>> channels_in(Path("channels.json"))  # doctest: +SKIP
[{'channel': '0x6c49...', 'gateway': 'http://127.0.0.1:8402', 'signed': 3000, 'balance': 10000, 'left': 7000}]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
from eth_account.signers.local import LocalAccount

from rodagila.app.home import Home
from rodagila.client import Client
from rodagila.core.errors import NotAuthorised, NotFound
from rodagila.core.hashing import hex0x
from rodagila.market.hub import Hub, HubState
from rodagila.market.lanes import Lane, LaneChannel, LaneFile, read_lane

Values = dict[str, Any]


def channels_in(path: Path) -> list[Values]:
    """Return the channels of a lane's file; raises ``NotFound`` if it has none."""
    channels = read_lane(path)
    if not channels:
        raise NotFound("channel_unknown", f"There are no payment channels in {path}.", hint="Give the file of a lane.")
    return [
        {
            "channel": hex0x(id),
            "gateway": _gateway_of(channel),
            "payer": channel.config.payer,
            "signed": channel.signed,
            "balance": channel.balance,
            "left": channel.balance - channel.signed,
        }
        for id, channel in channels.items()
    ]


def close_channels(path: Path, account: LocalAccount) -> list[Values]:
    """Ask each channel's gateway for what is left in it; a channel with nothing left is passed over."""
    channels_in(path)
    closed = []
    for id, channel in read_lane(path).items():
        _require_payer(channel, account)
        back = 0
        if channel.balance > channel.signed:
            back = _closed(path, channel, account)
        closed.append({"channel": hex0x(id), "gateway": _gateway_of(channel), "returned": back})
    return closed


def exit_channels(home: Home, path: Path, account: LocalAccount) -> list[Values]:
    """Announce the exit of each channel with money at the contract, or take what was announced if its time has come.

    The account sends the transactions, so it needs gas money.
    """
    channels_in(path)
    hub, done = Hub(home.ledger), []
    with LaneFile.open(path) as file:
        for id, channel in list(file.channels.items()):
            _require_payer(channel, account)
            done.append({"channel": hex0x(id), **_exited(hub, id, channel, account)})
            state = hub.state(id)
            file.keep(id, LaneChannel(channel.config, channel.signed, state.balance - state.leaving, channel.url))
    return done


def _exited(hub: Hub, id: bytes, channel: LaneChannel, account: LocalAccount) -> Values:
    state, config = hub.state(id), channel.config
    if not state.leaving_since:
        free = state.balance - max(state.claimed, channel.signed)
        if free <= 0:
            return {"state": "empty", "amount": 0}
        hub.contract.transact(account, "initiateWithdraw", config.as_tuple(), free)
        state = hub.state(id)
        return {"state": "announced", "amount": free, "from": _taken_from(state, channel)}
    if hub.ledger.timestamp() < _taken_from(state, channel) and not _passes(hub, channel, account):
        return {"state": "announced", "amount": state.leaving, "from": _taken_from(state, channel)}
    before = state.balance
    hub.contract.transact(account, "finalizeWithdraw", config.as_tuple())
    return {"state": "returned", "amount": before - hub.state(id).balance}


def _taken_from(state: HubState, channel: LaneChannel) -> int:
    return state.leaving_since + channel.config.withdraw_delay


def _passes(hub: Hub, channel: LaneChannel, account: LocalAccount) -> bool:
    from rodagila.chain.contracts import ContractRefused

    try:
        hub.contract.call("finalizeWithdraw", channel.config.as_tuple(), sender=str(account.address))
    except ContractRefused:
        return False
    return True


def _closed(path: Path, channel: LaneChannel, account: LocalAccount) -> int:
    url, config = _gateway_of(channel), channel.config
    with Client(url) as free:
        cards = [card for card in free.models()["data"] if card["payment"]["pay_to"] == config.receiver]
    if not cards:
        raise NotFound(
            "model_unknown",
            f"The gateway {url} serves no model of this channel's DAO any more.",
            hint="Take the money at the contract: roda channel exit",
        )
    lane = Lane(path, 0, int.from_bytes(config.salt, "big"))
    terms: dict[str, Any] = {"token": config.token, "network": cards[0]["payment"]["network"], "max_amount": 2**127}
    with Client(url, account, lane=lane, **terms) as client:
        return int(client.refund(cards[0]["id"])["amount"])


def _gateway_of(channel: LaneChannel) -> str:
    return str(httpx.URL(channel.url).copy_with(path="/", query=None)).rstrip("/")


def _require_payer(channel: LaneChannel, account: LocalAccount) -> None:
    if channel.config.payer != account.address:
        raise NotAuthorised(
            "account_unknown",
            f"The channels are of {channel.config.payer}, the key is of {account.address}.",
            hint="Give the key that paid.",
        )
