"""``roda dao``: launch a data DAO from one policy file, and look at those of this home."""

from __future__ import annotations

from pathlib import Path

import click

from rodagila.app.cli.groups import Nouns
from rodagila.app.cli.options import Expanded, complete_key, dry_run_option, home_option, json_option
from rodagila.app.cli.output import emit, show_facts
from rodagila.app.cli.session import open_home
from rodagila.app.display import printable
from rodagila.app.progress import progress_on_stderr


@click.group(cls=Nouns)
def dao() -> None:
    """Launch, list and show data DAOs."""


@dao.command("new")
@click.argument("name")
@click.option("--policy", "policy_file", type=Expanded(), required=True, help="The policy, as YAML.")
@click.option("--queries", type=Expanded(), help="JSON lines the DAO measures by (scoring and gate).")
@click.option("--reference", type=Expanded(), help="JSON lines the DAO owns already: the reference corpus.")
@click.option("--token", metavar="ADDRESS", help="The pay token; needed on chains without a faucet.")
@click.option(
    "--founders",
    metavar="NAME|ADDRESS",
    shell_complete=complete_key,
    help="Who receives the founders' tokens; the DAO's operator by default.",
)
@dry_run_option
@home_option
@json_option
def new(
    *,
    name: str,
    policy_file: Path,
    queries: Path | None,
    reference: Path | None,
    token: str | None,
    founders: str | None,
    dry_run: bool,
    home: Path,
    as_json: bool,
) -> None:
    """Launch the DAO NAME: deploy its contracts and publish its policy."""
    from rodagila.govern.policy import load_policy

    rules = load_policy(policy_file)
    if dry_run:
        emit({"dao": name, "policy_hash": "0x" + rules.policy_hash().hex(), "launched": False}, as_json)
        return
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.dao_new(opened, name, rules, queries, reference, progress_on_stderr(), token, founders)
    emit(result, as_json)


@dao.command("list")
@home_option
@json_option
def list_(*, home: Path, as_json: bool) -> None:
    """List the DAOs of this home."""
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.dao_list(opened)
    emit(result, as_json, "name", "dao_id", "treasury")


@dao.command("show")
@click.argument("name")
@home_option
@json_option
def show(*, name: str, home: Path, as_json: bool) -> None:
    """Show the DAO NAME: contracts, policy, treasury, last turn."""
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.dao_show(opened, name)
    if as_json:
        emit(result, as_json)
        return
    from rodagila.core.policy import Policy
    from rodagila.govern.policy import dump_policy

    show_facts({key: value for key, value in result.items() if key != "policy"})
    click.echo()
    click.echo(printable(dump_policy(Policy.from_json(result["policy"]))), nl=False)
