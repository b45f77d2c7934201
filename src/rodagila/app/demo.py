"""The demonstration: a whole DAO at work on this machine, turn by turn, with people who try to cheat.

Only the cast is special: it calls the same functions as the command line, on a home of its own. Keys, salts and the
clock that goes into what is signed derive from the seed, so that two runs publish the same roots. The ledger's
blocks carry real time, and buyers draw real random payment nonces: neither enters a root.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from rodagila.app.auditing import audit_dao
from rodagila.app.daos import Dao, drip, launch
from rodagila.app.home import Home
from rodagila.app.intake import receive, seal
from rodagila.app.payouts import claim_all, explanation_of, payouts_of
from rodagila.app.progress import Progress
from rodagila.app.publication import published
from rodagila.app.scenario import HONEST, Options, Participant, Scenario, build
from rodagila.app.serving import Gateway, running
from rodagila.app.turn import begin_turn, learn, settle
from rodagila.app.turns import turn_row
from rodagila.client import Client
from rodagila.core.errors import InvalidInput, RodaError
from rodagila.core.hashing import hex0x, keccak
from rodagila.core.money import PPM, UNIT
from rodagila.core.policy import ModelRules, Policy, PoolRules, PriceRules, QueryRules
from rodagila.learn.evaluation import rise_of
from rodagila.market.prices import network_of
from rodagila.reward.facts import target_names
from rodagila.reward.model_check import train_model

NAME = "demo"
START = 1_750_000_000
"""The demonstration's clock: seconds that stand for a date, the same in every run."""

BOND_MONEY = 10 * UNIT
BUYER_MONEY = 1_000 * UNIT
PRICES = PriceRules(chat=50_000, search=20_000, classify=20_000, embeddings=10_000)


@dataclass(slots=True)
class Stages:
    """How long each stage took, summed over the turns."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Add the block's time to stage ``name``."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun

    def as_json(self) -> list[dict[str, Any]]:
        """Return the stages in the order in which they first came."""
        return [{"stage": name, "seconds": round(seconds, 3)} for name, seconds in self.seconds.items()]


@dataclass(slots=True)
class Play:
    """A demonstration under way."""

    options: Options
    scenario: Scenario
    home: Home
    dao: Dao
    accounts: dict[str, LocalAccount]
    buyer: LocalAccount
    gateway: Gateway
    url: str
    progress: Progress
    stages: Stages


def demo_policy(scenario: Scenario, options: Options) -> Policy:
    """Return the demonstration's policy: default rules, prices that make round numbers."""
    return Policy(
        name=NAME,
        purpose="show the flywheel turning",
        model=ModelRules(task=scenario.task),
        pool=PoolRules(treasury_cut_ppm=200_000, target_lift_ppm=200_000),
        prices=PRICES,
        queries=QueryRules(per_turn=max(1, len(scenario.holdings.scoring))),
    )


def run_demo(options: Options, progress: Progress) -> dict[str, Any]:
    """Play the whole demonstration; returns turns, owners, audit, explanation and stage times as JSON values.

    Raises ``RodaError`` invariant_broken when a law does not hold.
    """
    stages = Stages()
    path = _fresh_home(options.out)
    with stages.time("read"), progress.stage("Read the texts"):
        scenario = build(options)
    with Home.open(path, clock=lambda: START, processes=options.threads, ledger_url=options.ledger) as home:
        with stages.time("launch"), progress.stage("Launch the DAO"):
            dao, accounts, buyer = _launch(home, scenario, options)
        with running(home) as (gateway, url):
            play = Play(options, scenario, home, dao, accounts, buyer, gateway, url, progress, stages)
            turns = [_turn(play, number) for number in range(1, options.turns + 1)]
        with stages.time("audit"), progress.stage("Audit every turn"):
            reports = audit_dao(dao)
        result = _result(play, turns, reports)
    _hold(result)
    return result


def _fresh_home(out: Path) -> Path:
    """Return an empty directory for the home inside ``out``; only a former demonstration's home is replaced."""
    path = out / "home"
    if path.exists():
        if not (path / "home.json").exists():
            raise InvalidInput("usage", f"{path} is not a former demonstration's home.", hint="Give another --out.")
        shutil.rmtree(path)
    return path


def _key(seed: int, role: str) -> bytes:
    return keccak(b"rodagila demo" + seed.to_bytes(8, "big") + role.encode())


def _launch(home: Home, scenario: Scenario, options: Options) -> tuple[Dao, dict[str, LocalAccount], LocalAccount]:
    def new_account(name: str) -> LocalAccount:
        return home.keys.new(name, _key(options.seed, name))

    dao = launch(home, NAME, demo_policy(scenario, options), scenario.holdings, new_account)
    begin_turn(dao, 1)
    accounts = {
        person.name: Account.from_key(_key(options.seed, "owner " + person.name)) for person in scenario.participants
    }
    for account in accounts.values():
        drip(home, account.address, BOND_MONEY)
    buyer = new_account("buyer")
    drip(home, buyer.address, BUYER_MONEY)
    return dao, accounts, buyer


def _turn(play: Play, number: int) -> dict[str, Any]:
    joining = [person for person in play.scenario.participants if person.turn == number]
    with play.stages.time("collect"), play.progress.stage(f"Turn {number}: contributions", len(joining)) as stage:
        for person in joining:
            _contribute(play, person)
            stage.advance(1)
    with play.stages.time("prove and learn"):
        learn(play.dao, play.progress)
        play.gateway.publish(play.dao)
    with play.stages.time("serve"), play.progress.stage(f"Turn {number}: paid calls", play.options.calls) as stage:
        for _ in _paid_calls(play, number):
            stage.advance(1)
    with play.stages.time("value and settle"):
        settle(play.dao, play.progress)
    with play.stages.time("claim"), play.progress.stage(f"Turn {number}: claims"):
        _claims(play)
    summary = turn_row(play.dao, number).summary
    assert summary is not None
    return summary


def _contribute(play: Play, person: Participant) -> None:
    salt = keccak(_key(play.options.seed, "salt " + person.name))
    sealed, authorization = seal(play.dao, play.accounts[person.name], person.records, salt=salt)
    receive(play.dao, sealed, authorization)


def _paid_calls(play: Play, number: int) -> Iterator[None]:
    """Let the buyer pay for calls about the DAO's subject and say what it thinks of the answers."""
    questions = _questions(play, number)
    network = network_of(play.dao.domain.chain_id)
    with Client(play.url, play.buyer, token=play.dao.row.token, network=network, max_amount=PRICES.chat) as client:
        for place, question in enumerate(questions):
            _call(client, play, place, question)
            yield


def _call(client: Client, play: Play, place: int, question: str) -> None:
    model = play.dao.name
    kind = place % 4
    if kind == 0:
        reply = client.ask(model, question)
        client.feedback(reply, "rating", rating=4)
        if reply.hits:
            client.feedback(reply, "click", place=reply.hits[0]["place"])
    elif kind == 1:
        reply = client.search(model, question)
        if reply.receipt is not None:
            client.feedback(reply, "purchase", amount=reply.receipt.receipt.amount)
    elif kind == 2 and play.scenario.task == "classify":
        client.classify(model, question)
    elif kind == 2:
        reply = client.ask(model, question)
        client.feedback(reply, "preference", chosen={"text": reply.text}, rejected={"text": "I do not know."})
    else:
        client.embeddings(model, [question])


def _questions(play: Play, number: int) -> list[str]:
    """Return what the buyer asks in a turn: texts of the scoring pool, other ones each turn."""
    pool = play.scenario.holdings.scoring
    first = (number - 1) * play.options.calls
    return [pool[(first + i) % len(pool)].text for i in range(play.options.calls)]


def _claims(play: Play) -> None:
    """Send the claims of all who are owed something; money and tokens go to the accounts in the leaves."""
    claim_all(play.dao)


def _result(play: Play, turns: Sequence[dict[str, Any]], reports: Sequence[Any]) -> dict[str, Any]:
    owners = _owners(play, turns)
    best = max((owner for owner in owners if owner["kind"] == HONEST), key=lambda owner: int(owner["payout"]))
    roots = {
        f"turn {report.turn}": {name: root.recomputed for name, root in report.roots.items()} for report in reports
    }
    return {
        "dao": play.dao.name,
        "task": play.scenario.task,
        "rise": _rise(play.dao, turns),
        "turns": list(turns),
        "owners": owners,
        "audit": {
            "ok": all(report.ok for report in reports),
            "roots": roots,
            "differences": [line for report in reports for line in report.differences],
        },
        "explanation": {"owner": best["owner"], **explanation_of(play.dao, best["account"], None)},
        "stages": play.stages.as_json(),
        "policy": play.dao.policy.as_json(),
        "policy_hash": hex0x(play.dao.policy.policy_hash()),
    }


def _rise(dao: Dao, turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the rise of the metric from the first turn to the last, on the same gate queries, with its interval.

    ``early``: the metric of both on the queries that the first turn's records could answer at all. Much of the rise is
    the share of owners that joined; on these queries the newcomers can also be in the way, and that is shown too.
    """
    early, late = (published(dao, turns[place]["turn"])[0].facts for place in (0, -1))
    first, last = train_model(early), train_model(late)
    found = rise_of(first.outcomes, last.outcomes, resamples=dao.policy.model.bootstrap, seed=1)
    there = set(target_names(early, early.records))
    asked = [place for place, target in enumerate(target_names(early, early.gate)) if target in there]
    shares = [float(outcomes[asked].mean()) if asked else 0.0 for outcomes in (first.outcomes, last.outcomes)]
    return {
        "value": found.value_ppm / PPM,
        "low": found.low_ppm / PPM,
        "high": found.high_ppm / PPM,
        "early": {"queries": len(asked), "first": round(shares[0], 4), "last": round(shares[1], 4)},
    }


def _owners(play: Play, turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return every participant with what it earned in all turns, less what was slashed, and its tokens."""
    earned: dict[str, int] = {}
    slashed: dict[str, int] = {}
    tokens: dict[str, int] = {}
    for turn in turns:
        for row in payouts_of(play.dao, turn["turn"]):
            tokens[row["account"]] = int(row["tokens_cumulative"])
            earned[row["account"]] = earned.get(row["account"], 0) + row["payout"]
            slashed[row["account"]] = slashed.get(row["account"], 0) + row["slashed"]
    owners = []
    for person in play.scenario.participants:
        account = play.accounts[person.name].address
        gross, lost = earned.get(account, 0), slashed.get(account, 0)
        owners.append(
            {
                "owner": person.name,
                "kind": person.kind,
                "payout": gross - lost,
                "earned": gross,
                "slashed": lost,
                "tokens": str(tokens.get(account, 0)),
                "records": len(person.records),
                "turn": person.turn,
                "account": account,
            }
        )
    return owners


def _hold(result: dict[str, Any]) -> None:
    """Raise unless money is conserved to the unit in every turn."""
    for turn in result["turns"]:
        if turn["paid"] + turn["dust"] + turn["rollover"] != turn["pool"]:
            raise RodaError(
                "invariant_broken", f"Turn {turn['turn']}: paid + dust + rollover is not the pool.", turn=turn["turn"]
            )
