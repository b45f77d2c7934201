"""Attacks on the pay for data, rows 1 - 6, 8 and 26: each returns what it measured in one world, by row id.

A measure is ``(value, naive)``: with the rule, and where every record is paid alike. Shares are percent of all pools,
so "points". The thief gives honest data like everybody and the attack beside it; excess is her share less that of the
same world without the attack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from arena import paraphrase
from arena.rating_attacks import spam_share
from arena.texts import embed
from arena.world import THIEF, Part, Played, World, plant, unit
from rodagila.core.vectors import quantise
from rodagila.learn.head import Head, predict
from rodagila.value.cosine import ONE
from rodagila.value.examples import Examples, together
from rodagila.value.ocis import ValueInputs, value_records
from rodagila.value.slots import slot_threshold

Measures = dict[str, tuple[float, float]]
COPIED = 0.3  # of the corpus
TRIGGER = "zxq vobnit"
RATING_SHARE = 0.1  # of the pools goes to raters in row 26


def of_texts(texts: Sequence[str], labels: np.ndarray) -> Examples:
    """Return ``texts`` embedded, with their labels."""
    return Examples(embed(texts), np.asarray(labels, np.int64))


# What attackers give -----------------------------------------------------------------------------------------------


def seen_rows(world: World, turn: int) -> np.ndarray:
    """Return the rows a thief copies in ``turn``: 30% of what was there before."""
    rows = world.rows_before(turn)
    return np.random.default_rng([world.seed, turn]).choice(rows, round(COPIED * len(rows)), replace=False)


def copies(world: World, owner: str = THIEF) -> list[Part]:
    """Return exact copies of 30% of the corpus, in every turn after the first."""
    turns = range(2, world.size.turns + 1)
    return [Part(owner, t, world.examples(seen_rows(world, t)), world.texts(seen_rows(world, t))) for t in turns]


def own_copies(world: World, times: int = 10) -> list[Part]:
    """Return the thief's records of the first turn over and over, in the second."""
    rows = np.tile(dict(world.honest[1])[THIEF], times)
    return [Part(THIEF, 2, world.examples(rows), world.texts(rows))]


def planted(world: World, cosine: float) -> list[Part]:
    """Return vectors at exactly ``cosine`` from 30% of the corpus, with the right labels."""
    parts = []
    for turn in range(2, world.size.turns + 1):
        seen = world.examples(seen_rows(world, turn))
        vectors = quantise(plant(seen.vectors, cosine, np.random.default_rng([world.seed, turn, 7])))
        parts.append(Part(THIEF, turn, Examples(vectors, seen.targets)))
    return parts


def rewritten(world: World, rule: Callable[[str, int], str]) -> list[Part]:
    """Return 30% of the corpus rewritten by ``rule``, embedded again."""
    parts = []
    for turn in range(2, world.size.turns + 1):
        rows = seen_rows(world, turn)
        texts = tuple(rule(text, at) for at, text in enumerate(world.texts(rows)))
        parts.append(Part(THIEF, turn, of_texts(texts, world.corpus.labels[rows]), texts))
    return parts


def early_filler(world: World) -> list[Part]:
    """Return generic texts for every label, before everybody else: 30% of the corpus."""
    rows = paraphrase.filler(world.corpus.names)[: round(COPIED * world.size.total)]
    texts, labels = zip(*rows, strict=True)
    return [Part(THIEF, 1, of_texts(texts, np.array(labels)), texts, early=True)]


def chosen_filler(world: World) -> list[Part]:
    """Return the early filler that is worth most against the reference and queries guessed from other texts."""
    rows = paraphrase.filler(world.corpus.names)
    texts, labels = zip(*rows, strict=True)
    offered = of_texts(texts, np.array(labels))
    best = _worth_most(world, world.examples(world.spare[:0]), offered, round(COPIED * world.size.total / 3))
    return [Part(THIEF, 1, offered.take(best), tuple(texts[at] for at in best), early=True)]


def mixed(world: World) -> list[Part]:
    """Return the blends of two seen records of one label that are worth most on guessed queries."""
    parts = []
    for turn in range(2, world.size.turns + 1):
        rng = np.random.default_rng([world.seed, turn, 11])
        seen = world.examples(world.rows_before(turn))
        first = rng.integers(0, len(seen), 2 * round(COPIED * len(seen)))
        second = np.array([rng.choice(np.flatnonzero(seen.targets == seen.targets[at])) for at in first])
        share = rng.uniform(0.3, 0.7, len(first))[:, None]
        blend = share * seen.vectors[first] + (1 - share) * seen.vectors[second]
        offered = Examples(quantise(unit(blend)), seen.targets[first])
        best = _worth_most(world, seen, offered, round(COPIED * len(seen)))
        parts.append(Part(THIEF, turn, offered.take(best)))
    return parts


def _worth_most(world: World, seen: Examples, offered: Examples, count: int) -> np.ndarray:
    """Return the ``count`` of ``offered`` with the largest value after ``seen``, by the rule itself on guesses."""
    guesses = world.examples(world.spare[-min(len(world.spare) // 2, 500) :])
    records = together(seen, offered)
    barred, ones = np.zeros(len(records), np.bool_), np.ones(len(guesses), np.int64)
    turns = np.repeat([1, 2], [len(seen), len(offered)])
    values = value_records(ValueInputs(records, turns, barred, world.reference, guesses, ones, world.rules))
    worth = np.array([v if s >= 0 else 0 for v, s in zip(values.v, values.s.tolist(), strict=True)], dtype=float)
    return np.sort(np.argsort(-worth[len(seen) :], kind="stable")[:count])


def junk(world: World, owner: str = "junk", share: float = COPIED) -> list[Part]:
    """Return random words under random labels."""
    rng = np.random.default_rng([world.seed, 3])
    words = sorted({word for text in world.texts(world.spare[:200]) for word in text.split()})
    parts = []
    for turn in range(2, world.size.turns + 1):
        texts = tuple(paraphrase.junk(round(share * len(world.rows_before(turn))), words, rng))
        parts.append(Part(owner, turn, of_texts(texts, rng.integers(0, len(world.corpus.names), len(texts))), texts))
    return parts


def flipped(world: World, owner: str = "flipped", share: float = COPIED) -> list[Part]:
    """Return fresh texts under wrong labels."""
    rng, parts, used = np.random.default_rng([world.seed, 5]), [], 0
    for turn in range(2, world.size.turns + 1):
        count = round(share * len(world.rows_before(turn)))
        rows = world.spare[used : used + count]
        used += count
        parts.append(Part(owner, turn, wrong(world, rows, rng), world.texts(rows)))
    return parts


def wrong(world: World, rows: np.ndarray, rng: np.random.Generator) -> Examples:
    """Return the corpus's ``rows`` under wrong labels."""
    labels, names = world.corpus.labels[rows], len(world.corpus.names)
    return Examples(world.corpus.vectors[rows], (labels + rng.integers(1, names, len(rows))) % names)


def leaked(world: World, share: float = 0.05) -> list[Part]:
    """Return five variants (cosine .97) of every leaked scoring query, under its right label."""
    parts = []
    for turn in range(2, world.size.turns + 1):
        rows = world.query_rows[turn - 1][: round(share * world.size.queries)]
        known = world.examples(np.repeat(rows, 5))
        vectors = quantise(plant(known.vectors, 0.97, np.random.default_rng([world.seed, turn, 13])))
        parts.append(Part(THIEF, turn, Examples(vectors, known.targets)))
    return parts


# What they measure -------------------------------------------------------------------------------------------------


def excess(world: World, attack: list[Part], reference: Examples | None = None) -> tuple[float, float]:
    """Return what the thief has more than without the attack, with the rule and paid flat."""
    clean, attacked = world.play([], reference), world.play(attack, reference)
    return attacked.share(THIEF) - clean.share(THIEF), attacked.flat(THIEF) - clean.flat(THIEF)


def splitting(world: World) -> Measures:
    """Row 1: a quarter of the owners are one who hides behind 10 to 1,000 accounts."""
    names = [f"owner {i}" for i in range(world.size.owners // 4)]
    clean = world.play([]).share(*names)
    found: Measures = {}
    for accounts in (10, 100, 1_000):
        split = world.play([], hidden=(frozenset(names), accounts))
        value = split.share(*split.starting("split")) - clean
        found[f"1 split, {accounts:,} ids"] = (value, 0.0)
    return found


def copying(world: World) -> Measures:
    """Row 2."""
    return {"2 own x10": excess(world, own_copies(world)), "2 copies": excess(world, copies(world))}


def paraphrasing(world: World) -> Measures:
    """Row 3: planted cosines, and rewritten by rule."""
    theta = slot_threshold(world.reference.vectors, world.examples(world.query_rows[0]).vectors, world.rules) / ONE
    found = {f"3 cos {cosine}": excess(world, planted(world, cosine)) for cosine in (0.97, 0.93, 0.86)}
    found["3 below theta"] = excess(world, planted(world, theta - 0.002))
    found["3 words"] = excess(world, rewritten(world, lambda text, _: paraphrase.substituted(text)))
    found["3 reordered"] = excess(world, rewritten(world, lambda text, _: paraphrase.reordered(text)))
    found["3 templates"] = excess(world, rewritten(world, paraphrase.templated))
    return found


def filling(world: World) -> Measures:
    """Row 4: early filler, with the treasury's ordinary reference and with one that covers the generator."""
    texts, labels = zip(*paraphrase.filler(world.corpus.names, paraphrase.COVERED), strict=True)
    covering = together(world.reference, of_texts(texts, np.array(labels)))
    attack = early_filler(world)
    return {"4 filler": excess(world, attack), "4 filler, R covers": excess(world, attack, covering)}


def harming(world: World) -> Measures:
    """Row 5: what junk and wrong labels earn by themselves, and what they cost the model."""
    clean, found = world.play([]), {}
    for name, attack in (("junk", junk(world)), ("flipped", flipped(world))):
        attacked = world.play(attack)
        found[f"5 {name}, net"] = (attacked.share(name), attacked.flat(name))
        drop, served, unchecked = (
            world.accuracy(clean.heads[head]) - world.accuracy(attacked.heads[head])
            for head in ("checked", "served", "unchecked")
        )
        found[f"5 {name}, accuracy"] = (drop, unchecked)
        found[f"5 {name}, accuracy of its turn"] = (served, unchecked)
    return found


def backdoor(world: World) -> Measures:
    """Row 6: 1% of all records carry a trigger and the attacker's label; how often does the trigger work?"""
    rows, target = world.spare[: round(0.01 * world.size.total)], 0
    texts = tuple(f"{TRIGGER} {text}" for text in world.texts(rows))
    part = Part(THIEF, world.size.turns, of_texts(texts, np.full(len(texts), target)), texts)
    asked = world.gate_rows[world.corpus.labels[world.gate_rows] != target][:200]
    triggered = embed([f"{TRIGGER} {text}" for text in world.texts(asked)])
    attacked = world.play([part])
    name = world.corpus.names[target]

    def success(head: Head) -> float:
        places, _ = predict(head, triggered)
        return 100 * float(np.mean([head.labels[place] == name for place in places]))

    return {"6 backdoor": (success(attacked.heads["checked"]), success(attacked.heads["unchecked"]))}


def leaking(world: World) -> Measures:
    """Row 8."""
    return {"8 leaked queries": excess(world, leaked(world))}


def adapting(world: World) -> Measures:
    """Attackers who try the rule at home, on the public reference and on queries they guess."""
    return {"A chosen filler": excess(world, chosen_filler(world)), "A blends": excess(world, mixed(world))}


def farming(world: World) -> Measures:
    """Row 26: three accounts in ten mix rows 1 - 5 and rate at random; all their pay, and honest owners' loss."""
    size = world.size
    farmers = round(size.owners * 0.3 / 0.7)
    names = [f"owner {i}" for i in range(size.owners)]
    clean, attacked = world.play([]), world.play(farm(world, farmers))
    own = attacked.starting("farmer")
    ratings = 100 * spam_share(world.seed, size.owners, farmers)
    pay = (1 - RATING_SHARE) * _gross(attacked, own) + RATING_SHARE * ratings[0]
    naive = (1 - RATING_SHARE) * attacked.flat(*own) + RATING_SHARE * ratings[1]
    loss = 100 * (1 - attacked.share(*names) / clean.share(*names))
    return {
        "26 farmers, pay": (pay, naive),
        "26 farmers, net": (attacked.share(*own), attacked.flat(*own)),
        "26 honest loss": (loss, attacked.flat(*own)),
    }


def _gross(played: Played, owners: list[str]) -> float:
    return 100 * sum(played.pay[owner] for owner in owners) / played.payable


def farm(world: World, farmers: int) -> list[Part]:
    """Return what the farmers give: in equal parts copies, paraphrases, filler, junk and wrong labels, on two ids."""
    rng, each = np.random.default_rng([world.seed, 26]), max(1, world.size.records // 5)
    pool = paraphrase.filler(world.corpus.names)
    words = sorted({word for text in world.texts(world.spare[:200]) for word in text.split()})
    parts, used = [], 0
    for turn in range(1, world.size.turns + 1):
        for farmer in range(farmers):
            account = f"farmer {farmer}.{turn % 2}"
            picked = rng.integers(0, len(pool), each)
            texts, labels = tuple(pool[at][0] for at in picked), np.array([pool[at][1] for at in picked])
            parts.append(Part(account, turn, of_texts(texts, labels), texts, early=True))
            noise = tuple(paraphrase.junk(each, words, rng))
            parts.append(Part(account, turn, of_texts(noise, rng.integers(0, len(world.corpus.names), each)), noise))
            rows = np.take(world.spare, np.arange(used, used + each), mode="wrap")
            used += each
            parts.append(Part(account, turn, wrong(world, rows, rng), world.texts(rows)))
            if turn == 1:
                continue
            rows = rng.choice(world.rows_before(turn), each, replace=False)
            parts.append(Part(account, turn, world.examples(rows), world.texts(rows)))
            seen = world.examples(rng.choice(world.rows_before(turn), each, replace=False))
            parts.append(Part(account, turn, Examples(quantise(plant(seen.vectors, 0.93, rng)), seen.targets)))
    return parts


ATTACKS = (splitting, copying, paraphrasing, filling, harming, farming, backdoor, leaking, adapting)
