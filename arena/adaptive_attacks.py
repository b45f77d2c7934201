"""Attackers who adapt: they try the real rule at home before they give anything, choose their time, or go slowly.

At home an attacker has what the public files show - the vectors and labels of the reference and of all records of the
turns before - and queries that she guesses from texts of her own. She values what she could give by ``value_records``,
keeps what is worth most, changes it and tries again (hill climbing), or keeps what the signed check lets through.
Measures are those of ``data_attacks``: excess in points of the pool beside naive pay, or accuracy lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from arena import paraphrase
from arena.data_attacks import COPIED, Measures, excess, of_texts, seen_rows
from arena.world import THIEF, Part, World
from rodagila.learn.head import Head, predict
from rodagila.value.examples import Examples, together
from rodagila.value.ocis import ValueInputs, value_records

GUESSED = 500
ROUNDS = 4
POISON = 0.01
"""Share of a turn's records that a slow poisoner gives under a wrong label."""
SYBILS = 50
HEADS = ("checked", "unchecked")
Mutation = Callable[[str, int, np.random.Generator], str]


@dataclass(frozen=True, slots=True)
class Tried:
    """What records would be ``worth`` (n,), as the rule pays, and their signed check ``s`` (n,), at home."""

    worth: np.ndarray
    s: np.ndarray


def own_rows(world: World) -> tuple[np.ndarray, np.ndarray]:
    """Return the corpus rows of texts that attackers have of their own, that nobody gives: to give and to guess by."""
    own = world.spare[len(world.spare) // 3 :]
    to_guess = min(GUESSED, len(own) // 2)
    return own[:-to_guess], own[-to_guess:]


def tried(world: World, seen: Examples, offered: Examples) -> Tried:
    """Value ``offered`` after ``seen``, on queries guessed from texts of one's own."""
    guesses = world.examples(own_rows(world)[1])
    records = together(seen, offered)
    barred, ones = np.zeros(len(records), np.bool_), np.ones(len(guesses), np.int64)
    turns = np.repeat([1, 2], [len(seen), len(offered)])
    values = value_records(ValueInputs(records, turns, barred, world.reference, guesses, ones, world.rules))
    s = np.asarray(values.s)[len(seen) :]
    worth = np.array(values.v[len(seen) :], dtype=float)
    return Tried(np.where(s >= 0, worth, 0.0), s)


def vocabulary(world: World) -> list[list[str]]:
    """Return, for each label, the words of the attacker's own texts under it."""
    found: list[set[str]] = [set() for _ in world.corpus.names]
    for row in np.concatenate(own_rows(world)):
        found[world.corpus.labels[row]].update(world.corpus.texts[row].lower().split())
    return [sorted(words) or ["it"] for words in found]


def climbed(
    world: World, seen: Examples, texts: list[str], labels: np.ndarray, mutate: Mutation, rng: np.random.Generator
) -> tuple[tuple[str, ...], Examples]:
    """Return ``texts`` changed for ``ROUNDS`` rounds, each keeping the changes that raise a text's own worth."""
    best = of_texts(texts, labels)
    worth = tried(world, seen, best).worth
    for _ in range(ROUNDS):
        proposed = [mutate(text, int(label), rng) for text, label in zip(texts, labels, strict=True)]
        offered = of_texts(proposed, labels)
        found = tried(world, seen, offered).worth
        better = found > worth
        texts = [new if up else old for new, old, up in zip(proposed, texts, better, strict=True)]
        vectors = np.where(better[:, None], offered.vectors, best.vectors)
        best, worth = Examples(vectors, best.targets), np.where(better, found, worth)
    return tuple(texts), best


def worded(words: list[list[str]]) -> Mutation:
    """Return a mutation that puts a word of the label in, in place of another word or in another template."""

    def mutate(text: str, label: int, rng: np.random.Generator) -> str:
        parts, word = text.split(), str(rng.choice(words[label]))
        at = int(rng.integers(len(parts))) if parts else 0
        kind = rng.integers(4)
        if kind == 0:
            return " ".join([*parts[:at], word, *parts[at:]])
        if kind == 1:
            return " ".join([*parts[:at], word, *parts[at + 1 :]])
        if kind == 2 and len(parts) > 3:
            return " ".join([*parts[:at], *parts[at + 1 :]])
        return str(rng.choice(paraphrase.FILLER)).format(f"{word} {' '.join(parts[-3:])}")

    return mutate


def reworded(words: list[list[str]]) -> Mutation:
    """Return a mutation that paraphrases by a rule drawn anew, or puts a word of the label in."""
    swap = worded(words)
    rules: tuple[Callable[[str], str], ...] = (
        paraphrase.substituted,
        paraphrase.reordered,
        paraphrase.there_and_back,
        paraphrase.voiced,
        paraphrase.expanded,
        paraphrase.contracted,
    )

    def mutate(text: str, label: int, rng: np.random.Generator) -> str:
        rule = int(rng.integers(len(rules) + 2))
        if rule >= len(rules):
            return swap(text, label, rng) if rule == len(rules) else paraphrase.templated(text, int(rng.integers(5)))
        return rules[rule](text)

    return mutate


def climbing(world: World) -> Measures:
    """Early filler and paraphrases of what was seen, both climbed uphill by the rule itself."""
    rng, words = np.random.default_rng([world.seed, 31]), vocabulary(world)
    pool = paraphrase.filler(world.corpus.names)
    texts, labels = [text for text, _ in pool], np.array([label for _, label in pool], np.int64)
    nothing = world.examples(world.spare[:0])
    count = round(COPIED * world.size.total / 3)
    start = np.sort(np.argsort(-tried(world, nothing, of_texts(texts, labels)).worth, kind="stable")[:count])
    chosen, given = climbed(world, nothing, [texts[at] for at in start], labels[start], worded(words), rng)
    filler = [Part(THIEF, 1, given, chosen, early=True)]
    parts = []
    for turn in range(2, world.size.turns + 1):
        rows = seen_rows(world, turn)
        seen = world.examples(world.rows_before(turn))
        old = list(world.texts(rows))
        again, vectors = climbed(world, seen, old, np.asarray(world.corpus.labels[rows]), reworded(words), rng)
        parts.append(Part(THIEF, turn, vectors, again))
    return {"A climbed filler": excess(world, filler), "A climbed paraphrases": excess(world, parts)}


def probing(world: World) -> Measures:
    """Wrong labels that the signed check lets through at home: what they earn by themselves and cost the model."""
    rng, names, parts, used = np.random.default_rng([world.seed, 33]), len(world.corpus.names), [], 0
    own, _ = own_rows(world)
    for turn in range(2, world.size.turns + 1):
        count = round(COPIED * len(world.rows_before(turn)))
        rows = np.take(own, np.arange(used, used + 2 * count), mode="wrap")
        used += 2 * count
        labels = (world.corpus.labels[rows] + rng.integers(1, names, len(rows))) % names
        offered = Examples(world.corpus.vectors[rows], labels)
        found = tried(world, world.examples(world.rows_before(turn)), offered)
        # What passes at home first, and of that what is worth most.
        order = np.lexsort((-found.worth, found.s < 0))[:count]
        parts.append(Part("prober", turn, offered.take(np.sort(order)), world.texts(rows[np.sort(order)])))
    clean, attacked = world.play([]), world.play(parts)
    lost = [world.accuracy(clean.heads[kind]) - world.accuracy(attacked.heads[kind]) for kind in HEADS]
    return {
        "A probed labels, net": (attacked.share("prober"), attacked.flat("prober")),
        "A probed labels, accuracy": (lost[0], lost[1]),
    }


class Early(World):
    """The same world, in which the thief commits first in every turn."""

    def _parts(self, turn: int, attack: object) -> list[Part]:
        parts = super()._parts(turn, attack)  # type: ignore[arg-type]
        return sorted(parts, key=lambda part: part.owner != THIEF)


def timing(world: World) -> Measures:
    """A sybil commits her honest records first in every turn, each under one of 50 accounts."""
    early = Early(world.corpus, world.size, world.seed, world.rules)
    split = early.play([], hidden=(frozenset({THIEF}), SYBILS))
    return {"A timed sybil": (split.share(*split.starting("split")) - world.play([]).share(THIEF), 0.0)}


def poison(world: World) -> tuple[list[Part], np.ndarray, int]:
    """Return what a slow poisoner gives, texts to try the model on, and the wrong label."""
    own, _ = own_rows(world)
    counts = np.bincount(world.corpus.labels[own], minlength=len(world.corpus.names))
    source = int(counts.argmax())  # of which she has most
    wanted = int(np.random.default_rng([world.seed, 35]).choice(np.delete(np.arange(len(counts)), source)))
    rows = own[world.corpus.labels[own] == source]
    asked, rows = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    each = max(1, round(POISON * world.size.total / world.size.turns))
    parts = []
    for turn in range(1, world.size.turns + 1):
        picked = np.take(rows, np.arange((turn - 1) * each, turn * each), mode="wrap")
        wrong = Examples(world.corpus.vectors[picked], np.full(each, wanted))
        parts.append(Part(THIEF, turn, wrong, world.texts(picked)))
    return parts, asked, wanted


def poisoning(world: World) -> Measures:
    """One percent of a turn's records name one label for another: what that earns, and how often the model says so."""
    parts, asked, wanted = poison(world)
    clean, attacked, name = world.play([]), world.play(parts), world.corpus.names[wanted]

    def said(head: Head) -> float:
        places, _ = predict(head, world.corpus.vectors[asked])
        return 100 * float(np.mean([head.labels[place] == name for place in places]))

    fair, naive = (said(attacked.heads[head]) - said(clean.heads[head]) for head in ("checked", "unchecked"))
    return {"A slow poison, net": excess(world, parts), "A slow poison, success": (fair, naive)}


ATTACKS = (climbing, probing, timing, poisoning)
