"""Every method that the embedded ledger answers.

What a client asks about the node itself is fixed here; the rest is in ``blocks`` and ``accounts``. There are no
accounts to sign with: keys stay in wallets.

>>> Dispatcher(ethereum_methods(ledger)).answer(body)            # doctest: +SKIP
b'{"jsonrpc": "2.0", "id": 1, "result": "0x726f6461"}'
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.execution import COINBASE
from rodagila.chain.jsonrpc.accounts import AccountMethods
from rodagila.chain.jsonrpc.blocks import BlockMethods
from rodagila.chain.jsonrpc.dispatch import Method, Param
from rodagila.chain.jsonrpc.values import data, hexed
from rodagila.chain.trie import keccak256


def ethereum_methods(ledger: EmbeddedLedger) -> dict[str, Method]:
    """Return each method by its name."""
    about: dict[str, Any] = {
        "web3_clientVersion": f"rodagila/v{version('rodagila')}",
        "net_version": str(ledger.chain_id),
        "net_listening": True,
        "net_peerCount": "0x0",
        "eth_chainId": hexed(ledger.chain_id),
        "eth_protocolVersion": "0x44",
        "eth_syncing": False,
        "eth_mining": False,
        "eth_hashrate": "0x0",
        "eth_coinbase": hexed(bytes(COINBASE)),
        "eth_accounts": [],
        "eth_blobBaseFee": "0x1",
    }
    return {
        **{name: Method(lambda value=value: value) for name, value in about.items()},
        "web3_sha3": Method(lambda given: hexed(keccak256(given)), (Param(data),)),
        **BlockMethods(ledger).table(),
        **AccountMethods(ledger).table(),
    }
