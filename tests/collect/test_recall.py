"""Recall of the redaction by category, on personal data that is planted from seeds."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from rodagila.collect.preview import preview_of
from rodagila.core.records import Record
from rodagila.core.redaction import REMAINING_RISK, redact

FAILS_CLOSED = ("secret", "card", "iban", "national_id", "crypto_address", "email")
LEAST = {"phone": 0.95, "ip": 0.98, "mac": 0.98, "birth_date": 0.95} | dict.fromkeys(FAILS_CLOSED, 0.98)


@pytest.fixture(scope="module")
def plants(project_root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("planted", project_root / "benches" / "planted.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("category", LEAST)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_planted_is_found(plants: ModuleType, category: str, seed: int) -> None:
    texts = plants.planted(category, 200, seed)
    missed = [text for text, what in texts if plants.survives(what, redact(text).text)]
    assert 1 - len(missed) / len(texts) >= LEAST[category], missed[:10]


def test_every_category_that_is_planted_is_measured(plants: ModuleType) -> None:
    assert set(plants.MAKERS) == set(LEAST)
    assert all(plants.survives(what, text) for name in LEAST for text, what in plants.planted(name, 50, 4))


def test_names_are_found_by_a_finder_that_is_given() -> None:
    def names(text: str) -> list[tuple[int, int]]:
        at = text.find("Ada Lovelace")
        return [(at, at + 12)] if at >= 0 else []

    assert redact("from Ada Lovelace, ada@example.org", names=names).text == "from <name>, <email>"
    preview = preview_of([Record("Ada Lovelace")], 1, names)
    assert (preview.redactions, preview.shown[0].text) == ({"name": 1}, "<name>")


def test_the_preview_says_what_may_be_missed_and_shows_what_leaves() -> None:
    preview = preview_of([Record("ask ada@example.org", answer="no"), Record("hello")], 1)
    assert preview.as_json() == {
        "bytes": len('{"answer":"no","text":"ask <email>"}{"text":"hello"}'),
        "redactions": {"email": 1},
        "redacted_records": 1,
        "shown": [{"text": "ask <email>", "answer": "no"}],
        "remaining_risk": REMAINING_RISK,
    }
    assert "Names of people" in REMAINING_RISK
