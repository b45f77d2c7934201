"""What is personal or secret by its form: one function a kind of text, each with a cheap look before the costly one.

A look at a text is a search for a few fixed words, one for digits that stand close together, and one for long words;
only around what it finds do the patterns run. Checksums: Luhn for cards (ISO/IEC 7812), mod 97 for IBANs (ISO 13616),
double SHA-256 for Base58Check; phone numbers by ``phonenumbers`` where their form does not tell. What has the form of
a secret, card, account or national number is taken whether or not a checksum holds. The patterns follow presidio's
recognisers (MIT), without its pipeline.

>>> sorted(spans_of("mail ada@example.org, card 4111 1111 1111 1111"))
[(5, 20, 'email'), (27, 46, 'card')]
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import re
from collections.abc import Iterator

Span = tuple[int, int, str]
"""Start, end and category of something to replace."""

CATEGORIES = (
    *("secret", "national_id", "iban", "card", "crypto_address", "email"),
    *("mac", "ip", "birth_date", "phone", "name"),
)
"""Every category; where two overlap, the earlier one names the whole."""

_PREFIXED: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = (
    (("age-secret-key-1",), re.compile(r"\bAGE-SECRET-KEY-1[A-Z0-9]{20,}", re.IGNORECASE)),
    (
        ("sk-", "pk-", "rk-", "sk_", "pk_", "rk_"),
        re.compile(r"\b(?:sk|pk|rk)[-_](?=[\w-]{0,100}\d)(?:[A-Za-z0-9]{1,40}[-_]){0,3}[A-Za-z0-9]{16,}"),
    ),
    (
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "hf_", "npm_", "pypi-"),
        re.compile(r"\b(?:(?:gh[pousr]|hf|npm)_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|pypi-[\w-]{16,})"),
    ),
    (
        ("xox", "aiza", "ya29.", "sg."),
        re.compile(r"\b(?:xox[abeoprs]-[A-Za-z0-9-]{10,}|AIza[\w-]{30,}|ya29\.[\w-]{20,}|SG\.[\w-]{16,}\.[\w-]{16,})"),
    ),
    (("akia", "asia", "agpa", "aida", "aroa"), re.compile(r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}\b")),
    (("eyj",), re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}(?:\.[\w-]*)?")),
)
_WORDED: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = (
    (
        ("-----begin",),
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    ),
    (("://",), re.compile(r"(?<=://)[^\s/:@<>]+:[^\s/@<>]+(?=@)")),
    (
        ("key", "token", "secret", "passw", "passphrase"),
        re.compile(
            r"(?:(?<=\b)|(?<=_))(?:api[_-]?key|secret[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?token"
            r"|access[_-]?token|client[_-]?secret|passw(?:or)?d|passphrase|secret|token)"
            r"[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?=[^\s\"'<>]{0,200}\d)([^\s\"'<>,;]{8,})",
            re.IGNORECASE,
        ),
    ),
    (
        ("bearer ",),
        re.compile(r"\bBearer\s{1,3}(?=[\w.~+/-]{0,200}\d)([\w.~+/-]{16,}=*)", re.IGNORECASE),
    ),
)
_PREFIXED_LENGTH, _LONG_LENGTH = 15, 25  # shorter words hold no such key, no such address
_LONG_RUN = re.compile(r"\w{25,}")
_LONG: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("secret", re.compile(r"(?<![0-9A-Za-z])(?:0x)?[0-9a-fA-F]{64}(?![0-9A-Za-z])")),
    ("crypto_address", re.compile(r"(?<![0-9A-Za-z])0x[0-9a-fA-F]{40}(?![0-9A-Za-z])")),
    ("crypto_address", re.compile(r"\b(?:bc|tb|ltc|addr)1[02-9ac-hj-np-z]{25,100}\b", re.IGNORECASE)),
    ("crypto_address", re.compile(r"\b[48][0-9AB][1-9A-HJ-NP-Za-km-z]{93}\b")),
)
_BASE58 = re.compile(r"\b[13LMDTX29A][1-9A-HJ-NP-Za-km-z]{25,34}\b")
_BASE58_DIGITS = {char: n for n, char in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")}

_CLUSTER = re.compile(r"\d(?:[^\d\n]{0,4}\d){3,}")
_SIX_DIGITS = re.compile(r"\d(?:[^\d\n]{0,4}\d){5}")
_NEAR = 24
_NUMBERS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("card", re.compile(r"(?<![\d.])(?:\d{4}[ -]){3}\d{1,7}(?![\d.])|(?<![\d.])3\d{3}[ -]\d{6}[ -]\d{5}(?!\d)")),
    ("national_id", re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")),
    ("national_id", re.compile(r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b")),
    ("national_id", re.compile(r"(?<![\d-])[2-9]\d{3} \d{4} \d{4}(?![ -]?\d)")),
    ("iban", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")),
)
_IPV4 = re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?!\w)(?!\.\d)")
_IBAN_ANY_CASE = re.compile(r"\b[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{4}){2,7}(?: ?[A-Za-z0-9]{1,3})?\b")
_CARD_DIGITS = re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d.]?\d)")
_MAC = re.compile(r"(?<![\w:-])(?:[0-9A-Fa-f]{2}([:-]))(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_COLONS, _DASHES = re.compile(r":[0-9A-Fa-f]{0,4}:"), re.compile(r"-[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-")
_SHORTEST_IP = 7

_PHONE = re.compile(r"(?<![\w.])(?:\+|\()?\d(?:[ ().\-/\u00a0]{0,3}\d){6,14}(?!\w)(?!\.\d)")
_PHONE_FORM = re.compile(r"(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}|0\d{1,4}[ /-]\d{2,4}[ -]?\d{3,8}")
_DATE_FORM = re.compile(r"(?:19|20)\d\d[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.](?:19|20)\d\d|\d{1,3}(?:\.\d{3})+$")
_REGIONS = ("US", "GB", "DE", "FR", "IN", "IL", "CA", "BR")

_LOCAL = re.compile(r"[\w!#$%&'*+/=?^`{|}~.-]{1,64}\Z")
_HOST = re.compile(r"(?:[\w-]{1,63}\.){1,8}\w{2,24}\b")

_MONTH = r"(?:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-zä]{0,7}\.?"
_TH = r"(?:st|nd|rd|th)?"
_DATE = (
    r"(?:\d{1,4}[-/. ]{1,2}\d{1,2}[-/. ]{1,2}\d{1,4}"
    rf"|\d{{1,2}}{_TH}\.?\s(?:of\s)?{_MONTH},?\s\d{{2,4}}|{_MONTH}\s\d{{1,2}}{_TH},?\s\d{{2,4}})"
)
_BIRTH_WORDS = ("born", "birth", "dob", "d.o.b", "geboren", "geburt", "né ", "née ", "nacid")
_BIRTH = re.compile(
    r"(?:\bborn|birth(?:[ _-]?da(?:y|te))?|\bd\.?o\.?b\b\.?|geboren|geburts(?:datum|tag)|\bnée?|nacid[oa])"
    rf"[\"']?[\s:=]{{0,3}}(?:(?:is|was|on|am|le|el|ist|the)[\s:]{{1,2}}){{0,2}}[\"']?({_DATE})(?!\d)",
    re.IGNORECASE,
)
_ID_WORDS = ("passport", "ssn", "social security", "licen", "national id", "tax id", "ausweis", "identity", "insurance")
_ID = re.compile(
    r"(?:passport|\bssn|social security|driv(?:er|ing)'?s? licen[cs]e|national id|tax id|ausweis|identity card"
    r"|insurance)(?:\s?(?:number|no|nr|nummer|id)\b)?[\s.:#=-]{0,3}(?:is\s|ist\s)?(?=[A-Z0-9-]{0,30}\d{3})([A-Z0-9](?:-?[A-Z0-9]){5,15})\b",
    re.IGNORECASE,
)


def spans_of(text: str) -> Iterator[Span]:
    """Yield what is found in ``text``, in no order; spans may overlap."""
    low = text.lower()
    yield from _worded(_WORDED, text, low)
    longest = max(map(len, text.split()), default=0)
    if longest >= _PREFIXED_LENGTH:
        yield from _worded(_PREFIXED, text, low)
    if longest >= _LONG_LENGTH:
        yield from _long(text)
    if "@" in text:
        yield from _emails(text)
    if ":" in text or "-" in text:
        yield from _addresses(text)
    windows = list(_windows(text))
    for start, end in windows:
        yield from _numbers(text, start, end)
    if any(word in low for word in _BIRTH_WORDS):
        yield from _matches("birth_date", _BIRTH, text)
    if windows and any(word in low for word in _ID_WORDS):
        yield from _matches("national_id", _ID, text)


def _worded(rules: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...], text: str, low: str) -> Iterator[Span]:
    for words, pattern in rules:
        for word in words:
            if word in low:
                yield from _matches("secret", pattern, text)
                break


def _long(text: str) -> Iterator[Span]:
    for run in _LONG_RUN.finditer(text):
        for category, pattern in _LONG:
            yield from _matches(category, pattern, text, run.start(), run.end())
        for match in _BASE58.finditer(text, run.start(), run.end()):
            if is_base58check(match.group()):
                yield match.start(), match.end(), "crypto_address"


def _matches(
    category: str, pattern: re.Pattern[str], text: str, start: int = 0, end: int | None = None
) -> Iterator[Span]:
    group = pattern.groups
    for match in pattern.finditer(text, start, len(text) if end is None else end):
        yield match.start(group), match.end(group), category


def _emails(text: str) -> Iterator[Span]:
    at = text.find("@")
    while at >= 0:
        before = _LOCAL.search(text[max(0, at - 64) : at])
        after = _HOST.match(text, at + 1)
        if before and after:
            yield at - len(before.group()), after.end(), "email"
        at = text.find("@", at + 1)


def _addresses(text: str) -> Iterator[Span]:
    """Yield addresses of network cards and of IP version 6."""
    if not (_COLONS.search(text) or _DASHES.search(text)):
        return
    for match in _MAC.finditer(text):
        yield match.start(), match.end(), "mac"
    for match in _IPV6.finditer(text):
        if len(match.group()) >= _SHORTEST_IP and _is_ip(match.group()):
            yield match.start(), match.end(), "ip"


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _windows(text: str) -> Iterator[tuple[int, int]]:
    """Yield disjoint stretches around digits that stand close together, widened to the ends of words."""
    start = end = -1
    for match in _CLUSTER.finditer(text):
        left, right = max(0, match.start() - _NEAR), min(len(text), match.end() + _NEAR)
        while left > 0 and not text[left - 1].isspace():
            left -= 1
        while right < len(text) and not text[right].isspace():
            right += 1
        if left > end:
            if end >= 0:
                yield start, end
            start = left
        end = max(end, right)
    if end >= 0:
        yield start, end


def _numbers(text: str, start: int, end: int) -> Iterator[Span]:
    """Yield what is personal among the numbers of a stretch; fewer than six together can only be an address."""
    yield from _matches("ip", _IPV4, text, start, end)
    if not _SIX_DIGITS.search(text, start, end):
        return
    for category, pattern in _NUMBERS:
        yield from _matches(category, pattern, text, start, end)
    for match in _CARD_DIGITS.finditer(text, start, end):
        if is_luhn(match.group()):
            yield match.start(), match.end(), "card"
    for match in _IBAN_ANY_CASE.finditer(text, start, end):
        if is_iban(match.group()):
            yield match.start(), match.end(), "iban"
    for match in _PHONE.finditer(text, start, end):
        if is_phone(match.group()):
            yield match.start(), match.end(), "phone"


def is_luhn(text: str) -> bool:
    """Tell whether the digits of ``text`` end in their check digit (ISO/IEC 7812).

    >>> is_luhn("4111 1111 1111 1111"), is_luhn("4111 1111 1111 1112")
    (True, False)
    """
    digits = [int(char) for char in text if "0" <= char <= "9"]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_iban(text: str) -> bool:
    """Tell whether ``text`` is an account number whose remainder by 97 is 1 (ISO 13616).

    >>> is_iban("de89 3704 0044 0532 0130 00"), is_iban("de88 3704 0044 0532 0130 00")
    (True, False)
    """
    packed = "".join(text.split()).upper()
    if not packed.isascii() or not packed.isalnum():
        return False
    return 15 <= len(packed) <= 34 and int("".join(str(int(char, 36)) for char in packed[4:] + packed[:4])) % 97 == 1


def is_base58check(text: str) -> bool:
    """Tell whether ``text`` is 21 bytes in Base58 that end in their checksum, as Bitcoin's addresses are.

    >>> is_base58check("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"), is_base58check("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb")
    (True, False)
    """
    number = 0
    for char in text:
        number = number * 58 + _BASE58_DIGITS[char]
    try:
        raw = number.to_bytes(25, "big")
    except OverflowError:
        return False
    return hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


@functools.lru_cache(maxsize=4_096)
def is_phone(text: str) -> bool:
    """Tell whether digits and what stands between them are a phone number, by form or by a country's plan.

    >>> is_phone("+1 212 555 2368"), is_phone("2024-01-15 10")
    (True, False)
    """
    count = sum(char.isdigit() for char in text)
    if text.startswith("+") or _PHONE_FORM.fullmatch(text):
        return 7 <= count <= 15
    if _DATE_FORM.match(text) or count < 8:
        return False
    import phonenumbers

    for region in _REGIONS:
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(text, region)):
                return True
        except phonenumbers.NumberParseException:
            continue
    return False
