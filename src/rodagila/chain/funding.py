"""Who pays gas, by the kind of chain.

    embedded ledger            the known faucet, which has all wei at the start
    local development chain    the same faucet, which the node's own unlocked accounts fill (``eth_accounts``)
    any other chain            an account that the operator names; there is no faucet

>>> give_gas_money(ledger, operator.address)                        # doctest: +SKIP
>>> give_gas_money(base, operator.address, funder=treasurer)        # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from rodagila.chain.contracts import send_wei
from rodagila.chain.port import LOCAL_CHAIN_IDS, Ledger
from rodagila.core.errors import PaymentFailed, RefusedByPolicy

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

GAS_MONEY = 10**19
"""Wei given to each of a DAO's accounts on a chain whose money is nobody's."""

FAUCET_STOCK = 10**21
GAS_OF_A_LAUNCH = 60_000_000
"""Gas that a funder pays ahead for an account of a DAO on a public chain: its contracts and the first turns."""


@runtime_checkable
class Lender(Protocol):
    """A ledger whose node holds accounts of its own."""

    def lend(self, to: str, wei: int) -> None:
        """Send wei from one of them."""


def has_faucet(ledger: Ledger) -> bool:
    """Tell whether money is made out of nothing on this chain."""
    return ledger.chain_id in LOCAL_CHAIN_IDS


def faucet_of(ledger: Ledger) -> LocalAccount:
    """Return the faucet, with wei; raise ``RefusedByPolicy`` (``no_faucet``) on a chain whose money has owners."""
    from rodagila.chain.genesis import faucet_account

    if not has_faucet(ledger):
        raise RefusedByPolicy(
            "no_faucet",
            f"Chain {ledger.chain_id} has no faucet: its money belongs to people.",
            hint="Send money to the account from one that has some.",
            chain_id=ledger.chain_id,
        )
    faucet = faucet_account()
    if isinstance(ledger, Lender) and ledger.balance(faucet.address) < FAUCET_STOCK // 2:
        ledger.lend(faucet.address, FAUCET_STOCK)
    return faucet


def give_gas_money(ledger: Ledger, address: str, funder: LocalAccount | None = None) -> None:
    """Send an account wei for gas, unless it has enough: from the faucet, or from ``funder`` where there is none."""
    amount = GAS_MONEY if has_faucet(ledger) else GAS_OF_A_LAUNCH * 2 * max(1, ledger.base_fee())
    if ledger.balance(address) >= amount // 2:
        return
    source = faucet_of(ledger) if has_faucet(ledger) else funder
    if source is None:
        raise RefusedByPolicy(
            "no_faucet",
            f"Chain {ledger.chain_id} has no faucet, so somebody must pay the gas of {address}.",
            hint="Set RODA_FUNDER to the name of a key in this home whose account holds the chain's money.",
            chain_id=ledger.chain_id,
        )
    held = ledger.balance(source.address)
    if held <= amount:
        raise PaymentFailed(
            "gas_short",
            f"{source.address} holds {held} wei; the gas of {address} needs {amount} and a fee.",
            hint="Send it more of the chain's money.",
            account=source.address,
            needed=amount,
            held=held,
        )
    send_wei(ledger, source, address, amount)
