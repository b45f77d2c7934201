"""Keys are stored for their holder alone and never replaced."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from rodagila.core.errors import Conflict, Corrupted, InvalidInput, NotAuthorised, NotFound, RodaError
from rodagila.vault.accounts import KeyStore

KEY = "0x" + "11" * 32
ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys")


def test_a_new_key_is_found_by_name_and_by_address(keys: KeyStore) -> None:
    account = keys.new("ada")
    assert keys.get("ada").key == account.key
    assert keys.get(account.address.lower()).key == account.key
    assert keys.names() == [("ada", account.address)]


def test_new_keys_differ(keys: KeyStore) -> None:
    assert keys.new("ada").key != keys.new("bob").key


def test_an_imported_key_keeps_its_address(keys: KeyStore) -> None:
    assert keys.import_key("ada", KEY).address == ADDRESS
    assert keys.import_key("again", KEY[2:] + "\n").address == ADDRESS


def test_a_key_file_is_for_its_holder_alone_and_says_that_it_is_plain(keys: KeyStore) -> None:
    keys.import_key("ada", KEY)
    path = keys.directory / "ada.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.directory.stat().st_mode) == 0o700
    assert "not encrypted" in path.read_text()
    assert [item.name for item in keys.directory.iterdir()] == ["ada.json"]


def test_a_passphrase_makes_an_ethereum_keystore_that_only_it_opens(keys: KeyStore) -> None:
    keys.import_key("ada", KEY, "correct horse")
    text = (keys.directory / "ada.json").read_text()
    assert json.loads(text)["version"] == 3
    assert KEY[2:] not in text
    assert Account.decrypt(text, "correct horse").hex() == KEY[2:]
    assert keys.get("ada", "correct horse").address == ADDRESS
    for wrong in ("battery staple", None):
        with pytest.raises(NotAuthorised) as caught:
            keys.get("ada", wrong)
        assert caught.value.code == "passphrase_wrong"
    assert keys.names() == [("ada", ADDRESS)]


def test_a_key_is_never_replaced(keys: KeyStore) -> None:
    keys.import_key("ada", KEY)
    with pytest.raises(Conflict) as caught:
        keys.new("ada")
    assert caught.value.code == "key_exists"
    assert keys.get("ada").address == ADDRESS


@pytest.mark.parametrize("name", ["", "../ada", "a/b", ".hidden", "a b", "x" * 65, "ada\n"])
def test_a_name_that_is_no_file_name_is_refused(keys: KeyStore, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        keys.new(name)
    assert caught.value.code == "name_invalid"
    with pytest.raises(NotFound):
        keys.get(name)


@pytest.mark.parametrize("text", ["", "0x", "11" * 31, "11" * 33, "00" * 32, "zz" * 32, "ff" * 32])
def test_what_is_no_private_key_is_refused_without_quoting_it(keys: KeyStore, text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        keys.import_key("ada", text)
    assert caught.value.code == "key_invalid"
    assert caught.value.__cause__ is None
    assert not text.strip("0x") or text not in str(caught.value)
    assert keys.names() == []


@pytest.mark.parametrize("name", ["ada", ADDRESS])
def test_an_unknown_account_is_not_found(keys: KeyStore, name: str) -> None:
    with pytest.raises(NotFound) as caught:
        keys.get(name)
    assert caught.value.code == "account_unknown"


def test_no_key_shows_in_what_is_printed(keys: KeyStore) -> None:
    account = keys.import_key("ada", KEY)
    assert KEY[2:] not in repr(account) + str(account) + repr(keys) + repr(keys.names())


def test_a_file_with_another_accounts_key_is_damaged(keys: KeyStore) -> None:
    keys.import_key("ada", KEY)
    path = keys.directory / "ada.json"
    path.write_text(path.read_text().replace("11" * 32, "22" * 32))
    with pytest.raises(Corrupted):
        keys.get("ada")


@settings(max_examples=60, deadline=None)
@given(
    data=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda inner: st.dictionaries(
            st.sampled_from(["address", "crypto", "version", "format", "private_key"]), inner
        ),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode())
)
def test_a_damaged_file_raises_nothing_but_our_errors(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    keys = KeyStore(tmp_path_factory.mktemp("keys"))
    (keys.directory / "ada.json").write_bytes(data)
    with pytest.raises(RodaError):
        keys.get("ada", "passphrase")
