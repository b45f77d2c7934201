"""Money, records, policy, messages, errors and vectors."""

from __future__ import annotations

import numpy as np
import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from rodagila.core.errors import CODES, InvalidInput, RodaError
from rodagila.core.messages import (
    Contribution,
    Domain,
    Feedback,
    Manifest,
    Proof,
    Receipt,
    digest,
    manifest_from_json,
    message_as_json,
    sign,
    signer_of,
)
from rodagila.core.money import format_amount, parse_amount
from rodagila.core.policy import Policy
from rodagila.core.records import Record, record_commitment, record_hash
from rodagila.core.vectors import dot_products, quantise, vectors_root

ADA = Account.from_key(b"\x01" * 32)
DOMAIN = Domain(1919902817, "0x" + "11" * 20)
CONTRIBUTION = Contribution(ADA.address, b"\x02" * 32, b"\x03" * 32, b"\x04" * 32, 3, b"\x05" * 32, 2**200)
MESSAGES = (
    CONTRIBUTION,
    Manifest(CONTRIBUTION, b"\x06" * 32, b"\x07" * 32),
    Proof(b"\x01" * 32, ADA.address, b"\x02" * 32, b"\x03" * 32, b"\x04" * 32, 3, 900_000),
    Receipt(ADA.address, b"\x02" * 32, 1, "chat", 2_000, b"\x03" * 32, b"\x04" * 32, b"\x05" * 32),
    Feedback(b"\x01" * 32, ADA.address, "rating", b"\x02" * 32),
)


@given(st.integers(0, 10**24))
def test_an_amount_survives_its_text(units: int) -> None:
    assert parse_amount(format_amount(units)) == units


@pytest.mark.parametrize("text", ["-1", "1e3", "0.1234567", "", "1.", "0x1", "1" * 40])
def test_what_is_not_an_amount_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not an amount"):
        parse_amount(text)


def test_every_message_is_recovered_to_its_signer() -> None:
    for message in MESSAGES:
        assert signer_of(DOMAIN, message, sign(ADA, DOMAIN, message)) == ADA.address


def test_a_signature_is_good_for_one_chain_and_one_registry() -> None:
    for message in MESSAGES:
        signature = sign(ADA, DOMAIN, message)
        for other in (Domain(1, DOMAIN.registry), Domain(DOMAIN.chain_id, "0x" + "12" * 20)):
            assert signer_of(other, message, signature) != ADA.address


def test_messages_of_two_kinds_never_share_a_digest() -> None:
    assert len({digest(DOMAIN, message) for message in MESSAGES}) == len(MESSAGES)


@pytest.mark.parametrize("signature", [b"", b"\x00" * 65, b"\xff" * 65, b"\x01" * 64])
def test_a_malformed_signature_names_nobody(signature: bytes) -> None:
    assert signer_of(DOMAIN, CONTRIBUTION, signature) != ADA.address


def test_a_manifest_survives_json() -> None:
    manifest = MESSAGES[1]
    assert isinstance(manifest, Manifest)
    assert manifest_from_json(message_as_json(manifest)) == manifest


def test_a_commitment_depends_on_all_that_is_in_it() -> None:
    base = (1, "0x" + "11" * 20, "0x" + "22" * 20, b"\x01" * 32, record_hash(Record("text")))
    changed = (2, "0x" + "12" * 20, "0x" + "23" * 20, b"\x02" * 32, record_hash(Record("other")))
    hashes = {record_commitment(*base)}
    for place, value in enumerate(changed):
        parts = list(base)
        parts[place] = value
        hashes.add(record_commitment(*parts))  # type: ignore[arg-type]
    assert len(hashes) == 6


def test_a_policy_survives_json_with_its_hash() -> None:
    policy = Policy(name="docs")
    assert Policy.from_json(policy.as_json()) == policy
    assert Policy.from_json(policy.as_json()).policy_hash() == policy.policy_hash()


def test_an_unregistered_code_cannot_be_raised() -> None:
    with pytest.raises(ValueError, match="not registered"):
        RodaError("made_up", "Nothing.")


def test_every_code_has_a_meaning_and_a_stable_shape() -> None:
    assert list(CODES) == sorted(CODES)
    assert all(code.replace("_", "").isalpha() and meaning for code, meaning in CODES.items())


@given(st.integers(1, 1040), st.integers(0, 2**32 - 1))
def test_products_of_int8_vectors_are_exact_in_any_order(dimensions: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    left = random.integers(-127, 128, (3, dimensions)).astype(np.int8)
    right = random.integers(-127, 128, (5, dimensions)).astype(np.int8)
    exact = left.astype(np.int64) @ right.astype(np.int64).T
    assert np.array_equal(dot_products(left, right), exact)
    assert np.array_equal(dot_products(left[:, ::-1], right[:, ::-1]), exact)


def test_the_root_of_vectors_sees_one_changed_component() -> None:
    vectors = quantise(np.random.default_rng(1).normal(0, 0.05, (4, 384)))
    changed = vectors.copy()
    changed[2, 7] += 1 if changed[2, 7] < 0 else -1
    assert vectors_root(vectors) != vectors_root(changed)
