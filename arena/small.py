"""The arena in small, for continuous integration: every attack among 144 records, held to what it earned before.

    python -m arena.small         # measure anew what tests/arena/test_small.py expects, after a change of the rule

``arena/expected.json`` keeps, for each row, what the first seed gave in this small world and a tolerance: one standard
deviation over ``SEEDS`` seeds, at least ``LEAST`` of the row's unit. A row that exceeds the two together is a
regression: every bar of the arena bounds from above, and the same seed gives the same figures as long as the rule is
the same. In a world so thin the values themselves are no figures of merit.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from arena import judging_attacks, lifting_attacks, money_attacks, rating_attacks, root_attacks, texts, voucher_attacks
from arena.run import DATA
from arena.texts import Corpus
from arena.world import Size, World

EXPECTED = Path(__file__).resolve().parent / "expected.json"
SMALL = Size(owners=8, records=6, turns=3, queries=40, gate=60, reference=40)
LABELS, EACH, SEEDS, LEAST = 8, 60, 8, 0.5
TRIES = {"lifting": 60, "vouchers": 60, "roots": 12, "money": 60}
Measured = dict[str, tuple[float, float]]


def small_corpus() -> Corpus:
    """Return ``EACH`` texts of each of the first ``LABELS`` intents of CLINC150."""
    return texts.intents_of(LABELS, EACH)


def in_small(world: World) -> Measured:
    """Run all attacks on the pay for data in a small ``world``."""
    return {name: measured for attack in DATA for name, measured in attack(world).items()}


def without_world(seed: int) -> Measured:
    """Run the attacks that play in no world of owners, with few tries each."""
    profits = money_attacks.washed(seed, TRIES["money"])
    return {
        **rating_attacks.rating(seed, at_home=1, rates=(0.4, 1.0)),
        **judging_attacks.judging(seed),
        "17 wash": (float(profits[:, 0].max()), float(profits[:, 1].max())),
        "17 wash, subsidised": money_attacks.subsidised(seed, TRIES["money"]),
        **lifting_attacks.lifting(seed, TRIES["lifting"]),
        **voucher_attacks.vouchers(seed, TRIES["vouchers"]),
        **root_attacks.roots(seed, TRIES["roots"]),
    }


def expectations(measured: Iterable[Measured]) -> dict[str, dict[str, float]]:
    """Return the first value and the tolerance of every row."""
    rows = list(measured)
    found = {}
    for name in rows[0]:
        values = np.array([row[name][0] for row in rows])
        spread = float(values.std(ddof=1))
        # Where nothing ever passed nothing may: a lifted proof or a second answer is no matter of degree.
        strict = not values.any() and name.split()[0] in ("1", "7", "18", "19")
        room = 0.0 if strict else round(max(spread, LEAST), 3)
        found[name] = {"value": round(float(values[0]), 3) + 0.0, "tolerance": room}
    return found


def main() -> int:
    """Measure and keep what is expected."""
    corpus = small_corpus()
    rows = [{**in_small(World(corpus, SMALL, seed)), **without_world(seed)} for seed in range(1, SEEDS + 1)]
    EXPECTED.write_text(json.dumps(expectations(rows), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
