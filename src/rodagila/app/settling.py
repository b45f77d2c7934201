"""Following a gateway's settlements until the chain has confirmed them, from the gateway and before a turn's record.

>>> await_settlements(home)   # doctest: +SKIP
"""

from __future__ import annotations

import fcntl

from rodagila.app.confirming import pause
from rodagila.app.connection import require_confirmed
from rodagila.app.daos import Dao, dao_rows
from rodagila.app.home import Home
from rodagila.market.calls import Calls
from rodagila.market.channels import ChannelStore
from rodagila.market.hub import Hub
from rodagila.market.settlements import Followed, Settlements
from rodagila.market.watch import ChannelWatch


def follow_settlements(home: Home) -> Followed | None:
    """Look after the home's settlements once; None if another process is at it, or if there is nothing to follow."""
    if not home.live_ledger.confirmations:
        return None
    settlements = Settlements(home.database)
    if not settlements.waiting():
        return None
    with (home.path / "settlements.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        require_confirmed(home.path, home.live_ledger)
        accounts = [Dao(home, row).account("gateway") for row in dao_rows(home)]
        by_address = {str(account.address): account for account in accounts}
        followed = settlements.follow(home.live_ledger, by_address, Calls(home.database))
    if followed.sent_again or followed.orphaned:  # a deposit may be among them, and a dropped one leaves no event
        ChannelWatch(Hub(home.live_ledger), ChannelStore(home.database)).recheck()
    return followed


def await_settlements(home: Home) -> None:
    """Wait until every payment that is settled now is confirmed, or is known to be orphaned."""
    settlements = Settlements(home.database)
    last = max(settlements.waiting(), default=0)
    while settlements.waiting(up_to=last):
        follow_settlements(home)
        if settlements.waiting(up_to=last):
            pause(home)
