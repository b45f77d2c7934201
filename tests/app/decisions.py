"""A home whose ledger's clock tests move, and decisions of its DAO from the proposal to the execution.

The founders' tokens belong to the operator, who proposes, votes, queues and executes here; time passes at once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clocks import SetForwardClock
from rodagila.app import proposals
from rodagila.app.connection import EMBEDDED
from rodagila.app.daos import Dao
from rodagila.app.home import Home
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.predeploys import predeployed_code
from rodagila.core.policy import GovernanceRules

SIGNED_AT = 1_750_000_000
QUICK = GovernanceRules(voting_delay_seconds=1, voting_period_seconds=60, timelock_seconds=1)


@contextmanager
def home_with_clock(path: Path) -> Iterator[tuple[Home, SetForwardClock]]:
    """Open the home at ``path`` over a ledger whose clock can be moved."""
    clock = SetForwardClock()
    with Home.open(path, clock=lambda: SIGNED_AT, ledger_url="") as home:
        ledger = EmbeddedLedger.open(path / EMBEDDED, clock=clock, genesis_code=predeployed_code())
        home.__dict__["live_ledger"] = ledger
        yield home, clock


def decide(dao: Dao, clock: SetForwardClock, *wanted: tuple[str, str]) -> None:
    """Let the DAO decide on the acts that ``wanted`` names, and execute them."""
    operator, rules = dao.account("operator"), QUICK
    clock.ahead += 1  # tokens that were received in this very second have no past yet
    draft = proposals.draft(dao, operator.address, f"Decision at {clock()}", "For good reasons.", list(wanted))
    proposal = proposals.propose(dao, operator, draft)["proposal"]
    clock.ahead += rules.voting_delay_seconds + 1
    proposals.cast(dao, proposal, operator, "for", "")
    clock.ahead += rules.voting_period_seconds + 1
    proposals.queue(dao, proposal, operator)
    clock.ahead += rules.timelock_seconds + 1
    assert proposals.execute(dao, proposal, operator)["state"] == "executed"


@contextmanager
def hurried(clock: SetForwardClock) -> Iterator[None]:
    """Let a minute pass twenty times a second while the block lasts, for what waits for a window to end."""
    over = threading.Event()

    def hurry() -> None:
        while not over.wait(0.05):
            clock.ahead += 60

    thread = threading.Thread(target=hurry, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
