"""What a source reads out of an export: messages, each with its author, and what stands in for one that cannot be read.

A `Source` knows one format: by a file's name and first bytes it tells whether the file is its own, and it reads such a
file as a stream. Levels of provenance, weakest first: ``asserted`` (the contributor says so), ``consistent`` (what the
export says about itself agrees), ``proven`` (a third party's signature over it holds).

>>> Message("where is my card", authors=("Ada", "U01")).is_by(frozenset({"ada"}))
True
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rodagila.collect.archive import Files
from rodagila.collect.sources import LineProblem
from rodagila.core.policy import RecordRules

ASSERTED, CONSISTENT, PROVEN = LEVELS = ("asserted", "consistent", "proven")
_LATEST = 2**40


@dataclass(frozen=True, slots=True)
class Message:
    """One text somebody wrote, with the answer it got or its label, if any.

    ``authors`` are the names the export has for who wrote it, the one to show first; none means that only the account
    whose export it is can have. ``at`` is seconds since 1970, local time where the export knows no zone.
    """

    text: str
    authors: tuple[str, ...] = ()
    answer: str = ""
    label: str = ""
    at: int | None = None
    level: str = ASSERTED

    def is_by(self, names: frozenset[str]) -> bool:
        """Tell whether one of the case-folded ``names`` wrote it."""
        return not self.authors or any(author.casefold() in names for author in self.authors)


Item = Message | LineProblem
"""A message, or why there is none."""


@dataclass(frozen=True, slots=True)
class Source:
    """One format of exports: ``recognises(name, first_bytes)`` and ``read(files, name, rules)``."""

    name: str
    recognises: Callable[[str, bytes], bool]
    read: Callable[[Files, str, RecordRules], Iterator[Item]]


def text_of(value: Any) -> str:
    """Return ``value`` if it is text, else nothing."""
    return value if isinstance(value, str) else ""


def dict_of(value: Any) -> dict[str, Any]:
    """Return ``value`` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    """Return ``value`` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def seconds_of(value: Any, unit: int = 1) -> int | None:
    """Return whole seconds of a number, or of the text of one, that counts ``1 / unit`` seconds; else None."""
    try:
        seconds = float(value) / unit if isinstance(value, (int, float, str)) else math.nan
    except (ValueError, OverflowError):
        return None
    return int(seconds) if abs(seconds) < _LATEST else None


def not_an_object(name: str, number: int) -> LineProblem:
    """Return the problem of a member that is no object."""
    return LineProblem(number, "record_invalid", f"Member {number} of {name!r} is not an object.")
