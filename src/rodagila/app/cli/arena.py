"""``roda arena``: two models answer one paid question, blind; who paid says which answer is better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rodagila.app.cli.groups import Nouns
from rodagila.app.cli.options import (
    Expanded,
    channel_option,
    dao_option,
    deposit_option,
    dry_run_option,
    home_option,
    json_option,
    key_option,
)
from rodagila.app.cli.output import emit, show_facts
from rodagila.app.cli.session import open_home, passphrase_of
from rodagila.app.display import printable

url_option = click.option("--url", help="A running gateway; without it one of this process answers.")


@click.group(cls=Nouns)
def arena() -> None:
    """Compare models blind, and check their ratings."""


@arena.command()
@click.argument("question")
@dao_option
@key_option
@url_option
@channel_option
@deposit_option
@dry_run_option
@home_option
@json_option
def ask(
    *,
    question: str,
    dao: str,
    key: str,
    url: str | None,
    channel: Path | None,
    deposit: int,
    dry_run: bool,
    home: Path,
    as_json: bool,
) -> None:
    """Let two models of a DAO's line answer QUESTION; costs twice a call of chat.

    Some calls show one answer that is known to be worse: they show who reads before preferring.
    """
    from rodagila.app import operations
    from rodagila.app.progress import progress_on_stderr

    with open_home(home) as opened:
        secret = None if dry_run else passphrase_of(opened, key)
        with progress_on_stderr().stage("Ask two models"):
            lane = None if channel is None else (channel, deposit)
            result: dict[str, Any] = operations.arena_ask(opened, dao, question, key, secret, url, dry_run, lane)
    if as_json or "answers" not in result:
        emit(result, as_json)
        return
    for side, text in result["answers"].items():
        click.echo(f"{side}: {printable(text)}")
    receipt = result["receipt"]
    show_facts({"paid": result["paid"], "receipt": receipt["id"] if receipt else None})


@arena.command()
@click.argument("receipt")
@click.argument("preferred", type=click.Choice(["a", "b", "tie"]))
@key_option
@url_option
@dry_run_option
@home_option
@json_option
def prefer(
    *, receipt: str, preferred: str, key: str, url: str | None, dry_run: bool, home: Path, as_json: bool
) -> None:
    """Say which answer of a paid call is better.

    RECEIPT is the id that `roda arena ask` printed.
    """
    from rodagila.app import operations

    with open_home(home) as opened:
        secret = None if dry_run else passphrase_of(opened, key)
        result = operations.arena_prefer(opened, receipt, preferred, key, secret, url, dry_run)
    emit(result, as_json)


@arena.command()
@click.argument("file", type=Expanded(dir_okay=False))
@json_option
def check(*, file: Path, as_json: bool) -> None:
    """Recompute the ratings in FILE from the signed preferences that it holds."""
    from rodagila.app import operations

    emit(operations.arena_check(file), as_json)
