"""Rankings of models: weights are bound to their round and account, copies come late, and anyone recomputes them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import keccak
from rodagila.value.ranking import Heard, SealedWeights, check_ranking, ranking_of
from rodagila.value.yuma import lower_median

ROUND, SECRET = keccak(b"round"), keccak(b"secret")
ADA, BOB, CEM = ("0x" + letter * 40 for letter in "abc")


def sealed(**changes: Any) -> SealedWeights:
    given = {"round": ROUND, "account": ADA, "weights": {"m-1": 1, "m-2": 3}, "secret": SECRET, **changes}
    return SealedWeights(**given)


@pytest.mark.parametrize("changes", [{"round": keccak(b"other")}, {"account": BOB}, {"weights": {"m-1": 3, "m-2": 1}}])
def test_score_and_salt_are_bound_to_round_account_and_weights(changes: dict[str, Any]) -> None:
    assert sealed(**changes).salt != sealed().salt and sealed(**changes).score != sealed().score
    assert sealed(secret=keccak(b"else")).salt != sealed().salt


def test_a_file_of_weights_reads_back_equal() -> None:
    assert SealedWeights.from_json(json.loads(json.dumps(sealed().as_json()))) == sealed()


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {**sealed().as_json(), "format": "other"},
        {**sealed().as_json(), "more": 1},
        {**sealed().as_json(), "secret": "0x12"},
        {**sealed().as_json(), "round": 5},
        {**sealed().as_json(), "account": 5},
        *({**sealed().as_json(), "weights": weights} for weights in ([], {}, {"m": -1}, {"m": 1.5}, {"m": True})),
        *({**sealed().as_json(), "weights": weights} for weights in ({"m": 0}, {"": 1}, {"m": 10**10})),
    ],
)
def test_what_is_no_file_of_weights_is_refused(body: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        SealedWeights.from_json(body)
    assert refused.value.code == "weights_invalid"


def test_a_ranking_follows_the_majority_of_stake_and_whoever_abstains_earns_nothing() -> None:
    heard = [Heard(ADA, 51, {"m-1": 1, "m-2": 3}), Heard(BOB, 49, {"mine": 1}), Heard(CEM, 0, None)]
    found = ranking_of(ROUND, heard)
    assert [row["model"] for row in found["models"]] == ["m-2", "m-1", "mine"]
    assert found["models"][-1]["incentive_ppm"] == 0
    assert found["dividends_ppm"] == {ADA: 1_000_000, BOB: 0, CEM: 0}


def test_bonds_go_on_from_round_to_round_and_a_copier_earns_less() -> None:
    old, new = {"m-1": 1}, {"m-2": 1}
    file = None
    for number in range(8):
        file = ranking_of(keccak(bytes([number])), [Heard(name, 10, old) for name in (ADA, BOB, CEM)], file)
    assert file is not None and set(file["dividends_ppm"].values()) == {333_333}
    late = ranking_of(ROUND, [Heard(ADA, 10, new), Heard(BOB, 10, new), Heard(CEM, 10, old)], file)
    assert late["dividends_ppm"][CEM] < late["dividends_ppm"][ADA] == late["dividends_ppm"][BOB]
    check_ranking(json.loads(json.dumps(late)), file)
    for place, value in (("previous", None), ("round", "0x" + "11" * 32), ("heard", late["heard"][:2]), ("heard", 5)):
        forged = copy.deepcopy(late)
        forged[place] = value
        if place != "round":
            with pytest.raises(InvalidInput):
                check_ranking(forged, file)
    with pytest.raises(InvalidInput, match="not what its weights"):
        check_ranking(late, None)


@pytest.mark.parametrize("previous", [{}, {"format": "rodagila-ranking-1"}, {"format": "x", "bonds_ppm": {}}])
def test_a_round_before_that_is_none_is_refused(previous: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        ranking_of(ROUND, [Heard(ADA, 1, {"m": 1})], previous)


@pytest.mark.parametrize("rows", [{ADA: {"m": "1"}}, {ADA: 5}])
def test_bonds_that_are_no_numbers_are_refused(rows: Any) -> None:
    with pytest.raises(InvalidInput, match="not whole numbers"):
        ranking_of(ROUND, [Heard(ADA, 1, {"m": 1})], {"format": "rodagila-ranking-1", "bonds_ppm": rows})


def test_without_opened_weights_there_is_no_ranking() -> None:
    with pytest.raises(InvalidInput, match="Nobody with stake"):
        ranking_of(ROUND, [Heard(ADA, 5, None), Heard(BOB, 0, {"m": 1})])


scores = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2**96)), max_size=9)


@given(scores)
def test_the_median_is_the_one_that_the_contract_accepts(said: list[tuple[int, int]]) -> None:
    median, total = lower_median(said), sum(weight for _, weight in said)
    if total == 0:
        assert median is None
        return
    assert median is not None
    below = sum(weight for score, weight in said if score < median)
    up_to = sum(weight for score, weight in said if score <= median)
    assert 2 * below < total <= 2 * up_to


@given(scores, st.integers(1, 2**90))
def test_splitting_a_voice_changes_no_median(said: list[tuple[int, int]], part: int) -> None:
    halves = [piece for score, weight in said for piece in ((score, weight // 2), (score, weight - weight // 2))]
    assert lower_median(halves) == lower_median(said)
