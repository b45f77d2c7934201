"""The served model: search, classify, embed and answers that rest on owners' records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rodagila.core.errors import InvalidInput
from rodagila.core.policy import Policy
from rodagila.core.records import Record
from rodagila.learn.embedder import MiniLM
from rodagila.learn.model import train
from rodagila.learn.vertical import ServedRecord, VerticalModel
from rodagila.store.nearest import nearest
from rodagila.store.vectors import IndexRow, VectorIndex


@pytest.fixture(scope="module")
def model(clinc: Any, minilm: MiniLM, tmp_path_factory: pytest.TempPathFactory) -> VerticalModel:
    owned = clinc.owned
    trained = train("docs", 2, owned, clinc.reference, clinc.gate, Policy(name="docs"), minilm.hash)
    index = VectorIndex(tmp_path_factory.mktemp("index"))
    index.rebuild(
        2, [IndexRow(i, owned.owners[i], "ab" * 32, i % 75, owned.targets[i], owned.vectors[i]) for i in owned.places]
    )
    served = [ServedRecord(i, owned.owners[i], bytes([i // 75]) * 32, clinc.records[i]) for i in owned.places]
    return VerticalModel(trained.card, served, index, trained.head, minilm, created=1_700_000_000)


def test_search_finds_the_exact_nearest_with_their_owners(model: VerticalModel, clinc: Any, minilm: MiniLM) -> None:
    questions = [clinc.records[i].text + " please" for i in (3, 200, 999)]
    wanted = nearest(minilm.encode(questions), clinc.owned.vectors, 4)
    for question, places in zip(questions, wanted, strict=True):
        hits = model.search(question, 4)
        assert [hit.place for hit in hits] == places.tolist()
        for hit in hits:
            assert (hit.text, hit.target) == (clinc.records[hit.place].text, clinc.records[hit.place].label)
            assert hit.owner == clinc.owned.owners[hit.place]
            assert hit.contribution_id == bytes([hit.place // 75]) * 32
        assert [hit.score_ppm for hit in hits] == sorted((hit.score_ppm for hit in hits), reverse=True)


def test_a_record_finds_itself(model: VerticalModel, clinc: Any) -> None:
    first = model.search(clinc.records[42].text, 1)[0]
    assert (first.place, first.score_ppm) == (42, 1_000_000)


def test_classify_gives_probabilities_best_first(model: VerticalModel) -> None:
    labels = model.classify("what is the exchange rate of dollars to euros", 3)
    assert labels[0][0] == "exchange_rate"
    assert [score for _, score in labels] == sorted((score for _, score in labels), reverse=True)
    everything = model.classify("what is the exchange rate of dollars to euros", 1000)
    assert len(everything) == 150
    assert 999_000 <= sum(score for _, score in everything) <= 1_000_000
    assert model.classify("anything", 0) == ()


def test_confidence_is_near_accuracy(model: VerticalModel, clinc: Any) -> None:
    gate = clinc.gate
    shares = [max(score for _, score in model._by_head(vector)) for vector in gate.vectors]
    assert abs(np.mean(shares) - model.card.metric.value_ppm) < 60_000


def test_an_answer_cites_every_record_it_rests_on(model: VerticalModel) -> None:
    answer = model.answer("tell me the exchange rate from us dollars to euros", 3)
    assert answer.text.startswith("exchange_rate [1]")
    assert len(answer.citations) == 3
    for number, hit in enumerate(answer.citations, 1):
        assert f'"{hit.text}" [{number}]' in answer.text


def test_nothing_similar_is_said_plainly_and_cites_nothing(model: VerticalModel) -> None:
    answer = model.answer("mitochondrial ATP synthase hydrolyses phosphoanhydride bonds", 3)
    assert "Nothing in this data set is similar enough" in answer.text
    assert answer.citations == ()


def test_embeddings_have_unit_length(model: VerticalModel) -> None:
    vectors = model.embed(["one text", "another text", "one text"])
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.array_equal(vectors[0], vectors[2])


def test_an_empty_text_is_refused(model: VerticalModel) -> None:
    with pytest.raises(InvalidInput):
        model.search("  ", 3)


def test_without_a_head_neighbours_classify_and_answers_are_quoted(tmp_path: Path, clinc: Any, minilm: MiniLM) -> None:
    records = [
        Record("adds two numbers and returns the sum", answer="add"),
        Record("adds two vectors element by element", answer="add_vectors"),
        Record("opens a file for reading", answer="open"),
    ]
    vectors = minilm.encode([record.text for record in records])
    card = train("code", 1, clinc.owned, clinc.reference, clinc.gate, Policy(name="code"), minilm.hash).card
    index = VectorIndex(tmp_path)
    index.rebuild(1, [IndexRow(i, "o", "00", i, record.answer, vectors[i]) for i, record in enumerate(records)])
    model = VerticalModel(
        card, [ServedRecord(i, "o", bytes(32), record) for i, record in enumerate(records)], index, None, minilm
    )
    assert model.classify("return the sum of two numbers", 1)[0][0] == "add"
    assert model.answer("return the sum of two numbers", 2).text.startswith("add [1]")
    assert (model.name, model.turn) == ("code-1", 1)
