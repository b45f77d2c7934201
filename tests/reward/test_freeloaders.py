"""Who copies, pads or lies gains nothing: several turns on clustered vectors, honest owners beside freeloaders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from rodagila.core.hashing import keccak
from rodagila.core.policy import TokenRules, ValueRules
from rodagila.core.vectors import quantise
from rodagila.reward.settlement import BondedContribution, SettlementInputs, issuable_of, settle
from rodagila.value.examples import Examples
from rodagila.value.ocis import ValueInputs, value_records

LABELS, DIMENSIONS, SIZE, TURNS = 30, 48, 50, 3
FREELOADERS = ("exact", "near", "junk", "flipped")


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@dataclass
class World:
    """Draws texts: a label's centre, a way of asking within it, and noise."""

    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.centres = unit(self.rng.normal(size=(LABELS, DIMENSIONS)))
        self.ways = 0.7 * unit(self.rng.normal(size=(LABELS * 40, DIMENSIONS))).reshape(LABELS, 40, DIMENSIONS)

    def texts(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = self.rng.integers(0, LABELS, count)
        ways = self.ways[labels, self.rng.integers(0, 40, count)]
        noise = 0.25 * unit(self.rng.normal(size=(count, DIMENSIONS)))
        return unit(self.centres[labels] + ways + noise), labels


def freeload(world: World, kind: str, rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what a freeloader of ``kind`` gives after seeing ``rows`` with ``labels``."""
    seen = world.rng.choice(len(rows), SIZE, replace=False)
    if kind == "exact":
        return rows[seen], labels[seen]
    if kind == "near":
        noise = unit(world.rng.normal(size=(SIZE, DIMENSIONS)))
        return unit(rows[seen] + 0.15 * noise), labels[seen]
    if kind == "junk":
        return unit(world.rng.normal(size=(SIZE, DIMENSIONS))), world.rng.integers(0, LABELS, SIZE)
    fresh, right = world.texts(SIZE)
    return fresh, (right + world.rng.integers(1, LABELS, SIZE)) % LABELS


def run(seed: int) -> tuple[dict[str, int], dict[str, int], set[str]]:
    """Return every account's payouts less slashes over all turns, its tokens, and who was slashed."""
    world = World(np.random.default_rng(seed))
    reference = world.texts(60)
    rows, labels, given, source = np.zeros((0, DIMENSIONS)), np.zeros(0, np.int64), [], []
    net: dict[str, int] = {}
    tokens: dict[str, int] = {}
    slashed: set[str] = set()
    for turn in range(1, TURNS + 1):
        parts = [(f"honest {turn} {i}", *world.texts(SIZE)) for i in range(4)]
        if turn == 2:
            parts += [(kind, *freeload(world, kind, rows, labels)) for kind in FREELOADERS]
        for owner, fresh, targets in parts:
            source += [len(given)] * SIZE
            given.append(BondedContribution(keccak(owner.encode()), owner, turn, SIZE, 1_000 * SIZE))
            rows, labels = np.vstack([rows, fresh]), np.concatenate([labels, targets])
        queries, targets = world.texts(400)
        values = value_records(
            ValueInputs(
                Examples(quantise(rows), labels),
                np.array([given[at].turn for at in source]),
                np.zeros(len(rows), dtype=bool),
                Examples(quantise(reference[0]), reference[1]),
                Examples(quantise(queries), targets),
                np.ones(400, np.int64),
                ValueRules(),
            )
        )
        checks, issuable = values.s.tolist(), issuable_of(turn, TokenRules())
        done = settle(SettlementInputs(turn, 10**7, 10**6, tuple(given), source, values.v, checks, {}, issuable, {}))
        for owner, amount in done.tokens.items():
            tokens[owner] = tokens.get(owner, 0) + amount
        owner_of = {contribution.id: contribution.owner for contribution in given}
        for owner, amount in done.payouts.items():
            net[owner] = net.get(owner, 0) + amount
        for key, slash in done.slash_of.items():
            net[owner_of[key]] = net.get(owner_of[key], 0) - slash
            slashed |= {owner_of[key]} if slash else set()
    return net, tokens, slashed


@pytest.mark.parametrize("seed", range(5))
def test_freeloaders_gain_nothing_beside_honest_owners(seed: int) -> None:
    net, tokens, slashed = run(seed)
    honest = [amount for owner, amount in net.items() if owner.startswith("honest")]
    assert net.get("exact", 0) == 0
    assert net.get("near", 0) < sum(honest) / len(honest) / 2
    assert net.get("junk", 0) <= 0
    assert net["flipped"] < 0 and "flipped" in slashed
    assert min(honest) > 0
    votes = [amount for owner, amount in tokens.items() if owner.startswith("honest")]
    assert not {"exact", "junk", "flipped"} & set(tokens)
    assert tokens.get("near", 0) < sum(votes) / len(votes) / 2
