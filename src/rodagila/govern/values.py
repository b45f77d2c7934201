"""The text of one policy value: reading it exactly, writing it back, saying its range.

Nothing passes through a float: ``0.2``, ``"0.2"`` and ``20%`` are read digit by digit into 200,000 millionths. A value
that does not fit raises ``WrongValue`` with the problem and the fix. Shares and amounts are read by one rule, because
both have six decimals.

>>> from rodagila.govern.fields import field_named
>>> read_value(field_named("pool", "treasury_cut"), "20%", quoted=False)
200000
"""

from __future__ import annotations

import re

from rodagila.core.errors import InvalidInput
from rodagila.core.money import format_amount, parse_amount
from rodagila.govern.fields import DAY, Field

Value = int | str | bool
_WHOLE = re.compile(r"[0-9]{1,16}")
_DURATION = re.compile(r"([0-9]{1,10})\s*(s|m|h|d|seconds?|minutes?|hours?|days?)?")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": DAY}
_PLAIN_NOT_TEXT = re.compile(r"[0-9.+-][0-9._+e-]*|true|false|null|yes|no|on|off|~|", re.IGNORECASE)
SHOWN = 60


class WrongValue(ValueError):
    """A value does not fit its field; ``fix`` says what to write."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.fix = fix


def shown(text: str) -> str:
    """Return ``text`` quoted, without control characters and at most 60 characters long, for an error."""
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def read_value(field: Field, text: str, *, quoted: bool) -> Value:
    """Return the core's value of ``text``; ``quoted`` tells that the file had it in quotes. Raises ``WrongValue``."""
    value = _READERS[field.kind](field, text, quoted)
    check_bounds(field, value)
    return value


def check_bounds(field: Field, value: Value) -> None:
    """Raise ``WrongValue`` unless the core's ``value`` is within the bounds of ``field``."""
    if field.kind in ("choice", "flag"):
        return
    if field.kind == "text":
        if not (field.low <= len(str(value)) <= field.high and str(value).isprintable() and str(value).strip()):
            raise WrongValue(
                f"{shown(str(value))} is not a text of {range_text(field)}", "Write one line of printable characters."
            )
    elif not field.low <= int(value) <= field.high:
        raise WrongValue(
            f"{write_value(field, value)} is outside {range_text(field)}",
            f"Give a value from {_bound(field, field.low)} to {_bound(field, field.high)}.",
        )


def write_value(field: Field, value: Value) -> str:
    """Return the YAML text of the core's ``value``; reading it back gives the same value."""
    match field.kind:
        case "share" | "decimal":
            return format_amount(int(value))
        case "amount":
            return f'"{format_amount(int(value))}"'
        case "duration":
            return _duration_text(int(value))
        case "flag":
            return "true" if value else "false"
        case "text":
            return quote(str(value))
        case _:
            return str(value)


def quote(text: str) -> str:
    """Return ``text`` as a YAML double-quoted scalar on one line, in ASCII."""
    pieces = []
    for character in text:
        code = ord(character)
        if character in '"\\':
            pieces.append("\\" + character)
        elif 0x20 <= code < 0x7F:
            pieces.append(character)
        else:
            pieces.append(
                f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
            )
    return '"' + "".join(pieces) + '"'


def range_text(field: Field) -> str:
    """Return the range of ``field`` as people read it."""
    if field.kind == "flag":
        return "true or false"
    if field.kind == "choice":
        return " or ".join(field.choices)
    unit = " characters" if field.kind == "text" else ""
    return f"{_bound(field, field.low)} to {_bound(field, field.high)}{unit}"


def _bound(field: Field, value: int) -> str:
    if field.kind in ("text", "count"):
        return f"{value:,}"
    return write_value(field, value).strip('"')


def _duration_text(seconds: int) -> str:
    for letter in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[letter] == 0:
            return f"{seconds // _SECONDS[letter]}{letter}"
    return f"{seconds}s"


def _read_decimal(field: Field, text: str, _quoted: bool) -> Value:
    percent = text.endswith("%") and field.kind == "share"
    digits = text.removesuffix("%").strip() if percent else text
    example = "0.2 or 20%" if field.kind == "share" else "1.5"
    try:
        units = parse_amount(digits if digits.isascii() else "")
    except InvalidInput as error:
        raise WrongValue(
            f"{shown(text)} is not a decimal number with at most six decimals", f"Write it like {example}."
        ) from error
    if percent and units % 100:
        raise WrongValue(f"{shown(text)} has more than four decimals of a percent", f"Write it like {example}.")
    return units // 100 if percent else units


def _read_amount(_field: Field, text: str, _quoted: bool) -> Value:
    try:
        return parse_amount(text if text.isascii() else "")
    except InvalidInput as error:
        raise WrongValue(
            f"{shown(text)} is not an amount: digits with at most six decimals are required",
            'Write it like "0.002".',
        ) from error


def _read_count(_field: Field, text: str, quoted: bool) -> Value:
    digits = text.replace("_", "")
    if quoted or not _WHOLE.fullmatch(digits):
        raise WrongValue(f"{shown(text)} is not a whole number", "Write digits without quotes, like 1000.")
    return int(digits)


def _read_duration(_field: Field, text: str, _quoted: bool) -> Value:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise WrongValue(f"{shown(text)} is not a duration", "Write it like 30s, 10m, 12h or 2d.")
    return int(match.group(1)) * _SECONDS[(match.group(2) or "s")[0]]


def _read_text(_field: Field, text: str, quoted: bool) -> Value:
    if not quoted and _PLAIN_NOT_TEXT.fullmatch(text):
        raise WrongValue(f"{shown(text)} is not a text", f"Put it in quotes: {quote(text[:SHOWN])}.")
    return text


def _read_choice(field: Field, text: str, _quoted: bool) -> Value:
    if text not in field.choices:
        raise WrongValue(f"{shown(text)} is not one of {', '.join(field.choices)}", f"Write {range_text(field)}.")
    return text


def _read_flag(_field: Field, text: str, quoted: bool) -> Value:
    if quoted or text.lower() not in ("true", "false"):
        raise WrongValue(f"{shown(text)} is neither true nor false", "Write true or false without quotes.")
    return text.lower() == "true"


_READERS = {
    "share": _read_decimal,
    "decimal": _read_decimal,
    "amount": _read_amount,
    "count": _read_count,
    "duration": _read_duration,
    "text": _read_text,
    "choice": _read_choice,
    "flag": _read_flag,
}
