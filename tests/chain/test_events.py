"""The events of a DAO's contracts suffice to rebuild all their state: a replay is compared with what the contracts say.

The replay knows nothing but the events in ledger order and the times of their blocks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from one_dao import ADA, BOB, CONTRIBUTION, OPERATOR, OTHER, POLICY, ROOT_BOND, WINDOW, World, open_world

from clocks import StandingClock
from rodagila.chain.contracts import Contract, send_wei
from rodagila.core.hashing import keccak

NOBODY = "0x" + "00" * 20
NONE = bytes(32)
OWNER = Account.from_key(keccak(b"owner"))
HALF_A_YEAR = 180 * 86_400


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A DAO whose owner needs no vote."""
    world = open_world(tmp_path / "ledger.db", StandingClock(), OWNER.address)
    with world.ledger as ledger:
        send_wei(ledger, ledger.faucet, OWNER.address, 10**20)
        yield world


@dataclass(slots=True)
class Replay:
    """The state of one DAO as its events tell it."""

    now: int = 0
    operator: str = ""
    policies: list[bytes] = field(default_factory=list)
    turns: dict[int, list[Any]] = field(default_factory=dict)
    batches: dict[bytes, tuple[int, ...]] = field(default_factory=dict)
    records: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    models: dict[bytes, tuple[Any, ...]] = field(default_factory=dict)
    head: bytes = NONE
    revoked: dict[tuple[bytes, str], int] = field(default_factory=dict)
    pools: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    funded: int = 0
    roots: dict[int, list[Any]] = field(default_factory=dict)
    last_turn: int = 0
    final_turn: int = 0
    claimed: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    bonds: dict[tuple[bytes, str], int] = field(default_factory=dict)
    posted_at: dict[tuple[bytes, str], int] = field(default_factory=dict)
    credits: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    tokens: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def apply(self, contract: str, name: str, event: dict[str, Any]) -> None:
        """Follow one event."""
        follow = getattr(self, f"_{name}_of_{contract}", None) or getattr(self, f"_{name}", None)
        if follow is not None:
            follow(event)

    def _OperatorSet(self, event: dict[str, Any]) -> None:
        self.operator = event["operator"]

    def _PolicySet(self, event: dict[str, Any]) -> None:
        self.policies.append(event["policyHash"])
        assert event["version"] == len(self.policies)

    def _TurnOpened(self, event: dict[str, Any]) -> None:
        self.turns[event["turn"]] = [
            1,
            self.now,
            0,
            event["firstPlace"],
            0,
            event["policyVersion"],
            event["commitment"],
        ]

    def _BatchRegistered(self, event: dict[str, Any]) -> None:
        names = ("turn", "batch", "firstPlace", "contributions", "records")
        self.batches[event["root"]] = tuple(event[name] for name in names)
        self.turns[event["turn"]][4] += event["records"]

    def _TurnClosed(self, event: dict[str, Any]) -> None:
        self.turns[event["turn"]][0], self.turns[event["turn"]][2] = 2, self.now

    def _TurnRecorded(self, event: dict[str, Any]) -> None:
        self.turns[event["turn"]][0] = 3
        names = ("dataRoot", "proofsRoot", "modelHash", "parentModel", "reveal")
        self.records[event["turn"]] = tuple(event[name] for name in names)

    def _ModelRegistered(self, event: dict[str, Any]) -> None:
        model = (event["turn"], self.now, *(event[name] for name in ("flags", "royaltyPpm", "lineagePpm")))
        self.models[event["model"]] = ((*model, event["beneficiary"]), tuple(event["parents"]))

    def _HeadSet(self, event: dict[str, Any]) -> None:
        self.head = event["model"]

    def _Revoked(self, event: dict[str, Any]) -> None:
        self.revoked[event["contributionId"], event["owner"]] = event["time"]

    def _PoolFunded_of_Treasury(self, event: dict[str, Any]) -> None:
        self.pools[event["turn"]] += event["amount"]

    def _PoolFunded_of_Rewards(self, event: dict[str, Any]) -> None:
        self.funded += event["amount"]

    def _UnowedReturned(self, event: dict[str, Any]) -> None:
        self.funded -= event["amount"]

    def _RootPosted(self, event: dict[str, Any]) -> None:
        before = self.roots.get(event["turn"] - 1, [0] * 10)
        roots = [event[name] for name in ("payoutRoot", "slashRoot", "tokenRoot", "publicHash")]
        amounts = [before[4] + event["paid"], before[5] + event["issued"]]
        self.roots[event["turn"]] = [*roots, *amounts, event["poster"], event["finalAt"], NOBODY, 0]
        self.last_turn = event["turn"]

    def _Disputed(self, event: dict[str, Any]) -> None:
        self.roots[event["turn"]][8:] = [event["challenger"], self.now]

    def _Resolved(self, event: dict[str, Any]) -> None:
        if event["rootWasWrong"]:
            del self.roots[event["turn"]]
            self.last_turn -= 1
        else:
            self.roots[event["turn"]][7:] = [event["finalAt"], NOBODY, 0]

    def _RootFinal(self, event: dict[str, Any]) -> None:
        self.final_turn = event["turn"]
        assert self.roots[event["turn"]][0] == event["payoutRoot"]

    def _RootsDisabled(self, event: dict[str, Any]) -> None:
        assert self.last_turn == event["lastTurn"]
        for turn in range(event["turn"], event["lastTurn"] + 1):
            del self.roots[turn]
        self.last_turn = event["turn"] - 1
        self.final_turn = min(self.final_turn, self.last_turn)

    def _Claimed_of_Rewards(self, event: dict[str, Any]) -> None:
        self.claimed["money", event["account"]] += event["amount"]
        assert self.claimed["money", event["account"]] == event["cumulative"]

    def _Claimed_of_DaoToken(self, event: dict[str, Any]) -> None:
        self.claimed["tokens", event["account"]] = event["cumulative"]

    def _BondPosted(self, event: dict[str, Any]) -> None:
        key = event["contributionId"], event["owner"]
        self.bonds[key], self.posted_at[key] = event["amount"], self.now

    def _BondSettled(self, event: dict[str, Any]) -> None:
        held = self.bonds.pop((event["contributionId"], event["owner"]))
        assert held == event["returned"] + event["slashed"]

    def _BondReclaimed(self, event: dict[str, Any]) -> None:
        assert self.bonds.pop((event["contributionId"], event["owner"])) == event["amount"]

    def _RootBondTaken(self, event: dict[str, Any]) -> None:
        self.credits[event["account"]] -= event["fromCredit"]

    def _RootBondCredited(self, event: dict[str, Any]) -> None:
        self.credits[event["account"]] += event["amount"]

    def _CreditWithdrawn(self, event: dict[str, Any]) -> None:
        self.credits[event["account"]] -= event["amount"]

    def _Transfer_of_DaoToken(self, event: dict[str, Any]) -> None:
        self.tokens[event["from"]] -= event["value"]
        self.tokens[event["to"]] += event["value"]


def parts(world: World) -> dict[str, Contract]:
    """The contracts with state of their own, by name."""
    return {
        "Registry": world.registry,
        "Treasury": world.treasury,
        "Bonds": world.bonds,
        "Rewards": world.rewards,
        "DaoToken": world.dao_token,
    }


def replay(world: World) -> Replay:
    """Follow every event of the DAO's contracts in ledger order."""
    told = [
        (event["block_number"], event["log_index"], contract, name, event)
        for contract, part in parts(world).items()
        for name in part.artifact.events
        for event in part.events(name)
    ]
    state = Replay()
    for block, _, contract, name, event in sorted(told, key=lambda row: row[:2]):
        state.now = world.ledger.block(block).timestamp
        state.apply(contract, name, event)
    return state


def compare(world: World) -> None:
    """Compare a replay with every view of the contracts."""
    state, registry, rewards, bonds = replay(world), world.registry, world.rewards, world.bonds
    assert state.operator == registry.call("operator")
    assert [registry.call("policyAt", 1 + i) for i in range(registry.call("policyVersion"))] == state.policies
    assert registry.call("lastTurn") == len(state.turns)
    for turn, told in state.turns.items():
        assert list(registry.call("turnOf", turn)) == told
        assert tuple(registry.call("recordOf", turn)) == state.records.get(turn, (NONE,) * 5)
    for batch, values in state.batches.items():
        assert tuple(registry.call("batchOf", batch)) == values
    assert registry.call("lastBatch") == len(state.batches)
    assert registry.call("nextPlace") == sum(values[4] for values in state.batches.values())
    for model, described in state.models.items():
        held, parents = registry.call("modelOf", model)
        assert (tuple(held), tuple(parents)) == described
    assert registry.call("head") == state.head
    for key, time in state.revoked.items():
        assert registry.call("revokedAt", *key) == time
    for turn, pool in state.pools.items():
        assert world.treasury.call("poolOf", turn) == pool
    assert rewards.call("totalFunded") == state.funded
    assert rewards.call("lastTurn") == state.last_turn
    assert rewards.call("finalTurn") == state.final_turn
    assert rewards.call("finalRoot") == (state.roots[state.final_turn][0] if state.final_turn else NONE)
    for turn, roots in state.roots.items():
        assert list(rewards.call("rootOf", turn)) == roots
    for account in (ADA.address, BOB.address):
        assert rewards.call("claimed", account) == state.claimed["money", account]
        assert world.dao_token.call("claimed", account) == state.claimed["tokens", account]
        assert world.dao_token.call("balanceOf", account) == state.tokens[account]
    for account in (OPERATOR.address, ADA.address, world.treasury.address):
        assert bonds.call("creditOf", account) == state.credits[account]
    for key in ((CONTRIBUTION, ADA.address), (OTHER, BOB.address)):
        assert bonds.call("bondOf", *key) == state.bonds.get(key, 0)
        reclaimable = state.posted_at[key] + HALF_A_YEAR if key in state.bonds else 0
        assert bonds.call("reclaimableAt", *key) == reclaimable


def money_for_all(world: World) -> None:
    for account in (OPERATOR.address, ADA.address, BOB.address, world.treasury.address):
        world.drip(account, 100_000_000)
    send_wei(world.ledger, world.ledger.faucet, ADA.address, 10**18)
    for account in (OPERATOR, ADA):
        world.token.transact(account, "approve", world.bonds.address, 50 * ROOT_BOND)


def turn_of_the_log(world: World, turn: int, parent: bytes) -> bytes:
    """Run the log of one turn and return its model."""
    registry, model = world.registry, keccak(b"model %d" % turn)
    registry.transact(OPERATOR, "openTurn", turn, POLICY)
    registry.transact(OPERATOR, "registerBatch", turn, keccak(b"batch %d" % turn), 2, 150)
    world.clock.now += 60
    registry.transact(OPERATOR, "closeTurn", turn)
    registry.transact(OPERATOR, "recordTurn", turn, POLICY, OTHER, model, parent, CONTRIBUTION)
    return model


def finish(world: World, turn: int) -> None:
    world.clock.now += WINDOW
    world.rewards.transact(OPERATOR, "finalize", turn)


def test_events_rebuild_all_state_after_every_act_of_a_life(world: World) -> None:
    registry, rewards, bonds = world.registry, world.rewards, world.bonds
    money_for_all(world)
    compare(world)

    first = turn_of_the_log(world, 1, NONE)
    bonds.transact(OPERATOR, "postBonds", [world.bond(ADA, CONTRIBUTION, 5_000), world.bond(BOB, OTHER, 4_000)])
    registry.transact(OWNER, "setPolicy", OTHER)
    base = keccak(b"base")
    registry.transact(OWNER, "registerModel", base, 7, 20_000, BOB.address, [first])
    registry.transact(OWNER, "setHead", base)
    turn_of_the_log(world, 2, base)
    registry.transact(ADA, "revoke", CONTRIBUTION)
    compare(world)

    world.treasury.transact(OPERATOR, "fundPool", 1, 1_000)
    world.post(1, POLICY, NONE, NONE, 900, 0)
    rewards.transact(ADA, "dispute", 1, OTHER)
    compare(world)
    rewards.transact(OWNER, "resolve", 1, True)
    compare(world)

    payouts = world.amounts(rewards, 1, {ADA.address: 600, BOB.address: 300})
    slashes = world.slashes(1, {(CONTRIBUTION, ADA.address): 1_500})
    tokens = world.amounts(world.dao_token, 1, {ADA.address: 70, BOB.address: 30})
    world.post(1, payouts.root, slashes.root, tokens.root, 900, 100)
    rewards.transact(ADA, "dispute", 1, OTHER)
    world.clock.now += 600
    rewards.transact(OWNER, "resolve", 1, False)
    compare(world)
    finish(world, 1)
    rewards.transact(OWNER, "returnUnowed", 100)
    rewards.transact(OPERATOR, "claim", 1, ADA.address, 600, payouts.proof(0))
    world.dao_token.transact(OPERATOR, "claim", 1, ADA.address, 70, tokens.proof(0))
    bonds.transact(OPERATOR, "settleBond", 1, CONTRIBUTION, ADA.address, 1_500, slashes.proof(0))
    compare(world)

    world.treasury.transact(OPERATOR, "fundPool", 2, 500)
    world.post(2, OTHER, NONE, NONE, 500, 50)
    finish(world, 2)
    world.post(3, POLICY, NONE, NONE, 0, 0)
    compare(world)
    rewards.transact(OWNER, "disable", 2)
    bonds.transact(OPERATOR, "withdrawCredit", world.treasury.address)
    world.clock.now += HALF_A_YEAR
    bonds.transact(OPERATOR, "reclaimBond", OTHER, BOB.address)
    registry.transact(OWNER, "setOperator", ADA.address)
    compare(world)
    assert replay(world).operator == ADA.address
