"""``roda payout``: what accounts earned, why, and withdrawing it.

A claim pays the account that the published leaf names, whoever sends it; so it needs no key of that account.
"""

from __future__ import annotations

from pathlib import Path

import click

from rodagila.app.cli.groups import Nouns
from rodagila.app.cli.options import complete_key, dao_option, dry_run_option, home_option, json_option, turn_option
from rodagila.app.cli.output import emit
from rodagila.app.cli.session import open_home

account_option = click.option(
    "--account",
    "--key",
    "account",
    required=True,
    metavar="NAME|ADDRESS",
    shell_complete=complete_key,
    help="The account: a key's name in this home, or an address.",
)


@click.group(cls=Nouns)
def payout() -> None:
    """List, explain and claim payouts."""


@payout.command("list")
@dao_option
@turn_option
@home_option
@json_option
def list_(*, dao: str, turn: int | None, home: Path, as_json: bool) -> None:
    """List what each account earned."""
    from rodagila.app import operations
    from rodagila.app.progress import progress_on_stderr

    with open_home(home) as opened, progress_on_stderr().stage("Recompute the payouts"):
        result = operations.payout_list(opened, dao, turn)
    emit(result, as_json)


@payout.command("explain")
@dao_option
@account_option
@turn_option
@home_option
@json_option
def explain(*, dao: str, account: str, turn: int | None, home: Path, as_json: bool) -> None:
    """Say why an account earned what it earned, from the pool to the leaf."""
    from rodagila.app import operations
    from rodagila.app.progress import progress_on_stderr

    with open_home(home) as opened, progress_on_stderr().stage("Recompute the payout"):
        result = operations.payout_explain(opened, dao, account, turn)
    emit(result, as_json)


@payout.command("claim")
@dao_option
@account_option
@dry_run_option
@home_option
@json_option
def claim(*, dao: str, account: str, dry_run: bool, home: Path, as_json: bool) -> None:
    """Withdraw what an account is owed, with its proof, to that account."""
    from rodagila.app import operations
    from rodagila.app.progress import progress_on_stderr

    with open_home(home) as opened, progress_on_stderr().stage("Claim"):
        result = operations.payout_claim(opened, dao, account, dry_run)
    emit(result, as_json)
