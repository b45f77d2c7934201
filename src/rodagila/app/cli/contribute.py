"""``roda contribute``: redact, seal, sign and register the records of a file."""

from __future__ import annotations

from pathlib import Path

import click

from rodagila.app.cli.options import Expanded, dao_option, dry_run_option, home_option, json_option, key_option
from rodagila.app.cli.output import emit
from rodagila.app.cli.session import open_home, passphrase_of
from rodagila.app.progress import progress_on_stderr


@click.command(short_help="Contribute the records of a file.")
@click.argument("file", type=Expanded())
@dao_option
@key_option
@dry_run_option
@home_option
@json_option
def contribute(*, file: Path, dao: str, key: str, dry_run: bool, home: Path, as_json: bool) -> None:
    """Contribute the records of FILE (JSON lines or CSV) to a DAO; prints the receipt."""
    from rodagila.app import operations

    with open_home(home) as opened:
        secret = passphrase_of(opened, key)
        result = operations.contribute(opened, file, dao, key, secret, dry_run, progress_on_stderr())
    emit(result, as_json)
