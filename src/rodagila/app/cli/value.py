"""``roda value``: what each owner is worth, by the rule that pays and by the reference methods beside it."""

from __future__ import annotations

from pathlib import Path

import click

from rodagila.app.cli.groups import Nouns
from rodagila.app.cli.options import dao_option, home_option, json_option, turn_option
from rodagila.app.cli.output import emit
from rodagila.app.cli.session import open_home


@click.group(cls=Nouns)
def value() -> None:
    """Compare methods of valuing data."""


@value.command("compare")
@dao_option
@turn_option
@click.option("--method", "methods", multiple=True, metavar="NAME", help="A method; may be repeated. All if absent.")
@click.option("--samples", default=50, show_default=True, type=click.IntRange(2), help="Orders that sampling draws.")
@click.option("--seed", default=0, show_default=True, help="Seed of the sampled methods.")
@home_option
@json_option
def compare(
    *, dao: str, turn: int | None, methods: tuple[str, ...], samples: int, seed: int, home: Path, as_json: bool
) -> None:
    """Value a closed turn's owners by every method, with rank correlations and cost."""
    from rodagila.app import operations
    from rodagila.app.progress import progress_on_stderr

    with open_home(home) as opened:
        result = operations.value_compare(opened, dao, turn, methods, samples, seed, progress_on_stderr())
    emit(result, as_json)
