"""A keeper of shares: it holds one share of each object key, and gives it out only on the ledger's word.

Before a release the keeper itself reads the ledger at a final block that it pins (``vault.grants``): the grant must be
active and unexpired, its scope must contain the contribution, its purpose and mode must be within the owner's signed
consent, and the owner must not have revoked. The request is signed by the grantee for this keeper. The share is held
against its signed hash, sealed anew to the grantee's key, and given out once per grant and nonce: the same request
again gets the same bytes, another one with that nonce is refused. Release, record and log entry are one transaction,
so there is never a release without its entry in the transparency log. Shares lie sealed to the keeper's own age key,
and are deleted, with a signed receipt in the log, as soon as a final block holds their owner's revocation.

>>> keeper.release([SignedRequest(request, signature, proof)])[0].record.decision  # doctest: +SKIP
"""

from __future__ import annotations

import base64
import json
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount

from rodagila.core.canonical import canonical_json, json_hash
from rodagila.core.errors import Conflict, InvalidInput, NotAuthorised, NotFound, RefusedByPolicy, RodaError
from rodagila.core.hashing import from_hex, hex0x, keccak
from rodagila.core.messages import Manifest, dao_id, digest, message_as_json, sign, signer_of
from rodagila.core.releases import Release, ReleaseRequest, ShareDeletion
from rodagila.vault.grants import MODES, Grant, GrantReader, Pin
from rodagila.vault.keeper import EVALUATE
from rodagila.vault.notes import NoteKey
from rodagila.vault.sealing import age_identity, hkdf_sha256, recipient_of, seal
from rodagila.vault.shares import require_share
from rodagila.vault.split_keys import SplitKey, open_share, recipient_of_key
from rodagila.vault.transparency import TransparencyLog

MAX_BATCH = 256
MAX_PROOF = 64
WINDOW = 60
"""Seconds over which releases are counted."""
MAX_AHEAD = 3_600
"""Seconds that a request's deadline may be ahead."""
EVALUATE_HASH = keccak(EVALUATE.encode())
log = logging.getLogger(__name__)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS share (
  contribution BLOB PRIMARY KEY, owner TEXT NOT NULL, threshold INTEGER NOT NULL, x INTEGER NOT NULL,
  hash BLOB NOT NULL, sealed BLOB NOT NULL, consent TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS revoked (contribution BLOB NOT NULL, owner TEXT NOT NULL, PRIMARY KEY (contribution, owner));
CREATE TABLE IF NOT EXISTS deletion (contribution BLOB PRIMARY KEY, place INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS released (
  grant_id BLOB NOT NULL, nonce TEXT NOT NULL, request BLOB NOT NULL, contribution BLOB NOT NULL, time INTEGER NOT NULL,
  place INTEGER NOT NULL, sealed BLOB, PRIMARY KEY (grant_id, nonce));
CREATE INDEX IF NOT EXISTS released_time ON released (time);
CREATE INDEX IF NOT EXISTS released_contribution ON released (contribution);
CREATE TABLE IF NOT EXISTS pinned (one INTEGER PRIMARY KEY CHECK (one = 1), block INTEGER NOT NULL, hash BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request with its grantee's signature and the proof that the grant's scope contains the contribution."""

    request: ReleaseRequest
    signature: bytes
    proof: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Released:
    """A share sealed to the grantee, and the number of its record in the keeper's log."""

    contribution_id: bytes
    sealed: bytes
    place: int


@dataclass(frozen=True, slots=True)
class VolumeRules:
    """How many releases a minute one grant may have, and above how many in all the keeper raises an alarm."""

    per_grant: int = 60_000
    alarm: int = 30_000


@dataclass(frozen=True, slots=True)
class _Held:
    owner: str
    threshold: int
    x: int
    hash: bytes
    sealed: bytes
    consent: Mapping[str, Any]


class ShareKeeper:
    """One keeper of one DAO's shares, over one file; threads may share it."""

    def __init__(
        self,
        path: Path,
        account: LocalAccount,
        reader: GrantReader,
        *,
        clock: Callable[[], int],
        volume: VolumeRules | None = None,
    ) -> None:
        self.account, self.domain, self._reader, self._clock = account, reader.domain, reader, clock
        self._volume = volume or VolumeRules()
        self._identity = age_identity(account)
        self.recipient = recipient_of(self._identity)
        seed = hkdf_sha256(bytes(account.key), salt=b"rodagila/keeper-log/v1", info=hex0x(dao_id(self.domain)).encode())
        self.log = TransparencyLog(path, NoteKey(f"rodagila-keeper/{account.address.lower()}", seed), _SCHEMA)
        self.alarmed = False

    def close(self) -> None:
        """Close the file."""
        self.log.close()

    def status(self) -> dict[str, Any]:
        """Return what anyone may know of this keeper."""
        with self.log.reading() as file:
            (shares,) = file.execute("SELECT count(*) FROM share").fetchone()
            recent = self._recent(file, self._clock())
        return {
            "role": "keeper",
            "keeper": self.account.address,
            "recipient": self.recipient,
            "verifier": self.log.verifier,
            "chain_id": self.domain.chain_id,
            "registry": self.domain.registry,
            "shares": shares,
            "log_size": self.log.size(),
            "releases_in_last_minute": recent,
            "alarm": recent > self._volume.alarm,
        }

    def deposit(self, manifest: Manifest, signature: bytes, split: bytes, consent: Mapping[str, Any]) -> bytes:
        """Keep this keeper's share of a contribution, as its owner signed it; return the contribution's id.

        Raises ``NotAuthorised`` manifest_signature, dao_mismatch, share_mismatch or consent_mismatch, ``InvalidInput``
        share_invalid, ``NotFound`` share_unknown, ``Conflict`` share_known, ``RefusedByPolicy`` contribution_revoked.
        """
        contribution = manifest.contribution
        contribution_id = digest(self.domain, contribution)
        if contribution.dao != dao_id(self.domain):
            raise NotAuthorised("dao_mismatch", "The contribution is signed for another DAO than this keeper's.")
        if signer_of(self.domain, manifest, signature) != contribution.owner:
            raise NotAuthorised("manifest_signature", f"The manifest is not signed by {contribution.owner}.")
        if keccak(split) != manifest.key_hash:
            raise NotAuthorised("share_mismatch", "The split key is not the one that the owner signed.")
        if json_hash(dict(consent)) != contribution.consent_hash:
            raise NotAuthorised("consent_mismatch", "The consent is not the one that the owner signed.")
        key = SplitKey.from_bytes(split)
        part = key.of_keeper(self.recipient)
        share = open_share(part.sealed, self._identity)
        if share.x != part.x:
            raise NotAuthorised("share_mismatch", f"Share {share.x} was given in the place of share {part.x}.")
        key.require(contribution_id, share)
        row = (contribution_id, contribution.owner, key.threshold, part.x, part.hash, part.sealed)
        with self.log.transaction() as file:
            self._require_not_deleted(file, contribution_id)
            if file.execute("SELECT 1 FROM revoked WHERE contribution = ? AND owner = ?", row[:2]).fetchone():
                raise _revoked(contribution_id)
            known = file.execute("SELECT hash FROM share WHERE contribution = ?", (contribution_id,)).fetchone()
            if known is not None and known[0] != part.hash:
                raise Conflict("share_known", f"Another share of {hex0x(contribution_id)} is kept already.")
            if known is None:
                file.execute("INSERT INTO share VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, json.dumps(dict(consent))))
        return contribution_id

    def release(self, requests: Sequence[SignedRequest]) -> list[Released | RodaError]:
        """Answer each request with a share sealed to its grantee, or with why not; one transaction for all.

        Raises what concerns all of them: ``InvalidInput`` invalid_request above 256 requests, ``Conflict``
        ledger_disagrees or ledger_reorganised, ``Unreachable``.
        """
        if not 1 <= len(requests) <= MAX_BATCH:
            raise InvalidInput("invalid_request", f"1 to {MAX_BATCH} requests are answered at once.")
        pin = self._pin()
        grants: dict[bytes, Grant | RodaError] = {}
        now = max(self._clock(), pin.time)
        with self.log.transaction() as file:
            answers: list[Released | RodaError] = []
            entries: list[bytes] = []
            first = self.log.size()
            for signed in requests:
                try:
                    answers.append(self._released(file, signed, pin, grants, now, first, entries))
                except RodaError as error:
                    answers.append(error)
            if entries:
                self.log.append(entries)
        self._watch(now)
        return answers

    def follow(self) -> list[bytes]:
        """Delete the shares of all contributions that their owners revoked up to now; return the ids."""
        before = self.log.size()
        self._pin()
        entries = (json.loads(self.log.entry(place)) for place in range(before, self.log.size()))
        return [from_hex(one["record"]["contribution_id"]) for one in entries if one["kind"] == "deletion"]

    def deletion(self, contribution_id: bytes) -> dict[str, Any]:
        """Return the log's record of a deletion, signed; raises ``NotFound`` share_unknown."""
        with self.log.reading() as file:
            row = file.execute("SELECT place FROM deletion WHERE contribution = ?", (contribution_id,)).fetchone()
        if row is None:
            raise NotFound("share_unknown", f"No share of {hex0x(contribution_id)} was deleted here.")
        found: dict[str, Any] = json.loads(self.log.entry(row[0]))
        return {"place": row[0], **found}

    def _pin(self) -> Pin:
        with self.log.reading() as file:
            before = file.execute("SELECT block, hash FROM pinned").fetchone()
        pin = self._reader.pin((before[0], bytes(before[1])) if before else None)
        if before is None or pin.block > before[0]:
            revoked = pin.revocations(before[0] + 1 if before else 0)
            with self.log.transaction() as file:
                file.execute(
                    "INSERT INTO pinned VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET block = excluded.block, "
                    "hash = excluded.hash WHERE excluded.block > block",
                    (pin.block, pin.hash),
                )
                file.executemany("INSERT OR IGNORE INTO revoked VALUES (?, ?)", sorted(revoked))
                deleted = self._delete_revoked(file, pin)
            if deleted:
                with self.log.reading() as file:
                    file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # no byte of them stays in the file
        return pin

    def _released(
        self,
        file: sqlite3.Connection,
        signed: SignedRequest,
        pin: Pin,
        grants: dict[bytes, Grant | RodaError],
        now: int,
        first: int,
        entries: list[bytes],
    ) -> Released:
        request = signed.request
        request_id = digest(self.domain, request)
        self._require_fresh(request, now)
        grant = _grant(pin, grants, request.grant_id)
        if signer_of(self.domain, request, signed.signature) != grant.terms.grantee:
            raise NotAuthorised("request_signature", f"The request is not signed by {grant.terms.grantee}.")
        grant.require_good(now)
        if len(signed.proof) > MAX_PROOF:
            raise InvalidInput("invalid_request", f"A proof has at most {MAX_PROOF} hashes.")
        grant.require_scope(self.domain, request.contribution_id, signed.proof)
        held = self._held(file, request.contribution_id)
        _require_consent(grant, held.consent, now)
        known = file.execute(
            "SELECT request, sealed, place FROM released WHERE grant_id = ? AND nonce = ?",
            (request.grant_id, str(request.nonce)),
        ).fetchone()
        if known is not None:
            if bytes(known[0]) != request_id:
                raise Conflict("nonce_replayed", "This nonce of the grant was used for another request.")
            return Released(request.contribution_id, bytes(known[1]), known[2])
        self._require_volume(file, request.grant_id, now)
        share = open_share(held.sealed, self._identity)
        require_share(held.hash, request.contribution_id, held.threshold, share)
        sealed = seal(share.as_bytes(), [recipient_of_key(grant.terms.grantee_key)])
        record = Release(
            grant_id=request.grant_id,
            contribution_id=request.contribution_id,
            share_hash=held.hash,
            grantee=grant.terms.grantee,
            grantee_key=grant.terms.grantee_key,
            decision=grant.terms.decision,
            nonce=request.nonce,
            block=pin.block,
            block_hash=pin.hash,
            time=now,
        )
        entry, place = self._record("release", record), first + len(entries)
        file.execute(
            "INSERT INTO released VALUES (?, ?, ?, ?, ?, ?, ?)",
            (request.grant_id, str(request.nonce), request_id, request.contribution_id, now, place, sealed),
        )
        entries.append(entry)  # nothing can fail between the row and its entry
        return Released(request.contribution_id, sealed, place)

    def _record(self, kind: str, message: Release | ShareDeletion) -> bytes:
        signature = hex0x(sign(self.account, self.domain, message))
        return canonical_json({"kind": kind, "record": message_as_json(message), "signature": signature})

    def _require_fresh(self, request: ReleaseRequest, now: int) -> None:
        if request.keeper != self.account.address:
            raise NotAuthorised("keeper_mismatch", f"The request is for the keeper {request.keeper}, not for this one.")
        if not now <= request.deadline <= now + MAX_AHEAD:
            raise RefusedByPolicy(
                "request_expired",
                f"The request's deadline is {request.deadline}; it must be within {MAX_AHEAD} seconds from {now}.",
                hint="Sign it anew.",
            )

    def _held(self, file: sqlite3.Connection, contribution_id: bytes) -> _Held:
        self._require_not_deleted(file, contribution_id)
        row = file.execute(
            "SELECT owner, threshold, x, hash, sealed, consent FROM share WHERE contribution = ?", (contribution_id,)
        ).fetchone()
        if row is None:
            raise NotFound(
                "share_unknown", f"No share of {hex0x(contribution_id)} is kept here.", hint="Ask its other keepers."
            )
        return _Held(row[0], row[1], row[2], bytes(row[3]), bytes(row[4]), json.loads(row[5]))

    def _require_not_deleted(self, file: sqlite3.Connection, contribution_id: bytes) -> None:
        if file.execute("SELECT 1 FROM deletion WHERE contribution = ?", (contribution_id,)).fetchone():
            raise _revoked(contribution_id)

    def _require_volume(self, file: sqlite3.Connection, grant_id: bytes, now: int) -> None:
        query = "SELECT count(*) FROM released WHERE grant_id = ? AND time > ?"
        (count,) = file.execute(query, (grant_id, now - WINDOW)).fetchone()
        if count >= self._volume.per_grant:
            raise TooMany(f"Grant {hex0x(grant_id)} has had {count} releases in the last {WINDOW} seconds.")

    def _recent(self, file: sqlite3.Connection, now: int) -> int:
        return int(file.execute("SELECT count(*) FROM released WHERE time > ?", (now - WINDOW,)).fetchone()[0])

    def _watch(self, now: int) -> None:
        with self.log.reading() as file:
            recent = self._recent(file, now)
        if recent > self._volume.alarm and not self.alarmed:
            log.warning("alarm: %d releases in the last %d seconds", recent, WINDOW)
        self.alarmed = recent > self._volume.alarm

    def _delete_revoked(self, file: sqlite3.Connection, pin: Pin) -> int:
        """Delete what is held of revoked contributions, and sign that."""
        rows = file.execute(
            "SELECT contribution, owner, hash FROM share JOIN revoked USING (contribution, owner) ORDER BY contribution"
        ).fetchall()
        now = max(self._clock(), pin.time)
        for contribution, owner, hash_ in rows:
            receipt = ShareDeletion(bytes(contribution), owner, bytes(hash_), pin.block, pin.hash, now)
            (place,) = self.log.append([self._record("deletion", receipt)])
            file.execute("DELETE FROM share WHERE contribution = ?", (contribution,))
            file.execute("UPDATE released SET sealed = NULL WHERE contribution = ?", (contribution,))
            file.execute("INSERT INTO deletion VALUES (?, ?)", (contribution, place))
        return len(rows)


class TooMany(RefusedByPolicy):
    """More than the keeper gives out in a minute."""

    http_status = 429

    def __init__(self, message: str) -> None:
        super().__init__("rate_limited", message, hint=f"Try again in {WINDOW} seconds.")


def released_as_json(answer: Released | RodaError) -> dict[str, Any]:
    """Return the JSON of an answer; an error is its problem object."""
    if isinstance(answer, RodaError):
        return {"problem": answer.problem()}
    return {
        "contribution_id": hex0x(answer.contribution_id),
        "sealed": base64.b64encode(answer.sealed).decode(),
        "place": answer.place,
    }


def _grant(pin: Pin, grants: dict[bytes, Grant | RodaError], wanted: bytes) -> Grant:
    """Return a grant, read once a batch."""
    if wanted not in grants:
        try:
            grants[wanted] = pin.grant(wanted)
        except NotFound as error:
            grants[wanted] = error
    found = grants[wanted]
    if isinstance(found, RodaError):
        raise found
    return found


def _require_consent(grant: Grant, consent: Mapping[str, Any], now: int) -> None:
    """Hold a grant against what the owner agreed to: evaluation, or the purpose and the mode that she signed."""
    if now >= int(consent["expiry"]):
        raise RefusedByPolicy("consent_expired", f"The owner's consent expired at {consent['expiry']}.")
    terms = grant.terms
    purposes = (EVALUATE_HASH, keccak(str(consent["purpose"]).encode()))
    if terms.purpose_hash not in purposes or MODES[terms.mode] not in consent["modes"]:
        raise RefusedByPolicy(
            "purpose_refused",
            f"The owner agreed to {consent['purpose']!r} in {', '.join(consent['modes'])}; the grant is for another "
            "purpose or mode.",
            hint="Ask for a grant within the consent.",
        )
    if not any(terms.grantee_key):
        raise RefusedByPolicy("purpose_refused", "The grant names no key that a share could be sealed to.")


def _revoked(contribution_id: bytes) -> RefusedByPolicy:
    return RefusedByPolicy(
        "contribution_revoked",
        f"The owner revoked contribution {hex0x(contribution_id)}.",
        hint="Its key is gone; do without it.",
        contribution_id=hex0x(contribution_id),
    )
