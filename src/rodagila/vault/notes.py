"""Signed notes: a text with Ed25519 signatures below it, which any tool of transparency logs can check.

A note is its text, an empty line, and a line per signature: an em dash, the signer's name, and base64 of the first four
bytes of SHA-256(name, newline, 1, public key) with the signature over the text. A verifier's key is written
``name+id in hex+base64(1, public key)``. Source: c2sp.org/signed-note; golang.org/x/mod/sumdb/note.

>>> key = NoteKey("keeper.example", bytes(32))
>>> open_note(key.sign("size 1\\n"), key.verifier)
'size 1\\n'
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from rodagila.core.errors import InvalidInput, NotAuthorised

MAX_NOTE = 65_536
MAX_SIGNATURES = 100
_ED25519 = b"\x01"


class NoteKey:
    """A named Ed25519 key that signs notes; ``seed`` is its 32 secret bytes."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._key.public_key().public_bytes_raw()
        self.name = _checked_name(name)
        self._id = _key_id(name, public)
        self.verifier = f"{name}+{self._id.hex()}+{base64.b64encode(_ED25519 + public).decode()}"

    def sign(self, text: str) -> str:
        """Return the note of ``text``, which ends with a newline."""
        if not text.endswith("\n"):
            raise ValueError("the text of a note ends with a newline")
        signature = base64.b64encode(self._id + self._key.sign(text.encode())).decode()
        return f"{text}\n\u2014 {self.name} {signature}\n"


@dataclass(frozen=True, slots=True)
class _Verifier:
    name: str
    key_id: bytes
    key: Ed25519PublicKey


def open_note(note: str, verifier: str) -> str:
    """Return the text of a note that ``verifier`` signed; lines of other signers are passed over.

    Raises ``InvalidInput`` note_invalid for what is no note or no verifier's key, ``NotAuthorised`` note_invalid where
    the signature is missing or wrong.
    """
    known = _verifier_of(verifier)
    end = note.rfind("\n\n")
    if end < 0 or len(note) > MAX_NOTE or not note.endswith("\n"):
        raise _invalid("This is not a signed note: a text, an empty line and signature lines are required.")
    text, lines = note[: end + 1], note[end + 2 :].splitlines()
    if len(lines) > MAX_SIGNATURES:
        raise _invalid(f"The note has {len(lines)} signatures; {MAX_SIGNATURES} are allowed.")
    for line in lines:
        name, signature = _signature_of(line)
        if (name, signature[:4]) == (known.name, known.key_id):
            try:
                known.key.verify(signature[4:], text.encode())
            except InvalidSignature:
                break
            return text
    raise NotAuthorised("note_invalid", f"The note carries no good signature of {known.name}.")


def _signature_of(line: str) -> tuple[str, bytes]:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    try:
        signature = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        signature = b""
    if dash != "\u2014" or not name or len(signature) < 5:
        raise _invalid("A line below the note is not a signature.")
    return name, signature


def _verifier_of(text: str) -> _Verifier:
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        key = base64.b64decode(encoded, validate=True)
        if key[:1] != _ED25519 or len(key) != 33 or _key_id(_checked_name(name), key[1:]).hex() != key_id:
            raise ValueError(key_id)
        return _Verifier(name, bytes.fromhex(key_id), Ed25519PublicKey.from_public_bytes(key[1:]))
    except (binascii.Error, ValueError):
        raise _invalid("This is not a verifier's key of a signed note.") from None


def _key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def _checked_name(name: str) -> str:
    if not name or "+" in name or any(letter.isspace() for letter in name):
        raise ValueError("a signer's name has no space and no plus")
    return name


def _invalid(message: str) -> InvalidInput:
    return InvalidInput("note_invalid", message, hint="Fetch it again from the log that signed it.")
