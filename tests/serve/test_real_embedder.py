"""One gateway with the real embedder: what is sold finds by meaning, not by words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway_stand import SENTENCES, Stand, WordModel, serving
from rodagila.client import Client
from rodagila.learn.embedder import MiniLM


class MeaningModel(WordModel):
    """The stand's model over MiniLM's int8 vectors."""

    def __init__(self) -> None:
        self.embedder = MiniLM()
        super().__init__(SENTENCES)

    def embed(self, texts: Sequence[str]) -> Any:
        vectors = self.embedder.encode(list(texts)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path)
    stand.models["docs"] = MeaningModel()
    stand.restart()
    yield stand
    stand.close()


def test_questions_without_a_common_word_find_their_function(stand: Stand) -> None:
    questions = {
        "How can I make my program wait a moment?": "time.sleep",
        "get rid of a whole folder with everything inside": "shutil.rmtree",
        "put my elements into order": "sorted",
    }
    with (
        serving(stand.app) as url,
        Client(url, stand.buyer, token=stand.token.address, network=stand.network) as client,
    ):
        found = {question: client.search("docs", question, k=1).hits[0]["target"] for question in questions}
        (vector,) = client.embeddings("docs", ["wait a moment"]).vectors
    assert found == questions
    assert (len(vector), np.linalg.norm(vector)) == (384, pytest.approx(1))
