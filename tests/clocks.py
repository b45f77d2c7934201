"""Clocks that tests move: one that stands, and the wall's that can be set forward."""

from __future__ import annotations

import time


class StandingClock:
    """A clock that stands until it is told otherwise; seconds."""

    def __init__(self, now: int = 1_700_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds


class SetForwardClock:
    """The wall's time and what a test adds to it: x402's own code and payments' signatures read the wall."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return int(time.time()) + self.ahead
