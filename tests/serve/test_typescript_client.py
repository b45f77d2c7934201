"""x402's own TypeScript client, unmodified, against the gateway: both schemes, and its check of our signatures."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from channel_stand import funded
from gateway_stand import Stand, WordModel

FOLDER = Path(__file__).parent / "typescript"
CALLS = 12


@pytest.fixture
def node() -> str:
    """The program that runs the client."""
    program = shutil.which("node")
    if program is None or not (FOLDER / "node_modules").is_dir():
        pytest.skip("node or x402's TypeScript packages are not installed: make tools")
    return program


def test_the_typescript_client_pays_by_both_schemes_and_takes_the_rest_back(
    stand: Stand, url: str, node: str, model: WordModel
) -> None:
    buyer = funded(stand, "typescript", 100_000)
    before = stand.balance(buyer.address), stand.balance(stand.treasuries["docs"])
    task: dict[str, Any] = {"url": url, "key": "0x" + bytes(buyer.key).hex(), "calls": CALLS}
    task |= {"network": stand.network, "asset": stand.token.address}
    done = subprocess.run(
        [node, "buyer.mjs"], cwd=FOLDER, input=json.dumps(task), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert [(offer["scheme"], offer["signer"]) for offer in seen["offers"]] == [
        ("exact", stand.gateway.address),
        ("batch-settlement", stand.gateway.address),
    ]
    assert seen["receipt"]["signer"] == stand.gateway.address
    assert (seen["exact"]["status"], seen["exact"]["target"]) == (200, "open")
    assert [(call["status"], call["target"]) for call in seen["calls"]] == [(200, "open")] * CALLS
    sums = [call["settlement"]["extra"]["channelState"]["chargedCumulativeAmount"] for call in seen["calls"]]
    assert sums == [str(1_000 * place) for place in range(1, CALLS + 1)]
    assert [bool(call["settlement"]["transaction"]) for call in seen["calls"]] == [
        place in (0, 10) for place in range(CALLS)
    ]  # two deposits, of ten calls each
    assert seen["refund"]["success"] is True
    assert seen["refund"]["amount"] == "8000"
    spent = before[0] - stand.balance(buyer.address)
    assert spent == 1_000 * (CALLS + 1)
    assert stand.paywall.claimer is not None
    stand.paywall.claimer.flush([stand.treasuries["docs"]])
    assert stand.balance(stand.treasuries["docs"]) - before[1] >= spent
    assert model.calls == CALLS + 1
