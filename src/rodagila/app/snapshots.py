"""A home in one file, taken while it is in use, and a home made from such a file.

The file is a plain tar of regular files, ``snapshot.json`` last: how many files and bytes came before it and the
SHA-256 over ``name NUL size NUL sha256 LF`` of each. What is derived (index, embeddings) and what is under way (locks,
unfinished blobs) is left out. Every database is copied by SQLite's backup in one step, which waits for nobody and stops
nobody; rows come first, then blobs and keys, the ledger last: a block without its row is no fault, a row that names a
block that is missing would be one. Keys stay as they are: sealed ones sealed.

Both directions work in a directory ``TARGET.partial`` and end with one rename, so a killed one leaves no target; the
next attempt clears what it left. Files are streamed; memory does not grow with their size or number.

>>> take_snapshot(Path("home"), Path("monday.tar"))              # doctest: +SKIP
Snapshot(files=12, size=4096000, digest='5b1c...')
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rodagila.core.errors import Conflict, Corrupted, InvalidInput, NotFound, Unreachable

FORMAT = 1
TRAILER = "snapshot.json"
MAX_TRAILER_BYTES = 4_096
_BLOCK = 512
_PIECE = 1024 * 1024
_OURS = ".rodagila-"
"""How the names of everything in a workspace begin, so that nothing else is ever removed."""
_LEDGER = "ledger.sqlite"
_PASSING = (".lock", "-wal", "-shm", "-journal", ".new")
_DERIVED = frozenset({"vectors.sqlite", "index"})
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){0,7}")
Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a snapshot holds: number of files, bytes in them, and the digest over all, as hex."""

    files: int
    size: int
    digest: str


class _Tally:
    """Counts files and hashes their names, sizes and hashes in order."""

    def __init__(self) -> None:
        self.files, self.size, self._sum = 0, 0, hashlib.sha256()

    def add(self, name: str, size: int, digest: str) -> None:
        self.files, self.size = self.files + 1, self.size + size
        self._sum.update(f"{name}\0{size}\0{digest}\n".encode())

    def result(self) -> Snapshot:
        return Snapshot(self.files, self.size, self._sum.hexdigest())


def take_snapshot(home: Path, target: Path, advance: Advance = lambda size: None) -> Snapshot:
    """Write the home into the new file ``target``; ``advance`` is told the bytes as they are written.

    Raises ``NotFound`` if there is no home, ``Conflict`` (``file_exists``) if there is such a file, ``InvalidInput`` if
    the home holds a symbolic link, ``Unreachable``.
    """
    if not (home / "home.json").is_file():
        raise NotFound("file_unknown", f"There is no home at {home}.", hint="Give its directory as --home.")
    if os.path.lexists(target):
        raise _exists(target)
    if target.resolve().is_relative_to(home.resolve()):
        raise InvalidInput("usage", "A snapshot cannot lie within its home.", hint="Give a file elsewhere.")
    tally = _Tally()
    with _speaking_plainly(target), _workspace(target) as workspace:
        archive = workspace / f"{_OURS}archive"
        with os.fdopen(os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            for name in _names(home):
                _append_live(out, home, name, workspace / f"{_OURS}copy", tally, advance)
            found = tally.result()
            body = json.dumps({"format": FORMAT, **asdict(found)}).encode()
            out.write(_header(TRAILER, len(body)) + body + bytes(-len(body) % _BLOCK) + bytes(2 * _BLOCK))
            out.flush()
            os.fsync(out.fileno())
        _publish(archive, target)
    return found


def restore_snapshot(
    source: Path, home: Path, digest: str | None = None, advance: Advance = lambda size: None
) -> Snapshot:
    """Make a home from the file ``source`` at ``home``, which must not exist or be empty; return what was restored.

    ``digest`` is what ``take_snapshot`` returned, if it was kept apart from the file. Raises ``NotFound``, ``Conflict``
    (``file_exists``), ``Corrupted`` (``snapshot_invalid``; then nothing is left behind), ``Unreachable``.
    """
    if not source.is_file():
        raise NotFound("file_unknown", f"There is no file {source}.")
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise _exists(home)
    with _speaking_plainly(home), _workspace(home) as workspace:
        tree = workspace / f"{_OURS}home"
        tree.mkdir(mode=0o700)
        with source.open("rb") as archive:
            found = _extract(archive, tree, advance)
        if digest is not None and digest.lower() != found.digest:
            raise _invalid(f"its digest is {found.digest}, not the one given")
        if not (tree / "home.json").is_file():
            raise _invalid("it holds no home")
        _sync_tree(tree)
        try:
            tree.rename(home)  # succeeds over nothing and over an empty directory only
        except OSError as error:
            raise _exists(home) from error
        _sync_directory(home.parent)
    return found


def _names(home: Path) -> Iterator[str]:
    """Yield the paths of a home's files: small ones and rows first, blobs and keys, the ledger last."""
    top = sorted((entry for entry in os.scandir(home) if entry.name not in _DERIVED), key=lambda entry: entry.name)
    folders = [entry.name for entry in top if entry.is_dir()]
    files = [entry.name for entry in top if entry.is_file() and not entry.name.endswith(_PASSING)]
    # Steps that are under way look at rows to see what is done, so they may be older than the rows, not younger.
    files.sort(key=lambda name: (name.endswith(".sqlite"), name != "workflows.sqlite", name))
    yield from (name for name in files if name != _LEDGER)
    for name in folders:
        yield from _below(home, name)
    yield from (name for name in files if name == _LEDGER)


def _below(home: Path, name: str) -> Iterator[str]:
    if (home / name).is_symlink():
        raise _linked(home / name)
    for entry in sorted(os.scandir(home / name), key=lambda entry: entry.name):
        inner = f"{name}/{entry.name}"
        if entry.is_dir() and inner != "blobs/partial":
            yield from _below(home, inner)
        elif entry.is_file():
            yield inner


def _append_live(out: BinaryIO, home: Path, name: str, copy: Path, tally: _Tally, advance: Advance) -> None:
    path = home / name
    if not _NAME.fullmatch(name):
        raise InvalidInput("usage", f"{path} is no file of a home.", hint="Move it away and take the snapshot again.")
    if not name.endswith(".sqlite"):
        _append(out, path, name, tally, advance)
        return
    if path.is_symlink():
        raise _linked(path)
    address = f"{path.resolve().as_uri()}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, timeout=60)) as live, closing(sqlite3.connect(copy)) as new:
        live.backup(new)
        new.execute("PRAGMA journal_mode = DELETE")  # the copy is one file, without a log beside it
    _append(out, copy, name, tally, advance)
    copy.unlink()


def _append(out: BinaryIO, path: Path, name: str, tally: _Tally, advance: Advance) -> None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return  # a blob that was deleted since the directory was read
    except OSError as error:
        raise _linked(path) if error.errno == errno.ELOOP else error from error
    with os.fdopen(handle, "rb") as file:
        size = os.fstat(handle).st_size
        out.write(_header(name, size))
        digest = _copied(file, out, size, advance)
        out.write(bytes(-size % _BLOCK))
    if digest is None:
        raise Unreachable("unreachable", f"{path} became shorter while it was read.", hint="Take the snapshot again.")
    tally.add(name, size, digest)


def _extract(archive: BinaryIO, tree: Path, advance: Advance) -> Snapshot:
    """Unpack an archive and check it against its last file."""
    tally = _Tally()
    while (info := _next_header(archive)) is not None:
        if info.name == TRAILER:
            return _checked(archive, info.size, tally.result())
        path = tree / info.name
        try:
            for folder in reversed(Path(info.name).parents):
                (tree / folder).mkdir(mode=0o700, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except (FileExistsError, NotADirectoryError):
            raise _invalid(f"it holds {info.name} twice, or something else in its place") from None
        with os.fdopen(handle, "wb") as out:
            digest = _copied(archive, out, info.size, advance)
        if digest is None or len(archive.read(-info.size % _BLOCK)) != -info.size % _BLOCK:
            raise _invalid("it ends too early")
        tally.add(info.name, info.size, digest)
    raise _invalid("it ends too early")


def _next_header(archive: BinaryIO) -> tarfile.TarInfo | None:
    block = archive.read(_BLOCK)
    if len(block) < _BLOCK or not any(block):
        return None
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.TarError, ValueError) as error:
        raise _invalid("one of its headers cannot be read") from error
    if info.type != tarfile.REGTYPE:
        raise _invalid("it holds something that is not a regular file")
    if not _NAME.fullmatch(info.name) or info.size < 0:
        raise _invalid(f"it holds a file of the name {info.name[:100]!r}, which no home has")
    return info


def _checked(archive: BinaryIO, size: int, found: Snapshot) -> Snapshot:
    body = archive.read(min(size, MAX_TRAILER_BYTES))
    archive.read(-size % _BLOCK)
    try:
        claimed: Any = json.loads(body)
    except ValueError as error:
        raise _invalid("its last file cannot be read") from error
    if size > MAX_TRAILER_BYTES or not isinstance(claimed, dict) or claimed.pop("format", None) != FORMAT:
        raise _invalid(f"it is not a snapshot of format {FORMAT}")
    if claimed != asdict(found):
        raise _invalid("its files do not hash to its digest")
    if any(archive.read(2 * _BLOCK)) or archive.read(1):
        raise _invalid("something follows its end")
    return found


def _copied(source: BinaryIO, out: BinaryIO, size: int, advance: Advance) -> str | None:
    """Copy exactly ``size`` bytes and return their SHA-256, or None if there are fewer."""
    digest, left = hashlib.sha256(), size
    while left:
        piece = source.read(min(left, _PIECE))
        if not piece:
            return None
        digest.update(piece)
        out.write(piece)
        advance(len(piece))
        left -= len(piece)
    return digest.hexdigest()


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


@contextmanager
def _workspace(target: Path) -> Iterator[Path]:
    """Hold the directory ``TARGET.partial`` alone; clear what a killed attempt left there; remove it in the end."""
    place = target.with_name(target.name + ".partial")
    place.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict("home_locked", f"Another process is writing {target}.", hint="Wait for it.") from error
        if not all(entry.name.startswith(_OURS) for entry in list(place.iterdir())):
            raise _exists(place)
        _clear(place)
        try:
            yield place
        finally:
            _clear(place)
            place.rmdir()
    finally:
        os.close(handle)


def _clear(place: Path) -> None:
    for entry in os.scandir(place):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            Path(entry.path).unlink()


def _publish(archive: Path, target: Path) -> None:
    """Give the finished archive its name, which must still be free."""
    try:
        os.link(archive, target)
    except FileExistsError as error:
        raise _exists(target) from error
    _sync_directory(target.parent)


def _sync_tree(tree: Path) -> None:
    for folder, _, files in os.walk(tree):
        for name in files:
            _sync(Path(folder) / name, os.O_RDONLY)
        _sync_directory(Path(folder))


def _sync_directory(path: Path) -> None:
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _speaking_plainly(target: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if "full" in str(error):
            raise Unreachable("disk_full", f"The disk has no room for {target}.", hint="Make room.") from error
        raise Corrupted(
            "database_corrupted", f"A database of the home cannot be copied: {error}.", hint="See: roda doctor"
        ) from error
    except OSError as error:
        code = "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "unreachable"
        raise Unreachable(
            code, f"{target} cannot be written: {error.strerror}.", hint="Make room, or give another place."
        ) from error


def _exists(path: Path) -> Conflict:
    return Conflict(
        "file_exists", f"{path} exists; nothing is overwritten.", hint="Give another name, or move it away."
    )


def _linked(path: Path) -> InvalidInput:
    return InvalidInput(
        "usage", f"{path} is a symbolic link; a snapshot holds the home's own files only.", hint="Put the files there."
    )


def _invalid(what: str) -> Corrupted:
    return Corrupted(
        "snapshot_invalid", f"The file is not a whole snapshot: {what}.", hint="Take another; nothing was restored."
    )
