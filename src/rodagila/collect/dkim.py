"""DKIM: whether a mail's signature holds under a key that its domain once published (RFC 6376, 8301, 8463).

Keys are given, from an archive of DNS records, and nothing is asked of the network: domains change their keys, and mail
of years ago is signed by keys that are gone. Because of that a signature's own expiry is not looked at. Stricter than
the RFC: a signature over a part of the body (``l=``) proves nothing, and it must be of the author's own domain or one
above it. Keys of RSA have 1024 bits at least, as RFC 8301 asks; ``rsa-sha1`` is refused.

>>> keys_of("brisbane._domainkey.example.com v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
{'brisbane._domainkey.example.com': 'v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo='}
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from email.utils import parseaddr

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

MAX_SIGNATURES = 8
_KEY = re.compile(r"^[ \t]*([\w.-]{1,250}\._domainkey\.[\w.-]{1,250})\.?[ \t]+(.*\bp=.*)$", re.MULTILINE)
_HASHED = re.compile(rb"([;:\s]b[ \t\r\n]*=)[^;]*")
_SPACES = re.compile(rb"[ \t]+")
_MIN_RSA_BITS = 1024
Headers = list[tuple[bytes, bytes]]
"""Each field's name and all of the field, ends of lines included, in the mail's order."""


def keys_of(text: str) -> dict[str, str]:
    """Return the records of an archive of DKIM keys, one a line: ``selector._domainkey.domain``, space, TXT record."""
    return {name.lower(): record.strip() for name, record in _KEY.findall(text)}


def proven_domain(mail: bytes, keys: Mapping[str, str]) -> str:
    """Return the domain whose signature over the whole mail holds and that the author's address is of; else nothing.

    A mailing list's signature shows that the list sent the mail, not who wrote it, so it is not enough.
    """
    headers, _ = _split(mail)
    authors = [field for name, field in headers if name == b"from"]
    if len(authors) != 1:
        return ""
    address = parseaddr(" ".join(_unfolded(authors[0]).decode("utf-8", errors="replace").split()))[1]
    host = "." + address.rpartition("@")[2].lower()
    return next((domain for domain in signing_domains(mail, keys) if host.endswith("." + domain)), "")


def signing_domains(mail: bytes, keys: Mapping[str, str]) -> list[str]:
    """Return the domains whose signatures over the whole mail hold under ``keys``, in the mail's order."""
    headers, body = _split(mail)
    domains = []
    for field in [field for name, field in headers if name == b"dkim-signature"][:MAX_SIGNATURES]:
        tags = _tags(_unfolded(field).decode("ascii", errors="replace"))
        if tags.get("d") and _holds(field, tags, headers, body, keys):
            domains.append(tags["d"].lower())
    return domains


def _split(mail: bytes) -> tuple[Headers, bytes]:
    """Return the fields and the body of a mail, lines ending in CR LF as they were signed."""
    mail = mail.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if mail.startswith(b"\r\n"):
        return [], mail[2:]
    top, _, body = mail.partition(b"\r\n\r\n")
    headers: Headers = []
    for line in (top + b"\r\n").splitlines(keepends=True):
        if line[:1] in b" \t" and headers:
            headers[-1] = (headers[-1][0], headers[-1][1] + line)
        else:
            headers.append((line.partition(b":")[0].rstrip().lower(), line))
    return headers, body


def _unfolded(field: bytes) -> bytes:
    return field.partition(b":")[2].replace(b"\r\n", b"")


def _tags(text: str) -> dict[str, str]:
    """Return the tags of a signature or key; nothing if one is there twice."""
    pairs = [part.partition("=") for part in text.split(";") if part.strip()]
    tags = {name.strip(): value.strip() for name, _, value in pairs}
    return tags if len(tags) == len(pairs) else {}


def _holds(field: bytes, tags: dict[str, str], headers: Headers, body: bytes, keys: Mapping[str, str]) -> bool:
    """Tell whether one signature holds."""
    header_form, _, body_form = tags.get("c", "simple/simple").lower().partition("/")
    names = [name.strip().lower().encode() for name in tags.get("h", "").split(":")]
    identity = tags.get("i", "@" + tags["d"]).rpartition("@")[2].lower()
    key = _tags(keys.get(f"{tags.get('s', '')}._domainkey.{tags['d']}".lower(), ""))
    domain = tags["d"].lower()
    strict = "s" in key.get("t", "").split(":")
    fits = (
        tags.get("v") == "1"
        and "l" not in tags
        and b"from" in names
        and {header_form, body_form or "simple"} <= {"simple", "relaxed"}
        and (identity == domain or (not strict and identity.endswith("." + domain)))
        and key.get("v", "DKIM1") == "DKIM1"
        and "sha256" in key.get("h", "sha256").split(":")
        and tags.get("a", "").lower() == f"{key.get('k', 'rsa')}-sha256"
    )
    if not fits:
        return False
    try:
        digest = hashlib.sha256(_body(body, body_form or "simple")).digest()
        if digest != _base64(tags["bh"]):
            return False
        signed = _signed(field, names, headers, header_form)
        return _verifies(key, _base64(tags["b"]), signed)
    except (KeyError, ValueError):
        return False


def _base64(text: str) -> bytes:
    return base64.b64decode(re.sub(r"\s", "", text), validate=True)


def _body(body: bytes, form: str) -> bytes:
    """Return the body in the form that is hashed (RFC 6376 3.4.3, 3.4.4)."""
    if form == "relaxed":
        body = b"\r\n".join(_SPACES.sub(b" ", line).rstrip(b" ") for line in body.split(b"\r\n"))
    while body.endswith(b"\r\n"):
        body = body[:-2] if not body.endswith(b"\r\n" * 64) else body[:-128]
    return body + b"\r\n" if body or form == "simple" else b""


def _header(field: bytes, form: str) -> bytes:
    """Return a field in the form that is hashed (RFC 6376 3.4.1, 3.4.2)."""
    if form == "simple":
        return field
    name, _, value = field.partition(b":")
    text = _SPACES.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")
    return name.strip().lower() + b":" + text + b"\r\n"


def _signed(field: bytes, names: list[bytes], headers: Headers, form: str) -> bytes:
    """Return the bytes under the signature: the named fields, last ones first, and its own without its value."""
    left: dict[bytes, list[bytes]] = {}
    for name, other in headers:
        left.setdefault(name, []).append(other)
    chosen = [_header(left[name].pop(), form) for name in names if left.get(name)]
    own = _header(_HASHED.sub(rb"\1", field.removesuffix(b"\r\n"), count=1) + b"\r\n", form)
    return b"".join(chosen) + own.removesuffix(b"\r\n")


def _verifies(key: dict[str, str], signature: bytes, signed: bytes) -> bool:
    """Check a signature; raises ``KeyError`` or ``ValueError`` for a key that is none."""
    material = _base64(key["p"])
    digest = hashlib.sha256(signed).digest()
    try:
        if key.get("k", "rsa") == "ed25519":
            Ed25519PublicKey.from_public_bytes(material).verify(signature, digest)
            return True
        public = load_der_public_key(material)
        if not isinstance(public, RSAPublicKey) or public.key_size < _MIN_RSA_BITS:
            return False
        public.verify(signature, signed, PKCS1v15(), SHA256())
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
