"""Commands on a real home that need no DAO: keys, policy files, the doctor, and what is not there."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from rodagila.app.cli import health
from rodagila.app.cli.entry import run
from rodagila.core.policy import Policy
from rodagila.govern.fields import FIELDS
from rodagila.govern.policy import load_policy

SECRET = "11" * 32
ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RODA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RODA_PASSPHRASE", raising=False)
    return tmp_path / "home"


@pytest.fixture
def json_of(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command with --json; returns its status and its object."""

    def call(*arguments: str) -> tuple[int, Any]:
        status = run([*arguments, "--json"])
        captured = capsys.readouterr()
        return status, json.loads(captured.out)

    return call


def secret_file(tmp_path: Path, text: str = SECRET) -> str:
    path = tmp_path / "secret"
    path.write_text(text + "\n")
    return str(path)


def test_a_new_key_is_sealed_with_the_passphrase_of_the_environment(
    json_of: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RODA_PASSPHRASE", "correct horse")
    status, made = json_of("key", "new", "ada")
    assert status == 0
    assert made["encrypted"] is True
    stored = (home / "keys" / "ada.json").read_text()
    assert "private_key" not in stored
    assert json_of("key", "list") == (0, [{"name": "ada", "address": made["address"]}])


def test_a_key_comes_back_on_another_device_by_its_recovery_phrases(
    json_of: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("shamir_mnemonic")
    monkeypatch.setenv("RODA_PASSPHRASE", "correct horse")
    _, made = json_of("key", "new", "ada")
    assert run(["key", "backup", "ada", "--shares", "3", "--threshold", "2"]) == 0
    phrases = capsys.readouterr().out.splitlines()
    assert [len(phrase.split()) for phrase in phrases] == [33, 33, 33]
    monkeypatch.setenv("RODA_HOME", str(tmp_path / "other"))
    file = secret_file(tmp_path, "\n".join(phrases[1:]))
    status, found = json_of("key", "recover", "mine", "--file", file)
    assert (status, found["address"], found["encrypted"]) == (0, made["address"], True)
    status, failed = json_of("key", "recover", "again", "--file", secret_file(tmp_path, phrases[0]))
    assert (status, failed["error"]["code"]) == (2, "phrase_invalid")
    words = {word.encode() for word in " ".join(phrases).split() if len(word) > 5}
    for path in (*home.rglob("*"), *(tmp_path / "other").rglob("*")):
        assert not path.is_file() or not any(word in path.read_bytes() for word in words), path


def test_a_key_is_left_unsealed_only_when_that_is_asked_for(json_of: Any) -> None:
    status, failed = json_of("key", "new", "ada")
    assert status == 2
    assert "RODA_PASSPHRASE" in failed["error"]["hint"]
    assert json_of("key", "new", "ada", "--plain")[1]["encrypted"] is False


def test_a_key_is_imported_from_a_file_or_stdin_and_never_from_an_argument(
    json_of: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = secret_file(tmp_path)
    assert json_of("key", "import", "ada", "--file", path, "--plain")[1]["address"] == ADDRESS
    assert run(["key", "import", "bob", SECRET]) == 2
    assert json_of("key", "list")[1] == [{"name": "ada", "address": ADDRESS}]


@pytest.mark.parametrize("text", ["zz" * 32, "", "11" * 31, "é", "0" * 10_000, "00" * 32])
def test_what_is_not_a_key_is_refused_without_repeating_it(text: str, json_of: Any, tmp_path: Path) -> None:
    status, failed = json_of("key", "import", "ada", "--file", secret_file(tmp_path, text), "--plain")
    assert status == 2
    assert failed["error"]["code"] == "key_invalid"
    assert len(text) < 2 or text not in json.dumps(failed)


def test_a_key_is_never_replaced(json_of: Any) -> None:
    json_of("key", "new", "ada", "--plain")
    status, failed = json_of("key", "new", "ada", "--plain")
    assert status == 1
    assert failed["error"]["code"] == "key_exists"


def test_a_directory_that_is_not_a_home_is_left_alone(json_of: Any, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mail.txt").write_text("dear")
    status, failed = json_of("key", "list", "--home", str(tmp_path / "letters"))
    assert status == 2
    assert failed["error"]["code"] == "usage"
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["mail.txt"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["dao", "show", "nowhere"],
        ["turn", "list", "--dao", "nowhere"],
        ["turn", "close", "--dao", "nowhere"],
        ["payout", "list", "--dao", "nowhere"],
        ["payout", "claim", "--dao", "nowhere", "--account", ADDRESS],
    ],
    ids=" ".join,
)
def test_a_dao_that_is_not_there_exits_with_4(arguments: list[str], json_of: Any) -> None:
    status, failed = json_of(*arguments)
    assert status == 4
    assert failed["error"]["code"] == "dao_unknown"


def test_an_empty_home_lists_nothing(json_of: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert json_of("dao", "list") == (0, [])
    assert json_of("key", "list") == (0, [])
    assert run(["dao", "list"]) == 0
    assert capsys.readouterr().out == "none\n"


def test_dry_runs_make_nothing(json_of: Any, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("name: docs\n")
    status, said = json_of("dao", "new", "docs", "--policy", str(path), "--dry-run")
    assert status == 0
    assert said["policy_hash"] == "0x" + Policy(name="docs").policy_hash().hex()
    assert json_of("faucet", ADDRESS, "--amount", "2.5", "--dry-run")[1]["amount"] == 2_500_000
    assert not home.exists()


def test_the_default_policy_checks_and_is_the_default(
    json_of: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["policy", "default", "--name", "docs"]) == 0
    path = tmp_path / "policy.yaml"
    path.write_text(capsys.readouterr().out)
    assert load_policy(path) == Policy(name="docs")
    status, said = json_of("policy", "check", str(path))
    assert status == 0
    assert said["policy"] == Policy(name="docs").as_json()


def test_policy_fields_lists_every_field_with_its_meaning(json_of: Any) -> None:
    rows = json_of("policy", "fields")[1]
    assert [row["field"] for row in rows] == [field.path for field in FIELDS]
    assert all(row["meaning"] and row["range"] and row["default"] for row in rows)


def test_piped_tables_are_neither_cut_nor_coloured(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "fields"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "…" not in out
    assert len(out.splitlines()) == len(FIELDS) + 2
    assert all(line == line.rstrip() for line in out.splitlines())


def test_the_doctor_finds_this_machine_ready(json_of: Any) -> None:
    status, said = json_of("doctor", "--port", str(_free_port()))
    assert [check["check"] for check in said["checks"]] == [
        *("Python", "dependencies", "embedder", "home", "disk", "database", "ledger", "port", "clock"),
    ]
    assert [check for check in said["checks"] if not check["ok"]] == []
    assert (status, said["ok"]) == (0, True)


def test_the_doctor_leaves_no_home_behind(json_of: Any, home: Path) -> None:
    json_of("doctor", "--port", str(_free_port()))
    assert not home.exists()
    assert list(home.parent.iterdir()) == []


def test_the_doctor_names_a_taken_port_and_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(["doctor", "--port", str(port)]) == 1
    out = capsys.readouterr().out
    assert f"FAIL  port: {port} cannot be used" in out
    assert "fix: Give `roda serve` another --port." in out


def test_every_check_reports_its_failure_with_a_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"not a ledger" * 100)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(health, "FREE_BYTES", 1 << 60)
    monkeypatch.setattr(health.sys, "version_info", (3, 9, 0))
    monkeypatch.setattr(health.time, "time", lambda: 5)
    monkeypatch.setattr("rodagila.learn.embedder.default_folder", lambda: tmp_path)
    outcomes = {outcome.check: outcome for outcome in (check() for check in health.checks(tmp_path, 1))}
    outcomes["home"] = health.home_writable(tmp_path / "file" / "home")
    failed = {name for name, outcome in outcomes.items() if not outcome.ok}
    assert failed >= {"Python", "embedder", "home", "disk", "ledger", "clock"}
    assert all(outcomes[name].fix for name in failed)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_cannot_be_written_is_unreachable(json_of: Any, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert json_of("key", "list", "--home", str(tmp_path / "locked" / "home"))[0] == 7


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
