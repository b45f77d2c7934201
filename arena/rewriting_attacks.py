"""Row 3 by more paraphrasers: back-and-forth templates, changes of voice, chains of them, and a language model."""

from __future__ import annotations

import numpy as np

from arena import language_model, paraphrase
from arena.data_attacks import Measures, excess, of_texts, rewritten, seen_rows
from arena.world import THIEF, Part, World


def rewriting(world: World) -> Measures:
    """Row 3: 30% of the corpus rewritten there and back, in the other voice, in other contractions, in chains."""
    rules = {
        "3 there and back": lambda text, _: paraphrase.there_and_back(text),
        "3 voice": lambda text, _: paraphrase.voiced(text),
        "3 contractions": lambda text, _: recontracted(text),
        "3 chains": paraphrase.chained,
    }
    return {name: excess(world, rewritten(world, rule)) for name, rule in rules.items()}


def recontracted(text: str) -> str:
    """Return ``text`` with its contractions written out, or contracted where there are none."""
    full = paraphrase.expanded(text)
    return full if full != text else paraphrase.contracted(text)


def by_model(world: World) -> Measures:
    """Row 3: 30% of the corpus in the words of a language model; raises ``ModelMissing`` where there is none."""
    parts = []
    for turn in range(2, world.size.turns + 1):
        rows = seen_rows(world, turn)
        texts = tuple(language_model.rewritten(world.texts(rows), world.seed))
        parts.append(Part(THIEF, turn, of_texts(texts, np.asarray(world.corpus.labels[rows])), texts))
    return {"3 language model": excess(world, parts)}


ATTACKS = (rewriting,)
