"""Claiming in a home: the vouchers that its gateway took, at intervals while it serves and before a turn is recorded.

Fees count in the turn in whose blocks they were claimed, so what was served before a turn's record is claimed before
it. The gateway's key signs; the money goes to each DAO's treasury.

>>> with claiming_at_intervals(home, claimer):  # doctest: +SKIP
...     serve()
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rodagila.app.daos import Dao, dao_rows
from rodagila.app.home import Home
from rodagila.core.policy import ChannelRules
from rodagila.market.channels import ChannelStore
from rodagila.market.claims import Claim, Claimer, claim_safely
from rodagila.market.facilitator import LedgerFacilitatorSigner
from rodagila.market.hub import Hub
from rodagila.market.watch import ChannelWatch

INTERVAL_SECONDS = 5.0
log = logging.getLogger(__name__)


def claim_for_turn(dao: Dao) -> list[Claim]:
    """Claim everything that the home's gateway served for the DAO, so that it counts in the turn that ends now.

    Raises ``RodaError`` if the ledger cannot be used: the turn must not be recorded without its fees.
    """
    claimer = home_claimer(dao.home)
    return [] if claimer is None else claimer.flush([dao.row.treasury])


def home_claimer(home: Home) -> Claimer | None:
    """Return what claims for the home's gateway; None if the chain has no hub."""
    hub, rows = Hub(home.ledger), dao_rows(home)
    if not rows or not hub.present():
        return None
    store = ChannelStore(home.database)
    if not store.used():
        return None  # no channel was ever used, so no key is needed
    signer = LedgerFacilitatorSigner(home.ledger, Dao(home, rows[0]).account("gateway"))
    return Claimer(rows[0].token, hub, store, ChannelWatch(hub, store), signer)


def claim_rules(home: Home) -> dict[str, ChannelRules]:
    """Return the rules of claiming for each DAO's treasury."""
    return {row.treasury: Dao(home, row).policy.channels for row in dao_rows(home)}


@contextmanager
def claiming_at_intervals(
    home: Home, claimer: Callable[[], Claimer | None], interval: float = INTERVAL_SECONDS
) -> Iterator[threading.Event]:
    """Claim what is due on a thread while the block lasts, and everything at its end.

    ``claimer`` is asked each time and gives None as long as there is nothing to claim with.
    """
    ended = threading.Event()

    def claim() -> None:
        while not ended.wait(interval):
            try:
                _claim(claimer(), lambda found: found.run(claim_rules(home)))
            except Exception:
                log.exception("Claiming failed; it is tried again.")

    thread = threading.Thread(target=claim, name="claims", daemon=True)
    thread.start()
    try:
        yield ended
    finally:
        ended.set()
        thread.join(timeout=60)
        _claim(claimer(), lambda found: found.flush(claim_rules(home)))


def _claim(claimer: Claimer | None, act: Callable[[Claimer], list[Claim]]) -> None:
    if claimer is not None:
        claim_safely(lambda: act(claimer))
