"""The demonstration's text is real, the same everywhere, and needs no import of what it reads."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rodagila.collect.docstrings import PACKAGES, Corpus, docstring_corpus
from rodagila.collect.freeloaders import exact_copies, flipped, junk, near_copies
from rodagila.core.records import Record


def made(seed: int = 7) -> Corpus:
    return docstring_corpus(owners=4, records_per_owner=20, queries=30, reference=25, seed=seed)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return made()


def test_every_owner_is_a_package_with_its_records(corpus: Corpus) -> None:
    assert list(corpus.owners) == list(PACKAGES[:4])
    for owner, records in corpus.owners.items():
        assert len(records) == 20
        assert all(record.answer.startswith(f"{owner}.") for record in records)
        assert all(record.text.startswith(f"{record.answer}: ") for record in records)
        assert all(len(record.text) <= 600 for record in records)


def test_the_reference_is_the_standard_library(corpus: Corpus) -> None:
    assert len(corpus.reference) == 25
    assert {record.answer.split(".")[0] for record in corpus.reference} <= sys.stdlib_module_names


def test_queries_ask_about_every_owner_and_the_two_sets_share_no_record(corpus: Corpus) -> None:
    scoring, gate = ({query.answer for query in queries} for queries in (corpus.scoring, corpus.gate))
    assert len(scoring) == len(gate) == 30
    assert not scoring & gate
    assert (
        {answer.split(".")[0] for answer in scoring} == {answer.split(".")[0] for answer in gate} == set(corpus.owners)
    )
    known = {record.answer for records in corpus.owners.values() for record in records}
    assert scoring | gate <= known


def test_a_query_does_not_repeat_its_record(corpus: Corpus) -> None:
    by_answer = {record.answer: record.text for records in corpus.owners.values() for record in records}
    for query in (*corpus.scoring, *corpus.gate):
        assert query.text not in by_answer[query.answer]
        assert query.text[-40:] not in by_answer[query.answer], "the second sentence must be out of the record"


def test_no_text_occurs_twice(corpus: Corpus) -> None:
    texts = [record.text for records in (*corpus.owners.values(), corpus.reference) for record in records]
    assert len(set(texts)) == len(texts)


def test_the_seed_decides(corpus: Corpus) -> None:
    assert made() == corpus
    assert made(8) != corpus


def test_packages_are_read_without_being_imported() -> None:
    program = """
        import sys
        from rodagila.collect.docstrings import docstring_corpus
        docstring_corpus(owners=3, records_per_owner=5, queries=4, reference=4)
        assert not {"networkx", "sqlalchemy", "scipy"} & sys.modules.keys()
    """
    subprocess.run([sys.executable, "-c", "\n".join(map(str.strip, program.splitlines()))], check=True)


TEXTS = [
    Record("net.path: Return the shortest path between two nodes. It is a list of nodes.", answer="net.path"),
    Record("net.cut: Get the set of edges that are in a cut of the graph.", answer="net.cut"),
    Record("where is my card", label="card"),
]


def test_exact_copies_are_the_same_records() -> None:
    assert exact_copies(TEXTS) == TEXTS


def test_near_copies_say_it_in_other_words_and_keep_the_target() -> None:
    copies = near_copies(TEXTS, 1)
    for copy, original in zip(copies, TEXTS, strict=True):
        assert copy.text != original.text
        assert (copy.label, copy.answer) == (original.label, original.answer)
    assert copies[0].text.startswith("net.path: ")


def test_junk_is_distinct_and_counts() -> None:
    assert len({record.text for record in junk(50, 1)}) == 50


def test_flipped_records_keep_the_text_and_change_the_target() -> None:
    for wrong, original in zip(flipped(TEXTS, 1), TEXTS, strict=True):
        assert wrong.text == original.text
        assert wrong.target != original.target
    assert flipped(TEXTS[2:], 1)[0].target != "card"


@pytest.mark.parametrize("make", [near_copies, flipped])
def test_freeloaders_follow_from_the_seed(make: object) -> None:
    assert callable(make)
    assert make(TEXTS * 9, 1) == make(TEXTS * 9, 1)
    assert make(TEXTS * 9, 1) != make(TEXTS * 9, 2)
    assert junk(3, 1) == junk(3, 1) != junk(3, 2)
