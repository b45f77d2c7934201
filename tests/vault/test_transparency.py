"""A log only grows: its proofs hold against its heads, and killing it neither loses nor forks anything."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rodagila.core.errors import Corrupted, InvalidInput, NotAuthorised, NotFound, RodaError
from rodagila.vault.notes import NoteKey, open_note
from rodagila.vault.transparency import (
    Head,
    TransparencyLog,
    open_head,
    require_consistency,
    require_inclusion,
    root_of,
)

KEY = NoteKey("log.test", bytes(32))
# The trees that implementations of Certificate Transparency share: entries in hex, roots of the first 1 to 8.
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
# The note of golang.org/x/mod/sumdb/note's documentation.
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NOTE = (
    f"{TEXT}\n\u2014 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


@pytest.fixture
def log(tmp_path: Path) -> TransparencyLog:
    return TransparencyLog(tmp_path / "log.sqlite", KEY)


def test_roots_are_those_that_other_logs_have(log: TransparencyLog) -> None:
    for size, (entry, root) in enumerate(zip(ENTRIES, ROOTS, strict=True), 1):
        log.append([entry])
        assert open_head(log.head(), log.verifier) == Head("log.test", size, bytes.fromhex(root))
        assert root_of(ENTRIES[:size]).hex() == root


def test_a_note_of_the_go_checksum_database_opens() -> None:
    assert open_note(NOTE, NEUMANN) == TEXT
    for wrong in (NOTE.replace("answer", "key"), NOTE.replace("x08g", "x08h")):
        with pytest.raises(NotAuthorised):
            open_note(wrong, NEUMANN)


def test_lines_of_other_signers_are_passed_over() -> None:
    note = KEY.sign(TEXT)
    other = NoteKey("witness.test", b"\x01" * 32).sign(TEXT)[len(TEXT) + 1 :]
    assert open_note(note + other, KEY.verifier) == open_note(f"{TEXT}\n{other}" + note[len(TEXT) + 1 :], KEY.verifier)


@settings(max_examples=30)
@given(st.text(max_size=200) | st.just(NOTE).flatmap(lambda note: st.integers(0, len(note)).map(lambda n: note[:n])))
def test_arbitrary_text_raises_nothing_but_our_errors(text: str) -> None:
    for verifier in (NEUMANN, text):
        with pytest.raises(RodaError):
            open_head(text, verifier)


def test_every_inclusion_and_consistency_proof_holds_and_no_other_does(log: TransparencyLog) -> None:
    entries = [b"%d" % number for number in range(21)]
    log.append(entries)
    heads = [Head("log.test", size, root_of(entries[:size])) for size in range(22)]
    for place, size in itertools.combinations(range(22), 2):
        proof = log.inclusion(place, size)
        require_inclusion(entries[place], place, heads[size], proof)
        wrong = [(b"x", place, proof), (entries[place], place, [*proof, bytes(32)]), (entries[place], place - 1, proof)]
        if proof:
            wrong.append((entries[place], place, proof[:-1]))
        for entry, where, path in wrong:
            with pytest.raises(NotAuthorised):
                require_inclusion(entry, where, heads[size], path)
    for old, new in itertools.combinations_with_replacement(range(22), 2):
        proof = log.consistency(old, new)
        require_consistency(heads[old], heads[new], proof)
        forked = Head("log.test", old, root_of([*entries[: max(0, old - 1)], b"another"]))
        for bad_old, bad_proof in ((forked, proof), (heads[old], [*proof, bytes(32)])):
            with pytest.raises(NotAuthorised) as caught:
                require_consistency(bad_old, heads[new], bad_proof)
            assert caught.value.code == "log_mismatch"


def test_a_head_of_another_log_continues_nothing(log: TransparencyLog) -> None:
    log.append(ENTRIES)
    head = open_head(log.head(), log.verifier)
    with pytest.raises(NotAuthorised):
        require_consistency(Head("other.test", head.size, head.root), head, [])


def test_what_is_not_in_the_log_has_no_proof(log: TransparencyLog) -> None:
    log.append(ENTRIES[:3])
    for ask in (lambda: log.entry(3), lambda: log.inclusion(3, 3), lambda: log.inclusion(0, 4)):
        with pytest.raises(NotFound):
            ask()
    with pytest.raises(NotFound):
        log.consistency(3, 4)
    with pytest.raises(InvalidInput):
        log.append([b"x" * 65_537])


def test_a_log_that_was_changed_from_outside_is_not_opened(tmp_path: Path) -> None:
    changes = (
        "UPDATE log_entry SET data = x'ff' WHERE place = 1",
        "DELETE FROM log_entry WHERE place = 2",
        "DELETE FROM log_head",
        "UPDATE log_head SET size = 2",
        "UPDATE log_node SET hash = zeroblob(32) WHERE level = 1 AND place = 0",
    )
    for number, change in enumerate(changes):
        path = tmp_path / f"{number}.sqlite"
        log = TransparencyLog(path, KEY)
        log.append(ENTRIES[:3])
        log.close()
        with sqlite3.connect(path) as file:
            file.execute(change)
        file.close()
        with pytest.raises(Corrupted) as caught:
            TransparencyLog(path, KEY)
        assert caught.value.code == "log_corrupted"
    with pytest.raises(Corrupted):
        TransparencyLog(tmp_path / "0.sqlite", NoteKey("log.test", b"\x01" * 32))


def test_a_failed_transaction_leaves_the_head_as_it_was(log: TransparencyLog) -> None:
    log.append(ENTRIES[:2])
    before = log.head()
    with pytest.raises(ZeroDivisionError), log.transaction():
        log.append(ENTRIES[2:])
        raise ZeroDivisionError
    assert log.head() == before
    assert log.append([b"next"]) == [2]


@pytest.mark.parametrize("statement", [1, 2, 3, 5, 9, 14, 23, 40])
def test_a_killed_log_has_all_that_it_acknowledged_and_never_forks(tmp_path: Path, statement: int) -> None:
    path = tmp_path / "log.sqlite"
    notes: list[str] = []
    for last in (statement, statement + 7):
        script = Path(__file__).with_name("killed_log.py")
        command = [sys.executable, str(script), str(path), str(last)]
        run = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ)
        assert run.returncode == -9, run.stderr
        notes += [bytes.fromhex(line.split()[1]).decode() for line in run.stdout.splitlines()]
    log = TransparencyLog(path, KEY)
    final = open_head(log.head(), log.verifier)
    seen = [open_head(note, log.verifier) for note in notes]
    assert len({head.size for head in seen}) == len(seen)
    for head in seen:
        require_consistency(head, final, log.consistency(head.size, final.size))
