"""The accounts of a home: private keys in files that only their holder can read.

With a passphrase a key is an Ethereum keystore of version 3 (scrypt, AES-CTR, MAC), which other wallets open too;
without one it is a plain file that says so. Files have mode 0600, appear whole or not at all, and are never replaced.
Source: ethereum.org/developers/docs/data-structures-and-encoding/web3-secret-storage.

>>> KeyStore(Path(directory)).new("ada").address                               # doctest: +SKIP
'0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F'
"""

from __future__ import annotations

import json
import os
import re
import secrets
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.address import is_address, to_checksum_address

from rodagila.core.errors import Conflict, Corrupted, InvalidInput, NotAuthorised, NotFound
from rodagila.core.hashing import from_hex

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MAX_FILE = 65_536
_PLAIN = "rodagila-plain-key"
_WARNING = "This private key is not encrypted. Whoever reads this file controls the account."


class KeyStore:
    """The key files ``NAME.json`` in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def new(self, name: str, key: bytes | None = None, passphrase: str | None = None) -> LocalAccount:
        """Store ``key``, or a fresh random one, under ``name`` and return its account.

        Raises ``InvalidInput`` name_invalid or key_invalid, ``Conflict`` key_exists.
        """
        path = self._path(name)
        account = _account(secrets.token_bytes(32) if key is None else key)
        if path.exists():
            raise _exists(name)
        body = _encrypted(account, passphrase) if passphrase else _plain(account)
        self._write(path, name, json.dumps(body, indent=1).encode())
        return account

    def import_key(self, name: str, hex_key: str, passphrase: str | None = None) -> LocalAccount:
        """Store the key given as 64 hex digits, with or without 0x; errors as ``new``, never with the key in them."""
        try:
            key = from_hex(hex_key.strip())
        except ValueError:
            raise _invalid_key() from None
        return self.new(name, key, passphrase)

    def get(self, name_or_address: str, passphrase: str | None = None) -> LocalAccount:
        """Return the account of a name or address.

        Raises ``NotFound`` account_unknown, ``NotAuthorised`` passphrase_wrong (also when one is needed and missing),
        ``Corrupted`` key_invalid for a damaged file.
        """
        name = self._name_of(name_or_address)
        body = self._read(name)
        key = _plain_key(body) if body.get("format") == _PLAIN else _decrypted(body, name, passphrase)
        try:
            account = _account(key)
        except InvalidInput:
            raise _damaged(name) from None
        if account.address != body["address"]:
            raise _damaged(name)
        return account

    def names(self) -> list[tuple[str, str]]:
        """Return (name, address) of every key, sorted by name; needs no passphrase."""
        if not self.directory.is_dir():
            return []
        stems = [path.stem for path in self.directory.glob("*.json") if _NAME.fullmatch(path.stem)]
        return [(name, self._read(name)["address"]) for name in sorted(stems)]

    def _name_of(self, name_or_address: str) -> str:
        if is_address(name_or_address):
            address = to_checksum_address(name_or_address)
            for name, known in self.names():
                if known == address:
                    return name
        elif _NAME.fullmatch(name_or_address) and self._path(name_or_address).is_file():
            return name_or_address
        raise NotFound(
            "account_unknown",
            f"No key is named {name_or_address!r} here, and none has that address.",
            hint="List the keys of this home, or import the key.",
        )

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                "name_invalid",
                f"{name!r} cannot name a key: it takes 1 to 64 letters, digits, dots, dashes or underscores.",
                hint='Choose a name like "ada".',
            )
        return self.directory / f"{name}.json"

    def _read(self, name: str) -> dict[str, Any]:
        """Return a key file's body with its address checksummed."""
        try:
            with (self.directory / f"{name}.json").open("rb") as file:
                body = json.loads(file.read(_MAX_FILE))
            body["address"] = to_checksum_address(str(body["address"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _damaged(name) from None
        return dict(body)

    def _write(self, path: Path, name: str, data: bytes) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self.directory / f".{secrets.token_hex(8)}.partial"
        try:
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(partial, path)  # unlike a rename, a link never replaces a key that appeared meanwhile
        except FileExistsError:
            raise _exists(name) from None
        finally:
            partial.unlink(missing_ok=True)


def _account(key: bytes) -> LocalAccount:
    try:
        account: LocalAccount = Account.from_key(key)
    except Exception:  # eth-keys raises several kinds, some with the key in the text
        raise _invalid_key() from None
    return account


def _plain(account: LocalAccount) -> dict[str, Any]:
    return {"format": _PLAIN, "warning": _WARNING, "address": account.address, "private_key": account.key.hex()}


def _plain_key(body: dict[str, Any]) -> bytes:
    try:
        return from_hex(str(body["private_key"]))
    except (KeyError, ValueError):
        return b""


def _encrypted(account: LocalAccount, passphrase: str) -> dict[str, Any]:
    return dict(account.encrypt(passphrase))


def _decrypted(body: dict[str, Any], name: str, passphrase: str | None) -> bytes:
    try:
        return bytes(Account.decrypt(json.dumps(body), passphrase or ""))
    except ValueError as error:
        if "MAC mismatch" in str(error):
            raise NotAuthorised(
                "passphrase_wrong",
                f"The passphrase does not open the key {name!r}." if passphrase else f"The key {name!r} is encrypted.",
                hint="Give the passphrase it was stored with.",
            ) from None
        raise _damaged(name) from None
    except (KeyError, TypeError, NotImplementedError):
        raise _damaged(name) from None


def _exists(name: str) -> Conflict:
    return Conflict("key_exists", f"A key named {name!r} exists.", hint="Choose another name; keys are never replaced.")


def _invalid_key() -> InvalidInput:
    return InvalidInput(
        "key_invalid",
        "What was given is not a private key: 32 bytes as 64 hex digits are required.",
        hint="Check that it was copied whole.",
    )


def _damaged(name: str) -> Corrupted:
    return Corrupted(
        "key_invalid", f"The file of key {name!r} is damaged.", hint="Restore it from a backup or import the key again."
    )
