"""``roda task``: batches of tasks, from the budget in the escrow to paid labels.

A requester makes a batch, accounts take tasks and answer them, the DAO's node closes and pays it, anyone audits it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rodagila.app.cli.groups import Nouns
from rodagila.app.cli.options import (
    Expanded,
    amount_type,
    dao_option,
    dry_run_option,
    home_option,
    json_option,
    key_option,
)
from rodagila.app.cli.output import emit
from rodagila.app.cli.session import open_home, passphrase_of
from rodagila.app.display import printable
from rodagila.app.progress import progress_on_stderr

KINDS = ("classify", "span", "free", "compare", "verify")
COLUMNS = ("batch", "state", "kind", "tasks", "golds", "overlap", "responses", "leased", "wanted", "budget")
batch_argument = click.argument("batch", type=click.IntRange(min=1))


@click.group(cls=Nouns)
def task() -> None:
    """Have records labelled, or label them, by the piece."""


@task.command("new", short_help="Make a batch of tasks and fund it.")
@click.argument("file", type=Expanded(dir_okay=False))
@click.option(
    "--golds",
    required=True,
    type=Expanded(dir_okay=False),
    help="Tasks with their truth, never used before; 20 or more.",
)
@dao_option
@key_option
@click.option("--kind", type=click.Choice(KINDS), default="classify", show_default=True, help="What is asked.")
@click.option("--instruction", required=True, help="What accounts are told to do.")
@click.option("--choice", "choices", multiple=True, help="An answer of kind classify; once for each.")
@click.option("--overlap", type=click.IntRange(1, 100), default=3, show_default=True, help="Responses wanted a task.")
@click.option("--price", type=amount_type, default="0.01", show_default=True, help="Pay of a response.")
@click.option("--most", type=amount_type, help="Pay of a response to the most telling task; --price by default.")
@click.option("--by-model", is_flag=True, help="Price the tasks by what the newest model does not know of them.")
@click.option("--days", type=click.IntRange(1, 300), default=7, show_default=True, help="How long responses are taken.")
@click.option(
    "--lease", type=click.IntRange(1, 2_592_000), default=900, show_default=True, help="Seconds to answer in."
)
@dry_run_option
@home_option
@json_option
def new(
    *,
    file: Path,
    golds: Path,
    dao: str,
    key: str,
    kind: str,
    instruction: str,
    choices: tuple[str, ...],
    overlap: int,
    price: int,
    most: int | None,
    by_model: bool,
    days: int,
    lease: int,
    dry_run: bool,
    home: Path,
    as_json: bool,
) -> None:
    """Make a batch of the tasks in FILE (JSON lines) and put its budget into the escrow, paid by the key's account.

    A line holds text; label for kind verify, outputs (two) for kind compare; information, 0 to 1000000, sets the price
    between --price and --most. Lines of --golds hold truth as well. What nobody earns comes back.
    """
    from rodagila.app import operations

    chosen: dict[str, Any] = {
        "kind": kind,
        "instruction": instruction,
        "choices": choices,
        "overlap": overlap,
        "price": price,
        "price_most": price if most is None else most,
        "lease_seconds": lease,
    }
    with open_home(home) as opened:
        secret = None if dry_run else passphrase_of(opened, key)
        result = operations.task_new(
            opened, dao, key, secret, file, golds, days * 86_400, chosen, by_model, dry_run, progress_on_stderr()
        )
    emit(result, as_json)


@task.command("list")
@dao_option
@home_option
@json_option
def list_(*, dao: str, home: Path, as_json: bool) -> None:
    """List the batches of a DAO."""
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.task_list(opened, dao)
    emit(result, as_json, *COLUMNS)


@task.command("show")
@batch_argument
@dao_option
@home_option
@json_option
def show(*, batch: int, dao: str, home: Path, as_json: bool) -> None:
    """Show a batch: its terms, its queue, and once it is paid what came of it."""
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.task_show(opened, dao, batch)
    emit(result, as_json)


@task.command("next", short_help="Take the next task.")
@batch_argument
@dao_option
@key_option
@home_option
@json_option
def next_(*, batch: int, dao: str, key: str, home: Path, as_json: bool) -> None:
    """Take the account's next task of a batch; the one in its hands again while the lease lasts."""
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.task_next(opened, dao, batch, key, passphrase_of(opened, key))
    emit(result, as_json)


@task.command("answer", short_help="Answer the task in the account's hands.")
@batch_argument
@click.argument("answer")
@dao_option
@key_option
@dry_run_option
@home_option
@json_option
def answer_(*, batch: int, answer: str, dao: str, key: str, dry_run: bool, home: Path, as_json: bool) -> None:
    """Answer the task that the account took: a choice, start:end, words, first, second, tie, right or wrong."""
    from rodagila.app import operations

    with open_home(home) as opened:
        secret = None if dry_run else passphrase_of(opened, key)
        result = operations.task_answer(opened, dao, batch, key, secret, answer, dry_run)
    emit(result, as_json)


@task.command("close", short_help="Take no more responses.")
@batch_argument
@dao_option
@dry_run_option
@home_option
@json_option
def close(*, batch: int, dao: str, dry_run: bool, home: Path, as_json: bool) -> None:
    """Take no more responses of a batch, and fix those that were taken by their root on the ledger."""
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.task_close(opened, dao, batch, dry_run)
    emit(result, as_json)


@task.command("pay", short_help="Pay a closed batch from its escrow.")
@batch_argument
@dao_option
@dry_run_option
@home_option
@json_option
def pay(*, batch: int, dao: str, dry_run: bool, home: Path, as_json: bool) -> None:
    """Open and judge the responses of a closed batch, pay the accounts, give the rest back, and keep the labels."""
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.task_pay(opened, dao, batch, dry_run, progress_on_stderr())
    emit(result, as_json)


@task.command("audit", short_help="Recompute pay and labels from public data.")
@dao_option
@click.option("--batch", type=click.IntRange(min=1), help="Only this batch.")
@home_option
@json_option
@click.pass_context
def audit(context: click.Context, *, dao: str, batch: int | None, home: Path, as_json: bool) -> None:
    """Recompute the paid batches of a DAO from their public files and the ledger; exits with 1 if anything differs."""
    from rodagila.app import operations

    with open_home(home) as opened, progress_on_stderr().stage("Audit"):
        result = operations.task_audit(opened, dao, batch)
    if as_json:
        emit(result, as_json)
    else:
        for difference in result["differences"]:
            click.echo(printable(difference))
        count = len(result["batches"])
        what = "pay and labels of 1 batch" if count == 1 else f"pay and labels of {count} batches"
        click.echo(
            f"Audit: {what} {'were recomputed and agree' if result['ok'] else 'differ from what was recomputed'}."
        )
    if not result["ok"]:
        context.exit(1)
