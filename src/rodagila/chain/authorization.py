"""EIP-3009 authorisations: an account lets the bearer of a signature move its tokens once, without gas.

Bonds use ``ReceiveWithAuthorization`` with the contribution's id as nonce: the authorisation is good for that
contribution alone and can be used once. Source: EIP-3009.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_account.signers.local import LocalAccount

from rodagila.chain.tokens import Token
from rodagila.core.typed_data import Struct, domain_separator, sign_digest

_STRUCT = Struct(
    "ReceiveWithAuthorization",
    {
        "ReceiveWithAuthorization": [
            {"name": "from", "type": "address"},
            {"name": "to", "type": "address"},
            {"name": "value", "type": "uint256"},
            {"name": "validAfter", "type": "uint256"},
            {"name": "validBefore", "type": "uint256"},
            {"name": "nonce", "type": "bytes32"},
        ]
    },
)


@dataclass(frozen=True, slots=True)
class Authorization:
    """A signed permission to receive ``value`` atomic units; times in seconds, ``nonce`` 32 bytes."""

    sender: str
    receiver: str
    value: int
    valid_after: int
    valid_before: int
    nonce: bytes
    signature: bytes

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object kept beside the contribution."""
        return {
            "sender": self.sender,
            "receiver": self.receiver,
            "value": self.value,
            "valid_after": self.valid_after,
            "valid_before": self.valid_before,
            "nonce": self.nonce.hex(),
            "signature": self.signature.hex(),
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Authorization:
        """Return the authorisation of ``as_json``'s object."""
        return cls(
            str(body["sender"]),
            str(body["receiver"]),
            int(body["value"]),
            int(body["valid_after"]),
            int(body["valid_before"]),
            bytes.fromhex(body["nonce"]),
            bytes.fromhex(body["signature"]),
        )


def authorize_receipt(
    account: LocalAccount, *, chain_id: int, token: Token, receiver: str, value: int, valid_before: int, nonce: bytes
) -> Authorization:
    """Sign that ``receiver`` (a contract, who must send the transaction) may take ``value`` until ``valid_before``."""
    message = {
        "from": account.address,
        "to": receiver,
        "value": value,
        "validAfter": 0,
        "validBefore": valid_before,
        "nonce": nonce,
    }
    digest = _STRUCT.digest(domain_separator(token.name, token.version, chain_id, token.address), message)
    return Authorization(account.address, receiver, value, 0, valid_before, nonce, sign_digest(account, digest))
