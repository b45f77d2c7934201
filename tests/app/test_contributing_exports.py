"""An export from its zip to the sealed contribution: the dry run shows what leaves, and nobody else's words do."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from small_dao import key_of

from rodagila.app.cli.entry import run
from rodagila.app.daos import dao_named
from rodagila.app.home import Home
from rodagila.app.intake import contributions_of
from rodagila.vault.contents import open_contribution

CHAT = """01/02/20, 10:00 - Ada: how do I freeze a card, mail me at ada@example.org
20/02/20, 10:01 - Bob: ask the bank, my number is 030 1234567
21/02/20, 10:02 - Ada: thank you for the help with it
"""


def command(home: Home, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    capsys.readouterr()
    status = run([*arguments, "--dao", "docs", "--key", "ada", "--home", str(home.path), "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_the_dry_run_shows_what_leaves_and_nobody_else_s_words_do(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contributions_of(dao_named(home, "docs"))
    home.keys.new("ada", bytes(key_of("ada").key))
    path = tmp_path / "WhatsApp Chat with Bob.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("WhatsApp Chat with Bob.txt", CHAT)
    status, refused = command(home, capsys, "contribute", str(path))
    assert (status, refused["error"]["code"]) == (2, "author_unknown")
    status, seen = command(home, capsys, "contribute", str(path), "--as", "ada", "--dry-run")
    assert status == 0
    assert (seen["source"], seen["records"], seen["left_out"]) == ("whatsapp", 2, {"other people": 1})
    assert seen["redactions"] == {"email": 1}
    assert seen["authors"] == {"Ada": 2, "Bob": 1}
    assert seen["provenance"] == {"consistent": 2}
    assert "Names of people" in seen["remaining_risk"]
    assert contributions_of(dao_named(home, "docs")) == before
    status, taken = command(home, capsys, "contribute", str(path), "--as", "ada", "--from", "0")
    assert (status, taken["records"], taken["redactions"], taken["next"]) == (0, 2, {"email": 1}, None)
    dao = dao_named(home, "docs")
    (stored,) = [each for each in contributions_of(dao) if each not in before]
    sealed = dao.home.blobs.get(stored.ciphertext_id)
    opened = open_contribution(stored.manifest, sealed, stored.sealed_key, dao.keeper(), domain=dao.domain)
    assert [record.as_json() for record in opened.records] == seen["shown"]
    status, refused = command(home, capsys, "contribute", str(path), "--as", "ada", "--from", "2")
    assert (status, refused["error"]["code"]) == (2, "file_empty")
