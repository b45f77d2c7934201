"""A home in one file and back: whole, of one moment, and nothing else is believed or overwritten."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tarfile
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rodagila.app import snapshots
from rodagila.app.cli.entry import run
from rodagila.app.home import Home
from rodagila.app.snapshots import Snapshot, restore_snapshot, take_snapshot
from rodagila.chain.contracts import send_wei
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.core.errors import Conflict, Corrupted, InvalidInput, NotAuthorised, NotFound

SINK = "0x000000000000000000000000000000000000bEEF"
BLOB = b"sealed" * 1000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a sealed key, a plain one, two blobs, rows, a ledger of some blocks, and what is derived."""
    path = tmp_path_factory.mktemp("made") / "home"
    with Home.open(path) as opened:
        opened.keys.new("ada", passphrase="open sesame")
        opened.keys.new("node")
        opened.blobs.put(BLOB)
        opened.blobs.put(b"")
        _ = opened.database
        for _ in range(3):
            pay(opened)
    (path / "index").mkdir()
    (path / "index" / "vectors.bin").write_bytes(b"derived")
    (path / "turn.lock").touch()
    (path / "blobs" / "partial" / "unfinished").write_bytes(b"half")
    return path


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Iterator[Home]:
    with Home.open(Path(shutil.copytree(made, tmp_path / "home"))) as opened:
        yield opened


def pay(home: Home) -> None:
    ledger = EmbeddedLedger.open(home.path / "ledger.sqlite")
    with ledger:
        send_wei(ledger, ledger.faucet, SINK, 1)


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_restored_home_is_the_home(home: Home, tmp_path: Path) -> None:
    taken = take_snapshot(home.path, tmp_path / "monday.tar")
    restored = restore_snapshot(tmp_path / "monday.tar", tmp_path / "again", taken.digest)
    assert restored == taken
    assert taken.files == 7
    with Home.open(tmp_path / "again") as again:
        assert again.keys.names() == home.keys.names()
        assert contents(again.keys.directory) == contents(home.keys.directory)
        assert again.blobs.get(next(iter(again.blobs.ids()))) in (BLOB, b"")
        assert list(again.blobs.ids()) == list(home.blobs.ids())
    with EmbeddedLedger.open(tmp_path / "again" / "ledger.sqlite") as ledger:
        assert ledger.balance(SINK) == 3
        assert ledger.verify().blocks == 4
        send_wei(ledger, ledger.faucet, SINK, 1)


def test_what_is_derived_or_under_way_is_left_out(home: Home, tmp_path: Path) -> None:
    take_snapshot(home.path, tmp_path / "monday.tar")
    with tarfile.open(tmp_path / "monday.tar") as archive:
        names = archive.getnames()
    assert names[0] == "home.json"
    assert names[-2:] == ["ledger.sqlite", "snapshot.json"], "the ledger last"
    assert names.index("roda.sqlite") < names.index("keys/ada.json")
    assert not [name for name in names if "index" in name or "lock" in name or "partial" in name or "-wal" in name]


def test_only_the_owner_can_read_a_snapshot_and_a_restored_home(home: Home, tmp_path: Path) -> None:
    take_snapshot(home.path, tmp_path / "monday.tar")
    restore_snapshot(tmp_path / "monday.tar", tmp_path / "again")
    places = [tmp_path / "monday.tar", tmp_path / "again", *(tmp_path / "again").rglob("*")]
    assert {stat.S_IMODE(place.stat().st_mode) & 0o077 for place in places} == {0}


def test_a_sealed_key_stays_sealed(home: Home, tmp_path: Path) -> None:
    take_snapshot(home.path, tmp_path / "monday.tar")
    restore_snapshot(tmp_path / "monday.tar", tmp_path / "again")
    with Home.open(tmp_path / "again") as again:
        with pytest.raises(NotAuthorised):
            again.keys.get("ada")
        secret = again.keys.get("ada", "open sesame").key.hex().removeprefix("0x")
    assert secret.encode() not in (tmp_path / "monday.tar").read_bytes()


def test_nothing_is_overwritten(home: Home, tmp_path: Path) -> None:
    target = tmp_path / "monday.tar"
    target.write_text("letters")
    with pytest.raises(Conflict) as caught:
        take_snapshot(home.path, target)
    assert caught.value.code == "file_exists"
    assert target.read_text() == "letters"
    take_snapshot(home.path, tmp_path / "tuesday.tar")
    before = contents(home.path)
    for place in (home.path, target):
        with pytest.raises(Conflict):
            restore_snapshot(tmp_path / "tuesday.tar", place)
    assert contents(home.path) == before
    (tmp_path / "empty").mkdir()
    restore_snapshot(tmp_path / "tuesday.tar", tmp_path / "empty")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Conflict):
        take_snapshot(home.path, tmp_path / "dangling")


def test_only_a_home_is_taken_and_not_into_itself(home: Home, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NotFound):
            take_snapshot(path, tmp_path / "monday.tar")
    with pytest.raises(InvalidInput, match="within its home"):
        take_snapshot(home.path, home.path / "blobs" / "monday.tar")
    with pytest.raises(NotFound):
        restore_snapshot(tmp_path / "nothing.tar", tmp_path / "again")


@pytest.mark.parametrize("place", ["keys/eve.json", "notes", "blobs/ab", "roda.sqlite-journal.sqlite"])
def test_a_symbolic_link_in_a_home_is_refused(home: Home, tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (home.path / place).symlink_to(outside if place == "blobs/ab" else outside / "secret")
    with pytest.raises(InvalidInput, match="symbolic link"):
        take_snapshot(home.path, tmp_path / "monday.tar")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "outside"]


def test_a_snapshot_of_a_home_in_use_is_of_one_moment(home: Home, tmp_path: Path) -> None:
    """Rows name blocks; whatever the moment, the ledger of the snapshot has every block that its rows name."""
    rows = home.path / "rows.sqlite"
    with sqlite3.connect(rows) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE paid (block INTEGER)")
    stop = threading.Event()

    def work() -> None:
        with EmbeddedLedger.open(home.path / "ledger.sqlite") as ledger, sqlite3.connect(rows) as database:
            while not stop.is_set():
                number = send_wei(ledger, ledger.faucet, SINK, 1).block_number
                database.execute("INSERT INTO paid VALUES (?)", (number,))
                database.commit()
                home.blobs.put(os.urandom(100))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for n in range(5):
            take_snapshot(home.path, tmp_path / f"{n}.tar")
    finally:
        stop.set()
        thread.join()
    blocks = []
    for n in range(5):
        again = tmp_path / f"again{n}"
        restore_snapshot(tmp_path / f"{n}.tar", again)
        (named,) = sqlite3.connect(again / "rows.sqlite").execute("SELECT max(block) FROM paid").fetchone()
        with EmbeddedLedger.open(again / "ledger.sqlite") as ledger:
            assert ledger.block_number() >= (named or 0)
            blocks.append(ledger.block_number())
    assert blocks == sorted(blocks)
    with EmbeddedLedger.open(tmp_path / "again4" / "ledger.sqlite") as ledger:
        ledger.verify()


def archive_of(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """Return an archive with a true trailer, whatever its members are."""
    tally = snapshots._Tally()
    out = io.BytesIO()
    for name, body in members:
        info = tarfile.TarInfo(name)
        info.size, info.type, info.linkname = len(body), kind, link
        out.write(info.tobuf(tarfile.GNU_FORMAT) + body + bytes(-len(body) % 512))
        out.flush()
        tally.add(name, len(body), snapshots.hashlib.sha256(body).hexdigest())
    found = tally.result()
    body = json.dumps({"format": 1, "files": found.files, "size": found.size, "digest": found.digest}).encode()
    out.write(snapshots._header("snapshot.json", len(body)) + body + bytes(-len(body) % 512) + bytes(1024))
    return out.getvalue()


MARKER = ("home.json", b'{"format": 1}')


def test_an_archive_made_by_these_tests_is_restored(tmp_path: Path) -> None:
    (tmp_path / "made.tar").write_bytes(archive_of(MARKER, ("keys/ada.json", b"{}")))
    restore_snapshot(tmp_path / "made.tar", tmp_path / "again")
    assert contents(tmp_path / "again") == {"home.json": MARKER[1], "keys/ada.json": b"{}"}


BAD: list[tuple[str, Callable[[], bytes]]] = [
    ("traversal", lambda: archive_of(MARKER, ("../evil", b"x"))),
    ("traversal within", lambda: archive_of(MARKER, ("keys/../../evil", b"x"))),
    ("absolute", lambda: archive_of(MARKER, ("/tmp/evil", b"x"))),
    ("hidden", lambda: archive_of(MARKER, (".ssh/authorized_keys", b"x"))),
    ("backslash", lambda: archive_of(MARKER, ("..\\evil", b"x"))),
    ("deep", lambda: archive_of(MARKER, ("a/" * 20 + "b", b"x"))),
    ("file as directory", lambda: archive_of(MARKER, ("keys", b"x"), ("keys/ada", b"x"))),
    ("twice", lambda: archive_of(MARKER, ("a", b"x"), ("a", b"y"))),
    ("no home", lambda: archive_of(("a", b"x"))),
    ("symbolic link", lambda: archive_of(MARKER, ("a", b""), kind=tarfile.SYMTYPE, link="/etc/passwd")),
    ("hard link", lambda: archive_of(MARKER, ("a", b""), kind=tarfile.LNKTYPE, link="home.json")),
    ("device", lambda: archive_of(MARKER, ("a", b""), kind=tarfile.CHRTYPE)),
    ("directory", lambda: archive_of(MARKER, ("a", b""), kind=tarfile.DIRTYPE)),
    ("extended header", lambda: archive_of(MARKER, ("a", b"9 path=x\n"), kind=tarfile.XHDTYPE)),
    ("sparse", lambda: archive_of(MARKER, ("a", b""), kind=tarfile.GNUTYPE_SPARSE)),
    ("empty", lambda: b""),
    ("noise", lambda: os.urandom(10_000)),
    ("zeros", lambda: bytes(10_240)),
    ("something after the end", lambda: archive_of(MARKER) + b"x"),
    ("another format", lambda: archive_of(MARKER).replace(b'"format": 1, ', b'"format": 2, ')),
    ("a trailer that is no object", lambda: archive_of(MARKER).replace(b'{"format": 1, ', b'["format", 1, ')),
]


@pytest.mark.parametrize("make", [make for _, make in BAD], ids=[name for name, _ in BAD])
def test_what_is_not_a_snapshot_leaves_nothing(tmp_path: Path, make: Callable[[], bytes]) -> None:
    (tmp_path / "bad.tar").write_bytes(make())
    with pytest.raises(Corrupted) as caught:
        restore_snapshot(tmp_path / "bad.tar", tmp_path / "again")
    assert caught.value.code == "snapshot_invalid"
    assert [p.name for p in tmp_path.iterdir()] == ["bad.tar"]


def test_a_cut_or_changed_snapshot_is_refused(home: Home, tmp_path: Path) -> None:
    take_snapshot(home.path, tmp_path / "good.tar")
    good = (tmp_path / "good.tar").read_bytes()
    for n in range(30):
        at = (2 * n + 1) * len(good) // 61
        changed = bytearray(good)
        changed[at] ^= 1
        for bad in (good[:at], bytes(changed)):
            (tmp_path / "bad.tar").write_bytes(bad)
            if is_padding(good, at) and len(bad) == len(good):
                continue
            with pytest.raises(Corrupted):
                restore_snapshot(tmp_path / "bad.tar", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def is_padding(archive: bytes, at: int) -> bool:
    """Say whether a byte belongs to no file and no header's name, size or sum: it carries nothing."""
    offset = 0
    while any(archive[offset : offset + 512]):
        info = tarfile.TarInfo.frombuf(archive[offset : offset + 512], "utf-8", "strict")
        end = offset + 512 + info.size
        if at < offset + 512 + info.size + -info.size % 512:
            return at >= end
        offset = end + -info.size % 512
    return True


def test_another_snapshot_than_the_named_one_is_refused(home: Home, tmp_path: Path) -> None:
    first = take_snapshot(home.path, tmp_path / "first.tar")
    pay(home)
    take_snapshot(home.path, tmp_path / "second.tar")
    with pytest.raises(Corrupted, match="digest"):
        restore_snapshot(tmp_path / "second.tar", tmp_path / "again", first.digest)
    assert not (tmp_path / "again").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from rodagila.app import snapshots
left = int(sys.argv[1])
copied = snapshots._copied
def counted(*args):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return copied(*args)
snapshots._copied = counted
if sys.argv[2] == "take":
    snapshots.take_snapshot(Path(sys.argv[3]), Path(sys.argv[4]))
else:
    snapshots.restore_snapshot(Path(sys.argv[3]), Path(sys.argv[4]))
"""


@pytest.mark.parametrize("act", ["take", "restore"])
def test_a_killed_one_leaves_no_target_and_the_next_attempt_works(home: Home, tmp_path: Path, act: str) -> None:
    good = tmp_path / "good.tar"
    taken = take_snapshot(home.path, good)
    source, target = (home.path, tmp_path / "new.tar") if act == "take" else (good, tmp_path / "new")
    for last in (1, 3, 7):
        done = subprocess.run([sys.executable, "-c", KILLED, str(last), act, str(source), str(target)], check=False)
        assert done.returncode == -signal.SIGKILL
        assert not target.exists()
        assert (tmp_path / f"{target.name}.partial").is_dir()
    found = take_snapshot(source, target) if act == "take" else restore_snapshot(source, target)
    assert (found.files, found.size) == (taken.files, taken.size)
    assert not (tmp_path / f"{target.name}.partial").exists()


def test_somebody_else_s_directory_of_that_name_is_left_alone(home: Home, tmp_path: Path) -> None:
    letters = tmp_path / "monday.tar.partial" / "letters"
    letters.mkdir(parents=True)
    with pytest.raises(Conflict):
        take_snapshot(home.path, tmp_path / "monday.tar")
    assert letters.is_dir()


def test_two_at_once_do_not_disturb_each_other(home: Home, tmp_path: Path) -> None:
    found: list[Any] = []
    with snapshots._workspace(tmp_path / "monday.tar"):
        (tmp_path / "monday.tar.partial" / ".rodagila-archive").write_bytes(b"mine")
        with pytest.raises(Conflict) as caught:
            found.append(take_snapshot(home.path, tmp_path / "monday.tar"))
        assert caught.value.code == "home_locked"
        assert (tmp_path / "monday.tar.partial" / ".rodagila-archive").read_bytes() == b"mine"
    assert isinstance(take_snapshot(home.path, tmp_path / "monday.tar"), Snapshot)


def test_memory_does_not_grow_with_a_file(home: Home, tmp_path: Path) -> None:
    shard = home.path / "blobs" / "ff"
    shard.mkdir(exist_ok=True)
    with (shard / ("ff" * 32)).open("wb") as big:
        big.truncate(48 * 2**20)
    tracemalloc.start()
    try:
        take_snapshot(home.path, tmp_path / "monday.tar")
        restore_snapshot(tmp_path / "monday.tar", tmp_path / "again")
        assert tracemalloc.get_traced_memory()[1] < 12 * 2**20
    finally:
        tracemalloc.stop()
    assert (tmp_path / "again" / "blobs" / "ff" / ("ff" * 32)).stat().st_size == 48 * 2**20


def test_the_commands_take_restore_and_verify(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, again = str(tmp_path / "monday.tar"), str(tmp_path / "again")
    assert run(["home", "snapshot", file, "--home", str(home.path), "--json"]) == 0
    taken = json.loads(capsys.readouterr().out)
    assert run(["home", "restore", file, "--home", again, "--digest", taken["digest"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == taken["files"]
    assert run(["ledger", "verify", "--home", again, "--json"]) == 0
    verified = json.loads(capsys.readouterr().out)
    assert (verified["ok"], verified["blocks"], verified["transactions"]) == (True, 4, 3)
    assert run(["home", "restore", file, "--home", again, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "file_exists"


def test_a_ledger_that_was_changed_does_not_verify(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(home.path / "ledger.sqlite") as file:
        file.execute("UPDATE transactions SET gas_used = gas_used + 1 WHERE block = 2")
    assert run(["ledger", "verify", "--home", str(home.path), "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["details"]["block"]) == ("ledger_corrupted", 2)
