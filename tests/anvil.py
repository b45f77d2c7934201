"""Anvil, Foundry's development chain, for tests: a public chain in small, with reorganisations on demand.

>>> with running(31337) as chain:  # doctest: +SKIP
...     chain.ask("anvil_mine", "0xc")
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parent.parent


def program() -> str:
    """Return anvil's path, or skip the test with the reason."""
    shipped = sorted(ROOT.glob("contracts/node_modules/@foundry-rs/anvil-*/bin/anvil"))
    found = os.environ.get("ANVIL") or (str(shipped[0]) if shipped else shutil.which("anvil"))
    if not found:
        pytest.skip("needs anvil: set ANVIL or run npm install @foundry-rs/anvil in contracts/")
    return found


class Chain:
    """A running anvil: its address, and its own methods."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._client = httpx.Client(timeout=30.0)

    def ask(self, method: str, *params: Any) -> Any:
        """Return the answer to one method."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = self._client.post(self.url, json=body).json()
        assert "error" not in answer, answer
        return answer["result"]

    def mine(self, blocks: int = 1) -> None:
        """Put empty blocks on the chain, the first a second after the newest."""
        self.ask("evm_increaseTime", 1)
        self.ask("anvil_mine", hex(blocks))

    def reorganise(self, depth: int) -> None:
        """Replace the newest ``depth`` blocks by empty ones: all their transactions are gone."""
        self.ask("anvil_reorg", depth, [])

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


@contextmanager
def running(chain_id: int, *arguments: str) -> Iterator[Chain]:
    """Run anvil on a free port while the block lasts."""
    command = [program(), "--chain-id", str(chain_id), "--silent", *arguments]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    chain = Chain(port)
    try:
        _await(chain, process)
        yield chain
    finally:
        chain.close()
        process.terminate()
        process.wait(30)


def _await(chain: Chain, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            chain.ask("eth_chainId")
        except httpx.TransportError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise
            time.sleep(0.05)
        else:
            return
