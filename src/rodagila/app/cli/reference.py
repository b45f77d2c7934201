"""The reference of the command line as Markdown, made from the commands themselves: ``docs/cli.md``.

python -m rodagila.app.cli.reference > docs/cli.md
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from rodagila.app.cli.entry import roda

INTRODUCTION = """\
# The command line

Made by `python -m rodagila.app.cli.reference > docs/cli.md`; do not edit.

stdout is data, stderr is progress. `--json` prints JSON, also for errors: `{"error": {code, title, detail, hint, …}}`.
Exit statuses: 0 ok, 1 failed, 2 usage, 3 auth, 4 not found, 5 payment, 6 refused by policy, 7 unreachable,
130 interrupted.
`RODA_HOME` is the default of `--home`, `RODA_LEDGER` of `--ledger`; `RODA_PASSPHRASE` opens sealed keys, `RODA_DEBUG=1`
shows tracebacks.
"""


def reference() -> str:
    """Return the whole page."""
    return "\n".join(
        [INTRODUCTION, *(_section(context) for context in _contexts(click.Context(roda, info_name="roda")))]
    )


def _contexts(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name, command in context.command.commands.items():
            yield from _contexts(click.Context(command, info_name=name, parent=context))


def _section(context: click.Context) -> str:
    command = context.command
    depth = "#" * (2 + context.command_path.count(" "))
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [f"{depth} {context.command_path}", "", inspect.cleandoc(command.help or ""), "", f"    {usage}", ""]
    if isinstance(command, click.Group):
        lines += _table("command", [(name, one.get_short_help_str(200)) for name, one in command.commands.items()])
    lines += _table("option", _options(context))
    return "\n".join(lines)


def _options(context: click.Context) -> list[tuple[str, str]]:
    """Return (option, meaning) of each option but ``--help``, which every command has."""
    records = [parameter.get_help_record(context) for parameter in context.command.params]
    return [record for record in records if record is not None]


def _table(what: str, rows: list[tuple[str, str]]) -> list[str]:
    if not rows:
        return []
    body = [f"| `{_cell(name)}` | {_cell(meaning)} |" for name, meaning in rows]
    return [f"| {what} | |", "|---|---|", *body, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    print(reference(), end="")
