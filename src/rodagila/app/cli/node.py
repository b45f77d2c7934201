"""``roda node``: run one of the roles that keep a DAO honest, as a process of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from rodagila.app.cli.groups import Nouns
from rodagila.app.cli.options import home_option, json_option, key_option
from rodagila.app.cli.session import open_home, passphrase_of

DEFAULT_KEEPER_PORT = 8403


@click.group(cls=Nouns)
def node() -> None:
    """Run a role of a node: a keeper of key shares."""


@node.command("run", short_help="Run a keeper of key shares.")
@click.option("--role", type=click.Choice(["keeper"]), required=True, help="What this node does.")
@key_option
@click.option("--registry", required=True, metavar="ADDRESS", help="The DAO's registry, which names the DAO.")
@click.option(
    "--licenses", required=True, metavar="ADDRESS", help="The DAO's licenses contract, which holds the grants."
)
@click.option(
    "--endpoint",
    "endpoints",
    multiple=True,
    metavar="URL",
    help="Another node of the same chain that must agree with the first; may be given again.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=60_000, show_default=True, help="Releases a minute for one grant."
)
@click.option(
    "--alarm",
    type=click.IntRange(min=1),
    default=30_000,
    show_default=True,
    help="Releases a minute above which the alarm is on.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=DEFAULT_KEEPER_PORT,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@home_option
@json_option
def run(*, role: str, key: str, home: Path, as_json: bool, **settings: Any) -> None:
    """Keep shares of object keys under KEY and release them on the ledger's word, until interrupted."""
    from rodagila.app import operations

    def ready(status: dict[str, Any]) -> None:
        click.echo(json.dumps(status) if as_json else status["url"])

    with open_home(home) as opened:
        operations.node_run(opened, role, key, passphrase_of(opened, key), ready, **settings)
