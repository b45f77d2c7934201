"""Preparing a contribution and checking the manifest of one.

redact -> canonical records -> salted commitments -> seal to the owner's age key and to a fresh object key -> wrap the
object key for the keeper -> sign the manifest (DESIGN 6, Contribution). Nothing that leaves here is in the clear.

>>> sealed = prepare_contribution(records, owner=ada, domain=domain, policy=policy,     # doctest: +SKIP
...                               keeper_recipient=node.recipient, nonce=0, salt=salt, consent_expiry=2_000_000_000)
>>> verify_manifest(sealed.manifest, sealed.signature, sealed.ciphertext, sealed.sealed_key, domain=domain,
...                 policy_hash=policy.policy_hash(), used_nonces=lambda owner, nonce: False)  # doctest: +SKIP
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eth_account.signers.local import LocalAccount

from rodagila.collect.preview import redacted
from rodagila.core.canonical import canonical_json, json_hash
from rodagila.core.errors import Corrupted, InvalidInput, NotAuthorised, RefusedByPolicy
from rodagila.core.hashing import from_hex, hex0x, keccak
from rodagila.core.merkle import MerkleTree, ordered_root, standard_leaf, verify
from rodagila.core.messages import (
    Contribution,
    Domain,
    Manifest,
    dao_id,
    digest,
    manifest_from_json,
    message_as_json,
    sign,
    signer_of,
)
from rodagila.core.policy import Policy
from rodagila.core.records import Record
from rodagila.core.redaction import NameFinder
from rodagila.vault.contents import OpenedContribution, content_root, open_contribution, pack
from rodagila.vault.keeper import wrap_for
from rodagila.vault.sealing import age_identity, object_identity, recipient_of, seal
from rodagila.vault.split_keys import KeeperSet, split_key

__all__ = [
    "Consent",
    "OpenedContribution",
    "SealedContribution",
    "batch_proof",
    "batch_root",
    "in_batch",
    "open_contribution",
    "prepare_contribution",
    "verify_consent",
    "verify_manifest",
]

MODES = ("api", "compute")
_LEAF = ["uint256", "bytes32"]


@dataclass(frozen=True, slots=True)
class Consent:
    """What the owner agrees to: a purpose, the modes of use, and until when (seconds)."""

    purpose: str
    modes: tuple[str, ...]
    expiry: int

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object whose hash the contribution signs."""
        return {"purpose": self.purpose, "modes": list(self.modes), "expiry": self.expiry}

    def consent_hash(self) -> bytes:
        """Return Keccak-256 of the canonical JSON."""
        return json_hash(self.as_json())


@dataclass(frozen=True, slots=True)
class SealedContribution:
    """All that an owner hands over: signed, sealed, nothing in the clear but counts.

    ``redactions`` counts what was replaced, by category; ``domain`` says where the owner meant it to be good.
    """

    domain: Domain
    contribution: Contribution
    contribution_id: bytes
    manifest: Manifest
    signature: bytes
    ciphertext: bytes
    sealed_key: bytes
    consent: Consent
    redactions: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object; sealed bytes are base64, hashes hex."""
        return {
            "domain": asdict(self.domain),
            "manifest": message_as_json(self.manifest),
            "signature": hex0x(self.signature),
            "ciphertext": base64.b64encode(self.ciphertext).decode(),
            "sealed_key": base64.b64encode(self.sealed_key).decode(),
            "consent": self.consent.as_json(),
            "redactions": dict(self.redactions),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> SealedContribution:
        """Return the sealed contribution of ``as_json``'s object; raises ``InvalidInput`` invalid_request."""
        try:
            domain = Domain(int(body["domain"]["chain_id"]), str(body["domain"]["registry"]))
            manifest = manifest_from_json(body["manifest"])
            consent = body["consent"]
            return cls(
                domain=domain,
                contribution=manifest.contribution,
                contribution_id=digest(domain, manifest.contribution),
                manifest=manifest,
                signature=from_hex(body["signature"]),
                ciphertext=base64.b64decode(body["ciphertext"], validate=True),
                sealed_key=base64.b64decode(body["sealed_key"], validate=True),
                consent=Consent(str(consent["purpose"]), tuple(map(str, consent["modes"])), int(consent["expiry"])),
                redactions={str(name): int(count) for name, count in body["redactions"].items()},
            )
        except Exception as error:  # a stranger's JSON can fail in any encoder on the way; all mean "not that shape"
            raise InvalidInput(
                "invalid_request",
                f"This is not a sealed contribution: {type(error).__name__} while reading it.",
                hint="Send the object that preparing a contribution wrote.",
            ) from error


def prepare_contribution(
    records: Sequence[Record],
    *,
    owner: LocalAccount,
    domain: Domain,
    policy: Policy,
    keeper_recipient: str | KeeperSet,
    nonce: int,
    salt: bytes,
    consent_expiry: int,
    modes: tuple[str, ...] = MODES,
    names: NameFinder | None = None,
) -> SealedContribution:
    """Redact, commit, seal and sign ``records`` as one contribution of ``owner``.

    ``salt`` is 32 secret bytes; ``keeper_recipient`` is the keeper's ``age1...`` text, or the keepers that the object
    key is split among; ``names`` finds names of people, which no rule here does. Raises ``InvalidInput`` file_empty,
    contribution_too_large, record_too_large or share_invalid. The ciphertext is fresh each time, the id is not.
    """
    clean, redactions = _redacted(records, names)
    _require_fitting(clean, policy)
    consent = Consent(policy.purpose, modes, consent_expiry)
    contribution = Contribution(
        owner=owner.address,
        dao=dao_id(domain),
        policy_hash=policy.policy_hash(),
        content_root=content_root(domain, owner.address, salt, clean),
        count=len(clean),
        consent_hash=consent.consent_hash(),
        nonce=nonce,
    )
    key = object_identity()
    ciphertext = seal(pack(owner.address, salt, clean), [recipient_of(age_identity(owner)), recipient_of(key)])
    sealed_key = _kept(str(key), keeper_recipient, digest(domain, contribution))
    manifest = Manifest(contribution, keccak(ciphertext), keccak(sealed_key))
    return SealedContribution(
        domain=domain,
        contribution=contribution,
        contribution_id=digest(domain, contribution),
        manifest=manifest,
        signature=sign(owner, domain, manifest),
        ciphertext=ciphertext,
        sealed_key=sealed_key,
        consent=consent,
        redactions=redactions,
    )


def _kept(object_key: str, keeper: str | KeeperSet, contribution_id: bytes) -> bytes:
    """Return the object key sealed to one keeper, or split among several."""
    if isinstance(keeper, str):
        return wrap_for(keeper, object_key)
    return split_key(object_key, contribution_id, keeper.recipients, threshold=keeper.threshold)


def _redacted(records: Sequence[Record], names: NameFinder | None) -> tuple[list[Record], dict[str, int]]:
    counts: Counter[str] = Counter()
    clean = []
    for record in records:
        without, found = redacted(record, names)
        counts.update(found)
        clean.append(without)
    return clean, dict(sorted(counts.items()))


def _require_fitting(records: Sequence[Record], policy: Policy) -> None:
    rules = policy.records
    if not records:
        raise InvalidInput("file_empty", "A contribution needs at least one record.")
    if len(records) > rules.max_records:
        raise InvalidInput(
            "contribution_too_large",
            f"The contribution holds {len(records):,} records; the policy allows {rules.max_records:,}.",
            hint="Split it into several contributions.",
        )
    for index, record in enumerate(records):
        size = len(canonical_json(record.as_json()))
        if size > rules.max_bytes:
            raise InvalidInput(
                "record_too_large",
                f"Record {index} has {size:,} bytes; the policy allows {rules.max_bytes:,}.",
                hint="Split or shorten it.",
            )


def verify_manifest(
    manifest: Manifest,
    signature: bytes,
    ciphertext: bytes,
    sealed_key: bytes,
    *,
    domain: Domain,
    policy_hash: bytes,
    used_nonces: Callable[[str, int], bool],
    stated: Domain | None = None,
) -> None:
    """Check that a manifest is this DAO's, its owner's, new, and about these bytes; ``used_nonces(owner, nonce)``.

    ``stated`` is the domain the sender says it was signed for; it only serves to name the difference better.
    Raises ``NotAuthorised`` chain_mismatch, dao_mismatch, policy_mismatch, manifest_signature or nonce_replayed, and
    ``Corrupted`` blob_tampered.
    """
    contribution = manifest.contribution
    if stated is not None and stated.chain_id != domain.chain_id:
        raise NotAuthorised(
            "chain_mismatch",
            f"The contribution was signed for chain {stated.chain_id}; this is chain {domain.chain_id}.",
            hint="Prepare it again for this DAO.",
        )
    if contribution.dao != dao_id(domain) or (stated is not None and dao_id(stated) != dao_id(domain)):
        raise NotAuthorised(
            "dao_mismatch", "The contribution was signed for another DAO.", hint="Prepare it again for this DAO."
        )
    if contribution.policy_hash != policy_hash:
        raise NotAuthorised(
            "policy_mismatch",
            f"The contribution was signed under policy {hex0x(contribution.policy_hash)}, not the one in force.",
            hint="Read the policy in force and prepare it again.",
        )
    if signer_of(domain, manifest, signature) != contribution.owner:
        raise NotAuthorised(
            "manifest_signature",
            f"The manifest is not signed by {contribution.owner}, whom it names as owner.",
            hint="Sign it with the owner's key.",
        )
    _require_bytes("ciphertext", ciphertext, manifest.ciphertext_id)
    _require_bytes("sealed key", sealed_key, manifest.key_hash)
    if used_nonces(contribution.owner, contribution.nonce):
        raise NotAuthorised(
            "nonce_replayed",
            f"{contribution.owner} already used nonce {contribution.nonce}.",
            hint="Prepare the contribution with the next nonce.",
        )


def _require_bytes(what: str, data: bytes, expected: bytes) -> None:
    if keccak(data) != expected:
        raise Corrupted(
            "blob_tampered", f"The {what} does not hash to what the manifest signs.", hint="Send it again, unchanged."
        )


def verify_consent(consent: Consent, contribution: Contribution, *, purpose: str, now: int) -> None:
    """Check that ``consent`` is what was signed, for this ``purpose``, and holds at ``now`` (seconds).

    Raises ``NotAuthorised`` consent_mismatch, ``RefusedByPolicy`` consent_expired.
    """
    if consent.consent_hash() != contribution.consent_hash or consent.purpose != purpose:
        raise NotAuthorised(
            "consent_mismatch", "The consent shown is not the one that was signed for this purpose.", hint="Send both."
        )
    if consent.expiry <= now:
        raise RefusedByPolicy(
            "consent_expired",
            f"The consent expired at {consent.expiry}; it is {now}.",
            hint="Ask the owner to renew it.",
        )


def batch_root(contribution_ids: Sequence[bytes]) -> bytes:
    """Return the root that the registry logs for a batch: over (index, id), so it fixes the order."""
    return ordered_root(contribution_ids)


def batch_proof(contribution_ids: Sequence[bytes], index: int) -> list[bytes]:
    """Return the proof that contribution ``index`` is in the batch at that index."""
    return MerkleTree.of(_LEAF, list(enumerate(contribution_ids))).proof(index)


def in_batch(root: bytes, contribution_id: bytes, index: int, proof: Sequence[bytes]) -> bool:
    """Tell whether ``proof`` shows ``contribution_id`` at ``index`` of the batch with ``root``."""
    return verify(root, standard_leaf(_LEAF, [index, contribution_id]), proof)
