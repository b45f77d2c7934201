"""``roda ask``: one paid question to a DAO's model, answered with citations and a receipt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rodagila.app.cli.options import (
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


@click.command()
@click.argument("question")
@dao_option
@key_option
@click.option("--url", help="A running gateway; without it the question is answered in this process.")
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
    """Ask the model of a DAO and pay for the answer."""
    from rodagila.app import operations
    from rodagila.app.progress import progress_on_stderr

    with open_home(home) as opened:
        secret = None if dry_run else passphrase_of(opened, key)
        with progress_on_stderr().stage("Ask"):
            lane = None if channel is None else (channel, deposit)
            result: dict[str, Any] = operations.ask(opened, dao, question, key, secret, url, dry_run, lane)
    if as_json or "answer" not in result:
        emit(result, as_json)
    else:
        click.echo(printable(str(result["answer"])))
        show_facts({name: value for name, value in result.items() if name != "answer"})
