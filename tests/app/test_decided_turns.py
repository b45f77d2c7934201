"""Turns under decisions: policies by version, disputed and disabled roots, the model line, and who cannot take them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from decisions import QUICK, decide, home_with_clock, hurried
from small_dao import OWNERS, TOPICS, contribute, key_of, launch_dao, pay, texts
from sqlalchemy import update

from clocks import SetForwardClock
from rodagila.app import ledger_steps, operations
from rodagila.app.auditing import ContractsView, audit_dao
from rodagila.app.book import read_book
from rodagila.app.daos import Dao, dao_named, drip
from rodagila.app.home import Home
from rodagila.app.intake import bond_of, contributions_of, receive, seal
from rodagila.app.ledger_steps import Posting
from rodagila.app.models import train_turn
from rodagila.app.payouts import claim_all, claim_for, payouts_of
from rodagila.app.publication import publish_turn, published
from rodagila.app.turn import close, learn
from rodagila.app.turns import change_turn, turn_row
from rodagila.chain.authorization import authorize_receipt
from rodagila.chain.contracts import Contract, ContractRefused
from rodagila.chain.funding import give_gas_money
from rodagila.core.errors import Corrupted, NotFound, RefusedByPolicy
from rodagila.core.hashing import from_hex, hex0x, keccak
from rodagila.core.messages import digest, message_as_json, sign
from rodagila.core.money import TOKEN_UNIT
from rodagila.core.policy import ChallengeRules, PriceRules
from rodagila.prove.checks import Evaluation
from rodagila.prove.proof import sign_proof
from rodagila.reward.audit import audit_turn
from rodagila.reward.roots import contributions_root
from rodagila.reward.tree import payout_tree
from rodagila.store import schema

BOND = 1_000_000
WINDOW = 600


@dataclass(frozen=True, slots=True)
class Stand:
    """A DAO whose window lasts ten minutes and whose roots need a bond, and the clock that lets them pass at once."""

    home: Home
    dao: Dao
    clock: SetForwardClock

    def close(self) -> dict[str, object]:
        """Close the open turn while time flies."""
        with hurried(self.clock):
            return close(self.dao)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its home, with contributions and fees in the first turn. Never change it: copy it."""
    path = tmp_path_factory.mktemp("decided") / "home"
    with home_with_clock(path) as (home, _):
        dao = launch_dao(home, governance=QUICK, challenge=ChallengeRules(WINDOW, BOND))
        for owner in OWNERS:
            contribute(dao, owner)
        pay(dao, 3_000_000)
        for name in (dao.row.operator, key_of("challenger").address):
            drip(home, name, 2 * BOND)
        give_gas_money(home.ledger, key_of("challenger").address)
        home.embedder.encode([record.text for topic in TOPICS for turn in range(3) for record in texts(topic, turn)])
    return path


@pytest.fixture
def stand(prepared: Path, tmp_path: Path) -> Iterator[Stand]:
    """A copy of that home."""
    shutil.copytree(prepared, tmp_path / "home")
    with home_with_clock(tmp_path / "home") as (home, clock):
        yield Stand(home, dao_named(home, "docs"), clock)


def test_a_policy_that_was_decided_on_holds_from_the_next_turn_on_and_each_audit_by_its_own(stand: Stand) -> None:
    dao, first = stand.dao, stand.dao.policy
    decide(dao, stand.clock, ("price", "chat=0.003"))
    assert dao.policy == first, "the open turn keeps the policy that its contributions signed"
    shown = operations.dao_show(stand.home, "docs")
    assert shown["policy_version"] == 1
    assert shown["policy_of_next_turn"]["version"] == 2
    contribute(dao, "ada", 2)
    stand.close()
    assert dao.policy.prices == replace(PriceRules(), chat=3_000)
    assert (dao.policy.version, dao.policy_of(1), dao.policy_of(2)) == (2, first, dao.policy)
    assert "policy_of_next_turn" not in operations.dao_show(stand.home, "docs")
    contribute(dao, "bob", 2)
    pay(dao, 1_000_000)
    stand.close()
    reports = audit_dao(dao)
    assert [report.ok for report in reports] == [True, True], [report.differences for report in reports]
    hashes = [published(dao, turn)[0].facts.policy.policy_hash() for turn in (1, 2)]
    assert hashes == [first.policy_hash(), dao.policy.policy_hash()]


def test_a_turn_is_not_opened_under_a_policy_whose_text_is_not_here_until_it_is_kept(stand: Stand) -> None:
    dao = stand.dao
    unseen = replace(dao.policy, version=2, prices=PriceRules(chat=9_000))
    decide(dao, stand.clock, ("call", f"Registry.setPolicy {hex0x(unseen.policy_hash())}"))
    with pytest.raises(NotFound) as caught:
        stand.close()
    assert caught.value.code == "policy_unknown"
    assert "roda policy keep" in caught.value.hint
    assert operations.policy_keep(stand.home, "docs", unseen)["kept"] == hex0x(unseen.policy_hash())
    stand.close()
    assert (turn_row(dao, 2).policy, dao.policy) == (unseen.policy_hash(), unseen)


def prepare_root(dao: Dao) -> Posting:
    """Do what an operator does up to the posting of the first turn's roots, and return the honest ones."""
    learn(dao)
    card, book = train_turn(dao, 1), read_book(dao, up_to=1)
    ledger_steps.record_turn(
        dao,
        1,
        data_root=contributions_root([page.stored.id for page in book.pages]),
        proofs_root=book.proofs_root(),
        model_hash=from_hex(card["hash"]),
        parent=from_hex(card["parent"]),
        seed=dao.turn_seed(1),
    )
    change_turn(dao, 1, last_block=ledger_steps.recorded_block(dao, 1))
    public_id = publish_turn(dao, 1)
    change_turn(dao, 1, public_id=public_id.hex())
    public, computed = published(dao, 1)
    trees, outcome = (computed.payout_tree, computed.slash_tree, computed.token_tree), public.outcome
    return Posting(*trees, outcome.pool, outcome.paid, outcome.issued, public_id)


def richer_by_one(dao: Dao, honest: Posting) -> Posting:
    """Return roots in which one owner has one unit more and another one less."""
    cumulative = {row[0]: row[1] for row in honest.payouts.rows}
    first, second = list(cumulative)[:2]
    cumulative |= {first: cumulative[first] + 1, second: cumulative[second] - 1}
    return replace(honest, payouts=payout_tree(honest.payouts.site, 1, cumulative))


def test_a_root_wrong_by_one_unit_is_found_disputed_and_taken_away_and_the_right_one_pays(stand: Stand) -> None:
    dao, challenger = stand.dao, key_of("challenger")
    honest = prepare_root(dao)
    ledger_steps.fund_and_post(dao, 1, richer_by_one(dao, honest))
    report = audit_turn(published(dao, 1)[0], None, ContractsView(dao))
    assert [line.split(":")[0] for line in report.differences] == ["root payouts on the ledger"]
    rewards, bonds, money = dao.contract("Rewards"), dao.contract("Bonds"), dao.contract("PayToken")
    money.transact(challenger, "approve", bonds.address, BOND)
    rewards.transact(challenger, "dispute", 1, honest.payouts.root)
    with pytest.raises(RefusedByPolicy) as disputed:
        stand.close()
    assert disputed.value.code == "root_disputed"
    decide(dao, stand.clock, ("resolve", "turn=1,root=wrong"))
    assert bonds.call("creditOf", challenger.address) == 2 * BOND
    summary = stand.close()
    assert rewards.call("finalRoot") == honest.payouts.root
    assert all(report.ok for report in audit_dao(dao))
    claim_all(dao)
    paid = sum(rewards.call("claimed", row["account"]) for row in payouts_of(dao, 1))
    assert paid == summary["paid"] == rewards.call("totalFunded")


def test_a_root_that_paid_too_little_is_topped_up_when_the_right_one_is_posted(stand: Stand) -> None:
    dao, challenger = stand.dao, key_of("challenger")
    honest = prepare_root(dao)
    ledger_steps.fund_and_post(dao, 1, replace(richer_by_one(dao, honest), paid=honest.paid - 1))
    dao.contract("PayToken").transact(challenger, "approve", dao.addresses["Bonds"], BOND)
    dao.contract("Rewards").transact(challenger, "dispute", 1, honest.payouts.root)
    decide(dao, stand.clock, ("resolve", "turn=1,root=wrong"))
    summary = stand.close()
    assert dao.contract("Rewards").call("totalFunded") == summary["paid"] == honest.paid
    assert all(report.ok for report in audit_dao(dao))


def test_an_honest_root_that_is_disputed_wins_the_bond_and_pays(stand: Stand) -> None:
    dao, challenger = stand.dao, key_of("challenger")
    honest = prepare_root(dao)
    ledger_steps.fund_and_post(dao, 1, honest)
    money, bonds = dao.contract("PayToken"), dao.contract("Bonds")
    money.transact(challenger, "approve", bonds.address, BOND)
    dao.contract("Rewards").transact(challenger, "dispute", 1, bytes(32))
    decide(dao, stand.clock, ("resolve", "turn=1,root=right"))
    before = money.call("balanceOf", dao.row.operator)
    summary = stand.close()
    assert summary["paid"] == honest.paid
    assert money.call("balanceOf", dao.row.operator) == before + 2 * BOND
    assert all(report.ok for report in audit_dao(dao))


def test_a_withheld_file_disables_its_root_and_the_last_accepted_one_stays_claimable(stand: Stand) -> None:
    dao, ada = stand.dao, key_of("ada").address
    stand.close()
    contribute(dao, "bob", 2)
    pay(dao, 1_000_000)
    stand.close()
    withheld = turn_row(dao, 2).public_id
    assert withheld is not None
    place = stand.home.path / "blobs" / withheld.hex()[:2] / withheld.hex()
    kept = place.read_bytes()
    place.unlink()
    decide(dao, stand.clock, ("disable-root", "turn=2"))
    assert ledger_steps.newest_final(dao) == 1
    got = claim_for(dao, ada, dry_run=False)
    first = next(row for row in payouts_of(dao, 1) if row["account"] == ada)
    assert (got["turn"], got["paid"], got["tokens_received"]) == (1, first["payout"], first["tokens"])
    place.write_bytes(kept)
    assert audit_dao(dao, 2)[0].differences == ("turn 2: the ledger has no posted root",)
    contribute(dao, "cem", 2)
    stand.close()
    assert ledger_steps.newest_final(dao) == 3, "the next turn posts again what was taken away"
    reports = audit_dao(dao)
    assert all(report.ok for report in reports), [report.differences for report in reports]


@pytest.mark.slow
def test_the_model_line_goes_on_from_the_model_that_was_decided_on(stand: Stand) -> None:
    dao, registry = stand.dao, stand.dao.contract("Registry")
    base = keccak(b"a foreign base model")
    learn(dao)
    decide(dao, stand.clock, ("register-model", f"model={hex0x(base)},license=commerce+derivatives"))
    decide(dao, stand.clock, ("head", f"model={hex0x(base)}"))
    stand.close()
    recorded = registry.call("recordOf", 1)
    assert (recorded.parentModel, registry.call("head")) == (base, recorded.modelHash)
    reports = audit_dao(dao)
    assert all(report.ok for report in reports), [report.differences for report in reports]


def refused(contract: Contract, error: str, signer: str, function: str, *arguments: object) -> None:
    """Check that a contract refuses an act of ``signer`` with ``error``."""
    with pytest.raises(ContractRefused) as caught:
        contract.transact(key_of(signer), function, *arguments)
    assert caught.value.error == error


def test_a_lifted_leaf_pays_nobody_but_its_own_account_at_its_own_contract(stand: Stand) -> None:
    dao = stand.dao
    stand.close()
    other = launch_dao(stand.home, "other", governance=QUICK)
    _, computed = published(dao, 1)
    ada, thief = key_of("ada").address, key_of("challenger").address
    money, tokens = computed.payout_tree, computed.token_tree
    rewards, token = dao.contract("Rewards"), dao.contract("DaoToken")
    owed, share = money.amount_of(ada), tokens.amount_of(ada)
    for contract, tree, amount in ((rewards, money, owed), (token, tokens, share)):
        proof = tree.proof_of(ada)
        refused(contract, "ProofInvalid", "challenger", "claim", 1, thief, amount, proof)
        refused(contract, "ProofInvalid", "challenger", "claim", 1, ada, amount + 1, proof)
    refused(token, "ProofInvalid", "challenger", "claim", 1, ada, owed, money.proof_of(ada))
    refused(rewards, "ProofInvalid", "challenger", "claim", 1, ada, share, tokens.proof_of(ada))
    refused(other.contract("Rewards"), "RootUnknown", "challenger", "claim", 1, ada, owed, money.proof_of(ada))
    refused(other.contract("DaoToken"), "TurnNotFinal", "challenger", "claim", 1, ada, share, tokens.proof_of(ada))
    before = dao.contract("PayToken").call("balanceOf", ada)
    rewards.transact(key_of("challenger"), "claim", 1, ada, owed, money.proof_of(ada))
    token.transact(key_of("challenger"), "claim", 1, ada, share, tokens.proof_of(ada))
    assert dao.contract("PayToken").call("balanceOf", ada) == before + owed
    assert token.call("getVotes", ada) == share <= 1_000_000 * TOKEN_UNIT
    refused(rewards, "NothingToClaim", "challenger", "claim", 1, ada, owed, money.proof_of(ada))
    refused(token, "NothingToClaim", "challenger", "claim", 1, ada, share, tokens.proof_of(ada))


def test_a_contribution_copied_and_handed_in_first_earns_nothing_and_costs_its_owner_nothing(stand: Stand) -> None:
    dao, thief = stand.dao, key_of("challenger")
    stand.close()
    sealed, authorization = seal(dao, key_of("ada"), texts("cards", 1))
    copied = replace(sealed.manifest, contribution=replace(sealed.contribution, owner=thief.address))
    stolen = replace(
        sealed,
        contribution=copied.contribution,
        contribution_id=digest(dao.domain, copied.contribution),
        manifest=copied,
        signature=sign(thief, dao.domain, copied),
    )
    bond = authorize_receipt(
        thief,
        chain_id=dao.domain.chain_id,
        token=dao.token,
        receiver=dao.addresses["Bonds"],
        value=bond_of(dao, thief.address, sealed.contribution.count),
        valid_before=dao.home.ledger.timestamp() + 10**6,
        nonce=stolen.contribution_id,
    )
    drip(stand.home, thief.address, bond.value)
    receive(dao, stolen, bond)
    receive(dao, sealed, authorization)
    pay(dao, 1_000_000)
    stand.close()
    statuses = {entry.owner: set(entry.statuses) for entry in published(dao, 2)[0].facts.contributions[-2:]}
    assert statuses == {thief.address: {-2}, key_of("ada").address: {-1}}
    rows = {row["account"]: row for row in payouts_of(dao, 2)}
    assert (rows[thief.address]["payout"], rows[thief.address]["tokens"]) == (0, "0")
    assert rows[key_of("ada").address]["slashed"] == 0
    assert all(report.ok for report in audit_dao(dao))


def test_a_proof_of_another_dao_or_of_a_stranger_counts_for_nobody(stand: Stand) -> None:
    dao = stand.dao
    stand.close()
    given = contributions_of(dao)[0]
    other = launch_dao(stand.home, "other", governance=QUICK)
    contribute(other, "ada")
    pay(other, 1_000_000)
    learn(other)
    own = contributions_of(other)[0]
    proof, evaluation = row_of_proof(dao, given.id)
    for message, signature in (
        (proof, bytes.fromhex(str(proof["signature"]))),
        (None, b""),
    ):
        body, signed = json.loads(str(proof["proof"])), signature
        if message is None:  # a stranger's word about ada's contribution, with all else right
            made, signed = sign_proof(
                key_of("challenger"),
                other.domain,
                Evaluation.from_json(evaluation),
                contribution_id=own.id,
                owner=own.owner,
                policy_hash=other.policy.policy_hash(),
            )
            body = message_as_json(made)
        values = {"proof": json.dumps(body), "signature": signed.hex(), "evaluation": json.dumps(evaluation)}
        table = schema.proof
        with stand.home.database.begin() as connection:
            connection.execute(update(table).where(table.c.contribution == own.id.hex()).values(values))
        with pytest.raises(Corrupted, match="not what the evaluator signed"):
            read_book(other, up_to=1)
        with pytest.raises(Corrupted), hurried(stand.clock):
            close(other)
    assert other.contract("Rewards").call("lastTurn") == 0


def row_of_proof(dao: Dao, contribution: bytes) -> tuple[dict[str, object], dict[str, object]]:
    """Return the kept proof of a contribution and its evaluation."""
    table = schema.proof
    with dao.home.database.begin() as connection:
        row = connection.execute(table.select().where(table.c.contribution == contribution.hex())).one()
    return dict(row._mapping), json.loads(row.evaluation)


def test_nobody_but_the_operator_runs_turns_and_nobody_but_the_timelock_owns_them(stand: Stand) -> None:
    dao, root = stand.dao, keccak(b"root")
    registry, rewards, treasury = (dao.contract(name) for name in ("Registry", "Rewards", "Treasury"))
    refused(registry, "NotOperator", "challenger", "registerBatch", 1, root, 1, 1)
    refused(registry, "NotOperator", "challenger", "openTurn", 2, root)
    refused(treasury, "NotOperator", "challenger", "fundPool", 1, 1)
    refused(rewards, "NotOperator", "challenger", "postRoot", 1, root, root, root, 0, 0, 0, root)
    operator = dao.account("operator")
    for contract, function, arguments in (
        (registry, "setPolicy", (root,)),
        (registry, "setOperator", (operator.address,)),
        (rewards, "disable", (1,)),
        (rewards, "resolve", (1, True)),
        (treasury, "pay", (operator.address, 1, root)),
    ):
        with pytest.raises(ContractRefused) as caught:
            contract.transact(operator, function, *arguments)
        assert caught.value.error == "NotOwner"
        assert contract.call("owner") == dao.addresses["DaoTimelock"]


@pytest.mark.slow
def test_the_operator_needs_no_more_than_a_root_s_bond_and_gets_it_back_each_turn(stand: Stand) -> None:
    dao, money = stand.dao, stand.dao.contract("PayToken")
    before = money.call("balanceOf", dao.row.operator)
    for turn in (1, 2):
        stand.close()
        assert money.call("balanceOf", dao.row.operator) == before
        contribute(dao, "ada", turn + 1)
    assert dao.contract("Bonds").call("creditOf", dao.row.operator) == 0
    sealed, authorization = seal(dao, key_of("bob"), texts("weather", 2))
    assert authorization is not None
    assert authorization.value == bond_of(dao, key_of("bob").address, sealed.contribution.count)
