"""``roda contribute``: redact, seal, sign and register the records of an export."""

from __future__ import annotations

from pathlib import Path

import click

from rodagila.app.cli.options import Expanded, dao_option, dry_run_option, home_option, json_option, key_option
from rodagila.app.cli.output import emit
from rodagila.app.cli.session import open_home, passphrase_of
from rodagila.app.progress import progress_on_stderr


@click.command(short_help="Contribute the records of an export.")
@click.argument("export", type=Expanded())
@dao_option
@key_option
@click.option("--as", "me", multiple=True, metavar="NAME", help="A name or address you write under in the export.")
@click.option("--from", "start", type=click.IntRange(0), default=0, help="First record to take, from 0; see next.")
@click.option("--dkim-keys", type=Expanded(), help="Archived DKIM keys: a name, a space, its TXT record, one a line.")
@click.option("--show", type=click.IntRange(0, 1_000), default=3, help="With --dry-run, how many records to show.")
@dry_run_option
@home_option
@json_option
def contribute(
    *,
    export: Path,
    dao: str,
    key: str,
    me: tuple[str, ...],
    start: int,
    show: int,
    dkim_keys: Path | None,
    dry_run: bool,
    home: Path,
    as_json: bool,
) -> None:
    """Contribute the records of EXPORT to a DAO; prints the receipt.

    EXPORT is a file, a folder or a zip: a platform's export or records as JSON lines, CSV or Parquet. With --dry-run,
    nothing is signed: what would leave this machine is shown as it would leave.
    """
    from rodagila.app import operations

    with open_home(home) as opened:
        secret = passphrase_of(opened, key)
        result = operations.contribute(
            opened,
            export,
            dao,
            key,
            secret,
            dry_run,
            progress_on_stderr(),
            me=me,
            start=start,
            show=show,
            dkim_keys=dkim_keys,
        )
    emit(result, as_json)
