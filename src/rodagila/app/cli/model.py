"""``roda model``: the models that DAOs trained."""

from __future__ import annotations

from pathlib import Path

import click

from rodagila.app.cli.groups import Nouns
from rodagila.app.cli.options import Expanded, any_dao_option, dao_option, home_option, json_option
from rodagila.app.cli.output import emit
from rodagila.app.cli.session import open_home


@click.group(cls=Nouns)
def model() -> None:
    """List and show models."""


@model.command("list")
@any_dao_option
@home_option
@json_option
def list_(*, dao: str | None, home: Path, as_json: bool) -> None:
    """List models with the turn that made them and their metric."""
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.model_list(opened, dao)
    emit(result, as_json, "name", "dao", "turn", "hash")


@model.command("show")
@click.argument("name")
@home_option
@json_option
def show(*, name: str, home: Path, as_json: bool) -> None:
    """Show the model NAME: hash, metric with its interval, what it learned from."""
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.model_show(opened, name)
    emit(result, as_json)


@model.command("ratings")
@dao_option
@click.option("--out", type=Expanded(dir_okay=False), help="Write the file that anyone recomputes the ratings from.")
@home_option
@json_option
def ratings(*, dao: str, out: Path | None, home: Path, as_json: bool) -> None:
    """Rate a DAO's models by blind preferences.

    Shows 95% intervals and counts, and which accounts do not count and why.
    """
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.model_ratings(opened, dao, out)
    emit(result, as_json)
