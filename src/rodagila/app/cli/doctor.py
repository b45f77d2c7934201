"""``roda doctor``: is this machine ready? One line for each check, with a fix where it is not."""

from __future__ import annotations

from pathlib import Path

import click

from rodagila.app.cli.options import DEFAULT_PORT, home_option, json_option
from rodagila.app.cli.output import emit
from rodagila.app.cli.session import ledger_url


@click.command(short_help="Check this machine and the home.")
@click.option("--port", type=click.IntRange(1, 65_535), default=DEFAULT_PORT, show_default=True, help="Port to try.")
@home_option
@json_option
@click.pass_context
def doctor(context: click.Context, port: int, home: Path, as_json: bool) -> None:
    """Check this machine and the home; exits with 1 if something must be fixed."""
    from rodagila.app.cli.health import checks
    from rodagila.app.progress import progress_on_stderr

    outcomes = [check() for check in checks(home, port, progress_on_stderr(), ledger_url())]
    ok = all(outcome.ok for outcome in outcomes)
    if as_json:
        emit({"ok": ok, "checks": [outcome.as_json() for outcome in outcomes]}, as_json)
    else:
        for outcome in outcomes:
            click.echo(outcome.line())
    if not ok:
        context.exit(1)
