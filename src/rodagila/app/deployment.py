"""The contracts of a new DAO: deployed by its operator with addresses that are computed in advance.

Contracts that name each other hold those addresses as immutables, so nothing is set later and nothing is handed over:
the DAO's timelock owns everything from its first block, and the operator runs the turns because the registry says so.

>>> deploy_contracts(ledger, operator, founders, token, policy)["DaoTimelock"]  # doctest: +SKIP
'0x5FbDB2315678afecb367f032d93F642f64180aa3'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eth_account.signers.local import LocalAccount

from rodagila.chain.addresses import create_address
from rodagila.chain.contracts import deploy_all
from rodagila.chain.port import Ledger
from rodagila.core.money import PPM, TOKEN_UNIT
from rodagila.core.policy import GovernanceRules, Policy, TokenRules

NAMES = (
    *("DaoToken", "DaoTimelock", "DaoGovernor", "Registry", "Treasury", "Rewards", "Bonds"),
    *("Split", "Licenses", "Stake", "Predicates", "Escrow", "TaskPay"),
)
"""In the order of their deployment: the governor's constructor asks the token, everything else only keeps addresses."""


def deploy_contracts(
    ledger: Ledger, operator: LocalAccount, founders: str, pay_token: str, policy: Policy
) -> dict[str, str]:
    """Deploy the contracts of a DAO and return the addresses by name, the pay token's among them."""
    first = ledger.nonce(operator.address)
    at = {name: create_address(operator.address, first + place) for place, name in enumerate(NAMES)}
    at["PayToken"] = pay_token
    arguments = _arguments(at, operator.address, founders, policy)
    deploy_all(ledger, operator, [(name, arguments[name]) for name in NAMES])
    return at


def _arguments(at: Mapping[str, str], operator: str, founders: str, policy: Policy) -> dict[str, tuple[Any, ...]]:
    """Return the constructor's arguments of each contract."""
    owner, token, challenge = at["DaoTimelock"], policy.token, policy.challenge
    registry, treasury, rewards, money = at["Registry"], at["Treasury"], at["Rewards"], at["PayToken"]
    return {
        "DaoToken": (token.name, token.symbol, supply_of(token), founders, rewards),
        "DaoTimelock": (policy.governance.timelock_seconds, at["DaoGovernor"]),
        "DaoGovernor": (at["DaoToken"], owner, rules_of(policy.governance, token)),
        "Registry": (owner, operator, policy.policy_hash()),
        "Treasury": (owner, registry, money, rewards),
        "Rewards": (
            *(owner, registry, money, treasury, at["Bonds"], at["DaoToken"]),
            *(challenge.window_seconds, challenge.root_bond),
        ),
        "Bonds": (money, treasury, rewards),
        "Split": (owner, treasury, money),
        "Licenses": (owner, at["Split"]),
        "Stake": (owner, money, treasury),
        "Predicates": (at["Stake"],),
        "Escrow": (at["Split"], at["Predicates"]),
        "TaskPay": (at["Escrow"],),
    }


def supply_of(token: TokenRules) -> tuple[int, int, int, int]:
    """Return the supply rule as the token's contract takes it, in atomic units."""
    return token.cap * TOKEN_UNIT, token.founders * TOKEN_UNIT, token.per_turn * TOKEN_UNIT, token.halving_turns


def rules_of(governance: GovernanceRules, token: TokenRules) -> tuple[int, int, int, int]:
    """Return the rules of voting as the governor takes them: seconds, seconds, atomic units, percent."""
    threshold = token.cap * TOKEN_UNIT * governance.proposal_threshold_ppm // PPM
    return governance.voting_delay_seconds, governance.voting_period_seconds, threshold, governance.quorum_percent
