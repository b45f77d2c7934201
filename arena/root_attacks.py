"""Row 19: an operator posts roots wrong by one unit, or withholds the data; is each rejected, and no honest one?

Wrong by one: a unit of one owner's payout, slash or tokens is another's, with trees, file, hash and sums all posted as
if they were right; or one value of the public file is off by one and the ledger's hash is that of the changed file;
or one of the facts that the operator states is off by one and everything that follows from it is recomputed and posted.
Withheld: the file behind the posted hash is not there, is cut short, is another turn's, or is one that hashes to
something else. Rejected means that reading the file or the audit against the ledger objects.

Naive: an audit that trusts totals: it compares the posted roots and sums with those in the file and adds them up.
"""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from arena.stands import HonestLedger, make_turns
from rodagila.core.canonical import canonical_json
from rodagila.core.errors import InvalidInput, RodaError
from rodagila.reward.audit import audit_turn
from rodagila.reward.facts import TurnFacts, accepted_sources, compute, target_names
from rodagila.reward.public import PublicTurn, dump, load, public_hash, publish, read_public, write_public
from rodagila.reward.tree import Site, payout_tree, slash_tree, token_tree

TRIES, OF = 200, 1_000
Place = tuple[Any, ...]
Measures = dict[str, tuple[float, float]]
POSTED = ("payout_root", "slash_root", "token_root", "public_hash", "paid", "issued", "pool")


@cache
def turns(seed: int) -> tuple[PublicTurn, ...]:
    """Return two honest turns on random data; their model is a claim."""
    return tuple(make_turns(seed))


def leaves(value: Any, path: Place = ()) -> list[Place]:
    """Return the path of every scalar of a JSON value."""
    if isinstance(value, dict):
        return [leaf for name, item in value.items() for leaf in leaves(item, (*path, name))]
    if isinstance(value, list):
        return [leaf for index, item in enumerate(value) for leaf in leaves(item, (*path, index))]
    return [path]


def changed_scalar(value: Any, step: int) -> Any:
    """Return another value of the same type: a number off by ``step``, one flipped digit or letter of a text."""
    if isinstance(value, int):
        return value + step
    if value.isdigit():
        return str(int(value) + step) if int(value) + step >= 0 else str(int(value) + 1)
    at = len(value) // 2
    return value[:at] + ("b" if value[at] != "b" else "c") + value[at + 1 :]


def with_change(body: dict[str, Any], path: Place, step: int) -> bytes:
    """Return the public file's bytes with the one value at ``path`` changed by ``step``."""
    body = copy.deepcopy(body)
    holder: Any = body
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = changed_scalar(holder[path[-1]], step)
    return canonical_json(body)


def objected(data: bytes, before: PublicTurn | None, ledger: Any) -> bool:
    """Tell whether reading refuses the file or the audit against the ledger objects; the model's claim is let be."""
    try:
        public = load(data)
    except InvalidInput:
        return True
    return not audit_turn(public, before, ledger, None).ok


def posting(done: tuple[PublicTurn, ...], wrong: PublicTurn, **more: Any) -> HonestLedger:
    """Return the ledger on which all is as in ``done``, but the last turn's roots, hash and sums are ``wrong``'s."""
    number = len(done)
    forged = HonestLedger([*done[:-1], wrong]).turn(number)
    return HonestLedger(list(done), {number: {name: getattr(forged, name) for name in POSTED} | more})


def trusting(wrong: PublicTurn, ledger: HonestLedger) -> bool:
    """Tell whether an audit that trusts totals accepts: roots and sums as posted, and the sums add up."""
    stated, outcome = ledger.turn(wrong.facts.turn), wrong.outcome
    assert stated is not None
    roots = tuple(outcome.roots[name] for name in ("payouts", "slashes", "tokens"))
    same = roots == (stated.payout_root, stated.slash_root, stated.token_root)
    sums = (sum(outcome.payouts.values()), sum(outcome.tokens.values())) == (outcome.paid, outcome.issued)
    return same and sums and (stated.paid, stated.issued, stated.pool) == (outcome.paid, outcome.issued, outcome.pool)


# Wrong by one unit -------------------------------------------------------------------------------------------------


def moved(amounts: dict[Any, int], rng: np.random.Generator) -> dict[Any, int]:
    """Return ``amounts`` with one unit of one account at another's, the sum unchanged."""
    names = list(amounts)
    giver = rng.choice([at for at, name in enumerate(names) if amounts[name] > 0])
    taker = rng.choice([at for at in range(len(names)) if at != giver])
    return amounts | {names[giver]: amounts[names[giver]] - 1, names[taker]: amounts[names[taker]] + 1}


def shifted(public: PublicTurn, rng: np.random.Generator) -> PublicTurn:
    """Return the turn with a unit moved between two payouts, slashes or issues, and the trees rebuilt over that."""
    facts, outcome, true = public.facts, public.outcome, compute(public.facts).settlement
    chain, roots = facts.domain.chain_id, dict(public.outcome.roots)
    kind = rng.integers(3)
    if kind == 0:
        payouts = moved(outcome.payouts, rng)
        cumulative = {name: true.cumulative[name] + payouts[name] - outcome.payouts[name] for name in payouts}
        tree = payout_tree(Site(chain, facts.rewards), facts.turn, {**true.cumulative, **cumulative})
        changed = replace(outcome, payouts=payouts, roots=roots | {"payouts": tree.root})
    elif kind == 1:
        slashes = moved(outcome.slashes, rng) if any(outcome.slashes.values()) else _raised(outcome.slashes, rng)
        owners = {entry.id: entry.owner for entry in facts.contributions}
        tree = slash_tree(Site(chain, facts.bonds), facts.turn, slashes, owners)
        changed = replace(outcome, slashes=slashes, roots=roots | {"slashes": tree.root})
    else:
        tokens = moved(outcome.tokens, rng)
        issued = {name: true.cumulative_issued[name] + tokens[name] - outcome.tokens[name] for name in tokens}
        tree = token_tree(Site(chain, facts.dao_token), facts.turn, {**true.cumulative_issued, **issued})
        changed = replace(outcome, tokens=tokens, roots=roots | {"tokens": tree.root})
    return PublicTurn(facts, changed)


def _raised(slashes: dict[bytes, int], rng: np.random.Generator) -> dict[bytes, int]:
    key = list(slashes)[rng.integers(len(slashes))]
    return slashes | {key: slashes[key] + 1}


def restated(facts: TurnFacts, rng: np.random.Generator) -> TurnFacts:
    """Return the facts with one of them off by one unit."""

    def bonds() -> dict[str, Any]:
        at = int(rng.choice([i for i, e in enumerate(facts.contributions) if e.turn == facts.turn]))
        entry = facts.contributions[at]
        wrong = replace(entry, bond=entry.bond + 1)
        return {"contributions": (*facts.contributions[:at], wrong, *facts.contributions[at + 1 :])}

    def fees() -> dict[str, Any]:
        at = int(rng.integers(len(facts.fees)))
        wrong = replace(facts.fees[at], amount=facts.fees[at].amount + 1)
        return {"fees": (*facts.fees[:at], wrong, *facts.fees[at + 1 :])}

    def earlier() -> dict[str, Any]:
        names = [name for name, amount in facts.previous.items() if amount > 0]
        name = names[rng.integers(len(names))]
        return {"previous": facts.previous | {name: facts.previous[name] - 1}}

    def vector() -> dict[str, Any]:
        part = ("records", "queries", "reference")[rng.integers(3)]
        old = getattr(facts, part)
        vectors = old.vectors.copy()
        at = rng.integers(len(vectors)), rng.integers(vectors.shape[1])
        vectors[at] += 1 if vectors[at] < 127 else -1
        return {part: replace(old, vectors=vectors)}

    def rollover() -> dict[str, Any]:
        return {"rollover_in": facts.rollover_in + 1}

    ways: tuple[Callable[[], dict[str, Any]], ...] = (bonds, fees, earlier, vector, rollover)
    return replace(facts, **ways[rng.integers(len(ways))]())


def wrong_root(done: tuple[PublicTurn, ...], body: dict[str, Any], rng: np.random.Generator) -> tuple[bool, bool]:
    """Post roots wrong by one unit in a way that ``rng`` picks; return whether they pass, and naively."""
    public = done[-1]
    kind = rng.integers(3)
    if kind == 0:
        wrong = shifted(public, rng)
    elif kind == 1:
        wrong = publish(restated(public.facts, rng))
    else:
        paths = leaves(body)
        data = with_change(body, paths[rng.integers(len(paths))], int(rng.choice([-1, 1])))
        honest = HonestLedger(list(done))
        passed = not objected(data, done[-2], honest)
        try:
            return passed, trusting(load(data), honest)
        except InvalidInput:
            return passed, False
    ledger = posting(done, wrong)
    rejected = objected(dump(wrong), done[-2], ledger) or owner_objects(wrong.facts, public.facts)
    return not rejected, trusting(wrong, ledger)


def owner_objects(stated: TurnFacts, true: TurnFacts) -> bool:
    """Tell whether an owner who embeds her own texts of the turn again (``true``) finds other vectors or targets."""
    own = [at for at, source in enumerate(accepted_sources(true)) if true.contributions[source].turn == true.turn]
    names = (target_names(stated, stated.records), target_names(true, true.records))
    same = np.array_equal(stated.records.vectors[own], true.records.vectors[own])
    return not same or any(names[0][at] != names[1][at] for at in own)


# Withheld data -----------------------------------------------------------------------------------------------------


def withheld(done: tuple[PublicTurn, ...], folder: Path, rng: np.random.Generator) -> tuple[bool, bool]:
    """Post an honest root and show no file, or another; return whether that passes, and naively."""
    public, ledger, path = done[-1], HonestLedger(list(done)), folder / "turn.json"
    data = dump(public)
    other = publish(replace(public.facts, code_version=f"0.1.{rng.integers(1, 10**6)}"))
    shown: dict[int, bytes | None] = {
        0: None,
        1: data[: rng.integers(0, len(data))],
        2: dump(done[-2]),
        3: dump(other),
        4: rng.bytes(int(rng.integers(1, 4_096))),
    }
    found = shown[int(rng.integers(len(shown)))]
    path.unlink(missing_ok=True)
    if found is not None:
        path.write_bytes(found)
    try:
        read = read_public(path)
    except RodaError:
        return False, True  # the totals on the ledger add up, whatever lies behind them
    return read.facts.turn == public.facts.turn and audit_turn(read, done[-2], ledger, None).ok, True


def roots(seed: int, tries: int = TRIES) -> Measures:
    """Row 19: of 1,000 wrong or withheld roots, how many pass, and of 1,000 honest ones, how many do not."""
    rng, done = np.random.default_rng([seed, 19]), turns(seed)
    body = json.loads(dump(done[-1]))
    wrong = np.array([wrong_root(done, body, rng) for _ in range(tries)])
    with tempfile.TemporaryDirectory() as folder:
        hidden = np.array([withheld(done, Path(folder), rng) for _ in range(tries)])
        path = Path(folder) / "honest.json"
        voided = []
        for at in range(tries):
            honest = make_turns(seed * 10_000 + at)
            same = write_public(honest[-1], path) == public_hash(honest[-1])
            report = audit_turn(read_public(path), honest[-2], HonestLedger(honest), None)
            voided.append(not (same and report.ok))
    return {
        "19 wrong by one": (OF * float(wrong[:, 0].mean()), OF * float(wrong[:, 1].mean())),
        "19 withheld": (OF * float(hidden[:, 0].mean()), OF * float(hidden[:, 1].mean())),
        "19 honest voided": (OF * float(np.mean(voided)), 0.0),
    }
