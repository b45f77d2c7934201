"""A turn survives being killed anywhere: it continues and comes to the same roots, and nothing happens twice."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_dao import OWNERS, TOPICS, contribute, key_of, launch_dao, pay, texts

from rodagila.app.auditing import audit_dao
from rodagila.app.daos import Dao, dao_named, drip
from rodagila.app.home import Home
from rodagila.app.turn import close
from rodagila.app.turns import turn_rows
from rodagila.core.errors import Conflict, RefusedByPolicy
from rodagila.core.policy import ChallengeRules

SCRIPT = Path(__file__).with_name("killing.py")
POINTS_IN_CI = 10
TOTALS = ("totalFunded", "totalOwed", "totalIssued", "lastTurn", "finalTurn", "finalRoot")


def run_killed(path: Path, last: int) -> subprocess.CompletedProcess[str]:
    """Close the turn of the home at ``path`` in a process of its own that dies at effect ``last``."""
    command = [sys.executable, str(SCRIPT), str(path), str(last)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def state_of(path: Path) -> dict[str, Any]:
    """Return all that must not depend on kills: rows, roots, and every balance and counter of the contracts."""
    with Home.open(path) as home:
        dao = dao_named(home, "docs")
        rows = [(row.number, row.state, row.commitment, row.public_id, row.summary) for row in turn_rows(dao)]
        return {"turns": rows, "contracts": contracts_of(dao), "audit": [r.as_json() for r in audit_dao(dao)]}


def contracts_of(dao: Dao) -> dict[str, Any]:
    """Return what the contracts say, without times."""
    token, rewards, registry = dao.contract("PayToken"), dao.contract("Rewards"), dao.contract("Registry")
    purses = [dao.addresses[name] for name in ("Treasury", "Rewards", "Bonds")]
    accounts = [*purses, dao.row.operator, *(key_of(name).address for name in OWNERS)]
    return {
        "balances": [token.call("balanceOf", account) for account in accounts],
        "totals": [rewards.call(name) for name in TOTALS],
        "registry": [registry.call(name) for name in ("lastTurn", "lastBatch", "nextPlace")],
        "record": registry.call("recordOf", 1),
        "root": rewards.call("rootOf", 1)[:6],
        "credit": dao.contract("Bonds").call("creditOf", dao.row.operator),
        "events": {
            name: len(dao.contract(contract).events(name, 0))
            for contract, name in (
                ("Registry", "BatchRegistered"), ("Registry", "TurnRecorded"), ("Registry", "TurnOpened"),
                ("Rewards", "RootPosted"), ("Rewards", "RootFinal"), ("Bonds", "BondPosted"), ("Bonds", "BondSettled"),
                ("Bonds", "RootBondTaken"), ("Bonds", "CreditWithdrawn"), ("Treasury", "PoolFunded"),
            )
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def bonded_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose first turn is ready to be closed, and whose roots need a bond. Never change it: copy it."""
    path = tmp_path_factory.mktemp("bonded") / "home"
    with Home.open(path, clock=lambda: 1_750_000_000) as home:
        dao = launch_dao(home, challenge=ChallengeRules(root_bond=1_000_000))
        drip(home, dao.row.operator, 1_000_000)
        for owner in OWNERS:
            contribute(dao, owner)
        pay(dao, 3_000_000)
        home.embedder.encode([record.text for topic in TOPICS for turn in (1, 0) for record in texts(topic, turn)])
    return path


@pytest.fixture(scope="module")
def undisturbed(bonded_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """The state after a turn that nobody killed, and the number of its effects."""
    path = tmp_path_factory.mktemp("undisturbed") / "home"
    shutil.copytree(bonded_home, path)
    done = run_killed(path, 0)
    assert done.returncode == 0, done.stderr
    return state_of(path), int(done.stdout)


def check_killed(prepared: Path, path: Path, point: int, wanted: dict[str, Any]) -> None:
    """Kill at ``point``, close again, and compare."""
    shutil.copytree(prepared, path)
    assert run_killed(path, point).returncode == -signal.SIGKILL
    again = run_killed(path, 0)
    assert again.returncode == 0, again.stderr
    assert state_of(path) == wanted
    shutil.rmtree(path)


def test_an_undisturbed_turn_pays_and_its_audit_agrees(undisturbed: tuple[dict[str, Any], int]) -> None:
    state, effects = undisturbed
    summary = state["turns"][0][4]
    assert summary["fees"] == 3_000_000
    assert summary["paid"] > 0
    assert summary["paid"] + summary["dust"] + summary["rollover"] == summary["pool"] == 2_400_000
    assert all(report["ok"] for report in state["audit"])
    events = state["contracts"]["events"]
    assert {events[name] for name in ("RootPosted", "RootFinal", "RootBondTaken", "CreditWithdrawn")} == {1}
    assert effects > 40


def test_a_turn_killed_at_steps_of_every_kind_ends_like_an_undisturbed_one(
    bonded_home: Path, undisturbed: tuple[dict[str, Any], int], tmp_path: Path
) -> None:
    wanted, effects = undisturbed
    step = max(1, effects // POINTS_IN_CI)
    for point in range(1, effects + 1, step):
        check_killed(bonded_home, tmp_path / str(point), point, wanted)


@pytest.mark.slow
def test_a_turn_killed_at_any_effect_ends_like_an_undisturbed_one(
    bonded_home: Path, undisturbed: tuple[dict[str, Any], int], tmp_path: Path
) -> None:
    wanted, effects = undisturbed
    for point in range(1, effects + 1):
        check_killed(bonded_home, tmp_path / str(point), point, wanted)


def test_a_turn_killed_twice_still_ends_like_an_undisturbed_one(
    bonded_home: Path, undisturbed: tuple[dict[str, Any], int], tmp_path: Path
) -> None:
    wanted, effects = undisturbed
    path = tmp_path / "twice"
    shutil.copytree(bonded_home, path)
    assert run_killed(path, effects // 2).returncode == -signal.SIGKILL
    assert run_killed(path, effects // 8).returncode == -signal.SIGKILL
    assert run_killed(path, 0).returncode == 0
    assert state_of(path) == wanted


def test_two_processes_cannot_close_a_turn_at_once(home: Home) -> None:
    with home.exclusive("turn"), pytest.raises(Conflict) as error:
        close(dao_named(home, "docs"))
    assert error.value.code == "home_locked"


def test_a_turn_without_any_contribution_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    with Home.open(tmp_path / "empty") as home:
        dao = launch_dao(home)
        before = home.ledger.block_number()
        with pytest.raises(RefusedByPolicy) as error:
            close(dao)
        assert error.value.code == "turn_empty"
        assert home.ledger.block_number() == before
