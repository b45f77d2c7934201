"""What ``bench_value.py`` measures on: a million short texts and a million vectors, grown from real ones by a seed.

Texts: halves of two real texts (CLINC150's queries, sentences of newsgroups) joined, one word in six replaced by one
that follows the same word somewhere else, and a known share of planted near duplicates. Vectors: mixtures of two
embeddings (MiniLM) of one intent of CLINC150, with noise, so that cosines between records spread as real ones do.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from rodagila.learn.embedder import MiniLM
from rodagila.prove.duplicates import jaccard_of, shingles

DATA = Path(__file__).resolve().parent.parent.parent / "shared/data"
LIMIT_PPM = 800_000
GROWN = 20_000
MIXTURE, NOISE = (0.3, 0.3), (0.0, 0.7)
PLANTED = 20  # one text in so many is a near duplicate of an earlier one


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts in place order; ``source[i]`` is the place of the text that text i was planted on, -1 for none."""

    texts: list[str]
    source: np.ndarray


def real_texts() -> list[str]:
    """Return CLINC150's queries and newsgroups' sentences of 4 to 24 words."""
    data = json.loads((DATA / "clinc150/data_full.json").read_text())
    found = [text for part in sorted(data) for text, _ in data[part]]
    with gzip.open(DATA / "newsgroups/posts.jsonl.gz", "rt", encoding="utf-8") as lines:
        posts = [json.loads(line)["text"] for line in lines]
    sentences = (re.sub(r"\s+", " ", part).strip() for post in posts for part in re.split(r"(?<=[.!?])\s", post))
    return found + [sentence for sentence in sentences if 4 <= len(sentence.split()) <= 24]


def many_texts(count: int, seed: int = 0) -> Texts:
    """Return ``count`` short texts, one in ``PLANTED`` of them a near duplicate (J >= 0.8) of an earlier one."""
    rng = np.random.default_rng(seed)
    pool = [text.split() for text in real_texts()]
    pool = [words for words in pool if len(words) >= 4]
    follow: dict[str, list[str]] = {}
    for words in pool:
        for left, right in pairwise(words):
            follow.setdefault(left, []).append(right)
    texts: list[str] = []
    source = np.full(count, -1, np.int64)
    heads, tails = rng.integers(0, len(pool), (2, count)).tolist()
    plants = (rng.random(count) < 1 / PLANTED).tolist()
    for place in range(count):
        planted = _planted(texts, source, rng) if plants[place] and place > 100 else None
        if planted:
            text, source[place] = planted
        else:
            text = _joined(pool[heads[place]], pool[tails[place]], follow, rng)
        texts.append(text)
    return Texts(texts, source)


def _joined(head: list[str], tail: list[str], follow: dict[str, list[str]], rng: np.random.Generator) -> str:
    """Return the first half of one text and the second of another, with some words changed."""
    words = head[: (len(head) + 1) // 2] + tail[len(tail) // 2 :]
    draws = rng.random((len(words), 2)).tolist()
    for at in range(1, len(words)):
        others = follow.get(words[at - 1])
        if others and draws[at][0] < 1 / 6:
            words[at] = others[int(draws[at][1] * len(others))]
    return " ".join(words)


def _planted(texts: list[str], source: np.ndarray, rng: np.random.Generator) -> tuple[str, int] | None:
    """Return an earlier text that is none itself with a word more, less or other at an end, and its place."""
    for place in rng.integers(0, len(texts), 20).tolist():
        words = texts[place].split()
        other = texts[int(rng.integers(len(texts)))].split()[0]
        edited = ([*words, other], [other, *words], words[:-1], [*words[:-1], other])[int(rng.integers(4))]
        text = " ".join(edited)
        if source[place] < 0 and LIMIT_PPM <= jaccard_of(shingles(text), shingles(texts[place])) < 1_000_000:
            return text, place
    return None


@dataclass(frozen=True, slots=True)
class Intents:
    """Unit embeddings (n, d) of CLINC150's texts with the codes of their intents (n,), in one fixed order each."""

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


def embedded(cache: Path, train: int = 7_000, test: int = 1_000) -> Intents:
    """Return MiniLM's embeddings of some of CLINC150's texts, kept in ``cache`` from run to run."""
    data = json.loads((DATA / "clinc150/data_full.json").read_text())
    names = {label: code for code, label in enumerate(sorted({label for _, label in data["train"]}))}
    parts = []
    for part, count in (("train", train), ("test", test)):
        order = np.random.default_rng(1).permutation(len(data[part]))[:count]
        texts, labels = zip(*(data[part][at] for at in order.tolist()), strict=True)
        parts.append((_unit(_embed(cache / f"{part}-{count}.npy", texts)), np.array([names[name] for name in labels])))
    return Intents(*parts)


def grown(source: tuple[np.ndarray, np.ndarray], count: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield ``count`` unit vectors and their intents, in blocks: a mixture of two real ones of an intent, and noise.

    With these weights and this noise 6,000 records have cosines to their nearest ones as 6,000 real texts have.
    """
    vectors, intents = source
    order = np.argsort(intents, kind="stable")
    starts, sizes = np.searchsorted(intents[order], np.unique(intents)), np.unique(intents, return_counts=True)[1]
    rng = np.random.default_rng(seed)
    for start in range(0, count, GROWN):
        rows = min(GROWN, count - start)
        chosen = rng.integers(len(starts), size=rows)
        pick = order[starts[chosen] + (rng.random((2, rows)) * sizes[chosen]).astype(np.int64)]
        weight = rng.beta(*MIXTURE, size=(rows, 1))
        mixed = _unit(weight * vectors[pick[0]] + (1 - weight) * vectors[pick[1]])
        noise = rng.uniform(*NOISE, (rows, 1)) * rng.normal(size=mixed.shape) / np.sqrt(mixed.shape[1])
        yield _unit(mixed + noise), np.unique(intents)[chosen]


def _embed(path: Path, texts: tuple[str, ...]) -> np.ndarray:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, MiniLM().encode(list(texts)))
    return np.load(path).astype(np.float64)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
