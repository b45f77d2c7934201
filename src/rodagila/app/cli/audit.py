"""``roda audit``: recompute every payout from the ledger and the public files, and say what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rodagila.app.cli.options import Expanded, any_dao_option, home_option, json_option, turn_option
from rodagila.app.cli.output import emit
from rodagila.app.cli.session import open_home
from rodagila.app.display import printable


@click.command(short_help="Recompute every payout from public data.")
@any_dao_option
@turn_option
@click.option(
    "--public", type=Expanded(), help="A public file from elsewhere, in place of the stored one; with --dao and --turn."
)
@home_option
@json_option
@click.pass_context
def audit(
    context: click.Context, dao: str | None, turn: int | None, public: Path | None, home: Path, as_json: bool
) -> None:
    """Recompute every root from public data; exits with 1 if anything differs."""
    from rodagila.app import operations
    from rodagila.app.progress import progress_on_stderr

    with open_home(home) as opened, progress_on_stderr().stage("Audit"):
        result: dict[str, Any] = operations.audit(opened, dao, turn, public)
    if as_json:
        emit(result, as_json)
    else:
        for difference in result["differences"]:
            click.echo(printable(difference if isinstance(difference, str) else str(difference)))
        click.echo(audit_line(result))
    if not result["ok"]:
        context.exit(1)


def audit_line(result: dict[str, Any]) -> str:
    """Return the outcome in one line."""
    turns = result.get("turns", result.get("roots", 0))
    count = turns if isinstance(turns, int) else len(turns)
    of = "1 turn" if count == 1 else f"{count} turns"
    if result["ok"]:
        return f"Audit: every root of {of} was recomputed and agrees."
    number = len(result.get("differences", []))
    return f"Audit: {number or 'some'} of what was published for {of} differs from what was recomputed."
