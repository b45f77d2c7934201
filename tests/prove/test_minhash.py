"""MinHash over many sets at once proposes what datasketch proposes one by one."""

from __future__ import annotations

import numpy as np
import pytest
from datasketch import MinHash, MinHashLSH
from hypothesis import given
from hypothesis import strategies as st

from rodagila.prove import minhash
from rodagila.prove.duplicates import jaccard_of
from rodagila.prove.minhash import BandIndex, Sets, band_keys, jaccard_ppm, pairs_within, sketches

NUMBERS = st.frozensets(st.integers(0, 2**32 - 1), min_size=1, max_size=12)


def overlapping(count: int, seed: int = 0) -> list[frozenset[int]]:
    """Return sets of which many share much."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 2**32, 60).tolist()
    return [
        frozenset(words[at] for at in (rng.integers(0, 60, rng.integers(1, 12)) // (1 + i % 9)).tolist())
        for i in range(count)
    ]


def theirs(members: frozenset[int]) -> MinHash:
    sketch = MinHash(num_perm=minhash.PERMUTATIONS, seed=1, hashfunc=int, scheme="affine32")
    sketch.update_batch(sorted(members))
    return sketch


def test_sketches_are_those_of_datasketch() -> None:
    sets = overlapping(200)
    found = sketches(Sets.of(sets))
    assert all((theirs(each).hashvalues == row).all() for each, row in zip(sets, found, strict=True))


@pytest.mark.parametrize("step", [1, 7, 300])
def test_candidates_are_those_of_datasketch_however_they_were_added(step: int) -> None:
    sets, asked = overlapping(300), overlapping(60, seed=1)
    index, lsh = BandIndex(), MinHashLSH(num_perm=minhash.PERMUTATIONS, params=(minhash.BANDS, minhash.WIDTH))
    keys = band_keys(Sets.of(sets))
    for start in range(0, len(sets), step):
        index.add(keys[start : start + step], np.arange(start, min(start + step, len(sets))))
    for number, each in enumerate(sets):
        lsh.insert(number, theirs(each))
    wanted = [(row, number) for row, each in enumerate(asked) for number in sorted(lsh.query(theirs(each)))]
    rows, numbers = index.candidates(band_keys(Sets.of(asked)))
    assert list(zip(rows.tolist(), numbers.tolist(), strict=True)) == wanted
    assert index.count(band_keys(Sets.of(asked))) >= len(wanted)


def test_pairs_within_are_the_candidates_among_themselves() -> None:
    keys = band_keys(Sets.of(overlapping(150)))
    index = BandIndex()
    index.add(keys, np.arange(len(keys)))
    rows, numbers = index.candidates(keys)
    later = numbers < rows
    found = pairs_within(keys, 10**9)
    assert found is not None
    assert (found[0].tolist(), found[1].tolist()) == (rows[later].tolist(), numbers[later].tolist())
    assert pairs_within(keys, len(rows[later]) - 1) is None


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8), st.integers(1, 40))
def test_similarities_are_exact_in_parts_of_any_size(pairs: list[tuple[frozenset[int], ...]], members: int) -> None:
    left, right = (Sets.of([pair[side] for pair in pairs]) for side in (0, 1))
    rows = np.arange(len(pairs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minhash, "MEMBERS", members)
        found = jaccard_ppm(left, right, (rows, rows))
        assert (sketches(left) == sketches(left.take(rows))).all()
    assert found.tolist() == [jaccard_of(*pair) for pair in pairs]


def test_nothing_is_alike_to_nothing() -> None:
    index, nothing = BandIndex(), band_keys(Sets.of([]))
    index.add(nothing, np.arange(0))
    assert [part.tolist() for part in index.candidates(nothing)] == [[], []]
    assert index.candidates(band_keys(Sets.of([{1}])))[0].tolist() == []
    assert pairs_within(nothing, 1) is not None
