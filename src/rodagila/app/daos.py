"""The DAOs of a home: their rows, accounts and contracts, and the launch of a new one.

A launch deploys the DAO's contracts (``deployment``), puts the policy's hash on the ledger and keeps the DAO's own
records sealed. The pay token of the embedded ledger is deployed once a home.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from sqlalchemy import Connection

from rodagila.app.deployment import deploy_contracts
from rodagila.app.holdings import Holdings, open_holdings, seal_holdings
from rodagila.app.home import Home
from rodagila.app.policies import policy_of_turn, policy_values
from rodagila.chain.contracts import Contract, deploy, load_artifact, send_wei
from rodagila.core.errors import Conflict, InvalidInput, NotFound
from rodagila.core.hashing import keccak
from rodagila.core.messages import Domain, dao_id
from rodagila.core.policy import Policy
from rodagila.store import schema
from rodagila.vault.keeper import NodeKeeper

if TYPE_CHECKING:
    from rodagila.chain.embedded import EmbeddedLedger

ROLES = ("operator", "evaluator", "gateway")
GAS_MONEY = 10**20
"""Wei given to each of a DAO's accounts on the embedded ledger, where gas is nearly free."""


@dataclass(frozen=True, slots=True)
class DaoRow:
    """One DAO as the database holds it; identifiers are hex without prefix, ``contracts`` JSON of addresses by name."""

    name: str
    dao_id: str
    contracts: str
    operator: str
    evaluator: str
    gateway: str
    holdings: str
    created: int

    @property
    def token(self) -> str:
        """The pay token's address."""
        return self.addresses["PayToken"]

    @property
    def treasury(self) -> str:
        """The treasury's address, which every call pays."""
        return self.addresses["Treasury"]

    @property
    def addresses(self) -> dict[str, str]:
        """The addresses of all contracts by name."""
        return dict(json.loads(self.contracts))


class Dao:
    """One DAO of a home: its policies, domain, accounts and contracts."""

    def __init__(self, home: Home, row: DaoRow) -> None:
        self.home = home
        self.row = row
        self.name = row.name
        self.addresses = row.addresses
        self.domain = Domain(home.ledger.chain_id, self.addresses["Registry"])
        self.id = bytes.fromhex(row.dao_id)

    @property
    def policy(self) -> Policy:
        """The policy of the newest turn: a decision changes it when the next turn is opened."""
        return policy_of_turn(self.home, self.name, None)

    def policy_of(self, turn: int) -> Policy:
        """Return the policy that ``turn`` was opened under."""
        return policy_of_turn(self.home, self.name, turn)

    def account(self, role: str) -> LocalAccount:
        """Return the account of operator, evaluator or gateway."""
        return self.home.keys.get(f"{self.name}-{role}")

    def contract(self, name: str) -> Contract:
        """Return the binding of one of the DAO's contracts, or of the PayToken."""
        return Contract(self.home.ledger, self.addresses[name], load_artifact(name))

    def keeper(self) -> NodeKeeper:
        """Return the keeper of object keys: for now the operator's node itself."""
        return NodeKeeper(self.account("operator"))

    def holdings(self) -> Holdings:
        """Open the DAO's own records."""
        return open_holdings(self.home.blobs.get(bytes.fromhex(self.row.holdings)), self.account("operator"))

    def turn_seed(self, turn: int) -> bytes:
        """Return the turn's secret 32-byte seed, derived from the operator's key and revealed with the settlement."""
        return keccak(b"rodagila turn seed" + bytes(self.account("operator").key) + self.id + turn.to_bytes(8, "big"))


def dao_named(home: Home, name: str) -> Dao:
    """Return the DAO ``name``; raises ``NotFound``."""
    with home.database.begin() as connection:
        row = connection.execute(schema.dao.select().where(schema.dao.c.name == name)).one_or_none()
    if row is None:
        known = ", ".join(row.name for row in dao_rows(home)) or "none"
        raise NotFound(
            "dao_unknown", f"There is no DAO named {name!r} in this home.", hint=f"Those here: {known}.", name=name
        )
    return Dao(home, DaoRow(**row._mapping))


def dao_rows(home: Home) -> list[DaoRow]:
    """Return all DAOs by name."""
    with home.database.begin() as connection:
        rows = connection.execute(schema.dao.select().order_by(schema.dao.c.name)).all()
    return [DaoRow(**row._mapping) for row in rows]


def require_new(home: Home, name: str) -> None:
    """Raise ``Conflict`` dao_exists if the home has a DAO of that name."""
    if any(row.name == name for row in dao_rows(home)):
        raise Conflict("dao_exists", f"A DAO named {name!r} exists in this home.", hint="Choose another name.")


def launch(
    home: Home,
    name: str,
    policy: Policy,
    holdings: Holdings,
    new_account: Callable[[str], LocalAccount],
    founders: str | None = None,
) -> Dao:
    """Deploy the contracts of a new DAO and record it; ``new_account`` stores and returns the account of a role.

    ``founders`` is the account that receives the founders' tokens, the operator's by default. Raises ``Conflict``
    dao_exists and ``InvalidInput`` if there is nothing to score with. What a launch killed in the middle left on the
    ledger belongs to no DAO and costs nothing but gas.
    """
    require_new(home, name)
    if not holdings.scoring or not holdings.gate:
        raise InvalidInput(
            "file_empty",
            "A DAO needs at least two distinct queries: one to score contributions, one to measure the model.",
            hint="Give --queries FILE with text and label or answer.",
        )
    # Models and audits know the DAO by its policy's name; its registry counts versions from 1.
    policy = replace(policy, name=name, version=1)
    token = embedded_token(home)
    accounts = {role: new_account(f"{name}-{role}") for role in ROLES}
    for account in accounts.values():
        give_gas_money(home.ledger, account.address)
    operator = accounts["operator"]
    contracts = deploy_contracts(home.ledger, operator, founders or operator.address, token, policy)
    row = DaoRow(
        name=name,
        dao_id=dao_id(Domain(home.ledger.chain_id, contracts["Registry"])).hex(),
        contracts=json.dumps(contracts),
        **{role: account.address for role, account in accounts.items()},
        holdings=home.blobs.put(seal_holdings(holdings, accounts["operator"])).hex(),
        created=home.clock(),
    )
    with home.database.begin() as connection:
        _insert(connection, row)
        connection.execute(schema.policy.insert().values(policy_values(name, policy)))
    return Dao(home, row)


def _insert(connection: Connection, row: DaoRow) -> None:
    values: dict[str, Any] = {item.name: getattr(row, item.name) for item in fields(row)}
    connection.execute(schema.dao.insert().values(values))


def embedded_token(home: Home) -> str:
    """Return the address of the home's pay token, deploying it as the faucet's first act."""
    ledger = home.ledger
    for row in dao_rows(home):
        return row.token
    address = _first_contract_of(ledger.faucet.address)
    if not ledger.code(address):
        address = deploy(ledger, ledger.faucet, "PayToken", ledger.faucet.address).address
    return address


def _first_contract_of(deployer: str) -> str:
    # CREATE address of nonce 0: keccak(rlp([sender, 0]))[12:], Yellow Paper section 7.
    return str(to_checksum_address(keccak(b"\xd6\x94" + bytes.fromhex(deployer[2:]) + b"\x80")[12:]))


def give_gas_money(ledger: EmbeddedLedger, address: str) -> None:
    """Send an account wei from the embedded ledger's faucet, unless it has enough."""
    if ledger.balance(address) >= GAS_MONEY // 2:
        return
    send_wei(ledger, ledger.faucet, address, GAS_MONEY)


def drip(home: Home, address: str, amount: int) -> None:
    """Give an account ``amount`` atomic units of the pay token from the embedded ledger's faucet."""
    ledger = home.ledger
    token = Contract(ledger, embedded_token(home), load_artifact("PayToken"))
    token.transact(ledger.faucet, "drip", address, amount)
