"""Ballots and documents that others hand over: whatever they hold, they are read or refused in words."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rodagila.core.errors import InvalidInput
from rodagila.govern import ballot, proposal
from rodagila.govern.ballot import read_ballot
from rodagila.govern.proposal import read_document

FIELDS = st.sampled_from(
    [
        *("chain_id", "governor", "governor_name", "proposal", "support", "voter", "nonce", "reason", "signature"),
        *("title", "text", "actions", "policies", "texts", "target", "value", "data", "name", "prices", "chat"),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("0x" + "11" * 20)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=3))


@given(st.dictionaries(FIELDS, VALUES), st.sampled_from([proposal.FORMAT, ballot.FORMAT]))
def test_what_others_hand_over_is_read_or_refused_in_words(body: dict[str, Any], form: str) -> None:
    text = json.dumps(body | {"format": form})
    for read in (read_ballot, lambda text: read_document(text.encode())):
        with contextlib.suppress(InvalidInput):
            read(text)
