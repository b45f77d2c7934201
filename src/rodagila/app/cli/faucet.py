"""``roda faucet``: test money on the embedded ledger, which is nobody's real money."""

from __future__ import annotations

from pathlib import Path

import click

from rodagila.app.cli.options import amount_type, dry_run_option, home_option, json_option
from rodagila.app.cli.output import emit
from rodagila.app.cli.session import open_home


@click.command(short_help="Give an account test money.")
@click.argument("account")
@click.option("--amount", type=amount_type, default="100", show_default=True, help="How much, like 2.5.")
@dry_run_option
@home_option
@json_option
def faucet(*, account: str, amount: int, dry_run: bool, home: Path, as_json: bool) -> None:
    """Give ACCOUNT (a key's name or an address) test money on the embedded ledger."""
    if dry_run:
        emit({"account": account, "amount": amount, "sent": False}, as_json)
        return
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.faucet(opened, account, amount)
    emit(result, as_json)
