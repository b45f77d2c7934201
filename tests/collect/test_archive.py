"""Archives are read as streams, and what no honest export holds is refused before it is read."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rodagila.collect import archive
from rodagila.collect.archive import open_files
from rodagila.core.errors import RodaError


def zipped(path: Path, files: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return path


def refusal(path: Path) -> RodaError:
    with pytest.raises(RodaError) as caught, open_files(path) as files:
        for entry in files.entries:
            with files.open(entry.name) as stream:
                while stream.read(65_536):
                    pass
    return caught.value


def test_a_file_a_folder_and_a_zip_show_the_same_files(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    (folder / "sub").mkdir(parents=True)
    (folder / "b.txt").write_bytes(b"two")
    (folder / "sub" / "a.txt").write_bytes(b"one")
    (folder / ".hidden").write_bytes(b"x")
    (folder / "link.txt").symlink_to("/etc/hostname")
    made = zipped(tmp_path / "export.zip", {"sub/a.txt": b"one", "b.txt": b"two"})
    for path in (folder, made):
        with open_files(path) as files:
            assert [(entry.name, files.head(entry.name)) for entry in files.entries] == [
                ("b.txt", b"two"),
                ("sub/a.txt", b"one"),
            ]
    with open_files(folder / "b.txt") as files:
        assert [(entry.name, entry.size) for entry in files.entries] == [("b.txt", 3)]


def link(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as made:
        entry = zipfile.ZipInfo("link.json")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(entry, "/etc/passwd")


def encrypted(path: Path) -> None:
    zipped(path, {"a.json": b"[]"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


def twice(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as made, pytest.warns(UserWarning):
        made.writestr("a.json", "1")
        made.writestr("a.json", "2")


UNSAFE: dict[str, Callable[[Path], object]] = {
    "up": lambda path: zipped(path, {"../a.json": b"[]"}),
    "up inside": lambda path: zipped(path, {"x/../../a.json": b"[]"}),
    "absolute": lambda path: zipped(path, {"/etc/a.json": b"[]"}),
    "drive": lambda path: zipped(path, {"C:/a.json": b"[]"}),
    "backslash": lambda path: zipped(path, {"..\\a.json": b"[]"}),
    "link": link,
    "encrypted": encrypted,
    "twice": twice,
    "deep": lambda path: zipped(path, {"d/" * 16 + "a.json": b"[]"}),
    "bomb": lambda path: zipped(path, {"a.json": bytes(2**21)}),
    "odd packing": lambda path: zipped(path, {"a.json": b"[]"}, zipfile.ZIP_LZMA),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_what_no_honest_export_holds_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    UNSAFE[name](path)
    error = refusal(path)
    assert error.code == "archive_unsafe"
    assert error.message.count(". ") == 0


def test_counts_and_sizes_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "export.zip", {f"{n}.txt": b"abc" for n in range(5)}, zipfile.ZIP_STORED)
    for name, value in (("MAX_FILES", 4), ("MAX_BYTES", 14), ("MAX_DIRECTORY_BYTES", 100)):
        with monkeypatch.context() as patched:
            patched.setattr(archive, name, value)
            assert refusal(path).code == "archive_unsafe"
    with open_files(path) as files:
        assert len(files.entries) == 5


def test_an_archive_that_lies_about_the_size_of_its_list_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "export.zip", {"a.txt": b"abc"})
    content = bytearray(path.read_bytes())
    struct.pack_into("<L", content, content.rindex(b"PK\x05\x06") + 12, 2**31)
    path.write_bytes(content)
    assert refusal(path).code == "archive_unsafe"


def test_more_bytes_than_the_list_says_are_not_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "export.zip", {"a.txt": b"x" * 1_000}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        struct.pack_into("<L", content, content.index(mark) + offset, 10)
    path.write_bytes(content)
    assert refusal(path).code == "archive_damaged"  # ten bytes do not have the checksum of a thousand


def test_a_path_that_is_no_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent.zip").code == "file_unknown"
    os.mkfifo(tmp_path / "pipe.zip")
    assert refusal(tmp_path / "pipe.zip").code == "file_unreadable"
    (tmp_path / "no.zip").write_bytes(b"not a zip")
    assert refusal(tmp_path / "no.zip").code == "archive_damaged"


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_changed_archive_is_read_or_refused_and_nothing_else(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = zipped(tmp_path_factory.getbasetemp() / "fuzzed.zip", {"a.json": b"[1, 2, 3]" * 20, "d/b.txt": b"hello"})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content))) or None])
    try:
        with open_files(path) as files:
            for entry in files.entries:
                assert len(files.head(entry.name, 1_000)) <= 1_000
    except RodaError as error:
        assert error.code in {"archive_damaged", "archive_unsafe"}
