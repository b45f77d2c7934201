"""A home: one directory with everything a node keeps, opened part by part when it is needed.

::

    home/
      home.json       format of this directory, and the chain it belongs to
      keys/           accounts (mode 0600)
      ledger.sqlite   the embedded ledger, unless the home is on another chain
      roda.sqlite     rows: DAOs, contributions, proofs, turns, calls, feedback
      workflows.sqlite  steps of turns that are under way
      vectors.sqlite  embeddings already computed
      blobs/          sealed contributions, holdings of DAOs, public files of turns
      index/          the vector index of each DAO (derived: rebuilt if lost)

>>> with Home.open(Path("home")) as home:  # doctest: +SKIP
...     home.ledger.block_number()
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from threading import local
from types import TracebackType
from typing import TYPE_CHECKING

from rodagila.core.errors import Conflict, Corrupted, InvalidInput, Unreachable

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from rodagila.chain.port import Ledger
    from rodagila.learn.cache import CachedEmbedder, VectorCache
    from rodagila.store.blobs import BlobStore
    from rodagila.store.database import Database
    from rodagila.vault.accounts import KeyStore

FORMAT = 2
"""1: DAOs whose contracts their operator owned."""
LEDGER, FUNDER = "RODA_LEDGER", "RODA_FUNDER"
Clock = Callable[[], int]


def wall_clock() -> int:
    """Return the time in integer seconds."""
    return int(time.time())


class Home:
    """The parts of one home; each is opened at its first use and closed with the home.

    ``clock`` gives the seconds that go into what is signed and published (the demonstration derives it from its
    seed); the ledger's blocks always carry real time, because payments expire by it.
    """

    def __init__(
        self, path: Path, *, clock: Clock = wall_clock, processes: int = 1, ledger_url: str | None = None
    ) -> None:
        self.path = path
        self.clock = clock
        self.processes = processes
        self.ledger_url = os.environ.get(LEDGER) if ledger_url is None else ledger_url
        self.wait: Callable[[float], None] = time.sleep
        """How this home lets time pass until the ledger has gone on."""
        self._views = local()

    @classmethod
    def open(cls, path: Path, *, clock: Clock = wall_clock, processes: int = 1, ledger_url: str | None = None) -> Home:
        """Open the home at ``path``, creating an empty one; raises ``Corrupted`` if it is something else.

        ``ledger_url`` is the address of a node, RODA_LEDGER by default; empty means the embedded ledger.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_format(path)
        except OSError as error:
            raise Unreachable(
                "unreachable",
                f"The home {path} cannot be used: {error.strerror}.",
                hint="Give another --home, or make that directory writable.",
            ) from error
        return cls(path, clock=clock, processes=processes, ledger_url=ledger_url)

    @cached_property
    def database(self) -> Database:
        """The rows."""
        from rodagila.store.database import Database

        return Database.open(self.path / "roda.sqlite")

    @property
    def ledger(self) -> Ledger:
        """The home's ledger: the embedded one, or the chain at RODA_LEDGER; in ``viewing``, as it was then."""
        view: Ledger | None = getattr(self._views, "ledger", None)
        return self.live_ledger if view is None else view

    @cached_property
    def live_ledger(self) -> Ledger:
        """The ledger as it is now; raises ``RefusedByPolicy`` if it is not the chain that the home belongs to."""
        from rodagila.app.connection import connect

        return connect(self.path, self.ledger_url)

    @property
    def is_viewing(self) -> bool:
        """Whether this thread sees the ledger as it was at a confirmed block."""
        return getattr(self._views, "ledger", None) is not None

    @contextmanager
    def viewing(self, block: int) -> Iterator[None]:
        """Let this thread see the ledger as it was after ``block`` while the block lasts; nothing can be sent."""
        self._views.ledger = self.live_ledger.at(block)
        try:
            yield
        finally:
            self._views.ledger = None

    def funder(self) -> LocalAccount | None:
        """Return the account that pays gas on a chain without a faucet: the key that RODA_FUNDER names."""
        name = os.environ.get(FUNDER)
        return self.keys.get(name, os.environ.get("RODA_PASSPHRASE") or None) if name else None

    @cached_property
    def blobs(self) -> BlobStore:
        """The blob store."""
        from rodagila.store.blobs import BlobStore

        return BlobStore(self.path / "blobs")

    @cached_property
    def keys(self) -> KeyStore:
        """The accounts."""
        from rodagila.vault.accounts import KeyStore

        return KeyStore(self.path / "keys")

    @cached_property
    def embedder(self) -> CachedEmbedder:
        """The embedder, with a cache so that a text is embedded once a home."""
        from rodagila.learn.cache import CachedEmbedder
        from rodagila.learn.embedder import MiniLM

        return CachedEmbedder(MiniLM(processes=self.processes), self.vectors)

    @cached_property
    def vectors(self) -> VectorCache:
        """The embeddings computed so far."""
        from rodagila.learn.cache import VectorCache

        return VectorCache(self.path / "vectors.sqlite")

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Hold the lock ``name`` of this home; raises ``Conflict`` at once if another process holds it."""
        with (self.path / f"{name}.lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Conflict(
                    "home_locked",
                    f"Another process is closing a turn in the home {self.path}.",
                    hint="Wait until it has ended; if it was killed, the lock is free at once.",
                ) from error
            self.blobs.sweep()
            yield

    def close(self) -> None:
        """Close every part that was opened."""
        for part in ("embedder", "vectors", "live_ledger", "database"):
            if part in self.__dict__:
                self.__dict__.pop(part).close()

    def __enter__(self) -> Home:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_format(path: Path) -> None:
    marker = path / "home.json"
    if marker.exists():
        try:
            found = json.loads(marker.read_text())["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise Corrupted(
                "database_corrupted", f"{marker} is not a home's marker.", hint="Restore it from a backup."
            ) from error
        if found == 1:
            raise Corrupted(
                "home_outdated",
                f"The home {path} was made by version 0.1, whose contracts this version cannot run.",
                hint="Settle and claim what is open there with rodagila 0.1; then launch anew in an empty --home "
                "and let its owners contribute again.",
            )
        if found != FORMAT:
            raise Corrupted(
                "database_newer",
                f"The home {path} has format {found}; this version knows {FORMAT}.",
                hint="Upgrade rodagila.",
            )
        return
    if any(path.iterdir()):
        raise InvalidInput(
            "usage",
            f"{path} is not empty and not a home of Rodagila.",
            hint="Give an empty or new directory as --home.",
        )
    temporary = marker.with_suffix(".new")
    temporary.write_text(json.dumps({"format": FORMAT}))
    temporary.replace(marker)
