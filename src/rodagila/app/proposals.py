"""A DAO's decisions as its home sees them: proposals with their documents, votes, and what an execution brings about.

Everything about a proposal is on the ledger but what its calls hold as hashes only: that is in its document, a blob of
the home, which the description names. A home without the document shows the hashes and says so.

>>> show(dao, "0x3f2a")["does"]                                                # doctest: +SKIP
['Pay 12.5 RPAY from the treasury to bob (0x2B5A…) for "labels of May".']
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rodagila.app.daos import Dao
from rodagila.app.policies import keep_policy, policy_with
from rodagila.chain.abi import shipped_names
from rodagila.chain.funding import give_gas_money, has_faucet
from rodagila.chain.port import TxReceipt
from rodagila.core.errors import InvalidInput, NotFound
from rodagila.core.hashing import hex0x, keccak
from rodagila.core.money import format_tokens
from rodagila.core.policy import Policy
from rodagila.govern.actions import Action, Book, Decoded, decode_action, decode_log
from rodagila.govern.ballot import SUPPORT, SUPPORT_NAMES, SignedBallot, read_ballot, sign_ballot
from rodagila.govern.changes import changes_between
from rodagila.govern.effects import Place, tried
from rodagila.govern.governor import Governor, Status
from rodagila.govern.intents import Facts, build, words_hash
from rodagila.govern.proposal import (
    Document,
    Proposal,
    description_of,
    document_problem,
    read_description,
    read_document,
)
from rodagila.govern.wording import Words, moment, sentence_of

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

Values = dict[str, Any]
VOTING_TOKENS = ("PayToken", "DaoToken")


@dataclass(frozen=True, slots=True)
class Draft:
    """A proposal before it is on the ledger."""

    document: Document
    description: str

    @property
    def actions(self) -> tuple[Action, ...]:
        """The calls."""
        return self.document.actions


def governor_of(dao: Dao) -> Governor:
    """Return the DAO's governor, timelock and voting token with the names that this home knows."""
    shipped = set(shipped_names())
    contracts = {address: name for name, address in dao.addresses.items() if name in shipped}
    book = Book(contracts, {address: name for name, address in dao.home.keys.names()})
    tokens = {dao.addresses[name]: name for name in VOTING_TOKENS}
    return Governor(dao.home.ledger, Place(dao.addresses["DaoGovernor"], dao.addresses["DaoTimelock"], book, tokens))


def _give_gas(dao: Dao, sender: LocalAccount) -> None:
    """Give a sender gas where money is nobody's; elsewhere everybody pays her own."""
    if has_faucet(dao.home.ledger):
        give_gas_money(dao.home.ledger, sender.address)


def draft(dao: Dao, proposer: str, title: str, text: str, wanted: Sequence[tuple[str, str]]) -> Draft:
    """Return the proposal that intents make; raise ``InvalidInput`` for fields that do not fit."""
    if not wanted:
        raise InvalidInput(
            "usage", "A proposal must do something.", hint="Give --pay, --price, --grant or another; see --help."
        )
    governor = governor_of(dao)
    facts = Facts(governor.place.book, _present(dao, []), governor.now(), words_hash(title, text))
    built = build(list(wanted), facts)
    title, text = title.strip(), text.strip()
    chain_id, address = dao.home.ledger.chain_id, governor.place.governor
    document = Document(chain_id, address, title, text, built.actions, built.policies, built.texts)
    return Draft(document, description_of(title, text, keccak(document.body()), proposer))


def propose(dao: Dao, proposer: LocalAccount, made: Draft) -> Values:
    """Keep the document and put the proposal on the ledger."""
    keep_document(dao, made.document)
    _give_gas(dao, proposer)
    proposal, _ = governor_of(dao).propose(proposer, made.actions, made.description)
    return show(dao, proposal.id_text)


def preview(dao: Dao, proposer: str, made: Draft) -> Values:
    """Return what ``propose`` would do, with the effect of an execution now; raise what it would raise."""
    governor = governor_of(dao)
    number = governor.check_proposer(proposer, made.actions, made.description)
    words = _words(dao, governor, made.document)
    effect = tried(dao.home.ledger, made.actions, governor.place, [dao.row.treasury])
    return {
        "dry_run": True,
        "proposal": f"0x{number:064x}",
        "title": made.document.title,
        "text": made.document.text,
        **_calls(made.actions, governor.place.book, words),
        "document": made.document.as_json(),
        "effect": effect.as_json(governor.place.book),
    }


def keep_document(dao: Dao, document: Document) -> None:
    """Keep a document and the policies in it, so that turns can run under them."""
    dao.home.blobs.put(document.body())
    for policy in document.policies:
        keep_policy(dao.home, dao.name, policy)


def take_document(dao: Dao, proposal: Proposal, body: bytes) -> None:
    """Keep a document that came from elsewhere; raise ``InvalidInput`` unless it is the one that the proposal names."""
    wanted = read_description(proposal.description).document_id
    document = read_document(body)
    if wanted != keccak(document.body()):
        raise InvalidInput(
            "document_invalid",
            f"The document hashes to {hex0x(keccak(document.body()))}; the proposal names"
            f" {hex0x(wanted) if wanted else 'none'}.",
            hint="Ask the proposer for the right one.",
        )
    problem = document_problem(document, proposal, dao.home.ledger.chain_id, dao.addresses["DaoGovernor"])
    if problem:
        raise InvalidInput("document_invalid", f"The document does not fit the proposal: {problem}.")
    keep_document(dao, document)


def document_of(dao: Dao, proposal: Proposal) -> tuple[Document | None, str]:
    """Return the proposal's document and, if there is none that fits, why."""
    wanted = read_description(proposal.description).document_id
    if wanted is None:
        return None, "the description names no document"
    try:
        document = read_document(dao.home.blobs.get(wanted))
    except NotFound:
        return None, f"the document {hex0x(wanted)} is not in this home"
    except InvalidInput as error:
        return None, error.message.rstrip(".")
    problem = document_problem(document, proposal, dao.home.ledger.chain_id, dao.addresses["DaoGovernor"])
    return (None, problem) if problem else (document, "")


def listed(dao: Dao) -> list[Values]:
    """Return all proposals, the newest first."""
    governor = governor_of(dao)
    rows = []
    for proposal in reversed(governor.proposals()):
        status = governor.status(proposal)
        rows.append(
            {
                "proposal": proposal.id_text,
                "title": read_description(proposal.description).title,
                "state": status.state,
                "for": format_tokens(status.votes_for),
                "against": format_tokens(status.votes_against),
                "abstain": format_tokens(status.votes_abstain),
                "vote_end": moment(proposal.vote_end),
                "eta": moment(status.eta) if status.eta else None,
            }
        )
    return rows


def show(dao: Dao, proposal_text: str, accounts: Sequence[str] = ()) -> Values:
    """Return a proposal in words and in calls, with its votes, and the power of ``accounts`` and of the home's keys."""
    governor = governor_of(dao)
    proposal = governor.find(proposal_text)
    status = governor.status(proposal)
    document, problem = document_of(dao, proposal)
    found = read_description(proposal.description)
    parameters = governor.parameters()
    words = _words(dao, governor, document)
    return {
        "proposal": proposal.id_text,
        "title": found.title,
        "text": found.text,
        "proposer": proposal.proposer,
        "proposer_name": governor.place.book.accounts.get(proposal.proposer),
        "state": status.state,
        "ready": status.ready,
        "now": status.now,
        "vote_start": proposal.vote_start,
        "vote_end": proposal.vote_end,
        "eta": status.eta,
        "timelock_delay": parameters.timelock_delay,
        "votes": {
            "for": str(status.votes_for),
            "against": str(status.votes_against),
            "abstain": str(status.votes_abstain),
            "quorum": None if status.quorum is None else str(status.quorum),
        },
        **_calls(proposal.actions, governor.place.book, words),
        "document_id": hex0x(found.document_id) if found.document_id else None,
        "document": document.as_json() if document else None,
        "document_problem": problem or None,
        "power": _powers(governor, proposal, accounts),
        "ballots": [_vote(event, governor.place.book) for event in governor.votes(proposal)],
        "next": _next_step(dao, proposal, status),
    }


def simulated(dao: Dao, proposal_text: str, accounts: Sequence[str] = ()) -> Values:
    """Return what the execution of a proposal would do now."""
    governor = governor_of(dao)
    proposal = governor.find(proposal_text)
    document, _ = document_of(dao, proposal)
    effect = tried(dao.home.ledger, proposal.actions, governor.place, [dao.row.treasury, *accounts])
    return {
        "proposal": proposal.id_text,
        "title": read_description(proposal.description).title,
        **_calls(proposal.actions, governor.place.book, _words(dao, governor, document)),
        "effect": effect.as_json(governor.place.book),
    }


def sign_vote(dao: Dao, proposal_text: str, voter: LocalAccount, support: str, reason: str) -> tuple[SignedBallot, int]:
    """Return a signed ballot and its power; it may be signed before voting begins."""
    governor = governor_of(dao)
    proposal = governor.find(proposal_text)
    if governor.status(proposal).state != "pending":
        governor.check_voter(voter.address, proposal)
    ballot = governor.ballot(proposal, voter.address, SUPPORT[support], reason)
    return sign_ballot(voter, ballot), governor.power(voter.address, proposal)


def check_vote(dao: Dao, proposal_text: str, voter: str, support: str, reason: str) -> Values:
    """Return what a vote would say; raise what it would raise."""
    governor = governor_of(dao)
    proposal = governor.find(proposal_text)
    power = governor.check_voter(voter, proposal)
    return _vote_values(proposal, voter, SUPPORT[support], power, reason)


def send_ballot(dao: Dao, signed: SignedBallot, *, dry_run: bool = False) -> Values:
    """Let this home's node send a voter's ballot; raise if it would not be counted."""
    governor = governor_of(dao)
    proposal, power = governor.check_ballot(signed)
    values = _vote_values(proposal, signed.ballot.voter, signed.ballot.support, power, signed.ballot.reason)
    if dry_run:
        return values | {"dry_run": True}
    relayer = dao.account("operator")
    _give_gas(dao, relayer)
    receipt = governor.send_ballot(relayer, signed)
    return values | {"sent_by": relayer.address, "transaction": hex0x(receipt.tx_hash)}


def cast(dao: Dao, proposal_text: str, voter: LocalAccount, support: str, reason: str) -> Values:
    """Vote by the voter's own transaction."""
    governor = governor_of(dao)
    proposal = governor.find(proposal_text)
    _give_gas(dao, voter)
    power = governor.check_voter(voter.address, proposal)
    receipt = governor.cast(voter, proposal, SUPPORT[support], reason)
    values = _vote_values(proposal, voter.address, SUPPORT[support], power, reason)
    return values | {"sent_by": voter.address, "transaction": hex0x(receipt.tx_hash)}


def ballot_from(body: bytes | str) -> SignedBallot:
    """Return the ballot that somebody signed elsewhere."""
    return read_ballot(body)


def queue(dao: Dao, proposal_text: str, signer: LocalAccount | None) -> Values:
    """Put an accepted proposal into the timelock; without a signer only say what would be done."""
    governor = governor_of(dao)
    proposal = governor.find(proposal_text)
    if signer is None:
        now = governor.require_state(proposal, "succeeded").now
        eta = now + governor.parameters().timelock_delay
        return {"dry_run": True, "proposal": proposal.id_text, "eta": eta, "executable_from": moment(eta)}
    _give_gas(dao, signer)
    receipt = governor.queue(signer, proposal)
    eta = governor.status(proposal).eta or 0
    return {
        "proposal": proposal.id_text,
        "state": "queued",
        "eta": eta,
        "executable_from": moment(eta),
        "transaction": hex0x(receipt.tx_hash),
    }


def execute(dao: Dao, proposal_text: str, signer: LocalAccount | None) -> Values:
    """Run a queued proposal and keep the policies of its document; without a signer only try it."""
    governor = governor_of(dao)
    proposal = governor.find(proposal_text)
    if signer is None:
        governor.require_ready(proposal)
        return simulated(dao, proposal.id_text) | {"dry_run": True}
    document, _ = document_of(dao, proposal)
    if document:
        keep_document(dao, document)
    _give_gas(dao, signer)
    receipt = governor.execute(signer, proposal)
    return {
        "proposal": proposal.id_text,
        "state": "executed",
        "transaction": hex0x(receipt.tx_hash),
        "events": [event.as_json() for event in _events(receipt, governor.place.book)],
        "policies": _policies_put_in_force(dao, proposal, governor.place.book),
    }


def _policies_put_in_force(dao: Dao, proposal: Proposal, book: Book) -> list[Values]:
    rows: list[Values] = []
    for decoded in (decode_action(action, book) for action in proposal.actions):
        if _sets_policy(decoded):
            policy_hash = decoded.arguments[0].value
            known = _kept(dao, policy_hash)
            rows.append(
                {
                    "policy_hash": hex0x(policy_hash),
                    "version": known.version if known else None,
                    "known_here": known is not None,
                    "in_force_from": "the next turn that is opened",
                }
            )
    return rows


def _sets_policy(decoded: Decoded) -> bool:
    return decoded.function is not None and (decoded.contract, decoded.function.name) == ("Registry", "setPolicy")


def _events(receipt: TxReceipt, book: Book) -> list[Any]:
    return [decode_log(log.address, log.topics, log.data, book) for log in receipt.logs]


def _words(dao: Dao, governor: Governor, document: Document | None) -> Words:
    texts = (f"{document.title}\n\n{document.text}", *document.texts) if document else ()
    policies = list(document.policies) if document else []
    money = dao.contract("PayToken").call("symbol")
    return Words(governor.place.book, texts, policies, _present(dao, policies), money)


def _present(dao: Dao, policies: Sequence[Policy]) -> Policy | None:
    """Return the policy that the first of ``policies`` replaces or, once it is in force, replaced."""
    registry = dao.contract("Registry")
    version = int(registry.call("policyVersion"))
    if policies:
        wanted = policies[0].policy_hash()
        executed = [number for number in range(2, version + 1) if registry.call("policyAt", number) == wanted]
        version = executed[-1] - 1 if executed else version
    return _kept(dao, registry.call("policyAt", version))


def _kept(dao: Dao, policy_hash: bytes) -> Policy | None:
    try:
        return policy_with(dao.home, dao.name, policy_hash)
    except NotFound:
        return None


def _calls(actions: Sequence[Action], book: Book, words: Words) -> Values:
    decoded = [decode_action(action, book) for action in actions]
    sentences = [sentence_of(item, words) for item in decoded]
    pairs = [words.policy_and_before(policy.policy_hash()) for policy in words.policies]
    changes = [
        change.as_json() for policy, before in pairs if policy and before for change in changes_between(before, policy)
    ]
    return {
        "does": [sentence.text for sentence in sentences],
        "calls": [
            item.as_json()
            | {"text": item.text, "words": sentence.text, "alarm": sentence.alarm or None}
            | ({"details": list(sentence.details)} if sentence.details else {})
            for item, sentence in zip(decoded, sentences, strict=True)
        ],
        "changes": changes,
    }


def _powers(governor: Governor, proposal: Proposal, accounts: Sequence[str]) -> list[Values]:
    """Return the power of the accounts asked for, and of the home's keys that have any."""
    book = governor.place.book
    rows = []
    for account in dict.fromkeys([*accounts, *book.accounts]):
        power = governor.power(account, proposal)
        if power or account in accounts:
            voted = governor.has_voted(account, proposal)
            rows.append({"account": account, "name": book.accounts.get(account), "power": str(power), "voted": voted})
    return rows


def _vote(event: Mapping[str, Any], book: Book) -> Values:
    return {
        "voter": event["voter"],
        "name": book.accounts.get(event["voter"]),
        "vote": SUPPORT_NAMES.get(event["support"], str(event["support"])),
        "power": str(event["weight"]),
        "reason": event["reason"],
    }


def _vote_values(proposal: Proposal, voter: str, support: int, power: int, reason: str) -> Values:
    return {
        "proposal": proposal.id_text,
        "voter": voter,
        "vote": SUPPORT_NAMES[support],
        "power": str(power),
        "reason": reason or None,
    }


def _next_step(dao: Dao, proposal: Proposal, status: Status) -> str | None:
    short, of = proposal.id_text[:12], f"--dao {dao.name}"
    if status.state == "active":
        return f"roda proposal vote {short} --for {of} --key NAME"
    if status.state == "succeeded":
        return f"roda proposal queue {short} {of}"
    if status.state == "queued" and status.ready:
        return f"roda proposal execute {short} {of}"
    return None
