"""One DAO's contracts on the embedded ledger, through the bindings: a turn from commitment to claim, and refusals."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account import Account
from one_dao import (
    ADA,
    BOB,
    CONTRIBUTION,
    FAR,
    OPERATOR,
    OTHER,
    PAYOUT_LEAF,
    POLICY,
    ROOT_BOND,
    SLASH_LEAF,
    START,
    WINDOW,
    World,
    open_world,
)

from clocks import StandingClock
from rodagila.chain.contracts import Contract, ContractRefused, deploy
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.port import Reverted
from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import keccak
from rodagila.core.merkle import standard_leaf
from rodagila.core.records import record_commitment


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = open_world(tmp_path / "ledger.db", StandingClock())
    with world.ledger:
        yield world


def test_a_turn_runs_from_commitment_to_claim(world: World) -> None:
    token, registry, treasury, rewards, bonds = world.token, world.registry, world.treasury, world.rewards, world.bonds
    for account in (OPERATOR, ADA, BOB):
        world.drip(account.address, 50_000_000)
    world.drip(treasury.address, 80_000_000)

    commitment, batch = keccak(b"queries"), keccak(b"batch")
    registry.transact(OPERATOR, "openTurn", 1, commitment)
    registry.transact(OPERATOR, "registerBatch", 1, batch, 2, 150)
    bonds.transact(OPERATOR, "postBonds", [world.bond(ADA, CONTRIBUTION, 5_000_000), world.bond(BOB, OTHER, 4_000_000)])
    registry.transact(OPERATOR, "closeTurn", 1)
    data, proofs, model, seed = (keccak(word) for word in (b"data", b"proofs", b"model", b"seed"))
    registry.transact(OPERATOR, "recordTurn", 1, data, proofs, model, bytes(32), seed)
    assert registry.call("turnOf", 1).stage == 3
    assert registry.call("turnOf", 1).commitment == commitment
    assert registry.call("turnOf", 1).policyVersion == 1
    assert registry.call("batchOf", batch) == (1, 1, 0, 2, 150)
    assert registry.call("recordOf", 1).reveal == seed
    assert registry.call("head") == model

    totals = {ADA.address: 60_000_000, BOB.address: 10_000_000, Account.create().address: 7}
    payouts = world.amounts(rewards, 1, totals)
    slashes = world.slashes(1, {(CONTRIBUTION, ADA.address): 0, (OTHER, BOB.address): 1_500_000})
    tokens = world.amounts(world.dao_token, 1, {ADA.address: 600, BOB.address: 400})
    paid = sum(totals.values())
    treasury.transact(OPERATOR, "fundPool", 1, paid)
    token.transact(OPERATOR, "approve", bonds.address, ROOT_BOND)
    world.post(1, payouts.root, slashes.root, tokens.root, paid, 1_000)
    with pytest.raises(ContractRefused, match="challenge window is still open") as early:
        rewards.transact(OPERATOR, "claim", 1, ADA.address, 60_000_000, payouts.proof(0))
    assert early.value.error == "WindowOpen"
    assert early.value.arguments["finalAt"] == START + WINDOW

    world.clock.now += WINDOW
    assert rewards.call("canFinalize", 1) is True
    rewards.transact(OPERATOR, "finalize", 1)
    assert rewards.call("isFinal", 1) is True
    accounts, amounts = list(totals), list(totals.values())
    rewards.transact(OPERATOR, "claimMany", 1, accounts, amounts, [payouts.proof(i) for i in range(3)])
    bonds.transact(OPERATOR, "settleBond", 1, CONTRIBUTION, ADA.address, 0, slashes.proof(0))
    bonds.transact(OPERATOR, "settleBonds", 1, [(OTHER, BOB.address, 1_500_000, slashes.proof(1))])
    world.dao_token.transact(OPERATOR, "claim", 1, BOB.address, 400, tokens.proof(1))
    bonds.transact(OPERATOR, "withdrawCredit", OPERATOR.address)

    balances = {name: token.call("balanceOf", account.address) for name, account in (("ada", ADA), ("bob", BOB))}
    assert balances == {"ada": 110_000_000, "bob": 58_500_000}
    assert token.call("balanceOf", treasury.address) == 80_000_000 - paid + 1_500_000
    assert token.call("balanceOf", OPERATOR.address) == 50_000_000
    assert token.call("balanceOf", rewards.address) == token.call("balanceOf", bonds.address) == 0
    assert world.dao_token.call("getVotes", BOB.address) == 400
    claims = rewards.events("Claimed", where={"turn": 1, "account": BOB.address})
    assert [(one["account"], one["amount"], one["cumulative"]) for one in claims] == [(BOB.address, 10**7, 10**7)]
    settled = bonds.events("BondSettled")
    assert [(one["contributionId"], one["returned"], one["slashed"]) for one in settled] == [
        (CONTRIBUTION, 5_000_000, 0),
        (OTHER, 2_500_000, 1_500_000),
    ]
    (registered,) = registry.events("BatchRegistered")
    assert (registered["turn"], registered["batch"], registered["root"]) == (1, 1, batch)


def test_the_owner_is_the_timelock_and_the_operator_is_not(world: World) -> None:
    for contract, call in (
        (world.registry, ("setPolicy", OTHER)),
        (world.treasury, ("pay", OPERATOR.address, 1, OTHER)),
        (world.rewards, ("disable", 1)),
    ):
        assert contract.call("owner") == world.timelock.address
        with pytest.raises(ContractRefused) as refused:
            contract.transact(OPERATOR, *call)
        assert refused.value.arguments == {"caller": OPERATOR.address, "owner": world.timelock.address}


def test_wrong_proofs_are_refused(world: World) -> None:
    rewards = world.rewards
    world.drip(world.treasury.address, 100)
    world.drip(OPERATOR.address, 1_000_000)
    world.treasury.transact(OPERATOR, "fundPool", 1, 100)
    world.token.transact(OPERATOR, "approve", world.bonds.address, ROOT_BOND)
    payouts = world.amounts(rewards, 1, {ADA.address: 60, BOB.address: 40})
    world.post(1, payouts.root, bytes(32), bytes(32), 100, 0)
    world.clock.now += WINDOW
    rewards.transact(OPERATOR, "finalize", 1)
    for account, cumulative, proof in (
        (ADA.address, 61, payouts.proof(0)),
        (BOB.address, 60, payouts.proof(0)),
        (ADA.address, 60, payouts.proof(1)),
        (ADA.address, 60, []),
    ):
        with pytest.raises(ContractRefused) as refused:
            rewards.transact(OPERATOR, "claim", 1, account, cumulative, proof)
        assert refused.value.error == "ProofInvalid"
    rewards.transact(OPERATOR, "claim", 1, ADA.address, 60, payouts.proof(0))
    with pytest.raises(ContractRefused, match="has been paid this cumulative amount already") as again:
        rewards.transact(OPERATOR, "claim", 1, ADA.address, 60, payouts.proof(0))
    assert again.value.arguments == {"account": ADA.address, "cumulative": 60, "claimed": 60}


def test_leaves_are_the_same_in_python_and_solidity(world: World) -> None:
    chain = world.ledger.chain_id
    for contract, leaf in ((world.rewards, "payoutLeaf"), (world.dao_token, "tokenLeaf")):
        where = [chain, contract.address, 7]
        assert contract.call(leaf, 7, ADA.address, 12) == standard_leaf(PAYOUT_LEAF, [*where, ADA.address, 12])
    where = [chain, world.bonds.address, 7]
    expected = standard_leaf(SLASH_LEAF, [*where, OTHER, BOB.address, 12])
    assert world.bonds.call("slashLeaf", 7, OTHER, BOB.address, 12) == expected


def test_a_copied_commitment_opens_for_its_owner_alone(world: World) -> None:
    salt, record, registry = keccak(b"salt"), keccak(b"record"), world.registry
    committed = record_commitment(world.ledger.chain_id, registry.address, ADA.address, salt, record)
    assert registry.call("commitmentOf", ADA.address, salt, record) == committed
    assert registry.call("commitmentOf", BOB.address, salt, record) != committed


def test_a_revocation_is_signed_over_the_words_that_the_registry_checks(world: World) -> None:
    signed = ADA.sign_typed_data(
        domain_data={
            "name": "Rodagila",
            "version": "1",
            "chainId": world.ledger.chain_id,
            "verifyingContract": world.registry.address,
        },
        message_types={
            "Revocation": [
                {"name": "contributionId", "type": "bytes32"},
                {"name": "owner", "type": "address"},
                {"name": "deadline", "type": "uint256"},
            ]
        },
        message_data={"contributionId": CONTRIBUTION, "owner": ADA.address, "deadline": FAR},
    )
    revocation = (CONTRIBUTION, ADA.address, FAR, bytes(signed.signature))
    world.registry.transact(OPERATOR, "revokeBySignature", *revocation)
    assert world.registry.call("revokedAt", CONTRIBUTION, ADA.address) > 0
    with pytest.raises(ContractRefused, match="revoked this contribution already"):
        world.registry.transact(OPERATOR, "revokeBySignature", *revocation)


@pytest.mark.parametrize("form", ["bytes", "parts"])
def test_an_authorised_transfer_moves_once(world: World, form: str) -> None:
    world.drip(ADA.address, 10)
    signed = ADA.sign_typed_data(
        domain_data={
            "name": world.token.call("name"),
            "version": world.token.call("version"),
            "chainId": world.ledger.chain_id,
            "verifyingContract": world.token.address,
        },
        message_types={
            "TransferWithAuthorization": [
                {"name": name, "type": kind}
                for kind, name in (
                    ("address", "from"),
                    ("address", "to"),
                    ("uint256", "value"),
                    ("uint256", "validAfter"),
                    ("uint256", "validBefore"),
                    ("bytes32", "nonce"),
                )
            ]
        },
        message_data={
            "from": ADA.address,
            "to": BOB.address,
            "value": 4,
            "validAfter": 0,
            "validBefore": FAR,
            "nonce": OTHER,
        },
    )
    parts = (signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big"))
    ending = (bytes(signed.signature),) if form == "bytes" else parts
    send = ("transferWithAuthorization", ADA.address, BOB.address, 4, 0, FAR, OTHER, *ending)
    world.token.transact(OPERATOR, *send)
    assert world.token.call("balanceOf", BOB.address) == 4
    assert world.token.call("authorizationState", ADA.address, OTHER) is True
    with pytest.raises(ContractRefused, match="already been used") as again:
        world.token.transact(OPERATOR, *send)
    assert again.value.error == "ERC3009UsedAuthorization"


def test_a_permit_lets_the_spender_take(world: World) -> None:
    world.drip(ADA.address, 10)
    signed = ADA.sign_typed_data(
        domain_data={
            "name": "Roda Pay",
            "version": "1",
            "chainId": world.ledger.chain_id,
            "verifyingContract": world.token.address,
        },
        message_types={
            "Permit": [
                {"name": name, "type": kind}
                for kind, name in (
                    ("address", "owner"),
                    ("address", "spender"),
                    ("uint256", "value"),
                    ("uint256", "nonce"),
                    ("uint256", "deadline"),
                )
            ]
        },
        message_data={
            "owner": ADA.address,
            "spender": OPERATOR.address,
            "value": 4,
            "nonce": world.token.call("nonces", ADA.address),
            "deadline": START + 60,
        },
    )
    parts = (signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big"))
    world.token.transact(OPERATOR, "permit", ADA.address, OPERATOR.address, 4, START + 60, *parts)
    world.token.transact(OPERATOR, "transferFrom", ADA.address, BOB.address, 4)
    with pytest.raises(ContractRefused) as beyond:
        world.token.transact(OPERATOR, "transferFrom", ADA.address, BOB.address, 1)
    assert beyond.value.error == "ERC20InsufficientAllowance"


def test_the_error_of_an_inner_contract_is_told(world: World) -> None:
    forged = (*world.bond(ADA, CONTRIBUTION, 5)[:5], world.bond(BOB, CONTRIBUTION, 5)[5])
    with pytest.raises(ContractRefused, match="signature is invalid") as refused:
        world.bonds.call("postBonds", [forged])
    assert refused.value.error == "ERC3009InvalidSignature"
    assert isinstance(refused.value, Reverted)
    assert refused.value.code == "call_reverted"


def test_only_the_faucet_makes_money(world: World) -> None:
    with pytest.raises(ContractRefused) as refused:
        world.token.transact(OPERATOR, "drip", OPERATOR.address, 1)
    assert refused.value.arguments == {"caller": OPERATOR.address, "faucet": world.ledger.faucet.address}
    with pytest.raises(ContractRefused):
        world.token.call("drip", OPERATOR.address, 1)


def test_several_calls_share_a_block_and_may_depend_on_each_other(world: World) -> None:
    registry = world.registry
    receipts = registry.transact_many(
        OPERATOR,
        [("openTurn", (1, POLICY)), ("registerBatch", (1, OTHER, 1, 5)), ("closeTurn", (1,))],
    )
    assert {receipt.block_number for receipt in receipts} == {world.ledger.block_number()}
    assert registry.call("turnOf", 1).records == 5


def test_a_call_refused_within_a_block_is_told_and_the_others_stand(world: World) -> None:
    with pytest.raises(ContractRefused, match="not at the stage") as refused:
        world.registry.transact_many(OPERATOR, [("openTurn", (1, POLICY)), ("closeTurn", (2,)), ("closeTurn", (1,))])
    assert refused.value.arguments == {"turn": 2, "stage": 0, "required": 1}
    assert world.registry.call("turnOf", 1).stage == 2


def test_too_little_gas_is_told(world: World) -> None:
    with pytest.raises(Reverted, match="gas limit of 40000") as refused:
        world.registry.transact(OPERATOR, "openTurn", 1, POLICY, gas=40_000)
    assert not isinstance(refused.value, ContractRefused)
    assert world.registry.call("lastTurn") == 0


def test_structs_are_given_by_name_or_by_place_and_come_back_by_both(world: World) -> None:
    names = ("contributionId", "owner", "amount", "validAfter", "validBefore", "signature")
    values = world.bond(ADA, CONTRIBUTION, 5)
    by_name = dict(zip(names, values, strict=True))
    assert world.bonds.encode("postBonds", [by_name]) == world.bonds.encode("postBonds", [values])
    turn = world.registry.call("turnOf", 1)
    assert turn.stage == turn[0] == 0


def test_arguments_that_do_not_fit_are_refused(world: World) -> None:
    for args in ((1, b"short" * 8), ("one", POLICY), (-1, POLICY)):
        with pytest.raises(InvalidInput, match="do not fit openTurn"):
            world.registry.encode("openTurn", *args)
    with pytest.raises(InvalidInput, match=r"cannot be selected by root; its indexed arguments: turn, batch"):
        world.registry.events("BatchRegistered", where={"root": POLICY})


def test_a_constructor_that_refuses_is_told(world: World) -> None:
    with pytest.raises(ContractRefused, match="outside the allowed seconds") as refused:
        deploy(world.ledger, OPERATOR, "Rewards", *[world.token.address] * 6, 0, 0)
    assert refused.value.arguments == {"given": 0, "least": 1, "most": 30 * 86_400}


def test_two_processes_share_a_signer(world: World) -> None:
    """Two ledgers on one file stand for two processes: each takes nonces that the other was about to use."""
    rounds = 6
    failures: list[BaseException] = []

    def pay(to: str) -> None:
        try:
            with EmbeddedLedger.open(world.path, clock=world.clock) as ledger:
                token = Contract(ledger, world.token.address, world.token.artifact)
                for _ in range(rounds):
                    token.transact(ledger.faucet, "drip", to, 1)
        except BaseException as error:  # told to the main thread
            failures.append(error)

    threads = [threading.Thread(target=pay, args=(account.address,)) for account in (ADA, BOB)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [world.token.call("balanceOf", account.address) for account in (ADA, BOB)] == [rounds, rounds]
