"""EIP-712 digests and signatures: the same as eth-account's, for every message of the protocol and for any text."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from rodagila.core import messages
from rodagila.core.hashing import keccak
from rodagila.core.messages import Contribution, Domain, Feedback, Manifest, Proof, Receipt
from rodagila.core.typed_data import Struct, domain_separator, recover_digest, sign_digest

ACCOUNT = Account.from_key(keccak(b"typed data"))
DOMAIN = Domain(1919902817, "0x" + "11" * 20)
CONTRIBUTION = Contribution(ACCOUNT.address, b"\x01" * 32, b"\x02" * 32, b"\x03" * 32, 7, b"\x04" * 32, 2**256 - 1)
MESSAGES = [
    CONTRIBUTION,
    Manifest(CONTRIBUTION, b"\x05" * 32, b"\x06" * 32),
    Proof(b"\x01" * 32, ACCOUNT.address, b"\x02" * 32, b"\x03" * 32, b"\x04" * 32, 2**32 - 1, 0),
    Receipt(ACCOUNT.address, b"\x01" * 32, 3, "/v1/search", 2**200, b"\x02" * 32, b"\x03" * 32, b"\x04" * 32),
    Feedback(b"\x01" * 32, ACCOUNT.address, "rating", b"\x02" * 32),
]


def reference(domain: dict[str, Any], types: Any, message: dict[str, Any]) -> Any:
    """Return eth-account's signable message."""
    return encode_typed_data(domain, types, message)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_digests_and_signatures_are_eth_accounts(message: Any) -> None:
    signable = reference(DOMAIN.as_json(), message.TYPES, message.as_message())
    expected = keccak(b"\x19" + signable.version + signable.header + signable.body)
    assert messages.digest(DOMAIN, message) == expected
    signature = messages.sign(ACCOUNT, DOMAIN, message)
    assert signature == bytes(ACCOUNT.sign_message(signable).signature)
    assert messages.signer_of(DOMAIN, message, signature) == ACCOUNT.address


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=80), st.integers(0, 2**256 - 1), st.integers(1, 2**40))
def test_any_text_and_number_hash_as_eth_account_hashes_them(text: str, number: int, chain_id: int) -> None:
    types = {"Word": [{"name": "text", "type": "string"}, {"name": "number", "type": "uint256"}]}
    signable = reference({"name": "n", "version": "1", "chainId": chain_id}, types, {"text": text, "number": number})
    ours = Struct("Word", types).digest(domain_separator("n", "1", chain_id), {"text": text, "number": number})
    assert ours == keccak(b"\x19" + signable.version + signable.header + signable.body)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 256),
        ("uint256", -1),
        ("bytes32", b"\x01" * 31),
        ("address", "0x" + "11" * 19),
        ("address", "0x" + "zz" * 20),
        ("int8", 1),
        ("uint256[]", [1]),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_refused(kind: str, value: Any) -> None:
    with pytest.raises(ValueError):
        Struct("Word", {"Word": [{"name": "value", "type": kind}]}).hash({"value": value})


def test_only_whole_signatures_with_the_lower_s_have_a_signer() -> None:
    digest = keccak(b"word")
    signature = sign_digest(ACCOUNT, digest)
    assert recover_digest(digest, signature) == ACCOUNT.address
    assert recover_digest(digest, signature[:64] + bytes([signature[64] - 27])) == ACCOUNT.address
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = (order - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    for bad in (
        signature[:32] + high + bytes([55 - signature[64]]),
        signature[:64],
        signature + b"\x00",
        signature[:64] + b"\x1d",
        bytes(65),
        b"\xff" * 64 + b"\x1b",
    ):
        assert recover_digest(digest, bad) is None
