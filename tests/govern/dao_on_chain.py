"""A DAO's contracts on an embedded ledger with a clock that tests move: everything but the launch's home.

Each contract is deployed by its artifact, and those that name each other get addresses computed beforehand. The clock
is moved by hand, so that voting periods and delays pass at once; on a node behind JSON-RPC, by what passes time there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from clocks import StandingClock
from rodagila.chain.abi import load_artifact, shipped_names
from rodagila.chain.addresses import create_address
from rodagila.chain.contracts import Contract, deploy, send_wei
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.genesis import faucet_account
from rodagila.chain.port import ZERO_ADDRESS, Ledger
from rodagila.core.hashing import keccak
from rodagila.core.money import TOKEN_UNIT, UNIT
from rodagila.core.policy import Policy
from rodagila.govern.actions import Action, Book
from rodagila.govern.effects import Place
from rodagila.govern.governor import Governor
from rodagila.govern.intents import Built, Facts, build, words_hash
from rodagila.govern.proposal import Document, Proposal, description_of

FAUCET = faucet_account()
START = 1_800_000_000
DELAY, PERIOD, TIMELOCK = 60, 3_600, 600
FOUNDERS = 1_000_000
TREASURY_START = 100 * UNIT
PEOPLE = {name: Account.from_key(keccak(b"govern " + name.encode())) for name in ("ada", "bob", "cem", "eve", "dan")}
ORDER = (
    *("Registry", "Treasury", "Bonds", "Rewards", "DaoToken", "DaoTimelock", "DaoGovernor"),
    *("Split", "Licenses", "Stake"),
)


@dataclass(frozen=True, slots=True)
class DaoOnChain:
    """The contracts, the people, and the clock."""

    ledger: Ledger
    wait: Callable[[int], None]
    """Lets so many seconds pass."""
    contracts: dict[str, str]
    policy: Policy
    governor: Governor

    @property
    def operator(self) -> LocalAccount:
        """The account that deployed everything and runs the turns."""
        return PEOPLE["dan"]

    @property
    def book(self) -> Book:
        """Who is who."""
        return self.governor.place.book

    def contract(self, name: str) -> Contract:
        """Return the binding of a contract."""
        return Contract(self.ledger, self.contracts[name], load_artifact(name))

    def give_pay(self, name_or_address: str, amount: int) -> None:
        """Give an account or a contract pay tokens."""
        to = PEOPLE[name_or_address].address if name_or_address in PEOPLE else name_or_address
        self.contract("PayToken").transact(FAUCET, "drip", to, amount)

    def give_votes(self, name: str, tokens: int) -> None:
        """Give a person some of the founder's tokens, delegated to that person."""
        token = self.contract("DaoToken")
        token.transact(PEOPLE["ada"], "transfer", PEOPLE[name].address, tokens * TOKEN_UNIT)
        token.transact(PEOPLE[name], "delegate", PEOPLE[name].address)

    def built(self, *wanted: tuple[str, str], title: str = "A change", text: str = "For good reasons.") -> Built:
        """Return the calls of intents."""
        return build(list(wanted), Facts(self.book, self.policy, self.governor.now(), words_hash(title, text)))

    def draft(
        self, *wanted: tuple[str, str], title: str = "A change", proposer: str = "ada"
    ) -> tuple[tuple[Action, ...], str, Document]:
        """Return calls, description and document of intents."""
        text = "For good reasons."
        built = self.built(*wanted, title=title, text=text)
        place = self.governor.place
        document = Document(
            self.ledger.chain_id, place.governor, title, text, built.actions, built.policies, built.texts
        )
        description = description_of(title, text, keccak(document.body()), PEOPLE[proposer].address)
        return built.actions, description, document

    def propose(self, *wanted: tuple[str, str], title: str = "A change", proposer: str = "ada") -> Proposal:
        """Put a proposal on the ledger."""
        self.wait(1)  # what was received in this very second has no past yet
        actions, description, _ = self.draft(*wanted, title=title, proposer=proposer)
        return self.governor.propose(PEOPLE[proposer], actions, description)[0]

    def open_vote(self) -> None:
        """Wait until voting has begun."""
        self.wait(DELAY + 1)

    def accept(self, proposal: Proposal, voters: Sequence[str] = ("ada",)) -> None:
        """Vote for a proposal, let voting end, queue it, and let the timelock's delay pass."""
        self.open_vote()
        for voter in voters:
            self.governor.cast(PEOPLE[voter], proposal, 1)
        self.wait(PERIOD + 1)
        self.governor.queue(PEOPLE["eve"], proposal)
        self.wait(TIMELOCK + 1)


def deploy_dao(path: Path) -> dict[str, str]:
    """Deploy a DAO on a new ledger at ``path``; return addresses by name."""
    clock = StandingClock(START)
    with EmbeddedLedger.open(path, clock=clock) as ledger:
        return deploy_on(ledger, clock.wait, Policy(name="docs")).contracts


def reopened(path: Path, contracts: dict[str, str]) -> DaoOnChain:
    """Open the ledger at ``path`` with the DAO on it."""
    clock = StandingClock(START)
    ledger = EmbeddedLedger.open(path, clock=clock)
    return _bound(ledger, clock.wait, contracts, Policy(name="docs"))


def deploy_on(ledger: Ledger, wait: Callable[[int], None], policy: Policy) -> DaoOnChain:
    """Deploy a DAO on an open ledger, with all founders' tokens at ada and money in its treasury."""
    for account in PEOPLE.values():
        if ledger.balance(account.address) < 10**19:
            send_wei(ledger, FAUCET, account.address, 10**20)
    deployer = PEOPLE["dan"]
    pay = deploy(ledger, FAUCET, "PayToken", FAUCET.address)
    names = [name for name in ORDER if name in shipped_names()]
    first = ledger.nonce(deployer.address)
    at = {name: create_address(deployer.address, first + place) for place, name in enumerate(names)}
    for name in names:
        assert deploy(ledger, deployer, name, *_arguments(name, at, pay.address, policy)).address == at[name]
    dao = _bound(ledger, wait, at | {"PayToken": pay.address}, policy)
    dao.give_pay(at["Treasury"], TREASURY_START)
    return dao


def _bound(ledger: Ledger, wait: Callable[[int], None], contracts: dict[str, str], policy: Policy) -> DaoOnChain:
    book = Book(
        {address: name for name, address in contracts.items()},
        {account.address: name for name, account in PEOPLE.items()},
    )
    tokens = {contracts[name]: name for name in ("PayToken", "DaoToken")}
    place = Place(contracts["DaoGovernor"], contracts["DaoTimelock"], book, tokens)
    return DaoOnChain(ledger, wait, contracts, policy, Governor(ledger, place))


def _arguments(name: str, at: dict[str, str], pay: str, policy: Policy) -> tuple[Any, ...]:
    owner = at["DaoTimelock"]
    supply = (100 * FOUNDERS * TOKEN_UNIT, FOUNDERS * TOKEN_UNIT, 1_000 * TOKEN_UNIT, 10)
    arguments: dict[str, tuple[Any, ...]] = {
        "Registry": (owner, PEOPLE["dan"].address, policy.policy_hash()),
        "Treasury": (owner, at["Registry"], pay, at["Rewards"]),
        "Bonds": (pay, at["Treasury"], at["Rewards"]),
        "Rewards": (owner, at["Registry"], pay, at["Treasury"], at["Bonds"], at["DaoToken"], 60, 0),
        "DaoToken": ("Data DAO token", "DATA", supply, PEOPLE["ada"].address, at["Rewards"]),
        "DaoTimelock": (TIMELOCK, at["DaoGovernor"]),
        "DaoGovernor": (at["DaoToken"], owner, (DELAY, PERIOD, 5_000 * TOKEN_UNIT, 4)),
        "Split": (owner, at["Treasury"], ZERO_ADDRESS),
        "Licenses": (owner, at.get("Split")),
        "Stake": (owner, pay, at["Treasury"]),
    }
    return arguments[name]
