"""Ballots: a vote signed off the ledger, which anybody may send for the voter.

Rule (OpenZeppelin Contracts 5.7, Governor.castVoteBySig and castVoteWithReasonAndParamsBySig): EIP-712 in the domain
``{name: the governor's name, version: "1", chainId, verifyingContract: governor}`` of ::

    Ballot(uint256 proposalId,uint8 support,address voter,uint256 nonce)
    ExtendedBallot(uint256 proposalId,uint8 support,address voter,uint256 nonce,string reason,bytes params)

The extended one is signed when a reason is given; its params are empty. The nonce is the governor's ``nonces(voter)``,
so a ballot counts once, at one governor of one chain.

>>> SUPPORT["for"]
1
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address

from rodagila.core.errors import InvalidInput, NotAuthorised
from rodagila.core.hashing import from_hex, hex0x, keccak
from rodagila.core.typed_data import Struct, domain_separator, recover_digest, sign_digest

FORMAT = "rodagila-ballot-1"
SUPPORT = {"against": 0, "for": 1, "abstain": 2}
"""The governor's numbers for a vote (GovernorCountingSimple.VoteType)."""
SUPPORT_NAMES = {number: name for name, number in SUPPORT.items()}
MAX_REASON = 2_000

BALLOT = (("uint256", "proposalId"), ("uint8", "support"), ("address", "voter"), ("uint256", "nonce"))
EXTENDED = (*BALLOT, ("string", "reason"), ("bytes", "params"))


def _struct(name: str, fields: tuple[tuple[str, str], ...]) -> Struct:
    return Struct(name, {name: [{"type": kind, "name": field} for kind, field in fields]})


_BALLOT, _EXTENDED = _struct("Ballot", BALLOT), _struct("ExtendedBallot", EXTENDED)


@dataclass(frozen=True, slots=True)
class Ballot:
    """What a voter signs, and where it is good."""

    chain_id: int
    governor: str
    governor_name: str
    proposal_id: int
    support: int
    voter: str
    nonce: int
    reason: str = ""

    def struct_hash(self) -> bytes:
        """Return the EIP-712 hash of the ballot, extended if it gives a reason."""
        message: dict[str, Any] = {
            "proposalId": self.proposal_id,
            "support": self.support,
            "voter": self.voter,
            "nonce": self.nonce,
        }
        return (
            _EXTENDED.hash(message | {"reason": self.reason, "params": b""}) if self.reason else _BALLOT.hash(message)
        )

    def digest(self) -> bytes:
        """Return what the voter signs."""
        domain = domain_separator(self.governor_name, "1", self.chain_id, self.governor)
        return keccak(b"\x19\x01" + domain + self.struct_hash())


@dataclass(frozen=True, slots=True)
class SignedBallot:
    """A ballot with its voter's 65-byte signature."""

    ballot: Ballot
    signature: bytes

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that is handed to whoever sends it."""
        ballot = self.ballot
        return {
            "format": FORMAT,
            "chain_id": ballot.chain_id,
            "governor": ballot.governor,
            "governor_name": ballot.governor_name,
            "proposal": f"0x{ballot.proposal_id:064x}",
            "support": SUPPORT_NAMES[ballot.support],
            "voter": ballot.voter,
            "nonce": str(ballot.nonce),
            "reason": ballot.reason,
            "signature": hex0x(self.signature),
        }

    def call(self) -> tuple[str, tuple[Any, ...]]:
        """Return the governor's function that counts this ballot, and its arguments."""
        ballot = self.ballot
        head = (ballot.proposal_id, ballot.support, ballot.voter)
        if ballot.reason:
            return "castVoteWithReasonAndParamsBySig", (*head, ballot.reason, b"", self.signature)
        return "castVoteBySig", (*head, self.signature)


def sign_ballot(account: LocalAccount, ballot: Ballot) -> SignedBallot:
    """Return ``ballot`` signed by its voter; raise ``InvalidInput`` for a reason that is too long or not plain."""
    check_reason(ballot.reason)
    return SignedBallot(ballot, sign_digest(account, ballot.digest()))


def check_reason(reason: str) -> None:
    """Raise ``InvalidInput`` unless ``reason`` is a plain text of a fair length."""
    if len(reason) > MAX_REASON or not reason.replace("\n", "").isprintable():
        raise InvalidInput(
            "ballot_invalid", f"A reason has at most {MAX_REASON:,} printable characters.", hint="Shorten it."
        )


def require_signed(signed: SignedBallot) -> None:
    """Raise ``NotAuthorised`` (``ballot_invalid``) unless the voter signed exactly this ballot."""
    try:
        signer = recover_digest(signed.ballot.digest(), signed.signature)
    except (ValueError, TypeError):  # a number that its type does not hold: nobody signs that
        signer = None
    if signer != signed.ballot.voter:
        raise NotAuthorised(
            "ballot_invalid",
            f"The ballot names the voter {signed.ballot.voter} and is signed by {signer or 'nobody'}.",
            hint="Something in it was changed after it was signed; let the voter sign it again.",
        )


def read_ballot(body: bytes | str) -> SignedBallot:
    """Return the signed ballot of its JSON; raise ``InvalidInput`` (``ballot_invalid``)."""
    try:
        found: Mapping[str, Any] = json.loads(body)
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']!r}")
        ballot = Ballot(
            int(found["chain_id"]),
            str(to_checksum_address(found["governor"])),
            str(found["governor_name"]),
            int(found["proposal"], 16),
            SUPPORT[found["support"]],
            str(to_checksum_address(found["voter"])),
            int(found["nonce"]),
            str(found["reason"]),
        )
        return SignedBallot(ballot, from_hex(found["signature"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InvalidInput(
            "ballot_invalid",
            f"This is not a signed ballot: {error}.",
            hint="Give what `roda proposal vote --sign-only --json` printed.",
        ) from error
