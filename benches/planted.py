"""Personal data planted in sentences, by category, from a seed: what redaction ought to find, and where it stands.

Every string is made anew: accounts and cards with right checksums, phone numbers valid in twelve countries and written
as people there do, keys in the forms their issuers use. Nothing here knows the patterns of the redaction.
"""

from __future__ import annotations

import base64
import hashlib
import random
import re
import string
from collections.abc import Callable

import phonenumbers

FRAMES = (
    "Please use {} for this.",
    "it's {}, thanks",
    "My details: {}\nBest",
    "({})",
    "Reach me under {} or tomorrow at 10:30.",
    "I wrote {} in 2019 and 3 others",
)
NAMES = ("ada", "grace.hopper", "j_doe", "li+news", "o'neil", "x", "søren")
HOSTS = ("example.org", "mail.example.co.uk", "corp.local", "sub.host-1.example.com", "example.museum")
COUNTRIES = ("US", "GB", "DE", "FR", "ES", "IT", "IN", "BR", "JP", "NL", "PL", "SE")
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
MONTHS = ("January", "Feb", "March", "April", "May", "June", "July", "Aug", "September", "Oct", "November", "December")


def digits(rng: random.Random, count: int) -> str:
    """Return so many random digits, the first of them not zero."""
    return rng.choice("123456789") + "".join(rng.choice(string.digits) for _ in range(count - 1))


def letters(rng: random.Random, count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Return so many random letters; at least one digit if the alphabet has them."""
    return "".join(rng.choice(alphabet) for _ in range(count - 1)) + ("7" if "7" in alphabet else alphabet[0])


def grouped(text: str, mark: str, size: int = 4) -> str:
    """Return ``text`` in groups."""
    return mark.join(text[at : at + size] for at in range(0, len(text), size))


def card(rng: random.Random) -> str:
    """Return a card's number with its check digit."""
    start, length = rng.choice((("4", 16), ("51", 16), ("34", 15), ("6011", 16), ("37", 15), ("2221", 16)))
    body = start + "".join(rng.choice(string.digits) for _ in range(length - len(start) - 1))
    total = sum(sum(divmod(int(d) * (2 if at % 2 == 0 else 1), 10)) for at, d in enumerate(reversed(body)))
    number = body + str(-total % 10)
    if length == 15:
        return rng.choice((number, f"{number[:4]} {number[4:10]} {number[10:]}"))
    return rng.choice((number, grouped(number, " "), grouped(number, "-")))


def iban(rng: random.Random) -> str:
    """Return an account's number with its check digits."""
    country, length, bank = rng.choice((("DE", 18, ""), ("GB", 14, "NWBK"), ("FR", 23, ""), ("NL", 10, "ABNA")))
    account = bank + digits(rng, length)
    remainder = int("".join(str(int(char, 36)) for char in f"{account}{country}00")) % 97
    whole = f"{country}{98 - remainder:02d}{account}"
    return rng.choice((whole, grouped(whole, " "), whole.lower()))


def phone(rng: random.Random) -> str:
    """Return a phone number that is valid in its country, in one of the forms it is written in."""
    country = rng.choice(COUNTRIES)
    example = phonenumbers.example_number_for_type(
        country, rng.choice((phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE))
    )
    form = rng.choice(
        (
            phonenumbers.PhoneNumberFormat.INTERNATIONAL,
            phonenumbers.PhoneNumberFormat.E164,
            phonenumbers.PhoneNumberFormat.NATIONAL,
        )
    )
    for _ in range(50):
        number = phonenumbers.PhoneNumber(
            country_code=example.country_code,
            national_number=int(str(example.national_number)[:-4] + f"{rng.randrange(10_000):04d}"),
        )
        if phonenumbers.is_valid_number(number):
            return str(phonenumbers.format_number(number, form))
    return str(phonenumbers.format_number(example, form))


def crypto(rng: random.Random) -> str:
    """Return an address of Bitcoin (Base58Check), Ethereum, or Bitcoin's newer form."""
    kind = rng.randrange(3)
    if kind == 0:
        raw = rng.choice((b"\0", b"\x05")) + rng.randbytes(20)
        raw += hashlib.sha256(hashlib.sha256(raw).digest()).digest()[:4]
        number, text = int.from_bytes(raw, "big"), ""
        while number:
            number, at = divmod(number, 58)
            text = BASE58[at] + text
        return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text
    if kind == 1:
        return "0x" + rng.randbytes(20).hex()
    return "bc1q" + letters(rng, 38, "023456789acdefghjklmnpqrstuvwxyz")


def address(rng: random.Random) -> str:
    """Return an address of a machine, version 4 or 6."""
    if rng.random() < 0.6:
        return ".".join(str(rng.randrange(1, 255)) for _ in range(4))
    parts = [f"{rng.randrange(1, 65_536):x}" for _ in range(8)]
    return rng.choice((":".join(parts), f"fe80::{parts[0]}:{parts[1]}:{parts[2]}", f"2001:db8::{parts[3]}"))


def mac(rng: random.Random) -> str:
    """Return an address of a network card."""
    return rng.choice(":-").join(["0A", *(f"{rng.randrange(256):02X}" for _ in range(4)), "7F"])


def birth(rng: random.Random) -> str:
    """Return a date of birth with the words around it."""
    year, month, day = rng.randrange(1930, 2010), rng.randrange(1, 13), rng.randrange(1, 29)
    dates = (
        f"{year}-{month:02d}-{day:02d}",
        f"{day:02d}/{month:02d}/{year}",
        f"{day}.{month}.{year}",
        f"{day} {MONTHS[month - 1]} {year}",
        f"{MONTHS[month - 1]} {day}, {year}",
        f"{month}/{day}/{year % 100:02d}",
    )
    words = ("DOB: {}", "I was born on {}", "date of birth {}", "my birthday is {}", "geboren am {}", "born {}")
    return rng.choice(words).format(rng.choice(dates))


def national(rng: random.Random) -> str:
    """Return a number that a state gave to a person."""
    return rng.choice(
        (
            f"{rng.randrange(100, 665)}-{rng.randrange(10, 99)}-{rng.randrange(1000, 9999)}",
            f"AB {rng.randrange(10, 99)} {rng.randrange(10, 99)} {rng.randrange(10, 99)} C",
            f"passport number {rng.choice('CXK')}{digits(rng, 8)}",
            f"driver's license: D{digits(rng, 7)}",
            f"Aadhaar {grouped(digits(rng, 12).replace('1', '5'), ' ')}",
        )
    )


def secret(rng: random.Random) -> str:
    """Return a key or password in the form its issuer gives it."""
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
    body = base64.urlsafe_b64encode(b'{"sub":"' + rng.randbytes(8).hex().encode() + b'"}').decode().rstrip("=")
    return rng.choice(
        (
            "ghp_" + letters(rng, 36),
            "sk-proj-" + letters(rng, 40),
            "sk_live_" + letters(rng, 24),
            "AKIA" + letters(rng, 16, string.ascii_uppercase + string.digits),
            "AIza" + letters(rng, 35),
            f"xoxb-{digits(rng, 11)}-{letters(rng, 24)}",
            f"{head}.{body}.{letters(rng, 43)}",
            f"password: {letters(rng, 10)}",
            f"API_KEY={letters(rng, 32)}",
            "0x" + rng.randbytes(32).hex(),
            f"postgres://app:{letters(rng, 12)}@db.example.org/x",
            "-----BEGIN PRIVATE KEY-----\n" + letters(rng, 64) + "\n-----END PRIVATE KEY-----",
        )
    )


MAKERS: dict[str, Callable[[random.Random], str]] = {
    "email": lambda rng: f"{rng.choice(NAMES)}{rng.randrange(100)}@{rng.choice(HOSTS)}",
    "phone": phone,
    "card": card,
    "iban": iban,
    "national_id": national,
    "crypto_address": crypto,
    "ip": address,
    "mac": mac,
    "birth_date": birth,
    "secret": secret,
}
_WORDS = re.compile(
    r"password: |API_KEY=|passport number |driver's license: |Aadhaar |-----\w+ PRIVATE KEY-----|postgres://app:|@db.+/x"
    r"|DOB: |I was born on |date of birth |my birthday is |geboren am |born "
)


def planted(category: str, count: int, seed: int) -> list[tuple[str, str]]:
    """Return ``count`` texts, each with what must not be left of it."""
    rng = random.Random(f"{category} {seed}")
    made = []
    for _ in range(count):
        what = MAKERS[category](rng)
        made.append((rng.choice(FRAMES).format(what), _WORDS.sub("", what)))
    return made


def survives(what: str, text: str) -> bool:
    """Tell whether a piece of ``what`` is still in ``text``: five letters or digits in a row, a digit among them."""
    bare, core = (re.sub(r"[\W_]", "", each) for each in (text, what))
    size = min(5, len(core))
    pieces = [core[at : at + size] for at in range(len(core) - size + 1)]
    return any(piece in bare for piece in pieces if re.search(r"\d", piece))
