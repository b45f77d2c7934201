"""``roda evaluator``: stake, say a number or weights of models without being copied, read what all say together."""

from __future__ import annotations

from pathlib import Path

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

score_option = click.option("--score", type=click.IntRange(min=0), help="The score, a whole number.")
weights_option = click.option(
    "--weights", type=Expanded(dir_okay=False), help="A JSON file of models and whole numbers, in place of a score."
)


@click.group(cls=Nouns)
def evaluator() -> None:
    """Judge what not everyone can recompute."""


@evaluator.command()
@click.argument("amount", type=amount_type)
@dao_option
@key_option
@dry_run_option
@home_option
@json_option
def stake(*, amount: int, dao: str, key: str, dry_run: bool, home: Path, as_json: bool) -> None:
    """Put AMOUNT down as an evaluator's stake.

    It is the weight of the account's word, opens more preferences, can be slashed, and leaves 60 days after it is
    taken out.
    """
    from rodagila.app import operations

    with open_home(home) as opened:
        secret = None if dry_run else passphrase_of(opened, key)
        result = operations.evaluator_stake(opened, dao, key, secret, amount, dry_run)
    emit(result, as_json)


@evaluator.command("open")
@click.argument("subject")
@dao_option
@key_option
@click.option("--commit", default=86_400, show_default=True, type=click.IntRange(1), help="Seconds for commitments.")
@click.option("--reveal", default=86_400, show_default=True, type=click.IntRange(1), help="Seconds for opening them.")
@click.option("--least", type=amount_type, default="1", show_default=True, help="The least stake that is heard.")
@dry_run_option
@home_option
@json_option
def open_(
    *,
    subject: str,
    dao: str,
    key: str,
    commit: int,
    reveal: int,
    least: int,
    dry_run: bool,
    home: Path,
    as_json: bool,
) -> None:
    """Open a round about SUBJECT; prints its id."""
    from rodagila.app import operations

    with open_home(home) as opened:
        secret = None if dry_run else passphrase_of(opened, key)
        result = operations.evaluator_open(opened, dao, key, secret, subject, (commit, reveal, least), dry_run)
    emit(result, as_json)


@evaluator.command()
@click.argument("round_", metavar="ROUND")
@dao_option
@key_option
@score_option
@weights_option
@dry_run_option
@home_option
@json_option
def commit(
    *,
    round_: str,
    dao: str,
    key: str,
    score: int | None,
    weights: Path | None,
    dry_run: bool,
    home: Path,
    as_json: bool,
) -> None:
    """Commit to a score or weights in ROUND.

    Nobody can read or copy them before they are opened.
    """
    from rodagila.app import operations

    with open_home(home) as opened:
        secret = None if dry_run else passphrase_of(opened, key)
        result = operations.evaluator_commit(opened, dao, key, secret, round_, _said(score, weights), dry_run)
    emit(result, as_json)


@evaluator.command()
@click.argument("round_", metavar="ROUND")
@dao_option
@key_option
@score_option
@weights_option
@click.option("--out", type=Expanded(dir_okay=False), help="New file for opened weights, to be published.")
@dry_run_option
@home_option
@json_option
def reveal(
    *,
    round_: str,
    dao: str,
    key: str,
    score: int | None,
    weights: Path | None,
    out: Path | None,
    dry_run: bool,
    home: Path,
    as_json: bool,
) -> None:
    """Open the commitment in ROUND.

    Give the very score or weights that were committed to; nothing secret was kept.
    """
    from rodagila.app import operations

    with open_home(home) as opened:
        secret = None if dry_run else passphrase_of(opened, key)
        said = _said(score, weights)
        if weights is not None and out is None:
            raise click.UsageError("Opened weights are written to a file; give --out FILE.")
        result = operations.evaluator_reveal(opened, dao, key, secret, round_, said, out, dry_run)
    emit(result, as_json)


@evaluator.command()
@click.argument("round_", metavar="ROUND")
@dao_option
@click.option("--close", metavar="KEY", help="Put the median on the ledger, sent by this account.")
@home_option
@json_option
def consensus(*, round_: str, dao: str, close: str | None, home: Path, as_json: bool) -> None:
    """Read the stake-weighted median of ROUND."""
    from rodagila.app import operations

    with open_home(home) as opened:
        secret = None if close is None else passphrase_of(opened, close)
        result = operations.evaluator_consensus(opened, dao, round_, close, secret)
    emit(result, as_json)


@evaluator.command()
@click.argument("round_", metavar="ROUND")
@click.argument("files", nargs=-1, required=True, type=Expanded(dir_okay=False))
@dao_option
@click.option("--previous", type=Expanded(dir_okay=False), help="The ranking of the round before; its bonds go on.")
@click.option("--out", type=Expanded(dir_okay=False), help="New file for the ranking.")
@home_option
@json_option
def rank(
    *,
    round_: str,
    files: tuple[Path, ...],
    dao: str,
    previous: Path | None,
    out: Path | None,
    home: Path,
    as_json: bool,
) -> None:
    """Rank models by the opened weights in FILES.

    Yuma consensus by stake; each file must be what its evaluator committed to in ROUND.
    """
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.evaluator_rank(opened, dao, round_, files, previous, out)
    emit(result, as_json)


def _said(score: int | None, weights: Path | None) -> int | Path:
    if (score is None) == (weights is None):
        raise click.UsageError("Give --score NUMBER or --weights FILE, one of them.")
    found = weights if score is None else score
    assert found is not None
    return found
