"""``roda serve``: the gateway, until it is interrupted."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import click

from rodagila.app.cli.options import DEFAULT_PORT, home_option, json_option
from rodagila.app.cli.session import open_home


@click.command(short_help="Serve the models over HTTP.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@home_option
@json_option
def serve(*, host: str, port: int, home: Path, as_json: bool) -> None:
    """Serve the models of this home over HTTP (OpenAI-compatible, paid by x402)."""
    from rodagila.app import operations
    from rodagila.app.progress import progress_on_stderr

    starting = ExitStack()

    def ready(url: str) -> None:
        starting.close()
        click.echo(json.dumps({"url": url}) if as_json else url)

    with open_home(home) as opened, starting:
        starting.enter_context(progress_on_stderr().stage("Put the models together"))
        operations.serve(opened, host, port, ready)
