"""Every kind of proposal from its intent to its effect, and everybody who must not be able to bring one about."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from dao_on_chain import DELAY, FOUNDERS, PEOPLE, PERIOD, START, TIMELOCK, TREASURY_START, DaoOnChain, deploy_on

from rodagila.chain.contracts import ContractRefused
from rodagila.chain.port import TxReceipt
from rodagila.core.errors import Conflict, InvalidInput, NotAuthorised, NotFound, RefusedByPolicy
from rodagila.core.hashing import keccak
from rodagila.core.money import TOKEN_UNIT, UNIT
from rodagila.govern.actions import Action, decode_action, decode_log
from rodagila.govern.ballot import SignedBallot, read_ballot, sign_ballot
from rodagila.govern.effects import tried
from rodagila.govern.proposal import document_problem, proposal_id, read_description, read_document
from rodagila.govern.wording import Words, sentence_of
from rodagila.vault import bech32

ADA, BOB, CEM, EVE, DAN = (PEOPLE[name] for name in ("ada", "bob", "cem", "eve", "dan"))
MODEL, BASE = "0x" + "11" * 32, "0x" + "22" * 32
UNTIL = START + 30 * 86_400
AGE_KEY = bech32.encode("age", b"\x07" * 32)


@dataclass(frozen=True, slots=True)
class Case:
    """An intent, what it says in words, and what must hold after its execution."""

    kind: str
    line: str
    words: str
    holds: Callable[[DaoOnChain], bool]
    before: Callable[[DaoOnChain], None] = lambda dao: None


def post_root(dao: DaoOnChain) -> None:
    """Let the operator post a root for turn 1."""
    dao.contract("Treasury").transact(DAN, "fundPool", 1, 10 * UNIT)
    root, nothing = b"\x01" * 32, bytes(32)
    dao.contract("Rewards").transact(DAN, "postRoot", 1, root, nothing, nothing, 10 * UNIT, UNIT, 0, root)


def dispute_root(dao: DaoOnChain) -> None:
    """Let eve dispute the root of turn 1."""
    post_root(dao)
    dao.contract("Rewards").transact(EVE, "dispute", 1, b"\x02" * 32)


def register_model(dao: DaoOnChain) -> None:
    """Register a foreign model by a decision of its own."""
    line = f"model={BASE},license=commerce+derivatives,royalty=5%,beneficiary=bob"
    decided(dao, ("register-model", line), title="A base")


def grant(dao: DaoOnChain) -> None:
    """Grant bob access by a decision of its own."""
    line = f"grantee=bob,mode=api,scope=answers,purpose=asking,until={UNTIL}"
    decided(dao, ("grant", line), title="A grant")


def open_token(dao: DaoOnChain) -> None:
    """Accept the pay token by a decision of its own."""
    decided(dao, ("token", "account=PayToken,open=yes"), title="Money")


def approve_offer(dao: DaoOnChain) -> None:
    """Accept the pay token and approve an offer by one decision."""
    line = f"price=25,mode=release,duration=30d,until={UNTIL},scope=the data set,purpose=research,split=docs"
    decided(dao, ("token", "account=PayToken,open=yes"), ("approve-offer", line), title="An offer")


def put_down_stake(dao: DaoOnChain) -> None:
    """Let cem put down 5 as a keeper."""
    dao.give_pay("cem", 5 * UNIT)
    dao.contract("PayToken").transact(CEM, "approve", dao.contracts["Stake"], 5 * UNIT)
    dao.contract("Stake").transact(CEM, "stake", 2, 5 * UNIT)


def newest(dao: DaoOnChain, event: str, argument: str) -> str:
    """Return an argument of the newest event of Licenses in hex, or nothing."""
    events = dao.contract("Licenses").events(event)
    return "0x" + events[-1][argument].hex() if events else ""


def filled(dao: DaoOnChain, text: str) -> str:
    """Put the newest grant and offer into a text."""
    found = {"{grant}": newest(dao, "Granted", "id"), "{offer}": newest(dao, "OfferApproved", "offerId")}
    for place, value in found.items():
        text = text.replace(place, value)
    return text


def has(dao: DaoOnChain, function: str, event: str, argument: str) -> bool:
    """Ask Licenses about the newest grant or offer."""
    found = newest(dao, event, argument)
    return bool(found) and bool(dao.contract("Licenses").call(function, bytes.fromhex(found[2:])))


def model_of(dao: DaoOnChain, model: str) -> Any:
    return dao.contract("Registry").call("modelOf", bytes.fromhex(model[2:]))[0]


def balance(dao: DaoOnChain, name: str) -> int:
    return int(dao.contract("PayToken").call("balanceOf", dao.book.address(name)))


CASES = [
    Case(
        "pay",
        "to=bob,amount=12.5,reason=labels, May",
        f'Pay 12.5 from the treasury to bob ({BOB.address}) for "labels, May".',
        lambda dao: (balance(dao, "bob"), balance(dao, "Treasury")) == (12_500_000, TREASURY_START - 12_500_000),
    ),
    Case(
        "price",
        "chat=0.003,search=0",
        "Put version 2 of the policy in force, from the next turn on",
        lambda dao: (
            dao.contract("Registry").call("policyHash")
            == replace(dao.policy, version=2, prices=replace(dao.policy.prices, chat=3_000, search=0)).policy_hash()
        ),
    ),
    Case(
        "disable-root",
        "turn=1",
        "Disable the root of turn 1: nothing more is claimed by it.",
        lambda dao: dao.contract("Rewards").call("rootOf", 1).payoutRoot == bytes(32),
        post_root,
    ),
    Case(
        "resolve",
        "turn=1,root=wrong",
        "Decide that the challenger of turn 1 was right: the root was wrong.",
        lambda dao: dao.contract("Rewards").call("lastTurn") == 0,
        dispute_root,
    ),
    Case(
        "register-model",
        f"model={BASE},license=commerce+derivatives+attribution,royalty=5%,beneficiary=bob",
        f"Register the model {BASE}. Its license permits or demands commerce, derivatives, attribution; its sales",
        lambda dao: (
            (model_of(dao, BASE).flags, model_of(dao, BASE).royaltyPpm, model_of(dao, BASE).beneficiary)
            == (259, 50_000, BOB.address)
        ),
    ),
    Case(
        "head",
        f"model={BASE}",
        f"Let the model line go on from the model {BASE}.",
        lambda dao: dao.contract("Registry").call("head").hex() == BASE[2:],
        register_model,
    ),
    Case(
        "operator",
        "account=cem",
        f"Make cem ({CEM.address}) the DAO's operator, who runs its turns.",
        lambda dao: dao.contract("Registry").call("operator") == CEM.address,
    ),
    Case(
        "rule",
        "quorum=5",
        "Require 5% of all tokens as quorum.",
        lambda dao: dao.governor.parameters().quorum_numerator == 5,
    ),
    Case(
        "rule",
        "voting_delay=2m,threshold=6000,timelock=20m,voting_period=2h",
        "Let voting begin 2 minutes after a proposal.",
        lambda dao: (
            (found := dao.governor.parameters())
            and (found.voting_delay, found.voting_period, found.timelock_delay, found.threshold)
            == (120, 7_200, 1_200, 6_000 * TOKEN_UNIT)
        ),
    ),
    Case(
        "grant",
        f"grantee=bob,mode=api,scope=the answers of turn 1,purpose=answer clients,until={UNTIL}",
        f"Grant bob ({BOB.address}) access until 2027-02-14 08:00:00 UTC:"
        ' "the answers of turn 1" may be asked about through the gateway for "answer clients".',
        lambda dao: [row["grantee"] for row in dao.contract("Licenses").events("Granted")] == [BOB.address],
    ),
    Case(
        "grant",
        f"grantee=bob,mode=compute,scope={BASE},purpose=train,code={MODEL},key={AGE_KEY},until=2027-03-01",
        f"Grant bob ({BOB.address}) access until 2027-03-01 00:00:00 UTC: {BASE} may be computed on by approved code",
        lambda dao: [row["terms"].granteeKey[:1] for row in dao.contract("Licenses").events("Granted")] == [b"\x07"],
    ),
    Case(
        "revoke-grant",
        "id={grant}",
        "End the grant {grant}.",
        lambda dao: not has(dao, "isActive", "Granted", "id"),
        grant,
    ),
    Case(
        "approve-offer",
        f"price=25,mode=release,duration=30d,until={UNTIL},scope=the data set,purpose=research,split=docs",
        "Let anyone buy a license of 30 days for 25 (the PayToken) until 2027-02-14",
        lambda dao: has(dao, "isOpen", "OfferApproved", "offerId"),
        open_token,
    ),
    Case(
        "close-offer",
        "id={offer}",
        "Take no more orders under the offer {offer}.",
        lambda dao: not has(dao, "isOpen", "OfferApproved", "offerId"),
        approve_offer,
    ),
    Case(
        "token",
        "account=PayToken,open=yes",
        "Accept the pay token the PayToken.",
        lambda dao: bool(dao.contract("Split").call("isOpen", dao.contracts["PayToken"])),
    ),
    Case(
        "shares",
        "key=docs,bob=60%,cem=12.5%",
        'Split what is paid for the key "docs":',
        lambda dao: (
            {row.account: row.ppm for row in dao.contract("Split").call("sharesOf", keccak(b"docs"))}
            == {BOB.address: 600_000, CEM.address: 125_000}
        ),
    ),
    Case(
        "slash",
        "role=keeper,account=cem,amount=3,fault=lost its shares in May",
        f"Take up to 3 of what cem ({CEM.address}) has at stake as keeper for "
        '"lost its shares in May", to the treasury.',
        lambda dao: dao.contract("Stake").call("stakeOf", 2, CEM.address) == 2 * UNIT,
        put_down_stake,
    ),
    Case(
        "call",
        f"Treasury.pay cem 1000000 0x{'00' * 32}",
        f"Pay 1 from the treasury to cem ({CEM.address}).",
        lambda dao: balance(dao, "cem") == UNIT,
    ),
]


def decided(dao: DaoOnChain, *wanted: tuple[str, str], title: str = "A change") -> TxReceipt:
    """Carry a proposal through, voted for by two signatures that eve sends."""
    if dao.governor.token.call("getVotes", BOB.address) == 0:
        dao.give_votes("bob", 10_000)
    proposal = dao.propose(*wanted, title=title)
    dao.open_vote()
    for voter, reason in ((ADA, ""), (BOB, "It is fair.")):
        signed = sign_ballot(voter, dao.governor.ballot(proposal, voter.address, 1, reason))
        dao.governor.send_ballot(EVE, read_ballot(json.dumps(signed.as_json())))
    assert dao.governor.status(proposal).votes_for == FOUNDERS * TOKEN_UNIT
    dao.wait(PERIOD)
    dao.governor.queue(EVE, proposal)
    dao.wait(TIMELOCK)
    return dao.governor.execute(CEM, proposal)


def seen(dao: DaoOnChain, receipt: TxReceipt) -> list[str]:
    """Return the events of an execution without those of timelock and governor about the execution itself."""
    events = [decode_log(log.address, log.topics, log.data, dao.book) for log in receipt.logs]
    return [event.text for event in events if event.name not in ("CallExecuted", "ProposalExecuted")]


def marked(case: Case) -> Any:
    """Leave to the long run what another case does on its way, or in another wording."""
    slow = case.kind in ("approve-offer", "call") or case.line.startswith(("voting_delay", "grantee=bob,mode=compute"))
    return pytest.param(case, id=f"{case.kind} {case.line}"[:40], marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_a_decision_does_what_it_says_and_what_its_simulation_showed(dao: DaoOnChain, case: Case) -> None:
    case.before(dao)
    assert not case.holds(dao)
    line = filled(dao, case.line)
    built = dao.built((case.kind, line))
    words = Words(dao.book, built.texts, built.policies, dao.policy)
    assert sentence_of(decode_action(built.actions[0], dao.book), words).text.startswith(filled(dao, case.words))
    effect = tried(dao.ledger, built.actions, dao.governor.place, [dao.contracts["Treasury"]])
    assert effect.problem == ""
    assert not case.holds(dao), "a simulation changes nothing"
    held = {row.account: balance(dao, row.account) for row in effect.balances}
    receipt = decided(dao, (case.kind, line))
    assert case.holds(dao)
    assert seen(dao, receipt) == [event.text for event in effect.events]
    for row in effect.balances:
        if row.token == "PayToken":
            assert (row.before, row.after) == (held[row.account], balance(dao, row.account))


def test_several_calls_run_in_their_order_all_or_none(dao: DaoOnChain) -> None:
    decided(dao, ("pay", "to=bob,amount=1"), ("operator", "account=cem"), ("pay", "to=bob,amount=2"))
    assert balance(dao, "bob") == 3 * UNIT
    effect = tried(
        dao.ledger, dao.built(("pay", "to=bob,amount=1"), ("pay", "to=bob,amount=1000")).actions, dao.governor.place
    )
    assert effect.failed_call == 2
    assert effect.problem.startswith("Call 2 fails:")
    assert (effect.events, effect.balances) == ((), ())


def test_a_rule_out_of_bounds_fails_in_the_simulation_as_it_would_in_the_execution(dao: DaoOnChain) -> None:
    effect = tried(dao.ledger, dao.built(("rule", "quorum=51")).actions, dao.governor.place)
    assert "[RuleOutOfBounds: rule quorum, given 51, least 1, most 50]" in effect.problem
    with pytest.raises(ContractRefused) as refused:
        decided(dao, ("rule", "quorum=51"))
    assert refused.value.error == "RuleOutOfBounds"


def test_a_call_that_carries_more_wei_than_there_is_fails(dao: DaoOnChain) -> None:
    effect = tried(dao.ledger, [Action(BOB.address, b"", 5)], dao.governor.place)
    assert "has 0" in effect.problem


def test_the_id_is_the_governor_s(dao: DaoOnChain) -> None:
    actions, description, document = dao.draft(("pay", "to=bob,amount=1"), ("operator", "account=cem"))
    targets, values, data = zip(*((item.target, item.value, item.data) for item in actions), strict=True)
    asked = dao.governor.contract.call("hashProposal", targets, values, data, keccak(description.encode()))
    assert proposal_id(actions, description) == asked
    assert read_description(description).document_id == keccak(document.body())
    assert read_document(document.body()) == document


def test_a_proposal_is_found_by_its_id_or_the_beginning_of_it(dao: DaoOnChain) -> None:
    first, second = (dao.propose(("pay", "to=bob,amount=1"), title=title) for title in ("One", "Two"))
    assert dao.governor.find(first.id_text) == dao.governor.find(str(first.id)) == dao.governor.find(first.id_text[:8])
    assert dao.governor.find(second.id_text[2:9].upper()) == second
    assert dao.governor.proposals() == [first, second]
    for text in ("0x12", "zzzz", "0x" + "0" * 64):
        with pytest.raises(NotFound, match="has no proposal"):
            dao.governor.find(text)


def test_nobody_else_can_make_the_proposal_first(dao: DaoOnChain) -> None:
    dao.give_votes("bob", 10_000)
    dao.wait(1)
    actions, description, _ = dao.draft(("pay", "to=bob,amount=1"), proposer="ada")
    with pytest.raises(ContractRefused) as refused:
        dao.governor.propose(BOB, actions, description)
    assert refused.value.error == "GovernorRestrictedProposer"
    dao.governor.propose(ADA, actions, description)
    with pytest.raises(Conflict) as known:
        dao.governor.propose(ADA, actions, description)
    assert known.value.code == "proposal_known"


def test_who_is_below_the_threshold_cannot_propose(dao: DaoOnChain) -> None:
    dao.give_votes("bob", 4_999)
    with pytest.raises(RefusedByPolicy, match="of the 5000000000000000000000 units") as refused:
        dao.propose(("pay", "to=bob,amount=1"), proposer="bob")
    assert refused.value.code == "power_short"


def test_votes_borrowed_for_a_moment_have_no_power(dao: DaoOnChain) -> None:
    """Power is that of a past second, so what comes and goes within one block proposes nothing and votes nothing."""
    proposal = dao.propose(("pay", "to=eve,amount=50"))
    dao.open_vote()
    dao.give_votes("eve", 900_000)
    with pytest.raises(RefusedByPolicy, match="had no voting power at this proposal's snapshot") as refused:
        dao.governor.cast(EVE, proposal, 1)
    assert refused.value.code == "power_short"
    dao.governor.contract.transact(EVE, "castVote", proposal.id, 1)  # whoever insists counts nothing
    assert dao.governor.status(proposal).votes_for == 0
    actions, description, _ = dao.draft(("pay", "to=eve,amount=50"), title="Mine", proposer="eve")
    dao.give_votes("eve", 90_000)
    assert int(dao.governor.token.call("getVotes", EVE.address)) == 990_000 * TOKEN_UNIT
    dao.contract("DaoToken").transact(EVE, "transfer", ADA.address, 990_000 * TOKEN_UNIT)
    dao.wait(1)
    with pytest.raises(RefusedByPolicy, match="has 0 of the"):
        dao.governor.propose(EVE, actions, description)


def test_votes_moved_after_the_snapshot_count_where_they_were(dao: DaoOnChain) -> None:
    proposal = dao.propose(("pay", "to=bob,amount=1"))
    dao.open_vote()
    dao.give_votes("bob", 999_999)
    assert dao.governor.power(ADA.address, proposal) == FOUNDERS * TOKEN_UNIT
    assert dao.governor.power(BOB.address, proposal) == 0
    dao.governor.cast(ADA, proposal, 1)
    assert dao.governor.status(proposal).votes_for == FOUNDERS * TOKEN_UNIT


def test_before_the_snapshot_the_power_of_now_is_told(dao: DaoOnChain) -> None:
    proposal = dao.propose(("pay", "to=bob,amount=1"))
    dao.give_votes("bob", 10)
    assert dao.governor.power(BOB.address, proposal) == 10 * TOKEN_UNIT
    assert dao.governor.status(proposal).quorum is None


@pytest.mark.parametrize(("support", "state"), [(0, "defeated"), (1, "defeated"), (2, "defeated")])
def test_below_the_quorum_nothing_is_decided(dao: DaoOnChain, support: int, state: str) -> None:
    dao.give_votes("bob", 39_999)  # the quorum is 4% of a million
    proposal = dao.propose(("pay", "to=bob,amount=1"))
    dao.open_vote()
    dao.governor.cast(BOB, proposal, support)
    dao.wait(PERIOD)
    assert dao.governor.status(proposal).state == state
    with pytest.raises(RefusedByPolicy, match="it was not accepted") as refused:
        dao.governor.queue(EVE, proposal)
    assert (refused.value.code, refused.value.details["state"]) == ("proposal_state", "defeated")


def test_abstaining_counts_for_the_quorum_and_more_against_than_for_defeats(dao: DaoOnChain) -> None:
    dao.give_votes("bob", 10)
    dao.give_votes("cem", 11)
    first, second = (dao.propose(("pay", "to=bob,amount=1"), title=title) for title in ("One", "Two"))
    dao.open_vote()
    dao.wait(1)
    for proposal, cem in ((first, 2), (second, 0)):
        dao.governor.cast(ADA, proposal, 2)
        dao.governor.cast(BOB, proposal, 1)
        dao.governor.cast(CEM, proposal, cem)
    dao.wait(PERIOD)
    assert [dao.governor.status(item).state for item in (first, second)] == ["succeeded", "defeated"]


def test_steps_out_of_their_order_are_told_with_their_times(dao: DaoOnChain) -> None:
    proposal = dao.propose(("pay", "to=bob,amount=1"))
    vote = lambda: dao.governor.cast(ADA, proposal, 1)  # noqa: E731
    queue = lambda: dao.governor.queue(EVE, proposal)  # noqa: E731
    execute = lambda: dao.governor.execute(EVE, proposal)  # noqa: E731

    def refused(step: Callable[[], Any]) -> str:
        with pytest.raises(RefusedByPolicy) as caught:
            step()
        assert caught.value.code == "proposal_state"
        return caught.value.message

    assert "begins after 2027-01-15 08:" in refused(vote)
    assert f"in {DELAY + 1} seconds" in refused(vote)
    dao.open_vote()
    for step in (queue, execute):
        assert "goes on until 2027-01-15 09:" in refused(step)
    vote()
    with pytest.raises(Conflict) as twice:
        vote()
    assert twice.value.code == "vote_known"
    dao.wait(PERIOD)
    assert "is not queued" in refused(vote)
    assert "is not queued" in refused(execute)
    queue()
    assert "in the timelock until" in refused(queue)
    assert "10 minutes more" in refused(execute)
    with pytest.raises(ContractRefused) as early:
        lists = [[item.target for item in proposal.actions], [0], [item.data for item in proposal.actions]]
        dao.governor.contract.transact(EVE, "execute", *lists, proposal.description_hash)
    assert early.value.error == "TimelockUnexpectedOperationState"
    dao.wait(TIMELOCK)
    execute()
    assert balance(dao, "bob") == UNIT
    for step in (execute, queue, vote):
        assert "was executed already" in refused(step)
    assert balance(dao, "bob") == UNIT


def signed_by(dao: DaoOnChain, proposal: Any, name: str = "ada", support: int = 1, reason: str = "") -> SignedBallot:
    return sign_ballot(PEOPLE[name], dao.governor.ballot(proposal, PEOPLE[name].address, support, reason))


def test_a_voter_needs_no_gas(dao: DaoOnChain) -> None:
    proposal = dao.propose(("pay", "to=bob,amount=1"))
    dao.open_vote()
    before = dao.ledger.balance(ADA.address), dao.ledger.nonce(ADA.address)
    dao.governor.send_ballot(EVE, signed_by(dao, proposal, reason="Für gute Arbeit."))
    assert (dao.ledger.balance(ADA.address), dao.ledger.nonce(ADA.address)) == before
    (vote,) = dao.governor.votes(proposal)
    assert (vote["voter"], vote["support"], vote["reason"]) == (ADA.address, 1, "Für gute Arbeit.")
    assert vote["weight"] == FOUNDERS * TOKEN_UNIT


def test_a_ballot_counts_once(dao: DaoOnChain) -> None:
    first, second = (dao.propose(("pay", "to=bob,amount=1"), title=title) for title in ("One", "Two"))
    dao.open_vote()
    dao.wait(1)
    early, late = signed_by(dao, first), signed_by(dao, second)
    dao.governor.send_ballot(EVE, early)
    with pytest.raises(Conflict, match="has voted") as again:
        dao.governor.send_ballot(EVE, early)
    assert again.value.code == "vote_known"
    with pytest.raises(Conflict, match="has the nonce 0; the governor takes 1") as used:
        dao.governor.send_ballot(EVE, late)
    assert used.value.code == "ballot_used"
    for function, arguments in (early.call(), late.call()):
        with pytest.raises(ContractRefused) as refused:
            dao.governor.contract.transact(EVE, function, *arguments)
        assert refused.value.error == "GovernorInvalidSignature"


def test_a_changed_ballot_is_nobody_s(dao: DaoOnChain) -> None:
    first, second = (dao.propose(("pay", "to=bob,amount=1"), title=title) for title in ("One", "Two"))
    dao.open_vote()
    dao.wait(1)
    signed = signed_by(dao, first, reason="Yes.")
    changes: list[dict[str, Any]] = [
        {"support": 0},
        {"proposal_id": second.id},
        {"reason": "No."},
        {"reason": ""},
        {"governor_name": "Another"},
    ]
    for change in changes:
        forged = replace(signed, ballot=replace(signed.ballot, **change))
        with pytest.raises(NotAuthorised) as refused:
            dao.governor.send_ballot(EVE, forged)
        assert refused.value.code == "ballot_invalid"
        function, arguments = forged.call()
        if change.keys() != {"governor_name"}:  # that one is not sent; the governor knows its own name
            with pytest.raises(ContractRefused):
                dao.governor.contract.transact(EVE, function, *arguments)
    for body in (signed.signature[:-1], b"", signed.signature[:32] + bytes(33)):
        with pytest.raises(NotAuthorised):
            dao.governor.send_ballot(EVE, replace(signed, signature=body))
    with pytest.raises(NotAuthorised):
        dao.governor.send_ballot(EVE, replace(signed, ballot=replace(signed.ballot, voter=BOB.address)))
    dao.governor.send_ballot(EVE, signed)


def test_a_ballot_of_one_dao_is_worth_nothing_in_another(dao: DaoOnChain) -> None:
    """The id of a proposal names no governor, so two DAOs can have the same one: a ballot's domain keeps them apart."""
    other = deploy_on(dao.ledger, dao.wait, replace(dao.policy, name="other"))
    dao.wait(1)
    actions, words = [Action(BOB.address, b"")], "Thank Bob"
    here, there = (each.governor.propose(ADA, actions, words)[0] for each in (dao, other))
    assert here.id == there.id
    dao.open_vote()
    dao.wait(1)
    signed = signed_by(dao, here)
    with pytest.raises(RefusedByPolicy, match="was signed for the governor") as refused:
        other.governor.send_ballot(EVE, signed)
    assert refused.value.code == "dao_mismatch"
    moved = replace(signed, ballot=replace(signed.ballot, governor=other.contracts["DaoGovernor"]))
    with pytest.raises(NotAuthorised):
        other.governor.send_ballot(EVE, moved)
    function, arguments = moved.call()
    with pytest.raises(ContractRefused) as contract:
        other.governor.contract.transact(EVE, function, *arguments)
    assert contract.value.error == "GovernorInvalidSignature"
    with pytest.raises(RefusedByPolicy) as chain:
        dao.governor.send_ballot(EVE, replace(signed, ballot=replace(signed.ballot, chain_id=1)))
    assert chain.value.code == "chain_mismatch"
    dao.governor.send_ballot(EVE, signed)
    assert (dao.governor.status(here).votes_for > 0, other.governor.status(there).votes_for) == (True, 0)


def test_a_ballot_that_is_none_is_refused() -> None:
    for body in ("", "[]", "{}", '{"format": "rodagila-ballot-1"}', "not json", '{"format": 1}'):
        with pytest.raises(InvalidInput) as refused:
            read_ballot(body)
        assert refused.value.code == "ballot_invalid"


def test_calls_that_lie_are_shown_honestly(dao: DaoOnChain) -> None:
    """Whatever a proposal's words claim, what is shown comes from its bytes; what cannot be read carries an alarm."""
    honest = dao.built(("pay", "to=bob,amount=1")).actions[0]
    lies = [
        Action(EVE.address, honest.data),
        replace(honest, data=honest.data + b"\0" * 32),
        replace(honest, data=b"\x12\x34\x56\x78" + honest.data[4:]),
    ]
    description = "Pay Bob\n\nPays Bob 1 RPAY, nothing else."
    dao.wait(1)
    proposal, _ = dao.governor.propose(ADA, [honest, *lies], description)
    words = Words(dao.book)
    shown = [sentence_of(decode_action(action, dao.book), words) for action in proposal.actions]
    assert [bool(sentence.alarm) for sentence in shown] == [False, True, True, True]
    assert "is no contract of this DAO" in shown[1].text
    assert all("Pay" not in sentence.text for sentence in shown[1:])


def test_what_hands_over_power_carries_an_alarm_however_deep_it_hides(dao: DaoOnChain) -> None:
    role = "0x" + keccak(b"PROPOSER_ROLE").hex()
    grant = dao.built(("call", f"DaoTimelock.grantRole {role} eve")).actions[0]
    relay = dao.built(("call", f"DaoGovernor.relay DaoTimelock 0 0x{grant.data.hex()}")).actions[0]
    timelock = dao.built(("call", "DaoGovernor.updateTimelock eve")).actions[0]
    words = Words(dao.book)
    for action in (grant, relay, timelock):
        assert "hands over power" in sentence_of(decode_action(action, dao.book), words).alarm
    inside = sentence_of(decode_action(relay, dao.book), words)
    assert any("Give the timelock's role" in line for line in inside.details)


def test_a_document_of_other_calls_or_words_or_another_dao_does_not_fit(dao: DaoOnChain) -> None:
    _, _, document = dao.draft(("pay", "to=bob,amount=1,reason=labels"))
    proposal = dao.propose(("pay", "to=bob,amount=1,reason=labels"))
    where = (dao.ledger.chain_id, dao.contracts["DaoGovernor"])
    assert document_problem(document, proposal, *where) == ""
    assert document.text_of(keccak(b"labels")) == "labels"
    for change in ({"actions": ()}, {"title": "Other"}, {"chain_id": 1}, {"governor": EVE.address}):
        assert document_problem(replace(document, **change), proposal, *where)  # type: ignore[arg-type]
    for body in (b"", b"{}", b"[1]", document.body()[:-1], document.body().replace(b"proposal-1", b"proposal-2")):
        with pytest.raises(InvalidInput):
            read_document(body)


def test_the_next_policy_counts_up_and_keeps_what_is_fixed(dao: DaoOnChain) -> None:
    def wanted(**changes: Any) -> tuple[str, str]:
        return "policy", json.dumps(replace(dao.policy, **changes).as_json())

    built = dao.built(wanted(version=2, purpose="teach machines to answer"))
    assert built.policies[0].purpose == "teach machines to answer"
    assert built.actions[0].data[4:] == built.policies[0].policy_hash()
    token = replace(dao.policy.token, cap=10**9)
    for changes in ({"version": 3}, {"version": 2}, {"version": 2, "token": token}, {"version": 1, "purpose": "else"}):
        with pytest.raises(InvalidInput) as refused:
            dao.built(wanted(**changes))
        assert refused.value.code == "policy_invalid"
    both = dao.built(("price", "chat=0.003"), ("price", "search=0.002"))
    assert [policy.version for policy in both.policies] == [2, 3]
    assert (both.policies[1].prices.chat, both.policies[1].prices.search) == (3_000, 2_000)


@pytest.mark.parametrize(
    ("kind", "line", "problem"),
    [
        ("pay", "to=bob", "amount: it is missing"),
        ("pay", "to=bob,amount=-1", "amount"),
        ("pay", "to=bob,amount=1,colour=red", "there is no such field"),
        ("pay", "to=bob,to=bob,amount=1", "given twice"),
        ("pay", "bob 1", "has no fields"),
        ("pay", "{", "not a JSON object"),
        ("price", "chat=3000", "is outside 0 to 1000"),
        ("price", "poems=1", "'poems' has no price"),
        ("price", "chat=0.002", "changes nothing"),
        ("resolve", "turn=1,root=maybe", "not one of wrong, right"),
        ("head", "model=0x12", "is not a hash"),
        ("rule", "quorum=5,tempo=1d", "there is no such field"),
        ("register-model", f"model={BASE},license=free", "'free' is not known"),
        ("register-model", f"model={BASE},parents={MODEL}+0x12", "'0x12' is not a hash"),
        ("call", "Treasury.pay 'bob", "quotation"),
        ("call", "", "is empty"),
    ],
)
def test_intents_that_do_not_fit_are_told(dao: DaoOnChain, kind: str, line: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        dao.built((kind, line))


def test_names_that_nobody_has_are_told(dao: DaoOnChain) -> None:
    with pytest.raises(NotFound, match="'carol' is neither an address nor the name"):
        dao.built(("pay", "to=carol,amount=1"))
