"""A key comes back from words on paper, from enough of them and from no others."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rodagila.core.errors import InvalidInput
from rodagila.vault.recovery import key_from, needed_with, phrases_of
from rodagila.vault.sealing import age_identity, recipient_of

shamir_mnemonic = pytest.importorskip("shamir_mnemonic")
KEY = bytes.fromhex("11" * 32)


def test_one_phrase_has_33_words_and_gives_the_key() -> None:
    (phrase,) = phrases_of(KEY)
    assert len(phrase.split()) == 33
    assert needed_with(phrase) == 1
    assert key_from([f"  {phrase.upper()}\n"]) == KEY


def test_any_two_of_three_phrases_give_the_key_and_one_does_not() -> None:
    phrases = phrases_of(KEY, threshold=2, count=3)
    assert {key_from(pair) for pair in itertools.permutations(phrases, 2)} == {KEY}
    for number in (1, 3):
        with pytest.raises(InvalidInput) as caught:
            key_from(phrases[:number])
        assert caught.value.code == "phrase_invalid"
        assert "asks for 2" in caught.value.message


@settings(max_examples=5)
@given(st.binary(min_size=32, max_size=32))
def test_every_key_comes_back(key: bytes) -> None:
    assert key_from(phrases_of(key)) == key


def test_two_backups_of_a_key_do_not_mix() -> None:
    one, other = (phrases_of(KEY, threshold=2, count=2) for _ in range(2))
    with pytest.raises(InvalidInput):
        key_from([one[0], other[1]])


def test_a_mistyped_word_is_noticed_and_not_quoted() -> None:
    (phrase,) = phrases_of(KEY)
    words = phrase.split()
    for changed in ([*words[:5], "zzzz", *words[6:]], words[:-1], words[::-1], [*words[1:], words[0]]):
        with pytest.raises(InvalidInput) as caught:
            key_from([" ".join(changed)])
        assert caught.value.code == "phrase_invalid"
        assert caught.value.__cause__ is None
        told = str(caught.value).lower().split()
        assert "zzzz" not in told
        assert not {word for word in words if len(word) > 6} & set(told)


@pytest.mark.parametrize(("threshold", "count"), [(1, 2), (0, 1), (3, 2), (2, 17)])
def test_a_set_that_the_standard_does_not_know_is_refused(threshold: int, count: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        phrases_of(KEY, threshold=threshold, count=count)
    assert caught.value.code == "phrase_invalid"


def test_the_published_vectors_open_or_fail_as_they_say(shared_data: Path) -> None:
    """The vectors carry a passphrase: what opens is compared through the library, what fails fails here too."""
    vectors = json.loads((shared_data / "vectors" / "slip39" / "vectors.json").read_text())
    opened = 0
    for name, mnemonics, secret, _ in vectors:
        if secret:
            opened += 1
            assert shamir_mnemonic.combine_mnemonics(mnemonics, b"TREZOR").hex() == secret, name
            if len(secret) == 64:
                assert len(key_from(mnemonics)) == 32, name  # without the passphrase: another key, as SLIP-39 says
        else:
            with pytest.raises(InvalidInput):
                key_from(mnemonics)
    assert (opened, len(vectors)) == (15, 45)


def test_the_phrase_brings_the_key_of_sealed_data_back_too() -> None:
    from eth_account import Account

    recovered = Account.from_key(key_from(phrases_of(KEY)))
    assert recipient_of(age_identity(recovered)) == recipient_of(age_identity(Account.from_key(KEY)))
