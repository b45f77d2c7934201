"""What the protocol's text says of decisions is what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from rodagila.core.hashing import keccak
from rodagila.govern import ballot, proposal
from rodagila.govern.ballot import Ballot

GOVERNOR = "0x" + "11" * 20


@pytest.fixture(scope="module")
def text(project_root: Path) -> str:
    """The section of the protocol, on one line."""
    protocol = (project_root / "docs" / "protocol.md").read_text(encoding="utf-8")
    return " ".join(protocol.split("## Decisions", 1)[1].split())


@pytest.mark.parametrize("fields", [ballot.BALLOT, ballot.EXTENDED], ids=["Ballot", "ExtendedBallot"])
def test_the_protocol_states_the_type_strings_of_ballots(text: str, fields: tuple[tuple[str, str], ...]) -> None:
    name = "Ballot" if fields is ballot.BALLOT else "ExtendedBallot"
    type_string = f"{name}({','.join(f'{kind} {field}' for kind, field in fields)})"
    assert f"`{type_string}`" in text
    reason = "why" if name == "ExtendedBallot" else ""
    cast = Ballot(1, GOVERNOR, "Rodagila", 7, 1, GOVERNOR, 0, reason)
    assert cast.struct_hash() == ballot_hash(type_string, reason or None)


def ballot_hash(type_string: str, reason: str | None) -> bytes:
    """Return the EIP-712 struct hash, written out."""
    words = [7, 1, int(GOVERNOR, 16), 0]
    encoded = b"".join(word.to_bytes(32, "big") for word in words)
    if reason is not None:
        encoded += keccak(reason.encode()) + keccak(b"")
    return keccak(keccak(type_string.encode()) + encoded)


def test_the_protocol_states_formats_and_fields(text: str) -> None:
    document = proposal.Document(1, GOVERNOR, "t", "", ())
    assert f"`{proposal.FORMAT}`" in text
    assert all(f"`{name}`" in text for name in document.as_json())
    assert f'"format": "{ballot.FORMAT}"' in text
    assert "(0 against, 1 for, 2 abstain)" in text
    assert ballot.SUPPORT == {"against": 0, "for": 1, "abstain": 2}
    assert proposal.description_of("T", "W", bytes(32), GOVERNOR) == (
        f"T\n\nW\n\nDocument: 0x{'00' * 32}\n#proposer={GOVERNOR}"
    )
