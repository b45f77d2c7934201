"""A DAO decides by commands alone: draft, proposal, votes by signature, queue, execution, and every refusal."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_dao import holdings

from documents import blocks_of
from rodagila.app.cli.entry import roda, run
from rodagila.app.cli.proposal import INTENT_OPTIONS
from rodagila.app.daos import dao_named, drip, launch
from rodagila.app.home import Home
from rodagila.app.proposals import governor_of
from rodagila.app.turn import begin_turn
from rodagila.core.hashing import keccak
from rodagila.core.money import TOKEN_UNIT
from rodagila.core.policy import GovernanceRules, Policy
from rodagila.govern.intents import INTENTS
from rodagila.govern.proposal import Document, description_of
from rodagila.store import schema

START = 1_800_000_000
DELAY, PERIOD, TIMELOCK = 60, 600, 120
RULES = GovernanceRules(voting_delay_seconds=DELAY, voting_period_seconds=PERIOD, timelock_seconds=TIMELOCK)


@dataclass
class Desk:
    """Runs ``roda proposal`` in one home, at a time of one's choice."""

    home: Path
    clock: SimpleNamespace

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.clock.now += seconds

    def text(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        """Return exit status, stdout and stderr."""
        out, err = io.StringIO(), io.StringIO()
        given = SimpleNamespace(buffer=io.BytesIO(stdin.encode()), isatty=lambda: False)
        before, sys.stdin = sys.stdin, given  # type: ignore[assignment]
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = run(["proposal", *arguments, "--dao", "docs", "--home", str(self.home)])
        finally:
            sys.stdin = before
        return status, out.getvalue(), err.getvalue()

    def json(self, *arguments: str, stdin: str = "") -> Any:
        """Return the JSON value of a command that must succeed."""
        status, out, err = self.text(*arguments, "--json", stdin=stdin)
        assert status == 0, out + err
        return json.loads(out)

    def problem(self, *arguments: str, stdin: str = "") -> tuple[int, str]:
        """Return the exit status and the code of a command that must fail."""
        status, out, _ = self.text(*arguments, "--json", stdin=stdin)
        return status, json.loads(out)["error"]["code"]

    def new(self, *intents: str, title: str = "Pay Bob", dry: bool = False) -> Any:
        """Propose as the founder."""
        self.wait(1)
        head = ("new", "--key", "docs-operator", "--title", title, "--text", "For his labels.")
        return self.json(*head, *intents, *(["--dry-run"] if dry else []))

    def accepted(self, *intents: str, title: str = "Pay Bob") -> str:
        """Carry a proposal to the end of its timelock and return its id."""
        number: str = self.new(*intents, title=title)["proposal"]
        self.wait(DELAY + 1)
        self.json("vote", number, "--for", "--key", "docs-operator")
        self.wait(PERIOD)
        self.json("queue", number)
        self.wait(TIMELOCK)
        return number


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a DAO whose founder is the operator; bob and eve have keys. Never change it: copy it."""
    path = tmp_path_factory.mktemp("launched") / "home"
    clock = SimpleNamespace(now=START)
    with pytest.MonkeyPatch.context() as patch, Home.open(path, clock=lambda: START) as home:
        patch.setattr("rodagila.chain.embedded.time", SimpleNamespace(time=lambda: clock.now))
        dao = launch(home, "docs", Policy(name="docs", governance=RULES), holdings(), home.keys.new)
        drip(home, dao.addresses["Treasury"], 100_000_000)
        for name in ("bob", "eve"):
            home.keys.new(name, keccak(name.encode()))
        token = dao.contract("DaoToken")
        token.transact(dao.account("operator"), "transfer", home.keys.get("bob").address, 1_000 * TOKEN_UNIT)
        from rodagila.app.daos import give_gas_money

        give_gas_money(home.ledger, home.keys.get("bob").address)
        token.transact(home.keys.get("bob"), "delegate", home.keys.get("bob").address)
    return path


@pytest.fixture
def desk(launched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A home of one's own, and its time."""
    clock = SimpleNamespace(now=START)
    monkeypatch.setattr("rodagila.chain.embedded.time", SimpleNamespace(time=lambda: clock.now))
    monkeypatch.delenv("RODA_PASSPHRASE", raising=False)
    shutil.copytree(launched, tmp_path / "home")
    return Desk(tmp_path / "home", clock)


PAY = ("--pay", "to=bob,amount=12.5,reason=labels of May")


def test_the_options_are_the_intents() -> None:
    assert tuple((item.kind, item.fields, item.meaning) for item in INTENTS.values()) == INTENT_OPTIONS


def test_a_dao_decides_by_commands(desk: Desk) -> None:
    tried = desk.new(*PAY, "--price", "chat=0.003", dry=True)
    assert tried["dry_run"] is True
    assert tried["effect"]["succeeds"] is True
    assert tried["does"][0].startswith("Pay 12.5 RPAY from the treasury to bob (0x")
    assert tried["does"][0].endswith('for "labels of May".')
    assert tried["changes"] == [
        {"field": "version", "before": "1", "after": "2"},
        {"field": "prices.chat", "before": "0.002", "after": "0.003"},
    ]
    assert desk.json("list") == []

    made = desk.new(*PAY, "--price", "chat=0.003")
    number = made["proposal"]
    assert (made["state"], made["does"], made["document_problem"]) == ("pending", tried["does"], None)
    assert {row["name"]: row["power"] for row in made["power"]} == {
        "docs-operator": str((20_000_000 - 1_000) * TOKEN_UNIT),
        "bob": str(1_000 * TOKEN_UNIT),
    }
    effect = desk.json("simulate", number[:10])["effect"]
    assert [(row["token"], row["difference"]) for row in effect["balances"]] == [
        ("PayToken", -12_500_000),
        ("PayToken", 12_500_000),
    ]

    desk.wait(DELAY + 1)
    assert desk.json("vote", number, "--for", "--key", "bob", "--dry-run")["power"] == str(1_000 * TOKEN_UNIT)
    ballot = desk.json("vote", number, "--for", "--key", "bob", "--reason", "Good labels.", "--sign-only")
    assert desk.json("show", number)["votes"]["for"] == "0"
    sent = desk.json("vote", "--ballot", "-", stdin=json.dumps(ballot))
    assert (sent["vote"], sent["reason"]) == ("for", "Good labels.")
    assert desk.json("vote", number[:12], "--for", "--key", "docs-operator")["voter"] == made["proposer"]
    shown = desk.json("show", number)
    assert [(row["name"], row["vote"]) for row in shown["ballots"]] == [("bob", "for"), ("docs-operator", "for")]
    assert all(row["voted"] for row in shown["power"])

    desk.wait(PERIOD)
    assert desk.json("queue", number, "--dry-run")["eta"] == desk.clock.now + TIMELOCK
    assert desk.json("queue", number, "--key", "bob")["state"] == "queued"
    desk.wait(TIMELOCK)
    assert desk.json("execute", number, "--dry-run")["effect"]["succeeds"] is True
    done = desk.json("execute", number, "--key", "bob")
    assert [event["event"] for event in done["events"] if event["contract"] == "Registry"] == ["PolicySet"]
    assert done["policies"][0]["known_here"] is True
    assert [(row["state"], row["title"]) for row in desk.json("list")] == [("executed", "Pay Bob")]
    assert desk.json("show", number)["changes"] == tried["changes"]  # still against the version it replaced
    with Home.open(desk.home) as home:
        dao = dao_named(home, "docs")
        assert dao.contract("PayToken").call("balanceOf", home.keys.get("bob").address) == 12_500_000
        begin_turn(dao, 1)
        assert dao.policy.prices.chat == 3_000


def test_the_commands_of_the_documentation_decide(desk: Desk, project_root: Path) -> None:
    blocks = blocks_of((project_root / "docs" / "operations.md").read_text(encoding="utf-8"))
    (block,) = [block for block in blocks if block.heading == "Decisions"]
    pauses = {"vote": DELAY + 1, "queue": PERIOD, "execute": TIMELOCK}
    number = ""
    for line in block.commands:
        words = shlex.split(line.replace("PROPOSAL", number[:12]))
        assert words[:2] == ["roda", "proposal"]
        arguments = [word for word in words[2:] if word not in ("--dao", "docs")]
        desk.wait(1 + pauses.get(words[2], 0))
        status, _, err = desk.text(*arguments)
        assert status == 0, err
        number = next((row["proposal"] for row in desk.json("list")), "")
    assert [row["state"] for row in desk.json("list")] == ["executed"]


def test_people_read_words_calls_effects_and_what_comes_next(desk: Desk) -> None:
    number = desk.new(*PAY, "--price", "chat=0.003")["proposal"]
    for command, words in {
        "show": (
            "Pay Bob\n",
            "pending: voting begins after 2027-01-15 08:01:01 UTC",
            "proposed by docs-operator",
            "  For his labels.\n",
            "  1. Pay 12.5 RPAY from the treasury to bob (0x",
            "     Treasury.pay(to=0x",
            "  2. Put version 2 of the policy in force, from the next turn on",
            "       prices.chat: 0.002 -> 0.003",
            "Power now; it counts as it is when voting begins\n",
        ),
        "simulate": (
            "  Treasury.Paid(to=0x",
            "  the Treasury: 100 -> 87.5 PayToken (-12.5)",
            "12.5 PayToken (+12.5)",
            " gas.\n",
        ),
    }.items():
        status, out, _ = desk.text(command, number)
        assert status == 0
        for text in words:
            assert text in out
    desk.wait(DELAY + 1)
    status, out, _ = desk.text("show", number)
    assert f"Next: roda proposal vote {number[:12]} --for --dao docs --key NAME" in out
    status, out, _ = desk.text("vote", number, "--against", "--key", "docs-operator")
    assert (status, "power        19999000\n" in out) == (0, True)
    status, out, _ = desk.text("show", number)
    assert "Votes: for 0, against 19999000, abstain 0; quorum 800000 not reached" in out
    status, out, _ = desk.text("list")
    assert out.splitlines()[2].split()[:4] == [number[:12], "Pay", "Bob", "active"]


def test_what_was_granted_can_be_read_from_the_ledger(desk: Desk) -> None:
    grant = "grantee=bob,mode=api,scope=the answers,purpose=answer clients,until=90d"
    offer = "price=25,mode=api,duration=30d,until=60d,scope=the answers,purpose=resale,split=docs"
    number = desk.accepted("--token", "account=PayToken,open=yes", "--approve-offer", offer, "--grant", grant)
    done = desk.json("execute", number)
    by_name = {event["event"]: event["arguments"] for event in done["events"]}
    terms = by_name["Granted"]["terms"]
    assert (terms["purposeHash"], terms["mode"]) == ("0x" + keccak(b"answer clients").hex(), 1)
    assert terms["decision"] == "0x" + keccak(b"Pay Bob\n\nFor his labels.").hex()
    assert desk.json("show", number)["does"][2].endswith('may be asked about through the gateway for "answer clients".')
    with Home.open(desk.home) as home:
        licenses = dao_named(home, "docs").contract("Licenses")
        granted = bytes.fromhex(by_name["Granted"]["id"][2:])
        assert licenses.call("grantOf", granted).grantee == home.keys.get("bob").address
        assert licenses.call("isActive", granted) is True
        assert licenses.call("isOpen", bytes.fromhex(by_name["OfferApproved"]["offerId"][2:])) is True


def test_calls_run_in_the_order_of_the_command_line(desk: Desk) -> None:
    made = desk.new("--pay", "to=bob,amount=1", "--operator", "account=eve", "--pay", "to=eve,amount=2", dry=True)
    assert [call["text"].partition("(")[0] for call in made["calls"]] == [
        "Treasury.pay",
        "Registry.setOperator",
        "Treasury.pay",
    ]


def test_a_policy_file_is_proposed_whole(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    text = "name: docs\nversion: 2\npool:\n  treasury_cut: 30%\ngovernance:\n"
    text += "  voting_delay: 60s\n  voting_period: 10m\n  timelock: 2m\n"
    file.write_text(text)
    made = desk.new("--policy", str(file), dry=True)
    assert [row["field"] for row in made["changes"]] == ["version", "pool.treasury_cut"]
    assert made["document"]["policies"][0]["pool"]["treasury_cut_ppm"] == 300_000
    file.write_text(text.replace("version: 2", "version: 1"))
    arguments = ("new", "--key", "docs-operator", "--title", "T", "--policy", str(file))
    assert desk.problem(*arguments) == (2, "policy_invalid")


def test_what_cannot_be_is_refused_with_its_own_code(desk: Desk) -> None:
    draft = ("new", "--key", "docs-operator", "--title", "Pay Bob")
    assert desk.problem(*draft) == (2, "usage")
    assert desk.problem(*draft, "--pay", "to=bob") == (2, "action_invalid")
    assert desk.problem(*draft, "--pay", "to=carol,amount=1") == (4, "account_unknown")
    assert desk.problem(*draft, "--call", "Purse.open 1") == (4, "contract_unknown")
    assert desk.problem("new", "--key", "carol", "--title", "T", *PAY) == (4, "account_unknown")
    assert desk.problem("new", "--key", "eve", "--title", "T", *PAY) == (6, "power_short")
    assert desk.problem("show", "0x1234") == (4, "proposal_unknown")
    number = desk.new(*PAY)["proposal"]
    operator = ("--key", "docs-operator")
    for step in (("vote", number, "--for", *operator), ("queue", number), ("execute", number)):
        assert desk.problem(*step) == (6, "proposal_state")
    desk.wait(DELAY + 1)
    assert desk.problem("vote", number, "--for", "--key", "eve") == (6, "power_short")
    assert desk.problem("vote", number, "--key", "bob") == (2, "usage")
    assert desk.problem("vote", number, "--for", "--key", "bob", "--own", "--sign-only") == (2, "usage")
    assert desk.problem("vote", number, "--for", "--ballot", "-") == (2, "usage")
    assert desk.problem("vote", "--ballot", "-", stdin="{}") == (2, "ballot_invalid")
    desk.json("vote", number, "--for", "--key", "bob", "--own")
    assert desk.problem("vote", number, "--for", "--key", "bob") == (1, "vote_known")
    signed = desk.json("vote", number, "--for", *operator, "--sign-only")
    for change, problem in (
        ({"support": "against"}, (3, "ballot_invalid")),
        ({"chain_id": 1}, (6, "chain_mismatch")),
        ({"governor": signed["voter"]}, (6, "dao_mismatch")),
        ({"proposal": "0x" + "12" * 32}, (4, "proposal_unknown")),
    ):
        assert desk.problem("vote", "--ballot", "-", stdin=json.dumps(signed | change)) == problem
    assert desk.json("vote", "--ballot", "-", "--dry-run", stdin=json.dumps(signed))["dry_run"] is True
    desk.json("vote", "--ballot", "-", stdin=json.dumps(signed))
    assert desk.problem("vote", "--ballot", "-", stdin=json.dumps(signed)) == (1, "vote_known")
    assert desk.problem("new", "--key", "docs-operator", "--title", "Pay Bob", "--text", "For his labels.", *PAY) == (
        1,
        "proposal_known",
    )


def test_a_home_without_the_document_says_so_and_takes_the_right_one(desk: Desk, tmp_path: Path) -> None:
    number = desk.new("--price", "chat=0.003")["proposal"]
    shown = desk.json("show", number)
    document = json.dumps(shown["document"])
    with Home.open(desk.home) as home:
        home.blobs.delete(bytes.fromhex(shown["document_id"][2:]))
    bare = desk.json("show", number)
    assert bare["document"] is None
    assert "is not in this home" in bare["document_problem"]
    assert "its text is not known here" in bare["does"][0]
    assert bare["calls"][0]["alarm"]
    file = tmp_path / "document.json"
    file.write_text(document.replace("3000", "9000"))
    assert desk.problem("show", number, "--document", str(file)) == (2, "document_invalid")
    file.write_text(document)
    assert desk.json("show", number, "--document", str(file)) == shown
    assert desk.json("show", number) == shown


def test_without_the_text_of_the_policy_in_force_nothing_follows_it_but_the_rest_is_decided(desk: Desk) -> None:
    desk.json("execute", desk.accepted("--price", "chat=0.003"))
    with Home.open(desk.home) as home, home.database.begin() as connection:
        connection.execute(schema.policy.delete().where(schema.policy.c.version == 2))
    price = ("new", "--key", "docs-operator", "--title", "T", "--price", "chat=0.004")
    assert desk.problem(*price) == (4, "policy_unknown")
    assert desk.new(*PAY, dry=True)["effect"]["succeeds"] is True


def test_a_document_that_lies_is_not_believed_and_what_is_unreadable_is_red(desk: Desk) -> None:
    """The proposer's document claims other calls than those on the ledger: only the bytes are shown, with an alarm."""
    desk.wait(1)
    with Home.open(desk.home) as home:
        dao = dao_named(home, "docs")
        governor, proposer = governor_of(dao), dao.account("operator")
        lie = Document(home.ledger.chain_id, governor.place.governor, "Thanks", "Only words.", ())
        home.blobs.put(lie.body())
        description = description_of("Thanks", "Only words.", keccak(lie.body()), proposer.address)
        target, data = home.keys.get("eve").address, b"\xa9\x05\x9c\xbb" + bytes(64)
        governor.contract.transact(proposer, "propose", [target], [0], [data], description)
    (row,) = desk.json("list")
    shown = desk.json("show", row["proposal"])
    assert shown["document"] is None
    assert "its calls are not those on the ledger" in shown["document_problem"]
    assert shown["calls"][0]["decoded"] is False
    assert "is no contract of this DAO" in shown["does"][0]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        roda.main(
            ["proposal", "show", row["proposal"], "--dao", "docs", "--home", str(desk.home)],
            standalone_mode=False,
            color=True,
        )
    red = [line for line in out.getvalue().splitlines() if line.startswith("\x1b[31m\x1b[1m")]
    assert any("nobody can tell from here what this call does" in line for line in red)
    assert any("its calls are not those on the ledger" in line for line in red)


def test_two_policies_written_for_the_same_version_do_not_undo_each_other_unseen(desk: Desk) -> None:
    first = desk.accepted("--price", "chat=0.003", title="One")
    second = desk.new("--price", "search=0.003", title="Two")["proposal"]
    assert desk.json("show", second)["calls"][0]["alarm"] is None
    desk.json("execute", first)
    shown = desk.json("show", second)
    assert "version 2 would follow version 2" in shown["calls"][0]["alarm"]
    assert {"field": "prices.chat", "before": "0.003", "after": "0.002"} in shown["changes"]
