"""``roda ledger``: point any wallet at the embedded ledger, and execute it again from its beginning."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import click

from rodagila.app.cli.groups import Nouns
from rodagila.app.cli.options import home_option, json_option
from rodagila.app.cli.output import emit
from rodagila.app.cli.session import open_home

DEFAULT_LEDGER_PORT = 8545


@click.group(cls=Nouns)
def ledger() -> None:
    """Serve and verify the embedded ledger."""


@ledger.command("serve", short_help="Serve the ledger to wallets, explorers and scripts.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=DEFAULT_LEDGER_PORT,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    metavar="URL",
    help="Web pages of this origin may use the ledger too; pages of this machine always may. May be given again.",
)
@home_option
@json_option
def serve(*, host: str, port: int, origins: tuple[str, ...], home: Path, as_json: bool) -> None:
    """Serve the ledger as Ethereum JSON-RPC, for wallets, explorers and scripts; until interrupted."""
    from rodagila.app import operations
    from rodagila.app.progress import progress_on_stderr

    starting = ExitStack()

    def ready(url: str) -> None:
        starting.close()
        click.echo(json.dumps({"url": url}) if as_json else url)

    with open_home(home) as opened, starting:
        starting.enter_context(progress_on_stderr().stage("Open the ledger"))
        operations.ledger_serve(opened, host, port, origins, ready)


@ledger.command("verify", short_help="Execute every block again and compare.")
@home_option
@json_option
def verify(*, home: Path, as_json: bool) -> None:
    """Execute every block again and compare each hash, root and row with what is stored."""
    from rodagila.app import operations
    from rodagila.app.progress import progress_on_stderr

    with open_home(home) as opened:
        result = operations.ledger_verify(opened, progress_on_stderr())
    emit(result, as_json)
