"""One DAO's contracts on an embedded ledger whose clock stands, for the tests that run them through the bindings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from clocks import StandingClock
from rodagila.chain.addresses import create_address
from rodagila.chain.authorization import authorize_receipt
from rodagila.chain.contracts import Contract, deploy, deploy_all, send_wei
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.tokens import Token
from rodagila.core.hashing import keccak
from rodagila.core.merkle import MerkleTree

START = 1_700_000_000
WINDOW = 3_600
FAR = 2**256 - 1
POLICY = keccak(b"policy")
CONTRIBUTION, OTHER = keccak(b"contribution"), keccak(b"other contribution")
PAYOUT_LEAF = ["uint256", "address", "uint64", "address", "uint256"]
SLASH_LEAF = ["uint256", "address", "uint64", "bytes32", "address", "uint256"]
OPERATOR, ADA, BOB = (Account.from_key(keccak(name)) for name in (b"operator", b"ada", b"bob"))
SUPPLY = (1_000_000, 100_000, 1_000, 4)
RULES = (1, 60, 1_000, 4)
ROOT_BOND = 1_000_000


@dataclass(frozen=True, slots=True)
class World:
    """A ledger with one DAO's contracts on it."""

    path: Path
    clock: StandingClock
    ledger: EmbeddedLedger
    token: Contract
    dao_token: Contract
    timelock: Contract
    registry: Contract
    treasury: Contract
    bonds: Contract
    rewards: Contract

    def drip(self, to: str, amount: int) -> None:
        self.token.transact(self.ledger.faucet, "drip", to, amount)

    def amounts(self, contract: Contract, turn: int, totals: dict[str, int]) -> MerkleTree:
        """The tree of cumulative amounts that ``contract`` pays or mints."""
        where = [self.ledger.chain_id, contract.address, turn]
        return MerkleTree.of(PAYOUT_LEAF, [[*where, account, total] for account, total in totals.items()])

    def slashes(self, turn: int, slashes: dict[tuple[bytes, str], int]) -> MerkleTree:
        where = [self.ledger.chain_id, self.bonds.address, turn]
        return MerkleTree.of(SLASH_LEAF, [[*where, *key, slash] for key, slash in slashes.items()])

    def bond(self, owner: LocalAccount, contribution: bytes, amount: int) -> tuple[Any, ...]:
        signed = authorize_receipt(
            owner,
            chain_id=self.ledger.chain_id,
            token=Token(self.token.address),
            receiver=self.bonds.address,
            value=amount,
            valid_before=FAR,
            nonce=contribution,
        )
        return (contribution, owner.address, amount, 0, FAR, signed.signature)

    def post(self, turn: int, payouts: bytes, slashes: bytes, tokens: bytes, paid: int, issued: int) -> None:
        self.rewards.transact(
            OPERATOR, "postRoot", turn, payouts, slashes, tokens, paid, paid, issued, keccak(b"public")
        )


def launch(ledger: EmbeddedLedger, token: Contract, owner: str = "") -> dict[str, Contract]:
    """Deploy the contracts of one DAO, each told the others' addresses before they are there; the timelock owns them
    unless a test names an ``owner`` that needs no vote."""
    names = ("DaoToken", "DaoTimelock", "DaoGovernor", "Registry", "Treasury", "Bonds", "Rewards")
    first = ledger.nonce(OPERATOR.address)
    at = {name: create_address(OPERATOR.address, first + place) for place, name in enumerate(names)}
    timelock, registry, treasury, rewards = (at[name] for name in ("DaoTimelock", "Registry", "Treasury", "Rewards"))
    owner = owner or timelock
    arguments: dict[str, tuple[Any, ...]] = {
        "DaoToken": ("Words", "WRD", SUPPLY, OPERATOR.address, rewards),
        "DaoTimelock": (60, at["DaoGovernor"]),
        "DaoGovernor": (at["DaoToken"], timelock, RULES),
        "Registry": (owner, OPERATOR.address, POLICY),
        "Treasury": (owner, registry, token.address, rewards),
        "Bonds": (token.address, treasury, rewards),
        "Rewards": (owner, registry, token.address, treasury, at["Bonds"], at["DaoToken"], WINDOW, ROOT_BOND),
    }
    deployed = deploy_all(ledger, OPERATOR, [(name, arguments[name]) for name in names])
    return dict(zip(names, deployed, strict=True))


def open_world(path: Path, clock: StandingClock, owner: str = "") -> World:
    """Open a ledger at ``path`` and launch a DAO on it."""
    ledger = EmbeddedLedger.open(path, clock=clock)
    send_wei(ledger, ledger.faucet, OPERATOR.address, 10**20)
    token = deploy(ledger, ledger.faucet, "PayToken", ledger.faucet.address)
    dao = launch(ledger, token, owner)
    names = ("DaoToken", "DaoTimelock", "Registry", "Treasury", "Bonds", "Rewards")
    return World(path, clock, ledger, token, *(dao[name] for name in names))
