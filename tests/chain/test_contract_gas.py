"""What the contracts' tests in Python send costs and does on anvil what it does on the embedded ledger.

The tests are run as they are; every ledger they leave is replayed on anvil, transaction by transaction, and gas,
status, place and logs are compared. Forge's tests cannot be replayed: they act inside one call, by cheatcodes that no
chain has. The same contracts' acts are covered here where a test in Python sends them, and the EVM itself by
``test_ledger_gas``.
"""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest
from bench_module import loaded_bench

from rodagila.chain.abi import shipped_names
from rodagila.chain.embedded import EmbeddedLedger

HERE = Path(__file__).resolve().parent
SENDS = re.compile(r"\b(deploy|predeployed_code)\(|gateway_stand")


def contract_tests() -> list[Path]:
    """Return the tests of these packages that send transactions to shipped contracts."""
    found = [path for name in ("chain", "govern", "market", "serve") for path in (HERE.parent / name).glob("test_*.py")]
    return sorted(path for path in found if path != Path(__file__) and SENDS.search(path.read_text(encoding="utf-8")))


def test_the_contracts_tests_are_found() -> None:
    assert {"test_contracts.py", "test_channel_contracts.py"} <= {path.name for path in contract_tests()}


@pytest.mark.slow
def test_the_contracts_tests_cost_and_do_on_anvil_what_they_do_here(tmp_path: Path, project_root: Path) -> None:
    bench = loaded_bench(project_root)
    program = bench.anvil_path()
    if program is None:
        pytest.skip("needs anvil: set ANVIL or run npm install @foundry-rs/anvil in contracts/")
    run = tmp_path / "run"
    run.mkdir()
    for package, paths in groupby(contract_tests(), key=lambda path: path.parent.name):
        command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "--basetemp", str(run / package)]
        done = subprocess.run(
            [*command, *map(str, paths)], capture_output=True, text=True, check=False, cwd=project_root
        )
        assert done.returncode in (0, 1), done.stdout[-4000:]  # 1: a test failed, which is that test's to say
    counts: dict[str, int] = {}
    for path in sorted(run.rglob("*")):
        if path.suffix in (".db", ".sqlite") and path.is_file() and _is_ledger(path):
            name = str(path.relative_to(run))
            counts[name], differences = bench.gas_differences(path, program)
            assert differences == [], name
    print(json.dumps({"ledgers": len(counts), "transactions": sum(counts.values()), "contracts": shipped_names()}))
    assert sum(counts.values()) > 200


def _is_ledger(path: Path) -> bool:
    if not path.read_bytes()[:16].startswith(b"SQLite format 3"):
        return False
    with sqlite3.connect(path) as file:
        names = {row[0] for row in file.execute("SELECT name FROM sqlite_schema")}
    if "blocks" not in names:
        return False
    with EmbeddedLedger.open(path) as ledger:
        return ledger.block_number() > 0
