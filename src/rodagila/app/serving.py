"""The gateway over a home: each DAO's newest model on a real port, or for the length of one call.

A model is put together from the sealed contributions in memory; the index on disk holds ids and vectors only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from eth_account.signers.local import LocalAccount

from rodagila.app.arena import HomeLine, HomeRatings, arena_of
from rodagila.app.claiming import claiming_at_intervals
from rodagila.app.daos import Dao, dao_rows
from rodagila.app.home import Home
from rodagila.app.listening import end_on_termination, listening
from rodagila.app.models import newest_model, vertical_model
from rodagila.app.settling import follow_settlements
from rodagila.app.tasks import desk_of
from rodagila.client import Client, Lane
from rodagila.core.errors import NotFound, RodaError
from rodagila.market.calls import Calls
from rodagila.market.channels import ChannelStore
from rodagila.market.claims import Claimer
from rodagila.market.paywall import Paywall
from rodagila.market.prices import network_of
from rodagila.serve.catalogue import Catalogue, ServedModel
from rodagila.serve.feedback import FeedbackBook
from rodagila.serve.gateway import GatewayContext, create_app

WATCH_SECONDS = 2.0
log = logging.getLogger(__name__)


class Gateway:
    """One gateway: its catalogue of models and its paywall, for the DAOs of one home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.catalogue = Catalogue()
        self.context: GatewayContext | None = None
        self._troubles: dict[str, str] = {}

    def try_publish(self, dao: Dao) -> RodaError | None:
        """Offer the DAO's newest model; one that cannot be put together is told once and stops nothing else."""
        try:
            self.publish(dao)
        except RodaError as error:
            if self._troubles.get(dao.name) != str(error):
                log.warning("The newest model of %s cannot be served: %s", dao.name, error)
            self._troubles[dao.name] = str(error)
            return error
        self._troubles.pop(dao.name, None)
        return None

    def try_follow(self) -> None:
        """Look after the settlements that the chain has not confirmed yet; trouble is told once."""
        try:
            follow_settlements(self.home)
        except RodaError as error:
            if self._troubles.get("") != str(error):
                log.warning("The settlements cannot be followed: %s", error)
            self._troubles[""] = str(error)
        else:
            self._troubles.pop("", None)

    def publish(self, dao: Dao) -> bool:
        """Offer the DAO's newest model if it is not offered yet; False if there was nothing new."""
        card = newest_model(dao)
        if card is None:
            return False
        offered, policy = self._offered(dao), dao.policy
        if offered is not None and offered.turn == card["turn"]:
            if offered.policy != policy:  # the next turn was opened under another version: its prices hold from here on
                self.catalogue.publish(replace(offered, policy=policy))
            return False
        served = ServedModel(
            dao=dao.name,
            turn=card["turn"],
            domain=dao.domain,
            treasury=dao.row.treasury,
            policy=policy,
            model=vertical_model(dao, card["turn"]),
            created=dao.home.clock(),
        )
        if offered is not None:  # only now: putting the new one together takes seconds and may fail
            self.catalogue.withdraw(offered.name)
        self.catalogue.publish(served)
        return True

    def _offered(self, dao: Dao) -> ServedModel | None:
        try:
            return self.catalogue.find(dao.name)
        except NotFound:
            return None  # the first model of this DAO

    def app(self) -> Any:
        """Return the ASGI application; raises ``NotFound`` if the home has no DAO, and why if none can be served."""
        daos = [Dao(self.home, row) for row in dao_rows(self.home)]
        if not daos:
            raise NotFound("dao_unknown", "This home has no DAO to serve.", hint="Launch one: roda dao new NAME")
        troubles = [error for dao in daos if (error := self.try_publish(dao))]
        if len(troubles) == len(daos):
            raise troubles[0]
        calls, channels = Calls(self.home.database), ChannelStore(self.home.database)
        paywall = Paywall(self.home.live_ledger, daos[0].token, daos[0].account("gateway"), calls, channels)
        self.context = GatewayContext(
            self.catalogue,
            paywall,
            FeedbackBook(self.home.database, calls),
            tasks=desk_of(self.home),
            clock=self.home.clock,
            arena=arena_of(self.home, daos[0].account("gateway"), HomeLine(self.home, self.catalogue)),
            ratings=HomeRatings(self.home),
        )
        return create_app(self.context)

    def claimer(self) -> Claimer | None:
        """Return what claims the vouchers that this gateway took; None before it serves, or without a hub."""
        return None if self.context is None else self.context.paywall.claimer


@contextmanager
def running(home: Home, host: str = "127.0.0.1", port: int = 0) -> Iterator[tuple[Gateway, str]]:
    """Run a gateway on a thread while the block lasts; gives the gateway and its address. Port 0 takes a free one."""
    gateway = Gateway(home)
    # The port is closed first, then the last claims are made of what was served.
    with claiming_at_intervals(home, gateway.claimer), listening(gateway.app, host, port) as address:
        yield gateway, address


def serve_forever(home: Home, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until interrupted or terminated; a model that a turn publishes meanwhile is offered within seconds."""
    end_on_termination()
    with suppress(KeyboardInterrupt), running(home, host, port) as (gateway, address):
        ready(address)
        while True:
            time.sleep(WATCH_SECONDS)
            for row in dao_rows(home):
                gateway.try_publish(Dao(home, row))
            gateway.try_follow()


def ask_paid(
    dao: Dao, question: str, account: LocalAccount, url: str | None, lane: Lane | None = None
) -> dict[str, Any]:
    """Ask the DAO's model through a gateway, paying from ``account``; without ``url`` through one of this home."""
    if url is None:
        with running(dao.home) as (_, address):
            return ask_paid(dao, question, account, address, lane)
    price = dao.policy.prices.chat
    network = network_of(dao.domain.chain_id)
    with Client(url, account, token=dao.row.token, network=network, max_amount=price, lane=lane) as client:
        reply = client.ask(dao.name, question)
    receipt = reply.receipt
    return {
        "dao": dao.name,
        "answer": reply.text,
        "citations": reply.hits,
        "paid": receipt.receipt.amount if receipt else 0,
        "receipt": receipt.as_json() if receipt else None,
    }
