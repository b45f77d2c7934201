"""Reading the project's documents: fenced blocks, inline code, and what a ``roda`` command line means."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

import click

from rodagila.app.cli.entry import roda

INLINE = re.compile(r"`(roda [^`]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block with the heading it stands under."""

    heading: str
    kind: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The lines a person types."""
        if self.kind == "console":
            return [line.removeprefix("$ ") for line in self.text.splitlines() if line.startswith("$ ")]
        return self.text.splitlines() if self.kind == "sh" else []


def blocks_of(markdown: str) -> list[Block]:
    """Return the fenced blocks of a document in their order."""
    blocks: list[Block] = []
    lines: list[str] = []
    heading, fence = "", None
    for line in markdown.splitlines():
        if fence is None and line.startswith("#"):
            heading = line.lstrip("# ")
        if not line.startswith("```"):
            lines.append(line)
        elif fence is None:
            fence, lines = line.removeprefix("```").strip(), []
        else:
            blocks.append(Block(heading, fence, "\n".join(lines)))
            fence = None
    assert fence is None, "a fenced block is not closed"
    return blocks


def command_of(arguments: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that ``arguments`` name and the rest of them; fails for a word that is none."""
    command: click.Command = roda
    rest = list(arguments)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.commands.get(rest[0])
        assert found is not None, f"there is no command: roda {' '.join(arguments)}"
        command, rest = found, rest[1:]
    return command, rest


def parse(arguments: list[str]) -> None:
    """Parse one whole command line; raises Click's error if it would be refused."""
    command, rest = command_of(arguments)
    assert not isinstance(command, click.Group), f"not a whole command: roda {' '.join(arguments)}"
    command.make_context(command.name, rest, parent=click.Context(roda, info_name="roda"))


def check_mention(text: str) -> None:
    """Check a command that is mentioned, perhaps in part: its words are commands and its options are its own."""
    command, rest = command_of(shlex.split(text)[1:])
    known = {name for parameter in command.params for name in parameter.opts} | {"--help", "-h"}
    unknown = [word for word in rest if word.startswith("-") and word not in known]
    assert not unknown, f"{text}: no option {', '.join(unknown)}"
