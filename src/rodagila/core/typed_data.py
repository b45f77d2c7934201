"""EIP-712 digests of flat and nested structs, and signatures over them by libsecp256k1.

``encodeData`` as in the proposal: a type's hash, then each member as one word; strings and bytes by their hash, a
struct by its own. Types without arrays suffice here. eth-account says the same digests many times slower, which a
gateway notices: it makes four of them for every call. Signatures are deterministic (RFC 6979), with the lower s.

>>> Struct("Mail", {"Mail": [{"name": "text", "type": "string"}]}).hash({"text": "hi"}).hex()[:8]
'6c6fef90'
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from coincurve import PrivateKey, PublicKey
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address

from rodagila.core.hashing import keccak

Types = Mapping[str, Sequence[Mapping[str, str]]]
_UINT = re.compile(r"uint(\d+)")


class Struct:
    """A struct type with its hash; ``types`` holds it and the structs it refers to."""

    def __init__(self, primary: str, types: Types) -> None:
        self._fields = [(field["name"], field["type"]) for field in types[primary]]
        self._inner = {kind: Struct(kind, types) for _, kind in self._fields if kind in types}
        named = sorted(_referred(primary, types) - {primary})
        self._type_hash = keccak("".join(_spelled(name, types) for name in (primary, *named)).encode())

    def hash(self, message: Mapping[str, Any]) -> bytes:
        """Return ``hashStruct``; raises ``ValueError`` or ``TypeError`` for a value that does not fit its type."""
        words = (self._word(kind, message[name]) for name, kind in self._fields)
        return keccak(self._type_hash + b"".join(words))

    def digest(self, separator: bytes, message: Mapping[str, Any]) -> bytes:
        """Return what is signed in the domain of ``separator``."""
        return keccak(b"\x19\x01" + separator + self.hash(message))

    def _word(self, kind: str, value: Any) -> bytes:
        if kind in self._inner:
            return self._inner[kind].hash(value)
        if kind == "string":
            return keccak(value.encode())
        if kind == "bytes":
            return keccak(value)
        if kind == "address":
            return _padded(bytes.fromhex(value.removeprefix("0x")), 20)
        if kind == "bytes32":
            return _padded(value, 32)
        bits = _UINT.fullmatch(kind)
        if bits is None:
            raise ValueError(f"the type {kind} is not encoded here")
        if not 0 <= value < 1 << int(bits[1]):
            raise ValueError(f"{value} is no {kind}")
        return int(value).to_bytes(32, "big")


@lru_cache(maxsize=64)
def domain_separator(name: str, version: str, chain_id: int, contract: str | None = None) -> bytes:
    """Return the hash of an EIP-712 domain; without a contract the domain has none."""
    fields = [("name", "string"), ("version", "string"), ("chainId", "uint256")]
    values: dict[str, Any] = {"name": name, "version": version, "chainId": chain_id}
    if contract is not None:
        fields.append(("verifyingContract", "address"))
        values["verifyingContract"] = contract
    kinds = [{"name": field, "type": kind} for field, kind in fields]
    return Struct("EIP712Domain", {"EIP712Domain": kinds}).hash(values)


def sign_digest(account: LocalAccount, digest: bytes) -> bytes:
    """Return the 65-byte signature (r, s, v) of a digest."""
    signed = PrivateKey(bytes(account.key)).sign_recoverable(digest, hasher=None)
    return signed[:64] + bytes([27 + signed[64]])


def recover_digest(digest: bytes, signature: bytes) -> str | None:
    """Return the address that signed ``digest``, or None; only the lower s is a signature, as in contracts."""
    if len(signature) != 65 or signature[64] not in (0, 1, 27, 28) or not _low(signature[32:64]):
        return None
    try:
        key = PublicKey.from_signature_and_message(signature[:64] + bytes([signature[64] % 27]), digest, hasher=None)
    except Exception:  # coincurve raises plain exceptions for points that are none
        return None
    return checksummed(keccak(key.format(compressed=False)[1:])[-20:])


@lru_cache(maxsize=4096)
def checksummed(address: str | bytes) -> str:
    """Return an address with its EIP-55 checksum; the same few addresses come back in every call."""
    return str(to_checksum_address(address))


_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def _low(s: bytes) -> bool:
    return int.from_bytes(s, "big") <= _HALF_ORDER


def _padded(value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise ValueError(f"{len(value)} bytes were given where {size} are required")
    return bytes(32 - size) + bytes(value)


def _spelled(name: str, types: Types) -> str:
    return f"{name}({','.join(field['type'] + ' ' + field['name'] for field in types[name])})"


def _referred(name: str, types: Types) -> set[str]:
    inner = {field["type"] for field in types[name]} & set(types)
    return {name}.union(*(_referred(one, types) for one in inner))
