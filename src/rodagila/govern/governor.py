"""A DAO's governor on a ledger: its proposals, who has what power, and the steps from proposal to execution.

Rule (OpenZeppelin Contracts 5.7, Governor with CountingSimple, Votes, QuorumFraction and TimelockControl; times are
seconds). A proposal is *pending* until its snapshot has passed and *active* until its end. Then it has *succeeded* if
for and abstain together reach the quorum and for exceeds against, else it is *defeated*. It is *queued* in the timelock
until its eta, and then *executed*. Power is what an account held or was delegated at the snapshot: what is borrowed or
moved later counts nothing.

Everything is read from the governor's own events and views; each step first says in words why it would be refused.

>>> governor = Governor(ledger, place)                                             # doctest: +SKIP
>>> governor.status(governor.find("0x3f2a")).state                                 # doctest: +SKIP
'active'
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rodagila.chain.contracts import Contract, load_artifact
from rodagila.chain.port import Ledger, TxReceipt
from rodagila.core.errors import Conflict, InvalidInput, NotFound, RefusedByPolicy
from rodagila.govern.actions import Action
from rodagila.govern.ballot import Ballot, SignedBallot, check_reason, require_signed
from rodagila.govern.effects import Place
from rodagila.govern.proposal import STATES, Proposal, call_lists, proposal_id, proposal_of_event
from rodagila.govern.wording import moment

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

MIN_PREFIX = 4


@dataclass(frozen=True, slots=True)
class Status:
    """Where a proposal stands. ``quorum`` is None before the snapshot has passed; ``eta`` is None unless queued."""

    state: str
    votes_for: int
    votes_against: int
    votes_abstain: int
    quorum: int | None
    eta: int | None
    now: int

    @property
    def ready(self) -> bool:
        """Whether it can be executed now."""
        return self.state == "queued" and self.eta is not None and self.eta <= self.now


@dataclass(frozen=True, slots=True)
class Parameters:
    """How the DAO decides: delays and period in seconds, threshold and quorum in the token's atomic units."""

    voting_delay: int
    voting_period: int
    timelock_delay: int
    threshold: int
    quorum_numerator: int
    quorum_denominator: int


class Governor:
    """The governor, timelock and voting token of one DAO."""

    def __init__(self, ledger: Ledger, place: Place) -> None:
        self.ledger = ledger
        self.place = place
        self.contract = Contract(ledger, place.governor, load_artifact("DaoGovernor"))
        self.timelock = Contract(ledger, place.timelock, load_artifact("DaoTimelock"))
        self.token = Contract(ledger, place.book.address("DaoToken"), load_artifact("DaoToken"))

    def now(self) -> int:
        """Return the governor's clock, in seconds."""
        return int(self.contract.call("clock"))

    def proposals(self) -> list[Proposal]:
        """Return all proposals in the order in which they were made."""
        return [proposal_of_event(event) for event in self.contract.events("ProposalCreated")]

    def find(self, text: str) -> Proposal:
        """Return the proposal of an id: hex, decimal, or the first hex digits of just one; raise ``NotFound``."""
        wanted = text.lower().removeprefix("0x")
        found = [item for item in self.proposals() if str(item.id) == text or item.id_text[2:] == wanted]
        if not found and re.fullmatch(rf"[0-9a-f]{{{MIN_PREFIX},63}}", wanted):
            found = [item for item in self.proposals() if item.id_text[2:].startswith(wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidInput(
                "proposal_unknown", f"{len(found)} proposals begin with {text!r}.", hint="Give more digits."
            )
        raise NotFound(
            "proposal_unknown",
            f"The DAO has no proposal {text!r}.",
            hint=f"Give the id, or at least its first {MIN_PREFIX} digits. List them: roda proposal list",
        )

    def status(self, proposal: Proposal) -> Status:
        """Return where the proposal stands now."""
        state = STATES[self.contract.call("state", proposal.id)]
        against, in_favour, abstain = self.contract.call("proposalVotes", proposal.id)
        eta = self.contract.call("proposalEta", proposal.id)
        quorum = None if state == "pending" else self.contract.call("quorum", proposal.vote_start)
        return Status(state, in_favour, against, abstain, quorum, eta or None, self.now())

    def parameters(self) -> Parameters:
        """Return delays, period, threshold and quorum."""
        names = ("votingDelay", "votingPeriod")
        delay, period = (self.contract.call(name) for name in names)
        return Parameters(
            delay,
            period,
            self.timelock.call("getMinDelay"),
            self.contract.call("proposalThreshold"),
            self.contract.call("quorumNumerator()"),
            self.contract.call("quorumDenominator"),
        )

    def power(self, account: str, proposal: Proposal) -> int:
        """Return the account's power at the proposal's snapshot, or now while that is to come."""
        if proposal.vote_start >= self.now():
            return int(self.token.call("getVotes", account))
        return int(self.token.call("getPastVotes", account, proposal.vote_start))

    def has_voted(self, account: str, proposal: Proposal) -> bool:
        """Tell whether the account's vote is counted."""
        return bool(self.contract.call("hasVoted", proposal.id, account))

    def votes(self, proposal: Proposal) -> list[dict[str, Any]]:
        """Return the votes that were cast, from the governor's events."""
        cast = [*self.contract.events("VoteCast"), *self.contract.events("VoteCastWithParams")]
        cast.sort(key=lambda event: (event["block_number"], event["log_index"]))
        return [event for event in cast if event["proposalId"] == proposal.id]

    def check_proposer(self, proposer: str, actions: Sequence[Action], description: str) -> int:
        """Return the id of a proposal that ``proposer`` may make; raise ``Conflict`` or ``RefusedByPolicy``."""
        number = proposal_id(actions, description)
        if any(item.id == number for item in self.proposals()):
            raise Conflict(
                "proposal_known",
                f"This very proposal exists: 0x{number:064x}.",
                hint="Word it otherwise if it is meant again.",
            )
        held, needed = int(self.token.call("getPastVotes", proposer, self.now() - 1)), self.parameters().threshold
        if held < needed:
            raise RefusedByPolicy(
                "power_short",
                f"{proposer} has {held} of the {needed} units of voting power that a proposal takes.",
                hint="Let somebody with more propose it, or have votes delegated; tokens count once delegated.",
                power=str(held),
                required=str(needed),
            )
        return number

    def propose(self, signer: LocalAccount, actions: Sequence[Action], description: str) -> tuple[Proposal, TxReceipt]:
        """Put a proposal on the ledger."""
        number = self.check_proposer(signer.address, actions, description)
        receipt = self.contract.transact(signer, "propose", *call_lists(actions), description)
        return self.find(f"0x{number:064x}"), receipt

    def ballot(self, proposal: Proposal, voter: str, support: int, reason: str = "") -> Ballot:
        """Return the ballot that ``voter`` would sign now."""
        return Ballot(
            self.ledger.chain_id,
            self.place.governor,
            self.contract.call("name"),
            proposal.id,
            support,
            voter,
            self.contract.call("nonces", voter),
            reason,
        )

    def check_voter(self, voter: str, proposal: Proposal) -> int:
        """Return the voter's power; raise if the vote is not open, is cast already, or would weigh nothing."""
        self.require_state(proposal, "active")
        if self.has_voted(voter, proposal):
            raise Conflict("vote_known", f"{voter} has voted on this proposal already.", hint="A vote is final.")
        power = self.power(voter, proposal)
        if power == 0:
            raise RefusedByPolicy(
                "power_short",
                f"{voter} had no voting power at this proposal's snapshot, {moment(proposal.vote_start)}.",
                hint="What is received or delegated later counts for later proposals.",
                power="0",
            )
        return power

    def check_ballot(self, signed: SignedBallot) -> tuple[Proposal, int]:
        """Return the proposal and the voter's power of a ballot that would be counted now; raise what is wrong."""
        ballot = signed.ballot
        if ballot.chain_id != self.ledger.chain_id:
            raise RefusedByPolicy(
                "chain_mismatch",
                f"The ballot was signed for chain {ballot.chain_id}; this ledger is chain {self.ledger.chain_id}.",
                hint="Send it to a ledger of that chain.",
            )
        if ballot.governor != self.place.governor:
            raise RefusedByPolicy(
                "dao_mismatch",
                f"The ballot was signed for the governor {ballot.governor}; this DAO's is {self.place.governor}.",
                hint="Send it with --dao of the DAO it was signed for.",
            )
        proposal = self.find(f"0x{ballot.proposal_id:064x}")
        if not self.ledger.code(ballot.voter):  # a contract's signature is for the contract to judge (EIP-1271)
            require_signed(signed)
        power = self.check_voter(ballot.voter, proposal)
        expected = int(self.contract.call("nonces", ballot.voter))
        if ballot.nonce != expected:
            raise Conflict(
                "ballot_used",
                f"The ballot has the nonce {ballot.nonce}; the governor takes {expected} from {ballot.voter} next.",
                hint="Let the voter sign again.",
                given=str(ballot.nonce),
                expected=str(expected),
            )
        return proposal, power

    def send_ballot(self, relayer: LocalAccount, signed: SignedBallot) -> TxReceipt:
        """Send a voter's ballot; the relayer pays the gas and has no say in it."""
        self.check_ballot(signed)
        function, arguments = signed.call()
        return self.contract.transact(relayer, function, *arguments)

    def cast(self, voter: LocalAccount, proposal: Proposal, support: int, reason: str = "") -> TxReceipt:
        """Vote by the voter's own transaction."""
        check_reason(reason)
        self.check_voter(voter.address, proposal)
        return self.contract.transact(voter, "castVoteWithReason", proposal.id, support, reason)

    def queue(self, signer: LocalAccount, proposal: Proposal) -> TxReceipt:
        """Put what the vote accepted into the timelock."""
        self.require_state(proposal, "succeeded")
        return self.contract.transact(signer, "queue", *call_lists(proposal.actions), proposal.description_hash)

    def execute(self, signer: LocalAccount, proposal: Proposal) -> TxReceipt:
        """Run the calls of a queued proposal whose delay has passed."""
        self.require_ready(proposal)
        return self.contract.transact(signer, "execute", *call_lists(proposal.actions), proposal.description_hash)

    def require_ready(self, proposal: Proposal) -> Status:
        """Return the status of a proposal that can be executed now; raise ``proposal_state``."""
        status = self.require_state(proposal, "queued")
        if not status.ready:
            assert status.eta is not None
            raise self._refusal(
                proposal,
                status,
                f"The timelock holds this proposal until {moment(status.eta)}, {_span(status.eta - status.now)} more.",
                "Execute it then.",
            )
        return status

    def require_state(self, proposal: Proposal, needed: str) -> Status:
        """Return the status of a proposal in the state ``needed``; raise ``proposal_state`` with what is and when."""
        status = self.status(proposal)
        if status.state == needed:
            return status
        said, hint = _STATE_WORDS[status.state]
        start, end = proposal.vote_start, proposal.vote_end
        sentence = said.format(
            start=moment(start),
            starts_in=_span(start + 1 - status.now),
            end=moment(end),
            ends_in=_span(end + 1 - status.now),
            eta=moment(status.eta or 0),
        )
        raise self._refusal(proposal, status, sentence, hint)

    def _refusal(self, proposal: Proposal, status: Status, sentence: str, hint: str) -> RefusedByPolicy:
        return RefusedByPolicy(
            "proposal_state",
            sentence,
            hint=hint,
            proposal=proposal.id_text,
            state=status.state,
            vote_start=proposal.vote_start,
            vote_end=proposal.vote_end,
            eta=status.eta,
            now=status.now,
        )


_STATE_WORDS = {
    "pending": ("Voting on this proposal begins after {start}, in {starts_in}.", "Come back then."),
    "active": ("Voting on this proposal goes on until {end}, {ends_in} more.", "Vote now; queue it after."),
    "cancelled": ("This proposal was cancelled.", "Make another."),
    "defeated": ("Voting on this proposal ended at {end}, and it was not accepted.", "Make another."),
    "succeeded": ("Voting on this proposal ended at {end}; it was accepted and is not queued.", "Queue it."),
    "queued": ("This proposal is in the timelock until {eta}.", "Execute it after that."),
    "expired": ("This proposal has expired.", "Make another."),
    "executed": ("This proposal was executed already.", "Nothing is left to do."),
}


def _span(seconds: int) -> str:
    parts = ((86_400, "days"), (3_600, "hours"), (60, "minutes"))
    for size, name in parts:
        if seconds >= 2 * size:
            return f"{seconds // size} {name}"
    return "1 second" if seconds == 1 else f"{max(seconds, 0)} seconds"
