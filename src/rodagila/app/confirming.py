"""Steps on a chain that may be reorganised: done only when their effects are in a confirmed block that is still there.

A step runs on the newest block, as always. Then the chain must put ``confirmations`` blocks on what the step has seen,
and the step runs once more on a view of that confirmed block, in which nothing can be sent: every step first looks
whether its effect is there, so it either finds all of it, and writes the rows that follow from the chain as that block
has them, or it wants to send something, which means that the effect was lost, and everything begins again.

A reorganisation that takes away a block which had its confirmations cannot be followed: ``ledger_reorganised`` stops
before anything is changed. On a ledger without confirmations a step simply runs.

>>> until_confirmed(home, lambda: register_batch(dao, 1))   # doctest: +SKIP
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from rodagila.app.connection import note_confirmed, require_confirmed
from rodagila.app.home import Home
from rodagila.chain.port import Ledger, Unconfirmed
from rodagila.core.errors import NotFound, RodaError, Unreachable

POLL_SECONDS = 0.5
ROUNDS = 50
"""A chain that drops the same effect so often is no chain to pay on."""
_GONE = ("transaction_unknown", "block_unknown")
"""What is said of something that was there a moment ago: the chain was reorganised between two questions."""

T = TypeVar("T")
Step = Callable[[str, int], T]
log = logging.getLogger(__name__)


def confirmed(home: Callable[[], Home]) -> Callable[[Step[T]], Step[T]]:
    """Make a step of a turn end only when what it did is confirmed; ``home`` gives the home whose turn it is."""

    def decorate(step: Step[T]) -> Step[T]:
        @wraps(step)
        def run(name: str, turn: int) -> T:
            return until_confirmed(home(), lambda: step(name, turn))

        return run

    return decorate


def until_confirmed(home: Home, body: Callable[[], T]) -> T:
    """Run ``body`` until all it does is in a confirmed block; return what it says of that block.

    Raises ``Conflict`` (``ledger_reorganised``) and whatever ``body`` raises on the newest block.
    """
    ledger = home.live_ledger
    if not ledger.confirmations:
        return body()
    for _ in range(ROUNDS):
        require_confirmed(home.path, ledger)
        try:
            body()
        except NotFound as gone:
            if gone.code not in _GONE:
                raise
            continue
        block = _await(home, ledger, ledger.block_number())
        seen = ledger.block(block).hash
        try:
            with home.viewing(block):
                result = body()
        except Unreachable:
            raise
        except RodaError as missing:
            log.info("A step runs again, because its effect is not in confirmed block %d: %s", block, missing)
            continue
        if ledger.block(block).hash == seen:
            note_confirmed(home.path, ledger, block)
            return result
    raise Unreachable(
        "unreachable",
        f"Chain {ledger.chain_id} dropped the same effect {ROUNDS} times.",
        hint="Nothing is lost: run the same command again when the chain is stable.",
    )


def pause(home: Home, seconds: float = POLL_SECONDS) -> None:
    """Wait for the ledger to go on; in a view, which never does, raise ``Unconfirmed``."""
    if home.is_viewing:
        raise Unconfirmed(home.ledger.block_number())
    home.wait(seconds)


def _await(home: Home, ledger: Ledger, tip: int) -> int:
    """Return a confirmed block that is ``tip`` or later, and stop if one that was confirmed meanwhile is replaced."""
    while (block := ledger.confirmed_block()) < tip:
        require_confirmed(home.path, ledger)
        note_confirmed(home.path, ledger, block)
        pause(home)
    require_confirmed(home.path, ledger)
    return block
