"""Any t of n shares open a secret; fewer say nothing of it; new keepers get it without anybody seeing it."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rodagila.core.errors import Corrupted, InvalidInput, NotAuthorised
from rodagila.vault.shares import (
    Share,
    combine,
    joined,
    multiply,
    redeal,
    require_part,
    require_redealt,
    require_share,
    share_hash,
    split,
    value_at,
)

CONTEXT = b"\x07" * 32
SECRET = bytes((7 * i + 1) % 256 for i in range(32))


@st.composite
def schemes(draw: st.DrawFn) -> tuple[int, int]:
    count = draw(st.integers(1, 9))
    return draw(st.integers(1, count)), count


@settings(max_examples=60)
@given(secret=st.binary(min_size=1, max_size=70), scheme=schemes(), data=st.data())
def test_any_threshold_of_shares_opens_the_secret(secret: bytes, scheme: tuple[int, int], data: st.DataObject) -> None:
    threshold, count = scheme
    shares = split(secret, threshold=threshold, count=count)
    chosen = data.draw(st.permutations(shares))[: data.draw(st.integers(threshold, count))]
    assert combine(chosen) == secret
    assert [Share.from_bytes(share.as_bytes()) for share in shares] == list(shares)


def test_every_set_of_three_of_five_opens_and_no_set_of_two() -> None:
    shares = split(SECRET, threshold=3, count=5)
    assert {combine(chosen) for chosen in itertools.combinations(shares, 3)} == {SECRET}
    assert SECRET not in {combine(chosen) for chosen in itertools.combinations(shares, 2)}


def feed(*pieces: bytes) -> Callable[[int], bytes]:
    """A source of randomness that gives these pieces in turn."""
    left: Iterator[bytes] = iter(pieces)
    return lambda size: next(left)


@pytest.mark.parametrize("pair", list(itertools.combinations(range(3), 2)))
def test_two_of_three_shares_are_spread_evenly_whatever_the_secret_is(pair: tuple[int, int]) -> None:
    """Exact, not sampled: over all 2^16 polynomials of degree 2 every pair of values comes exactly once."""
    first = bytes(range(256)) * 256
    second = b"".join(bytes([value]) * 256 for value in range(256))
    for secret in (0, 1, 0x53, 255):
        shares = split(bytes([secret]) * 65_536, threshold=3, count=3, random=feed(first, second))
        assert len(set(zip(*(shares[place].y for place in pair), strict=True))) == 65_536


def test_shares_of_two_secrets_cannot_be_told_apart_by_their_statistics() -> None:
    """Chi-square of two samples of what t - 1 keepers see, of each value and of the sum of both; z below 5."""
    size, source = 60_000, random.Random(5)
    seen = []
    for secret in (b"\x00", b"\xff"):
        shares = split(secret * size, threshold=3, count=4, random=source.randbytes)
        one, other = shares[1].y, shares[3].y
        seen.append([Counter(one), Counter(other), Counter(a ^ b for a, b in zip(one, other, strict=True))])
    for left, right in zip(*seen, strict=True):
        statistic = sum((left[v] - right[v]) ** 2 / (left[v] + right[v]) for v in range(256))
        assert abs(statistic - 255) / sqrt(2 * 255) < 5


def test_the_same_test_notices_shares_that_leak() -> None:
    """A threshold of 1 gives every share the secret itself, which the statistics above would show."""
    shares = [split(secret * 4_000, threshold=1, count=2)[0].y for secret in (b"\x00", b"\xff")]
    left, right = map(Counter, shares)
    assert sum((left[v] - right[v]) ** 2 / max(1, left[v] + right[v]) for v in range(256)) > 1_000


def test_the_field_is_that_of_aes() -> None:
    assert multiply(0x57, 0x83) == 0xC1  # FIPS 197, section 4.2
    assert multiply(0x57, 0x13) == 0xFE
    assert all(multiply(a, b) == multiply(b, a) for a, b in itertools.product(range(0, 256, 17), repeat=2))


@pytest.mark.parametrize("chosen", list(itertools.combinations(range(5), 3)))
def test_shares_made_by_the_audited_javascript_package_open(chosen: tuple[int, ...]) -> None:
    """Made by npm shamir-secret-sharing 0.0.4: three of five, of SECRET."""
    shares = [Share.from_bytes(bytes.fromhex(JAVASCRIPT[place])) for place in chosen]
    assert combine(shares) == SECRET


def test_a_share_has_one_vector_of_bytes_and_of_its_hash() -> None:
    coefficient = bytes(range(32))
    shares = split(SECRET, threshold=2, count=3, random=feed(coefficient))
    assert shares[1].as_bytes().hex() == VECTOR
    assert share_hash(CONTEXT, 2, shares[1]).hex() == VECTOR_HASH


def test_a_wrong_share_is_identified_by_its_hash() -> None:
    shares = split(SECRET, threshold=2, count=3)
    hashes = [share_hash(CONTEXT, 2, share) for share in shares]
    for share, expected in zip(shares, hashes, strict=True):
        require_share(expected, CONTEXT, 2, share)
    wrong = Share(2, bytes([shares[1].y[0] ^ 1]) + shares[1].y[1:])
    moved = Share(3, shares[1].y)
    for bad, context, threshold in (
        (wrong, CONTEXT, 2),
        (moved, CONTEXT, 2),
        (shares[1], b"\x08" * 32, 2),
        (shares[1], CONTEXT, 1),
    ):
        with pytest.raises(NotAuthorised) as caught:
            require_share(hashes[1], context, threshold, bad)
        assert caught.value.code == "share_mismatch"
        assert caught.value.details == {"share": bad.x}


def test_no_share_shows_in_what_is_printed() -> None:
    share = split(b"secretsecret", threshold=1, count=1)[0]
    assert repr(share) == "Share(x=1, 12 bytes)"


@settings(max_examples=30)
@given(secret=st.binary(min_size=1, max_size=40), old=schemes(), new=schemes(), data=st.data())
def test_resharing_keeps_the_secret(
    secret: bytes, old: tuple[int, int], new: tuple[int, int], data: st.DataObject
) -> None:
    """Old keepers deal parts of their shares; each new one joins what it got; nobody combines anything."""
    shares = split(secret, threshold=old[0], count=old[1])
    dealers = data.draw(st.permutations(shares))[: old[0]]
    ids = range(101, 101 + new[1])
    dealt = [redeal(share, context=CONTEXT, threshold=new[0], ids=ids) for share in dealers]
    fresh = []
    for place in range(new[1]):
        for deal in dealt:
            require_part(deal.hashes, CONTEXT, deal.dealer, new[0], deal.parts[place])
        fresh.append(joined([(deal.dealer, deal.parts[place]) for deal in dealt]))
    assert combine(data.draw(st.permutations(fresh))[: new[0]]) == secret


def test_old_and_new_shares_do_not_mix() -> None:
    shares = split(SECRET, threshold=2, count=3)
    dealt = [redeal(share, context=CONTEXT, threshold=2, ids=(1, 2, 3)) for share in shares[:2]]
    fresh = joined([(deal.dealer, deal.parts[2]) for deal in dealt])
    assert combine([shares[0], fresh]) != SECRET


def test_a_lost_keeper_is_replaced_by_those_that_are_left() -> None:
    shares = split(SECRET, threshold=2, count=3)
    left = [shares[0], shares[2]]
    dealt = [redeal(share, context=CONTEXT, threshold=2, ids=(1, 3, 4)) for share in left]
    fresh = [joined([(deal.dealer, deal.parts[place]) for deal in dealt]) for place in range(3)]
    assert {combine(pair) for pair in itertools.combinations(fresh, 2)} == {SECRET}


def test_a_part_that_its_dealer_did_not_announce_is_refused() -> None:
    deal = redeal(split(SECRET, threshold=2, count=3)[0], context=CONTEXT, threshold=2, ids=(1, 2))
    bad = Share(1, bytes(len(SECRET)))
    with pytest.raises(NotAuthorised) as caught:
        require_part(deal.hashes, CONTEXT, deal.dealer, 2, bad)
    assert caught.value.code == "share_mismatch"


def test_a_dealer_who_deals_another_share_than_his_is_shown_by_what_he_dealt() -> None:
    shares = split(SECRET, threshold=2, count=3)
    expected = share_hash(CONTEXT, 2, shares[0])
    rules = {"context": CONTEXT, "dealer": 1, "old_threshold": 2, "threshold": 2}
    honest = redeal(shares[0], context=CONTEXT, threshold=2, ids=(1, 2, 3)).parts
    require_redealt(honest, expected=expected, **rules)
    lied = redeal(Share(1, bytes(32)), context=CONTEXT, threshold=2, ids=(1, 2, 3)).parts
    uneven = (*honest[:2], Share(3, bytes(32)))
    for parts in (lied, uneven):
        with pytest.raises(Corrupted) as caught:
            require_redealt(parts, expected=expected, **rules)
        assert caught.value.code == "share_mismatch"
    with pytest.raises(InvalidInput):
        require_redealt(honest[:1], expected=expected, **rules)


def test_the_values_between_shares_are_shares_too() -> None:
    shares = split(SECRET, threshold=3, count=5)
    assert value_at(5, shares[:3]) == shares[4].y


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: split(b"", threshold=1, count=1),
        lambda: split(b"x" * 65_537, threshold=1, count=1),
        lambda: split(b"x", threshold=0, count=1),
        lambda: split(b"x", threshold=3, count=2),
        lambda: split(b"x", threshold=2, count=256),
        lambda: combine([]),
        lambda: combine([Share(1, b"a"), Share(1, b"b")]),
        lambda: combine([Share(1, b"a"), Share(2, b"ab")]),
        lambda: combine([Share(0, b"a")]),
        lambda: joined([(1, Share(1, b"a")), (2, Share(2, b"a"))]),
        lambda: Share.from_bytes(b"a\x00"),
        lambda: Share.from_bytes(b"\x01"),
    ],
)
def test_what_cannot_be_shared_or_combined_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        wrong()
    assert caught.value.code == "share_invalid"


JAVASCRIPT = (
    "d537017f3cd43bcf8aab6c2b1c0452ac7d58605651f7f579977c73b2f370d87691",
    "806f8c4c02a8b4532506b3342df62fe6200f7993b1be157f5bb9b182e6b774996d",
    "27be2efe0073ef16434a34a604fb1e9ce9bacf7005d17e2a510ac516ad41812335",
    "0d850fd83f0b45fec0fe75bbccb66281175c1550e61e9b61dd531b9fa491eb5d38",
    "05d1284e08627e86f3ae83e4bfdfeb06759cbd39e85992d1a12c292c5706536e0a",
)
VECTOR = "010a0b10152e273c295253584d467f74515a5ba0a5beb78c99828388fdf6efe402"
VECTOR_HASH = "bc25cd9b8d0db976a50b96c79e358958d80197daa297226734971756d4dce4f1"
