"""``roda proposal``: what a DAO decides, from a first draft to its execution.

Everything that is said about a proposal comes from the bytes that would run; what cannot be read is shown in red.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from rodagila.app.cli.groups import Nouns
from rodagila.app.cli.options import Expanded, complete_key, dao_option, dry_run_option, home_option, json_option
from rodagila.app.cli.output import emit
from rodagila.app.cli.session import open_home, passphrase_of
from rodagila.app.display import printable
from rodagila.core.errors import InvalidInput
from rodagila.core.money import format_amount, format_tokens

INTENT_OPTIONS = (
    ("pay", "to=ACCOUNT,amount=0.5[,reason=TEXT]", "Pay from the treasury."),
    ("price", "chat=0.003[,search=…]", "Change prices of calls: a new version of the policy."),
    ("policy", "FILE", "Put the policy of a file in force, from the next turn on."),
    (
        "grant",
        "grantee=ACCOUNT,mode=api|compute|release,scope=TEXT,purpose=TEXT,until=TIME"
        "[,key=age1…][,code=HASH][,salt=HASH]",
        "Grant access to what the scope names.",
    ),
    ("revoke-grant", "id=HASH", "End a grant or license."),
    (
        "approve-offer",
        "price=0.5,mode=api|compute|release,duration=30d,until=TIME,scope=TEXT,purpose=TEXT,split=TEXT[,code=HASH]",
        "Let everyone buy a license on these terms.",
    ),
    ("close-offer", "id=HASH", "Take no more orders under an offer."),
    ("token", "account=ACCOUNT,open=yes|no", "Open or end business in a pay token."),
    ("shares", "key=TEXT,ACCOUNT=60%,ACCOUNT=…", "Say who earns of a key's sales; the rest goes to the treasury."),
    ("disable-root", "turn=NUMBER", "Disable the root of a turn."),
    ("resolve", "turn=NUMBER,root=wrong|right", "Decide a dispute over a turn's root."),
    ("head", "model=HASH", "Let the model line go on from this model."),
    (
        "register-model",
        "model=HASH[,license=commerce+derivatives+…][,royalty=5%,beneficiary=ACCOUNT][,parents=HASH+HASH]",
        "Register a foreign model, so that the line can go on from it.",
    ),
    ("operator", "account=ACCOUNT", "Change who runs the turns."),
    (
        "rule",
        "voting_delay=1d|voting_period=3d|threshold=TOKENS|quorum=PERCENT|timelock=2d",
        "Change how the DAO decides.",
    ),
    (
        "slash",
        "role=evaluator|keeper|trainer|gateway,account=ACCOUNT,amount=0.5,fault=TEXT",
        "Take a node's stake for a fault.",
    ),
    ("call", "'CONTRACT.FUNCTION ARGUMENT …'", "Call any function of the DAO's contracts."),
)
"""Kind, fields and meaning of every intent; the same as ``rodagila.govern.intents``, which is slow to import."""
_ORDER = "rodagila.intents"


class InOrder(click.Command):
    """A command that remembers in which order its intents were given, because the calls run in that order."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and keep (kind, value) of each intent in the order of the command line."""
        if ctx.resilient_parsing:  # a shell completes a line that is not whole yet
            return super().parse_args(ctx, args)
        kinds = {kind.replace("-", "_") for kind, _, _ in INTENT_OPTIONS}
        values, _, order = self.make_parser(ctx).parse_args(list(args))
        waiting = {kind: iter(values.get(kind) or ()) for kind in kinds}
        names = [str(parameter.name) for parameter in order]
        ctx.meta[_ORDER] = [(name.replace("_", "-"), next(waiting[name])) for name in names if name in kinds]
        return super().parse_args(ctx, args)


def intent_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for every kind of intent."""
    for kind, fields, meaning in reversed(INTENT_OPTIONS):
        command = click.option(f"--{kind}", multiple=True, metavar=fields, help=meaning, expose_value=False)(command)
    return command


account_option = click.option(
    "--account",
    "accounts",
    multiple=True,
    metavar="NAME|ADDRESS",
    shell_complete=complete_key,
    help="Also this account; may be given again.",
)
sender_option = click.option(
    "--key", metavar="NAME", shell_complete=complete_key, help="Who sends it; by default the DAO's operator."
)


@click.group(cls=Nouns)
def proposal() -> None:
    """Propose, try, vote and execute what a DAO decides."""


@proposal.command("new", cls=InOrder)
@dao_option
@click.option("--key", required=True, metavar="NAME", shell_complete=complete_key, help="Who proposes it.")
@click.option("--title", required=True, help="What it is, in one line.")
@click.option("--text", default="", help="Why, in as many words as it takes.")
@intent_options
@dry_run_option
@home_option
@json_option
@click.pass_context
def new(
    context: click.Context,
    *,
    dao: str,
    key: str,
    title: str,
    text: str,
    dry_run: bool,
    home: Path,
    as_json: bool,
) -> None:
    """Propose something; --dry-run shows what it would do.

    What is wanted may be given several times: the calls run in the order given, all or none. Amounts are decimal text,
    shares 60% or 0.6, times a date, seconds, or a duration from now. A TEXT of which a contract keeps the hash only
    goes into the proposal's document; 0x and 64 digits stand for the hash itself. Fields may be a JSON object too.
    """
    from rodagila.app import operations

    wanted = [(kind, _policy_text(value) if kind == "policy" else value) for kind, value in context.meta[_ORDER]]
    with open_home(home) as opened:
        secret = None if dry_run else passphrase_of(opened, key)
        result = operations.proposal_new(opened, dao, key, secret, title, text, wanted, dry_run)
    _tell(result, as_json)


@proposal.command("list")
@dao_option
@home_option
@json_option
def list_(*, dao: str, home: Path, as_json: bool) -> None:
    """List the proposals of a DAO, the newest first."""
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.proposal_list(opened, dao)
    if not as_json:
        result = [row | {"proposal": row["proposal"][:12]} for row in result]
    emit(result, as_json, "proposal", "title", "state", "for", "against", "abstain", "vote_end", "eta")


@proposal.command("show")
@click.argument("proposal_id", metavar="PROPOSAL")
@dao_option
@account_option
@click.option(
    "--document", type=Expanded(dir_okay=False), help="Its document from elsewhere; kept if it is the right one."
)
@home_option
@json_option
def show(
    *, proposal_id: str, dao: str, accounts: tuple[str, ...], document: Path | None, home: Path, as_json: bool
) -> None:
    """Show what PROPOSAL does, its votes, and who has what power.

    PROPOSAL is its id or the first digits of it. What cannot be read, or hands over power over the DAO, is in red.
    """
    from rodagila.app import operations

    body = None if document is None else _file(document)
    with open_home(home) as opened:
        result = operations.proposal_show(opened, dao, proposal_id, accounts, body)
    _tell(result, as_json)


@proposal.command("simulate")
@click.argument("proposal_id", metavar="PROPOSAL")
@dao_option
@account_option
@home_option
@json_option
def simulate(*, proposal_id: str, dao: str, accounts: tuple[str, ...], home: Path, as_json: bool) -> None:
    """Try what PROPOSAL would do if it were executed now; nothing is changed."""
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.proposal_simulate(opened, dao, proposal_id, accounts)
    _tell(result, as_json)


@proposal.command("vote")
@click.argument("proposal_id", metavar="PROPOSAL", required=False)
@dao_option
@click.option("--for", "support", flag_value="for", help="Vote for it.")
@click.option("--against", "support", flag_value="against", help="Vote against it.")
@click.option("--abstain", "support", flag_value="abstain", help="Count for the quorum alone.")
@click.option("--key", metavar="NAME", shell_complete=complete_key, help="Who votes, by its name in this home.")
@click.option("--reason", default="", help="Why; it stands on the ledger.")
@click.option("--sign-only", is_flag=True, help="Print the signed ballot, for somebody else to send.")
@click.option("--own", is_flag=True, help="Send it as the voter's own transaction, paying its gas.")
@click.option("--ballot", type=Expanded(allow_dash=True), help="Send this signed ballot; - reads it from stdin.")
@dry_run_option
@home_option
@json_option
def vote(
    *,
    proposal_id: str | None,
    dao: str,
    support: str | None,
    key: str | None,
    reason: str,
    sign_only: bool,
    own: bool,
    ballot: Path | None,
    dry_run: bool,
    home: Path,
    as_json: bool,
) -> None:
    """Vote on PROPOSAL by a signature, which this node sends.

    So a vote costs the voter no gas. With --sign-only another node can send it: roda proposal vote --ballot FILE.
    """
    from rodagila.app import operations

    if ballot is not None:
        if proposal_id or support or key or reason or sign_only or own:
            raise InvalidInput("usage", "A signed ballot says everything itself.", hint="Give --ballot alone.")
        with open_home(home) as opened:
            result = operations.proposal_send_ballot(opened, dao, _file(ballot), dry_run)
    else:
        if not (proposal_id and support and key):
            raise InvalidInput(
                "usage",
                "A vote needs a proposal, --for, --against or --abstain, and --key.",
                hint="Write it like: roda proposal vote 0x3f2a --for --dao NAME --key NAME",
            )
        if sign_only and own:
            raise InvalidInput("usage", "A vote is signed for others to send or sent by its voter.", hint="Give one.")
        way = "sign" if sign_only else "own" if own else "relay"
        with open_home(home) as opened:
            secret = None if dry_run else passphrase_of(opened, key)
            result = operations.proposal_vote(opened, dao, proposal_id, key, secret, support, reason, way, dry_run)
    if "signature" in result:
        click.echo(json.dumps(result, indent=2))  # a ballot is JSON for whoever sends it
    else:
        emit(result if as_json else result | {"power": format_tokens(int(result["power"]))}, as_json)


@proposal.command("queue")
@click.argument("proposal_id", metavar="PROPOSAL")
@dao_option
@sender_option
@dry_run_option
@home_option
@json_option
def queue(*, proposal_id: str, dao: str, key: str | None, dry_run: bool, home: Path, as_json: bool) -> None:
    """Put PROPOSAL into the timelock, once it is accepted. Anyone may."""
    from rodagila.app import operations

    with open_home(home) as opened:
        secret = passphrase_of(opened, key) if key and not dry_run else None
        result = operations.proposal_queue(opened, dao, proposal_id, key, secret, dry_run)
    emit(result if as_json else {name: value for name, value in result.items() if name != "eta"}, as_json)


@proposal.command("execute")
@click.argument("proposal_id", metavar="PROPOSAL")
@dao_option
@sender_option
@dry_run_option
@home_option
@json_option
def execute(*, proposal_id: str, dao: str, key: str | None, dry_run: bool, home: Path, as_json: bool) -> None:
    """Do what PROPOSAL says, once the timelock's delay has passed. Anyone may."""
    from rodagila.app import operations

    with open_home(home) as opened:
        secret = passphrase_of(opened, key) if key and not dry_run else None
        result = operations.proposal_execute(opened, dao, proposal_id, key, secret, dry_run)
    _tell(result, as_json)


def _policy_text(file: str) -> str:
    """Return the policy of a file as the JSON that intents take."""
    from rodagila.govern.policy import load_policy

    return json.dumps(load_policy(Path(file).expanduser()).as_json())


def _file(path: Path) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            "file_unreadable", f"{path} cannot be read: {error.strerror}.", hint="Give the path of a readable file."
        ) from error


def _tell(result: Mapping[str, Any], as_json: bool) -> None:
    """Print a proposal or its effect for people, or as JSON."""
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    lines = [*_heading(result), *_what_it_does(result), *_effect(result), *_votes(result)]
    for line in [*lines, *_ending(result)]:
        click.echo(line)


def _heading(result: Mapping[str, Any]) -> list[str]:
    lines = [click.style(_plain(result["title"]), bold=True)] if result.get("title") else []
    lines.append(f"{result['proposal']}" + (f"  {_when(result)}" if result.get("state") else ""))
    if result.get("proposer"):
        lines.append(f"proposed by {result['proposer_name'] or result['proposer']}")
    if result.get("text"):
        lines += ["", *(f"  {_plain(line)}" for line in result["text"].splitlines())]
    return lines


def _when(result: Mapping[str, Any]) -> str:
    from rodagila.govern.wording import moment

    state = str(result["state"])
    if state == "pending":
        return f"pending: voting begins after {moment(result['vote_start'])}"
    if state == "active":
        return f"active: voting ends at {moment(result['vote_end'])}"
    if state == "queued" and "eta" in result:
        return f"queued: executable {'now' if result['ready'] else 'from ' + moment(result['eta'])}"
    return state


def _what_it_does(result: Mapping[str, Any]) -> list[str]:
    if "calls" not in result:
        return []
    lines = ["", "What it does"]
    for number, call in enumerate(result["calls"], start=1):
        words = f"  {number}. {_plain(call['words'])}"
        if call["alarm"]:
            lines.append(click.style(f"{words}  ATTENTION: {call['alarm']}.", fg="red", bold=True))
        else:
            lines.append(words)
        lines.append(f"     {_plain(call['text'])}")
        lines += [f"       {_plain(line)}" for line in call.get("details", ())]
    if result.get("document_problem"):
        problem = f"  Texts and policies are not shown: {_plain(result['document_problem'])}."
        lines.append(click.style(problem, fg="red", bold=True))
    return lines


def _effect(result: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    effect = result.get("effect")
    if effect:
        lines += ["", "If it were executed now"]
        if effect["problem"]:
            return [
                *lines,
                click.style(f"  It would fail and change nothing. {_plain(effect['problem'])}", fg="red", bold=True),
            ]
        lines += [f"  {_plain(_event(event))}" for event in effect["events"]]
        lines += [f"  {_plain(_balance(row))}" for row in effect["balances"]]
        lines.append(f"  It takes {effect['gas_used']:,} gas.")
    elif result.get("events"):
        shown = [event for event in result["events"] if event["event"] not in ("CallExecuted", "ProposalExecuted")]
        lines += ["", "What happened", *(f"  {_plain(_event(event))}" for event in shown)]
    for row in result.get("policies", ()):
        known = f"version {row['version']}" if row["known_here"] else "its text is not in this home"
        lines.append(f"  The policy {row['policy_hash']} ({known}) holds from {row['in_force_from']} on.")
    return lines


def _event(event: Mapping[str, Any]) -> str:
    if event["event"] is None:
        return f"an unknown event of {event['contract'] or event['address']}"
    shown = ", ".join(f"{name}={_text(value)}" for name, value in event["arguments"].items())
    return f"{event['contract']}.{event['event']}({shown})"


def _balance(row: Mapping[str, Any]) -> str:
    write = {"PayToken": format_amount}.get(row["token"], format_tokens)
    before, after, difference = (int(row[name]) for name in ("before", "after", "difference"))
    sign = "+" if difference > 0 else ""
    return f"{row['name']}: {write(before)} -> {write(after)} {row['token']} ({sign}{write(difference)})"


def _votes(result: Mapping[str, Any]) -> list[str]:
    if "votes" not in result:
        return []
    votes = result["votes"]
    counts = ", ".join(f"{name} {format_tokens(int(votes[name]))}" for name in ("for", "against", "abstain"))
    quorum = votes["quorum"]
    if quorum is not None:
        reached = int(votes["for"]) + int(votes["abstain"]) >= int(quorum)
        counts += f"; quorum {format_tokens(int(quorum))} {'reached' if reached else 'not reached'}"
    lines = ["", f"Votes: {counts}"]
    for row in result["ballots"]:
        reason = f': "{_plain(row["reason"])}"' if row["reason"] else ""
        lines.append(f"  {row['name'] or row['voter']} {row['vote']} with {format_tokens(int(row['power']))}{reason}")
    counted = "now; it counts as it is when voting begins" if result["state"] == "pending" else "at the snapshot"
    if result["power"]:
        lines += [f"Power {counted}"]
    for row in result["power"]:
        voted = ", has voted" if row["voted"] else ""
        lines.append(f"  {row['name'] or row['account']}: {format_tokens(int(row['power']))}{voted}")
    return lines


def _ending(result: Mapping[str, Any]) -> list[str]:
    if result.get("dry_run"):
        return ["", "Nothing was signed or sent."]
    return ["", f"Next: {result['next']}"] if result.get("next") else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _plain(text: str) -> str:
    return printable(text).replace("\n", " ")
