"""One turn of a small DAO by commands alone: launch, contribute, close, explain, claim, ask, audit."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from rodagila.app.cli.entry import run

INTENTS = {
    "card_lost": [
        "I lost my {} card yesterday",
        "my {} card was stolen on the train",
        "cannot find my {} card anywhere",
    ],
    "balance": [
        "what is the balance of my {} account",
        "how much money is on my {} account",
        "show my {} account total",
    ],
    "transfer": ["send money to my {} landlord", "transfer funds to the {} shop", "make a payment to my {} friend"],
}
WORDS = ("blue", "old", "new", "family", "travel", "business", "student", "second")


def rows(words: tuple[str, ...]) -> list[dict[str, str]]:
    return [
        {"text": template.format(word), "label": label}
        for label, templates in INTENTS.items()
        for template in templates
        for word in words
    ]


def write_rows(path: Path, records: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


class Commands:
    """Runs ``roda`` in one home."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def text(self, *arguments: str) -> tuple[int, str]:
        """Return the exit status and stdout."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            status = run([*arguments, "--home", str(self.home)])
        return status, out.getvalue()

    def json(self, *arguments: str) -> Any:
        """Return the JSON value of a command that must succeed."""
        status, out = self.text(*arguments, "--json")
        assert status == 0, out
        return json.loads(out)

    def problem(self, *arguments: str) -> tuple[int, str]:
        """Return the exit status and the code of a command that must fail."""
        status, out = self.text(*arguments, "--json")
        return status, json.loads(out)["error"]["code"]


@pytest.fixture(scope="module")
def roda(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """A home with one DAO whose first turn is closed; ada gave new records, bob the same again."""
    folder = tmp_path_factory.mktemp("dao")
    roda = Commands(folder / "home")
    policy = folder / "policy.yaml"
    policy.write_text("name: docs\nmodel: {bootstrap: 50}\nqueries: {per_turn: 12}\npool: {seed_pool: 5}\n")
    queries = write_rows(folder / "queries.jsonl", rows(("spare", "joint", "foreign")))
    reference = write_rows(folder / "reference.jsonl", rows(("plain",))[:3])
    for name in ("ada", "bob"):
        roda.json("key", "new", name, "--plain")
        roda.json("faucet", name, "--amount", "10")
    dao = roda.json("dao", "new", "docs", "--policy", str(policy), "--queries", queries, "--reference", reference)
    roda.json("faucet", dao["treasury"], "--amount", "10")
    given = write_rows(folder / "ada.jsonl", rows(WORDS))
    roda.preview = roda.json("contribute", given, "--dao", "docs", "--key", "ada", "--dry-run")  # type: ignore[attr-defined]
    roda.receipt = roda.json("contribute", given, "--dao", "docs", "--key", "ada")  # type: ignore[attr-defined]
    roda.json("contribute", given, "--dao", "docs", "--key", "bob")
    assert roda.json("turn", "close", "--dao", "docs", "--dry-run")["would_close"] == [1]
    roda.closed = roda.json("turn", "close", "--dao", "docs")  # type: ignore[attr-defined]
    return roda


def addresses(roda: Commands) -> dict[str, str]:
    return {row["name"]: row["address"] for row in roda.json("key", "list")}


def test_a_dry_contribution_says_what_the_receipt_says_and_hands_in_nothing(roda: Any) -> None:
    assert roda.preview["dry_run"] is True
    assert "contribution_id" not in roda.preview
    assert roda.receipt["records"] == roda.preview["records"] == len(rows(WORDS))
    assert roda.receipt["contribution_id"].startswith("0x")


def test_the_closed_turn_conserves_its_pool(roda: Any) -> None:
    (turn,) = [row for row in roda.json("turn", "list", "--dao", "docs") if row["state"] == "closed"]
    assert turn["paid"] + turn["dust"] + turn["rollover"] == turn["pool"] > 0
    assert turn["turn"] == 1
    assert turn["root"] == roda.closed["root"]


def test_whoever_repeats_an_earlier_contribution_earns_nothing(roda: Commands) -> None:
    paid = {row["account"]: row["payout"] for row in roda.json("payout", "list", "--dao", "docs")}
    names = addresses(roda)
    assert paid[names["ada"]] > 0
    assert paid.get(names["bob"], 0) == 0


def test_an_explanation_is_text_for_people_and_an_object_for_programs(roda: Commands) -> None:
    body = roda.json("payout", "explain", "--dao", "docs", "--key", "ada")
    status, text = roda.text("payout", "explain", "--dao", "docs", "--account", addresses(roda)["ada"])
    assert status == 0
    assert text.strip() == body["text"].strip()
    assert body["root"] in text


def test_a_claim_pays_once_and_a_dry_one_never(roda: Commands) -> None:
    due = roda.json("payout", "claim", "--dao", "docs", "--key", "ada", "--dry-run")["due"]
    assert due > 0
    assert roda.json("payout", "claim", "--dao", "docs", "--key", "ada")["paid"] == due
    again = roda.json("payout", "claim", "--dao", "docs", "--key", "ada", "--dry-run")
    assert again["due"] == 0


def test_the_model_is_listed_and_shown_by_its_name(roda: Commands) -> None:
    (model,) = roda.json("model", "list", "--dao", "docs")
    assert roda.json("model", "show", model["name"]) == model
    assert roda.problem("model", "show", "nobody") == (4, "model_unknown")


def test_the_audit_agrees_and_says_so_in_one_line(roda: Commands) -> None:
    assert roda.json("audit")["ok"] is True
    status, text = roda.text("audit", "--dao", "docs", "--turn", "1")
    assert (status, text) == (0, "Audit: every root of 1 turn was recomputed and agrees.\n")


def test_a_question_is_paid_and_answered(roda: Commands) -> None:
    roda.json("faucet", "bob", "--amount", "1")
    assert roda.json("ask", "I lost my card", "--dao", "docs", "--key", "bob", "--dry-run")["price"] == 2_000
    said = roda.json("ask", "I lost my golden card", "--dao", "docs", "--key", "bob")
    assert said["answer"]
    assert said["paid"] == 2_000


def test_what_is_already_there_or_not_there_has_its_status(roda: Commands, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("name: docs\n")
    queries = write_rows(tmp_path / "queries.jsonl", rows(("spare",)))
    assert roda.problem("dao", "new", "docs", "--policy", str(policy), "--queries", queries) == (1, "dao_exists")
    assert roda.problem("contribute", str(tmp_path / "no.jsonl"), "--dao", "docs", "--key", "ada")[0] == 4
    assert roda.problem("contribute", queries, "--dao", "docs", "--key", "nobody") == (4, "account_unknown")
    assert roda.problem("payout", "list", "--dao", "docs", "--turn", "99") == (4, "turn_unknown")


def test_the_doctor_executes_the_ledger_again(roda: Commands) -> None:
    _, text = roda.text("doctor")
    assert "blocks were executed again and agree" in text
