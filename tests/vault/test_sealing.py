"""Sealed bytes open for their recipients alone, and with any age tool."""

from __future__ import annotations

from pathlib import Path

import pyrage
import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from rodagila.core.errors import Corrupted, InvalidInput, NotAuthorised, RefusedByPolicy, RodaError
from rodagila.vault import bech32
from rodagila.vault.keeper import NodeKeeper, standing_grant, wrap_for
from rodagila.vault.sealing import (
    age_identity,
    hkdf_sha256,
    identity_from_seed,
    identity_from_text,
    object_identity,
    open_sealed,
    recipient_of,
    seal,
)

ADA = Account.from_key("0x" + "11" * 32)
BOB = Account.from_key("0x" + "22" * 32)


def test_hkdf_agrees_with_rfc_5869() -> None:
    prk = hkdf_sha256(b"\x0b" * 22, salt=bytes(range(13)), info=bytes.fromhex("f0f1f2f3f4f5f6f7f8f9"))
    assert prk.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"


@pytest.mark.parametrize(
    ("prefix", "data", "text"),
    [
        ("a", b"", "a12uel5l"),
        ("bc", bytes(0), "bc1gmk9yu"),
        (
            "abcdef",
            bytes.fromhex("00443214c74254b635cf84653a56d7c675be77df"),
            "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
        ),
    ],
)
def test_bech32_agrees_with_bip_173(prefix: str, data: bytes, text: str) -> None:
    assert bech32.encode(prefix, data) == text


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_age_accepts_every_seed_that_we_encode(seed: bytes) -> None:
    identity = identity_from_seed(seed)
    assert str(identity) == bech32.encode("age-secret-key-", seed).upper()


def test_an_account_always_gives_the_same_age_key() -> None:
    assert recipient_of(age_identity(ADA)) == "age1uzmsl6t7tlenl5jyhf2akxn8nta7fwhta8ydqusxdcf2hqrn2fdq4rdzly"
    assert recipient_of(age_identity(BOB)) != recipient_of(age_identity(ADA))


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=200_000))
def test_each_recipient_opens_what_was_sealed(plaintext: bytes) -> None:
    one, other = object_identity(), object_identity()
    ciphertext = seal(plaintext, [recipient_of(one), recipient_of(other)])
    assert open_sealed(ciphertext, [one]) == open_sealed(ciphertext, [other]) == plaintext


def test_the_ciphertext_is_a_plain_age_file() -> None:
    identity = age_identity(ADA)
    assert pyrage.decrypt(seal(b"records", [recipient_of(identity)]), [identity]) == b"records"


def test_nobody_else_opens_it() -> None:
    ciphertext = seal(b"records", [recipient_of(age_identity(ADA))])
    with pytest.raises(NotAuthorised) as caught:
        open_sealed(ciphertext, [age_identity(BOB)])
    assert caught.value.code == "ciphertext_unreadable"


def test_every_changed_byte_is_noticed() -> None:
    identity = age_identity(ADA)
    ciphertext = seal(b"records", [recipient_of(identity)])
    for place in range(len(ciphertext)):
        changed = ciphertext[:place] + bytes([ciphertext[place] ^ 1]) + ciphertext[place + 1 :]
        with pytest.raises(RodaError) as caught:
            open_sealed(changed, [identity])
        assert caught.value.code == "ciphertext_unreadable"


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_arbitrary_bytes_raise_nothing_but_corrupted(data: bytes) -> None:
    with pytest.raises(Corrupted):
        open_sealed(b"age-encryption.org/v1\n" + data, [age_identity(ADA)])


def test_a_text_that_is_no_recipient_is_refused() -> None:
    for recipients in ([], ["age1nonsense"], ["\ud800"]):
        with pytest.raises(InvalidInput) as caught:
            seal(b"records", recipients)
        assert caught.value.code == "key_invalid"


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), bytes(31) + b"\x80"])
def test_nothing_is_sealed_to_a_key_of_low_order(key: bytes) -> None:
    """Such a key agrees on the same secret with everyone; the library below ends the thread when it meets one."""
    with pytest.raises(InvalidInput) as caught:
        seal(b"records", [bech32.encode("age", key)])
    assert caught.value.code == "key_invalid"


def test_a_broken_object_key_is_not_quoted_in_the_error() -> None:
    with pytest.raises(Corrupted) as caught:
        identity_from_text("AGE-SECRET-KEY-1BROKEN")
    assert "BROKEN" not in str(caught.value)


def age_vector(path: Path) -> tuple[dict[str, str], bytes]:
    head, _, body = path.read_bytes().partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    return fields, body


def test_the_published_age_vectors_open_or_fail_as_they_say(shared_data: Path) -> None:
    tried = 0
    for path in sorted((shared_data / "vectors" / "age").iterdir()):
        fields, body = age_vector(path)
        plain = not {"compressed", "armored", "passphrase"} & fields.keys()
        if not plain or not fields.get("identity", "").startswith("AGE-SECRET-KEY-1"):
            continue
        tried += 1
        identity = identity_from_text(fields["identity"])
        if fields["expect"] == "success":
            open_sealed(body, [identity])
        else:
            with pytest.raises(RodaError):
                open_sealed(body, [identity])
    assert tried >= 15


def test_a_keeper_releases_for_evaluation_only() -> None:
    keeper = NodeKeeper(BOB)
    sealed = keeper.wrap("AGE-SECRET-KEY-1TEXT")
    assert keeper.release(sealed, contribution_id=bytes(32), purpose="evaluate") == "AGE-SECRET-KEY-1TEXT"
    with pytest.raises(RefusedByPolicy) as caught:
        keeper.release(sealed, contribution_id=bytes(32), purpose="release")
    assert caught.value.code == "purpose_refused"


def test_a_keeper_follows_the_rule_it_was_given() -> None:
    revoked = b"\x01" * 32
    keeper = NodeKeeper(BOB, rule=lambda about, purpose: about != revoked and standing_grant(about, purpose))
    sealed = wrap_for(keeper.recipient, "AGE-SECRET-KEY-1TEXT")
    keeper.release(sealed, contribution_id=bytes(32), purpose="evaluate")
    with pytest.raises(RefusedByPolicy):
        keeper.release(sealed, contribution_id=revoked, purpose="evaluate")


def test_another_keeper_cannot_release() -> None:
    with pytest.raises(NotAuthorised):
        NodeKeeper(ADA).release(NodeKeeper(BOB).wrap("key"), contribution_id=bytes(32), purpose="evaluate")
