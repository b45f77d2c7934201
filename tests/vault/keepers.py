"""A DAO's licenses and registry on an embedded ledger with keepers beside it, for the tests of releases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from clocks import StandingClock
from rodagila.chain.contracts import Contract, deploy, send_wei
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.core.canonical import json_hash
from rodagila.core.hashing import ZERO_HASH, keccak
from rodagila.core.messages import Contribution, Domain, Manifest, dao_id, digest, sign
from rodagila.core.releases import ReleaseRequest
from rodagila.vault.grants import GrantReader, Terms, grant_id
from rodagila.vault.sealing import age_identity, object_identity, recipient_of, seal
from rodagila.vault.share_keeper import Released, ShareKeeper, SignedRequest, VolumeRules
from rodagila.vault.split_keys import public_key_of, split_key

DAY = 86_400
COMPUTE, RELEASE = 2, 3
EVALUATE = keccak(b"evaluate")
CODE = keccak(b"code")
OWNER, ADA, EVALUATOR, STRANGER, *KEEPERS = (
    Account.from_key(keccak(name)) for name in (b"owner", b"ada", b"evaluator", b"stranger", b"k1", b"k2", b"k3")
)


@dataclass(frozen=True, slots=True)
class Deposit:
    """A contribution as its owner hands it to keepers."""

    id: bytes
    manifest: Manifest
    signature: bytes
    split: bytes
    consent: dict[str, Any]
    ciphertext: bytes
    object_key: str


@dataclass
class Stand:
    """The ledger with its contracts, three keepers, and what tests do with them."""

    path: Path
    clock: StandingClock
    ledger: EmbeddedLedger
    registry: Contract
    licenses: Contract
    keepers: list[ShareKeeper] = field(default_factory=list)
    number: int = 0

    @property
    def domain(self) -> Domain:
        return Domain(self.ledger.chain_id, self.registry.address)

    def reader(self) -> GrantReader:
        return GrantReader([self.ledger], self.domain, self.licenses.address)

    def keeper(self, place: int, volume: VolumeRules | None = None) -> ShareKeeper:
        path = self.path / f"keeper{place}.sqlite"
        return ShareKeeper(path, KEEPERS[place], self.reader(), clock=self.clock, volume=volume)

    def contribution(
        self,
        *,
        threshold: int = 2,
        modes: Sequence[str] = ("api", "compute"),
        purpose: str = "answers",
        owner: Any = ADA,
    ) -> Deposit:
        self.number += 1
        consent = {"purpose": purpose, "modes": list(modes), "expiry": self.clock.now + 30 * DAY}
        contribution = Contribution(
            owner.address, dao_id(self.domain), keccak(b"policy"), keccak(b"root"), 1, json_hash(consent), self.number
        )
        id_ = digest(self.domain, contribution)
        key = object_identity()
        ciphertext = seal(b"records", [recipient_of(age_identity(owner)), recipient_of(key)])
        recipients = [recipient_of(age_identity(keeper)) for keeper in KEEPERS]
        split = split_key(str(key), id_, recipients, threshold=threshold)
        manifest = Manifest(contribution, keccak(ciphertext), keccak(split))
        return Deposit(id_, manifest, sign(owner, self.domain, manifest), split, consent, ciphertext, str(key))

    def kept(self, **settings: Any) -> Deposit:
        """A contribution that all keepers hold their share of."""
        made = self.contribution(**settings)
        for keeper in self.keepers:
            keeper.deposit(made.manifest, made.signature, made.split, made.consent)
        return made

    def terms(self, scope: bytes, **other: Any) -> Terms:
        key = public_key_of(recipient_of(age_identity(EVALUATOR)))
        usual = {
            "grantee": EVALUATOR.address,
            "grantee_key": key,
            "mode": COMPUTE,
            "scope_root": scope,
            "purpose_hash": EVALUATE,
            "code_hash": CODE,
            "decision": keccak(b"decision"),
            "salt": ZERO_HASH,
        }
        return Terms(**(usual | other))

    def grant(self, scope: bytes | None = None, *, seconds: int = DAY, **other: Any) -> bytes:
        """A grant on the ledger; of everything in the DAO unless a scope is given."""
        terms = self.terms(dao_id(self.domain) if scope is None else scope, **other)
        values = tuple(getattr(terms, name) for name in Terms.__slots__)
        self.licenses.transact(OWNER, "grant", values, self.clock.now + seconds)
        return grant_id(self.ledger.chain_id, self.licenses.address, terms)

    def request(
        self,
        grant: bytes,
        contribution: bytes,
        *,
        keeper: int = 0,
        nonce: int = 1,
        signer: LocalAccount = EVALUATOR,
        proof: Sequence[bytes] = (),
        deadline: int = 300,
    ) -> SignedRequest:
        asked = ReleaseRequest(grant, contribution, KEEPERS[keeper].address, nonce, self.clock.now + deadline)
        return SignedRequest(asked, sign(signer, self.domain, asked), tuple(proof))

    def ask(self, grant: bytes, contribution: bytes, **settings: Any) -> Released:
        """The answer of one keeper to one request; raises what it was refused with."""
        keeper = self.keepers[settings.get("keeper", 0)]
        (answer,) = keeper.release([self.request(grant, contribution, **settings)])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        for keeper in self.keepers:
            keeper.close()
        self.ledger.close()


def open_stand(path: Path) -> Stand:
    clock = StandingClock()
    ledger = EmbeddedLedger.open(path / "ledger.sqlite", clock=clock)
    for account in (OWNER, ADA):
        send_wei(ledger, ledger.faucet, account.address, 10**18)
    registry = deploy(ledger, OWNER, "Registry", OWNER.address, OWNER.address, keccak(b"policy"))
    licenses = deploy(ledger, OWNER, "Licenses", OWNER.address, OWNER.address)
    stand = Stand(path, clock, ledger, registry, licenses)
    stand.keepers = [stand.keeper(place) for place in range(3)]
    return stand
