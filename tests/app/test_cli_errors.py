"""Failures of the command line: one sentence, a next step, the right exit status, and the same as JSON."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

import rodagila.core.errors as errors
from rodagila.app.cli.entry import roda, run
from rodagila.app.cli.failure import problem_of

STATUSES = {
    errors.RodaError: 1,
    errors.InvalidInput: 2,
    errors.NotAuthorised: 3,
    errors.NotFound: 4,
    errors.PaymentFailed: 5,
    errors.RefusedByPolicy: 6,
    errors.Unreachable: 7,
    errors.Conflict: 1,
    errors.Corrupted: 1,
}


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A command that raises what it is given."""

    def install(error: BaseException) -> None:
        @click.command()
        @click.option("--json", "as_json", is_flag=True)
        def fail(as_json: bool) -> None:
            raise error

        monkeypatch.setitem(roda.commands, "fail", fail)

    return install


@pytest.mark.parametrize("kind", STATUSES, ids=lambda kind: kind.__name__)
def test_each_class_of_error_has_its_exit_status(
    kind: type[errors.RodaError], failing: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(kind("usage", "This was given; that is required.", hint="Do that.", place=3))
    assert run(["fail"]) == STATUSES[kind]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "Error: This was given; that is required.\n  Do that.\n"


@pytest.mark.parametrize("kind", STATUSES, ids=lambda kind: kind.__name__)
def test_each_class_of_error_is_one_problem_in_json(
    kind: type[errors.RodaError], failing: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    error = kind("usage", "This was given; that is required.", hint="Do that.", place=3)
    failing(error)
    assert run(["fail", "--json"]) == STATUSES[kind]
    captured = capsys.readouterr()
    assert captured.err == ""
    assert json.loads(captured.out) == {"error": error.problem()}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["kye"], "There is no command 'kye' in roda. Did you mean key?"),
        (["zzzz"], "There is no command 'zzzz' in roda. Known: demo, "),
        (["key", "nw"], "There is no command 'nw' in roda key. Did you mean new?"),
        (["key", "new"], "Missing argument 'NAME'."),
        (["key", "list", "--jsn"], "No such option '--jsn'. Did you mean '--json'?"),
        (["key", "list", "more"], "Got unexpected extra argument (more)."),
        (["turn", "close"], "Missing option '--dao'."),
        (["demo", "--turns", "0"], "Invalid value for '--turns': 0 is not in the range x>=1."),
        (["demo", "--turns", "many"], "Invalid value for '--turns': 'many' is not a valid integer range."),
        (["faucet", "ada", "--amount", "-1"], "Invalid value for '--amount': '-1' is not an amount"),
        (["faucet", "ada", "--amount", "1e3"], "Invalid value for '--amount': '1e3' is not an amount"),
        (["serve", "--port", "70000"], "Invalid value for '--port': 70000 is not in the range 0<=x<=65535."),
        (["completion", "tcsh"], "Invalid value for '{bash|zsh|fish}': 'tcsh' is not one of"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exits_with_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    first, hint = captured.err.splitlines()
    assert first.startswith(f"Error: {sentence}")
    assert hint.startswith("  See `roda")
    assert hint.endswith("--help`.")


def test_wrong_usage_is_a_problem_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["turn", "close", "--json"]) == 2
    problem = json.loads(capsys.readouterr().out)["error"]
    assert problem["code"] == "usage"
    assert problem["hint"] == "See `roda turn close --help`."


def test_a_group_without_a_command_shows_its_help_and_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["key"]):
        assert run(arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "Commands:" in captured.err


def test_an_unexpected_exception_is_one_sentence_without_a_traceback(
    failing: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RODA_DEBUG", raising=False)
    failing(KeyError("what\nmore"))
    assert run(["fail"]) == 1
    captured = capsys.readouterr()
    assert captured.err.splitlines()[0] == "Error: Something went wrong inside: KeyError: 'what\\nmore'."
    assert "RODA_DEBUG=1" in captured.err
    assert "Traceback" not in captured.err
    assert run(["fail", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "unexpected"


def test_a_traceback_is_shown_only_when_it_is_asked_for(
    failing: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RODA_DEBUG", "1")
    failing(errors.NotFound("dao_unknown", "There is no DAO."))
    assert run(["fail", "--json"]) == 4
    captured = capsys.readouterr()
    assert "Traceback" in captured.err
    assert json.loads(captured.out)["error"]["code"] == "dao_unknown"


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), click.Abort()], ids=["ctrl-c", "abort"])
def test_an_interrupt_ends_quietly(interrupt: BaseException, failing: Any, capsys: pytest.CaptureFixture[str]) -> None:
    failing(interrupt)
    assert run(["fail"]) == 130
    assert capsys.readouterr().err.strip() == "Interrupted."


def test_a_full_disk_and_a_forbidden_file_are_the_machine_s_state() -> None:
    assert problem_of(OSError(errno.ENOSPC, "No space left")).code == "disk_full"
    forbidden = problem_of(PermissionError(errno.EACCES, "Permission denied", "/x"))
    assert forbidden.exit_status == 7
    assert forbidden.message == "/x may not be used: Permission denied."


def test_foreign_text_in_an_error_cannot_drive_the_terminal(failing: Any, capsys: pytest.CaptureFixture[str]) -> None:
    failing(errors.InvalidInput("usage", "bad \x1b[2J\u202ename", hint="\x07x"))
    run(["fail"])
    assert capsys.readouterr().err == "Error: bad \\x1b[2J\\u202ename\n  \\x07x\n"


def test_a_policy_with_many_problems_names_each_with_its_line_and_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("name: 5\nprices:\n  chatt: 1\n")
    assert run(["policy", "check", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"Error: {path} has 2 problems; line 1: name: '5' is not a text.\n"
        '  Put it in quotes: "5".\n'
        "line 3: prices.chatt: 'chatt' is not a field in prices.\n"
        "  Did you mean chat?\n"
    )
    assert run(["policy", "check", str(path), "--json"]) == 2
    problem = json.loads(capsys.readouterr().out)["error"]
    assert [item["line"] for item in problem["details"]["problems"]] == [1, 3]


def test_a_reader_that_stops_early_is_not_an_error_message() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m rodagila.app.cli policy fields | head -n 1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("field")
    assert done.stderr == ""
