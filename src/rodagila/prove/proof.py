"""Proofs: the evaluator's signed word on one contribution.

A proof names contribution, owner, DAO, policy and the hash of all check results, and is signed in the DAO's EIP-712
domain: it cannot be lifted to another owner, contribution, DAO, chain or policy (DESIGN 6, Proof).

>>> proof, signature = sign_proof(                                             # doctest: +SKIP
...     node, domain, evaluation, contribution_id=opened.contribution_id, owner=ada, policy_hash=policy.policy_hash()
... )
"""

from __future__ import annotations

from collections.abc import Sequence

from eth_account.signers.local import LocalAccount

from rodagila.core.errors import NotAuthorised
from rodagila.core.merkle import ordered_root
from rodagila.core.messages import Domain, Proof, dao_id, sign, signer_of
from rodagila.prove.checks import Evaluation


def sign_proof(
    evaluator: LocalAccount,
    domain: Domain,
    evaluation: Evaluation,
    *,
    contribution_id: bytes,
    owner: str,
    policy_hash: bytes,
) -> tuple[Proof, bytes]:
    """Return the proof of ``evaluation`` and the evaluator's signature of it."""
    proof = Proof(
        contribution_id=contribution_id,
        owner=owner,
        dao=dao_id(domain),
        policy_hash=policy_hash,
        checks_hash=evaluation.checks_hash(),
        accepted=evaluation.accepted,
        score=evaluation.score_ppm,
    )
    return proof, sign(evaluator, domain, proof)


def verify_proof(
    proof: Proof,
    signature: bytes,
    *,
    domain: Domain,
    evaluator: str,
    contribution_id: bytes,
    owner: str,
    policy_hash: bytes,
    evaluation: Evaluation | None = None,
) -> None:
    """Check that ``proof`` is the evaluator's, for exactly this contribution; with ``evaluation``, of these results.

    Raises ``NotAuthorised`` proof_invalid that says which part differs.
    """
    differing = [
        name
        for name, given, required in (
            ("contribution", proof.contribution_id, contribution_id),
            ("owner", proof.owner, owner),
            ("DAO", proof.dao, dao_id(domain)),
            ("policy", proof.policy_hash, policy_hash),
        )
        if given != required
    ]
    if evaluation is not None and not differing:
        stated = (proof.checks_hash, proof.accepted, proof.score)
        if stated != (evaluation.checks_hash(), evaluation.accepted, evaluation.score_ppm):
            differing = ["check results"]
    if not differing and signer_of(domain, proof, signature) != evaluator:
        differing = ["signature"]
    if differing:
        raise NotAuthorised(
            "proof_invalid",
            f"The proof does not hold for contribution 0x{contribution_id.hex()}: its {differing[0]} differs.",
            hint=f"Ask evaluator {evaluator} for the proof of this contribution.",
        )


def proofs_root(digests: Sequence[bytes]) -> bytes:
    """Return the root over the proofs' digests in the order of their contributions."""
    return ordered_root(digests)
