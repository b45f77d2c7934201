"""The contracts that stand on the embedded chain from its first block, at the addresses that every chain's have.

Rule: a payment client of x402 finds the hub of channels, its collectors and the `upto` proxy where the SDK's constants
say (``x402.mechanisms.evm.batch_settlement.constants`` and ``x402.mechanisms.evm.constants``), and wallets find
Multicall3 and Permit2 where their projects deployed them. Nobody can deploy to these addresses on a chain of one's
own, so a new ledger is opened with the runtime code in block 0. None of these contracts has a constructor or
immutables: the code alone is the contract.

>>> CHANNELS
'0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003'
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rodagila.chain.abi import load_artifact

CHANNELS = "0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003"
ERC3009_COLLECTOR = "0x4020806089470a89826cB9fB1f4059150b550004"
PERMIT2_COLLECTOR = "0x4020425FAf3B746C082C2f942b4E5159887B0005"
UPTO_PROXY = "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002"
PERMIT2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3"
MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11"

PREDEPLOYS: Mapping[str, str] = MappingProxyType(
    {
        CHANNELS: "Channels",
        ERC3009_COLLECTOR: "Erc3009Collector",
        PERMIT2_COLLECTOR: "Permit2Collector",
        UPTO_PROXY: "UptoProxy",
        PERMIT2: "Permit2",
        MULTICALL3: "Multicall3",
    }
)
"""The name of the shipped contract by its address."""


def predeployed_code() -> dict[str, bytes]:
    """Return the runtime code by address, for a ledger that is about to be created."""
    return {address: load_artifact(name).deployed_bytecode for address, name in PREDEPLOYS.items()}
