"""The state after earlier blocks: the latest ones as they were made, older ones rebuilt from what each block changed.

Worlds share what they have in common, so keeping one costs what its block changed. Kept are the latest 128, the last
few that were asked for, and up to 64 on the way there, evenly spaced: a ledger of n blocks is walked from its beginning
once, after that a world is at most n / 32 blocks away from one that is kept.

>>> History(lambda number, last: []).world(0)
Traceback (most recent call last):
KeyError: 0
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from rodagila.chain.world import Changes, World, applied

RECENT = 128
"""How many of the latest worlds are kept, as go-ethereum does."""
ASKED = 16
SPACED = 64
_CHUNK = 256


class History:
    """Earlier worlds; ``changes`` returns what the blocks after a number changed, up to another, in order."""

    def __init__(self, changes: Callable[[int, int], list[Changes]]) -> None:
        self._changes = changes
        self._lock = threading.Lock()
        self._recent: OrderedDict[int, World] = OrderedDict()
        self._asked: OrderedDict[int, World] = OrderedDict()
        self._spaced: dict[int, World] = {}
        self._space = _CHUNK

    def note(self, number: int, world: World) -> None:
        """Remember the latest block's world."""
        self._recent[number] = world
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)

    def world(self, number: int) -> World:
        """Return the world after an earlier block; raise ``KeyError`` if there is no such block."""
        found = self._recent.get(number)
        if found is not None:
            return found
        with self._lock:
            if number not in self._asked:
                self._asked[number] = self._walked(number)
            self._asked.move_to_end(number)
            if len(self._asked) > ASKED:
                self._asked.popitem(last=False)
            return self._asked[number]

    def _walked(self, number: int) -> World:
        near = [(at, world) for kept in (self._spaced, self._asked) for at, world in kept.items() if at <= number]
        at, world = max(near, key=lambda kept: kept[0], default=(-1, World()))
        while at < number:
            changes = self._changes(at, min(number, at - at % _CHUNK + _CHUNK))
            if not changes:
                raise KeyError(number)
            for change in changes:
                world, at = applied(world, change), at + 1
            self._keep(at, world)
        return world

    def _keep(self, number: int, world: World) -> None:
        if number % self._space == 0:
            self._spaced[number] = world
        while len(self._spaced) > SPACED:
            self._space *= 2
            self._spaced = {at: kept for at, kept in self._spaced.items() if at % self._space == 0}
