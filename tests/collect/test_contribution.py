"""A contribution is sealed, signed, opened and held to what was signed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from rodagila.collect.contribution import (
    Consent,
    SealedContribution,
    batch_proof,
    batch_root,
    in_batch,
    open_contribution,
    prepare_contribution,
    verify_consent,
    verify_manifest,
)
from rodagila.core.errors import Corrupted, InvalidInput, NotAuthorised, RefusedByPolicy, RodaError
from rodagila.core.hashing import keccak
from rodagila.core.messages import Domain, Manifest, digest, sign
from rodagila.core.policy import Policy, RecordRules
from rodagila.core.records import Record
from rodagila.vault.contents import content_root, pack
from rodagila.vault.keeper import NodeKeeper
from rodagila.vault.sealing import age_identity, object_identity, open_sealed, recipient_of, seal

ADA = Account.from_key("0x" + "11" * 32)
EVE = Account.from_key("0x" + "33" * 32)
NODE = NodeKeeper(Account.from_key("0x" + "22" * 32))
DOMAIN = Domain(1337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
POLICY = Policy(name="docs")
RECORDS = [Record("where is my card", label="card"), Record("mail me at bob@example.com", answer="é")]
SALT = b"\x07" * 32
EXPIRY = 2_000_000_000


def prepared(records: list[Record] = RECORDS, **changes: Any) -> SealedContribution:
    given: dict[str, Any] = {
        "owner": ADA,
        "domain": DOMAIN,
        "policy": POLICY,
        "keeper_recipient": NODE.recipient,
        "nonce": 5,
        "salt": SALT,
        "consent_expiry": EXPIRY,
    }
    return prepare_contribution(records, **given | changes)


def refusal_of(sealed: SealedContribution, **changes: Any) -> str:
    given: dict[str, Any] = {
        "manifest": sealed.manifest,
        "signature": sealed.signature,
        "ciphertext": sealed.ciphertext,
        "sealed_key": sealed.sealed_key,
        "domain": DOMAIN,
        "policy_hash": POLICY.policy_hash(),
        "used_nonces": lambda owner, nonce: False,
        "stated": sealed.domain,
    }
    try:
        verify_manifest(**given | changes)
    except RodaError as error:
        return error.code
    return ""


def opened_records(sealed: SealedContribution) -> tuple[Record, ...]:
    return open_contribution(sealed.manifest, sealed.ciphertext, sealed.sealed_key, NODE, domain=DOMAIN).records


@pytest.fixture(scope="module")
def sealed() -> SealedContribution:
    return prepared()


def test_what_was_prepared_verifies_and_opens(sealed: SealedContribution) -> None:
    assert refusal_of(sealed) == ""
    opened = open_contribution(sealed.manifest, sealed.ciphertext, sealed.sealed_key, NODE, domain=DOMAIN)
    assert opened.owner == ADA.address
    assert opened.salt == SALT
    assert opened.contribution_id == sealed.contribution_id
    assert opened.records == (RECORDS[0], Record("mail me at <email>", answer="é"))
    assert sealed.redactions == {"email": 1}


def test_the_owner_opens_her_own_data_with_her_age_key(sealed: SealedContribution) -> None:
    body = json.loads(open_sealed(sealed.ciphertext, [age_identity(ADA)]))
    assert body["owner"] == ADA.address
    assert len(body["records"]) == 2


def test_nothing_in_the_clear_leaves_the_owner(sealed: SealedContribution) -> None:
    text = json.dumps(sealed.as_json())
    assert "card" not in text
    assert SALT.hex() not in text
    assert "bob" not in text
    assert "where is my card" not in repr(
        open_contribution(sealed.manifest, sealed.ciphertext, sealed.sealed_key, NODE, domain=DOMAIN)
    )


def test_the_json_form_comes_back_equal(sealed: SealedContribution) -> None:
    assert SealedContribution.from_json(json.loads(json.dumps(sealed.as_json()))) == sealed


@pytest.mark.parametrize(
    "field", ["domain", "manifest", "signature", "ciphertext", "sealed_key", "consent", "redactions"]
)
@pytest.mark.parametrize("value", [None, "zz", 3, {}])
def test_a_strangers_json_raises_nothing_but_invalid_request(
    sealed: SealedContribution, field: str, value: object
) -> None:
    if (field, value) == ("redactions", {}):
        return
    with pytest.raises(InvalidInput) as caught:
        SealedContribution.from_json(sealed.as_json() | {field: value})
    assert caught.value.code == "invalid_request"


def test_sealing_again_is_another_ciphertext_and_the_same_contribution(sealed: SealedContribution) -> None:
    again = prepared()
    assert again.ciphertext != sealed.ciphertext
    assert again.contribution_id == sealed.contribution_id


def test_a_tampered_blob_is_refused(sealed: SealedContribution) -> None:
    flipped = bytes([sealed.ciphertext[-1] ^ 1])
    assert refusal_of(sealed, ciphertext=sealed.ciphertext[:-1] + flipped) == "blob_tampered"
    assert refusal_of(sealed, sealed_key=sealed.sealed_key + b"x") == "blob_tampered"


def test_another_signer_is_refused(sealed: SealedContribution) -> None:
    assert refusal_of(sealed, signature=sign(EVE, DOMAIN, sealed.manifest)) == "manifest_signature"
    assert refusal_of(sealed, signature=b"") == "manifest_signature"
    assert refusal_of(sealed, signature=bytes(65)) == "manifest_signature"


def test_a_stolen_contribution_cannot_be_signed_over(sealed: SealedContribution) -> None:
    stolen = Manifest(
        replace(sealed.contribution, owner=EVE.address), sealed.manifest.ciphertext_id, sealed.manifest.key_hash
    )
    assert refusal_of(sealed, manifest=stolen, signature=sign(EVE, DOMAIN, stolen)) == ""
    with pytest.raises(NotAuthorised) as caught:
        open_contribution(stolen, sealed.ciphertext, sealed.sealed_key, NODE, domain=DOMAIN)
    assert caught.value.code == "contents_mismatch"


def test_a_replayed_nonce_is_refused(sealed: SealedContribution) -> None:
    used = {(ADA.address, 5)}
    assert refusal_of(sealed, used_nonces=lambda owner, nonce: (owner, nonce) in used) == "nonce_replayed"
    assert refusal_of(prepared(nonce=6), used_nonces=lambda owner, nonce: (owner, nonce) in used) == ""


def test_another_chains_or_daos_manifest_is_refused(sealed: SealedContribution) -> None:
    other_chain = Domain(1, DOMAIN.registry)
    other_dao = Domain(DOMAIN.chain_id, EVE.address)
    assert refusal_of(sealed, domain=other_chain) == "chain_mismatch"
    assert refusal_of(sealed, domain=other_dao) == "dao_mismatch"
    assert refusal_of(sealed, domain=other_chain, stated=None) == "dao_mismatch"
    assert refusal_of(sealed, domain=other_dao, stated=other_dao) == "dao_mismatch"
    relabelled = replace(
        sealed.manifest, contribution=replace(sealed.contribution, dao=prepared(domain=other_dao).contribution.dao)
    )
    assert refusal_of(sealed, manifest=relabelled, domain=other_dao, stated=other_dao) == "manifest_signature"


def test_another_policy_is_refused(sealed: SealedContribution) -> None:
    assert refusal_of(sealed, policy_hash=Policy(name="docs", version=2).policy_hash()) == "policy_mismatch"


@pytest.mark.parametrize("field", ["content_root", "consent_hash", "count", "nonce"])
def test_every_signed_field_is_held(sealed: SealedContribution, field: str) -> None:
    value = getattr(sealed.contribution, field)
    changed = value + 1 if isinstance(value, int) else bytes(32)
    manifest = replace(sealed.manifest, contribution=replace(sealed.contribution, **{field: changed}))
    assert refusal_of(sealed, manifest=manifest) == "manifest_signature"


def sealed_otherwise(plaintext: bytes, contribution_owner: Any = ADA, **fields: Any) -> SealedContribution:
    """Return a validly signed contribution whose contents are not what its content root says."""
    honest, key = prepared(), object_identity()
    ciphertext, sealed_key = seal(plaintext, [recipient_of(key)]), NODE.wrap(str(key))
    manifest = Manifest(replace(honest.contribution, **fields), keccak(ciphertext), keccak(sealed_key))
    return replace(
        honest,
        manifest=manifest,
        signature=sign(contribution_owner, DOMAIN, manifest),
        ciphertext=ciphertext,
        sealed_key=sealed_key,
    )


@pytest.mark.parametrize(
    "plaintext",
    [
        pack(ADA.address, SALT, [RECORDS[0]]),
        pack(ADA.address, SALT, [RECORDS[0], RECORDS[0]]),
        pack(ADA.address, SALT, list(reversed(RECORDS))),
        pack(ADA.address, b"\x08" * 32, RECORDS),
        pack(EVE.address, SALT, RECORDS),
        b"",
        b"{}",
        b'{"version":1}',
        b"\xff",
        b"[" * 100_000,
        pack(ADA.address, SALT, RECORDS) + b" ",
        pack(ADA.address, SALT[:31], RECORDS),
    ],
)
def test_contents_that_were_not_signed_are_refused(plaintext: bytes) -> None:
    root = content_root(DOMAIN, ADA.address, SALT, RECORDS)
    sealed = sealed_otherwise(plaintext, content_root=root)
    assert refusal_of(sealed) == ""
    with pytest.raises((NotAuthorised, Corrupted)) as caught:
        opened_records(sealed)
    assert caught.value.code == "contents_mismatch"


def test_the_same_construction_opens_when_the_contents_are_as_signed() -> None:
    root = content_root(DOMAIN, ADA.address, SALT, RECORDS)
    assert opened_records(sealed_otherwise(pack(ADA.address, SALT, RECORDS), content_root=root)) == tuple(RECORDS)


def test_too_much_or_nothing_is_refused() -> None:
    small = Policy(name="docs", records=RecordRules(max_records=1, max_bytes=60))
    for records, code in (
        ([], "file_empty"),
        (RECORDS, "contribution_too_large"),
        ([Record("x" * 60)], "record_too_large"),
    ):
        with pytest.raises(InvalidInput) as caught:
            prepared(records, policy=small)
        assert caught.value.code == code


def test_consent_is_held_to_what_was_signed(sealed: SealedContribution) -> None:
    verify_consent(sealed.consent, sealed.contribution, purpose=POLICY.purpose, now=EXPIRY - 1)
    with pytest.raises(RefusedByPolicy) as expired:
        verify_consent(sealed.consent, sealed.contribution, purpose=POLICY.purpose, now=EXPIRY)
    assert expired.value.code == "consent_expired"
    wider = Consent(POLICY.purpose, ("release",), EXPIRY)
    for consent, purpose in ((wider, POLICY.purpose), (sealed.consent, "sell it")):
        with pytest.raises(NotAuthorised) as caught:
            verify_consent(consent, sealed.contribution, purpose=purpose, now=0)
        assert caught.value.code == "consent_mismatch"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
BODIES = st.lists(st.builds(Record, TEXT, label=st.just("") | TEXT, answer=st.just("") | TEXT), min_size=1, max_size=5)
HASHES = st.binary(min_size=32, max_size=32)
ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())


@settings(max_examples=100, deadline=None)
@given(records=BODIES, other=BODIES, salt=HASHES, other_salt=HASHES, address=ADDRESSES, chain=st.integers(1, 2**60))
def test_the_content_root_fixes_every_record_owner_salt_chain_and_registry(
    records: list[Record], other: list[Record], salt: bytes, other_salt: bytes, address: str, chain: int
) -> None:
    root = content_root(DOMAIN, ADA.address, salt, records)
    assert (content_root(DOMAIN, ADA.address, salt, other) == root) == (other == records)
    assert (content_root(DOMAIN, ADA.address, other_salt, records) == root) == (other_salt == salt)
    assert (content_root(DOMAIN, address, salt, records) == root) == (address == ADA.address.lower())
    assert (content_root(Domain(chain, DOMAIN.registry), ADA.address, salt, records) == root) == (chain == 1337)
    elsewhere = content_root(Domain(1337, address), ADA.address, salt, records)
    assert (elsewhere == root) == (address == DOMAIN.registry.lower())


@settings(max_examples=100, deadline=None)
@given(records=BODIES, data=st.data())
def test_any_changed_character_changes_the_root(records: list[Record], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(records) - 1))
    part = data.draw(st.sampled_from(["text", "label", "answer"]))
    before = getattr(records[index], part)
    place = data.draw(st.integers(0, len(before)))
    changed = before[:place] + "x" + before[place:]
    other = [*records[:index], replace(records[index], **{part: changed}), *records[index + 1 :]]
    assert content_root(DOMAIN, ADA.address, SALT, other) != content_root(DOMAIN, ADA.address, SALT, records)


@settings(max_examples=15, deadline=None)
@given(records=BODIES)
def test_any_records_come_back_through_the_seal(records: list[Record]) -> None:
    sealed = prepared(records)
    assert opened_records(SealedContribution.from_json(sealed.as_json())) == tuple(records)


@settings(max_examples=50, deadline=None)
@given(ids=st.lists(HASHES, min_size=1, max_size=9, unique=True), data=st.data())
def test_a_batch_proves_each_contribution_at_its_index_alone(ids: list[bytes], data: st.DataObject) -> None:
    root = batch_root(ids)
    index = data.draw(st.integers(0, len(ids) - 1))
    proof = batch_proof(ids, index)
    assert in_batch(root, ids[index], index, proof)
    assert not in_batch(root, ids[index], index + 1, proof)
    assert not in_batch(root, keccak(ids[index]), index, proof)


def test_the_contribution_id_is_the_digest_in_its_domain(sealed: SealedContribution) -> None:
    assert sealed.contribution_id == digest(DOMAIN, sealed.contribution)
