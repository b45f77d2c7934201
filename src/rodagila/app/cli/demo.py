"""``roda demo``: a whole DAO at work on this machine, with honest owners and freeloaders, and a report of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from rodagila.app.cli.audit import audit_line
from rodagila.app.cli.options import Expanded, json_option, ledger_option
from rodagila.app.cli.output import show_table
from rodagila.app.cli.session import ledger_url
from rodagila.app.progress import progress_on_stderr

TURN_COLUMNS = (
    *("turn", "records", "metric", "value", "low", "high", "calls", "pool", "paid", "slashed", "dust", "rollover"),
    "issued",
)
SIZES = click.IntRange(min=1)


@click.command(short_help="Show a whole DAO at work on this machine.")
@click.option(
    "--data", type=Expanded(), help="Records of your own (JSON lines or CSV); without it, docstrings of Python."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Everything random follows from it."
)
@click.option("--owners", type=SIZES, help="How many honest owners.")
@click.option("--records", type=SIZES, help="Records of each owner.")
@click.option("--turns", type=SIZES, help="How many turns.")
@click.option("--queries", type=SIZES, help="Queries of the scoring set, and of the gate set.")
@click.option("--calls", type=SIZES, help="Paid calls in each turn.")
@click.option("--no-freeloaders", is_flag=True, help="Leave out the owners who copy, paraphrase or lie.")
@click.option("--threads", type=SIZES, help="Processes that embed; as many as there are cores, up to 4.")
@click.option(
    "--out",
    type=Expanded(file_okay=False),
    default=Path("rodagila-demo"),
    show_default=True,
    help="Directory for the home and the report.",
)
@ledger_option
@json_option
@click.pass_context
def demo(context: click.Context, /, out: Path, no_freeloaders: bool, as_json: bool, **sizes: Any) -> None:
    """Turn the whole wheel once for each turn and show who earned what, and why.

    Exits with 1 if money was not conserved to the unit or the audit disagrees.
    """
    from rodagila.app.demo import run_demo
    from rodagila.app.report import write_report
    from rodagila.app.scenario import Options

    given = {name: value for name, value in sizes.items() if value is not None}
    options = Options(out=out, ledger=ledger_url(), freeloaders=not no_freeloaders, **given)
    result = run_demo(options, progress_on_stderr())
    result["report"] = str(write_report(result, out / "report.html"))
    if as_json:
        click.echo(json.dumps(result, indent=2))
    else:
        show_demo(result)
    if not result["audit"]["ok"]:
        context.exit(1)


def show_demo(result: dict[str, Any]) -> None:
    """Print the turns, the payouts with the freeloaders marked, the audit's line and where the report is."""
    show_table(result["turns"], TURN_COLUMNS)
    click.echo()
    click.echo(rise_line(result))
    click.echo()
    owners = sorted(result["owners"], key=lambda owner: -owner["payout"])
    show_table(
        [owner | {"kind": marked(owner["kind"])} for owner in owners],
        ("owner", "kind", "turn", "records", "earned", "slashed", "payout", "tokens"),
    )
    click.echo()
    click.echo(audit_line(result["audit"]))
    click.echo(f"Report: {result['report']}")


def rise_line(result: dict[str, Any]) -> str:
    """Return what became of the metric from the first turn to the last, and of the first turn's own questions."""
    rise, early = result["rise"], result["rise"]["early"]
    return (
        f"Rise of {result['turns'][0]['metric']} from the first turn to the last: {rise['value']:.3f}"
        f" [{rise['low']:.3f} {rise['high']:.3f}]; on the {early['queries']} questions that the first turn's records"
        f" could answer: {early['first']:.3f} -> {early['last']:.3f}."
    )


def marked(kind: str) -> str:
    """Return the kind of an owner, with a mark before what is not honest."""
    return kind if kind == "honest" else f"! {kind}"
