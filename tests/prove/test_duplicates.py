"""A text counts once, for whoever brought it first."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rodagila.core.records import Record
from rodagila.core.vectors import Int8Array
from rodagila.prove import duplicates
from rodagila.prove.duplicates import (
    SeenRecords,
    cosine_ppm,
    duplicates_among,
    highest_cosines,
    jaccard_of,
    normalised,
    shingles,
    text_key,
)

FLAT: Int8Array = np.ones(4, dtype=np.int8)
LIMIT = 800_000
LONG = " ".join(f"word{number}" for number in range(40))


def seen_with(*texts: str, first: int = 0) -> SeenRecords:
    seen = SeenRecords()
    for place, text in enumerate(texts, first):
        seen.add(place, Record(text), FLAT)
    return seen


@pytest.mark.parametrize(
    "text", ["Where is my card?", "where  is my CARD", "where is\tmy card!", "\uff57here is my card"]
)
def test_case_spacing_punctuation_and_unicode_form_do_not_make_a_text_new(text: str) -> None:
    assert seen_with("Where is my card?").duplicate_of(Record(text), before=9, jaccard_ppm=LIMIT) == 0


def test_another_label_does_not_make_a_text_new() -> None:
    seen = seen_with("where is my card")
    assert seen.duplicate_of(Record("where is my card", label="other"), before=9, jaccard_ppm=LIMIT) == 0


def test_another_text_is_new() -> None:
    seen = seen_with("where is my card", "...")
    assert seen.duplicate_of(Record("how do I lock my account"), before=9, jaccard_ppm=LIMIT) is None
    assert seen.duplicate_of(Record("???"), before=9, jaccard_ppm=LIMIT) is None


def test_a_text_with_one_word_changed_at_its_end_is_a_duplicate() -> None:
    seen = seen_with("something else entirely", LONG)
    assert seen.duplicate_of(Record(LONG.replace("word39", "end")), before=9, jaccard_ppm=LIMIT) == 1
    assert seen.duplicate_of(Record(LONG.replace("word39", "end")), before=9, jaccard_ppm=999_999) is None


def test_the_threshold_itself_is_a_duplicate() -> None:
    left, right = shingles(LONG), shingles(LONG + " tail")
    exactly = jaccard_of(left, right)
    seen = seen_with(LONG)
    assert seen.duplicate_of(Record(LONG + " tail"), before=9, jaccard_ppm=exactly) == 0
    assert seen.duplicate_of(Record(LONG + " tail"), before=9, jaccard_ppm=exactly + 1) is None


def test_only_earlier_places_count_and_the_first_is_named() -> None:
    seen = SeenRecords()
    for place in (7, 3, 5):
        seen.add(place, Record(LONG), FLAT)
    for record in (Record(LONG), Record(LONG + " tail")):
        assert seen.duplicate_of(record, before=9, jaccard_ppm=LIMIT) == 3
        assert seen.duplicate_of(record, before=3, jaccard_ppm=LIMIT) is None


def test_the_reference_corpus_comes_first() -> None:
    assert (
        seen_with("where is my card", first=-1).duplicate_of(Record("where is my card"), before=0, jaccard_ppm=LIMIT)
        == -1
    )


def test_adding_a_known_place_changes_nothing() -> None:
    seen = seen_with("where is my card")
    seen.add(0, Record("something else"), FLAT)
    assert len(seen) == 1
    assert 0 in seen
    assert seen.duplicate_of(Record("something else"), before=9, jaccard_ppm=LIMIT) is None


def test_every_pair_above_the_threshold_is_found() -> None:
    """The candidates of MinHash miss nothing that comparing all pairs finds."""
    generator = np.random.default_rng(1)
    texts = []
    for number in range(150):
        words = [f"w{number}x{at}" for at in range(30)]
        texts.append(" ".join(words))
        for at in generator.integers(0, 30, size=generator.integers(1, 3)):
            words[at] = "changed"
        texts.append(" ".join(words))
    seen = seen_with(*texts)
    sets = [shingles(text) for text in texts]
    for index, text in enumerate(texts):
        similar = [at for at in range(index) if jaccard_of(sets[at], sets[index]) >= LIMIT]
        found = seen.duplicate_of(Record(text), before=index, jaccard_ppm=LIMIT)
        assert found == (similar[0] if similar else None)


def test_shingles_are_the_same_in_every_process() -> None:
    program = "from rodagila.prove.duplicates import shingles; print(sorted(shingles('one two three four')))"
    other = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": "99"}
    )
    assert other.stdout.strip() == str(sorted(shingles("one two three four")))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_its_own_duplicate(text: str) -> None:
    assert seen_with(text).duplicate_of(Record(text), before=1, jaccard_ppm=LIMIT) == 0
    assert normalised(normalised(text)) == normalised(text)


ROWS = st.lists(st.lists(st.integers(-127, 127), min_size=5, max_size=5), min_size=1, max_size=6)


@settings(max_examples=100, deadline=None)
@given(left=ROWS, right=ROWS)
def test_cosines_agree_with_exact_fractions(left: list[list[int]], right: list[list[int]]) -> None:
    found = highest_cosines(np.array(left, np.int8), np.array(right, np.int8))
    for row, ppm in zip(left, found, strict=True):
        best = max(signed_square(row, other) for other in right)
        assert ppm * abs(ppm) <= best * 10**12 + (0 if best >= 0 else 10**7)
        assert abs(ppm) <= 10**6
        size = abs(best) * 10**12
        assert ppm**2 <= size < (abs(ppm) + 1) ** 2


def signed_square(left: list[int], right: list[int]) -> Fraction:
    """Return the square of the cosine with the cosine's sign, exactly; 0 for a zero row."""
    dot = sum(a * b for a, b in zip(left, right, strict=True))
    norms = sum(a * a for a in left) * sum(b * b for b in right)
    return Fraction(dot * abs(dot), norms) if norms else Fraction(0)


def test_nearness_looks_at_earlier_places_only() -> None:
    seen = SeenRecords()
    seen.add(-1, Record("reference"), np.array([1, 0], np.int8))
    seen.add(5, Record("later"), np.array([0, 1], np.int8))
    rows: Int8Array = np.array([[0, 7], [3, 3]], np.int8)
    assert seen.nearest_ppm(rows, before=5) == [0, 707_106]
    assert seen.nearest_ppm(rows, before=6) == [1_000_000, 707_106]
    assert SeenRecords().nearest_ppm(rows, before=0) == [0, 0]


def test_many_records_are_kept() -> None:
    seen = seen_with(*(f"text number {number}" for number in range(700)))
    assert len(seen) == 700
    assert seen.nearest_ppm(np.array([FLAT]), before=700) == [1_000_000]
    assert cosine_ppm(-5, 25) == -1_000_000


def one_by_one(texts: list[str], limit: int) -> list[int | None]:
    """Return each text's original by asking and adding in turn, as the checks of a contribution do."""
    seen, found = SeenRecords(), list[int | None]()
    for place, text in enumerate(texts):
        found.append(seen.duplicate_of(Record(text), before=place, jaccard_ppm=limit))
        if found[-1] is None:
            seen.add(place, Record(text), FLAT)
    return found


def brute_force(texts: list[str], limit: int) -> list[int | None]:
    """Return each text's original by comparing it with every text that was kept."""
    kept: dict[int, tuple[bytes, frozenset[int]]] = {}
    found = list[int | None]()
    for place, text in enumerate(texts):
        key, own = text_key(text), shingles(text)
        same = [at for at, (other, _) in kept.items() if other == key]
        near = [at for at, (_, other) in kept.items() if jaccard_of(own, other) >= limit]
        found.append(min(same, default=min(near, default=None)))
        if found[-1] is None:
            kept[place] = key, own
    return found


def varied(texts: list[str], seed: int) -> list[str]:
    """Return the texts with near and exact copies of a third of them, shuffled."""
    rng = np.random.default_rng(seed)
    copies = []
    for at in rng.integers(0, len(texts), len(texts) // 3).tolist():
        words = texts[at].split()
        place = int(rng.integers(len(words) + 1))
        copies.append(" ".join([*words[:place], *["and", "", "or"][: int(rng.integers(3))], *words[place:]]))
    every = texts + copies
    return [every[at] for at in rng.permutation(len(every)).tolist()]


def test_many_at_once_are_judged_as_one_by_one_and_as_by_brute_force(shared_data: Path) -> None:
    queries = [text for text, _ in json.loads((shared_data / "clinc150/data_full.json").read_text())["train"]]
    with gzip.open(shared_data / "newsgroups/posts.jsonl.gz", "rt", encoding="utf-8") as lines:
        posts = [json.loads(line)["text"] for line in lines]
    texts = varied(queries[:1_100:2] + posts[:150], seed=3)
    found = duplicates_among(texts, LIMIT)
    assert found == one_by_one(texts, LIMIT) == brute_force(texts, LIMIT)
    assert sum(original is not None for original in found) > len(texts) // 8


@given(
    st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=9).map(" ".join), max_size=30),
    st.integers(1, 9),
    st.sampled_from([1, 5, 100_000]),
    st.sampled_from([500_000, LIMIT, 1_000_000]),
)
def test_the_size_of_blocks_changes_nothing(texts: list[str], block: int, pairs: int, limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "BLOCK", block)
        patch.setattr(duplicates, "PAIRS", pairs)
        assert duplicates_among(texts, limit) == one_by_one(texts, limit)


def test_many_records_are_added_as_one_by_one() -> None:
    texts = [f"text {number % 7} with some words {number % 5}" for number in range(40)]
    places = [3 * (number % 30) - 9 for number in range(40)]  # some twice
    vectors: Int8Array = np.random.default_rng(0).integers(-9, 9, (40, 4)).astype(np.int8)
    one, many = SeenRecords(), SeenRecords()
    for place, text, vector in zip(places, texts, vectors, strict=True):
        one.add(place, Record(text), vector)
    many.add_all(places, [Record(text) for text in texts], vectors)
    assert len(one) == len(many) == 30 and 0 in many
    for before in range(-10, 100, 7):
        assert one.nearest_ppm(vectors, before=before) == many.nearest_ppm(vectors, before=before)
        for text in texts[:14]:
            asked = [seen.duplicate_of(Record(text), before=before, jaccard_ppm=LIMIT) for seen in (one, many)]
            assert asked[0] == asked[1]


@settings(max_examples=30)
@given(left=ROWS, right=ROWS, cells=st.integers(1, 20))
def test_cosines_are_the_same_in_blocks_of_any_size(left: list[list[int]], right: list[list[int]], cells: int) -> None:
    whole = highest_cosines(np.array(left, np.int8), np.array(right, np.int8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "CELLS", cells)
        assert highest_cosines(np.array(left, np.int8), np.array(right, np.int8)) == whole
