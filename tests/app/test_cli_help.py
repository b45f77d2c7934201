"""The commands as they present themselves: help that answers at once, and a reference that is never stale."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from rodagila.app.cli.entry import roda, run
from rodagila.app.cli.reference import reference

SIGNS_PAYS_OR_DELETES = [
    *("dao new", "contribute", "turn close", "payout claim", "ask", "faucet"),
    *("proposal new", "proposal vote", "proposal queue", "proposal execute"),
]
HEAVY = {"web3", "eth_account", "torch", "numpy", "sqlalchemy", "rich", "yaml", "jinja2", "fastapi", "lancedb", "dbos"}


def commands(group: click.Group = roda, path: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, f"{path}{name} ")
        else:
            found[f"{path}{name}"] = command
    return found


@pytest.mark.parametrize("path", ["", *commands()])
def test_every_command_explains_itself(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*path.split(), "--help"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"Usage: roda {path}".rstrip())
    assert captured.err == ""


@pytest.mark.parametrize("path", commands())
def test_every_command_speaks_json(path: str) -> None:
    assert "--json" in {name for parameter in commands()[path].params for name in parameter.opts}


@pytest.mark.parametrize("path", SIGNS_PAYS_OR_DELETES)
def test_what_signs_or_pays_can_be_tried_dry(path: str) -> None:
    assert "--dry-run" in {name for parameter in commands()[path].params for name in parameter.opts}


@pytest.mark.parametrize("path", commands())
def test_every_option_and_command_is_described(path: str) -> None:
    command = commands()[path]
    assert command.help
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or parameter.help, parameter.name
    parent = roda if " " not in path else roda.commands[path.split(maxsplit=1)[0]]
    short = command.get_short_help_str(80)
    assert not short.endswith("..."), f"{parent.name} {path} needs a short_help"


def test_the_reference_is_what_the_commands_say(project_root: Path) -> None:
    written = (project_root / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == reference(), "run: python -m rodagila.app.cli.reference > docs/cli.md"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom rodagila.app.cli.entry import run\nrun(['--help'])\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_help_answers_at_once() -> None:
    def seconds() -> float:
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "rodagila.app.cli", "--help"], capture_output=True, check=True, timeout=60
        )
        return time.perf_counter() - begun

    assert min(seconds() for _ in range(3)) < 0.5


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"roda {version('rodagila')}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_completion_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert "_RODA_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "place", "completed"),
    [
        ("roda payout ex", 2, "plain,explain\n"),
        ("roda key import --fi", 3, "plain,--file\n"),
        ("roda ask what --key a", 4, "plain,ada\nplain,anna\n"),
        ("roda payout claim --account b", 4, "plain,bob\n"),
    ],
)
def test_a_shell_completes_commands_options_and_keys(words: str, place: int, completed: str, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    for name in ("ada", "anna", "bob"):
        (tmp_path / "keys" / f"{name}.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-c", "from rodagila.app.cli import main; main()"],
        env={
            "_RODA_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(place),
            "RODA_HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == completed
