"""The arena in small: attacks that earn nothing go on earning nothing, and the runner keeps what it measured."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from arena.world import THIEF, Size, World

from arena import data_attacks, judging_attacks, money_attacks, rating_attacks, run, texts

SMALL = Size(owners=10, records=8, turns=3, queries=60, gate=60, reference=40)
LABELS, EACH = 12, 60


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A small world of CLINC150 texts."""
    source = texts.SHARED / "clinc150" / "data_full.json"
    if not source.exists():
        pytest.skip(f"{source} is not here")
    texts.CACHE = tmp_path_factory.mktemp("arena") / "vectors.sqlite"
    texts.embedder.cache_clear()
    found: dict[str, list[str]] = {}
    for text, label in json.loads(source.read_text(encoding="utf-8"))["train"]:
        found.setdefault(label, []).append(text)
    rows = [(text, label) for label in sorted(found)[:LABELS] for text in found[label][:EACH]]
    return World(texts.corpus_of("small", rows), SMALL, seed=1)


def test_splitting_and_exact_copies_gain_exactly_nothing(world: World) -> None:
    measured = {**data_attacks.splitting(world), **data_attacks.copying(world)}
    assert {name: value for name, (value, _) in measured.items() if value > 0} == {}
    assert [measured[name][0] for name in measured if name.startswith("1 split")] == [0.0, 0.0, 0.0]
    assert measured["2 copies"][1] > 10


def test_paraphrases_gain_little_and_less_than_flat_pay_gives(world: World) -> None:
    near, naive = data_attacks.excess(world, data_attacks.planted(world, 0.97))
    far, _ = data_attacks.excess(world, data_attacks.planted(world, 0.93))
    assert near <= 0.5 and far <= 3 and naive > 10


def test_wrong_labels_cost_their_giver_money(world: World) -> None:
    attacked = world.play(data_attacks.flipped(world))
    assert attacked.share("flipped") < 0 < attacked.share(THIEF)


def test_the_same_world_gives_the_same_figures(world: World) -> None:
    again = World(world.corpus, SMALL, seed=1)
    assert again.play([]).pay == world.play([]).pay


@pytest.mark.parametrize("seed", [1, 2])
def test_spam_and_collusion_among_raters_earn_nothing(seed: int) -> None:
    measured = rating_attacks.rating(seed)
    assert measured["9 spam"][0] <= 0.5 and measured["10 colluders"][0] <= 1 and measured["11 golds leaked"][0] <= 7
    assert all(naive > 30 for name, (_, naive) in measured.items() if "adaptive" not in name)


def test_a_cabal_and_a_copier_earn_less_than_the_naive_rule_gives_them() -> None:
    measured = [(judging_attacks.cabal(seed), judging_attacks.copier(seed)) for seed in (1, 2, 3)]
    assert np.mean([cabal[0] for cabal, _ in measured]) <= 2 and min(cabal[1] for cabal, _ in measured) > 40
    assert np.mean([copier[0] for _, copier in measured]) <= 80


def test_the_formula_of_subsidies_leaves_no_profit() -> None:
    fair, naive = money_attacks.subsidised(1, 500)
    assert fair < 0 < naive


def test_rows_carry_the_mean_its_interval_and_whether_the_bar_is_kept() -> None:
    measured = [{"3 cos 0.97": (value, 22.0)} for value in (0.1, 0.2, 0.3)]
    (row,) = run.rows_of("small", measured)
    assert (row["value"], row["met"], row["seeds"], row["naive"]) == (0.2, True, 3, 22.0)
    assert row["low"] == pytest.approx(0.2 - 4.303 * 0.1 / 3**0.5, abs=1e-3)
    (row,) = run.rows_of("small", [{"3 cos 0.97": (0.6, 22.0)}] * 2)
    assert not row["met"]
    assert "MISSED" in run.table([row])
    ElementTree.fromstring(run.plot([row]))


def test_kept_results_hold_every_column_and_the_hash_of_the_code_is_stable() -> None:
    kept = json.loads(run.RESULTS.read_text(encoding="utf-8"))
    columns = {"id", "attack", "corpus", "unit", "bar", "value", "low", "high", "naive", "met", "seeds", "size"}
    assert all(set(row) == columns for row in kept["rows"])
    assert run.code_hash() == run.code_hash() and len(kept["code"]) == 64
