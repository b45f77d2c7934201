"""The root command and the way every call ends: an exit status of DESIGN 7 and, on failure, one clear sentence.

Heavy parts of the system are imported inside the commands, so that ``roda --help`` answers at once.

>>> run(["policy", "chek"])  # doctest: +SKIP
2
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Sequence

import click

from rodagila.app.cli.arena import arena
from rodagila.app.cli.ask import ask
from rodagila.app.cli.audit import audit
from rodagila.app.cli.channel import channel
from rodagila.app.cli.completion import completion
from rodagila.app.cli.contribute import contribute
from rodagila.app.cli.dao import dao
from rodagila.app.cli.dataset import dataset
from rodagila.app.cli.demo import demo
from rodagila.app.cli.doctor import doctor
from rodagila.app.cli.evaluator import evaluator
from rodagila.app.cli.failure import debugging, problem_of, report_failure
from rodagila.app.cli.faucet import faucet
from rodagila.app.cli.groups import Nouns
from rodagila.app.cli.home import home
from rodagila.app.cli.key import key
from rodagila.app.cli.ledger import ledger
from rodagila.app.cli.model import model
from rodagila.app.cli.payout import payout
from rodagila.app.cli.policy import policy
from rodagila.app.cli.proposal import proposal
from rodagila.app.cli.serve import serve
from rodagila.app.cli.task import task
from rodagila.app.cli.turn import turn
from rodagila.app.cli.value import value

COMMANDS = (
    demo,
    doctor,
    policy,
    key,
    dao,
    contribute,
    task,
    turn,
    dataset,
    payout,
    value,
    proposal,
    model,
    ask,
    arena,
    evaluator,
    channel,
    serve,
    ledger,
    home,
    audit,
    faucet,
    completion,
)
INTERRUPTED = 130


@click.group(cls=Nouns, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="rodagila", prog_name="roda", message="%(prog)s %(version)s")
def roda() -> None:
    """Turn the data flywheel: contribute data you own, be paid for how much it helped.

    `roda demo` shows a whole DAO at work on this machine; `roda doctor` checks the machine.
    """


for command in COMMANDS:
    roda.add_command(command)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; failures are told on stderr, or on stdout as JSON with ``--json``."""
    as_json = "--json" in arguments
    if not debugging():
        warnings.simplefilter("ignore")  # libraries' warnings are for developers
    try:
        status = roda.main(args=list(arguments), prog_name="roda", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except Exception as error:
        if debugging():
            traceback.print_exc()
        return report_failure(problem_of(error), as_json)
    return status if isinstance(status, int) else 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``roda`` with the process's arguments, or with ``arguments``, and exit."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
