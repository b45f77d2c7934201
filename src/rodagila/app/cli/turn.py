"""``roda turn``: close the accounting period of a DAO, and list the closed ones."""

from __future__ import annotations

from pathlib import Path

import click

from rodagila.app.cli.groups import Nouns
from rodagila.app.cli.options import dao_option, dry_run_option, home_option, json_option
from rodagila.app.cli.output import emit
from rodagila.app.cli.session import open_home
from rodagila.app.progress import progress_on_stderr

COLUMNS = (
    *("turn", "state", "records", "metric", "value", "low", "high", "calls", "pool", "paid", "slashed", "dust"),
    *("rollover", "issued", "root"),
)


@click.group(cls=Nouns)
def turn() -> None:
    """Close and list turns."""


@turn.command("close")
@dao_option
@dry_run_option
@home_option
@json_option
def close(*, dao: str, dry_run: bool, home: Path, as_json: bool) -> None:
    """Close the open turn: prove, learn, value and settle.

    A turn whose closing was interrupted is continued where it was; nothing is paid twice.
    """
    from rodagila.app import operations

    with open_home(home) as opened:
        if dry_run:
            unfinished = [row["turn"] for row in operations.turn_list(opened, dao) if row["state"] != "closed"]
            result = {"dao": dao, "dry_run": True, "would_close": unfinished[:1]}
        else:
            result = operations.turn_close(opened, dao, progress_on_stderr())
    emit(result, as_json)


@turn.command("list")
@dao_option
@home_option
@json_option
def list_(*, dao: str, home: Path, as_json: bool) -> None:
    """List the turns of a DAO with their metric, pool and root."""
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.turn_list(opened, dao)
    emit(result, as_json, *COLUMNS)
