"""Every dependency has a licence under which Rodagila (Apache-2.0) can be distributed with it.

Read per distribution, the first that says something: ``License-Expression`` (SPDX, PEP 639), the licence classifiers,
the ``License`` field, and for those that state nothing the table ``READ_BY_HAND``. In an SPDX expression every part
of an AND and one part of an OR must be allowed. What no rule here can name fails, and so does what is not installed.
"""

from __future__ import annotations

import json
import re
from importlib import metadata
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ALLOWED = frozenset(
    {
        "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
        "CNRI-Python", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib", "public domain",
    }
)  # fmt: skip
WEAK_COPYLEFT = {
    "psycopg": "dbos requires it for its Postgres driver; imported as a separate, unmodified package (LGPL-3.0 4)",
    "psycopg-binary": "the compiled part of psycopg, under the same terms",
}
"""LGPL parts and why they may be used: linked at run time, replaceable by their user, never changed here."""

READ_BY_HAND = {
    "pyrage": "MIT",  # README in its metadata, section Licensing, and licenses/LICENSE in its dist-info
}
NPM_READ_BY_HAND = {
    "memorystream": "MIT",  # "licenses" in its package.json, the form before npm had "license"
}
CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Public Domain": "public domain",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}
TEXTS = {
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "bsd": "BSD-3-Clause",
}
"""Licence names of the ``License`` field that are not SPDX; anything longer than a name is not read."""


def requirements_of(found: Distribution, extras: frozenset[str]) -> list[Requirement]:
    """Return the requirements that hold on this machine."""
    wanted = [Requirement(text) for text in found.requires or []]
    return [
        one
        for one in wanted
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


def closure(root: str, extras: frozenset[str]) -> dict[str, Distribution]:
    """Return every distribution that ``root`` brings, by normalised name; raises if one is not installed."""
    found: dict[str, Distribution] = {}
    visited: set[tuple[str, frozenset[str]]] = set()
    waiting = [(root, extras)]
    while waiting:
        name, wanted = waiting.pop()
        key = normalised(name), wanted
        if key in visited:
            continue
        visited.add(key)
        found[key[0]] = metadata.distribution(name)
        waiting += [(one.name, frozenset(one.extras)) for one in requirements_of(found[key[0]], wanted)]
    return found


def normalised(name: str) -> str:
    """Return the name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def stated(found: Distribution) -> str | None:
    """Return what the distribution's own metadata says, as an SPDX expression if it can be one."""
    fields = found.metadata
    expression = fields.get("License-Expression")
    if expression:
        return str(expression)
    names = [text.removeprefix("License ::").split(" :: ")[-1].strip() for text in classifiers(found)]
    if names:
        return " AND ".join(CLASSIFIERS.get(name, name) for name in names)
    text = str(fields.get("License") or "").strip()
    return TEXTS.get(text.lower(), text) if text and len(text) < 60 else None


def classifiers(found: Distribution) -> list[str]:
    """Return the licence classifiers that name a licence; "OSI Approved" and "DFSG approved" alone do not."""
    every = [str(text) for text in found.metadata.get_all("Classifier") or []]
    return [
        text for text in every if text.startswith("License ::") and not text.endswith((" Approved", "DFSG approved"))
    ]


def licence_of(name: str, found: Distribution) -> str:
    """Return the licence of a distribution, ``unknown`` if nothing says it."""
    own = stated(found)
    return own if own is not None else READ_BY_HAND.get(name, "unknown")


def is_allowed(expression: str) -> bool:
    """Tell whether an SPDX expression permits use: all parts of an AND, one part of an OR; OR binds weaker."""
    text = expression.strip()
    while text.startswith("(") and closing(text) == len(text) - 1:
        text = text[1:-1].strip()
    for word, decide in ((" OR ", any), (" AND ", all)):
        parts = split_outside(text, word)
        if len(parts) > 1:
            return decide(is_allowed(part) for part in parts)
    return text in ALLOWED


def closing(text: str) -> int:
    """Return where the bracket that opens ``text`` closes."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return place
    return -1


def split_outside(text: str, word: str) -> list[str]:
    """Return the parts of ``text`` between ``word``, where it stands outside brackets."""
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and text.startswith(word, place):
            parts.append(text[start:place])
            start = place + len(word)
    return [*parts, text[start:]]


@pytest.fixture(scope="module")
def brought() -> dict[str, Distribution]:
    """Everything that installing ``rodagila[test]`` brings."""
    return closure("rodagila", frozenset({"test"}))


def test_every_dependency_has_a_licence_that_fits_apache_2_0(brought: dict[str, Distribution]) -> None:
    licences = {name: licence_of(name, found) for name, found in brought.items()}
    wrong = {
        name: licence for name, licence in licences.items() if not is_allowed(licence) and name not in WEAK_COPYLEFT
    }
    assert len(brought) > 100, "the walk over the requirements found too few"
    assert wrong == {}


def test_only_weak_copyleft_is_excepted_and_only_where_it_is_used(brought: dict[str, Distribution]) -> None:
    for name, reason in WEAK_COPYLEFT.items():
        assert reason
        assert re.fullmatch(r"LGPL-(2\.1|3\.0)-(only|or-later)", licence_of(name, brought[name])), name


def test_licences_read_by_hand_are_needed_and_still_silent(brought: dict[str, Distribution]) -> None:
    for name in READ_BY_HAND:
        assert stated(brought[name]) is None, f"{name} now states its licence itself"


def test_the_project_itself_is_apache_2_0(brought: dict[str, Distribution], project_root: Path) -> None:
    assert licence_of("rodagila", brought["rodagila"]) == "Apache-2.0"
    assert "Apache License" in (project_root / "LICENSE").read_text()[:200]


def test_the_tools_of_the_contracts_have_licences_that_fit(project_root: Path) -> None:
    packages = json.loads((project_root / "contracts" / "package-lock.json").read_text())["packages"]
    licences = {
        path.removeprefix("node_modules/") or "contracts": str(body.get("license", ""))
        for path, body in packages.items()
    }
    silent = {name for name, licence in licences.items() if not licence}
    assert silent <= set(NPM_READ_BY_HAND)
    wrong = {name: text for name, text in licences.items() if not is_allowed(text or NPM_READ_BY_HAND[name])}
    assert wrong == {}


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT AND (Apache-2.0 OR AGPL-3.0-only)) OR BUSL-1.1", True),
        ("MIT AND (AGPL-3.0-only OR BUSL-1.1)", False),
        ("(MIT) AND (GPL-2.0-only)", False),
        ("AGPL-3.0-or-later", False),
        ("BUSL-1.1", False),
        ("LGPL-3.0-only", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-3.0-only WITH GCC-exception-3.1", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_an_expression_is_allowed_only_if_every_joined_part_is(expression: str, allowed: bool) -> None:
    assert is_allowed(expression) is allowed
