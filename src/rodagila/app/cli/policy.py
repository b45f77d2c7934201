"""``roda policy``: check a policy file, list its fields, print the defaults, keep a version that was decided on."""

from __future__ import annotations

from pathlib import Path

import click

from rodagila.app.cli.groups import Nouns
from rodagila.app.cli.options import Expanded, dao_option, home_option, json_option
from rodagila.app.cli.output import emit
from rodagila.app.cli.session import open_home


@click.group(cls=Nouns)
def policy() -> None:
    """Check and write policy files."""


@policy.command("check")
@click.argument("file", type=Expanded())
@json_option
def check(file: Path, as_json: bool) -> None:
    """Check the policy in FILE; every problem is named with its line and what to do."""
    from rodagila.govern.policy import load_policy

    rules = load_policy(file)
    facts = {"ok": True, "name": rules.name, "version": rules.version, "policy_hash": "0x" + rules.policy_hash().hex()}
    emit(facts | ({"policy": rules.as_json()} if as_json else {}), as_json)


@policy.command("keep")
@click.argument("file", type=Expanded())
@dao_option
@home_option
@json_option
def keep(file: Path, dao: str, home: Path, as_json: bool) -> None:
    """Keep the policy in FILE for a DAO whose decision put it in force elsewhere."""
    from rodagila.app import operations
    from rodagila.govern.policy import load_policy

    with open_home(home) as opened:
        result = operations.policy_keep(opened, dao, load_policy(file))
    emit(result, as_json)


@policy.command("fields")
@json_option
def fields(as_json: bool) -> None:
    """List every field with its default, its range and its meaning."""
    from rodagila.govern.policy import field_table

    emit(field_table(), as_json)


@policy.command("default")
@click.option("--name", default="my-dao", show_default=True, help="The name to put in.")
@json_option
def default(name: str, as_json: bool) -> None:
    """Print the default policy as YAML with a comment for every field."""
    from rodagila.core.policy import Policy
    from rodagila.govern.policy import check_policy, dump_policy

    rules = Policy(name=name)
    check_policy(rules)
    if as_json:
        emit({"yaml": dump_policy(rules), "policy": rules.as_json()}, as_json)
    else:
        click.echo(dump_policy(rules), nl=False)
