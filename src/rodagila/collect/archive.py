"""The files of an export, wherever they lie: one file, a folder or a zip, read as streams and never unpacked.

An archive is made by a stranger's program. What no honest export holds is refused before a byte of it is read: names
that lead out of it, symbolic links, encrypted or oddly packed files, a name twice, more than ``MAX_FILES`` files or
``MAX_BYTES`` bytes, paths deeper than ``MAX_DEPTH``, bytes that shrank more than ``MAX_RATIO`` times (measured honest
exports shrink 3 to 40 times). An archive inside an archive is not opened. Source: APPNOTE.TXT 6.3.10 of PKWARE.

>>> with open_files(Path("export.zip")) as files:                                      # doctest: +SKIP
...     [entry.name for entry in files.entries]
['conversations.json', 'user.json']
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from rodagila.core.errors import InvalidInput, NotFound

MAX_BYTES = 16 * 2**30
MAX_FILES = 50_000
MAX_DEPTH = 16
MAX_RATIO = 200
MAX_DIRECTORY_BYTES = 32 * 2**20
_SMALL = 2**20  # a short file of zeros may shrink as much as it likes
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_END = b"PK\x05\x06"
_END_BYTES, _END_SEARCHED = 22, 22 + 2**16
_END64_LOCATOR_BYTES = 20
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError)
_NO_ARCHIVE = (*_DAMAGED, struct.error, ValueError)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an export: its name with ``/`` between folders, and how many bytes it says it has."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Files:
    """The files of an export in the order of their names, and how to open one for reading."""

    name: str
    entries: tuple[Entry, ...]
    opener: Callable[[str], BinaryIO]

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open one of the files; what turns out to be damaged raises ``InvalidInput`` archive_damaged."""
        try:
            with self.opener(name) as stream:
                yield stream
        except _DAMAGED as error:
            raise damaged(f"{name!r} in {self.name!r}", error) from error

    def head(self, name: str, length: int = 65_536) -> bytes:
        """Return the first bytes of one of the files."""
        with self.open(name) as stream:
            return stream.read(length)


@contextlib.contextmanager
def open_files(path: Path) -> Iterator[Files]:
    """Open the export at ``path``: a zip (by its name or first bytes), a folder, or a single file.

    Raises ``NotFound`` file_unknown, ``InvalidInput`` file_unreadable, archive_unsafe, archive_damaged.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            yield _folder(path)
            return
        if not stat.S_ISREG(mode):
            raise InvalidInput("file_unreadable", f"{path.name!r} is no file or folder.", hint="Check the path.")
        size = path.stat().st_size
        with path.open("rb") as file:
            zipped = file.read(4) in (b"PK\x03\x04", _END) or path.suffix.lower() == ".zip"
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a path with a zero byte
        raise NotFound("file_unknown", f"There is no file at {str(path)!r}.", hint="Check the path.") from None
    except OSError as error:
        raise InvalidInput(
            "file_unreadable", f"{path.name!r} cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from error
    if not zipped:
        yield Files(path.name, (Entry(path.name, size),), lambda _: path.open("rb"))
        return
    with contextlib.ExitStack() as stack:
        try:
            _require_small_directory(path)
            archive = stack.enter_context(zipfile.ZipFile(path))
        except _NO_ARCHIVE as error:
            raise damaged(repr(path.name), error) from error
        entries = _checked(archive, path)
        yield Files(path.name, entries, lambda name: cast(BinaryIO, archive.open(name)))


def _require_small_directory(path: Path) -> None:
    """Refuse an archive whose list of files would fill the memory; zipfile reads that list whole."""
    with path.open("rb") as file:
        start = max(0, path.stat().st_size - _END_SEARCHED)
        file.seek(start)
        tail = file.read()
        place = tail.rfind(_END)
        if place < 0 or len(tail) - place < _END_BYTES:
            raise zipfile.BadZipFile("it has no list of its files")
        size = struct.unpack_from("<L", tail, place + 12)[0]
        locator = place - _END64_LOCATOR_BYTES
        if locator >= 0 and tail[locator : locator + 4] == b"PK\x06\x07":
            file.seek(struct.unpack_from("<Q", tail, locator + 8)[0])
            size = max(size if size < 2**32 - 1 else 0, struct.unpack("<40xQ", file.read(48))[0])
    if size > MAX_DIRECTORY_BYTES:
        raise unsafe(path.name, f"its list of files has {size:,} bytes; {MAX_DIRECTORY_BYTES:,} are allowed")


def _checked(archive: zipfile.ZipFile, path: Path) -> tuple[Entry, ...]:
    """Return the files of an archive, none of which does what no export does."""
    members = archive.infolist()
    if len(members) > MAX_FILES:
        raise unsafe(path.name, f"it has {len(members):,} files; {MAX_FILES:,} are allowed")
    names = [member.filename for member in members]
    if len(set(names)) != len(names):
        raise unsafe(path.name, "two of its files have the same name")
    for member in members:
        reason = _fault(member)
        if reason:
            raise unsafe(path.name, f"{member.filename[:200]!r} {reason}")
    total = sum(member.file_size for member in members)
    if total > MAX_BYTES:
        raise unsafe(path.name, f"it would have {total:,} bytes; {MAX_BYTES:,} are allowed")
    if total > _SMALL and total > MAX_RATIO * max(1, path.stat().st_size):
        raise unsafe(path.name, f"its files would have more than {MAX_RATIO} times its own bytes")
    return tuple(Entry(m.filename, m.file_size) for m in sorted(members, key=lambda m: m.filename) if not m.is_dir())


def _fault(member: zipfile.ZipInfo) -> str:
    """Return what is wrong with a file of an archive, empty if nothing is."""
    parts = member.filename.rstrip("/").split("/")
    name = member.orig_filename
    faults = {
        "has a name that leads out of the archive": (
            ".." in parts or "" in parts or "\\" in name or "\0" in name or ":" in parts[0]
        ),
        f"lies deeper than {MAX_DEPTH} folders": len(parts) > MAX_DEPTH,
        "is a symbolic link": stat.S_ISLNK(member.external_attr >> 16),
        "is encrypted": bool(member.flag_bits & 0x41),
        "is packed in a way that exports do not use": member.compress_type not in _PACKINGS,
        f"would have more than {MAX_RATIO} times the bytes it takes here": (
            member.file_size > _SMALL and member.file_size > MAX_RATIO * max(1, member.compress_size)
        ),
    }
    return next((fault for fault, found in faults.items() if found), "")


def _folder(path: Path) -> Files:
    """Return the files below a folder; links are not followed, hidden files and folders are passed over."""
    entries: list[Entry] = []
    total = 0
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        depth = len(Path(folder).relative_to(path).parts)
        if depth >= MAX_DEPTH:
            raise unsafe(path.name, f"it is deeper than {MAX_DEPTH} folders")
        for name in sorted(names):
            file = Path(folder) / name
            found = file.lstat()
            if name.startswith(".") or not stat.S_ISREG(found.st_mode):
                continue
            entries.append(Entry(file.relative_to(path).as_posix(), found.st_size))
            total += found.st_size
            if len(entries) > MAX_FILES:
                raise unsafe(path.name, f"it has more than {MAX_FILES:,} files")
    if total > MAX_BYTES:
        raise unsafe(path.name, f"it has {total:,} bytes; {MAX_BYTES:,} are allowed")
    return Files(path.name, tuple(sorted(entries, key=lambda entry: entry.name)), lambda name: (path / name).open("rb"))


def unsafe(name: str, what: str) -> InvalidInput:
    """Return the error for an archive that holds what no export does."""
    return InvalidInput("archive_unsafe", f"{name!r} is refused: {what}.", hint="Download the export again.")


def damaged(what: str, error: Exception) -> InvalidInput:
    """Return the error for an archive that is not whole."""
    reason = str(error)[:200] or type(error).__name__
    return InvalidInput("archive_damaged", f"{what} cannot be read: {reason}.", hint="Download the export again.")
