"""What a call costs: the policy's price of a route, as an x402 amount of the DAO's pay token.

A price is an integer of atomic units of one ERC-20 token on one chain (CAIP-2 network ``eip155:<chain id>``). The
token's EIP-712 name and version travel with it, because the buyer signs in the token's domain (EIP-3009).

>>> from rodagila.core.policy import PriceRules
>>> price_of(PriceRules(), "/v1/search")
1000
>>> network_of(1919902817)
'eip155:1919902817'
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rodagila.chain.tokens import Token
from rodagila.core.messages import Domain
from rodagila.core.policy import ChannelRules, PriceRules

if TYPE_CHECKING:
    from x402.schemas import AssetAmount

__all__ = ["PAID_ROUTES", "Quote", "Token", "asset_amount", "network_of", "price_of"]

SEARCH = "/v1/search"
CLASSIFY = "/v1/classify"
CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
ARENA = "/v1/arena"
PAID_ROUTES = (ARENA, CHAT, CLASSIFY, EMBEDDINGS, SEARCH)

PAYMENT_SECONDS = 120
"""How long a signed payment stays good: a slow answer fits, and a lost one is worthless soon."""

WITHDRAW_DELAY = ChannelRules().withdraw_delay_seconds


@dataclass(frozen=True, slots=True)
class Quote:
    """One request and its price: what the buyer is asked to pay, to whom and for what.

    ``dao`` is the DAO's name, ``request_hash`` the hash of its JSON body, ``amount`` atomic units, ``pay_to`` the
    treasury, ``url`` the address that was called, ``withdraw_delay`` the seconds of a channel's announced exit.
    """

    dao: str
    domain: Domain
    turn: int
    route: str
    request_hash: bytes
    amount: int
    pay_to: str
    url: str
    withdraw_delay: int = WITHDRAW_DELAY


def network_of(chain_id: int) -> str:
    """Return the CAIP-2 name of an EVM chain."""
    return f"eip155:{chain_id}"


def price_of(rules: PriceRules, route: str) -> int:
    """Return the price of one call of a paid route in atomic units; raises ``KeyError`` for another route."""
    arena = 2 * rules.chat  # two models answer
    prices = {ARENA: arena, CHAT: rules.chat, CLASSIFY: rules.classify, EMBEDDINGS: rules.embeddings}
    return {**prices, SEARCH: rules.search}[route]


def asset_amount(token: Token, amount: int) -> AssetAmount:
    """Return ``amount`` atomic units of ``token`` as x402 writes a price in a token it does not know."""
    from x402.schemas import AssetAmount

    return AssetAmount(amount=str(amount), asset=token.address, extra={"name": token.name, "version": token.version})
