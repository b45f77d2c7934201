"""A batch of tasks survives being killed anywhere: it ends as an undisturbed one, and nothing is paid twice or lost."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_dao import key_of

from rodagila.app.daos import dao_named
from rodagila.app.home import Home
from rodagila.app.intake import contributions_of
from rodagila.app.tasks import audit_batches, list_batches, show_batch

SCRIPT = Path(__file__).with_name("killing.py")
PEOPLE = ("ada", "bob", "buyer")


def run_killed(path: Path, last: int) -> subprocess.CompletedProcess[str]:
    """See a batch through in a process of its own that dies at effect ``last``."""
    command = [sys.executable, str(SCRIPT), str(path), str(last), "tasks"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def state_of(path: Path) -> dict[str, Any]:
    """Return all that must not depend on kills; ids follow from the ledger's clock and are left out."""
    with Home.open(path, clock=lambda: 1_750_000_000) as home:
        dao = dao_named(home, "docs")
        shown, token = show_batch(dao, 1), dao.contract("PayToken")
        names = ("state", "responses", "leased", "wanted", "budget", "paid", "returned", "labels", "pay")
        events = (("Escrow", "JobFunded"), ("Escrow", "JobPaid"), ("Escrow", "JobClosed"))
        events += (("TaskPay", "ResponsesCommitted"), ("TaskPay", "BatchSettled"), ("TaskPay", "PayClaimed"))
        return {
            "batches": len(list_batches(dao)),
            "batch": {name: shown[name] for name in names},
            "balances": [token.call("balanceOf", key_of(name).address) for name in PEOPLE],
            "held": [token.call("balanceOf", dao.addresses[name]) for name in ("Escrow", "TaskPay", "Split")],
            "events": {name: len(dao.contract(contract).events(name)) for contract, name in events},
            "contributions": [row.count for row in contributions_of(dao)],
            "audit": [report.differences for report in audit_batches(dao)],
        }


@pytest.fixture(scope="module")
def undisturbed(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """The state after a batch that nobody killed, and the number of its effects."""
    path = tmp_path_factory.mktemp("undisturbed") / "home"
    shutil.copytree(prepared_home, path)
    done = run_killed(path, 0)
    assert done.returncode == 0, done.stderr
    return state_of(path), int(done.stdout)


def check_killed(prepared_home: Path, path: Path, point: int, wanted: dict[str, Any]) -> None:
    """Kill at ``point``, run again, and compare."""
    shutil.copytree(prepared_home, path)
    assert run_killed(path, point).returncode == -signal.SIGKILL
    again = run_killed(path, 0)
    assert again.returncode == 0, again.stderr
    assert state_of(path) == wanted
    shutil.rmtree(path)


def test_a_batch_killed_while_it_is_settled_ends_like_an_undisturbed_one(
    prepared_home: Path, undisturbed: tuple[dict[str, Any], int], tmp_path: Path
) -> None:
    wanted, effects = undisturbed
    assert wanted["batch"]["paid"] > 0
    assert wanted["audit"] == [()]
    assert wanted["held"] == [0, 0, 0]
    check_killed(prepared_home, tmp_path / "killed", effects - 14, wanted)


@pytest.mark.slow
def test_a_batch_killed_at_steps_of_every_kind_ends_like_an_undisturbed_one(
    prepared_home: Path, undisturbed: tuple[dict[str, Any], int], tmp_path: Path
) -> None:
    wanted, effects = undisturbed
    points = [*range(1, 10, 2), *range(10, effects - 20, 40), *range(effects - 20, effects + 1, 2)]
    for point in points:
        check_killed(prepared_home, tmp_path / str(point), point, wanted)
