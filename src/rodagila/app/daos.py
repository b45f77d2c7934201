"""The DAOs of a home: their rows, accounts and contracts, and the launch of a new one.

A launch deploys the DAO's contracts (``deployment``), puts the policy's hash on the ledger and keeps the DAO's own
records sealed. The pay token of the embedded ledger is deployed once a home.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from eth_account.signers.local import LocalAccount
from sqlalchemy import Connection

from rodagila.app.confirming import until_confirmed
from rodagila.app.deployment import deploy_contracts
from rodagila.app.holdings import Holdings, open_holdings, seal_holdings
from rodagila.app.home import Home
from rodagila.app.policies import policy_of_turn, policy_values
from rodagila.chain.addresses import create_address, from_text, to_text
from rodagila.chain.contracts import Contract, deploy, load_artifact
from rodagila.chain.funding import faucet_of, give_gas_money
from rodagila.chain.port import Ledger
from rodagila.chain.tokens import Token, read_token
from rodagila.core.errors import Conflict, InvalidInput, NotFound
from rodagila.core.hashing import keccak
from rodagila.core.messages import Domain, dao_id
from rodagila.core.policy import Policy
from rodagila.store import schema
from rodagila.vault.keeper import NodeKeeper

ROLES = ("operator", "evaluator", "gateway")


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

    @cached_property
    def token(self) -> Token:
        """The pay token with the domain in which payments and bonds are signed."""
        return token_at(self.home, self.row.token)

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
    token: str | None = None,
    founders: str | None = None,
) -> Dao:
    """Deploy the contracts of a new DAO and record it; ``new_account`` stores and returns the account of a role.

    ``token`` is the pay token's address; without it, chains that have a faucet use the home's own token. ``founders``
    is the account that receives the founders' tokens of the DAO, by default the operator's.

    Raises ``Conflict`` dao_exists and ``InvalidInput`` if there is nothing to score with. What a launch killed in the
    middle left on the ledger belongs to no DAO and costs nothing but gas.
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
    money = token_at(home, token or local_token(home))
    accounts = {role: new_account(f"{name}-{role}") for role in ROLES}
    for account in accounts.values():
        give_gas_money(home.ledger, account.address, home.funder())
    operator = accounts["operator"]
    contracts = deploy_contracts(home.ledger, operator, founders or operator.address, money.address, policy)
    until_confirmed(home, lambda: _require_deployed(home.ledger, contracts.values()))
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


def _require_deployed(ledger: Ledger, addresses: Iterable[str]) -> None:
    for address in addresses:
        if not ledger.code(address):
            raise Conflict(
                "ledger_reorganised",
                f"The chain dropped the contract {address} while the DAO was launched.",
                hint="No DAO was recorded. Run the same command again.",
            )


def _insert(connection: Connection, row: DaoRow) -> None:
    values: dict[str, Any] = {item.name: getattr(row, item.name) for item in fields(row)}
    connection.execute(schema.dao.insert().values(values))


def local_token(home: Home) -> str:
    """Return the address of the home's pay token, deploying it as the faucet's first act on the chain.

    Raises ``RefusedByPolicy`` (``no_faucet``) on a chain whose money has owners: there a DAO names its token.
    """
    for row in dao_rows(home):
        return row.token
    ledger = home.ledger
    faucet = faucet_of(ledger)
    address = create_address(faucet.address, 0)
    if not ledger.code(address):
        address = deploy(ledger, faucet, "PayToken", faucet.address).address
    return address


def token_at(home: Home, address: str) -> Token:
    """Return a pay token as it described itself when this home first met it."""
    table, address = schema.pay_token, to_text(from_text(address))
    with home.database.begin() as connection:
        row = connection.execute(table.select().where(table.c.address == address)).one_or_none()
    if row is not None:
        return Token(row.address, row.name, row.version)
    token = read_token(home.ledger, address)
    values = {"address": token.address, "name": token.name, "version": token.version}
    with home.database.begin() as connection:
        connection.execute(table.insert().prefix_with("OR IGNORE").values(values))
    return token


def drip(home: Home, address: str, amount: int) -> None:
    """Give an account ``amount`` atomic units of the pay token, on a chain where a faucet makes them."""
    faucet = faucet_of(home.ledger)
    Contract(home.ledger, local_token(home), load_artifact("PayToken")).transact(faucet, "drip", address, amount)
