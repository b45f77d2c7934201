"""Fees read from the ledger: EIP-3009 payments to the treasury, and nothing else."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode

from gateway_stand import Stand, key
from rodagila.core.hashing import keccak
from rodagila.market.fees import fees, settled_transaction

KINDS = ["address", "address", "uint256", "uint256", "uint256", "bytes32"]
NAMES = ("from", "to", "value", "validAfter", "validBefore", "nonce")


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    stand = Stand(Path(tmp_path_factory.mktemp("fees")))
    yield stand
    stand.close()


def authorized(
    stand: Stand, payer: Any, to: str, amount: int, nonce: bytes | None = None, verb: str = "transfer"
) -> bytes:
    """Return the call that moves ``amount`` by an authorisation of ``payer``."""
    values = [payer.address, to, amount, 0, int(time.time()) + 600, nonce or secrets.token_bytes(32)]
    token = {"name": "Roda Pay", "version": "1", "chainId": stand.ledger.chain_id}
    title = f"{verb.title()}WithAuthorization"
    signed = payer.sign_typed_data(
        domain_data={**token, "verifyingContract": stand.token.address},
        message_types={title: [{"name": name, "type": kind} for name, kind in zip(NAMES, KINDS, strict=True)]},
        message_data=dict(zip(NAMES, values, strict=True)),
    )
    selector = keccak(f"{verb}WithAuthorization({','.join(KINDS)},bytes)".encode())[:4]
    return selector + abi_encode([*KINDS, "bytes"], [*values, bytes(signed.signature)])


def pay(stand: Stand, payer: Any, to: str, amount: int, nonce: bytes | None = None) -> Any:
    return stand.transact(stand.ledger.faucet, stand.token.address, authorized(stand, payer, to, amount, nonce))


def in_one_transaction(to: str, calls: list[bytes]) -> bytes:
    """Return init code that makes several calls of one contract and then creates nothing."""
    size = 44  # bytes of the program for each call, below
    offset, program = size * len(calls) + 1, b""
    for data in calls:
        length, place = len(data).to_bytes(2, "big"), offset.to_bytes(2, "big")
        copy = b"\x61" + length + b"\x61" + place + bytes.fromhex("600039")  # CODECOPY to memory 0
        call = bytes.fromhex("60006000") + b"\x61" + length + bytes.fromhex("60006000")
        program += copy + call + b"\x73" + bytes.fromhex(to[2:]) + bytes.fromhex("5af150")
        offset += len(data)
    assert len(program) == size * len(calls)
    return program + b"\x00" + b"".join(calls)


def drip(stand: Stand, account: Any, amount: int) -> None:
    data = keccak(b"drip(address,uint256)")[:4] + abi_encode(["address", "uint256"], [account.address, amount])
    stand.transact(stand.ledger.faucet, stand.token.address, data)
    stand.transact(stand.ledger.faucet, account.address, b"", 10**18)


def test_only_authorised_payments_to_the_treasury_are_fees(stand: Stand) -> None:
    treasury, ada = key("treasury one"), key("ada")
    for account in (ada, treasury):
        drip(stand, account, 10_000)
    first = stand.ledger.block_number() + 1
    pay(stand, ada, treasury.address, 700)
    pay(stand, ada, treasury.address, 300)
    pay(stand, stand.buyer, treasury.address, 50)
    pay(stand, ada, key("somebody").address, 999)
    pay(stand, treasury, treasury.address, 5_000)  # a treasury that pays itself
    transfer = keccak(b"transfer(address,uint256)")[:4] + abi_encode(["address", "uint256"], [treasury.address, 400])
    stand.transact(ada, stand.token.address, transfer)  # a gift or a top-up
    last = stand.ledger.block_number()
    expected = sorted([(ada.address, 2, 1_000), (stand.buyer.address, 1, 50)])
    assert fees(stand.ledger, stand.token.address, treasury.address, first, last) == expected
    assert fees(stand.ledger, stand.token.address, treasury.address, first + 1, first + 1) == [(ada.address, 1, 300)]
    assert fees(stand.ledger, stand.token.address, treasury.address, last + 1) == []


def test_a_settlement_is_found_whoever_sent_it_and_only_for_its_terms(stand: Stand) -> None:
    treasury, nonce = key("treasury two").address, secrets.token_bytes(32)
    terms: dict[str, Any] = {"payer": stand.buyer.address, "nonce": nonce, "pay_to": treasury, "amount": 123}
    assert settled_transaction(stand.ledger, stand.token.address, **terms) is None
    receipt = pay(stand, stand.buyer, treasury, 123, nonce)
    assert settled_transaction(stand.ledger, stand.token.address, **terms) == receipt.tx_hash
    for change in ({"amount": 122}, {"pay_to": key("x").address}, {"payer": key("x").address}, {"nonce": bytes(32)}):
        assert settled_transaction(stand.ledger, stand.token.address, **{**terms, **change}) is None


def test_another_payment_in_the_same_transaction_settles_only_its_own_nonce(stand: Stand) -> None:
    """One real payment, bundled with authorisations to oneself, must not count for their nonces too."""
    treasury = key("treasury three").address
    honest, idle = secrets.token_bytes(32), secrets.token_bytes(32)
    bundle = [
        authorized(stand, stand.buyer, stand.buyer.address, 123, idle),
        authorized(stand, stand.buyer, treasury, 123, honest),
    ]
    first = stand.ledger.block_number() + 1
    receipt = stand.transact(stand.ledger.faucet, None, in_one_transaction(stand.token.address, bundle))
    assert stand.balance(treasury) == 123
    terms: dict[str, Any] = {"payer": stand.buyer.address, "pay_to": treasury, "amount": 123}
    found = [settled_transaction(stand.ledger, stand.token.address, nonce=nonce, **terms) for nonce in (honest, idle)]
    assert found == [receipt.tx_hash, None]
    assert fees(stand.ledger, stand.token.address, treasury, first) == [(stand.buyer.address, 1, 123)]


def test_only_claims_in_the_token_for_the_treasury_are_fees(stand: Stand) -> None:
    """A channel for somebody else, one in a worthless token, one that the treasury pays itself: no fees."""
    from channel_stand import funded
    from rodagila.chain.contracts import Contract, load_artifact
    from rodagila.market.channels import Channel
    from rodagila.market.hub import HUB, ChannelConfig, Hub, voucher_digest

    treasury, payer = key("treasury four"), funded(stand, "channel payer")
    drip(stand, treasury, 10_000)
    worthless = deployed_token(stand)
    hub, first = Hub(stand.ledger), stand.ledger.block_number() + 1
    stranger = key("stranger").address

    def claim(account: Any, receiver: str, token: str, amount: int) -> None:
        config = ChannelConfig(
            account.address, account.address, receiver, stand.gateway.address, token, 900, secrets.token_bytes(32)
        )
        id = config.id_on(stand.ledger.chain_id)
        contract = Contract(stand.ledger, token, load_artifact("PayToken"))
        bring_in(stand, contract, account, config, id, 1_000)
        signature = bytes(account.unsafe_sign_hash(voucher_digest(stand.ledger.chain_id, id, amount)).signature)
        channel = Channel(id, config, amount, amount, signature)
        stand.transact(stand.gateway, HUB, hub.contract.encode("claim", [channel.row.as_tuple()]))

    claim(payer, treasury.address, stand.token.address, 70)
    claim(payer, treasury.address, stand.token.address, 30)
    claim(payer, stranger, stand.token.address, 500)
    claim(payer, treasury.address, worthless, 600)
    claim(treasury, treasury.address, stand.token.address, 900)
    stand.transact(stand.faucet, HUB, hub.contract.encode("settle", treasury.address, stand.token.address))
    pay(stand, payer, treasury.address, 5)
    expected = [(payer.address, 3, 105)]
    assert fees(stand.ledger, stand.token.address, treasury.address, first) == expected


def deployed_token(stand: Stand) -> str:
    """Return another pay token, of which the payer has plenty."""
    from rodagila.chain.contracts import deploy

    token = deploy(stand.ledger, stand.faucet, "PayToken", stand.faucet.address)
    token.transact(stand.faucet, "drip", key("channel payer").address, 10_000)
    return token.address


def bring_in(stand: Stand, token: Any, payer: Any, config: Any, id: bytes, amount: int) -> None:
    """Deposit into a channel by the token's own authorisation."""
    from rodagila.chain.authorization import authorize_receipt
    from rodagila.chain.predeploys import ERC3009_COLLECTOR
    from rodagila.chain.tokens import Token
    from rodagila.core.hashing import keccak_abi
    from rodagila.market.hub import HUB, Hub

    until = int(time.time()) + 600
    signed = authorize_receipt(
        payer, chain_id=stand.ledger.chain_id, token=Token(token.address), receiver=ERC3009_COLLECTOR, value=amount,
        valid_before=until, nonce=keccak_abi(["bytes32", "uint256"], [id, 7]),
    )  # fmt: skip
    data = abi_encode(["uint256", "uint256", "uint256", "bytes"], [0, until, 7, signed.signature])
    call = Hub(stand.ledger).contract.encode("deposit", config.as_tuple(), amount, ERC3009_COLLECTOR, data)
    stand.transact(stand.faucet, HUB, call)
