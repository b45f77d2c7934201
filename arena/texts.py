"""Real texts with their labels and int8 vectors: CLINC150 and newsgroups, embedded once and kept under ``build/arena``.

corpus = clinc150(shared)     # texts, labels, vectors; the last ``held`` of them are for queries
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from rodagila.core.vectors import Int8Array, Int64Array
from rodagila.learn.cache import CachedEmbedder, VectorCache
from rodagila.learn.embedder import MiniLM

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"
CACHE = ROOT / "build" / "arena" / "vectors.sqlite"
LONGEST = 600  # characters of a post that are embedded
PROCESSES = 1  # that embed what is not in the memory yet


@dataclass(frozen=True, slots=True)
class Corpus:
    """``texts`` with ``labels`` (n,) as codes into ``names`` and int8 ``vectors`` (n, d)."""

    title: str
    texts: tuple[str, ...]
    names: tuple[str, ...]
    labels: Int64Array
    vectors: Int8Array

    def __len__(self) -> int:
        return len(self.texts)


@cache
def embedder() -> CachedEmbedder:
    """The project's embedder with a memory on disk."""
    return CachedEmbedder(MiniLM(processes=PROCESSES), VectorCache(CACHE))


def embed(texts: Sequence[str]) -> Int8Array:
    """Return int8 vectors (n, 384) of ``texts``."""
    return embedder().encode(list(texts))


def corpus_of(title: str, rows: Sequence[tuple[str, str]]) -> Corpus:
    """Return the corpus of (text, label) rows, equal texts kept once."""
    kept = list(dict(rows).items())
    texts = tuple(text for text, _ in kept)
    names = tuple(sorted({label for _, label in kept}))
    place = {name: code for code, name in enumerate(names)}
    return Corpus(title, texts, names, np.array([place[label] for _, label in kept], np.int64), embed(texts))


@cache
def intents(folder: Path = SHARED) -> tuple[tuple[str, str], ...]:
    """Return the texts of CLINC150 in scope with their intents, in the order of the file."""
    body = json.loads((folder / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    return tuple((text, label) for part in ("train", "val", "test") for text, label in body[part])


@cache
def clinc150(folder: Path = SHARED) -> Corpus:
    """Return the 22,500 intent queries in scope, 150 intents."""
    return corpus_of("clinc150", intents(folder))


def intents_of(labels: int, each: int, seed: int | None = None) -> Corpus:
    """Return ``each`` texts, the first or those that ``seed`` draws, of the first ``labels`` intents of CLINC150."""
    found: dict[str, list[str]] = {}
    for text, label in intents():
        found.setdefault(label, []).append(text)
    rows = []
    for label in sorted(found)[:labels]:
        order = range(each) if seed is None else np.random.default_rng([seed, len(rows)]).permutation(len(found[label]))
        rows += [(found[label][at], label) for at in list(order)[:each]]
    return corpus_of(f"{labels} intents", rows)


@cache
def newsgroups(folder: Path = SHARED) -> Corpus:
    """Return the posts to 20 groups: subject and the beginning of the text."""
    rows = []
    with gzip.open(folder / "newsgroups" / "posts.jsonl.gz", "rt", encoding="utf-8") as source:
        for line in source:
            post = json.loads(line)
            rows.append((f"{post['subject']}\n{post['text']}"[:LONGEST], post["group"]))
    return corpus_of("newsgroups", rows)
