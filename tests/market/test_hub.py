"""Ids and digests of channels: one for x402's client, the contract and the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_stand import Stand, key
from rodagila.chain.port import ZERO_ADDRESS
from rodagila.core.hashing import hex0x
from rodagila.core.typed_data import recover_digest
from rodagila.market.hub import HUB, ChannelConfig, Hub, HubState, voucher_digest

CONFIG = ChannelConfig(
    payer=key("payer").address,
    payer_authorizer=key("payer").address,
    receiver=key("receiver").address,
    receiver_authorizer=key("gateway").address,
    token=key("token").address,
    withdraw_delay=900,
    salt=b"\x07" * 32,
)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    stand = Stand(Path(tmp_path_factory.mktemp("hub")))
    yield stand
    stand.close()


@pytest.mark.parametrize("changes", [{}, {"payer_authorizer": ZERO_ADDRESS}, {"withdraw_delay": 2**40 - 1}])
def test_ids_and_digests_are_the_contracts_and_x402s(stand: Stand, changes: dict[str, Any]) -> None:
    from x402.mechanisms.evm.batch_settlement.types import ChannelConfig as TheirConfig
    from x402.mechanisms.evm.batch_settlement.utils import compute_channel_id

    config, hub = replace(CONFIG, **changes), Hub(stand.ledger)
    ours = config.id_on(stand.ledger.chain_id)
    assert hub.contract.call("getChannelId", config.as_tuple()) == ours
    assert compute_channel_id(TheirConfig.from_dict(config.as_json()), stand.ledger.chain_id) == hex0x(ours)
    for amount in (0, 1, 2**128 - 1):
        assert hub.contract.call("getVoucherDigest", ours, amount) == voucher_digest(
            stand.ledger.chain_id, ours, amount
        )


def test_an_id_is_of_one_chain_and_one_configuration() -> None:
    others = [replace(CONFIG, salt=bytes(32)), replace(CONFIG, withdraw_delay=901), replace(CONFIG, payer=HUB)]
    ids = [CONFIG.id_on(1), CONFIG.id_on(2), *(other.id_on(1) for other in others)]
    assert len(set(ids)) == 5


def test_a_configuration_survives_its_json() -> None:
    assert ChannelConfig.from_json(CONFIG.as_json()) == CONFIG
    lowered = {name: value.lower() if isinstance(value, str) else value for name, value in CONFIG.as_json().items()}
    assert ChannelConfig.from_json(lowered) == CONFIG


@pytest.mark.parametrize("change", [{"salt": "0x00"}, {"withdrawDelay": -1}, {"withdrawDelay": True}, {"payer": "0x"}])
def test_a_configuration_that_is_none_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        ChannelConfig.from_json(CONFIG.as_json() | change)


def test_the_signer_of_a_digest_is_found_as_the_contract_finds_it() -> None:
    digest, payer = voucher_digest(1, bytes(32), 5), key("payer")
    signature = bytes(payer.unsafe_sign_hash(digest).signature)
    assert recover_digest(digest, signature) == payer.address
    assert recover_digest(voucher_digest(1, bytes(32), 6), signature) != payer.address
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = (order - int.from_bytes(signature[32:64])).to_bytes(32)
    twin = signature[:32] + high + bytes([55 - signature[64]])  # the same signature, as OpenZeppelin refuses it
    assert recover_digest(digest, twin) is None


@given(st.binary(max_size=70))
def test_no_signature_makes_the_recovery_fail(signature: bytes) -> None:
    found = recover_digest(bytes(32), signature)
    assert found is None or len(signature) == 65


def test_a_channel_nobody_opened_has_nothing(stand: Stand) -> None:
    hub = Hub(stand.ledger)
    assert hub.present()
    assert hub.state(b"\x01" * 32) == HubState()
    assert hub.unsettled(key("receiver").address, stand.token.address) == 0
    assert hub.changed(0) == set()
