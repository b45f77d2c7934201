"""The pay token as its contract describes itself: what payments and bonds must be signed with.

EIP-3009 authorisations are signed in the token's own EIP-712 domain, so its name and version are read once from the
contract (ERC-5267 where it has that, else ``name`` and ``version``, as USDC) and compared with its DOMAIN_SEPARATOR
where it has one: a wrong name would only show as signatures that are all refused.

>>> read_token(ledger, "0x036CbD53842c5426634e7929541eC2318f3dCF7e").version   # doctest: +SKIP
'2'
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from rodagila.chain.addresses import from_text, to_text
from rodagila.chain.port import Ledger, Reverted
from rodagila.chain.trie import keccak256
from rodagila.core.errors import InvalidInput

TOKEN_NAME = "Roda Pay"  # noqa: S105 - the shipped token's public name, not a secret
TOKEN_VERSION = "1"  # noqa: S105
DECIMALS = 6
"""Amounts are written with six decimals everywhere; another token would be shown wrongly."""

_DOMAIN = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_ERC5267 = ["bytes1", "string", "string", "uint256", "address", "bytes32", "uint256[]"]


@dataclass(frozen=True, slots=True)
class Token:
    """The pay token: its address and the name and version of its EIP-712 domain; always six decimals."""

    address: str
    name: str = TOKEN_NAME
    version: str = TOKEN_VERSION


def read_token(ledger: Ledger, address: str) -> Token:
    """Return the token at ``address`` as it describes itself.

    Raises ``InvalidInput`` (``token_invalid``) if it cannot be the money of a DAO: no EIP-3009, other decimals, or a
    domain that cannot be told.
    """
    place = to_text(from_text(address))
    if not ledger.code(place):
        raise _invalid(place, "is no contract on this chain")
    decimals = _ask(ledger, place, "decimals()", ["uint8"])
    if decimals is None or decimals[0] != DECIMALS:
        found = "none" if decimals is None else decimals[0]
        raise _invalid(place, f"has {found} decimals; amounts here have {DECIMALS}")
    if _ask(ledger, place, "authorizationState(address,bytes32)", ["bool"], [place, bytes(32)]) is None:
        raise _invalid(place, "has no EIP-3009 authorisations (authorizationState), which payments and bonds need")
    name, version = _domain(ledger, place)
    separator = _ask(ledger, place, "DOMAIN_SEPARATOR()", ["bytes32"])
    if separator is not None and separator[0] != _separator(ledger.chain_id, place, name, version):
        raise _invalid(place, f"does not sign in the domain {name!r}, version {version!r} of chain {ledger.chain_id}")
    return Token(place, name, version)


def _domain(ledger: Ledger, place: str) -> tuple[str, str]:
    described = _ask(ledger, place, "eip712Domain()", _ERC5267)
    if described is not None:
        return str(described[1]), str(described[2])
    name, version = (_ask(ledger, place, f"{part}()", ["string"]) for part in ("name", "version"))
    if name is None or version is None:
        raise _invalid(place, "tells neither eip712Domain() nor name() and version(), so nobody could sign for it")
    return str(name[0]), str(version[0])


def _separator(chain_id: int, place: str, name: str, version: str) -> bytes:
    parts = [keccak256(_DOMAIN), keccak256(name.encode()), keccak256(version.encode()), chain_id, place]
    return keccak256(encode(["bytes32", "bytes32", "bytes32", "uint256", "address"], parts))


def _ask(
    ledger: Ledger, place: str, function: str, outputs: list[str], arguments: list[Any] | None = None
) -> tuple[Any, ...] | None:
    inputs = [kind for kind in function.partition("(")[2].rstrip(")").split(",") if kind]
    data = keccak256(function.encode())[:4] + encode(inputs, arguments or [])
    try:
        return tuple(decode(outputs, ledger.call(place, data)))
    except (Reverted, DecodingError, UnicodeDecodeError):
        return None


def _invalid(place: str, what: str) -> InvalidInput:
    return InvalidInput(
        "token_invalid",
        f"The token {place} {what}.",
        hint="Give --token the address of an ERC-20 with EIP-3009 and six decimals, such as USDC.",
        token=place,
    )
