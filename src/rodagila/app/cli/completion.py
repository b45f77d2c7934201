"""``roda completion``: the script that lets a shell complete ``roda``'s commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from rodagila.app.cli.options import json_option
from rodagila.app.cli.output import emit


@click.command(short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
@click.pass_context
def completion(context: click.Context, shell: str, as_json: bool) -> None:
    """Print the completion script of SHELL; for bash: `eval "$(roda completion bash)"`."""
    kind = get_completion_class(shell)
    assert kind is not None, shell  # the argument's choices are Click's own
    script = kind(context.find_root().command, {}, "roda", "_RODA_COMPLETE").source()
    if as_json:
        emit({"shell": shell, "script": script}, as_json)
    else:
        click.echo(script)
