"""``roda dataset``: what a DAO's data is like, and how it is described to others."""

from __future__ import annotations

from pathlib import Path

import click

from rodagila.app.cli.groups import Nouns
from rodagila.app.cli.options import Expanded, dao_option, home_option, json_option
from rodagila.app.cli.output import emit
from rodagila.app.cli.session import open_home

_turn_option = click.option(
    "--turn", type=click.IntRange(min=1), help="The data set up to this turn; the newest if absent."
)


@click.group(cls=Nouns)
def dataset() -> None:
    """Report on the data set of a DAO and describe it."""


@dataset.command("report")
@dao_option
@_turn_option
@click.option("--words", type=Expanded(dir_okay=False), metavar="FILE", help="Toxic words, in place of the policy's.")
@click.option("--output", type=Expanded(dir_okay=False), metavar="PAGE", help="Write the report as one HTML file.")
@home_option
@json_option
def report(*, dao: str, turn: int | None, words: Path | None, output: Path | None, home: Path, as_json: bool) -> None:
    """Measure completeness, consistency, noise, bias and contamination.

    Figures only: no text of a record is in the report.
    """
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.dataset_report(opened, dao, turn, words, output)
    emit(result, as_json)


@dataset.command("croissant")
@dao_option
@_turn_option
@home_option
@json_option
def croissant(*, dao: str, turn: int | None, home: Path, as_json: bool) -> None:
    """Print Croissant metadata, with the DAO's open offers in ODRL.

    It is JSON-LD with and without --json, which makes errors JSON too.
    """
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.dataset_croissant(opened, dao, turn)
    emit(result, True)  # metadata has one form
