"""The system contracts' code, proven by the presigned deployment transactions of their proposals."""

from __future__ import annotations

import pytest
from ethereum.forks.prague.transactions import LegacyTransaction, recover_sender
from ethereum.forks.prague.utils.address import compute_contract_address
from ethereum_types.bytes import Bytes, Bytes0
from ethereum_types.numeric import U64, U256, Uint

from rodagila.chain.genesis import (
    BEACON_ROOTS,
    CONSOLIDATION_REQUESTS,
    HISTORY_STORAGE,
    SYSTEM_CODE,
    WITHDRAWAL_REQUESTS,
)

# Constructors and the s of each signature (r is 0x539, v is 27), as the proposals print them. EIP-7002's and EIP-7251's
# constructors also close their queue until the first system call opens it, which at genesis has no effect.
PRESIGNED = {
    BEACON_ROOTS: ("60618060095f395ff3", 0x1B9B6EB1F0),
    HISTORY_STORAGE: ("60538060095f395ff3", 0xAA12693182426612186309F02CFE8A80A0000),
    WITHDRAWAL_REQUESTS: ("7f" + "ff" * 32 + "5f556101f880602d5f395ff3", 0x5FEEB084551E4E03A3581E269BC2EA2F8D0008),
    CONSOLIDATION_REQUESTS: ("7f" + "ff" * 32 + "5f5561019e80602d5f395ff3", 0xC0730F92DC275B663D377A7CBB141B6600052),
}


@pytest.mark.parametrize("address", PRESIGNED, ids=lambda address: "0x" + address.hex())
def test_the_code_is_the_one_whose_presigned_deployment_gives_the_address(address: bytes) -> None:
    constructor, s = PRESIGNED[address]
    deployment = LegacyTransaction(
        nonce=U256(0),
        gas_price=Uint(0xE8D4A51000),
        gas=Uint(0x3D090),
        to=Bytes0(b""),
        value=U256(0),
        data=Bytes(bytes.fromhex(constructor) + SYSTEM_CODE[address]),
        v=U256(27),
        r=U256(0x539),
        s=U256(s),
    )
    assert bytes(compute_contract_address(recover_sender(U64(1), deployment), Uint(0))) == address
