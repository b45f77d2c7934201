"""The public file of a turn: all that anyone needs to recompute every value, payout, proof and root (MECHANISM 6).

Canonical JSON (RFC 8785). Its Keccak-256 is the ``publicHash`` that is posted with the turn's root. Reading is strict:
a size cap first, then closed objects with typed fields, then the laws that hold between fields, and last the bytes must
be exactly what writing would give.

    format, domain, rewards, bonds, dao_token, turn, policy, code_version, embedder, seed, salt
    contributions   id, owner, turn, batch, bond, records (-1 accepted, -2 refused, else the place it duplicates)
    targets         table of target texts; records, reference, queries, gate hold codes into it beside base64 vectors
    weights, excluded, fees, rollover_in, previous, previous_issued, model, proofs_root
    outcome         lambda, pool, payable, paid, dust, rollover, payouts, slashes, issuable, issued, tokens, roots

Example: ``load(dump(turn)) == turn`` field by field, and ``public_hash(turn)`` is ``keccak(dump(turn))``.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rodagila.core.canonical import canonical_json
from rodagila.core.errors import NotFound
from rodagila.core.hashing import keccak
from rodagila.core.messages import Domain
from rodagila.core.policy import Policy
from rodagila.reward import encoding as code
from rodagila.reward.facts import ContributionEntry, ModelClaim, Outcome, TurnFacts, compute
from rodagila.reward.laws import check_facts
from rodagila.reward.roots import Fee

FORMAT = "rodagila-turn-2"
MAX_BYTES = 512 * 2**20
_CONTRACTS = ("rewards", "bonds", "dao_token")
_HEAD = {"format", "domain", *_CONTRACTS, "turn", "policy", "code_version", "embedder", "seed", "salt", "dimensions"}
_SETS = {"contributions", "targets", "records", "reference", "queries", "weights", "gate", "excluded"}
_MONEY = {"fees", "rollover_in", "previous", "previous_issued", "model", "proofs_root", "outcome"}
_NUMBERS = ("pool", "payable", "paid", "dust", "rollover", "issuable", "issued")


@dataclass(frozen=True, slots=True)
class PublicTurn:
    """What is published of a turn: its facts and what the operator says follows from them."""

    facts: TurnFacts
    outcome: Outcome


def publish(facts: TurnFacts) -> PublicTurn:
    """Return the public turn of ``facts``, computed here; raises ``InvalidInput`` if they break a law of the file."""
    check_facts(facts)
    return PublicTurn(facts, compute(facts).outcome)


def dump(turn: PublicTurn) -> bytes:
    """Return the canonical bytes of the public file."""
    return canonical_json({**_facts_as_json(turn.facts), "outcome": _outcome_as_json(turn.outcome)})


def public_hash(turn: PublicTurn) -> bytes:
    """Return the Keccak-256 of the public file's bytes."""
    return keccak(dump(turn))


def load(data: bytes, max_bytes: int = MAX_BYTES) -> PublicTurn:
    """Return the public turn of ``data``; raises ``InvalidInput`` unless it is exactly what ``dump`` writes."""
    if len(data) > max_bytes:
        raise code.refuse("the whole", f"at most {max_bytes:,} bytes; it has {len(data):,}")
    try:
        turn = _from_json(json.loads(data))
        same = dump(turn) == data
    except (ValueError, RecursionError) as error:  # malformed JSON or UTF-8, lone surrogates, numbers of absurd length
        raise code.refuse("the whole", "JSON in UTF-8") from error
    if not same:
        raise code.refuse("the whole", "canonical JSON (RFC 8785)")
    check_facts(turn.facts)
    return turn


def write_public(turn: PublicTurn, path: Path) -> bytes:
    """Write the file at once, never in part, and return its hash."""
    data = dump(turn)
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(path)
    return keccak(data)


def read_public(path: Path, max_bytes: int = MAX_BYTES) -> PublicTurn:
    """Return the public turn in the file at ``path``; raises ``NotFound`` or ``InvalidInput``."""
    try:
        with path.open("rb") as source:
            data = source.read(max_bytes + 1)
    except FileNotFoundError as error:
        raise NotFound("file_unknown", f"There is no public file at {path}.") from error
    return load(data, max_bytes)


def _facts_as_json(facts: TurnFacts) -> dict[str, Any]:
    sets = {"records": facts.records, "reference": facts.reference, "queries": facts.queries, "gate": facts.gate}
    return {
        "format": FORMAT,
        "domain": {"chain_id": str(facts.domain.chain_id), "registry": facts.domain.registry},
        **{name: getattr(facts, name) for name in _CONTRACTS},
        "turn": facts.turn,
        "policy": facts.policy.as_json(),
        "code_version": facts.code_version,
        "embedder": code.write_hash(facts.embedder),
        "seed": str(facts.seed),
        "salt": code.write_hash(facts.salt),
        "dimensions": int(facts.records.vectors.shape[1]),
        "contributions": [_entry_as_json(entry) for entry in facts.contributions],
        "targets": list(facts.targets),
        **{name: code.write_examples(part) for name, part in sets.items()},
        "weights": facts.weights.tolist(),
        "excluded": list(facts.excluded),
        "fees": [{"account": fee.account, "calls": fee.calls, "amount": str(fee.amount)} for fee in facts.fees],
        "rollover_in": str(facts.rollover_in),
        "previous": code.write_amounts(facts.previous),
        "previous_issued": code.write_amounts(facts.previous_issued),
        "model": {
            "hash": code.write_hash(facts.model.hash),
            "parent": code.write_hash(facts.model.parent),
            "baseline_ppm": facts.model.baseline_ppm,
            "metric_ppm": facts.model.metric_ppm,
        },
        "proofs_root": code.write_hash(facts.proofs_root),
    }


def _entry_as_json(entry: ContributionEntry) -> dict[str, Any]:
    return {
        "id": code.write_hash(entry.id),
        "owner": entry.owner,
        "turn": entry.turn,
        "batch": entry.batch,
        "bond": str(entry.bond),
        "records": list(entry.statuses),
    }


def _outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "lambda_ppm": outcome.lambda_ppm,
        **{name: str(getattr(outcome, name)) for name in _NUMBERS},
        "payouts": code.write_amounts(outcome.payouts),
        "slashes": {code.write_hash(key): str(slash) for key, slash in outcome.slashes.items()},
        "tokens": code.write_amounts(outcome.tokens),
        "roots": {name: code.write_hash(root) for name, root in outcome.roots.items()},
    }


def _from_json(value: Any) -> PublicTurn:
    body = code.read_object(value, _HEAD | _SETS | _MONEY, "the whole")
    if body["format"] != FORMAT:
        raise code.refuse("format", FORMAT)
    domain = code.read_object(body["domain"], {"chain_id", "registry"}, "domain")
    dimensions = code.read_dimensions(body["dimensions"])
    targets = tuple(code.read_text(text, "targets") for text in code.read_list(body["targets"], "targets"))
    sets = {
        name: code.read_examples(body[name], dimensions, len(targets), name)
        for name in ("records", "reference", "queries", "gate")
    }
    facts = TurnFacts(
        domain=Domain(
            code.read_amount(domain["chain_id"], "chain_id"), code.read_address(domain["registry"], "registry")
        ),
        rewards=code.read_address(body["rewards"], "rewards"),
        bonds=code.read_address(body["bonds"], "bonds"),
        dao_token=code.read_address(body["dao_token"], "dao_token"),
        turn=code.read_integer(body["turn"], "turn", 1),
        policy=_policy(body["policy"]),
        code_version=code.read_text(body["code_version"], "code_version"),
        embedder=code.read_hash(body["embedder"], "embedder"),
        seed=code.read_amount(body["seed"], "seed"),
        salt=code.read_hash(body["salt"], "salt"),
        contributions=tuple(_entry(entry) for entry in code.read_list(body["contributions"], "contributions")),
        targets=targets,
        **sets,
        weights=code.read_weights(body["weights"]),
        excluded=tuple(code.read_integer(place, "excluded") for place in code.read_list(body["excluded"], "excluded")),
        fees=tuple(_fee(fee) for fee in code.read_list(body["fees"], "fees")),
        rollover_in=code.read_amount(body["rollover_in"], "rollover_in"),
        previous=code.read_amounts(body["previous"], "previous"),
        previous_issued=code.read_amounts(body["previous_issued"], "previous_issued"),
        model=_model(body["model"]),
        proofs_root=code.read_hash(body["proofs_root"], "proofs_root"),
    )
    return PublicTurn(facts, _outcome(body["outcome"]))


def _policy(value: Any) -> Policy:
    try:
        policy = Policy.from_json(value)
    except (TypeError, ValueError) as error:
        raise code.refuse("policy", "a policy as Rodagila writes it") from error
    if not _same_shape(policy.as_json(), Policy("any").as_json()):
        raise code.refuse("policy", "a policy whose fields have their types")
    return policy


def _same_shape(given: Any, model: Any) -> bool:
    if isinstance(model, dict):
        return isinstance(given, dict) and all(_same_shape(given.get(name), part) for name, part in model.items())
    return type(given) is type(model)


def _entry(value: Any) -> ContributionEntry:
    body = code.read_object(value, {"id", "owner", "turn", "batch", "bond", "records"}, "contributions")
    return ContributionEntry(
        id=code.read_hash(body["id"], "contributions.id"),
        owner=code.read_address(body["owner"], "contributions.owner"),
        turn=code.read_integer(body["turn"], "contributions.turn", 1),
        batch=code.read_integer(body["batch"], "contributions.batch", 1),
        bond=code.read_amount(body["bond"], "contributions.bond"),
        statuses=tuple(
            code.read_integer(status, "contributions.records", -2)
            for status in code.read_list(body["records"], "contributions.records")
        ),
    )


def _fee(value: Any) -> Fee:
    body = code.read_object(value, {"account", "calls", "amount"}, "fees")
    return Fee(
        code.read_address(body["account"], "fees.account"),
        code.read_integer(body["calls"], "fees.calls"),
        code.read_amount(body["amount"], "fees.amount"),
    )


def _model(value: Any) -> ModelClaim:
    body = code.read_object(value, {"hash", "parent", "baseline_ppm", "metric_ppm"}, "model")
    return ModelClaim(
        code.read_hash(body["hash"], "model.hash"),
        code.read_hash(body["parent"], "model.parent"),
        code.read_integer(body["baseline_ppm"], "model.baseline_ppm", 0, 1_000_000),
        code.read_integer(body["metric_ppm"], "model.metric_ppm", 0, 1_000_000),
    )


def _outcome(value: Any) -> Outcome:
    names = {"lambda_ppm", *_NUMBERS, "payouts", "slashes", "tokens", "roots"}
    body = code.read_object(value, names, "outcome")
    roots = body["roots"]
    if not isinstance(roots, dict):
        raise code.refuse("outcome.roots", "an object of roots by name")
    return Outcome(
        lambda_ppm=code.read_integer(body["lambda_ppm"], "outcome.lambda_ppm", 0, 1_000_000),
        **{name: code.read_amount(body[name], f"outcome.{name}") for name in _NUMBERS},
        payouts=code.read_amounts(body["payouts"], "outcome.payouts"),
        slashes={
            key: code.read_amount(slash, "outcome.slashes")
            for key, slash in code.read_hashed(body["slashes"], "outcome.slashes")
        },
        tokens=code.read_amounts(body["tokens"], "outcome.tokens"),
        roots={name: code.read_hash(root, f"outcome.roots.{name}") for name, root in roots.items()},
    )
