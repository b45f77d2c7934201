"""Evaluators end to end: stake, commit, reveal and consensus by the command line, on the DAO's own contract."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from decisions import home_with_clock
from small_dao import key_of

from clocks import SetForwardClock
from rodagila.app import evaluators
from rodagila.app.cli.entry import run
from rodagila.app.daos import Dao, dao_named, drip
from rodagila.app.home import Home
from rodagila.chain.contracts import ContractRefused
from rodagila.core.errors import Conflict, InvalidInput, NotFound

NAMES, STAKES = ("one", "two", "three"), (300_000, 250_000, 200_000)
HOUR = 3_600


@pytest.fixture
def dao_and_clock(prepared_home: Path, tmp_path: Path) -> Iterator[tuple[Dao, SetForwardClock]]:
    """The small DAO with three evaluators that have put down their stakes, and the ledger's clock."""
    shutil.copytree(prepared_home, tmp_path / "home")
    with home_with_clock(tmp_path / "home") as (home, clock):
        found = dao_named(home, "docs")
        for name, amount in zip(NAMES, STAKES, strict=True):
            drip(home, key_of(name).address, 1_000_000)
            evaluators.put_down_stake(found, key_of(name), amount)
        yield found, clock


@pytest.fixture
def dao(dao_and_clock: tuple[Dao, SetForwardClock]) -> Dao:
    return dao_and_clock[0]


@pytest.fixture
def clock(dao_and_clock: tuple[Dao, SetForwardClock]) -> SetForwardClock:
    return dao_and_clock[1]


def opened(dao: Dao, subject: str = "score of docs-1") -> str:
    return str(evaluators.open_round(dao, key_of("one"), subject, HOUR, HOUR, 1)["round"])


def test_the_consensus_is_the_median_by_stake_and_the_contract_takes_it(dao: Dao, clock: SetForwardClock) -> None:
    round = opened(dao)
    for name, score in zip(NAMES, (900, 40, 50), strict=True):
        evaluators.commit_score(dao, key_of(name), round, score)
    before = evaluators.consensus(dao, round)
    assert before["median"] is None and [seat["score"] for seat in before["seats"]] == [None] * 3
    clock.ahead += HOUR
    for name, score in zip(NAMES, (900, 40, 50), strict=True):
        evaluators.reveal_score(dao, key_of(name), round, score)
    clock.ahead += HOUR
    found = evaluators.consensus(dao, round, key_of("two"))
    assert found["median"] == "50" and found["closed"]
    assert tuple(dao.contract("Stake").call("resultOf", bytes.fromhex(round[2:]))) == (50, sum(STAKES))


def test_what_comes_at_the_wrong_time_or_differs_is_refused_by_the_contract(dao: Dao, clock: SetForwardClock) -> None:
    round = opened(dao)
    evaluators.commit_score(dao, key_of("one"), round, 7)
    with pytest.raises(ContractRefused, match="SeatTaken"):
        evaluators.commit_score(dao, key_of("one"), round, 8)
    with pytest.raises(ContractRefused, match="TooEarly"):
        evaluators.reveal_score(dao, key_of("one"), round, 7)
    with pytest.raises(ContractRefused, match="StakeTooSmall"):
        evaluators.commit_score(dao, key_of("buyer"), round, 7)
    clock.ahead += HOUR
    with pytest.raises(ContractRefused, match="TooLate"):
        evaluators.commit_score(dao, key_of("two"), round, 7)
    with pytest.raises(ContractRefused, match="CommitmentDiffers"):
        evaluators.reveal_score(dao, key_of("one"), round, 8)
    with pytest.raises(NotFound, match="Nobody opened"):
        evaluators.consensus(dao, round, key_of("one"))


def test_a_commitment_copied_by_another_opens_for_nobody_but_its_maker(dao: Dao, clock: SetForwardClock) -> None:
    round = opened(dao)
    evaluators.commit_score(dao, key_of("one"), round, 7)
    stake = dao.contract("Stake")
    (seen,) = stake.events("Committed")
    stake.transact(key_of("two"), "commit", bytes.fromhex(round[2:]), seen["commitment"], 0)
    clock.ahead += HOUR
    with pytest.raises(ContractRefused, match="CommitmentDiffers"):
        evaluators.reveal_score(dao, key_of("two"), round, 7)


def test_weights_are_sealed_opened_and_ranked_by_yuma(dao: Dao, clock: SetForwardClock, tmp_path: Path) -> None:
    said: dict[str, dict[str, int]] = {
        "one": {"docs-1": 1, "docs-2": 3}, "two": {"docs-1": 2, "docs-2": 6}, "three": {"docs-9": 1}
    }  # fmt: skip
    round, files = opened(dao, "ranking 1"), []
    for name, weights in said.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(weights))
        evaluators.commit_weights(dao, key_of(name), round, path)
    clock.ahead += HOUR
    for name in said:
        files.append(tmp_path / f"{name}.opened.json")
        evaluators.reveal_weights(dao, key_of(name), round, tmp_path / f"{name}.json", files[-1])
    found = evaluators.ranking(dao, round, files, None, tmp_path / "ranking.json")
    assert [row["model"] for row in found["models"]] == ["docs-2", "docs-1", "docs-9"]
    assert found["models"][2]["incentive_ppm"] == 0, "who stands alone lifts nothing"
    assert evaluators.ranking(dao, round, files[:2], None, None)["heard"][1]["weights"] is not None
    changed = json.loads(files[0].read_text())
    changed["weights"]["docs-1"] = 99
    files[0].write_text(json.dumps(changed))
    with pytest.raises(InvalidInput, match=r"not what .* committed to in this round"):
        evaluators.ranking(dao, round, files, None, None)
    with pytest.raises(Conflict, match="nothing was written"):
        evaluators.ranking(dao, round, files[1:], None, tmp_path / "ranking.json")
    later = opened(dao, "ranking 2")
    with pytest.raises(InvalidInput, match="committed to in this round"):
        evaluators.ranking(dao, later, files[1:], None, None)


@pytest.mark.parametrize("round", ["0x12", "word"])
def test_what_is_no_round_is_refused(dao: Dao, round: str) -> None:
    with pytest.raises(InvalidInput, match="not a round's id"):
        evaluators.consensus(dao, round)


def test_an_unknown_round_is_told(dao: Dao) -> None:
    with pytest.raises(NotFound) as unknown:
        evaluators.commit_score(dao, key_of("one"), "0x" + "11" * 32, 1)
    assert unknown.value.code == "round_unknown"


def test_a_score_beyond_the_contract_s_and_a_stake_beyond_the_purse_are_refused(dao: Dao) -> None:
    with pytest.raises(InvalidInput, match=r"2\^96"):
        evaluators.commit_score(dao, key_of("one"), opened(dao), 2**96)
    with pytest.raises(InvalidInput, match="holds 700000"):
        evaluators.put_down_stake(dao, key_of("one"), 10**9)


def test_the_commands_do_the_same(prepared_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "home"
    shutil.copytree(prepared_home, path)
    with Home.open(path) as home:
        home.keys.new("buyer", bytes(key_of("buyer").key))

    def roda(*arguments: str, status: int = 0) -> Any:
        capsys.readouterr()
        assert run(["evaluator", *arguments, "--dao", "docs", "--home", str(path), "--json"]) == status
        found = json.loads(capsys.readouterr().out)
        return found["error"] if status else found

    key = ("--key", "buyer")
    assert roda("stake", "0.5", *key, "--dry-run")["dry_run"]
    assert roda("stake", "0.5", *key)["staked"] == 500_000
    round = roda("open", "how good is docs-1", *key, "--commit", "2", "--reveal", "600", "--least", "0.1")["round"]
    assert roda("commit", round, *key, status=2)["code"] == "usage"
    assert roda("reveal", round, *key, "--weights", "w.json", status=2)["code"] == "usage"
    assert roda("commit", round, *key, "--score", "12")["state"] == "committed"
    assert roda("consensus", round)["seats"][0]["stake"] == 500_000
    assert roda("rank", round, str(tmp_path / "none.json"), status=4)["code"] == "file_unknown"
    (tmp_path / "bad.json").write_text("[1]")
    assert roda("rank", round, str(tmp_path / "bad.json"), status=2)["code"] == "weights_invalid"
