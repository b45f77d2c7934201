"""The EIP-712 messages of the protocol: what owners, evaluators and gateways sign.

All share the domain ``{name: "Rodagila", version: "1", chainId, verifyingContract: registry}``: the registry is one
DAO's, so a signature is good for one chain and one DAO. Source: EIP-712; DESIGN 6.

A contribution's id is the EIP-712 digest of ``Contribution``. It names content only: the ciphertext stands beside it in
``Manifest``, so a batch can be sealed again without becoming another contribution.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar, Protocol

from eth_account.signers.local import LocalAccount

from rodagila.core.hashing import keccak
from rodagila.core.typed_data import Struct, domain_separator, recover_digest, sign_digest

Fields = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Domain:
    """Where a signature is good: one chain, one DAO's registry."""

    chain_id: int
    registry: str

    def as_json(self) -> dict[str, Any]:
        """Return the EIP-712 domain."""
        return {
            "name": "Rodagila",
            "version": "1",
            "chainId": self.chain_id,
            "verifyingContract": self.registry,
        }


class Message(Protocol):
    """A dataclass with the EIP-712 name and fields of its type."""

    TYPES: ClassVar[dict[str, Fields]]
    PRIMARY: ClassVar[str]

    def as_message(self) -> dict[str, Any]:
        """Return the EIP-712 message object."""
        ...


def _fields(*pairs: tuple[str, str]) -> Fields:
    return [{"type": kind, "name": name} for kind, name in pairs]


_CONTRIBUTION = _fields(
    ("address", "owner"),
    ("bytes32", "dao"),
    ("bytes32", "policyHash"),
    ("bytes32", "contentRoot"),
    ("uint32", "count"),
    ("bytes32", "consentHash"),
    ("uint256", "nonce"),
)


@dataclass(frozen=True, slots=True)
class Contribution:
    """A batch of records of one account, by content. ``dao`` is the DAO's id, ``count`` the number of records."""

    owner: str
    dao: bytes
    policy_hash: bytes
    content_root: bytes
    count: int
    consent_hash: bytes
    nonce: int

    TYPES: ClassVar[dict[str, Fields]] = {"Contribution": _CONTRIBUTION}
    PRIMARY: ClassVar[str] = "Contribution"

    def as_message(self) -> dict[str, Any]:
        """Return the EIP-712 message object."""
        return {
            "owner": self.owner,
            "dao": self.dao,
            "policyHash": self.policy_hash,
            "contentRoot": self.content_root,
            "count": self.count,
            "consentHash": self.consent_hash,
            "nonce": self.nonce,
        }


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the owner signs: the contribution, where its ciphertext is (Keccak-256 of it) and the sealed key's hash."""

    contribution: Contribution
    ciphertext_id: bytes
    key_hash: bytes

    TYPES: ClassVar[dict[str, Fields]] = {
        "Manifest": _fields(("Contribution", "contribution"), ("bytes32", "ciphertextId"), ("bytes32", "keyHash")),
        "Contribution": _CONTRIBUTION,
    }
    PRIMARY: ClassVar[str] = "Manifest"

    def as_message(self) -> dict[str, Any]:
        """Return the EIP-712 message object."""
        return {
            "contribution": self.contribution.as_message(),
            "ciphertextId": self.ciphertext_id,
            "keyHash": self.key_hash,
        }


@dataclass(frozen=True, slots=True)
class Proof:
    """The evaluator's signed result of all checks on one contribution; ``score`` in millionths of 1."""

    contribution_id: bytes
    owner: str
    dao: bytes
    policy_hash: bytes
    checks_hash: bytes
    accepted: int
    score: int

    TYPES: ClassVar[dict[str, Fields]] = {
        "Proof": _fields(
            ("bytes32", "contributionId"),
            ("address", "owner"),
            ("bytes32", "dao"),
            ("bytes32", "policyHash"),
            ("bytes32", "checksHash"),
            ("uint32", "accepted"),
            ("uint32", "score"),
        )
    }
    PRIMARY: ClassVar[str] = "Proof"

    def as_message(self) -> dict[str, Any]:
        """Return the EIP-712 message object."""
        return {
            "contributionId": self.contribution_id,
            "owner": self.owner,
            "dao": self.dao,
            "policyHash": self.policy_hash,
            "checksHash": self.checks_hash,
            "accepted": self.accepted,
            "score": self.score,
        }


@dataclass(frozen=True, slots=True)
class Receipt:
    """The gateway's signed word that a call was paid and served; ``amount`` in atomic units."""

    payer: str
    dao: bytes
    turn: int
    route: str
    amount: int
    payment: bytes
    request_hash: bytes
    response_hash: bytes

    TYPES: ClassVar[dict[str, Fields]] = {
        "Receipt": _fields(
            ("address", "payer"),
            ("bytes32", "dao"),
            ("uint64", "turn"),
            ("string", "route"),
            ("uint256", "amount"),
            ("bytes32", "payment"),
            ("bytes32", "requestHash"),
            ("bytes32", "responseHash"),
        )
    }
    PRIMARY: ClassVar[str] = "Receipt"

    def as_message(self) -> dict[str, Any]:
        """Return the EIP-712 message object."""
        return {
            "payer": self.payer,
            "dao": self.dao,
            "turn": self.turn,
            "route": self.route,
            "amount": self.amount,
            "payment": self.payment,
            "requestHash": self.request_hash,
            "responseHash": self.response_hash,
        }


@dataclass(frozen=True, slots=True)
class Preference:
    """What the payer of an arena call prefers: ``preferred`` is a, b or tie; no good after ``expires``, seconds.

    The receipt is its nonce: one paid call takes one preference.
    """

    receipt_id: bytes
    account: str
    preferred: str
    expires: int

    TYPES: ClassVar[dict[str, Fields]] = {
        "Preference": _fields(
            ("bytes32", "receiptId"), ("address", "account"), ("string", "preferred"), ("uint64", "expires")
        )
    }
    PRIMARY: ClassVar[str] = "Preference"

    def as_message(self) -> dict[str, Any]:
        """Return the EIP-712 message object."""
        return {
            "receiptId": self.receipt_id,
            "account": self.account,
            "preferred": self.preferred,
            "expires": self.expires,
        }


@dataclass(frozen=True, slots=True)
class Feedback:
    """What the payer of a receipt says about the answer: kind is rating, preference, click or purchase.

    ``body_hash`` is the hash of the canonical JSON of the kind's own fields.
    """

    receipt_id: bytes
    account: str
    kind: str
    body_hash: bytes

    TYPES: ClassVar[dict[str, Fields]] = {
        "Feedback": _fields(
            ("bytes32", "receiptId"), ("address", "account"), ("string", "kind"), ("bytes32", "bodyHash")
        )
    }
    PRIMARY: ClassVar[str] = "Feedback"

    def as_message(self) -> dict[str, Any]:
        """Return the EIP-712 message object."""
        return {
            "receiptId": self.receipt_id,
            "account": self.account,
            "kind": self.kind,
            "bodyHash": self.body_hash,
        }


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """An account asks for its next task of a batch; its nonces grow, ``expiry`` in seconds."""

    account: str
    dao: bytes
    batch: bytes
    nonce: int
    expiry: int

    TYPES: ClassVar[dict[str, Fields]] = {
        "TaskRequest": _fields(
            ("address", "account"),
            ("bytes32", "dao"),
            ("bytes32", "batch"),
            ("uint256", "nonce"),
            ("uint64", "expiry"),
        )
    }
    PRIMARY: ClassVar[str] = "TaskRequest"

    def as_message(self) -> dict[str, Any]:
        """Return the EIP-712 message object."""
        return {
            "account": self.account,
            "dao": self.dao,
            "batch": self.batch,
            "nonce": self.nonce,
            "expiry": self.expiry,
        }


@dataclass(frozen=True, slots=True)
class Response:
    """An account's answer to a task, still hidden behind ``commitment``; the lease serves as its nonce."""

    account: str
    dao: bytes
    batch: bytes
    task: bytes
    lease: bytes
    commitment: bytes
    expiry: int

    TYPES: ClassVar[dict[str, Fields]] = {
        "Response": _fields(
            ("address", "account"),
            ("bytes32", "dao"),
            ("bytes32", "batch"),
            ("bytes32", "task"),
            ("bytes32", "lease"),
            ("bytes32", "commitment"),
            ("uint64", "expiry"),
        )
    }
    PRIMARY: ClassVar[str] = "Response"

    def as_message(self) -> dict[str, Any]:
        """Return the EIP-712 message object."""
        return {
            "account": self.account,
            "dao": self.dao,
            "batch": self.batch,
            "task": self.task,
            "lease": self.lease,
            "commitment": self.commitment,
            "expiry": self.expiry,
        }


def dao_id(domain: Domain) -> bytes:
    """Return the DAO's id: Keccak-256 of its chain id and registry as text."""
    return keccak(f"{domain.chain_id}:{domain.registry.lower()}".encode())


@lru_cache(maxsize=64)
def _struct(kind: type[Message]) -> Struct:
    return Struct(kind.PRIMARY, kind.TYPES)


def digest(domain: Domain, message: Message) -> bytes:
    """Return the 32-byte EIP-712 digest that is signed; it also serves as the message's id."""
    signed: Any = message  # every message is a frozen dataclass, which the protocol does not say
    return _digest(domain, signed)


@lru_cache(maxsize=1024)  # a receipt's id is asked for four times in a call
def _digest(domain: Domain, message: Any) -> bytes:
    kind: Any = type(message)
    separator = domain_separator("Rodagila", "1", domain.chain_id, domain.registry)
    return _struct(kind).digest(separator, message.as_message())


def sign(account: LocalAccount, domain: Domain, message: Message) -> bytes:
    """Return the 65-byte signature (r, s, v) of ``message``; deterministic by RFC 6979."""
    return sign_digest(account, digest(domain, message))


def signer_of(domain: Domain, message: Message, signature: bytes) -> str | None:
    """Return the checksummed address that signed, or None if the signature is malformed."""
    return recover_digest(digest(domain, message), signature)


def message_as_json(message: Any) -> dict[str, Any]:
    """Return a JSON object of a message dataclass: bytes as 0x hex, integers kept below 2^53, larger as text."""
    body: dict[str, Any] = {}
    for item in fields(message):
        value = getattr(message, item.name)
        if isinstance(value, bytes):
            body[item.name] = "0x" + value.hex()
        elif isinstance(value, int) and value >= 2**53:
            body[item.name] = str(value)
        elif isinstance(value, (str, int)):
            body[item.name] = value
        else:
            body[item.name] = message_as_json(value)
    return body


def contribution_from_json(body: dict[str, Any]) -> Contribution:
    """Return the contribution of ``message_as_json``'s object."""
    return Contribution(
        owner=str(body["owner"]),
        dao=bytes.fromhex(body["dao"][2:]),
        policy_hash=bytes.fromhex(body["policy_hash"][2:]),
        content_root=bytes.fromhex(body["content_root"][2:]),
        count=int(body["count"]),
        consent_hash=bytes.fromhex(body["consent_hash"][2:]),
        nonce=int(body["nonce"]),
    )


def manifest_from_json(body: dict[str, Any]) -> Manifest:
    """Return the manifest of ``message_as_json``'s object."""
    return Manifest(
        contribution=contribution_from_json(body["contribution"]),
        ciphertext_id=bytes.fromhex(body["ciphertext_id"][2:]),
        key_hash=bytes.fromhex(body["key_hash"][2:]),
    )
