"""The demonstration: what it prints, that it is reproducible, and that its figures on CLINC150 reach their bars."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from clinc150 import OWNERS, QUERIES, RECORDS, write_demo_file

SMALL = ("--owners", "4", "--records", "15", "--turns", "2", "--queries", "30", "--calls", "4")
CLINC = ("--owners", str(OWNERS), "--records", str(RECORDS), "--turns", "6", "--queries", str(QUERIES))
TURN_KEYS = {
    "turn", "records", "metric", "value", "low", "high", "calls", "pool", "paid", "slashed", "dust", "rollover", "root",
}  # fmt: skip


def run_demo(out: Path, *options: str, threads: int = 1) -> dict[str, Any]:
    """Run ``roda demo --json`` in a process of its own, in a directory of its own, with that many threads."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "rodagila.app.cli", "demo", "--json", "--out", str(out), "--threads", str(threads)]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=1800, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def check_money(result: dict[str, Any]) -> None:
    """Check that every turn conserves money to the unit and that payouts are what the turns paid and slashed."""
    for turn in result["turns"]:
        assert set(turn) >= TURN_KEYS
        assert turn["paid"] + turn["dust"] + turn["rollover"] == turn["pool"]
    paid = sum(turn["paid"] - turn["slashed"] for turn in result["turns"])
    assert sum(owner["payout"] for owner in result["owners"]) == paid


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A small demonstration on docstrings and its directory."""
    out = tmp_path_factory.mktemp("one") / "demo"
    return out, run_demo(out, *SMALL)


def test_the_demonstration_prints_turns_owners_and_an_audit_that_agrees(small: tuple[Path, dict[str, Any]]) -> None:
    out, result = small
    check_money(result)
    assert result["audit"]["ok"]
    assert [turn["turn"] for turn in result["turns"]] == [1, 2]
    assert result["turns"][1]["value"] > result["turns"][0]["value"]
    assert {owner["kind"] for owner in result["owners"]} == {"honest", "exact copy", "near copy", "junk", "flipped"}
    page = (out / "report.html").read_text()
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_second_run_elsewhere_with_more_threads_publishes_the_same_roots(
    small: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, first = small
    second = run_demo(tmp_path / "another place", *SMALL, threads=2)
    assert second["audit"]["roots"] == first["audit"]["roots"]
    assert [turn["root"] for turn in second["turns"]] == [turn["root"] for turn in first["turns"]]
    assert second["owners"] == first["owners"]


def test_another_seed_publishes_other_roots(small: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    _, first = small
    options = (
        "--owners",
        "2",
        "--records",
        "10",
        "--turns",
        "1",
        "--queries",
        "20",
        "--calls",
        "2",
        "--no-freeloaders",
    )
    other = run_demo(tmp_path / "other", *options, "--seed", "8")
    assert other["turns"][0]["root"] != first["turns"][0]["root"]
    assert {owner["kind"] for owner in other["owners"]} == {"honest"}


@pytest.fixture(scope="module")
def clinc(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The demonstration on CLINC150: 40 owners x 75 records, 6 turns, 1,000 scoring and 1,000 gate queries."""
    folder = tmp_path_factory.mktemp("clinc")
    data = folder / "clinc150.jsonl"
    write_demo_file(shared_data / "clinc150" / "data_full.json", data)
    return data, run_demo(folder / "demo", "--data", str(data), *CLINC)


def test_on_clinc150_the_model_rises_clear_of_zero(clinc: tuple[Path, dict[str, Any]]) -> None:
    _, result = clinc
    assert result["rise"]["low"] > 0
    assert result["turns"][-1]["low"] > result["turns"][0]["high"]
    assert all(turn["metric"] == "accuracy" for turn in result["turns"])


def test_on_clinc150_money_is_conserved_and_the_audit_agrees(clinc: tuple[Path, dict[str, Any]]) -> None:
    _, result = clinc
    check_money(result)
    assert result["audit"] == {**result["audit"], "ok": True, "differences": []}
    assert len(result["turns"]) == 6


def test_on_clinc150_freeloaders_earn_nothing_worth_the_trouble(clinc: tuple[Path, dict[str, Any]]) -> None:
    _, result = clinc
    payout = {owner["kind"]: owner["payout"] for owner in result["owners"] if owner["kind"] != "honest"}
    honest = [owner["payout"] for owner in result["owners"] if owner["kind"] == "honest"]
    assert len(honest) == OWNERS
    assert payout["exact copy"] == 0
    assert 2 * payout["near copy"] < sum(honest) / len(honest)
    assert payout["junk"] <= 0
    assert payout["flipped"] <= 0


@pytest.mark.slow
def test_on_clinc150_a_second_run_with_two_threads_publishes_the_same_roots(
    clinc: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    data, first = clinc
    second = run_demo(tmp_path / "again", "--data", str(data), *CLINC, threads=2)
    assert second["audit"]["roots"] == first["audit"]["roots"]
    assert second["owners"] == first["owners"]
