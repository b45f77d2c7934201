"""How fast redaction is on one core, beside presidio's patterns one by one, and what it finds of planted data.

Texts are those of ``--texts`` (JSON lines, gzip; by default the newsgroups of ../shared/data, else planted texts in
filler) with a planted string in every tenth. The peer is presidio's analyser with its own pattern recognisers over an
empty language pipeline, on the first of the same texts, timed by processor time. Recall is of strings planted by
`planted`, from a seed nobody tuned to: a string counts as missed if five letters or digits of it in a row are left.

Run: python benches/bench_redaction.py [--json] [--texts FILE] [--peer-texts 300] [--planted 1000]
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from planted import MAKERS, planted, survives

from rodagila.core.redaction import redact

NEWSGROUPS = Path(__file__).resolve().parents[2] / "shared" / "data" / "newsgroups" / "posts.jsonl.gz"
MB_BAR = 5.0
RECALL_BARS = {"phone": 0.95, "birth_date": 0.95}
RECALL_BAR = 0.98
SEED = 20_261_125
EVERY = 10
FILLER = "The quick brown fox jumps over the lazy dog, and nobody knows why it should do that again. "
Row = dict[str, Any]


def texts_of(path: Path) -> list[str]:
    """Return the texts, a planted string in every tenth."""
    if path.exists():
        with gzip.open(path, "rt", encoding="utf-8") as file:
            texts = [str(json.loads(line)["text"]) for line in file]
    else:
        texts = [FILLER * 12] * 2_000
    rng = random.Random(SEED)
    for at in range(0, len(texts), EVERY):
        category = rng.choice(list(MAKERS))
        texts[at] += "\n" + planted(category, 1, at)[0][0]
    return texts


def seconds_of(act: Callable[[str], object], texts: list[str]) -> float:
    """Return the processor seconds of ``act`` over the texts."""
    start = time.process_time()
    for text in texts:
        act(text)
    return time.process_time() - start


def presidio() -> Callable[[str], object] | None:
    """Return presidio's analysis with all its pattern recognisers, None where it is not installed."""
    try:
        import spacy
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import SpacyNlpEngine
    except ImportError:
        return None

    class Blank(SpacyNlpEngine):  # type: ignore[misc]
        """English without a model, which is what runs without a download."""

        def load(self) -> None:
            """Make the pipeline."""
            self.nlp = {"en": spacy.blank("en")}

    registry = RecognizerRegistry()
    registry.load_predefined_recognizers()
    registry.remove_recognizer("SpacyRecognizer")
    registry.remove_recognizer("EmailRecognizer")  # it asks the network for the list of public suffixes
    engine = AnalyzerEngine(registry=registry, nlp_engine=Blank(), supported_languages=["en"])
    return lambda text: engine.analyze(text, language="en")


def speed(path: Path, peer_texts: int) -> Row:
    """Return the row of the speed."""
    texts = texts_of(path)
    for text in texts[:50]:
        redact(text)
    size = sum(len(text.encode()) for text in texts)
    ours = size / min(seconds_of(redact, texts) for _ in range(3)) / 1e6
    analyse, theirs = presidio(), None
    if analyse:
        analyse(texts[0])
        part = texts[:peer_texts]
        theirs = sum(len(text.encode()) for text in part) / seconds_of(analyse, part) / 1e6
    return {
        "name": "redaction, a core",
        "value": round(ours, 2),
        "unit": "MB/s",
        "peer": None if theirs is None else round(theirs, 3),
        "ratio": None if theirs is None else round(ours / theirs, 1),
        "bar": MB_BAR,
        "met": ours >= MB_BAR,
    }


def recall(category: str, count: int) -> Row:
    """Return the row of a category: the share of planted strings of which nothing is left."""
    found = sum(not survives(what, redact(text).text) for text, what in planted(category, count, SEED))
    bar = RECALL_BARS.get(category, RECALL_BAR)
    share = found / count
    return {"name": f"recall of {category}", "value": round(share, 4), "unit": "", "bar": bar, "met": share >= bar}


def main() -> int:
    """Measure and print the rows; the exit status is 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON rows")
    parser.add_argument("--texts", type=Path, default=NEWSGROUPS)
    parser.add_argument("--peer-texts", type=int, default=300)
    parser.add_argument("--planted", type=int, default=1_000)
    given = parser.parse_args()
    rows = [speed(given.texts, given.peer_texts), *(recall(category, given.planted) for category in MAKERS)]
    print(json.dumps(rows) if given.json else "\n".join(f"{row['name']}: {row['value']} {row['unit']}" for row in rows))
    return int(any(row["met"] is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
