"""The stands that attacks on signatures, payments and roots are played against: those of the project's own tests.

A gateway with a ledger in this process and a buyer's side made by x402's client (``tests/gateway_stand.py``,
``tests/channel_stand.py``), and a chain of public turns with a ledger that says what an honest operator would have
posted (``tests/reward/turns.py``). So the arena and the tests attack one thing.
"""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
for folder in (TESTS, TESTS / "reward"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

from turns import HonestLedger, make_turns  # noqa: E402

from channel_stand import PRICE, channel_id, paid, tampered  # noqa: E402
from gateway_stand import Stand, key  # noqa: E402

__all__ = ["PRICE", "HonestLedger", "Stand", "channel_id", "key", "make_turns", "paid", "tampered"]
