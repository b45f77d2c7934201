"""The checks that make a proof: authentic, owned, well-formed, good, clean, unique (DESIGN 6, Proof).

*authentic*: the manifest is signed by the owner it names, for this DAO and policy. *owned*: owner, count and every
commitment recompute from the opened contents. *well-formed*: size, characters, a target for the model's task. *good*:
looks like language. *clean*: without findings (``prove.findings``), of which the policy says which refuse a record.
*unique*: neither this text nor nearly this text has an earlier place; nearness by embedding is reported, not punished.
If one of the first two fails, no record is accepted.

>>> evaluation = evaluate(                                                     # doctest: +SKIP
...     opened, manifest=manifest, signature=signature, domain=domain, policy=policy, vectors=vectors,
...     seen=SeenRecords(), first_place=0,
... )
>>> [check.name for check in evaluation.checks]                                # doctest: +SKIP
['authentic', 'owned', 'well_formed', 'good', 'clean', 'unique']
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rodagila.core.canonical import canonical_json, json_hash
from rodagila.core.errors import InvalidInput
from rodagila.core.messages import Domain, Manifest, dao_id, digest, signer_of
from rodagila.core.money import PPM
from rodagila.core.policy import Policy
from rodagila.core.records import Record
from rodagila.core.vectors import Int8Array
from rodagila.prove.duplicates import SeenRecords, highest_cosines
from rodagila.prove.findings import KINDS, REASONS, Findings
from rodagila.prove.quality import quality_ppm
from rodagila.vault.contents import OpenedContribution, content_root

ACCEPTED, REFUSED, DUPLICATE = "accepted", "refused", "duplicate"
_WHITESPACE = "\n\r\t"


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one rule on one contribution; ``score_ppm`` in millionths of 1."""

    name: str
    passed: bool
    score_ppm: int
    detail: str


@dataclass(frozen=True, slots=True)
class RecordStatus:
    """What became of one record: accepted, refused for ``reason``, or duplicate of the record at a place.

    ``nearest_ppm`` is the highest cosine to any earlier record, in millionths.
    """

    index: int
    status: str
    reason: str = ""
    duplicate_of: int | None = None
    nearest_ppm: int = 0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All check results of one contribution; its hash is what the proof signs."""

    checks: tuple[Check, ...]
    statuses: tuple[RecordStatus, ...]
    score_ppm: int

    @property
    def accepted(self) -> int:
        """The number of accepted records."""
        return sum(status.status == ACCEPTED for status in self.statuses)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that is hashed and published."""
        return {
            "checks": [asdict(check) for check in self.checks],
            "statuses": [asdict(status) for status in self.statuses],
            "score_ppm": self.score_ppm,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Evaluation:
        """Return the evaluation of ``as_json``'s object."""
        checks = tuple(Check(**check) for check in body["checks"])
        statuses = tuple(RecordStatus(**status) for status in body["statuses"])
        return cls(checks, statuses, int(body["score_ppm"]))

    def checks_hash(self) -> bytes:
        """Return Keccak-256 of the canonical JSON."""
        return json_hash(self.as_json())


def evaluate(
    opened: OpenedContribution,
    *,
    manifest: Manifest,
    signature: bytes,
    domain: Domain,
    policy: Policy,
    vectors: Int8Array,
    seen: SeenRecords,
    first_place: int,
) -> Evaluation:
    """Run all checks on ``opened`` and add its accepted records to ``seen`` under their places.

    ``vectors`` (n, d) are the int8 embeddings of its n records, ``first_place`` the place of its first record. Asking
    again with what was added gives the same evaluation. Raises ``InvalidInput`` invalid_request if n differs.
    """
    if vectors.shape[0] != len(opened.records):
        raise InvalidInput(
            "invalid_request", f"{len(opened.records)} records need as many vectors, given {vectors.shape[0]}."
        )
    authentic = _authentic(opened, manifest, signature, domain, policy)
    owned = _owned(opened, manifest, domain)
    gate = next((check.name for check in (authentic, owned) if not check.passed), "")
    faults = [_fault(record, policy) for record in opened.records]
    qualities = [0 if fault else quality_ppm(record.text) for fault, record in zip(faults, opened.records, strict=True)]
    rules = Findings(policy.checks)
    findings = [
        () if gate or fault else rules.of(record.text) for fault, record in zip(faults, opened.records, strict=True)
    ]
    reasons = [
        f"not_{gate}" if gate else fault or _poor(quality, policy) or rules.refusing(found)
        for fault, quality, found in zip(faults, qualities, findings, strict=True)
    ]
    if len(opened.records) > policy.records.max_records:
        reasons = [reason or "too_many_records" for reason in reasons]
    statuses = _statuses(opened.records, reasons, vectors, policy, seen, first_place)
    checks = (
        authentic,
        owned,
        _well_formed(reasons),
        _good(qualities, reasons),
        _clean(findings, reasons),
        _unique(statuses, policy),
    )
    return Evaluation(checks, statuses, _score(statuses, qualities))


def _authentic(
    opened: OpenedContribution, manifest: Manifest, signature: bytes, domain: Domain, policy: Policy
) -> Check:
    contribution = manifest.contribution
    if contribution.dao != dao_id(domain):
        return _verdict("authentic", False, "signed for another DAO")
    if contribution.policy_hash != policy.policy_hash():
        return _verdict("authentic", False, "signed under another policy")
    if opened.contribution_id != digest(domain, contribution):
        return _verdict("authentic", False, "the manifest is of another contribution")
    signed = signer_of(domain, manifest, signature) == contribution.owner
    return _verdict("authentic", signed, "signed by the owner" if signed else "not signed by the owner it names")


def _owned(opened: OpenedContribution, manifest: Manifest, domain: Domain) -> Check:
    contribution = manifest.contribution
    if opened.owner != contribution.owner:
        return _verdict("owned", False, "the contents name another owner")
    if len(opened.records) != contribution.count:
        return _verdict("owned", False, f"{len(opened.records)} records, {contribution.count} signed")
    same = content_root(domain, opened.owner, opened.salt, opened.records) == contribution.content_root
    return _verdict("owned", same, "all commitments recompute" if same else "a commitment does not recompute")


def _verdict(name: str, passed: bool, detail: str) -> Check:
    return Check(name, passed, PPM if passed else 0, detail)


def _fault(record: Record, policy: Policy) -> str:
    """Return why a record is not well-formed, or nothing."""
    rules = policy.records
    if any("\ud800" <= char <= "\udfff" for part in (record.text, record.label, record.answer) for char in part):
        return "not_text"
    if any(_is_control(char) for part in (record.text, record.label, record.answer) for char in part):
        return "control_characters"
    if len(canonical_json(record.as_json())) > rules.max_bytes:
        return "too_large"
    if len(record.text.strip()) < rules.min_chars:
        return "too_short"
    target = record.label if policy.model.task == "classify" else record.target
    return "" if target.strip() else "no_target"


def _is_control(char: str) -> bool:
    return not char.isprintable() and char not in _WHITESPACE and unicodedata.category(char) == "Cc"


def _statuses(
    records: Sequence[Record],
    reasons: Sequence[str],
    vectors: Int8Array,
    policy: Policy,
    seen: SeenRecords,
    first_place: int,
) -> tuple[RecordStatus, ...]:
    earlier = seen.nearest_ppm(vectors, before=first_place)
    statuses: list[RecordStatus] = []
    accepted: list[int] = []
    for index, (record, reason) in enumerate(zip(records, reasons, strict=True)):
        if reason:
            statuses.append(RecordStatus(index, REFUSED, reason))
            continue
        place = first_place + index
        own = highest_cosines(vectors[index : index + 1], vectors[accepted])[0] if accepted else earlier[index]
        nearest = max(earlier[index], own)
        original = seen.duplicate_of(record, before=place, jaccard_ppm=policy.checks.minhash_jaccard_ppm)
        if original is not None:
            statuses.append(RecordStatus(index, DUPLICATE, "same_text", original, nearest))
            continue
        seen.add(place, record, vectors[index])
        accepted.append(index)
        statuses.append(RecordStatus(index, ACCEPTED, nearest_ppm=nearest))
    return tuple(statuses)


def _well_formed(reasons: Sequence[str]) -> Check:
    later = ("", "low_quality", *REASONS.values())
    return _share("well_formed", [reason in later for reason in reasons], "well-formed")


def _poor(quality: int, policy: Policy) -> str:
    return "low_quality" if quality < policy.checks.min_quality_ppm else ""


def _clean(findings: Sequence[Sequence[str]], reasons: Sequence[str]) -> Check:
    refused = sum(reason in REASONS.values() for reason in reasons)
    counts = [(kind, sum(kind in found for found in findings)) for kind in KINDS]
    told = ", ".join(f"{count} {kind}" for kind, count in counts if count)
    clean = sum(not found for found in findings)
    detail = f"{clean} of {len(findings)} without findings" + (f": {told}" if told else "")
    return Check("clean", refused == 0, clean * PPM // max(1, len(findings)), detail)


def _good(qualities: Sequence[int], reasons: Sequence[str]) -> Check:
    low = sum(reason == "low_quality" for reason in reasons)
    mean = sum(qualities) // max(1, len(qualities))
    return Check("good", low == 0, mean, f"{low} of {len(reasons)} do not look like language")


def _unique(statuses: Sequence[RecordStatus], policy: Policy) -> Check:
    check = _share("unique", [status.status != DUPLICATE for status in statuses], "new")
    near = sum(status.nearest_ppm >= policy.checks.near_cosine_ppm for status in statuses)
    return Check(check.name, check.passed, check.score_ppm, f"{check.detail}; {near} near an earlier one by embedding")


def _share(name: str, passed: Sequence[bool], word: str) -> Check:
    count, total = sum(passed), len(passed)
    return Check(name, count == total, count * PPM // max(1, total), f"{count} of {total} {word}")


def _score(statuses: Sequence[RecordStatus], qualities: Sequence[int]) -> int:
    """Return the mean over all records of the quality of the accepted ones, in millionths."""
    earned = [quality for status, quality in zip(statuses, qualities, strict=True) if status.status == ACCEPTED]
    return sum(earned) // max(1, len(statuses))
