"""The README's commands: each parses, and all of them, in their order, turn the wheel in a real shell.

Blocks are read by their kind: ``sh`` is a script, ``console`` holds commands after ``$``, ``python`` is a program,
``text`` is output whose every line must have been said.
``roda serve`` runs until the end of the walk, as it does in a terminal of its own.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest

from documents import Block, blocks_of, parse

PORT = "8402"
MAKE = re.compile(r"^make (\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def blocks(project_root: Path) -> list[Block]:
    """The README's blocks."""
    return blocks_of((project_root / "README.md").read_text(encoding="utf-8"))


def roda_lines(blocks: list[Block]) -> list[list[str]]:
    """Return the arguments of every ``roda`` command, without what the shell does."""
    every = [shlex.split(line) for block in blocks for line in block.commands]
    lines = [words[1:] for words in every if words and words[0] == "roda"]
    return [words[: words.index(">")] if ">" in words else words for words in lines]


def test_every_kind_of_block_is_read(blocks: list[Block]) -> None:
    assert {block.kind for block in blocks} == {"sh", "console", "python", "text"}
    for block in blocks:
        if block.kind == "console":
            assert all(line.startswith("$ roda ") for line in block.text.splitlines()), block.text


def test_every_person_of_the_table_has_commands(blocks: list[Block]) -> None:
    headings = {block.heading for block in blocks if block.kind == "console"}
    for person in ("DAO operator", "contributor", "node operator", "model builder", "auditor"):
        assert any(person in heading for heading in headings), person


def test_every_roda_command_of_the_readme_parses(blocks: list[Block]) -> None:
    lines = roda_lines(blocks)
    assert len(lines) > 20
    for arguments in lines:
        parse(arguments)


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    with pytest.raises(AssertionError, match="no command"):
        parse(["turn", "clsoe"])
    with pytest.raises(click.UsageError):
        parse(["turn", "close", "--doa", "support-desk"])


def test_make_targets_of_the_readme_exist(blocks: list[Block], project_root: Path) -> None:
    text = (project_root / "README.md").read_text(encoding="utf-8")
    targets = {*MAKE.findall("\n".join(block.text for block in blocks)), *re.findall(r"`make (\S+)`", text)}
    assert {"demo", "test", "setup"} <= targets
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=project_root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def script_of(blocks: list[Block], port: int) -> str:
    """Return one bash script that does what a reader would: every block in order, the server in the background."""
    lines = ["set -euo pipefail", "trap 'kill ${SERVER:-} 2>/dev/null || true' EXIT"]
    for number, block in enumerate(blocks):
        if block.kind == "python":
            lines += [
                f"cat > block{number}.py <<'END_OF_BLOCK'",
                block.text,
                "END_OF_BLOCK",
                f"python block{number}.py",
            ]
        for command in block.commands:
            if command.startswith("make "):
                continue  # checked above; the whole demonstration has tests of its own
            lines.append(f"echo {shlex.quote('$ ' + command)}")
            lines += _in_background(command) if command.startswith("roda serve") else [command]
    return "\n".join(lines).replace(PORT, str(port)) + "\n"


def _in_background(command: str) -> list[str]:
    ready = "for i in $(seq 300); do [ -s serve.out ] && break; kill -0 $SERVER; sleep 0.2; done"
    return [f"{command} > serve.out &", "SERVER=$!", ready, "cat serve.out"]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.slow
def test_the_readme_turns_the_wheel_in_a_real_shell(blocks: list[Block], tmp_path: Path, project_root: Path) -> None:
    (tmp_path / "examples").symlink_to(project_root / "examples")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RODA_")}
    environment |= {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script_of(blocks, free_port())],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert (tmp_path / "rodagila-try" / "ledger.sqlite").exists(), "the commands used another home"
    said = done.stdout
    assert "every root of 2 turns was recomputed and agrees" in said
    assert "atomic units" in said
    for line in [line for block in blocks if block.kind == "text" for line in block.text.splitlines()]:
        assert line in said, line
    paid = re.search(r" received ([0-9.]+) and ", said.split("payout claim", 1)[1])
    assert paid is not None and float(paid[1]) > 0, "ada's claim paid nothing"
