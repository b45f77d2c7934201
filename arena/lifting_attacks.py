"""Row 7: somebody else's contribution or proof is lifted, altered or replayed; how many of 10,000 tries count for her?

Two DAOs on one chain and one on another take contributions of real texts. Each try takes an honest contribution with
its proof and one way to make it another's, and hands it to the checks that an evaluator and the operator run: the
manifest's, the opening of the sealed records, the proof's. Naive: whoever names an owner and shows that owner's (or
that evaluator's) good signature for whatever the message itself says is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from eth_account import Account
from eth_account.signers.local import LocalAccount

from arena.texts import intents
from rodagila.collect.contribution import SealedContribution, prepare_contribution, verify_manifest
from rodagila.core.errors import RodaError
from rodagila.core.hashing import keccak
from rodagila.core.messages import Domain, Proof, dao_id, digest, sign, signer_of
from rodagila.core.policy import Policy
from rodagila.core.records import Record
from rodagila.prove.checks import ACCEPTED, Evaluation, RecordStatus
from rodagila.prove.proof import sign_proof, verify_proof
from rodagila.vault.contents import open_contribution
from rodagila.vault.keeper import NodeKeeper

TRIES, OF = 2_000, 10_000
GIVEN, EACH = 20, 5
Measures = dict[str, tuple[float, float]]


def account(name: str) -> LocalAccount:
    """Return the account whose key ``name`` determines."""
    found: LocalAccount = Account.from_key(keccak(f"arena {name}".encode()))
    return found


HERE = Domain(1919902817, account("registry").address)
THERE = Domain(1919902817, account("another registry").address)
FAR = Domain(1, HERE.registry)
POLICY, OTHER_POLICY = Policy("arena"), Policy("another")
OWNER, THIEF, NODE = account("owner"), account("thief"), account("node")
KEEPER = NodeKeeper(NODE)


@dataclass(frozen=True, slots=True)
class Honest:
    """A contribution of the owner to the DAO that is here, and the evaluator's proof of it."""

    sealed: SealedContribution
    evaluation: Evaluation
    proof: Proof
    signature: bytes


def honest(texts: Sequence[tuple[str, str]], seed: int) -> list[Honest]:
    """Return contributions of ``texts`` (with their labels) drawn by ``seed``, each with its proof."""
    rng, found = np.random.default_rng([seed, 7]), []
    for number in range(GIVEN):
        rows = [texts[row] for row in rng.integers(0, len(texts), EACH)]
        records = [Record(text, label=label) for text, label in rows]
        sealed = prepare_contribution(
            records,
            owner=OWNER,
            domain=HERE,
            policy=POLICY,
            keeper_recipient=KEEPER.recipient,
            nonce=number,
            salt=rng.bytes(32),
            consent_expiry=2**40,
        )
        statuses = tuple(RecordStatus(at, ACCEPTED) for at in range(len(records)))
        evaluation = Evaluation((), statuses, int(rng.integers(500_000, 1_000_000)))
        signed = sign_proof(
            NODE,
            HERE,
            evaluation,
            contribution_id=sealed.contribution_id,
            owner=OWNER.address,
            policy_hash=POLICY.policy_hash(),
        )
        found.append(Honest(sealed, evaluation, *signed))
    return found


def taken(
    sealed: SealedContribution, domain: Domain, claimant: str, used: set[tuple[str, int]], stated: Domain | None = None
) -> bool:
    """Tell whether a DAO takes the contribution as ``claimant``'s: manifest checked, records opened."""
    try:
        verify_manifest(
            sealed.manifest,
            sealed.signature,
            sealed.ciphertext,
            sealed.sealed_key,
            domain=domain,
            policy_hash=POLICY.policy_hash(),
            used_nonces=lambda owner, nonce: (owner, nonce) in used,
            stated=stated,
        )
        opened = open_contribution(sealed.manifest, sealed.ciphertext, sealed.sealed_key, KEEPER, domain=domain)
    except RodaError:
        return False
    return opened.owner == claimant


def counts(
    proof: Proof, signature: bytes, domain: Domain, contribution_id: bytes, owner: str, evaluation: Evaluation
) -> bool:
    """Tell whether a DAO believes the proof of this contribution of ``owner``."""
    try:
        verify_proof(
            proof,
            signature,
            domain=domain,
            evaluator=NODE.address,
            contribution_id=contribution_id,
            owner=owner,
            policy_hash=POLICY.policy_hash(),
            evaluation=evaluation,
        )
    except RodaError:
        return False
    return True


def lifted(given: Honest, rng: np.random.Generator) -> tuple[bool, bool]:
    """Try to get a contribution by a way that ``rng`` picks; return whether it was taken, and by the naive check."""
    sealed, contribution = given.sealed, given.sealed.contribution
    elsewhere = (THERE, FAR)[rng.integers(2)]
    spent = {(OWNER.address, contribution.nonce)}

    def changed(signer: LocalAccount | None, domain: Domain, **fields: Any) -> SealedContribution:
        other = replace(contribution, **fields)
        manifest = replace(sealed.manifest, contribution=other)
        signature = sealed.signature if signer is None else sign(signer, domain, manifest)
        return replace(
            sealed,
            contribution=other,
            contribution_id=digest(domain, other),
            manifest=manifest,
            signature=signature,
            domain=domain,
        )

    def believed(shown: SealedContribution, signed_in: Domain) -> bool:
        return signer_of(signed_in, shown.manifest, shown.signature) == shown.contribution.owner

    elsewhere_id, thief = dao_id(elsewhere), THIEF.address
    ways: tuple[Callable[[], tuple[SealedContribution, Domain, str, Domain, Domain | None]], ...] = (
        # as it is, in another DAO or chain, whether or not the sender says where it was signed
        lambda: (sealed, elsewhere, OWNER.address, HERE, HERE),
        lambda: (sealed, elsewhere, OWNER.address, HERE, elsewhere),
        lambda: (sealed, elsewhere, OWNER.address, HERE, None),
        # again where it was taken
        lambda: (sealed, HERE, OWNER.address, HERE, None),
        lambda: (changed(None, HERE, nonce=contribution.nonce + GIVEN), HERE, OWNER.address, HERE, None),
        # the sealed bytes as the thief's own, here or there
        lambda: (changed(THIEF, HERE, owner=thief), HERE, thief, HERE, None),
        lambda: (changed(THIEF, elsewhere, owner=thief, dao=elsewhere_id), elsewhere, thief, elsewhere, None),
        # the owner's name over the thief's signature, here or there
        lambda: (changed(THIEF, HERE, nonce=contribution.nonce + GIVEN), HERE, OWNER.address, HERE, None),
        lambda: (changed(THIEF, elsewhere, dao=elsewhere_id), elsewhere, OWNER.address, elsewhere, None),
        # another DAO's name or another policy put over the old signature
        lambda: (changed(None, elsewhere, dao=elsewhere_id), elsewhere, OWNER.address, HERE, None),
        lambda: (changed(None, HERE, policy_hash=OTHER_POLICY.policy_hash()), HERE, OWNER.address, HERE, None),
    )
    shown, domain, claimant, signed_in, stated = ways[rng.integers(len(ways))]()
    return taken(shown, domain, claimant, spent, stated), believed(shown, signed_in)


def replayed(given: Honest, other: Honest, rng: np.random.Generator) -> tuple[bool, bool]:
    """Try to pass a proof off as another's by a way that ``rng`` picks; return whether it counts, and naively."""
    proof, signature = given.proof, given.signature
    elsewhere = (THERE, FAR)[rng.integers(2)]
    id_, there = given.sealed.contribution_id, digest(elsewhere, given.sealed.contribution)
    better = replace(given.evaluation, score_ppm=given.evaluation.score_ppm + 1)
    another = replace(proof, contribution_id=other.sealed.contribution_id)
    moved = replace(proof, dao=dao_id(elsewhere), contribution_id=there)
    strangers = sign(THIEF, HERE, proof)
    ways: tuple[tuple[Proof, bytes, Domain, bytes, str, Evaluation], ...] = (
        (proof, signature, elsewhere, id_, OWNER.address, given.evaluation),
        (proof, signature, elsewhere, there, OWNER.address, given.evaluation),
        (moved, signature, elsewhere, there, OWNER.address, given.evaluation),
        (proof, signature, HERE, other.sealed.contribution_id, OWNER.address, given.evaluation),
        (another, signature, HERE, other.sealed.contribution_id, OWNER.address, given.evaluation),
        (proof, signature, HERE, id_, THIEF.address, given.evaluation),
        (replace(proof, owner=THIEF.address), signature, HERE, id_, THIEF.address, given.evaluation),
        (proof, signature, HERE, id_, OWNER.address, better),
        (replace(proof, score=better.score_ppm), signature, HERE, id_, OWNER.address, better),
        (proof, strangers, HERE, id_, OWNER.address, given.evaluation),
    )
    shown, word, domain, wanted, owner, evaluation = ways[rng.integers(len(ways))]
    naive = signer_of(HERE, shown, word) == NODE.address
    return counts(shown, word, domain, wanted, owner, evaluation), naive


def lifting(seed: int, tries: int = TRIES) -> Measures:
    """Row 7: how many of 10,000 liftings and replays count; an honest contribution must be taken."""
    rng, given = np.random.default_rng([seed, 70]), honest(intents(), seed)
    for one in given:
        if not taken(one.sealed, HERE, OWNER.address, set()):
            raise RuntimeError("an honest contribution was refused, so refusals of others would show nothing")
        id_ = one.sealed.contribution_id
        if not counts(one.proof, one.signature, HERE, id_, OWNER.address, one.evaluation):
            raise RuntimeError("an honest proof was refused, so refusals of others would show nothing")
    found: Measures = {}
    for name, attack in (
        ("7 lifted", lambda one, _: lifted(one, rng)),
        ("7 replayed", lambda one, other: replayed(one, other, rng)),
    ):
        got = np.array([attack(given[at % GIVEN], given[(at + 1) % GIVEN]) for at in range(tries)])
        found[name] = (OF * float(got[:, 0].mean()), OF * float(got[:, 1].mean()))
    return found
