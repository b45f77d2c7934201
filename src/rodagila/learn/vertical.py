"""The vertical model that a gateway serves: search, classify, embed, and answers made of what owners contributed.

Answers are extractive: every sentence is quoted from a record or names a record's target, with its citation, so each
answer says whose data it rests on. When nothing is similar enough it says so and cites nothing.

>>> model.answer("how do I reset my card", 3).text
'card_reset [1] [2]. Closest: "reset my card please" [1]; "my card needs a reset" [2].'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rodagila.core.errors import InvalidInput
from rodagila.core.money import PPM
from rodagila.core.records import Record
from rodagila.core.vectors import SCALE, Int8Array
from rodagila.learn.embedder import Embedder
from rodagila.learn.head import Head, predict
from rodagila.learn.model import ModelCard
from rodagila.store.vectors import Nearest

SIMILAR_PPM = 350_000
"""Below this cosine a record says nothing about a question (unrelated CLINC150 questions lie at .0 to .3)."""
TEMPERATURE = 12
"""Divides the head's scores, which are overconfident: the scatter they use was estimated on the same records. With
ridge 1, mean confidence / accuracy on CLINC150 is then .61/.61 at 300 records, .83/.84 at 800, .91/.91 at 3,000,
.93/.93 at 15,000."""
QUOTE_CHARS = 240
NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class ServedRecord:
    """A record as the model holds it in memory, with where it came from."""

    place: int
    owner: str
    contribution_id: bytes
    record: Record


@dataclass(frozen=True, slots=True)
class Hit:
    """A record that was found; ``score_ppm`` is its cosine in millionths."""

    place: int
    owner: str
    contribution_id: bytes
    text: str
    target: str
    score_ppm: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Words and the records they rest on; ``[n]`` in the text is the n-th citation."""

    text: str
    citations: tuple[Hit, ...]


class VerticalModel:
    """One turn's model over its records; texts live in memory only, the index holds vectors and ids."""

    def __init__(
        self,
        card: ModelCard,
        records: Sequence[ServedRecord],
        index: Nearest,
        head: Head | None,
        embedder: Embedder,
        *,
        created: int = 0,
    ) -> None:
        """Serve ``records`` (those in ``index``); ``created`` is in seconds."""
        self.card = card
        self.created = created
        self._records = {item.place: item for item in records}
        self._index, self._head, self._embedder = index, head, embedder

    @property
    def name(self) -> str:
        """The model's full name, ``<dao>-<turn>``."""
        return self.card.name

    @property
    def turn(self) -> int:
        """The turn that made it."""
        return self.card.turn

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return float32 vectors (n, dimensions) of unit length: the int8 ones that everything is computed on."""
        vectors = self._embedder.encode(list(texts)).astype(np.float64) / SCALE
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)

    def search(self, text: str, k: int) -> tuple[Hit, ...]:
        """Return the ``k`` nearest records, best first; fewer only if the data set is smaller."""
        return self._nearest(self._vector(text), k)

    def classify(self, text: str, top: int) -> tuple[tuple[str, int], ...]:
        """Return the ``top`` labels with their probability in millionths, best first."""
        vector = self._vector(text)
        shares = self._by_head(vector) if self._head is not None else self._by_neighbours(vector)
        return tuple(sorted(shares, key=lambda pair: (-pair[1], pair[0]))[: max(0, top)])

    def answer(self, question: str, k: int) -> Answer:
        """Return an answer made of up to ``k`` records that are similar enough, each cited."""
        hits = tuple(hit for hit in self.search(question, k) if hit.score_ppm >= SIMILAR_PPM)
        if not hits:
            return Answer("Nothing in this data set is similar enough to answer that.", ())
        return Answer(" ".join(part for part in (_conclusion(hits), _quotes(hits)) if part), hits)

    def _vector(self, text: str) -> Int8Array:
        if not text.strip():
            raise InvalidInput("invalid_request", "The text is empty; a question or sentence is required.")
        vector: Int8Array = self._embedder.encode([text])[0]
        return vector

    def _nearest(self, vector: Int8Array, k: int) -> tuple[Hit, ...]:
        found = []
        for hit in self._index.search(vector, k):
            item = self._records[hit.place]
            record = item.record
            found.append(Hit(hit.place, item.owner, item.contribution_id, record.text, record.target, hit.score_ppm))
        return tuple(found)

    def _by_head(self, vector: Int8Array) -> list[tuple[str, int]]:
        """Return the head's posterior for equally likely labels."""
        assert self._head is not None
        scores = predict(self._head, vector[None, :])[1][0]
        odds = np.exp((scores - scores.max()) / TEMPERATURE)
        shares = odds / odds.sum()
        return [(label, int(share * PPM)) for label, share in zip(self._head.labels, shares, strict=True)]

    def _by_neighbours(self, vector: Int8Array) -> list[tuple[str, int]]:
        """Return each target's share of the similarity of the nearest records, where there is no head."""
        weights: dict[str, int] = {}
        for hit in self._nearest(vector, NEIGHBOURS):
            if hit.target:
                weights[hit.target] = weights.get(hit.target, 0) + max(0, hit.score_ppm)
        total = sum(weights.values())
        return [(target, weight * PPM // total) for target, weight in weights.items()] if total else []


def _conclusion(hits: Sequence[Hit]) -> str:
    """Return the target with the most similarity behind it, with the citations that support it."""
    weights: dict[str, int] = {}
    for hit in hits:
        if hit.target:
            weights[hit.target] = weights.get(hit.target, 0) + hit.score_ppm
    if not weights:
        return ""
    best = max(weights, key=lambda target: weights[target])  # equal weights: the nearer record's target
    marks = " ".join(f"[{number}]" for number, hit in enumerate(hits, 1) if hit.target == best)
    return f"{best} {marks}."


def _quotes(hits: Sequence[Hit]) -> str:
    return "Closest: " + "; ".join(f'"{_shortened(hit.text)}" [{number}]' for number, hit in enumerate(hits, 1)) + "."


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= QUOTE_CHARS else line[: QUOTE_CHARS - 1].rstrip() + "…"
