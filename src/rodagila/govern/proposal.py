"""A proposal: its calls, its words, its document, and its id, which is OpenZeppelin's ``hashProposal``.

Rule (OpenZeppelin Contracts 5.7, Governor.hashProposal)::

    description hash = keccak(description)
    id               = keccak(abi.encode(targets, values, calldatas, description hash))

The description is on the ledger in full. It ends with the hash of the proposal's *document*, which holds what the calls
carry only as hashes (policies, reasons, purposes), and with the proposer, so that nobody else can propose the same
first and cancel it. The id names neither chain nor governor; the document does.

>>> description_of("Pay Bob", "For labels.", bytes(32), "0x" + "11" * 20).splitlines()[0]
'Pay Bob'
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_utils.address import to_checksum_address

from rodagila.core.canonical import canonical_json
from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import from_hex, hex0x, keccak, keccak_abi
from rodagila.core.policy import Policy
from rodagila.govern.actions import Action
from rodagila.govern.policy import check_policy

FORMAT = "rodagila-proposal-1"
MAX_TITLE = 120
MAX_TEXT = 10_000
MAX_DOCUMENT = 4 * 2**20
_ENDING = re.compile(r"\n\nDocument: (0x[0-9a-f]{64})\n#proposer=(0x[0-9a-fA-F]{40})\Z")

STATES = ("pending", "active", "cancelled", "defeated", "succeeded", "queued", "expired", "executed")
"""The governor's states by number (IGovernor.ProposalState)."""


def proposal_id(actions: Sequence[Action], description: str) -> int:
    """Return the governor's id of these actions with this description."""
    types = ["address[]", "uint256[]", "bytes[]", "bytes32"]
    digest = keccak_abi(types, [*call_lists(actions), keccak(description.encode())])
    return int.from_bytes(digest, "big")


def call_lists(actions: Sequence[Action]) -> tuple[list[str], list[int], list[bytes]]:
    """Return targets, values and data, as the governor's functions take them."""
    return (
        [action.target for action in actions],
        [action.value for action in actions],
        [action.data for action in actions],
    )


def description_of(title: str, text: str, document_id: bytes, proposer: str) -> str:
    """Return what stands on the ledger; raise ``InvalidInput`` unless title and text are plain and of a fair length."""
    title, text = title.strip(), text.strip()
    if not (0 < len(title) <= MAX_TITLE and title.isprintable()):
        raise InvalidInput(
            "action_invalid", f"A proposal's title is one line of 1 to {MAX_TITLE} characters.", hint="Give --title."
        )
    if len(text) > MAX_TEXT or not text.replace("\n", "").isprintable():
        raise InvalidInput(
            "action_invalid", f"A proposal's text has at most {MAX_TEXT:,} printable characters.", hint="Shorten it."
        )
    return f"{title}\n\n{text}\n\nDocument: {hex0x(document_id)}\n#proposer={proposer}"


@dataclass(frozen=True, slots=True)
class Description:
    """A description taken apart; ``document_id`` is None if it names none."""

    title: str
    text: str
    document_id: bytes | None


def read_description(description: str) -> Description:
    """Return title, text and document of any description, also of one that was not written here."""
    found = _ENDING.search(description)
    words = description[: found.start()] if found else description
    title, _, text = words.partition("\n")
    return Description(title.strip()[:MAX_TITLE], text.strip(), from_hex(found[1]) if found else None)


@dataclass(frozen=True, slots=True)
class Document:
    """What a proposal is about, in full. ``texts`` are those of which a call carries the hash only."""

    chain_id: int
    governor: str
    title: str
    text: str
    actions: tuple[Action, ...]
    policies: tuple[Policy, ...] = ()
    texts: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that is hashed and stored."""
        return {
            "format": FORMAT,
            "chain_id": self.chain_id,
            "governor": self.governor,
            "title": self.title,
            "text": self.text,
            "actions": [action.as_json() for action in self.actions],
            "policies": [policy.as_json() for policy in self.policies],
            "texts": list(self.texts),
        }

    def body(self) -> bytes:
        """Return the bytes whose Keccak-256 the description names."""
        return canonical_json(self.as_json())

    def text_of(self, hashed: bytes) -> str | None:
        """Return the text with that hash, if the document holds it."""
        return next((text for text in self.texts if keccak(text.encode()) == hashed), None)

    def policy_of(self, policy_hash: bytes) -> Policy | None:
        """Return the policy with that hash, if the document holds it."""
        return next((policy for policy in self.policies if policy.policy_hash() == policy_hash), None)


def read_document(body: bytes) -> Document:
    """Return the document of its bytes; raise ``InvalidInput`` (``document_invalid``)."""
    try:
        if len(body) > MAX_DOCUMENT:
            raise ValueError(f"it has more than {MAX_DOCUMENT // 2**20} MiB")
        found = json.loads(body)
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']!r}")
        return Document(
            int(found["chain_id"]),
            str(to_checksum_address(found["governor"])),
            str(found["title"]),
            str(found["text"]),
            tuple(_action(item) for item in found["actions"]),
            tuple(_policy(item) for item in found["policies"]),
            tuple(str(text) for text in found["texts"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError, InvalidInput) as error:
        why = error.message.rstrip(".") if isinstance(error, InvalidInput) else error
        raise InvalidInput(
            "document_invalid",
            f"This is not the document of a proposal: {why}.",
            hint="Ask the proposer for it: it is what `roda proposal show --json` prints as document.",
        ) from error


def _policy(body: dict[str, Any]) -> Policy:
    policy = Policy.from_json(body)
    check_policy(policy)
    return policy


def _action(body: Mapping[str, Any]) -> Action:
    return Action(str(to_checksum_address(body["target"])), from_hex(body["data"]), int(body["value"]))


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal as the governor's ``ProposalCreated`` says it; times are seconds."""

    id: int
    proposer: str
    actions: tuple[Action, ...]
    vote_start: int
    vote_end: int
    description: str

    @property
    def description_hash(self) -> bytes:
        """The hash by which queue and execute name the description."""
        return keccak(self.description.encode())

    @property
    def id_text(self) -> str:
        """The id as 64 hex digits."""
        return f"0x{self.id:064x}"


def proposal_of_event(event: Mapping[str, Any]) -> Proposal:
    """Return the proposal of a decoded ``ProposalCreated``."""
    calls = zip(event["targets"], event["calldatas"], event["values"], strict=True)
    return Proposal(
        event["proposalId"],
        event["proposer"],
        tuple(Action(target, data, value) for target, data, value in calls),
        event["voteStart"],
        event["voteEnd"],
        event["description"],
    )


def document_problem(document: Document, proposal: Proposal, chain_id: int, governor: str) -> str:
    """Return how a document differs from the proposal on the ledger that names it; empty if it does not."""
    if (document.chain_id, document.governor) != (chain_id, governor):
        return f"it is of the governor {document.governor} on chain {document.chain_id}"
    if document.actions != proposal.actions:
        return "its calls are not those on the ledger"
    found = read_description(proposal.description)
    if (document.title, document.text) != (found.title, found.text):
        return "its words are not those on the ledger"
    return ""
